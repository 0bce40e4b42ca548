"""From the columns of a table to features: numbers as they are, names one-hot, a column of zeros and ones for each."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from nnexp.core.component import Array, Component, Labels
from nnexp.core.errors import UserError, on_one_line
from nnexp.data.listing import listed, pasted, shortened
from nnexp.data.reading import CODE, PLAIN, Reading, TableFile, number_name

if TYPE_CHECKING:
    import pandas as pd

LARGEST_NUMBER = {"float64": 1e150, "float32": 1e30}
"""The largest numbers that are allowed: their squares, and sums of a million of them, do not overflow."""
Mask: TypeAlias = npt.NDArray[np.bool]
Cell: TypeAlias = tuple[int, str]
"""The number of a row, from 1, and what it has in some column."""
Truth: TypeAlias = Literal["true", "yes"]
MISSING_NAME = "missing"
"""Stands for an empty cell in a column of names."""
TRUTHS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}
"""Words that are numbers as features."""
COMMAS = re.compile(r"[+-]?\d+,\d+|[+-]?\d{1,3}(\.\d{3})+,\d+")
POINTS = re.compile(r"[+-]?\d{1,3}([,' ]\d{3})+(\.\d+)?")
DATES = re.compile(
    r"(\d{4}([-/.])\d\d?\2\d\d?|\d\d?([-/.])\d\d?\3(\d{4}|\d\d)|\d\d?[:.]\d\d[:.]\d\d)([ T].*)?|\d\d?:\d\d"
)
"""Numbers and dates as people write them."""
CURRENCIES = "$€£¥₹"


@dataclass(frozen=True)
class Column(Component):
    """A column of a table that becomes one feature or several.

    Attributes:
        name: Its name in the table.
        names: All names in it, each of which becomes a feature; null for a column of numbers.
        fill: The number for empty cells; null where no number may be missing.
        truth: The word for 1 in a column of truths, of which the other is 0; null where it has numbers.
    """

    name: str
    names: tuple[str, ...] | None = None
    fill: float | None = None
    truth: Truth | None = None

    @property
    def features(self) -> tuple[str, ...]:
        """Return the names of the features that the column becomes."""
        return (self.name,) if self.names is None else tuple(f"{self.name}={on_one_line(name)}" for name in self.names)


def features_of(
    frame: "pd.DataFrame",
    columns: Sequence[Column],
    limit: float,
    table: TableFile,
    unknown: Counter[str] | None = None,
) -> Array:
    """Return the features of the rows of a table, not yet scaled.

    Raises UserError if a cell is empty that must not be, or does not fit its column.

    Args:
        frame: The rows, as `Reading.cleaned` returns them; there may be further columns.
        columns: The columns that become features, in their order.
        limit: The largest number that is allowed.
        table: The table in error messages, and how it is read.
        unknown: Counts, by columns, the names that the training had not; without it they are refused.
    """
    named = [column for column in columns if column.names is not None]
    encoded = iter(encode({column.name: frame[column.name] for column in named}, named, table, unknown))
    parts = [
        next(encoded) if column.names is not None else _filled(frame[column.name], column, limit, table)
        for column in columns
    ]
    return np.concatenate(parts, axis=1)


def _filled(cells: "pd.Series", column: Column, limit: float, table: TableFile) -> Array:
    values, wrong = as_numbers(cells, limit, table.found, truths=column.truth is not None)
    if wrong is not None:
        refuse_words(table, {column.name: wrong}, limit)
    if column.fill is not None:
        values[np.isnan(values)] = column.fill
    _refuse_missing(np.isnan(values), cells, table.title)
    return values[:, None]


def encode(
    words: "Mapping[str, pd.Series]", columns: Sequence[Column], table: TableFile, unknown: Counter[str] | None
) -> list[Array]:
    """Return zeros and ones for each column of names.

    Raises UserError if a cell has a name that the training had not, unless these are counted.
    """
    parts, strange = list[Array](), dict[str, list[Cell]]()
    for column in columns:
        cells, names = words[column.name], column.names or ()
        places = places_of([str(text) for text in cells.cat.categories], names, table.found)
        missing = names.index(MISSING_NAME) if MISSING_NAME in names else -1
        chosen: Labels = np.array([*places, missing])[cells.cat.codes.to_numpy()]
        new = chosen < 0
        _refuse_missing(new & cells.isna().to_numpy(), cells, table.title)
        if new.any() and unknown is not None:
            unknown[column.name] += int(new.sum())
        elif new.any():
            strange[column.name] = cells_of(cells[new].drop_duplicates())
        encoded: Array = np.zeros((len(cells), len(names)))
        encoded[~new, chosen[~new]] = 1
        parts.append(encoded)
    if strange:
        _refuse_unknown(table, strange, {column.name: column.names or () for column in columns})
    return parts


def cells_of(cells: "pd.Series") -> list[Cell]:
    """Return cells with the numbers of their rows."""
    return [(int(row) + 1, str(cell)) for row, cell in zip(cells.index, cells, strict=True)]


def counted(counts: Counter[str]) -> str:
    """Return counts by columns, those of none left out."""
    return ", ".join(f"{shortened(name)} {count}" for name, count in counts.items() if count)


def as_numbers(
    cells: "pd.Series", limit: float, reading: Reading, *, truths: bool = False
) -> tuple[Array, Cell | None]:
    """Return a column as numbers, NaN for empty cells, and the first cell that is none, or too large."""
    import pandas as pd

    if isinstance(cells.dtype, pd.CategoricalDtype):
        texts = [str(text) for text in cells.cat.categories]
        numbers = pd.to_numeric(pd.Series([*map(reading.number, texts)], dtype=object), errors="coerce")
        known = numbers.to_numpy(np.float64, copy=True)
        if truths:
            known = np.array([TRUTHS.get(text.lower(), number) for text, number in zip(texts, known, strict=True)])
        codes = cells.cat.codes.to_numpy()
        values: Array = np.append(known, np.nan)[codes]
        wrong = (np.isnan(values) & (codes >= 0)) | (np.abs(values) > limit)
    else:
        values = cells.to_numpy(np.float64, na_value=np.nan, copy=True)
        wrong = np.abs(values) > limit
    if not wrong.any():
        return values, None
    row = int(np.flatnonzero(wrong)[0])
    values[wrong] = np.nan
    return values, (int(cells.index[row]) + 1, str(cells.iloc[row]))


def truth_of(cells: "pd.Series") -> Truth | None:
    """Return the word for 1 in a column of truths, nothing for any other."""
    import pandas as pd

    if not isinstance(cells.dtype, pd.CategoricalDtype):
        return None
    words = {str(text).lower() for text in cells.cat.categories}
    return None if not words or words - TRUTHS.keys() else "yes" if words & {"yes", "no"} else "true"


def places_of(texts: Sequence[str], names: Sequence[str], reading: Reading) -> list[int]:
    """Return the place of each text among names, -1 if it has none; numbers are equal however they are written."""
    plain = [name for name in names if name != MISSING_NAME]
    numeric = _are_numbers(plain)

    def key(text: str, reading: Reading) -> str:
        return number_name(reading.number(text)) if numeric and reading.number(text) else text

    places = {key(name, PLAIN): place for place, name in reversed([*enumerate(names)])}
    return [places.get(key(text, reading), -1) for text in texts]


def in_order(values: Iterable[str]) -> list[str]:
    """Return names in the order of numbers if all are numbers and no codes, else in alphabetical order."""
    names = [*values]
    return sorted(names, key=float if _are_numbers(names) else None)


def _are_numbers(names: Sequence[str]) -> bool:
    return all(map(PLAIN.number, names)) and not any(map(CODE.fullmatch, names))


def refuse_words(
    table: TableFile, wrong: Mapping[str, Cell], limit: float, targets: Collection[str] | None = None
) -> NoReturn:
    """Refuse columns with cells that are no numbers, by the first such cell of each, with what may be done about each.

    Args:
        table: The table in the message.
        wrong: The cells by the columns.
        limit: The largest number that is allowed.
        targets: The columns to predict; not given where the network is trained already.
    """
    names = [*wrong]
    if len(names) == 1:
        row, cell = wrong[names[0]]
        where = f"in column {shortened(names[0])}, and row {row} has {shortened(cell)}"
    else:
        cells = listed([f"{shortened(name)} ({shortened(cell)})" for name, (_, cell) in wrong.items()])
        where = f"in {len(names)} columns, and has none in {cells}"
    advice: dict[str, list[str]] = {}
    for name, (_, cell) in wrong.items():
        role = "" if targets is None else "target" if name in targets else "feature"
        advice.setdefault(_advice(cell, table, role), []).append(name)
    remedies = [
        sentence.format(
            cell=shortened(wrong[these[0]][1]),
            ignore=pasted("dataset.ignore", these),
            categorical=pasted("dataset.categorical", these),
        )
        for sentence, these in advice.items()
    ]
    raise UserError("; ".join([f"{table.title}: must have numbers up to {limit} {where}", *filter(None, remedies)]))


def is_number(cell: str) -> bool:
    """Tell whether a cell is written as a number, be it too large or infinite."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _advice(cell: str, table: TableFile, role: str) -> str:
    """Return what may be done about a cell that is no number, in a `feature`, a `target` or a trained network's table.

    The sentence has `{cell}` for the cell, and `{ignore}` and `{categorical}` for these keys with the columns.
    """
    reading = table.found
    leave_out = ", or leave it out with {ignore}" if role == "feature" else ""
    if DATES.fullmatch(cell):
        return "{cell} is a date: write what matters of it as numbers" + leave_out
    if cell.endswith("%") or {cell[:1], cell[-1:]} & {*CURRENCIES}:
        kind = "percentage" if cell.endswith("%") else "currency"
        return f"{{cell}} is a {kind}: write the number alone{leave_out}"
    points, commas = POINTS.fullmatch(cell), COMMAS.fullmatch(cell)
    if points and reading.thousands is None and (points[1][0] != "," or reading.separator != ";"):
        return f"{{cell}} has marks of thousands: {table.typed('thousands', points[1][0])}"
    if commas and (reading.mark != "," or (commas[1] and reading.thousands is None)):
        keys = [table.typed("decimal", ",")] if reading.mark != "," else []
        keys += [table.typed("thousands", ".")] if commas[1] and reading.thousands is None else []
        return f"{{cell}} has a decimal comma: {' '.join(keys)}"
    if PLAIN.number(cell) and reading.mark != ".":
        return f"{{cell}} has a decimal point: {table.typed('decimal', '.')}"
    if not role or cell.lower().lstrip("+-").startswith("inf"):
        return ""
    return f"for names, {'dataset.kind=classification' if role == 'target' else '{categorical} (or dataset.ignore)'}"


def _refuse_unknown(
    table: TableFile, strange: Mapping[str, Sequence[Cell]], known: Mapping[str, Sequence[str]]
) -> NoReturn:
    """Refuse names that the training had not, all of them."""
    (name, [(row, cell), *_]), *_ = strange.items()
    cells = [f"{shortened(cell)} in {name}" for name, cells in strange.items() for _, cell in cells]
    also = f" (so have {listed(cells[1:])})" if len(cells) > 1 else ""
    raise UserError(
        f"{table.title}: must have one of {listed(known[name])} in column {shortened(name)}, and row {row} has "
        f"{shortened(cell)}{also}; {table.typed('unknown', 'ignore')} takes such for none of them"
    )


def _refuse_missing(missing: Mask, cells: "pd.Series", title: str) -> None:
    if missing.any():
        row = cells.index[int(np.flatnonzero(missing)[0])] + 1
        name = shortened(cells.name)
        raise UserError(f"{title}: must have a value in every row of column {name}, and row {row} has none")
