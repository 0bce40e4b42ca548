"""Going on with a run from its last checkpoint: `resume=RUN`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from nnexp.config.experiment import Experiment
from nnexp.config.identity import without_effect
from nnexp.config.overrides import command, key_of
from nnexp.core.build import build
from nnexp.core.component import flat, resolved
from nnexp.core.errors import DamagedError, UserError
from nnexp.core.files import absolute, is_there, relative
from nnexp.core.state import Saved, Tree
from nnexp.runs.recorded_run import folder_of_run_id
from nnexp.runs.tracking_note import tracked_as
from nnexp.storage.checkpoints import FOLDER, read_latest
from nnexp.training.loop import Training

KEY = "resume"


@dataclass(frozen=True)
class Resumed:
    """A run that goes on.

    Attributes:
        experiment, overrides: What it trains, and what was asked for when it began.
        data_digest: Of the data that it was trained on.
        training: Where the training stood.
        folder: Where its files are; None where only MLflow has them.
        run_id: What MLflow calls it, where its folder does not say so.
    """

    experiment: Experiment
    overrides: Sequence[str]
    data_digest: str
    training: Saved
    folder: Path | None
    run_id: str | None

    def restore(self, training: Training, data_digest: str) -> None:
        """Let a training go on where this one stood.

        Raises UserError if the data is another by now, or the checkpoint is not one of this run.
        """
        if data_digest != self.data_digest:
            raise UserError(f"dataset: must be what it was, with the digest {self.data_digest}, not {data_digest}")
        try:
            training.restore(self.training)
        except DamagedError as error:
            raise UserError(f"{KEY}: must have a checkpoint of this run ({error})") from error

    def tracked_as(self, uri: str) -> str | None:
        """Return what a store calls the run."""
        return self.run_id if self.folder is None else tracked_as(self.folder, uri, complete=False)


def facts(experiment: Experiment, overrides: Sequence[str], data_digest: str) -> dict[str, Tree]:
    """Return what a checkpoint says of a run, so that it can be resumed."""
    return {"overrides": [*overrides], "data_digest": data_digest, "config": cast("Tree", resolved(experiment))}


def resumed(experiment: Experiment, overrides: Sequence[str]) -> Resumed:
    """Return the run that `resume` names.

    What its numbers depend on stands in the checkpoint; where things go and what is relative is said anew, for a
    checkpoint may come from somebody else.

    Raises UserError if there is no sound checkpoint, or the command line asks for another config.

    Args:
        experiment, overrides: What the command line says.
    """
    name = str(experiment.resume)
    output_dir = absolute(experiment.output_dir)
    folder, run_id = _folder(name, output_dir), None
    if folder is not None:
        saved, folder = read_latest(name, folder)
    else:
        from nnexp.tracking.mlflow import MLflowTracking

        with TemporaryDirectory() as fetched:
            MLflowTracking().fetch(output_dir, name, [FOLDER], Path(fetched))
            saved, _ = read_latest(name, Path(fetched))
        run_id = name
    try:
        config, digest = saved.mapping("config"), saved.text("data_digest")
        first, training = saved.texts("overrides"), saved.part("training")
    except DamagedError as error:
        raise UserError(f"{KEY}={name}: must be a checkpoint of a run ({error})") from error
    there = build(config, Experiment)
    chosen = _chosen(experiment, there, overrides)
    return Resumed(
        experiment=chosen, overrides=first, data_digest=digest, training=training, folder=folder, run_id=run_id
    )


def resume_command(folder: Path, overrides: Sequence[str]) -> str:
    """Return the command that goes on with a run, which began with some overrides."""
    again = [override for override in overrides if without_effect(key_of(override)) and key_of(override) != KEY]
    return command(f"{KEY}={relative(folder)}", *again)


def _folder(name: str, output_dir: Path) -> Path | None:
    """Return the path that a name is, or the folder of the run that MLflow calls so; None where there is none."""
    return absolute(name) if is_there(absolute(name)) else folder_of_run_id(name, output_dir)


def _chosen(experiment: Experiment, there: Experiment, overrides: Sequence[str]) -> Experiment:
    """Return the experiment of a checkpoint, with what the command line says of all that changes no number."""
    if not all(without_effect(key_of(override)) for override in overrides):
        ours, theirs = flat(resolved(experiment)), flat(resolved(there))
        for key in {**theirs, **ours}:
            if ours.get(key) != theirs.get(key) and not without_effect(key):
                raise UserError(
                    f"{key}={ours.get(key)}: must be {theirs.get(key)}, as in the run that goes on, or left out"
                )
    every = experiment.trainer.checkpoint_every or there.trainer.checkpoint_every
    return replace(
        there,
        tracking=experiment.tracking,
        output_dir=experiment.output_dir,
        figures=experiment.figures,
        verbose=experiment.verbose,
        resume=None,
        trainer=replace(there.trainer, checkpoint_every=every),
    )
