"""How the columns of a table become features: numbers as they are, each name a column of zeros and ones (one-hot)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from nnexp.core.component import Array, Component
from nnexp.core.errors import UserError, on_one_line
from nnexp.data.table_file import listed, shortened

if TYPE_CHECKING:
    import pandas as pd

LARGEST = {"float64": 1e150, "float32": 1e30}
"""The largest numbers by type: their squares, or sums of a million of them, can still be computed."""
Mask: TypeAlias = npt.NDArray[np.bool]
NAMELESS = "missing"
"""The name of a missing name."""


@dataclass(frozen=True)
class Column(Component):
    """A column of a table that a network sees.

    Attributes
    ----------
    name
        Its name in the table.
    names
        The names in it, each of which is a feature; null where it holds numbers.
    fill
        What a missing number becomes; null where none may be missing.

    """

    name: str
    names: tuple[str, ...] | None = None
    fill: float | None = None

    @property
    def features(self) -> tuple[str, ...]:
        """Return the names of the features that the column becomes."""
        return (self.name,) if self.names is None else tuple(f"{self.name}={on_one_line(name)}" for name in self.names)


def features_of(frame: "pd.DataFrame", columns: Sequence[Column], dtype: str, title: str) -> Array:
    """Return the features of the rows of a table, not yet scaled.

    Arguments
    ---------
    frame
        The rows, numbered from 0; columns that are not asked for do not matter.
    columns
        What becomes features, in their order.
    dtype
        The type of the features.
    title
        What sentences call the table.

    Raises
    ------
    UserError
        If a cell is missing that must not be, or is not what its column has.

    """
    parts = [
        _filled(frame, column, dtype, title) if column.names is None else _encoded(frame, column, dtype, title)
        for column in columns
    ]
    return np.concatenate(parts, axis=1)


def numbers(frame: "pd.DataFrame", names: Sequence[str], dtype: str, title: str, remedy: str = "") -> Array:
    """Return columns as numbers, NaN where a cell is empty; the remedy, for `{}`, is the end of a sentence."""
    import pandas as pd

    values = np.empty((len(frame), len(names)), dtype)
    for place, name in enumerate(names):
        column = frame[name]
        try:
            converted = pd.to_numeric(column, errors="coerce")
        except OverflowError:  # a whole number of hundreds of digits
            converted = pd.to_numeric(column.astype(str), errors="coerce")
        exact = converted.to_numpy(np.float64)
        limit = LARGEST[dtype]
        _refuse(
            (np.isnan(exact) & column.notna().to_numpy()) | (np.abs(exact) > limit),
            column,
            f"{title}: must have numbers up to {limit} in column {shortened(name)}, and",
            remedy.format(name),
        )
        values[:, place] = exact
    return values


def one_hot(column: "pd.Series[str]", names: Sequence[str], dtype: str) -> Array:
    """Return a column of zeros and ones for each name; a missing one counts as a name."""
    cells: npt.NDArray[np.object_] = column.fillna(NAMELESS).to_numpy(object)[:, None]
    encoded: Array = (cells == np.array(names, object)).astype(dtype)
    return encoded


def _filled(frame: "pd.DataFrame", column: Column, dtype: str, title: str) -> Array:
    found = numbers(frame, [column.name], dtype, title)
    if column.fill is None:
        _refuse_missing(np.isnan(found[:, 0]), frame[column.name], title)
    else:
        found[np.isnan(found)] = column.fill
    return found


def _encoded(frame: "pd.DataFrame", column: Column, dtype: str, title: str) -> Array:
    cells, names = frame[column.name], column.names or ()
    encoded = one_hot(cells, names, dtype)
    unknown: Mask = np.all(encoded == 0, axis=1)
    _refuse_missing(unknown & cells.isna().to_numpy(), cells, title)
    _refuse(unknown, cells, f"{title}: must have one of {listed(names)} in column {shortened(column.name)}, and")
    return encoded


def _refuse_missing(missing: Mask, column: "pd.Series", title: str) -> None:
    if missing.any():
        row = int(np.flatnonzero(missing)[0])
        name = shortened(column.name)
        raise UserError(
            f"{title}: must have a value in every row of column {name}, and row {column.index[row] + 1} has none"
        )


def _refuse(wrong: Mask, column: "pd.Series", sentence: str, remedy: str = "") -> None:
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise UserError(f"{sentence} row {column.index[row] + 1} has {shortened(column.iloc[row])}{remedy}")
