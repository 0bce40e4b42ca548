"""The arguments of all commands but training."""

from argparse import ArgumentParser
from pathlib import Path
from typing import NoReturn

from nnexp.core.errors import UserError, warn
from nnexp.core.files import USUAL_OUTPUT, absolute, is_there, relative

A_RUN = "a run: its folder, `last`, its row in `nnexp runs`, or the first letters of its ID in MLflow or config hash"
"""How a run can be named, see `runs.find`."""
WHOLE_ID = 32
"""The characters of an ID in MLflow."""


class Parser(ArgumentParser):
    """Parses the arguments of a command; a mistake is a `UserError`, as everywhere."""

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments."""
        raise UserError(f"{self.prog.partition(' ')[2]}: {message} (--help shows what there is)")


def say_which(name: str, run: str | Path) -> None:
    """Say which run a short name, such as `last`, has meant; a path and a whole ID say it themselves."""
    if len(name) < WHOLE_ID and not is_there(absolute(name)):
        warn(f"{name} is {run if isinstance(run, str) else relative(run)}")


def parser(name: str, description: str, *, output_dir: bool = True) -> Parser:
    """Return the parser of a command, by default with the option --output-dir."""
    made = Parser(prog=f"nnexp {name}", description=description)
    if output_dir:
        made.add_argument("--output-dir", default=USUAL_OUTPUT, help="where runs were written")
    return made
