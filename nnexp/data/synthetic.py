"""Data made by a formula, for questions about learning itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import annotated_types as at
import numpy as np

from nnexp.core.component import Array, Count, InvalidFieldError, Number, Seed
from nnexp.core.task import Task
from nnexp.data.dataset import MOST_EXAMPLES, Collection, Size, Spread, Table, TableDataset

MOST_NUMBERS = 100_000_000
"""The most numbers that are generated, because it is done before the memory is checked."""


@dataclass(frozen=True)
class Modular(Collection):
    """All pairs of numbers a, b below a modulus, each number as a one-hot vector; the class is (a + b) mod modulus.

    References:
        Power et al., Grokking: Generalization Beyond Overfitting on Small Algorithmic Datasets, arXiv 2201.02177.
        Gromov, Grokking Modular Arithmetic, arXiv 2301.02679.
    """

    modulus: Annotated[int, at.Interval(ge=2, le=200)] = 23
    test_size: Annotated[float, at.Interval(gt=0, lt=1)] = 0.5
    stratify: bool = False
    standardize: bool = False

    def examples(self) -> Table:
        """Return the pairs, in order of a and then of b, and their sums."""
        a, b = np.divmod(np.arange(self.modulus**2), self.modulus)
        one_hot = np.eye(self.modulus)
        x = np.concatenate([one_hot[a], one_hot[b]], axis=1)
        return Table(x, (a + b) % self.modulus, Task(tuple(map(str, range(self.modulus)))))


TEACHERS: dict[str, Callable[[Array], Array]] = {
    "linear": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "square": np.square,
}


@dataclass(frozen=True)
class Teacher(TableDataset):
    """The outputs of a random network with one hidden layer: y = sum_k v_k f(w_k x) / sqrt(width), plus noise.

    Features and v are N(0, 1), the w of a hidden unit N(0, 1 / features); the test part has no noise. More training
    examples have the same ones in front, and the same teacher. With `trainer.epochs=1`, each is seen once, as from an
    endless stream.

    References:
        Saad and Solla, On-line Learning in Soft Committee Machines, Physical Review E 52, 1995.
    """

    examples: Size = 1000
    test_examples: Size = 1000
    features: Count = 10
    width: Count = 4
    activation: Literal["linear", "relu", "tanh", "square"] = "tanh"
    noise: Spread = 0.0
    seed: Seed = 0
    standardize: bool = False

    def __post_init__(self) -> None:
        """Check every field, and that the examples are not too large together."""
        super().__post_init__()
        _check_numbers(max(self.examples, self.test_examples, self.width), self.features)

    def rest_and_test(self) -> tuple[Table, Table]:
        """Return the training examples, with noise, and the test examples, without."""
        of_teacher, of_train, of_test, of_noise = (np.random.default_rng([self.seed, number]) for number in range(4))
        w = of_teacher.standard_normal((self.features, self.width)) / np.sqrt(self.features)
        v = of_teacher.standard_normal((self.width, 1)) / np.sqrt(self.width)

        def answers(x: Array) -> Array:
            y: Array = TEACHERS[self.activation](x @ w) @ v
            return y

        x = of_train.standard_normal((self.examples, self.features))
        unseen = of_test.standard_normal((self.test_examples, self.features))
        noise = of_noise.normal(0, self.noise, (self.examples, 1))
        return self._table(x, answers(x) + noise), self._table(unseen, answers(unseen))

    def _table(self, x: Array, y: Array) -> Table:
        return Table(x, y, Task(kind="regression", columns=("y",)))


@dataclass(frozen=True)
class RandomLabels(Collection):
    """Normal features with labels that have nothing to do with them: all that a network can do is learn by heart.

    For the images of another data set with random labels, say `dataset=digits dataset.label_noise=0.9`.

    References:
        Zhang et al., Understanding Deep Learning Requires Rethinking Generalization, arXiv 1611.03530.
    """

    points: Size = 400
    features: Count = 20
    classes: Annotated[int, at.Interval(ge=2, le=1000)] = 2
    seed: Seed = 0

    def __post_init__(self) -> None:
        """Check every field, and that the examples are not too large together."""
        super().__post_init__()
        _check_numbers(self.points, self.features)

    def examples(self) -> Table:
        """Return the features, and labels of which there are as many of each class as can be."""
        generator = np.random.default_rng(self.seed)
        x = generator.standard_normal((self.points, self.features))
        labels = generator.permutation(np.arange(self.points) % self.classes)
        return Table(x, labels, Task(tuple(map(str, range(self.classes)))))


@dataclass(frozen=True)
class Polynomial(TableDataset):
    """Points of y = c_0 + c_1 x + c_2 x^2 + ..., evenly from -1 to 1; the test part is the points halfway between."""

    points: Annotated[int, at.Interval(ge=3, le=MOST_EXAMPLES)] = 100
    coefficients: Annotated[tuple[Number, ...], at.MinLen(1)] = (0.0, -1.5, 0.0, 2.5)
    noise: Spread = 0.0
    seed: Seed = 0

    def rest_and_test(self) -> tuple[Table, Table]:
        """Return the points in their order, with noise, and those between them, without."""
        x = np.linspace(-1, 1, self.points)
        noise = np.random.default_rng(self.seed).normal(0, self.noise, len(x))
        return self._table(x, noise), self._table((x[1:] + x[:-1]) / 2, np.zeros(len(x) - 1))

    def _table(self, x: Array, noise: Array) -> Table:
        y = np.polynomial.polynomial.polyval(x, self.coefficients) + noise
        return Table(x[:, None], y[:, None], Task(kind="regression", columns=("y",)), ("x",))


def _check_numbers(examples: int, features: int) -> None:
    if examples * features > MOST_NUMBERS:
        raise InvalidFieldError("features", features, f"at most {MOST_NUMBERS // examples} for {examples} examples")
