"""What a tape plays is played by compiled code with the same bits, or left to Python."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from random import randrange

import numpy as np
import pytest

from nnexp.core.component import Array
from nnexp.training.compiled import translate
from nnexp.training.compiled.loops import Loop, inner_loop
from nnexp.training.compiled.program import Program
from nnexp.training.compiled.translate import SWITCH, WORTH_TRANSLATING
from nnexp.training.tape import Repeated, View
from tests.conftest import needs
from tests.training.test_tape import PLAYED, Function

pytestmark = needs("llvmlite")


def repeated(function: Function, x: Array, times: int = 0) -> Repeated:
    def bind(read: View, _: View) -> Callable[[], Mapping[str, Array]]:
        seen = read(x)
        return lambda: {"y": function(seen)}

    return Repeated(bind, times=times)


def played(function: Function, shape: tuple[int, ...] = (3, 5), times: int = 0) -> list[bool]:
    """Return whether a program makes each of the calls that are left, having compared the results of a few."""
    generator, x = np.random.default_rng(0), np.ones(shape)
    again = repeated(function, x, times)
    for _ in range(4):
        x[...] = generator.standard_normal(x.shape)
        np.testing.assert_array_equal(again()["y"], function(x.copy()))
    return [isinstance(call, Program) for call, _ in again.played]


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "1")


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("shape", [(1, 4), (3, 5), (70, 131)])
@pytest.mark.parametrize("name", PLAYED)
def test_all_that_a_tape_plays_is_compiled(name: str, shape: tuple[int, ...]) -> None:
    assert played(PLAYED[name], shape) == [True]


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("axis", [0, 1, 2, (0, 2), None])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("shape", [(5, 70, 131), (3, 300, 1), (2, 3, 9000)])
def test_sums_are_taken_in_the_order_of_numpy(
    shape: tuple[int, int, int], order: tuple[int, int, int], axis: int | tuple[int, int] | None
) -> None:
    def sums(z: Array) -> Array:
        result: Array = np.add.reduce(z.transpose(order), axis=axis)
        return result

    def sums_of_part(z: Array) -> Array:
        result: Array = np.add.reduce(z.transpose(order)[::2, :, -4:], axis=axis)
        return result

    joined = isinstance(axis, int) or axis is None
    assert played(sums, shape)[-1] >= joined
    assert played(sums_of_part, shape)[-1] >= isinstance(axis, int)


COPIES: dict[str, Function] = {
    "truth values": lambda z: (z > 0).copy() * 1.0,
    "special numbers": lambda z: np.copysign(np.where(z > 1, np.nan, 0.0 / np.maximum(z, 0.0)).copy(), z),
    "smaller numbers": lambda z: z.astype(np.float32).copy().astype(np.float64),
    "places": lambda z: z.argmax(axis=-1).copy().astype(np.float64),
}


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("name", COPIES)
def test_copies(name: str) -> None:
    with np.errstate(all="ignore"):
        assert played(COPIES[name]) == [True]


UNKNOWN: dict[str, Function] = {
    "a type that is seldom used": lambda z: z.astype(np.int16).astype(np.float64),
    "a product of all": lambda z: np.multiply.reduce(z.astype(np.float16), axis=-1).astype(np.float64),
    "numbers in steps": lambda z: np.add.accumulate(z, axis=-1),
    "one in the way of the other": lambda z: shifted(z * 1),
}


def shifted(z: Array) -> Array:
    z[..., 1:] += z[..., :-1]
    return z


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_known_is_left_to_python(name: str) -> None:
    kinds = played(lambda z: np.exp(UNKNOWN[name](z * 2 + 1)) * 3)
    assert kinds[0]
    assert kinds[-1]
    assert not all(kinds)


@pytest.mark.usefixtures("always")
def test_a_program_with_other_bits_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(ufunc: np.ufunc, *dtypes: np.dtype[np.generic]) -> Loop:
        return inner_loop(np.subtract if ufunc == np.add else ufunc, *dtypes)

    assert played(lambda z: z * 2 + z) == [True]
    with monkeypatch.context() as patch:
        patch.setattr(translate, "inner_loop", wrong)
        assert played(lambda z: z * 2 + z) == [False, False]
    monkeypatch.setattr(translate, "Program", lambda rows, player: Program(rows[:-1], player))
    assert played(lambda z: z * 2 + z) == [False, False]


@pytest.mark.parametrize(("switch", "times", "compiled"), [("0", 10**9, False), ("", 10**9, True), ("", 100, False)])
def test_it_is_compiled_where_it_is_worth_it(
    switch: str, times: int, *, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SWITCH, switch)
    assert WORTH_TRANSLATING > 100
    assert all(played(lambda z: np.exp(z) + 1, times=times)) == compiled


def test_without_llvmlite() -> None:
    code = (
        "import sys\n"
        "sys.modules['llvmlite'] = None\n"
        "from nnexp.training.compiled.player import the_player\n"
        "assert the_player() is None\n"
        "from tests.training.compiled.test_translate import played\n"
        "import numpy as np\n"
        "assert played(lambda z: np.exp(z) + 1) == [False, False]\n"
    )
    subprocess.run([sys.executable, "-c", code], env=os.environ | {SWITCH: "1"}, check=True)


def same_bits(seed: int, count: int) -> None:
    command = [sys.executable, "-m", "tests.training.compiled.random_configs", str(seed), str(count)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == 0, f"{' '.join(command)}\n{child.stdout[-2000:]}{child.stderr[-4000:]}"
    assert int(child.stdout) > count


def test_random_configs_have_the_bits_of_plain_numpy() -> None:
    same_bits(seed=0, count=20)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(20))
def test_many_random_configs_have_the_bits_of_plain_numpy(part: int) -> None:
    same_bits(100 * randrange(10**6) + part, 100)  # noqa: S311 - others each time, and a failure names them
