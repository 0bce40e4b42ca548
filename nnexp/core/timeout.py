"""Errands that must not hold anybody up."""

from collections.abc import Callable
from threading import Thread

from nnexp.core.errors import TrackingError


def call_within(seconds: float, function: Callable[[], None]) -> None:
    """Do something in a thread of its own, and leave it there where it takes longer than so many seconds.

    Raises TrackingError if it could not be done, or not in this time.
    """
    failures: list[Exception] = []

    def attempt() -> None:
        try:
            function()
        except Exception as error:  # noqa: BLE001 - it is raised where somebody waits for it
            failures.append(error)

    thread = Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TrackingError(f"no answer within {seconds:g} s")
    if failures:
        raise failures[0]
