"""Trainings that pause, go through a file, and go on: the same bits as if nothing had been."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnexp.core import state as checkpoint
from nnexp.core.errors import DamagedError
from nnexp.core.npz import read_arrays, write_arrays
from nnexp.core.state import Saved, read_checkpoint, write_checkpoint
from nnexp.data.dataset import Data
from nnexp.training.history import Outcome
from nnexp.training.loop import Training
from nnexp.training.stack import Recipe
from nnexp.training.trainer import Trainer
from tests.conftest import make_data, tries
from tests.training.test_loop import assert_same_bits, recipe_with, stacks


def assert_same(one: Outcome, other: Outcome) -> None:
    assert_same_bits(one, other)
    np.testing.assert_array_equal(one.learned.statistics, other.learned.statistics)
    assert (one.stopped, one.snapshots.keys()) == (other.stopped, other.snapshots.keys())
    for moment, learned in one.snapshots.items():
        np.testing.assert_array_equal(learned.theta, other.snapshots[moment].theta)
    assert (one.layers is None) == (other.layers is None)
    if one.layers is not None and other.layers is not None:
        for name, values in vars(one.layers).items():
            np.testing.assert_array_equal(values, getattr(other.layers, name), err_msg=name)


def at(*steps: int) -> Callable[[int], bool]:
    """Return what pauses once before each of these steps."""
    left = list(steps)

    def pause(done: int) -> bool:
        if left and done == left[0]:
            left.pop(0)
            return True
        return False

    return pause


@tries(200)
@given(stacks(), st.lists(st.integers(0, 30), max_size=3), st.booleans())
def test_a_training_that_went_through_files_has_the_same_bits(
    tmp_path_factory: pytest.TempPathFactory,
    stack: tuple[list[Recipe], list[Data], Trainer, str],
    pauses: list[int],
    watch: bool,  # noqa: FBT001 - drawn
) -> None:
    """Any optimizer, schedule, dropout, early stopping and divergence, at any step, also in the middle of an epoch."""
    recipes, data, trainer, dtype = stack
    trainer = replace(trainer, snapshots=(2, 3))

    def begun() -> Training:
        return Training(recipes, data, trainer, dtype, watch_layers=watch)

    undisturbed = begun()
    undisturbed.advance()
    path, training = tmp_path_factory.mktemp("checkpoint") / "latest.npz", begun()
    for step in sorted(set(pauses)):
        training.advance(pause=at(step))
        write_checkpoint(path, training.state())
        training = begun()
        training.restore(read_checkpoint(path))
    assert not training.advance()
    assert training.outcomes().keys() == undisturbed.outcomes().keys()
    for run, outcome in training.outcomes().items():
        assert_same(outcome, undisturbed.outcomes()[run])


DATA = make_data(30, 5, 3)
TRAINER = Trainer(epochs=6, batch_size=7)


def begun(trainer: Trainer = TRAINER) -> Training:
    return Training([recipe_with(DATA, 0.5)], DATA, trainer, "float64")


def test_a_training_that_paused_goes_on_where_it_is() -> None:
    undisturbed, training = begun(), begun()
    undisturbed.advance()
    pause = at(3, 5, 17)
    assert [training.advance(pause=pause) for _ in range(4)] == [True, True, True, False]
    assert_same(training.outcomes()[0], undisturbed.outcomes()[0])


def test_the_clock_goes_on_where_it_stood() -> None:
    training, later = begun(), begun()
    training.advance(pause=at(8))
    state = training.state()
    (roster,) = [value for name, value in state.items() if name == "roster"]
    assert isinstance(roster, dict)
    roster["seconds"] = 100.0
    later = begun(replace(TRAINER, max_seconds=99))
    later.restore(Saved(state))
    assert later.seconds > 100
    later.advance()
    assert later.outcomes()[0].stopped == "time limit"
    assert later.outcomes()[0].history.times.tolist() == [0, 1, 2]


def saved(path: Path) -> Path:
    training = begun()
    training.advance(pause=at(8))
    write_checkpoint(path, training.state())
    return path


def test_an_altered_checkpoint_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "latest.npz")
    arrays, texts = read_arrays(path)
    for change in (
        lambda: write_arrays(path, {**arrays, "stack.theta": np.zeros(arrays["stack.theta"].shape)}, texts),
        lambda: write_arrays(path, arrays, {**texts, "state.json": texts["state.json"].replace("1", "2")}),
        lambda: write_arrays(path, arrays, {"state.json": texts["state.json"]}),
        lambda: path.write_bytes(path.read_bytes()[:-30]),
        lambda: path.write_bytes(b""),
    ):
        saved(path)
        change()
        with pytest.raises(DamagedError):
            read_checkpoint(path)


def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "latest.npz"
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "VERSION", 7)
        saved(path)
    with pytest.raises(DamagedError, match="version 7, and 1"):
        read_checkpoint(path)


def places(tree: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return where something is in a tree of plain values."""
    inner: list[tuple[str | int, object]] = []
    if isinstance(tree, dict):
        inner = list(tree.items())
    elif isinstance(tree, list):
        inner = list(enumerate(tree))
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


GARBAGE: list[object] = [None, -1, 10**30, 1.5, float("nan"), "text", [], {}, [{}], True, {"array": "stack.theta"}]
GARBAGE += [{"array": "nothing"}, {"array": 3}, {"array": "sampler.order"}, {"state": {"state": -1, "inc": "x"}}]


@tries(300)
@given(st.data())
def test_whatever_a_checkpoint_says_it_is_taken_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whoever writes a checkpoint can give it the right checksum, too."""
    path = saved(tmp_path_factory.mktemp("hostile") / "latest.npz")
    arrays, texts = read_arrays(path)
    tree = json.loads(texts["state.json"])
    *way, last = data.draw(st.sampled_from(places(tree)[1:]))
    node = tree
    for key in way:
        node = node[key]
    node[last] = data.draw(st.sampled_from(GARBAGE))
    state = json.dumps(tree)
    write_arrays(path, arrays, {"state.json": state, "sha256": checkpoint._checksum(state, arrays)})  # noqa: SLF001
    training = begun()
    try:
        training.restore(read_checkpoint(path))
    except DamagedError as error:
        line = str(error)
    else:
        line = "taken"
        training.advance()
    assert line
    assert "\n" not in line
