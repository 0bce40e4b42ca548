"""The checkpoints of a run: when they are written, where they are, and how the latest is read."""

import time
from collections.abc import Mapping
from pathlib import Path

from nnexp.core.errors import DamagedError, UserError, warn
from nnexp.core.files import atomically, sync
from nnexp.core.state import Saved, Tree, read_checkpoint, write_checkpoint
from nnexp.training.loop import Training

FOLDER, LATEST, PREVIOUS = "checkpoints", "latest.npz", "previous.npz"
SECONDS_BETWEEN = 60.0
"""Seconds of training between two checkpoints, if the config does not say."""
MIN_TRAINING_PER_WRITING = 20
"""The least ratio of the time of training to the time of writing checkpoints."""


class Checkpoints:
    """Writes the checkpoints of a run, and keeps the last two.

    Args:
        folder: The run's folder.
        facts: The content of a checkpoint beside the state of the training.
        every: The steps between two of them; None for a time between them.
        kept: Whether the training went on from a checkpoint.
    """

    def __init__(self, folder: Path, facts: Mapping[str, Tree], every: int | None, *, kept: bool) -> None:
        self._folder, self._facts, self.every, self.kept = folder, facts, every, kept
        self._steps, self._next = -1, time.monotonic() + SECONDS_BETWEEN
        self._failing = False

    def due(self, steps: int) -> bool:
        """Tell whether it is time to write one, given the number of steps done."""
        if self.every is not None:
            return steps % self.every == 0 and steps > max(self._steps, 0)
        return time.monotonic() > self._next

    @property
    def wanted(self) -> bool:
        """Tell whether one is to be written at the end, too."""
        return self.kept or self.every is not None

    def write(self, training: Training) -> None:
        """Write a checkpoint of a training that has paused or ended; if that fails, warn and go on."""
        begun = time.monotonic()
        try:
            folder = self._folder / FOLDER
            folder.mkdir(exist_ok=True)
            with atomically(folder / LATEST) as new:
                write_checkpoint(new, {**self._facts, "training": training.state()})
                if (folder / LATEST).exists():
                    (folder / LATEST).replace(folder / PREVIOUS)
            sync(folder)
            self.kept, self._failing = True, False
        except OSError as error:
            if not self._failing:
                warn(f"no checkpoint could be written ({error.strerror}); the training goes on")
            self._failing = True
        now = time.monotonic()
        self._steps, self._next = training.steps, now + max(SECONDS_BETWEEN, MIN_TRAINING_PER_WRITING * (now - begun))


def has_checkpoint(folder: Path) -> bool:
    """Tell whether the folder of a run has a checkpoint, sound or damaged."""
    return any((folder / FOLDER / name).exists() for name in (LATEST, PREVIOUS))


def read_latest(name: str, path: Path) -> tuple[Saved, Path | None]:
    """Return the latest undamaged checkpoint, and the folder of its run or None if it is not in one.

    Raises UserError if there is no such checkpoint.

    Args:
        name: The value of `resume`, for messages.
        path: A run's folder, its folder of checkpoints, or a checkpoint.
    """
    if path.is_file():
        candidates = [path] if path.name != LATEST else [path, path.with_name(PREVIOUS)]
    else:
        folder = path if path.name == FOLDER else path / FOLDER
        candidates = [folder / LATEST, folder / PREVIOUS]
    damage: list[str] = []
    for file in candidates:
        if file.is_file():
            try:
                saved = read_checkpoint(file)
            except DamagedError as error:
                damage.append(f"{file.name}: {error}")
            else:
                for line in damage:
                    warn(f"damaged: {line}; going on from {file.name}, the one before")
                return saved, file.parent.parent if file.parent.name == FOLDER else None
    reason = "; ".join(damage) or f"it has no {FOLDER}/{LATEST}"
    raise UserError(f"resume={name}: must be a run with a checkpoint that nobody has changed ({reason})")
