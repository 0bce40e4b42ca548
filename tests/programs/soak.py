"""Runs and sweeps in a row in one process: `python -m tests.programs.soak --rounds 2000 --minutes 60 --seed 0`.

What is recorded of them must be whole, and memory, open files and threads must not grow.
"""

import argparse
import ctypes
import gc
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import psutil
import yaml

import nnexp
from nnexp.runs.tracked import read_tracked
from nnexp.storage.run_folder import CONFIG, HISTORY, SUMMARY, TRACKED, RunSummary
from tests.conftest import status_of

DATASETS: dict[str, Sequence[str]] = {
    "digits_binary": (),
    "moons": ("loss=binary_cross_entropy",),
    "circles": ("loss=huber",),
    "heart": ("trainer.batch_size=64",),
    "iris": ("loss=sparse_categorical_cross_entropy",),
    "wine": ("loss=categorical_cross_entropy", "trainer.early_stopping={patience: 3}"),
    "spiral": ("loss=categorical_cross_entropy", "trainer.batch_size=32"),
    "sine": ("loss=mean_squared_error",),
    "diabetes": ("loss=mean_absolute_error", "dataset.standardize_targets=true"),
    "pairs": ("loss=contrastive", "architecture.outputs=2"),
}
ARCHITECTURES: Sequence[Sequence[str]] = (
    ("architecture=logistic",),
    ("architecture=mlp", "architecture.hidden=[8]", "architecture.dropout=0.1"),
    ("architecture=mlp", "architecture.normalization=layer"),
    ("architecture=uniform", "architecture.normalization=batch"),
    ("architecture=layers",),
)
OPTIMIZERS = ("sgd", "momentum", "adam", "nadam", "rmsprop", "lion", "adagrad")
DIVERGING = ("optimizer=sgd", "optimizer.learning_rate=1e30", "initializer.scale=1e200")
SWEPT = (
    ("optimizer.learning_rate=0.01,0.1",),
    ("architecture=logistic,mlp",),
    ("dataset=moons,circles", "dtype=float32"),
    ("optimizer=sgd,adam,lion",),
    ("optimizer.learning_rate=0.1,1e300", "loss=mean_squared_error"),
)
SWEEPS, DIVERGED, DRAWN, CHECKPOINTS = 0.1, 0.05, 0.05, 0.1
"""The shares of rounds that are sweeps, and of runs that diverge, draw figures, or write checkpoints."""
WARM_UP = 0.1
"""The share of the rounds, with one of every kind among them, after which nothing is to grow any more."""
SAMPLES, LINES = 200, 20
"""How often it is measured and printed."""
MEBIBYTE, MEBIBYTES = 2**20, 24
"""How much memory may grow after the warm-up; it wavers by as much, and MLflow keeps 8 KiB of each of 1024 runs."""
LOCKS = (".mlflow.db.lock", ".lock")
"""The files of the locks of a store and of a sweep, which stay."""


@dataclass(frozen=True)
class Sample:
    """What the process held at a moment."""

    rounds: int
    seconds: float
    memory: int
    files: int
    threads: int

    def __str__(self) -> str:
        return (
            f"{self.rounds} rounds, {self.seconds / 60:.1f} minutes: "
            f"{self.memory / MEBIBYTE:.1f} MiB, {self.files} open files, {self.threads} threads"
        )


@dataclass(frozen=True)
class Soaked:
    """What was done, what the process held on the way, and what is not as it should be."""

    runs: int
    sweeps: int
    samples: Sequence[Sample]
    complaints: Sequence[str]

    @property
    def warm(self) -> Sequence[Sample]:
        """Return the samples after the warm-up, the last one at least."""
        begin = max(len(DATASETS) + len(SWEPT), WARM_UP * self.samples[-1].rounds)
        return [sample for sample in self.samples if sample.rounds >= begin] or self.samples[-1:]

    @property
    def grown(self) -> float:
        """Return by how many bytes the median of the last quarter of the samples is above that of the first."""
        memory = [sample.memory for sample in self.warm]
        quarter = -(-len(memory) // 4)
        return median(memory[-quarter:]) - median(memory[:quarter])

    @property
    def growth(self) -> float:
        """Return the growth of the memory in bytes a round, by the line that fits best."""
        if len(self.warm) == 1:
            return 0.0
        rounds, memory = ([getattr(one, name) for one in self.warm] for name in ("rounds", "memory"))
        return float(np.polyfit(rounds, memory, 1)[0])

    def __str__(self) -> str:
        first, last = self.warm[0], self.warm[-1]
        return (
            f"{last.rounds} rounds in {last.seconds / 60:.1f} minutes: {self.runs} runs and {self.sweeps} sweeps; "
            f"memory {self.samples[0].memory / MEBIBYTE:.1f} MiB after the first, "
            f"{first.memory / MEBIBYTE:.1f} MiB after {first.rounds}, {last.memory / MEBIBYTE:.1f} MiB at the end: "
            f"{self.grown / MEBIBYTE:+.1f} MiB by the medians, {self.growth / 1024:+.2f} KiB a round"
        )


def drawn(generator: random.Random) -> tuple[str, ...]:
    """Return the words of a round, a sweep or a run."""
    if generator.random() < SWEEPS:
        return swept(generator.choice(SWEPT))
    words = run_of(generator.choice(list(DATASETS)), generator)
    if generator.random() < DIVERGED:
        words = [*words, *DIVERGING]
    if generator.random() < CHECKPOINTS:
        words = [*words, "trainer.checkpoint_every=2", "trainer.snapshots=[1]"]
    return (*words, f"figures={str(generator.random() < DRAWN).lower()}")


def run_of(dataset: str, generator: random.Random) -> list[str]:
    """Return overrides of a run."""
    words = [f"dataset={dataset}", *generator.choice(ARCHITECTURES), f"optimizer={generator.choice(OPTIMIZERS)}"]
    return [*words, *DATASETS[dataset], f"trainer.epochs={generator.randint(2, 30)}"]


def swept(words: Sequence[str]) -> tuple[str, ...]:
    """Return the words of a sweep, which trains within this process."""
    return ("-m", *words, "trainer.epochs=5", "hydra.launcher.jobs=1")


def one_of_each(generator: random.Random) -> list[tuple[str, ...]]:
    """Return a round of every kind, for all that is loaded once."""
    return [(*run_of(dataset, generator), "figures=true") for dataset in DATASETS] + [swept(words) for words in SWEPT]


def soaked(rounds: int, seconds: float, seed: int) -> Soaked:
    """Do so many rounds, or as many as there is time for, and look at what is left."""
    generator = random.Random(seed)  # noqa: S311 - to draw examples
    first = one_of_each(generator)
    samples, complaints, runs, sweeps, begun = list[Sample](), list[str](), 0, 0, time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        output_dir = Path(scratch, "outputs")
        for done in range(1, rounds + 1):
            words = first.pop() if first else drawn(generator)
            # No other round has this seed, so that nothing is reused.
            everything = (*words, f"seed={done}", "verbose=false", f"output_dir={output_dir}")
            with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
                if words[0] == "-m":
                    status = status_of(*everything)
                    complaints += [f"status {status}: {' '.join(words)}"] if status else []
                    sweeps += 1
                    runs += words[1].count(",") + 1
                else:
                    nnexp.run(everything)
                    runs += 1
            passed = time.monotonic() - begun
            last = done == rounds or passed > seconds
            if last or done % max(1, rounds // SAMPLES) == 0:
                samples.append(sample(done, passed))
            if last or done % max(1, rounds // LINES) == 0:
                print(samples[-1], flush=True)  # noqa: T201
            if last:
                break
        complaints += unsound(output_dir, runs, sweeps)
    found = Soaked(runs, sweeps, samples, complaints)
    return replace(found, complaints=[*complaints, *grown(found)])


def sample(rounds: int, seconds: float) -> Sample:
    """Measure what the process holds, without what waits to be collected, and what malloc keeps for later."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc alone
    if trim is not None:
        trim(0)
    process = psutil.Process()
    return Sample(rounds, seconds, process.memory_info().rss, process.num_fds(), process.num_threads())


def grown(found: Soaked) -> Iterator[str]:
    """Yield what has grown after the warm-up."""
    first, last = found.warm[0], found.warm[-1]
    for name in ("files", "threads"):
        before, after = getattr(first, name), getattr(last, name)
        if after > before:
            yield f"{before} {name} after {first.rounds} rounds, {after} at the end"
    if found.grown > MEBIBYTES * MEBIBYTE:
        yield f"memory grows: {found}"


def unsound(output_dir: Path, runs: int, sweeps: int) -> Iterator[str]:
    """Yield what is not as it should be in an output folder after so many runs, those of the sweeps among them."""
    for path in output_dir.rglob(".*"):
        if path.name not in LOCKS:
            yield f"left behind: {path.relative_to(output_dir)}"
    folders = [path.parent for path in output_dir.rglob(SUMMARY) if "mlartifacts" not in path.parts]
    if len(folders) != runs:
        yield f"{len(folders)} folders of {runs} runs"
    recorded: dict[str, Path] = {}
    for folder in folders:
        note = next(iter(read_tracked(folder).values()), None)
        if note is None or note.run_id is None or not note.complete:
            yield f"{folder.name}/{TRACKED} is {note}"
        elif note.run_id in recorded:
            yield f"{folder.name} and {recorded[note.run_id].name} are the same run"
        else:
            recorded[note.run_id] = folder
    with closing(sqlite3.connect(output_dir / "mlflow.db")) as database:
        (integrity,) = database.execute("PRAGMA integrity_check").fetchone()
        if integrity != "ok":
            yield f"the database: {integrity}"
        yield from not_recorded(database, recorded, sweeps)


def not_recorded(database: sqlite3.Connection, folders: dict[str, Path], sweeps: int) -> Iterator[str]:
    """Yield what is wrong with the runs in a database of MLflow, which should be those of folders, and of sweeps."""
    found = {name: rest for name, *rest in database.execute("SELECT run_uuid, status, artifact_uri FROM runs")}
    if len(found) != len(folders) + sweeps:
        yield f"{len(found)} runs are recorded, not {len(folders)} and {sweeps} sweeps"
    for name, (status, _) in found.items():
        if status != "FINISHED":
            yield f"{name} has status {status}"
    for name, folder in folders.items():
        if name in found:
            artifacts = Path(found[name][1].removeprefix("file://"))
            yield from otherwise_recorded(database, name, artifacts, folder)
        else:
            yield f"{folder.name} is not recorded"


def otherwise_recorded(database: sqlite3.Connection, name: str, artifacts: Path, folder: Path) -> Iterator[str]:
    """Yield what a run's folder has otherwise than its metrics, params and artifacts in a database of MLflow."""

    def values(table: str) -> dict[str, object]:
        query = f"SELECT key, value FROM {table} WHERE run_uuid = ?"  # noqa: S608 - our own words
        return dict(database.execute(query, [name]))

    summary, metrics, params = RunSummary.read(folder), values("latest_metrics"), values("params")
    if summary is None or {key: metrics.get(key) for key in summary.end} != summary.end:
        yield f"{folder.name} has other metrics than are recorded"
    config = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    if (params.get("seed"), params.get("trainer.epochs")) != (str(config["seed"]), str(config["trainer"]["epochs"])):
        yield f"{folder.name} has other params than are recorded"
    files = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.name != TRACKED}
    for path in (path for path in {*files, Path(HISTORY)} if not same(folder / path, artifacts / path)):
        yield f"{folder.name}/{path} is not recorded"


def same(one: Path, other: Path) -> bool:
    """Tell whether two files are the same."""
    return one.is_file() and other.is_file() and one.read_bytes() == other.read_bytes()


def main(words: Sequence[str] | None = None) -> None:
    """Soak, print what was found, and fail if something is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.programs.soak", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(words)
    found = soaked(chosen.rounds, 60 * chosen.minutes, chosen.seed)
    for complaint in found.complaints:
        print("BAD", complaint)  # noqa: T201
    print(found)  # noqa: T201
    if found.complaints:
        sys.exit(1)


if __name__ == "__main__":
    main()
