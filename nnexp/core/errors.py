"""The errors that are no bugs (mistakes of the user, damaged files, stores that fail), and their messages."""

import sys
from collections.abc import Iterable
from difflib import get_close_matches

MAX_LINE_LENGTH = 1000
"""The most characters of a message; of a longer one the middle is left out."""


class UserError(ValueError):
    """A mistake in what the user asked for; its message is one line naming the key, the value and what is allowed."""

    def __str__(self) -> str:
        """Return the message, without its middle if it is too long."""
        line = on_one_line(super().__str__())
        half = MAX_LINE_LENGTH // 2
        return line if len(line) <= MAX_LINE_LENGTH else f"{line[:half]} ... {line[-half:]}"


class DamagedError(Exception):
    """A file is damaged; the message is one line."""


class TrackingError(Exception):
    """A tracker could not record something; the message is one line."""


def warn(line: str) -> None:
    """Print a line that a person should see beside the output."""
    print(f"nnexp: {on_one_line(line)}", file=sys.stderr)


def on_one_line(text: object) -> str:
    """Return a text on one line, without control characters of a terminal."""
    return printable(" ".join(str(text).split()))


def printable(text: str) -> str:
    """Return a text with question marks in place of unprintable characters; line ends stay."""
    return "".join(sign if sign.isprintable() or sign == "\n" else "?" for sign in text)


def no_such_key(path: str, known: Iterable[str]) -> str:
    """Return a line about an unknown key, with the closest known one or, where none is close, all of them."""
    known = sorted(known)
    proposal = did_you_mean(path.rpartition(".")[2], known)
    if not proposal and known:
        proposal = f", known are {', '.join(known)}"
    return f"{path}: no such key{proposal}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `, did you mean ...?` with the closest known word, or an empty text where none is close."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f", did you mean {close[0]}?" if close else ""
