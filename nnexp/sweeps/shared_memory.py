"""Calls that are sent to processes of this machine: their large arrays lie in memory that all share, each of them once.

The system takes the memory back when no process has it any more, however that comes. Where it has no such memory, the
arrays are sent as all else is.
"""

import mmap
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

LARGE = 1_000_000
"""Arrays of more bytes are shared."""


@dataclass(frozen=True)
class PackedCall:
    """A function without its large arrays, and the files that hold these.

    Attributes:
        pickled: The function.
        files: A file for each large array, in their order.
    """

    pickled: bytes
    files: tuple[str, ...] = ()

    def __call__(self) -> object:
        """Call the function; what it changes in the arrays, nobody else sees."""
        return pickle.loads(self.pickled, buffers=map(_mapped, self.files))()  # noqa: S301 - of our own process


def _mapped(path: str) -> mmap.mmap:
    with open(path, "rb") as file:  # noqa: PTH123 - it is not in a folder
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


@dataclass
class _Shared:
    """An array, which is kept, so that no other has its address; its copy; and how many calls need that."""

    array: pickle.PickleBuffer
    descriptor: int
    calls: int = 0


class SharedArrays:
    """The large arrays of calls, in memory as long as a call needs them; threads may use it at once.

    Args:
        share: Whether there is such memory; without it the arrays stay in their calls.
    """

    def __init__(self, *, share: bool) -> None:
        self._share = share and hasattr(os, "memfd_create")
        self._shared: dict[tuple[int, int], _Shared] = {}
        self._lock = threading.Lock()

    @contextmanager
    def packed(self, function: Callable[[], object]) -> Iterator[PackedCall]:
        """Yield a function in the form in which it is sent, and keep its arrays within the block."""
        import cloudpickle  # which also sends what a script defines

        keys: list[tuple[int, int]] = []

        def stays(array: pickle.PickleBuffer) -> bool:
            raw = array.raw()
            if raw.nbytes <= LARGE or not self._share:
                return True
            key = (np.frombuffer(raw, np.uint8).ctypes.data, raw.nbytes)
            if key not in self._shared:
                try:
                    self._shared[key] = _Shared(array, _copy(raw))
                except OSError:  # the system has it, but not for us
                    self._share = False
                    return True
            self._shared[key].calls += 1
            keys.append(key)
            return False

        try:
            with self._lock:
                pickled = cloudpickle.dumps(function, buffer_callback=stays)
                files = [_path_of(self._shared[key].descriptor) for key in keys]
            yield PackedCall(pickled, tuple(files))
        finally:
            with self._lock:
                for key in keys:
                    self._shared[key].calls -= 1
                    if not self._shared[key].calls:
                        os.close(self._shared.pop(key).descriptor)


def _copy(raw: memoryview) -> int:
    """Return the descriptor of memory with the same bytes.

    Raises OSError if there is none, or other processes cannot open it.
    """
    descriptor = os.memfd_create("nnexp")
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(raw)
        os.stat(_path_of(descriptor))  # noqa: PTH116 - it is not in a folder
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _path_of(descriptor: int) -> str:
    """Return the path by which other processes open a file of this one."""
    return f"/proc/{os.getpid()}/fd/{descriptor}"
