"""A stack: runs of one shape that are trained together, one step at a time."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
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
from nnexp.training.batches import DropoutNoise, Examples, RunStreams, stream
from nnexp.training.binding import StackArrays, bound_step
from nnexp.training.history import Parameters
from nnexp.training.stacking import stacked, taken
from nnexp.training.tape import Bind, Repeated, Results

MAX_RECORDED_SIZE = 1_000_000
"""Elements of theta from which on no tape is made: with 1.9 million, it saves 2 % of a step and costs four steps."""


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
        self.layers = [stacked(layers, 2, dtype) for layers in zip(*[recipe.layers for recipe in recipes], strict=True)]
        self.loss = stacked([recipe.loss for recipe in recipes], 2, dtype)
        self.optimizer = stacked([recipe.optimizer for recipe in recipes], 1, dtype)
        self.regularization = stacked([recipe.regularization for recipe in recipes], 1, dtype)
        self.schedule = stacked([recipe.schedule for recipe in recipes], 1, np.float64)
        self.theta = np.empty((len(recipes), size(self.layout.parameters)), dtype)
        for theta, recipe in zip(self.theta, recipes, strict=True):
            theta[:] = self.layout.initial_theta(recipe.initializer, stream(recipe.seed, "init"), recipe.layers)
        self.statistics = self.layout.initial_statistics(self.theta)
        self.optimizer_state = self.optimizer.init(self.theta)
        self.schedule_state = self.schedule.init(len(recipes))
        self.steps, self.outputs = 0, outputs(first.layers, fan_in)
        self._time = Time(0, 0, 0, 0)

        self._dropout = RunStreams([recipe.seed for recipe in recipes], "dropout")
        self.penalised = np.ones(self.theta.shape[1], dtype)
        for slot in self.layout.parameters:
            kept = slot.start != "weight" and not first.regularization.biases
            if kept or not learns(layer_at(first.layers, slot.path)):
                self.penalised[slot.begin : slot.end] = 0
        rates = np.array([self.layout.learning_rates(recipe.layers) for recipe in recipes], dtype)
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

    def __getstate__(self) -> dict[str, object]:
        """Return all attributes but those with views of theta, which a pickle would copy."""
        return {name: value for name, value in vars(self).items() if name not in ("network", "_repeated", "_steps")}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Restore the attributes, and make new views of theta."""
        vars(self).update(state)
        self._bind()

    def repeated(self, key: Hashable, bind: Bind) -> Results:
        """Call a function of this stack, recorded in its first call; `key` identifies it."""
        if key not in self._repeated:
            self._repeated[key] = self._recording(bind, self._time.epochs - self._time.epoch)
        return self._repeated[key]()

    def _recording(self, bind: Bind, times: int) -> Repeated:
        return Repeated(bind, worth=self.theta.size < MAX_RECORDED_SIZE, times=times)

    def set_learning_rate(self, time: Time) -> None:
        """Set the learning rates of the next steps; with a schedule per step, it is called before each of them."""
        self._time = time
        factor = self.schedule.factor(time, self.schedule_state)
        self.learning_rate[:] = np.multiply(self.optimizer.learning_rate, factor)

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
        self._steps[batch] = noise, self._recording(bind, self._time.steps - self._time.step)
        return self._steps[batch]

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
        self._dropout.keep(runs)
        self._bind()
