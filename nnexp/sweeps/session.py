"""One sweep, from its first batch of jobs to its report: runs that were trained before are reused, the others trained.

No trained run can be lost: its files are written when its stack is done, the summary last; then it is recorded with
the tracker. The same command, given again, finds both, and trains what is missing.
"""

import gc
import hashlib
import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

from omegaconf import DictConfig

from nnexp import __version__
from nnexp.analysis.findings import flags, incompleteness, verdict
from nnexp.analysis.report import report_files, write_report
from nnexp.analysis.results import KEPT_EVALUATIONS, SEED, SweepResults, SweepRun, names_of, swept_keys_of
from nnexp.analysis.summary import show_answer
from nnexp.config.experiment import Experiment
from nnexp.config.overrides import Job, command, slug
from nnexp.core.component import resolved
from nnexp.core.disk import PATIENCE_SECONDS, write_or_rescue
from nnexp.core.errors import TrackingError, UserError
from nnexp.core.exits import ExitStatus
from nnexp.core.files import absolute, writable_folder
from nnexp.core.signals import sigterm_interrupts
from nnexp.core.threads import one_thread
from nnexp.core.timeout import call_within
from nnexp.data.dataset import Data
from nnexp.report import terminal
from nnexp.runs.prepare import Ready, load, prepare
from nnexp.runs.record import record_of, write_error, write_record
from nnexp.runs.result import result_of
from nnexp.runs.tracked import SweepNote, deliver_command
from nnexp.runs.write import write_run
from nnexp.storage.run_folder import SUMMARY, TRACKED, read_history
from nnexp.sweeps import reuse
from nnexp.sweeps.options import SweepOptions, sweep_options
from nnexp.sweeps.plan import show_plan
from nnexp.sweeps.processes import Failure
from nnexp.sweeps.recording import RecordingThread, WrittenRun
from nnexp.sweeps.stacks import stacks_of
from nnexp.sweeps.sweep_folder import SweepFolder
from nnexp.sweeps.train import Halving, TrainedRuns, train_halving, train_stacks
from nnexp.sweeps.workers import Pool, Workers
from nnexp.tracking.environment import environment
from nnexp.tracking.tracker import DatasetFacts, Status, SweepFacts, SweepView, TrackedSweep
from nnexp.training.evaluator import metric_names
from nnexp.training.history import chosen_by
from nnexp.training.worker import TrainedRun

KEY_LENGTH = 8
SECONDS_TO_END = 0.5
"""How long an interrupted sweep may go on to record."""


class Session:
    """A sweep while it runs.

    Args:
        config: The config of the sweep.
        total: How many jobs there will be, all batches together.
    """

    def __init__(self, config: DictConfig, total: int) -> None:
        self._command, self._total = command(*sys.argv[1:]), total
        self._question: str | None = config.question
        self._options = sweep_options(config)
        self._swept: dict[int, SweepRun] = {}
        self._asked = 0
        self._loaded: dict[str, tuple[Data, DatasetFacts]] = {}
        self._trained: set[str] = set()
        self._folder: SweepFolder | None = None
        self._recording: RecordingThread | None = None
        self._output_dir, self._facts = Path(), SweepFacts("", "", "", {})
        self._tags: Mapping[str, str] = {}

    def launch(self, jobs: Sequence[Job], experiments: Iterable[Experiment], workers: Workers) -> list[SweepRun]:
        """Train the missing runs of a batch of jobs, and return the run of each job; a plan trains nothing.

        Raises UserError before anything is trained or written, if a job is not valid.
        """
        runs = self._check(jobs, experiments)
        folder = None if self._options.plan else self._open(jobs, runs)
        places = places_by_hash(runs)
        reused = self._trained_before(runs, [same[0] for same in places.values()], folder)
        missing = [same[0] for same in places.values() if same[0] not in reused]
        if folder is None:
            show_plan(jobs, [runs[place] for place in missing], self._total, workers)
            return []
        if reused:
            terminal.show_lines([f"Reused: {len(reused)} of {len(places)} runs were trained before."])
        begin, self._asked = self._asked, self._asked + len(jobs)
        with ExitStack() as resources:
            trained: TrainedRuns = iter(())
            if missing:
                pool = resources.enter_context(workers.start())
                trained = self._train(runs, missing, reused, pool, stack_bytes=workers.stack_bytes)
            recording = self._start_recording(jobs, runs[0], folder)
            progress = resources.enter_context(terminal.runs_progress(len(missing)))
            for place, written in chain(reused.items(), self._write(runs, trained, folder.runs)):
                config_hash = runs[place].config_hash
                for same in places[config_hash]:
                    self._swept[begin + same] = written.swept(jobs[same], reused=config_hash not in self._trained)
                recording.put(written)
                progress(int(place not in reused))
        return [self._swept[begin + place] for place in range(len(jobs))]

    def scores(self, jobs: Sequence[Job]) -> dict[tuple[str, ...], float | None]:
        """Return the scores of jobs, lower is better; None for those that failed or diverged."""
        results = self.results()
        known = {run.job: run.score(results.metric) for run in results.runs if results.metric is not None}
        return {tuple(job): None if (score := known.get(tuple(job))) is None else results.sign * score for job in jobs}

    def results(self) -> SweepResults:
        """Return all runs so far."""
        runs = tuple(self._swept[place] for place in sorted(self._swept))
        return SweepResults(
            question=self._question,
            command=self._command,
            runs=runs,
            missing=max(0, self._total - len(runs)),
            wanted=self._options.metric,
        )

    def discard(self) -> None:
        """End a sweep that could not begin, and leave nothing behind."""
        if self._folder is not None:
            self._folder.close()
            if not self._swept and not self._folder.runs.exists():
                shutil.rmtree(self._folder.path)

    def close(self, status: Status) -> bool:
        """Write and show the report, end the sweep with a status, and return whether it is complete and recorded.

        A sweep that is interrupted or ends in an error finishes the run that is being recorded, and draws no figures.

        Raises UserError if the tracker could not be opened.
        """
        if self._folder is None:
            return True
        finished, path, results, recording = status == "FINISHED", self._folder.path, self.results(), self._recording
        if recording is not None and finished:
            recording.close()
        elif recording is not None:
            recording.abandon(SECONDS_TO_END)
        if results.runs:
            patience = PATIENCE_SECONDS if finished else 0.0
            write_or_rescue(partial(write_report, results, figures=finished), path, patience)
        tracked = None if recording is None else recording.tracked
        errors = [] if recording is None or tracked is None else self._finish(recording, tracked, path, status)
        self._folder.note(status, self._folder.parent)
        self._folder.close()

        if results.runs:
            show_answer(results)
        links = [] if tracked is None else tracked.links()
        lines = [f"{title:7} {line}" for title, line in (("Files", str(path)), *links)]
        lines += [f"Not recorded: {error}" for error in sorted(set(errors))]
        gone = [run for run in results.runs if self._is_gone(run, path)]
        if gone:
            lines.append(f"Not in {path}: {len(gone)} runs")
        if not results.complete or gone:
            lines.append(f"To go on: {self._command}")
        elif errors and tracked is not None:
            lines.append(f"To record it later: {deliver_command(self._output_dir, tracked.uri)}")
        terminal.show_lines(lines)
        return results.complete and not errors and not gone

    def _is_gone(self, run: SweepRun, path: Path) -> bool:
        """Tell whether the files of a trained run are not where they should be: a folder was removed, or is full."""
        if run.summary is None or run.folder is None:
            return False
        return not (run.folder / SUMMARY).exists() or not (run.reused or run.folder.is_relative_to(path))

    def _finish(self, recording: RecordingThread, tracked: TrackedSweep, path: Path, status: Status) -> list[str]:
        """Close the sweep in the store, and return the errors; what could not be recorded is noted in the folders."""
        results = self.results()
        refusal = recording.refusal
        view, description = view_of(results), description_of(results)
        if refusal is None:
            finish = partial(tracked.finish, view, description, report_files(path), status)
            try:
                if status == "FINISHED":
                    finish()
                else:
                    call_within(SECONDS_TO_END, finish)
            except TrackingError as error:
                refusal = error
        errors = [*recording.errors, *([] if refusal is None else [str(refusal)])]
        if tracked.run_id is None or not (errors or (recording.left and status == "FINISHED")):
            (path / TRACKED).unlink(missing_ok=True)
            return errors
        note = SweepNote(
            uri=tracked.uri,
            run_id=tracked.run_id,
            facts=self._facts,
            view=view,
            description=description,
            status=status,
        )
        note.write(path)
        return errors

    def _check(self, jobs: Sequence[Job], experiments: Iterable[Experiment]) -> list[Ready]:
        """Return the runs of jobs, checked and with their data, which is loaded once."""
        runs: list[Ready] = []
        for job, name, experiment in zip(jobs, names_of(jobs), experiments, strict=True):
            source = json.dumps(resolved(experiment.dataset))
            if source not in self._loaded:
                self._loaded[source] = load(experiment.dataset)
            runs.append(prepare(experiment, job, name, self._loaded[source]))
        first = runs[0].experiment
        for run in runs:
            if (run.experiment.output_dir, run.experiment.tracking) != (first.output_dir, first.tracking):
                raise UserError("output_dir, tracking: must be the same for all runs of a sweep")
        for run in {run.dataset.source: run for run in runs}.values():
            names = metric_names(run.data, run.experiment.trainer.metrics)
            if self._options.metric is not None and self._options.metric not in names:
                raise UserError(f"sweep.metric={self._options.metric}: must be {' or '.join(names)}")
        if self._options.halving is not None:
            check_halving(runs, self._options)
        first.tracking.check()
        return runs

    def _open(self, jobs: Sequence[Job], runs: Sequence[Ready]) -> SweepFolder:
        """Return the folder of the sweep, that of an earlier one if it was asked for the same."""
        if self._folder is None:
            # In the form that sweeps had when a launcher could be another, so that earlier ones are gone on with.
            meant = replace(self._options, plan=False, reuse=True, wait=False)
            options = {**resolved(meant, identity=True), "parent": None}
            identities = [[run.config_hash, run.dataset.digest] for run in runs]
            meaning = json.dumps([list(jobs), identities, __version__, options, self._total])
            key = hashlib.sha256(meaning.encode()).hexdigest()[:KEY_LENGTH]
            self._output_dir = writable_folder(runs[0].experiment.output_dir)
            self._folder = SweepFolder.begin(
                self._output_dir,
                slug(sweep_name(jobs)),
                key,
                self._command,
                again=self._options.reuse,
                wait=self._options.wait,
            )
        return self._folder

    def _trained_before(
        self, runs: Sequence[Ready], places: Iterable[int], own: SweepFolder | None
    ) -> dict[int, WrittenRun]:
        """Return the runs that an earlier command has trained, by their places."""
        if not self._options.reuse:
            return {}
        output_dir = absolute(runs[0].experiment.output_dir)
        own_runs = None if own is None else own.runs
        folders, found = reuse.folders_by_hash(output_dir, own_runs), {}
        for place in places:
            earlier = reuse.finished(runs[place], folders, own_runs)
            if earlier is not None:
                folder, summary, curves = earlier
                found[place] = WrittenRun(ready=runs[place], folder=folder, summary=summary, curves=curves)
        return found

    def _train(
        self,
        runs: Sequence[Ready],
        missing: Sequence[int],
        reused: Mapping[int, WrittenRun],
        pool: Pool,
        stack_bytes: int,
    ) -> TrainedRuns:
        """Begin to train the missing runs, and return an iterator over the trained ones."""
        places = stacks_of([runs[place] for place in missing], stack_bytes, pool.count)
        stacks = [[missing[index] for index in stack] for stack in places]
        if self._options.halving is None:
            return train_stacks(runs, stacks, pool)
        metric = self._options.metric or chosen_by(metric_names(runs[0].data, runs[0].experiment.trainer.metrics))
        halving = Halving(self._options.halving, self._options.rungs, metric)
        known = {place: read_history(run.folder) for place, run in reused.items()}
        return train_halving(runs, stacks, pool, halving=halving, known=known)

    def _write(self, runs: Sequence[Ready], trained: TrainedRuns, parent: Path) -> Iterator[tuple[int, WrittenRun]]:
        """Write the files of every run that comes from the workers, into a folder of its own."""
        for place, result in trained:
            run, folder = runs[place], parent / runs[place].folder_name
            self._trained.add(run.config_hash)
            yield place, write_or_rescue(partial(self._write_run, run, result), folder)

    def _write_run(self, run: Ready, result: TrainedRun | Failure, folder: Path) -> WrittenRun:
        """Write the files of a run into a folder, and return it."""
        write_record(folder, record_of(run, self._tags), run.experiment)
        if isinstance(result, Failure):
            write_error(folder, result.reason, result.details)
            return WrittenRun(ready=run, folder=folder, error=result.reason)
        whole = result_of(run, result.outcome, folder, result.seconds)
        write_run(run, result.outcome, whole, figures=run.experiment.figures is True)
        curves = whole.history.thinned(KEPT_EVALUATIONS)
        return WrittenRun(ready=run, folder=folder, summary=whole.summary, curves=curves)

    def _start_recording(self, jobs: Sequence[Job], first: Ready, folder: SweepFolder) -> RecordingThread:
        """Return the thread that records runs; the first call starts it, and it opens the tracker."""
        if self._recording is None:
            with one_thread():
                self._tags = environment()
            facts = self._facts = SweepFacts(
                group=first.data.name,
                name=f"{sweep_name(jobs)} ({self._total} runs)",
                description=f"{self._question or ''}\n\n    {self._command}",
                tags={**self._tags, "sweep_key": folder.key},
            )

            def start() -> TrackedSweep:
                tracker = first.experiment.tracking.open(self._output_dir)
                try:
                    tracked = tracker.start_sweep(facts, folder.parent)
                except TrackingError as error:
                    wanted = "must be a store that takes the sweep"
                    raise UserError(f"tracking.uri={tracker.uri}: {wanted} ({error})") from error
                folder.note(None, tracked.run_id)
                if tracked.run_id is not None:  # so that a sweep whose process dies can be closed later
                    SweepNote(tracked.uri, tracked.run_id, facts, facts.description).write(folder.path)
                return tracked

            self._recording = RecordingThread(start, self._tags)
        return self._recording


@contextmanager
def running(session: Session) -> Iterator[Session]:
    """Close a session when the block ends, however that is; exit with status 1 if it is not complete and recorded."""
    gc.enable()  # it is stopped at start-up
    with sigterm_interrupts():
        try:
            yield session
            well = session.close("FINISHED")
        except UserError:
            session.discard()
            raise
        except KeyboardInterrupt:
            session.close("KILLED")
            raise
        except BaseException:
            session.close("FAILED")
            raise
    if not well:
        sys.exit(ExitStatus.UNSUCCESSFUL)


def places_by_hash(runs: Sequence[Ready]) -> dict[str, list[int]]:
    """Return the places of the runs that have the same config hash, by that hash."""
    places: dict[str, list[int]] = {}
    for place, run in enumerate(runs):
        places.setdefault(run.config_hash, []).append(place)
    return places


def check_halving(runs: Sequence[Ready], options: SweepOptions) -> None:
    """Make sure that runs can be compared at every rung.

    Raises UserError if they train for different times, or until a time limit, or are ranked by different parts of the
    data.
    """
    share, trainers = options.halving, [run.experiment.trainer for run in runs]
    if len({(trainer.unit, trainer.length, tuple(trainer.evaluations())) for trainer in trainers}) > 1:
        raise UserError(f"sweep.halving={share}: must be null where runs train or are evaluated at different times")
    if len({run.data.validation is None for run in runs}) > 1 and options.metric is None:
        raise UserError(f"sweep.halving={share}: must have a sweep.metric where only some runs have a validation part")
    if any(trainer.max_seconds is not None for trainer in trainers):
        raise UserError(f"sweep.halving={share}: must be null where trainer.max_seconds is not")


def sweep_name(jobs: Sequence[Job]) -> str:
    """Return the short names of the keys that a sweep varies, as in `learning_rate x scale`; `seed` only if alone."""
    names = {swept.key: swept.name for swept in swept_keys_of(jobs)}
    return " x ".join(name for key, name in names.items() if key != SEED) or (SEED if names else "one run")


def description_of(results: SweepResults) -> str:
    """Return the question, the command and the findings, in Markdown."""
    report = "The whole report, with figures, is `report.html` among the artifacts."
    findings = [incompleteness(results), *verdict(results), *flags(results)]
    return "\n\n".join(line for line in [results.question, f"    {results.command}", *findings, report] if line)


def view_of(results: SweepResults) -> SweepView:
    """Return the keys, metrics and counts that MLflow shows first."""
    numbers = {"runs": len(results.runs), "failed": len(results.failed), "diverged": len(results.diverged)}
    return SweepView(
        parameters=[swept.key.replace("/", ".") for swept in results.swept_keys],
        metric=results.metric or chosen_by(results.metrics),
        metrics=sorted(results.metrics, key=lambda name: not name.startswith("test/")),
        numbers={name: float(value) for name, value in numbers.items()},
    )
