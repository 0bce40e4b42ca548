import random
import sys

import numpy as np
import pytest

from nnexp.core.component import InvalidFieldError
from nnexp.core.errors import UserError
from nnexp.data.mnist1d import ARGUMENTS, MNIST1D
from tests.conftest import needs


@needs("mnist1d")
def test_signals_have_forty_numbers_and_a_fifth_is_for_testing() -> None:
    data = MNIST1D(examples=300).load()
    assert (data.train.x.shape, data.test.x.shape) == ((240, 40), (60, 40))
    assert data.task.classes == tuple("0123456789")


@needs("mnist1d")
def test_the_arguments_are_those_of_the_package() -> None:
    from mnist1d.data import get_dataset_args, make_dataset

    theirs = get_dataset_args()
    assert {name: getattr(theirs, name) for name in ARGUMENTS} == {
        name: [*value] if isinstance(value, tuple) else value
        for name in ARGUMENTS
        if (value := getattr(MNIST1D(), name)) is not None
    }
    theirs.num_samples, theirs.shuffle_seq, theirs.final_seq_length, theirs.padding = 100, True, 30, [20, 40]
    made = make_dataset(theirs)
    ours = MNIST1D(examples=100, shuffle_seq=True, final_seq_length=30, padding=(20, 40), standardize=False).load()
    np.testing.assert_array_equal(ours.train.x, made["x"])
    np.testing.assert_array_equal(ours.test.targets, made["y_test"])
    with pytest.raises(InvalidFieldError, match=r"padding=.*must be two numbers, the lower one first"):
        MNIST1D(padding=(60, 36))


@needs("mnist1d")
def test_another_seed_makes_other_signals() -> None:
    one, other = (MNIST1D(examples=100, seed=seed).load() for seed in (0, 1))
    assert (one.train.x != other.train.x).all(axis=1).any()


@needs("mnist1d")
def test_global_random_states_are_left_alone() -> None:
    plain, numpy = random.getstate(), np.random.get_state(legacy=False)  # noqa: NPY002
    MNIST1D(examples=100).load()
    assert random.getstate() == plain
    np.testing.assert_equal(np.random.get_state(legacy=False), numpy)  # noqa: NPY002


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mnist1d.data", raising=False)
    monkeypatch.setitem(sys.modules, "mnist1d", None)
    with pytest.raises(UserError, match=r"must have the package mnist1d.*pip install 'nnexp\[mnist1d\]'$"):
        MNIST1D().load()
