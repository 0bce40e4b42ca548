import numpy as np
import pytest
from sklearn.datasets import load_digits

from nnexp.core.component import InvalidFieldError
from nnexp.data.dataset import fit_scaling
from nnexp.data.digits import Digits


def test_the_split_of_reference_r1() -> None:
    data = Digits(classes=(0, 1)).load()
    assert (len(data.train), len(data.test), data.train.x.shape[1]) == (288, 72, 64)
    assert abs(data.train.targets.mean() - data.test.targets.mean()) < 0.01


def test_training_part_is_standardised_and_constant_pixels_are_centred() -> None:
    data = Digits().load()
    np.testing.assert_allclose(data.train.x.mean(axis=0), 0, atol=1e-12)
    spread = data.train.x.std(axis=0)
    constant = spread == 0
    assert 0 < constant.sum() < 10
    np.testing.assert_allclose(spread[~constant], 1)


def test_no_test_row_influences_the_scaling() -> None:
    """The scaling can be computed from the raw training rows alone."""
    data = Digits().load()
    again = fit_scaling(data.scaling.undo(data.train.x))
    np.testing.assert_allclose(again.offset, data.scaling.offset, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(again.factor, data.scaling.factor, rtol=1e-12)


def test_undoing_the_scaling_gives_the_images_back() -> None:
    data = Digits(classes=(3, 8)).load()
    pixels, digits = load_digits(return_X_y=True)
    raw = {row.tobytes() for row in pixels[np.isin(digits, (3, 8))]}
    restored = np.concatenate([data.scaling.undo(part.x) for part in (data.train, data.test)]).round()
    assert {(row + 0.0).tobytes() for row in restored} == raw


def test_labels_count_in_the_order_of_the_classes() -> None:
    data = Digits(classes=(7, 2), standardize=False).load()
    pixels, digits = load_digits(return_X_y=True)
    digit_of = {row.tobytes(): digit for row, digit in zip(pixels, digits, strict=True)}
    expected = [(7, 2).index(digit_of[row.tobytes()]) for row in data.test.x]
    assert data.test.targets.tolist() == expected
    assert data.task.classes == ("7", "2")


@pytest.mark.parametrize("classes", [(1,), (1, 1), (0, 10), (-1, 0)])
def test_classes_that_make_no_sense_are_refused(classes: tuple[int, ...]) -> None:
    with pytest.raises(InvalidFieldError, match="classes="):
        Digits(classes=classes)
