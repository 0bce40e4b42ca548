"""Pruning in rounds: what is left of a network after a training trains again, from where it began."""

from dataclasses import dataclass
from typing import Annotated, Literal

import annotated_types as at
import numpy as np
import numpy.typing as npt

from nnexp.core.component import Array, Component

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
