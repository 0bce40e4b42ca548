"""A run as MLflow has it, in a SQLite store and behind a real server."""

import csv
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from omegaconf import OmegaConf

from nnexp import run
from nnexp.config.compose import compose_experiment
from nnexp.config.identity import resolved
from nnexp.runs import Result
from nnexp.training.predictions import ClassPredictions

METRICS = {"train/loss", "test/loss", "train/accuracy", "test/accuracy"}


def the_run(client: MlflowClient, experiment: str) -> Run:
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    (run,) = client.search_runs([found.experiment_id])
    return run


@pytest.fixture
def tracked(in_folder: Callable[[], Path]) -> tuple[Result, MlflowClient, Run]:
    """Return a run of 450 epochs, its store, and what is in it."""
    result = run(["trainer.epochs=450", "optimizer.learning_rate=1", "initializer.scale=0.1", "verbose=false"])
    client = MlflowClient(f"sqlite:///{in_folder()}/outputs/mlflow.db")
    return result, client, the_run(client, "digits_binary")


def test_a_run_in_the_default_store(tracked: tuple[Result, MlflowClient, Run]) -> None:
    result, client, run = tracked
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "epochs=450 learning_rate=1 scale=0.1"
    assert run.data.params["optimizer.learning_rate"] == "1.0"
    assert run.data.params["architecture.hidden"] == "[16, 8]"
    assert run.data.params["optimizer"] == "SGD"
    assert not [key for key in run.data.params if key.startswith(("tracking", "output_dir", "verbose"))]

    tags = run.data.tags
    assert tags["config_hash"] == result.config_hash
    assert tags["version.numpy"] == np.__version__
    assert tags["blas.threads"] == "1"
    assert tags["diverged"] == "false"
    assert tags["git.commit"] == "unknown" or len(tags["git.commit"]) == 40
    assert tags["git.dirty"] in ("unknown", "true", "false")
    assert "learning_rate=1" in tags["mlflow.note.content"]

    assert run.inputs is not None
    (data,) = run.inputs.dataset_inputs
    assert data.dataset.name == "digits_binary"

    for name in METRICS:
        points = client.get_metric_history(run.info.run_id, name)
        assert 190 <= len(points) <= 200
        assert (points[0].step, points[-1].step) == (1, 450)
        for point in points:
            assert point.value == result.history.metrics[name][point.step - 1]
    best = result.history.best()
    assert run.data.metrics["best/test/loss"] == result.history.metrics["test/loss"].min()
    assert run.data.metrics["best/epoch"] == result.history.times[best]


def test_artifacts_are_complete(tracked: tuple[Result, MlflowClient, Run], tmp_path: Path) -> None:
    result, client, run = tracked
    folder = Path(client.download_artifacts(run.info.run_id, "", str(tmp_path)))
    assert str(run.info.artifact_uri).startswith((tmp_path / "outputs").as_uri())
    assert {path.name for path in (folder / "figures").iterdir()} == {
        "curves.png",
        "samples.png",
        "confusion_matrix.png",
        "predictions.png",
        "roc.png",
        "layers.png",
        "first_layer.png",
    }
    assert OmegaConf.to_container(OmegaConf.load(folder / "config.yaml")) == result.config
    with (folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["test/loss"]) for row in rows] == result.history.metrics["test/loss"].tolist()
    with np.load(folder / "parameters.npz") as parameters:
        assert set(parameters) == set(result.parameters)
        for name, values in result.parameters.items():
            np.testing.assert_array_equal(parameters[name], values)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Yield the address of a real tracking server."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    store = [
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/server.db",
        "--artifacts-destination",
        str(tmp_path / "served"),
    ]
    variables = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with subprocess.Popen(
        [*command, *store], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=variables, start_new_session=True
    ) as process:
        address = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                with urlopen(f"{address}/health", timeout=1):
                    break
            except (URLError, OSError):
                time.sleep(0.1)
        yield address
        os.killpg(process.pid, 15)


def test_a_run_on_a_server(in_folder: Callable[[], Path], server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    result = run(["trainer.epochs=5", "verbose=false", "tracking.uri=http://127.0.0.1:9", "tracking.experiment=mine"])
    assert not (in_folder() / "outputs" / "mlflow.db").exists()
    client = MlflowClient(server)
    run_there = the_run(client, "mine")
    assert run_there.info.status == "FINISHED"
    assert run_there.data.metrics["test/loss"] == result.history.metrics["test/loss"][-1]
    assert {artifact.path for artifact in client.list_artifacts(run_there.info.run_id, "figures")} >= {
        "figures/curves.png"
    }
    ((title, link),) = result.links
    assert title == "MLflow"
    assert link.startswith(f"{server}/#/experiments/")


def test_from_python_a_run_returns_everything(in_folder: Callable[[], Path]) -> None:
    overrides = [
        "experiment=digits",
        "trainer.epochs=3",
        "tracking=none",
        "verbose=false",
        f"output_dir={in_folder()}/x",
    ]
    result = run(overrides)
    assert result.history.times.tolist() == [1, 2, 3]
    assert isinstance(result.predictions, ClassPredictions)
    assert result.predictions.probabilities.shape == (360, 10)
    accuracy = (result.predictions.predicted == result.predictions.labels).mean()
    assert accuracy == result.history.metrics["test/accuracy"][-1]
    assert result.config == resolved(compose_experiment(overrides))
    assert result.folder.parent == in_folder() / "x" / "digits"
