from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.neighbors import KNeighborsClassifier

from nnexp.core.component import Array, Labels
from nnexp.core.errors import UserError
from nnexp.core.task import Task
from nnexp.data.dataset import Data
from nnexp.nn.losses import BinaryCrossEntropy, Loss, MeanSquaredError, SparseCategoricalCrossEntropy
from nnexp.training.metrics import (
    METRICS,
    SHARE,
    MetricName,
    evaluate,
    lower_is_better,
    metrics_for,
    neighbour_accuracy,
)
from tests.conftest import make_data

RUNS, EXAMPLES = 3, 40
TWO, FIVE, NUMBERS = Task(("no", "yes")), Task(tuple("abcde")), Task(kind="regression", columns=("a", "b"))

Reference = Callable[[Labels, Labels, Array], float]
BINARY: dict[MetricName, Reference] = {
    "accuracy": lambda true, called, p: sk.accuracy_score(true, called),
    "balanced_accuracy": lambda true, called, p: sk.balanced_accuracy_score(true, called),
    "precision": lambda true, called, p: sk.precision_score(true, called, zero_division=0),
    "recall": lambda true, called, p: sk.recall_score(true, called, zero_division=0),
    "f1": lambda true, called, p: sk.f1_score(true, called, zero_division=0),
    "roc_auc": lambda true, called, p: sk.roc_auc_score(true, p[:, 1].round(12)),  # ties of scores are ties
    "log_loss": lambda true, called, p: sk.log_loss(true, p, labels=[0, 1]),
}
MANY: dict[MetricName, Reference] = {
    **{name: reference for name, reference in BINARY.items() if METRICS[name].classes is None},
    "precision": lambda true, called, p: sk.precision_score(true, called, average="macro", zero_division=0),
    "recall": lambda true, called, p: sk.recall_score(true, called, average="macro", zero_division=0),
    "f1": lambda true, called, p: sk.f1_score(true, called, average="macro", zero_division=0),
    "log_loss": lambda true, called, p: sk.log_loss(true, p, labels=range(5)),
}
REGRESSION: dict[MetricName, Callable[[Array, Array], float]] = {
    "mean_squared_error": sk.mean_squared_error,
    "mean_absolute_error": sk.mean_absolute_error,
    "r2": sk.r2_score,
}

CASES: list[tuple[Loss, Task, MetricName, Reference]] = [
    *[(BinaryCrossEntropy(), TWO, name, reference) for name, reference in BINARY.items()],
    *[(SparseCategoricalCrossEntropy(), TWO, name, reference) for name, reference in BINARY.items()],
    *[
        (MeanSquaredError(), TWO, name, reference)
        for name, reference in BINARY.items()
        if name not in ("roc_auc", "log_loss")
    ],
    *[(SparseCategoricalCrossEntropy(), FIVE, name, reference) for name, reference in MANY.items()],
]


def test_every_metric_has_its_reference() -> None:
    assert {*METRICS} == {*BINARY, *REGRESSION, "neighbour_accuracy"}


@pytest.mark.parametrize(
    ("loss", "task", "name", "reference"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
@pytest.mark.parametrize("own_targets", [True, False])
def test_parity_with_scikit_learn(
    loss: Loss, task: Task, name: MetricName, reference: Reference, *, own_targets: bool
) -> None:
    """For each of three runs; some classes are never called, and some scores are tied."""
    generator = np.random.default_rng(0)
    z = (8 * generator.standard_normal((RUNS, EXAMPLES, loss.outputs(task) or 0))).round() / 8
    z[..., -1] -= 1 if z.shape[-1] > 2 else 0
    z[0, :, 0] = 9  # this run says the same of all
    targets = generator.integers(len(task.classes), size=(RUNS, EXAMPLES) if own_targets else EXAMPLES)
    values = evaluate(name, loss, z, targets, task)
    assert values.shape == (RUNS,)
    for run in range(RUNS):
        true = targets[run] if own_targets else targets
        expected = reference(true, loss.decide(z)[run], loss.class_probabilities(z)[run])
        np.testing.assert_allclose(values[run], expected, rtol=1e-12, err_msg=f"run {run}")


@pytest.mark.parametrize(("name", "reference"), REGRESSION.items())
def test_regression_parity_with_scikit_learn(name: MetricName, reference: Callable[[Array, Array], float]) -> None:
    generator = np.random.default_rng(1)
    z, targets = generator.standard_normal((RUNS, EXAMPLES, 2)), generator.standard_normal((EXAMPLES, 2))
    values = evaluate(name, MeanSquaredError(), z, targets, NUMBERS)
    np.testing.assert_allclose(values, [reference(targets, z[run]) for run in range(RUNS)], rtol=1e-12)


def test_neighbour_accuracy_parity_with_scikit_learn() -> None:
    generator = np.random.default_rng(2)
    z, labels = generator.standard_normal((RUNS, EXAMPLES, 3)), generator.integers(4, size=EXAMPLES)
    z[0] += 5 * labels[:, None]
    values = neighbour_accuracy(z, labels)
    for run in range(RUNS):
        hits = []
        for row in range(EXAMPLES):
            others = np.arange(EXAMPLES) != row
            nearest = KNeighborsClassifier(1).fit(z[run, others], labels[others])
            hits.append(nearest.predict(z[run, row : row + 1])[0] == labels[row])
        assert values[run] == np.mean(hits)
    assert values[0] > 0.9


def of(task: Task) -> Data:
    return replace(make_data(4, 2, 2), task=task)


def test_metrics_are_chosen_by_the_task_and_refused_where_they_do_not_fit() -> None:
    triplets = of(Task(kind="triplets"))
    assert metrics_for(of(FIVE), None) == ("accuracy",)
    assert metrics_for(of(NUMBERS), None) == ("r2",)
    assert metrics_for(triplets, None) == ()
    assert metrics_for(replace(triplets, labelled=of(FIVE)), None) == ("neighbour_accuracy",)
    assert metrics_for(of(TWO), ("f1", "roc_auc")) == ("f1", "roc_auc")
    with pytest.raises(
        UserError, match=r"trainer\.metrics=accuracy: must be r2 or .* for data with numbers as targets"
    ):
        metrics_for(of(NUMBERS), ("accuracy",))
    with pytest.raises(UserError, match=r"trainer\.metrics=roc_auc: must be accuracy or .* for data with 5 classes"):
        metrics_for(of(FIVE), ("roc_auc",))


def test_losses_and_errors_are_better_when_lower() -> None:
    assert lower_is_better("test/loss")
    assert lower_is_better("validation/mean_squared_error")
    assert not lower_is_better("test/accuracy")


@pytest.mark.parametrize("name", BINARY)
def test_which_way_is_better_and_the_unit(name: MetricName) -> None:
    """Of right and of reversed answers; what is a share of examples lies between 0 and 1."""
    loss, targets = BinaryCrossEntropy(), np.array([0, 0, 1, 1, 1])
    z = np.stack([8.0 * targets - 4, 4 - 8.0 * targets])[..., None]
    right, reversed_ = evaluate(name, loss, z, targets, task=TWO).tolist()
    assert (right < reversed_) == lower_is_better(f"test/{name}")
    assert METRICS[name].unit != SHARE or 0 <= min(right, reversed_) <= max(right, reversed_) <= 1


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.classes == 2])
def test_what_needs_two_classes_is_refused_for_more(name: MetricName) -> None:
    with pytest.raises(UserError, match=rf"trainer\.metrics={name}: must be accuracy or .* for data with 5 classes"):
        metrics_for(of(FIVE), (name,))
