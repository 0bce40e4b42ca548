"""MLflow in a process beside this one: the same records, the same refusals, and a death that is noticed."""

import os
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from nnexp.config.compose import compose_experiment
from nnexp.core.errors import TrackingError, UserError
from nnexp.runs.train import execute
from nnexp.tracking.beside import Beside, beside
from nnexp.tracking.mlflow import MLflowTracking
from tests.conftest import CommandLine
from tests.sweeps.test_workers import wait_for


class _Unreadable:
    def __reduce__(self) -> tuple[type[int], tuple[str]]:
        return int, ("one",)


OVERRIDES = ["trainer.epochs=5", "verbose=false", "figures=false"]


def in_store(folder: Path) -> list[dict[str, object]]:
    """Return what a store has of each run, without what differs from run to run."""
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    (experiment,) = client.search_experiments(filter_string="name = 'digits_binary'")
    return [
        {
            "status": run.info.status,
            "name": run.info.run_name,
            "params": run.data.params,
            "metrics": {name: value for name, value in run.data.metrics.items() if "seconds" not in name},
            "tags": run.data.tags.keys(),
            "curve": [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, "test/loss")],
            "files": {file.path for file in client.list_artifacts(run.info.run_id)},
            "models": [model.name for model in client.search_logged_models([experiment.experiment_id])],
        }
        for run in client.search_runs([experiment.experiment_id])
    ]


def test_a_run_is_recorded_as_it_is_without_the_process(tmp_path: Path) -> None:
    for name in ("here", "beside"):
        experiment = compose_experiment([*OVERRIDES, f"output_dir={tmp_path / name}"])
        if name == "here":
            execute(experiment, OVERRIDES)
        else:
            with beside() as other:
                execute(experiment, OVERRIDES, other)
    (one,) = in_store(tmp_path / "here")
    assert one["status"] == "FINISHED"
    assert one["models"] == ["model"]
    assert in_store(tmp_path / "beside") == [one]


@pytest.fixture
def other() -> Iterator[Beside]:
    with beside() as process:
        assert process is not None
        yield process


def test_a_store_that_cannot_be_opened(other: Beside, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("no database")
    with pytest.raises(UserError, match=r"tracking\.uri=.*must be a store that MLflow can open"):
        other.open(MLflowTracking(), tmp_path)


def test_what_is_said_there_is_said_here(other: Beside, capsys: pytest.CaptureFixture[str]) -> None:
    other.do(print, "standard output is for answers alone")
    assert capsys.readouterr().err == "standard output is for answers alone\n"


def test_a_bug_there_keeps_its_traceback(other: Beside, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(TrackingError, match=r"ValueError: invalid literal"):
        other.do(int, "one")
    assert "Traceback" in capsys.readouterr().err
    assert other.do(int, "1") == 1


def test_what_fails_without_being_waited_for_is_said_by_the_next_call(other: Beside) -> None:
    other.tell(partial(int, "one"))
    with pytest.raises(TrackingError, match=r"ValueError: invalid literal"):
        other.do(int, "1")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_a_process_that_is_stopped_holds_up_nothing(other: Beside) -> None:
    process = other.do(os.getpid)
    os.kill(process, signal.SIGSTOP)
    for _ in range(100):
        other.tell(partial(len, "x" * 100_000))
    assert not other.catches_up(0.1)
    os.kill(process, signal.SIGCONT)
    assert other.do(int, "1") == 1


def test_a_call_that_cannot_be_read_ends_the_process(other: Beside) -> None:
    with pytest.raises(TrackingError, match="has died"):
        other.do(len, _Unreadable())  # type: ignore[arg-type]


def test_a_death_is_noticed(other: Beside, tmp_path: Path) -> None:
    os.kill(other.do(os.getpid), signal.SIGKILL)
    with pytest.raises(TrackingError, match="has died: SIGKILL"):
        other.do(os.getpid)
    with pytest.raises(UserError, match=r"must be a store that MLflow can open .*has died"):
        other.open(MLflowTracking(uri=f"sqlite:///{tmp_path}/runs.db"), tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_a_run_whose_recorder_is_killed_has_its_result_and_can_be_delivered(nnexp: CommandLine) -> None:
    training = nnexp.start("trainer.epochs=20000", "trainer.evaluate_every=100", "verbose=false", "figures=false")
    folder = nnexp.folder / "outputs"
    assert wait_for(lambda: any(folder.glob("*/*/tracked.json")))
    (recorder,) = psutil.Process(training.pid).children()
    recorder.kill()
    _, errors = training.communicate(timeout=60)
    assert training.returncode == 0, errors
    assert "not recorded: the process that records has died: SIGKILL" in errors
    assert "nnexp deliver" in errors
    assert nnexp("deliver", "outputs").returncode == 0
    (one,) = in_store(folder)
    assert (one["status"], one["models"]) == ("FINISHED", ["model"])
