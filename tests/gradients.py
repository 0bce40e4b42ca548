"""Directional derivatives by finite differences, the judge of every gradient."""

from collections.abc import Callable

import numpy as np

from nnexp.core.component import Array

TOLERANCE = 1e-6


def relative_error(
    function: Callable[[Array], float], gradient: Array, at: Array, generator: np.random.Generator
) -> float:
    """Return how far a gradient is from the central difference of a function in one random direction.

    Relative to the slope in that direction, or in a typical one where that one happens to be almost flat.
    """
    direction = generator.standard_normal(at.shape)
    step = 1e-5
    difference = (function(at + step * direction) - function(at - step * direction)) / (2 * step)
    claimed = float((gradient * direction).sum())
    return abs(difference - claimed) / max(abs(difference), abs(claimed), float(np.linalg.norm(gradient)), 1e-8)
