"""Intervals, and the points that are drawn from several of them at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from nnexp.config.sweep_functions import between
from nnexp.sweeps.options import SweepOptions

SIGNIFICANT_DIGITS = 6
"""Of a drawn value, so that commands and names are readable."""
PRECISION = 1e-5
"""How far a drawn value may be rounded, as a share of the interval."""

Point = tuple[str, ...]
"""An override for every interval."""


@dataclass(frozen=True)
class Interval:
    """The bounds between which the values of a key are drawn.

    Attributes:
        key: As on the command line.
        low, high: The bounds; whole numbers include both.
        logarithmic: Whether draws are even on a logarithmic axis.
    """

    key: str
    low: float
    high: float
    logarithmic: bool

    @property
    def whole(self) -> bool:
        """Tell whether only whole numbers are drawn."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def at(self, share: float) -> str:
        """Return the override for a share from 0 to 1 of the way; each whole number has the width of 1."""
        margin = 0.5 if self.whole else 0.0
        return self.override(between(self.low - margin, self.high + margin, share, logarithmic=self.logarithmic))

    def override(self, value: float) -> str:
        """Return the override for a value, rounded to a few digits within the bounds."""
        if self.whole:
            return f"{self.key}={min(max(round(value), self.low), self.high)}"
        # Leading digits common to the whole interval do not count towards precision. Their number is a lower bound:
        # where one bound has a digit more than the other, as 966673 and 1166672, another digit may be needed.
        width = self.high - self.low
        common = len(str(int(max(abs(self.low), abs(self.high)) / width))) - 1
        rounded = (float(f"{value:.{digits}g}") for digits in count(SIGNIFICANT_DIGITS + common))
        close = next(number for number in rounded if abs(number - value) <= PRECISION * width)
        return f"{self.key}={min(max(close, self.low), self.high)}"


def points(intervals: Sequence[Interval], options: SweepOptions) -> list[Point]:
    """Return joint draws from intervals; more draws begin with the same points."""
    import numpy as np

    generator = np.random.default_rng(options.draw_seed)
    if options.sampler == "sobol":
        from scipy.stats.qmc import Sobol

        # The sequence is balanced in powers of two, and insists on them.
        exponent = (options.draws - 1).bit_length()
        shares = Sobol(len(intervals), seed=generator).random_base2(exponent)[: options.draws]
    else:
        shares = generator.random((options.draws, len(intervals)))
    return [
        tuple(interval.at(share) for interval, share in zip(intervals, row, strict=True)) for row in shares.tolist()
    ]
