"""The benchmark: `python -m tests.programs.benchmarks`. It takes 25 minutes, and says what it does on the way."""

import argparse
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.programs.benchmarks import beginning, earlier, growth, measure, spent, whole
from tests.programs.benchmarks.page import Measured
from tests.programs.benchmarks.work import DRAWN, WORKS, named

ROOT = Path(__file__).parents[3]


def alone(chosen: argparse.Namespace, measured: Measured) -> Iterator[str]:
    """Measure one run of every contender."""
    for work in chosen.works:
        yield f"{work}: {named(work).title}"
        measured.alone[work] = measure.in_a_process(work, "alone", chosen.rounds)


def sweep(chosen: argparse.Namespace, measured: Measured) -> Iterator[str]:
    """Measure the sweeps of every contender."""
    for work in chosen.works:
        if settings := named(work).settings:
            yield f"{work}: {len(settings)} runs"
            measured.sweep[work] = measure.in_a_process(work, "sweep", max(1, chosen.rounds // 2))


def whole_sweep(chosen: argparse.Namespace, measured: Measured) -> Iterator[str]:
    """Measure sweeps as whole processes."""
    for work in whole.SWEEPS:
        if work in chosen.works:
            yield f"{work}: {len(named(work).settings)} runs, as whole processes"
            with tempfile.TemporaryDirectory() as folder:
                measured.whole[work] = whole.sweeps(work, Path(folder), max(1, chosen.rounds // 2))


def default_run(chosen: argparse.Namespace, measured: Measured) -> Iterator[str]:
    """Measure the default run."""
    yield "the default run"
    with tempfile.TemporaryDirectory() as folder:
        measured.default_run = whole.default_run(Path(folder), chosen.rounds)


def grow(chosen: argparse.Namespace, measured: Measured) -> Iterator[str]:
    """Measure how time and memory grow."""
    for name, grown in growth.GROWTHS.items():
        points: list[growth.Point] = []
        measured.growth[name] = points
        for size in grown.sizes[: chosen.sizes]:
            yield f"{name}: {size:,}"
            points.append(growth.in_a_process(name, size))


def begin(chosen: argparse.Namespace, measured: Measured) -> Iterator[str]:
    """Measure what compiled code costs before the first step."""
    for work in beginning.WORKS:
        if work in chosen.works:
            yield f"{work}: from how many steps on compiled code is ahead"
            measured.beginning[work] = beginning.lines(work, max(1, chosen.rounds // 2))


def spend(chosen: argparse.Namespace, measured: Measured) -> Iterator[str]:
    """Measure what the time of a step is spent on."""
    for place, (work, _) in spent.PLACES.items():
        if work in chosen.works:
            yield f"{place}: what the time of a step is spent on"
            measured.spent[place] = [spent.on(place, compiled=compiled) for compiled in (False, True)]


def compare(chosen: argparse.Namespace, measured: Measured) -> Iterator[str]:
    """Measure whole processes beside those of an earlier commit."""
    with tempfile.TemporaryDirectory() as earlier_folder, tempfile.TemporaryDirectory() as folder:
        if not earlier.unpacked(chosen.against, Path(earlier_folder)):
            yield f"left out: there is no commit {chosen.against} here"
            return
        measured.against = chosen.against
        for name, command in earlier.COMMANDS.items():
            yield f"{name}, against {chosen.against}"
            measured.earlier[name] = earlier.compared(
                command, Path(earlier_folder), Path(folder), max(1, chosen.rounds // 2)
            )


def known(name: str) -> str:
    """Return the name of a work.

    Raises ValueError or TypeError if there is none.
    """
    return named(name).name


PARTS: dict[str, Callable[[argparse.Namespace, Measured], Iterator[str]]] = {
    "alone": alone,
    "sweep": sweep,
    "whole": whole_sweep,
    "default_run": default_run,
    "earlier": compare,
    "beginning": begin,
    "spent": spend,
    "growth": grow,
}


def main(words: list[str]) -> None:
    """Measure what is asked for, and write the page after every part."""
    parser = argparse.ArgumentParser(prog="python -m tests.programs.benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="what to measure")
    parser.add_argument("--works", nargs="+", type=known, help="which works, as A or 1-2; all, and those of the seed")
    parser.add_argument("--seed", type=int, default=1, help=f"draws {DRAWN} works that no goal names")
    parser.add_argument("--rounds", type=int, default=7, help="how often each contender takes its turn")
    parser.add_argument("--sizes", type=int, default=99, help="how many sizes of what grows, from the smallest")
    parser.add_argument("--against", default="3f60379", help="the earlier commit whose whole processes are measured")
    parser.add_argument("--to", type=Path, default=ROOT / "outputs" / "benchmarks", help="the folder of the page")
    chosen = parser.parse_args(words)
    chosen.works = chosen.works or [*WORKS, *(f"{chosen.seed}-{number}" for number in range(1, DRAWN + 1))]
    measured = Measured(shlex.join(["python", "-m", "tests.programs.benchmarks", *words]))
    begun = time.monotonic()
    for part in chosen.only:
        for what in PARTS[part](chosen, measured):
            print(f"{time.monotonic() - begun:5.0f} s  {what}", flush=True)  # noqa: T201
        measured.write(chosen.to)
    print(f"{time.monotonic() - begun:5.0f} s  written: {chosen.to / 'benchmarks.md'}")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
