"""Runs killed at random moments and resumed until they are done: `python -m tests.programs.kills --runs 200 --seed 0`.

Each must come out with the same bits as one that nothing disturbed, and leave no temporary file.
"""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import CommandLine

QUIET = ("tracking=none", "figures=false", "verbose=false")
CHOICES: dict[str, Sequence[str]] = {
    "optimizer": ("sgd", "momentum", "adam", "amsgrad", "nadam", "radam", "rmsprop", "adadelta", "lion", "adagrad"),
    "schedule": ("constant", "cosine", "plateau", "one_cycle", "exponential", "cosine_restarts"),
    "schedule.per": ("step", "epoch"),
    "architecture.dropout": ("null", "0.2"),
    "architecture.normalization": ("null", "batch", "layer"),
    "trainer.batch_size": ("full", "16", "50"),
    "trainer.sampling": ("shuffled", "replacement", "order"),
    "trainer.evaluate_every": ("1", "7"),
    "trainer.early_stopping": ("null", "{patience: 40}"),
    "trainer.snapshots": ("[]", "[3,20]"),
    "trainer.checkpoint_every": ("1", "13", "50"),
    "dtype": ("float64", "float32"),
    "seed": ("0", "1", "2"),
}
EPOCHS = {"full": 6000, "16": 300, "50": 700}
"""Enough for about two seconds of training."""
EARLY = 0.25
"""The share of the kills that may come before there is a new checkpoint, while a process starts."""
SECONDS, SHORTEST = 1.0, 0.03
"""Until when a process is killed, after its first checkpoint or its start; halved where a run is faster than that."""
KILLS = 6
"""After so many kills a run is left alone."""


@dataclass(frozen=True)
class Killed:
    """What became of one run."""

    overrides: tuple[str, ...]
    kills: int
    resumed: int
    complaint: str


def drawn(generator: random.Random) -> tuple[str, ...]:
    """Return overrides of a run."""
    chosen = {key: generator.choice(values) for key, values in CHOICES.items()}
    chosen["trainer.epochs"] = str(EPOCHS[chosen["trainer.batch_size"]])
    return tuple(f"{key}={value}" for key, value in chosen.items())


def run_folder(output_dir: Path) -> Path | None:
    """Return the folder of the only run that left one that can be gone on with, or has ended."""
    folders = [path for path in output_dir.glob("*/*") if path.is_dir() and any(path.glob("checkpoints/*.npz"))]
    return folders[-1] if folders else None


def killed_until_done(seed: int) -> Killed:
    """Train once undisturbed, once with kills, and compare."""
    generator = random.Random(seed)  # noqa: S311 - to draw examples
    overrides = drawn(generator)
    with tempfile.TemporaryDirectory() as scratch:
        command, whole, disturbed = CommandLine(Path(scratch)), Path(scratch, "whole"), Path(scratch, "disturbed")
        result = command(*overrides, *QUIET, f"output_dir={whole}")
        if result.returncode != 0:
            return Killed(overrides, 0, 0, result.stderr)
        kills, resumed, most = 0, 0, SECONDS
        while True:
            folder = run_folder(disturbed)
            resumed += folder is not None
            again = overrides if folder is None else (f"resume={folder}",)
            process = command.start(*again, *QUIET, f"output_dir={disturbed}")
            if kills < KILLS:
                if generator.random() > EARLY:
                    wait_for_checkpoint(disturbed, process)
                time.sleep(generator.uniform(0, most))
                if process.poll() is None:
                    process.send_signal(signal.SIGKILL)
                    kills += 1
            _, errors = process.communicate()
            if process.returncode == 0 and kills == 0 and most > SHORTEST:
                shutil.rmtree(disturbed)
                most /= 2
            elif process.returncode == 0:
                break
            elif process.returncode != -signal.SIGKILL:
                return Killed(overrides, kills, resumed, f"status {process.returncode}: {errors}")
        return Killed(overrides, kills, resumed, difference(whole, disturbed))


def wait_for_checkpoint(output_dir: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a process has written a checkpoint, or has ended."""
    begun = time.time()
    while process.poll() is None:
        if any(path.stat().st_mtime > begun for path in output_dir.glob("*/*/checkpoints/latest.npz")):
            return
        time.sleep(0.01)


def difference(whole: Path, disturbed: Path) -> str:
    """Return what is not as it should be, or nothing."""
    (expected,) = whole.glob("*/*/result.json")
    ended = list(disturbed.glob("*/*/result.json"))
    if len(ended) != 1:
        return f"{len(ended)} runs have ended"
    one, other = expected.parent, ended[0].parent
    for path in sorted(one.rglob("*")):
        name = path.relative_to(one)
        same = (other / name).is_file() and (path.is_dir() or path.read_bytes() == (other / name).read_bytes())
        if path.suffix in (".csv", ".npz") and name.parts[0] != "checkpoints" and not same:
            return f"{name} differs"
    left = [str(path) for path in other.parent.glob(f".{other.name}*")] + [str(path) for path in other.rglob(".*")]
    return f"left behind: {', '.join(left)}" if left else ""


def main(words: Sequence[str] | None = None) -> None:
    """Kill runs, print what became of them, and fail if one is not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.programs.kills", description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args(words)
    with ThreadPoolExecutor(chosen.processes) as pool:
        results = []
        for one in pool.map(killed_until_done, range(chosen.seed, chosen.seed + chosen.runs)):
            results.append(one)
            if one.complaint:
                print("BAD", " ".join(one.overrides), one.complaint, flush=True)  # noqa: T201
    bad = sum(1 for one in results if one.complaint)
    print(  # noqa: T201
        f"{len(results)} runs from seed {chosen.seed}, {sum(one.kills for one in results)} kills, "
        f"{sum(one.resumed for one in results)} times resumed from a checkpoint, {bad} not as they should be"
    )
    if bad:
        sys.exit(1)


if __name__ == "__main__":
    main()
