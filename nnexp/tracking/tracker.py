"""The interface of trackers: MLflow, or none. The classes here record nothing; those of MLflow override them."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from nnexp.core.component import Component
from nnexp.core.json_files import NOT_IN_FILE
from nnexp.training.history import NOTHING, History

Status = Literal["FINISHED", "FAILED", "KILLED"]
IDENTIFIER = "nnexp.run"
"""The tag with the identifier of a run or a sweep, which finds it where its ID in the store was not noted in time."""


@dataclass(frozen=True)
class DatasetFacts:
    """The facts about the data of a run that are recorded."""

    name: str
    digest: str
    source: str
    schema: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What is known of a run before it is trained, `run.json` in its folder.

    Attributes:
        group: The name under which comparable runs are collected.
        name: The name of the run, which distinguishes it from others.
        parameters: The resolved config, flat.
        tags: The origin of the run: versions, commit, hash.
        dataset: The data it is trained on.
        identifier: Made once; a store that was told of the run finds it by this, even if nobody has noted its ID there.
        overrides: The overrides with which it began.
        config_hash: The run's identity; `config.yaml` beside it has the whole config.
        code: A fingerprint of the code that its numbers depend on.
    """

    group: str
    name: str
    parameters: Mapping[str, object]
    tags: Mapping[str, str]
    dataset: DatasetFacts
    identifier: str = ""
    overrides: Sequence[str] = ()
    config_hash: str = ""
    code: str = ""


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A run that has ended, with everything that is to be recorded of it.

    Attributes:
        facts: What was known before.
        metrics: Metrics of the run as a whole, such as those of its best epoch.
        tags, status: How it ended.
        description: A text in Markdown.
        seconds: The time of the training.
        history: Its metrics over time.
        files: Its files and folders.
    """

    facts: RunRecord
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    description: str
    seconds: float
    status: Status
    history: History = field(default=NOTHING, metadata={NOT_IN_FILE: True})
    files: Sequence[Path] = field(default=(), metadata={NOT_IN_FILE: True})


@dataclass(frozen=True)
class SweepFacts:
    """The facts about a sweep that are known before it trains.

    Attributes:
        group: The name under which its runs are collected.
        name: The keys that are varied.
        description: The question, in Markdown.
        tags: The origin of the sweep: versions, commit.
    """

    group: str
    name: str
    description: str
    tags: Mapping[str, str]


class Tracked:
    """A run or a sweep while it is tracked; here it is not recorded.

    Attributes:
        uri: The address of the tracker's store.
        run_id: Its ID in the store; None without one.
    """

    uri: str = ""
    run_id: str | None = None

    def links(self) -> Sequence[tuple[str, str]]:
        """Return how to open it in the tracker, as pairs of a title and a command or address."""
        return []


class TrackedRun(Tracked):
    """One run while it is tracked; here it is not recorded."""

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Record the metrics of an epoch; they may be delivered later, with others or after a failure."""

    def finish(self, run: FinishedRun) -> None:
        """Record what came out of the run, with its files and folders, and close it; its history comes by `log`.

        Raises TrackingError if that fails.
        """

    def end(self, status: Status, files: Sequence[Path] = ()) -> None:
        """Close an unfinished run, with files and folders.

        Raises TrackingError if that fails.
        """


@dataclass(frozen=True)
class Child:
    """A run that a sweep has trained, as a tracker knows it.

    Attributes:
        run_id: Its ID in the store.
        identifier: That of its record; nothing if an earlier version has recorded it.
        status: How it ended.
    """

    run_id: str
    identifier: str
    status: str

    def is_of(self, run: FinishedRun) -> bool:
        """Tell whether this is a run, and not an earlier training of the same job."""
        if self.identifier:
            return self.identifier == run.facts.tags.get(IDENTIFIER)
        return self.status == run.status == "FINISHED"


class TrackedSweep(Tracked):
    """A sweep while it is tracked, as the parent of its runs; here it is not recorded."""

    def children(self) -> Mapping[str, Child]:
        """Return the runs of the sweep that are recorded to their end, by config hash.

        Those that are not are removed, and of several trainings of the same job all but the last.
        """
        return {}

    def record(self, run: FinishedRun, *, fresh: bool = False) -> str | None:
        """Record a run of the sweep, and return its ID in the store; one with a fresh seed is marked."""
        return None

    def reuse(self, run_id: str, *, fresh: bool = False) -> bool:
        """Add a run that was recorded before to this sweep; return whether it still exists."""
        return True

    def remove(self, run_id: str) -> None:
        """Remove a run of the sweep."""

    def finish(self, shown: "SweepView | None", description: str, files: Sequence[Path], status: Status) -> None:
        """Close the sweep, with a description in Markdown, and files and folders."""


@dataclass(frozen=True)
class SweepView:
    """The view of a sweep in a tracker.

    Attributes:
        parameters: The keys that were varied.
        metric: The path of the reading that ranks the runs.
        metrics: All metrics.
        numbers: Numbers about the sweep as a whole: how many runs it has, and what its first setting scores.
        words: The first setting, and the values of every key, once they are sure to stay.
    """

    parameters: Sequence[str]
    metric: str
    metrics: Sequence[str]
    numbers: Mapping[str, float]
    words: Mapping[str, str] = field(default_factory=dict)


class Tracker:
    """Starts to track runs and sweeps; here they are not recorded."""

    uri: str = ""

    def start(self, record: RunRecord, epochs: Sequence[int], run_id: str | None = None) -> TrackedRun:
        """Begin a run that will be evaluated at the given epochs, or go on with an existing one.

        It is the one with this `run_id`, or with the identifier among its tags.

        Raises TrackingError if that fails.
        """
        return TrackedRun()

    def start_sweep(self, facts: SweepFacts, run_id: str | None = None) -> TrackedSweep:
        """Begin a sweep, or go on with the one that has this `run_id`, or the identifier among its tags."""
        return TrackedSweep()


@dataclass(frozen=True)
class Tracking(Component):
    """The choice of a tracker."""

    def check(self) -> None:
        """Check, before anything is written, that the tracker can be reached; raises UserError if not."""

    def own_tags(self) -> Mapping[str, str]:
        """Return the tags that the user gives to runs and sweeps."""
        return {}

    def in_files(self) -> Self:
        """Return this choice as files and other people may see it, without a password."""
        return self

    def address(self, output_dir: Path) -> str:
        """Return the address of the store that `open` opens, at once; nothing without one."""
        return ""

    def opens_surely(self, output_dir: Path) -> bool:
        """Tell, at once, whether `open` is as good as sure to work, and a new run to begin."""
        return False

    @abstractmethod
    def open(self, output_dir: Path) -> Tracker:
        """Return the tracker; its files, if any, go into the output folder.

        Raises UserError if it does not work.
        """


@dataclass(frozen=True)
class NoTracking(Tracking):
    """Runs leave their files in the output folder and nothing else."""

    def open(self, output_dir: Path) -> Tracker:
        """Return a tracker that records nothing."""
        return Tracker()
