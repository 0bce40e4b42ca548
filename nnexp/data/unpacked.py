"""What lies in a file of data: a stream of bytes, unpacked if it is packed, or arrays."""

import bz2
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from nnexp.core.errors import DamagedError, UserError, on_one_line
from nnexp.core.npz import AnyArray, read_arrays
from nnexp.data.listing import listed

MOST_UNPACKED, MOST_TIMES = 2**28, 100
"""A packed file may hold 256 MiB, or a hundred times its own size; whoever packs more into it means harm."""
URL = re.compile(r"[a-z][a-z0-9+.-]*:/+", re.IGNORECASE)
PACKED: dict[bytes, Callable[[Path], io.BufferedIOBase]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
"""How files begin that hold one packed file, and what opens them."""
OTHERS = {
    b"\xd0\xcf\x11\xe0": "is a workbook; save its sheet as CSV",
    b"SQLite format 3": "is a database; write its table as CSV",
    b"\x89HDF\r\n": "is of HDF5; write its table as CSV or Parquet",
    b"%PDF": "is a PDF",
    b"<!doctype html": "is a web page; download the table itself",
    b"<html": "is a web page; download the table itself",
}
"""How files begin that are no tables of text, and what they are."""
PARQUET, ZIP, IDX = b"PAR1", b"PK\x03\x04", {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
UNREADABLE = (ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
"""The errors of reading a packed file that is damaged."""


def begin(path: Path, title: str) -> bytes:
    """Return the first bytes of a file.

    Raises UserError if it is no file, or of a kind that is no table.
    """
    if URL.match(str(path)):
        raise UserError(f"{title}: must be a file on this computer, not an address; download it first")
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(f"{title}: must be a file, no pipe or device")  # /dev/zero never ends
    with path.open("rb") as file:
        first = file.read(512)
    for magic, what in OTHERS.items():
        if first.lstrip().lower().startswith(magic.lower()):
            raise UserError(f"{title}: must be a table, and {what}")
    return first


@contextmanager
def unpacked(path: Path, title: str) -> Iterator[IO[bytes]]:
    """Yield the bytes of a file, or of the only one that is packed in it.

    Raises UserError if there are several in it, or they unpack to far more than a table would.
    """
    first = begin(path, title)
    with ExitStack() as stack:
        if first.startswith(ZIP):
            archive = stack.enter_context(zipfile.ZipFile(path))
            stream: IO[bytes] | io.BufferedIOBase = stack.enter_context(
                archive.open(_only([info.filename for info in archive.filelist], title))
            )
        elif opener := next((opener for magic, opener in PACKED.items() if first.startswith(magic)), None):
            stream = stack.enter_context(opener(path))
        else:
            yield stack.enter_context(path.open("rb"))
            return
        most = max(MOST_UNPACKED, MOST_TIMES * path.stat().st_size)
        yield stack.enter_context(io.BufferedReader(_Limited(stream, most, title)))


def _only(names: list[str], title: str) -> str:
    """Return the only file in an archive, beside those that a Mac adds."""
    files = [
        name
        for name in names
        if not (name.endswith("/") or name.startswith("__MACOSX/") or Path(name).name.startswith("."))
    ]
    if "xl/workbook.xml" in files:
        raise UserError(f"{title}: must be a table, and is a workbook; save its sheet as CSV")
    if len(files) != 1:
        held = f"has {listed(files)}; unpack the one you mean" if files else "has none"
        raise UserError(f"{title}: must have one table in the archive, and {held}")
    return files[0]


class _Limited(io.RawIOBase):
    """Reads from a stream, but not without end."""

    def __init__(self, stream: IO[bytes] | io.BufferedIOBase, most: int, title: str) -> None:
        self._stream, self._left, self._most, self._title = stream, most, most, title

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        piece = self._stream.read(len(buffer))
        self._left -= len(piece)
        if self._left < 0:
            raise UserError(
                f"{self._title}: must not unpack to more than {self._most >> 20} MiB, {MOST_TIMES} times its size"
            )
        buffer[: len(piece)] = piece
        return len(piece)


def array_names(path: Path, title: str) -> list[str]:
    """Return the names of the arrays in a file, npz or IDX as MNIST has it; none of any other.

    Raises UserError if it cannot be read.
    """
    with errors_as_user_errors(title):
        if begin(path, title).startswith(ZIP):
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
            return [name.removesuffix(".npy") for name in names] if all(name.endswith(".npy") for name in names) else []
        with unpacked(path, title) as stream:
            return ["x", "y"] if _is_idx(stream.read(4)) else []


def arrays(path: Path, title: str) -> dict[str, AnyArray]:
    """Return the arrays in a file of arrays by their names; `x` and `y` of IDX, whose labels lie beside the images.

    Raises UserError if it cannot be read.
    """
    if begin(path, title).startswith(ZIP):
        try:
            return read_arrays(path, most=max(MOST_UNPACKED, MOST_TIMES * path.stat().st_size), kinds="biufU")[0]
        except DamagedError as error:
            raise UserError(f"{title}: must be an npz file of arrays ({error})") from error
    with errors_as_user_errors(title):
        return _images(path, title)


@contextmanager
def errors_as_user_errors(
    title: str, encoding: str = "utf-8", remedy: Callable[[Exception], str] = lambda _: ""
) -> Iterator[None]:
    """Turn errors of reading a file into mistakes of the user.

    Args:
        title: The name of the file in messages.
        encoding: What its text should be.
        remedy: Returns what may help against an error, to end the message with.
    """
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{title}: must be a file that can be read ({error.strerror or error})") from error
    except UNREADABLE as error:
        reason = on_one_line(error).removeprefix("Error tokenizing data. C error: ")
        raise UserError(f"{title}: must be a table of text in {encoding.upper()} ({reason}){remedy(error)}") from error


def _images(path: Path, title: str) -> dict[str, AnyArray]:
    labels = path.with_name(re.sub(r"images([.-])idx\d", r"labels\1idx1", path.name))
    found = {"x": _idx(path, title)}
    if labels != path and labels.exists():
        found["y"] = _idx(labels, title)
    return found


def _is_idx(first: bytes) -> bool:
    return len(first) == 4 and first[:2] == b"\0\0" and first[2] in IDX and 1 <= first[3] <= 4


def _idx(path: Path, title: str) -> AnyArray:
    """Return the array in an IDX file: two zeros, its type, the number of axes, their lengths and the numbers."""
    with unpacked(path, title) as stream:
        first = stream.read(4)
        if not _is_idx(first):
            raise UserError(f"{title}: must lie beside an IDX file of labels, and {path.name} is none")
        shape = np.frombuffer(stream.read(4 * first[3]), ">u4").tolist()
        content = stream.read()
    kind = np.dtype(IDX[first[2]])
    if len(shape) != first[3] or prod(shape) * kind.itemsize != len(content):
        raise UserError(f"{title}: must have as many numbers as {path.name} says ({on_one_line(shape)})")
    return np.frombuffer(content, kind).reshape(shape)
