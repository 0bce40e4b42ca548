"""A tape: the NumPy calls that a function makes, recorded once and made again on the same arrays.

A step of a small network spends most of its time in Python, on the way from one NumPy call to the next. The calls are
the same in every step, so they are recorded in the first one, together with the arrays they work on, and later only
played. The formulas stay where they are and know nothing of it; the bits are the same, as the calls are.

An array that the function no longer holds gives its memory to the next result: a tape needs few buffers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias, TypeVar, cast
from weakref import finalize

import numpy as np
import numpy.typing as npt

from nnexp.core.component import Array
from nnexp.training.compiled.loops import Scratch, UnknownError
from nnexp.training.compiled.program import Program
from nnexp.training.compiled.runs import Belongings, Playable
from nnexp.training.compiled.translate import Call, Translator, player_for, worth_kernels

Bits: TypeAlias = npt.NDArray[np.generic]
"""An array of anything."""
N = TypeVar("N", bound=Bits)
Results: TypeAlias = Mapping[str, Array]
CallOptions: TypeAlias = Mapping[str, object]


class View(Protocol):
    """Returns a view of an array, through which a tape records its use."""

    def __call__(self, array: N, /) -> N:
        """Return an array with the same numbers."""


Bind: TypeAlias = Callable[[View, View], Callable[[], Results]]
"""Returns the function to repeat, given `read` and `change`, see `Repeated`."""


@dataclass(frozen=True)
class OfOneRun:
    """The same function for the arrays of one run, and what has to be moved into them."""

    bind: Bind
    belongings: Belongings


OUT_BY_NAME = (np.maximum, np.minimum)
"""Functions of NumPy that take the array for their result by the name `out` alone."""
PASSED_ON = frozenset(
    {np.sum, np.mean, np.var, np.max, np.min, np.any, np.all, np.clip}
    | {np.reshape, np.squeeze, np.expand_dims, np.swapaxes, np.moveaxis, np.transpose, np.shape, np.ndim, np.size}
)
"""Functions of NumPy that call others, which are recorded, or that return views."""


class UnrecordableError(Exception):
    """A function does what a tape cannot repeat."""


class Recorded(np.ndarray[tuple[int, ...], np.dtype[np.generic]]):
    """An array whose use is recorded on its tape."""

    tape: "Tape"

    def __array_finalize__(self, source: object) -> None:
        """Take the tape of the array of which this one is a view."""
        if isinstance(source, Recorded):
            self.tape = source.tape

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: object, out: Sequence[object] = (), **options: object
    ) -> object:
        """Call a universal function, and record it; arrays of other kinds, such as dual numbers, come first."""
        if any(hasattr(one, "__array_ufunc__") and not isinstance(one, np.ndarray) for one in inputs):
            return NotImplemented
        return self.tape.call(ufunc, method, inputs, out=out, options=options)

    def __array_function__(
        self, function: Callable[..., object], types: Iterable[type], arguments: Iterable[object], options: CallOptions
    ) -> object:
        """Call another function of NumPy, and record it if that is possible."""
        if not all(issubclass(kind, np.ndarray) for kind in types):
            return NotImplemented
        if function in PASSED_ON:
            return super().__array_function__(function, types, arguments, options)
        if function not in self.tape.functions:
            raise UnrecordableError(f"np.{function.__name__}")
        return self.tape.functions[function](*arguments, **options)

    def __getitem__(self, key: object) -> "Recorded":
        """Return a view of a part; a copy of chosen elements is refused when it is used."""
        part: object = super().__getitem__(key)  # type: ignore[call-overload]
        if not isinstance(part, Recorded):
            raise UnrecordableError("a single element")
        return part

    def __setitem__(self, key: object, value: object) -> None:
        """Copy numbers into a part."""
        self.tape.copy_to(self[key], value)

    def astype(self, dtype: npt.DTypeLike, *_: object, copy: bool = True, **__: object) -> "Recorded":  # type: ignore[override]
        """Return the array with numbers of another type."""
        return self if not copy and self.dtype == dtype else self.tape.copied(self, dtype)

    def copy(self, *_: object, **__: object) -> "Recorded":
        """Return a copy."""
        return self.tape.copied(self, self.dtype)

    def argmax(self, axis: int, *_: object, **__: object) -> "Recorded":  # type: ignore[override]
        """Return the places of the largest elements along an axis."""
        return self.tape.along(np.argmax, self, axis)

    def _refuse(self, *_: object, **__: object) -> "Recorded":
        raise UnrecordableError("something that depends on the numbers, or of which NumPy does not tell")

    # Methods whose results depend on the numbers, or whose calls NumPy hides from `__array_ufunc__`.
    __bool__ = __float__ = __int__ = __index__ = __iter__ = item = tolist = _refuse  # type: ignore[assignment]
    take = repeat = sort = argsort = argmin = choose = compress = dot = cumsum = cumprod = round = _refuse  # type: ignore[assignment]


class Tape:
    """The calls of a function, in their order, and the buffers for their results."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.functions: dict[Callable[..., object], Callable[..., object]] = {
            np.copyto: self.copy_to,
            np.where: self.where,
            np.concatenate: partial(self.along, np.concatenate),
            np.stack: partial(self.along, np.stack),
            np.broadcast_to: self.broadcast,
            np.empty_like: self.empty,
            np.zeros_like: self.zeros,
        }
        self._owners: dict[int, object] = {}
        self._free: dict[int, list[Bits]] = {}

    def take_calls(self) -> Sequence[Call]:
        """Return the calls, and forget them.

        They hold views of recorded arrays, which hold the tape: a cycle that Python's garbage collector cannot free,
        since NumPy hides from it what an array is a view of.
        """
        calls, self.calls = self.calls, []
        return calls

    def watch(self, array: Bits) -> Recorded:
        """Return a view of an array that is recorded; the numbers may differ when the tape is played."""
        owner = _owner(array)
        self._owners[id(owner)] = owner
        recorded = array.view(Recorded)
        recorded.tape = self
        return recorded

    def call(
        self, ufunc: np.ufunc, method: str, inputs: Sequence[object], out: Sequence[object], options: CallOptions
    ) -> Recorded:
        """Call a universal function, or a method of it, and record it."""
        if ufunc.nout > 1 or method == "at" or any(not isinstance(array, Recorded) for array in out):
            raise UnrecordableError(f"{ufunc.__name__}.{method}, or a result in an array that is not recorded")
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        options = {name: value for name, value in options.items() if not (name == "where" and value is True)}
        arrays = [self.known(value) for value in inputs]
        if out:
            result = cast("Recorded", out[0])
            function(*arrays, out=self.known(result), **options)
        else:
            result = self._new(np.asarray(function(*arrays, **options)))
        place: object = unrecorded(result)
        if method == "__call__":
            arrays, place, options = _fastest(ufunc, arrays, unrecorded(result), options)
        if method == "reduce" and options.keys() <= {"axis", "dtype", "keepdims"}:
            how = options.get("axis", 0), options.get("dtype"), place, options.get("keepdims", False)
            self.calls.append((function, (*arrays, *how)))
        elif method == "__call__" and not options and ufunc not in OUT_BY_NAME:
            self.calls.append((function, (*arrays, place)))
        else:
            self.calls.append((partial(function, *arrays, out=place, **options), ()))
        return result

    def along(self, function: Callable[..., Bits], arrays: object, axis: int = 0) -> Recorded:
        """Call a function that works along an axis and takes `out`, and record it."""
        known = [self.known(one) for one in arrays] if isinstance(arrays, (list, tuple)) else self.known(arrays)
        result = self._new(np.asarray(function(known, axis=axis)))
        self.calls.append((partial(function, known, axis=axis, out=unrecorded(result)), ()))
        return result

    def copy_to(self, target: object, source: object, **options: object) -> None:
        """Copy numbers as `np.copyto` does, and record it."""
        if not isinstance(target, Recorded):
            raise UnrecordableError("a result in an array that is not recorded")
        arrays = self.known(target), self.known(source)
        copy = partial(cast("Callable[..., None]", np.copyto), **{k: self.known(v) for k, v in options.items()})
        copy(*arrays)
        self.calls.append((copy if options else np.copyto, arrays))

    def copied(self, array: Recorded, dtype: npt.DTypeLike) -> Recorded:
        """Return a copy of an array, with numbers of a type."""
        result = self._new(np.empty(array.shape, dtype))
        self.copy_to(result, array, casting="unsafe")
        return result

    def where(self, condition: Bits, one: Bits, other: Bits) -> Recorded:
        """Return what `np.where` does, made by two copies, and record them."""
        shape = np.broadcast_shapes(*(np.shape(value) for value in (condition, one, other)))
        kind = np.result_type(*(cast("Bits", self.known(value)) for value in (one, other)))
        result = self._new(np.empty(shape, kind))
        self.copy_to(result, other)
        self.copy_to(result, one, where=np.broadcast_to(condition, shape))
        return result

    def broadcast(self, array: Bits, shape: Sequence[int]) -> Recorded:
        """Return a view with another shape."""
        return self.watch(np.broadcast_to(cast("Bits", self.known(array)), shape))

    def empty(self, like: Bits) -> Recorded:
        """Return an array of the same shape and type."""
        return self._new(np.empty(like.shape, like.dtype))

    def zeros(self, like: Bits) -> Recorded:
        """Return an array of zeros, and record that they are written."""
        result = self.empty(like)
        self.copy_to(result, 0)
        return result

    def _new(self, result: Bits) -> Recorded:
        """Return an array with the numbers of a result, in a free buffer of its size or else in a new one."""
        free = self._free.setdefault(result.nbytes, [])
        buffer = free.pop() if free else Scratch(result.nbytes, np.uint8)
        array: Bits = np.ndarray(result.shape, result.dtype, buffer, strides=np.empty_like(result).strides)
        array[...] = result
        recorded = self.watch(array)
        finalize(recorded, free.append, buffer)
        return recorded

    def known(self, value: object) -> object:
        """Return the plain array of a recorded one; its memory must be known to the tape."""
        if not isinstance(value, Recorded):
            return value
        if id(_owner(value)) not in self._owners:
            raise UnrecordableError("an array that was made in a way that is not recorded")
        return unrecorded(value)


class Repeated:
    """A function of the same arrays, called again and again: recorded in its first call, played from a tape later.

    The second call is made both ways, on the arrays and on copies. If the bits differ, or something cannot be recorded,
    the function is called without a tape from then on. Where it is worth it, the tape is then compiled, and the third
    call checked likewise: with other bits it is not used.

    Args:
        bind: Returns the function to repeat, which returns arrays by name. It is given two functions: every array whose
            numbers differ from call to call must be passed through `read` or, if it is changed, through `change`.
        worth: Whether a tape is worth its making: recording and checking take as long as a few calls.
        times: How often it will be called, as far as that is known: often enough, and the tape is compiled.
        of_one_run: Returns the function that is played for one run after another where it is compiled, if there is one.

    Attributes:
        calls: The calls of the tape; none where it is called without one.
        played: What is called instead.
        playable: What is compiled, if all of it is.
    """

    def __init__(
        self,
        bind: Bind,
        *,
        worth: bool = True,
        times: int = 0,
        of_one_run: Callable[[], OfOneRun | None] = lambda: None,
    ) -> None:
        self._bind, self._times, self._of_one_run = bind, times, of_one_run
        self.calls: Sequence[Call] = ()
        self.played: Sequence[Call] = ()
        self.playable: Playable | None = None
        self._results = self._of_tape = dict[str, Array]()
        # The way of the next call: recorded, then checked, then played; or from some call on without a tape.
        self._way: Callable[[], Results] = self._record if worth else self._call_without_tape

    @property
    def settled(self) -> bool:
        """Tell whether all ways were tried, so that later calls go the way of the last one."""
        return self._way not in (self._record, self._check)

    def __call__(self) -> Results:
        """Return the results, in arrays that the next call may overwrite."""
        return self._way()

    def _record(self) -> Results:
        before = list[tuple[Bits, Bits]]()
        try:
            self.calls, self._results = recorded(self._bind, lambda array: before.append((array, array.copy())))
        except Exception:  # noqa: BLE001 - whatever is really wrong is raised again without a tape
            _copy_back(before)
            return self._call_without_tape()
        self._way, self._of_tape = self._check, self._results
        return self._results

    def _check(self) -> Results:
        after = list[tuple[Bits, Bits]]()

        def change(array: N) -> N:
            twin = array.copy()
            after.append((array, twin))
            return twin

        expected = self._bind(_itself, change)()
        self.played = self.played or self.calls
        results = self._play()
        pairs = [*after, *((results[name], array) for name, array in expected.items())]
        if all(np.array_equal(_bytes(one), _bytes(other)) for one, other in pairs):
            known = self.played
            if known is self.calls:
                self._compile()
            self._way = self._play if self.played is known else self._check
            return results
        _copy_back(after)
        if self.played is self.calls:
            self._give_up()
        else:
            self.played, self._results, self.playable, self._way = self.calls, self._of_tape, None, self._play
        return expected

    def _compile(self) -> None:
        """Have the tape played by compiled code where that is worth it, for one run after another if possible."""
        one = self._of_one_run()
        times = self._times * (1 if one is None else one.belongings.runs)
        player = player_for(len(self.calls), times)
        if player is None:
            return
        translator = Translator(player, anew=worth_kernels(len(self.calls) * times))
        if one is not None:
            with suppress(UnrecordableError, UnknownError):
                calls, results = recorded(one.bind)
                playable = Playable(translator.rows(calls, results.values()), results, one.belongings, player)
                program, self._results = playable.for_all_runs()
                self.played, self.playable = [(program, ())], playable
                return
        self.played = translator.translated(self.calls, self._results.values())
        match self.played:
            case [(Program() as program, _)]:
                self.playable = Playable(program.rows, self._results, Belongings(), player)

    def _play(self) -> Results:
        for function, arguments in self.played:
            function(*arguments)
        return self._results

    def _give_up(self) -> None:
        self.calls, self.played, self._way = (), (), self._bind(_itself, _itself)

    def _call_without_tape(self) -> Results:
        self._give_up()
        return self._way()


def recorded(bind: Bind, changed: Callable[[Bits], None] = lambda _: None) -> tuple[Sequence[Call], dict[str, Array]]:
    """Return the calls that a function makes, and its results; `changed` is told of an array before it is changed.

    Raises UnrecordableError, or any other exception, if it cannot be recorded.
    """
    tape = Tape()

    def read(array: N) -> N:
        return cast("N", tape.watch(array))

    def change(array: N) -> N:
        changed(array)
        return read(array)

    try:
        results = bind(read, change)()
        return list(tape.calls), {name: cast("Array", tape.known(array)) for name, array in results.items()}
    finally:
        tape.take_calls()


def unrecorded(array: N) -> N:
    """Return the plain array, whose use is not recorded."""
    return cast("N", array.view(np.ndarray))


def _itself(array: N) -> N:
    return array


def _bytes(array: Bits) -> npt.NDArray[np.uint8]:
    """Return an array as bytes, so that NaN equals NaN, whatever its sign."""
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), array.dtype.type(np.nan), array)
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _copy_back(pairs: Sequence[tuple[Bits, Bits]]) -> None:
    for array, kept in pairs:
        array[...] = kept


def _owner(array: object) -> object:
    """Return the array that owns the memory of a view."""
    while isinstance(array, np.ndarray) and isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _fastest(
    ufunc: np.ufunc, inputs: list[object], out: Bits, options: CallOptions
) -> tuple[list[object], Bits, CallOptions]:
    """Return the arguments of a call in the form that NumPy handles fastest, with the same numbers.

    A single number becomes an array without axes, of the right type, and a product of matrices of one run loses its run
    axis: NumPy then has less work with the shapes.
    """
    if ufunc.signature is not None:
        matrices = cast("list[Bits]", inputs)
        if out.ndim != 3 or len(out) > 1:
            return inputs, out, options
        return [array[0] if array.ndim > 2 else array for array in matrices], out[0], options
    kind = np.result_type(*cast("list[Bits]", inputs))
    arrays: list[object] = []
    for value in inputs:
        if isinstance(value, (bool, int, float)) or (isinstance(value, np.generic) and kind == out.dtype):
            arrays.append(np.array(value, kind))
        elif isinstance(value, np.ndarray) and value.size == 1 < out.size:
            arrays.append(value.reshape(()))
        else:
            arrays.append(value)
    plain = kind == out.dtype and options.keys() <= {"casting", "subok"}
    return arrays, out, {} if plain else options
