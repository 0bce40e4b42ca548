"""Sweeps with launchers and sweepers that are not ours, and a search that is ended and begun again."""

import csv
import json
import re
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import CommandLine, Finished

JOBS = ("-m", "seed=0,1", "optimizer.learning_rate=0.5,0.25", "trainer.epochs=5", "verbose=false")
LAUNCHERS = {"basic": "hydra", "joblib": "hydra_joblib_launcher", "submitit_local": "hydra_submitit_launcher"}
"""The launchers of others, and the plugins that they come from."""


def plugin(launcher: str) -> str:
    module = LAUNCHERS[launcher]
    if module != "hydra" and find_spec(f"hydra_plugins.{module}") is None:
        pytest.skip(f"needs {module}")
    return launcher


def best_losses(sweeps: Path) -> dict[str, str]:
    """Return the lowest loss of every run by what it varied, from the table that a sweep leaves."""
    (path,) = sweeps.glob("*/runs.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    return {f"{row['seed']} {row['optimizer.learning_rate']}": row["best test/loss"] for row in rows}


def children(store: Path) -> tuple[str, list[tuple[str, str]]]:
    """Return the status of the only run that explains others, and the names and statuses of these."""
    with closing(sqlite3.connect(store)) as database:
        runs = {
            run: (name, status) for run, name, status in database.execute("select run_uuid, name, status from runs")
        }
        parents = dict(database.execute("select run_uuid, value from tags where key = 'mlflow.parentRunId'"))
    (parent,) = set(parents.values())
    assert set(runs) == {parent, *parents}
    return runs[parent][1], sorted(runs[run] for run in parents)


@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_local"])
def test_another_launcher_has_the_same_results(
    nnexp: CommandLine, typed: Callable[..., Finished], launcher: str
) -> None:
    plugin(launcher)
    ours = typed(*JOBS, "tracking=none", "output_dir=ours")
    assert (ours.returncode, ours.stderr) == (0, "")
    result = nnexp(*JOBS, f"hydra/launcher={launcher}", "output_dir=theirs")
    assert (result.returncode, result.stderr) == (0, "")
    ours_folder, theirs = nnexp.folder / "ours" / "sweeps", nnexp.folder / "theirs" / "sweeps"
    assert best_losses(theirs) == best_losses(ours_folder)
    status, runs = children(nnexp.folder / "theirs" / "mlflow.db")
    assert status == "FINISHED"
    assert [status for _, status in runs] == ["FINISHED"] * 4
    assert all("seed=" in name and "learning_rate=" in name for name, _ in runs)
    (folder,) = theirs.iterdir()
    assert "# " in (folder / "report.md").read_text(encoding="utf-8")
    assert "Best" in result.stdout


def test_another_launcher_without_tracking(typed: Callable[..., Finished], tmp_path: Path) -> None:
    ours = typed(*JOBS, "tracking=none", "output_dir=ours")
    theirs = typed(*JOBS, "tracking=none", "output_dir=theirs", "hydra/launcher=basic")
    assert [(result.returncode, result.stderr) for result in (ours, theirs)] == [(0, "")] * 2
    assert best_losses(tmp_path / "theirs" / "sweeps") == best_losses(tmp_path / "ours" / "sweeps")
    assert not (tmp_path / "theirs" / "mlflow.db").exists()


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
@pytest.mark.parametrize("asked", ["sweep.plan=true", "sweep.halving=0.5"])
def test_what_only_our_launcher_does_is_refused(
    typed: Callable[..., Finished], tmp_path: Path, launcher: str, asked: str
) -> None:
    result = typed(*JOBS, f"hydra/launcher={plugin(launcher)}", asked, "tracking=none")
    assert result.returncode == 2
    key = asked.partition("=")[0]
    assert re.fullmatch(rf"nnexp: {key}=\S+: must be \w+ but for hydra/launcher=nnexp\n", result.stderr)
    assert not list(tmp_path.glob("outputs/sweeps/*"))


def test_a_mistake_under_another_launcher_is_one_line(typed: Callable[..., Finished]) -> None:
    result = typed("-m", "seed=0,1", "optimizer.learing_rate=1", "hydra/launcher=basic", "tracking=none")
    assert result.returncode == 2
    assert result.stderr == "nnexp: optimizer.learing_rate: no such key, did you mean learning_rate?\n"


def test_our_launcher_under_another_sweeper(typed: Callable[..., Finished], tmp_path: Path) -> None:
    ours = typed(*JOBS, "tracking=none", "output_dir=ours")
    theirs = typed(*JOBS, "tracking=none", "output_dir=theirs", "hydra/sweeper=basic")
    assert [(result.returncode, result.stderr) for result in (ours, theirs)] == [(0, "")] * 2
    assert best_losses(tmp_path / "theirs" / "sweeps") == best_losses(tmp_path / "ours" / "sweeps")
    assert "4/4 runs" in theirs.stdout


def test_neither_of_ours(typed: Callable[..., Finished], tmp_path: Path) -> None:
    """Then every job is a run of its own, and no sweep of ours."""
    result = typed(*JOBS, "tracking=none", "hydra/sweeper=basic", "hydra/launcher=basic")
    assert (result.returncode, result.stderr) == (0, "")
    assert len(result.stdout.splitlines()) == 4
    assert len(list((tmp_path / "outputs" / "digits_binary").iterdir())) == 4


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
