import numpy as np
import pytest

from nnexp.component import Array, Labels
from nnexp.data.task import Task
from nnexp.nn.losses import BinaryCrossEntropy, Loss, LossMismatchError, SparseCategoricalCrossEntropy
from tests.gradients import TOLERANCE, relative_error

LOSSES = [(BinaryCrossEntropy(), 2), (SparseCategoricalCrossEntropy(), 2), (SparseCategoricalCrossEntropy(), 5)]
"""Every loss with a number of classes; a new one adds an entry."""
by_name = pytest.mark.parametrize(("loss", "classes"), LOSSES, ids=lambda value: getattr(type(value), "__name__", ""))


def make(loss: Loss, classes: int, *, spread: float = 1.0) -> tuple[Array, Array, Labels]:
    generator = np.random.default_rng(1)
    task = Task(tuple(str(number) for number in range(classes)))
    labels = generator.integers(classes, size=6)
    return spread * generator.standard_normal((3, 6, loss.outputs(task))), loss.encode(labels, task), labels


@by_name
def test_gradient_is_the_derivative(loss: Loss, classes: int) -> None:
    z, y, _ = make(loss, classes)
    error = relative_error(lambda z: float(loss.forward(z, y).sum()), loss.backward(z, y), z, np.random.default_rng(2))
    assert error < TOLERANCE


@by_name
def test_loss_is_the_negative_log_of_the_true_class_probability(loss: Loss, classes: int) -> None:
    z, y, labels = make(loss, classes)
    p = loss.probabilities(z)
    np.testing.assert_allclose(p.sum(axis=-1), 1)
    np.testing.assert_allclose(loss.forward(z, y), -np.log(p[:, np.arange(len(labels)), labels]), rtol=1e-12)
    np.testing.assert_array_equal(loss.decide(z), p.argmax(axis=-1))


@by_name
@pytest.mark.parametrize("spread", [1e4, -1e4])
def test_extreme_logits_stay_finite(loss: Loss, classes: int, spread: float) -> None:
    z, y, _ = make(loss, classes, spread=spread)
    for result in (loss.forward(z, y), loss.backward(z, y), loss.probabilities(z)):
        assert np.isfinite(result).all()


def test_two_ways_to_say_binary_agree() -> None:
    """One sigmoid unit is a softmax over the logits 0 and z."""
    z = np.linspace(-5, 5, 11)[:, None]
    labels = np.arange(11) % 2
    task = Task(("no", "yes"))
    binary, softmax = BinaryCrossEntropy(), SparseCategoricalCrossEntropy()
    two = np.concatenate([np.zeros_like(z), z], axis=1)
    np.testing.assert_allclose(
        binary.forward(z, binary.encode(labels, task)), softmax.forward(two, softmax.encode(labels, task)), rtol=1e-12
    )


def test_binary_cross_entropy_names_the_loss_that_fits() -> None:
    with pytest.raises(LossMismatchError, match="needs 2 classes and the data has 3: use loss=sparse_categorical"):
        BinaryCrossEntropy().outputs(Task(("a", "b", "c")))
