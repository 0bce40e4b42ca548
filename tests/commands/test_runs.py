"""`nnexp runs` lists what an output folder has, and its rows and other short names are understood by all commands."""

import json
import re
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from nnexp import UserError, load
from nnexp.core.locks import held, lock_of
from nnexp.python.swept import Sweep
from nnexp.runs.find import find, listed
from nnexp.runs.result import Result
from nnexp.runs.tracked import InStore, write_tracked
from tests.conftest import CommandLine, Finished, status_of

SHORT = ("trainer.epochs=3", "architecture.hidden=[4]", "verbose=false", "figures=false", "tracking=none")
ID, OTHER_ID = "abcd" + "0" * 28, "abce" + "0" * 28


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an output folder with, from the newest to the oldest: a killed run, a sweep, a diverged and two others."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert status_of(*SHORT, "optimizer=adam") == 0
        assert status_of(*SHORT, "dataset=diabetes", "loss=mean_squared_error") == 0
        assert status_of(*SHORT, "optimizer.learning_rate=1e300", "trainer.regularization.l2=1") == 1
        assert status_of("-m", *SHORT, "optimizer.learning_rate=0.1,0.3", "seed=0,1", "sweep.confirm=0") == 0
    found = folder / "outputs"
    for place, (word, identifier) in enumerate({"adam": ID, "diabetes": OTHER_ID}.items()):
        write_tracked(one(found, word), "http://127.0.0.1:1", InStore(identifier, complete=True))
        at(found, word, place)
    at(found, "1e300", 2)
    at(found, "sweeps", 3)
    killed = Path(shutil.copytree(one(found, "adam"), one(found, "adam").with_name("copy")))
    for name in ("result.json", "tracked.json"):
        (killed / name).unlink()
    killed.rename(killed.with_name("2026-01-01_00-00-04_killed_0123456789ab"))
    return found


def one(outputs: Path, word: str) -> Path:
    """Return the one folder of a run or a sweep whose path has a word."""
    (folder,) = [folder for folder in listed(outputs) if word in str(folder.relative_to(outputs))]
    return folder


def at(outputs: Path, word: str, second: int) -> None:
    """Let a run or a sweep have begun at its own second of a day."""
    folder = one(outputs, word)
    folder.rename(folder.with_name(f"2026-01-01_00-00-0{second}{folder.name[19:]}"))


@pytest.fixture
def rows(outputs: Path, typed: Callable[..., Finished]) -> Callable[..., list[Mapping[str, Any]]]:
    """Return `nnexp runs --json` as a function."""

    def listed(*words: str, output_dir: Path = outputs) -> list[Mapping[str, Any]]:
        result = typed("runs", "--json", *words, "--output-dir", str(output_dir))
        assert (result.returncode, result.stderr) == (0, "")
        found: list[Mapping[str, Any]] = json.loads(result.stdout)
        return found

    return listed


Rows = Callable[..., list[Mapping[str, Any]]]


def test_the_newest_comes_first_with_what_it_is_and_how_it_ended(outputs: Path, nnexp: CommandLine) -> None:
    result = nnexp("runs", "--output-dir", str(outputs))
    assert (result.returncode, result.stderr) == (0, "")
    rows = [line.split("   ") for line in result.stdout.splitlines() if line.strip()[:1].isdigit()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert [row[0] for row in cells] == ["1", "2", "3", "4", "5"]
    assert [row[-1] for row in cells] == ["killed", "finished", "diverged", "finished", "finished"]
    assert cells[1][1] == "learning_rate (4 runs)"
    assert "dataset=diabetes" in cells[3][1]
    summary = json.loads((one(outputs, "adam") / "result.json").read_text())
    assert f"{summary['final']['test/loss']:.4f}" in cells[4]
    assert f"{summary['final']['test/accuracy']:.4f}" in cells[4]


def test_json_has_all_of_it_and_a_sweep_the_metrics_of_its_best_setting(outputs: Path, rows: Rows) -> None:
    found = rows()
    sweep, last = found[1], found[4]
    assert (sweep["kind"], sweep["runs"], last["kind"], last["folder"]) == (
        "sweep",
        4,
        "run",
        str(one(outputs, "adam")),
    )
    assert ID in str(last["ids"])
    losses = [
        json.loads(path.read_text())["final"]["test/loss"] for path in one(outputs, "sweeps").glob("runs/*/result.json")
    ]
    assert min(losses) <= sweep["metrics"]["test/loss"] <= sorted(losses)[2]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--filter", "diabetes"), [4]),
        (("--filter", "diverged"), [3]),
        (("--filter", "optimizer=adam"), [1, 5]),
        (("--filter", "optimizer=adam", "--filter", "finished"), [5]),
        (("--filter", "learning_rate=1e300"), [3]),
        (("--filter", "test/r2<1"), [4]),
        (("--limit", "2"), [1, 2]),
        (("--sort", "status", "--limit", "1"), [3]),
        (("--filter", "nothing like it"), []),
    ],
)
def test_rows_keep_their_numbers_when_some_are_chosen(rows: Rows, words: tuple[str, ...], expected: list[int]) -> None:
    assert [row["row"] for row in rows(*words)] == expected


def test_the_best_comes_first_where_a_metric_sorts(rows: Rows) -> None:
    losses = [row["metrics"]["test/loss"] for row in rows("--sort", "test/loss") if row["metrics"]]
    assert losses == sorted(losses)
    assert len(losses) == 3


def test_a_run_that_is_trained_is_running(outputs: Path, rows: Rows) -> None:
    with held(lock_of(listed(outputs)[0])):
        assert rows("--limit", "1")[0]["status"] == "running"


@pytest.mark.parametrize(
    ("columns", "titles"),
    [
        (60, "name test loss accuracy status"),
        (80, "name test loss accuracy when status"),
        (140, "name data test loss accuracy r2 when seconds status"),
    ],
)
def test_the_table_fits_into_a_terminal_and_names_lead_to_folders(
    outputs: Path, nnexp: CommandLine, columns: int, titles: str
) -> None:
    shown = nnexp.on_terminal("runs", "--output-dir", str(outputs), columns=columns)
    assert one(outputs, "adam").as_uri() in shown
    lines = re.sub(r"\x1b\]8;.*?\x1b\\|\x1b\[\d*[mK]", "", shown).splitlines()
    assert max(map(len, lines)) <= columns
    assert titles in [" ".join(line.split()) for line in lines]


def test_a_thousand_runs_are_listed_fast(tmp_path: Path, outputs: Path, rows: Rows) -> None:
    files = [one(outputs, "adam") / name for name in ("run.json", "result.json")]
    for number in range(1000):
        folder = tmp_path / "data" / f"2026-01-01_00-{number // 60:02}-{number % 60:02}_run_{number:012x}"
        folder.mkdir(parents=True)
        for file in files:
            (folder / file.name).hardlink_to(file)
    begun = time.monotonic()
    assert len(rows(output_dir=tmp_path)) == 1000
    assert time.monotonic() - begun < 10  # it takes half a second, and a machine may be busy


NAMED = {"last": "killed", "5": "adam", "3": "1e300", ID[:4]: "adam", ID: "adam"}


@pytest.mark.parametrize("name", NAMED)
def test_short_names(outputs: Path, name: str) -> None:
    assert find(name, outputs) == one(outputs, NAMED[name])


def test_a_hash_means_the_newest_run_of_its_config_also_within_a_sweep(outputs: Path) -> None:
    swept, alone = min(one(outputs, "sweeps").glob("runs/*")), one(outputs, "1e300")
    assert find(swept.name[-12:-6], outputs) == swept
    assert find(alone.name[-12:-6], outputs) == alone


def test_commands_understand_short_names(outputs: Path, typed: Callable[..., Finished]) -> None:
    where = ("--output-dir", str(outputs))
    result = typed("compare", "5", "4", *where)
    assert (result.returncode, result.stderr) == (0, "")
    assert re.search(r"^A  5  .*optimizer=adam\nB  4  .*dataset=diabetes", result.stdout)
    assert typed("replay", ID[:4], *where).returncode == 0
    digits = outputs.parent / "digits.csv"
    digits.write_text(",".join(map(str, range(64))) + "\n" + ",".join(["0"] * 64) + "\n")
    assert typed("predict", "5", str(digits), *where).stdout.startswith("predicted,")


def test_python_understands_them_too(outputs: Path) -> None:
    run, sweep = load("5", outputs), load("2", outputs)
    assert isinstance(run, Result)
    assert (run.folder, type(sweep)) == (one(outputs, "adam"), Sweep)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("2", "row 2 of `nnexp runs` is the sweep"),
        ("6", "must be a row of `nnexp runs`, and"),
        ("last", "must be the folder of a run that has ended"),
        ("nonsense", "must be the folder of a run or its ID in MLflow"),
    ],
)
def test_names_of_none_are_refused_in_one_line(
    outputs: Path, typed: Callable[..., Finished], name: str, words: str
) -> None:
    result = typed("replay", name, "--output-dir", str(outputs))
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"nnexp: run={name}: must ")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


def test_letters_of_two_ids_are_refused_with_both(outputs: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(outputs, tmp_path / "outputs"))
    write_tracked(one(copy, "diabetes"), "http://127.0.0.1:1", InStore("abcd1" + "0" * 27, complete=True))
    with pytest.raises(UserError) as error:
        find("abcd", copy)
    assert "run=abcd: must say which is meant, " in str(error.value)
    assert ID in str(error.value)
    assert "abcd1" in str(error.value)
    assert find("abcd1", copy) == one(copy, "diabetes")


def test_a_run_goes_on_by_its_short_name(outputs: Path, tmp_path: Path, typed: Callable[..., Finished]) -> None:
    shutil.copytree(outputs, tmp_path / "outputs")
    (one(tmp_path / "outputs", "killed") / "history.csv").unlink()
    result = typed("resume=last", "tracking=none")
    assert result.returncode == 0, result.stderr
    assert "Going on after epoch 0 of 3 in " in result.stdout
