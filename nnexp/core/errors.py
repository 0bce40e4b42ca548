"""What can go wrong that is no bug: mistakes of the user, damaged files, stores that refuse; and how they are told."""

import sys
from collections.abc import Iterable
from difflib import get_close_matches

MAX_LINE_LENGTH = 1000
"""The most characters of a sentence that a person would read."""


class UserError(ValueError):
    """A mistake in what the user asked for; its message is one line naming the key, the value and what is allowed."""

    def __str__(self) -> str:
        """Return the line; of a value that is too long, the middle is left out."""
        line = on_one_line(super().__str__())
        half = MAX_LINE_LENGTH // 2
        return line if len(line) <= MAX_LINE_LENGTH else f"{line[:half]} ... {line[-half:]}"


class DamagedError(Exception):
    """A file is not what it should be; the message is one line."""


class TrackingError(Exception):
    """A tracker that was there could not keep something; the message is one line."""


def warn(line: str) -> None:
    """Print a line that a person should see beside the output."""
    print(f"nnexp: {on_one_line(line)}", file=sys.stderr)


def on_one_line(text: object) -> str:
    """Return a text on one line, without signs that a terminal would obey."""
    return printable(" ".join(str(text).split()))


def printable(text: str) -> str:
    """Return a text with question marks in place of all signs that cannot be seen; line ends stay."""
    return "".join(sign if sign.isprintable() or sign == "\n" else "?" for sign in text)


def no_such_key(path: str, known: Iterable[str]) -> str:
    """Return a line about an unknown key, with the closest known one or, where none is close, all of them."""
    known = sorted(known)
    proposal = did_you_mean(path.rpartition(".")[2], known)
    if not proposal and known:
        proposal = f", known are {', '.join(known)}"
    return f"{path}: no such key{proposal}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that proposes the closest known word, or nothing where none is close."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f", did you mean {close[0]}?" if close else ""
