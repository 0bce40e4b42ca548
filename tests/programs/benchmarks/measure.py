"""One work and all its contenders, alternating, in a process of its own that prints what it measured as JSON."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from tempfile import TemporaryDirectory
from typing import Any, Literal

from tests.programs.benchmarks.work import Work, named

Mode = Literal["alone", "sweep"]
OURS = "ours"
PEERS = {"plain": "plain loop", "scikit": "scikit-learn", "eager": "PyTorch", "compiled": "JAX", "floor": "floor"}
"""The modules of the other contenders, and what they are called."""
POOLED, ONE_WORKER, BATCHED, COMPILED = "pooled", "one_worker", "batched", "batched_compiled"
"""The plain loop in a pool of processes, our own stacks in a single one, and all runs as one network of PyTorch."""
WARM = "warm"
"""Our first call in a new process that finds the compiled code of an earlier one."""
THREADS = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
ONE_CORE = {**THREADS, "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
LONGEST, FEWEST = 60.0, 3
"""Seconds after which a work gets no more rounds than so many."""


@dataclass(frozen=True)
class Timing:
    """How long a contender took: the first call, which warms up and compiles, and the later ones, each per run."""

    first: float
    later: list[float]
    value: float


def cores() -> int:
    """Return how many cores a process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pin() -> None:
    """Stay on one core, where that can be said."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def alone(work: Work, peers: Collection[str]) -> dict[str, tuple[Callable[[], float], int]]:
    """Return our call and that of every peer that is installed, and how many runs it trains."""
    calls = {}
    for name in (OURS, *peers):
        with left_out():
            calls[name] = import_module(f"tests.programs.benchmarks.{name}").alone(work, work.setting), 1
    return calls


def sweep(work: Work, peers: Collection[str], resources: ExitStack) -> dict[str, tuple[Callable[[], float], int]]:
    """Return the same for a sweep: our stacks, JAX's vmap, scikit-learn in a pool of processes, loops one by one."""
    from nnexp.sweeps.workers import LocalPool
    from tests.programs.benchmarks import ours

    calls: dict[str, tuple[Callable[[], float], int]] = {}
    for name, count in ((OURS, cores()), (ONE_WORKER, 1)) if peers else ((OURS, cores()),):
        calls[name] = ours.sweep(work, resources.enter_context(LocalPool(count))), len(work.settings)
    if not peers:
        return calls
    for name in ("plain", "eager"):
        with left_out():
            train = [
                import_module(f"tests.programs.benchmarks.{name}").alone(work, one)
                for one in work.settings[: work.sample]
            ]
            calls[name] = partial(one_by_one, train), work.sample
    calls[POOLED] = partial(pooled, "plain", work), work.sample
    calls["scikit"] = partial(pooled, "scikit", work), work.sample
    with left_out():
        calls["compiled"] = import_module("tests.programs.benchmarks.compiled").sweep(work), len(work.settings)
    with left_out():
        from tests.programs.benchmarks import batched

        calls[BATCHED] = batched.sweep(work, cores()), len(work.settings)
        calls[COMPILED] = batched.sweep(work, cores(), batched.compiler()), len(work.settings)
    return calls


@contextmanager
def left_out() -> Iterator[None]:
    """Go on without a contender that is not installed."""
    try:
        yield
    except ImportError as error:
        print(f"left out: {error}", file=sys.stderr)  # noqa: T201


def one_by_one(trainings: Sequence[Callable[[], float]]) -> float:
    """Train runs one after the other, and return the largest loss."""
    return max(train() for train in trainings)


def pooled(name: str, work: Work) -> float:
    """Train some runs of a sweep in a pool of processes, and return what came of the first."""
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=cores(), backend="loky", batch_size=1, mmap_mode="c")
    values: list[float] = parallel(delayed(trained)(name, work.name, place) for place in range(work.sample))
    return values[0]


def trained(name: str, work: str, place: int) -> float:
    """Train one run of a sweep in a worker."""
    chosen = named(work)
    value: float = import_module(f"tests.programs.benchmarks.{name}").alone(chosen, chosen.settings[place])()
    return value


def alternating(calls: Mapping[str, tuple[Callable[[], float], int]], rounds: int) -> dict[str, Timing]:
    """Time all calls in turn, so that whatever else the machine does hits all of them."""
    timings: dict[str, Timing] = {}
    begun = time.monotonic()
    for number in range(rounds + 1):
        if number > FEWEST and time.monotonic() - begun > LONGEST:
            break
        for name, (call, runs) in calls.items():
            begin = time.perf_counter()
            value = call()
            seconds = (time.perf_counter() - begin) / runs
            if name in timings:
                timings[name].later.append(seconds)
            else:
                timings[name] = Timing(seconds * runs, [], value)
    return timings


def in_a_process(work: str, mode: Mode, rounds: int) -> dict[str, Timing]:
    """Measure one work in a process of its own, with one thread for each process that computes.

    It finds no code that others compiled earlier; another process finds ours.
    """
    with TemporaryDirectory() as folder:
        caches = {"XDG_CACHE_HOME": folder, "TORCHINDUCTOR_CACHE_DIR": folder}
        settings = {**(ONE_CORE if mode == "alone" else THREADS), **caches}
        timings: dict[str, dict[str, Any]] = told_by("measure", (work, mode, str(rounds)), settings)
        timings[WARM] = told_by("measure", (work, mode, "0"), settings)[OURS]
    return {name: Timing(**timing) for name, timing in timings.items()}


def told_by(module: str, words: Sequence[str], settings: Mapping[str, str]) -> Any:  # noqa: ANN401 - what JSON holds
    """Run a module of the benchmark in a process of its own, and return what its last line of JSON says."""
    command = [sys.executable, "-m", f"tests.programs.benchmarks.{module}", *words]
    result = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(result.stderr)
    return json.loads(result.stdout.splitlines()[-1])


def main(work: str, mode: Mode, rounds: int) -> None:
    """Measure and print; in no rounds our first call alone."""
    if mode == "alone":
        pin()
    with ExitStack() as resources:
        peers = PEERS if rounds else ()
        calls = alone(named(work), peers) if mode == "alone" else sweep(named(work), peers, resources)
        print(json.dumps({name: asdict(timing) for name, timing in alternating(calls, rounds).items()}))  # noqa: T201


def ratios(timings: Mapping[str, Timing], name: str) -> Sequence[float]:
    """Return our time over that of another, round by round."""
    return [ours / other for ours, other in zip(timings[OURS].later, timings[name].later, strict=True)]


if __name__ == "__main__":
    chosen_mode: Mode = "sweep" if sys.argv[2] == "sweep" else "alone"
    main(sys.argv[1], chosen_mode, int(sys.argv[3]))
