"""The folder of a sweep, `outputs/sweeps/...`: its record, its report, and the folders of its runs.

`sweep.json` says what is known of the sweep as a whole, and a file in `batches/` which runs a batch of jobs means and
where they are, before any of them is trained. With the folders of the runs, that is all that there is to know.
"""

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nnexp.analysis.results import SweepResults, SweepRun
from nnexp.analysis.run_table import RunTable, with_table
from nnexp.core.errors import DamagedError, UserError
from nnexp.core.files import is_there, new_folder, remove_temporaries
from nnexp.core.json_files import read_json, write_json
from nnexp.core.locks import held, lock_of, locked
from nnexp.runs.find import RUNS, SWEEPS
from nnexp.runs.prepare import FOLDER_NAME
from nnexp.runs.record import ERROR, failure, history_of
from nnexp.storage.run_folder import MAX_FILE_BYTES, SUMMARY, RunSummary
from nnexp.tracking.tracker import IDENTIFIER, Status, SweepFacts

if TYPE_CHECKING:
    from filelock import BaseFileLock

STATE, BATCHES = "sweep.json", "batches"
MAX_BATCH_BYTES = 2**30
SECONDS_BETWEEN_LOOKS = 0.5
"""How often a sweep that waits for another one looks whether it has ended."""


@dataclass(frozen=True, kw_only=True)
class SweepRecord:
    """What is known of a sweep from its beginning on, and how it ended.

    Attributes:
        key: A hash of the jobs and options; a command with the same one goes on with the sweep.
        command, question: The command that was given, and its question.
        metric, matters: The metric to rank by, and the difference that matters, if it says so.
        total: How many jobs there are in all batches.
        fresh: How many jobs with fresh seeds came after them.
        drawn: The keys whose values are drawn from intervals.
        figures: The figures that were asked for, as configs; None: those that fit.
        facts: What a tracker records of it; nothing in a folder of an earlier version.
        best: The metrics of its best setting, means over its repeats; nothing before its end.
        status, process: How it ended, and the process that had it last.
        parent: Its ID in the tracker, as an earlier version noted it.
    """

    key: str
    command: str
    question: str | None = None
    metric: str | None = None
    matters: float | None = None
    total: int = 0
    fresh: int = 0
    drawn: Sequence[str] = ()
    figures: Sequence[Mapping[str, object]] | None = None
    facts: SweepFacts = field(default_factory=lambda: SweepFacts("", "", "", {}))
    best: Mapping[str, float] = field(default_factory=dict)
    status: Literal[Status, "RUNNING"] = "RUNNING"
    process: int | None = None
    parent: str | None = None

    @classmethod
    def read(cls, folder: Path) -> "SweepRecord | None":
        """Return the record in a sweep's folder; None if there is none, or it is damaged."""
        return read_json(folder / STATE, cls, MAX_FILE_BYTES)

    def after(self, earlier: "SweepRecord | None") -> "SweepRecord":
        """Return the record of a sweep that goes on: trackers know it by what they were told at first."""
        if earlier is None:
            return self
        known = {key: text for key, text in earlier.facts.tags.items() if key == IDENTIFIER}
        facts = replace(self.facts, tags={**self.facts.tags, **known})
        return replace(self, facts=facts, parent=earlier.parent)

    def results(self, runs: Sequence[SweepRun]) -> SweepResults:
        """Return the results of the sweep, given the runs that have ended or failed."""
        choosing, fresh = [run for run in runs if not run.fresh], [run for run in runs if run.fresh]
        return SweepResults(
            question=self.question,
            command=self.command,
            runs=tuple(choosing),
            missing=max(0, self.total - len(choosing)) + max(0, self.fresh - len(fresh)),
            fresh=tuple(fresh),
            wanted=self.metric,
            matters=self.matters,
            drawn=self.drawn,
            figures=self.figures,
        )


@dataclass(frozen=True)
class _Planned:
    """A run of a sweep before it is trained; its folder is seen from that of the sweep."""

    job: Sequence[str]
    name: str
    config_hash: str
    folder: str
    reused: bool
    fresh: bool = False


@dataclass(frozen=True)
class _Batch:
    runs: Sequence[_Planned]


@dataclass
class SweepFolder:
    """The folder of a sweep that this process runs; a lock keeps other processes out.

    Attributes:
        path: Where it is.
        record: What is known of the sweep.
        lock: The system releases it when the process ends, however that is.
        is_new: Whether it is of no earlier command.
    """

    path: Path
    record: SweepRecord
    lock: "BaseFileLock"
    is_new: bool
    _batches: int = 0

    @classmethod
    def begin(
        cls, output_dir: Path, name: str, record: SweepRecord, *, again: bool, wait: bool = False
    ) -> "SweepFolder":
        """Return a new folder, named by the time, the name and the key.

        With `again` it is the newest folder of an earlier sweep with this key, if there is one.

        Raises UserError if another process has the earlier sweep, unless it is to wait for its end.
        """
        from filelock import FileLock

        sweeps = output_dir / SWEEPS
        sweeps.mkdir(parents=True, exist_ok=True)
        while True:
            with FileLock(sweeps.with_name(f".{SWEEPS}.lock")):  # of two commands at once, one makes a folder
                newest = max(sweeps.glob(f"*_{record.key}*"), default=None) if again else None
                path = newest or new_folder(sweeps, f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{name}_{record.key}")
                lock, earlier = locked(lock_of(path)), SweepRecord.read(path)
                if lock is not None:
                    folder = cls(path, record.after(earlier), lock, is_new=newest is None)
                    folder._remove_unfinished()
                    folder.note("RUNNING")  # now, so that another command can say who has it
                    return folder
            if not wait:
                raise UserError(
                    f"sweep: must not be running already, as process {earlier and earlier.process} in {path} is; "
                    "sweep.wait=true waits for it, sweep.reuse=false trains all runs again"
                )
            time.sleep(SECONDS_BETWEEN_LOOKS)

    @property
    def runs(self) -> Path:
        """Return the folder with the folders of its runs."""
        return self.path / RUNS

    def note(self, status: Literal[Status, "RUNNING"]) -> None:
        """Write the record, with the status that the sweep now has.

        Raises OSError if it cannot be written, as where somebody has removed the folder.
        """
        self.record = replace(self.record, status=status, process=os.getpid())
        write_json(self.path / STATE, self.record)

    def add_batch(self, runs: Sequence[SweepRun]) -> None:
        """Write which runs a batch of jobs means, before they are trained."""
        planned = [
            _Planned(
                job=run.job,
                name=run.name,
                config_hash=run.config_hash,
                folder=os.path.relpath(run.folder or self.runs, self.path),
                reused=run.reused,
                fresh=run.fresh,
            )
            for run in runs
        ]
        (self.path / BATCHES).mkdir(exist_ok=True)
        write_json(self.path / BATCHES / f"{self._batches}.json", _Batch(planned))
        self._batches += 1

    def close(self) -> None:
        """Release the lock, so that other processes can go on with the sweep."""
        self.lock.release()

    def _remove_unfinished(self) -> None:
        remove_temporaries(self.path)
        shutil.rmtree(self.path / BATCHES, ignore_errors=True)
        for folder in self.runs.iterdir() if self.runs.is_dir() else ():
            if folder.is_dir() and not (folder / SUMMARY).exists():
                with held(lock_of(folder)) as ours:  # else somebody resumes it
                    if ours:
                        shutil.rmtree(folder)


def results_in(folder: Path, record: SweepRecord) -> SweepResults:
    """Return the results of the sweep in a folder, as far as its runs were trained."""
    found = [_run_in(place, planned, record.metric) for place, planned in _planned_in(folder)]
    results = record.results([run for run in found if run is not None])
    return with_table(results, folder) if RunTable.is_in(folder) else results


def ended_runs(folder: Path) -> dict[str, Path]:
    """Return the folders of the runs of a sweep that have ended or failed, also of reused ones, by config hash."""
    trained = ((path, FOLDER_NAME.fullmatch(path.name)) for path in sorted(folder.glob(f"{RUNS}/*")))
    runs = {match["hash"]: path for path, match in trained if match is not None}  # all of them in an earlier version
    runs |= {planned.config_hash: place for place, planned in _planned_in(folder)}
    return {key: path for key, path in runs.items() if is_there(path / SUMMARY) or is_there(path / ERROR)}


def _planned_in(folder: Path) -> Iterator[tuple[Path, _Planned]]:
    """Yield the runs that a sweep meant, in the order of its batches, and the folder of each."""
    for number in range(len([*folder.glob(f"{BATCHES}/*.json")])):
        batch = read_json(folder / BATCHES / f"{number}.json", _Batch, MAX_BATCH_BYTES)
        for planned in () if batch is None else batch.runs:
            yield Path(os.path.normpath(folder / planned.folder)), planned


def _run_in(folder: Path, planned: _Planned, wanted: str | None) -> SweepRun | None:
    """Return a run with what its folder says of it; None if it has neither ended nor failed."""
    run = SweepRun(
        job=tuple(planned.job),
        name=planned.name,
        config_hash=planned.config_hash,
        reused=planned.reused,
        fresh=planned.fresh,
        folder=folder,
    )
    summary = RunSummary.read(folder)
    if summary is None or summary.config_hash != planned.config_hash:  # a reused run may have become longer since
        error = failure(folder)
        return None if error is None else replace(run, error=error)
    with suppress(DamagedError):
        return run.ended(summary, history_of(folder), wanted)
    return None
