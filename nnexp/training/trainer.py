"""The settings of the training loop: its length, batches, evaluations and early stopping."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import annotated_types as at
import numpy as np
import numpy.typing as npt

from nnexp.core.component import Component, Count, InvalidFieldError, NonNegative, Number, Positive, added
from nnexp.optim.regularization import Regularization
from nnexp.optim.schedules import Schedule
from nnexp.training.diagnostic import Diagnostic
from nnexp.training.history import Row, Unit
from nnexp.training.metrics import MetricName
from nnexp.training.pruning import Pruning

LOGARITHMIC = re.compile("log:([2-9]|[1-9][0-9]+)", re.ASCII)
"""What `evaluate_at` looks like, and snapshots may."""
Moment = Annotated[int, at.Ge(0)]
"""A number of epochs or iterations, 0 before the first step."""
LARGEST_COUNT = 1_000_000
"""More log-spaced times than these differ in no training that ends."""


@dataclass(frozen=True)
class Round:
    """A part of the training, after which the run may be evaluated.

    Attributes:
        time: The number of epochs, or iterations, from the start to its end.
        steps, steps_by_then: The number of steps in it, and from the start to its end.
        evaluated: Whether metrics are computed at its end.
        snapshot: Whether the parameters are kept at its end.
        diagnosed: Whether the diagnostics look at its end, too.
    """

    time: int
    steps: int
    steps_by_then: int
    evaluated: bool
    snapshot: bool
    diagnosed: bool


@dataclass(frozen=True)
class EarlyStopping(Component):
    """Ends a run after `patience` evaluations in which `metric` is not better than its best by more than `min_delta`.

    With `restore`, the run ends with the parameters of its best evaluation. Without a metric, the loss of the
    validation part is watched, or that of the test part where there is no validation part.
    """

    metric: str | None = None
    patience: Count = 20
    min_delta: NonNegative = 0.0
    restore: bool = True


@dataclass(frozen=True)
class Stop(Component):
    """Ends a run at the first evaluation in which `metric` is below, or above, a number."""

    metric: str
    below: Number | None = None
    above: Number | None = None

    def __post_init__(self) -> None:
        """Raise InvalidFieldError unless there is one number."""
        super().__post_init__()
        if (self.below is None) == (self.above is None):
            raise InvalidFieldError("below", self.below, f"a number, or null beside another in above={self.above}")

    @property
    def reason(self) -> str:
        """Return why a run ends, such as `test/loss below 0.2`."""
        return f"{self.metric} above {self.above}" if self.below is None else f"{self.metric} below {self.below}"

    def reached(self, row: Row) -> npt.NDArray[np.bool_]:
        """Return which runs end, given the metrics of an evaluation."""
        below, above = -np.inf if self.below is None else self.below, np.inf if self.above is None else self.above
        reached: npt.NDArray[np.bool_] = (row[self.metric] < below) | (row[self.metric] > above)
        return reached


@dataclass(frozen=True)
class Trainer(Component):
    """The settings of the training loop.

    The training goes in rounds. A round is an epoch; where `iterations` are given, it goes from one evaluation to the
    next.
    """

    epochs: Count = 1000
    iterations: Count | None = None
    batch_size: Literal["full"] | Count = "full"
    sampling: Literal["shuffled", "order", "replacement"] = "shuffled"
    evaluate_every: Count = 1
    evaluate_at: str | None = added(default=None)
    metrics: tuple[MetricName, ...] | None = None
    diagnostics: tuple[Diagnostic, ...] = added(default=())
    diagnose_every: Count | None = added(default=None)
    snapshots: tuple[Moment, ...] | str = ()
    early_stopping: EarlyStopping | None = None
    stop: Stop | None = added(default=None)
    pruning: Pruning | None = added(default=None)
    checkpoint_every: Count | None = None
    report_every: Count | None = None
    max_seconds: Positive | None = None
    regularization: Regularization = field(default_factory=Regularization)

    def __post_init__(self) -> None:
        """Raise InvalidFieldError if the times of the evaluations are not said, or said twice."""
        super().__post_init__()
        if isinstance(self.snapshots, str) and LOGARITHMIC.fullmatch(self.snapshots) is None:
            raise InvalidFieldError("snapshots", self.snapshots, "a list of times, or as log:40, a number of them")
        if self.evaluate_at is not None and LOGARITHMIC.fullmatch(self.evaluate_at) is None:
            raise InvalidFieldError("evaluate_at", self.evaluate_at, "as log:200, a number of times from 2 on, or null")
        if self.pruning is not None and self.pruning.rewind > self.length:
            raise InvalidFieldError("pruning.rewind", self.pruning.rewind, f"at most {self.length}, the {self.unit}s")
        if self.evaluate_at is not None and self.evaluate_every != 1:
            raise InvalidFieldError("evaluate_every", self.evaluate_every, f"1 beside evaluate_at={self.evaluate_at}")

    @property
    def unit(self) -> Unit:
        """Return the unit of time."""
        return "epoch" if self.iterations is None else "iteration"

    @property
    def length(self) -> int:
        """Return the number of epochs, or of iterations."""
        return self.iterations or self.epochs

    def examples_per_step(self, examples: int) -> int:
        """Return the batch size as a number, given the number of training examples."""
        return examples if self.batch_size == "full" else self.batch_size

    def steps(self, time: int, examples: int) -> int:
        """Return the number of steps until a time, given the number of training examples."""
        return time if self.iterations is not None else time * -(-examples // self.examples_per_step(examples))

    def with_length(self, length: int) -> "Trainer":
        """Return the settings of a training of another length, in the same unit."""
        return replace(self, epochs=length) if self.iterations is None else replace(self, iterations=length)

    def evaluations(self) -> list[int]:
        """Return the times of evaluations after the start.

        They are regular or log-spaced, those of snapshots and of looks of the diagnostics, the first and the last.
        """
        snapshots = [time for time in self.moments if 0 < time <= self.length]
        regular: Iterable[int] = range(self.evaluate_every, self.length, self.evaluate_every)
        if self.evaluate_at is not None:
            regular = self._evenly(self.evaluate_at)
        looks = range(self.diagnose_every, self.length, self.diagnose_every) if self.diagnose_every else ()
        return sorted({1, *regular, *looks, *snapshots, self.length})

    @property
    def moments(self) -> Sequence[int]:
        """Return the times of snapshots; log-spaced ones begin before the first step."""
        return [0, *self._evenly(self.snapshots)] if isinstance(self.snapshots, str) else self.snapshots

    def _evenly(self, said: str) -> list[int]:
        """Return so many times as a text such as `log:40` says, evenly spread over orders of magnitude."""
        count = min(int(said.partition(":")[2]), LARGEST_COUNT)
        times: list[int] = np.unique(np.geomspace(1, self.length, count).round().astype(int)).tolist()
        return times

    def why_not_longer(self, earlier: "Trainer", schedule: Schedule) -> str | None:
        """Return why a training with these settings is not an earlier one that goes on, bit for bit; None if it is.

        The reason is a clause. How the earlier training ended is not asked here, but by `Training.lengthen`.
        """
        shown = earlier.report_every
        same = replace(self.with_length(earlier.length), checkpoint_every=earlier.checkpoint_every, report_every=shown)
        if same != earlier:
            return f"a longer training differs from the earlier one in trainer.{earlier.unit}s alone"
        if self.length <= earlier.length:
            return f"the earlier training had trainer.{earlier.unit}s={earlier.length}, which is not less"
        if self.evaluate_at is not None:
            return f"the times of its evaluations, evaluate_at={self.evaluate_at}, depend on the length of the training"
        if isinstance(self.snapshots, str):
            return f"the times of its snapshots={self.snapshots} depend on the length of the training"
        if schedule.depends_on_length:
            return "the learning rates of its schedule depend on the length of the training, from the first step on"
        return None

    def rounds(self, examples: int) -> list[Round]:
        """Return all rounds of a training, given the number of training examples."""
        evaluations, moments = self.evaluations(), frozenset(self.moments)
        if self.iterations is not None:
            begins = [0, *evaluations]
            pairs = zip(begins, evaluations, strict=False)
            return [
                Round(
                    time,
                    time - begin,
                    time,
                    evaluated=True,
                    snapshot=time in moments,
                    diagnosed=time % (self.diagnose_every or 1) == 0,
                )
                for begin, time in pairs
            ]
        steps = self.steps(1, examples)
        chosen = frozenset(evaluations)
        epochs = range(1, self.epochs + 1)
        return [
            Round(
                epoch,
                steps,
                epoch * steps,
                evaluated=epoch in chosen,
                snapshot=epoch in moments,
                diagnosed=epoch in chosen and epoch % (self.diagnose_every or 1) == 0,
            )
            for epoch in epochs
        ]
