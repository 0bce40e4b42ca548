"""Ctrl-C, SIGTERM and a closed terminal (SIGHUP): all interrupt, at once or at the end of a step."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], None]


class Terminated(KeyboardInterrupt):
    """The process was asked to end with SIGTERM."""


class HungUp(KeyboardInterrupt):
    """The terminal of the process was closed, which sends SIGHUP."""


KINDS: dict[signal.Signals, type[KeyboardInterrupt]] = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: Terminated,
    **({} if sys.platform == "win32" else {signal.SIGHUP: HungUp}),
}
"""The exception that each signal raises."""


class Interruption:
    """A signal that has come and waits for the end of a step; a second one does not wait, unless it is SIGHUP."""

    def __init__(self) -> None:
        self._kind: type[KeyboardInterrupt] | None = None

    @property
    def asked(self) -> bool:
        """Tell whether a signal has come."""
        return self._kind is not None

    def note(self, number: int, _frame: FrameType | None) -> None:
        """Remember a signal; raise it if it is the second."""
        kind = _kind_of(number)
        if self._kind is None:
            self._kind = kind
        elif kind is not HungUp:
            raise self._kind

    def happen(self) -> None:
        """Raise the exception of the signal that has come, if any."""
        if self._kind is not None:
            raise self._kind


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as Ctrl-C does; only the main thread of a process can."""

    def interrupt(number: int, _frame: FrameType | None) -> None:
        raise _kind_of(number)

    with _handled(*KINDS, by=interrupt):
        yield


@contextmanager
def waiting_interrupts() -> Iterator[Interruption]:
    """Let the first signal wait within the block, until the block calls `happen` or ends."""
    interruption = Interruption()
    with _handled(*KINDS, by=interruption.note):
        yield interruption
    interruption.happen()


@contextmanager
def unheard_by_new_processes() -> Iterator[None]:
    """Let processes that the block starts never hear of what a terminal sends to all of its processes."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, KINDS.keys() - {signal.SIGTERM})  # they inherit it
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _kind_of(number: int) -> type[KeyboardInterrupt]:
    """Return the exception of a signal; SIGHUP is ignored from then on, for a shell and the kernel each send one."""
    kind = KINDS[signal.Signals(number)]
    if kind is HungUp:
        signal.signal(number, signal.SIG_IGN)
    return kind


@contextmanager
def _handled(*signals: signal.Signals, by: Handler | signal.Handlers) -> Iterator[None]:
    """Handle signals within the block; those that are ignored stay so, as under nohup or after a SIGHUP."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in signals}
    handled = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in handled:
        signal.signal(number, by)
    try:
        yield
    finally:
        for number, handler in handled.items():
            if by is signal.SIG_IGN or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, handler)
