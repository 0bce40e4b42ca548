"""Reading and writing files and folders, so that a reader never sees half of one; and paths."""

import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

from nnexp.core.errors import UserError

USUAL_OUTPUT = "outputs"
"""Where runs are written if nothing else is said."""
TEMPORARY = re.compile(r"\..+\.tmp\d+(\.\w+)?")
"""The names of files and folders that are being written."""
SECONDS_TO_WRITE = 3600.0
"""More than a folder takes from its first file until it has its name."""
TAKEN = (errno.EEXIST, errno.ENOTEMPTY)
"""The errors of making a folder, or renaming one, where the name is taken."""
UNKNOWN_HOW = (errno.EACCES, errno.EBADF, errno.EINVAL)
"""The errors of syncing a folder on Windows and on some network shares."""


@contextmanager
def atomically(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it is renamed to `path` if the block succeeds, else removed.

    A durable file is on the disk before it has its name, and after the block it has it even if the machine dies.
    """
    temporary = path.with_name(f".{path.stem}.{_once()}{path.suffix}")
    try:
        yield temporary
        if durable:
            sync(temporary)
        temporary.replace(path)
        if durable:
            sync(path.parent)
    except BaseException:
        _remove(temporary)
        raise


@contextmanager
def hidden_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path`, to be renamed when it is whole; if it is not, it is removed after the block."""
    temporary = path.with_name(f".{path.name}.{_once()}")
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def folder_atomically(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path`; it takes the place of `path` if the block succeeds, else it is removed."""
    with hidden_folder(path) as temporary:
        yield temporary
        older = path.with_name(f".{path.name}.{_once()}")
        if path.exists():
            path.replace(older)  # no system replaces a folder that has files
        temporary.replace(path)
        shutil.rmtree(older, ignore_errors=True)


def _once() -> str:
    return f"tmp{os.getpid()}{time.monotonic_ns()}"  # MLflow remembers databases by their paths


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk; a folder only where the system knows how."""
    if path.is_dir():
        try:
            _sync(path, os.O_RDONLY)
        except OSError as error:
            if error.errno not in UNKNOWN_HOW:
                raise
    else:
        _sync(path, os.O_RDWR)


def _sync(path: Path, access: int) -> None:
    descriptor = os.open(path, access)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_all(folder: Path) -> None:
    """Wait until a folder, with its name, and everything below it are on the disk, but for hidden files."""
    for path in (*folder.rglob("[!.]*"), folder, folder.parent):
        sync(path)


def write_text(path: Path, text: str, *, durable: bool = False) -> None:
    """Write a text file."""
    with atomically(path, durable=durable) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove_temporaries(folder: Path) -> None:
    """Remove the temporary files and folders that a killed process left in a folder or below."""
    for path in [path for path in folder.rglob(".*") if TEMPORARY.fullmatch(path.name)]:
        _remove(path)


def clear(folder: Path) -> None:
    """Remove everything in a folder, but for what is hidden, such as its lock."""
    for path in folder.glob("[!.]*"):
        _remove(path)


def remove_abandoned(folder: Path) -> None:
    """Remove what killed processes have left in a folder, if it is so old that nobody can be writing it."""
    for path in [path for path in folder.glob(".*") if TEMPORARY.fullmatch(path.name)]:
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > SECONDS_TO_WRITE:
                _remove(path)


def _remove(path: Path) -> None:
    """Remove a file or a folder, if it is there and the system lets us."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def remove_folder(path: Path) -> None:
    """Remove a folder with all it has; nobody sees half of it.

    Raises OSError if that is not allowed.
    """
    hidden = path.rename(path.with_name(f".{path.name}.{_once()}"))
    shutil.rmtree(hidden, ignore_errors=True)  # if it cannot go at once, `remove_abandoned` finds it


def expanded(path: str) -> Path:
    """Return a path with ~ replaced, or unchanged if it names a user that does not exist."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def absolute(path: str) -> Path:
    """Return the absolute path, with ~ and .. replaced, so that one place has one name."""
    whole = expanded(path).absolute()
    return whole.resolve() if ".." in whole.parts else whole


def shipped(name: str | Path) -> Path:
    """Return what came with nnexp under this name: in the package when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / name
    return installed if is_there(installed) else package.parent / name


def is_there(path: Path) -> bool:
    """Tell whether a path exists; one that is too long for the system does not."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises then


def is_usual(output_dir: Path) -> bool:
    """Tell whether an output folder is the one that commands take where none is named."""
    return relative(output_dir) == USUAL_OUTPUT


def relative(path: Path) -> str:
    """Return a path relative to the working folder if it lies within, else as it is."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def read_text(path: Path, max_bytes: int) -> str:
    """Return the content of a text file.

    Raises OSError if it is no file, has more than `max_bytes`, or cannot be read.
    """
    if not path.is_file():  # reading a pipe, for one, could wait forever
        raise FileNotFoundError(f"{path.name} is no file")
    if path.stat().st_size > max_bytes:
        raise OSError(f"{path.name} has more than {max_bytes:,} bytes")
    return path.read_text(encoding="utf-8")


def new_folder(parent: Path, name: str, make: Callable[[Path], object] = Path.mkdir) -> Path:
    """Make and return a folder of this name, with a number behind it where the name is taken.

    Args:
        parent: The folder for it, which is made if needed.
        name: Its name.
        make: Makes a folder, or renames one that has files; it fails where the name is taken.
    """
    parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        folder = parent / (name if number == 1 else f"{name}_{number}")
        try:
            make(folder)
        except OSError as error:
            if error.errno not in TAKEN:
                raise
            number += 1
        else:
            return folder


def writable_folder(path: str, key: str = "output_dir") -> Path:
    """Return the absolute path of a folder to write to, made if needed.

    Raises UserError if nothing can be written there; `key` is what names it, for the message.
    """
    folder = absolute(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise unwritable(path, error, key) from error
    return folder


def unwritable(folder: str | Path, error: OSError, key: str = "output_dir") -> UserError:
    """Return the mistake that a folder cannot be written to."""
    return UserError(f"{key}={folder}: must be a folder that can be written to ({error.strerror})")
