"""Tables in files of comma-separated values."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import annotated_types as at
import numpy as np

from nnexp.core.component import Array, InvalidFieldError, Labels
from nnexp.core.errors import UserError, on_one_line
from nnexp.core.files import expanded
from nnexp.core.task import Task
from nnexp.data.columns import MISSING_NAME, Column, numbers, one_hot
from nnexp.data.dataset import Collection, Table
from nnexp.data.table_file import TableFile, listed, shortened

if TYPE_CHECKING:
    import pandas as pd

BLOCK_BYTES = 2**26
"""Bytes of a block of rows, large enough that the system gets its memory back when it is freed."""
MOST_CATEGORIES = 1000
"""The most different names in a column, each of which becomes a column."""
ADVICE_FOR_NAMES = "dataset.categorical=[{}] (or dataset.ignore)"
"""The end of an error message about names in a column of numbers."""


@dataclass(frozen=True)
class Csv(Collection):
    """A table with a header line: a column to predict, and numbers or categories to predict it from."""

    path: str | None = None
    target: str | None = None
    kind: Literal["classification", "regression"] = "classification"
    categorical: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    missing: Literal["refuse", "mean", "median", "most_frequent"] = "refuse"
    separator: Annotated[str, at.MinLen(1)] = ","
    dtype: Literal["float64", "float32"] = "float64"

    def __post_init__(self) -> None:
        """Check every field, and that no column is both categorical and ignored."""
        super().__post_init__()
        one = len(self.separator) == 1 and self.separator.isascii() and self.separator not in '"\r\n'
        if not one and self.separator not in {r"\t", r"\s+"}:
            raise InvalidFieldError("separator", repr(self.separator), r"one character, \t for a tab or \s+ for spaces")
        if len(set(self.categorical)) < len(self.categorical) or set(self.categorical) & set(self.ignore):
            raise InvalidFieldError(
                "categorical", list(self.categorical), "a list of different columns, none of them in ignore"
            )

    def file(self) -> Path:
        """Return the path of the table."""
        if self.path is None:
            raise UserError("dataset.path=null: must be the path of a table, dataset.path=my.csv")
        return expanded(self.path)

    def examples(self) -> Table:
        """Return the table; a missing number is NaN."""
        import pandas as pd

        header = self._header()
        target = self._target(header)
        names = [name for name in header if name != target and name not in self.ignore]
        if not names:
            raise UserError(f"{self._table.title}: must have a column beside the target, {shortened(target)}")
        rows, texts = _Rows(), []
        numeric = [name for name in names if name not in self.categorical]
        for chunk in self._table.chunks(header, self._text(target)):
            rows.add(self._numbers(chunk, numeric))
            texts.append(chunk[[*self.categorical, target]])
        if not len(rows):
            raise UserError(f"{self._table.title}: must have a row below its header")
        x = rows.joined()
        text = pd.concat(texts, ignore_index=True)
        columns = [Column(name) for name in numeric]
        for name in self.categorical:
            column = Column(name, self._values(text[name]))
            x = np.concatenate([x, one_hot(text[name], column.names or (), self.dtype)], axis=1)
            columns.append(column)
        features = tuple(feature for column in columns for feature in column.features)
        self._check_missing(x, features, text[list(self.categorical)])
        targets, task = self._targets(text[[target]])
        return Table(x=x, targets=targets, task=task, features=features, columns=tuple(columns))

    def complete(self, train: Table, others: Sequence[Table]) -> tuple[Table, list[Table], list[str]]:
        """Fill in missing numbers from the training part; note that, and columns with the same value in every row."""
        tables = [train, *others]
        gaps: Labels = np.sum([np.isnan(table.x).sum(axis=0) for table in tables], axis=0)
        notes = []
        if gaps.any():
            empty = np.isnan(train.x).all(axis=0)
            if empty.any():
                columns = _list(train.features, np.flatnonzero(empty))
                raise UserError(
                    f"{self._table.title}: must have a number in column {columns} among the training rows; "
                    "list it in dataset.ignore"
                )
            columns = ", ".join(
                f"{name} {count}" for name, count in zip(train.features, gaps.tolist(), strict=True) if count
            )
            value = self.missing.replace("_", " ")
            notes.append(f"missing numbers ({columns}) are filled in with the {value} of the training part")
        if self.missing != "refuse":
            tables = self._filled(tables, gaps=bool(gaps.any()))
        constant = tables[0].x.max(axis=0) == tables[0].x.min(axis=0)
        if constant.any():
            notes.append(f"the same in every training row: {_list(train.features, np.flatnonzero(constant))}")
        return tables[0], tables[1:], notes

    @property
    def _table(self) -> TableFile:
        return TableFile(self.file(), f"dataset.path={self.file()}", self.separator)

    def _header(self) -> list[str]:
        """Return the names of all columns."""
        header = self._table.header()
        for key in ("categorical", "ignore"):
            for name in getattr(self, key):
                if name not in header:
                    raise UserError(f"dataset.{key}={name}: must be columns of the table, {listed(header)}")
        return header

    def _target(self, header: Sequence[str]) -> str:
        target = header[-1] if self.target is None else self.target
        if target not in header:
            raise UserError(f"dataset.target={target}: must be a column of the table, {listed(header)}")
        for key in ("categorical", "ignore"):
            if target in getattr(self, key):
                raise UserError(f"dataset.{key}={target}: must not be the target")
        return target

    def _text(self, target: str) -> list[str]:
        """Return the columns that are not numbers."""
        return [*self.categorical, *([target] if self.kind == "classification" else [])]

    def _numbers(self, frame: "pd.DataFrame", names: Sequence[str], remedy: str = ADVICE_FOR_NAMES) -> Array:
        return numbers(frame, names, self.dtype, title=self._table.title, remedy=f"; for names, {remedy}")

    def _values(self, column: "pd.Series[str]") -> tuple[str, ...]:
        """Return the names in a column."""
        values = _in_order(column.fillna(MISSING_NAME).unique())
        if len(values) > MOST_CATEGORIES:
            raise UserError(
                f"dataset.categorical={column.name}: must have at most {MOST_CATEGORIES} different values, and has "
                f"{len(values)}; list it in dataset.ignore"
            )
        return tuple(values)

    def _check_missing(self, x: Array, features: Sequence[str], words: "pd.DataFrame") -> None:
        if self.missing != "refuse":
            return
        gaps = dict(zip(features, np.isnan(x).sum(axis=0).tolist(), strict=True)) | words.isna().sum().to_dict()
        columns = [f"{name} {count}" for name, count in gaps.items() if count]
        if columns:
            raise UserError(
                f"dataset.missing=refuse: must be mean, median or most_frequent, or the table {self.file()} "
                f"complete; it has missing values ({listed(columns)})"
            )

    def _targets(self, frame: "pd.DataFrame") -> tuple[Array | Labels, Task]:
        """Return the targets and what they are."""
        (name,) = frame.columns
        column = frame[name]
        if column.isna().any():
            row = int(np.flatnonzero(column.isna().to_numpy())[0])
            raise UserError(f"dataset.target={name}: must have a value in every row, and row {row + 1} has none")
        if self.kind == "regression":
            return self._numbers(frame, [name], "dataset.kind=classification"), Task(kind="regression", columns=(name,))
        classes = _in_order(column.unique())
        if len(classes) == 1:
            raise UserError(
                f"dataset.target={name}: must have at least two classes, and every row has {shortened(classes[0])}"
            )
        if len(classes) > max(2, len(column) / 2):
            raise UserError(
                f"dataset.kind=classification: must be regression, or have examples of each class; "
                f"{name} has {len(classes)} different values in {len(column)} rows"
            )
        number = {label: place for place, label in enumerate(classes)}
        return column.map(number).to_numpy(np.intp), Task(tuple(map(on_one_line, classes)))

    def _filled(self, tables: Sequence[Table], *, gaps: bool) -> list[Table]:
        """Return tables without missing numbers, whose columns have the numbers for empty cells."""
        from sklearn.impute import SimpleImputer

        imputer = SimpleImputer(strategy=self.missing).fit(tables[0].x)
        columns = tuple(
            replace(column, fill=float(fill)) if column.names is None else column
            for column, fill in zip(tables[0].columns, imputer.statistics_, strict=False)  # numbers come first
        )
        return [replace(table, x=imputer.transform(table.x) if gaps else table.x, columns=columns) for table in tables]


@dataclass(frozen=True)
class Heart(Csv):
    """Heart disease in Cleveland: 13 findings on 303 patients, and whether an artery was narrowed by more than half.

    The table comes with nnexp, in the coding of the UCI repository; `disease` is 1 for the degrees 1 to 4 there. Six
    rows have a missing value. Another table of the same findings can be given with `path`.

    References:
        Janosi, Steinbrunn, Pfisterer and Detrano, Heart Disease, UCI Machine Learning Repository, 1988 (CC BY 4.0).
    """

    missing: Literal["refuse", "mean", "median", "most_frequent"] = "most_frequent"

    def file(self) -> Path:
        """Return `path`, or without one the path of the table that comes with nnexp."""
        return Path(__file__).with_name("tables") / "heart.csv" if self.path is None else super().file()


class _Rows:
    """Joins rows that come in pieces, without having all of them in memory twice.

    They are collected in blocks, whose memory is freed one by one while they are joined.
    """

    def __init__(self) -> None:
        self._blocks: list[Array] = []
        self._free = self._count = 0

    def __len__(self) -> int:
        return self._count

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
        self._count += len(piece)

    def joined(self) -> Array:
        """Return all rows, and free the memory of the blocks."""
        last = self._blocks[-1]
        table = np.empty((self._count, last.shape[1]), last.dtype)
        end = self._count
        while self._blocks:
            block = self._blocks.pop()
            filled = len(block) - self._free
            table[end - filled : end] = block[:filled]
            end, self._free = end - filled, 0
        return table


def _in_order(values: Iterable[str]) -> list[str]:
    """Return names in the order of numbers if all are numbers, else in alphabetical order."""
    names = [str(value) for value in values]
    try:
        return sorted(names, key=float)
    except ValueError:
        return sorted(names)


def _list(names: Sequence[str], places: Labels) -> str:
    return listed([names[place] for place in places.tolist()])
