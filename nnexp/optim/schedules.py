"""Schedules: the factor on the learning rate at each step.

Time is counted in steps or epochs, as `per` says. `shape(t, total, state)` is the factor at time t, from 0, of a
training of length `total`; it uses `np.where` instead of `if`, because its numbers may be arrays over runs.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, NamedTuple

import annotated_types as at
import numpy as np

from nnexp.core.component import Array, Component, NonNegative, Number, Positive
from nnexp.optim.optimizers import State

AtLeastOne = Annotated[Number, at.Ge(1)]
ZeroToOne = Annotated[Number, at.Interval(ge=0, le=1)]


class Time(NamedTuple):
    """How far the training is: steps and epochs done, and how many there will be."""

    step: int
    epoch: int
    steps: int
    epochs: int


@dataclass(frozen=True)
class Schedule(Component):
    """A function of time, after a linear warm-up from 1 / (warmup + 1) to 1."""

    depends_on_length: ClassVar[bool] = True
    """Whether a factor depends on how long the training is; so does every schedule whose class says nothing of it."""

    per: Literal["step", "epoch"] = "epoch"
    warmup: NonNegative | None = None

    def __init_subclass__(cls) -> None:
        """Let no schedule inherit that it does not depend on the length, as it may change what it inherits."""
        if "depends_on_length" not in vars(cls):
            cls.depends_on_length = True

    def init(self, runs: int) -> State:
        """Return the state of the schedule before the first epoch, with a row for each run."""
        return {}

    def observe(self, values: Array, state: State) -> None:
        """Update the state with the losses of the runs after an epoch, shape (runs, 1)."""

    def factor(self, time: Time, state: State) -> Number:
        """Return the factor on the learning rate."""
        t, total = (time.step, time.steps) if self.per == "step" else (time.epoch, time.epochs)
        if self.warmup is None:
            return self.shape(t, total, state)
        since = t - self.warmup
        rising = (t + 1) / (self.warmup + 1)
        return np.where(since < 0, rising, self.shape(np.maximum(since, 0), total - self.warmup, state))

    @abstractmethod
    def shape(self, t: Number, total: Number, state: State) -> Number:
        """Return the factor at time t, after any warm-up."""


@dataclass(frozen=True)
class Constant(Schedule):
    """The same learning rate throughout: 1."""

    depends_on_length: ClassVar[bool] = False

    def shape(self, t: Number, total: Number, state: State) -> Number:
        """Return 1."""
        return 1.0


@dataclass(frozen=True)
class Step(Schedule):
    """A drop at regular times: gamma^floor(t / every)."""

    depends_on_length: ClassVar[bool] = False

    every: AtLeastOne = 100.0
    gamma: Positive = 0.1

    def shape(self, t: Number, total: Number, state: State) -> Number:
        """Return gamma^floor(t / every)."""
        return self.gamma ** np.floor(t / self.every)


@dataclass(frozen=True)
class MultiStep(Schedule):
    """A drop at given times: gamma^(the number of milestones up to t)."""

    depends_on_length: ClassVar[bool] = False

    milestones: tuple[NonNegative, ...] = (500.0, 800.0)
    gamma: Positive = 0.1

    def shape(self, t: Number, total: Number, state: State) -> Number:
        """Return gamma^(the number of milestones up to t)."""
        return self.gamma ** sum((np.where(t >= milestone, 1.0, 0.0) for milestone in self.milestones), np.zeros(()))


@dataclass(frozen=True)
class Exponential(Schedule):
    """A steady decay: gamma^t."""

    depends_on_length: ClassVar[bool] = False

    gamma: Positive = 0.999

    def shape(self, t: Number, total: Number, state: State) -> Number:
        """Return gamma^t."""
        return self.gamma**t


@dataclass(frozen=True)
class InverseTime(Schedule):
    """A decay that slows down: 1 / (1 + decay t)."""

    depends_on_length: ClassVar[bool] = False

    per: Literal["step", "epoch"] = "step"
    decay: NonNegative = 0.001

    def shape(self, t: Number, total: Number, state: State) -> Number:
        """Return 1 / (1 + decay t)."""
        return 1 / (1 + self.decay * t)


@dataclass(frozen=True)
class Polynomial(Schedule):
    """Down to zero at the end: (1 - t / total)^power."""

    depends_on_length: ClassVar[bool] = True

    power: Positive = 1.0

    def shape(self, t: Number, total: Number, state: State) -> Number:
        """Return (1 - t / total)^power."""
        return np.maximum(1 - t / total, 0) ** self.power


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine, down to `minimum` at the end: minimum + (1 - minimum) (1 + cos(pi t / total)) / 2.

    References:
        Loshchilov and Hutter, SGDR, arXiv 1608.03983.
    """

    depends_on_length: ClassVar[bool] = True

    minimum: ZeroToOne = 0.0

    def shape(self, t: Number, total: Number, state: State) -> Number:
        """Return minimum + (1 - minimum) (1 + cos(pi t / total)) / 2."""
        return self.minimum + (1 - self.minimum) * (1 + np.cos(np.pi * np.minimum(t / total, 1))) / 2


@dataclass(frozen=True)
class CosineRestarts(Schedule):
    """Half cosines one after the other, each `stretch` times as long as the one before, the first of length `period`.

    References:
        Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, arXiv 1608.03983.
    """

    depends_on_length: ClassVar[bool] = False

    period: AtLeastOne = 100.0
    stretch: AtLeastOne = 1.0
    minimum: ZeroToOne = 0.0

    def shape(self, t: Number, total: Number, state: State) -> Number:
        """Return the cosine, with t counted from the last restart and the length of the present one as total."""
        length, begin = self.period * np.ones(()), np.zeros(())
        while np.any(t >= begin + length):
            over = t >= begin + length
            begin, length = np.where(over, begin + length, begin), np.where(over, length * self.stretch, length)
        return self.minimum + (1 - self.minimum) * (1 + np.cos(np.pi * (t - begin) / length)) / 2


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up from 1 / start to 1 in the first `rise` of the training, then down to 1 / (start end), along half cosines.

    References:
        Smith and Topin, Super-Convergence, arXiv 1708.07120; the cosines and defaults are PyTorch's.
    """

    depends_on_length: ClassVar[bool] = True

    per: Literal["step", "epoch"] = "step"
    rise: Annotated[Number, at.Interval(gt=0, lt=1)] = 0.3
    start: AtLeastOne = 25.0
    end: AtLeastOne = 10_000.0

    def shape(self, t: Number, total: Number, state: State) -> Number:
        """Return the factor of the cycle."""
        top, last = self.rise * total - 1, total - 1

        def between(high: Number, low: Number, share: Number) -> Number:
            return low + (high - low) * (1 + np.cos(np.pi * share)) / 2

        rising = between(1 / self.start, 1.0, np.minimum(t / np.where(top > 0, top, 1), 1))
        falling = between(1.0, 1 / self.start / self.end, np.clip((t - top) / np.maximum(last - top, 1e-12), 0, 1))
        return np.where((t <= top) & (top > 0), rising, falling)


@dataclass(frozen=True)
class Plateau(Schedule):
    """A drop whenever the loss no longer falls: factor gamma after `patience` evaluations without a new best.

    A loss is a new best below (1 - threshold) times the best so far. The loss of the training part is watched, after
    every epoch.
    """

    depends_on_length: ClassVar[bool] = False

    gamma: Positive = 0.1
    patience: NonNegative = 10.0
    threshold: ZeroToOne = 1e-4

    def init(self, runs: int) -> State:
        """Return no best loss yet."""
        start = {"factor": 1.0, "best": np.inf, "waited": 0.0}
        return {name: np.full((runs, 1), value) for name, value in start.items()}

    def observe(self, values: Array, state: State) -> None:
        """Count evaluations without a new best."""
        better = values < state["best"] * (1 - self.threshold)
        state["best"][:] = np.where(better, values, state["best"])
        state["waited"][:] = np.where(better, 0, state["waited"] + 1)
        over = state["waited"] > self.patience
        state["factor"][:] = np.where(over, state["factor"] * self.gamma, state["factor"])
        state["waited"][:] = np.where(over, 0, state["waited"])

    def shape(self, t: Number, total: Number, state: State) -> Number:
        """Return the product of the drops so far."""
        return state["factor"]
