"""The training loop.

One loop trains a stack of runs: every array has a leading run axis, every hyper-parameter is one number a run. A run
alone is a stack of one, and its numbers are the same bits in either.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nnexp.data.dataset import Data
from nnexp.optim.schedules import Time
from nnexp.training.batches import Examples, Sampler
from nnexp.training.evaluator import TRAIN, Evaluator, joined, losses_of
from nnexp.training.history import Outcome
from nnexp.training.layer_watch import LayerWatch
from nnexp.training.roster import Observer, Roster
from nnexp.training.stack import Recipe, Stack
from nnexp.training.trainer import Trainer


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # a run that diverges is known by its loss
def train(
    recipes: Sequence[Recipe],
    data: Data,
    trainer: Trainer,
    dtype: npt.DTypeLike,
    observe: Observer = lambda *_: None,
    *,
    watch_layers: bool = False,
) -> list[Outcome]:
    """Train a stack of runs and return the outcome of each.

    `train/loss` and its like are means over the last round while the weights move, each batch taken just before its
    step; those of the other parts are taken after the round. Penalties are no part of them. A run whose loss is no
    longer finite leaves the stack, and so does one that stops early. Watching the layers changes no numbers.
    """
    stack = Stack(recipes, data.train.x.shape[-1], dtype)
    examples = Examples.of(data.train, data.task, recipes[0].loss, dtype)
    sampler = Sampler([recipe.seed for recipe in recipes], len(examples), trainer)
    evaluator = Evaluator(data, recipes[0].loss, trainer.metrics, dtype)
    roster = Roster(len(recipes), trainer, evaluator.names, observe)

    rounds = trainer.rounds(len(examples))
    watch = LayerWatch(len(recipes), rounds if watch_layers else [], examples)
    steps = rounds[-1].steps_by_then
    for number, this in enumerate(rounds):
        outputs, batches = [], sampler.batches(this.steps)
        watch.begin(this, stack)
        for rows in batches:
            batch = examples.take(rows)
            z = stack.step(batch, Time(stack.steps, number, steps, len(rounds)))
            outputs.append(z.copy())

        z, seen = joined(outputs), examples.answers(batches)
        losses = losses_of(stack.loss, z, seen)
        row = {f"{TRAIN}/loss": losses.mean(axis=-1)}
        stack.observe(row)
        if this.evaluated:
            row |= evaluator.scores(TRAIN, stack, z, seen) | evaluator.other_parts(stack)
        staying = roster.settle(this, stack, losses, row)
        watch.end(this, stack, staying)
        if not len(staying):
            return watch.told(roster.outcomes())
        if len(staying) < len(stack):
            stack.keep(staying)
            sampler.keep(staying)
    roster.end_all(stack)
    return watch.told(roster.outcomes())
