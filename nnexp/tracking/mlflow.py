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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from nnexp import terminal
from nnexp.errors import UserError
from nnexp.files import atomically
from nnexp.tracking import view
from nnexp.tracking.environment import user
from nnexp.tracking.tracker import FinishedRun, RunFacts, Status, SweepFacts, SweepView, Tracking, TrackingError
from nnexp.training.history import evenly

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Param, Run

POINTS = 200
"""Points of a curve that are delivered; the full history is an artifact."""
SWEEP_POINTS = 40
"""Points of a curve of a run within a sweep, of which there are many, and each point costs 0.1 ms."""
DELIVER_SECONDS = 5.0
"""Time between two deliveries while a run trains."""
LONGEST_WAIT = 300.0
"""The same, once deliveries have failed again and again."""
REACH_SECONDS = 5.0
"""How long a server may take to answer before anything is trained."""
BATCH = 1000
"""Metrics in one call, the most that MLflow takes."""
TEXT = 8000
"""Characters of a tag."""
PAGE = 1000
"""Runs in one answer to a search."""
SERVER_ERROR = 500
WEB = ("http", "https")

DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a dead server blocks a call for four minutes otherwise
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
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

    def fetch(self, output_dir: Path, run_id: str, names: Sequence[str], to: Path) -> None:
        """Copy files of a recorded run into a folder; what is no store yet is not made one.

        Raises
        ------
        UserError
            If the store has no such run, or the run no such file.

        """
        with self._asked(output_dir, run_id) as client:
            for name in names:
                client.download_artifacts(run_id, name, str(to))

    def tags(self, output_dir: Path, run_id: str) -> Mapping[str, str]:
        """Return the tags of a recorded run.

        Raises
        ------
        UserError
            If the store has no such run.

        """
        with self._asked(output_dir, run_id) as client:
            tags: Mapping[str, str] = client.get_run(run_id).data.tags
            return tags

    @contextmanager
    def _asked(self, output_dir: Path, run_id: str) -> Iterator["MlflowClient"]:
        """Yield a client of a store that exists, and turn its refusal into a user's mistake."""
        uri = self._configured_uri()
        if uri is None and not (output_dir / "mlflow.db").is_file():
            raise UserError(
                f"run={run_id}: must be the folder of a run or its ID in MLflow; {output_dir} has no MLflow"
            )
        self.check()
        client = _client(uri or f"sqlite:///{output_dir / 'mlflow.db'}")

        from mlflow.exceptions import MlflowException

        try:
            yield client
        except (MlflowException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"run={run_id}: must be the folder of a run or its ID in MLflow ({reason})") from error

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
        self._client, self.uri, self._artifacts, self._experiment = client, uri, artifacts, experiment

    def start(
        self, facts: RunFacts, epochs: Sequence[int], parent: str | None = None, run_id: str | None = None
    ) -> "MLflowRun":
        """Create the run with its params, tags and data set, or open one that is still there."""
        with _failing():
            return self._started(facts, epochs, parent, run_id)

    def _started(self, facts: RunFacts, epochs: Sequence[int], parent: str | None, run_id: str | None) -> "MLflowRun":
        if run_id is not None and (run := self._active(run_id)) is not None:
            self._client.update_run(run_id, status="RUNNING")
            last = {name: self._last_step(run_id, name) for name in run.data.metrics}
            return MLflowRun(self._client, self.uri, run.info.experiment_id, run_id, epochs, last)
        experiment = self._experiment_id(self._experiment or facts.group)
        tags = facts.tags if parent is None else {**facts.tags, **child_tags(parent)}
        if parent is not None:  # nested runs are shown below their parent only where both are in one experiment
            experiment = self._client.get_run(parent).info.experiment_id
        run_id = self._client.create_run(experiment, tags=source_tags(tags), run_name=facts.name).info.run_id
        self._client.log_batch(run_id, params=params_of(facts))
        self._client.log_inputs(run_id, inputs_of(facts))
        return MLflowRun(self._client, self.uri, experiment, run_id, epochs)

    def start_sweep(self, facts: SweepFacts, run_id: str | None = None) -> "MLflowSweep":
        """Create the run that explains the runs of a sweep, or open it again."""
        if run_id is not None and (run := self._active(run_id)) is not None:
            self._client.update_run(run_id, status="RUNNING")
            return MLflowSweep(self._client, self.uri, run.info.experiment_id, run_id)
        experiment = self._experiment_id(self._experiment or facts.group)
        tags = {**source_tags(facts.tags), "mlflow.note.content": cut(facts.description)}
        run_id = self._client.create_run(experiment, tags=tags, run_name=facts.name).info.run_id
        return MLflowSweep(self._client, self.uri, experiment, run_id)

    def _active(self, run_id: str) -> "Run | None":
        """Return a run; None where somebody has deleted it, or has begun another store."""
        from mlflow.exceptions import MlflowException

        with suppress(MlflowException):
            run = self._client.get_run(run_id)
            if run.info.lifecycle_stage == "active":
                return run
        return None

    def _last_step(self, run_id: str, name: str) -> int:
        return max(metric.step for metric in self._client.get_metric_history(run_id, name))

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
    last
        The last epoch of every metric that was delivered before.

    """

    def __init__(
        self,
        client: "MlflowClient",
        uri: str,
        experiment_id: str,
        run_id: str,
        epochs: Sequence[int],
        last: Mapping[str, int] | None = None,
    ) -> None:
        from mlflow.entities import Metric

        self._client, self.uri, self._metric = client, uri, Metric
        self.experiment_id, self.run_id = experiment_id, run_id
        self._epochs = {epochs[index] for index in evenly(len(epochs), POINTS)}
        self._last = last or {}
        self._pending: list[Metric] = []
        self._next_delivery, self._wait = time.monotonic() + DELIVER_SECONDS, DELIVER_SECONDS

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Keep the metrics of an epoch, and deliver them with others after a few seconds.

        What cannot be delivered is kept; it is tried less and less often, since a server that hangs takes its time.
        """
        if epoch in self._epochs:
            now = int(time.time() * 1000)
            new = {name: value for name, value in metrics.items() if epoch > self._last.get(name, -1)}
            self._pending += [self._metric(name, value, now, epoch) for name, value in new.items()]
        if self._pending and time.monotonic() > self._next_delivery:
            try:
                self._deliver()
                self._wait = DELIVER_SECONDS
            except TrackingError as error:
                if self._wait == DELIVER_SECONDS:
                    terminal.warn(f"MLflow does not take metrics for now; the training goes on ({error})")
                self._wait = min(2 * self._wait, LONGEST_WAIT)
            self._next_delivery = time.monotonic() + self._wait

    def _deliver(self) -> None:
        """Deliver what is pending; MLflow takes what it has already, with the same time, for the same."""
        with _failing():
            while self._pending:
                self._client.log_batch(self.run_id, metrics=self._pending[:BATCH])
                del self._pending[:BATCH]

    def finish(
        self, metrics: Mapping[str, float], tags: Mapping[str, str], description: str, folder: Path | None
    ) -> None:
        """Deliver everything that is left."""
        from mlflow.entities import RunTag

        now = int(time.time() * 1000)
        new = {name: value for name, value in metrics.items() if name not in self._last}
        self._pending += [self._metric(name, value, now, 0) for name, value in new.items()]
        self._deliver()
        texts = {**tags, "mlflow.note.content": description}
        with _failing():
            self._client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in texts.items()])
            if folder is not None:
                self._client.log_artifacts(self.run_id, str(folder))

    def end(self, status: Status) -> None:
        """Deliver pending metrics and set the final status."""
        try:
            self._deliver()
        finally:
            with _failing():
                self._client.set_terminated(self.run_id, status)

    def where(self) -> Sequence[tuple[str, str]]:
        """Return the command that opens MLflow, and the link to the run in it."""
        return links(self.uri, {"then": view.run_link(self.experiment_id, self.run_id)})


class MLflowSweep:
    """A sweep in an MLflow store: a parent run, whose tag on all of its runs finds them, wherever they were trained.

    Arguments
    ---------
    client, uri
        The store.
    experiment_id, run_id
        The parent.

    """

    def __init__(self, client: "MlflowClient", uri: str, experiment_id: str, run_id: str) -> None:
        self._client, self.uri = client, uri
        self.experiment_id, self.run_id = experiment_id, run_id

    def recorded(self) -> Mapping[str, str]:
        """Return the finished children by config hash, and delete those that were not recorded to their end."""
        condition, found, page = f"tags.`mlflow.parentRunId` = '{self.run_id}'", {}, None
        runs: list[Run] = []
        while page != "":
            result = self._client.search_runs([self.experiment_id], condition, max_results=PAGE, page_token=page)
            runs, page = [*runs, *result], result.token or ""
        for run in runs:
            if run.info.status == "FINISHED":
                found[run.data.tags["config_hash"]] = run.info.run_id
            else:
                self._client.delete_run(run.info.run_id)
        return found

    def record(self, run: FinishedRun) -> str | None:
        """Write a whole run at once, which takes a tenth of what its calls one by one would."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        begin = now - int(1000 * run.seconds)
        tags = {
            **source_tags(run.facts.tags),
            **child_tags(self.run_id),
            **{key: cut(value) for key, value in run.tags.items()},
            "mlflow.note.content": cut(run.description),
        }
        run_id = self._client.create_run(
            self.experiment_id, start_time=begin, tags=tags, run_name=run.facts.name
        ).info.run_id
        params = params_of(run.facts)
        history = run.history.thinned(SWEEP_POINTS)
        metrics = [
            Metric(name, value, now, epoch)
            for name, values in history.metrics.items()
            for epoch, value in zip(history.times.tolist(), values.tolist(), strict=True)
        ]
        metrics += [Metric(name, value, now, 0) for name, value in run.metrics.items()]
        for start in range(0, max(len(metrics), len(params)), BATCH):
            here = slice(start, start + BATCH)
            self._client.log_batch(run_id, metrics=metrics[here], params=params[here])
        self._client.log_inputs(run_id, inputs_of(run.facts))
        if run.folder is not None:
            self._client.log_artifacts(run_id, str(run.folder))
        self._client.set_terminated(run_id, run.status)
        return str(run_id)

    def reuse(self, run_id: str) -> bool:
        """Tag a run as one of this sweep, unless somebody has deleted it."""
        from mlflow.exceptions import MlflowException

        try:
            run = self._client.get_run(run_id)
        except MlflowException:
            return False
        if run.info.lifecycle_stage != "active":
            return False
        for key, value in membership(self.run_id).items():
            if run.data.tags.get(key) != value:
                self._client.set_tag(run_id, key, value)
        return True

    def finish(self, shown: SweepView, description: str, files: Sequence[Path], status: Status) -> None:
        """Deliver what is known of the sweep, and prepare the page that its link opens."""
        from mlflow.entities import Metric, RunTag

        now = int(time.time() * 1000)
        self._client.log_batch(
            self.run_id,
            metrics=[Metric(name, value, now, 0) for name, value in shown.numbers.items()],
            tags=[RunTag("mlflow.note.content", cut(description))],
        )
        state = view.shared_view(self.run_id, shown.parameters, f"best/{shown.metric}", shown.metrics)
        self._client.set_experiment_tag(self.experiment_id, view.tag_name(self.run_id), state)
        for path in files:
            if path.is_dir():
                self._client.log_artifacts(self.run_id, str(path), path.name)
            else:
                self._client.log_artifact(self.run_id, str(path))
        self._client.set_terminated(self.run_id, status)

    def where(self) -> Sequence[tuple[str, str]]:
        """Return the command that opens MLflow, and the links to the runs and to the report in it."""
        pages = {
            "Runs": view.runs_link(self.experiment_id, self.run_id),
            "Report": view.artifact_link(self.experiment_id, self.run_id, "report.html"),
        }
        return links(self.uri, pages)


def links(uri: str, pages: Mapping[str, str]) -> Sequence[tuple[str, str]]:
    """Return the address of pages of MLflow by their titles, and before them how to start it where it is no server."""
    if urlsplit(uri).scheme in WEB:
        return [(title if len(pages) > 1 else "MLflow", f"{uri.rstrip('/')}/{page}") for title, page in pages.items()]
    mlflow = "mlflow" if shutil.which("mlflow") else f"{shlex.quote(sys.executable)} -m mlflow"
    command = f"{mlflow} ui --backend-store-uri {shlex.quote(uri)}"
    return [("MLflow", command), *[(title, f"http://127.0.0.1:5000/{page}") for title, page in pages.items()]]


def cut(text: str) -> str:
    """Return as much of a text as MLflow keeps in a tag; of more it warns."""
    return text if len(text) <= TEXT else f"{text[: TEXT - 4]} ..."


def source_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags with those that MLflow itself shows."""
    return {**tags, "mlflow.user": user(), "mlflow.source.name": "nnexp"}


def child_tags(parent: str) -> dict[str, str]:
    """Return the tags of a run that a sweep trained."""
    return {"mlflow.parentRunId": parent, "sweep": parent, **membership(parent)}


def membership(sweep: str) -> dict[str, str]:
    """Return the tag of all runs of a sweep, also of those that another one trained."""
    return {f"sweep.{sweep}": "yes"}


def params_of(facts: RunFacts) -> list["Param"]:
    """Return the resolved config as MLflow keeps it."""
    from mlflow.entities import Param

    return [Param(key, str(value)) for key, value in facts.parameters.items()]


def inputs_of(facts: RunFacts) -> list["DatasetInput"]:
    """Return the data set as MLflow keeps it."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    data = facts.dataset
    dataset = Dataset(data.name, data.digest, "code", data.source, schema=json.dumps(data.schema))
    return [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])]


@contextmanager
def _failing() -> Iterator[None]:
    """Say in one line what a store could not do: whatever it is, the training has nothing to do with it."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        raise TrackingError(str(error).splitlines()[0]) from error


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
            if path is not None and not path.exists():
                # Whoever is interrupted in the middle would leave a database that nothing opens any more.
                for left in path.parent.glob(f".{path.stem}.*{path.suffix}*"):
                    left.unlink()  # by somebody who was killed, as we hold the lock
                with atomically(path) as temporary:
                    MlflowClient(f"sqlite:///{temporary}").search_experiments(max_results=1)
            client = MlflowClient(uri)
            client.search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise UserError(
            f"tracking.uri={uri}: must be a store that MLflow can open ({str(error).splitlines()[0]})"
        ) from error
    return client
