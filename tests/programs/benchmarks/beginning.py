"""What compiled code costs before the first step, and from how many steps on it is ahead.

A training takes so long to begin and so long for a step: a line through trainings of two lengths. Each way is measured
in processes of its own, which print its line as JSON.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from tempfile import TemporaryDirectory

from tests.programs.benchmarks.measure import ONE_CORE, told_by
from tests.programs.benchmarks.ours import alone
from tests.programs.benchmarks.work import Work, named

NONE = "none"
WAYS = {NONE: "0", "compiled": "1", "found": "1"}
"""What `NNEXP_COMPILED` says; the last two one after the other, so that the second finds what the first compiled."""
WORKS = ("A", "B", "C")
LONGER, TRIES = 4, 3


@dataclass(frozen=True)
class Line:
    """How long a training takes: what comes before the first step, in the first training of a process, and a step."""

    begin: float
    step: float


def lines(work: str, rounds: int) -> dict[str, Line]:
    """Return the line of every way."""
    found: dict[str, list[Line]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        with TemporaryDirectory() as folder:
            for way, switch in WAYS.items():
                settings = {**ONE_CORE, "NNEXP_COMPILED": switch, "XDG_CACHE_HOME": folder}
                found[way].append(Line(*told_by("beginning", (work,), settings)))
    return {
        way: Line(median(line.begin for line in each), median(line.step for line in each))
        for way, each in found.items()
    }


def ahead_from(slow: Line, fast: Line) -> float:
    """Return from how many steps on the second way is ahead; infinity if it never is."""
    if fast.step >= slow.step:
        return float("inf")
    return max(0.0, (fast.begin - slow.begin) / (slow.step - fast.step))


def line(work: Work) -> Line:
    """Return the line of this process."""
    first = seconds(work)
    short, long = (min(seconds(one) for _ in range(TRIES)) for one in (work, work.lasting(LONGER * work.epochs)))
    step = (long - short) / ((LONGER - 1) * work.steps)
    return Line(first - work.steps * step, step)


def seconds(work: Work) -> float:
    """Return how long a training takes."""
    train = alone(work, work.setting)
    begin = time.perf_counter()
    train()
    return time.perf_counter() - begin


def main(words: Sequence[str]) -> None:
    """Measure and print."""
    found = line(named(words[0]))
    print(json.dumps([found.begin, found.step]))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
