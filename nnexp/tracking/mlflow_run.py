"""Records one run in an MLflow store while it is trained.

Each call to MLflow costs milliseconds, so metrics are delivered in batches: about 200 points per curve, more than its
charts can show.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from nnexp.core.errors import TrackingError, warn
from nnexp.tracking import mlflow_view as view
from nnexp.tracking.mlflow_entities import MAX_METRICS
from nnexp.tracking.mlflow_store import log_files, tracking_errors
from nnexp.tracking.tracker import FinishedRun, Status, TrackedRun
from nnexp.training.history import evenly

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

POINTS_PER_CURVE = 200
"""The points of a curve that are delivered; the full history is an artifact."""
DELIVER_SECONDS = 5.0
"""Time between two deliveries while a run trains."""
ERROR = "error"
"""The tag of a run that failed, with the reason."""
LONGEST_WAIT = 300.0
"""The longest time between two deliveries, after several have failed."""


class MLflowRun(TrackedRun):
    """One run in an MLflow store.

    Args:
        client, uri: The store.
        run: The run, new or with what it had before.
        epochs: The epochs of its evaluations; the metrics of about 200 of them are delivered.
    """

    run_id: str

    def __init__(self, client: "MlflowClient", uri: str, run: "Run", epochs: Sequence[int]) -> None:
        from mlflow.entities import Metric

        self._client, self.uri, self._metric = client, uri, Metric
        self._experiment_id, self.run_id = str(run.info.experiment_id), str(run.info.run_id)
        self._models = [model.model_id for model in (run.outputs.model_outputs if run.outputs else ())]
        self._latest: Mapping[str, float] = run.data.metrics
        self._failed = ERROR in run.data.tags
        self._there = {name: self._delivered(name) for name in self._latest}
        self._epochs = {epochs[index] for index in evenly(len(epochs), POINTS_PER_CURVE)}
        self._pending: list[Metric] = []
        self._delivery: Thread | None = None
        self._next_delivery, self._wait = time.monotonic() + DELIVER_SECONDS, DELIVER_SECONDS

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Keep the metrics of an epoch, and deliver them with others after a few seconds, in another thread.

        If a delivery fails, it is tried again at longer and longer intervals. A server may be slow, or hang: the
        training does not wait for it.
        """
        if epoch in self._epochs:
            now = int(time.time() * 1000)
            new = {name: value for name, value in metrics.items() if epoch not in self._there.get(name, ())}
            self._pending += [self._metric(name, value, now, epoch) for name, value in new.items()]
        delivering = self._delivery is not None and self._delivery.is_alive()
        if self._pending and not delivering and time.monotonic() > self._next_delivery:
            self._delivery = Thread(target=self._deliver_or_wait, daemon=True)
            self._delivery.start()

    def _delivered(self, name: str) -> set[int]:
        """Return the epochs at which a metric was delivered before."""
        return {metric.step for metric in self._client.get_metric_history(self.run_id, name)}

    def _deliver_or_wait(self) -> None:
        try:
            self._deliver()
            self._wait = DELIVER_SECONDS
        except TrackingError as error:
            if self._wait == DELIVER_SECONDS:
                warn(f"MLflow does not take metrics for now; the training goes on ({error})")
            self._wait = min(2 * self._wait, LONGEST_WAIT)
        self._next_delivery = time.monotonic() + self._wait

    @tracking_errors()
    def _deliver(self) -> None:
        """Deliver pending metrics; if one was delivered before with the same time, MLflow keeps one."""
        while self._pending:
            batch = self._pending[:MAX_METRICS]
            self._client.log_batch(self.run_id, metrics=batch)
            del self._pending[: len(batch)]  # no more: others have come in the meantime

    def finish(self, run: FinishedRun) -> None:
        """Deliver everything that is left, and close the run."""
        from mlflow.entities import RunTag

        self._stop_delivering()
        now = int(time.time() * 1000)
        new = {name: value for name, value in run.metrics.items() if self._latest.get(name) != value}
        self._pending += [self._metric(name, value, now, 0) for name, value in new.items()]
        self._deliver()
        note = view.described(run.description, self._experiment_id, self.run_id, run.files)
        texts = {**run.tags, "mlflow.note.content": note}
        with tracking_errors():
            self._client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in texts.items()])
            if self._failed and ERROR not in run.tags:  # an earlier time
                self._client.delete_tag(self.run_id, ERROR)
            models = [path for path in run.files if (path / "MLmodel").is_file()]
            log_files(self._client, self.run_id, [path for path in run.files if path not in models])
            for path in models:
                self._log_model(path)
            self._client.set_terminated(self.run_id, run.status)

    def _log_model(self, folder: Path) -> None:
        """Copy a model to where MLflow keeps models; `runs:/RUN_ID/model` and the run's artifacts lead there, too."""
        from mlflow.entities import LoggedModelOutput

        if not self._models:  # else it goes on, and what it has now replaces what it had then
            model = self._client.create_logged_model(self._experiment_id, folder.name, self.run_id)
            self._models = [str(model.model_id)]
            self._client.log_outputs(self.run_id, [LoggedModelOutput(model.model_id, step=0)])
        self._client.log_model_artifacts(self._models[0], str(folder))
        self._client.finalize_logged_model(self._models[0], "READY")

    def end(self, status: Status, files: Sequence[Path] = ()) -> None:
        """Close an unfinished run; its status comes before its files, since there may be no time for them."""
        self._stop_delivering()
        self._deliver()
        with tracking_errors():
            self._client.set_terminated(self.run_id, status)
            log_files(self._client, self.run_id, files)

    def _stop_delivering(self) -> None:
        if self._delivery is not None:
            self._delivery.join()

    def links(self) -> Sequence[tuple[str, str]]:
        """Return the command that opens MLflow, and the link to the run in it."""
        return view.links(self.uri, {"then": view.run_link(self._experiment_id, self.run_id)})
