"""A run's folder is its record: whatever happens to process, folder and store, nothing is lost and nothing twice."""

import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from nnexp.core.locks import lock_of
from nnexp.runs.tracked import read_tracked
from nnexp.storage.run_folder import SUMMARY
from tests.conftest import CommandLine, Finished

Typed = Callable[..., Finished]
SHORT = ("trainer.epochs=20", "architecture.hidden=[4]", "verbose=false")
QUIET = ("figures=false", "tracking=none")
OWN = """
from dataclasses import dataclass
from nnexp.optim.optimizers import SGD

@dataclass(frozen=True)
class Mine(SGD):
    pass
"""
LONG = ("trainer.epochs=30000", "architecture.hidden=[4]", "figures=false")
NUMBERS = ("history.csv", "parameters.npz")


def statuses(output_dir: Path) -> list[str]:
    if not (output_dir / "mlflow.db").exists():  # the run did not wait for it
        return []
    with closing(sqlite3.connect(output_dir / "mlflow.db")) as store:
        return [status for (status,) in store.execute("select status from runs order by start_time")]


def the_run(output_dir: Path) -> Path:
    (folder,) = (path for path in (output_dir / "digits_binary").iterdir() if path.is_dir())
    return folder


def test_a_run_that_has_ended_and_is_resumed_stays_one_run(typed: Typed, tmp_path: Path) -> None:
    """Its model folder, figures and artifacts are there, and are written again."""
    assert typed(*SHORT, "trainer.checkpoint_every=5").returncode == 0
    folder = the_run(tmp_path / "outputs")
    before = {name: (folder / name).read_bytes() for name in NUMBERS}
    for _ in range(2):
        again = typed(f"resume={folder}", "verbose=false")
        assert (again.returncode, again.stderr) == (0, "")
        assert again.stdout.startswith("Ended before, at epoch 20 of 20; its files are written again in ")
    assert {name: (folder / name).read_bytes() for name in NUMBERS} == before
    assert statuses(tmp_path / "outputs") == ["FINISHED"]
    assert [*folder.rglob(".*")] == [lock_of(folder)]


def test_a_run_without_checkpoints_says_that_it_has_ended(typed: Typed, tmp_path: Path) -> None:
    assert typed(*SHORT, "tracking=none", "figures=false").returncode == 0
    again = typed(f"resume={the_run(tmp_path / 'outputs')}")
    assert (again.returncode, again.stdout) == (2, "")
    assert "must be a run that has not ended; this one has, at epoch 20" in again.stderr


@pytest.mark.parametrize("resume", [True, False])
def test_a_run_killed_before_its_first_checkpoint(nnexp: CommandLine, typed: Typed, *, resume: bool) -> None:
    process = nnexp.start(*LONG)
    assert process.stdout is not None
    next(line for line in process.stdout if line.startswith("epoch"))
    process.kill()
    process.communicate()
    outputs = nnexp.folder / "outputs"
    folder = the_run(outputs)
    assert {"run.json", "config.yaml", "tracked.json"} <= {path.name for path in folder.iterdir()}
    assert statuses(outputs) in ([], ["RUNNING"])
    if resume:
        done = typed(f"resume={folder}", "verbose=false", "figures=false")
        assert (done.returncode, done.stdout.splitlines()[0].rpartition(" in ")[0]) == (
            0,
            "Going on after epoch 0 of 30000",
        )
        assert statuses(outputs) == ["FINISHED"]
        assert the_run(outputs) == folder
    else:
        assert typed("deliver", "outputs").returncode == 0
        assert statuses(outputs) == ["KILLED"]
        assert "Nothing is left" in typed("deliver", "outputs").stdout


def test_a_run_that_is_interrupted_while_it_is_recorded_has_ended(nnexp: CommandLine, typed: Typed) -> None:
    """What is left of it is delivered: it is neither lost nor killed."""
    process = nnexp.start("trainer.epochs=3000", *LONG[1:])
    assert process.stdout is not None
    next(line for line in process.stdout if line.startswith("epoch"))
    outputs = nnexp.folder / "outputs"
    while not (the_run(outputs) / SUMMARY).exists():
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.count("to go on: python -m nnexp resume=outputs/digits_binary/")) == (130, 1)
    assert statuses(outputs) in ([], ["RUNNING"])
    assert typed("deliver", "outputs").stdout.startswith("Delivered outputs/digits_binary/")
    assert statuses(outputs) == ["FINISHED"]


def test_a_run_that_goes_on_elsewhere_is_delivered_where_it_began(typed: Typed, tmp_path: Path) -> None:
    assert typed(*SHORT, "figures=false", "trainer.checkpoint_every=5").returncode == 0
    folder = the_run(tmp_path / "outputs")
    assert typed(f"resume={folder}", "trainer.epochs=25", "tracking=none", "verbose=false").returncode == 0
    assert typed("deliver", "outputs").stdout.startswith("Delivered outputs/")
    with closing(sqlite3.connect(tmp_path / "outputs" / "mlflow.db")) as store:
        assert store.execute("select max(step) from metrics").fetchone() == (25,)
    assert statuses(tmp_path / "outputs") == ["FINISHED"]


def test_one_output_folder_has_one_name(typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    quick = (*SHORT, "figures=false", "output_dir=../outputs")
    assert typed(*quick, "trainer.checkpoint_every=5").returncode == 0
    folder = the_run(tmp_path / "outputs")
    assert len(read_tracked(folder)) == 1
    again = typed(f"resume=../outputs/digits_binary/{folder.name}", "output_dir=../outputs", "verbose=false")
    assert (again.returncode, again.stderr) == (0, "")
    assert "Reused: 1 of 2" in typed("-m", *quick, "seed=0,1").stdout
    assert sorted(statuses(tmp_path / "outputs")) == ["FINISHED"] * 3, "the run, another and their sweep"


def test_what_cannot_be_written_is_kept_in_the_temporary_directory(nnexp: CommandLine) -> None:
    process = nnexp.start(*LONG)
    assert process.stdout is not None
    next(line for line in process.stdout if line.startswith("epoch"))
    data = nnexp.folder / "outputs" / "digits_binary"
    shutil.rmtree(data)
    data.write_text("no folder any more")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    (line,) = (line for line in errors.splitlines() if "cannot be written" in line)
    rescue = Path(line.rpartition(" is in ")[2])
    assert {"run.json", "config.yaml", "result.json", *NUMBERS} <= {path.name for path in rescue.iterdir()}
    assert "Traceback" not in errors
    assert statuses(nnexp.folder / "outputs") == ["FINISHED"]
    shutil.rmtree(rescue.parent)


def test_a_resumed_run_whose_files_are_rescued_is_unsuccessful_and_recorded(typed: Typed, tmp_path: Path) -> None:
    assert typed(*SHORT, "figures=false", "trainer.checkpoint_every=5").returncode == 0
    folder = the_run(tmp_path / "outputs")
    for name in ("history.csv", "result.json"):
        (folder / name).unlink()
    (folder / "history.csv").mkdir()  # no file takes its place
    again = typed(f"resume={folder}", "figures=false", "verbose=false")
    assert again.returncode == 1
    (line,) = again.stderr.splitlines()
    shutil.rmtree(Path(line.rpartition(" is in ")[2]).parent)
    assert typed("deliver", "outputs").stdout.startswith("Nothing is left")
    assert statuses(tmp_path / "outputs") == ["FINISHED"]


def test_a_note_or_a_lock_that_cannot_be_made_is_one_line(typed: Typed, tmp_path: Path) -> None:
    assert typed(*SHORT, "figures=false", "trainer.checkpoint_every=5").returncode == 0
    folder = the_run(tmp_path / "outputs")
    note = folder / "tracked.json"
    text = note.read_text(encoding="utf-8")
    note.unlink()
    note.mkdir()  # no file takes its place
    again = typed(f"resume={folder}", "figures=false", "verbose=false")
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert "must be a folder that can be written to" in again.stderr
    note.rmdir()
    note.write_text(text.replace("true", "false"), encoding="utf-8")
    lock_of(folder).unlink()
    lock_of(folder).mkdir()
    delivered = typed("deliver", "outputs")
    assert (delivered.returncode, delivered.stderr.count("\n")) == (1, 1)
    assert delivered.stderr.startswith("nnexp: not delivered: outputs/")
    lock_of(folder).rmdir()
    assert typed("deliver", "outputs").stdout.startswith("Delivered outputs/")
    assert [*folder.parent.iterdir()] == [folder]


def test_a_moved_output_folder_goes_on_as_one(typed: Typed, tmp_path: Path) -> None:
    """A run is resumed from another working folder, too, into the store that has it."""
    assert typed(*SHORT, "figures=false", "trainer.checkpoint_every=5").returncode == 0
    (tmp_path / "outputs").rename(tmp_path / "moved")
    (tmp_path / "elsewhere").mkdir()
    words = (f"resume={the_run(tmp_path / 'moved')}", "verbose=false", "figures=false")
    again = CommandLine(tmp_path / "elsewhere")(*words)  # MLflow remembers for a process where files are
    assert (again.returncode, again.stderr) == (0, "")
    assert statuses(tmp_path / "moved") == ["FINISHED"]
    assert [path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("mlflow.db")] == ["moved"]
    assert not list(tmp_path.glob("outputs/*"))
    assert not list(tmp_path.glob("elsewhere/outputs/*"))


def test_the_same_sweep_at_once_is_refused_and_one_whose_folder_is_gone_fails(nnexp: CommandLine) -> None:
    words = ("-m", "seed=0,1", *LONG, "hydra.launcher.jobs=1", "tracking=none")
    process = nnexp.start(*words)
    assert process.stdout is not None
    while not list(nnexp.folder.glob("outputs/sweeps/*/sweep.json")):
        assert process.poll() is None
    second = nnexp(*words)
    assert second.returncode == 2
    assert f"as process {process.pid} in " in second.stderr
    assert "sweep.wait=true" in second.stderr
    next(line for line in process.stdout if "1/2 runs" in line)
    (folder,) = nnexp.folder.glob("outputs/sweeps/2*")
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)  # while it is written to
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in errors) == (1, False)
    assert "Not in " in output
    assert "To go on: python -m nnexp -m" in output


def test_runs_of_a_component_that_was_edited_are_trained_again(nnexp: CommandLine) -> None:
    """A run that is resumed after that says so, and is used by nobody."""
    folder, paths = nnexp.folder, os.pathsep.join(filter(None, [str(nnexp.folder), os.environ.get("PYTHONPATH")]))
    (folder / "mine.py").write_text(OWN)
    (folder / "configs" / "optimizer").mkdir(parents=True)
    (folder / "configs" / "optimizer" / "mine.yaml").write_text("_target_: mine.Mine\nlearning_rate: 0.1\n")
    words = ("--config-dir", "configs", "optimizer=mine", *SHORT, *QUIET, "trainer.checkpoint_every=5")

    def run(*more: str, words: tuple[str, ...] = words) -> Finished:
        return nnexp(*words, *more, PYTHONPATH=paths, NNEXP_PACKAGES="mine", PYTHONDONTWRITEBYTECODE="1")

    assert run("seed=1").returncode == 0
    assert "Reused: 1 of 2 runs" in run("-m", "seed=0,1").stdout
    (folder / "mine.py").write_text(OWN.replace("pass", "other = 1"))
    assert "Reused" not in run("-m", "seed=0,1").stdout
    again = run(f"resume={the_run(folder / 'outputs')}", *QUIET, words=())
    assert (again.returncode, again.stderr.count("the code that began the run has changed")) == (0, 1)
    shutil.rmtree(folder / "outputs" / "sweeps")
    assert "Reused" not in run("-m", "seed=0,1").stdout, "it is neither of the old code nor of the new one alone"
