"""Translates the calls of a tape into rows of a program.

A call becomes one row, and one more for every array whose type NumPy would change on the way. What is not known here is
left to Python: a tape is then played in turns, and by rows as they are, since Python may read what is between them.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial

import numpy as np
import numpy.typing as npt
from numpy.lib.array_utils import normalize_axis_tuple

from nnexp.training.compiled.fuse import fused
from nnexp.training.compiled.loops import Bits, Scratch, UnknownError, inner_loop
from nnexp.training.compiled.player import Player, demand, the_player
from nnexp.training.compiled.program import Program, Row

Call = tuple[Callable[..., object], Sequence[object]]
"""A function and its arguments, see `nnexp.training.tape`."""
SWITCH = "NNEXP_COMPILED"
"""The environment variable: 0 never compiles, 1 always does; else it is done where it is worth the time."""
WORTH_TRANSLATING = 200
"""Times that a call is made in Python until that has taken as long as its translation, some 50 us."""
MOST_BUFFERED = 2**20
"""Bytes of an array whose type is changed; a larger one NumPy takes in pieces, and its time is not lost in Python."""


def player_for(calls: int, times: int) -> Player | None:
    """Return the player if it is worth it, and possible, to play so many calls so often."""
    match os.environ.get(SWITCH), times >= WORTH_TRANSLATING:
        case ("1", _):
            return the_player()
        case ("0", _) | (_, False):
            return None
        case _:
            return demand().player(calls * times)


def worth_kernels(calls: int) -> bool:
    """Tell whether it is worth it to compile loops for a tape, of which compiled code will make so many calls."""
    return os.environ.get(SWITCH) == "1" or demand().kernels(calls)


class Translator:
    """Translates calls; they share arrays for what has to change its type.

    Args:
        player: Has our own loops.
        anew: Whether to compile the loops that are generated, if they are in no file.
    """

    def __init__(self, player: Player, *, anew: bool = False) -> None:
        self._player, self._anew, self._buffers = player, anew, dict[tuple[int, int], Bits]()

    def translated(self, calls: Sequence[Call], results: Iterable[Bits]) -> Sequence[Call]:
        """Return programs for what is known, and the calls between them that are not; for `results` see `rows`."""
        with suppress(UnknownError):
            return self._program(self.rows(calls, results))
        result: list[Call] = []
        rows: list[Row] = []
        for call in calls:
            try:
                rows += list(self._rows(*call))
            except (UnknownError, TypeError, ValueError):
                result += [*self._program(rows), call]
                rows = []
        return [*result, *self._program(rows)]

    def rows(self, calls: Sequence[Call], results: Iterable[Bits]) -> Sequence[Row]:
        """Return the rows of calls, whose `results` are read after them.

        Raises UnknownError if one of them is not known.
        """
        try:
            rows = [row for call in calls for row in self._rows(*call)]
        except (TypeError, ValueError) as error:
            raise UnknownError(str(error)) from error
        return fused(rows, results, self._player, anew=self._anew)

    def _program(self, rows: Sequence[Row]) -> list[Call]:
        return [(Program(rows, self._player), ())] if rows else []

    def _rows(self, called: Callable[..., object], arguments: Sequence[object]) -> list[Row]:
        """Return the rows of a call."""
        whole = called if isinstance(called, partial) else partial(called)
        function, arguments, options = whole.func, (*whole.args, *arguments), whole.keywords
        ufunc = getattr(function, "__self__", function)
        known: dict[object, Callable[..., Iterator[Row]]] = {
            np.copyto: self._copy,
            np.argmax: self._argmax,
            np.concatenate: self._join,
            np.stack: partial(self._join, new_axis=True),
        }
        rows: Callable[..., Iterator[Row]]
        if function in known:
            rows = known[function]
        elif isinstance(ufunc, np.ufunc) and function == ufunc:
            rows = partial(self._call, ufunc)
        elif isinstance(ufunc, np.ufunc) and function == ufunc.reduce:
            rows = partial(self._reduce, ufunc)
        else:
            raise UnknownError(str(function))
        return list(rows(*arguments, **options))

    def _call(self, ufunc: np.ufunc, *arguments: object, **options: object) -> Iterator[Row]:
        """Yield the rows of a universal function: types as NumPy chooses them, then its loop."""
        *inputs, out = arguments if "out" not in options else (*arguments, options.pop("out"))
        _none_of({name: value for name, value in options.items() if name not in ("casting", "subok")})
        if not isinstance(out, np.ndarray) or ufunc.nout != 1:
            raise UnknownError(ufunc.__name__)
        kinds = ufunc.resolve_dtypes((*map(_kind, inputs), out.dtype), casting="unsafe")
        arrays = list[Bits]()
        for place, (value, kind) in enumerate(zip(inputs, kinds, strict=False)):
            array = value if isinstance(value, np.ndarray) else np.asarray(value, kind)
            if array.dtype != kind:
                source, array = array, self._buffer(place, array.shape, kind)
                yield self.copied(source, array)
            arrays.append(array)
        result = out if out.dtype == kinds[-1] else self._buffer(len(arrays), out.shape, kinds[-1])
        loop = inner_loop(ufunc, *kinds)
        outer = out.shape[: out.ndim - len(loop.core[-1])]
        for place, (array, names) in enumerate(zip(arrays, loop.core, strict=False)):
            shape = (*outer, *array.shape[array.ndim - len(names) :]) if names else outer
            if array.shape != shape:
                arrays[place] = np.broadcast_to(array, shape)
        yield Row(loop, *arrays, result)
        if result is not out:
            yield self.copied(result, out)

    def _reduce(
        self,
        ufunc: np.ufunc,
        array: Bits,
        axis: int | tuple[int, ...] | None,
        dtype: npt.DTypeLike | None,
        out: Bits,
        keepdims: object,
        **options: object,
    ) -> Iterator[Row]:
        """Yield the rows of a reduction: the result is the first operand, and does not move along the axis.

        A sum begins with 0, a largest number with the first one.
        """
        _none_of(options)
        if not array.size:
            raise UnknownError("a reduction of nothing")
        axes = normalize_axis_tuple(range(array.ndim) if axis is None else axis, array.ndim)
        result = out if keepdims else np.expand_dims(out, axes)
        kind = out.dtype if dtype is None else np.dtype(dtype)
        if kind != out.dtype or array.dtype not in (kind, np.bool):
            raise UnknownError("a reduction that changes the type")
        if array.dtype != kind:  # zeros and ones: their sum is exact, in whatever pieces NumPy takes them
            source, array = array, self._buffer(0, array.shape, kind)
            yield self.copied(source, array)
        if ufunc.identity is not None:
            start = np.add.reduce(np.full(1, -0.0)) if ufunc == np.add else ufunc.identity  # 0, not -0, says NumPy
            yield self.copied(np.asarray(start, kind), result)
        elif len(axes) == 1:
            first, rest = np.split(array, [1], axes[0])
            yield self.copied(first, result)
            array = rest
        else:
            raise UnknownError("several axes without a number to start from")
        if array.size:
            whole = np.broadcast_to(result, array.shape)
            yield Row(inner_loop(ufunc, kind, kind, kind), whole, array, whole)

    def _argmax(self, array: Bits, axis: int, out: Bits, **options: object) -> Iterator[Row]:
        _none_of(options)
        if out.dtype != np.intp:
            raise UnknownError("places of another type")
        yield Row(self._player.loop(f"argmax {array.dtype.char}"), np.moveaxis(array, axis, -1), out)

    def _join(
        self, arrays: Sequence[Bits], axis: int, out: Bits, *, new_axis: bool = False, **options: object
    ) -> Iterator[Row]:
        _none_of(options)
        parts, begin = np.moveaxis(out, axis, 0), 0
        for array in arrays:
            part = array[None] if new_axis else np.moveaxis(array, axis, 0)
            yield self.copied(part, parts[begin : begin + len(part)])
            begin += len(part)

    def _copy(self, target: Bits, source: object, **options: object) -> Iterator[Row]:
        where = options.pop("where", None)
        _none_of({name: value for name, value in options.items() if name != "casting"})
        array = source if isinstance(source, np.ndarray) else np.asarray(source, target.dtype)
        if where is None:
            yield self.copied(array, target)
            return
        if array.dtype != target.dtype:
            array = self._buffer(0, array.shape, target.dtype)
            yield self.copied(np.asarray(source), array)
        if not isinstance(where, np.ndarray) or where.dtype != np.bool:
            raise UnknownError("a mask that is no array")
        chosen, array = np.broadcast_to(where, target.shape), np.broadcast_to(array, target.shape)
        yield Row(self._player.loop(f"select {target.itemsize}"), chosen, array, target)

    def copied(self, source: Bits, target: Bits, repeated: int = 0) -> Row:
        """Return the row that copies an array, and changes its type if need be; for `repeated` see `Row`."""
        if source.dtype != target.dtype:
            loop = self._player.loop(f"cast {source.dtype.char}{target.dtype.char}")
        elif source.dtype == np.bool:
            loop = self._player.loop("copy 1")
        else:
            loop = inner_loop(np.positive, source.dtype, target.dtype)
        return Row(loop, np.broadcast_to(source, target.shape), target, repeated=repeated)

    def _buffer(self, place: int, shape: tuple[int, ...], kind: np.dtype[np.generic]) -> Bits:
        """Return an array for what one call needs in between; the next call may use it again."""
        size = math.prod(shape) * kind.itemsize
        if size > MOST_BUFFERED:
            raise UnknownError("a large array of another type")
        buffer = self._buffers.setdefault((place, size), Scratch(size, np.uint8))
        return np.ndarray(shape, kind, buffer)


def _kind(value: object) -> np.dtype[np.generic] | type:
    """Return the type of an operand, for a number of Python its class, to which others do not adapt."""
    return value.dtype if isinstance(value, (np.ndarray, np.generic)) else type(value)


def _none_of(options: Mapping[str, object]) -> None:
    if options:
        raise UnknownError(f"options {', '.join(options)}")
