"""What is noted of stores comes back as it was, from a folder that was moved, too; a damaged note is none."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from nnexp import run
from nnexp.config.compose import compose_experiment
from nnexp.core.errors import DamagedError
from nnexp.runs.record import RECORD, finished_run, read_record, write_record
from nnexp.runs.tracked import (
    InStore,
    OldNote,
    deliver_command,
    read_old_note,
    read_tracked,
    tracked_as,
    write_tracked,
)
from nnexp.storage.run_folder import HISTORY, SUMMARY, TRACKED, files_to_record
from nnexp.tracking.tracker import SweepFacts, SweepView

SHORT = ("trainer.epochs=4", "architecture.hidden=[4]", "verbose=false", "figures=false", "tracking=none")
OLD_SWEEP = OldNote(
    "http://a:1",
    "parent",
    facts=SweepFacts("moons", "seed (3 runs)", "why?", {"sweep_key": "abcd"}),
    description="what came out",
    status="FINISHED",
    view=SweepView(("seed",), "test/loss", ("test/loss",), {"runs": 3.0}),
)


@pytest.mark.parametrize("there", [InStore(None), InStore("run-1", "parent"), InStore("run-1", complete=True)])
def test_where_a_run_is_recorded_is_noted_for_each_store(tmp_path: Path, there: InStore) -> None:
    write_tracked(tmp_path, "sqlite:////a/b.db", InStore("other", complete=True))
    write_tracked(tmp_path, "http://a:1", there)
    assert read_tracked(tmp_path) == {"sqlite:////a/b.db": InStore("other", complete=True), "http://a:1": there}
    assert tracked_as(tmp_path, "http://a:1", complete=False) == there.run_id
    assert tracked_as(tmp_path, "http://a:1") == (there.run_id if there.complete else None)
    assert tracked_as(tmp_path, "http://b:1") is None


@pytest.mark.parametrize("below", ["moons/run", "sweeps/sweep/runs/run"])
def test_a_store_in_the_output_folder_is_found_where_the_folder_was_moved_to(tmp_path: Path, below: str) -> None:
    folder = tmp_path / "outputs" / below
    folder.mkdir(parents=True)
    write_tracked(folder, f"sqlite:///{tmp_path}/outputs/mlflow.db", InStore("run-1"))
    (tmp_path / "outputs").rename(tmp_path / "elsewhere")
    assert read_tracked(tmp_path / "elsewhere" / below) == {
        f"sqlite:///{tmp_path}/elsewhere/mlflow.db": InStore("run-1")
    }


def test_an_old_note_is_read_and_its_store_found_where_the_folder_was_moved_to(tmp_path: Path) -> None:
    folder = tmp_path / "moons" / "run"
    folder.mkdir(parents=True)
    (tmp_path / "mlflow.db").touch()
    old = {"uri": "sqlite:////gone/mlflow.db", "run_id": "run-1", "parent": None, "left": None}
    (folder / TRACKED).write_text(json.dumps(old))
    assert read_tracked(folder) == {f"sqlite:///{tmp_path}/mlflow.db": InStore("run-1", complete=True)}


def test_an_old_note_of_a_sweep_is_read_and_something_is_left(tmp_path: Path) -> None:
    (tmp_path / TRACKED).write_text(json.dumps(asdict(OLD_SWEEP)))
    assert read_old_note(tmp_path) == OLD_SWEEP
    assert read_tracked(tmp_path) == {"http://a:1": InStore("parent")}
    assert read_old_note(tmp_path / "elsewhere") is None


def trees(node: object) -> list[object]:
    """Return copies of a tree, in each of which one value is another."""
    if not isinstance(node, dict):
        return [7, ["x"], None]
    return [{**node, key: other} for key, value in node.items() for other in trees(value)] + [[], "text"]


def test_a_damaged_note_says_nothing(tmp_path: Path) -> None:
    write_tracked(tmp_path, "http://a:1", InStore("run-1", "parent"))
    tree = json.loads((tmp_path / TRACKED).read_text())
    sound = [InStore("run-1", "parent"), InStore("run-1"), InStore(None, "parent")]  # two fields may be null
    for text in ["", "{", "[1]", "[" * 100_000, *map(json.dumps, trees(tree))]:
        (tmp_path / TRACKED).write_text(text)
        found = [*read_tracked(tmp_path).values()]
        assert not found or found[0] in sound
    for text in map(json.dumps, trees(asdict(OLD_SWEEP))):
        (tmp_path / TRACKED).write_text(text)
        old = read_old_note(tmp_path)
        assert old is None or old.uri == OLD_SWEEP.uri


def test_the_command_for_later_names_a_store_that_is_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    begin = "python -m nnexp deliver 'my runs'"
    assert deliver_command(tmp_path / "my runs", f"sqlite:///{tmp_path}/my runs/mlflow.db") == begin
    assert deliver_command(tmp_path / "my runs", "http://a:1") == f"{begin} --tracking-uri http://a:1"


def test_a_run_is_read_from_its_folder(tmp_path: Path) -> None:
    result = run([*SHORT, f"output_dir={tmp_path}"])
    record = read_record(result.folder)
    assert record is not None
    assert (record.config_hash, record.overrides[0]) == (result.config_hash, SHORT[0])
    done = finished_run(result.folder)
    assert done.status == "FINISHED"
    assert done.metrics["best/test/loss"] == result.history.metrics["test/loss"].min()
    assert done.facts.tags["config_hash"] == result.config_hash
    assert (done.facts.parameters["architecture.hidden"], done.facts.parameters["trainer.epochs"]) == ([4], 4)
    assert done.metrics["final/test/loss"] == result.history.metrics["test/loss"][-1]
    mean = result.history.trained.metrics["test/loss"].mean()
    assert finished_run(result.folder, "mean/test/loss").metrics == {
        **done.metrics,
        "mean/test/loss": pytest.approx(mean),
    }
    never = finished_run(result.folder, "time_to/test/loss/0")
    assert never.metrics == done.metrics
    assert never.tags.items() - done.tags.items() == {("time_to/test/loss/0", "never reached")}
    for name, values in result.history.metrics.items():
        np.testing.assert_array_equal(done.history.metrics[name], values)
    assert [*done.files] == files_to_record(result.folder)
    (result.folder / SUMMARY).unlink()
    assert (finished_run(result.folder).status, finished_run(result.folder).metrics) == ("KILLED", {})
    (result.folder / "error.txt").write_text("ValueError: why\n\nTraceback")
    assert (finished_run(result.folder).status, finished_run(result.folder).tags) == (
        "FAILED",
        {"error": "ValueError: why"},
    )
    write_record(result.folder, record, compose_experiment(SHORT))
    assert finished_run(result.folder).status == "KILLED", "it goes on, and may not fail again"
    (result.folder / HISTORY).write_text("epoch\nx\n")
    with pytest.raises(DamagedError, match=HISTORY):
        finished_run(result.folder)
    (result.folder / RECORD).unlink()
    with pytest.raises(DamagedError, match=RECORD):
        finished_run(result.folder)
