"""All rows of a table: its numbers as one array, its names as categories."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nnexp.core.component import Array
from nnexp.core.errors import UserError
from nnexp.data.columns import Cell, Truth, as_numbers, cells_of, truth_of
from nnexp.data.reading import Reading, TableFile

if TYPE_CHECKING:
    import pandas as pd

BLOCK_BYTES = 2**26
"""Bytes of a block of rows, large enough that the system gets its memory back when it is freed."""


@dataclass(frozen=True)
class Columns:
    """The columns of a table that are used.

    Attributes:
        numeric, words: Those of numbers, and those of names.
        targets: Those of both that are to be predicted.
        truths: Those of numbers that may have truths; None where that is to be found out.
    """

    numeric: Sequence[str]
    words: Sequence[str]
    targets: Sequence[str]
    truths: Collection[str] | None = None


@dataclass(frozen=True)
class Gathered:
    """The rows of a table.

    Attributes:
        numbers: The columns of numbers, NaN where a cell is empty or no number.
        words: The columns of names, by their names.
        wrong: The first cell that is no number, by columns of numbers.
        truths: The word for 1, by columns of truths.
        left_out: How many rows with a value were left out, and why.
    """

    numbers: Array
    words: "dict[str, pd.Series]"
    wrong: dict[str, Cell]
    truths: dict[str, Truth]
    left_out: Counter[str]


class _Numbers:
    """Collects columns of numbers, and what is not one."""

    def __init__(self, columns: Columns, limit: float, reading: Reading) -> None:
        self._columns, self._limit, self._reading = columns, limit, reading
        self.rows, self.wrong = _Rows(), dict[str, Cell]()
        self._truths, self._plain = dict[str, tuple[Truth, Cell]](), set[str]()

    def add(self, chunk: "pd.DataFrame") -> None:
        """Append rows."""
        numbers, known = np.empty((len(chunk), len(self._columns.numeric))), self._columns.truths
        for place, name in enumerate(self._columns.numeric):
            cells = chunk[name]
            truth = truth_of(cells) if known is None else None
            truths = truth is not None if known is None else name in known
            numbers[:, place], wrong = as_numbers(cells, self._limit, self._reading, truths=truths)
            if wrong is not None:
                self.wrong.setdefault(name, wrong)
            elif truth is not None:
                self._truths.setdefault(name, (truth, cells_of(cells.dropna().iloc[:1])[0]))
            elif not np.isnan(numbers[:, place]).all():
                self._plain.add(name)
        self.rows.add(numbers)

    def truths(self) -> dict[str, Truth]:
        """Return the word for 1, by columns; those that have numbers, too, are wrong."""
        self.wrong |= {name: cell for name, (_, cell) in self._truths.items() if name in self._plain - {*self.wrong}}
        return {name: truth for name, (truth, _) in self._truths.items()}


def gather(table: TableFile, columns: Columns, limit: float, *, drop: bool, drop_without_target: bool) -> Gathered:
    """Return the rows of a table that have a value.

    Raises UserError if there are none, or one has no target.

    Args:
        table: The table.
        columns: Its columns that are used.
        limit: The largest number that is allowed.
        drop: Whether rows with a missing value are left out.
        drop_without_target: Whether rows without a target are.
    """
    import pandas as pd
    from pandas.api.types import union_categoricals

    header, words, left_out = table.header, columns.words, Counter[str]()
    used, hollow = [name for name in (*columns.numeric, *words) if name not in columns.targets], table.hollow
    numbers, parts = _Numbers(columns, limit, table.found), dict[str, list[pd.Series]]()
    for chunk in table.chunks(header, words):
        empty = chunk.isna()
        if not empty[hollow].all(axis=None):
            raise UserError(f"{table.title}: must have a name for each column with a value, and {hollow[0]} has none")
        kept = ~empty.all(axis=1).to_numpy() | (len(header) == 1)
        for reason, names in (
            ("a target", columns.targets if drop_without_target else ()),
            ("every value", used if drop else ()),
        ):
            chosen = kept & ~empty[[*names]].any(axis=1).to_numpy()
            left_out[reason] += int(kept.sum() - chosen.sum())
            kept = chosen
        rows = chunk if kept.all() else chunk[kept]
        _refuse_without_target(rows, columns.targets)
        numbers.add(rows)
        for name in words:
            parts.setdefault(name, []).append(rows[name])
    if not numbers.rows.count:
        raise UserError(f"{table.title}: must have a row below its header")
    joined = {
        name: pd.Series(
            union_categoricals([one.array for one in some]), np.concatenate([one.index for one in some]), name=name
        )
        for name, some in parts.items()
    }
    truths = numbers.truths()
    return Gathered(numbers.rows.joined(), joined, numbers.wrong, truths=truths, left_out=left_out)


def _refuse_without_target(rows: "pd.DataFrame", targets: Sequence[str]) -> None:
    for name in targets:
        gaps = np.flatnonzero(rows[name].isna())
        if len(gaps):
            raise UserError(
                f"dataset.target={name}: must have a value in every row, and row {rows.index[gaps[0]] + 1} has none; "
                "dataset.drop_without_target=true leaves such rows out, and dataset.missing_values=[] takes NA, None "
                "and ? for values"
            )


class _Rows:
    """Joins rows that come in pieces, without having all of them in memory twice.

    They are collected in blocks, whose memory is freed one by one while they are joined.
    """

    def __init__(self) -> None:
        self._blocks: list[Array] = []
        self._free = self.count = 0

    def add(self, piece: Array) -> None:
        """Append rows."""
        if not len(piece):
            return
        if len(piece) > self._free:
            rows = max(len(piece), BLOCK_BYTES // (piece.itemsize * max(1, piece.shape[1])))
            self._blocks = [*self._blocks[:-1], *(block[: len(block) - self._free] for block in self._blocks[-1:])]
            self._blocks.append(np.empty((rows, piece.shape[1]), piece.dtype))
            self._free = rows
        begin = len(self._blocks[-1]) - self._free
        self._blocks[-1][begin : begin + len(piece)] = piece
        self._free -= len(piece)
        self.count += len(piece)

    def joined(self) -> Array:
        """Return all rows, and free the memory of the blocks."""
        last = self._blocks[-1]
        table = np.empty((self.count, last.shape[1]), last.dtype)
        end = self.count
        while self._blocks:
            block = self._blocks.pop()
            filled = len(block) - self._free
            table[end - filled : end] = block[:filled]
            end, self._free = end - filled, 0
        return table
