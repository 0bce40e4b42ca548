"""A sine wave to be learned from its points."""

from dataclasses import dataclass
from typing import Annotated

import annotated_types as at
import numpy as np

from nnexp.core.component import Array, Seed
from nnexp.core.task import Task
from nnexp.data.dataset import Size, Spread, Table, TableDataset


@dataclass(frozen=True)
class Sine(TableDataset):
    """Points of y = (sin x + 1) / 2, evenly spaced around 0; the test part is the points halfway between them."""

    points: Size = 500
    periods: Annotated[float, at.Interval(gt=0, le=1e6)] = 2.0
    noise: Spread = 0.0
    seed: Seed = 0

    def rest_and_test(self) -> tuple[Table, Table]:
        """Return the points in their order, and those between them."""
        x = np.linspace(-np.pi * self.periods, np.pi * self.periods, self.points)
        between = (x[1:] + x[:-1]) / 2
        noise = np.random.default_rng(self.seed).normal(0, self.noise, len(x))
        return self._table(x, wave(x) + noise), self._table(between, wave(between))

    def _table(self, x: Array, y: Array) -> Table:
        return Table(x[:, None], y[:, None], Task(kind="regression", columns=("y",)), ("x",))


def wave(x: Array) -> Array:
    """Return (sin x + 1) / 2."""
    y: Array = (np.sin(x) + 1) / 2
    return y
