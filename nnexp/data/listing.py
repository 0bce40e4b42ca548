"""Names and cells in error messages."""

import re
import shlex
from collections.abc import Sequence

from nnexp.core.errors import on_one_line

MOST_LISTED = 5
"""The most names in a list in an error message."""
MOST_CHARACTERS = 40
"""The most characters of a cell in an error message."""
MOST_PASTED = 30
"""The most names in a list that is to be pasted."""
PLAIN = re.compile(r"[\w.-]+")
"""Names that neither a shell nor Hydra takes for something else."""


def shortened(text: object) -> str:
    """Return a text on one line, cut off if it is long."""
    line = on_one_line(text)
    return line if len(line) <= MOST_CHARACTERS else f"{line[:MOST_CHARACTERS]}..."


def listed(names: Sequence[str]) -> str:
    """Return the first few names, separated by commas, and the number of further ones."""
    more = [f"and {len(names) - MOST_LISTED} more"] if len(names) > MOST_LISTED + 1 else []
    return ", ".join([*map(shortened, names[: MOST_LISTED if more else None]), *more])


def pasted(key: str, names: Sequence[str]) -> str:
    """Return a key with a list of names as one types it in a shell."""
    if len(names) > MOST_PASTED:
        return f"{key}={'auto' if key.endswith('categorical') else '[...]'}"
    plain = [name if PLAIN.fullmatch(name) else '"' + name.replace('"', r"\"") + '"' for name in names]
    word = f"{key}=[{','.join(plain)}]"
    return word if all(map(PLAIN.fullmatch, names)) else shlex.quote(word)
