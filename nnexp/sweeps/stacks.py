"""Which runs of a sweep are trained together: those of one shape, as many as a stack may have."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from nnexp.core.component import resolved
from nnexp.data.dataset import Data
from nnexp.runs.prepare import Ready
from nnexp.training.stacking import shape_of

Places = list[int]
"""The places of the runs of a stack in a sequence of runs."""
TIMES_AS_MANY = 7
"""In memory for fewer times as many runs as a data set has, to read the examples of each takes what sharing saves."""


@dataclass(frozen=True)
class Alike:
    """Runs that can share a stack.

    Attributes:
        of_data: The places of the runs of each data set.
        step_bytes: The bytes that one of them works on in a step.
        data_bytes: The bytes of the examples that it has beside that in a stack of several data sets.
    """

    of_data: Sequence[Sequence[int]]
    step_bytes: int
    data_bytes: int


def stacks_of(groups: Sequence[Alike], stack_bytes: int, workers: int) -> list[Places]:
    """Return groups of runs as stacks, no fewer than there are workers, each of which works on `stack_bytes` at most.

    Runs of several data sets share a stack where that has at least twice as many as a data set has, and they are small:
    the memory has room for `TIMES_AS_MANY`, the examples of each included.
    """
    share = ceil(sum(len(places) for group in groups for places in group.of_data) / workers)
    stacks = list[Places]()

    def room(run_bytes: int) -> int:
        return max(1, min(stack_bytes // run_bytes, share))

    def divide(places: Sequence[int], run_bytes: int) -> None:
        count = ceil(len(places) / room(run_bytes))
        stacks.extend(sorted(part.tolist()) for part in np.array_split(np.array(places), count))

    for group in groups:
        with_data = group.step_bytes + group.data_bytes
        most = min(stack_bytes // with_data / TIMES_AS_MANY, share / 2)
        few = [places for places in group.of_data if len(places) <= most]
        together = few if len(few) > 1 else []
        for places in group.of_data:
            if places not in together:
                divide(places, group.step_bytes)
        if together:
            divide(np.concatenate(together).tolist(), with_data)
    return stacks


def stack_key(run: Ready) -> Hashable:
    """Return a key that is equal for runs that can share a stack: trainer, and shapes of data and recipe.

    Starting weights are made for each run alone, so initializers may differ. Diagnostics, and distances between the
    examples that pairs were drawn from, are of one data set.
    """
    experiment, recipe = run.experiment, run.recipe
    trainer = {key: value for key, value in resolved(experiment.trainer).items() if key != "regularization"}
    parts = (recipe.loss, recipe.optimizer, recipe.schedule, recipe.regularization)
    return (
        _data_key(run.data),
        (run.dataset.source, run.dataset.digest) if experiment.trainer.diagnostics or run.data.labelled else "any",
        experiment.dtype,
        repr(trainer),
        experiment.draws(alone=False),
        *[shape_of(layer) for layer in recipe.layers],
        *[shape_of(part) for part in parts],
    )


def _data_key(data: Data) -> Hashable:
    """Return all of a data set that its numbers leave open."""
    parts = {"train": data.train, **data.parts()}
    shapes = [(part.x.shape, part.targets.shape, part.targets.dtype, part.weights is None) for part in parts.values()]
    return data.task, *parts, *shapes
