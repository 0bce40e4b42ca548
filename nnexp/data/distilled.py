"""Targets that are not classes, but the probabilities that another model gives them."""

from dataclasses import dataclass, field, replace
from typing import Annotated

import annotated_types as at
import numpy as np

from nnexp.core.component import Array, Count, Labels, Seed
from nnexp.core.errors import UserError
from nnexp.core.task import Task
from nnexp.data.dataset import Data, Dataset, Part
from nnexp.data.digits import Digits


@dataclass(frozen=True)
class Distilled(Dataset):
    """A classification whose training labels are replaced by the probabilities of a teacher, for a student to learn.

    The teacher is a random forest, trained on the whole training part; its probabilities for a training example come
    from the trees that were not trained on it. They are raised to the power 1 / temperature and scaled to sum 1. The
    student gets some of these examples. The other parts keep their labels, as probabilities 0 and 1, so that an
    accuracy there is the true one.

    References:
        Hinton, Vinyals and Dean, Distilling the Knowledge in a Neural Network, arXiv 1503.02531.
    """

    source: Dataset = field(default_factory=Digits)
    trees: Annotated[int, at.Interval(ge=1, le=10_000)] = 300
    temperature: Annotated[float, at.Gt(0)] = 1.0
    student_examples: Count | None = None
    seed: Seed = 0

    def load(self) -> Data:
        """Return the source with distributions as targets."""
        source = self.source.load()
        if source.task.kind != "classification":
            raise UserError(f"dataset.source={source.name}: must be a classification, and has {source.task}")
        count = self.student_examples or len(source.train)
        if count > len(source.train):
            raise UserError(
                f"dataset.student_examples={count}: must be at most {len(source.train)}, the training examples, or null"
            )
        task = Task(source.task.classes, "distribution")

        def with_certain_targets(part: Part) -> Part:
            return Part(part.x, np.eye(len(task.classes))[part.targets.astype(np.intp, copy=False)])

        chosen = np.sort(np.random.default_rng(self.seed).permutation(len(source.train))[:count])
        probabilities = softened(self._teacher_probabilities(source.train, len(task.classes)), self.temperature)
        return replace(
            source,
            name=self.name,
            task=task,
            train=Part(source.train.x[chosen], probabilities[chosen]),
            test=with_certain_targets(source.test),
            validation=None if source.validation is None else with_certain_targets(source.validation),
        )

    def _teacher_probabilities(self, train: Part, classes: int) -> Array:
        """Return the teacher's probabilities for every training example."""
        from sklearn.ensemble import RandomForestClassifier

        labels: Labels = train.targets.astype(np.intp, copy=False)
        teacher = RandomForestClassifier(self.trees, random_state=self.seed).fit(train.x, labels)
        votes = np.zeros((len(train), classes))
        for tree, seen in zip(teacher.estimators_, teacher.estimators_samples_, strict=True):
            unseen = np.ones(len(train), bool)
            unseen[seen] = False
            votes[np.ix_(unseen, teacher.classes_)] += tree.predict_proba(train.x[unseen])
        total = votes.sum(axis=1, keepdims=True)
        # With few trees, all may have been trained on an example; then its label is taken.
        return np.where(total > 0, votes / np.where(total > 0, total, 1), np.eye(classes)[labels])


def softened(probabilities: Array, temperature: float) -> Array:
    """Return distributions proportional to p^(1 / temperature)."""
    relative = probabilities / probabilities.max(axis=1, keepdims=True)  # so that no power is lost to underflow
    powers = relative ** (1 / temperature)
    distributions: Array = powers / powers.sum(axis=1, keepdims=True)
    return distributions
