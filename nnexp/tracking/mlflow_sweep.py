"""Records a sweep in an MLflow store, with its runs as children."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nnexp.tracking import mlflow_view as view
from nnexp.tracking.mlflow_entities import (
    MAX_METRICS,
    child_tags,
    cut,
    inputs_of,
    membership,
    params_of,
    source_tags,
)
from nnexp.tracking.mlflow_store import active_run, log_files, tracking_errors
from nnexp.tracking.tracker import IDENTIFIER, Child, FinishedRun, Status, SweepView, TrackedSweep

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SWEEP_POINTS_PER_CURVE = 40
"""The points of a curve of a run within a sweep; a sweep has many curves, and each point costs 0.1 ms."""
PAGE_SIZE = 1000
"""The number of runs in one answer to a search."""


class MLflowSweep(TrackedSweep):
    """A sweep in an MLflow store: a parent run, and a tag that all runs of the sweep have, also reused ones.

    Args:
        client, uri: The store.
        experiment_id, run_id: The parent run.
    """

    run_id: str

    def __init__(self, client: "MlflowClient", uri: str, experiment_id: str, run_id: str) -> None:
        self._client, self.uri = client, uri
        self.experiment_id, self.run_id, self._parents = experiment_id, run_id, {run_id: True}
        self._arranged = False

    @tracking_errors()
    def children(self) -> Mapping[str, Child]:
        """Return the children that have ended by config hash, the last of each; delete the others."""
        condition, page = f"tags.`mlflow.parentRunId` = '{self.run_id}'", None
        runs: list[Run] = []
        while page != "":
            result = self._client.search_runs([self.experiment_id], condition, max_results=PAGE_SIZE, page_token=page)
            runs, page = [*runs, *result], result.token or ""
        found: dict[str, Child] = {}
        for run in sorted(runs, key=lambda run: run.info.end_time or 0, reverse=True):
            config_hash = run.data.tags.get("config_hash")
            if config_hash is None:  # somebody else's
                continue
            if run.info.status == "RUNNING" or config_hash in found:
                self._client.delete_run(run.info.run_id)
            else:
                found[config_hash] = Child(run.info.run_id, run.data.tags.get(IDENTIFIER, ""), run.info.status)
        return found

    @tracking_errors()
    def record(self, run: FinishedRun, *, fresh: bool = False) -> str | None:
        """Record a whole run at once, in a tenth of the time of single calls; return its ID."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        begin = now - int(1000 * run.seconds)
        tags = {
            **source_tags(run.facts.tags),
            **child_tags(self.run_id, fresh=fresh),
            **{key: cut(value) for key, value in run.tags.items()},
            "mlflow.note.content": cut(run.description),
        }
        name = f"{run.facts.name} (fresh seed)" if fresh else run.facts.name
        run_id = self._client.create_run(self.experiment_id, start_time=begin, tags=tags, run_name=name).info.run_id
        params = params_of(run.facts)
        history = run.history.thinned(SWEEP_POINTS_PER_CURVE)
        metrics = [
            Metric(name, value, now, epoch) for epoch, values in history.evaluations() for name, value in values.items()
        ]
        metrics += [Metric(name, value, now, 0) for name, value in run.metrics.items()]
        for start in range(0, max(len(metrics), len(params)), MAX_METRICS):
            here = slice(start, start + MAX_METRICS)
            self._client.log_batch(run_id, metrics=metrics[here], params=params[here])
        self._client.log_inputs(run_id, inputs_of(run.facts))
        log_files(self._client, run_id, run.files)
        self._client.set_terminated(run_id, run.status)
        return str(run_id)

    @tracking_errors()
    def reuse(self, run_id: str, *, fresh: bool = False) -> bool:
        """Tag a run as one of this sweep, as its child if its parent was deleted; return whether it still exists."""
        run = active_run(self._client, run_id)
        if run is None:
            return False
        parent = run.data.tags.get("mlflow.parentRunId")
        is_orphan = bool(parent) and not self._is_there(str(parent))
        tags = (child_tags if is_orphan else membership)(self.run_id, fresh=fresh)
        for key, value in tags.items() - run.data.tags.items():
            self._client.set_tag(run_id, key, value)
        return True

    @tracking_errors()
    def remove(self, run_id: str) -> None:
        """Delete a run; MLflow can restore it."""
        self._client.delete_run(run_id)

    def _is_there(self, parent: str) -> bool:
        if parent not in self._parents:  # many children have the same
            self._parents[parent] = active_run(self._client, parent) is not None
        return self._parents[parent]

    @tracking_errors()
    def finish(self, shown: SweepView | None, description: str, files: Sequence[Path], status: Status) -> None:
        """Record the results of the sweep and the view that its link opens, and close it."""
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        numbers, words = ({}, {}) if shown is None else (shown.numbers, shown.words)
        there = self._client.get_run(self.run_id).data.params if words else {}  # they can be given once
        text = view.described(description, self.experiment_id, self.run_id, files)
        self._client.log_batch(
            self.run_id,
            metrics=[Metric(name, value, now, 0) for name, value in numbers.items()],
            params=[Param(key, text) for key, text in words.items() if key not in there],
            tags=[RunTag("mlflow.note.content", text)],
        )
        if shown is not None:
            state = view.shared_view(self.run_id, shown.parameters, shown.metric, shown.metrics)
            self._client.set_experiment_tag(self.experiment_id, view.tag_name(self.run_id), state)
            self._arranged = True
        log_files(self._client, self.run_id, files)
        self._client.set_terminated(self.run_id, status)

    def links(self) -> Sequence[tuple[str, str]]:
        """Return the command that opens MLflow, and the links to the runs and to the report in it."""
        pages = {
            "Runs": view.runs_link(self.experiment_id, self.run_id, arranged=self._arranged),
            "Report": view.artifact_link(self.experiment_id, self.run_id, view.REPORT),
        }
        return view.links(self.uri, pages)
