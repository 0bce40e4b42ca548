"""What an output folder has, a row for each run that was trained alone and each sweep, from their small files alone."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from nnexp.core.files import is_there
from nnexp.core.locks import held, lock_of
from nnexp.runs.find import ids_of, is_sweep, listed
from nnexp.runs.record import ERROR, read_record, summary_in
from nnexp.sweeps.sweep_folder import SweepRecord

FINISHED, DIVERGED, FAILED, RUNNING, KILLED = "finished", "diverged", "failed", "running", "killed"
TIME, TIME_LENGTH = "%Y-%m-%d_%H-%M-%S", 19
"""How the name of a folder begins."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A run that was trained alone, or a sweep.

    Attributes:
        number: Its row, by which commands know it.
        folder, name: Where it is, and what it is called.
        data: The name of its data.
        runs: How many runs a sweep has; None for a run alone.
        began: When.
        status: How it ended, or that it runs.
        metrics: Those of the parameters that a run left, or of the best setting of a sweep.
        seconds: How long it trained; None where that is not known.
        said: The overrides of its command.
        parameters: Its config, flat; of a sweep nothing.
    """

    number: int
    folder: Path
    name: str
    data: str
    began: datetime
    status: str
    runs: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    said: Sequence[str] = ()
    parameters: Mapping[str, object] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Return what a program wants to know of it."""
        return {
            "row": self.number,
            "kind": "run" if self.runs is None else "sweep",
            "name": self.name,
            "data": self.data,
            "runs": self.runs,
            "status": self.status,
            "metrics": dict(self.metrics),
            "began": self.began.isoformat(),
            "seconds": self.seconds,
            "ids": ids_of(self.folder),
            "folder": str(self.folder),
        }


def rows(output_dir: Path) -> Iterator[Row]:
    """Yield what is in an output folder, the newest first; each is read when it is asked for."""
    for number, folder in enumerate(listed(output_dir), 1):
        yield _sweep(number, folder) if is_sweep(folder) else _run(number, folder)


def _run(number: int, folder: Path) -> Row:
    record = read_record(folder)
    summary = summary_in(folder, record)
    return Row(
        number=number,
        folder=folder,
        name=folder.name if record is None else record.name,
        data=folder.parent.name if record is None else record.group,
        began=_began(folder),
        status=_unfinished(folder) if summary is None else FINISHED if summary.diverged_step is None else DIVERGED,
        metrics={} if summary is None else summary.final,
        seconds=None if summary is None else summary.seconds,
        said=() if record is None else record.overrides,
        parameters={} if record is None else record.parameters,
    )


def _sweep(number: int, folder: Path) -> Row:
    record = SweepRecord.read(folder)
    ended = record is not None and record.status != "RUNNING"
    return Row(
        number=number,
        folder=folder,
        name=folder.name if record is None else record.facts.name or folder.name,
        data="sweep" if record is None else record.facts.group,
        runs=0 if record is None else record.total,
        began=_began(folder),
        status=record.status.lower() if record is not None and ended else _unfinished(folder),
        metrics={} if record is None else record.best,
        said=() if record is None else shlex.split(record.command),
    )


def _began(folder: Path) -> datetime:
    return datetime.strptime(folder.name[:TIME_LENGTH], TIME).astimezone()


def _unfinished(folder: Path) -> str:
    """Return why a run or a sweep has no result: it failed, runs, or was killed."""
    if is_there(folder / ERROR):
        return FAILED
    return RUNNING if in_use(folder) else KILLED


def in_use(folder: Path) -> bool:
    """Tell whether a process works in a folder."""
    if not is_there(lock_of(folder)):
        return False
    try:
        with held(lock_of(folder)) as ours:
            return not ours
    except OSError:  # a folder that only others may write to
        return False
