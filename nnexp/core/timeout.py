"""A call with a time limit."""

from collections.abc import Callable
from threading import Thread

from nnexp.core.errors import TrackingError


def call_within(seconds: float, function: Callable[[], None]) -> None:
    """Call a function in a thread, and wait for it for some seconds; if it takes longer, it is left running.

    Raises TrackingError if it does not return in time, or the error that it raises.
    """
    failures: list[Exception] = []

    def attempt() -> None:
        try:
            function()
        except Exception as error:  # noqa: BLE001 - it is raised in the waiting thread
            failures.append(error)

    thread = Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TrackingError(f"no answer within {seconds:g} s")
    if failures:
        raise failures[0]
