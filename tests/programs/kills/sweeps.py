"""Sweeps of which the process, all processes or a worker are killed, and which are given again until they are done."""

import random
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from nnexp.core import processes
from nnexp.core.exits import ExitStatus
from tests.programs.kills.runs import Killed
from tests.programs.kills.trial import Trial
from tests.programs.points.contents import digest

CHOICES: dict[str, Sequence[str]] = {
    "dataset": ("digits_binary", "digits_binary", "circles", "moons dataset.points=100000"),
    "optimizer": ("sgd,adam", "momentum", "rmsprop"),
    "architecture.width": ("4,8", "8,16"),
    "architecture.dropout": ("null", "0.1"),
    "trainer.batch_size": ("full", "256"),
    "hydra.launcher.stack_megabytes": ("10.0", "0.000001"),
    "sweep.halving": ("null", "null", "0.5"),
}
"""The last data set has arrays that are large enough to be shared."""
SWEEP = ("-m", "seed=1,2", "architecture=uniform", "trainer.epochs=60", "trainer.evaluate_every=5", "verbose=false")
TWO = ("hydra.launcher.jobs=2",)
KILLS = 2
"""After so many kills a sweep is left alone."""
TABLE = ("-m", "experiment=studies/trainability", "sweep.record=table", "verbose=false", *TWO)
EARLY = 3
"""A table is killed after a random share of its time to this power, early, so that many kills hit its training."""


@dataclass(frozen=True)
class Way:
    """How a sweep is killed: the signal, who gets it of the process and its workers, and how it may end then."""

    signal: signal.Signals
    who: Callable[[psutil.Process, Sequence[psutil.Process]], Iterable[psutil.Process]]
    statuses: frozenset[int]


WAYS = {
    "alone": Way(signal.SIGKILL, lambda parent, _: [parent], frozenset({-signal.SIGKILL})),
    "all": Way(signal.SIGKILL, lambda parent, others: [parent, *others], frozenset({-signal.SIGKILL})),
    "a worker": Way(signal.SIGKILL, lambda _, others: others[:1], frozenset()),
    "alone, SIGHUP": Way(signal.SIGHUP, lambda parent, _: [parent], frozenset({ExitStatus.HUNG_UP, -signal.SIGHUP})),
    "all, Ctrl-C": Way(
        signal.SIGINT,
        lambda parent, others: [parent, *others],
        frozenset({ExitStatus.INTERRUPTED, -signal.SIGINT}),
    ),
}


def drawn(generator: random.Random) -> list[str]:
    """Return the command of a sweep."""
    chosen = " ".join(f"{key}={generator.choice(values)}" for key, values in CHOICES.items())
    return [*SWEEP, *chosen.split(), *TWO]


def killed_sweep(seed: int, scratch: Path) -> Killed:
    """Run a sweep once undisturbed, once with kills, and compare."""
    generator = random.Random(seed)  # noqa: S311 - to draw examples
    trial = Trial(scratch, drawn(generator))
    killed = Killed(trial.words)
    name = [*WAYS][seed % len(WAYS)]
    way = WAYS[name]
    while True:
        hit = False
        with trial.started(trial.words) as process:
            if killed.kills.total() < KILLS:
                time.sleep(generator.uniform(0, trial.seconds))
                trial.note_memory()
                hit = hit_by(way, process.pid, wait=not way.statuses)
                moment = moment_of(trial.work)
        killed.kills[moment, name] += hit
        trial.wait_for_deaths()
        ended = trial.ended(process)
        if ended.status == 0:
            break
        if not (hit and ended.status in way.statuses):
            trial.complaints.append(f"status {ended.status} after a kill of {name} while {moment}: {ended.errors}")
            break
    if "nnexp deliver" in ended.out:
        trial.deliver()
    trial.compare()
    killed.complaints = trial.complaints
    return killed


def killed_table(side: int, kills: int, seed: int, scratch: Path) -> Killed:
    """Train a square of runs undisturbed and, in a table that is killed so many times, again, and compare.

    A table that is done before its last kill is asked for again, and killed while it says so.
    """
    grid = (f"optimizer.learning_rate=logspace(16,56,{side})", f"initializer.scale=logspace(0.3,316,{side})")
    generator = random.Random(seed)  # noqa: S311 - to draw moments
    trial = Trial(scratch, [*TABLE, *grid])
    killed = Killed(trial.words)
    while killed.kills.total() < kills and not trial.complaints:
        with trial.started(trial.words) as process:
            began = time.time()
            time.sleep(trial.seconds * generator.random() ** EARLY)
            trial.note_memory()
            moment, hit = moment_in_table(trial.work, began), hit_by(WAYS["all"], process.pid, wait=False)
        killed.kills[moment, "all"] += hit
        trial.wait_for_deaths()
        if trial.ended(process).status not in {0, *WAYS["all"].statuses}:
            trial.complaints.append(f"status {process.returncode} after a kill while {moment}")
    last = trial.call(trial.words)
    if last.status != 0:
        trial.complaints.append(f"status {last.status}: {last.errors}")
    trial.compare()
    (killed.table,) = map(digest, trial.work.glob("outputs/sweeps/*/runs.parquet"))
    killed.complaints = trial.complaints
    return killed


def moment_in_table(work: Path, began: float) -> str:
    """Return what a sweep in a table is doing that began at a time, as its newest file says."""
    moments = {
        "report.md": "concluding",
        "figures/*": "drawing",
        "runs.parquet": "reporting",
        "runs/*/run.json": "training the best",
        "table/*.parquet": "training",
        "sweep.json": "beginning to train",
    }
    for name, moment in moments.items():
        if any(path.stat().st_mtime > began for path in work.glob(f"outputs/sweeps/*/{name}")):
            return moment
    return "starting"


def hit_by(way: Way, pid: int, *, wait: bool) -> bool:
    """Send the signal, perhaps when there are workers, and tell whether somebody was alive to get it."""
    while True:
        try:
            parent = psutil.Process(pid)
            if parent.status() == psutil.STATUS_ZOMBIE:
                return False
            others = (
                [one for one in parent.children(recursive=True) if is_worker(one)]
                if wait
                else parent.children(recursive=True)
            )
            getting = list(way.who(parent, others))
            for one in getting:
                one.send_signal(way.signal)
        except psutil.NoSuchProcess:
            continue
        if getting or not wait:
            return bool(getting)
        time.sleep(0.01)


def is_worker(process: psutil.Process) -> bool:
    """Tell whether a process trains stacks."""
    return any(processes.__name__ in word for word in process.cmdline())


def moment_of(work: Path) -> str:
    """Return what the sweep is doing, as its files say."""
    if list(work.glob("outputs/sweeps/*/report.md")):
        return "reporting"
    if list(work.glob("outputs/sweeps/*/runs/*/result.json")):
        return "writing"
    return "training" if list(work.glob("outputs/sweeps/*/sweep.json")) else "starting"
