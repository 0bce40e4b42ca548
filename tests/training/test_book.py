"""Reference R4: the optimizers of the book on its spiral, as a distribution over seeds."""

import numpy as np
import pytest

from nnexp.data.dataset import Data, Part, Scaling
from nnexp.data.task import Task
from nnexp.nn.activations import ReLU
from nnexp.nn.architectures import MLP
from nnexp.nn.initializers import Normal
from nnexp.nn.losses import SparseCategoricalCrossEntropy
from nnexp.optim.optimizers import SGD, AdaGrad, Adam, Momentum, Optimizer, RMSprop
from nnexp.optim.schedules import InverseTime
from nnexp.training.loop import train
from nnexp.training.stack import Recipe
from nnexp.training.trainer import Trainer

ROWS: list[tuple[Optimizer, float, float]] = [
    (SGD(1.0), 0.0, 0.647),
    (SGD(1.0), 1e-2, 0.397),
    (SGD(1.0), 1e-3, 0.647),
    (Momentum(1.0, momentum=0.5), 1e-3, 0.780),
    (Momentum(1.0, momentum=0.9), 1e-3, 0.957),
    (AdaGrad(1.0, epsilon=1e-7), 1e-4, 0.840),
    (RMSprop(0.02, rho=0.999, epsilon=1e-7), 1e-5, 0.900),
    (Adam(0.02, epsilon=1e-7), 1e-5, 0.967),
    (Adam(0.05, epsilon=1e-7), 5e-7, 0.967),
]
"""Optimizer, decay, and the train accuracy that the book's scripts give for their seed 0."""


def spiral(seed: int) -> Data:
    """Return the book's spiral: 100 points on each of three arms."""
    generator = np.random.RandomState(seed)
    arms = []
    for arm in range(3):
        radius, angle = np.linspace(0, 1, 100), np.linspace(4 * arm, 4 * (arm + 1), 100) + 0.2 * generator.randn(100)
        arms.append(np.column_stack([radius * np.sin(2.5 * angle), radius * np.cos(2.5 * angle)]))
    part = Part(np.concatenate(arms).astype("float32"), np.repeat(np.arange(3), 100))
    return Data("spiral", Task(("0", "1", "2")), part, part, Scaling(np.zeros(2), np.ones(2)))


@pytest.mark.slow
@pytest.mark.parametrize(("optimizer", "decay", "accuracy"), ROWS, ids=repr)
def test_the_book_lies_within_the_seeds(optimizer: Optimizer, decay: float, accuracy: float) -> None:
    """The book's number lies between the least and the most of seeds 0 to 9, give or take a few points."""
    layers = MLP(hidden=(64,), activation=ReLU()).layers(2, 3)
    loss = SparseCategoricalCrossEntropy()
    recipes = [Recipe(layers, Normal(0.01), loss, optimizer, InverseTime(decay=decay), seed) for seed in range(10)]
    outcomes = train(recipes, spiral(0), Trainer(epochs=10_001, evaluate_every=10_001), "float64")
    accuracies = np.array([outcome.history.metrics["train/accuracy"][-1] for outcome in outcomes])
    assert accuracies.min() - 0.05 <= accuracy <= accuracies.max() + 0.05, accuracies
