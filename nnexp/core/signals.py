"""Ctrl-C, SIGTERM and a closed terminal (SIGHUP): all interrupt, at once or at the end of a step."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], None]

SECONDS_TO_COME_AGAIN = 0.01


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

    with _handled(interrupt):
        yield


@contextmanager
def waiting_interrupts() -> Iterator[Interruption]:
    """Let the first signal wait within the block, until the block calls `happen` or ends."""
    interruption = Interruption()
    with _handled(interruption.note):
        yield interruption
    interruption.happen()


@contextmanager
def no_interrupt_is_lost() -> Iterator[None]:
    """Let an interruption come again if it comes where Python ignores it, as while an object is finalized."""
    before = sys.unraisablehook

    def again(ignored: "sys.UnraisableHookArgs") -> None:
        if not isinstance(ignored.exc_value, KeyboardInterrupt):
            before(ignored)
            return
        number = signal.SIGINT if type(ignored.exc_value) is KeyboardInterrupt else signal.SIGTERM  # SIGHUP is ignored
        timer = threading.Timer(SECONDS_TO_COME_AGAIN, signal.raise_signal, [number])
        timer.daemon = True
        timer.start()

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = before


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
def _handled(handler: Handler) -> Iterator[None]:
    """Handle all signals within the block; those that are ignored stay so, as under nohup or after a SIGHUP."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in KINDS}
    handled = {number: own for number, own in before.items() if own not in (signal.SIG_IGN, None)}
    for number in handled:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, own in handled.items():
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, own)
