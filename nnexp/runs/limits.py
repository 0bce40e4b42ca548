"""Estimates the memory and disk space of a run, and compares them with what is free before it trains."""

import shutil
from pathlib import Path

import numpy as np

from nnexp.config.experiment import Experiment
from nnexp.core.errors import UserError
from nnexp.core.files import absolute, is_there
from nnexp.data.dataset import Data
from nnexp.nn.network import Layout, outputs, size
from nnexp.training.evaluator import all_names
from nnexp.training.stack import Recipe
from nnexp.training.trainer import Trainer

ARRAYS_PER_UNIT = 3
"""Numbers per unit and example: the input and output of the activation, and the gradient."""
BYTES_PER_ROUND = 200
"""Bytes in memory for each round of a training, beside its metrics."""
BYTES_PER_WRITTEN_NUMBER = 20
"""Bytes of a number in a text file."""
COPIES_OF_FILES = 2
"""The files of a run are written twice: into its folder, and for MLflow."""
COPIES_OF_PARAMETERS = 2
"""The trained parameters are among them twice: for nnexp, and within the model that MLflow loads."""
MAX_BYTES = 10**300
"""Larger numbers are written as this one, which can still be divided as a float."""
BYTE_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")


def parameters_of(data: Data, recipe: Recipe) -> int:
    """Return the number of parameters of a run."""
    return size(Layout.of(recipe.layers, data.train.x.shape[-1]).parameters)


def step_bytes(experiment: Experiment, data: Data, recipe: Recipe) -> int:
    """Return about how many bytes one run works on in a step: parameters, gradient, state, and activations."""
    dtype = np.dtype(experiment.dtype)
    state = recipe.optimizer.init(np.empty((1, 0), dtype))
    examples = experiment.trainer.examples_per_step(len(data.train))
    units, width = 0, data.train.x.shape[-1]
    for layer in recipe.layers:
        width = outputs([layer], width)
        units += width
    return int(dtype.itemsize * (parameters_of(data, recipe) * (2 + len(state)) + ARRAYS_PER_UNIT * examples * units))


def data_bytes(experiment: Experiment, data: Data) -> int:
    """Return about how many bytes the examples take that a run has for itself in a stack of several data sets."""
    parts = (data.train, *data.parts().values())
    return np.dtype(experiment.dtype).itemsize * sum(part.x.size + part.targets.size for part in parts)


def check_limits(experiment: Experiment, data: Data, recipe: Recipe) -> None:
    """Check by an estimate that a run fits into the free memory, and its files onto the disk.

    Raises UserError if not.
    """
    import psutil

    trainer, parameters = experiment.trainer, parameters_of(data, recipe)
    numbers = evaluations(trainer) * len(all_names(data, trainer, recipe.layers))
    needed, free = step_bytes(experiment, data, recipe), psutil.virtual_memory().available
    if needed > free:
        batch = trainer.examples_per_step(len(data.train))
        raise UserError(
            f"architecture, trainer.batch_size: must need at most the {amount(free)} of memory that are free, "
            f"not {amount(needed)} for {parameters:,} parameters and {batch:,} examples at a time"
        )
    needed = 8 * numbers + BYTES_PER_ROUND * trainer.length
    if needed > free:
        raise UserError(
            f"trainer.{trainer.unit}s={trainer.length}: must need at most the {amount(free)} of memory that are free, "
            f"not {amount(needed)} for its history"
        )
    arrays = parameters * (COPIES_OF_PARAMETERS + len(trainer.moments))
    needed = COPIES_OF_FILES * (8 * arrays + BYTES_PER_WRITTEN_NUMBER * numbers)
    free = shutil.disk_usage(existing(absolute(experiment.output_dir))).free
    if needed > free:
        raise UserError(
            f"output_dir={experiment.output_dir}: must have room for {amount(needed)}, of {len(trainer.moments)} "
            f"trainer.snapshots and {evaluations(trainer):,} evaluations, and has {amount(free)}"
        )


def evaluations(trainer: Trainer) -> int:
    """Return the largest possible number of evaluations."""
    return trainer.length // trainer.evaluate_every + 3 + len(trainer.moments)


def existing(path: Path) -> Path:
    """Return a folder, or the nearest one above it that exists."""
    return next(folder for folder in (path, *path.parents) if is_there(folder))


def amount(count: float) -> str:
    """Return a number of bytes with two digits and a unit."""
    place, count = 0, min(count, MAX_BYTES)
    while count >= 1000 and place < len(BYTE_UNITS) - 1:
        count, place = count / 1000, place + 1
    return f"{count:.2g} {BYTE_UNITS[place]}" if count < 100 else f"{count:,.0f} {BYTE_UNITS[place]}"
