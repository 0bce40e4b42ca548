import numpy as np
from sklearn.metrics import confusion_matrix

from nnexp.nn.activations import Tanh
from nnexp.nn.architectures import MLP
from nnexp.nn.initializers import Normal
from nnexp.nn.losses import SparseCategoricalCrossEntropy
from nnexp.optim.optimizers import Adam
from nnexp.optim.schedules import Constant
from nnexp.training.loop import train
from nnexp.training.predictions import parameters, predict
from nnexp.training.stack import Recipe
from nnexp.training.trainer import Trainer
from tests.conftest import make_data

DATA = make_data(40, 5, 3)
RECIPE = Recipe(
    MLP(hidden=(6,), activation=Tanh()).layers(5, 3),
    Normal(0.5),
    SparseCategoricalCrossEntropy(),
    Adam(0.01),
    Constant(),
    0,
)
(OUTCOME,) = train([RECIPE], DATA, Trainer(epochs=20), "float64")


def test_predictions_are_those_of_the_last_evaluation() -> None:
    predictions = predict(RECIPE, OUTCOME.learned, DATA)
    accuracy = (predictions.predicted == DATA.test.targets).mean()
    assert accuracy == OUTCOME.history.metrics["test/accuracy"][-1]
    loss = -np.log(predictions.probabilities[np.arange(len(DATA.test)), DATA.test.targets]).mean()
    np.testing.assert_allclose(loss, OUTCOME.history.metrics["test/loss"][-1], rtol=1e-12)


def test_confusion_scores_and_baseline() -> None:
    predictions = predict(RECIPE, OUTCOME.learned, DATA)
    np.testing.assert_array_equal(predictions.confusion(), confusion_matrix(DATA.test.targets, predictions.predicted))
    for label, score in enumerate(predictions.class_scores()):
        true, called = DATA.test.targets == label, predictions.predicted == label
        assert score.examples == true.sum()
        np.testing.assert_allclose(score.recall, (true & called).sum() / true.sum())
    majority = max(range(3), key=lambda label: (DATA.train.targets == label).sum())
    assert predictions.baseline == (DATA.test.targets == majority).mean()


def test_named_parameters_make_the_same_network() -> None:
    named = parameters(RECIPE, OUTCOME.learned, 5)
    hidden = np.tanh(DATA.test.x @ named["0.weight"] + named["0.bias"])
    z = hidden @ named["2.weight"] + named["2.bias"]
    np.testing.assert_array_equal(z.argmax(axis=1), predict(RECIPE, OUTCOME.learned, DATA).predicted)
