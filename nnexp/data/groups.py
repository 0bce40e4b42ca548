"""Pairs and triplets of examples, for losses on embeddings."""

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

import annotated_types as at
import numpy as np

from nnexp.core.component import Array, Labels, Seed
from nnexp.core.errors import UserError
from nnexp.core.task import Kind, Task
from nnexp.data.dataset import MOST_EXAMPLES, Data, Dataset, Part, Share
from nnexp.data.digits import Digits


@dataclass(frozen=True)
class Groups(Dataset):
    """Groups of examples of a classification, drawn part by part, so that no test example is trained on."""

    kind: ClassVar[Kind]

    source: Dataset = field(default_factory=Digits)
    count: Annotated[int, at.Interval(ge=1, le=MOST_EXAMPLES // 10)] = 4000
    seed: Seed = 0

    @abstractmethod
    def draw(self, generator: np.random.Generator, partners: "Partners", anchors: Labels) -> tuple[Labels, Array]:
        """Return the rows of every group, shape (groups, rows), and its target; `anchors` are the first rows."""

    def load(self) -> Data:
        """Return the groups of every part of the source."""
        source = self.source.load()
        if source.task.kind != "classification":
            raise UserError(f"dataset.source={source.name}: must be a classification, and has {source.task}")
        generator = np.random.default_rng(self.seed)

        def part(examples: Part, name: str) -> Part:
            labels = examples.targets.astype(np.intp, copy=False)
            partners = Partners(labels)
            if not len(partners.anchors) or len(np.unique(labels)) == 1:
                raise UserError(
                    f"dataset.source={source.name}: must have two classes and two examples of one in its {name} part"
                )
            count = max(1, round(self.count * len(examples) / len(source.train)))
            rows, targets = self.draw(generator, partners, generator.choice(partners.anchors, count))
            return Part(examples.x[rows], targets)

        return replace(
            source,
            name=self.name,
            task=Task(source.task.classes, self.kind),
            train=part(source.train, "training"),
            test=part(source.test, "test"),
            validation=None if source.validation is None else part(source.validation, "validation"),
            labelled=source,
        )


@dataclass(frozen=True)
class Pairs(Groups):
    """Two examples, with the target 1 where they are of one class, else 0."""

    kind: ClassVar[Kind] = "pairs"
    same: Share = 0.5

    def draw(self, generator: np.random.Generator, partners: "Partners", anchors: Labels) -> tuple[Labels, Array]:
        """Return pairs, each of one class with probability `same`."""
        same = generator.random(len(anchors)) < self.same
        others = np.where(same, partners.same_class(generator, anchors), partners.other_class(generator, anchors))
        return np.column_stack([anchors, others]), same.astype(np.float64)


@dataclass(frozen=True)
class Triplets(Groups):
    """An anchor, another example of its class, and an example of another class; the targets are not used."""

    kind: ClassVar[Kind] = "triplets"

    def draw(self, generator: np.random.Generator, partners: "Partners", anchors: Labels) -> tuple[Labels, Array]:
        """Return triplets."""
        near, far = partners.same_class(generator, anchors), partners.other_class(generator, anchors)
        return np.column_stack([anchors, near, far]), np.zeros(len(anchors))


class Partners:
    """Draws, for an example, another one of its class or one of another class, all with equal probability.

    Args:
        labels: The class of every example.
    """

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._by_class = np.argsort(labels, kind="stable")
        self._place = np.argsort(self._by_class)
        self._counts = np.bincount(labels)
        self._starts = np.cumsum(self._counts) - self._counts
        self.anchors = np.flatnonzero(self._counts[labels] > 1)

    def same_class(self, generator: np.random.Generator, rows: Labels) -> Labels:
        """Return for each row another row of its class."""
        labels = self._labels[rows]
        steps = generator.integers(1, self._counts[labels])
        within = (self._place[rows] - self._starts[labels] + steps) % self._counts[labels]
        found: Labels = self._by_class[self._starts[labels] + within]
        return found

    def other_class(self, generator: np.random.Generator, rows: Labels) -> Labels:
        """Return for each row a row of another class."""
        labels = self._labels[rows]
        chosen = generator.integers(0, len(self._labels) - self._counts[labels])
        chosen += np.where(chosen >= self._starts[labels], self._counts[labels], 0)
        found: Labels = self._by_class[chosen]
        return found
