"""Examples without any rule: nothing to learn but the examples themselves."""

from dataclasses import dataclass

import numpy as np

from nnexp.core.component import Count, InvalidFieldError, Seed
from nnexp.core.task import Task
from nnexp.data.dataset import MOST_EXAMPLES, Size, Table, TableDataset


@dataclass(frozen=True)
class Noise(TableDataset):
    """Features and targets from N(0, 1), independent of each other; the test part is a second draw."""

    examples: Size = 72
    features: Count = 8
    test_examples: Size = 8
    standardize: bool = False
    seed: Seed = 0

    def __post_init__(self) -> None:
        """Check every field, and that all numbers together are not too many."""
        super().__post_init__()
        most = 10 * MOST_EXAMPLES // max(self.examples, self.test_examples)
        if self.features > most:
            raise InvalidFieldError("features", self.features, f"at most {most} for so many examples")

    def rest_and_test(self) -> tuple[Table, Table]:
        """Return two draws."""
        generator = np.random.default_rng(self.seed)
        return self._draw(generator, self.examples), self._draw(generator, self.test_examples)

    def _draw(self, generator: np.random.Generator, count: int) -> Table:
        x, y = generator.standard_normal((count, self.features)), generator.standard_normal((count, 1))
        names = tuple(f"x{place}" for place in range(self.features))
        return Table(x, y, Task(kind="regression", columns=("y",)), names)
