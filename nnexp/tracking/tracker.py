"""What a tracker does; MLflow is one, nothing at all is another."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from nnexp.component import Component

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

    Attributes
    ----------
    group
        The name under which comparable runs are collected.
    name
        What tells the run from others, most telling first.
    parameters
        The resolved config, flat.
    tags
        Where the run comes from: versions, commit, hash.
    dataset
        The data it is trained on.

    """

    group: str
    name: str
    parameters: Mapping[str, object]
    tags: Mapping[str, str]
    dataset: DatasetFacts


class TrackedRun(Protocol):
    """One run while it is being tracked."""

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Keep the metrics of an epoch; they may be delivered later, together with others."""

    def finish(
        self, metrics: Mapping[str, float], tags: Mapping[str, str], description: str, folder: Path | None
    ) -> None:
        """Deliver what is known at the end, with a description in Markdown and the files of a folder."""

    def end(self, status: Status) -> None:
        """Close the run."""

    def where(self) -> Sequence[tuple[str, str]]:
        """Return what a person needs to look at the run, as pairs of a title and a line to copy."""


class Tracker(Protocol):
    """A place that keeps runs."""

    def start(self, facts: RunFacts, epochs: Sequence[int]) -> TrackedRun:
        """Begin a run that will be evaluated at the given epochs."""


@dataclass(frozen=True)
class Tracking(Component):
    """The choice of a tracker."""

    def check(self) -> None:
        """Make sure, before anything is written, that the tracker can be reached.

        Raises
        ------
        UserError
            If it cannot.

        """

    @abstractmethod
    def open(self, output_dir: Path) -> Tracker:
        """Return the tracker; what it keeps in files goes into the output folder.

        Raises
        ------
        UserError
            If it does not work.

        """


@dataclass(frozen=True)
class NoTracking(Tracking):
    """Runs leave their files in the output folder and nothing else."""

    def open(self, output_dir: Path) -> "Untracked":  # noqa: ARG002
        """Return a tracker that keeps nothing."""
        return Untracked()


class Untracked:
    """Keeps nothing; both the tracker and its runs."""

    def start(self, facts: RunFacts, epochs: Sequence[int]) -> "Untracked":  # noqa: ARG002
        """Return itself."""
        return self

    def log(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Do nothing."""

    def finish(
        self, metrics: Mapping[str, float], tags: Mapping[str, str], description: str, folder: Path | None
    ) -> None:
        """Do nothing."""

    def end(self, status: Status) -> None:
        """Do nothing."""

    def where(self) -> Sequence[tuple[str, str]]:
        """Return nothing."""
        return []
