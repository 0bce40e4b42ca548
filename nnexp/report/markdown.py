"""Words of others in Markdown: shown as they are written, whatever they are."""

import re
from collections.abc import Sequence

from nnexp.core.errors import on_one_line

CODE_OR_SIGN = re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)|(\\|\](?=[(\[:])|<(?=[A-Za-z/!?]))")
"""Code between equal rows of backticks, or a sign that may make a picture, a link or HTML."""
ESCAPED_BAR = r"\|"


def escaped(text: str) -> str:
    """Return a text on one line of Markdown, with its code as code, and no pictures, links or HTML in it."""
    return CODE_OR_SIGN.sub(lambda found: f"\\{found[2]}" if found[2] else found[0], on_one_line(text))


def code(text: str) -> str:
    """Return a text on one line as code, also with backticks in it."""
    line = on_one_line(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if "`" in line else f"`{line}`"


def block(text: str) -> str:
    """Return a text, such as a command, as a block of code."""
    return "\n".join(f"    {line}" for line in text.splitlines())


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, its first column aligned left and the others right."""
    lines = [["---", *["---:"] * (len(header) - 1)], *[[escaped(cell) for cell in row] for row in rows]]
    return "\n".join(f"| {' | '.join(cell.replace('|', ESCAPED_BAR) for cell in line)} |" for line in [header, *lines])
