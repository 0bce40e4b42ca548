"""Watches a stack while it trains: what its diagnostics find, and how large things are in its layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from nnexp.core.component import Array
from nnexp.core.state import Saved, Tree
from nnexp.core.task import Task
from nnexp.training.batches import BatchBuffers
from nnexp.training.diagnostic import diagnostic_names
from nnexp.training.diagnostics import activation_sizes, by_weight, dead_units
from nnexp.training.history import LayerHistory, Outcome, Row
from nnexp.training.stack import Stack
from nnexp.training.trainer import Round, Trainer
from nnexp.training.view import View

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


class Watch:
    """Looks at a stack after some of the rounds; the training stays the same.

    Args:
        stack: The stack before its first step.
        trainer: Says which diagnostics look at it.
        buffers, task: Those that have the training examples, and the task of the data.
        times: The times at which the sizes in the layers may be taken; empty to take none.
    """

    def __init__(
        self, stack: Stack, trainer: Trainer, buffers: BatchBuffers, task: Task, *, times: Sequence[int] = ()
    ) -> None:
        self._diagnostics = trainer.diagnostics
        self.names = diagnostic_names(trainer.diagnostics, task, stack.layers)
        self._times = watched(times)
        self._runs = np.arange(len(stack))
        self._buffers, self._task = buffers, task
        self._start = stack.theta.copy() if trainer.diagnostics else None
        self._before: Array | None = None
        self._view: View | None = None
        self._looks: list[Look] = []
        self._layers: tuple[str, ...] = ()

    def __getstate__(self) -> dict[str, object]:
        """Return all attributes but the view of the stack, which is made again."""
        return {**vars(self), "_view": None}

    def begin(self, this: Round, stack: Stack) -> None:
        """Remember the parameters before a round after which it looks at the stack."""
        if this.time in self._times or (this.diagnosed and self._diagnostics):
            self._before = stack.theta.copy()

    def row(self, stack: Stack, *, diagnosed: bool = True) -> Row:
        """Return what the diagnostics find in all runs; what they do not, or do not look for, is NaN."""
        if not self._diagnostics:
            return {}
        values = np.full((len(self.names), len(stack)), np.nan)
        if diagnosed:
            view = self._seen(stack)
            np.concatenate([one.look(view).T.reshape(-1, len(stack)) for one in self._diagnostics], out=values)
        return dict(zip(self.names, np.where(np.isfinite(values), values, np.nan), strict=True))

    def end(self, this: Round, stack: Stack, staying: npt.NDArray[np.intp]) -> None:
        """Take the sizes in the layers of the runs that go on after the round, if it is watched."""
        if self._before is not None and this.time in self._times and len(staying):
            values = {name: array[staying] for name, array in self._sizes(stack).items()}
            self._looks.append(Look(this.time, self._runs[staying], values))
        self._before = None
        self.keep(staying)

    def keep(self, staying: npt.NDArray[np.intp]) -> None:
        """Go on with a part of the runs."""
        self._view = self._view if len(staying) == len(self._runs) else None
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

    def _seen(self, stack: Stack) -> View:
        """Return a view of the stack as it is now."""
        self._view = self._view or View(stack, self._buffers.whole, self._task)
        self._view.start = stack.theta if self._start is None else self._start[self._runs]
        self._view.before = stack.theta if self._before is None else self._before
        return self._view

    def _sizes(self, stack: Stack) -> dict[str, Array]:
        """Return the sizes, root mean squares over a layer."""
        view = self._seen(stack)
        examples, weights = view.examples(WATCHED_EXAMPLES), view.weights
        self._layers = tuple(f"{slot.shape[0]} → {slot.shape[1]}" for slot in weights)
        return {
            "activations": activation_sizes(view, examples),
            "dead": dead_units(view, examples),
            "gradients": by_weight(view.gradient(examples), weights),
            "weights": by_weight(view.theta, weights),
            "updates": by_weight(view.theta - view.before, weights),
        }


def watched(times: Sequence[int]) -> set[int]:
    """Return the times that are watched: the first, the last, and every second, or every fourth, and so on.

    Of a longer training it is every eighth where it was every fourth, so all of them up to now were watched before.
    """
    apart = 1
    while len(times) > WATCHED_TIMES * apart:
        apart *= 2
    return {*times[:1], *times[apart - 1 :: apart], *times[-1:]}
