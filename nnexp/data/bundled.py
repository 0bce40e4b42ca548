"""Small tables that come with scikit-learn, read from its files: to import it takes a second."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from nnexp.core.component import Array
from nnexp.core.task import Task
from nnexp.data.dataset import Collection, Table

SEPALS_AND_PETALS = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
MEASURED_IN_WINE = (
    "alcohol malic_acid ash alcalinity_of_ash magnesium total_phenols flavanoids nonflavanoid_phenols proanthocyanins "
    "color_intensity hue od280/od315_of_diluted_wines proline"
)
MEASURED_IN_CELLS = (
    *("radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "concave points"),
    *("symmetry", "fractal dimension"),
)


@dataclass(frozen=True)
class Iris(Collection):
    """Petals and sepals of 150 irises of three species, in cm.

    References:
        Fisher, The Use of Multiple Measurements in Taxonomic Problems, Annals of Eugenics 7, 1936.
    """

    def examples(self) -> Table:
        """Return 4 lengths and widths of each flower, and its species."""
        return _labelled("iris.csv", SEPALS_AND_PETALS)


@dataclass(frozen=True)
class Wine(Collection):
    """Thirteen measurements of 178 wines from three growers.

    References:
        Aeberhard and Forina, Wine, UCI Machine Learning Repository, 1991.
    """

    def examples(self) -> Table:
        """Return the measurements of each wine, and its grower."""
        return _labelled("wine_data.csv", tuple(MEASURED_IN_WINE.split()))


@dataclass(frozen=True)
class BreastCancer(Collection):
    """Thirty measurements of cell nuclei in 569 images of breast tissue, malignant or benign.

    References:
        Street, Wolberg and Mangasarian, Nuclear Feature Extraction for Breast Tumor Diagnosis, SPIE 1905, 1993.
    """

    def examples(self) -> Table:
        """Return the measurements in each image, and the diagnosis."""
        names = [f"{kind} {name}" for kind in ("mean", "worst") for name in MEASURED_IN_CELLS]
        names[10:10] = [f"{name} error" for name in MEASURED_IN_CELLS]
        return _labelled("breast_cancer.csv", tuple(names))


@dataclass(frozen=True)
class Diabetes(Collection):
    """Ten measurements of 442 patients, and how far their diabetes had progressed a year later (25 to 346).

    References:
        Efron, Hastie, Johnstone and Tibshirani, Least Angle Regression, Annals of Statistics 32, 2004.
    """

    def examples(self) -> Table:
        """Return the measurements in their own units, and the progression as a column."""
        x, targets = (numbers_in(f"diabetes_{name}.csv.gz", separator=None) for name in ("data_raw", "target"))
        task = Task(kind="regression", columns=("progression",))
        return Table(x, targets[:, None], task, ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"))


def file_of(name: str) -> Path:
    """Return the path of a table of scikit-learn; its loaders tell the same names, as `load_iris().filename`."""
    package = find_spec("sklearn")
    (folder,) = (package and package.submodule_search_locations) or ("sklearn",)
    return Path(folder) / "datasets" / "data" / name


def numbers_in(name: str, separator: str | None = ",", *, header: bool = False) -> Array:
    """Return the numbers of a table of scikit-learn."""
    return np.loadtxt(file_of(name), delimiter=separator, skiprows=int(header))


def _labelled(name: str, features: tuple[str, ...]) -> Table:
    """Return a table whose last column is the class; its first line has its size and the names of the classes."""
    with file_of(name).open(encoding="utf-8") as file:
        _, _, *classes = next(file).strip().split(",")
    table = numbers_in(name, header=True)
    return Table(table[:, :-1], table[:, -1].astype(np.intp), Task(tuple(classes)), features)
