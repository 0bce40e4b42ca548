"""Our own loops do what NumPy does, with all numbers, and with and without gaps."""

import numpy as np
import pytest

from nnexp.training.compiled.loops import Bits, UnknownError
from nnexp.training.compiled.player import CASTS, WORTH_A_PLAYER, WORTH_KERNELS, Demand, Player
from nnexp.training.compiled.program import Program, Row
from tests.conftest import needs

pytestmark = needs("llvmlite")


@pytest.fixture(scope="module")
def player() -> Player:
    return Player()


def special(letter: str, count: int = 67) -> Bits:
    """Return numbers of a type, of all kinds."""
    generator, dtype = np.random.default_rng(0), np.dtype(letter)
    if dtype.kind != "f":
        return generator.integers(0, 2 if letter == "?" else 2**60, count).astype(dtype)
    some = [0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 1e-310, 1e-40, -1e300, 0.1]
    with np.errstate(over="ignore"):
        return np.concatenate([some, generator.standard_normal(count - len(some))]).astype(dtype)


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("types", CASTS)
def test_casts(types: str, step: int, player: Player) -> None:
    source = special(types[0])[::step]
    target = np.zeros((len(source), step), types[1])[:, 0]
    Program([Row(player.loop(f"cast {types}"), source, target)], player)()
    with np.errstate(over="ignore"):
        assert target.tobytes() == source.astype(types[1]).tobytes()


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("letter", "?fdl")
def test_copies_where_a_mask_is_true(letter: str, step: int, player: Player) -> None:
    source, mask = special(letter)[::step], special("?")[::step]
    chosen, expected = np.ones_like(source), np.ones_like(source)
    Program([Row(player.loop(f"select {source.itemsize}"), mask, source, chosen)], player)()
    np.copyto(expected, source, where=mask.astype(np.bool))
    assert chosen.tobytes() == expected.tobytes()


@pytest.mark.parametrize("step", [1, 3])
def test_copies_of_truth_values(step: int, player: Player) -> None:
    source = special("?")[::step]
    copied = np.zeros_like(source)
    Program([Row(player.loop("copy 1"), source, copied)], player)()
    assert copied.tobytes() == source.tobytes()


@pytest.mark.parametrize("letter", "fd")
@pytest.mark.parametrize("axis", [0, 1])
def test_argmax(letter: str, axis: int, player: Player) -> None:
    numbers = np.random.default_rng(0).integers(0, 4, (50, 60)).astype(letter)  # many are largest
    numbers[2::3, 2::7], numbers[::5, ::4] = np.nan, -np.inf
    numbers[0], numbers[1], numbers[:, 1] = np.nan, -np.inf, -np.inf
    out = np.zeros(numbers.shape[1 - axis], np.intp)
    row = Row(player.loop(f"argmax {letter}"), np.moveaxis(numbers, axis, -1), out)
    Program([row], player)()
    np.testing.assert_array_equal(out, numbers.argmax(axis))


@pytest.mark.parametrize("name", ["cast fl", "copy 16", "argmax l"])
def test_a_loop_that_there_is_not(name: str, player: Player) -> None:
    with pytest.raises(UnknownError):
        player.loop(name)


def test_a_player_is_made_when_enough_calls_have_asked_for_it() -> None:
    demand = Demand()
    assert demand.player(WORTH_A_PLAYER // 2) is None
    assert demand.player(WORTH_A_PLAYER // 3) is None
    assert demand.player(WORTH_A_PLAYER // 3) is not None


def test_loops_are_generated_for_many_tapes_or_a_long_one_but_for_none_that_is_short() -> None:
    demand = Demand()
    assert [demand.kernels(WORTH_KERNELS // 4) for _ in range(5)] == [False, False, False, True, True]
    assert not demand.kernels(WORTH_KERNELS // 10)
    assert Demand().kernels(WORTH_KERNELS)
