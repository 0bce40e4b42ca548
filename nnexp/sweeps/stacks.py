"""Which runs of a sweep are trained together: those of one shape, as many as a stack may have."""

from collections.abc import Hashable, Sequence
from math import ceil

import numpy as np

from nnexp.core.component import resolved
from nnexp.runs.prepare import Ready
from nnexp.training.stacking import shape_of

Places = list[int]
"""The places of the runs of a stack in a sequence of runs."""


def stacks_of(groups: Sequence[tuple[Sequence[int], int]], stack_bytes: int, workers: int) -> list[Places]:
    """Return groups of runs that can share a stack as stacks, no fewer than there are workers.

    Each group has the bytes that one of its runs works on in a step. A stack works on `stack_bytes` at most.
    """
    share = ceil(sum(len(places) for places, _ in groups) / workers)
    stacks = []
    for places, step_bytes in groups:
        most = max(1, min(stack_bytes // step_bytes, share, len(places)))
        count = ceil(len(places) / most)
        stacks += [part.tolist() for part in np.array_split(np.array(places), count)]
    return stacks


def stack_key(run: Ready) -> Hashable:
    """Return a key that is equal for runs that can share a stack: data, trainer, and a recipe without its numbers.

    Starting weights are made for each run alone, so initializers may differ.
    """
    experiment, recipe = run.experiment, run.recipe
    trainer = {key: value for key, value in resolved(experiment.trainer).items() if key != "regularization"}
    parts = (recipe.loss, recipe.optimizer, recipe.schedule, recipe.regularization)
    return (
        run.dataset.source,
        run.dataset.digest,
        experiment.dtype,
        repr(trainer),
        experiment.draws(alone=False),
        *[shape_of(layer) for layer in recipe.layers],
        *[shape_of(part) for part in parts],
    )
