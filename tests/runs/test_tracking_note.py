"""What is noted for later comes back as it was, and a damaged note is none."""

import json
from pathlib import Path

import numpy as np
import pytest

from nnexp.runs.tracking_note import RunNote, SweepNote, deliver_command, tracked_as
from nnexp.storage.run_folder import TRACKED, files_to_record, write_history
from nnexp.tracking.tracker import DatasetFacts, FinishedRun, RunFacts, SweepFacts, SweepView
from nnexp.training.history import NOTHING, History

FACTS = RunFacts(
    "moons",
    "seed=3",
    {"optimizer": "SGD", "architecture.hidden": [4, 2], "seed": 3, "dtype": None},
    {"config_hash": "0123456789ab"},
    DatasetFacts("moons", "d1935700", "{}", {"train": [10, 2]}),
)
HISTORY = History(np.arange(1, 4), {"test/loss": np.array([1.0, 0.1 + 0.2, 1e-300])})


def left(folder: Path, history: History = HISTORY) -> FinishedRun:
    """Return a run of which all is left to say."""
    files = files_to_record(folder)
    return FinishedRun(
        facts=FACTS,
        metrics={"best/test/loss": 0.1},
        tags={"diverged": "false"},
        description="it",
        seconds=1.5,
        status="KILLED",
        history=history,
        files=files,
    )


SWEEP = SweepNote(
    "sqlite:///a.db",
    "parent",
    SweepFacts("moons", "seed (3 runs)", "why?", {"sweep_key": "abcd"}),
    SweepView(("seed",), "test/loss", ("test/loss",), {"runs": 3.0}),
    "what came out",
    "FINISHED",
)


@pytest.mark.parametrize("parent", [None, "parent"])
@pytest.mark.parametrize("run_id", [None, "run-1"])
def test_a_run_comes_back(tmp_path: Path, run_id: str | None, parent: str | None) -> None:
    write_history(tmp_path, HISTORY)
    RunNote("sqlite:///a.db", run_id, parent, left(tmp_path)).write(tmp_path)
    note = RunNote.read(tmp_path)
    assert note is not None
    assert (note.uri, note.run_id, note.parent) == ("sqlite:///a.db", run_id, parent)
    assert note.left is not None
    assert {**vars(note.left), "history": None} == {**vars(left(tmp_path)), "history": None}
    assert list(note.left.history.evaluations()) == list(HISTORY.evaluations())
    assert tracked_as(tmp_path, "sqlite:///a.db") is None
    assert tracked_as(tmp_path, "sqlite:///a.db", complete=False) == run_id


def test_a_run_without_a_history_comes_back(tmp_path: Path) -> None:
    RunNote("sqlite:///a.db", "run-1", None, left(tmp_path, NOTHING)).write(tmp_path)
    note = RunNote.read(tmp_path)
    assert note is not None
    assert note.left is not None
    assert len(note.left.history) == 0


def test_where_a_run_was_recorded_is_noted_beside_it_for_each_store(tmp_path: Path) -> None:
    assert tracked_as(tmp_path, "sqlite:///a.db") is None
    RunNote("sqlite:///a.db", "run-1").write(tmp_path)
    assert tracked_as(tmp_path, "sqlite:///a.db") == "run-1"
    assert tracked_as(tmp_path, "sqlite:///b.db") is None
    assert RunNote.read(tmp_path) == RunNote("sqlite:///a.db", "run-1")


def test_a_sweep_comes_back(tmp_path: Path) -> None:
    SWEEP.write(tmp_path)
    assert SweepNote.read(tmp_path) == SWEEP
    assert SweepNote.read(tmp_path / "elsewhere") is None


def trees(node: object) -> list[object]:
    """Return copies of a tree, in each of which one value is another."""
    if not isinstance(node, dict):
        return [7, ["x"], None]
    return [{**node, key: other} for key, value in node.items() for other in trees(value)] + [[], "text"]


@pytest.mark.parametrize("kind", [RunNote, SweepNote])
def test_a_damaged_note_is_none_or_one_of_its_type(tmp_path: Path, kind: type[RunNote | SweepNote]) -> None:
    write_history(tmp_path, HISTORY)
    note = SWEEP if kind is SweepNote else RunNote("sqlite:///a.db", "run-1", "parent", left(tmp_path))
    note.write(tmp_path)
    for text in ["", "{", "[1]", "[" * 100_000, *map(json.dumps, trees(json.loads((tmp_path / TRACKED).read_text())))]:
        (tmp_path / TRACKED).write_text(text)
        found = kind.read(tmp_path)
        assert found is None or isinstance(found.uri, str)
    RunNote("sqlite:///a.db", "run-1", None, left(tmp_path)).write(tmp_path)
    (tmp_path / "history.csv").write_text("epoch\nx\n")
    assert kind.read(tmp_path) is None


def test_the_command_for_later_names_a_store_that_is_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    begin = "python -m nnexp deliver 'my runs'"
    assert deliver_command(tmp_path / "my runs", f"sqlite:///{tmp_path}/my runs/mlflow.db") == begin
    assert deliver_command(tmp_path / "my runs", "http://a:1") == f"{begin} --tracking-uri http://a:1"


def test_history_and_files_of_a_note_are_not_read(tmp_path: Path) -> None:
    """They are those of the folder, whatever a stranger wrote; what a later version adds is not minded."""
    RunNote("sqlite:///a.db", "run-1", None, left(tmp_path)).write(tmp_path)
    honest = RunNote.read(tmp_path)
    tree = json.loads((tmp_path / "tracked.json").read_text())
    tree["left"] |= {"history": {"times": [1], "metrics": {}}, "files": ["/etc/passwd"], "later": 1}
    (tmp_path / "tracked.json").write_text(json.dumps({**tree, "later": []}))
    note = RunNote.read(tmp_path)
    assert note is not None
    assert honest is not None
    assert note.left is not None
    assert honest.left is not None
    assert [*note.left.files] == [*honest.left.files]
    assert len(note.left.history) == 0
