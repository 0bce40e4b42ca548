"""Examples as the loop uses them, and the order in which a run sees them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, cast

import numpy as np
import numpy.typing as npt

from nnexp.component import Array, Labels
from nnexp.data.dataset import Part
from nnexp.data.task import Task
from nnexp.nn.losses import Loss
from nnexp.training.trainer import Trainer

Rows = npt.NDArray[np.intp] | slice
"""Row numbers: shape (examples,), or a slice, where all runs see the same examples, else (runs, examples)."""
StreamName = Literal["init", "batches", "dropout", "data"]
STREAMS: tuple[StreamName, ...] = ("init", "batches", "dropout", "data")


def stream(seed: int, name: StreamName) -> np.random.Generator:
    """Return a random stream of a run, independent of the others, so that drawing from one never shifts another."""
    return np.random.default_rng(np.random.SeedSequence(seed).spawn(len(STREAMS))[STREAMS.index(name)])


A = TypeVar("A", bound=npt.NDArray[np.number])


class RunStreams:
    """One random stream of every run of a stack.

    Runs of one seed draw the same numbers, so they are drawn once for them; where all runs share one seed, once for
    all.
    """

    def __init__(self, seeds: Sequence[int], name: StreamName) -> None:
        self._seeds = list(seeds)
        self._generators = {seed: stream(seed, name) for seed in seeds}

    def keep(self, runs: npt.NDArray[np.intp]) -> None:
        """Go on with a part of the runs."""
        self._seeds = [self._seeds[run] for run in runs]
        self._generators = {seed: self._generators[seed] for seed in self._seeds}

    @property
    def shared(self) -> bool:
        """Tell whether all runs share one seed."""
        return len(self._generators) == 1

    def draw(self, function: Callable[[np.random.Generator], npt.NDArray[np.generic]]) -> npt.NDArray[np.generic]:
        """Return what a function draws, of its shape where all runs share a seed, else with the runs in front."""
        drawn = {seed: function(generator) for seed, generator in self._generators.items()}
        return drawn[self._seeds[0]] if self.shared else np.stack([drawn[seed] for seed in self._seeds])

    def uniform(self, shape: tuple[int, ...]) -> Array:
        """Return numbers from U(0, 1)."""
        numbers: Array = self.draw(lambda generator: generator.random(shape)).astype(np.float64, copy=False)
        return numbers


@dataclass(slots=True)
class Examples:
    """Features, encoded targets, targets as they are, and weights; shape (examples, ...) or (runs, examples, ...)."""

    x: Array
    y: Array
    targets: Array | Labels
    weights: Array | None
    views: int

    @classmethod
    def of(cls, part: Part, task: Task, loss: Loss, dtype: npt.DTypeLike) -> "Examples":
        """Return a part of the data set as a loss wants it."""
        weights = None if part.weights is None else part.weights.astype(dtype)
        y = loss.encode(part.targets, task).astype(dtype)
        views = part.x.shape[1] if task.kind in ("pairs", "triplets") else 1
        return cls(np.ascontiguousarray(part.x, dtype), y, part.targets, weights, views)

    def __len__(self) -> int:
        """Return the number of examples, which all runs share."""
        return len(self.x)

    def take(self, rows: Rows) -> "Examples":
        """Return some of the examples."""
        if isinstance(rows, slice):
            weights = None if self.weights is None else self.weights[rows]
            return Examples(self.x[rows], self.y[rows], self.targets[rows], weights, self.views)
        weights = None if self.weights is None else self.weights.take(rows)
        x, y, targets = self.x.take(rows, axis=0), self.y.take(rows, axis=0), self.targets.take(rows, axis=0)
        return Examples(x, y, targets, weights, self.views)

    def answers(self, batches: Sequence[Rows]) -> "Examples":
        """Return the examples of several batches, one after another, without their features."""
        axis = -1 - (self.targets.ndim - 1)  # that of the examples, behind a run axis if the batches have one
        weights = None if self.weights is None else _gathered(self.weights, batches, -1)
        y, targets = _gathered(self.y, batches, -2), _gathered(self.targets, batches, axis)
        return Examples(np.empty(0), y, targets, weights, self.views)

    def rows(self) -> Array:
        """Return the features of all views of all examples, one in a row."""
        return self.x if self.views == 1 else self.x.reshape(*self.x.shape[:-3], -1, self.x.shape[-1])


def _gathered(array: A, batches: Sequence[Rows], axis: int) -> A:
    """Return the rows of successive batches, along the axis that these rows have in the result."""
    pieces = [array[rows] if isinstance(rows, slice) else array.take(rows, axis=0) for rows in batches]
    return cast("A", pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=axis))


class Sampler:
    """Decides which examples make a batch, for all runs of a stack.

    Arguments
    ---------
    seeds
        The seed of each run.
    count
        The number of training examples.
    trainer
        Batch size and sampling; the last batch of an epoch may be smaller.

    """

    def __init__(self, seeds: Sequence[int], count: int, trainer: Trainer) -> None:
        self._examples, self._batch_size = count, trainer.examples_per_step(count)
        self._sampling = trainer.sampling
        self._streams = RunStreams(seeds, "batches")
        self._rest: list[Rows] = []

    def keep(self, runs: npt.NDArray[np.intp]) -> None:
        """Go on with a part of the runs."""
        self._streams.keep(runs)
        # What is left of runs that share a seed is one order for all, as their next draw will be.
        left = runs[0] if self._streams.shared else runs
        self._rest = [rows if isinstance(rows, slice) or rows.ndim == 1 else rows[left] for rows in self._rest]

    def batches(self, steps: int) -> list[Rows]:
        """Return the rows of the next batches."""
        while len(self._rest) < steps:
            self._rest += self._epoch()
        taken, self._rest = self._rest[:steps], self._rest[steps:]
        return taken

    def _epoch(self) -> list[Rows]:
        """Return the batches that follow each other until every example could have been seen."""
        cuts = [slice(start, start + self._batch_size) for start in range(0, self._examples, self._batch_size)]
        if self._sampling == "order" or (self._sampling == "shuffled" and len(cuts) == 1):
            return list(cuts)
        drawn = self._streams.draw(
            lambda generator: (
                generator.permutation(self._examples)
                if self._sampling == "shuffled"
                else generator.integers(self._examples, size=self._examples)
            )
        )
        return [drawn[..., cut].astype(np.intp, copy=False) for cut in cuts]
