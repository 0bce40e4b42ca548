"""How a table is read, and a table in a file, read so, some rows at a time."""

import codecs
import csv
import io
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import annotated_types as at
import numpy as np
import numpy.typing as npt

from nnexp.core.component import Component, InvalidFieldError, added
from nnexp.core.errors import UserError, on_one_line
from nnexp.data.listing import listed, shortened
from nnexp.data.unpacked import PARQUET, begin, errors_as_user_errors, unpacked

if TYPE_CHECKING:
    import pandas as pd
    from pandas.io.parsers import TextFileReader

Cells: TypeAlias = npt.NDArray[np.object_]
CELLS = 2_000_000
"""Cells that are read at a time, so that a large table is never in memory as text."""
LOOKED_AT, ROWS = 2**20, 1000
"""Characters and rows at the beginning of a table from which its header and separator are judged."""
SEPARATORS = (";", "\t", "|", ",", r"\s+")
"""What stands between columns if it is not what was said, the likeliest first."""
MISSING = (
    *("?", "NA", "N/A", "n/a", "<NA>", "#N/A", "#N/A N/A", "#NA", "NaN", "nan", "-NaN", "-nan", "null", "NULL", "None"),
    *("1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
)
"""Texts that stand for a missing value: those that pandas knows, and a question mark."""
MOST_DIGITS, LARGEST_WHOLE = 300, 1e22
"""Of whole numbers: the digits of those that are read exactly, and those from which on others have a power of ten."""
EXPONENT = r"(?:[eE][+-]?\d+)?"
GROUPED = re.compile(r"-?[1-9]\d{0,2}(\.\d{3})*|0", re.ASCII)
CODE = re.compile(r"[+-]?0\d+", re.ASCII)
"""A whole number with leading zeros, which is a code where numbers are names."""


@dataclass(frozen=True)
class Reading(Component):
    r"""How a table of text is read; a trained network keeps it.

    Attributes:
        header: Whether the first line has names, or the number of the line that has.
        separator: The text between two columns: one character, \t for a tab, \s+ for any number of spaces.
        decimal, thousands: The marks within a number.
        comment: What begins a comment.
        skip_rows: Lines to leave out at the beginning.
        encoding: That of the file.
        missing_values: Texts and numbers that stand for a missing value, as an empty cell always does.
        quote: What stands around a cell that has a separator in it.
    """

    header: bool | Annotated[int, at.Ge(1)] = added(default=True)
    separator: str = ","
    decimal: str = added(default=".")
    thousands: str | None = added(default=None)
    comment: str | None = added(default=None)
    skip_rows: Annotated[int, at.Ge(0)] = added(default=0)
    encoding: str = added(default="utf-8")
    missing_values: tuple[str | float, ...] | None = added(default=None)
    quote: str | None = added(default='"')

    def __post_init__(self) -> None:
        """Check every field."""
        super().__post_init__()
        for name in ("separator", "decimal", "thousands", "comment", "quote"):
            sign = getattr(self, name)
            if sign is None or (name == "separator" and sign in {r"\t", r"\s+"}):
                continue
            if not (len(sign) == 1 and sign.isascii() and sign not in "\r\n\0"):
                also = r", \t for a tab or \s+ for spaces" if name == "separator" else ""
                raise InvalidFieldError(name, repr(sign), f"one character{also}")
        if self.separator == self.quote:
            raise InvalidFieldError("separator", repr(self.separator), "another character than quote")
        if self.mark in (self.thousands, self.comment):
            raise InvalidFieldError("decimal", repr(self.decimal), "another character than thousands and comment")
        try:
            "".encode(self.encoding)
        except (LookupError, ValueError) as error:
            raise InvalidFieldError(
                "encoding", shortened(self.encoding), "the name of an encoding, such as utf-8, latin-1 or utf-16"
            ) from error

    @classmethod
    def of(cls, larger: "Reading") -> "Reading":
        """Return this part of a component that has more fields."""
        return Reading(**{one.name: getattr(larger, one.name) for one in fields(Reading)})

    @property
    def sign(self) -> str:
        """Return the separator as pandas knows it."""
        return "\t" if self.separator == r"\t" else self.separator

    @property
    def mark(self) -> str:
        """Return the mark of decimals, a comma if points are marks of thousands."""
        return "," if self.thousands == self.decimal == "." else self.decimal

    def number(self, text: str) -> str:
        """Return a number as pandas reads it, or an empty text if it is none."""
        found = self._number.fullmatch(text)
        plain = text.replace(self.thousands, "") if self.thousands and found else text
        return plain.replace(self.mark, ".") if found else ""

    @cached_property
    def _number(self) -> "re.Pattern[str]":
        mark = re.escape(self.mark)
        groups = rf"\d{{1,3}}(?:{re.escape(self.thousands)}\d{{3}})+|" if self.thousands else ""
        return re.compile(rf"[+-]?(?:(?:{groups}\d+)(?:{mark}\d*)?|{mark}\d+){EXPONENT}", re.ASCII)

    def is_missing(self, text: str) -> bool:
        """Tell whether a text stands for a missing value."""
        number = self.number(text) if self.absent_numbers else ""
        return not text or text in self.absent or (number != "" and float(number) in self.absent_numbers)

    @cached_property
    def absent(self) -> frozenset[str]:
        """Return the texts that stand for a missing value."""
        return frozenset(MISSING if self.missing_values is None else map(str, self.missing_values))

    @cached_property
    def absent_numbers(self) -> frozenset[float]:
        """Return the numbers that do."""
        return frozenset(float(number) for text in self.absent if (number := self.number(text) or PLAIN.number(text)))

    def names(self, texts: Sequence[str]) -> list[str]:
        """Return names, as numbers if all are (`1.0` and `1e0` are `1`) and none a code with leading zeros."""
        plain = [self.number(text) for text in texts]
        return [*map(number_name, plain)] if all(plain) and not any(map(CODE.fullmatch, plain)) else [*texts]

    def cleaned(self, frame: "pd.DataFrame", text: Collection[str] = ()) -> "pd.DataFrame":
        """Return a table whose columns are numbers, or categories of texts without white space around them.

        Args:
            frame: The table as pandas read it.
            text: The columns that are texts even if they are numbers.
        """
        import pandas as pd

        missing = [*self.absent_numbers]

        def column(cells: "pd.Series") -> "pd.Series":
            if cells.dtype == object and pd.api.types.infer_dtype(cells) in NUMBERS:
                with suppress(OverflowError):  # a whole number of hundreds of digits is refused as the text that it is
                    cells = pd.to_numeric(cells, errors="coerce")
            numeric = cells.dtype.kind in "iuf"
            if numeric and cells.name not in text:
                return cells.mask(cells.isin(missing)) if missing else cells
            try:
                rows, found = pd.factorize(cells)  # categories of pandas would be numbers where all texts are
            except TypeError as error:
                wanted = f"must have a text or a number in each cell of column {shortened(cells.name)}"
                raise UserError(f"the table: {wanted}, not a list or the like") from error
            texts, places = [str(text).strip() for text in found], dict[str, int]()
            if numeric:
                texts = [number_name(text).replace(".", self.mark) for text in texts]
            moved = [-1 if self.is_missing(text) else places.setdefault(text, len(places)) for text in texts]
            codes = np.array([*moved, -1])[rows]
            made = pd.Categorical.from_codes(codes, pd.Index([*places], dtype=object))
            return pd.Series(made, cells.index, name=cells.name)

        if not missing and not len(text) and all(kind.kind in "iuf" for kind in frame.dtypes):
            return frame
        return pd.concat([column(cells) for _, cells in frame.items()], axis=1)


NUMBERS = {"decimal", "floating", "mixed-integer-float"}
"""What pandas calls columns of objects that are numbers with points."""
PLAIN = Reading()
"""How numbers are written where nothing else is said."""


@dataclass(frozen=True)
class Source(Component):
    """The table of a training: what a network has to know of it to read another one.

    Attributes:
        reading: How it was read.
        columns: The names of all its columns.
        targets: The names of those to predict.
        unknown: What is done about a name that it has not.
    """

    reading: Reading
    columns: tuple[str, ...]
    targets: tuple[str, ...]
    unknown: Literal["refuse", "ignore"] = "refuse"


@dataclass(frozen=True)
class TableFile:
    """A file whose rows all have the same columns: text, packed or not, or Parquet.

    Attributes:
        path: The file; an empty path for a table that is in memory.
        title: Its name in error messages.
        reading: How it is read.
        known: Names that its header is expected to have.
        options: Whether fields of `reading` are options of a command, and not keys of the data set.
    """

    path: Path
    title: str
    reading: Reading = field(default_factory=Reading)
    known: tuple[str, ...] = ()
    options: bool = False

    @cached_property
    def found(self) -> Reading:
        """Return how it is read: with another separator if the first line is one name, and all lines agree on it."""
        in_memory = not self.path.name
        if len(self.known) == 1 and self.reading.header is False:  # one feature is all that is wanted
            return self.reading
        if in_memory or self._parquet or self._widths(self.reading.sign) != 1 or self._first_line in self.known:
            return self.reading
        taken = {self.reading.sign, self.reading.mark if self.reading.mark != "." else None, self.reading.thousands}
        widths = {one: self._widths(one, all_lines=True) for one in SEPARATORS if one not in taken}
        best = max(widths, key=lambda one: widths[one])
        return replace(self.reading, separator=best) if widths[best] > 1 else self.reading

    @property
    def notes(self) -> list[str]:
        """Return what was found beside what was said, and what may be meant otherwise."""
        found, notes = self.found, list[str]()
        if found.separator != self.reading.separator:
            notes.append(f"read with {self.typed('separator', found.separator)}")
        if not self._parquet and found.decimal == "." and found.thousands is None:
            columns = [cells for cells in self._top[1:].T if _may_be_thousands(cells)]
            if columns:
                cell = next(cell for cell in columns[0] if "." in cell)
                notes.append(f"if the point in {cell} is a mark of thousands: {self.typed('thousands', '.')}")
        return notes

    def typed(self, name: str, value: str) -> str:
        """Return how a field of `reading` is set in a shell."""
        value = r"\t" if value == "\t" else value
        if self.options:
            return f"--{name.replace('_', '-')} {shlex.quote(value)}"
        return shlex.quote(f"dataset.{name}={value}")

    @cached_property
    def header(self) -> list[str]:
        """Return the names of all columns.

        Raises UserError if the first line looks like a row, unless it has all known names.
        """
        if self._parquet:
            header = self._parquet
        elif self.reading.header is False:
            return [f"column {place + 1}" for place in range(len(self.first_row))]
        else:
            header = [cell or f"column {place + 1}" for place, cell in enumerate(self.first_row)]
            if self.reading.header is True and not (self.known and {*self.known} <= {*header}) and self._is_row():
                raise UserError(
                    f"{self.typed('header', 'true')}: must be false, or the number of the line that has the names, "
                    f"for the first line of {self.path.name} looks like a row: {listed(self.first_row)}"
                )
        if len(set(header)) < len(header):
            raise UserError(f"{self.title}: must have different names in its header, {listed(header)}")
        return header

    @cached_property
    def first_row(self) -> list[str]:
        """Return the cells of the first row, which may be a header."""
        return [on_one_line(cell) for cell in self._top[0]]

    @cached_property
    def hollow(self) -> list[str]:
        """Return columns without a name and, in the first rows, a value: there are separators at the ends of lines."""
        if self._parquet or self.reading.header is False:
            return []
        empty = (self._top == "").all(axis=0)
        return [name for name, is_empty in zip(self.header, empty, strict=True) if is_empty]

    def chunks(
        self, names: Sequence[str], text: Sequence[str], *, header: bool | None = None
    ) -> Iterator["pd.DataFrame"]:
        """Yield the table in pieces, whose columns are numbers, or categories of texts without white space.

        Args:
            names: The names of all columns.
            text: The columns whose cells stay text.
            header: Whether the first row is a header; as `reading` says if not given.
        """
        has_header = self.reading.header is not False if header is None else header
        with errors_as_user_errors(self.title, self.reading.encoding, self._remedy):
            for frame in self._parts(names, text, header=has_header):
                yield self.found.cleaned(frame, text)

    def _parts(self, names: Sequence[str], text: Sequence[str], *, header: bool) -> Iterator["pd.DataFrame"]:
        rows = max(1, CELLS // len(names))
        if self._parquet:
            from pyarrow.parquet import ParquetFile

            begin = 0
            for batch in ParquetFile(self.path).iter_batches(rows, columns=self._parquet):
                frame = batch.to_pandas().reset_index(drop=True)
                frame.index += begin
                begin += len(frame)
                yield frame.set_axis(names, axis=1)
            return
        # pandas would take dates for numbers with marks of thousands.
        kind = str if self.reading.thousands else dict.fromkeys(text, str)
        # All columns are read, because pandas overlooks rows that are too long when it leaves columns out.
        with self._opened(
            header=0 if header else None,
            skiprows=self._beginning[0] if header else self.reading.skip_rows,
            names=list(names),
            dtype=kind,
            na_values=["", *self.reading.absent],
            chunksize=rows,
        ) as chunks:
            yield from chunks

    @contextmanager
    def _opened(self, **options: object) -> Iterator["TextFileReader"]:
        """Yield what pandas reads from the file, from the header or the first row on."""
        import pandas as pd

        found, quote = self.found, self.found.quote
        with (
            errors_as_user_errors(self.title, self.reading.encoding, self._remedy),
            unpacked(self.path, self.title) as stream,
            pd.read_csv(  # type: ignore[call-overload]
                stream,
                sep=found.sign,
                decimal=found.mark,
                comment=found.comment,
                encoding=_codec(found.encoding),
                keep_default_na=False,
                skip_blank_lines=False,
                skipinitialspace=True,
                low_memory=False,
                **({"quoting": csv.QUOTE_NONE} if quote is None else {"quotechar": quote}),
                **{"iterator": True, "skiprows": self._beginning[0], **options},
            ) as reader,
        ):
            yield reader

    @cached_property
    def _parquet(self) -> list[str]:
        """Return the columns of a Parquet file; none of any other."""
        with errors_as_user_errors(self.title, self.reading.encoding, self._remedy):
            if not begin(self.path, self.title).startswith(PARQUET):
                return []
            from pyarrow.parquet import read_schema

            return [name for name in read_schema(self.path).names if not name.startswith("__index_level_")]

    @cached_property
    def _beginning(self) -> tuple[int, list[str]]:
        """Return how many lines lie before the header or the first row, and some lines from there on."""
        reading = self.reading
        with (
            errors_as_user_errors(self.title, self.reading.encoding, self._remedy),
            unpacked(self.path, self.title) as stream,
            io.TextIOWrapper(stream, encoding=_codec(reading.encoding)) as file,
        ):
            content = file.read(LOOKED_AT)
        lines = content.split("\n")
        if len(lines) > 1:
            lines.pop()  # it is empty, or cut off
        numbered = not isinstance(reading.header, bool)
        skipped = reading.skip_rows + (int(reading.header) - 1 if numbered else 0)
        nothing = f"{reading.sign if len(reading.sign) == 1 else ''} \t{reading.quote or ''}"
        while not numbered and skipped < len(lines):
            line = lines[skipped].strip(nothing)
            if line and not (reading.comment and line.startswith(reading.comment)):
                break
            skipped += 1
        if not content.strip() or skipped >= len(lines):
            most = f"have more than {skipped} lines" if content.strip() else "not be empty"
            raise UserError(f"{self.title}: must {most}")
        return skipped, lines[skipped:]

    @property
    def _first_line(self) -> str:
        return self._beginning[1][0].strip()

    def _widths(self, separator: str, *, all_lines: bool = False) -> int:
        """Return how many cells the first line has; with `all_lines` 0 unless all that are not blank have as many."""
        quote, lines = self.reading.quote, self._beginning[1]
        if not all_lines:
            lines = lines[:1]
        if separator == r"\s+":
            lines, separator = [" ".join(line.split()) for line in lines], " "
        if self.reading.comment:
            lines = [line.split(self.reading.comment)[0] for line in lines]
        try:
            rows = [row for row in csv.reader(lines, delimiter=separator, quotechar=quote) if any(row)]
        except csv.Error:  # a cell of more than 131072 characters
            return 0
        widths = {len(row) for row in rows}
        return widths.pop() if len(widths) == 1 else 0

    @cached_property
    def _top(self) -> Cells:
        """Return the first rows as texts, the header among them."""
        rows = 2  # a second one, so that pandas complains if it is longer
        for _ in range(2):
            with self._opened(header=None, dtype=str, na_filter=False) as reader:
                top: pd.DataFrame = reader.read(rows)
            rows = max(2, min(ROWS, CELLS // 10 // top.shape[1]))
        return np.array([[str(cell).strip() for cell in row] for row in top.to_numpy(object)], object)

    def _is_row(self) -> bool:
        """Tell whether the first row looks like those below it, and not like names."""
        first, below = self.first_row, self._top[1:]
        numbers = [cell for cell in first if self.found.number(cell)]
        if len(first) > 2 and [*first] in ([*map(str, range(start, start + len(first)))] for start in (0, 1)):
            return False  # so does pandas number columns without names
        if len(numbers) == len(first):
            return True
        alike = {True: list[bool](), False: list[bool]()}
        for place, cell in enumerate(first):
            cells = {text for text in below[:, place] if not self.found.is_missing(text)}
            if cells and not self.found.is_missing(cell):
                numeric = all(map(self.found.number, cells))
                alike[numeric].append(bool(self.found.number(cell)) if numeric else cell in cells)
        if numbers:
            whole = all(number.lstrip("+-").isdigit() for number in numbers)
            return all(alike[True]) and (any(alike[False]) or not whole)
        return not alike[True] and bool(alike[False]) and sum(alike[False]) * 2 >= len(alike[False])

    def _remedy(self, error: Exception) -> str:
        """Return the key that may help against an error of pandas."""
        if isinstance(error, UnicodeError):
            marked = begin(self.path, self.title).startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
            return f"; of another encoding, {self.typed('encoding', 'utf-16' if marked else 'latin-1')}"
        longer = re.search(r"Expected (\d+) fields in line (\d+)", str(error))
        first = self._first_line if longer else ""
        if self.reading.comment is None and first.startswith(("#", "%")):
            return f"; for comments, {self.typed('comment', first[0])}"
        if longer and longer[1] == "1":
            return f"; if the names are on line {longer[2]}, {self.typed('header', longer[2])}"
        return ""


def _may_be_thousands(cells: Iterable[str]) -> bool:
    """Tell whether whole numbers stand beside numbers with three decimals, and none of another kind."""
    filled = [cell for cell in cells if cell]
    return 0 < sum("." in cell for cell in filled) < len(filled) and all(map(GROUPED.fullmatch, filled))


def _codec(encoding: str) -> str:
    """Return an encoding that also reads a mark of UTF-8."""
    return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding


def number_name(number: str) -> str:
    """Return the shortest way to write a number that pandas reads."""
    if number.lstrip("+-").isdigit():
        return str(int(number)) if len(number) < MOST_DIGITS else number
    value = float(number)
    if not np.isfinite(value):
        return number
    return str(int(value)) if value.is_integer() and abs(value) < LARGEST_WHOLE else repr(value)
