"""What a single run is told: the usual stories, each with a command that can be typed."""

import shlex
from pathlib import Path

import numpy as np
import pytest

from nnexp import run
from nnexp.config.compose import compose_experiment
from nnexp.runs.story import _patience

QUIET = ("tracking=none", "figures=false", "verbose=false")
HEART = ("dataset=heart", "architecture.hidden=[64]", "optimizer=adam", "optimizer.learning_rate=0.01")


@pytest.mark.parametrize(
    ("overrides", "told", "tried"),
    [
        (("optimizer.learning_rate=1000", "trainer.epochs=50"), "It ends worse than it began", "learning_rate=100"),
        (("optimizer.learning_rate=0.01", "trainer.epochs=50"), "It stays where it began", "trainer.epochs=100"),
        (("trainer.iterations=700",), "Its test/loss was still falling at the end", "trainer.iterations=1400"),
        ((*HEART, "trainer.epochs=300"), "Its test/loss was lowest, ", "early_stopping={patience: 20}"),
    ],
)
def test_a_run_is_told_what_became_of_it_and_what_to_try(
    tmp_path: Path, overrides: tuple[str, ...], told: str, tried: str
) -> None:
    quiet = (*QUIET, f"output_dir={tmp_path}")
    result = run([*overrides, *quiet])
    (sentence,) = result.story
    assert sentence.startswith(told)
    words = shlex.split(sentence[sentence.index("python -m nnexp") :])[3:]
    assert any(tried in word for word in words)
    assert compose_experiment(words) != compose_experiment([*overrides, *quiet])
    assert sentence in (result.folder / "report.md").read_text()


def test_early_stopping_that_is_tried_waits_until_the_lowest_loss() -> None:
    bumps = np.array([5.0, 4.0, *[4.5] * 30, 3.0, 3.5, 2.0, *[6.0] * 50])
    patience = _patience(bumps)
    assert patience == 2 * 31
    assert _patience(np.array([3.0, 2.0, 1.0, 2.0])) == 20


def test_a_run_that_diverged_is_told_to_take_smaller_steps(tmp_path: Path) -> None:
    overrides = ["dataset=sine", "loss=mean_squared_error", "optimizer.learning_rate=1e6", "trainer.epochs=50"]
    result = run([*overrides, f"output_dir={tmp_path}", *QUIET])
    assert result.diverged_step is not None
    (sentence,) = result.story
    assert sentence.startswith("Its steps are too large: try python -m nnexp dataset=sine")
    assert sentence.endswith("optimizer.learning_rate=100000")


def test_a_run_that_was_stopped_is_not_told_to_train_longer(tmp_path: Path) -> None:
    stop = "trainer.stop={metric: test/loss, below: 0.3}"
    result = run(["trainer.epochs=600", stop, *QUIET, f"output_dir={tmp_path}"])
    assert result.stopped is not None
    assert result.story == []


def test_dead_units_are_named_where_the_layers_were_watched(tmp_path: Path) -> None:
    overrides = ["dataset=circles", "architecture.activation=relu", "initializer.scale=20", "optimizer.learning_rate=5"]
    result = run([*overrides, "trainer.epochs=20", f"output_dir={tmp_path}", "tracking=none", "verbose=false"])
    assert any("are dead, zero for every example" in line for line in result.story)
