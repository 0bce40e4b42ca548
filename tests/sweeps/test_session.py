"""Whole sweeps, repeated, widened, killed and mended: what they leave behind, compared with runs alone."""

import csv
import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import product
from math import ceil
from pathlib import Path

import numpy as np
import pytest

from nnexp import run
from nnexp.analysis.report import sweep_report, write_report
from nnexp.analysis.results import SweepResults
from nnexp.analysis.runs_table import runs_csv
from nnexp.nn.initializers import Normal, Shape, Weights
from nnexp.runs.result import Result
from nnexp.runs.tracked import read_tracked
from nnexp.storage.run_folder import read_history
from nnexp.sweeps import session
from nnexp.sweeps.sweep_folder import SweepRecord, results_in
from tests.conftest import CommandLine, Finished, Typed, needs
from tests.tracking.server import serving

Sweep = Callable[..., Finished]

UNTRACKED = ("trainer.epochs=6", "tracking=none")
TRACKED = ("trainer.epochs=4", "architecture.hidden=[4]")
SCALE, MENDED = "initializer.scale", "NNEXP_TEST_MENDED"


@dataclass(frozen=True)
class Moody(Normal):
    """Refuses one scale, until it is mended."""

    def unit(self, generator: np.random.Generator, fan_in: int, fan_out: int, shape: Shape) -> Weights:
        if self.scale == 0.5 and MENDED not in os.environ:
            raise RuntimeError("not this scale")
        return super().unit(generator, fan_in, fan_out, shape)


MOODY = "initializer._target_=tests.sweeps.test_session.Moody"


@pytest.fixture
def sweep(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """Return `nnexp -m` as a function that trains in this process, without figures, which take a second."""

    def plain(results: SweepResults, folder: Path, *, figures: bool) -> None:  # noqa: ARG001
        write_report(results, folder, figures=False)

    monkeypatch.setattr(session, "write_report", plain)
    monkeypatch.setenv("NNEXP_PACKAGES", "tests")
    quiet = ("-m", "sweep.confirm=0")  # what a test says itself comes later, and counts
    return lambda *arguments, jobs=1: typed(*quiet, f"hydra.launcher.jobs={jobs}", *arguments)


def solo(*overrides: str) -> Result:
    """Train a run alone."""
    return run([*overrides, "tracking=none", "figures=false", "verbose=false", "output_dir=alone"])


def summary_of(folder: Path) -> dict[str, object]:
    found = json.loads((folder / "result.json").read_text())
    assert isinstance(found, dict)
    return found


def runs_in(output_dir: Path) -> dict[str, Path]:
    """Return the folders of all runs that sweeps trained, by config hash, each of which must be there once."""
    folders = [path.parent for path in output_dir.glob("sweeps/*/runs/*/result.json")]
    found = {str(summary_of(folder)["config_hash"]): folder for folder in folders}
    assert len(found) == len(folders)
    return found


def sweeps_in(output_dir: Path) -> list[Path]:
    return sorted((output_dir / "sweeps").iterdir(), key=lambda path: path.stat().st_ctime_ns)


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "runs.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def assert_same_numbers(folder: Path, other: Path) -> None:
    assert (folder / "history.csv").read_bytes() == (other / "history.csv").read_bytes()
    with np.load(folder / "parameters.npz") as here, np.load(other / "parameters.npz") as there:
        assert set(here) == set(there)
        for name in here:
            np.testing.assert_array_equal(here[name], there[name])
    here_said, there_said = summary_of(folder), summary_of(other)
    assert {**here_said, "seconds": 0} == {**there_said, "seconds": 0}


def written(folder: Path) -> dict[Path, int]:
    """Return when each file of a folder was written, locks apart."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("[!.]*") if path.is_file()}


@dataclass(frozen=True)
class InStore:
    """A run in a store, with what it says of itself."""

    run_id: str
    status: str
    tags: Mapping[str, str]

    @property
    def hash(self) -> str:
        return self.tags["config_hash"]

    @property
    def sweeps(self) -> set[str]:
        return {key.removeprefix("sweep.") for key, value in self.tags.items() if (key[:6], value) == ("sweep.", "yes")}


def in_store(database: Path) -> tuple[list[InStore], list[InStore]]:
    """Return the active parents and the active children of a database, in the order of their beginning."""
    with closing(sqlite3.connect(database)) as store:
        runs = store.execute("select run_uuid, status from runs where lifecycle_stage = 'active' order by rowid")
        found = [
            InStore(key, status, dict(store.execute("select key, value from tags where run_uuid = ?", [key])))
            for key, status in runs.fetchall()
        ]
    return [one for one in found if "config_hash" not in one.tags], [one for one in found if "config_hash" in one.tags]


def test_every_run_has_the_numbers_of_a_run_alone(sweep: Sweep, tmp_path: Path) -> None:
    axes = {"architecture.hidden": ["[4]", "[6,3]"], SCALE: ["0.3", "1e200"], "optimizer.learning_rate": ["0.5", "2"]}
    fixed = ("architecture.activation=relu", "trainer.batch_size=64", "trainer.epochs=6")
    varied = [f"{key}={','.join(values)}" for key, values in axes.items()]
    result = sweep(*varied, *fixed, "tracking=none", jobs=2)
    assert (result.returncode, result.stderr) == (0, "")

    runs = runs_in(tmp_path / "outputs")
    jobs = [[f"{key}={value}" for key, value in zip(axes, row, strict=True)] for row in product(*axes.values())]
    diverged = []
    for job in jobs:
        alone = solo(*job, *fixed)
        assert_same_numbers(runs.pop(alone.config_hash), alone.folder)
        diverged.append(alone.diverged_step is not None)
    assert runs == {}
    assert diverged == [f"{SCALE}=1e200" in job for job in jobs]
    (folder,) = sweeps_in(tmp_path / "outputs")
    assert [bool(row["diverged_step"]) for row in rows_of(folder)] == diverged


def test_jobs_that_mean_the_same_are_trained_once(sweep: Sweep, tmp_path: Path) -> None:
    result = sweep("sweep.over=[{seed:0},{dtype:float64},{seed:1}]", *UNTRACKED)
    assert result.returncode == 0, result.stderr
    assert len(runs_in(tmp_path / "outputs")) == 2
    (folder,) = sweeps_in(tmp_path / "outputs")
    first, second, third = [(row["hash"], row["final/test/loss"]) for row in rows_of(folder)]
    assert first == second != third


def test_what_was_trained_and_recorded_before_is_used_again(sweep: Sweep, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    two = ("optimizer.learning_rate=0.1,0.3", *TRACKED)
    assert sweep(*two).returncode == 0
    before, ((parent,), children) = written(outputs / "sweeps"), in_store(outputs / "mlflow.db")
    (folder,) = sweeps_in(outputs)
    assert {one.hash for one in children} == set(runs_in(outputs))
    assert [(one.status, one.tags["mlflow.parentRunId"], one.sweeps) for one in children] == [
        ("FINISHED", parent.run_id, {parent.run_id})
    ] * 2

    again = sweep(*two)
    assert again.returncode == 0
    assert in_store(outputs / "mlflow.db")[1] == children
    assert [one.run_id for one in in_store(outputs / "mlflow.db")[0]] == [parent.run_id]
    runs = {path: moment for path, moment in written(outputs / "sweeps").items() if "runs" in path.parts}
    assert runs == {path: moment for path, moment in before.items() if "runs" in path.parts}
    assert [row["reused"] for row in rows_of(folder)] == ["true", "true"]

    assert sweep("optimizer.learning_rate=0.1,0.3,1", *TRACKED).returncode == 0
    parents, wider = in_store(outputs / "mlflow.db")
    (new,) = [one for one in parents if one.run_id != parent.run_id]
    assert [row["reused"] for row in rows_of(sweeps_in(outputs)[1])] == ["true", "true", "false"]
    assert [(one.run_id, one.sweeps) for one in wider[:2]] == [
        (one.run_id, {parent.run_id, new.run_id}) for one in children
    ]
    assert [(one.tags["mlflow.parentRunId"], one.sweeps) for one in wider[2:]] == [(new.run_id, {new.run_id})]
    assert {path: moment for path, moment in written(folder / "runs").items() if path in runs} == runs

    assert sweep(*two, "sweep.reuse=false").returncode == 0
    parents, all_of_them = in_store(outputs / "mlflow.db")
    assert len(parents) == 3
    newest = [one for one in all_of_them if one.tags["mlflow.parentRunId"] == parents[-1].run_id]
    assert sorted(one.hash for one in newest) == sorted(one.hash for one in children)
    assert [row["reused"] for row in rows_of(sweeps_in(outputs)[2])] == ["false", "false"]
    assert written(folder / "runs") == runs


def test_a_run_alone_is_used_by_a_sweep(sweep: Sweep, tmp_path: Path) -> None:
    alone = run(["seed=1", *UNTRACKED, "verbose=false", "figures=false"])
    before = written(alone.folder)
    assert sweep("seed=0,1", *UNTRACKED).returncode == 0
    (folder,) = sweeps_in(tmp_path / "outputs")
    assert [(row["reused"], row["folder"] == alone.folder.name) for row in rows_of(folder)] == [
        ("false", False),
        ("true", True),
    ]
    assert alone.config_hash not in runs_in(tmp_path / "outputs")
    assert written(alone.folder) == before


def test_a_run_alone_that_was_recorded_becomes_one_of_the_sweep(sweep: Sweep, tmp_path: Path) -> None:
    alone = run(["seed=1", *TRACKED, "verbose=false", "figures=false"])
    database = tmp_path / "outputs" / "mlflow.db"
    (_, (earlier,)) = in_store(database)
    assert sweep("seed=0,1", *TRACKED).returncode == 0
    ((parent,), children) = in_store(database)
    assert [(one.run_id, one.sweeps) for one in children if one.hash == alone.config_hash] == [
        (earlier.run_id, {parent.run_id})
    ]
    assert len(children) == 2


def write_table(path: Path, factor: int) -> None:
    rows = [f"{factor * row % 7},{row % 5},{'yes' if factor * row % 11 < 5 else 'no'}" for row in range(60)]
    path.write_text("\n".join(["a,b,c", *rows]) + "\n")


TABLE = ("dataset=csv", "dataset.path=table.csv", "trainer.epochs=6")


def test_another_table_under_the_same_path_is_trained_again(sweep: Sweep, tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv", 1)
    assert sweep("seed=0,1", *TABLE, "tracking=none").returncode == 0
    before = {key: read_history(folder).metrics["test/loss"] for key, folder in runs_in(tmp_path / "outputs").items()}
    write_table(tmp_path / "table.csv", 3)
    assert sweep("seed=0,1", *TABLE, "tracking=none").returncode == 0
    newest = sweeps_in(tmp_path / "outputs")[-1]
    assert [row["reused"] for row in rows_of(newest)] == ["false", "false"]
    for seed in (0, 1):
        alone = solo(f"seed={seed}", *TABLE)
        (folder,) = (newest / "runs").glob(f"*_{alone.config_hash}")
        assert_same_numbers(folder, alone.folder)
        assert not np.array_equal(alone.history.metrics["test/loss"], before[alone.config_hash])


def test_another_table_under_the_same_path_is_recorded_again(sweep: Sweep, tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv", 1)
    assert sweep("seed=0,1", *TABLE).returncode == 0
    write_table(tmp_path / "table.csv", 3)
    assert sweep("seed=0,1", *TABLE).returncode == 0
    with closing(sqlite3.connect(tmp_path / "outputs" / "mlflow.db")) as store:
        query = "select value from metrics join runs using (run_uuid) where key = 'best/test/loss' and lifecycle_stage "
        recorded = {value for (value,) in store.execute(f"{query} = 'active'")}
    for seed in (0, 1):
        assert solo(f"seed={seed}", *TABLE).summary.best["test/loss"] in recorded


def test_another_version_and_what_is_half_written_is_trained_again(sweep: Sweep, tmp_path: Path) -> None:
    assert sweep("seed=0,1,2", *UNTRACKED).returncode == 0
    (folder,) = sweeps_in(tmp_path / "outputs")
    first, second, third = [folder / "runs" / row["folder"] for row in rows_of(folder)]
    said = summary_of(first)
    (first / "result.json").write_text(json.dumps({**said, "version": "0.0.0"}))
    (second / "result.json").unlink()
    (second / "left_over").touch()
    before = written(third)
    assert sweep("seed=0,1,2", *UNTRACKED).returncode == 0
    newest = sweeps_in(tmp_path / "outputs")[-1]
    assert [row["reused"] for row in rows_of(newest)] == ["false", "false", "true"]
    again = [newest / "runs" / row["folder"] for row in rows_of(newest)[:2]]
    assert summary_of(again[0])["version"] == said["version"]
    assert {path.name for path in again[1].iterdir()} == {path.name for path in third.iterdir()}
    for seed, trained in enumerate(again):
        assert_same_numbers(trained, solo(f"seed={seed}", *UNTRACKED).folder)
    assert written(third) == before


def test_a_run_that_is_recorded_but_not_noted_is_not_recorded_again(sweep: Sweep, tmp_path: Path) -> None:
    """As when the process is killed between the two."""
    assert sweep("seed=0,1", *TRACKED).returncode == 0
    for folder in runs_in(tmp_path / "outputs").values():
        (folder / "tracked.json").unlink()
    assert sweep("seed=0,1", *TRACKED).returncode == 0
    assert sweep("seed=0,1,2", *TRACKED).returncode == 0
    _, children = in_store(tmp_path / "outputs" / "mlflow.db")
    assert Counter(one.hash for one in children).most_common(1)[0][1] == 1
    assert len(children) == 3


def test_what_other_code_has_trained_is_replaced(sweep: Sweep, tmp_path: Path) -> None:
    """In the store and in the folder, of which nothing stays."""
    outputs = tmp_path / "outputs"
    assert sweep("seed=0,1", *TRACKED).returncode == 0
    (folder,) = sweeps_in(outputs)
    first, second = [folder / "runs" / row["folder"] for row in rows_of(folder)]
    said = json.loads((first / "run.json").read_text())
    (first / "run.json").write_text(json.dumps({**said, "code": "0123456789ab"}))
    (first / "left_over").touch()
    before = {one.hash: one.run_id for one in in_store(outputs / "mlflow.db")[1]}
    assert sweep("seed=0,1", *TRACKED).returncode == 0
    assert [row["reused"] for row in rows_of(folder)] == ["false", "true"]
    assert {path.name for path in first.iterdir()} == {path.name for path in second.iterdir()}
    _, children = in_store(outputs / "mlflow.db")
    found = {one.hash: one.run_id for one in children}
    assert len(children) == 2
    assert [found[one] == before[one] for one in (first.name[-12:], second.name[-12:])] == [False, True]
    assert [one.run_id for one in read_tracked(first).values()] == [found[first.name[-12:]]]


def test_files_among_the_runs_do_no_harm(sweep: Sweep, tmp_path: Path) -> None:
    """As file managers leave them."""
    assert sweep("seed=0,1", *UNTRACKED).returncode == 0
    (folder,) = sweeps_in(tmp_path / "outputs")
    (folder / "runs" / ".DS_Store").touch()
    assert sweep("seed=0,1", *UNTRACKED).returncode == 0


def test_a_run_that_fails_ends_no_other_and_is_trained_alone_when_mended(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = tmp_path / "outputs"
    command = (MOODY, f"{SCALE}=0.1,0.5,1", *TRACKED)
    result = sweep(*command)
    assert (result.returncode, result.stderr) == (1, "")
    lines = result.stdout.splitlines()
    assert "Failed: scale=0.5: RuntimeError: not this scale" in lines
    assert lines[-1].startswith("To go on: python -m nnexp -m ")
    failed = [path.parent for path in outputs.rglob("error.txt")]
    failed = [folder for folder in failed if "sweeps" in folder.parts]
    (folder,) = failed
    assert 'raise RuntimeError("not this scale")' in (folder / "error.txt").read_text()
    assert not (folder / "result.json").exists()
    runs, before = runs_in(outputs), written(outputs / "sweeps")
    for scale in (0.1, 1):
        alone = solo(MOODY, f"{SCALE}={scale}", *TRACKED)
        assert_same_numbers(runs[alone.config_hash], alone.folder)
    _, children = in_store(outputs / "mlflow.db")
    assert Counter(one.status for one in children) == {"FINISHED": 2, "FAILED": 1}
    assert [one.tags["error"] for one in children if one.status == "FAILED"] == ["RuntimeError: not this scale"]

    monkeypatch.setenv(MENDED, "yes")
    result = sweep(*command)
    assert (result.returncode, result.stderr) == (0, "")
    assert "Failed" not in result.stdout
    assert "To go on" not in result.stdout
    assert len(runs_in(outputs)) == 3
    kept = {path for one in runs.values() for path in one.iterdir()}
    after = written(outputs / "sweeps")
    assert {path: after[path] for path in kept if path in before} == {path: before[path] for path in kept & set(before)}
    parents, mended = in_store(outputs / "mlflow.db")
    assert [one.status for one in [*parents, *mended]] == ["FINISHED"] * 4
    assert [one.run_id for one in mended[:2]] == [one.run_id for one in children if one.status == "FINISHED"]


MISTAKES = [
    (["optimizer.learning_rate=0.1,0.3,-1"], r"optimizer\.learning_rate=-1\.0: must be a number greater than 0"),
    (["dataset=moons,digits_binary,digits"], r"loss=binary_cross_entropy: needs 2 classes .*"),
    (["trainer.batch_size=8,full,100000"], r"trainer\.batch_size=100000: must be a whole number from 1 to .*"),
    (["seed=0,1", "sweep.metric=foo"], r"sweep\.metric=foo: must be train/loss or .*test/accuracy, or a reading .*"),
    (
        ["trainer.epochs=4,4,8", "sweep.halving=0.5"],
        r"sweep\.halving=0\.5: must be null where runs train or are evaluated at different times",
    ),
    (
        ["seed=0,1", "trainer.max_seconds=9", "sweep.halving=0.5"],
        r"sweep\.halving=0\.5: must be null where trainer\.max_seconds is not",
    ),
    (
        ["loss.label_smoothing=0,0.1", "sweep.halving=0.5", *UNTRACKED],
        r"sweep\.halving=0\.5: must have a sweep\.metric that can be compared, such as .*, where losses differ",
    ),
    (["seed=0,1", "sweep.halving=1"], r"sweep\.halving=1\.0: must be .*"),
    (
        ["sweep.over={output_dir:[outputs,elsewhere]}"],
        r"output_dir, tracking: must be the same for all runs of a sweep",
    ),
    (["seed=0,1", "hydra.launcher.backend=slurm"], r"hydra\.launcher\.backend=slurm: must be .*"),
    (["seed=0,1", "tracking.uri=http://127.0.0.1:9"], r"tracking\.uri=.*refused\)"),
]


@pytest.mark.parametrize(("arguments", "sentence"), MISTAKES, ids=lambda value: str(value)[:40])
def test_a_mistake_is_found_before_anything_is_written(
    sweep: Sweep, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    result = sweep(*arguments)
    assert result.returncode == 2, result.stderr
    assert re.fullmatch(f"nnexp: {sentence}\n", result.stderr), result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def status_in(folder: Path) -> str:
    record = SweepRecord.read(folder)
    assert record is not None
    return record.status


@needs("optuna")
def test_a_mistake_in_a_later_batch_loses_nothing_of_the_earlier_ones(sweep: Sweep, tmp_path: Path) -> None:
    outputs, size = tmp_path / "outputs", "trainer.batch_size"
    search = ("sweep.sampler=optuna", "sweep.draws=4", "sweep.batch=2", "sweep.draw_seed=11")
    result = sweep(f"{size}=int(interval(1,600))", *search, *TRACKED)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert re.match(rf"nnexp: {size}=435: must be a whole number from 1 to 288", result.stderr)
    assert result.stdout.splitlines()[-1].startswith("To go on: python -m nnexp -m ")
    (folder,) = sweeps_in(outputs)
    ((parent,), children) = in_store(outputs / "mlflow.db")
    assert (status_in(folder), parent.status, len(rows_of(folder))) == ("FAILED", "FAILED", 2)
    assert [one.complete for one in read_tracked(folder).values()] == [True]
    assert sorted(one.hash for one in children) == sorted(runs_in(outputs))
    assert [one.status for one in children] == ["FINISHED"] * 2


def test_a_store_that_cannot_be_opened_loses_nothing(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs, uri = tmp_path / "outputs", "postgresql+pg8000://me@127.0.0.1:9/runs"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    result = sweep("seed=0,1", *TRACKED)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith(f"nnexp: tracking.uri={uri}: must be a store whose driver is installed")
    assert result.stdout.splitlines()[-1].startswith("To go on: python -m nnexp -m ")
    (folder,) = sweeps_in(outputs)
    before = runs_in(outputs)
    assert (status_in(folder), len(rows_of(folder))) == ("FAILED", len(before))
    assert before
    again = sweep("seed=0,1", *TRACKED)
    assert again.returncode == 0
    assert f"Reused: {len(before)} of 2 runs were trained before." in again.stdout.splitlines()
    assert (sweeps_in(outputs), status_in(folder)) == ([folder], "FINISHED")
    assert sorted(one.hash for one in in_store(outputs / "mlflow.db")[1]) == sorted(runs_in(outputs))


@needs("distributed")
def test_a_sweep_that_cannot_go_on_keeps_what_it_has(sweep: Sweep, tmp_path: Path) -> None:
    """Also one that has only reused runs."""
    alone = run(["seed=1", *UNTRACKED, "verbose=false", "figures=false"])
    assert sweep("seed=1", *UNTRACKED).returncode == 0
    (folder,) = sweeps_in(tmp_path / "outputs")
    before = (folder / "report.md").read_text()
    shutil.rmtree(alone.folder)
    elsewhere = ("hydra.launcher.backend=dask", "hydra.launcher.address=tcp://127.0.0.1:1")
    assert sweep("seed=1", *UNTRACKED, *elsewhere).returncode == 2
    assert (status_in(folder), (folder / "report.md").read_text()) == ("FAILED", before)


RATES = ("0.01", "0.1", "0.3", "1", "3", "10", "30", "100")
HALVED = ("trainer.epochs=16", "trainer.batch_size=32", "architecture.hidden=[4]", "initializer.scale=0.5")


def expected_lengths(alone: Mapping[str, Result], share: float, times: Sequence[int]) -> dict[str, int]:
    """Return how many epochs each run trains, by the losses of runs alone, whose names are in order."""
    lengths: dict[str, int] = {}
    staying = list(alone)
    for time_ in times:
        loss = {name: alone[name].history.metrics["test/loss"][time_] for name in staying}
        ranked = sorted(staying, key=loss.__getitem__)
        stopped = ranked[ceil(share * len(ranked)) :]
        lengths |= dict.fromkeys(stopped, time_)
        staying = [name for name in staying if name not in stopped]
    return {**lengths, **dict.fromkeys(staying, 16)}


def check_halved(runs: Mapping[str, Path], alone: Mapping[str, Result], lengths: Mapping[str, int]) -> None:
    for rate, length in lengths.items():
        folder, one = runs[alone[rate].config_hash], alone[rate]
        if length == 16:
            assert_same_numbers(folder, one.folder)
        else:
            lines = (one.folder / "history.csv").read_bytes().splitlines(keepends=True)
            assert (folder / "history.csv").read_bytes() == b"".join(lines[: 2 + length])
            assert summary_of(folder)["stopped"] == f"halving at epoch {length}"


def test_halving_goes_on_with_the_best_and_changes_no_number(sweep: Sweep, tmp_path: Path) -> None:
    alone = {rate: solo(f"optimizer.learning_rate={rate}", *HALVED) for rate in RATES}
    lengths = expected_lengths(alone, 0.5, [2, 4, 8])
    assert sorted(lengths.values()) == [2, 2, 2, 2, 4, 4, 8, 16]
    command = (f"optimizer.learning_rate={','.join(RATES)}", *HALVED, "tracking=none", "sweep.halving=0.5")
    assert sweep(*command).returncode == 0
    runs = runs_in(tmp_path / "outputs")
    check_halved(runs, alone, lengths)

    before = written(tmp_path / "outputs" / "sweeps")
    assert sweep(*command).returncode == 0
    after = written(tmp_path / "outputs" / "sweeps")
    (folder,) = sweeps_in(tmp_path / "outputs")
    assert {path for path in after if after[path] != before.get(path)} <= {*folder.iterdir(), *folder.glob("batches/*")}
    assert [row["reused"] for row in rows_of(folder)] == ["true"] * 8

    # What halving stopped is no result for a sweep without it.
    assert sweep(f"optimizer.learning_rate={','.join(RATES[:3])}", *HALVED, "tracking=none").returncode == 0
    newest = sweeps_in(tmp_path / "outputs")[-1]
    stopped = [str(lengths[rate] < 16).lower() for rate in RATES[:3]]
    assert [{"true": "false", "false": "true"}[row["reused"]] for row in rows_of(newest)] == stopped

    # Killed before some of them were written, it comes to the same end.
    for rate in RATES[::2]:
        shutil.rmtree(runs[alone[rate].config_hash])
    shutil.rmtree(newest)
    assert sweep(*command).returncode == 0
    check_halved(runs_in(tmp_path / "outputs"), alone, lengths)


@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.slow), 3, pytest.param(7, marks=pytest.mark.slow)])
def test_halving_ranks_a_run_that_was_trained_before_among_the_others(sweep: Sweep, tmp_path: Path, rank: int) -> None:
    alone = {rate: solo(f"optimizer.learning_rate={rate}", *HALVED) for rate in RATES}
    lengths = expected_lengths(alone, 0.5, [2, 4, 8])
    early = sorted(RATES, key=lambda rate: -lengths[rate])[rank]
    known = alone.pop(early)
    shutil.move(known.folder, tmp_path / "outputs" / "digits_binary" / known.folder.name)
    command = (f"optimizer.learning_rate={','.join(RATES)}", *HALVED, "tracking=none", "sweep.halving=0.5")
    assert sweep(*command).returncode == 0
    runs = runs_in(tmp_path / "outputs")
    assert known.config_hash not in runs
    lengths.pop(early)
    check_halved(runs, alone, lengths)


def test_a_run_that_fails_ends_no_other_under_halving(sweep: Sweep, tmp_path: Path) -> None:
    result = sweep(MOODY, f"{SCALE}=0.1,0.5,1", *HALVED[:3], "tracking=none", "sweep.halving=0.9")
    assert result.returncode == 1
    assert "Failed: scale=0.5: RuntimeError: not this scale" in result.stdout.splitlines()
    assert len(runs_in(tmp_path / "outputs")) == 2


def test_halving_by_a_metric_that_not_all_runs_have_is_a_mistake(sweep: Sweep, tmp_path: Path) -> None:
    result = sweep("dataset.validation_size=0.2,0", "sweep.halving=0.5", *UNTRACKED)
    assert (result.returncode, result.stdout) == (2, "")
    assert list(tmp_path.iterdir()) == []


def test_what_the_first_seeds_chose_is_asked_again_with_fresh_ones(sweep: Sweep, tmp_path: Path) -> None:
    """They are runs of the sweep like any other: recorded once, found again, and in its folder."""
    asked = ("optimizer.learning_rate=0.01,1", "trainer.epochs=40", "architecture.hidden=[4]")
    assert "fresh" not in sweep(*asked, "sweep.confirm=0").stdout
    first = sweep(*asked, "sweep.confirm=3")
    assert (first.returncode, first.stderr) == (0, "")
    assert "Reused: 2 of 2" in first.stdout
    assert "over 3 fresh seeds" in first.stdout
    assert "The default: " in first.stdout
    (folder,) = sweeps_in(tmp_path / "outputs")
    assert [(row["seed"], row["optimizer.learning_rate"]) for row in rows_of(folder) if row["fresh"] == "true"] == [
        (str(seed), rate) for rate in ("1", "0.01", "") for seed in (1, 2, 3)
    ]
    _, children = in_store(tmp_path / "outputs" / "mlflow.db")
    assert len({child.hash for child in children}) == len(children) == 11
    record = SweepRecord.read(folder)
    assert record is not None
    (folder / "report.md").unlink()
    again = sweep(*asked, "sweep.confirm=3")
    assert "Reused: 9 of 9" in again.stdout
    assert runs_csv(results_in(folder, record)) == (folder / "runs.csv").read_text()
    assert len(in_store(tmp_path / "outputs" / "mlflow.db")[1]) == 11


@contextmanager
def group(nnexp: CommandLine, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start a sweep in a process group of its own, as a terminal does, and leave nothing of it."""
    with (nnexp.folder / "stdout").open("w") as output, (nnexp.folder / "stderr").open("w") as errors:
        process = nnexp.start(*arguments, output=output, errors=errors, session=True)
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def wait_for(what: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end and not what():
        time.sleep(0.02)


def count_runs(output_dir: Path) -> int:
    return sum(1 for _ in output_dir.glob("sweeps/*/runs/*/result.json"))


def more_than(runs: int, output_dir: Path) -> Callable[[], bool]:
    return lambda: count_runs(output_dir) > runs


def many(runs: int) -> tuple[str, ...]:
    """Return a sweep of stacks of one run, which are done one after another."""
    size = ("architecture.hidden=[4]", "trainer.epochs=4000", "trainer.evaluate_every=20")
    return (f"seed=range({runs})", *size, "hydra.launcher.jobs=2", "hydra.launcher.stack_megabytes=0.001")


def test_the_results_of_a_sweep_are_in_its_folder(sweep: Sweep, tmp_path: Path) -> None:
    """Also those of runs that were reused, diverged or failed, and of a setting that is given twice."""
    small = (MOODY, "architecture.activation=relu", "trainer.epochs=4", "architecture.hidden=[4]", "tracking=none")
    assert sweep(f"{SCALE}=0.1,0.2", *small).returncode == 0
    assert sweep(f"{SCALE}=0.1,0.10,0.5,1e200", *small).returncode == 1
    folder = sweeps_in(tmp_path / "outputs")[-1]
    record = SweepRecord.read(folder)
    assert record is not None
    results = results_in(folder, record)
    rows = rows_of(folder)
    assert {row["reused"] for row in rows} == {"true", "false"}
    assert all(any(row[key] for row in rows) for key in ("error", "diverged_step"))
    assert runs_csv(results) == (folder / "runs.csv").read_text()
    assert sweep_report(results, []) == (folder / "report.md").read_text()


def check_kills(nnexp: CommandLine, sweep: Sweep, runs: int, kills: int) -> None:
    command, outputs, generator = many(runs), nnexp.folder / "outputs", np.random.default_rng(kills)
    for number in range(kills):
        with group(nnexp, "-m", *command) as process:
            if number % 2 == 0:  # while runs are trained and recorded
                wait_for(more_than(count_runs(outputs) + int(generator.integers(4)), outputs), process)
                time.sleep(generator.uniform(0, 0.5))
            else:
                time.sleep(generator.uniform(0.5, 5))
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    result = nnexp("-m", *command)
    assert result.returncode == 0, result.stderr

    found = runs_in(outputs)
    assert len(found) == runs
    parents, children = in_store(outputs / "mlflow.db")
    assert sorted(one.hash for one in children) == sorted(found)
    assert {one.status for one in children} == {"FINISHED"}
    (folder,) = sweeps_in(outputs)
    assert [one.status for one in parents] == ["FINISHED"]
    assert [(one.run_id, one.complete) for one in read_tracked(folder).values()] == [(parents[0].run_id, True)]
    assert {one.tags["mlflow.parentRunId"] for one in children} == {parents[0].run_id}
    assert len(rows_of(folder)) == runs

    assert sweep(*command[:-2], "tracking=none", "output_dir=undisturbed").returncode == 0
    undisturbed = runs_in(nnexp.folder / "undisturbed")
    assert set(undisturbed) == set(found)
    for key, one in undisturbed.items():
        assert_same_numbers(found[key], one)


@pytest.mark.slow
def test_a_sweep_that_is_killed_ten_times_loses_nothing_that_is_done(nnexp: CommandLine, sweep: Sweep) -> None:
    check_kills(nnexp, sweep, runs=64, kills=10)


def test_a_sweep_that_is_killed_at_once_can_be_delivered(nnexp: CommandLine) -> None:
    """Its store is noted before anything is trained, and before the store is opened, which takes seconds."""
    with group(nnexp, "-m", "seed=0,1", "trainer.epochs=100000", "architecture.hidden=[4]") as process:
        while not [*nnexp.folder.glob("outputs/sweeps/*/tracked.json")]:
            assert process.poll() is None
            time.sleep(0.01)
        assert not (nnexp.folder / "outputs" / "mlflow.db").exists()
    (folder,) = nnexp.folder.glob("outputs/sweeps/2*")
    assert [there.complete for there in read_tracked(folder).values()] == [False]


def test_an_interrupted_sweep_says_how_to_go_on(nnexp: CommandLine) -> None:
    outputs = nnexp.folder / "outputs"

    def under_way() -> bool:
        database = outputs / "mlflow.db"
        return database.exists() and count_runs(outputs) > 0 and bool(in_store(database)[0])

    with group(nnexp, "-m", *many(6), "trainer.epochs=16000") as process:
        wait_for(under_way, process)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=30) == 130
    assert (nnexp.folder / "stderr").read_text() == "\nnnexp: interrupted\n"
    done = count_runs(outputs)
    assert 0 < done < 6
    ((parent,), _) = in_store(outputs / "mlflow.db")
    assert parent.status == "KILLED"
    (line,) = [line for line in (nnexp.folder / "stdout").read_text().splitlines() if line.startswith("To go on: ")]
    python, dash, module, *arguments = shlex.split(line.removeprefix("To go on: "))
    assert (python, dash, module, arguments[0]) == ("python", "-m", "nnexp", "-m")

    before = {key: written(folder) for key, folder in runs_in(outputs).items()}
    result = nnexp(*arguments)
    assert (result.returncode, result.stderr) == (0, "")
    assert f"{6 - done}/{6 - done} runs" in result.stdout.splitlines()
    found = runs_in(outputs)
    assert len(found) == 6
    for key, files in before.items():
        after = written(found[key])
        assert {path: after[path] for path in files if path.name != "tracked.json"} == {
            path: moment for path, moment in files.items() if path.name != "tracked.json"
        }
    ((again,), children) = in_store(outputs / "mlflow.db")
    assert (again.run_id, again.status) == (parent.run_id, "FINISHED")
    assert sorted(one.hash for one in children) == sorted(found)
    assert {one.status for one in children} == {"FINISHED"}


def start_eight(nnexp: CommandLine, *more: str) -> None:
    pairs = [f"seed={2 * number},{2 * number + 1}" for number in range(8)]
    quick = ("trainer.epochs=2", "hydra.launcher.jobs=1", "architecture.hidden=[4]", *more)
    processes = [nnexp.start("-m", pair, *quick) for pair in pairs]
    for process in processes:
        _, errors = process.communicate(timeout=240)
        assert (process.returncode, errors) == (0, "")


def check_eight(database: Path, outputs: Path) -> None:
    parents, children = in_store(database)
    assert [one.status for one in [*parents, *children]] == ["FINISHED"] * 24
    assert sorted(one.hash for one in children) == sorted(runs_in(outputs))
    assert Counter(one.tags["mlflow.parentRunId"] for one in children) == {one.run_id: 2 for one in parents}


@pytest.mark.slow
def test_eight_sweeps_that_are_started_together_share_a_fresh_store(nnexp: CommandLine) -> None:
    start_eight(nnexp)
    check_eight(nnexp.folder / "outputs" / "mlflow.db", nnexp.folder / "outputs")


@pytest.mark.slow
def test_eight_sweeps_that_are_started_together_share_a_server(nnexp: CommandLine) -> None:
    with serving(nnexp.folder) as server:
        start_eight(nnexp, f"tracking.uri={server.address}")
    check_eight(nnexp.folder / "server.db", nnexp.folder / "outputs")
