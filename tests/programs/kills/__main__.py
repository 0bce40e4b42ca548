"""Runs and sweeps killed at moments of their whole life, and gone on with as a user would.

Each must come out with the same bits as one that nothing disturbed, be in MLflow exactly once, finished and complete,
and leave no process and no temporary file.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.programs.kills.runs import Killed, killed_run
from tests.programs.kills.sweeps import killed_sweep, killed_table


def in_a_folder(killed: Callable[[int, Path], Killed], seed: int) -> tuple[int, Killed]:
    """Return a seed and what became of its run or sweep."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            return seed, killed(seed, Path(scratch))
        except RuntimeError as error:
            return seed, Killed([], complaints=[str(error)])


def shown(what: str, results: Iterable[tuple[int, Killed]]) -> bool:
    """Print what became of runs or sweeps, and return whether all is as it should be."""
    kills, count, bad = Counter[tuple[str, str]](), 0, 0
    for seed, one in results:
        kills, count, bad = kills + one.kills, count + 1, bad + bool(one.complaints)
        if one.table:
            print(f"table {seed}: {one.table}", flush=True)  # noqa: T201
        if one.complaints:
            print(f"BAD {seed}", *one.words, dict(one.kills), *one.complaints, sep="\n    ", flush=True)  # noqa: T201
    print(f"{count} {what}, {kills.total()} kills, {bad} not as they should be", flush=True)  # noqa: T201
    for place in (0, 1):
        groups: Counter[str] = Counter()
        for key, times in kills.items():
            groups[key[place]] += times
        print("   ", ", ".join(f"{name}: {times}" for name, times in groups.most_common()), flush=True)  # noqa: T201
    return not bad


def main(words: Sequence[str] | None = None) -> None:
    """Kill runs and sweeps, print what became of them, and fail if one is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.programs.kills", description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--sweeps", type=int, default=100)
    parser.add_argument("--tables", type=int, default=1)
    parser.add_argument("--side", type=int, default=64, help="a table has so many runs squared")
    parser.add_argument("--kills", type=int, default=20, help="of each table")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args(words)
    sound = True
    with ThreadPoolExecutor(chosen.processes) as pool:
        for what, count, killed in (
            ("runs", chosen.runs, killed_run),
            ("sweeps", chosen.sweeps, killed_sweep),
            ("tables", chosen.tables, partial(killed_table, chosen.side, chosen.kills)),
        ):
            if count:
                seeds = range(chosen.seed, chosen.seed + count)
                sound &= shown(what, pool.map(partial(in_a_folder, killed), seeds))
    if not sound:
        sys.exit(1)


if __name__ == "__main__":
    main()
