"""Tracking with MLflow.

MLflow is slow to import and each call to it costs milliseconds, so it is imported when a tracker is opened, and
metrics are delivered in batches: about 200 points a curve, which is more than its charts show apart.
"""

import json
import logging
import os
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np

from nnexp.errors import UserError
from nnexp.tracking.environment import user
from nnexp.tracking.tracker import RunFacts, Status, Tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

POINTS = 200
"""Points of a curve that are delivered; the full history is an artifact."""
DELIVER_SECONDS = 5.0
"""Time between two deliveries while a run trains."""
REACH_SECONDS = 5.0
"""How long a server may take to answer before anything is trained."""
BATCH = 1000
"""Metrics in one call, the most that MLflow takes."""
SERVER_ERROR = 500
WEB = ("http", "https")

DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a dead server blocks a call for four minutes otherwise
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


@dataclass(frozen=True)
class MLflowTracking(Tracking):
    """Runs are kept by MLflow, in a SQLite database in the output folder or wherever `uri` points.

    Attributes
    ----------
    uri
        An MLflow tracking URI; null is `mlflow.db` in the output folder. The environment's MLFLOW_TRACKING_URI wins.
    experiment
        The MLflow experiment; null takes the name of the data set, so that comparable runs are together.

    """

    uri: str | None = None
    experiment: str | None = None

    def check(self) -> None:
        """Make sure that a tracking server answers, and that no file store is meant, which MLflow has given up."""
        uri = self._configured_uri()
        if uri is not None and urlsplit(uri).scheme in ("", "file"):
            raise UserError(
                f"tracking.uri={uri}: must be a database such as sqlite:///runs.db, or a server, not a folder"
            )
        if uri is not None and urlsplit(uri).scheme in WEB:
            _check_server(uri)

    def open(self, output_dir: Path) -> "MLflowTracker":
        """Return a tracker whose store exists and answers."""
        uri, artifacts = self._configured_uri(), None
        if uri is None:
            uri, artifacts = f"sqlite:///{output_dir / 'mlflow.db'}", (output_dir / "mlartifacts").as_uri()
        return MLflowTracker(_client(uri), uri, artifacts, self.experiment)

    def _configured_uri(self) -> str | None:
        return os.environ.get("MLFLOW_TRACKING_URI") or self.uri


class MLflowTracker:
    """An MLflow store.

    Arguments
    ---------
    client
        Connected to the store.
    uri
        The tracking URI.
    artifacts
        Where the artifacts of new experiments go; None leaves it to the server.
    experiment
        The name of the experiment, or None to take that of the run's group.

    """

    def __init__(self, client: "MlflowClient", uri: str, artifacts: str | None, experiment: str | None) -> None:
        self._client, self._uri, self._artifacts, self._experiment = client, uri, artifacts, experiment

    def start(self, facts: RunFacts, epochs: Sequence[int]) -> "MLflowRun":
        """Create the run with its params, tags and data set."""
        from mlflow.entities import Dataset, DatasetInput, InputTag, Param

        experiment = self._experiment_id(self._experiment or facts.group)
        tags = {**facts.tags, "mlflow.user": user(), "mlflow.source.name": "nnexp"}
        run = self._client.create_run(experiment, tags=tags, run_name=facts.name)
        run_id = run.info.run_id
        params = [Param(key, str(value)) for key, value in facts.parameters.items()]
        self._client.log_batch(run_id, params=params)
        data = facts.dataset
        dataset = Dataset(data.name, data.digest, "code", data.source, schema=json.dumps(data.schema))
        self._client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
        return MLflowRun(self._client, self._uri, experiment, run_id, epochs)

    def _experiment_id(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        existing = self._client.get_experiment_by_name(name)
        if existing is None:
            try:
                return self._client.create_experiment(name, artifact_location=self._artifacts)
            except MlflowException:  # another process was first
                existing = self._client.get_experiment_by_name(name)
                if existing is None:
                    raise
        return existing.experiment_id


class MLflowRun:
    """One run in an MLflow store.

    Arguments
    ---------
    client, uri
        The store.
    experiment_id, run_id
        The run.
    epochs
        The epochs at which it will be evaluated; about 200 of them are delivered.

    """

    def __init__(
        self, client: "MlflowClient", uri: str, experiment_id: str, run_id: str, epochs: Sequence[int]
    ) -> None:
        from mlflow.entities import Metric

        self._client, self._uri, self._metric = client, uri, Metric
        self.experiment_id, self.run_id = experiment_id, run_id
        chosen = np.linspace(0, len(epochs) - 1, min(POINTS, len(epochs))).round().astype(int)
        self._epochs = {epochs[index] for index in chosen}
        self._pending: list[Metric] = []
        self._delivered = time.monotonic()

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Keep the metrics of an epoch, and deliver them with others after a few seconds."""
        if epoch in self._epochs:
            now = int(time.time() * 1000)
            self._pending += [self._metric(name, value, now, epoch) for name, value in metrics.items()]
            if time.monotonic() - self._delivered > DELIVER_SECONDS:
                self._deliver()

    def _deliver(self) -> None:
        for start in range(0, len(self._pending), BATCH):
            self._client.log_batch(self.run_id, metrics=self._pending[start : start + BATCH])
        self._pending, self._delivered = [], time.monotonic()

    def finish(
        self, metrics: Mapping[str, float], tags: Mapping[str, str], description: str, folder: Path | None
    ) -> None:
        """Deliver everything that is left."""
        from mlflow.entities import RunTag

        now = int(time.time() * 1000)
        self._pending += [self._metric(name, value, now, 0) for name, value in metrics.items()]
        self._deliver()
        texts = {**tags, "mlflow.note.content": description}
        self._client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in texts.items()])
        if folder is not None:
            self._client.log_artifacts(self.run_id, str(folder))

    def end(self, status: Status) -> None:
        """Deliver pending metrics and set the final status."""
        try:
            self._deliver()
        finally:
            self._client.set_terminated(self.run_id, status)

    def where(self) -> Sequence[tuple[str, str]]:
        """Return the command that opens MLflow, and the link to the run in it."""
        # Without the workflow type a first visit lands in another part of MLflow, where runs like these are not shown.
        page = f"#/experiments/{self.experiment_id}/runs/{self.run_id}?workflowType=machine_learning"
        if urlsplit(self._uri).scheme in WEB:
            return [("MLflow", f"{self._uri.rstrip('/')}/{page}")]
        mlflow = "mlflow" if shutil.which("mlflow") else f"{shlex.quote(sys.executable)} -m mlflow"
        command = f"{mlflow} ui --backend-store-uri {shlex.quote(self._uri)}"
        return [("MLflow", command), ("then", f"http://127.0.0.1:5000/{page}")]


def _check_server(uri: str) -> None:
    """Find out within seconds whether a tracking server answers at all."""
    try:
        with urlopen(f"{uri.rstrip('/')}/health", timeout=REACH_SECONDS):  # noqa: S310 - a web address
            return
    except HTTPError as error:
        if error.code < SERVER_ERROR:  # a server that has no such page, or wants a login, is there
            return
        reason = f"it answers {error.code}"
    except (URLError, TimeoutError, OSError) as error:
        reason = str(getattr(error, "reason", error))
    raise UserError(f"tracking.uri={uri}: must be a tracking server that can be reached ({reason})")


def _client(uri: str) -> "MlflowClient":
    """Return a client of a store that exists; a SQLite database is made here, by one process at a time."""
    from contextlib import nullcontext

    from filelock import FileLock

    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # a line for every migration of a new database

    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    path = Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None
    try:
        with FileLock(path.with_name(f".{path.name}.lock")) if path else nullcontext():
            client = MlflowClient(uri)
            client.search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise UserError(
            f"tracking.uri={uri}: must be a store that MLflow can open ({str(error).splitlines()[0]})"
        ) from error
    return client
