"""The benchmark: `python -m tests.programs.benchmarks`. It takes half an hour, and says what it does on the way."""

import argparse
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.programs.benchmarks import growth, measure, whole
from tests.programs.benchmarks.page import Measured
from tests.programs.benchmarks.work import WORKS

ROOT = Path(__file__).parents[3]


def alone(chosen: argparse.Namespace, measured: Measured) -> Iterator[str]:
    """Measure one run of every contender."""
    for work in chosen.works:
        yield f"{work}: {WORKS[work].title}"
        measured.alone[work] = measure.in_a_process(work, "alone", chosen.rounds)


def sweep(chosen: argparse.Namespace, measured: Measured) -> Iterator[str]:
    """Measure the sweeps of every contender."""
    for work in chosen.works:
        if WORKS[work].settings:
            yield f"{work}: {len(WORKS[work].settings)} runs"
            measured.sweep[work] = measure.in_a_process(work, "sweep", max(1, chosen.rounds // 2))


def whole_sweep(chosen: argparse.Namespace, measured: Measured) -> Iterator[str]:
    """Measure sweeps as whole processes."""
    for work in whole.SWEEPS:
        if work in chosen.works:
            yield f"{work}: {len(WORKS[work].settings)} runs, as whole processes"
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


PARTS: dict[str, Callable[[argparse.Namespace, Measured], Iterator[str]]] = {
    "alone": alone,
    "sweep": sweep,
    "whole": whole_sweep,
    "default_run": default_run,
    "growth": grow,
}


def main(words: list[str]) -> None:
    """Measure what is asked for, and write the page again and again on the way."""
    parser = argparse.ArgumentParser(prog="python -m tests.programs.benchmarks", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure")
    parser.add_argument("--works", nargs="+", choices=sorted(WORKS), default=sorted(WORKS), help="which works")
    parser.add_argument("--rounds", type=int, default=7, help="how often each contender takes its turn")
    parser.add_argument("--sizes", type=int, default=99, help="how many sizes of what grows, from the smallest")
    parser.add_argument("--to", type=Path, default=ROOT / "outputs" / "benchmarks", help="the folder of the page")
    chosen = parser.parse_args(words)
    measured = Measured(shlex.join(["python", "-m", "tests.programs.benchmarks", *words]))
    for part in chosen.parts:
        for what in PARTS[part](chosen, measured):
            print(what, flush=True)  # noqa: T201
            measured.write(chosen.to)
    measured.write(chosen.to)
    print(f"Written: {chosen.to / 'benchmarks.md'}")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
