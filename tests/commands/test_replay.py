"""Recorded runs trained again, on a real store."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from nnexp import run, sweep
from nnexp.commands.replay import Difference, first_difference
from nnexp.runs.tracked import read_tracked
from nnexp.training.history import History
from tests.conftest import Typed

SHORT = ("experiment=digits", "trainer.epochs=3", "figures=false", "verbose=false", "architecture.dropout=0.2")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an output folder with a run alone and a sweep of two."""
    folder = tmp_path_factory.mktemp("replay")
    run([*SHORT, f"output_dir={folder}"])
    sweep([*SHORT, "sweep.over=null", "seed=1,2", "sweep.confirm=0", f"output_dir={folder}"])
    return folder


def alone(outputs: Path) -> Path:
    (folder,) = (outputs / "digits").iterdir()
    return folder


@pytest.fixture
def replay(typed: Typed) -> Typed:
    """Return `nnexp replay` as a function of an output folder and a run."""
    return lambda outputs, run: typed("replay", str(run), "--output-dir", str(outputs))


def run_id(folder: Path) -> str:
    return str(next(there.run_id for there in read_tracked(folder).values()))


def test_runs_come_out_the_same_alone_and_from_a_stack(replay: Typed, outputs: Path) -> None:
    swept = sorted((outputs / "sweeps").glob("*/runs/*"))
    assert len(swept) == 2
    before = sorted(outputs.rglob("*"))
    for one in (run_id(alone(outputs)), swept[0]):
        result = replay(outputs, one)
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout.splitlines()[-1] == "The same, bit for bit: 4 evaluations of 4 metrics."
    assert sorted(outputs.rglob("*")) == before, "nothing is written"


def test_the_first_difference_is_named(replay: Typed, outputs: Path, tmp_path: Path) -> None:
    """One number changed in its last digit, another seed, and a version that is not that of today."""
    changed = tmp_path / "changed"
    shutil.copytree(alone(outputs), changed)
    header, start, first, second, third = (changed / "history.csv").read_text().splitlines()
    column = header.split(",").index("test/loss")
    values = second.split(",")
    values[column] = repr(float(np.nextafter(float(values[column]), 1)))
    (changed / "history.csv").write_text("\n".join([header, start, first, ",".join(values), third]) + "\n")
    record = (changed / "run.json").read_text()
    (changed / "run.json").write_text(record.replace(f'"version.numpy": "{np.__version__}"', '"version.numpy": "1.0"'))
    result = replay(outputs, changed)
    assert (result.returncode, result.stderr) == (1, "")
    assert f"Different from epoch 2 on: test/loss is {second.split(',')[column]}, was {values[column]}." in " ".join(
        result.stdout.split()
    )
    assert f"version.numpy 1.0 {np.__version__}" in " ".join(result.stdout.split())
    assert "version.scikit-learn" not in result.stdout, "what has not changed"

    config = (changed / "config.yaml").read_text()
    (changed / "config.yaml").write_text(config.replace("\nseed: 0\n", "\nseed: 7\n"))
    (changed / "run.json").unlink()
    result = replay(outputs, changed)
    assert result.returncode == 1
    words = " ".join(result.stdout.split())
    assert "Different from epoch 0 on: train/loss" in words
    assert "The config is another" in words
    assert "what was around it is not known" in words


@pytest.mark.parametrize("target", ["os.system", "nnexp.runs.train.run", "nnexp.optim.optimizers.Optimizer"])
def test_a_config_of_somebody_else_runs_nothing_but_components(
    replay: Typed, outputs: Path, tmp_path: Path, target: str
) -> None:
    hostile = tmp_path / "hostile"
    shutil.copytree(alone(outputs), hostile)
    config = (hostile / "config.yaml").read_text()
    assert "nnexp.optim.optimizers.Adam" in config
    (hostile / "config.yaml").write_text(config.replace("nnexp.optim.optimizers.Adam", target))
    result = replay(outputs, hostile)
    assert result.returncode == 2
    assert result.stderr.startswith(f"nnexp: optimizer._target_={target}: must be")
    assert len(result.stderr.splitlines()) == 1


def history(losses: list[float]) -> History:
    return History(np.arange(1, len(losses) + 1), {"test/loss": np.array(losses)})


def test_what_was_not_evaluated_at_the_start_is_compared_from_there_on() -> None:
    now = History(np.arange(3), {"test/loss": np.array([9.0, 1.0, 2.0])})
    assert first_difference(history([1.0, 2.0]), now, ended_early=False) is None
    assert first_difference(history([1.0, 3.0]), now, ended_early=False) == Difference(2, "test/loss", 3.0, 2.0)
    assert first_difference(now, history([1.0, 2.0]), ended_early=False) == Difference(0, "test/loss", 9.0, None)


@pytest.mark.parametrize(
    ("was", "now", "ended_early", "expected"),
    [
        ([1.0, 2.0], [1.0, 2.0], False, None),
        ([1.0, 2.0], [1.0, 3.0], False, Difference(2, "test/loss", 2.0, 3.0)),
        ([0.0], [-0.0], False, Difference(1, "test/loss", 0.0, -0.0)),
        ([1.0, 2.0], [1.0], False, Difference(2, "test/loss", 2.0, None)),
        ([1.0], [1.0, 2.0], False, Difference(2, "test/loss", None, 2.0)),
        ([1.0], [1.0, 2.0], True, None),
        ([], [], False, None),
    ],
)
def test_first_difference(was: list[float], now: list[float], ended_early: bool, expected: Difference | None) -> None:  # noqa: FBT001
    assert first_difference(history(was), history(now), ended_early=ended_early) == expected
