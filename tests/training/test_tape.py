"""A tape plays what a function does, bit for bit, and refuses what it cannot play."""

import gc
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnexp.core.component import Array
from nnexp.training.tape import Bind, Recorded, Repeated, Tape, View

Function = Callable[[Array], Array]


def ones(shape: tuple[int, ...] = (2, 3)) -> Array:
    return np.ones(shape)


def repeated(function: Function, x: Array) -> Repeated:
    def bind(read: View, _: View) -> Callable[[], Mapping[str, Array]]:
        seen = read(x)
        return lambda: {"y": function(seen)}

    return Repeated(bind)


def by_hand(z: Array) -> Array:
    """Work in one array, as an activation does."""
    a = np.negative(z, out=np.empty_like(z))
    np.exp(a, out=a)
    a += 1
    return np.reciprocal(a, out=a)


def into_parts(z: Array) -> Array:
    a = np.zeros_like(z)
    a[..., 1:] = z[..., :-1]
    a[..., :1] += 3
    return a * np.exp(z)


def leaky(z: Array) -> Array:
    a: Array = np.where(z > 0, z, 0.1 * z)
    return a


def centred(z: Array) -> Array:
    result: Array = (z - z.mean(axis=-1, keepdims=True)) / np.sqrt(z.var(axis=-1, keepdims=True) + 1e-3)
    return result


PLAYED: dict[str, Function] = {
    "formula": lambda z: 1 / (1 + np.exp(-z)),
    "in one array": by_hand,
    "into parts": into_parts,
    "into parts of a used buffer": lambda z: into_parts(np.exp(z) * 2 + 1),
    "mean and variance": centred,
    "where": leaky,
    "comparison as a number": lambda z: z * (z > 0),
    "clip": lambda z: np.clip(z, -0.5, 0.5),
    "maximum": lambda z: np.maximum(z, 0),
    "argmax": lambda z: z.argmax(axis=-1).astype(np.float64),
    "largest": lambda z: z.max(axis=-1),
    "any": lambda z: np.logical_or.reduce(z > 1, axis=-1).astype(np.float64),
    "product of matrices": lambda z: z @ z.mT,
    "views": lambda z: z.reshape(-1)[1::2] * z.mT[:1, 0],
    "joined": lambda z: np.concatenate([z, 1 - z, np.stack([z, z])[0]], axis=-1),
    "broadcast": lambda z: np.broadcast_to(z[:1], z.shape) + z,
    "copy": lambda z: z.copy() * 2,
    "one number": lambda z: z / z.sum(),
    "another type": lambda z: z.astype(np.float32) * np.float32(2),
    "number of NumPy": lambda z: z * np.float64(0.1) + np.int64(3),
}
"""What a tape plays."""

seen_before: list[Array] = []


def remembering(z: Array) -> Array:
    """Use a number that changes in a way of which NumPy does not tell."""
    return z + float(np.asarray(np.array(z, subok=False).sum()))


def into_foreign(z: Array) -> Array:
    a = np.empty(z.shape)
    np.exp(z, out=a)
    a += 1
    return a


def choosing(z: Array) -> Array:
    return z if z.sum() > 0 else -z


NOT_PLAYED: dict[str, Function] = {
    "a choice that depends on a number": choosing,
    "an array that is not recorded": into_foreign,
    "what NumPy does not tell of": remembering,
    "a choice of elements": lambda z: z[np.array([0, 1])],
    "a single element": lambda z: z * z[0, 0],
    "sort": lambda z: np.sort(z, axis=-1),
    "a method": lambda z: z.cumsum(axis=-1),
    "a list": lambda z: np.array(z.tolist()),
    "two results": lambda z: np.modf(z)[0],
    "a loop over numbers": lambda z: np.array([row.sum() for row in z]),
}
"""What a tape cannot play."""


@pytest.mark.parametrize("name", PLAYED)
@pytest.mark.parametrize("runs", [1, 3])
def test_played(name: str, runs: int) -> None:
    generator, x = np.random.default_rng(0), ones((runs, 4))
    again = repeated(PLAYED[name], x)
    for _ in range(4):
        x[...] = generator.standard_normal(x.shape)
        np.testing.assert_array_equal(again()["y"], PLAYED[name](x.copy()))
    assert again.calls


@pytest.mark.parametrize("function", [*PLAYED.values(), *NOT_PLAYED.values()], ids=[*PLAYED, *NOT_PLAYED])
def test_nothing_is_left_in_memory(function: Function) -> None:
    """Python's collector does not see circles that go through the array of a view."""
    gc.freeze()  # what other tests have left is neither looked at nor counted
    repeated(function, ones())()
    gc.collect()
    gc.collect()  # the first time it is the calls that go, and then the tape
    assert not [found for found in gc.get_objects() if type(found) in (Tape, Recorded)]


@pytest.mark.parametrize("name", NOT_PLAYED)
def test_what_cannot_be_played_is_done_as_it_is(name: str) -> None:
    generator, x = np.random.default_rng(0), ones()
    again = repeated(NOT_PLAYED[name], x)
    for _ in range(4):
        x[...] = generator.standard_normal(x.shape)
        np.testing.assert_array_equal(again()["y"], NOT_PLAYED[name](x.copy()))
    assert not again.calls


def adding(total: Array, x: Array, function: Function) -> Bind:
    """Return a function that changes an array: half of it before `function` may fail."""

    def bind(read: View, change: View) -> Callable[[], Mapping[str, Array]]:
        seen, changed = read(x), change(total)

        def add() -> Mapping[str, Array]:
            changed[...] += 1
            changed[...] += function(seen)
            return {"total": changed.copy()}

        return add

    return bind


@pytest.mark.parametrize("function", [PLAYED["formula"], NOT_PLAYED["sort"], remembering, into_foreign])
def test_arrays_are_changed_once_a_call(function: Function) -> None:
    generator, x, total, expected = np.random.default_rng(0), ones(), ones(), ones()
    again = Repeated(adding(total, x, function))
    for _ in range(5):
        x[...] = generator.standard_normal(x.shape)
        np.testing.assert_array_equal(again()["total"], expected := expected + 1 + function(x))
        np.testing.assert_array_equal(total, expected)


def test_errors_are_raised_as_they_are() -> None:
    def wrong(_: Array) -> Array:
        raise ArithmeticError("this is wrong")

    with pytest.raises(ArithmeticError, match="this is wrong"):
        repeated(wrong, ones())()


UNARY: list[Function] = [
    np.negative,
    np.exp,
    np.abs,
    np.sign,
    np.square,
    by_hand,
    lambda z: z.mean(axis=0, keepdims=True),
]
BINARY: list[Callable[[Array, Array], Array]] = [np.add, np.subtract, np.multiply, np.maximum]


@given(
    st.lists(st.tuples(st.sampled_from(UNARY), st.sampled_from(BINARY), st.booleans()), min_size=1), st.integers(1, 3)
)
def test_any_chain_of_operations_in_recycled_buffers(
    steps: list[tuple[Function, Callable[[Array, Array], Array], bool]], runs: int
) -> None:
    """Values are held for a while and let go, as Python does it, and their buffers taken by others."""

    def chain(x: Array) -> Array:
        kept, value = [x * 1.0], x
        for unary, binary, let_go in steps:
            value = np.maximum(np.minimum(binary(unary(value), kept[-1]), 10.0), -10.0)
            kept = [value * 0.5] if let_go else [*kept, value]
        return sum(kept, value)

    generator, x = np.random.default_rng(0), ones((runs, 4))
    again = repeated(chain, x)
    for _ in range(3):
        x[...] = generator.standard_normal(x.shape)
        np.testing.assert_array_equal(again()["y"], chain(x.copy()))
    assert again.calls
