"""What every contender has to do: five trainings and some that a seed draws, alone and as sweeps; not a word of how."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from nnexp.config.experiment import Experiment
from nnexp.core.component import Array, Labels
from nnexp.core.task import Task
from nnexp.data.dataset import Data, Dataset, Part, Scaling
from nnexp.data.digits import Digits
from nnexp.data.sine import Sine
from nnexp.nn.activations import ReLU, Sigmoid
from nnexp.nn.architectures import MLP
from nnexp.nn.initializers import Normal, VarianceScaling
from nnexp.nn.losses import BinaryCrossEntropy, MeanSquaredError, SparseCategoricalCrossEntropy
from nnexp.nn.network import Layout
from nnexp.optim.optimizers import SGD, Adam
from nnexp.optim.schedules import Constant
from nnexp.tracking.tracker import NoTracking
from nnexp.training.stack import Stack
from nnexp.training.trainer import Trainer

Matrices = list[tuple[Array, Array]]
"""The weight (fan_in, fan_out) and the bias (fan_out,) of every layer."""


@dataclass(frozen=True)
class Setting:
    """What tells one run of a sweep from the others."""

    learning_rate: float
    scale: float = 1.0


@dataclass(frozen=True)
class Work:
    """A training.

    Attributes:
        name, title: Its letter, and what it is.
        base: All of it, as our configs describe it; the training examples are cut to whole batches.
        setting: Of the run alone: the learning rate, and a factor on the scale of the starting weights.
        settings: Of the runs of the sweep.
        sample: How many runs of the sweep are timed where they are trained one by one.
    """

    name: str
    title: str
    base: Experiment
    setting: Setting
    settings: tuple[Setting, ...] = ()
    sample: int = 8

    @property
    def data(self) -> Data:
        """Return the data, of whole batches."""
        data = loaded(self.base.dataset)
        size = self.batch_size or len(data.train)
        return replace(data, train=data.train.take(np.arange(len(data.train) // size * size)))

    @property
    def batch_size(self) -> int:
        """Return the number of examples in a step; 0 is all of them."""
        return 0 if self.base.trainer.batch_size == "full" else self.base.trainer.batch_size

    @property
    def squared(self) -> bool:
        """Tell whether the loss is (z - y)^2 / 2, behind a sigmoid; it is a cross-entropy otherwise."""
        return isinstance(self.base.loss, MeanSquaredError)

    @property
    def relu(self) -> bool:
        """Tell whether hidden units are rectified; they are sigmoid otherwise."""
        return isinstance(self.mlp.activation, ReLU)

    @property
    def adam(self) -> bool:
        """Tell whether the optimizer is Adam; it is plain gradient descent otherwise."""
        return isinstance(self.base.optimizer, Adam)

    @property
    def shuffled(self) -> bool:
        """Tell whether examples are seen in a new order in every epoch."""
        return self.base.trainer.sampling == "shuffled" and self.batch_size > 0

    @property
    def mlp(self) -> MLP:
        """Return the architecture."""
        assert isinstance(self.base.architecture, MLP)
        return self.base.architecture

    @property
    def epochs(self) -> int:
        """Return the number of epochs."""
        return self.base.trainer.epochs

    @property
    def steps(self) -> int:
        """Return the number of steps of one run."""
        rows = len(self.data.train)
        return self.epochs * (rows // (self.batch_size or rows))

    @property
    def evaluations(self) -> frozenset[int]:
        """Return the epochs, counted from 1, after which the test part is evaluated."""
        return frozenset(self.base.trainer.evaluations())

    def lasting(self, epochs: int) -> "Work":
        """Return the same work for so many epochs."""
        return replace(self, base=replace(self.base, trainer=replace(self.base.trainer, epochs=epochs)))

    def in_order(self) -> "Work":
        """Return the same work with the examples in their order, whoever trains."""
        return replace(self, base=replace(self.base, trainer=replace(self.base.trainer, sampling="order")))

    def experiment(self, setting: Setting) -> Experiment:
        """Return one run as our configs describe it."""
        initializer = replace(self.base.initializer, scale=setting.scale * self.base.initializer.scale)
        optimizer = replace(self.base.optimizer, learning_rate=setting.learning_rate)
        return replace(self.base, initializer=initializer, optimizer=optimizer)

    def matrices(self, setting: Setting) -> Matrices:
        """Return the starting weights and biases of a run, which are the same for every contender."""
        recipe, fan_in = self.experiment(setting).recipe(self.data), self.data.train.x.shape[-1]
        (theta,) = Stack([recipe], fan_in, self.base.dtype).theta
        slots = Layout.of(recipe.layers, fan_in).parameters
        arrays = [theta[slot.begin : slot.end].reshape(slot.shape) for slot in slots]
        return [(weight.copy(), bias[0].copy()) for weight, bias in zip(arrays[::2], arrays[1::2], strict=True)]

    def part(self, part: Part) -> tuple[Array, Array | Labels]:
        """Return features and targets of a part: a column of zeros and ones or of numbers, or else labels."""
        targets = part.targets
        if not isinstance(self.base.loss, SparseCategoricalCrossEntropy):
            targets = targets.astype(self.base.dtype).reshape(-1, 1)
        return np.ascontiguousarray(part.x, self.base.dtype), targets

    def orders(self) -> npt.NDArray[np.intp]:
        """Return the rows of every batch of every epoch, shape (epochs, steps, batch size)."""
        rows, generator = len(self.data.train), np.random.default_rng(0)
        epochs = [generator.permutation(rows) if self.shuffled else np.arange(rows) for _ in range(self.epochs)]
        return np.stack(epochs).reshape(self.epochs, -1, self.batch_size or rows)


@dataclass(frozen=True)
class RandomImages(Dataset):
    """Noise in the form of images of 28 x 28 pixels in ten classes, for what matters here is the size."""

    examples: int = 2560
    features: int = 784

    def load(self) -> Data:
        """Return noise."""
        generator = np.random.default_rng(0)

        def part(rows: int) -> Part:
            x = generator.standard_normal((rows, self.features), np.float32)
            return Part(x, generator.integers(10, size=rows))

        return Data("noise", Task(tuple("0123456789")), part(self.examples), part(256), Scaling.none(self.features))


@cache
def loaded(dataset: Dataset) -> Data:
    """Return a data set, loaded once."""
    return dataset.load()


def grid(learning_rates: Sequence[float], scales: Sequence[float]) -> tuple[Setting, ...]:
    """Return all combinations."""
    return tuple(Setting(rate, scale) for rate in learning_rates for scale in scales)


def spaced(low: float, high: float, count: int) -> list[float]:
    """Return logarithmically spaced numbers."""
    return [float(number) for number in np.geomspace(low, high, count)]


A = Work(
    "A",
    "zeros and ones, 64-16-8-1 sigmoid, all 288 at once, SGD, 1000 epochs",
    Experiment(
        dataset=Digits(classes=(0, 1)),
        architecture=MLP(hidden=(16, 8), activation=Sigmoid()),
        initializer=Normal(0.01),
        loss=BinaryCrossEntropy(),
        optimizer=SGD(),
        schedule=Constant(),
        trainer=Trainer(epochs=1000),
        tracking=NoTracking(),
        question=None,
        seed=0,
        dtype="float64",
        output_dir="outputs",
        figures=None,
        verbose=None,
    ),
    Setting(0.5),
    grid(spaced(0.03, 3, 8), spaced(1, 100, 8)),
)
B = Work(
    "B",
    "ten digits, 64-64-32-10 ReLU, 32 at a time, Adam, 20 epochs",
    replace(
        A.base,
        dataset=Digits(),
        architecture=MLP(hidden=(64, 32), activation=ReLU()),
        initializer=Normal(0.1),
        loss=SparseCategoricalCrossEntropy(),
        optimizer=Adam(),
        trainer=Trainer(epochs=20, batch_size=32),
    ),
    Setting(0.001),
    grid(spaced(1e-4, 1e-2, 8), spaced(0.3, 3, 8)),
)
C = Work(
    "C",
    "a sine, 1-10-10-1 ReLU, one at a time, SGD, 10 epochs of 500",
    replace(
        A.base,
        dataset=Sine(),
        architecture=MLP(hidden=(10, 10), activation=ReLU(), output=Sigmoid()),
        initializer=Normal(0.1, Normal(0.1)),
        loss=MeanSquaredError(factor=0.5),
        trainer=Trainer(epochs=10, batch_size=1, sampling="order", evaluate_every=10),
    ),
    Setting(0.01),
    grid(spaced(1e-3, 1e-1, 16), spaced(0.5, 5, 16)),
)
D = Work(
    "D",
    "noise as images, 784-1024-1024-10 ReLU, 256 at a time, Adam, float32, 80 steps",
    replace(
        B.base,
        dataset=RandomImages(),
        architecture=MLP(hidden=(1024, 1024), activation=ReLU()),
        initializer=VarianceScaling(gain=2.0),
        trainer=Trainer(epochs=8, batch_size=256),
        dtype="float32",
    ),
    Setting(0.001),
    grid(spaced(1e-4, 1e-3, 2), [0.5, 1.0]),
    sample=2,
)
E = Work(
    "E",
    "ten digits, 20 layers of 64 ReLU units, 64 at a time, SGD, 10 epochs",
    replace(
        B.base,
        architecture=MLP(hidden=(64,) * 20, activation=ReLU()),
        initializer=VarianceScaling(gain=2.0),
        optimizer=SGD(),
        trainer=Trainer(epochs=10, batch_size=64),
    ),
    Setting(0.01),
)
WORKS = {work.name: work for work in (A, B, C, D, E)}
DRAWN = 3
"""How many works a seed draws."""
BRIEF = 0.1
"""About how many seconds a drawn work takes a plain loop."""


def named(name: str) -> Work:
    """Return one of the works, or one that no goal names: `7-2` is the second that seed 7 draws."""
    return WORKS[name] if name in WORKS else drawn(*map(int, name.split("-")))


def drawn(seed: int, number: int) -> Work:
    """Return a work of a shape, data and optimizer that are drawn."""
    draw = np.random.default_rng([seed, number])
    features, *hidden = (int(2 ** draw.uniform(3, 8)) for _ in range(draw.integers(2, 7)))
    batch = int(draw.choice([8, 32, 128, 512]))
    rows = batch * math.ceil(2 ** draw.uniform(8, 12) / batch)
    relu, adam = (bool(one) for one in draw.integers(2, size=2))
    products = 3 * batch * sum(a * b for a, b in pairwise([features, *hidden, 10]))
    seconds = (rows // batch) * (products / 2e10 + 1e-4)
    epochs = max(1, round(BRIEF / seconds))
    shape = f"{'-'.join(map(str, (features, *hidden, 10)))} {'ReLU' if relu else 'sigmoid'}"
    return Work(
        f"{seed}-{number}",
        f"noise, {shape}, {rows} examples, {batch} at a time, {'Adam' if adam else 'SGD'}, {epochs} epochs",
        replace(
            B.base,
            dataset=RandomImages(examples=rows, features=features),
            architecture=MLP(hidden=tuple(hidden), activation=ReLU() if relu else Sigmoid()),
            initializer=VarianceScaling(),
            optimizer=Adam() if adam else SGD(),
            trainer=Trainer(epochs=epochs, batch_size=batch),
        ),
        Setting(0.001),
        grid(spaced(1e-4, 1e-2, 4), [0.3, 1.0, 2.0, 3.0]),
        sample=4,
    )
