"""One sweep, from its first batch of jobs to its report: runs that were trained before are reused, the others trained.

No trained run can be lost: its files are written when its stack is done, the summary last; then it is recorded with
the tracker. The same command, given again, finds both, and trains what is missing.
"""

import gc
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from errno import EBUSY
from functools import partial
from itertools import chain
from pathlib import Path
from typing import cast
from uuid import uuid4

from omegaconf import DictConfig

from nnexp import __version__
from nnexp.analysis.figures import Image, check_figures
from nnexp.analysis.findings import plateau
from nnexp.analysis.report import report_files, write_report
from nnexp.analysis.results import REPEATS, SweepResults, SweepRun, SweptKey
from nnexp.analysis.run_table import with_table
from nnexp.analysis.summary import show_answer
from nnexp.config.overrides import Job, command, slug, titles_of
from nnexp.core.component import resolved
from nnexp.core.disk import PATIENCE_SECONDS, write_or_rescue
from nnexp.core.errors import TrackingError, UserError
from nnexp.core.files import absolute, clear, unwritable, writable_folder
from nnexp.core.locks import held, lock_of
from nnexp.core.output import meanwhile
from nnexp.core.processes import Failure
from nnexp.core.signals import sigterm_interrupts
from nnexp.core.threads import one_thread
from nnexp.core.timeout import call_within
from nnexp.report import terminal
from nnexp.report.markdown import block, escaped
from nnexp.runs.prepare import Ready
from nnexp.runs.record import RECORD, UNKNOWN_CODE, record_of, write_error, write_record
from nnexp.runs.result import result_of
from nnexp.runs.tracked import InStore, deliver_command, note, note_beginning, tracked_as, write_tracked
from nnexp.runs.write import write_run
from nnexp.storage.run_folder import SUMMARY, read_history
from nnexp.sweeps.batch import Batch
from nnexp.sweeps.best_so_far import BestSoFar
from nnexp.sweeps.check import Loaded, asked, checked
from nnexp.sweeps.conclusion import conclude
from nnexp.sweeps.configs import Group
from nnexp.sweeps.fresh_seeds import ASKED_AGAIN, CHEAP, FRESH_SEEDS, jobs_to_confirm
from nnexp.sweeps.options import SweepOptions, sweep_options
from nnexp.sweeps.plan import show_plan
from nnexp.sweeps.recording import Recorder, RecordingThread
from nnexp.sweeps.reuse import trained_before
from nnexp.sweeps.search import Search
from nnexp.sweeps.sweep_folder import SweepFolder, SweepRecord
from nnexp.sweeps.table import KEPT, TableWriter, train_table
from nnexp.sweeps.train import Halving, TrainedRuns, train_halving, train_stacks
from nnexp.sweeps.workers import Pool, Workers
from nnexp.tracking.environment import environment
from nnexp.tracking.tracker import IDENTIFIER, Status, SweepFacts, Tracking
from nnexp.training.evaluator import metric_names
from nnexp.training.history import Outcome, chosen_by

KEY_LENGTH = 8
SECONDS_TO_END = 0.5
"""How long an interrupted sweep may go on to record."""


class Session:
    """A sweep while it runs.

    Args:
        config: The config of the sweep.
        total: How many jobs there will be, all batches together.
        drawn: The keys whose values are drawn from intervals.
        said: The arguments that ask for it, which its report shows as a command; None: those of this process.
        show: Whether to print the answer.

    Attributes:
        well: Whether it has ended complete and recorded.
    """

    def __init__(
        self,
        config: DictConfig,
        total: int,
        drawn: Sequence[str] = (),
        said: Sequence[str] | None = None,
        *,
        show: bool = True,
    ) -> None:
        self.well, self._show = False, show
        options = self._options = sweep_options(config)
        self._record = SweepRecord(
            key="",  # of its first jobs
            command=command(*(sys.argv[1:] if said is None else said)),
            question=config.question,
            metric=options.metric,
            matters=options.matters,
            total=total,
            drawn=drawn,
            figures=None if options.figures is None else [resolved(one) for one in options.figures],
        )
        self._in_table, self._table = options.in_table(total), cast("Path | None", None)
        self._whole = cast("SweepResults | None", None)
        self._loaded: Loaded = {}
        self._swept: list[SweepRun | None] = []
        self._trained: set[str] = set()
        self._folder: SweepFolder | None = None
        self._recording: RecordingThread | None = None
        self._best: BestSoFar | None = None
        self._output_dir, self._tags = Path(), dict[str, str]()
        self._seed, self._work, self._confirming = 0, 0, False

    @property
    def folder(self) -> Path | None:
        """Return the folder of the sweep; None before its first batch, and of a plan."""
        return None if self._folder is None else self._folder.path

    def batches(self, search: Search) -> Iterator[Sequence[Job]]:
        """Yield the jobs of a search batch by batch, each to be launched before the next; then those of fresh seeds."""
        while jobs := search.ask():
            yield jobs
            if self._options.plan:  # what comes next depends on results that a plan does not have
                return
            search.tell(self.scores(jobs))
        if jobs := self.jobs_to_confirm():
            yield jobs

    def launch(self, jobs: Sequence[Job], groups: Sequence[Group], workers: Workers) -> list[SweepRun]:
        """Train the missing runs of a batch of jobs, and return the run of each job; a plan trains nothing.

        Raises UserError before anything is trained or written, if a job is not valid.
        """
        runs = checked(jobs, groups, self._options, self._loaded)
        if self._folder is None and self._options.figures is not None:
            check_figures(self._options.figures, asked(runs, self._record.drawn))
        self._seed = runs.firsts[0].experiment.seed
        self._work = max(self._work, *(run.work for run in runs.firsts))
        if self._options.plan:
            self._plan(runs, workers)
            return []
        if self._folder is None:
            self._folder = self._begin(jobs, runs)
            with suppress(OSError):  # from now on it can be delivered, whatever happens
                note_beginning(self._folder.path, runs.firsts[0].experiment.tracking.address(self._output_dir))
        folder = self._folder
        if self._in_table and not self._confirming:
            return self._launch_table(runs, workers, folder)
        if self._confirming:
            asks = f"The first settings are asked again with {self._fresh_seeds} fresh seeds, which chose nothing"
            terminal.show_lines([f"{asks}: {len(jobs)} runs (sweep.confirm=0 leaves them out)."])
        places = places_by_hash(runs.hashes)
        firsts = [same[0] for same in places.values()]
        reused = self._trained_before(runs, firsts, folder.runs)
        missing = [place for place in firsts if place not in reused]
        alike = [places[one][0] for one in runs.hashes]  # jobs that say the same in two ways share a folder
        known = [reused.get(first) or planned(runs, first, folder.runs) for first in alike]
        with suppress(OSError):  # it is read after a death only
            batch = [replace(run, job=tuple(job), fresh=self._confirming) for run, job in zip(known, jobs, strict=True)]
            folder.add_batch(batch)
        if reused:
            terminal.show_lines([f"Reused: {len(reused)} of {len(places)} runs were trained before."])
        begin = len(self._swept)
        self._swept += [None] * len(jobs)
        with ExitStack() as resources:
            trained: TrainedRuns = iter(())
            if missing:
                pool = resources.enter_context(workers.start())
                options = replace(self._options, halving=None) if self._confirming else self._options
                trained = begin_training(options, runs, missing, reused, pool=pool, most_bytes=workers.stack_bytes)
            recording = self._recording = self._recording or self._start_recording(
                runs.firsts[0].experiment.tracking, folder
            )
            progress = resources.enter_context(terminal.runs_progress(len(missing)))
            best = self._best = self._best or BestSoFar(self._options.metric, runs.swept_keys)
            for place, run in chain(reused.items(), self._written(runs, trained, folder.runs)):
                for same in places[run.config_hash]:
                    again = run.config_hash not in self._trained
                    here = replace(run, job=tuple(jobs[same]), reused=again, fresh=self._confirming)
                    self._swept[begin + same] = here
                recording.put(replace(run, fresh=self._confirming))
                progress(int(place not in reused), best.told(run))
        return [run for run in self._swept[begin:] if run is not None]

    def _plan(self, runs: Batch, workers: Workers) -> None:
        """Show what a launch would do."""
        firsts: Sequence[int] = range(len(runs))
        if not self._in_table:
            firsts = [same[0] for same in places_by_hash(runs.hashes).values()]
        reused = {} if self._in_table else self._trained_before(runs, firsts, None)
        new = [place for place in firsts if place not in reused]
        several = any(swept.key not in REPEATS for swept in runs.swept_keys)
        fresh = (ASKED_AGAIN + 1) * self._fresh_seeds if several else 0
        show_plan(runs, new, self._record.total, workers, fresh=fresh, in_table=self._in_table)

    def _launch_table(self, runs: Batch, workers: Workers, folder: SweepFolder) -> list[SweepRun]:
        """Train the runs that the table of the sweep does not have, and the best of all once more, with their files."""
        options = self._options
        writer = TableWriter(folder.path, runs, asked_readings(options), options.curves)
        missing = writer.missing()
        if len(missing) < len(runs):
            terminal.show_lines([f"Reused: {len(runs) - len(missing)} of {len(runs)} runs were trained before."])
        self._table = folder.path
        with ExitStack() as resources:
            pool = resources.enter_context(workers.start())
            stacks = runs.stacks(missing, workers.stack_bytes, pool.count) if missing else []
            recording = self._recording = self._start_recording(runs.firsts[0].experiment.tracking, folder)
            with terminal.runs_progress(len(missing)) as progress:
                try:
                    train_table(writer, runs, stacks, pool, progress=lambda count: progress(count, ""))
                finally:
                    writer.flush()
            best = best_rows(self.results())
            kept = self._trained_before(runs, best, folder.runs)
            again = runs.stacks([place for place in best if place not in kept], workers.stack_bytes, pool.count)
            trained = train_stacks(runs, again, pool) if again else iter(())
            for place, run in chain(kept.items(), self._written(runs, trained, folder.runs)):
                recording.put(run)
                kept[place] = run
        names = {
            place: os.path.relpath(run.folder, folder.path) for place, run in kept.items() if run.folder is not None
        }
        writer.finish(names)
        self._whole = self.results()
        return []

    def jobs_to_confirm(self) -> list[Job]:
        """Return the jobs that ask again with fresh seeds, when all others are done; none where that is not wanted.

        Without a word about it, they are asked where they cost little: see `CHEAP`.
        """
        self._confirming, results = True, self.results()
        jobs = jobs_to_confirm(results, self._fresh_seeds, self._seed)
        if self._options.confirm is None and plateau(results) is not None:
            return []
        self._record = replace(self._record, fresh=len(jobs))
        if self._folder is not None:
            self._folder.record = replace(self._folder.record, fresh=len(jobs))
            with suppress(OSError):  # it is read after a death only
                self._folder.note("RUNNING")
        return jobs

    @property
    def _fresh_seeds(self) -> int:
        """Return how many fresh seeds are asked of a setting: where it is not said, none unless that is cheap."""
        if self._options.confirm is not None:
            return self._options.confirm
        return FRESH_SEEDS if (ASKED_AGAIN + 1) * FRESH_SEEDS * self._work <= CHEAP else 0

    def scores(self, jobs: Sequence[Job]) -> dict[tuple[str, ...], float | None]:
        """Return the scores of jobs, lower is better; None for those that failed or diverged."""
        if self._in_table:  # where no search asks for them
            return {}
        results = self.results()
        known = {run.job: run.reading(results.metric) for run in results.runs if results.metric is not None}
        return {tuple(job): None if (score := known.get(tuple(job))) is None else results.sign * score for job in jobs}

    def results(self) -> SweepResults:
        """Return all runs so far."""
        results = self._record.results([run for run in self._swept if run is not None])
        if self._whole is not None:
            missing = max(0, results.missing - len(self._whole.runs) - self._whole.beyond)
            return replace(results, runs=self._whole.runs, table=self._whole.table, missing=missing)
        return results if self._table is None else with_table(results, self._table)

    def fail(self) -> None:
        """End a sweep after a mistake that was found late, such as one in a later batch; what was trained is kept."""
        if self._recording is None:
            self._discard()
        else:
            self.close("FAILED")

    def close(self, status: Status) -> bool:
        """Write and show the report, end the sweep with a status, and return whether it is complete and recorded.

        A sweep that is interrupted finishes the run that is being recorded, and leaves the others. It draws no figures,
        nor does one that ends in an error.

        Raises UserError if the tracker could not be opened.
        """
        if self._folder is None:
            return True
        finished, path, results, recording = status == "FINISHED", self._folder.path, self.results(), self._recording
        if recording is not None and status == "KILLED":
            recording.abandon(SECONDS_TO_END)
        elif recording is not None:
            recording.close()
            if finished:
                recording.check()

        meanwhile("Writing the report")

        def report(folder: Path) -> Path:
            write_report(results, folder, figures=finished)
            return folder

        written = write_or_rescue(report, path, PATIENCE_SECONDS if finished else 0.0) if results.runs else path
        errors = [] if recording is None else closed(recording, results, path, status, files=report_files(written))
        with suppress(OSError):  # who looks finds its lock released
            self._folder.record = replace(self._folder.record, best=results.best)
            self._folder.note(status)
        self._folder.close()

        gone = [run for run in (*results.runs, *results.fresh) if is_gone(run, path)]
        complete = results.complete and not gone and written == path
        if results.runs and self._show:
            show_answer(results)
        if self._show or errors or not complete:
            terminal.show_lines(self._ways_on(path, errors, len(gone), complete=complete))
        return complete and not errors

    def _ways_on(self, path: Path, errors: Sequence[str], gone: int, *, complete: bool) -> list[str]:
        """Return where to look at the sweep, what is missing or not recorded, and how to go on."""
        tracked = None if self._recording is None else self._recording.tracked
        links = [] if tracked is None else tracked.links()
        if self._show:
            terminal.show_links([("Files", str(path)), *links])
        lines = [f"Not recorded: {error}" for error in sorted(set(errors))]
        if gone:
            lines.append(f"Not in {path}: {gone} runs")
        if not complete or tracked is None:
            lines.append(f"To go on: {self._record.command}")
        elif errors:
            lines.append(f"To record it later: {deliver_command(self._output_dir, tracked.uri)}")
        return lines

    def _discard(self) -> None:
        """End a sweep that could not begin to train; of a new one nothing is left, an earlier one keeps all it has."""
        if self._folder is None:
            return
        if not self._folder.is_new:
            with suppress(OSError):
                self._folder.note("FAILED")
        self._folder.close()
        if self._folder.is_new:
            shutil.rmtree(self._folder.path)

    def _begin(self, jobs: Sequence[Job], runs: Batch) -> SweepFolder:
        """Return the folder of the sweep, that of an earlier one if it was asked for the same."""
        # In the form that sweeps had when a launcher could be another, so that earlier ones are gone on with.
        meant = replace(self._options, plan=False, reuse=True, wait=False, confirm=None, matters=None, figures=None)
        meant = replace(meant, record="table" if self._in_table else "auto", curves=None)
        options = {**resolved(meant, identity=True), "parent": None}
        first = runs.firsts[0]
        if self._in_table:
            asked = [*asked_readings(self._options), self._options.curves]
            meaning = json.dumps([runs.identity(), __version__, options, asked])
        else:
            identities = [[one, runs.first(place).dataset.digest] for place, one in enumerate(runs.hashes)]
            meaning = json.dumps([list(jobs), identities, __version__, options, self._record.total])
        key = hashlib.sha256(meaning.encode()).hexdigest()[:KEY_LENGTH]
        self._output_dir = writable_folder(first.experiment.output_dir)
        with one_thread():
            self._tags = {**first.experiment.tracking.own_tags(), **environment()}
        name = sweep_name(runs.swept_keys)
        facts = SweepFacts(
            group=first.data.name,
            name=f"{name} ({self._record.total} runs)",
            description=f"{escaped(self._record.question or '')}\n\n{block(self._record.command)}",
            tags={**self._tags, "sweep_key": key, IDENTIFIER: uuid4().hex},
        )
        record = replace(self._record, key=key, facts=facts)
        again, wait = self._options.reuse, self._options.wait
        try:
            return SweepFolder.begin(self._output_dir, slug(name), record, again=again, wait=wait)
        except OSError as error:
            raise unwritable(self._output_dir, error) from error

    def _trained_before(self, runs: Batch, places: Iterable[int], own: Path | None) -> dict[int, SweepRun]:
        """Return the runs that an earlier command has trained, by their places; they are given a record."""
        output_dir = absolute(runs.firsts[0].experiment.output_dir)
        wanted = self._options.metric
        found = trained_before(runs, places, output_dir, own, wanted=wanted) if self._options.reuse else {}
        for place, run in found.items():
            if run.folder is not None and own is not None and not (run.folder / RECORD).exists():
                with suppress(OSError):  # of an earlier version, and elsewhere
                    record = record_of(runs[place], {}, code=UNKNOWN_CODE)
                    write_record(run.folder, record, runs[place].experiment)
        return found

    def _written(self, runs: Batch, trained: TrainedRuns, parent: Path) -> Iterator[tuple[int, SweepRun]]:
        """Write the files of every run that comes from the workers, into a folder of its own."""
        for place, result in trained:
            run = runs[place]
            self._trained.add(run.config_hash)
            folder = parent / run.folder_name
            write = partial(write_swept, run, result, self._tags, wanted=self._options.metric)
            yield place, write_or_rescue(write, folder)

    def _start_recording(self, tracking: Tracking, folder: SweepFolder) -> RecordingThread:
        """Return the thread that records runs; it opens the tracker, and notes the sweep before and after it begins."""
        path, facts, earlier = folder.path, folder.record.facts, folder.record.parent

        def start() -> Recorder:
            tracker = tracking.open(self._output_dir)
            parent = tracked_as(path, tracker.uri, complete=False) or earlier
            if tracker.uri:
                with suppress(OSError):  # the store finds it by its identifier, too
                    write_tracked(path, tracker.uri, InStore(parent))
            try:
                tracked = tracker.start_sweep(facts, parent)
            except TrackingError as error:
                wanted = "must be a store that takes the sweep"
                raise UserError(f"tracking.uri={tracker.uri}: {wanted} ({error})") from error
            with suppress(OSError):
                note(path, tracked, complete=False)
            return Recorder(tracker, tracked, folder.runs, self._options.metric)

        return RecordingThread(start)


@contextmanager
def running(session: Session) -> Iterator[Session]:
    """Close a session when the block ends, however that is."""
    gc.enable()  # it is stopped at start-up
    with sigterm_interrupts():
        try:
            yield session
            session.well = session.close("FINISHED")
        except UserError:
            session.fail()
            raise
        except KeyboardInterrupt:
            session.close("KILLED")
            raise
        except BaseException:
            session.close("FAILED")
            raise


def asked_readings(options: SweepOptions) -> list[str]:
    """Return the readings that a table needs for its ranking and its figures."""
    figures = [getattr(one, "value" if isinstance(one, Image) else "y", None) for one in options.figures or ()]
    return [path for path in (options.metric, *figures) if isinstance(path, str)]


def best_rows(results: SweepResults) -> list[int]:
    """Return the rows of the best runs of the settings that come first."""
    if results.table is None or results.metric is None:
        return []
    order = [min(one.scored(results.metric), key=lambda it: results.sign * it[0])[1] for one in results.ranked[:KEPT]]
    return [run.row for run in order if run.row is not None]


def places_by_hash(hashes: Sequence[str]) -> dict[str, list[int]]:
    """Return the places of the runs that have the same config hash, by that hash."""
    places: dict[str, list[int]] = {}
    for place, one in enumerate(hashes):
        places.setdefault(one, []).append(place)
    return places


def planned(runs: Batch, place: int, parent: Path) -> SweepRun:
    """Return a run of a sweep before it is trained."""
    folder, job = parent / runs.folder_name(place), tuple(runs.jobs[place])
    return SweepRun(job=job, name=runs.name(place), config_hash=runs.hashes[place], folder=folder)


def begin_training(
    options: SweepOptions,
    runs: Batch,
    missing: Sequence[int],
    reused: Mapping[int, SweepRun],
    pool: Pool,
    most_bytes: int,
) -> TrainedRuns:
    """Begin to train the missing runs in stacks of at most some bytes, and return an iterator over the trained ones."""
    stacks = runs.stacks(missing, most_bytes, pool.count)
    if options.halving is None:
        return train_stacks(runs, stacks, pool)
    metric = options.metric or chosen_by(metric_names(runs.firsts[0].data, runs.firsts[0].experiment.trainer.metrics))
    halving = Halving(options.halving, options.rungs, metric)
    known = {place: read_history(run.folder) for place, run in reused.items() if run.folder is not None}
    return train_halving(runs, stacks, pool, halving=halving, known=known)


def write_swept(
    run: Ready,
    result: tuple[Outcome, float] | Failure,
    tags: Mapping[str, str],
    folder: Path,
    *,
    wanted: str | None = None,
) -> SweepRun:
    """Write a run in place of an earlier training of its job, and return it, with the reading that is wanted."""
    with held(lock_of(folder)) as ours:
        if not ours:
            raise OSError(EBUSY, "another process trains the run there")
        return _written_anew(run, result, tags, folder, wanted=wanted)


def _written_anew(
    run: Ready,
    result: tuple[Outcome, float] | Failure,
    tags: Mapping[str, str],
    folder: Path,
    *,
    wanted: str | None,
) -> SweepRun:
    clear(folder)
    write_record(folder, record_of(run, tags), run.experiment)
    written = SweepRun(job=tuple(run.overrides), name=run.name, config_hash=run.config_hash, folder=folder)
    if isinstance(result, Failure):
        write_error(folder, result.reason, result.details)
        return replace(written, error=result.reason)
    outcome, seconds = result
    whole = result_of(run, outcome, folder, seconds)
    write_run(run, outcome, whole, figures=run.experiment.draws(alone=False))
    return written.ended(whole.summary, whole.history, wanted)


def closed(
    recording: RecordingThread, results: SweepResults, folder: Path, status: Status, *, files: Sequence[Path]
) -> list[str]:
    """Close a sweep in its store, with the files of its report, note whether all is there, and return the errors."""
    tracked, refusal = recording.tracked, recording.refusal
    if tracked is None:
        return []
    if refusal is None:
        finish = partial(conclude, tracked, results, files, status)
        try:
            if status == "KILLED":
                call_within(SECONDS_TO_END, finish)
            else:
                finish()
        except TrackingError as error:
            refusal = error
    errors = [*recording.errors, *([] if refusal is None else [str(refusal)])]
    if recording.left and not errors:
        errors = [f"{recording.left} of the runs"]
    with suppress(OSError):
        note(folder, tracked, complete=not errors)
    return errors


def is_gone(run: SweepRun, path: Path) -> bool:
    """Tell whether the files of a trained run are not where they should be: a folder was removed, or is full."""
    if run.summary is None or run.folder is None:
        return False
    return not (run.folder / SUMMARY).exists() or not (run.reused or run.folder.is_relative_to(path))


def sweep_name(keys: Sequence[SweptKey]) -> str:
    """Return the short names of the keys that a sweep varies, as in `learning_rate x scale`; seeds only if alone."""
    names = titles_of([swept.key for swept in keys])
    return (
        " x ".join(name for key, name in names.items() if key not in REPEATS) or " x ".join(names.values()) or "one run"
    )
