"""The state of a training in a file: arrays as npz, the rest as JSON, with a checksum over both.

Every object that changes while training has a method `state`, which returns a tree of mappings and lists with arrays
and plain values as leaves, and a method `restore`, which takes such a tree back.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt

from nnexp.core.component import Array
from nnexp.core.errors import DamagedError
from nnexp.core.npz import AnyArray, read_arrays, write_arrays

Tree: TypeAlias = "Mapping[str, Tree] | Sequence[Tree] | AnyArray | str | int | float | None"
T = TypeVar("T")

VERSION = 1
"""The version of the format; files of another version are refused."""
STATE, CHECKSUM = "state.json", "sha256"
UNLIMITED = 1 << 62
"""Larger than all counts."""
ARRAY = "array"
"""The only key of a mapping that stands for an array."""


class Saved:
    """A part of a checkpoint; each value is checked when it is read, since the file may be from a stranger.

    Args:
        tree: The saved values by name.
        path: The place of the part in the checkpoint, for messages.
    """

    def __init__(self, tree: object, path: str = "checkpoint") -> None:
        if not isinstance(tree, dict):
            raise DamagedError(f"{path} is no mapping")
        self._tree, self._path = cast("dict[str, object]", tree), path

    def _value(self, name: str, kind: type[T]) -> T:
        value = self._tree.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise DamagedError(f"{self._path}.{name} is not a {kind.__name__}")
        return value

    def has(self, name: str) -> bool:
        """Tell whether there is a value of this name that is not null."""
        return self._tree.get(name) is not None

    def part(self, name: str) -> "Saved":
        """Return a mapping as a part."""
        return Saved(self._tree.get(name), f"{self._path}.{name}")

    def parts(self, name: str) -> list["Saved"]:
        """Return a list of mappings as parts."""
        return [Saved(part, f"{self._path}.{name}[{place}]") for place, part in enumerate(self._value(name, list))]

    def mapping(self, name: str) -> dict[str, object]:
        """Return a mapping as a dictionary."""
        return dict(self._value(name, dict))

    def whole(self, name: str, below: int = UNLIMITED) -> int:
        """Return a whole number from 0 to below a limit."""
        value = self._value(name, int)
        if not 0 <= value < below:
            raise DamagedError(f"{self._path}.{name} is {value}, not from 0 to {below - 1}")
        return value

    def number(self, name: str) -> float:
        """Return a number."""
        return float(self._value(name, float))

    def text(self, name: str) -> str:
        """Return a text."""
        return self._value(name, str)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts."""
        values = self._value(name, list)
        if not all(isinstance(value, str) for value in values):
            raise DamagedError(f"{self._path}.{name} is no list of texts")
        return tuple(values)

    def array(self, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike) -> AnyArray:
        """Return an array of a known shape and dtype."""
        array = self._value(name, np.ndarray)
        if array.shape != shape or array.dtype != dtype:
            raise DamagedError(
                f"{self._path}.{name} has shape {array.shape} and dtype {array.dtype}, not {shape} and {dtype}"
            )
        return array

    def indices(self, name: str, below: int, shape: tuple[int, ...] | None = None) -> npt.NDArray[np.intp]:
        """Return indices from 0 to below a limit, of a known shape or in a row of any length."""
        found = self._value(name, np.ndarray)
        array = self.array(name, (found.size,) if shape is None else shape, np.intp)
        if array.size and not 0 <= int(array.min()) <= int(array.max()) < below:
            raise DamagedError(f"{self._path}.{name} has indices that are not from 0 to {below - 1}")
        return array.astype(np.intp, copy=False)

    def like(self, name: str, array: Array) -> Array:
        """Return an array of the same shape and dtype as another."""
        return cast("Array", self.array(name, array.shape, array.dtype))

    def table(self, name: str, rows: int) -> Array:
        """Return a table of numbers with a known number of rows."""
        array = self._value(name, np.ndarray)
        if array.ndim != 2 or len(array) != rows or array.dtype.kind != "f":
            raise DamagedError(f"{self._path}.{name} is no table of {rows} rows")
        return array

    def fill(self, name: str, array: AnyArray) -> None:
        """Copy a saved array into an array in place, because views of it exist."""
        array[...] = self.array(name, array.shape, array.dtype)

    def fill_all(self, name: str, arrays: Mapping[str, AnyArray]) -> None:
        """Copy saved arrays into arrays of the same names, in place."""
        part = self.part(name)
        for key, array in arrays.items():
            part.fill(key, array)


def write_checkpoint(path: Path, tree: Mapping[str, Tree]) -> None:
    """Write a tree into a file that lasts even if the machine dies."""
    arrays: dict[str, AnyArray] = {}

    def plain(node: Tree, path: str) -> object:
        if isinstance(node, np.ndarray):
            arrays[path] = node
            return {ARRAY: path}
        if isinstance(node, Mapping):
            return {key: plain(value, f"{path}.{key}".strip(".")) for key, value in node.items()}
        if isinstance(node, Sequence) and not isinstance(node, str):
            return [plain(value, f"{path}.{place}") for place, value in enumerate(node)]
        return node

    state = json.dumps({"version": VERSION, **cast("dict[str, object]", plain(tree, ""))}, indent=1)
    write_arrays(path, arrays, {STATE: state, CHECKSUM: _checksum(state, arrays)}, durable=True)


def read_checkpoint(path: Path) -> Saved:
    """Return the tree in a file.

    Raises DamagedError if the file was changed, or is of another version.
    """
    arrays, texts = read_arrays(path)
    state = texts.get(STATE, "")
    if texts.get(CHECKSUM) != _checksum(state, arrays):
        raise DamagedError("its checksum is not that of its content")

    def restored(node: dict[str, object]) -> object:
        return arrays[str(node[ARRAY])] if node.keys() == {ARRAY} else node

    saved = _sound(lambda: Saved(json.loads(state, object_hook=restored)))
    version = saved.whole("version", below=UNLIMITED)
    if version != VERSION:
        raise DamagedError(f"it has version {version}, and {VERSION} is known")
    return saved


def generator_state(generator: np.random.Generator) -> Tree:
    """Return the state of a generator of random numbers."""
    return cast("Tree", generator.bit_generator.state)


def restore_generator(generator: np.random.Generator, saved: Saved, name: str) -> None:
    """Set the state of a generator to a saved one."""

    def restore() -> None:
        generator.bit_generator.state = saved.mapping(name)

    _sound(restore)


def _sound(read: Callable[[], T]) -> T:
    """Return the result of a function that reads; its errors become a DamagedError of one line."""
    try:
        return read()
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError) as error:
        raise DamagedError(f"{type(error).__name__}: {' '.join(str(error).split())}") from error


def _checksum(state: str, arrays: Mapping[str, AnyArray]) -> str:
    digest = hashlib.sha256(state.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {arrays[name].shape} ".encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()
