"""The common part of all data sets: split first, then scale by what the training part alone says."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated

import annotated_types as at
import numpy as np

from nnexp.component import Array, Component, Labels, Seed
from nnexp.data.task import Task


@dataclass(frozen=True)
class Part:
    """Examples: features `x` of shape (examples, features), their targets as the task has them, and their weights.

    A weight multiplies the loss of its example; None weighs all the same.
    """

    x: Array
    targets: Array | Labels
    weights: Array | None = None

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.x)


@dataclass(frozen=True)
class Scaling:
    """The affine map that was applied to each feature: scaled = (raw - offset) / factor."""

    offset: Array
    factor: Array

    def undo(self, x: Array) -> Array:
        """Return the raw features."""
        return x * self.factor + self.offset


@dataclass(frozen=True)
class Data:
    """A data set ready for training.

    Attributes
    ----------
    name
        What figures and MLflow call it.
    task
        What is to be predicted.
    train, test, validation
        The parts, scaled; validation may be missing.
    scaling
        How to get the raw features back.
    image_shape
        (height, width) where the features are the pixels of an image.

    """

    name: str
    task: Task
    train: Part
    test: Part
    scaling: Scaling
    image_shape: tuple[int, int] | None = None
    validation: Part | None = None

    def parts(self) -> dict[str, Part]:
        """Return the parts on which a run is evaluated, by name, after the training part."""
        return {"test": self.test} if self.validation is None else {"validation": self.validation, "test": self.test}


@dataclass(frozen=True)
class Dataset(Component):
    """A source of examples, split into a training and a test part.

    Attributes
    ----------
    name
        What the terminal, the figures and MLflow call the data set.
    test_size
        The share of the examples that is kept for testing.
    validation_size
        The share of the examples that is kept for choosing, by early stopping for example; 0 for none.
    split_seed
        The seed of the split; it is apart from the run's seed, so that runs of many seeds share one split.
    standardize
        Whether each feature is scaled to mean 0 and standard deviation 1, both taken from the training part alone.

    """

    name: str = "data"
    test_size: Annotated[float, at.Interval(gt=0, lt=1)] = 0.2
    validation_size: Annotated[float, at.Interval(ge=0, lt=1)] = 0.0
    split_seed: Seed = 42
    standardize: bool = True

    @abstractmethod
    def examples(self) -> tuple[Array, Array | Labels, Task]:
        """Return all features, all targets, and the task."""

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """Return (height, width) where the features are the pixels of an image."""
        return None

    def load(self) -> Data:
        """Return the data set, split (stratified by class) and scaled."""
        from sklearn.model_selection import train_test_split

        x, targets, task = self.examples()

        def split(rows: Labels, size: float) -> tuple[Labels, Labels]:
            stratify = targets[rows] if task.kind == "classification" else None
            rest, kept = train_test_split(rows, test_size=size, random_state=self.split_seed, stratify=stratify)
            return rest, kept

        rest, test = split(np.arange(len(x)), self.test_size)
        train, validation = (rest, rest[:0])
        if self.validation_size:
            train, validation = split(rest, self.validation_size / (1 - self.test_size))
        scaling = fit_scaling(x[train]) if self.standardize else Scaling(np.zeros(x.shape[1]), np.ones(x.shape[1]))

        def part(rows: Labels) -> Part:
            return Part((x[rows] - scaling.offset) / scaling.factor, targets[rows])

        kept = part(validation) if len(validation) else None
        return Data(self.name, task, part(train), part(test), scaling, self.image_shape, kept)


def fit_scaling(x: Array) -> Scaling:
    """Return the scaling by mean and population standard deviation; a constant feature is only centred."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(x)
    return Scaling(scaler.mean_, scaler.scale_)
