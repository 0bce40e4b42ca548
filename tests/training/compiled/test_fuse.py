"""Generated loops have the bits of NumPy, and only what may be left out is left out."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from nnexp.core.component import Array
from nnexp.training.compiled import fuse
from nnexp.training.compiled.fuse import ARITHMETIC, LARGER, ORDERS, Generated, fused
from nnexp.training.compiled.loops import Bits, Scratch, UnknownError, inner_loop
from nnexp.training.compiled.player import INTRINSICS, Player
from nnexp.training.compiled.program import Axis, Program, Row
from tests.conftest import needs
from tests.training.compiled.test_player import special

pytestmark = needs("llvmlite")
TWO, ONE = (*ARITHMETIC, *ORDERS, *LARGER), (*INTRINSICS, "negative", "square", "reciprocal", "sign", "positive")


@pytest.fixture(scope="module")
def player() -> Player:
    return Player()


def scratch(*shape: int, dtype: str = "d") -> Bits:
    """Return an array in memory that nobody reads after a tape."""
    count = int(np.prod(shape))
    array: Bits = np.ndarray(shape, dtype, Scratch(count * np.dtype(dtype).itemsize, np.uint8))
    array[...] = 7
    return array


def row(name: str, *arrays: Bits) -> Row:
    return Row(inner_loop(getattr(np, name), *[array.dtype for array in arrays]), *arrays)


def play(rows: list[Row], result: Bits, player: Player) -> Sequence[Row]:
    made = fused(rows, [result], player)
    Program(made, player)()
    return made


def assert_same_bits(one: Bits, other: Bits) -> None:
    """Compare all bits but those of NaN, of which one is as good as another."""
    np.testing.assert_array_equal(one, other)
    if one.dtype.kind == "f":
        known = ~np.isnan(one)
        np.testing.assert_array_equal(np.signbit(one[known]), np.signbit(other[known]))


@pytest.mark.parametrize("letter", "fd")
@pytest.mark.parametrize("name", [*TWO, *ONE])
def test_operations(name: str, letter: str, player: Player) -> None:
    """Of all pairs of zeros, infinities, NaN, subnormal numbers and others."""
    numbers = special(letter)
    inputs = [*np.meshgrid(numbers, numbers)][: 2 if name in TWO else 1]
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(*inputs)
        made, copied = scratch(*expected.shape, dtype=expected.dtype.char), np.zeros_like(expected)
        loop = player.loop("copy 1") if made.dtype == np.bool else inner_loop(np.positive, *[made.dtype] * 2)
        (only,) = play([row(name, *inputs, made), Row(loop, made, copied)], copied, player)
    assert isinstance(only, Generated)
    assert_same_bits(copied, expected)
    assert (made == 7).all() or made.dtype == np.bool, "what nobody reads is not written"


@pytest.mark.parametrize("letter", "fd")
@pytest.mark.parametrize("shape", [(1, 1), (3, 10), (10, 1), (17, 33)])
def test_products_of_inner_length_1(shape: tuple[int, int], letter: str, player: Player) -> None:
    one, other = (np.resize(special(letter), length) for length in shape)
    out = np.zeros(shape, letter)
    with np.errstate(all="ignore"):
        (only,) = play([row("matmul", one[:, None], other[None], out)], out, player)
        assert_same_bits(out, np.matmul(one[:, None], other[None]))
    assert isinstance(only, Generated)


@pytest.mark.parametrize("letter", ["fd", "df", "?d", "ld"])
def test_casts_and_masks(letter: str, player: Player) -> None:
    source, target = special(letter[0]), np.zeros(67, letter[1])
    wide, mask, chosen = scratch(67, dtype=letter[1]), np.arange(67) % 3 > 0, np.ones(67, letter[1])
    rows = [
        Row(player.loop(f"cast {letter}"), source, wide),
        row("positive", wide, target),
        Row(player.loop(f"select {target.itemsize}"), mask, wide, chosen),
    ]
    with np.errstate(over="ignore"):
        (only,) = play(rows, target, player)
        expected = source.astype(letter[1])
    assert isinstance(only, Generated)
    assert_same_bits(target, expected)
    assert_same_bits(chosen, np.where(mask, expected, 1))


def numbers(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape)


def wide(array: Array) -> Array:
    """Return the first column as often as there are columns."""
    return np.broadcast_to(array[:, :1], array.shape)


CHAINS: dict[str, Callable[[Array, Array, Bits], list[Row]]] = {
    "one after another": lambda x, out, t: [row("add", x, x, t), row("multiply", t, x, t), row("subtract", t, x, out)],
    "a sum between": lambda x, out, t: [
        row("multiply", x, x, t),
        Row(
            inner_loop(np.add, *[x.dtype] * 3),
            *[np.broadcast_to(out[:, :1], x.shape), t, np.broadcast_to(out[:, :1], x.shape)],
        ),
        row("multiply", t, wide(out), t),
        row("add", t, x, out),
    ],
    "a part of it": lambda x, out, t: [row("add", x, x, t), row("multiply", t[:, 1:], x[:, :-1], out[:, :-1])],
    "beside it": lambda x, out, t: [
        row("add", x[:, 1:], x[:, 1:], t[:, 1:]),
        row("multiply", t[:, :-1], x[:, :-1], out[:, :-1]),
    ],
    "memory used again": lambda x, out, t: [
        row("add", x, x, t),
        row("exp", t, out),
        row("multiply", out, x, t),
        row("subtract", t, out, t),
        row("add", t, t, out),
    ],
    "numbers between": lambda x, out, t: [
        row("multiply", x, x, t),
        row("add", x[:1, :1], x[:1, :1], out[:1, :1]),
        row("sqrt", t, t),
        row("multiply", t, np.broadcast_to(out[:1, :1], t.shape), t),
        row("add", t, x, out),
    ],
    "broadcast": lambda x, out, t: [
        row("add", x, np.broadcast_to(x[:1], x.shape), t),
        row("multiply", t, np.broadcast_to(x[:, :1], x.shape), out),
    ],
}


@pytest.mark.parametrize("name", CHAINS)
def test_chains_do_what_their_rows_do(name: str, player: Player) -> None:
    x, results = numbers(6, 7), list[Array]()
    for how in (lambda rows, _: rows, lambda rows, out: fused(rows, [out], player)):
        out = np.ones((6, 7))
        Program(how(CHAINS[name](x, out, scratch(6, 7)), out), player)()
        results.append(out)
    assert results[0].tobytes() == results[1].tobytes()


def test_a_loop_is_compiled_once_for_all_arrays_alike(player: Player) -> None:
    for _ in range(2):
        x, out = numbers(6, 7), np.zeros((6, 7))
        play(CHAINS["one after another"](x, out, scratch(6, 7)), out, player)
    before = len(player.kernels([]))
    play(CHAINS["one after another"](numbers(6, 7), out, scratch(6, 7)), out, player)
    assert len(player.kernels([])) == before


def test_loops_are_not_compiled_where_that_is_not_worth_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    x, out = numbers(6, 7), np.zeros((6, 7))
    rows = CHAINS["one after another"](x, out, scratch(6, 7))
    assert fused(rows, [out], Player(), anew=False) == rows
    assert fused(rows, [out], Player()) != rows
    assert fused(rows, [out], Player(), anew=False) != rows


def test_a_loop_that_would_leave_an_array(player: Player, monkeypatch: pytest.MonkeyPatch) -> None:
    x, out = numbers(6, 7), np.zeros((6, 7))
    rows = CHAINS["one after another"](x, out, scratch(6, 7))
    monkeypatch.setattr(fuse, "axes_of", lambda _, strides: [Axis(43, (8,) * len(strides))])
    with pytest.raises(UnknownError, match="would be left"):
        fused(rows, [out], player)
