"""The one kind of error that is the user's to mend."""

LONGEST = 1000
"""The most characters of a sentence that a person would read."""


class UserError(ValueError):
    """A mistake in what the user asked for; its message is one line naming the key, the value and what is allowed."""

    def __str__(self) -> str:
        """Return the line; of a value that is too long, the middle is left out."""
        line = on_one_line(super().__str__())
        half = LONGEST // 2
        return line if len(line) <= LONGEST else f"{line[:half]} ... {line[-half:]}"


def on_one_line(text: object) -> str:
    """Return a text on one line, without signs that a terminal would obey."""
    return printable(" ".join(str(text).split()))


def printable(text: str) -> str:
    """Return a text in which only what can be seen is left of anybody's values; line ends stay."""
    return "".join(sign if sign.isprintable() or sign == "\n" else "?" for sign in text)
