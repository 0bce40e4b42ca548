"""Looks at data and network before they train: `nnexp check [KEY=VALUE] ...`."""

import sys
from collections.abc import Sequence

from nnexp.commands.arguments import parser
from nnexp.config.compose import compose_experiment
from nnexp.core.errors import UserError
from nnexp.core.exits import ExitStatus
from nnexp.core.threads import one_thread
from nnexp.core.words import no_such_key
from nnexp.report import terminal
from nnexp.report.look import about, feature_rows, layer_rows, part_rows
from nnexp.report.rows import number
from nnexp.runs.prepare import Ready, prepare
from nnexp.training.checks import Start, by_heart, is_same_in_a_stack, start_of, unrecorded
from nnexp.training.gradient_check import Gradient, gradients

ALL = "check.all"
FEW_ARE_LEARNED = "is the network too small, or what it starts with all the same?"


def main(words: Sequence[str]) -> None:
    """Look at a run before it trains; exit status 1 if its gradient is wrong, or it has other bits in a stack."""
    arguments = parser(
        "check",
        "Show data and network of a run before it trains, compare its gradient with finite differences, and try "
        "whether it can learn a few examples by heart. Nothing is written.",
        output_dir=False,
    )
    arguments.add_argument(
        "overrides", metavar="KEY=VALUE", nargs="*", help=f"as for a run; {ALL}=true compares every single derivative"
    )
    arguments.add_argument("--config-dir", metavar="DIR", help="configs of your own")
    chosen = arguments.parse_intermixed_args(words)
    own = [word for word in chosen.overrides if word.startswith("check.")]
    experiment = compose_experiment([word for word in chosen.overrides if word not in own], chosen.config_dir)
    with one_thread():
        if not check(prepare(experiment), every=_every(own)):
            sys.exit(ExitStatus.UNSUCCESSFUL)


def check(ready: Ready, *, every: bool = False) -> bool:
    """Print what a run is before it trains, and return whether its gradient and its bits are right."""
    recipe, data = ready.recipe, ready.data
    terminal.show_sentences([about(data)])
    terminal.show_named(part_rows(data))
    terminal.show_sentences(data.notes)
    terminal.show_fitting_table(*feature_rows(data), spare=("second", "first"))
    start, found = start_of(recipe, data), gradients(recipe, data, every=every)
    terminal.show_fitting_table(*layer_rows(start, found), spare=("weights", "outputs", "shape"))
    same = is_same_in_a_stack(recipe, data, ready.experiment.dtype)
    called, learned = unrecorded(recipe, data), by_heart(recipe, data)
    recorded = f"slower without: it does not take {', '.join(called)}" if called else "every component is recorded"
    bits = "the same in a stack" if same else "others in a stack than alone: a component mixes its runs"
    how = f"{learned.right} of {learned.examples} examples after {learned.steps} steps of Adam"
    terminal.show_named(
        [
            ("Loss", _loss(start)),
            *[("Gradient", line) for line in _gradient(found)],
            ("Bits", bits),
            ("Tape", recorded),
            ("By heart", f"{how}{'' if learned.right == learned.examples else f'; {FEW_ARE_LEARNED}'}"),
        ]
    )
    return same and all(one.wrong is None for one in found)


def _loss(start: Start) -> str:
    guess = "" if start.guess is None else f", {number(start.guess)} by guessing"
    return f"{number(start.loss)} at the start{guess}"


def _gradient(found: Sequence[Gradient]) -> list[str]:
    """Return what was found of the gradient: a line for each part that is wrong, or one that all are right."""
    wrong = [(one.name, slope) for one in found if (slope := one.wrong) is not None]
    if len(wrong) > 1:
        wrong = [(name, slope) for name, slope in wrong if name != found[-1].name]
    if wrong:
        return [
            f"wrong in {name}: by {slope.of} it is {slope.claimed:.6g}, and finite differences give {slope.found:.6g}"
            for name, slope in wrong
        ]
    kinks = sum(one.kinks for one in found)
    slopes = sum(len(one.slopes) for one in found) - kinks
    at_kinks = f"; {kinks} at a kink, where all between both sides is right" if kinks else ""
    return [f"right within {max(one.deviation for one in found):.0e} in {slopes:,} finite differences{at_kinks}"]


def _every(words: Sequence[str]) -> bool:
    """Return the value of `check.all`."""
    for word in words:
        key, _, value = word.partition("=")
        if key != ALL:
            raise UserError(no_such_key(key, ["all"]))
        if value.lower() not in ("true", "false"):
            raise UserError(f"{word}: must be true or false")
    return bool(words) and words[-1].lower() == f"{ALL}=true"
