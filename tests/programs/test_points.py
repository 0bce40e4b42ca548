"""Commands disturbed at points at which they change files; and that the program sees what is not as it should be."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.programs.points.contents import contents, differences
from tests.programs.points.process import DEAD, FAULTS, Place, forked
from tests.programs.points.scenarios import SCENARIOS

TIME, RUN_ID = "2026-11-27_10-00-00", "0123456789abcdef" * 2
FOLDER = f"outputs/digits/{TIME}_epochs=2_12ab34cd56ef"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nothing_is_lost_at_some_points(scenario: str) -> None:
    program = [sys.executable, "-m", "tests.programs.points", "--scenario", scenario, "--every", "25"]
    ended = subprocess.run(program, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count("points, 0 bad") == len(FAULTS)


def changes() -> None:
    """Make seven changes of files; what is read or lies elsewhere is none."""
    Path("one").mkdir()
    Path("one", "two").write_text("2", encoding="utf-8")
    Path("one", "two").rename("three")
    Path("three").read_text(encoding="utf-8")
    Path("..", "elsewhere").write_text("", encoding="utf-8")
    Path("one", "four").touch()
    with suppress(OSError):
        Path("three").unlink()
    shutil.rmtree("one")  # whose files are named by the descriptor of their folder


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fault_happens_at_its_point(tmp_path: Path) -> None:
    place = Place.made(tmp_path)
    whole = forked(changes, place)
    assert [(one.name, one.path) for one in whole.events] == [
        ("os.mkdir", "one"),
        ("open", "one/two"),
        ("os.rename", "three"),
        ("open", "one/four"),
        ("os.remove", "three"),
        ("os.remove", "one/four"),
        ("os.rmdir", "one"),
    ]
    ends = {}
    for fault, point in (("death", 3), ("EIO", 5), ("EIO-lasting", 5), ("ENOSPC", 5), ("interrupt", 1), ("SIGINT", 2)):
        ended = forked(changes, place, FAULTS[fault], point)
        ends[fault] = ended.status, len(ended.events), sorted(path.name for path in place.work.rglob("*"))
        shutil.rmtree(place.work)
        place.work.mkdir()
    assert ends == {
        "death": (DEAD, 3, ["one", "two"]),
        "EIO": (0, 7, ["three"]),
        "EIO-lasting": (1, 6, ["four", "one", "three"]),
        "ENOSPC": (0, 7, []),  # a full disk lets files be removed
        "interrupt": (1, 1, []),
        "SIGINT": (1, 2, ["one"]),
    }


def make(work: Path, time: str = TIME) -> None:
    """Make the files of a run, and a database that has it."""
    folder = work / FOLDER.replace(TIME, time)
    folder.mkdir(parents=True)
    for name in ("history.csv", "result.json"):
        (folder / name).write_text(name, encoding="utf-8")
    artifacts = work / "outputs" / "mlartifacts" / RUN_ID / "artifacts"
    artifacts.mkdir(parents=True)
    (artifacts / "history.csv").touch()
    with closing(sqlite3.connect(work / "outputs" / "mlflow.db")) as database, database:
        database.execute("CREATE TABLE runs (run_uuid, name, status, lifecycle_stage, artifact_uri)")
        database.execute("CREATE TABLE metrics (run_uuid, key, step)")
        database.execute("CREATE TABLE params (run_uuid, key)")
        database.execute("CREATE TABLE tags (run_uuid, key, value)")
        database.execute(
            "INSERT INTO runs VALUES (?, 'epochs=2', 'FINISHED', 'active', ?)", (RUN_ID, artifacts.as_uri())
        )
        database.execute("INSERT INTO metrics VALUES (?, 'loss', 1)", (RUN_ID,))


def statement(sql: str) -> Callable[[Path], None]:
    """Return a function that changes the database."""

    def change(work: Path) -> None:
        with closing(sqlite3.connect(work / "outputs" / "mlflow.db")) as database, database:
            database.execute(sql)

    return change


DAMAGES: dict[str, Callable[[Path], object]] = {
    "": lambda _: None,
    "missing: outputs/digits/TIME_epochs=2_12ab34cd56ef/result.json": lambda work: (
        work / FOLDER / "result.json"
    ).unlink(),
    "outputs/digits/TIME_epochs=2_12ab34cd56ef/history.csv differs": lambda work: (
        work / FOLDER / "history.csv"
    ).write_text("other", encoding="utf-8"),
    "left: outputs/digits/TIME_epochs=2_12ab34cd56ef/": lambda work: (work / f"{FOLDER}_2").mkdir(),
    "left: outputs/digits/.TIME_epochs=2_12ab34cd56ef.lock": lambda work: (
        (work / FOLDER.replace(TIME, f".{TIME}")).with_name(f".{TIME}_epochs=2_12ab34cd56ef.lock").touch()
    ),
    "MLflow: epochs=2 is RUNNING": statement("INSERT INTO runs VALUES ('2', 'epochs=2', 'RUNNING', 'active', '')"),
    "MLflow: other is RUNNING": statement("INSERT INTO runs VALUES ('2', 'other', 'RUNNING', 'active', '')"),
    "MLflow: epochs=2 is FINISHED 2 times, not 1": statement(
        "INSERT INTO runs VALUES ('2', 'epochs=2', 'FINISHED', 'active', '')"
    ),
    "MLflow: epochs=2 is FINISHED 0 times, not 1": statement("UPDATE runs SET status = 'KILLED'"),
    "MLflow: epochs=2 has 2 points, not 1: loss at 1": statement("INSERT INTO metrics SELECT * FROM metrics"),
    "MLflow: epochs=2 has 0 files, not 1: history.csv": lambda work: shutil.rmtree(work / "outputs" / "mlartifacts"),
}
"""What is said of a folder, by what was done to it."""


@pytest.mark.parametrize("said", DAMAGES)
def test_what_is_not_as_it_should_be_is_seen(said: str, tmp_path: Path) -> None:
    make(tmp_path / "expected")
    make(tmp_path / "found", "2026-11-27_11-11-11" if not said else TIME)
    DAMAGES[said](tmp_path / "found")
    assert differences(contents(tmp_path / "expected"), contents(tmp_path / "found")) == ([said] if said else [])
