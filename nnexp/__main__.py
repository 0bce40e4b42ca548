"""The door: `python -m nnexp [COMMAND] ...`, or `nnexp`; without the name of a command it trains."""

import atexit
import gc
import sys
from difflib import get_close_matches
from importlib import import_module

from nnexp.core.errors import UserError
from nnexp.core.exits import exits
from nnexp.core.output import let_no_print_fail, meanwhile

COMMANDS = (
    "train",
    "check",
    "runs",
    "compare",
    "replay",
    "predict",
    "export",
    "ui",
    "deliver",
    "zoom",
    "landscape",
    "clean",
)
"""A module of `nnexp.commands` each; `nnexp COMMAND --help` explains it."""


def main() -> None:
    """Run a command; a user's mistake is one line and exit status 2."""
    atexit.register(gc.freeze)  # what is left at the end is let go of as it is: to look through it takes a second
    let_no_print_fail()
    with exits():
        name, arguments = command_of(sys.argv[1:])
        meanwhile("Starting")
        if name == "train":
            gc.disable()  # until a sweep begins: a run makes only what is kept, and is faster without
        import_module(f"nnexp.commands.{name}").main(arguments)


def command_of(words: list[str]) -> tuple[str, list[str]]:
    """Return the command that is meant, and its arguments.

    Raises UserError if the first word is the misspelt name of a command.
    """
    first = words[0] if words else ""
    if first in COMMANDS:
        return first, words[1:]
    if first.isidentifier() and (close := get_close_matches(first, COMMANDS, n=1)):
        raise UserError(f"{first}: no such command, did you mean {close[0]}?")
    return "train", words


if __name__ == "__main__":
    main()
