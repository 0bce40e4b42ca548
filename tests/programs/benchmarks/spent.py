"""What the time of a step is spent on, with and without compiled code, in processes of their own that print it as JSON.

Without compiled code every call of the tape is timed in its place among the others. Compiled code is not interrupted:
its rows of each kind are played on their own, again and again.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from unittest.mock import patch

import numpy as np

from nnexp.training.compiled.player import the_player
from nnexp.training.compiled.program import Program, Row, Times
from nnexp.training.loop import Training
from nnexp.training.tape import Repeated
from tests.programs.benchmarks.measure import THREADS, pin, told_by
from tests.programs.benchmarks.work import Work, named

PLACES = {"A alone": ("A", 1), "B alone": ("B", 1), "C alone": ("C", 1)}
PLACES |= {"A, 8 runs": ("A", 8), "B, 8 runs": ("B", 8), "C, 128 runs": ("C", 128)}
"""What is measured: the work, and the runs of a stack."""
PRODUCTS, HARD, OTHER = "products", "exp, root, division", "other"
KINDS = {"matmul": PRODUCTS} | dict.fromkeys(
    ("exp", "expm1", "log", "log1p", "tanh", "sqrt", "divide", "reciprocal", "power"), HARD
)
EVALUATION, REST, WHOLE, CALLS = "evaluation", "rest", "whole", "calls"
LONG_ENOUGH = 80
"""Epochs of which the first half is enough to record and to compile everything."""
TIMES = 300
"""How often a step is played."""


def on(place: str, *, compiled: bool) -> Mapping[str, float]:
    """Return the seconds a step and run that go into each kind of work, and the number of calls of a step."""
    work, runs = PLACES[place]
    found: Mapping[str, float] = told_by(
        "spent", (work, str(runs)), {**THREADS, "NNEXP_COMPILED": "1" if compiled else "0"}
    )
    return found


def measured(work: Work, runs: int) -> dict[str, float]:
    """Return the same, measured in this process."""
    made: list[Repeated] = []

    class Kept(Repeated):
        """Remembers what was made."""

        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)  # type: ignore[arg-type]
            made.append(self)

    settings = work.settings[:: len(work.settings) // runs] if runs > 1 else (work.setting,)
    work, data = work.lasting(max(work.epochs, LONG_ENOUGH)), work.data
    recipes = [work.experiment(setting).recipe(data) for setting in settings[:runs]]
    with patch("nnexp.training.stack.Repeated", Kept):
        training = Training(recipes, data, work.base.trainer, work.base.dtype)
        training.advance(work.epochs // 2)
        before, begin = training.steps, time.process_time()
        training.advance()
    whole = (time.process_time() - begin) / (training.steps - before) / runs
    step, *others = sorted(made, key=lambda one: "logits" not in one())
    found = of_rows(step, runs) if step.playable is not None else of_calls(step, runs)
    evaluations = len([epoch for epoch in work.evaluations if epoch > work.epochs // 2])
    found[EVALUATION] = sum(a_time(one) for one in others[-1:]) * evaluations / (training.steps - before) / runs
    found[REST] = whole - sum(found[kind] for kind in (PRODUCTS, HARD, OTHER, EVALUATION))
    return {**found, WHOLE: whole, CALLS: len(step.calls)}


def of_calls(step: Repeated, runs: int) -> dict[str, float]:
    """Return what the calls of a tape take in their places, without what it takes to look at the clock."""
    clock, calls = time.perf_counter_ns, [(function, arguments) for function, arguments in step.calls]
    taken = np.zeros((TIMES, len(calls)))
    for times in taken:
        for number, (function, arguments) in enumerate(calls):
            begin = clock()
            function(*arguments)
            times[number] = clock() - begin
    looking = np.median([-(clock() - clock()) for _ in range(TIMES)])
    found = dict.fromkeys((PRODUCTS, HARD, OTHER), 0.0)
    for (function, _), nanoseconds in zip(calls, np.median(taken, axis=0), strict=True):
        found[kind_of(function)] += (nanoseconds - looking) * 1e-9 / runs
    return found


def kind_of(function: Callable[..., object]) -> str:
    """Return the kind of work of a call; what a reduction takes is other work."""
    whole = function.func if isinstance(function, partial) else function
    return KINDS.get(whole.__name__, OTHER) if isinstance(whole, np.ufunc) else OTHER


def of_rows(step: Repeated, runs: int) -> dict[str, float]:
    """Return what the rows of compiled code take; loops that it generates are other work, whatever they contain."""
    playable, player = step.playable, the_player()
    assert playable is not None
    assert player is not None
    together = runs // playable.belongings.runs
    found = {}
    for kind in (PRODUCTS, HARD, OTHER):
        rows = [row for row in each(playable.rows) if KINDS.get(row.loop.name, OTHER) == kind]
        found[kind] = a_time(Program([Times(TIMES, rows)], player)) / TIMES / together if rows else 0.0
    return found


def each(rows: Iterable[Row | Times]) -> Iterable[Row]:
    """Yield all rows, also those that are played several times in turn."""
    for row in rows:
        yield from [row] if isinstance(row, Row) else each(row.rows)


def a_time(call: Callable[[], object]) -> float:
    """Return how long a call takes, the median of several."""
    seconds = []
    for _ in range(TIMES // 10):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds))


def main(words: Sequence[str]) -> None:
    """Measure and print."""
    pin()
    print(json.dumps(measured(named(words[0]), int(words[1]))))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
