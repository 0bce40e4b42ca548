"""Fields: two long lists of numbers of which every pair is a run, seen as a picture at its own resolution."""

from dataclasses import dataclass
from math import nan

import numpy as np
import numpy.typing as npt

from nnexp.analysis.results import REPEATS, SweepResults, SweptKey
from nnexp.core.component import Array
from nnexp.training.readings import TRAINABILITY, Reading

LEAST = 16
"""The fewest values along each axis of a field."""
LARGEST_BOX = 4
"""The largest boxes have this part of the side of a field."""


@dataclass(frozen=True)
class Field:
    """A reading of every pair of two keys' values.

    Attributes:
        x, y: The keys of columns and rows, with all their values in ascending order.
        values: Shape (rows, columns); NaN where a run has no reading.
    """

    x: SweptKey
    y: SweptKey
    values: Array


@dataclass(frozen=True)
class BoxDimension:
    """The box dimension of a border: how the number of boxes that it meets grows as they shrink.

    With N_s the number of boxes of s times s runs that meet the border, it is the median of log2(N_s / N_2s) over
    s = 1, 2, 4, ... up to an eighth of the side. Both are counted where boxes of 2s are whole: boxes that the edge
    cuts would be missing from N_2s alone, and the dimension could be above the 2 of the plane.

    Attributes:
        median, low, high: Over these sizes.
        largest: The largest 2s, in runs.
    """

    median: float
    low: float
    high: float
    largest: int


def field_of(results: SweepResults, path: str | None = None) -> Field | None:
    """Return the field of a sweep; None where it is none: other keys vary too, values are few, drawn or no numbers.

    Args:
        results: The results of the sweep.
        path: The reading of each pair; None is the one that ranks.
    """
    path = path or results.metric
    if path is None or len(results.swept_keys) != 2:
        return None
    x, y = results.swept_keys
    if any(one.key in REPEATS or one.drawn or one.numbers is None for one in (x, y)):
        return None
    read = results.numbers([x.key, y.key], path)
    (columns, column), (lines, line) = (np.unique(one, return_inverse=True) for one in (read[:, 0], read[:, 1]))
    if min(len(columns), len(lines)) < LEAST or 2 * len(read) < len(columns) * len(lines):
        return None
    values = np.full((len(lines), len(columns)), nan)
    values[line, column] = read[:, 2]
    return Field(_with_values(x, columns), _with_values(y, lines), values)


def _with_values(swept: SweptKey, numbers: Array) -> SweptKey:
    return SweptKey(swept.key, tuple(map(repr, numbers.tolist())))


def border(values: Array, level: float) -> npt.NDArray[np.bool_]:
    """Return whether the four values around each corner between cells lie on both sides of a level; NaN on neither."""
    around = np.stack([values[1:, 1:], values[:-1, 1:], values[1:, :-1], values[:-1, :-1]])
    return np.logical_and((around < level).any(axis=0), (around >= level).any(axis=0))


def box_dimension(values: Array, level: float = 0.0) -> BoxDimension | None:
    """Return the box dimension of the border at a level; None where there is hardly any border, or few values."""
    met, size, slopes = border(values, level), 1, list[float]()
    most = min(met.shape) // LARGEST_BOX
    while 2 * size <= most:
        rows, columns = (length // 2 for length in met.shape)
        boxes = met[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2)
        met, size = np.asarray(boxes.any(axis=(1, 3))), 2 * size
        if not met.any():
            return None
        slopes.append(float(np.log2(boxes.sum() / met.sum())))
    if len(slopes) < 2:
        return None
    return BoxDimension(float(np.median(slopes)), min(slopes), max(slopes), size)


def is_border(path: str | None) -> bool:
    """Tell whether a reading has a border at 0, between what trains and what does not."""
    return path is not None and Reading.of(path).kind == TRAINABILITY


def about_border(results: SweepResults) -> list[str]:
    """Return a sentence about the border of a field of trainability: how many runs train, and its box dimension."""
    field = field_of(results) if is_border(results.metric) else None
    if field is None:
        return []
    share = f"{100 * (field.values[np.isfinite(field.values)] < 0).mean():.1f} % of the runs train"
    found = box_dimension(field.values)
    if found is None:
        return [f"{share}; there is no border to measure."]
    spread = f"{found.low:.2f} to {found.high:.2f} over boxes of 1 to {found.largest} runs"
    return [f"{share}; their border has the box dimension {found.median:.2f} ({spread})."]
