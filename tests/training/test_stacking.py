from dataclasses import dataclass, field

import numpy as np
import pytest

from nnexp.core.component import Component, Count, Positive
from nnexp.optim.optimizers import SGD, Adam
from nnexp.training.stacking import stacked, taken


@dataclass(frozen=True)
class Inner(Component):
    slope: Positive = 0.5


@dataclass(frozen=True)
class Outer(Component):
    rate: Positive = 1.0
    units: Count = 3
    inner: Inner = field(default_factory=Inner)


def test_numbers_become_arrays_shaped_to_broadcast() -> None:
    stack = stacked([Outer(0.1), Outer(0.2, inner=Inner(0.7))], 2, "float32")
    assert isinstance(stack.rate, np.ndarray)
    assert (stack.rate.shape, stack.rate.dtype) == ((2, 1, 1), np.dtype("float32"))
    np.testing.assert_array_equal(np.ravel(stack.inner.slope), np.array([0.5, 0.7], np.float32))
    assert stack.units == 3


def test_taken_is_the_stack_of_the_taken() -> None:
    runs = [Outer(rate, inner=Inner(2 * rate)) for rate in (0.1, 0.2, 0.3)]
    some = taken(stacked(runs, 1, "float64"), np.array([2, 0]))
    expected = stacked([runs[2], runs[0]], 1, "float64")
    np.testing.assert_array_equal(some.rate, expected.rate)
    np.testing.assert_array_equal(some.inner.slope, expected.inner.slope)


def test_what_is_not_a_number_must_agree() -> None:
    with pytest.raises(ValueError, match="the same units"):
        stacked([Outer(), Outer(units=4)], 1, "float64")
    with pytest.raises(ValueError, match="the same kind"):
        stacked([SGD(), Adam()], 1, "float64")
