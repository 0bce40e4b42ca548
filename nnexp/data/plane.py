"""Points in a plane whose classes no straight line can tell apart."""

from dataclasses import dataclass
from typing import Annotated

import annotated_types as at
import numpy as np

from nnexp.core.component import Array, InvalidFieldError, Seed
from nnexp.core.task import Task
from nnexp.data.dataset import MOST_EXAMPLES, Collection, Size, Spread, Table, TableDataset

AXES = ("x", "y")
TWO_CLASSES = Task(("0", "1"))
Arms = Annotated[int, at.Interval(ge=2, le=1000)]


@dataclass(frozen=True)
class Spiral(TableDataset):
    """Arms that wind around the origin, one a class; the test part is a second draw of the same size.

    On arm c, the radius r goes evenly from 0 to 1 and the angle a from 4 c to 4 (c + 1), with noise N(0, 1) times
    `noise` on the angle; the point is (r sin 2.5 a, r cos 2.5 a). Numbers are drawn from NumPy's legacy generator and
    rounded to float32, so that the points are those of `nnfs.datasets.spiral_data` after `nnfs.init()`.

    References:
        Karpathy, Neural Networks Case Study, CS231n, 2015; Kinsley and Kukiela, Neural Networks from Scratch, 2020.
    """

    points: Size = 100
    arms: Arms = 3
    noise: Spread = 0.2
    seed: Seed = 0

    def __post_init__(self) -> None:
        """Check every field, and that all arms together are not too large."""
        super().__post_init__()
        if self.points * self.arms > MOST_EXAMPLES:
            raise InvalidFieldError("points", self.points, f"at most {MOST_EXAMPLES // self.arms} for {self.arms} arms")

    def rest_and_test(self) -> tuple[Table, Table]:
        """Return two draws of all arms."""
        generator = np.random.RandomState(self.seed)
        return self._draw(generator), self._draw(generator)

    def _draw(self, generator: np.random.RandomState) -> Table:
        radius = np.linspace(0, 1, self.points)
        points = []
        for arm in range(self.arms):
            noise = generator.standard_normal(self.points).astype(np.float32) * np.float32(self.noise)
            angle = np.linspace(4 * arm, 4 * (arm + 1), self.points) + noise
            points.append(np.column_stack([radius * np.sin(2.5 * angle), radius * np.cos(2.5 * angle)]))
        x = np.concatenate(points).astype(np.float32).astype(np.float64)
        return Table(x, np.arange(self.arms).repeat(self.points), Task(tuple(map(str, range(self.arms)))), AXES)


@dataclass(frozen=True)
class Moons(Collection):
    """Two interleaved half circles of radius 1."""

    points: Size = 400
    noise: Spread = 0.2
    seed: Seed = 0

    def examples(self) -> Table:
        """Return the points of both half circles, as `make_moons` of scikit-learn."""
        outer, inner = (np.linspace(0, np.pi, count) for count in halves(self.points))
        half, other = (np.cos(outer), np.sin(outer)), (1 - np.cos(inner), 1 - np.sin(inner) - 0.5)
        return two_classes(half, other, self.noise, self.seed)


@dataclass(frozen=True)
class Circles(Collection):
    """A circle of radius 1 around a smaller one."""

    points: Size = 400
    noise: Spread = 0.1
    inner: Annotated[float, at.Interval(gt=0, lt=1)] = 0.5
    seed: Seed = 0

    def examples(self) -> Table:
        """Return the points of both circles, as `make_circles` of scikit-learn; the inner one is class 1."""
        outer, inner = (np.linspace(0, 2 * np.pi, count, endpoint=False) for count in halves(self.points))
        circle, smaller = (np.cos(outer), np.sin(outer)), (np.cos(inner) * self.inner, np.sin(inner) * self.inner)
        return two_classes(circle, smaller, self.noise, self.seed)


@dataclass(frozen=True)
class Xor(Collection):
    """Clouds around the corners (1, 1), (-1, -1), which are class 0, and (1, -1), (-1, 1), which are class 1.

    References:
        Minsky and Papert, Perceptrons, 1969.
    """

    points: Annotated[int, at.Interval(ge=1, le=MOST_EXAMPLES // 4)] = 100
    noise: Spread = 0.3
    seed: Seed = 0

    def examples(self) -> Table:
        """Return the points around all four corners."""
        corners = np.array([(1, 1), (-1, -1), (1, -1), (-1, 1)]).repeat(self.points, axis=0)
        noise = np.random.default_rng(self.seed).normal(0, self.noise, corners.shape)
        return Table(corners + noise, np.array([0, 0, 1, 1]).repeat(self.points), TWO_CLASSES, AXES)


def halves(points: int) -> tuple[int, int]:
    """Return how many points each of two classes has, the second one more of an odd number."""
    return points // 2, points - points // 2


def two_classes(first: tuple[Array, Array], second: tuple[Array, Array], noise: float, seed: int) -> Table:
    """Return the points of two classes, mixed and then moved by noise."""
    x = np.column_stack([np.concatenate(axis) for axis in zip(first, second, strict=True)])
    generator = np.random.RandomState(seed)
    order = np.arange(len(x))
    generator.shuffle(order)
    labels = np.arange(2).repeat([len(first[0]), len(second[0])])
    return Table(x[order] + generator.normal(scale=noise, size=x.shape), labels[order], TWO_CLASSES, AXES)
