"""Compares runs, `nnexp compare RUN RUN ...`, or two settings by many seeds, `nnexp compare A B --seeds 20`."""

import json
import string
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from pathlib import Path

from nnexp.commands.arguments import A_RUN, parser
from nnexp.core.errors import UserError, on_one_line
from nnexp.core.exits import ExitStatus
from nnexp.core.files import absolute, is_there, new_folder, writable_folder
from nnexp.core.output import is_all_printed, meanwhile
from nnexp.report import terminal
from nnexp.report.rows import number
from nnexp.runs.recorded_run import RecordedRun, recorded_run

MAX_LABEL = 60
"""The most characters of the differing values in the name of a curve."""
LETTERS = string.ascii_uppercase
STATUSES = {"A": 0, None: ExitStatus.NOT_SHOWN, "B": ExitStatus.WORSE}
"""The exit status by which of two settings is better, so that a program can ask."""


def main(words: Sequence[str]) -> None:
    """Compare the runs that are named."""
    arguments = parser(
        "compare",
        "Print what differs in the configs of runs and their metrics side by side, and draw their curves, into the "
        "folder comparisons of the output folder.",
    )
    arguments.add_argument("runs", metavar="RUN", nargs="+", help=f"{A_RUN}, or, with --seeds, overrides")
    arguments.add_argument(
        "--seeds",
        metavar="N",
        type=int,
        help="train two of them with N seeds each, where that was not done before, "
        "and say which is better; status 0 if the first is, 10 if that is not shown, 11 if the second is",
    )
    arguments.add_argument("--metric", metavar="METRIC", help="with --seeds: what decides, such as test/accuracy")
    arguments.add_argument("--matters", metavar="D", help="with --seeds: smaller differences do not matter")
    arguments.add_argument(
        "--json", action="store_true", help="with --seeds: print the verdict as JSON and nothing else"
    )
    arguments.add_argument("--config-dir", metavar="DIR", help="with --seeds: configs of your own")
    chosen = arguments.parse_args(words)
    if chosen.seeds is not None:
        options = [f"sweep.{key}={value}" for key in ("metric", "matters") if (value := vars(chosen)[key]) is not None]
        folder, own = writable_folder(chosen.output_dir), chosen.config_dir
        sys.exit(referee(chosen.runs, chosen.seeds, folder, options, config_dir=own, as_json=chosen.json))
    if chosen.config_dir is not None:
        raise UserError(f"--config-dir {chosen.config_dir}: must stand beside --seeds")
    show(chosen.runs, writable_folder(chosen.output_dir))
    if not is_all_printed():
        sys.exit(ExitStatus.UNSUCCESSFUL)


def referee(
    texts: Sequence[str],
    seeds: int,
    output_dir: Path,
    options: Sequence[str],
    *,
    config_dir: str | None = None,
    as_json: bool = False,
) -> ExitStatus | int:
    """Print which of two settings is better, and return the exit status that says so.

    Raises UserError if there are not two of them, or too few seeds to tell anything.
    """
    from nnexp.analysis.pair import Pair
    from nnexp.analysis.verdict import FEWEST
    from nnexp.sweeps.pair import train_pair

    if len(texts) != len(STATUSES) - 1 or seeds < FEWEST:
        raise UserError(f"--seeds {seeds}: must be {FEWEST} or more, and stand beside two runs or texts of overrides")
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        results = train_pair(texts, seeds, output_dir, options, config_dir=config_dir)
        pair = Pair.of(results)
    terminal.show_lines([json.dumps(pair.as_json()) if as_json else pair.line])
    return STATUSES[pair.better] if results.complete else ExitStatus.UNSUCCESSFUL


def show(names: Sequence[str], output_dir: Path) -> None:
    """Print and draw a comparison of runs, which are called A, B and so on.

    Raises UserError if one of them is no run, or there are too many.
    """
    if len(names) > len(LETTERS):
        raise UserError(f"runs={len(names)}: must be at most {len(LETTERS)}")
    runs = {letter: recorded_run(name, output_dir) for letter, name in zip(LETTERS, names, strict=False)}
    for (letter, run), name in zip(runs.items(), names, strict=True):
        called = "" if run.record is None or is_there(absolute(name)) else f"  {run.record.name}"  # which a path says
        terminal.show_lines([f"{letter}  {name}{called}"])
    different = differences([run.flat_config for run in runs.values()])
    if different:
        terminal.show_table(("config", *runs), different)
    else:
        terminal.show_lines(["The configs are the same."])
    terminal.show_table(("metric", *runs), metric_rows([*runs.values()]))
    if any(len(run.history) for run in runs.values()):
        meanwhile("Drawing the curves")
        folder = new_folder(output_dir / "comparisons", time.strftime("%Y-%m-%d_%H-%M-%S"))
        draw(runs, different, folder)
        terminal.show_links([("Picture", str(folder / "comparison.png"))])


def differences(configs: Sequence[Mapping[str, object]]) -> list[tuple[str, ...]]:
    """Return a row for every key whose values differ; a missing value is a dash."""
    keys = dict.fromkeys(key for config in configs for key in config)
    rows = [(key, *[str(config[key]) if key in config else "-" for config in configs]) for key in keys]
    return [row for row in rows if len({*row[1:]}) > 1]


def metric_rows(runs: Sequence[RecordedRun]) -> list[tuple[str, ...]]:
    """Return the metrics of runs at their ends and their best, each with its difference from the first run.

    Those of `final` are of the parameters that a run left.
    """
    rows: list[tuple[str, ...]] = []
    names = dict.fromkeys(name for run in runs for name in run.summary.best)
    for kind in ("final", "best"):
        for name in names:
            values: list[Mapping[str, float]] = [getattr(run.summary, kind) for run in runs]
            first = values[0].get(name)
            rows.append((f"{name}, {kind}", *[_cell(one.get(name), first, place) for place, one in enumerate(values)]))
    rows.append(
        ("trained for", *[f"{run.history.times[-1] if len(run.history) else 0} {run.summary.unit}s" for run in runs])
    )
    steps = ["" if run.summary.diverged_step is None else str(run.summary.diverged_step) for run in runs]
    if any(steps):
        rows.append(("diverged at step", *steps))
    return rows


def _cell(value: float | None, first: float | None, place: int) -> str:
    if value is None:
        return "-"
    if place == 0 or first is None:
        return number(value)
    return f"{number(value)} ({'+' if value >= first else ''}{number(value - first)})"


def draw(runs: Mapping[str, RecordedRun], different: Sequence[tuple[str, ...]], folder: Path) -> None:
    """Draw the curves, each run named by its letter and the first two values that differ."""
    from nnexp.plots.comparison import comparison
    from nnexp.plots.style import add_figures

    histories = {}
    for place, (letter, run) in enumerate(runs.items(), 1):
        words = on_one_line(", ".join(f"{row[0].rpartition('.')[2]}={row[place]}" for row in different[:2]))[:MAX_LABEL]
        histories[f"{letter}  {words}" if words else letter] = run.history
    add_figures({"comparison": lambda: comparison(histories)}, folder)
