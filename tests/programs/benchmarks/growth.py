"""How time and memory grow, one size at a time, each in a process of its own that prints both as JSON."""

import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nnexp.nn.activations import ReLU
from nnexp.nn.architectures import MLP
from nnexp.training.loop import train
from tests.programs.benchmarks.measure import THREADS, told_by
from tests.programs.benchmarks.work import A, B, RandomImages, Setting, Work

KIBIBYTE, MEGABYTE = 1024, 1_000_000


@dataclass(frozen=True)
class Growth:
    """What grows.

    Attributes:
        axis: Its name and unit.
        what: What is trained.
        sizes: The sizes.
        work: Returns the training of a size; None where a whole sweep over seeds is run from the command line.
        words: What else is typed for that.
    """

    axis: str
    what: str
    sizes: tuple[int, ...]
    work: Callable[[int], Work] | None = None
    words: tuple[str, ...] = ()


def narrow(hidden: tuple[int, ...]) -> Work:
    """Return two epochs of work B with other hidden layers."""
    architecture = MLP(hidden=hidden, activation=ReLU())
    return replace(B, base=replace(B.base, architecture=architecture)).lasting(2)


def tall(rows: int) -> Work:
    """Return one epoch of a small network on many rows of 20 features."""
    trainer = replace(B.base.trainer, epochs=1, batch_size=min(256, rows))
    dataset = RandomImages(examples=rows, features=20)
    return replace(B, base=replace(B.base, dataset=dataset, trainer=trainer, dtype="float32"))


GROWTHS = {
    "runs": Growth(
        "runs",
        "a sweep over seeds, default network, 20 epochs, report included",
        (1, 16, 256, 4096),
        words=("trainer.epochs=20",),
    ),
    "rows": Growth(
        "runs in a table",
        "a sweep over seeds, a sine, 1-4-1, 2 epochs, `sweep.record=table`, report included",
        (1, 16, 256, 4096, 65_536),
        words=(
            "dataset=sine",
            "loss=mean_squared_error",
            "architecture.hidden=[4]",
            "trainer.epochs=2",
            "sweep.record=table",
        ),
    ),
    "width": Growth(
        "units in each hidden layer",
        "two hidden layers, ten digits, 32 at a time, 2 epochs",
        (16, 64, 256, 1024, 2048),
        lambda width: narrow((width, width)),
    ),
    "depth": Growth(
        "hidden layers",
        "layers of 64 units, ten digits, 32 at a time, 2 epochs",
        (1, 4, 16, 64, 256),
        lambda depth: narrow((64,) * depth),
    ),
    "examples": Growth(
        "examples",
        "20 features in float32, 20-64-32-10, 256 at a time, 1 epoch",
        (1_000, 10_000, 100_000, 1_000_000),
        tall,
    ),
    "epochs": Growth("epochs", "the default run", (10, 100, 1_000, 10_000), A.lasting),
}


@dataclass(frozen=True)
class Point:
    """What a size takes."""

    size: int
    seconds: float
    megabytes: float


def in_a_process(name: str, size: int) -> Point:
    """Measure one size in a process of its own."""
    return Point(size, *told_by("growth", (name, str(size)), THREADS))


def training(work: Work) -> tuple[float, float]:
    """Return the seconds of a training and the peak memory of this process in megabytes."""
    data, recipe = work.data, work.experiment(Setting(0.001)).recipe(work.data)
    begin = time.perf_counter()
    train([recipe], data, work.base.trainer, work.base.dtype)
    seconds = time.perf_counter() - begin
    return seconds, own_peak()


def own_peak() -> float:
    """Return the peak memory of this process in megabytes; on Linux `getrusage` counts that of its parent, too."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.findall(r"VmHWM:\s*(\d+) kB", status.read_text())[0]) * KIBIBYTE / MEGABYTE
    return peak(resource.RUSAGE_SELF)


def peak(whose: int) -> float:
    """Return the peak memory in megabytes of this process, or of the largest of those that it ran."""
    return largest(resource.getrusage(whose))


def largest(usage: resource.struct_rusage) -> float:
    """Return the peak memory in megabytes of the largest process."""
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else KIBIBYTE) / MEGABYTE


def whole_sweep(runs: int, words: Sequence[str]) -> tuple[float, float]:
    """Return the seconds of a sweep from prompt to prompt, and the peak memory of its largest process."""
    words = [f"seed=range({runs})", *words, "tracking=none"]
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        command = [sys.executable, "-m", "nnexp", "-m", *words, f"output_dir={folder}"]
        subprocess.run(command, capture_output=True, check=True)
        seconds = time.perf_counter() - begin
    return seconds, peak(resource.RUSAGE_CHILDREN)


if __name__ == "__main__":
    grown, number = GROWTHS[sys.argv[1]], int(sys.argv[2])
    measured = whole_sweep(number, grown.words) if grown.work is None else training(grown.work(number))
    print(json.dumps(measured))  # noqa: T201
