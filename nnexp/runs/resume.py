"""Resumes a run from its last checkpoint: `resume=RUN`."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from nnexp.config.code import code_fingerprint
from nnexp.config.experiment import Experiment
from nnexp.config.identity import config_hash, without_effect
from nnexp.config.overrides import command, key_of
from nnexp.core.build import build
from nnexp.core.component import flat, resolved
from nnexp.core.errors import DamagedError, UserError, warn, without_passwords
from nnexp.core.files import absolute, is_there, relative
from nnexp.core.state import Saved, Tree
from nnexp.runs.find import find
from nnexp.runs.record import EXTENDED, RECORD, UNKNOWN_CODE, read_record
from nnexp.runs.recorded_run import read_config
from nnexp.runs.tracked import read_tracked, tracked_as
from nnexp.storage.checkpoints import FOLDER, has_checkpoint, read_latest
from nnexp.storage.run_folder import RunSummary
from nnexp.tracking.mlflow import MLflowTracking, default_uri
from nnexp.tracking.mlflow_store import DATABASE, database_file
from nnexp.tracking.tracker import RunRecord
from nnexp.training.loop import Training
from nnexp.training.trainer import Trainer

KEY = "resume"


@dataclass(frozen=True)
class Resumed:
    """A run that is resumed from a checkpoint, or begun again where it was stopped before its first one.

    Attributes:
        experiment, overrides: Its config, and the overrides with which it began.
        data_digest: The digest of the data that it was trained on.
        record: Its record; None if it has none, as one of an earlier version, or a damaged one.
        training: The saved state of the training; None before the first checkpoint.
        folder: Its folder; None if only MLflow has its files.
        run_id: Its ID in MLflow, if it has no folder.
        shorter: The settings of its training if it is to become longer, else None.
    """

    experiment: Experiment
    overrides: Sequence[str]
    data_digest: str
    record: RunRecord | None
    training: Saved | None
    folder: Path | None
    run_id: str | None
    shorter: Trainer | None = None

    def restore(self, training: Training, data_digest: str) -> None:
        """Restore the saved state into a new training.

        Raises UserError if the data has changed, the checkpoint is not of this run, or the run cannot become longer.
        """
        if data_digest != self.data_digest:
            raise UserError(f"dataset: must be what it was, with the digest {self.data_digest}, not {data_digest}")
        if self.code != code_fingerprint(self.experiment):
            known = "is not known" if self.record is None else "has changed"
            warn(f"the code that began the run {known}: it goes on, but may not be the same as in one go")
        try:
            if self.training is not None and self.shorter is not None:
                reason = training.lengthen(self.training, self.shorter)
                if reason is not None:
                    raise _not_longer(self.experiment.trainer, self.shorter, reason, self.overrides)
            elif self.training is not None:
                training.restore(self.training)
        except DamagedError as error:
            raise UserError(f"{KEY}: must have a checkpoint of this run ({error})") from error

    @property
    def code(self) -> str:
        """Return the fingerprint of its code: if that has changed, of both, so that it is no run of either."""
        before, today = UNKNOWN_CODE if self.record is None else self.record.code, code_fingerprint(self.experiment)
        if self.training is None:
            return today
        return before if before.endswith(today) else f"{before}+{today}"

    @property
    def tags(self) -> dict[str, str]:
        """Return the tag with the length to which it is extended; none if it is not."""
        return {} if self.shorter is None else {EXTENDED: _length(self.experiment.trainer).removeprefix("trainer.")}

    def tracked_as(self, uri: str) -> str | None:
        """Return the ID of the run in a store, or None."""
        return self.run_id if self.folder is None else tracked_as(self.folder, uri, complete=False)


def facts(experiment: Experiment, overrides: Sequence[str], data_digest: str) -> dict[str, Tree]:
    """Return the content of a checkpoint beside the training: what is needed to resume the run."""
    config = resolved(replace(experiment, tracking=experiment.tracking.in_files()))
    given = [*map(without_passwords, overrides)]
    return {"overrides": given, "data_digest": data_digest, "config": cast("Tree", config)}


def resumed(experiment: Experiment, overrides: Sequence[str]) -> Resumed:
    """Return the run that `resume` names.

    Everything that its numbers depend on is read from the checkpoint. Where files are written and what is shown is set
    on the command line, since a checkpoint may be from a stranger.

    One that was stopped before its first checkpoint begins again in its folder.

    Raises UserError if there is no undamaged checkpoint, or the command line sets another config.

    Args:
        experiment, overrides: The config and the overrides of the command line.
    """
    name = str(experiment.resume)
    output_dir = absolute(experiment.output_dir)
    folder, run_id = _folder(name, output_dir), None
    record = None if folder is None else read_record(folder)
    if folder is not None and record is not None and not has_checkpoint(folder):
        config, training = read_config(folder, f"{KEY}={name}"), None
        first, digest = record.overrides, record.dataset.digest
    else:
        if folder is not None:
            saved, folder = read_latest(name, folder)
            record = None if folder is None else read_record(folder)
        else:
            saved, record = _fetched(name, output_dir)
            run_id = name
        try:
            config, digest = saved.mapping("config"), saved.text("data_digest")
            first, training = saved.texts("overrides"), saved.part("training")
        except DamagedError as error:
            raise UserError(f"{KEY}={name}: must be a checkpoint of a run ({error})") from error
    before = build(config, Experiment)
    chosen = _chosen(experiment, before, overrides)
    if folder is not None and record is not None and record.config_hash != config_hash(before):
        noted = build(read_config(folder, f"{KEY}={name}"), Experiment).trainer.length
        if key_of(_length(chosen.trainer)) not in map(key_of, overrides):  # as noted when it was to become longer
            chosen = replace(chosen, trainer=chosen.trainer.with_length(noted))
    shorter = None if chosen.trainer.length == before.trainer.length else before.trainer
    if shorter is not None:
        first = _with_length(first, chosen.trainer)
        reason = chosen.trainer.why_not_longer(shorter, chosen.schedule)
        if reason is not None or training is None:
            raise _not_longer(chosen.trainer, shorter, reason or "it has no checkpoint", first)
    ended = None if folder is None or training is not None else RunSummary.read(folder)
    if ended is not None:
        times = f"{ended.unit} {ended.length}"
        raise UserError(f"{KEY}={name}: must be a run that has not ended; this one has, at {times}")
    if folder is not None and "output_dir" not in map(key_of, overrides):
        chosen = replace(chosen, output_dir=_output_dir(folder, chosen.output_dir))
    return Resumed(
        experiment=chosen,
        overrides=first,
        data_digest=digest,
        record=record,
        training=training,
        folder=folder,
        run_id=run_id,
        shorter=shorter,
    )


def _not_longer(longer: Trainer, shorter: Trainer, reason: str, overrides: Sequence[str]) -> UserError:
    """Return why a run cannot go on to become longer, with the command that trains the longer one from its start."""
    return UserError(
        f"{_length(longer)}: must be {shorter.length}, as in the run that goes on, or left out, since {reason}; "
        f"to train it from the start: {command(*overrides)}"
    )


def _with_length(overrides: Sequence[str], longer: Trainer) -> list[str]:
    """Return the overrides of a run with another length."""
    length = _length(longer)
    changed = [length if key_of(override) == key_of(length) else override for override in overrides]
    return changed if length in changed else [*changed, length]


def _length(trainer: Trainer) -> str:
    """Return the override that sets the length of a training."""
    return f"trainer.{trainer.unit}s={trainer.length}"


def check_store(earlier: Resumed | None, uri: str, overrides: Sequence[str], output_dir: Path) -> None:
    """Check that a run goes on in the store in which it began, where the user has not named another.

    Raises UserError if it would go on in the default store, and began elsewhere.
    """
    if earlier is None or earlier.folder is None or any(key_of(one).startswith("tracking") for one in overrides):
        return
    files = {name: database_file(name) for name in read_tracked(earlier.folder)}
    known = [name for name, file in files.items() if file is None or is_there(file)]  # one may have stayed behind
    if known and uri == default_uri(output_dir) and uri not in known:
        raise UserError(f"tracking.uri=null: must be {known[0]}, where the run is tracked, or another store")


def _output_dir(folder: Path, default: str) -> str:
    """Return the output folder that a run lies in, if its store is there, too, else the default."""
    above = folder.absolute().parent.parent
    return str(above) if default_uri(above) in read_tracked(folder) and is_there(above / DATABASE) else default


def resume_command(folder: Path, overrides: Sequence[str]) -> str:
    """Return the command that resumes a run, given the overrides of the last command."""
    again = [override for override in overrides if without_effect(key_of(override)) and key_of(override) != KEY]
    return command(f"{KEY}={relative(folder)}", *again)


def _folder(name: str, output_dir: Path) -> Path | None:
    """Return the folder of the run that a name means, or None where only a store can have it.

    Raises UserError if it is a path, and not there.
    """
    if not is_there(absolute(name)) and ("/" in name or os.sep in name):
        raise UserError(f"{KEY}={name}: must be the folder of a run or its ID in MLflow; there is no such folder")
    return find(name, output_dir, key=KEY)


def _fetched(name: str, output_dir: Path) -> tuple[Saved, RunRecord | None]:
    """Return the checkpoint of a run in MLflow, and what is known of it."""
    with TemporaryDirectory() as folder:
        try:
            MLflowTracking().fetch(output_dir, name, [FOLDER], Path(folder), optional=[RECORD])
        except UserError as error:
            raise UserError(f"{KEY}: {error}") from error
        return read_latest(name, Path(folder))[0], read_record(Path(folder))


def _chosen(experiment: Experiment, saved: Experiment, overrides: Sequence[str]) -> Experiment:
    """Return the saved experiment, with what the command line may set: the length, and keys that change no number."""
    ours, theirs = flat(resolved(experiment)), flat(resolved(saved))
    keys, length = {**theirs, **ours}.keys(), key_of(_length(saved.trainer))
    named = [key_of(override).replace("/", ".") for override in overrides if not without_effect(key_of(override))]
    below = [{key for key in keys if f"{key}.".startswith(f"{name}.")} for name in named]
    given = keys if not all(below) else {key for some in below for key in some}  # `experiment` can set every key
    longer = ours[length] if length in given else None
    for key in keys:
        if ours.get(key) == theirs.get(key) or key not in given or without_effect(key):
            continue
        if key != length or not isinstance(longer, int):
            raise UserError(
                f"{key}={ours.get(key)}: must be {theirs.get(key)}, as in the run that goes on, or left out"
            )
    every = experiment.trainer.checkpoint_every or saved.trainer.checkpoint_every
    shown = experiment.trainer.report_every or saved.trainer.report_every
    trainer = replace(saved.trainer, checkpoint_every=every, report_every=shown)
    if isinstance(longer, int):
        trainer = trainer.with_length(longer)
    return replace(
        saved,
        tracking=experiment.tracking,
        output_dir=experiment.output_dir,
        figures=experiment.figures,
        verbose=experiment.verbose,
        resume=None,
        trainer=trainer,
    )
