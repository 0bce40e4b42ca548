"""What is said of the test part at the end, against the history and scikit-learn."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.metrics import confusion_matrix, mean_squared_error, precision_recall_fscore_support, roc_auc_score
from sklearn.neighbors import KNeighborsClassifier

from nnexp.config.compose import compose_experiment
from nnexp.core.task import Task
from nnexp.data.bundled import Diabetes
from nnexp.data.dataset import Data
from nnexp.nn.losses import Contrastive
from nnexp.training.history import Outcome
from nnexp.training.loop import train
from nnexp.training.model import Trained
from nnexp.training.predictions import ClassPredictions, Embeddings, NumberPredictions, Predictions, predict
from tests.conftest import make_data_for

Run = tuple[Data, Outcome, Predictions | None]
EPOCHS = "trainer.epochs=20"
EMBEDDING = (EPOCHS, "dataset.count=300", "architecture.outputs=2", "initializer=he_normal", "optimizer=adam")


@cache
def finished(*overrides: str) -> Run:
    experiment = compose_experiment(overrides)
    data = experiment.dataset.load()
    recipe = experiment.recipe(data)
    (outcome,) = train([recipe], data, experiment.trainer, experiment.dtype)
    return data, outcome, predict(Trained.of(recipe, outcome.learned, data))


CLASSIFICATIONS: list[tuple[str, ...]] = [
    ("dataset=breast_cancer", "optimizer=adam", EPOCHS),
    ("dataset=breast_cancer", "architecture.output=sigmoid", "loss=mean_squared_error", "optimizer=adam", EPOCHS),
    ("dataset=wine", "loss=sparse_categorical_cross_entropy", "optimizer=adam", "initializer.scale=0.5", EPOCHS),
    ("dataset=wine", "loss=categorical_cross_entropy", "optimizer=adam", "dtype=float32", EPOCHS),
    (
        "dataset=distilled",
        "dataset.source=wine",
        "dataset.trees=9",
        "loss=kullback_leibler",
        "initializer.scale=1",
        EPOCHS,
    ),
]
"""Every kind of output for classes."""
every_classification = pytest.mark.parametrize("overrides", CLASSIFICATIONS, ids=" ".join)


def classified(overrides: tuple[str, ...]) -> tuple[Data, Outcome, ClassPredictions]:
    data, outcome, predictions = finished(*overrides)
    assert isinstance(predictions, ClassPredictions)
    return data, outcome, predictions


@every_classification
def test_predicted_classes_are_those_of_the_last_evaluation(overrides: tuple[str, ...]) -> None:
    data, outcome, predictions = classified(overrides)
    targets = data.test.targets
    labels = targets.argmax(axis=1) if data.task.kind == "distribution" else targets
    np.testing.assert_array_equal(predictions.labels, labels)
    assert (predictions.predicted == labels).mean() == outcome.history.metrics["test/accuracy"][-1]
    np.testing.assert_array_equal(predictions.predicted, predictions.probabilities.argmax(axis=1))
    if "loss=mean_squared_error" not in overrides:
        loss = -np.log(predictions.probabilities[np.arange(len(labels)), labels.astype(int)]).mean()
        np.testing.assert_allclose(
            loss, outcome.history.metrics["test/loss"][-1], rtol=1e-5 if "dtype=float32" in overrides else 1e-12
        )


@every_classification
def test_scores_of_classes_agree_with_scikit_learn(overrides: tuple[str, ...]) -> None:
    _, _, predictions = classified(overrides)
    true, predicted = predictions.labels, predictions.predicted
    numbers = range(len(predictions.classes))
    np.testing.assert_array_equal(predictions.confusion(), confusion_matrix(true, predicted, labels=numbers))
    columns = precision_recall_fscore_support(true, predicted, labels=numbers, zero_division=0)
    scores = predictions.class_scores()
    assert [score.name for score in scores] == list(predictions.classes)
    ours = [(score.precision, score.recall, score.f1, score.examples) for score in scores]
    np.testing.assert_allclose(ours, np.transpose(columns))


@every_classification
def test_the_baseline_names_the_class_that_is_most_frequent_in_training(overrides: tuple[str, ...]) -> None:
    data, _, predictions = classified(overrides)
    training = data.train.targets.argmax(axis=1) if data.task.kind == "distribution" else data.train.targets
    majority = max(range(len(data.task.classes)), key=lambda label: (training == label).sum())
    share = (predictions.labels == majority).mean()
    assert predictions.baselines() == {"accuracy": ("majority class", share)}


@pytest.mark.parametrize("overrides", CLASSIFICATIONS[:2], ids=" ".join)
def test_the_roc_curve_has_the_area_of_scikit_learn(overrides: tuple[str, ...]) -> None:
    _, _, predictions = classified(overrides)
    wrong, right, area = predictions.roc()
    np.testing.assert_allclose(area, roc_auc_score(predictions.labels, predictions.probabilities[:, 1]))
    called = predictions.predicted == 1
    here = [(called & (predictions.labels == label)).sum() / (predictions.labels == label).sum() for label in (0, 1)]
    assert np.interp(here[0], wrong, right) >= here[1] - 1e-12, "the threshold 1/2 is on the curve or below its steps"


REGRESSION = ("dataset=diabetes", "loss=mean_squared_error", "optimizer=adam", "optimizer.learning_rate=0.1", EPOCHS)


@pytest.mark.parametrize("standardized", [False, True])
def test_numbers_are_in_the_units_of_the_targets(standardized: bool) -> None:  # noqa: FBT001
    data, outcome, predictions = finished(*REGRESSION, f"dataset.standardize_targets={str(standardized).lower()}")
    assert isinstance(predictions, NumberPredictions)
    raw = Diabetes().load()
    np.testing.assert_allclose(predictions.targets, raw.test.targets, rtol=1e-9)
    error = mean_squared_error(raw.test.targets, predictions.predicted)
    factor = raw.train.targets.var() if standardized else 1.0
    np.testing.assert_allclose(error, factor * outcome.history.metrics["test/loss"][-1], rtol=1e-9)
    guess = DummyRegressor().fit(raw.train.x, raw.train.targets).predict(raw.test.x)
    baseline = mean_squared_error(raw.test.targets, guess)
    ((name, typical, typical_baseline),) = predictions.typical_errors()
    assert name == data.task.columns[0]
    np.testing.assert_allclose([typical**2, typical_baseline**2], [error, baseline], rtol=1e-9)
    ((title, value),) = predictions.baselines().values()
    assert title == "training mean"
    np.testing.assert_allclose(value, baseline / factor, rtol=1e-9)


@pytest.mark.parametrize("overrides", [("dataset=pairs", "loss=contrastive"), ("dataset=triplets", "loss=triplet")])
def test_neighbours_of_embeddings_are_those_of_the_last_evaluation(overrides: tuple[str, ...]) -> None:
    data, outcome, predictions = finished(*overrides, *EMBEDDING)
    assert isinstance(predictions, Embeddings)
    assert data.labelled is not None
    np.testing.assert_array_equal(predictions.labels, data.labelled.test.targets)
    seen = nearest(predictions.points, predictions.labels)
    assert seen == outcome.history.metrics["test/neighbour_accuracy"][-1]
    features = nearest(data.labelled.test.x, predictions.labels)
    assert predictions.baselines() == {"neighbour_accuracy": ("by the features themselves", features)}
    assert 1 / 10 < seen < features


def nearest(points: np.ndarray, labels: np.ndarray) -> float:
    """Return the accuracy of scikit-learn's nearest neighbour, each example left out in its turn."""
    (rows,) = KNeighborsClassifier(1).fit(points, labels).kneighbors(return_distance=False).T
    return float((labels[rows] == labels).mean())


def test_groups_without_labels_have_no_predictions() -> None:
    data = make_data_for(Task(kind="pairs"), 2, 9, 4)
    experiment = compose_experiment(["dataset=pairs", *EMBEDDING])
    recipe = replace(compose_experiment([]).recipe(compose_experiment([]).dataset.load()), loss=Contrastive())
    layers = experiment.architecture.layers(4, None)
    recipe = replace(recipe, layers=layers)
    (outcome,) = train([recipe], data, replace(experiment.trainer, epochs=1), "float64")
    assert predict(Trained.of(recipe, outcome.learned, data)) is None
