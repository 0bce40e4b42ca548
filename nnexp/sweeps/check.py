"""The checks of the jobs of a sweep, before any of them is trained."""

import json
from collections.abc import Sequence
from dataclasses import replace

from nnexp.analysis.figures import Asked
from nnexp.analysis.results import shortened
from nnexp.config.overrides import Job
from nnexp.core.component import flat, resolved
from nnexp.core.errors import UserError
from nnexp.data.dataset import Data
from nnexp.runs.prepare import Ready, load, prepare
from nnexp.sweeps.batch import Batch
from nnexp.sweeps.configs import Group
from nnexp.sweeps.options import SweepOptions
from nnexp.tracking.tracker import DatasetFacts
from nnexp.training.evaluator import all_names
from nnexp.training.readings import TIME_TO, Reading, check_reading

__all__ = ["Loaded", "asked", "check_halving", "checked", "shortened"]
Loaded = dict[str, tuple[Data, DatasetFacts]]
"""Data by the configs it was loaded from."""


def checked(jobs: Sequence[Job], groups: Sequence[Group], options: SweepOptions, loaded: Loaded) -> Batch:
    """Return the runs of jobs, checked and with their data, which is loaded once and kept for later batches.

    Raises UserError if one of them is not valid, or they cannot be one sweep.
    """
    runs: list[Ready] = []
    for group in groups:
        source = json.dumps(resolved(group.experiment.dataset))
        if source not in loaded:
            loaded[source] = load(group.experiment.dataset)
        runs.append(prepare(group.experiment, jobs[group.places[0]], loaded=loaded[source]))
    first = runs[0].experiment
    for run in runs:
        if (run.experiment.output_dir, run.experiment.tracking) != (first.output_dir, first.tracking):
            raise UserError("output_dir, tracking: must be the same for all runs of a sweep")
    for metrics in _metrics_of_each(runs) if options.metric is not None else ():
        check_reading(str(options.metric), metrics, "sweep.metric")
    if options.halving is not None:
        check_halving(runs, options)
    first.tracking.check()
    return Batch(jobs, groups, runs, shortened)


def _metrics_of_each(runs: Sequence[Ready]) -> list[list[str]]:
    """Return the metrics of the runs of each data set."""
    of_each = {run.dataset.source: run for run in runs}.values()
    return [all_names(run.data, run.experiment.trainer, run.recipe.layers) for run in of_each]


def asked(runs: Batch, drawn: Sequence[str]) -> Asked:
    """Return what a sweep is asked for, to check its figures against."""
    of_each = _metrics_of_each(runs.firsts)
    shared = [name for name in of_each[0] if all(name in names for names in of_each)]
    swept = [replace(one, drawn=one.key in drawn) for one in runs.swept_keys]
    config = flat(resolved(runs.firsts[0].experiment))
    return Asked(jobs=runs.jobs, swept=swept, drawn=drawn, metrics=shared, config=config)


def check_halving(runs: Sequence[Ready], options: SweepOptions) -> None:
    """Make sure that runs can be compared at every rung.

    Raises UserError if they train for different times, or until a time limit, or are ranked by different parts of the
    data, or by losses that mean other things.
    """
    share, trainers = options.halving, [run.experiment.trainer for run in runs]
    if len({(trainer.unit, trainer.length, tuple(trainer.evaluations())) for trainer in trainers}) > 1:
        raise UserError(f"sweep.halving={share}: must be null where runs train or are evaluated at different times")
    if len({run.data.validation is None for run in runs}) > 1 and options.metric is None:
        raise UserError(f"sweep.halving={share}: must have a sweep.metric where only some runs have a validation part")
    losses = {json.dumps(resolved(run.experiment.loss)) for run in runs}
    if len(losses) > 1 and (options.metric is None or Reading.of(options.metric).metric.endswith("/loss")):
        wanted = "must have a sweep.metric that can be compared, such as test/accuracy or test/r2, where losses differ"
        raise UserError(f"sweep.halving={share}: {wanted}")
    if options.metric is not None and Reading.of(options.metric).kind == TIME_TO:
        wanted = f"must be another reading beside sweep.halving={share}: none may be there yet"
        raise UserError(f"sweep.metric={options.metric}: {wanted}")
    if any(trainer.max_seconds is not None for trainer in trainers):
        raise UserError(f"sweep.halving={share}: must be null where trainer.max_seconds is not")
