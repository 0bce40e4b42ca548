"""Runs the next window of a sweep over two long lists: `nnexp zoom SWEEP X0 X1 Y0 Y1 [N]`."""

import shlex
from collections.abc import Sequence
from itertools import pairwise
from math import isfinite

from nnexp.commands.arguments import parser, say_which
from nnexp.core.errors import UserError
from nnexp.core.files import absolute


def main(words: Sequence[str]) -> None:
    """Print the command of a window, and run it."""
    arguments = parser(
        "zoom",
        "Run the next window of a sweep over two long lists of numbers: N times N runs between values on its axes. "
        "X0 to X1 are of its first key, Y0 to Y1 of its second.",
    )
    arguments.add_argument("sweep", metavar="SWEEP", help="a sweep: its folder, `last`, or its row in `nnexp runs`")
    for name in ("X0", "X1", "Y0", "Y1"):
        arguments.add_argument(name, help="a value on an axis")
    arguments.add_argument("N", nargs="?", help="how many values along each axis; as many as the sweep has")
    chosen = vars(arguments.parse_args(words))
    window = [chosen[name] for name in ("X0", "X1", "Y0", "Y1")]
    again = window_of(chosen["sweep"], chosen["output_dir"], window, chosen["N"])
    from nnexp.commands.train import main as train
    from nnexp.config.overrides import command
    from nnexp.report.terminal import show_lines

    show_lines([command(*again)])
    train(again)


def window_of(name: str, output_dir: str, window: Sequence[str], count: str | None) -> list[str]:
    """Return the arguments that train a window of a sweep.

    Raises UserError if there is no such sweep, it is no field, or the window or the count is none.

    Args:
        name: The sweep.
        output_dir: Where sweeps were written.
        window: The first and the last value on either axis, as they are typed.
        count: How many values along each axis; None: as many as the sweep has.
    """
    from nnexp.analysis.field import LEAST, field_of
    from nnexp.config.overrides import without
    from nnexp.runs.find import find
    from nnexp.sweeps.sweep_folder import SweepRecord, results_in

    folder = find(name, absolute(output_dir), sweeps=True)
    record = None if folder is None else SweepRecord.read(folder)
    field = None if folder is None or record is None else field_of(results_in(folder, record))
    if folder is None or field is None or record is None:
        raise UserError(f"zoom: must have a sweep over two lists of at least {LEAST} numbers each, and {name} is none")
    values = [_number(text) for text in window]
    _, *words = shlex.split(record.command.partition(" -m nnexp")[2])
    words = ["-m", *without(words, {field.x.key, field.y.key, "sweep.plan"})]
    for swept, (low, high), shown in ((field.x, values[:2], window[:2]), (field.y, values[2:], window[2:])):
        logarithmic = _is_logarithmic(swept.numbers or ())
        if not low < high or (logarithmic and low <= 0):
            below = "above 0 and " if logarithmic else ""
            raise UserError(f"zoom: must have a window {below}with its lower end first, not {' to '.join(shown)}")
        space, number = "logspace" if logarithmic else "linspace", count or len(swept.values)
        words.append(f"{swept.key}={space}({shown[0]},{shown[1]},{number})")
    say_which(name, folder)
    return words


def _is_logarithmic(numbers: Sequence[float]) -> bool:
    """Tell whether ascending numbers are more alike in their ratios than in their differences."""
    if numbers[0] <= 0:
        return False
    differences = [two - one for one, two in pairwise(numbers)]
    ratios = [two / one for one, two in pairwise(numbers)]
    return max(ratios) / min(ratios) < max(differences) / min(differences)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise UserError(f"zoom: must have numbers for its window, not {text}")
    return number
