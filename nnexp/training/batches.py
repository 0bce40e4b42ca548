"""Examples as the loop uses them, and the order in which a run sees them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nnexp.component import Array, Labels
from nnexp.data.dataset import Part
from nnexp.data.task import Task
from nnexp.nn.losses import Loss

Order = npt.NDArray[np.intp]
"""Row numbers: shape (examples,) where all runs see the same examples, else (runs, examples)."""


@dataclass(frozen=True)
class Streams:
    """The random streams of one run, independent of each other, so that drawing from one never shifts another."""

    init: np.random.Generator
    batches: np.random.Generator
    dropout: np.random.Generator
    data: np.random.Generator

    @classmethod
    def of(cls, seed: int) -> "Streams":
        """Return the streams of a run's seed."""
        return cls(*[np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(4)])


@dataclass(frozen=True)
class Examples:
    """Features and encoded targets in the dtype of training, shape (examples, ...) or (runs, examples, ...)."""

    x: Array
    y: Array
    labels: Labels

    @classmethod
    def of(cls, part: Part, task: Task, loss: Loss, dtype: npt.DTypeLike) -> "Examples":
        """Return a part of the data set as a loss wants it."""
        return cls(np.ascontiguousarray(part.x, dtype), loss.encode(part.labels, task).astype(dtype), part.labels)

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.labels)

    def batches(self, order: Order | None, batch_size: int) -> Iterator[tuple[Array, Array]]:
        """Yield the features and targets of one batch after the other; without an order, all examples as they are."""
        if order is None:
            yield self.x, self.y
            return
        for start in range(0, len(self), batch_size):
            rows = order[..., start : start + batch_size]
            yield self.x.take(rows, axis=0), self.y.take(rows, axis=0)

    def targets(self, order: Order | None) -> tuple[Array, Labels]:
        """Return all encoded targets and labels in an order."""
        return (self.y, self.labels) if order is None else (self.y.take(order, axis=0), self.labels.take(order))


class Shuffler:
    """Draws the order of the examples, epoch by epoch, for all runs of a stack.

    Runs of one seed see the same order, so it is drawn once for them; where all runs share one seed, their batches
    are one.
    """

    def __init__(self, seeds: Sequence[int], examples: int) -> None:
        self.examples = examples
        self._seeds = list(seeds)
        self._generators = {seed: Streams.of(seed).batches for seed in seeds}

    def keep(self, runs: npt.NDArray[np.intp]) -> None:
        """Go on with a part of the runs."""
        self._seeds = [self._seeds[run] for run in runs]
        self._generators = {seed: self._generators[seed] for seed in self._seeds}

    def order(self) -> Order:
        """Return the order of the next epoch."""
        orders = {seed: generator.permutation(self.examples) for seed, generator in self._generators.items()}
        return orders[self._seeds[0]] if len(orders) == 1 else np.stack([orders[seed] for seed in self._seeds])
