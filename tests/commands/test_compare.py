"""Runs side by side: by their folders, by their IDs, and from a store alone."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nnexp import run
from nnexp.commands.compare import differences, metric_rows
from nnexp.plots.comparison import comparison
from nnexp.runs.recorded_run import recorded_run
from nnexp.runs.tracked import read_tracked
from nnexp.training.history import History
from tests.conftest import Typed

SHORT = ("trainer.epochs=3", "figures=false", "verbose=false")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an output folder with two runs in MLflow."""
    folder = tmp_path_factory.mktemp("compare")
    for override in ("seed=0", "optimizer.learning_rate=0.25"):
        run([override, *SHORT, f"output_dir={folder}/outputs"])
    return folder / "outputs"


def folders_of(outputs: Path) -> list[Path]:
    return sorted((outputs / "digits_binary").iterdir(), key=lambda folder: "learning_rate" in folder.name)


@pytest.fixture
def compare(typed: Typed) -> Typed:
    """Return `nnexp compare` as a function of an output folder and runs."""
    return lambda outputs, *runs: typed("compare", *map(str, runs), "--output-dir", str(outputs))


def ids_of(outputs: Path) -> list[str]:
    return [next(str(there.run_id) for there in read_tracked(folder).values()) for folder in folders_of(outputs)]


@pytest.mark.parametrize("by", [folders_of, ids_of])
def test_what_differs_and_by_how_much(compare: Typed, outputs: Path, by: object) -> None:
    result = compare(outputs, *(folders_of if by is folders_of else ids_of)(outputs))
    assert (result.returncode, result.stderr) == (0, "")
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line for line in lines if line and "." in line[0] and line[0][0].isalpha()][:1] == [
        ["optimizer.learning_rate", "0.5", "0.25"]
    ]
    first, second = (
        json.loads((folder / "result.json").read_text())["final"]["test/loss"] for folder in folders_of(outputs)
    )
    (row,) = [line for line in lines if line[:2] == ["test/loss,", "final"]]
    assert row[2:] == [f"{first:.4f}", f"{second:.4f}", f"({second - first:+.4f})"]
    assert Path(result.stdout.split("Picture ")[1].strip()).stat().st_size > 10_000


def test_runs_whose_files_are_gone_come_from_mlflow(outputs: Path, tmp_path: Path) -> None:
    expected = [recorded_run(str(folder), outputs) for folder in folders_of(outputs)]
    copy, ids = tmp_path / "outputs", ids_of(outputs)
    copy.mkdir()
    shutil.copy(outputs / "mlflow.db", copy)  # its artifacts stay where they were
    for run_id, one in zip(ids, expected, strict=True):
        fetched = recorded_run(run_id, copy)
        assert (fetched.config, fetched.summary, fetched.record) == (one.config, one.summary, one.record)
        assert fetched.record is not None
        np.testing.assert_array_equal(fetched.history.times, one.history.times)


def test_mistakes(compare: Typed, outputs: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(folders_of(outputs)[0], damaged)
    (damaged / "config.yaml").write_text("!!python/object/apply:os.system ['touch written']\n")
    for wrong in ("nonsense", tmp_path, damaged):
        result = compare(outputs, folders_of(outputs)[0], wrong)
        assert result.returncode == 2
        assert result.stderr.startswith(f"nnexp: run={wrong}: must ")
        assert len(result.stderr.splitlines()) == 1
    empty = tmp_path / "empty"
    assert "has no MLflow" in compare(empty, "nonsense", "nonsense").stderr
    assert not (empty / "mlflow.db").exists(), "no store is made"
    assert not list(tmp_path.rglob("written"))


def test_rows() -> None:
    configs = [{"a": 1, "b": 2}, {"a": 1, "b": 3, "c": True}]
    assert differences(configs) == [("b", "2", "3"), ("c", "-", "True")]
    assert differences(configs[:1] * 2) == []


def test_a_run_that_diverged_is_told_apart(outputs: Path, tmp_path: Path) -> None:
    words = ["initializer.scale=1e200", "architecture.activation=relu", "tracking=none", *SHORT]
    diverged = run([*words, f"output_dir={tmp_path}"]).folder
    runs = [recorded_run(str(one), outputs) for one in (folders_of(outputs)[0], diverged)]
    rows = {row[0]: row[1:] for row in metric_rows(runs)}
    assert rows["diverged at step"] == ("", "1")
    assert rows["test/loss, final"][1] == "-"


def test_curves_of_each_run_and_part() -> None:
    times = np.arange(1, 4)
    histories = {
        name: History(times, {f"{part}/loss": np.array([3.0, 2.0, 1.0]) + place for part in ("train", "test")})
        for place, name in enumerate("ABC")
    }
    (axes,) = comparison(histories).axes
    drawn = [line for line in axes.lines if len(line.get_xdata(orig=True))]  # type: ignore[arg-type]
    assert len(drawn) == 6
    assert len({tuple(line.get_color()) for line in drawn}) == 3


A, B = "trainer.epochs=3 optimizer.learning_rate=0.5 tracking=none", "trainer.epochs=300"
"""Settings of which the second is better."""


@pytest.mark.parametrize(
    ("texts", "status", "better"),
    [((A, B), 11, "B"), ((B, A), 0, "A"), ((A, f"seed=7 {A}"), 10, None)],
)
def test_two_settings_are_compared_by_many_seeds(
    typed: Typed, texts: tuple[str, str], status: int, better: str | None
) -> None:
    asked = ("compare", *texts, "--seeds", "4", "--metric", "train/loss")
    result = typed(*asked, "--json")
    verdict = json.loads(result.stdout)
    assert (result.returncode, verdict["better"], verdict["metric"]) == (status, better, "train/loss")
    assert len(verdict["A"]["values"]) == len(verdict["B"]["values"]) == 4
    again = typed(*asked)
    assert again.returncode == status
    assert "Reused: " in again.stdout
    assert again.stdout.splitlines()[-1].startswith(f"{better} is better" if better else "Not shown which is better")


def test_a_run_is_compared_with_an_edit_of_it(typed: Typed, tmp_path: Path) -> None:
    assert typed(*SHORT, "tracking=none").returncode == 0
    (run,) = (tmp_path / "outputs" / "digits_binary").iterdir()
    result = typed("compare", str(run), "trainer.epochs=3 initializer.scale=1 tracking=none", "--seeds", "3")
    assert result.returncode in (0, 10, 11)
    assert "Reused: 1 of 6 runs" in result.stdout
    (run / "run.json").write_text((run / "run.json").read_text().replace('epochs=3"', 'epochs=4"'))
    refused = typed("compare", str(run), A, "--seeds", "3")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "must be what its overrides make" in refused.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((A, B, "--seeds", "2"), "--seeds 2: must be 3 or more, and stand beside two runs or texts of overrides"),
        ((A, "--seeds", "4"), "--seeds 4: must be 3 or more, and stand beside two runs or texts of overrides"),
        ((A, "trainer.epochs=2,3", "--seeds", "4"), "trainer.epochs=2,3: must be one value"),
        ((A, "trainer.epochs='2", "--seeds", "4"), "trainer.epochs='2: must have its quotes in pairs"),
        ((A, "trainer.epohs=2", "--seeds", "4"), "trainer.epohs: no such key, did you mean trainer.epochs?"),
        ((A, "nothing", "--seeds", "4"), "run=nothing: must be the folder of a run"),
        ((A, B, "--seeds", "4", "--metric", "x"), "sweep.metric=x: must be train/loss or"),
    ],
)
def test_a_mistake_about_settings_is_one_line(typed: Typed, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    result = typed("compare", *words)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith(f"nnexp: {said}")
    assert not [*tmp_path.glob("outputs/*")]
