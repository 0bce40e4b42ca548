"""The interface of trackers: each class here keeps nothing, as without tracking, and MLflow's override it."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nnexp.core.component import Component
from nnexp.training.history import NOTHING, History

Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class DatasetFacts:
    """What is recorded of the data of a run."""

    name: str
    digest: str
    source: str
    schema: Mapping[str, object]


@dataclass(frozen=True)
class RunFacts:
    """What is known of a run before it trains.

    Attributes:
        group: The name under which comparable runs are collected.
        name: What tells the run from others, most telling first.
        parameters: The resolved config, flat.
        tags: Where the run comes from: versions, commit, hash.
        dataset: The data it is trained on.
    """

    group: str
    name: str
    parameters: Mapping[str, object]
    tags: Mapping[str, str]
    dataset: DatasetFacts


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A run that has been trained, with all that is to be kept of it.

    Attributes:
        facts: What was known before.
        metrics: Metrics of the run as a whole, such as those of its best epoch.
        tags, status: How it ended.
        description: In Markdown.
        seconds: How long it trained.
        history: Its metrics over time.
        files: Its files and folders.
    """

    facts: RunFacts
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    description: str
    seconds: float
    status: Status
    history: History = NOTHING
    files: Sequence[Path] = ()


@dataclass(frozen=True)
class SweepFacts:
    """What is known of a sweep before it trains.

    Attributes:
        group: The name under which its runs are collected.
        name: What is varied.
        description: What was asked, in Markdown.
        tags: Where the sweep comes from.
    """

    group: str
    name: str
    description: str
    tags: Mapping[str, str]


class TrackedRun:
    """One run while it is being tracked; here by nobody.

    Attributes:
        uri: Where the tracker keeps things.
        run_id: What the tracker calls the run; None where it keeps nothing.
    """

    uri: str = ""
    run_id: str | None = None

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Keep the metrics of an epoch; they may be delivered later, together with others, or when that works again."""

    def finish(
        self, metrics: Mapping[str, float], tags: Mapping[str, str], description: str, files: Sequence[Path]
    ) -> None:
        """Deliver what is known at the end, a description in Markdown, files and folders, and close the run.

        Raises TrackingError if that cannot be done now.
        """

    def end(self, status: Status, files: Sequence[Path] = ()) -> None:
        """Close a run that does not get to its end, within two seconds, with files and folders.

        Raises TrackingError if that cannot be done now.
        """

    def links(self) -> Sequence[tuple[str, str]]:
        """Return what a person needs to look at the run, as pairs of a title and a line to copy."""
        return []


class TrackedSweep:
    """A sweep while it is being tracked, as a run that explains others; here by nobody.

    Attributes:
        uri: Where the tracker keeps things.
        run_id: What the tracker calls the sweep; None where it keeps nothing.
    """

    uri: str = ""
    run_id: str | None = None

    def recorded(self) -> Mapping[str, str]:
        """Return the runs of the sweep that an earlier command recorded in full, by config hash; remove all others."""
        return {}

    def record(self, run: FinishedRun) -> str | None:
        """Keep a run of the sweep, and return what the tracker calls it."""
        return None

    def reuse(self, run_id: str) -> bool:
        """Let a run that was recorded before be one of this sweep, too; return whether it is still there."""
        return True

    def finish(self, shown: "SweepView", description: str, files: Sequence[Path], status: Status) -> None:
        """Close the sweep, with a description in Markdown, and files and folders."""

    def links(self) -> Sequence[tuple[str, str]]:
        """Return what a person needs to look at the sweep, as pairs of a title and a line to copy."""
        return []


@dataclass(frozen=True)
class SweepView:
    """What a person should see first of a sweep.

    Attributes:
        parameters: The keys that were varied.
        metric: What tells which run is best.
        metrics: All metrics.
        numbers: What is known of the sweep as a whole, such as the number of its runs.
    """

    parameters: Sequence[str]
    metric: str
    metrics: Sequence[str]
    numbers: Mapping[str, float]


class Tracker:
    """A place that keeps runs; here one that keeps nothing."""

    uri: str = ""

    def start(self, facts: RunFacts, epochs: Sequence[int], run_id: str | None = None) -> TrackedRun:
        """Begin a run that will be evaluated at the given epochs, or go on with one.

        Raises TrackingError if the tracker does not take it.
        """
        return TrackedRun()

    def start_sweep(self, facts: SweepFacts, run_id: str | None = None) -> TrackedSweep:
        """Begin a sweep, or go on with the one that has this `run_id`, if it is still there."""
        return TrackedSweep()


@dataclass(frozen=True)
class Tracking(Component):
    """The choice of a tracker."""

    def check(self) -> None:
        """Make sure, before anything is written, that the tracker can be reached; raises UserError if it cannot."""

    @abstractmethod
    def open(self, output_dir: Path) -> Tracker:
        """Return the tracker; what it keeps in files goes into the output folder.

        Raises UserError if it does not work.
        """


@dataclass(frozen=True)
class NoTracking(Tracking):
    """Runs leave their files in the output folder and nothing else."""

    def open(self, output_dir: Path) -> Tracker:
        """Return a tracker that keeps nothing."""
        return Tracker()
