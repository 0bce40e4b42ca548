"""The arguments of all commands but training."""

from argparse import ArgumentParser
from typing import NoReturn

from nnexp.core.errors import UserError

A_RUN = "a run: its folder, `last`, its row in `nnexp runs`, or the first letters of its ID in MLflow or config hash"
"""How a run can be named, see `runs.find`."""


class Parser(ArgumentParser):
    """Parses the arguments of a command; a mistake is a `UserError`, as everywhere."""

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments."""
        raise UserError(f"{self.prog.partition(' ')[2]}: {message} (--help shows what there is)")


def parser(name: str, description: str, *, output_dir: bool = True) -> Parser:
    """Return the parser of a command, by default with the option --output-dir."""
    made = Parser(prog=f"nnexp {name}", description=description)
    if output_dir:
        made.add_argument("--output-dir", default="outputs", help="where runs were written")
    return made
