"""Did my change help? A run ends with the run most like it."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from nnexp import run
from nnexp.nn.activations import Tanh
from tests.conftest import Finished

Typed = Callable[..., Finished]
SHORT = ("trainer.epochs=3", "architecture.hidden=[4]", "figures=false", "tracking=none")
BESIDE, AGAIN = "Beside the run most like it: ", "One seed shows nothing; to ask ten: "


def beside(result: Finished) -> list[str]:
    assert (result.returncode, result.stderr) == (0, "")
    return [line for line in result.stdout.splitlines() if line.startswith((BESIDE, AGAIN))]


def losses(folder: Path) -> list[str]:
    files = sorted((folder / "outputs").glob("*/*/result.json"), key=lambda path: path.stat().st_mtime)
    return [f"{json.loads(file.read_text())['final']['test/loss']:.4f}" for file in files]


def test_a_run_ends_with_what_changed_and_a_command_that_asks_both_again(typed: Typed, tmp_path: Path) -> None:
    assert beside(typed(*SHORT, "initializer.scale=1")) == []
    first, second = beside(typed(*SHORT, "initializer.scale=1", "optimizer.learning_rate=5"))
    was, now = losses(tmp_path)
    assert first.startswith(f"{BESIDE}optimizer.learning_rate=5.0, was 0.5; test/loss {now}, was {was}; test/accuracy ")
    again = typed(*shlex.split(second.removeprefix(f"{AGAIN}python -m nnexp ")))
    assert again.returncode in (0, 10, 11), again.stderr
    assert again.stdout.splitlines()[-1].startswith(("A is better", "B is better", "Not shown"))


def test_beside_a_run_with_an_object_no_command_asks_again(
    typed: Typed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No command makes such a run, whichever of the two it is."""
    typed(*SHORT)
    for overrides in (SHORT, (*SHORT, "seed=1")):
        run([*overrides, f"output_dir={tmp_path / 'outputs'}"], architecture__activation=Tanh())
        assert AGAIN not in capsys.readouterr().out
    (line,) = beside(typed(*SHORT, "seed=1", "architecture.activation=relu"))
    assert line.startswith(f"{BESIDE}architecture.activation=ReLU, was Tanh; ")


def test_only_a_run_that_can_be_compared_is_like_it(typed: Typed) -> None:
    typed(*SHORT)
    assert beside(typed(*SHORT)) == [], "the same config is no change"
    assert beside(typed(*SHORT, "dataset.split_seed=1")) == [], "nor are other data"
    assert beside(typed(*SHORT, "trainer.metrics=[f1]")) == [], "nor other metrics"
    typed(*SHORT, "optimizer.learning_rate=1e300", "trainer.regularization.l2=1")
    (line,) = beside(typed(*SHORT, "seed=1"))
    assert line.startswith(f"{BESIDE}seed=1, was 0; test/loss ")
    assert line.endswith(". Only the seed differs, so that is chance.")
    assert beside(typed(*SHORT, "seed=2", "verbose=false")) == []


def test_of_several_runs_the_one_that_differs_least_is_beside_it(typed: Typed) -> None:
    """As by somebody who changes one thing at a time, and goes back to the defaults in between."""
    typed(*SHORT)
    typed(*SHORT, "initializer.scale=1")
    first, _ = beside(typed(*SHORT, "optimizer.learning_rate=5"))
    assert first.startswith(f"{BESIDE}optimizer.learning_rate=5.0, was 0.5; test/loss ")
    second, _ = beside(typed(*SHORT, "optimizer.learning_rate=5", "initializer.scale=1"))
    assert second.startswith(f"{BESIDE}initializer.scale=1.0, was 0.01; test/loss "), "the newest of the two alike"


def test_losses_of_two_kinds_are_not_compared_and_three_keys_are_named(typed: Typed) -> None:
    regression = (*SHORT, "dataset=diabetes")
    typed(*regression, "loss=mean_absolute_error")
    first, _ = beside(typed(*regression, "loss=mean_squared_error", "optimizer=adam", "seed=3", "initializer.scale=1"))
    assert "; 2 more keys; test/r2 " in first
    assert "test/loss" not in first
    assert first.count(", was ") == 4
