"""Small tables that come with scikit-learn."""

from dataclasses import dataclass

import numpy as np

from nnexp.core.task import Task
from nnexp.data.dataset import Collection, Table


@dataclass(frozen=True)
class Iris(Collection):
    """Petals and sepals of 150 irises of three species, in cm.

    References:
        Fisher, The Use of Multiple Measurements in Taxonomic Problems, Annals of Eugenics 7, 1936.
    """

    def examples(self) -> Table:
        """Return 4 lengths and widths of each flower, and its species."""
        return _labelled("iris")


@dataclass(frozen=True)
class Wine(Collection):
    """Thirteen measurements of 178 wines from three growers.

    References:
        Aeberhard and Forina, Wine, UCI Machine Learning Repository, 1991.
    """

    def examples(self) -> Table:
        """Return the measurements of each wine, and its grower."""
        return _labelled("wine")


@dataclass(frozen=True)
class BreastCancer(Collection):
    """Thirty measurements of cell nuclei in 569 images of breast tissue, malignant or benign.

    References:
        Street, Wolberg and Mangasarian, Nuclear Feature Extraction for Breast Tumor Diagnosis, SPIE 1905, 1993.
    """

    def examples(self) -> Table:
        """Return the measurements in each image, and the diagnosis."""
        return _labelled("breast_cancer")


@dataclass(frozen=True)
class Diabetes(Collection):
    """Ten measurements of 442 patients, and how far their diabetes had progressed a year later (25 to 346).

    References:
        Efron, Hastie, Johnstone and Tibshirani, Least Angle Regression, Annals of Statistics 32, 2004.
    """

    def examples(self) -> Table:
        """Return the measurements in their own units, and the progression as a column."""
        from sklearn.datasets import load_diabetes

        bunch = load_diabetes(scaled=False)
        task = Task(kind="regression", columns=("progression",))
        return Table(bunch.data, bunch.target.astype(np.float64)[:, None], task, tuple(bunch.feature_names))


def _labelled(name: str) -> Table:
    """Return a classification data set of scikit-learn."""
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")()
    task = Task(tuple(map(str, bunch.target_names)))
    return Table(bunch.data, bunch.target, task, tuple(map(str, bunch.feature_names)))
