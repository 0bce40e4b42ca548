"""Standard output and standard error on which no print fails: what they do not take is replaced or dropped."""

import io
import os
import select
import sys
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from nnexp.core.errors import warn

FAILING = ("strict", "surrogateescape", "surrogatepass")
"""The ways to encode that fail on signs which a terminal does not know, such as ±."""


def let_no_print_fail() -> None:
    """Replace both streams for the rest of the process; those that are not the interpreter's own stay as they are."""
    sys.stdout = _lasting(sys.stdout, sys.__stdout__)
    sys.stderr = _lasting(sys.stderr, sys.__stderr__)


def _lasting(stream: TextIO | None, own: TextIO | None) -> TextIO:
    if stream is None:  # it was closed before the process began
        return Path(os.devnull).open("w", encoding="utf-8")
    if stream is not own or not isinstance(stream, io.TextIOWrapper):
        return stream
    buffered = isinstance(stream.buffer, io.BufferedWriter)  # not by python -u
    raw = _Lasting(stream.buffer.raw if buffered else stream.buffer, stream.name)
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
    buffer = getattr(sys.stdout, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    return not (isinstance(raw, _Lasting) and raw.lost)


class _Lasting(io.RawIOBase):
    """Writes to a stream until that fails; what comes then is dropped, and does not fail again when Python ends."""

    def __init__(self, stream: io.RawIOBase, name: str) -> None:
        self._stream, self.name, self._failed, self.lost = stream, name, False, False

    def write(self, data: object, /) -> int:
        """Write data or drop it, and return how many bytes are done with."""
        left = whole = memoryview(data)  # type: ignore[arg-type]  # Python 3.12 has a name for what can be written
        while left and not self._failed:
            try:
                written = self._stream.write(left)
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
        return self._stream.isatty()

    def fileno(self) -> int:
        """Return the descriptor of the stream."""
        return self._stream.fileno()
