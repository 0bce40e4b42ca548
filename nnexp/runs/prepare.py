"""Prepares a run: loads its data, checks that everything fits together, and computes its identity."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nnexp.config.experiment import Experiment
from nnexp.config.identity import config_hash
from nnexp.config.overrides import command, run_name, slug
from nnexp.core.component import resolved
from nnexp.core.errors import UserError
from nnexp.core.output import meanwhile
from nnexp.data.dataset import Data, Dataset
from nnexp.nn.losses import snake_case
from nnexp.plots.animation import picture_of
from nnexp.runs.limits import check_limits, data_bytes, parameters_of, step_bytes
from nnexp.tracking.tracker import DatasetFacts
from nnexp.training.history import Outcome
from nnexp.training.model import Trained
from nnexp.training.stack import Recipe

ANIMATION = "animation"
FOLDER_NAME = re.compile(r"(?:(?P<time>\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d)_)?.*_(?P<hash>[0-9a-f]{12})(?P<number>_\d+)?")
"""The name of a run's folder: the time where it is a run alone, `Ready.folder_name`, a number where that was taken."""


@dataclass(frozen=True)
class Ready:
    """A run that is checked and can be trained.

    Attributes:
        experiment: The config.
        overrides: The overrides of the command.
        name: The name of the run, made of its overrides.
        data, dataset: The data, and the facts about it that are recorded.
        recipe: The components and the seed for the training loop.
        config_hash: The run's identity.
    """

    experiment: Experiment
    overrides: Sequence[str]
    name: str
    data: Data
    dataset: DatasetFacts
    recipe: Recipe
    config_hash: str

    @property
    def command(self) -> str:
        """Return the command that trains this run."""
        return command(*self.overrides)

    @property
    def step_bytes(self) -> int:
        """Return about how many bytes the run works on in a step."""
        return step_bytes(self.experiment, self.data, self.recipe)

    @property
    def data_bytes(self) -> int:
        """Return about how many bytes the run's examples take in a stack of several data sets."""
        return data_bytes(self.experiment, self.data)

    @property
    def work(self) -> int:
        """Return its steps times its parameters, a measure of its cost that no clock changes."""
        trainer = self.experiment.trainer
        return trainer.steps(trainer.length, len(self.data.train)) * parameters_of(self.data, self.recipe)

    @property
    def folder_name(self) -> str:
        """Return the name of the run's folder, without the time."""
        return folder_name(self.name, self.config_hash)

    def trained(self, outcome: Outcome) -> Trained:
        """Return the trained network."""
        return Trained.of(self.recipe, outcome.learned, self.data)


def folder_name(name: str, config_hash: str) -> str:
    """Return the name of the folder of a run, without the time."""
    return f"{slug(name)}_{config_hash}"


def prepare(
    experiment: Experiment,
    overrides: Sequence[str] = (),
    name: str | None = None,
    loaded: tuple[Data, DatasetFacts] | None = None,
) -> Ready:
    """Return a checked experiment as a run that can be trained.

    Raises UserError if data and the rest do not fit together, need too much memory or disk, or `resume` is set.

    Args:
        experiment: The config.
        overrides: The overrides of the command, which name and explain the run.
        name: The name of the run; None makes it of the overrides.
        loaded: The data, if another run has loaded it before.
    """
    if experiment.resume is not None:
        raise UserError(f"resume={experiment.resume}: must be null in a sweep; its command given again goes on with it")
    data, dataset = loaded or load(experiment.dataset)
    recipe = experiment.recipe(data)
    if experiment.figures == ANIMATION and not (experiment.trainer.snapshots and picture_of(data)):
        wanted = "snapshots to show, trainer.snapshots=log:40, of numbers from one feature or of classes in a plane"
        raise UserError(f"figures={ANIMATION}: must have {wanted}")
    check_limits(experiment, data, recipe)
    return Ready(
        experiment=experiment,
        overrides=overrides,
        name=name or run_name(overrides) or data.name,
        data=data,
        dataset=dataset,
        recipe=recipe,
        config_hash=config_hash(experiment),
    )


def load(dataset: Dataset) -> tuple[Data, DatasetFacts]:
    """Return the data and the facts about it; the digest is of the training and test arrays, split and scaled.

    Raises UserError if the examples do not fit the config, or do not fit into memory.
    """
    meanwhile("Loading the data")
    try:
        data = dataset.load()
    except MemoryError as error:
        raise UserError(f"dataset={snake_case(type(dataset))}: must fit into memory ({error})") from error
    digest = hashlib.sha256()
    for part in (data.train, data.test):
        for array in (part.x, part.targets):
            digest.update(np.ascontiguousarray(array).data)  # without a copy
    schema = {"train": [*data.train.x.shape], "test": [*data.test.x.shape], "classes": [*data.task.classes]}
    return data, DatasetFacts(data.name, digest.hexdigest()[:8], json.dumps(resolved(dataset)), schema)
