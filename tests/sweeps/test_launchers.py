"""Sweeps with the launcher or the sweeper of others, and a search that is ended and begun again."""

import csv
import json
import re
import signal
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import CommandLine, Finished, needs

JOBS = ("-m", "seed=0,1", "optimizer.learning_rate=0.5,0.25", "trainer.epochs=5", "verbose=false")


def best_losses(sweeps: Path) -> dict[str, str]:
    """Return the lowest loss of every run by what it varied, from the table that a sweep leaves."""
    (path,) = sweeps.glob("*/runs.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    return {f"{row['seed']} {row['optimizer.learning_rate']}": row["final/test/loss"] for row in rows}


@pytest.mark.parametrize("sweeper", ["nnexp", "basic"])
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_another_launcher_is_refused(
    typed: Callable[..., Finished], tmp_path: Path, sweeper: str, launcher: str
) -> None:
    if launcher == "joblib" and find_spec("hydra_plugins.hydra_joblib_launcher") is None:
        pytest.skip("needs hydra-joblib-launcher")
    result = typed(*JOBS, f"hydra/launcher={launcher}", f"hydra/sweeper={sweeper}", "tracking=none")
    assert result.returncode == 2
    assert re.fullmatch(rf"nnexp: hydra/launcher={launcher}: must be nnexp, which .* Dask\n", result.stderr)
    assert not list(tmp_path.rglob("result.json"))


def test_our_launcher_under_another_sweeper(typed: Callable[..., Finished], tmp_path: Path) -> None:
    ours = typed(*JOBS, "tracking=none", "output_dir=ours")
    theirs = typed(*JOBS, "tracking=none", "output_dir=theirs", "hydra/sweeper=basic")
    assert [(result.returncode, result.stderr) for result in (ours, theirs)] == [(0, "")] * 2
    assert best_losses(tmp_path / "theirs" / "sweeps") == best_losses(tmp_path / "ours" / "sweeps")
    assert "4/4 runs" in theirs.stdout


SEARCH = (
    *("-m", "optimizer.learning_rate=interval(0.1,1)", "sweep.sampler=optuna", "sweep.draws=8", "sweep.batch=4"),
    *("tracking=none", "hydra.launcher.jobs=1"),
)


def learning_rates(folder: Path) -> dict[str, int]:
    """Return what was asked in the runs that are finished, with when that was."""
    return {
        re.sub(r"_[0-9a-f]{12}$", "", path.parent.name): path.stat().st_mtime_ns
        for path in folder.glob("outputs/sweeps/*/runs/*/result.json")
    }


@needs("optuna")
@pytest.mark.slow
def test_a_search_that_was_ended_asks_the_same_again(nnexp: CommandLine, tmp_path: Path) -> None:
    """The first batch trains in no time; of the second, the epochs take so long that it is interrupted."""
    whole = tmp_path / "whole"
    whole.mkdir()
    search = (*SEARCH, "trainer.epochs=3000")
    expected = CommandLine(whole)(*search)
    assert (expected.returncode, expected.stderr) == (0, "")
    points = learning_rates(whole)
    assert len(points) == 8

    process = nnexp.start(*search)
    assert process.stdout is not None
    for line in process.stdout:
        if line == "4/4 runs\n":
            break
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    first = learning_rates(nnexp.folder)
    assert 4 <= len(first) < 8, "it was ended too late to show anything"

    result = nnexp(*search)
    assert (result.returncode, result.stderr) == (0, "")
    again = learning_rates(nnexp.folder)
    assert again.keys() == points.keys()
    assert {name: again[name] for name in first} == first, "what was done is not done again"
    (state,) = nnexp.folder.glob("outputs/sweeps/*/sweep.json")
    assert json.loads(state.read_text(encoding="utf-8"))["status"] == "FINISHED"
