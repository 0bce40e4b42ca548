"""A program: rows of loops and the arrays they work on, laid out in memory as the player reads them.

A row is one call of a loop on arrays of several axes. NumPy visits such arrays by one call of the loop for each step
along the outer axes; so does the loop `each`, one axis at a time, in the order in which NumPy does it.

Compiled code checks nothing. So it is checked here that no row leaves its arrays, which the program keeps alive.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.lib.array_utils import byte_bounds

from nnexp.training.compiled.loops import Bits, Loop, UnknownError
from nnexp.training.compiled.player import MOST_OPERANDS, Player

WORD = 8
"""Bytes of a number or an address."""


class Axis(NamedTuple):
    """An axis of several arrays."""

    length: int
    strides: tuple[int, ...]


class Row:
    """One call of a loop.

    Raises UnknownError if it cannot be played: arrays do not fit, would be left, or are written while they are read.

    Args:
        loop: The loop.
        arrays: What it reads, then what it writes; all of one shape, but for the axes that belong to the loop.
    """

    def __init__(self, loop: Loop, *arrays: Bits) -> None:
        if tuple(array.itemsize for array in arrays) != loop.sizes or len(arrays) > MOST_OPERANDS:
            raise UnknownError("arrays that are not those of the loop")
        if not all(array.size and array.flags.aligned for array in arrays):
            raise UnknownError("an array that is empty or not aligned")
        if any(_clash(array, arrays[-1], elementwise=not any(loop.core)) for array in arrays[:-1]):
            raise UnknownError("an array that is written while it is read")
        self.loop, self.arrays = loop, arrays
        shape, self._inner = _shapes(loop, arrays)
        axes = _axes(shape, [array.strides for array in arrays])
        if len([axis for axis in axes if not axis.strides[-1]]) > 1:
            raise UnknownError("a sum along several axes, which NumPy takes in pieces that fit into a buffer")
        self.depth = len(axes) - 1
        self.lengths = [*(axis.length for axis in axes), *self._inner.values()]
        self.strides = [n for axis in axes[:-1] for n in (*axis.strides, *[0] * (MOST_OPERANDS - len(arrays)))]
        self.strides += axes[-1].strides
        for array, names in zip(arrays, loop.core, strict=True):
            self.strides += array.strides[array.ndim - len(names) :]
        self.pointers = [array.ctypes.data for array in arrays]
        if not all(self._stays_within(place) for place in range(len(arrays))):
            raise UnknownError("an array that would be left")

    def _stays_within(self, place: int) -> bool:
        """Tell whether the memory of an array is not left, given the numbers that the compiled code will read."""
        reaches = [(length - 1) * stride for length, stride in self._walk(place)]
        first = self.pointers[place] + sum(min(reach, 0) for reach in reaches)
        last = self.pointers[place] + sum(max(reach, 0) for reach in reaches)
        low, high = byte_bounds(_owner(self.arrays[place]))
        return low <= first and last + self.arrays[place].itemsize <= high

    def _walk(self, place: int) -> Iterator[tuple[int, int]]:
        """Yield the length and the stride of every axis along which an array is visited."""
        for axis in range(self.depth + 1):
            yield self.lengths[axis], self.strides[MOST_OPERANDS * axis + place]
        begin = MOST_OPERANDS * self.depth + len(self.arrays) + sum(map(len, self.loop.core[:place]))
        for axis, name in enumerate(self.loop.core[place]):
            yield self.lengths[self.depth + 1 + list(self._inner).index(name)], self.strides[begin + axis]


class Program:
    """Plays rows, one after another.

    Args:
        rows: The rows.
        player: Plays them.
    """

    def __init__(self, rows: Sequence[Row], player: Player) -> None:
        self._rows, self._player = rows, player  # they keep the arrays and the code alive
        self._numbers = np.zeros(sum(len(row.lengths) + len(row.strides) + 2 * row.depth for row in rows), np.int64)
        self._table = np.zeros((len(rows), 4 + MOST_OPERANDS), np.int64)
        begin = 0
        for row, cells in zip(rows, self._table, strict=True):
            lengths = self._numbers.ctypes.data + WORD * begin
            strides = lengths + WORD * len(row.lengths)
            others = strides + WORD * len(row.strides)  # for each outer axis, what is called at each of its steps
            loops = [*((player.each, others + 2 * WORD * axis) for axis in range(row.depth)), row.loop[:2]]
            numbers = [*row.lengths, *row.strides, *(number for loop in loops[1:] for number in loop)]
            self._numbers[begin : begin + len(numbers)] = numbers
            cells[: 4 + len(row.pointers)] = [*loops[0], lengths, strides, *row.pointers]
            begin += len(numbers)
        self._address, self._count = self._table.ctypes.data, len(rows)

    def __call__(self) -> None:
        """Play all rows."""
        self._player.play(self._address, self._count)


def _shapes(loop: Loop, arrays: Sequence[Bits]) -> tuple[tuple[int, ...], dict[str, int]]:
    """Return the shape that arrays have in common, and the lengths of the axes that belong to the loop."""
    outer, inner = set[tuple[int, ...]](), dict[str, int]()
    for array, names in zip(arrays, loop.core, strict=True):
        depth = array.ndim - len(names)
        outer.add(array.shape[: max(depth, 0)])
        if depth < 0 or any(
            inner.setdefault(*axis) != axis[1] for axis in zip(names, array.shape[depth:], strict=True)
        ):
            raise UnknownError("arrays that do not fit")
    if len(outer) > 1:
        raise UnknownError("arrays of several shapes")
    return outer.pop(), inner


def _axes(shape: Sequence[int], strides: Sequence[Sequence[int]]) -> list[Axis]:
    """Return axes of arrays as NumPy's iterator visits them, the innermost last.

    It lets those of length 1 away, sorts the others, small strides innermost, and joins those without a gap in between.
    """
    placed: list[Axis] = []  # from the innermost
    for number in reversed(range(len(shape))):
        axis = Axis(shape[number], tuple(array[number] for array in strides))
        place = len(placed)
        for earlier in reversed(range(len(placed) if axis.length > 1 else 0)):
            steps = [(a, b) for a, b in zip(placed[earlier].strides, axis.strides, strict=True) if a and b]
            if steps and not all(abs(inner) > abs(outer) for inner, outer in steps):
                break
            place = earlier if steps else place
        if axis.length > 1:
            placed.insert(place, axis)
    joined: list[Axis] = []
    for axis in reversed(placed):
        if joined and joined[-1].strides == tuple(axis.length * stride for stride in axis.strides):
            joined[-1] = Axis(joined[-1].length * axis.length, axis.strides)
        else:
            joined.append(axis)
    return joined or [Axis(1, (0,) * len(strides))]


def _clash(one: Bits, out: Bits, *, elementwise: bool) -> bool:
    """Tell whether a loop may read what it has written already; NumPy reads a copy then."""
    steps = [tuple(step for step, n in zip(array.strides, array.shape, strict=True) if n > 1) for array in (one, out)]
    if elementwise and one.ctypes.data == out.ctypes.data and one.shape == out.shape and steps[0] == steps[1]:
        return False
    return np.shares_memory(one, out)


def _owner(array: Bits) -> Bits:
    """Return the array that owns the memory of a view."""
    owner, base = array, array.base
    while base is not None:
        owner, base = base if isinstance(base, np.ndarray) else owner, getattr(base, "base", None)
    return owner
