"""A program: rows of loops and the arrays they work on, laid out in memory as the player reads them.

A row is one call of a loop on arrays of several axes. NumPy visits such arrays by one call of the loop for each step
along the outer axes; so does the loop `each`, one axis at a time, in the order in which NumPy does it.

Rows can be played several times in turn, `Times`, as for all steps of a round and for all runs of a stack. What a row
works on may be another part of its arrays each time: its first axes, `repeated`, are then those of the turns.

Compiled code checks nothing. So it is checked here that no row leaves its arrays, which the program keeps alive.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.array_utils import byte_bounds

from nnexp.training.compiled.loops import Bits, Loop, UnknownError
from nnexp.training.compiled.player import MOST_OPERANDS, Player

Key = tuple[int, tuple[int, ...], str]
"""Where a view begins, its strides and its type: for arrays of one shape, whether they are the same numbers."""
WORD = 8
"""Bytes of a number or an address."""


class Axis(NamedTuple):
    """An axis of several arrays."""

    length: int
    strides: tuple[int, ...]


class View:
    """An array, and the memory that it covers.

    Attributes:
        key: Where it begins, its strides, and its type.
        shape, strides: Those of its axes that are longer than 1.
        low, high: Where its memory begins and ends.
        owner: The array that owns it.
    """

    def __init__(self, array: Bits) -> None:
        self.array, self.owner, pointer = array, owner_of(array), array.ctypes.data
        wide = [(n, step) for n, step in zip(array.shape, array.strides, strict=True) if n > 1]
        self.low, last = _reach(pointer, wide)
        self.high = last + array.itemsize
        self.shape, self.strides = tuple(n for n, _ in wide), tuple(step for _, step in wide)
        self.key: Key = pointer, self.strides, array.dtype.char

    def overlaps(self, other: "View") -> bool:
        """Tell whether two arrays may have memory in common."""
        return self.low < other.high and other.low < self.high

    def check(self, walk: Iterable[tuple[int, int]]) -> None:
        """Raise UnknownError if the memory would be left, given all lengths and strides that code will use."""
        first, last = _reach(self.key[0], walk)
        low, high = byte_bounds(self.owner)
        if not (low <= first and last + self.array.itemsize <= high):
            raise UnknownError("an array that would be left")


class Row:
    """One call of a loop.

    Raises UnknownError if it cannot be played: arrays do not fit, would be left, or are written while they are read.

    Args:
        loop: The loop.
        arrays: What it reads, then what it writes; all of one shape, but for the axes that belong to the loop.
        repeated: How many of the first axes belong to the turns in which the row is played, the outermost first.
    """

    def __init__(self, loop: Loop, *arrays: Bits, repeated: int = 0) -> None:
        if tuple(array.itemsize for array in arrays) != loop.sizes or len(arrays) > MOST_OPERANDS:
            raise UnknownError("arrays that are not those of the loop")
        if not all(array.size and array.flags.aligned for array in arrays):
            raise UnknownError("an array that is empty or not aligned")
        self.loop, self.arrays, self.views = loop, arrays, [*map(View, arrays)]
        self._check_that_nothing_is_written_while_it_is_read()
        shape, self._inner = _shapes(loop, arrays)
        self.turns = shape[:repeated]
        self.moves = [[array.strides[turn] for array in arrays] for turn in range(repeated)]
        axes = axes_of(shape[repeated:], [array.strides[repeated:] for array in arrays])
        if len(axes) > 1 and len([axis for axis in axes if not axis.strides[-1]]) > 1:
            raise UnknownError("a sum along several axes, which NumPy takes in pieces that fit into a buffer")
        self.depth = len(axes) - 1
        self.lengths = [*(axis.length for axis in axes), *self._inner.values()]
        self.strides = [n for axis in axes[:-1] for n in (*axis.strides, *[0] * (MOST_OPERANDS - len(arrays)))]
        self.strides += axes[-1].strides
        for array, names in zip(arrays, loop.core, strict=True):
            self.strides += array.strides[array.ndim - len(names) :]
        self.pointers = [view.key[0] for view in self.views]
        for place, view in enumerate(self.views):
            view.check(self._walk(place))

    def _check_that_nothing_is_written_while_it_is_read(self) -> None:
        """Raise UnknownError if the loop may read what it has written already; NumPy reads a copy then."""
        *inputs, out = self.views
        for view in inputs:
            same = not any(self.loop.core) and view.shape == out.shape and view.key[:2] == out.key[:2]
            if view.overlaps(out) and not same and np.shares_memory(view.array, out.array):
                raise UnknownError("an array that is written while it is read")

    def _walk(self, place: int) -> Iterator[tuple[int, int]]:
        """Yield the length and the stride of every axis along which an array is visited."""
        for axis in range(self.depth + 1):
            yield self.lengths[axis], self.strides[MOST_OPERANDS * axis + place]
        for times, moves in zip(self.turns, self.moves, strict=True):
            yield times, moves[place]
        begin = MOST_OPERANDS * self.depth + len(self.arrays) + sum(map(len, self.loop.core[:place]))
        for axis, name in enumerate(self.loop.core[place]):
            yield self.lengths[self.depth + 1 + list(self._inner).index(name)], self.strides[begin + axis]


class _Cells(NamedTuple):
    """Where the pointers of a row are, and by how many bytes they move in each turn around it, the outermost first."""

    addresses: Sequence[int]
    moves: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Times:
    """Rows that are played several times in turn, for parts of their arrays that move on each time."""

    count: int
    rows: "Sequence[Row | Times]"


class Program:
    """Plays rows, one after another.

    Raises UnknownError if a row does not fit the turns around it.

    Args:
        rows: The rows.
        player: Plays them.
    """

    def __init__(self, rows: Sequence[Row | Times], player: Player) -> None:
        self.rows, self._player = rows, player  # they keep the arrays and the code alive
        self._kept: list[npt.NDArray[np.int64]] = []
        facts, _ = self._laid_out(Times(1, rows), ())
        self._address, self._play, self._play_long = facts.ctypes.data, player.play, player.play_long

    def __call__(self) -> None:
        """Play all rows."""
        if self.rows:
            self._play(self._address)

    def play_part(self, count: int) -> None:
        """Play all rows, but the innermost turns only so many times."""
        facts, most = self._innermost
        if not 0 < count <= most:
            raise ValueError(f"{count} of {most} times")
        facts[2] = count
        self._play_long(self._address)

    def _laid_out(self, times: Times, turns: tuple[int, ...]) -> tuple[npt.NDArray[np.int64], list[_Cells]]:
        """Return the numbers by which the player finds rows, and the pointers of those that move with the turns around.

        Args:
            times: The rows.
            turns: How often those around them are played, the outermost first.
        """
        table = self._new(len(times.rows), 5)
        all_cells = list[_Cells]()
        for row, entry in zip(times.rows, table, strict=True):
            if isinstance(row, Times):
                facts, cells = self._laid_out(row, (*turns, row.count))
                entry[:] = self._player.repeat, *[facts.ctypes.data] * 4  # of which it reads the first alone
                all_cells += cells
                continue
            if row.turns not in ((), turns):
                raise UnknownError("a row that moves in other turns")
            entry[:], cells_of_row = self._row(row)
            all_cells.append(cells_of_row)
        moves = [
            (address, by)
            for cells in all_cells
            if len(cells.moves) >= len(turns) > 0
            for address, by in zip(cells.addresses, cells.moves[len(turns) - 1], strict=True)
            if by
        ]
        moving = self._new(len(moves), 2)
        moving[:] = np.reshape(moves, (-1, 2))
        facts = self._new(5)
        if not any(isinstance(row, Times) for row in times.rows):
            self._innermost = facts, times.count
        facts[:] = table.ctypes.data, len(table), times.count, moving.ctypes.data, len(moving)
        return facts, all_cells

    def _row(self, row: Row) -> tuple[list[int], _Cells]:
        """Return loop, data, lengths, strides and pointers of a row."""
        places, axes = max(len(row.pointers), MOST_OPERANDS), range(row.depth)
        numbers = self._new(places + len(row.lengths) + len(row.strides) + 2 * row.depth)
        pointers = numbers.ctypes.data
        lengths = pointers + WORD * places
        strides = lengths + WORD * len(row.lengths)
        others = strides + WORD * len(row.strides)  # for each outer axis, what is called at each of its steps
        data = pointers if row.loop.data is None else row.loop.data
        loops = [*((self._player.each, others + 2 * WORD * axis) for axis in axes), (row.loop.function, data)]
        numbers[: len(row.pointers)] = row.pointers
        numbers[places:] = [*row.lengths, *row.strides, *(number for loop in loops[1:] for number in loop)]
        cells = _Cells([pointers + WORD * place for place in range(len(row.pointers))], row.moves)
        return [*loops[0], lengths, strides, pointers], cells

    def _new(self, *shape: int) -> npt.NDArray[np.int64]:
        """Return numbers that live as long as the program."""
        self._kept.append(np.zeros(shape, np.int64))
        return self._kept[-1]


def _reach(pointer: int, walk: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Return the first and the last place that is visited from a pointer, given the lengths and strides of all axes."""
    reaches = [(length - 1) * stride for length, stride in walk]
    back = sum([reach for reach in reaches if reach < 0])
    return pointer + back, pointer + sum(reaches) - back


def _shapes(loop: Loop, arrays: Sequence[Bits]) -> tuple[tuple[int, ...], dict[str, int]]:
    """Return the shape that arrays have in common, and the lengths of the axes that belong to the loop."""
    outer, inner = set[tuple[int, ...]](), dict[str, int]()
    for array, names in zip(arrays, loop.core, strict=True):
        if not names:
            outer.add(array.shape)
            continue
        depth = array.ndim - len(names)
        outer.add(array.shape[: max(depth, 0)])
        if depth < 0 or any(
            inner.setdefault(*axis) != axis[1] for axis in zip(names, array.shape[depth:], strict=True)
        ):
            raise UnknownError("arrays that do not fit")
    if len(outer) > 1:
        raise UnknownError("arrays of several shapes")
    return outer.pop(), inner


def axes_of(shape: Sequence[int], strides: Sequence[Sequence[int]]) -> list[Axis]:
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


def owner_of(array: Bits) -> Bits:
    """Return the array that owns the memory of a view."""
    base = array.base
    while base is not None:
        array, base = base if isinstance(base, np.ndarray) else array, getattr(base, "base", None)
    return array
