"""NumPy's own inner loops, by their addresses.

A universal function has a table of loops, one for each combination of types, in the structure PyUFuncObject, which
belongs to NumPy's C API. All have one signature, which all loops that a program plays share:

    void loop(char **pointers, npy_intp const *lengths, npy_intp const *strides, void *data)

The structure is read only where it says the same as Python says of the function.
"""

import ctypes
import re
import sys
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.generic]
"""An array of anything."""


class UnknownError(Exception):
    """A call cannot be translated, and is left to Python."""


class Loop(NamedTuple):
    """A loop, and what it expects.

    Attributes:
        function, data: Its address, and that of the data it is given; None for the pointers to its arrays themselves.
        sizes: The bytes of a number of each array: of those it reads, then of the one it writes.
        core: The names of the axes at the end of each array that it works on itself: `(n, k), (k, m), (n, m)` for
            products of matrices, none for most.
        name: What it does: the name of a function of NumPy, or the first word of one of our own, see `player`.
    """

    function: int
    data: int | None
    sizes: tuple[int, ...]
    core: tuple[tuple[str, ...], ...]
    name: str = ""


class Scratch(np.ndarray[tuple[int, ...], np.dtype[np.uint8]]):
    """Memory of a tape for numbers that nobody reads after it, but for its results."""


class _UFunc(ctypes.Structure):
    """The beginning of PyUFuncObject, numpy/ufuncobject.h."""

    _fields_ = (
        ("head", ctypes.c_byte * object.__basicsize__),
        ("nin", ctypes.c_int),
        ("nout", ctypes.c_int),
        ("nargs", ctypes.c_int),
        ("identity", ctypes.c_int),
        ("functions", ctypes.POINTER(ctypes.c_void_p)),
        ("data", ctypes.POINTER(ctypes.c_void_p)),
        ("ntypes", ctypes.c_int),
        ("reserved", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("types", ctypes.POINTER(ctypes.c_byte)),
    )


@cache
def inner_loop(ufunc: np.ufunc, *dtypes: np.dtype[np.generic]) -> Loop:
    """Return the loop of a function for the types of its inputs and its output.

    Raises UnknownError if there is none, or if the structure is not as it is known.
    """
    letters = "".join(dtype.char for dtype in dtypes)
    signature = f"{letters[: ufunc.nin]}->{letters[ufunc.nin :]}"
    if signature not in ufunc.types or not all(dtype.isnative for dtype in dtypes):
        raise UnknownError(f"{ufunc.__name__} of {signature}")
    seen = _structure(ufunc)
    place = ufunc.types.index(signature)
    function = seen.functions[place] if seen.functions else None
    if function is None:
        raise UnknownError(f"{ufunc.__name__} without a table of loops")
    data = seen.data[place] if seen.data else None
    return Loop(function, data or 0, tuple(dtype.itemsize for dtype in dtypes), core=_core(ufunc), name=ufunc.__name__)


def _core(ufunc: np.ufunc) -> tuple[tuple[str, ...], ...]:
    """Return the axes that a function works on itself, from a signature such as `(n?,k),(k,m?)->(n?,m?)`."""
    if ufunc.signature is None:
        return ((),) * ufunc.nargs
    return tuple(tuple(re.findall(r"\w+", names)) for names in re.findall(r"\((.*?)\)", ufunc.signature))


@cache
def _structure(ufunc: np.ufunc) -> _UFunc:
    """Return the structure of a function, compared with what Python says of it."""
    if sys.implementation.name != "cpython" or np.ufunc.__basicsize__ < ctypes.sizeof(_UFunc):
        raise UnknownError("another structure of functions")
    seen = _UFunc.from_address(id(ufunc))
    counts = ufunc.nin, ufunc.nout, ufunc.nargs, ufunc.ntypes
    if (seen.nin, seen.nout, seen.nargs, seen.ntypes) != counts or seen.name.decode() != ufunc.__name__:
        raise UnknownError("another structure of functions")
    numbers = [np.dtype(letter).num for types in ufunc.types for letter in types.replace("->", "")]
    if seen.types[: len(numbers)] != numbers:
        raise UnknownError("another table of types")
    return seen
