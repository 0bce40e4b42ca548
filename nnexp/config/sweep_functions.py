"""The functions of nnexp for sweeps: `logspace`, `linspace`, `zip`, `uniform`, `loguniform` and `integers`.

Each returns a sweep of Hydra, as its own `choice` and `interval` do. Every command imports this module, so it imports
nothing heavy.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isfinite

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, ParsedElementType, RangeSweep, Sweep

from nnexp.core.errors import UserError

LOGARITHMIC = "log"
"""The tag of an interval with a uniform distribution on a logarithmic axis."""
MAX_VALUES = 100_000
"""The most values of a key, and the most runs with a folder each: they are listed before any of them is trained."""
SIGNIFICANT_DIGITS = 12
"""Significant digits of spaced values: enough for any use, and few enough that 0.1 stays 0.1."""


@dataclass
class ZipSweep(ChoiceSweep):
    """Values that are combined one by one with those of other zipped keys."""


def between(low: float, high: float, share: float, *, logarithmic: bool) -> float:
    """Return the point that lies a share of the way from low to high, between them despite rounding.

    low (1 - t) + high t, or, on a logarithmic axis, low^(1 - t) high^t.
    """
    point = low ** (1 - share) * high**share if logarithmic else low * (1 - share) + high * share
    return min(max(point, min(low, high)), max(low, high))


def logspace(start: object, stop: object, count: object) -> ChoiceSweep:
    """Return `count` values from start to stop, each the same multiple of the one before."""
    return _spaced(_number(start), _number(stop), count, logarithmic=True)


def linspace(start: object, stop: object, count: object) -> ChoiceSweep:
    """Return `count` values from start to stop, at equal distances."""
    return _spaced(_number(start), _number(stop), count, logarithmic=False)


def zipped(*values: ParsedElementType | Sweep) -> ZipSweep:
    """Return values, or those of a list or range, that are combined one by one with those of other zipped keys."""
    match values:
        case [ChoiceSweep() as choice]:
            return ZipSweep(list=choice.list)
        case [RangeSweep() as numbers]:
            return ZipSweep(list=list(listed(numbers)))
    single = [value for value in values if not isinstance(value, Sweep)]
    if len(single) < max(1, len(values)):
        raise UserError("must have values, or a single list or range of them")
    return ZipSweep(list=single)


def listed(numbers: RangeSweep) -> Iterable[float]:
    """Return the numbers of a range.

    Raises UserError if there are too many, or the step is 0.
    """
    start, stop, step = (float(end if end is not None else 1) for end in (numbers.start, numbers.stop, numbers.step))
    if step == 0:
        raise UserError("must have a step other than 0")
    if (stop - start) / step > MAX_VALUES:
        raise UserError(f"must have at most {MAX_VALUES} values")
    return numbers.range()


def uniform(low: object, high: object) -> IntervalSweep:
    """Return an interval with a uniform distribution."""
    return _checked(IntervalSweep(start=float(_number(low)), end=float(_number(high))))


def loguniform(low: object, high: object) -> IntervalSweep:
    """Return an interval with a uniform distribution on a logarithmic axis."""
    return _checked(IntervalSweep(start=float(_number(low)), end=float(_number(high)), tags={LOGARITHMIC}))


def integers(low: object, high: object) -> IntervalSweep:
    """Return the whole numbers from low to high, both of them included."""
    if not (_whole(low) and _whole(high)):
        raise UserError("must have whole numbers for bounds")
    return _checked(IntervalSweep(start=_number(low), end=_number(high)))


def bounds(interval: IntervalSweep) -> tuple[float, float]:
    """Return the bounds of an interval.

    Raises UserError if they are not two finite numbers, the lower one first, and greater than 0 on a logarithmic axis.
    """
    low, high = _number(interval.start), _number(interval.end)
    if low >= high:
        raise UserError("must have its lower bound first")
    if LOGARITHMIC in interval.tags and low <= 0:
        raise UserError("must have bounds greater than 0")
    return low, high


FUNCTIONS: dict[str, Callable[..., ChoiceSweep | IntervalSweep]] = {
    "logspace": logspace,
    "linspace": linspace,
    "zip": zipped,
    "uniform": uniform,
    "loguniform": loguniform,
    "integers": integers,
}


def _spaced(start: float, stop: float, count: object, *, logarithmic: bool) -> ChoiceSweep:
    if logarithmic and min(start, stop) <= 0:
        raise UserError("must have bounds greater than 0")
    if not isinstance(count, int) or not _whole(count) or not 2 <= count <= MAX_VALUES:
        raise UserError(f"must have a count that is a whole number from 2 to {MAX_VALUES}")
    low, high = min(start, stop), max(start, stop)
    inner = [between(start, stop, step / (count - 1), logarithmic=logarithmic) for step in range(1, count - 1)]
    values = [start, *[min(max(float(f"{value:.{SIGNIFICANT_DIGITS}g}"), low), high) for value in inner], stop]
    if len(set(values)) < count:
        raise UserError("must have bounds that are further apart")
    whole = _whole(start) and _whole(stop)
    return ChoiceSweep(list=[int(value) if whole and value == int(value) else float(value) for value in values])


def _checked(interval: IntervalSweep) -> IntervalSweep:
    bounds(interval)
    return interval


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        raise UserError("must have numbers for bounds")
    return value


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
