"""The errors that are no bugs (mistakes of the user, damaged files, stores that fail), and their messages."""

import re
import sys
from collections.abc import Sequence

from nnexp.core.words import no_such_key

MAX_LINE_LENGTH = 1000
"""The most characters of a message; of a longer one the middle is left out."""

PASSWORD = re.compile(r"(?<=://)([^\s/:@]*):[^\s/]*@")
"""The name and the password in an address, as in `https://me:secret@host`."""


class UserError(ValueError):
    """A mistake in what the user asked for; its message is one line naming the key, the value and what is allowed."""

    def __str__(self) -> str:
        """Return the message, without its middle if it is too long."""
        line = on_one_line(super().__str__())
        half = MAX_LINE_LENGTH // 2
        return line if len(line) <= MAX_LINE_LENGTH else f"{line[:half]} ... {line[-half:]}"


class UnknownKeyError(UserError):
    """A key is none of those that are known in its place."""

    def __init__(self, path: str, known: Sequence[str]) -> None:
        super().__init__(no_such_key(path, known))
        self.path, self.known = path, known


class DamagedError(Exception):
    """A file is damaged; the message is one line."""


class TrackingError(Exception):
    """A tracker could not record something; the message is one line."""


def warn(line: str) -> None:
    """Print a line that a person should see beside the output."""
    print(f"nnexp: {on_one_line(line)}", file=sys.stderr)


def on_one_line(text: object) -> str:
    """Return a text on one line, without control characters of a terminal, and without the passwords of addresses."""
    return printable(without_passwords(" ".join(str(text).split())))


def without_passwords(text: str) -> str:
    """Return a text with stars in place of the passwords of addresses."""
    return PASSWORD.sub(r"\1:***@", text)


def printable(text: str) -> str:
    """Return a text with question marks in place of unprintable characters; line ends stay."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign == "\n" else "?" for sign in text)
