"""Faults at every point at which a command changes a file, and what a user does then.

A command is disturbed before one of its changes: it dies, the system refuses the change once or from then on, or the
user presses Ctrl-C. Then it is gone on with as a user would, and what is left to deliver is delivered. Nothing may be
lost, there twice, or left behind, and nobody sees a traceback.

What cannot be written where it belongs is in the temporary directory, as a line says, and the status is not 0. Two
things may stay, both hidden: what had no name yet when its command died, or could remove nothing, for nobody knows
whether it is still being written; and the halves of files that MLflow was copying, which it never removes. What the
system does not let be removed stays, too.
"""

import argparse
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

from tests.programs.points.below import calls, can_trace, killed_within
from tests.programs.points.contents import without_times
from tests.programs.points.process import FAULTS, Place, warm_up
from tests.programs.points.scenarios import RUN, SCENARIOS, Stage

SHOWN = 3
"""So many bad points of a fault are shown, if not all of them are asked for."""
BELOW_EVERY = 10
BELOW = "below"


@dataclass(frozen=True)
class Verdict:
    """What came of a fault at a point: what was about to happen there, and what is not as it should be."""

    point: int
    event: str
    complaints: Sequence[str]


@dataclass(frozen=True)
class Choice:
    """Which points are tried: one of so many of those whose path has a text in it, by so many processes."""

    every: int
    at: str
    jobs: int


def tried(fault: str, choice: Choice, part: tuple[int, Stage]) -> list[Verdict]:
    """Try a part of the points of a fault, of as many parts as there are jobs; one that was not reached is left out."""
    number, stage = part
    if fault == BELOW:
        below = calls(stage)[:: choice.every][number :: choice.jobs]
        found = [Verdict(point, *killed_within(stage, name, point)) for name, point in below]
    else:
        numbers = stage.points(FAULTS[fault], choice.every, choice.at)[number :: choice.jobs]
        found = [Verdict(point, *stage.disturbed(FAULTS[fault], point)) for point in numbers]
    return [one for one in found if one.event]


def shown(title: str, verdicts: Sequence[Verdict], seconds: float, most: int) -> bool:
    """Print what came of a fault, and return whether all is well."""
    bad = sorted((one for one in verdicts if one.complaints), key=lambda one: one.point)
    print(f"{title}: {len(verdicts)} points, {len(bad)} bad, {seconds:.0f} s", flush=True)  # noqa: T201
    for one in bad[:most]:
        print(f"  {one.point}, {without_times(one.event)}: {'; '.join(one.complaints)}", flush=True)  # noqa: T201
    kinds = Counter(kind for one in bad for kind in set(map(_kind, one.complaints)))
    for kind, times in kinds.most_common() if len(bad) > most else ():
        print(f"  {times} times {kind}", flush=True)  # noqa: T201
    return not bad


def _kind(complaint: str) -> str:
    """Return what a complaint has in common with others: all of it, but for the names of files."""
    return re.sub(r"^(missing|left): .*|: 'outputs/.*", r"\1", without_times(complaint))


def main(words: Sequence[str] | None = None) -> None:
    """Disturb commands, print what came of it, and fail if something is not as it should be."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.programs.points",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="all of them if not given")
    parser.add_argument("--fault", action="append", choices=FAULTS, help="all of them if not given")
    parser.add_argument("--every", type=int, help=f"one of so many points; 1, but {BELOW_EVERY} with --below")
    parser.add_argument("--at", default="", metavar="TEXT", help="only where the path of a file has this in it")
    parser.add_argument("--jobs", type=int, default=2, help="in so many processes at once")
    parser.add_argument("--show", type=int, default=SHOWN, help="so many bad points of each scenario and fault")
    parser.add_argument("--below", action="store_true", help="kill real runs within calls of the system, with strace")
    chosen = parser.parse_args(words)
    if chosen.below and not can_trace():
        print("skipped: --below needs strace, and the right to trace")  # noqa: T201
        return
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        del os.environ[name]
    faults = [BELOW] if chosen.below else chosen.fault or [*FAULTS]
    choice = Choice(chosen.every or (BELOW_EVERY if chosen.below else 1), chosen.at, chosen.jobs)
    sound = True
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        warm_up(RUN, Place.made(scratch / "warm"))
        for scenario in chosen.scenario or (["run"] if chosen.below else [*SCENARIOS]):
            with ProcessPoolExecutor(chosen.jobs, get_context("fork")) as pool:
                places = [scratch / scenario / str(number) for number in range(chosen.jobs)]
                stages = list(enumerate(pool.map(partial(Stage, scenario), places)))
                for fault in faults:
                    began = time.monotonic()
                    verdicts = [*chain(*pool.map(partial(tried, fault, choice), stages))]
                    sound &= shown(f"{scenario}, {fault}", verdicts, time.monotonic() - began, chosen.show)
    if not sound:
        sys.exit(1)


if __name__ == "__main__":
    main()
