"""A program visits arrays as NumPy does, and no row of it leaves its arrays or reads what it has written."""

import gc
from collections.abc import Callable

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

from nnexp.core.component import Array
from nnexp.training.compiled.loops import UnknownError, inner_loop
from nnexp.training.compiled.player import Player
from nnexp.training.compiled.program import Program, Row
from tests.conftest import needs

pytestmark = needs("llvmlite")
ADD = inner_loop(np.add, *[np.dtype(np.float64)] * 3)
PRODUCT = inner_loop(np.matmul, *[np.dtype(np.float64)] * 3)


@pytest.fixture(scope="module")
def player() -> Player:
    return Player()


def numbers(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape)


VIEWS: dict[str, Callable[[], Array]] = {
    "whole": lambda: numbers(3, 4, 5),
    "one number": lambda: numbers(1),
    "without axes": lambda: numbers(1).reshape(()),
    "gaps": lambda: numbers(3, 9, 5)[:, ::2],
    "other order": lambda: numbers(5, 3, 4).transpose(1, 2, 0),
    "backwards": lambda: numbers(3, 4)[::-1, ::-1],
    "an axis of length 1": lambda: numbers(3, 1, 4)[:, :, ::2],
    "many axes": lambda: numbers(2, 3, 4, 5, 6)[:, ::2, :, 1:4],
}


@pytest.mark.parametrize("view", VIEWS)
def test_sums_of_views(view: str, player: Player) -> None:
    one, other = VIEWS[view](), VIEWS[view]()
    out = np.zeros_like(one)
    Program([Row(ADD, one, other, out), Row(ADD, out, other, out)], player)()
    np.testing.assert_array_equal(out, one + other + other)


def test_broadcast(player: Player) -> None:
    one, out = numbers(3, 4, 5), np.zeros((3, 4, 5))
    bias = np.broadcast_to(numbers(3, 1, 5), one.shape)
    Program([Row(ADD, one, bias, out)], player)()
    np.testing.assert_array_equal(out, one + bias)


def test_products_of_views_in_several_axes(player: Player) -> None:
    one, other, out = numbers(2, 3, 4, 5), numbers(2, 3, 6, 5).mT, np.zeros((2, 3, 4, 6))
    program = Program([Row(PRODUCT, one, other, out)], player)
    for _ in range(2):  # the loop has moved its pointers, but not ours
        program()
    np.testing.assert_array_equal(out, one @ other)


REFUSED: dict[str, Callable[[], Row]] = {
    "several shapes": lambda: Row(ADD, numbers(4), numbers(3), numbers(4)),
    "do not fit": lambda: Row(PRODUCT, numbers(4, 5), numbers(6, 7), numbers(4, 7)),
    "is empty": lambda: Row(ADD, numbers(0), numbers(0), numbers(0)),
    "not those of the loop, but more": lambda: Row(ADD, *[numbers(3)] * 5),
    "not those of the loop, but of another type": lambda: Row(ADD, *[numbers(4).astype(np.float32)] * 3),
    "do not fit, a vector": lambda: Row(PRODUCT, numbers(4, 5), numbers(5), numbers(4)),
    "not aligned": lambda: Row(ADD, *[np.frombuffer(bytearray(17), np.uint8)[1:].view(np.float64)] * 3),
    "would be left": lambda: Row(ADD, *[as_strided(numbers(4), (2, 3), (16, 8))] * 3),
    "would be left, before its begin": lambda: Row(ADD, *[as_strided(numbers(4), strides=(-8,))] * 3),
    "written while it is read": lambda: shifted(numbers(9)),
    "written while it is read, by a product": lambda: Row(PRODUCT, *[numbers(3, 3)] * 3),
}


def shifted(array: Array) -> Row:
    return Row(ADD, array[1:], array[1:], array[:-1])


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    with pytest.raises(UnknownError, match=case.split(",", maxsplit=1)[0]):
        REFUSED[case]()


def test_an_array_is_kept_alive(player: Player) -> None:
    out = numbers(1000)
    expected, program = (
        out + out + 1,
        Program([Row(ADD, out, out.copy(), out), Row(ADD, out, np.ones(1000), out)], player),
    )
    gc.collect()
    program()
    np.testing.assert_array_equal(out, expected)
