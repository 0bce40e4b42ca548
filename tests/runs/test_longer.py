"""A longer training is a natural wish: `resume=RUN trainer.epochs=80` of a run of 40."""

import re
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from nnexp.config.compose import compose_experiment
from nnexp.core.errors import UserError
from nnexp.runs.claim import claimed
from nnexp.runs.prepare import prepare
from nnexp.runs.record import read_record, summary_in
from nnexp.runs.resume import resumed
from nnexp.storage.run_folder import FIGURES, SUMMARY, TRACKED
from tests.conftest import CommandLine, Finished
from tests.runs.test_resume import assert_same_files, refusal

Typed = Callable[..., Finished]
SMALL = ("architecture.hidden=[4]", "figures=false", "verbose=false")
KEPT = (*SMALL, "trainer.checkpoint_every=20")


def the_run(output_dir: Path) -> Path:
    (folder,) = output_dir.glob("digits_binary/*/")
    return folder


def in_store(output_dir: Path, table: str) -> dict[str, object]:
    with closing(sqlite3.connect(output_dir / "mlflow.db")) as store:
        (runs,) = store.execute("select count(*) from runs").fetchone()
        assert runs == 1
        return dict(store.execute(f"select key, value from {table}").fetchall())  # noqa: S608 - a name from here


def test_a_run_made_longer_is_one_of_that_length(typed: Typed, tmp_path: Path) -> None:
    """The same bits, in the same folder and the same run of MLflow; and it is no longer the run it was."""
    outputs, whole = tmp_path / "outputs", tmp_path / "whole"
    assert typed(*KEPT, "trainer.epochs=80", f"output_dir={whole}", "tracking=none").returncode == 0
    assert typed("trainer.epochs=40", *KEPT).returncode == 0
    first, shorter = the_run(outputs), read_record(the_run(outputs))
    again = typed(f"resume={first}", "trainer.epochs=80", "figures=false", "verbose=false")
    assert (again.returncode, again.stderr) == (0, "")
    folder, record = the_run(outputs), read_record(the_run(outputs))
    assert f"Going on after epoch 40 of 80 in {folder}" in again.stdout
    assert_same_files(folder, the_run(whole))
    same = read_record(the_run(whole))
    assert record is not None
    assert shorter is not None
    assert same is not None
    assert (record.identifier, record.config_hash) == (shorter.identifier, same.config_hash)
    assert folder.name == f"{first.name[:20]}epochs=80_hidden=_4_{same.config_hash}"
    tags, metrics = in_store(outputs, "tags"), in_store(outputs, "latest_metrics")
    assert in_store(outputs, "params")["trainer.epochs"] == "40"
    assert (tags["config_hash"], tags["extended_to"]) == (same.config_hash, "epochs=80")
    assert metrics["best/epoch"] == 80
    assert "there is no such folder" in refusal(typed(f"resume={first}"))
    assert "Reused" not in typed("-m", "trainer.epochs=40,50", *SMALL, "tracking=none").stdout
    assert "Reused: 1 of 2" in typed("-m", "trainer.epochs=80,90", *SMALL, "tracking=none").stdout


def test_of_two_that_make_a_run_longer_the_second_is_refused(typed: Typed, tmp_path: Path) -> None:
    """It has read the checkpoint before the first one took the folder, and gave it another name."""
    assert typed("trainer.epochs=40", *KEPT, "tracking=none").returncode == 0
    first, outputs = the_run(tmp_path / "outputs"), tmp_path / "outputs"
    asked = [f"resume={first}", "trainer.epochs=80", "tracking=none", "figures=false", "verbose=false"]
    earlier = resumed(compose_experiment(asked), asked)
    ready = prepare(earlier.experiment, earlier.overrides)
    for renamed in (True, False):  # or it has its name, and another record
        assert typed(*asked).returncode == 0
        if not renamed:
            the_run(outputs).rename(first)
        with (
            pytest.raises(UserError, match="has gone on with"),
            claimed(ready, {}, outputs, uri="", earlier=earlier),
        ):
            pass
        assert [*outputs.glob("digits_binary/*/")] == [the_run(outputs)]
        the_run(outputs).rename(first)  # for the next time
        asked[:2] = [f"resume={first}", "trainer.epochs=90"]


def test_a_process_that_dies_while_it_makes_a_run_longer_is_gone_on_with(nnexp: CommandLine, typed: Typed) -> None:
    assert typed("trainer.epochs=40", *KEPT, "tracking=none").returncode == 0
    outputs = nnexp.folder / "outputs"
    first = the_run(outputs)
    more = ("tracking=none", "figures=false", "verbose=false", "trainer.checkpoint_every=1000")
    process = nnexp.start(f"resume={first}", "trainer.epochs=5000", *more)
    while first.is_dir():  # until the folder has its new name
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    again = typed(f"resume={the_run(outputs) / 'checkpoints'}", *more)
    assert (again.returncode, again.stderr) == (0, "")
    assert re.search(r"Going on after epoch \d+ of 5000", again.stdout)
    assert (the_run(outputs) / "history.csv").read_text().splitlines()[-1].startswith("5000,")


def test_the_shorter_run_stays_until_the_longer_one_has_ended(nnexp: CommandLine, typed: Typed) -> None:
    """Its store may refuse, or its process die; and in the end nothing of the shorter one is left."""
    assert typed("trainer.epochs=40", *KEPT, "figures=true").returncode == 0
    outputs = nnexp.folder / "outputs"
    first = the_run(outputs)
    files = {path: path.read_bytes() for path in first.rglob("*") if path.is_file() and path.name != TRACKED}
    with closing(sqlite3.connect(outputs / "mlflow.db")) as store, store:
        store.execute("create trigger refusing before update on runs begin select raise(abort, 'full'); end")
    refused = typed(f"resume={first}", "trainer.epochs=80", "verbose=false")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert {path: path.read_bytes() for path in files} == files
    with closing(sqlite3.connect(outputs / "mlflow.db")) as store, store:
        store.execute("drop trigger refusing")
    more = ("figures=false", "verbose=false", "trainer.checkpoint_every=1000")
    process = nnexp.start(f"resume={first}", "trainer.epochs=5000", *more)
    while first.is_dir():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    folder = the_run(outputs)
    assert (folder / SUMMARY).read_bytes() == files[first / SUMMARY]
    assert summary_in(folder) is None, "the run that the folder now is has not ended"
    delivered = typed("deliver", "outputs")
    assert (delivered.returncode, delivered.stderr) == (0, "")
    shorter = typed(f"resume={folder}", "trainer.epochs=40", *more, "tracking=none")  # as nobody wants more any longer
    assert shorter.stdout.startswith("Ended before, at epoch 40 of 40")
    again = typed(f"resume={the_run(outputs)}", "trainer.epochs=50", *more)
    assert (again.returncode, again.stderr) == (0, "")
    ended = summary_in(the_run(outputs))
    assert ended is not None
    assert ended.length == 50
    assert not (the_run(outputs) / FIGURES).exists()


@pytest.mark.parametrize(
    ("first", "more", "reason"),
    [
        (("schedule=cosine",), (), "the learning rates of its schedule depend on the length of the training"),
        (("trainer.early_stopping={patience: 1, min_delta: 1}",), (), "early stopping ended it at epoch"),
        (("trainer.checkpoint_every=null",), (), "it has no checkpoint"),
        ((), ("trainer.batch_size=16",), "trainer.batch_size=16: must be full"),
    ],
)
def test_where_it_would_not_be_the_same_the_line_says_how_to_train_it(
    first: tuple[str, ...], more: tuple[str, ...], reason: str, typed: Typed, tmp_path: Path
) -> None:
    assert typed("trainer.epochs=40", *KEPT, *first, "tracking=none").returncode == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    line = refusal(typed(f"resume={the_run(tmp_path / 'outputs')}", "trainer.epochs=80", *more, "tracking=none"))
    assert reason in line
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    if not more:
        assert line.startswith("nnexp: trainer.epochs=80: must be 40, as in the run that goes on, or left out, since ")
        command = line.partition("to train it from the start: python -m nnexp ")[2]
        assert command.startswith("trainer.epochs=80 'architecture.hidden=[4]'")


def test_a_run_that_only_mlflow_has_is_made_longer(typed: Typed, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    assert typed("trainer.iterations=40", *KEPT).returncode == 0
    shutil.rmtree(outputs / "digits_binary")
    with closing(sqlite3.connect(outputs / "mlflow.db")) as store:
        (run_id,) = store.execute("select run_uuid from runs").fetchone()
    again = typed(f"resume={run_id}", "trainer.iterations=60", "verbose=false")
    assert (again.returncode, again.stderr) == (0, "")
    assert in_store(outputs, "tags")["extended_to"] == "iterations=60"
