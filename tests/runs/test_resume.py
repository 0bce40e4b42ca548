"""Runs that were interrupted go on, and come out as if they had not been."""

import json
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from nnexp import run
from nnexp.core.errors import UserError
from nnexp.core.locks import lock_of, locked
from nnexp.core.npz import read_arrays, write_arrays
from nnexp.core.state import STATE, _checksum, read_checkpoint
from nnexp.runs.record import RECORD, UNKNOWN_CODE, read_record
from nnexp.storage import checkpoints
from nnexp.storage.checkpoints import FOLDER, LATEST, PREVIOUS
from tests.conftest import CommandLine, Finished

Typed = Callable[..., Finished]
QUIET = ("tracking=none", "figures=false", "verbose=false")
RUN = ("experiment=digits", "trainer.epochs=6", "trainer.checkpoint_every=2", "architecture.dropout=0.1", *QUIET)
NUMBERS = ("history.csv", "parameters.npz")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that nothing disturbed, in an output folder of its own."""
    return run([*RUN, f"output_dir={tmp_path_factory.mktemp('whole')}"]).folder


@pytest.fixture
def halfway(whole: Path, tmp_path: Path) -> Path:
    """Return the folder of the same run as it was after epoch 4."""
    folder = tmp_path / "outputs" / "digits" / "a_run=1"
    (folder / FOLDER).mkdir(parents=True)
    shutil.copy(whole / FOLDER / PREVIOUS, folder / FOLDER / LATEST)
    for name in ("config.yaml", RECORD):
        shutil.copy(whole / name, folder)
    return folder


def assert_same_files(one: Path, other: Path) -> None:
    for name in NUMBERS:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_a_run_goes_on_in_its_folder_and_ends_the_same(typed: Typed, whole: Path, halfway: Path) -> None:
    left = halfway / ".history.tmp17.csv"
    left.touch()
    result = typed(f"resume={halfway}", *QUIET)
    assert (result.returncode, result.stderr) == (0, "")
    first, last = result.stdout.splitlines()
    assert first == f"Going on after epoch 4 of 6 in {halfway}"
    assert last.startswith("digits epochs=6 dropout=0.1: train/loss")
    assert_same_files(halfway, whole)
    assert {path.name for path in (halfway / FOLDER).iterdir()} == {LATEST, PREVIOUS}
    assert not left.exists()
    assert [path.name for path in halfway.parent.iterdir()] == [halfway.name], "no lock is left"
    configs = [(one / "config.yaml").read_text() for one in (halfway, whole)]
    assert configs[0] == configs[1].replace(str(whole.parent.parent), "outputs")


def test_a_run_that_has_ended_only_writes_its_files_again(typed: Typed, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "outputs" / "digits" / "ended"
    shutil.copytree(whole / FOLDER, folder / FOLDER)
    assert typed(f"resume={folder / FOLDER}", *QUIET).returncode == 0
    assert_same_files(folder, whole)


def test_the_config_may_be_said_again(typed: Typed, whole: Path, halfway: Path) -> None:
    assert typed(f"resume={halfway / FOLDER / LATEST}", *RUN).returncode == 0
    assert_same_files(halfway, whole)


def refusal(result: Finished) -> str:
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    return line


def test_another_config_is_refused(typed: Typed, halfway: Path) -> None:
    line = refusal(typed(f"resume={halfway}", *RUN, "optimizer.learning_rate=0.5"))
    assert line == "nnexp: optimizer.learning_rate=0.5: must be 0.001, as in the run that goes on, or left out"
    line = refusal(typed(f"resume={halfway}", "experiment=digits", "trainer.epochs=7", *QUIET))
    assert line.startswith("nnexp: architecture.dropout=None: must be 0.1")
    assert not (halfway / "result.json").exists()


def test_a_sweep_refuses(typed: Typed, halfway: Path) -> None:
    line = refusal(typed("-m", f"resume={halfway}", "seed=0,1", *QUIET))
    assert "must be null in a sweep" in line


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def altered(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def of_the_future(path: Path) -> None:
    arrays, texts = read_arrays(path)
    state = texts[STATE].replace('"version": 1', '"version": 2')
    write_arrays(path, arrays, {STATE: state, "sha256": _checksum(state, arrays)})


@pytest.mark.parametrize("damage", [truncated, altered, of_the_future, Path.unlink])
def test_of_two_checkpoints_the_sound_one_is_used(
    damage: Callable[[Path], None], typed: Typed, whole: Path, halfway: Path
) -> None:
    shutil.copytree(whole / FOLDER, halfway / FOLDER, dirs_exist_ok=True)
    damage(halfway / FOLDER / LATEST)
    result = typed(f"resume={halfway}", *QUIET)
    assert result.returncode == 0
    assert ("damaged: latest.npz: " in result.stderr) == (damage is not Path.unlink)
    assert result.stdout.startswith("Going on after epoch 4 of 6")
    assert_same_files(halfway, whole)


@pytest.mark.parametrize("damage", [truncated, altered, of_the_future, Path.unlink])
def test_without_a_sound_checkpoint_nothing_is_done(
    damage: Callable[[Path], None], typed: Typed, halfway: Path
) -> None:
    damage(halfway / FOLDER / LATEST)
    (halfway / RECORD).unlink()  # else it would begin again where there is no checkpoint
    before = sorted(halfway.parent.rglob("*"))
    line = refusal(typed(f"resume={halfway}", *QUIET))
    assert line.startswith(f"nnexp: resume={halfway}: must be a run with a checkpoint that nobody has changed (")
    assert sorted(halfway.parent.rglob("*")) == before


def test_what_is_no_run_is_refused(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("resume me")
    for name in ("empty", "text", "nothing", "0123456789abcdef0123456789abcdef"):
        assert refusal(typed(f"resume={name}", *QUIET)).startswith("nnexp: r")
    assert {path.name for path in tmp_path.iterdir()} == {"empty", "text"}


def test_a_run_without_a_record_is_not_taken_for_one_of_the_code_of_today(typed: Typed, halfway: Path) -> None:
    (halfway / RECORD).write_text("damaged")
    result = typed(f"resume={halfway}", *QUIET)
    line = "the code that began the run is not known: it goes on, but may not be the same as in one go"
    assert (result.returncode, result.stderr) == (0, f"nnexp: {line}\n")
    record = read_record(halfway)
    assert record is not None
    assert record.code.startswith(f"{UNKNOWN_CODE}+")


@pytest.mark.skipif(not os.access("/", os.W_OK), reason="needs to write there")
def test_a_run_goes_on_directly_below_the_root(typed: Typed, halfway: Path) -> None:
    with TemporaryDirectory(dir="/") as folder:
        shutil.copytree(halfway, folder, dirs_exist_ok=True)
        result = typed(f"resume={folder}", *QUIET)
        assert (result.returncode, result.stderr) == (0, "")


def test_a_run_that_is_being_trained_is_refused(typed: Typed, halfway: Path) -> None:
    lock = locked(lock_of(halfway))
    assert lock is not None
    assert "another process" in refusal(typed(f"resume={halfway}", *QUIET))
    lock.release()


def test_other_data_is_refused(in_folder: Callable[[], Path]) -> None:
    table = in_folder() / "table.csv"
    rows = [f"{place % 7},{place % 5},{place % 2}" for place in range(60)]
    table.write_text("\n".join(["a,b,y", *rows]))
    data = ("dataset=csv", "dataset.path=table.csv", "trainer.epochs=4", "trainer.checkpoint_every=2", *QUIET)
    folder = run(data).folder
    table.write_text("\n".join(["a,b,y", *rows[:-1], "3,3,1"]))
    with pytest.raises(UserError, match=r"^dataset: must be what it was, with the digest"):
        run([f"resume={folder}", *QUIET])


def rewritten(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Change a checkpoint as somebody would who knows how to make its checksum."""
    arrays, texts = read_arrays(path)
    tree = json.loads(texts[STATE])
    change(tree["config"])
    state = json.dumps(tree)
    write_arrays(path, arrays, {STATE: state, "sha256": _checksum(state, arrays)})


def test_a_checkpoint_of_somebody_else_decides_nothing_but_numbers(typed: Typed, halfway: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    tracking = {"_target_": "nnexp.tracking.mlflow.MLflowTracking", "uri": f"sqlite:///{elsewhere}/a.db"}
    rewritten(
        halfway / FOLDER / LATEST,
        lambda config: config.update(output_dir=str(elsewhere), tracking=tracking, question="?", verbose=True),
    )
    assert typed(f"resume={halfway}", *QUIET).returncode == 0
    assert not elsewhere.exists()
    rewritten(halfway / FOLDER / LATEST, lambda config: config.update(optimizer={"_target_": "os.system"}))
    assert "must be in nnexp" in refusal(typed(f"resume={halfway}", *QUIET))


def test_a_checkpoint_that_cannot_be_written_stops_nothing(
    typed: Typed, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(checkpoints, "write_checkpoint", full)
    result = typed(*RUN)
    assert result.returncode == 0
    line = "nnexp: no checkpoint could be written (No space left on device); the training goes on"
    assert result.stderr.splitlines() == [line]
    (folder,) = (tmp_path / "outputs" / "digits").iterdir()
    assert_same_files(folder, whole)


def statuses(folder: Path) -> list[tuple[str, str]]:
    if not (folder / "outputs" / "mlflow.db").exists():
        return []
    with closing(sqlite3.connect(folder / "outputs" / "mlflow.db")) as store:
        return store.execute("select run_uuid, status from runs").fetchall()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_says_how_to_go_on(
    nnexp: CommandLine, typed: Typed, number: signal.Signals, status: int
) -> None:
    process = nnexp.start("seed=1", "trainer.epochs=40000", "figures=false")
    assert process.stdout is not None
    next(line for line in process.stdout if line.startswith("epoch"))
    while not statuses(nnexp.folder):  # the training does not wait for MLflow, of which this test makes use
        time.sleep(0.02)
    begun = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - begun < 10, "it is meant to be two seconds, on a machine that has time"
    assert process.returncode == status
    (folder,) = (path for path in (nnexp.folder / "outputs" / "digits_binary").iterdir() if path.is_dir())
    name = folder.relative_to(nnexp.folder)
    assert errors == f"\nnnexp: interrupted; to go on: python -m nnexp resume={name} figures=false\n"
    assert {path.name for path in (folder / FOLDER).iterdir()} == {LATEST}
    ((run_id, killed),) = statuses(nnexp.folder)
    assert killed == "KILLED"
    if number is signal.SIGTERM:
        shutil.rmtree(folder)  # MLflow has the checkpoint, too

    result = typed(f"resume={run_id}", "figures=false", "verbose=false")
    assert (result.returncode, result.stderr) == (0, "")
    assert statuses(nnexp.folder) == [(run_id, "FINISHED")], "it is the same run"
    (folder,) = (path for path in (nnexp.folder / "outputs" / "digits_binary").iterdir() if path.is_dir())
    alone = run(["seed=1", "trainer.epochs=40000", *QUIET, f"output_dir={nnexp.folder / 'alone'}"]).folder
    assert_same_files(folder, alone)
    with closing(sqlite3.connect(nnexp.folder / "outputs" / "mlflow.db")) as store:
        twice = "select step from metrics where key = 'train/loss' group by step having count(*) > 1"
        assert store.execute(twice).fetchall() == []


def test_a_run_that_is_killed_and_interrupted_while_it_is_pruned_goes_on(nnexp: CommandLine) -> None:
    words = ["trainer.epochs=1500", "trainer.pruning={rounds: 2, share: 0.4}", *QUIET]

    def sent(number: signal.Signals, *arguments: str) -> Path:
        """Return the latest checkpoint of a run that is sent a signal when it has written two more."""
        process, seen = nnexp.start(*arguments), set[int]()
        while len(seen) < 3 and process.poll() is None:
            seen |= {path.stat().st_mtime_ns for path in nnexp.folder.glob(f"outputs/*/*/{FOLDER}/{LATEST}")}
        process.send_signal(number)
        process.communicate(timeout=30)
        assert process.returncode in (-signal.SIGKILL, 130)
        (latest,) = nnexp.folder.glob(f"outputs/*/*/{FOLDER}/{LATEST}")
        assert read_checkpoint(latest).part("training").has("earlier"), "the training that counts has not begun"
        return latest.parents[1]

    sent(signal.SIGKILL, *words, "trainer.checkpoint_every=100")
    folder = sent(signal.SIGINT, "resume=last", *QUIET)
    assert nnexp("resume=last", *QUIET).returncode == 0
    assert_same_files(folder, run([*words, f"output_dir={nnexp.folder / 'alone'}"]).folder)
