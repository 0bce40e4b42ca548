"""Starting weights that another run has learned."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nnexp import UserError, run
from nnexp.core.component import Array

SHORT = ["dataset=moons", "trainer.epochs=4", "tracking=none", "verbose=false", "figures=false"]
RATE = ["optimizer.learning_rate=1.0", "initializer=lecun_normal"]


def start_of(*words: str) -> dict[str, Array]:
    return dict(run([*SHORT, "trainer.snapshots=[0]", "initializer=from_run", "seed=9", *words]).snapshots[0])


def test_a_run_begins_where_another_ended_or_was(in_folder: Callable[[], Path]) -> None:
    in_folder()
    earlier = run([*SHORT, *RATE, "trainer.snapshots=[2]"])
    for words, expected in (
        ([], earlier.parameters),
        (["initializer.snapshot=2"], earlier.snapshots[2]),
        (
            ["initializer.scale=0.5"],
            {name: array * (0.5 if "weight" in name else 1) for name, array in earlier.parameters.items()},
        ),
    ):
        start = start_of(f"initializer.run={earlier.folder}", *words)
        assert start.keys() == expected.keys()
        for name, array in expected.items():
            np.testing.assert_array_equal(start[name], array)
    pruned = start_of(f"initializer.run={earlier.folder}", "trainer.pruning={rounds: 1, share: 0.5}")
    kept = pruned["0.weight"] != 0
    assert 0 < kept.sum() < kept.size
    np.testing.assert_array_equal(pruned["0.weight"][kept], earlier.parameters["0.weight"][kept])


def test_a_run_that_does_not_fit_is_refused_before_anything_trains(in_folder: Callable[[], Path]) -> None:
    in_folder()
    folder = run([*SHORT, *RATE]).folder
    for words, said in (
        ([], "initializer.run=null: must be the folder of a run"),
        (["initializer.run=nowhere"], "initializer.run=nowhere: must be the folder of a run, with parameters.npz"),
        ([f"initializer.run={folder}", "initializer.snapshot=3"], "a run with a snapshot at 3"),
        (
            [f"initializer.run={folder}", "architecture.hidden=[5]"],
            r"a run with the same layers; 0.weight is \(2, 16\) there, and \(2, 5\) here",
        ),
    ):
        with pytest.raises(UserError, match=said):
            start_of(*words)
