"""Watches the layers while they train: how large their activations, gradients, weights and updates are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from nnexp.core.component import Array
from nnexp.core.state import Saved, Tree
from nnexp.nn.activations import ReLU
from nnexp.nn.network import Slot
from nnexp.training.batches import Examples
from nnexp.training.history import LayerHistory, Outcome
from nnexp.training.stack import Stack
from nnexp.training.step import mean_loss_gradient
from nnexp.training.trainer import Round

WATCHED_TIMES = 50
"""How many times of a training are watched at most, beside the first and the last."""
WATCHED_EXAMPLES = 512
"""The number of training examples on which activations and gradients are taken, evenly spaced among all."""
SIZES = ("activations", "dead", "gradients", "weights", "updates")
"""The sizes that are taken of every layer."""


@dataclass
class Look:
    """The sizes in all runs of a stack at one time, each of shape (runs, layers)."""

    time: int
    runs: npt.NDArray[np.intp]
    values: dict[str, Array]


class LayerWatch:
    """Takes the sizes in a stack after some of the rounds; the training stays the same.

    Args:
        runs: How many runs the stack begins with.
        rounds: The rounds of the training; empty to watch nothing.
        inputs: The training examples.
    """

    def __init__(self, runs: int, rounds: Sequence[Round], inputs: Examples) -> None:
        self._times = watched([this.time for this in rounds])
        self._runs = np.arange(runs)
        rows = np.linspace(0, len(inputs) - 1, min(WATCHED_EXAMPLES, len(inputs))).round().astype(np.intp)
        self._examples = inputs.take(rows) if rounds else inputs
        self._before: Array | None = None
        self._looks: list[Look] = []
        self._layers: tuple[str, ...] = ()

    def begin(self, this: Round, stack: Stack) -> None:
        """Remember the parameters before a round that is watched."""
        if this.time in self._times:
            self._before = stack.theta.copy()

    def end(self, this: Round, stack: Stack, staying: npt.NDArray[np.intp]) -> None:
        """Take the sizes in the runs that go on after the round, if it is watched."""
        if self._before is not None and this.time in self._times and len(staying):
            values = {name: array[staying] for name, array in self._look(stack, self._before).items()}
            self._looks.append(Look(this.time, self._runs[staying], values))
        self._before = None
        self.keep(staying)

    def keep(self, staying: npt.NDArray[np.intp]) -> None:
        """Go on with a part of the runs."""
        self._runs = self._runs[staying]

    def state(self) -> Tree:
        """Return the state for a checkpoint."""
        looks: list[Tree] = [{"time": look.time, "runs": look.runs, "values": look.values} for look in self._looks]
        return {"layers": [*self._layers], "before": self._before, "looks": looks}

    def restore(self, saved: Saved, theta: Array, *, longer: bool) -> None:
        """Restore a saved state, before any run has left.

        Args:
            saved: The state.
            theta: Has the shape of the parameters.
            longer: Whether the saved training was shorter, and may have been watched more often than this one.
        """
        for one in saved.parts("looks"):
            if longer and one.whole("time") not in self._times:
                continue
            runs, values = one.indices("runs", len(self._runs)), one.part("values")
            self._looks.append(Look(one.whole("time"), runs, {name: values.table(name, len(runs)) for name in SIZES}))
        self._layers = saved.texts("layers")
        self._before = saved.like("before", theta) if saved.has("before") else None

    def with_layers(self, outcomes: Mapping[int, Outcome]) -> dict[int, Outcome]:
        """Return outcomes with the sizes in their layers added."""
        return {run: replace(outcome, layers=self._history(run)) for run, outcome in outcomes.items()}

    def _history(self, run: int) -> LayerHistory | None:
        looks = [(look, int(np.flatnonzero(look.runs == run)[0])) for look in self._looks if run in look.runs]
        if not looks:
            return None
        times = np.array([look.time for look, _ in looks])
        sizes = {name: np.array([look.values[name][index] for look, index in looks]) for name in looks[0][0].values}
        return LayerHistory(times, self._layers, **sizes)

    def _look(self, stack: Stack, before: Array) -> dict[str, Array]:
        """Return the sizes, root mean squares over a layer; `before` are the parameters before the round."""
        runs = len(stack)
        slots = [slot for slot in stack.layout.parameters if slot.start == "weight"]
        self._layers = tuple(f"{slot.shape[0]} → {slot.shape[1]}" for slot in slots)
        z = stack.network.forward(self._examples.rows())
        activations = [(layer.activation, cell.saved["a"]) for layer, cell in stack.network.activations()]
        sizes = [np.broadcast_to(root_mean_square(a, (-2, -1)), runs) for _, a in activations]
        dead = [
            np.broadcast_to((a == 0).all(axis=-2).mean(axis=-1), runs)
            for activation, a in activations
            if isinstance(activation, ReLU)
        ]
        gradient = stack.network.backward(mean_loss_gradient(stack.loss, z, self._examples))

        def by_layer(flat: Array) -> Array:
            return _columns([root_mean_square(flat[:, _place(slot)], -1) for slot in slots], runs)

        return {
            "activations": _columns(sizes, runs),
            "dead": _columns(dead, runs),
            "gradients": by_layer(gradient),
            "weights": by_layer(stack.theta),
            "updates": by_layer(stack.theta - before),
        }


def watched(times: Sequence[int]) -> set[int]:
    """Return the times that are watched: the first, the last, and every second, or every fourth, and so on.

    Of a longer training it is every eighth where it was every fourth, so all of them up to now were watched before.
    """
    apart = 1
    while len(times) > WATCHED_TIMES * apart:
        apart *= 2
    return {*times[:1], *times[apart - 1 :: apart], *times[-1:]}


def root_mean_square(array: Array, axes: int | tuple[int, ...]) -> Array:
    """Return sqrt(mean(x^2)) over some axes, computed relative to the largest |x|, so that no square overflows."""
    largest = np.abs(array).max(axis=axes, keepdims=True)
    relative = array / np.where(largest > 0, largest, 1)
    size: Array = np.sqrt((relative * relative).mean(axis=axes)) * largest.squeeze(axes)
    return size


def _columns(values: Sequence[Array], runs: int) -> Array:
    return np.stack(values, axis=-1) if values else np.empty((runs, 0))


def _place(slot: Slot) -> slice:
    return slice(slot.begin, slot.end)
