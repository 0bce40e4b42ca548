"""Intervals, and the points that are drawn from several of them at once."""

from collections.abc import Sequence
from dataclasses import dataclass

from nnexp.config.sweep_functions import between
from nnexp.sweeps.options import SweepOptions

DIGITS = 6
"""Significant digits of a drawn value, so that commands and names are readable."""

Point = tuple[str, ...]
"""An override for every interval."""


@dataclass(frozen=True)
class Interval:
    """What a key is drawn from.

    Attributes
    ----------
    key
        As on the command line.
    low, high
        The bounds; whole numbers include both.
    logarithmic
        Whether draws are even on a logarithmic axis.

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
        """Return the override for a value, rounded to what is readable, within the bounds."""
        if self.whole:
            return f"{self.key}={min(max(round(value), self.low), self.high)}"
        # Digits that all of the interval shares say nothing, and do not count.
        size = max(abs(self.low), abs(self.high))
        shared = len(str(int(size / (self.high - self.low)))) - 1
        return f"{self.key}={min(max(float(f'{value:.{DIGITS + shared}g}'), self.low), self.high)}"


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
