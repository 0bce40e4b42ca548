"""Runs killed at moments of their whole life, and resumed until they are done."""

import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nnexp.core.exits import ExitStatus
from nnexp.runs.record import RECORD
from nnexp.storage.run_folder import PARAMETERS, SUMMARY
from tests.programs.kills.trial import Trial
from tests.programs.points.scenarios import folders

SHOWN = ("verbose=false",)
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
    "trainer.checkpoint_every": ("3", "13", "50", "null"),
    "dtype": ("float64", "float32"),
    "seed": ("0", "1", "2"),
}
FIGURES = ("figures=null", "figures=false", "figures=false")
EPOCHS = {"full": 3000, "16": 150, "50": 350}
"""Enough for about a second of training."""
SIGNALS = {
    signal.SIGKILL: {-signal.SIGKILL},
    signal.SIGINT: {ExitStatus.INTERRUPTED, -signal.SIGINT},
    signal.SIGTERM: {ExitStatus.TERMINATED, -signal.SIGTERM},
    signal.SIGHUP: {ExitStatus.HUNG_UP, -signal.SIGHUP},
}
"""The signals, and how a process may end after each: as the system says where Python is starting or has ended."""
WEIGHTS = (7, 1, 1, 1)
KILLS = 5
"""After so many kills a run is left alone."""
ENDED = "must be a run that has not ended"
"""What `resume` says of a run that has."""


@dataclass
class Killed:
    """What became of a run or a sweep.

    Attributes:
        words: The command.
        kills: How often it was killed: at which moment of its life, and how.
        complaints: What was not as it should be.
        table: The digest of the table that it left, if it has one.
    """

    words: Sequence[str]
    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    complaints: Sequence[str] = ()
    table: str = ""


def drawn(generator: random.Random) -> list[str]:
    """Return overrides of a run."""
    chosen = {key: generator.choice(values) for key, values in CHOICES.items()}
    chosen["trainer.epochs"] = str(EPOCHS[chosen["trainer.batch_size"]])
    return [f"{key}={value}" for key, value in chosen.items()]


def killed_run(seed: int, scratch: Path) -> Killed:
    """Train once undisturbed, once with kills, and compare."""
    generator = random.Random(seed)  # noqa: S311 - to draw examples
    shown = (generator.choice(FIGURES), *SHOWN)
    trial = Trial(scratch, [*drawn(generator), *shown])
    killed = Killed(trial.words)
    while True:
        begun = [folder for folder in folders(trial.work) if (folder / RECORD).exists()]
        words = [f"resume={begun[-1].relative_to(trial.work)}", *shown] if begun else trial.words
        (kind,) = generator.choices([*SIGNALS], WEIGHTS)
        began, moment, hit = time.time(), "", False
        with trial.started(words) as process:
            if killed.kills.total() < KILLS:
                time.sleep(generator.uniform(0, trial.seconds))
                moment = moment_of(folders(trial.work), began)
                trial.note_memory()
                hit = process.poll() is None
                process.send_signal(kind)
        ended = trial.ended(process)
        if hit and ended.status in SIGNALS[kind]:
            killed.kills[moment, kind.name] += 1
            continue
        if ended.status == 0 or (ended.status == ExitStatus.MISTAKE and ENDED in ended.errors):
            break
        trial.complaints.append(f"status {ended.status} after {kind.name} while {moment}: {ended.errors}")
        break
    if ended.status != 0 or "nnexp deliver" in ended.errors:
        trial.deliver()
    trial.compare()
    killed.complaints = trial.complaints
    return killed


def moment_of(begun: Sequence[Path], began: float) -> str:
    """Return what a process is doing that began at a time, as the files of its run say."""
    for name, moment in ((SUMMARY, "recording"), (PARAMETERS, "writing"), (RECORD, "training")):
        if any((folder / name).exists() and (folder / name).stat().st_mtime > began for folder in begun):
            return moment
    return "starting"
