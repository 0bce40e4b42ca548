"""What a store did not take is delivered later, all of it and once."""

import json
import re
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import FileInfo, Run

from nnexp import run
from nnexp.core.component import Array, Number
from nnexp.core.locks import held, lock_of
from nnexp.optim.optimizers import SGD, State
from nnexp.runs.record import finished_run
from nnexp.runs.tracked import read_tracked
from nnexp.storage.run_folder import read_history
from nnexp.sweeps import recording
from nnexp.sweeps.sweep_folder import SweepRecord
from tests.conftest import CommandLine, Finished, status_of
from tests.sweeps.test_session import MENDED, MOODY, SCALE, InStore, in_store

Deliver = Callable[..., Finished]
LONG = "x" * 5000
SHORT = ("trainer.epochs=4", "architecture.hidden=[4]", "verbose=false", "figures=false")


@dataclass(frozen=True)
class Buggy(SGD):
    """Fails within the training."""

    def update(self, gradient: Array, state: State, step: Number) -> Array:  # noqa: ARG002
        raise RuntimeError("a bug")


BUGGY = f"optimizer._target_={__name__}.Buggy"


@pytest.fixture
def deliver(in_folder: Callable[[], Path], capsys: pytest.CaptureFixture[str]) -> Deliver:
    """Return `python -m nnexp deliver outputs` as a function."""

    def call(*words: str) -> Finished:
        in_folder()
        capsys.readouterr()
        return Finished(["deliver", *words], status_of("deliver", "outputs", *words), *capsys.readouterr())

    return call


@contextmanager
def refusing(output_dir: Path, change: str) -> Iterator[None]:
    """Let the database of MLflow, made if need be, not take a change such as `INSERT ON metrics` in the block."""
    if not (output_dir / "mlflow.db").exists():
        run([*SHORT, "seed=9", f"output_dir={output_dir}"])
    changed(output_dir, f"CREATE TRIGGER full BEFORE {change} BEGIN SELECT RAISE(ABORT, 'it is full'); END")
    try:
        yield
    finally:
        changed(output_dir, "DROP TRIGGER full")


def changed(output_dir: Path, statement: str) -> None:
    with closing(sqlite3.connect(output_dir / "mlflow.db")) as database, database:
        database.execute(statement)


def store(output_dir: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{output_dir}/mlflow.db")


def files_of(output_dir: Path, name: str) -> list[FileInfo]:
    files: list[FileInfo] = store(output_dir).list_artifacts(runs_in(output_dir)[name].info.run_id)
    return files


def runs_in(output_dir: Path) -> dict[str, Run]:
    """Return all runs in the store by their names, of which there must be one each."""
    client = store(output_dir)
    runs = client.search_runs([one.experiment_id for one in client.search_experiments()])
    found = {str(run.info.run_name): run for run in runs}
    assert len(found) == len(runs)
    return found


def assert_whole(output_dir: Path, run: Run, folder: Path) -> None:
    """Assert that a store has all of a run's metrics, each once, and its files."""
    history = read_history(folder)
    assert run.info.status == "FINISHED"
    for name, values in history.metrics.items():
        points = store(output_dir).get_metric_history(run.info.run_id, name)
        assert [(point.step, point.value) for point in sorted(points, key=lambda point: point.step)] == list(
            zip(history.times.tolist(), values.tolist(), strict=True)
        )
        assert len(store(output_dir).get_metric_history(run.info.run_id, "best/test/loss")) == 1
    assert run.data.tags["diverged"] == "false"
    assert "python -m nnexp" in run.data.tags["mlflow.note.content"]
    assert {"result.json", "history.csv"} <= {one.path for one in store(output_dir).list_artifacts(run.info.run_id)}


def test_a_run_is_delivered_once(deliver: Deliver, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = tmp_path / "outputs"
    with refusing(outputs, "INSERT ON metrics"):
        result = run([*SHORT, "seed=1"])
        later = "to record it later: python -m nnexp deliver outputs"
        assert (
            capsys.readouterr().err
            == f"nnexp: not recorded: it is full. All of the run is in {result.folder}; {later}\n"
        )
        failed = deliver()
        shown = result.folder.relative_to(tmp_path)
        assert (failed.returncode, failed.stderr) == (1, f"nnexp: not delivered: {shown} (it is full)\n")
        assert runs_in(outputs)[result.name].info.status == "RUNNING"
    delivered = deliver()
    assert (delivered.returncode, delivered.stdout, delivered.stderr) == (0, f"Delivered {shown}\n", "")
    assert_whole(outputs, runs_in(outputs)[result.name], result.folder)
    assert "tracked.json" not in {one.path for one in files_of(outputs, result.name)}
    again = deliver()
    assert (again.returncode, again.stdout) == (0, "Nothing is left to deliver in outputs.\n")
    assert {path.name for path in outputs.rglob(".*")} == {".mlflow.db.lock", ".lock"}


def test_a_run_that_was_deleted_meanwhile_is_recorded_anew(deliver: Deliver, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    with refusing(outputs, "INSERT ON metrics"):
        result = run([*SHORT, "seed=1"])
    first = runs_in(outputs)[result.name]
    store(outputs).delete_run(first.info.run_id)
    assert deliver().returncode == 0
    second = runs_in(outputs)[result.name]
    assert second.info.run_id != first.info.run_id
    assert second.data.params == first.data.params
    assert_whole(outputs, second, result.folder)


@pytest.mark.parametrize("change", ["INSERT ON runs WHEN (SELECT count(*) FROM runs) > 1", "INSERT ON metrics"])
def test_a_sweep_is_delivered_once(
    deliver: Deliver, typed: Callable[..., Finished], tmp_path: Path, change: str
) -> None:
    """Refused before anything is known of a run, and with half of it recorded; the sweep itself is there."""
    outputs = tmp_path / "outputs"
    command = ("-m", "trainer.epochs=4", "architecture.hidden=[4]", "seed=1,2,3", "hydra.launcher.jobs=1")
    with refusing(outputs, change):
        swept = typed(*command)
    assert swept.returncode == 1
    assert "Not recorded: it is full\nTo record it later: python -m nnexp deliver outputs\n" in swept.stdout
    (folder,) = (outputs / "sweeps").iterdir()
    delivered = deliver()
    assert (delivered.returncode, delivered.stdout) == (0, f"Delivered {folder.relative_to(tmp_path)}\n")
    runs = runs_in(outputs)
    parent = next(run for name, run in runs.items() if name == "seed (3 runs)")
    assert parent.info.status == "FINISHED"
    assert {"report.html", "figures"} <= {one.path for one in files_of(outputs, "seed (3 runs)")}
    for path in (folder / "runs").iterdir():
        child = runs[path.name.partition("_")[0]]
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert_whole(outputs, child, path)
    assert deliver().stdout == "Nothing is left to deliver in outputs.\n"
    assert typed(*command).returncode == 0
    assert len(runs_in(outputs)) == len(runs)


def sweeping(*overrides: str) -> tuple[str, ...]:
    return ("-m", *overrides, *SHORT[:2], "hydra.launcher.jobs=1", "sweep.confirm=0")


def refused_sweep(outputs: Path, typed: Callable[..., Finished]) -> Path:
    """Return the folder of a sweep of three runs, of which the store took none."""
    with refusing(outputs, "INSERT ON metrics"):
        assert typed(*sweeping("seed=1,2,3")).returncode == 1
    (folder,) = (outputs / "sweeps").iterdir()
    return folder


def test_a_run_that_failed_is_delivered(
    deliver: Deliver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NNEXP_PACKAGES", "tests")
    outputs = tmp_path / "outputs"
    with (
        refusing(outputs, "UPDATE ON runs WHEN NEW.status = 'FAILED'"),
        pytest.raises(RuntimeError, match="a bug"),
    ):
        run([BUGGY, *SHORT])
    assert capsys.readouterr().err == "nnexp: the run was not closed where it is recorded: it is full\n"
    assert deliver().returncode == 0
    (_, (_, failed)) = in_store(outputs / "mlflow.db")
    assert (failed.status, failed.tags["error"]) == ("FAILED", "RuntimeError: a bug")
    store(outputs).download_artifacts(failed.run_id, "error.txt", str(tmp_path))
    assert deliver().stdout == "Nothing is left to deliver in outputs.\n"


def members(outputs: Path) -> dict[str, InStore]:
    """Return the runs of the one sweep in a store by their hashes, of which there must be one each."""
    ((parent,), runs) = in_store(outputs / "mlflow.db")
    found = {one.hash: one for one in runs if parent.run_id in one.sweeps}
    assert len({one.hash for one in runs}) == len(runs), "none is there twice"
    return found


def test_a_run_that_was_left_is_finished_by_the_sweep_that_reuses_it(
    deliver: Deliver, typed: Callable[..., Finished], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless another process is at it."""
    outputs = tmp_path / "outputs"
    with refusing(outputs, "INSERT ON metrics"):
        result = run([*SHORT, "seed=1"])
    monkeypatch.setattr(recording, "SECONDS_FOR_OTHERS", 0.1)
    with held(lock_of(result.folder)):
        waited = typed(*sweeping("seed=1,2"))
        assert waited.returncode == 1
        assert f"Not recorded: another process is at work in {result.folder}" in waited.stdout.splitlines()
    assert typed(*sweeping("seed=1,2")).returncode == 0
    assert {one.status for one in members(outputs).values()} == {"FINISHED"}
    assert len(members(outputs)) == 2
    assert_whole(outputs, store(outputs).get_run(members(outputs)[result.config_hash].run_id), result.folder)
    assert deliver().stdout == "Nothing is left to deliver in outputs.\n"


def test_runs_that_a_sweep_reuses_are_delivered_with_it(
    deliver: Deliver, typed: Callable[..., Finished], tmp_path: Path
) -> None:
    """One that is recorded, one of which the rest is left, and one that was not to be recorded."""
    outputs = tmp_path / "outputs"
    with refusing(outputs, "INSERT ON metrics"):
        alone = [run([*SHORT, "seed=1", "tracking=none"]), run([*SHORT, "seed=2"])]
    with refusing(outputs, "INSERT ON tags WHEN NEW.key LIKE 'sweep.%'"):
        assert typed(*sweeping("seed=1,2,3,9")).returncode == 1
    assert deliver().returncode == 0
    found = members(outputs)
    assert {one.status for one in found.values()} == {"FINISHED"}
    assert len(found) == 4
    assert {one.config_hash for one in alone} < set(found)
    assert deliver().stdout == "Nothing is left to deliver in outputs.\n"


def test_a_run_that_is_damaged_keeps_no_other_from_being_delivered(
    deliver: Deliver, typed: Callable[..., Finished], tmp_path: Path
) -> None:
    outputs = tmp_path / "outputs"
    folder = refused_sweep(outputs, typed)
    damaged = [next(folder.glob(f"runs/*seed={seed}*/{name}")) for seed, name in ((1, "history.csv"), (2, "run.json"))]
    texts = [path.read_text() for path in damaged]
    for path in damaged:
        path.write_text("{")
    said = deliver()
    lines = [re.sub(r" \(.*", "", line) for line in said.stderr.splitlines()]
    shown = [path.relative_to(tmp_path) for path in [damaged[0].parent, damaged[1].parent, folder]]
    assert (said.returncode, said.stdout, sorted(lines)) == (
        1,
        "",
        sorted(f"nnexp: not delivered: {path}" for path in shown),
    )
    (whole,) = members(outputs).values()
    ((parent,), _) = in_store(outputs / "mlflow.db")
    assert (whole.status, parent.status) == ("FINISHED", "FINISHED")
    for path, text in zip(damaged, texts, strict=True):
        path.write_text(text)
    assert deliver().returncode == 0
    assert len(members(outputs)) == 3
    assert members(outputs)[whole.hash] == whole
    assert deliver().stdout == "Nothing is left to deliver in outputs.\n"


def test_a_sweep_that_an_earlier_version_left_is_delivered(
    deliver: Deliver, typed: Callable[..., Finished], tmp_path: Path
) -> None:
    """Which had no records and no batches; its notes say what is left."""
    outputs = tmp_path / "outputs"
    folder = refused_sweep(outputs, typed)
    shutil.rmtree(folder / "batches")
    record = SweepRecord.read(folder)
    assert record is not None
    ((uri, there),) = read_tracked(folder).items()
    note: dict[str, object] = {"uri": uri, "run_id": there.run_id, "facts": asdict(record.facts)}
    (folder / "tracked.json").write_text(json.dumps({**note, "description": "said", "status": "FINISHED"}))
    *wanted, other = sorted(folder.glob("runs/*"))
    for path in wanted:
        left = {key: value for key, value in asdict(finished_run(path)).items() if key not in ("history", "files")}
        (path / "tracked.json").write_text(json.dumps({"uri": uri, "run_id": None, "left": left}))
    for path in (*wanted, other):
        (path / "run.json").unlink()
    assert deliver().returncode == 0
    ((parent,), _) = in_store(outputs / "mlflow.db")
    assert (parent.status, parent.tags["mlflow.note.content"].partition("\n\n")[2]) == ("FINISHED", "said")
    assert set(members(outputs)) == {path.name[-12:] for path in wanted}
    assert deliver().stdout == "Nothing is left to deliver in outputs.\n"


def test_a_job_that_failed_is_recorded_once_with_its_last_outcome(
    deliver: Deliver, typed: Callable[..., Finished], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NNEXP_PACKAGES", "tests")
    outputs = tmp_path / "outputs"
    command = sweeping(MOODY, f"{SCALE}=0.1,0.5,1")

    def failed() -> list[InStore]:
        return [one for one in members(outputs).values() if one.status == "FAILED"]

    with refusing(outputs, "INSERT ON params WHEN NEW.key = 'initializer.scale' AND NEW.value != '0.5'"):
        assert typed(*command).returncode == 1
    before = failed()
    assert len(before) == 1
    assert deliver().returncode == 0
    assert (failed(), len(members(outputs))) == (before, 3)
    assert typed(*command).returncode == 1
    (again,) = failed()
    assert again.run_id != before[0].run_id, "it was trained again"
    monkeypatch.setenv(MENDED, "yes")
    assert typed(*command).returncode == 0
    assert [one.status for one in members(outputs).values()] == ["FINISHED"] * 3


def end_once_there(nnexp: CommandLine, pattern: str, *arguments: str, number: signal.Signals) -> Finished:
    """Start a process, and send it a signal as soon as there is a file of this name."""
    process = nnexp.start(*arguments)
    while not list(nnexp.folder.rglob(pattern)):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    return Finished(process.args, process.returncode, output, errors)


def kill_once_there(nnexp: CommandLine, pattern: str, *arguments: str) -> None:
    end_once_there(nnexp, pattern, *arguments, number=signal.SIGKILL)


def test_a_run_that_was_killed_is_closed(deliver: Deliver, nnexp: CommandLine) -> None:
    """With SIGKILL, of which it can tell nobody; MLflow gets its checkpoints, too."""
    kill_once_there(nnexp, "latest.npz", "trainer.epochs=1000000", "trainer.checkpoint_every=100", *SHORT[1:])
    outputs = nnexp.folder / "outputs"
    if (outputs / "mlflow.db").exists():  # else it died before MLflow was imported
        assert [one.info.status for one in runs_in(outputs).values()] in ([], ["RUNNING"])
    assert deliver().returncode == 0
    (killed,) = runs_in(outputs)
    assert runs_in(outputs)[killed].info.status == "KILLED"
    assert {"checkpoints", "config.yaml"} <= {one.path for one in files_of(outputs, killed)}
    assert deliver().stdout == "Nothing is left to deliver in outputs.\n"


def test_a_sweep_whose_process_was_killed_is_concluded_from_its_folder(deliver: Deliver, nnexp: CommandLine) -> None:
    """With the report that its runs give so far."""
    command = ("-m", "architecture.hidden=[4],[800,800]", "trainer.epochs=20000", "hydra.launcher.jobs=1")
    kill_once_there(nnexp, "runs/*/tracked.json", *command, "figures=false")
    outputs = nnexp.folder / "outputs"
    (folder,) = (outputs / "sweeps").iterdir()
    parent = "hidden (2 runs)"
    assert runs_in(outputs)[parent].info.status == "RUNNING"
    assert deliver().returncode == 0
    concluded = runs_in(outputs)[parent]
    assert (concluded.info.status, concluded.data.metrics["runs"]) == ("KILLED", 1)
    assert "report.html" in {one.path for one in files_of(outputs, parent)}
    assert "1 of 2 runs" in (folder / "report.md").read_text()
    assert deliver().stdout == "Nothing is left to deliver in outputs.\n"


def test_what_an_interrupted_sweep_has_left_is_delivered(deliver: Deliver, nnexp: CommandLine) -> None:
    """While it waits for the store, which takes longer for a run than the training did."""
    outputs, runs = nnexp.folder / "outputs", 30
    command = sweeping(f"seed=range({runs})")
    ended = end_once_there(nnexp, "runs/*/tracked.json", *command, number=signal.SIGINT)
    assert (ended.returncode, ended.stderr) == (130, "\nnnexp: interrupted\n")
    assert ended.stdout.splitlines()[-1] == "To record it later: python -m nnexp deliver outputs"
    assert 0 < len(in_store(outputs / "mlflow.db")[1]) < runs
    assert deliver().returncode == 0
    assert [one.status for one in members(outputs).values()] == ["FINISHED"] * runs
    ((parent,), _) = in_store(outputs / "mlflow.db")
    assert (parent.status, store(outputs).get_run(parent.run_id).data.metrics["runs"]) == ("KILLED", runs)
    assert deliver().stdout == "Nothing is left to deliver in outputs.\n"


def test_what_is_in_use_is_left_alone(deliver: Deliver, tmp_path: Path) -> None:
    with refusing(tmp_path / "outputs", "INSERT ON metrics"):
        result = run([*SHORT, "seed=1"])
    with held(lock_of(result.folder)) as ours:
        assert ours
        assert deliver().stdout.startswith("In use, and left alone: outputs/digits_binary/")


def test_only_stores_that_are_named_and_there_are_written_to(deliver: Deliver, tmp_path: Path) -> None:
    """A note may be by somebody else, or the store may be gone."""
    elsewhere = tmp_path / "elsewhere"
    with refusing(elsewhere, "INSERT ON metrics"):
        result = run([*SHORT, "seed=1", f"tracking.uri=sqlite:///{elsewhere}/mlflow.db"])
    uri = f"sqlite:///{elsewhere}/mlflow.db"
    shown = result.folder.relative_to(tmp_path)
    refused = deliver()
    expected = f"nnexp: not delivered: {shown} (tracking.uri={uri}: must be named, as in --tracking-uri {uri})\n"
    assert (refused.returncode, refused.stderr) == (1, expected)
    (elsewhere / "mlflow.db").rename(elsewhere / "gone.db")
    refused = deliver("--tracking-uri", uri)
    expected = f"nnexp: not delivered: {shown} (tracking.uri={uri}: must be a database that is there)\n"
    assert (refused.returncode, refused.stderr) == (1, expected)
    assert not (elsewhere / "mlflow.db").exists()
    (elsewhere / "gone.db").rename(elsewhere / "mlflow.db")
    assert deliver("--tracking-uri", "sqlite:///elsewhere/mlflow.db").returncode == 0
    assert_whole(elsewhere, runs_in(elsewhere)[result.name], result.folder)


@pytest.mark.parametrize(
    "words",
    [
        ["compare", LONG],
        ["replay", LONG],
        ["replay", "a", "--output-dir", LONG],
        ["predict", LONG, "a.csv"],
        ["predict", "a", "a.csv", "--to", LONG],
        ["deliver", LONG],
        ["deliver", "outputs"],
    ],
)
def test_a_folder_that_is_none_is_a_mistake(
    in_folder: Callable[[], Path],
    capsys: pytest.CaptureFixture[str],
    words: list[str],
) -> None:
    """Nor is one whose name is longer than any file system takes."""
    in_folder()
    assert status_of(*words) == 2
    assert re.fullmatch(r"nnexp: (run|output_dir)=.*: must be .*\n", capsys.readouterr().err)
