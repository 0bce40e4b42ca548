"""The training loop.

One loop trains a stack of runs: every array has a leading run axis, every hyper-parameter is one number a run. A run
alone is a stack of one, and its numbers are the same bits in either.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from nnexp.core.component import Array
from nnexp.core.state import Saved, Tree
from nnexp.data.dataset import Data
from nnexp.optim.schedules import Time
from nnexp.training.active_runs import Observer, Roster, unobserved
from nnexp.training.batches import Examples, Portions, Sampler
from nnexp.training.evaluator import Evaluator
from nnexp.training.history import History, Outcome
from nnexp.training.layer_watch import LayerWatch
from nnexp.training.stack import Recipe, Stack
from nnexp.training.trainer import Round, Trainer

Pause = Callable[[int], bool]
"""Told the number of steps done, whether to pause before the next."""
UNWARNED = np.errstate(over="ignore", invalid="ignore", divide="ignore")
"""A run that diverges is known by its loss."""


def train(
    recipes: Sequence[Recipe],
    data: Data,
    trainer: Trainer,
    dtype: npt.DTypeLike,
    observe: Observer = unobserved,
    *,
    watch_layers: bool = False,
) -> list[Outcome]:
    """Train a stack of runs and return the outcome of each.

    `train/loss` and its like are means over the last round while the weights move, each batch taken just before its
    step; those of the other parts are taken after the round. Penalties are no part of them. A run whose loss is no
    longer finite leaves the stack, and so does one that stops early. Watching the layers changes no numbers.
    """
    training = Training(recipes, data, trainer, dtype, observe, watch_layers=watch_layers)
    training.advance()
    return list(training.outcomes().values())


class Training:
    """A stack of runs on its way: it can pause between two rounds, and then be pickled and go on elsewhere.

    Arguments
    ---------
    recipes
        What each run is made of.
    data
        What all of them learn.
    trainer
        How long, and in which portions.
    dtype
        float64 or float32.
    observe
        Who is told of every evaluation.
    watch_layers
        Whether to look into the layers.

    """

    @UNWARNED
    def __init__(
        self,
        recipes: Sequence[Recipe],
        data: Data,
        trainer: Trainer,
        dtype: npt.DTypeLike,
        observe: Observer = unobserved,
        *,
        watch_layers: bool = False,
    ) -> None:
        self._stack = Stack(recipes, data.train.x.shape[-1], dtype)
        self._examples = Examples.of(data.train, data.task, recipes[0].loss, dtype)
        self._sampler = Sampler([recipe.seed for recipe in recipes], len(self._examples), trainer)
        self._evaluator = Evaluator(data, recipes[0].loss, trainer.metrics, dtype)
        self._roster = Roster(len(recipes), trainer, self._evaluator.names, observe)
        self._rounds = trainer.rounds(len(self._examples))
        self._watch = LayerWatch(len(recipes), self._rounds if watch_layers else [], self._examples)
        self._portions, self._outputs = Portions(self._examples), dict[int, Array]()
        self._number = self._done = 0

    @UNWARNED
    def advance(self, time: int | None = None, pause: Pause | None = None) -> bool:
        """Train until a time, in epochs or iterations, or to the end; return whether it paused before.

        Arguments
        ---------
        time
            The time; None is the end.
        pause
            Asked before every step whether to pause there.

        """
        while len(self._roster) and self._number < len(self._rounds):
            this = self._rounds[self._number]
            if time is not None and this.time > time:
                return False
            if not self._round(this, pause):
                return True
            self._number, self._done = self._number + 1, 0
        self._roster.end_all(self._stack)
        return False

    def _round(self, this: Round, pause: Pause | None) -> bool:
        """Train for a round, or for what is left of it, and return whether it is done."""
        stack, steps = self._stack, self._rounds[-1].steps_by_then
        before = None if pause is None else self._sampler.state()
        first, begin = self._done, self._rows(self._done)
        batches = self._sampler.batches(this.steps)
        seen = self._portions.answers(batches)
        outputs = self._room(seen.y.shape[-2] * seen.views)
        if first == 0:
            self._watch.begin(this, stack)
        for rows in batches[first:]:
            if pause is not None and pause(stack.steps):
                self._sampler.restore(Saved(before))  # who goes on draws the batches of this round again
                return False
            if self._done == first or stack.schedule.per == "step":
                stack.pace(Time(stack.steps, self._number, steps, len(self._rounds)))
            z = stack.step(self._portions.batch(rows))
            outputs[:, begin : begin + z.shape[1]] = z
            begin += z.shape[1]
            self._done += 1

        losses, row = self._evaluator.evaluate(stack, outputs, seen, fully=this.evaluated)
        stack.observe(row)
        staying = self._roster.settle(this, stack, losses, row)
        self._watch.end(this, stack, staying)
        self._keep(staying)
        return True

    def _rows(self, steps: int) -> int:
        """Return how many rows of logits the first steps of a round have, at its beginning."""
        return self._sampler.examples(steps) * self._examples.views

    def _room(self, rows: int) -> Array:
        """Return space for the logits of so many rows, the same for every round that has as many."""
        if rows not in self._outputs:
            self._outputs[rows] = np.empty((len(self._stack), rows, self._stack.outputs), self._stack.theta.dtype)
        return self._outputs[rows]

    def state(self) -> dict[str, Tree]:
        """Return what a checkpoint keeps, where the training has not begun, has paused, or has ended."""
        logits = None
        if self._done:
            steps = self._rounds[self._number].steps
            logits = self._room(self._rows(steps))[:, : self._rows(self._done)]
        return {
            "round": self._number,
            "done": self._done,
            "logits": logits,
            "stack": self._stack.state(),
            "sampler": self._sampler.state(),
            "roster": self._roster.state(),
            "watch": self._watch.state(),
        }

    def restore(self, saved: Saved) -> None:
        """Go on, in a training that has not begun, where another one of the same recipes stood.

        Raises
        ------
        DamagedError
            If the checkpoint does not fit.

        """
        staying = self._roster.restore(saved.part("roster"), self._stack.learned(0))
        self._watch.restore(saved.part("watch"), self._stack.theta[staying])
        self._stack.steps = saved.part("stack").whole("steps")
        if not len(staying):  # all have ended, and are known to the roster alone
            return
        self._watch.keep(staying)
        self._keep(staying)
        self._stack.restore(saved.part("stack"))
        self._sampler.restore(saved.part("sampler"))
        self._number = saved.whole("round", len(self._rounds) + 1)
        steps = self._rounds[self._number].steps if self._number < len(self._rounds) else 1
        self._done = saved.whole("done", steps)
        if self._done:
            logits = self._room(self._rows(steps))
            saved.fill("logits", logits[:, : self._rows(self._done)])

    @property
    def steps(self) -> int:
        """Return how many steps are done."""
        return self._stack.steps

    @property
    def time(self) -> int:
        """Return how many epochs, or iterations, are done, up to the last evaluation or the last epoch."""
        return self._rounds[self._number - 1].time if self._number else 0

    @property
    def seconds(self) -> float:
        """Return how long it has trained."""
        return self._roster.seconds

    def history(self, run: int) -> History:
        """Return the evaluations of a run, all of them or those so far."""
        return self._roster.history(run)

    def stop(self, runs: Sequence[int], reason: str) -> None:
        """End some of the runs before their time; the others are not touched."""
        staying = self._roster.dismiss(self._stack, runs, reason)
        self._watch.keep(staying)
        self._keep(staying)

    def _keep(self, staying: npt.NDArray[np.intp]) -> None:
        if 0 < len(staying) < len(self._stack):
            self._stack.keep(staying)
            self._sampler.keep(staying)
            self._outputs = {}

    @property
    def times(self) -> list[int]:
        """Return the times of all rounds, between which it can pause."""
        return [this.time for this in self._rounds]

    def latest(self, metric: str) -> dict[int, float]:
        """Return a metric at the last evaluation of every run that has not ended."""
        return self._roster.latest(metric)

    def outcomes(self) -> dict[int, Outcome]:
        """Return the outcome of every run that has ended, in their order."""
        return self._watch.told(self._roster.outcomes())
