"""A table in a file of separated values, read some rows at a time."""

import lzma
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nnexp.core.errors import UserError, on_one_line

if TYPE_CHECKING:
    import pandas as pd

CELLS = 2_000_000
"""Cells that are read at a time, so that a large table is never in memory as text."""
MISSING_VALUES = ("?",)
"""Texts that stand for a missing value, beside those that pandas knows, such as NA, NaN and null."""
ENCODING = "utf-8-sig"
"""UTF-8, with or without a byte order mark."""
MOST_LISTED = 5
"""The most names in a list in an error message."""
MOST_CHARACTERS = 40
"""The most characters of a cell in an error message."""


@dataclass(frozen=True)
class TableFile:
    r"""A file whose rows all have the same columns.

    Attributes:
        path: The file; a compressed one (.gz, .zip) is read as it is.
        title: Its name in error messages.
        separator: The text between two columns: one character, \t for a tab, \s+ for any number of spaces.
    """

    path: Path
    title: str
    separator: str = ","

    def first_row(self) -> list[str]:
        """Return the cells of the first row, which may be a header."""
        import pandas as pd

        with self._pandas_errors_as_user_errors():
            if self.path.exists() and not (self.path.is_file() or self.path.is_dir()):
                raise UserError(f"{self.title}: must be a file")  # a device such as /dev/zero never ends
            # The second row is read, too, so that pandas complains if it is longer.
            rows = pd.read_csv(
                self.path,
                sep=self._separator,
                header=None,
                nrows=2,
                dtype=str,
                na_filter=False,
                skipinitialspace=True,
                encoding=ENCODING,
            )
        return [on_one_line(cell) for cell in rows.iloc[0]]

    def header(self) -> list[str]:
        """Return the names of all columns."""
        header = [name or f"column {place + 1}" for place, name in enumerate(self.first_row())]
        if len(set(header)) < len(header):
            raise UserError(f"{self.title}: must have different names in its header, {listed(header)}")
        return header

    def chunks(self, names: Sequence[str], text: Sequence[str], *, header: bool = True) -> Iterator["pd.DataFrame"]:
        """Yield the table in pieces.

        Args:
            names: The names of all columns.
            text: The columns whose cells stay text.
            header: Whether the first row is a header.
        """
        import pandas as pd

        # All columns are read, because pandas overlooks rows that are too long when it leaves columns out.
        with (
            self._pandas_errors_as_user_errors(),
            pd.read_csv(
                self.path,
                sep=self._separator,
                header=0 if header else None,
                names=list(names),
                dtype=dict.fromkeys(text, str),
                na_values=list(MISSING_VALUES),
                chunksize=max(1, CELLS // len(names)),
                low_memory=False,
                skipinitialspace=True,
                encoding=ENCODING,
            ) as chunks,
        ):
            yield from chunks

    @property
    def _separator(self) -> str:
        return "\t" if self.separator == r"\t" else self.separator

    @contextmanager
    def _pandas_errors_as_user_errors(self) -> Iterator[None]:
        """Turn errors of pandas about the file into mistakes of the user."""
        import pandas as pd

        try:
            yield
        except UserError:
            raise
        except OSError as error:
            reason = error.strerror or str(error)
            raise UserError(f"{self.title}: must be a file that can be read ({reason})") from error
        except pd.errors.EmptyDataError as error:
            raise UserError(f"{self.title}: must not be empty") from error
        except (ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
            reason = on_one_line(error).removeprefix("Error tokenizing data. C error: ")
            raise UserError(f"{self.title}: must be a table of text in UTF-8 ({reason})") from error


def shortened(text: object) -> str:
    """Return a text on one line, cut off if it is long."""
    line = on_one_line(text)
    return line if len(line) <= MOST_CHARACTERS else f"{line[:MOST_CHARACTERS]}..."


def listed(names: Sequence[str]) -> str:
    """Return the first few names, separated by commas, and the number of further ones."""
    more = [f"and {len(names) - MOST_LISTED} more"] if len(names) > MOST_LISTED + 1 else []
    return ", ".join([*map(shortened, names[: MOST_LISTED if more else None]), *more])
