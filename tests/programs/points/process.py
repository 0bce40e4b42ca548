"""A process of its own for a command, forked with everything imported, and what happens to it at a chosen event."""

import errno
import os
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from types import FunctionType, ModuleType

from nnexp.core import disk

TIMEOUT = 120
"""Seconds after which a command hangs."""
DEAD = 99
"""The status of a process that died at an event."""
SHORT_PATIENCE = 0.5
"""Seconds that a run waits for room on a disk that stays full, in place of ten minutes."""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

Arguments = tuple[object, ...]
PATHS: dict[str, Sequence[tuple[int, int | None]]] = {
    "open": [(0, None)],
    "os.mkdir": [(0, 2)],
    "os.rename": [(0, 2), (1, 3)],
    "os.link": [(0, 2), (1, 3)],
    "os.symlink": [(1, 2)],
    "os.truncate": [(0, None)],
    "os.remove": [(0, 1)],
    "os.rmdir": [(0, 1)],
}
"""Of every event that changes files, where its paths are among its arguments, and the folders they are relative to."""
TAKING_ROOM = frozenset({"open", "os.mkdir", "os.rename", "os.link", "os.symlink"})
"""The events that a full disk can refuse."""


@dataclass(frozen=True)
class Fault:
    """What happens at an event.

    Attributes:
        happen: Lets it happen, given a path that is to be changed.
        lasting: Whether it happens again at every later event.
        events: The events at which it can happen.
        statuses: The exit statuses that a command may have then.
        refuses: Whether the system refuses the change.
    """

    happen: Callable[[str], None]
    statuses: frozenset[int]
    lasting: bool = False
    events: frozenset[str] = frozenset(PATHS)
    refuses: bool = False


def die(_path: str) -> None:
    """End the process as SIGKILL would: nothing is flushed, released or cleaned."""
    os._exit(DEAD)


def fail(number: int, path: str) -> None:
    """Raise the error of the system with this number."""
    raise OSError(number, os.strerror(number), path)


def interrupt(_path: str) -> None:
    """Raise what Ctrl-C raises, here; it never does in another thread than the first."""
    if threading.current_thread() is not threading.main_thread():
        os.kill(os.getpid(), signal.SIGINT)
        return
    raise KeyboardInterrupt


def signalled(_path: str) -> None:
    """Send the signal of Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)


def _faults() -> dict[str, Fault]:
    found = {"death": Fault(die, frozenset({DEAD}))}
    for name in ("ENOSPC", "EIO", "EROFS", "EACCES"):
        number: int = getattr(errno, name)
        events = TAKING_ROOM if number == errno.ENOSPC else frozenset(PATHS)
        for lasting in (False, True):
            happen = partial(fail, number)
            fault = Fault(happen, frozenset({0, 1, 2}), lasting=lasting, events=events, refuses=True)
            found[f"{name}-lasting" if lasting else name] = fault
    interrupted = frozenset({0, 130})  # 0 where all was done before it was looked at
    return {**found, "interrupt": Fault(interrupt, interrupted), "SIGINT": Fault(signalled, interrupted)}


FAULTS = _faults()


@dataclass(frozen=True)
class Event:
    """A change of files, at which a fault can happen."""

    name: str
    path: str


def changed(event: str, arguments: Arguments) -> list[str]:
    """Return the absolute paths that an audited event changes; none for one that changes no file."""
    if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & WRITING):
        return []
    paths = []
    for place, base in PATHS.get(event, ()):
        path = arguments[place]
        if isinstance(path, int):
            path = _opened(path)
        if isinstance(path, (str, bytes, os.PathLike)):
            relative_to = arguments[base] if base is not None and base < len(arguments) else None
            folder = _opened(relative_to) if isinstance(relative_to, int) and relative_to >= 0 else ""
            paths.append(os.path.abspath(os.path.join(folder, os.fsdecode(path))))  # noqa: PTH100, PTH118 - any thread
    return paths


def _opened(descriptor: int) -> str:
    """Return the path of an open file or folder, or nothing if it is none."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - no event of its own
    except OSError:
        return ""


class Disturbance:
    """An audit hook that notes the events below a folder, and lets a fault happen at one of them.

    Args:
        folder: The folder.
        log: The descriptor of the file to which events are noted.
        fault: What happens; None only counts.
        point: The number of the event at which it happens, the first one being 1.
    """

    def __init__(self, folder: Path, log: int, fault: Fault | None, point: int) -> None:
        self._folder, self._log, self._fault, self._point = str(folder), log, fault, point
        self._numbers = count(1)

    def __call__(self, event: str, arguments: Arguments) -> None:
        """Note an event; raise what the fault raises."""
        if event not in PATHS:
            return
        below = [path for path in changed(event, arguments) if f"{path}/".startswith(f"{self._folder}/")]
        if not below:
            return
        number, path = next(self._numbers), below[-1]
        os.write(self._log, f"{event}\t{os.path.relpath(path, self._folder)}\n".encode())
        fault = self._fault
        if fault is None or event not in fault.events:
            return
        if number == self._point or (fault.lasting and number > self._point):
            fault.happen(path)


@dataclass(frozen=True)
class Ended:
    """A process that has ended: its status, None if it hung; what it said; and what it changed, if that was noted."""

    status: int | None
    out: str
    errors: str
    events: Sequence[Event] = ()


@dataclass(frozen=True)
class Place:
    """Where commands work.

    Attributes:
        work: The folder in which they are given; below it events are counted.
        temporary: The folder for temporary files.
        notes: The folder for what they print.
    """

    work: Path
    temporary: Path
    notes: Path

    @classmethod
    def made(cls, folder: Path) -> "Place":
        """Return a place with new folders."""
        place = cls(folder / "work", folder / "temporary", folder / "notes")
        for path in (place.work, place.temporary, place.notes):
            path.mkdir(parents=True)
        return place


def forked(function: Callable[[], None], place: Place, fault: Fault | None = None, point: int = 0) -> Ended:
    """Call a function in a fork of this process, let a fault happen there, and return how it ended."""
    files = [place.notes / name for name in ("out", "errors", "events")]
    for path in files:
        path.write_bytes(b"")
    sys.stdout.flush()
    sys.stderr.flush()
    process = get_context("fork").Process(target=_child, args=(function, place, fault, point))
    process.start()
    process.join(TIMEOUT)
    hung = process.exitcode is None
    if hung:
        process.kill()
        process.join()
    out, errors, noted = (path.read_text(encoding="utf-8", errors="replace") for path in files)
    events = [Event(*line.split("\t")) for line in noted.splitlines()]
    return Ended(None if hung else process.exitcode, out, errors, events)


def _child(function: Callable[[], None], place: Place, fault: Fault | None, point: int) -> None:
    for name, stream in (("out", 1), ("errors", 2)):
        os.dup2(os.open(place.notes / name, os.O_WRONLY), stream)
    log = os.open(place.notes / "events", os.O_WRONLY)
    os.chdir(place.work)
    os.environ["TMPDIR"] = tempfile.tempdir = str(place.temporary)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if fault is not None and fault.lasting:
        _shorten_patience()
    sys.addaudithook(Disturbance(place.work, log, fault, point))
    function()


def _shorten_patience() -> None:
    """Let a run wait less long for room on a full disk, also where the constant is a default value."""
    before, disk.PATIENCE_SECONDS = disk.PATIENCE_SECONDS, SHORT_PATIENCE
    for function in vars(disk).values():
        if isinstance(function, FunctionType) and function.__defaults__:
            defaults = tuple(SHORT_PATIENCE if value == before else value for value in function.__defaults__)
            function.__defaults__ = defaults


def command(words: Sequence[str]) -> Callable[[], None]:
    """Return a function that is a command of nnexp."""
    return partial(_nnexp, list(words))


def _nnexp(words: list[str]) -> None:
    from nnexp.__main__ import main

    sys.argv = ["nnexp", *words]
    main()


def warm_up(words: Sequence[str], place: Place) -> None:
    """Import what a command imports, which is given in a process of its own.

    Raises RuntimeError if it fails.
    """
    names = place.notes / "modules"
    ended = forked(partial(_imports, list(words), names), place)
    if ended.status != 0:
        raise RuntimeError(ended.errors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names.read_text(encoding="utf-8").split():
            with suppress(ImportError):
                _imported(name)


def _imports(words: list[str], to: Path) -> None:
    _nnexp(words)
    to.write_text("\n".join(name for name in sys.modules if not name.startswith("__")), encoding="utf-8")


def _imported(name: str) -> ModuleType:
    return sys.modules[name] if name in sys.modules else import_module(name)
