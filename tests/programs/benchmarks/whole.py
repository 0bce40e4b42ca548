"""Whole processes, from the shell prompt to the last byte written."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from tests.programs.benchmarks.measure import told_by

SWEEPS = {
    "A": ["optimizer.learning_rate=logspace(0.03,3,8)", "initializer.scale=logspace(0.01,1,8)"],
    "B": [
        "experiment=digits",
        "sweep.over=null",
        "trainer.epochs=20",
        "optimizer.learning_rate=logspace(1e-4,1e-2,8)",
        "initializer.scale=logspace(0.03,0.3,8)",
    ],
    "C": [
        "experiment=sine",
        "sweep.over=null",
        "trainer.epochs=10",
        "trainer.snapshots=[]",
        "optimizer.learning_rate=logspace(1e-3,1e-1,16)",
        "initializer.scale=logspace(0.05,0.5,16)",
    ],
}
"""The sweeps of the works of these names, as a user would type them."""
PARTS = {
    "training": ("nnexp.runs.train", "train"),
    "drawing": ("nnexp.runs.write", "save_figures"),
    "waiting for MLflow": ("nnexp.runs.train", "record_run"),
}
"""The parts of the default run, by the functions that do them."""
BARE, TRACKED, JAX = "nnexp, with report", "nnexp, with report and MLflow", "JAX, training alone"


def seconds(arguments: Sequence[str]) -> float:
    """Return how long a Python process takes."""
    begin = time.perf_counter()
    result = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(result.stderr)
    return time.perf_counter() - begin


def sweeps(name: str, folder: Path, rounds: int) -> dict[str, list[float]]:
    """Return the times of a whole sweep, ours and JAX's alternating, on a database that is there."""
    ours = ["-m", "nnexp", "-m", *SWEEPS[name], "sweep.reuse=false"]
    calls = {
        BARE: [*ours, "tracking=none", f"output_dir={folder / 'bare'}"],
        TRACKED: [*ours, f"output_dir={folder / 'tracked'}"],
    }
    if find_spec("jax") is not None:
        calls[JAX] = ["-m", "tests.programs.benchmarks.compiled", name]
    seconds(["-m", "nnexp", "trainer.epochs=1", f"output_dir={folder / 'tracked'}"])  # makes the database
    times: dict[str, list[float]] = {contender: [] for contender in calls}
    for _ in range(rounds):
        for contender, arguments in calls.items():
            times[contender].append(seconds(arguments))
    return times


def default_run(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Return the times of the default run on a database that is there, and of its parts."""
    seconds(["-m", "nnexp", "trainer.epochs=1", f"output_dir={folder}"])
    times: dict[str, list[float]] = {"whole": [], **{part: [] for part in PARTS}}
    for _ in range(rounds):
        times["whole"].append(seconds(["-m", "nnexp", f"output_dir={folder}"]))
        for part, value in told_by("whole", [f"output_dir={folder}"], {}).items():
            times[part].append(value)
    return times


def parts() -> None:
    """Do the default run in this process, and print how long its parts took."""
    from nnexp.__main__ import main

    taken: dict[str, float] = {}

    def timed(part: str, function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            begin = time.perf_counter()
            result = function(*arguments, **options)
            taken[part] = time.perf_counter() - begin
            return result

        return call

    for part, (module, name) in PARTS.items():
        here = import_module(module)
        setattr(here, name, timed(part, getattr(here, name)))
    main()
    print(json.dumps(taken))  # noqa: T201


if __name__ == "__main__":
    parts()
