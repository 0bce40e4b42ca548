"""A stack: runs of one shape that are trained together, one step at a time."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from nnexp.core.component import Array
from nnexp.core.state import Saved, Tree
from nnexp.nn.initializers import Initializer
from nnexp.nn.layers import Layer, learns
from nnexp.nn.losses import Loss
from nnexp.nn.network import Layout, Network, layer_at, outputs, size
from nnexp.optim.optimizers import Optimizer
from nnexp.optim.regularization import Regularization
from nnexp.optim.schedules import Schedule, Time
from nnexp.training.batches import Copy, DropoutNoise, Examples, RunStreams, stream
from nnexp.training.binding import Evaluate, OneRun, StackArrays, bound_evaluation, bound_step
from nnexp.training.compiled.loops import UnknownError
from nnexp.training.compiled.runs import Steps
from nnexp.training.history import Parameters
from nnexp.training.stacking import Varied, alike, parts, positions, stacked, taken
from nnexp.training.tape import Bind, OfOneRun, Repeated, Results

MAX_RECORDED_SIZE = 1_000_000
"""Elements of theta from which on no tape is made: with 1.9 million, it saves 2 % of a step and costs four steps."""

VIEWS = ("network", "_steps", "_repeated", "_several", "_one")
"""Attributes of a stack with views of theta."""


@dataclass(frozen=True)
class Recipe:
    """The components and the seed of a run; the runs of a stack differ in the seed and in numbers of the components."""

    layers: tuple[Layer, ...]
    initializer: Initializer
    loss: Loss
    optimizer: Optimizer
    schedule: Schedule
    seed: int
    regularization: Regularization = field(default_factory=Regularization)


def initial_thetas(layout: Layout, initializers: Sequence[Initializer], seeds: Sequence[int]) -> Array:
    """Return the starting parameters of every run, shape (runs, parameters).

    Where initializers of nnexp differ in their scales alone, they are drawn once for each seed and scaled.
    """
    theta = np.empty((len(initializers), size(layout.parameters)))
    columns = initializers.columns if isinstance(initializers, Varied) else {"": theta}
    one = initializers[0]
    if not {*columns} <= {"scale"} or type(one).__module__ != Initializer.__module__:
        for row, initializer, seed in zip(theta, initializers, seeds, strict=True):
            row[:] = layout.initial_theta(initializer, stream(seed, "init"))
        return theta
    unit = replace(one, scale=1.0)
    drawn = {seed: layout.initial_theta(unit, stream(seed, "init")) for seed in {*seeds}}
    for row, seed in zip(theta, seeds, strict=True):
        row[:] = drawn[seed]
    scale = columns.get("scale", np.array([one.scale]))[:, None]
    for slot in layout.parameters:
        if slot.start == "weight":
            theta[:, slot.begin : slot.end] *= scale
    return theta


class Stack(StackArrays):
    """The parameters of runs of one shape, and everything that changes them.

    A step and an evaluation are recorded on a tape in their first call, and played in later calls.

    Args:
        recipes: The components of each run.
        fan_in: The number of features.
        dtype: float64 or float32, for the parameters and everything computed from them.
    """

    def __init__(self, recipes: Sequence[Recipe], fan_in: int, dtype: npt.DTypeLike) -> None:
        first = recipes[0]
        self.layout = Layout.of(first.layers, fan_in)
        self.layers = [stacked(layers, 2, dtype) for layers in positions(parts(recipes, "layers"))]
        self.loss = stacked(parts(recipes, "loss"), 2, dtype)
        self.optimizer = stacked(parts(recipes, "optimizer"), 1, dtype)
        self.regularization = stacked(parts(recipes, "regularization"), 1, dtype)
        self.schedule = stacked(parts(recipes, "schedule"), 1, np.float64)
        seeds = parts(recipes, "seed")
        theta = initial_thetas(self.layout, parts(recipes, "initializer"), seeds)
        self.layout.scale(theta, self.layers)
        self.theta = theta.astype(dtype, copy=False)
        self.statistics = self.layout.initial_statistics(self.theta)
        self.optimizer_state = self.optimizer.init(self.theta)
        self.schedule_state = self.schedule.init(len(recipes))
        self.steps, self.outputs = 0, outputs(first.layers, fan_in)
        self._time = Time(0, 0, 0, 0)

        self._dropout = RunStreams(seeds, "dropout")
        self.penalised = np.ones(self.theta.shape[1], dtype)
        for slot in self.layout.parameters:
            kept = slot.start != "weight" and not first.regularization.biases
            if kept or not learns(layer_at(first.layers, slot.path)):
                self.penalised[slot.begin : slot.end] = 0
        self.learning_rate_unit: Array | float = 1.0
        rates = self.layout.learning_rates(self.layers, self.theta)
        self.factors = rates if (rates != 1).any() else None
        self.mask: Array | None = None
        self._bind()

    def prune(self, mask: Array, theta: Array) -> None:
        """Start from some of the parameters, those where a mask of their shape is 1; the others are and stay 0."""
        self.mask = mask
        np.multiply(theta, mask, out=self.theta)
        self.statistics = self.layout.initial_statistics(self.theta)
        self._bind()

    @property
    def prunable(self) -> npt.NDArray[np.bool_]:
        """Return which parameters are weights that learn, shape (parameters,)."""
        weights = np.zeros(self.theta.shape[1], bool)
        for slot in self.layout.parameters:
            weights[slot.begin : slot.end] = slot.start == "weight" and learns(layer_at(self.layers, slot.path))
        return weights

    def _bind(self) -> None:
        """Make the objects that hold views of theta, and forget the tapes recorded with the old one."""
        self.network = Network(self.layers, self.layout, self.theta, self.statistics)
        self.learning_rate = np.empty((len(self.theta), 1), self.theta.dtype)
        self.step_number = np.array(self.steps, self.theta.dtype)
        self._steps: dict[Examples, tuple[DropoutNoise, Repeated]] = {}
        self._repeated: dict[Hashable, Repeated] = {}
        self._several: dict[Examples, Steps | None] = {}
        self._one: OneRun | None = None

    def __getstate__(self) -> dict[str, object]:
        """Return all attributes but those with views of theta, which a pickle would copy."""
        return {name: value for name, value in vars(self).items() if name not in VIEWS}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Restore the attributes, and make new views of theta."""
        vars(self).update(state)
        self._bind()

    def evaluate(self, evaluate: Evaluate, z: Array, seen: Examples, parts: Mapping[str, Examples] | None) -> Results:
        """Return the metrics of all runs, see `Evaluate`; those of the same examples are recorded in the first call."""
        key = seen, parts is not None
        if key not in self._repeated:
            bind = partial(bound_evaluation, evaluate=evaluate, stack=self, z=z, training=seen, parts=parts)
            times = self._time.epochs - self._time.epoch
            self._repeated[key] = self._recording(bind, times, lambda one: one.evaluation(evaluate, z, seen, parts))
        return self._repeated[key]()

    def _recording(self, bind: Bind, times: int, of_one_run: Callable[[OneRun], OfOneRun | None]) -> Repeated:
        def of_one() -> OfOneRun | None:
            if self._one is None and len(self) > 1 and self.alike():
                self._one = OneRun(self)
            return None if self._one is None else of_one_run(self._one)

        return Repeated(bind, worth=self.theta.size < MAX_RECORDED_SIZE, times=times, of_one_run=of_one)

    def alike(self) -> bool:
        """Tell whether all runs have the same numbers, but for the learning rate."""
        parts = *self.layers, self.loss, self.regularization
        return all(map(alike, parts)) and alike(self.optimizer, but="learning_rate")

    def set_learning_rate(self, time: Time) -> None:
        """Set the learning rates of the next steps; with a schedule per step, it is called before each of them."""
        self._time = time
        factor = self.schedule.factor(time, self.schedule_state)
        self.learning_rate[:] = np.multiply(self.optimizer.learning_rate, factor) * self.learning_rate_unit

    def step(self, batch: Examples) -> Array:
        """Make a step with a batch, see `descend`; return the logits from before the step.

        Batches of one shape must be the same object, with new numbers in its arrays; the logits are reused likewise.
        """
        self.steps += 1
        self.step_number[...] = self.steps
        noise, descend = self._steps.get(batch) or self._new_step(batch)
        noise.renew()
        return descend()["logits"]

    def _new_step(self, batch: Examples) -> tuple[DropoutNoise, Repeated]:
        noise = DropoutNoise(self._dropout)
        bind = partial(bound_step, stack=self, batch=batch, noise=noise)
        times = self._time.steps - self._time.step
        step = self._recording(bind, times, lambda one: None if noise.used else one.step(batch, noise))
        self._steps[batch] = noise, step
        return self._steps[batch]

    def settled(self, batch: Examples) -> bool:
        """Tell whether it is known how the steps of a batch are made, recorded or not, compiled or not."""
        return batch in self._steps and self._steps[batch][1].settled

    def several(self, batch: Examples, copies: Sequence[Copy], rows: tuple[int, ...], most: int) -> Steps | None:
        """Return what makes several steps in one call; None where that is not possible.

        Args:
            batch: A batch whose steps are settled.
            copies: The arrays of the training examples, each with that of the batch.
            rows: The shape of the numbers of the rows of a batch.
            most: The most steps that there will be.
        """
        if batch not in self._several:
            noise, step = self._steps[batch]
            self._several[batch] = None
            if step.playable is not None and not noise.used:
                rate = self.learning_rate if self.schedule.per == "step" else None
                with suppress(UnknownError):
                    self._several[batch] = Steps(
                        step.playable, copies, rows, number=self.step_number, learning_rate=rate, most=most
                    )
        return self._several[batch]

    def make(self, several: Steps, rows: npt.NDArray[np.intp], time: Time) -> Array:
        """Make several steps, and return the logits from before each, shape (runs, rows, outputs).

        Args:
            several: Makes them.
            rows: Which examples make each batch, shape (steps, ...).
            time: The time of the first one.
        """
        count = len(rows)
        several.rows[:count] = rows
        if several.rates is not None:
            for number, rate in enumerate(several.rates[:count]):
                self.set_learning_rate(time._replace(step=time.step + number))
                rate[...] = self.learning_rate
        several.numbers[:count] = np.arange(self.steps + 1, self.steps + count + 1)
        several(count)
        self.steps += count
        logits: Array = several.logits[:, :count]
        return logits.reshape(len(self), -1, self.outputs)

    def observe(self, row: Mapping[str, Array]) -> None:
        """Pass the training loss after a round to the schedule."""
        self.schedule.observe(row["train/loss"][:, None], self.schedule_state)

    def learned(self, index: int) -> Parameters:
        """Return a copy of the parameters of one run."""
        return Parameters(self.theta[index].copy(), self.statistics[index].copy())

    def state(self) -> Tree:
        """Return the state for a checkpoint."""
        return {
            "steps": self.steps,
            "theta": self.theta,
            "statistics": self.statistics,
            "optimizer": self.optimizer_state,
            "schedule": self.schedule_state,
            "dropout": self._dropout.state(),
            "mask": self.mask,
        }

    def restore(self, saved: Saved) -> None:
        """Restore a saved state of the same number of runs."""
        self.steps = saved.whole("steps")
        saved.fill("theta", self.theta)
        saved.fill("statistics", self.statistics)
        saved.fill_all("optimizer", self.optimizer_state)
        saved.fill_all("schedule", self.schedule_state)
        self._dropout.restore(saved.part("dropout"))
        if saved.has("mask"):
            self.mask = saved.like("mask", self.theta)

    def __len__(self) -> int:
        """Return the number of runs."""
        return len(self.theta)

    def keep(self, runs: npt.NDArray[np.intp]) -> None:
        """Go on with a part of the runs; their numbers stay the same."""
        self.theta, self.statistics = self.theta[runs], self.statistics[runs]
        self.mask = None if self.mask is None else self.mask[runs]
        self.factors = None if self.factors is None else self.factors[runs]
        self.optimizer_state = {name: array[runs] for name, array in self.optimizer_state.items()}
        self.schedule_state = {name: array[runs] for name, array in self.schedule_state.items()}
        self.layers = [taken(layer, runs) for layer in self.layers]
        self.loss, self.optimizer = taken(self.loss, runs), taken(self.optimizer, runs)
        self.regularization, self.schedule = taken(self.regularization, runs), taken(self.schedule, runs)
        if isinstance(self.learning_rate_unit, np.ndarray):
            self.learning_rate_unit = self.learning_rate_unit[runs]
        self._dropout.keep(runs)
        self._bind()
