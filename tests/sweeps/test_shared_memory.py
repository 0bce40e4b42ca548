"""Arrays in memory: one copy for an array however many calls have it, and none that is not needed."""

import os
from errno import EPERM
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from nnexp.sweeps.shared_memory import LARGE, SharedArrays


def doubled(array: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    array *= 2
    return float((array + other).sum())


def test_an_array_is_there_once_as_long_as_a_call_needs_it() -> None:
    arrays, ones, small = SharedArrays(share=True), np.ones((LARGE // 8, 2), order="F"), np.zeros(2)
    with arrays.packed(partial(doubled, ones, ones)) as first:
        with arrays.packed(partial(doubled, ones, small)) as second:
            assert first.files == second.files == (first.files[0],)
            assert len(second.pickled) < 1000
            assert second() == second() == 2 * ones.size, "each changes an array of its own"
        assert Path(first.files[0]).stat().st_size == ones.nbytes
    assert not Path(first.files[0]).exists()
    assert (ones == 1).all()


def refused(_: str) -> int:
    raise PermissionError(EPERM, "as in some containers")


@pytest.mark.parametrize("there", [False, True])
def test_arrays_that_cannot_be_shared_are_sent(monkeypatch: pytest.MonkeyPatch, *, there: bool) -> None:
    monkeypatch.delattr(os, "memfd_create")
    if there:
        monkeypatch.setattr(os, "memfd_create", refused, raising=False)
    with SharedArrays(share=True).packed(partial(doubled, np.ones(LARGE), np.zeros(LARGE))) as call:
        assert not call.files
        assert call() == 2 * LARGE
