"""Standard output and standard error on which no print fails: what they do not take is replaced or dropped."""

import atexit
import io
import os
import select
import sys
from contextlib import suppress
from pathlib import Path
from threading import current_thread, main_thread
from typing import BinaryIO, TextIO, cast

from nnexp.core.errors import warn

FAILING = ("strict", "surrogateescape", "surrogatepass")
"""The ways to encode that fail on signs which a terminal does not know, such as ±."""

ERASE = b"\r\x1b[2K"
"""Erases a line of a terminal, and goes back to its beginning."""


def let_no_print_fail() -> None:
    """Replace both streams for the rest of the process; those that are not the interpreter's own stay as they are."""
    line = _Line()
    sys.stdout = _lasting(sys.stdout, sys.__stdout__, line)
    sys.stderr = _lasting(sys.stderr, sys.__stderr__, line)
    atexit.register(line.erase)


def meanwhile(text: str) -> None:
    """Say on a terminal what is waited for; it goes when anything else is printed. In a pipe nothing is said."""
    raw = _raw(sys.stdout)
    if isinstance(raw, _Lasting) and raw.isatty() and current_thread() is main_thread():
        sys.stdout.flush()
        raw.line.show(f"{text} ...", raw.stream)


def _lasting(stream: TextIO | None, own: TextIO | None, line: "_Line") -> TextIO:
    if stream is None:  # it was closed before the process began
        return Path(os.devnull).open("w", encoding="utf-8")
    if stream is not own or not isinstance(stream, io.TextIOWrapper):
        return stream
    buffered = isinstance(stream.buffer, io.BufferedWriter)  # not by python -u
    raw = _Lasting(stream.buffer.raw if buffered else stream.buffer, stream.name, line)
    lasting = io.BufferedWriter(raw) if buffered else raw
    return io.TextIOWrapper(
        cast("BinaryIO", lasting),
        encoding=stream.encoding,
        errors="replace" if stream.errors in FAILING else stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def is_all_printed() -> bool:
    """Tell whether standard output has taken all that was printed, as far as its reader wanted it."""
    sys.stdout.flush()
    raw = _raw(sys.stdout)
    return not (isinstance(raw, _Lasting) and raw.lost)


def _raw(stream: TextIO) -> object:
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)


class _Line:
    """The text that a terminal shows for now, in a line that is not ended."""

    def __init__(self) -> None:
        self._stream: io.RawIOBase | None = None

    def show(self, text: str, stream: io.RawIOBase) -> None:
        """Show a text in place of the one before, as much as there is room for."""
        with suppress(OSError):
            room = os.get_terminal_size(stream.fileno()).columns - 1
            stream.write(ERASE + text[: max(0, room)].encode("ascii", "replace"))
            self._stream = stream

    def erase(self) -> None:
        """Erase the text, if there is one."""
        if self._stream is not None:
            with suppress(OSError, ValueError):
                self._stream.write(ERASE)
            self._stream = None


class _Lasting(io.RawIOBase):
    """Writes to a stream until that fails; what comes then is dropped, and does not fail again when Python ends."""

    def __init__(self, stream: io.RawIOBase, name: str, line: _Line) -> None:
        self.stream, self.name, self.line, self._failed, self.lost = stream, name, line, False, False

    def write(self, data: object, /) -> int:
        """Write data or drop it, and return how many bytes are done with."""
        self.line.erase()
        left = whole = memoryview(data)  # type: ignore[arg-type]  # Python 3.12 has a name for what can be written
        while left and not self._failed:
            try:
                written = self.stream.write(left)
            except OSError as error:
                self._failed = True
                self.lost = not isinstance(error, BrokenPipeError)  # which its reader wanted, such as `head`
                if self.name == "<stdout>" and self.lost:
                    warn(f"standard output takes nothing more ({error.strerror})")
            else:
                if written is None:  # another process let the stream not wait for a slow reader
                    select.select([], [self], [])
                left = left[written or 0 :]
        return whole.nbytes

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

    def isatty(self) -> bool:
        """Tell whether the stream is a terminal."""
        return self.stream.isatty()

    def fileno(self) -> int:
        """Return the descriptor of the stream."""
        return self.stream.fileno()
