"""How a command ends: its exit status, and the one line about a mistake or an interruption."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from nnexp.core.errors import UserError, printable, warn
from nnexp.core.signals import HungUp, Terminated, no_interrupt_is_lost


class ExitStatus(IntEnum):
    """The exit statuses of all commands, beside 0."""

    UNSUCCESSFUL = 1  # a run diverged or came out differently, runs failed, something is still to be delivered
    MISTAKE = 2
    NOT_SHOWN = 10  # which of two settings is better,
    WORSE = 11  # or shown that the first is not
    HUNG_UP = 129  # what a shell reports of a process that a closed terminal ended,
    INTERRUPTED = 130  # Ctrl-C
    TERMINATED = 143  # or SIGTERM


INTERRUPTIONS = {HungUp: ExitStatus.HUNG_UP, Terminated: ExitStatus.TERMINATED}
"""The exit statuses of interruptions other than Ctrl-C."""


@contextmanager
def exits() -> Iterator[None]:
    """End the process with one line after a user's mistake or an interruption in the block; a bug keeps its traceback.

    The argument of an interruption is the command that resumes the work, if there is one.
    """
    try:
        with no_interrupt_is_lost():
            yield
    except UserError as error:
        warn(str(error))
        sys.exit(ExitStatus.MISTAKE)
    except KeyboardInterrupt as interrupt:
        again = "".join(f"; to go on: {command}" for command in interrupt.args)  # to be copied, with every space
        print(f"\nnnexp: interrupted{printable(again)}", file=sys.stderr)  # after the ^C of a terminal
        sys.exit(INTERRUPTIONS.get(type(interrupt), ExitStatus.INTERRUPTED))
