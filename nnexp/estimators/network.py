"""A classifier and a regressor for scikit-learn: thin shells around the trainer that commands use.

Nothing is written and nothing is recorded; what is trained lives in the estimator.
"""

import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from nnexp.config.compose import compose_experiment
from nnexp.config.experiment import Experiment
from nnexp.config.written import written
from nnexp.core.component import Array, Labels
from nnexp.core.errors import UserError
from nnexp.core.task import Task
from nnexp.data.dataset import Data, Part, Scaling, fit_scaling
from nnexp.training.loop import train
from nnexp.training.model import Trained

APPLIES = re.compile(
    r"\+{0,2}(architecture|initializer|loss|optimizer|schedule|dtype|trainer\.(regularization|sampling))\b[^=]*="
)
"""The overrides that an estimator takes: others are of data, evaluations and files, of which it has none."""
RandomState = int | np.random.RandomState | None


class _Network(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What both estimators share: their parameters, and the way from arrays to a trained network.

    Args:
        hidden: The units of each hidden layer.
        activation, initializer, optimizer: The names of options, as on the command line.
        learning_rate: The size of a step.
        epochs: How many times to go through the examples.
        batch_size: The examples in one step, all of them if there are fewer, or `full`.
        standardize: Whether features (and the targets of a regression) are brought to mean 0 and deviation 1.
        random_state: The seed of starting weights and batches.
        overrides: Anything else, as on the command line: `("trainer.regularization.l2=0.01",)`.
    """

    def __init__(  # noqa: PLR0913 - a parameter each is how scikit-learn copies and searches
        self,
        hidden: Sequence[int] = (32,),
        *,
        activation: str = "relu",
        initializer: str = "he_normal",
        optimizer: str = "adam",
        learning_rate: float = 0.01,
        epochs: int = 200,
        batch_size: int | Literal["full"] = 32,
        standardize: bool = True,
        random_state: RandomState = None,
        overrides: Sequence[str] = (),
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.initializer = initializer
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.standardize = standardize
        self.random_state = random_state
        self.overrides = overrides

    @abstractmethod
    def _loss(self) -> str:
        """Return the name of the loss."""

    def _experiment(self, examples: int, seed: int) -> Experiment:
        """Return the config of the training, evaluated at its end alone."""
        values = {
            "loss": self._loss(),
            "architecture.hidden": self.hidden,
            "architecture.activation": self.activation,
            "initializer": self.initializer,
            "optimizer": self.optimizer,
            "optimizer.learning_rate": self.learning_rate,
            "trainer.epochs": self.epochs,
            "trainer.evaluate_every": self.epochs,
            "trainer.batch_size": "full" if self.batch_size == "full" else min(self.batch_size, examples),
        }
        for one in self.overrides:
            if not APPLIES.match(one):
                raise UserError(
                    f"overrides: must be of architecture, initializer, loss, optimizer, schedule, dtype, "
                    f"trainer.regularization or trainer.sampling, and {one} has no effect here"
                )
        experiment = composed((*(f"{key}={written(value)}" for key, value in values.items()), *self.overrides))
        return replace(experiment, seed=seed)

    def _train(self, x: Array, targets: Array | Labels, task: Task) -> None:
        """Train a network on examples.

        Raises ValueError if the parameters do not make a network, or it diverges.
        """
        seed = int(check_random_state(self.random_state).randint(2**31))
        experiment = self._experiment(len(x), seed)
        scaling = fit_scaling(x) if self.standardize else Scaling.none(x.shape[1])
        scaled = self.standardize and task.kind == "regression"
        target_scaling = fit_scaling(targets) if scaled else None
        if target_scaling is not None:
            targets = target_scaling.apply(targets.copy())
        part = Part(scaling.apply(x.copy()), targets)
        data = Data("x", task, train=part, test=part, scaling=scaling, target_scaling=target_scaling)
        recipe = experiment.recipe(data)
        (outcome,) = train([recipe], data, experiment.trainer, experiment.dtype)
        if outcome.diverged_step is not None:
            rate = f"learning_rate={self.learning_rate}"
            raise ValueError(f"{rate}: must be smaller, for the loss is not finite at step {outcome.diverged_step}")
        self.network_ = Trained.of(recipe, outcome.learned, data)
        self.history_ = outcome.history

    def _scaled(self, x: npt.ArrayLike) -> Array:
        """Return checked features, scaled as those of the training."""
        check_is_fitted(self)
        checked: Array = validate_data(self, x, dtype=np.float64, reset=False, copy=True)
        return self.network_.data.scaling.apply(checked)


class NetworkClassifier(ClassifierMixin, _Network):  # type: ignore[misc]
    """A network that classifies, trained by cross-entropy.

    Attributes:
        classes_: The classes.
        network_: The trained network, with its data.
        history_: The metrics at its end.
    """

    def _loss(self) -> str:
        return "sparse_categorical_cross_entropy"

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:  # noqa: N803 - scikit-learn's name
        """Train on examples of shape (examples, features) and their labels, and return the estimator.

        Raises ValueError if they are not valid, or the parameters do not make a network that learns.
        """
        x, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        encoder = LabelEncoder().fit(labels)
        self.classes_ = encoder.classes_
        if len(self.classes_) < 2:
            raise ValueError(f"y: must have at least two classes, and has one class, {self.classes_[0]}")
        names = tuple(map(str, self.classes_))
        self._train(x, encoder.transform(labels).astype(np.intp), Task(names))
        return self

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[np.generic]:  # noqa: N803
        """Return the most probable class of each example."""
        scaled = self._scaled(X)
        decided: npt.NDArray[np.generic] = self.classes_[self.network_.decide(scaled)]
        return decided

    def predict_proba(self, X: npt.ArrayLike) -> Array:  # noqa: N803
        """Return the probability of every class, shape (examples, classes)."""
        scaled = self._scaled(X)
        return self.network_.probabilities(scaled)


class NetworkRegressor(RegressorMixin, MultiOutputMixin, _Network):  # type: ignore[misc]
    """A network that predicts numbers, one or several of each example, trained by the squared error.

    Attributes:
        network_: The trained network, with its data.
        history_: The metrics at its end.
    """

    def _loss(self) -> str:
        return "mean_squared_error"

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:  # noqa: N803 - scikit-learn's name
        """Train on examples of shape (examples, features) and their targets, and return the estimator.

        Raises ValueError if they are not valid, or the parameters do not make a network that learns.
        """
        x, targets = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        columns = targets.reshape(len(targets), -1).astype(np.float64)
        self._one_column = targets.ndim == 1
        self._train(x, columns, Task(kind="regression", columns=tuple(f"y{n + 1}" for n in range(columns.shape[1]))))
        return self

    def predict(self, X: npt.ArrayLike) -> Array:  # noqa: N803
        """Return the predicted numbers, of the shape that the targets had."""
        scaled = self._scaled(X)
        numbers = self.network_.numbers(scaled)
        return numbers[:, 0] if self._one_column else numbers


@lru_cache(maxsize=64)
def composed(overrides: tuple[str, ...]) -> Experiment:
    """Return the experiment of some overrides, composed once."""
    return compose_experiment(overrides)
