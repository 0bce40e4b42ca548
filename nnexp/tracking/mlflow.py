"""Tracking with MLflow: the choice of a store, and the start of runs and sweeps in it.

MLflow is slow to import, so it is imported when a tracker is opened.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nnexp.core.component import Name
from nnexp.core.errors import TrackingError, UserError, without_passwords
from nnexp.core.files import is_there
from nnexp.tracking.mlflow_entities import cut, inputs_of, params_of, source_tags
from nnexp.tracking.mlflow_run import MLflowRun
from nnexp.tracking.mlflow_store import (
    ARTIFACTS,
    DATABASE,
    SQLITE,
    absolute_uri,
    active_run,
    check_store,
    database_file,
    is_usable,
    open_store,
    restore,
    tracking_errors,
)
from nnexp.tracking.mlflow_sweep import MLflowSweep
from nnexp.tracking.mlflow_view import about_runs
from nnexp.tracking.tracker import IDENTIFIER, RunRecord, SweepFacts, Tracker, Tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


@dataclass(frozen=True)
class MLflowTracking(Tracking):
    """Runs are recorded by MLflow, in a SQLite database in the output folder or at `uri`."""

    uri: str | None = None
    experiment: str | None = None
    tags: tuple[tuple[Name, ...], ...] | None = None

    def check(self) -> None:
        """Check that a tracking server answers; refuse a file store, which MLflow no longer supports."""
        uri = self._configured_uri()
        if uri is not None:
            check_store(uri)

    def own_tags(self) -> Mapping[str, str]:
        """Return the tags that the user gives to runs and sweeps."""
        return {str(name): str(text) for name, text in self.tags or ()}

    def in_files(self) -> "MLflowTracking":
        """Return this choice as files and other people may see it, without a password."""
        return self if self.uri is None else replace(self, uri=without_passwords(self.uri))

    def address(self, output_dir: Path) -> str:
        """Return the address of the store that `open` opens."""
        return self._configured_uri() or default_uri(output_dir)

    def opens_surely(self, output_dir: Path) -> bool:
        """Tell whether it is the usual database, new or as MLflow wants it, and all names are nnexp's own."""
        own = not (self.experiment or self.tags or os.environ.get("MLFLOW_EXPERIMENT_NAME"))
        return own and self._configured_uri() is None and is_usable(output_dir / DATABASE)

    def open(self, output_dir: Path) -> "MLflowTracker":
        """Return a tracker for a store that exists and answers."""
        uri, experiment = self._configured_uri(), self.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME")
        if uri is None:
            return default_tracker(output_dir, experiment)
        return MLflowTracker(open_store(uri), uri, None, experiment)

    def fetch(
        self, output_dir: Path, run_id: str, names: Sequence[str], to: Path, *, optional: Sequence[str] = ()
    ) -> None:
        """Copy files of a recorded run into a folder; no store is created.

        Raises UserError if the store has no such run, or the run no such file; optional ones may be missing.
        """
        with self._client_of(output_dir, run_id) as client:
            there = {file.path for file in client.list_artifacts(run_id)} if optional else set()
            for name in [*names, *(one for one in optional if one in there)]:
                client.download_artifacts(run_id, name, str(to))

    @contextmanager
    def _client_of(self, output_dir: Path, run_id: str) -> Iterator["MlflowClient"]:
        """Yield a client of an existing store; an error of the store becomes a user's mistake."""
        uri = self._configured_uri()
        if uri is None and not is_there(output_dir / DATABASE):
            raise UserError(
                f"run={run_id}: must be the folder of a run or its ID in MLflow; {output_dir} has no MLflow"
            )
        self.check()
        client = open_store(uri or default_uri(output_dir))
        try:
            with tracking_errors():
                yield client
        except TrackingError as error:
            raise UserError(f"run={run_id}: must be the folder of a run or its ID in MLflow ({error})") from error

    def _configured_uri(self) -> str | None:
        uri = self.uri or os.environ.get("MLFLOW_TRACKING_URI")
        return uri and absolute_uri(uri)


def default_uri(output_dir: Path) -> str:
    """Return the URI of the default store in an output folder."""
    return f"{SQLITE}{output_dir / DATABASE}"


def default_tracker(output_dir: Path, experiment: str | None = None) -> "MLflowTracker":
    """Return a tracker for the default store in an output folder, which is made if it is not there."""
    uri = default_uri(output_dir)
    return MLflowTracker(open_store(uri), uri, (output_dir / ARTIFACTS).as_uri(), experiment)


def existing_tracker(uri: str) -> "MLflowTracker":
    """Return a tracker for an existing store.

    Raises UserError if it does not exist, or does not answer.
    """
    file = database_file(uri)
    if file is not None and not is_there(file):
        raise UserError(f"tracking.uri={uri}: must be a database that is there")
    check_store(uri)
    return MLflowTracker(open_store(uri), uri, None, None)


class MLflowTracker(Tracker):
    """An MLflow store.

    Args:
        client: A client of the store.
        uri: The tracking URI.
        artifacts: The location of artifacts of new experiments; None for that of the server.
        experiment: The name of the experiment, or None for that of the run's group.
    """

    def __init__(self, client: "MlflowClient", uri: str, artifacts: str | None, experiment: str | None) -> None:
        self._client, self.uri, self._artifacts, self._experiment = client, uri, artifacts, experiment

    @tracking_errors()
    def start(self, record: RunRecord, epochs: Sequence[int], run_id: str | None = None) -> "MLflowRun":
        """Create the run with its params, tags and data set, or open an existing one."""
        run = self._opened(record, source_tags(record.tags), run_id)
        if not run.data.params or run.inputs is None or not run.inputs.dataset_inputs:
            self._client.log_batch(run.info.run_id, params=params_of(record))
            self._client.log_inputs(run.info.run_id, inputs_of(record))
        return MLflowRun(self._client, self.uri, run, epochs)

    @tracking_errors()
    def start_sweep(self, facts: SweepFacts, run_id: str | None = None) -> "MLflowSweep":
        """Create the parent run of a sweep, or open an existing one."""
        tags = {**source_tags(facts.tags), "mlflow.note.content": cut(facts.description)}
        run = self._opened(facts, tags, run_id)
        return MLflowSweep(self._client, self.uri, run.info.experiment_id, run.info.run_id)

    def _opened(self, facts: RunRecord | SweepFacts, tags: dict[str, str], run_id: str | None) -> "Run":
        """Return a run or a sweep that is running: the one with this ID, one that was begun before, or a new one."""
        run = None if run_id is None else active_run(self._client, run_id, restored=True)
        if run is None:
            experiment = self._experiment_id(self._experiment or facts.group)
            run = self._begun(experiment, facts) or self._client.create_run(experiment, tags=tags, run_name=facts.name)
        if run.info.status != "RUNNING":
            self._client.update_run(run.info.run_id, status="RUNNING")
        return run

    def _begun(self, experiment: str, facts: RunRecord | SweepFacts) -> "Run | None":
        """Return the run or sweep that was begun here by a process that died before it noted its ID, or None."""
        if IDENTIFIER not in facts.tags:
            return None
        condition = f"tags.`{IDENTIFIER}` = '{facts.tags[IDENTIFIER]}'"
        return next(iter(self._client.search_runs([experiment], condition)), None)

    def _experiment_id(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        existing = self._client.get_experiment_by_name(name)
        if existing is None:
            try:
                new = self._client.create_experiment(name, artifact_location=self._artifacts)
                self._client.set_experiment_tag(new, "mlflow.note.content", about_runs(new))
                return str(new)
            except MlflowException:  # another process was first
                existing = self._client.get_experiment_by_name(name)
                if existing is None:
                    raise
        restore(self._client, existing)
        return existing.experiment_id
