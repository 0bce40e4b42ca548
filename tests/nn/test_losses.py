from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.utils.class_weight import compute_class_weight

from nnexp.core.component import Array, Labels
from nnexp.core.errors import UserError
from nnexp.core.task import Task
from nnexp.nn.losses import (
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    Contrastive,
    Huber,
    KullbackLeibler,
    Loss,
    LossMismatchError,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalCrossEntropy,
    Triplet,
)
from tests.gradients import TOLERANCE, relative_error

TWO, FIVE = Task(("no", "yes")), Task(tuple("abcde"))
NUMBERS = Task(kind="regression", columns=("a", "b", "c"))
SHARES = Task(tuple("abcde"), "distribution")
PAIRS, TRIPLETS = Task(kind="pairs"), Task(kind="triplets")
WEIGHTS = (0.5, 2.0, 1.0, 0.0, 3.0)

LOSSES: list[tuple[Loss, Task]] = [
    (MeanSquaredError(), NUMBERS),
    (MeanSquaredError(0.5), TWO),
    (MeanSquaredError(), FIVE),
    (MeanAbsoluteError(), NUMBERS),
    (Huber(0.7), NUMBERS),
    (BinaryCrossEntropy(), TWO),
    (BinaryCrossEntropy(0.2, (0.5, 2.0)), TWO),
    (CategoricalCrossEntropy(), FIVE),
    (CategoricalCrossEntropy(0.1, WEIGHTS), FIVE),
    (CategoricalCrossEntropy(), SHARES),
    (SparseCategoricalCrossEntropy(), TWO),
    (SparseCategoricalCrossEntropy(), FIVE),
    (SparseCategoricalCrossEntropy(0.1, WEIGHTS), FIVE),
    (KullbackLeibler(), SHARES),
    (Contrastive(2.0), PAIRS),
    (Triplet(), TRIPLETS),
    (Triplet(1.0, squared=False), TRIPLETS),
]
"""Every loss with a task it fits; a new one adds an entry."""
by_name = pytest.mark.parametrize(("loss", "task"), LOSSES, ids=repr)
CROSS_ENTROPIES = [row for row in LOSSES if isinstance(row[0], (BinaryCrossEntropy, CategoricalCrossEntropy))]


def make_targets(task: Task, examples: int, generator: np.random.Generator) -> Array | Labels:
    """Return random targets, every class or kind of pair among them."""
    if task.kind == "regression":
        return generator.standard_normal((examples, len(task.columns)))
    if task.kind == "distribution":
        shares = generator.random((examples, len(task.classes)))
        shares[0, 0] = 0
        shares /= shares.sum(axis=1, keepdims=True)
        return shares
    if task.kind == "triplets":
        return np.zeros(examples)
    return np.arange(examples) % (2 if task.kind == "pairs" else len(task.classes))


def make(loss: Loss, task: Task, *, spread: float = 1.0) -> tuple[Array, Array, Array | Labels]:
    """Return logits of three runs, encoded targets and targets for 10 examples."""
    generator = np.random.default_rng(1)
    targets = make_targets(task, 10, generator)
    z = spread * generator.standard_normal((3, 10 * loss.views, loss.outputs(task) or 4))
    return z, loss.encode(targets, task), targets


@by_name
def test_gradient_is_the_derivative(loss: Loss, task: Task) -> None:
    z, y, _ = make(loss, task)
    error = relative_error(lambda z: float(loss.forward(z, y).sum()), loss.backward(z, y), z, np.random.default_rng(2))
    assert error < TOLERANCE


@by_name
@pytest.mark.parametrize("spread", [1e4, -1e4])
def test_extreme_logits_stay_finite(loss: Loss, task: Task, spread: float) -> None:
    z, y, _ = make(loss, task, spread=spread)
    for result in (loss.forward(z, y), loss.backward(z, y), loss.predict(z)):
        assert np.isfinite(result).all()


@by_name
def test_each_example_is_on_its_own(loss: Loss, task: Task) -> None:
    z, y, _ = make(loss, task)
    np.testing.assert_array_equal(loss.forward(z, y)[:, :4], loss.forward(z[:, : 4 * loss.views], y[:4]))
    assert loss.forward(z, y).shape == (3, 10)
    assert loss.backward(z, y).shape == z.shape


@by_name
def test_parity_with_pytorch(loss: Loss, task: Task) -> None:
    """Value and gradient of the sum over the examples of one run."""
    torch = pytest.importorskip("torch")
    (z, *_), y, targets = make(loss, task)
    logits = torch.tensor(z, requires_grad=True)
    total = pytorch_sum(torch, loss, task, logits, torch.tensor(y), torch.tensor(targets))
    total.backward()
    np.testing.assert_allclose(loss.forward(z, y).sum(), total.item(), rtol=1e-12)
    np.testing.assert_allclose(loss.backward(z, y), logits.grad.numpy(), rtol=1e-12, atol=1e-15)


def pytorch_sum(torch: Any, loss: Loss, task: Task, z: Any, y: Any, targets: Any) -> Any:  # noqa: ANN401, C901
    functional = torch.nn.functional
    match loss:
        case MeanSquaredError():
            return loss.factor * functional.mse_loss(z, y, reduction="none").mean(dim=-1).sum()
        case MeanAbsoluteError():
            return functional.l1_loss(z, y, reduction="none").mean(dim=-1).sum()
        case Huber():
            return functional.huber_loss(z, y, reduction="none", delta=loss.delta).mean(dim=-1).sum()
        case BinaryCrossEntropy():
            weights: Any = loss.class_weights or (1.0, 1.0)
            smoothing, (zero, one) = loss.label_smoothing or 0.0, weights
            smooth, weight = y * (1 - smoothing) + smoothing / 2, torch.where(y > 0, one, zero)
            return functional.binary_cross_entropy_with_logits(z, smooth, weight, reduction="sum")
        case CategoricalCrossEntropy() if task.kind == "distribution":
            return functional.cross_entropy(z, y, reduction="sum")
        case CategoricalCrossEntropy():
            # PyTorch weighs the smoothed target class by class; ours weighs the example by its class.
            weights = torch.tensor(loss.class_weights or (1.0,) * len(task.classes), dtype=z.dtype)
            losses = functional.cross_entropy(z, targets, reduction="none", label_smoothing=loss.label_smoothing or 0.0)
            return (weights[targets] * losses).sum()
        case KullbackLeibler():
            return functional.kl_div(functional.log_softmax(z, dim=-1), y, reduction="sum")
        case Contrastive():
            distance = (z[0::2] - z[1::2]).norm(dim=-1)
            same = y[:, 0]
            return 0.5 * (same * distance**2 + (1 - same) * functional.relu(loss.margin - distance) ** 2).sum()
        case Triplet(squared=False):
            views = z[0::3], z[1::3], z[2::3]
            return functional.triplet_margin_loss(*views, margin=loss.margin, eps=0, reduction="sum")
        case Triplet():
            near, far = ((z[0::3] - z[view::3]).square().sum(dim=-1) for view in (1, 2))
            return functional.relu(near - far + loss.margin).sum()
    raise AssertionError(loss)


@pytest.mark.parametrize(
    ("loss", "task"), [row for row in CROSS_ENTROPIES if row[1].kind == "classification"], ids=repr
)
def test_predictions_are_probabilities_and_decisions_their_largest(loss: Loss, task: Task) -> None:
    z, _, _ = make(loss, task)
    p = loss.predict(z)
    assert p.shape == (3, 10, len(task.classes))
    np.testing.assert_allclose(p.sum(axis=-1), 1)
    np.testing.assert_array_equal(loss.decide(z), p.argmax(axis=-1))


def test_sparse_and_one_hot_targets_give_the_same_numbers() -> None:
    settings: dict[str, Any] = {"label_smoothing": 0.1, "class_weights": WEIGHTS}
    one, other = CategoricalCrossEntropy(**settings), SparseCategoricalCrossEntropy(**settings)
    (z, y, _), (_, labels, _) = make(one, FIVE), make(other, FIVE)
    np.testing.assert_array_equal(one.forward(z, y), other.forward(z, labels))
    np.testing.assert_array_equal(one.backward(z, y), other.backward(z, labels))


def test_two_ways_to_say_binary_agree() -> None:
    """One sigmoid unit is a softmax over the logits 0 and z."""
    z = np.linspace(-5, 5, 11)[:, None]
    labels = np.arange(11) % 2
    binary, softmax = BinaryCrossEntropy(), SparseCategoricalCrossEntropy()
    two = np.concatenate([np.zeros_like(z), z], axis=1)
    np.testing.assert_allclose(
        binary.forward(z, binary.encode(labels, TWO)), softmax.forward(two, softmax.encode(labels, TWO)), rtol=1e-12
    )


def test_divergence_of_a_distribution_from_itself_is_zero() -> None:
    y = KullbackLeibler().encode(make_targets(SHARES, 5, np.random.default_rng(0))[1:], SHARES)
    np.testing.assert_allclose(KullbackLeibler().forward(np.log(y), y), 0, atol=1e-15)


@pytest.mark.parametrize("labels", [[0, 1, 1, 1, 2, 2, 3, 4, 4, 0, 0], [4, 3, 2, 1, 0]])
def test_balanced_weights_are_those_of_scikit_learn(labels: list[int]) -> None:
    expected = compute_class_weight("balanced", classes=np.arange(5), y=labels)
    for loss in (SparseCategoricalCrossEntropy(class_weights="balanced"), CategoricalCrossEntropy(0.1, "balanced")):
        fitted = loss.fitted(FIVE, np.array(labels))
        assert fitted.class_weights == tuple(expected)
        assert fitted == type(loss)(loss.label_smoothing, tuple(expected.tolist()))
    shares = CategoricalCrossEntropy(class_weights="balanced").fitted(SHARES, np.eye(5)[labels])
    assert shares.class_weights == tuple(expected)


def test_weights_by_name_are_those_by_number() -> None:
    pairs = (("yes", 2), ("no", 0.5))
    assert BinaryCrossEntropy(class_weights=pairs).fitted(TWO, np.array([0, 1])).class_weights == (0.5, 2)
    numbered = Task(("0", "1"))
    assert BinaryCrossEntropy(class_weights=((0, 3), (1, 4))).fitted(numbered, np.array([0])).class_weights == (3, 4)


NOT_WEIGHTS: list[tuple[Any, str]] = [
    ((("no", 1), ("yess", 2)), "must have a weight for no, yes, and yess is none of them, did you mean yes?"),
    ((("no", 1),), "must have a weight for no, yes, and yes has none"),
    ((("no", 1), ("yes", 2), ("no", 3)), "must have a weight for no, yes, each once"),
    ((("no", 1), ("yes", "2")), "must be balanced, null, a list with"),
    ((("no", 1), 2), "must be balanced, null, a list with"),
    ((("no", -1), ("yes", 2)), "must be balanced, null, a list with"),
    ((1, -2), "must be balanced, null, a list with"),
    ("balance", "class_weights=balance: must be balanced, null, a list with"),
    ("balanced", "loss.class_weights=balanced: must have training examples of each class, and yes has none"),
]


@pytest.mark.parametrize(("weights", "sentence"), NOT_WEIGHTS, ids=str)
def test_weights_that_fit_no_classes_are_refused_in_a_line(weights: Any, sentence: str) -> None:  # noqa: ANN401
    with pytest.raises(UserError) as error:
        BinaryCrossEntropy(class_weights=weights).fitted(TWO, np.array([0, 0]))
    assert sentence in str(error.value)


KINKS: list[tuple[Loss, list[list[float]]]] = [
    (MeanAbsoluteError(), [[0.0]]),
    (Contrastive(), [[1.0, 2.0], [1.0, 2.0]]),
    (Triplet(1.0, squared=False), [[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]]),
]


@pytest.mark.parametrize(("loss", "z"), KINKS, ids=repr)
def test_the_derivative_at_a_kink_is_zero(loss: Loss, z: list[list[float]]) -> None:
    at: npt.NDArray[np.float64] = np.array(z)
    np.testing.assert_array_equal(loss.backward(at, np.zeros((1, 1))), np.zeros_like(at))


MISMATCHES: list[tuple[Loss, Task, str]] = [
    (
        BinaryCrossEntropy(),
        FIVE,
        "loss=binary_cross_entropy: needs 2 classes and the data has 5 classes: use loss=sparse",
    ),
    (BinaryCrossEntropy(), NUMBERS, "has numbers as targets: use loss=mean_squared_error"),
    (SparseCategoricalCrossEntropy(), SHARES, "has distributions as targets: use loss=kullback_leibler"),
    (CategoricalCrossEntropy(), TRIPLETS, "loss=categorical_cross_entropy: needs classes and the data has triplets"),
    (KullbackLeibler(), NUMBERS, "loss=kullback_leibler: needs distributions"),
    (Triplet(), FIVE, "loss=triplet: needs triplets and the data has 5 classes: use loss=sparse_categorical"),
    (Contrastive(), TRIPLETS, "loss=contrastive: needs pairs and the data has triplets: use loss=triplet"),
    (MeanSquaredError(), PAIRS, "loss=mean_squared_error: needs numbers or classes and the data has pairs"),
    (
        SparseCategoricalCrossEntropy(class_weights=(1.0, 2.0)),
        FIVE,
        "loss.class_weights=[1.0, 2.0]: must be a list of 5",
    ),
]


@pytest.mark.parametrize(("loss", "task", "sentence"), MISMATCHES, ids=repr)
def test_a_loss_that_does_not_fit_names_the_one_that_does(loss: Loss, task: Task, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        loss.outputs(task)
    assert sentence in str(error.value)
    assert isinstance(error.value, LossMismatchError) or "class_weights" in sentence
