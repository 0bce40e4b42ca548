"""From the columns of a table to features: numbers as they are, names one-hot, a column of zeros and ones for each."""

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

LARGEST_NUMBER = {"float64": 1e150, "float32": 1e30}
"""The largest numbers that are allowed: their squares, and sums of a million of them, do not overflow."""
Mask: TypeAlias = npt.NDArray[np.bool]
MISSING_NAME = "missing"
"""Stands for an empty cell in a column of names."""


@dataclass(frozen=True)
class Column(Component):
    """A column of a table that becomes one feature or several.

    Attributes:
        name: Its name in the table.
        names: All names in it, each of which becomes a feature; null for a column of numbers.
        fill: The number for empty cells; null where no number may be missing.
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

    Raises UserError if a cell is empty that must not be, or does not fit its column.

    Args:
        frame: The rows, numbered from 0; there may be further columns.
        columns: The columns that become features, in their order.
        dtype: The type of the features.
        title: The name of the table in error messages.
    """
    parts = [
        _filled(frame, column, dtype, title) if column.names is None else _encoded(frame, column, dtype, title)
        for column in columns
    ]
    return np.concatenate(parts, axis=1)


def numbers(frame: "pd.DataFrame", names: Sequence[str], dtype: str, title: str, remedy: str = "") -> Array:
    """Return columns as numbers, NaN for empty cells; `remedy`, with the column for `{}`, ends an error message."""
    import pandas as pd

    values = np.empty((len(frame), len(names)), dtype)
    for place, name in enumerate(names):
        column = frame[name]
        try:
            converted = pd.to_numeric(column, errors="coerce")
        except OverflowError:  # a whole number of hundreds of digits
            converted = pd.to_numeric(column.astype(str), errors="coerce")
        exact = converted.to_numpy(np.float64)
        limit = LARGEST_NUMBER[dtype]
        _refuse(
            (np.isnan(exact) & column.notna().to_numpy()) | (np.abs(exact) > limit),
            column,
            f"{title}: must have numbers up to {limit} in column {shortened(name)}, and",
            remedy.format(name),
        )
        values[:, place] = exact
    return values


def one_hot(column: "pd.Series[str]", names: Sequence[str], dtype: str) -> Array:
    """Return a column of zeros and ones for each name, of which `MISSING_NAME` may be one."""
    cells: npt.NDArray[np.object_] = column.fillna(MISSING_NAME).to_numpy(object)[:, None]
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
