"""The training loop: rounds of steps, with an evaluation after each.

One loop trains a stack of runs: every array has a leading run axis, every hyper-parameter is one number a run. A run
alone is a stack of one, and its numbers are the same bits in either. The step itself is in `step.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import cast

import numpy as np
import numpy.typing as npt

from nnexp.core.component import Array
from nnexp.core.errors import DamagedError
from nnexp.core.state import Saved, Tree
from nnexp.data.dataset import Data
from nnexp.optim.schedules import Time
from nnexp.training.active_runs import ActiveRuns, Observer, unobserved
from nnexp.training.batches import BatchBuffers, Examples, Rows, Sampler, count_of, stream
from nnexp.training.diagnostics import Sharpness
from nnexp.training.evaluator import Evaluator
from nnexp.training.history import History, Outcome
from nnexp.training.pruning import Rounds
from nnexp.training.stack import Recipe, Stack
from nnexp.training.stacking import parts
from nnexp.training.trainer import Round, Trainer
from nnexp.training.view import View
from nnexp.training.watch import Watch

Pause = Callable[[int], bool]
"""Returns whether to pause, given the number of steps done."""
SECONDS_OF_A_CALL = 0.2
"""About the longest time of a call of compiled code, which hears no signal."""
WITHOUT_WARNINGS = np.errstate(over="ignore", invalid="ignore", divide="ignore")
"""No warnings of overflow: a run that diverges is recognized by its loss."""


def train(
    recipes: Sequence[Recipe],
    data: Data | Sequence[Data],
    trainer: Trainer,
    dtype: npt.DTypeLike,
    observe: Observer = unobserved,
    *,
    watch_layers: bool = False,
) -> list[Outcome]:
    """Train a stack of runs and return the outcome of each.

    `train/loss` and the other training metrics are means over the last round: the predictions for each batch are from
    just before its step. Those of the other parts are taken after the round. At time 0, before the first step, all are
    of whole parts; they decide on nothing. Losses are without penalties. A run whose loss is no longer finite leaves
    the stack, and so does one that stops early. Watching the layers changes no numbers.
    """
    training = Training(recipes, data, trainer, dtype=dtype, observe=observe, watch_layers=watch_layers)
    training.advance()
    return list(training.outcomes().values())


@dataclass
class RoundUnderWay:
    """A round from its first step to its evaluation.

    Attributes:
        before: The state of the sampler before the round; None if the training cannot pause.
        batches: The rows of every step.
        seen: The examples of all batches, without their features.
        logits: The logits of these examples, each from before its step; shape (runs, rows, outputs).
        done, rows: The number of steps, and of rows of logits, that are done.
    """

    before: Tree
    batches: Sequence[Rows]
    seen: Examples
    logits: Array
    done: int = 0
    rows: int = 0

    def add(self, z: Array, steps: int = 1) -> None:
        """Keep the logits of the next steps."""
        self.logits[:, self.rows : self.rows + z.shape[1]] = z
        self.rows += z.shape[1]
        self.done += steps


class Training:
    """The training of a stack of runs, which can pause before any step and go on from a checkpoint.

    Between two rounds it can also be pickled, and go on in another process.

    Args:
        recipes: The components of each run.
        data: The data set of all runs, or that of each; these have the same shapes, see `stack_key`.
        trainer: The settings of the loop.
        dtype: float64 or float32.
        observe: Called after every evaluation.
        watch_layers: Whether to record the sizes within layers.
    """

    @WITHOUT_WARNINGS
    def __init__(
        self,
        recipes: Sequence[Recipe],
        data: Data | Sequence[Data],
        trainer: Trainer,
        dtype: npt.DTypeLike,
        observe: Observer = unobserved,
        *,
        watch_layers: bool = False,
    ) -> None:
        of_runs = [data] if isinstance(data, Data) else data
        train, self._task, loss = of_runs[0].train, of_runs[0].task, recipes[0].loss
        self._stack = Stack(recipes, train.x.shape[-1], dtype)
        self._pruning: Rounds | None = None
        self._earlier: Training | None = None
        if trainer.pruning is not None:
            generators = [stream(recipe.seed, "pruning") for recipe in recipes]
            self._pruning = Rounds(trainer.pruning, generators, self._stack.theta)
            self._of = recipes, data, replace(trainer, pruning=None, snapshots=(trainer.pruning.rewind,))
        self._buffers = BatchBuffers(Examples.of_runs([one.train for one in of_runs], self._task, loss, dtype))
        self._sampler = Sampler(parts(recipes, "seed"), len(train), trainer)
        self._measure()
        self._evaluator = Evaluator(of_runs, loss, trainer.metrics, dtype)
        self._rounds, self._logits = trainer.rounds(len(train)), dict[int, Array]()
        times = [this.time for this in self._rounds] if watch_layers else []
        self._watch = Watch(self._stack, trainer, self._buffers, self._task, times=times)
        names = [*self._evaluator.names, *self._watch.names]
        self._active = ActiveRuns(len(recipes), trainer, names, observe)
        self._together, self._longest = 2, max(this.steps for this in self._rounds)
        self._number, self._under_way = 0, cast("RoundUnderWay | None", None)

    @WITHOUT_WARNINGS
    def advance(self, time: int | None = None, pause: Pause | None = None, *, every: int | None = 1) -> bool:
        """Train until a time, in epochs or iterations, or to the end; return whether it paused before.

        Args:
            time: The time; None is the end.
            pause: Returns whether to pause before the next step.
            every: It is called at least after every multiple of so many steps, and several times in a second.
        """
        if not self.steps and not self._active.begun:
            if self._pruning is not None and not self._prune(self._pruning, pause, every):
                return True
            self._pruning = None
            row = self._evaluator.start(self._stack, self._buffers.whole)
            self._active.begin(self._stack, row, self._watch.row(self._stack))
        while len(self._active) and self._number < len(self._rounds):
            this = self._rounds[self._number]
            if time is not None and this.time > time:
                return False
            if self._under_way is None:
                self._under_way = self._begin(this, pausing=pause is not None)
                self._watch.begin(this, self._stack)
            if not self._train(self._under_way, pause, every):
                return True
            self._evaluate(this, self._under_way)
            self._number, self._under_way = self._number + 1, None
        self._active.end_all(self._stack)
        return False

    def _prune(self, rounds: Rounds, pause: Pause | None, every: int | None) -> bool:
        """Go through the trainings before this one, each with fewer weights, and begin with those that are left.

        Returns whether all are over; it can pause before any of their steps, too.
        """
        paused_at = -1 if self._earlier is None else self._earlier.steps
        while rounds.over < rounds.pruning.rounds:
            trained = rounds.start
            if rounds.trains:
                earlier = self._earlier = self._earlier or self._before(rounds)
                if earlier.advance(pause=pause and partial(_pauses, pause, paused_at), every=every):
                    return False
                outcomes, paused_at = list(earlier.outcomes().values()), -1
                trained = np.array([outcome.theta for outcome in outcomes])
                if not rounds.over:
                    rewind = rounds.pruning.rewind
                    rounds.start = np.array([one.snapshots.get(rewind, one.learned).theta for one in outcomes])
            rounds.end(trained, self._stack.prunable)
            self._earlier = None
        self.begin_with(rounds.mask, rounds.start)
        return True

    def _before(self, rounds: Rounds) -> "Training":
        """Return the training of the next round."""
        earlier = Training(*self._of, rounds.start.dtype)
        earlier.begin_with(rounds.mask, rounds.start)
        return earlier

    def begin_with(self, mask: Array, theta: Array) -> None:
        """Begin with some of the parameters, those where the mask is 1; the others are and stay 0."""
        self._stack.prune(mask, theta)
        self._measure()

    def _measure(self) -> None:
        """Measure the unit of the learning rates, if they have one."""
        if self._stack.optimizer.unit is not None:
            sharpness = Sharpness().look(View(self._stack, self._buffers.whole, self._task))
            self._stack.learning_rate_unit = 1 / sharpness.reshape(-1, 1).astype(self._stack.theta.dtype)

    def _begin(self, this: Round, *, pausing: bool) -> RoundUnderWay:
        """Return a round with its batches drawn."""
        before = self._sampler.state() if pausing else None
        batches = self._sampler.batches(this.steps)
        seen = self._buffers.targets(batches)
        rows = seen.y.shape[-2] * seen.views
        if rows not in self._logits:
            self._logits[rows] = np.empty((len(self._stack), rows, self._stack.outputs), self._stack.theta.dtype)
        return RoundUnderWay(before, batches, seen, self._logits[rows])

    def _train(self, this: RoundUnderWay, pause: Pause | None, every: int | None) -> bool:
        """Make the steps of a round that are left, and return whether all are done."""
        stack, begun = self._stack, this.done
        while this.done < len(this.batches):
            if pause is not None and pause(stack.steps):
                return False
            if this.done == begun or stack.schedule.per == "step":
                stack.set_learning_rate(self._now())
            together = min(self._together, len(this.batches) - this.done)
            if pause is not None and every is not None:
                together = min(together, every - stack.steps % every)
            batch = self._buffers.batch(this.batches[this.done])
            if together == 1 or not stack.settled(batch) or not self._make(this, batch, together):
                this.add(stack.step(batch))
        return True

    def _make(self, this: RoundUnderWay, batch: Examples, most: int) -> bool:
        """Make several of the next steps in one call, and return whether that was possible."""
        shape, copies = self._buffers.copies(this.batches[this.done])
        several = self._stack.several(batch, copies, shape, self._longest)
        if several is None:
            self._together = 1
            return False
        ahead = self._buffers.joined(this.batches).steps(this.done, min(most, several.most))
        began = monotonic()
        this.add(self._stack.make(several, ahead, self._now()), len(ahead))
        seconds = monotonic() - began
        if seconds < SECONDS_OF_A_CALL / 2:
            self._together *= 2
        elif seconds > SECONDS_OF_A_CALL:
            self._together = max(1, self._together // 2)
        return True

    def _now(self) -> Time:
        """Return how far the training is."""
        return Time(self._stack.steps, self._number, self._rounds[-1].steps_by_then, len(self._rounds))

    def _evaluate(self, this: Round, trained: RoundUnderWay) -> None:
        """Evaluate the stack after a round, and go on with the runs that neither diverged nor stopped."""
        losses, row = self._evaluator.evaluate(self._stack, trained.logits, trained.seen, fully=this.evaluated)
        self._stack.observe(row)
        seen = self._watch.row(self._stack, diagnosed=this.diagnosed) if this.evaluated else {}
        staying = self._active.after_round(this, self._stack, losses=losses, row=row, seen=seen)
        self._watch.end(this, self._stack, staying)
        self._keep(staying)

    def state(self) -> dict[str, Tree]:
        """Return the state for a checkpoint, of a training that has not begun, has paused, or has ended."""
        this = self._under_way
        return {
            "round": self._number,
            "done": 0 if this is None else this.done,
            "logits": None if this is None or not this.done else this.logits[:, : this.rows],
            "stack": self._stack.state(),
            "sampler": self._sampler.state() if this is None else this.before,
            "roster": self._active.state(),  # as files call the active runs
            "watch": self._watch.state(),
            "pruning": None if self._pruning is None else self._pruning.state(),
            "earlier": None if self._earlier is None else self._earlier.state(),
            "unit": None if self._stack.optimizer.unit is None else self._stack.learning_rate_unit,
        }

    def restore(self, saved: Saved) -> None:
        """Restore a saved state, into a new training with the same recipes.

        Raises DamagedError if the checkpoint does not fit.
        """
        self._restore(saved, longer=False)

    def lengthen(self, saved: Saved, earlier: Trainer) -> str | None:
        """Restore the state of an earlier, shorter training, so that this one goes on from there, also from its end.

        Returns why it cannot go on to become, bit for bit, what it would have been in one go, as a clause; None if it
        can. `Trainer.why_not_longer` is asked before. Raises DamagedError if the checkpoint does not fit.

        Args:
            saved: The state of a training with the same recipes.
            earlier: Its settings, which differ from those of this one in the length alone.
        """
        ended = saved.part("stack").whole("steps") == earlier.steps(earlier.length, len(self._buffers.whole))
        if ended and earlier.length not in [this.time for this in self._rounds if this.evaluated]:
            return f"the earlier one was evaluated at its end, {earlier.unit} {earlier.length}, and a longer one is not"
        self._restore(saved, longer=True)
        if len(self._active):
            return None
        outcome = next(iter(self.outcomes().values()))
        if outcome.diverged_step is not None:
            return f"it diverged at step {outcome.diverged_step}, as a longer one does"
        if outcome.stopped == "time limit":
            return "its time limit ended it, at a moment that cannot be repeated"
        return f"{outcome.stopped} ended it at {earlier.unit} {self.time}, as it ends a longer one"

    def _restore(self, saved: Saved, *, longer: bool) -> None:
        if self._pruning is not None and saved.has("pruning"):
            self._pruning.restore(saved.part("pruning"))
            if saved.has("earlier"):
                self._earlier = self._before(self._pruning)
                self._earlier.restore(saved.part("earlier"))
        self._number = saved.whole("round", len(self._rounds) + 1)
        self._stack.steps = saved.part("stack").whole("steps")
        in_stack = self._active.restore(saved.part("roster"), self._stack.learned(0), longer=longer)
        self._watch.restore(saved.part("watch"), self._stack.theta[in_stack], longer=longer)
        if not len(in_stack):  # all ended before their time, and only the active runs know their outcomes
            return
        self._watch.keep(in_stack)
        self._keep(in_stack)
        self._stack.restore(saved.part("stack"))
        if self._stack.optimizer.unit is not None and saved.has("unit"):
            unit = saved.array("unit", (len(self._stack), 1), self._stack.theta.dtype)
            self._stack.learning_rate_unit = cast("Array", unit)
        self._sampler.restore(saved.part("sampler"))
        done = saved.whole("done", self._rounds[self._number].steps if self._number < len(self._rounds) else 1)
        if done:
            this = self._under_way = self._begin(self._rounds[self._number], pausing=True)
            this.done, this.rows = done, sum(map(count_of, this.batches[:done])) * this.seen.views
            saved.fill("logits", this.logits[:, : this.rows])
        begun = self._rounds[self._number - 1].steps_by_then if self._number else 0
        if len(self._active) and self.steps != begun + done:  # as after the end of a run, where it was resumed in vain
            raise DamagedError(f"it has no state of step {self.steps}, to which the run was trained")

    @property
    def steps(self) -> int:
        """Return how many steps are done."""
        return self._stack.steps

    @property
    def time(self) -> int:
        """Return how many epochs, or iterations, are done, up to the last evaluation or the last epoch."""
        return self._rounds[self._number - 1].time if self._number else 0

    @property
    def ended(self) -> bool:
        """Tell whether all runs have ended."""
        return not len(self._active)

    @property
    def seconds(self) -> float:
        """Return how long it has trained."""
        return self._active.seconds

    def history(self, run: int) -> History:
        """Return the evaluations of a run, all of them or those so far."""
        return self._active.history(run)

    def stop(self, runs: Sequence[int], reason: str) -> None:
        """End some of the runs early; the numbers of the others stay the same."""
        staying = self._active.stop(self._stack, runs, reason)
        self._watch.keep(staying)
        self._keep(staying)

    def _keep(self, staying: npt.NDArray[np.intp]) -> None:
        if 0 < len(staying) < len(self._stack):
            self._stack.keep(staying)
            self._sampler.keep(staying)
            self._buffers.keep(staying)
            self._evaluator.keep(staying)
            self._logits = {}

    @property
    def times(self) -> list[int]:
        """Return the times of all rounds, between which it can pause."""
        return [this.time for this in self._rounds]

    @property
    def active_runs(self) -> list[int]:
        """Return the runs that have not ended."""
        return self._active.numbers

    def outcomes(self) -> dict[int, Outcome]:
        """Return the outcome of every run that has ended, in their order."""
        return self._watch.with_layers(self._active.outcomes())


def _pauses(pause: Pause, paused_at: int, steps: int) -> bool:
    """Return whether to pause before a step, but not twice before the same."""
    return steps != paused_at and pause(steps)
