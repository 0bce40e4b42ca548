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
    """Examples: features `x` of shape (examples, features), and the label of each."""

    x: Array
    labels: Labels

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
    train, test
        The two parts, scaled.
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


@dataclass(frozen=True)
class Dataset(Component):
    """A source of examples, split into a training and a test part.

    Attributes
    ----------
    name
        What the terminal, the figures and MLflow call the data set.
    test_size
        The share of the examples that is kept for testing.
    split_seed
        The seed of the split; it is apart from the run's seed, so that runs of many seeds share one split.
    standardize
        Whether each feature is scaled to mean 0 and standard deviation 1, both taken from the training part alone.

    """

    name: str = "data"
    test_size: Annotated[float, at.Interval(gt=0, lt=1)] = 0.2
    split_seed: Seed = 42
    standardize: bool = True

    @abstractmethod
    def examples(self) -> tuple[Array, Labels, Task]:
        """Return all features, all labels, and the task."""

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """Return (height, width) where the features are the pixels of an image."""
        return None

    def load(self) -> Data:
        """Return the data set, split (stratified by class) and scaled."""
        from sklearn.model_selection import train_test_split

        x, labels, task = self.examples()
        x_train, x_test, train_labels, test_labels = train_test_split(
            x, labels, test_size=self.test_size, random_state=self.split_seed, stratify=labels
        )
        scaling = fit_scaling(x_train) if self.standardize else Scaling(np.zeros(x.shape[1]), np.ones(x.shape[1]))
        return Data(
            self.name,
            task,
            Part((x_train - scaling.offset) / scaling.factor, train_labels),
            Part((x_test - scaling.offset) / scaling.factor, test_labels),
            scaling,
            self.image_shape,
        )


def fit_scaling(x: Array) -> Scaling:
    """Return the scaling by mean and population standard deviation; a constant feature is only centred."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(x)
    return Scaling(scaler.mean_, scaler.scale_)
