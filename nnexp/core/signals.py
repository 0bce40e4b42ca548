"""Ctrl-C and SIGTERM: both interrupt, at once or at the end of a step."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], None]


class Terminated(KeyboardInterrupt):
    """The process was asked to end with SIGTERM."""


KINDS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}
"""The exception that each signal raises."""


class Interruption:
    """A signal that has come and waits for the end of a step; a second one does not wait."""

    def __init__(self) -> None:
        self._kind: type[KeyboardInterrupt] | None = None

    @property
    def asked(self) -> bool:
        """Tell whether a signal has come."""
        return self._kind is not None

    def note(self, number: int, _frame: FrameType | None) -> None:
        """Remember a signal; raise it if it is the second."""
        if self._kind is not None:
            raise self._kind
        self._kind = KINDS[signal.Signals(number)]

    def happen(self) -> None:
        """Raise the exception of the signal that has come, if any."""
        if self._kind is not None:
            raise self._kind


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does; only the main thread of a process can."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise Terminated

    with _handled(signal.SIGTERM, by=interrupt):
        yield


@contextmanager
def waiting_interrupts() -> Iterator[Interruption]:
    """Let the first signal wait within the block, until the block calls `happen` or ends."""
    interruption = Interruption()
    with _handled(*KINDS, by=interruption.note):
        yield interruption
    interruption.happen()


@contextmanager
def _handled(*signals: signal.Signals, by: Handler) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, by) for number in signals}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
