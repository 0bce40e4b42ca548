"""The training loop.

One loop trains a stack of runs: every array has a leading run axis, every hyper-parameter is one number a run. A run
alone is a stack of one, and its numbers are the same bits in either.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from nnexp.component import Array, Labels
from nnexp.data.dataset import Data
from nnexp.nn.losses import Loss
from nnexp.training.batches import Examples, Shuffler
from nnexp.training.history import Outcome, Recorder, Row
from nnexp.training.stack import Recipe, Stack
from nnexp.training.trainer import Trainer

METRICS = ("train/loss", "test/loss", "train/accuracy", "test/accuracy")

Observer = Callable[[int, Sequence[int], Row], None]
"""Called after every evaluation with the epoch, the runs that are still training, and their metrics."""


@np.errstate(over="ignore", invalid="ignore")  # a run that diverges is known by its loss
def train(
    recipes: Sequence[Recipe],
    data: Data,
    trainer: Trainer,
    dtype: npt.DTypeLike,
    observe: Observer = lambda *_: None,
) -> list[Outcome]:
    """Train a stack of runs and return the outcome of each.

    `train/loss` and `train/accuracy` are means over the epoch while the weights move, each batch taken just before
    its step; `test/loss` and `test/accuracy` are taken after the epoch. A run whose loss is no longer finite leaves
    the stack.
    """
    stack = Stack(recipes, data.train.x.shape[1], dtype)
    training, test = (Examples.of(part, data.task, recipes[0].loss, dtype) for part in (data.train, data.test))
    batch_size = trainer.examples_per_step(len(training))
    shuffler = None if trainer.batch_size == "full" else Shuffler([recipe.seed for recipe in recipes], len(training))
    recorder = Recorder(len(recipes), trainer.evaluated_epochs(), METRICS)
    runs = np.arange(len(recipes))

    for epoch in range(1, trainer.epochs + 1):
        order = shuffler.order() if shuffler else None
        z = np.concatenate([stack.step(x, y).copy() for x, y in training.batches(order, batch_size)], axis=-2)
        y, labels = training.targets(order)
        losses = stack.loss.forward(z, y)
        row = {"train/loss": losses.mean(axis=-1)}
        if trainer.evaluates(epoch):
            z_test = stack.network.forward(test.x)
            row["test/loss"] = stack.loss.forward(z_test, test.y).mean(axis=-1)
            row["train/accuracy"] = accuracy(stack.loss, z, labels)
            row["test/accuracy"] = accuracy(stack.loss, z_test, test.labels)

        finite = np.logical_and.reduce([np.isfinite(values) for values in row.values()])
        if not finite.all():
            for index in np.flatnonzero(~finite):
                step = diverged_step(losses[index], batch_size, stack.steps)
                recorder.end(runs.item(index), stack.theta[index], step)
            kept = np.flatnonzero(finite)
            runs, row = runs[kept], {name: values[kept] for name, values in row.items()}
            if not len(runs):
                return recorder.outcomes()
            stack.keep(kept)
            if shuffler:
                shuffler.keep(kept)

        if trainer.evaluates(epoch):
            recorder.record(runs, row)
            observe(epoch, runs.tolist(), row)
    for run, theta in zip(runs.tolist(), stack.theta, strict=True):
        recorder.end(run, theta, None)
    return recorder.outcomes()


def accuracy(loss: Loss, z: Array, labels: Labels) -> Array:
    """Return the share of examples whose most probable class is the right one, for each run."""
    share: Array = (loss.decide(z) == labels).mean(axis=-1)
    return share


def diverged_step(losses: Array, batch_size: int, steps: int) -> int:
    """Return the step whose batch had the first loss that is not finite, given one run's losses in its last epoch.

    The step is the last one where all these losses are finite, and only the loss after the epoch is not.
    """
    before = steps - -(-len(losses) // batch_size)
    bad = np.flatnonzero(~np.isfinite(losses))
    return before + 1 + int(bad[0]) // batch_size if len(bad) else steps
