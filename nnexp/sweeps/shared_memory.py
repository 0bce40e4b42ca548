"""Large arrays that are sent to processes of this machine through files in memory, each of them once.

The files of a sweep lie in a folder of its own, beside which it holds a lock: a sweep that was killed leaves both, and
the next one removes what nobody holds. Numbers of processes would not do, for containers can share the memory.
"""

import mmap
import pickle
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast
from uuid import uuid4

import numpy as np

from nnexp.core.locks import held, lock_of

T = TypeVar("T")

MEMORY = Path("/dev/shm")  # noqa: S108 - the folders in it have names that nobody can guess
"""Where systems that have it keep files in memory."""
ROOM = 2_000_000_000
"""How many bytes must be free there; containers are often given few."""
LARGE = 1_000_000
"""Arrays of more bytes are sent through files."""
PREFIX = "nnexp-sweep-"
"""How the names of the folders begin."""


@contextmanager
def shared_folder() -> Iterator[Path]:
    """Yield a new folder for files in memory, and remove it with all in it; remove those of dead sweeps first."""
    disk = Path(tempfile.gettempdir())
    for folder in [*MEMORY.glob(f"{PREFIX}*"), *disk.glob(f"{PREFIX}*")]:
        with suppress(OSError), held(lock_of(folder)) as free:  # OSError: it is another user's
            if free:
                _remove(folder)
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    folder = (MEMORY if roomy else disk) / f"{PREFIX}{uuid4().hex}"
    with held(lock_of(folder)):  # before there is a folder, so that nobody takes it for a dead one
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            _remove(folder)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # a system that does not remove open files
        lock_of(folder).unlink(missing_ok=True)


@dataclass(frozen=True)
class PackedCall:
    """A function without its large arrays, and the files that hold these.

    Attributes:
        pickled: The function.
        files: A file for each large array, in their order.
    """

    pickled: bytes
    files: tuple[Path, ...]

    def unpacked(self) -> Callable[[], object]:
        """Return the function; what it changes in the arrays, nobody else sees."""
        return cast("Callable[[], object]", pickle.loads(self.pickled, buffers=map(_mapped, self.files)))  # noqa: S301


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


@dataclass
class _SharedFile:
    path: Path
    buffer: pickle.PickleBuffer
    """Keeps the array, at whose address there can be no other as long as it lives."""


class SharedArrays:
    """The large arrays of calls, in files that are there as long as a call needs them; threads may share it.

    Args:
        folder: Where the files lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[tuple[int, int], _SharedFile] = {}
        self._users: Counter[Path] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def packed(self, function: Callable[[], T]) -> Iterator[PackedCall]:
        """Yield a function in the form in which it is sent, and keep its files within the block."""
        files: list[Path] = []

        def stays(buffer: pickle.PickleBuffer) -> bool:
            """Write a large array into a file, or tell that it stays where it is."""
            path = None if buffer.raw().nbytes <= LARGE else self._file_of(buffer)
            if path is None:
                return True
            files.append(path)
            return False

        try:
            with self._lock:
                pickled = pickle.dumps(function, protocol=pickle.HIGHEST_PROTOCOL, buffer_callback=stays)
            yield PackedCall(pickled, tuple(files))
        finally:
            with self._lock:
                self._release(files)

    def _file_of(self, buffer: pickle.PickleBuffer) -> Path | None:
        """Return the file of an array, for one more call; None if there is no room for it."""
        array = np.frombuffer(buffer.raw(), np.uint8)
        key = (array.ctypes.data, array.nbytes)
        if key not in self._files:
            path = self._folder / uuid4().hex
            try:
                path.write_bytes(buffer.raw())
            except OSError:
                path.unlink(missing_ok=True)
                return None
            self._files[key] = _SharedFile(path, buffer)
        path = self._files[key].path
        self._users[path] += 1
        return path

    def _release(self, files: list[Path]) -> None:
        """Remove the files that no call needs any more."""
        self._users.subtract(files)
        for key, file in list(self._files.items()):
            if self._users[file.path] <= 0:
                del self._files[key], self._users[file.path]
                with suppress(OSError):  # a system that does not remove open files: they go with the folder
                    file.path.unlink()
