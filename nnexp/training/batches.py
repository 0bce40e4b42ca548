"""Batches of examples, the order in which a run sees them, and its streams of random numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Protocol, TypeVar, cast

import numpy as np
import numpy.typing as npt

from nnexp.core.component import Array, Labels
from nnexp.core.state import Saved, Tree, generator_state, restore_generator
from nnexp.core.task import Task
from nnexp.data.dataset import Part
from nnexp.nn.losses import Loss
from nnexp.training.trainer import Trainer

Rows = npt.NDArray[np.intp] | slice
"""Row numbers: shape (examples,), or a slice, where all runs see the same examples, else (runs, examples)."""
StreamName = Literal["init", "batches", "dropout", "data", "pruning"]
STREAMS: tuple[StreamName, ...] = ("init", "batches", "dropout", "data", "pruning")


def stream(seed: int, name: StreamName) -> np.random.Generator:
    """Return a random stream of a run, independent of the others, so that drawing from one never shifts another."""
    return np.random.default_rng(np.random.SeedSequence(seed).spawn(len(STREAMS))[STREAMS.index(name)])


def count_of(rows: Rows) -> int:
    """Return the number of rows, of each run."""
    return int(rows.stop - rows.start) if isinstance(rows, slice) else rows.shape[-1]


A = TypeVar("A", bound=npt.NDArray[np.number])
Copy = tuple[npt.NDArray[np.number], npt.NDArray[np.number]]
"""A source array, and the array that some of its rows are copied to."""


class OfArray(Protocol):
    """Returns an array made from another one, of the same type."""

    def __call__(self, array: A, /) -> A:
        """Return the array."""


class Joined(NamedTuple):
    """Batches in succession.

    Attributes:
        batches: The rows of each.
        rows: The numbers of all rows, shape (examples,) or (runs, examples).
        ends: Where each batch ends in them.
    """

    batches: Sequence[Rows]
    rows: npt.NDArray[np.intp]
    ends: npt.NDArray[np.intp]

    @classmethod
    def of(cls, batches: Sequence[Rows], firsts: npt.NDArray[np.intp] | int = 0) -> "Joined":
        """Return batches in succession, all slices or none; the first row of each run is added to the numbers."""
        slices = [rows for rows in batches if isinstance(rows, slice)]
        if not slices:
            arrays = [rows for rows in batches if not isinstance(rows, slice)]
            counts = [rows.shape[-1] for rows in arrays]
            return cls(batches, np.concatenate(arrays, axis=-1) + firsts, np.cumsum(counts))
        begins, ends = (np.array([getattr(rows, name) for rows in slices]) for name in ("start", "stop"))
        counts = ends - begins
        ends = np.cumsum(counts)
        return cls(batches, np.arange(ends[-1]) + np.repeat(begins - ends + counts, counts) + firsts, ends)

    def steps(self, first: int, most: int) -> npt.NDArray[np.intp]:
        """Return the rows of some batches, shape (steps, ...), of as many as have the size of the first one.

        Args:
            first: The number of the first one.
            most: The most of them.
        """
        ends = self.ends[first : first + most]
        begin = self.ends[first - 1] if first else 0
        size = ends[0] - begin
        others = np.flatnonzero(ends - begin != size * np.arange(1, len(ends) + 1))
        count = others[0] if len(others) else len(ends)
        rows = self.rows[..., begin : begin + count * size]
        return np.moveaxis(rows.reshape(*rows.shape[:-1], count, size), -2, 0)


class RunStreams:
    """One random stream of every run of a stack.

    Runs of one seed draw the same numbers, so they are drawn once for them; where all runs share one seed, once for
    all.
    """

    def __init__(self, seeds: Sequence[int], name: StreamName) -> None:
        self._seeds = list(seeds)
        self._generators = {seed: stream(seed, name) for seed in dict.fromkeys(seeds)}

    def keep(self, runs: npt.NDArray[np.intp]) -> None:
        """Go on with a part of the runs."""
        self._seeds = [self._seeds[run] for run in runs]
        self._generators = {seed: self._generators[seed] for seed in self._seeds}

    def __len__(self) -> int:
        """Return the number of runs."""
        return len(self._seeds)

    def state(self) -> Tree:
        """Return the state of the streams for a checkpoint."""
        return {str(seed): generator_state(generator) for seed, generator in self._generators.items()}

    def restore(self, saved: Saved) -> None:
        """Restore a saved state."""
        for seed, generator in self._generators.items():
            restore_generator(generator, saved, str(seed))

    @property
    def shared(self) -> bool:
        """Tell whether all runs share one seed."""
        return len(self._generators) == 1

    def draw(self, function: Callable[[np.random.Generator], npt.NDArray[np.generic]]) -> npt.NDArray[np.generic]:
        """Return the numbers that a function draws, with a leading run axis unless all runs share a seed."""
        drawn = {seed: function(generator) for seed, generator in self._generators.items()}
        return drawn[self._seeds[0]] if self.shared else np.stack([drawn[seed] for seed in self._seeds])

    def uniform(self, shape: tuple[int, ...]) -> Array:
        """Return numbers from U(0, 1)."""
        numbers = np.empty(shape if self.shared else (len(self._seeds), *shape))
        self.fill(numbers)
        return numbers

    def fill(self, numbers: Array) -> None:
        """Fill an array that `uniform` returned with the next numbers."""
        numbers[...] = self.draw(
            lambda generator: generator.random(numbers.shape if self.shared else numbers.shape[1:])
        )


class DropoutNoise:
    """The random numbers of one step, in the order in which layers use them; new ones are drawn before each step.

    Args:
        streams: The random streams of the runs.
    """

    def __init__(self, streams: RunStreams) -> None:
        self._streams = streams
        self._arrays: list[Array] = []
        self._asked = 0

    @property
    def used(self) -> bool:
        """Tell whether a layer has asked for numbers."""
        return bool(self._arrays)

    def renew(self) -> None:
        """Fill all arrays that were returned so far with new numbers."""
        for array in self._arrays:
            self._streams.fill(array)

    def rewind(self) -> None:
        """Return the same arrays again, from the first."""
        self._asked = 0

    def uniform(self, shape: tuple[int, ...]) -> Array:
        """Return the next numbers from U(0, 1)."""
        if self._asked == len(self._arrays):
            self._arrays.append(self._streams.uniform(shape))
        self._asked += 1
        return self._arrays[self._asked - 1]


@dataclass(slots=True, eq=False)
class Examples:
    """Features, encoded targets, targets as they are, and weights.

    The shape is (examples, ...), or (runs, examples, ...) where every run has examples of its own.
    """

    x: Array
    y: Array
    targets: Array | Labels
    weights: Array | None
    views: int

    @classmethod
    def of(cls, part: Part, task: Task, loss: Loss, dtype: npt.DTypeLike) -> "Examples":
        """Return a part of the data set, its targets encoded for a loss."""
        weights = None if part.weights is None else part.weights.astype(dtype)
        y = loss.encode(part.targets, task).astype(dtype)
        views = part.x.shape[1] if task.kind in ("pairs", "triplets") else 1
        return cls(x=np.ascontiguousarray(part.x, dtype), y=y, targets=part.targets, weights=weights, views=views)

    @classmethod
    def of_runs(cls, parts: Sequence[Part], task: Task, loss: Loss, dtype: npt.DTypeLike) -> "Examples":
        """Return the parts of the data sets of all runs, see `of`; without a run axis where it is the same part."""
        made = {id(part): cls.of(part, task, loss, dtype) for part in parts}
        first = made[id(parts[0])]
        if len(made) == 1:
            return first
        each = [made[id(part)] for part in parts]
        return cls(
            x=np.stack([one.x for one in each]),
            y=np.stack([one.y for one in each]),
            targets=cast("Labels", np.stack([one.targets for one in each])),
            weights=None if first.weights is None else np.stack([cast("Array", one.weights) for one in each]),
            views=first.views,
        )

    def mapped(self, made_of: OfArray) -> "Examples":
        """Return examples with arrays made from these."""
        weights = None if self.weights is None else made_of(self.weights)
        return Examples(
            made_of(self.x), made_of(self.y), targets=made_of(self.targets), weights=weights, views=self.views
        )

    @property
    def own(self) -> bool:
        """Tell whether every run has examples of its own."""
        return self.y.ndim > 2

    def __len__(self) -> int:
        """Return the number of examples that a run has."""
        count: int = self.y.shape[-2]
        return count

    def take(self, rows: Rows) -> "Examples":
        """Return some of the examples; where every run has its own, those at these places in each."""
        numbers = np.arange(len(self))[rows] if isinstance(rows, slice) else rows
        return self.mapped(lambda array: array.take(numbers, axis=int(self.own)))

    def keep(self, runs: npt.NDArray[np.intp]) -> "Examples":
        """Return the examples of a part of the runs."""
        return self.mapped(lambda array: array[runs]) if self.own else self

    def rows(self) -> Array:
        """Return the features of all views of all examples, one in a row."""
        return self.x if self.views == 1 else self.x.reshape(*self.x.shape[:-3], -1, self.x.shape[-1])


class BatchBuffers:
    """Gathers training examples into arrays that all batches of the same shape use.

    Where every run has examples of its own, they are gathered as rows of one array, in which they lie run by run.

    Args:
        whole: The training examples.

    Attributes:
        whole: The training examples of the runs that go on.
    """

    def __init__(self, whole: Examples) -> None:
        self._set(whole)

    def _set(self, whole: Examples) -> None:
        self.whole = self._source = whole
        self._answers = replace(whole, x=whole.x[:0])
        self._last, self._firsts = cast("Joined | None", None), cast("npt.NDArray[np.intp] | int", 0)
        self._buffers: dict[tuple[str, tuple[int, ...]], tuple[Examples, list[Copy]]] = {}
        if whole.own:
            self._source = whole.mapped(lambda array: array.reshape(-1, *array.shape[2:]))
            self._firsts = len(whole) * np.arange(len(whole.y))[:, None]

    def __reduce__(self) -> tuple[type["BatchBuffers"], tuple[Examples]]:
        """Pickle the examples alone, without the buffers."""
        return BatchBuffers, (self.whole,)

    def keep(self, runs: npt.NDArray[np.intp]) -> None:
        """Go on with a part of the runs."""
        if self.whole.own:
            self._set(self.whole.keep(runs))

    def batch(self, rows: Rows) -> Examples:
        """Return the examples of a step, without the raw targets, which only metrics use."""
        return self.whole if self._is_whole(rows) else self._gathered("inputs", self._placed(rows))

    def copies(self, rows: Rows) -> tuple[tuple[int, ...], list[Copy]]:
        """Return the shape of the rows of a batch, and the arrays that its examples are copied from and to."""
        placed = self._placed(rows)
        shape = (count_of(placed),) if isinstance(placed, slice) else placed.shape
        return shape, [] if self._is_whole(rows) else self._buffers["inputs", shape][1]

    def targets(self, batches: Sequence[Rows]) -> Examples:
        """Return the examples of several batches, one after another, without their features."""
        known = self.joined(batches)
        first = batches[0]
        if isinstance(first, slice) and first.start == 0 and known.rows.shape[-1] == len(self.whole):
            return self._answers
        return self._gathered("targets", known.rows)

    def joined(self, batches: Sequence[Rows]) -> Joined:
        """Return batches in succession; those of the last call are remembered."""
        if self._last is None or self._last.batches is not batches:
            self._last = Joined.of(batches, self._firsts)
        return self._last

    def _is_whole(self, rows: Rows) -> bool:
        """Tell whether a batch is all examples, in their order."""
        return isinstance(rows, slice) and count_of(rows) == len(self.whole)

    def _placed(self, rows: Rows) -> Rows:
        """Return the numbers of the rows of a batch in the arrays that they are gathered from."""
        if not self.whole.own:
            return rows
        return self._firsts + (np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows)

    def _gathered(self, purpose: Literal["inputs", "targets"], rows: Rows) -> Examples:
        shape = (count_of(rows),) if isinstance(rows, slice) else rows.shape
        if (purpose, shape) not in self._buffers:
            self._buffers[purpose, shape] = self._new(purpose, shape)
        examples, copies = self._buffers[purpose, shape]
        for source, out in copies:
            if isinstance(rows, slice):
                np.copyto(out, source[rows])
            else:
                source.take(rows, axis=0, out=out, mode="clip")  # all rows exist; to make sure takes NumPy another copy
        return examples

    def _new(self, purpose: Literal["inputs", "targets"], shape: tuple[int, ...]) -> tuple[Examples, list[Copy]]:
        """Return examples with arrays of their own, and the arrays that are copied into them."""
        whole, copies = self._source, list[Copy]()

        def buffer(array: A) -> A:
            copies.append((array, np.empty(shape + array.shape[1:], array.dtype)))
            return cast("A", copies[-1][1])

        weights = None if whole.weights is None else buffer(whole.weights)
        if purpose == "inputs":
            return Examples(
                buffer(whole.x), buffer(whole.y), targets=whole.targets[:0], weights=weights, views=whole.views
            ), copies
        return Examples(
            whole.x[:0], buffer(whole.y), targets=buffer(whole.targets), weights=weights, views=whole.views
        ), copies


class Sampler:
    """Decides which examples make a batch, for all runs of a stack.

    Args:
        seeds: The seed of each run.
        count: The number of training examples.
        trainer: Batch size and sampling; the last batch of an epoch may be smaller.
    """

    def __init__(self, seeds: Sequence[int], count: int, trainer: Trainer) -> None:
        self._examples, size = count, trainer.examples_per_step(count)
        self._cuts = [slice(begin, min(begin + size, count)) for begin in range(0, count, size)]
        self._sampling = trainer.sampling
        self._every: list[Rows] = [*self._cuts]
        self._in_order = self._sampling == "order" or (size >= count and self._sampling != "replacement")
        self._streams = RunStreams(seeds, "batches")
        self._order, self._next = np.empty(0, np.intp), len(self._cuts)

    def keep(self, runs: npt.NDArray[np.intp]) -> None:
        """Go on with a part of the runs."""
        self._streams.keep(runs)
        if self._order.ndim > 1:  # of runs that share a seed it is one for all, as their next draw will be
            self._order = self._order[runs[0] if self._streams.shared else runs]

    def batches(self, steps: int) -> list[Rows]:
        """Return the rows of the next batches; those of an epoch in its order are the same list each time."""
        batches: list[Rows] = []
        if self._in_order and self._next == steps == len(self._cuts):
            return self._every
        while len(batches) < steps:
            if self._next == len(self._cuts):
                self._order, self._next = self._order if self._in_order else self._drawn(), 0
            cuts = self._cuts[self._next : self._next + steps - len(batches)]
            batches += cuts if self._in_order else [self._order[..., cut] for cut in cuts]
            self._next += len(cuts)
        return batches

    def _drawn(self) -> npt.NDArray[np.intp]:
        """Return the order in which every example could be seen once, of shape (examples,) or (runs, examples)."""
        drawn = self._streams.draw(
            lambda generator: (
                generator.permutation(self._examples)
                if self._sampling == "shuffled"
                else generator.integers(self._examples, size=self._examples)
            ),
        )
        return drawn.astype(np.intp, copy=False)

    def state(self) -> Tree:
        """Return the state for a checkpoint."""
        return {"streams": self._streams.state(), "order": self._order, "next": self._next}

    def restore(self, saved: Saved) -> None:
        """Restore a saved state."""
        self._streams.restore(saved.part("streams"))
        self._next = saved.whole("next", len(self._cuts) + 1)
        if self._next < len(self._cuts) and not self._in_order:
            shape = (self._examples,) if self._streams.shared else (len(self._streams), self._examples)
            self._order = saved.indices("order", self._examples, shape)
