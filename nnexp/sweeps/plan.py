"""The plan of a sweep: its runs and stacks, the keys that it varies, and an estimate of its time and memory."""

import time
from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import pairwise
from math import ceil
from pathlib import Path

from nnexp.analysis.results import SweptKey
from nnexp.analysis.run_table import MOST_RUNS
from nnexp.core.threads import one_thread
from nnexp.report import terminal
from nnexp.runs.limits import amount
from nnexp.runs.prepare import Ready
from nnexp.sweeps.batch import Batch, data_of
from nnexp.sweeps.search import BYTES_OF_A_ROW, BYTES_ON_DISK
from nnexp.sweeps.stacks import Places, stack_key
from nnexp.sweeps.table import KEPT, metrics_of
from nnexp.sweeps.train import beginning
from nnexp.sweeps.workers import MEGABYTE, Workers

TRIAL_SECONDS = 0.2
"""How long a stack of each shape is trained to measure its speed; the result is thrown away."""
ENOUGH_ROUNDS, LONGEST_TRIAL = 30, 1.0
"""With fewer rounds a trial may take longer, up to so many seconds, so that one slow round counts little."""
PROCESS_MEGABYTES = 110
"""The memory of a worker before it trains (measured: Python with NumPy and the training loop, on Linux)."""
SECONDS_OF_A_ROW, SECONDS_OF_A_FOLDER, SECONDS_OF_MLFLOW = 0.0001, 0.005, 0.03
"""What a run takes to be composed and written, as a row or with a folder, and to be recorded (measured on Linux)."""
SECONDS_BESIDE, MEGABYTES_BESIDE, BYTES_BESIDE = 3, 200, 500_000
"""What the start and the report of a sweep take, whatever is trained: time, memory and room on the disk."""
BYTES_OF_A_FOLDER, BYTES_OF_A_NUMBER, BYTES_OF_A_RUN = 28_000, 20, 20_000
"""What a run takes on the disk, and each number of its history there; and with a folder in memory until the report."""
LISTED_VALUES = 8
"""How many values of a key are listed."""


def show_plan(
    runs: Batch, new: Sequence[int], total: int, workers: Workers, *, fresh: int = 0, in_table: bool = False
) -> None:
    """Print the plan of a sweep: which of the jobs known by now are trained, on which workers, and how long it takes.

    `new` are the places of those to train, and `total` counts all jobs, also those that depend on the results of
    others; `fresh` is the largest number of runs with fresh seeds that come after them. With `in_table`, runs are rows.
    """
    with workers.start() as pool:
        count = pool.count
    jobs, stacks = runs.jobs, runs.stacks(new, workers.stack_bytes, count)
    later = f", {total - len(jobs)} more depend on their results" if total > len(jobs) else ""
    reused = len(jobs) - len(new)
    lines = [
        f"Runs      {len(jobs)}: {reused} trained before and reused, {len(new)} to train{later}",
        *[f"{'Varied' if index == 0 else '':9} {_values(swept)}" for index, swept in enumerate(runs.swept_keys)],
    ]
    if new:
        seconds = _seconds(runs, stacks)
        sizes = Counter(len(stack) for stack in stacks)
        described = ", ".join(f"{number} of {size}" for size, number in sorted(sizes.items(), reverse=True))
        lines += [
            f"Stacks    {len(stacks)}: {described} {'run' if set(sizes) == {1} else 'runs'}, on {count} workers",
            (
                f"Time      about {_duration(seconds / min(count, len(stacks)))} of training, "
                f"{SECONDS_BESIDE} seconds of start and report"
            ),
            (
                f"Memory    about {_megabytes_here(len(new), in_table=in_table):.0f} MB, "
                f"{_megabytes(runs, stacks):.0f} MB in each worker"
            ),
            *_records(runs, len(new), in_table=in_table),
        ]
    if fresh:
        lines.append(
            f"Then      up to {fresh} runs with fresh seeds test what these chose: sweep.confirm=0 leaves them out"
        )
    terminal.show_lines([*lines, "", "Nothing was trained: sweep.plan=true."])


def _records(runs: Batch, count: int, *, in_table: bool) -> list[str]:
    """Return how runs are recorded, and about how much time and room that takes beside their training."""
    tracked = bool(runs.firsts[0].experiment.tracking.address(Path()))
    if in_table:
        seconds, how = SECONDS_OF_A_ROW, "one table, runs.parquet, and folders for the ten best"
        size = count * BYTES_ON_DISK + KEPT * _bytes_of_a_folder(runs.firsts[0])
    else:
        seconds, how = SECONDS_OF_A_FOLDER + SECONDS_OF_MLFLOW * tracked, "a folder for each run"
        how += ", and a run of MLflow" if tracked else ""
        size = count * _bytes_of_a_folder(runs.firsts[0])
    return [f"Records   {how}: about {_duration(count * seconds)}, {amount(size + BYTES_BESIDE)} on the disk"]


def _bytes_of_a_folder(run: Ready) -> int:
    numbers = len(run.experiment.trainer.evaluations()) * (1 + len(metrics_of(run)))
    return BYTES_OF_A_FOLDER + BYTES_OF_A_NUMBER * numbers


def _megabytes_here(count: int, *, in_table: bool) -> float:
    """Return about how much memory the process of the sweep takes; of a table, its report looks at some runs alone."""
    looked_at, rows = (min(count, MOST_RUNS), count) if in_table else (count, 0)
    return MEGABYTES_BESIDE + (rows * BYTES_OF_A_ROW + looked_at * BYTES_OF_A_RUN) / MEGABYTE


def _values(swept: SweptKey) -> str:
    values = swept.values
    listed = values if len(values) <= LISTED_VALUES else [*values[: LISTED_VALUES - 1], "...", values[-1]]
    return f"{swept.key}: {', '.join(listed)}" + (f" ({len(values)} values)" if len(values) > 2 else "")


def _seconds(runs: Batch, stacks: Sequence[Places]) -> float:
    """Return about how many seconds all stacks take together; those of one shape and size take the same time."""
    alike: dict[tuple[Hashable, int], list[Places]] = {}
    for stack in stacks:
        alike.setdefault((stack_key(runs.first(stack[0])), len(stack)), []).append(stack)
    return sum(_trial(runs, same[0], len(same)) for same in alike.values())


def _trial(runs: Batch, stack: Places, count: int) -> float:
    """Return how long some stacks like this one take, estimated from its first rounds.

    The very first is slower, and so are those in which tapes are recorded and code is compiled: the slowest ones. They
    come once, and count once.
    """
    begin = time.monotonic()
    with one_thread():
        training = beginning(runs, stack)()
        first, *times = training.times
        training.advance(first)
        ends = [time.monotonic()]
        for moment in times:
            training.advance(moment)
            ends.append(time.monotonic())
            if ends[-1] - ends[0] > (TRIAL_SECONDS if len(ends) > ENOUGH_ROUNDS else LONGEST_TRIAL):
                break
    rounds = sorted(end - begin for begin, end in pairwise(ends)) or [0.0]
    kept = rounds[: -ceil(len(rounds) / 10)] or rounds
    usual = sum(kept) / len(kept)
    return ends[-1] - begin + usual * (count * len(training.times) - len(ends))


def _megabytes(runs: Batch, stacks: Sequence[Places]) -> float:
    """Return about how much memory a worker takes for the largest stack, its data and its history."""

    def of_stack(stack: Places) -> float:
        run = runs.first(stack[0])
        parts = [part for part in (run.data.train, run.data.test, run.data.validation) if part is not None]
        data = sum(part.x.nbytes + part.targets.nbytes for part in parts)
        history = 8 * len(run.experiment.trainer.evaluations()) * 2 * len(parts)
        several = len({id(one) for one in data_of(runs, stack)})
        own = run.data_bytes if several > 1 else 0
        return (1 + several) * data + len(stack) * (run.step_bytes + history + own)

    return PROCESS_MEGABYTES + max(map(of_stack, stacks)) / MEGABYTE


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.2g} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 100 * 60 else f"{seconds / 3600:.1f} hours"
