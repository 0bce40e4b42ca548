"""Pruning in rounds: what is left of a network after a training trains again, from where it began."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import annotated_types as at
import numpy as np
import numpy.typing as npt

from nnexp.core.component import Array, Component
from nnexp.core.state import Saved, Tree, generator_state, restore_generator

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Pruning(Component):
    """Before the training that counts come `rounds` others, each of which decides which weights the next one has.

    After each, a share of the weights that are left is taken away, those with the smallest absolute values in the whole
    network or random ones; the others go back to what they were at the time `rewind`. Biases stay.

    References:
        Frankle and Carbin, The Lottery Ticket Hypothesis, arXiv 1803.03635. Frankle et al., Linear Mode Connectivity
        and the Lottery Ticket Hypothesis, arXiv 1912.05671, on later times to go back to.
    """

    rounds: Annotated[int, at.Interval(ge=0, le=100)] = 1
    share: Annotated[float, at.Interval(gt=0, lt=1)] = 0.2
    by: Literal["magnitude", "random"] = "magnitude"
    rewind: Annotated[int, at.Ge(0)] = 0

    def pruned(self, mask: Array, theta: Array, weights: Mask, generator: np.random.Generator) -> Array:
        """Return the mask of one run with a share less of its weights.

        Args:
            mask: 1 where a parameter is left, else 0.
            theta: The parameters after a training.
            weights: Which of them may be taken away.
            generator: Of the random ones.
        """
        left = np.flatnonzero(weights & (mask > 0))
        order = generator.permutation(left) if self.by == "random" else left[np.argsort(np.abs(theta[left]))]
        fewer = mask.copy()
        fewer[order[: int(self.share * len(left))]] = 0
        return fewer


class Rounds:
    """How far the rounds of a stack are.

    Attributes:
        over: How many are over.
        start: The parameters that each begins with.
        mask: 1 where the next one has a parameter, else 0.
    """

    def __init__(self, pruning: Pruning, generators: Sequence[np.random.Generator], start: Array) -> None:
        self.pruning, self._generators = pruning, generators
        self.over, self.start, self.mask = 0, start.copy(), np.ones_like(start)

    @property
    def trains(self) -> bool:
        """Tell whether the next round has to be trained; what goes at random does not depend on it."""
        return self.pruning.by == "magnitude" or (self.pruning.rewind > 0 and not self.over)

    def end(self, trained: Array, weights: Mask) -> None:
        """Take weights away after a round, which left the parameters `trained`."""
        each = zip(self.mask, trained, self._generators, strict=True)
        self.mask = np.array([self.pruning.pruned(left, theta, weights, one) for left, theta, one in each])
        self.over += 1

    def state(self) -> dict[str, Tree]:
        """Return the state for a checkpoint."""
        generators = {str(run): generator_state(one) for run, one in enumerate(self._generators)}
        return {"over": self.over, "start": self.start, "mask": self.mask, "generators": generators}

    def restore(self, saved: Saved) -> None:
        """Restore a saved state."""
        self.over = saved.whole("over", self.pruning.rounds)
        self.start, self.mask = saved.like("start", self.start), saved.like("mask", self.mask)
        for run, generator in enumerate(self._generators):
            restore_generator(generator, saved.part("generators"), str(run))
