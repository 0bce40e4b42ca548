"""Processes on this machine that do calls, each of them one after another.

A process reads calls from its standard input and writes the answers to its standard output. Its input ends with the
process that started it, however that ends; and with its input it ends itself, also while it is at work.
"""

import atexit
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import SimpleQueue
from subprocess import PIPE, Popen
from typing import IO, Literal

from nnexp.core.output import let_no_print_fail
from nnexp.core.signals import unheard_by_new_processes
from nnexp.core.threads import BLAS_THREADS

Call = Callable[[], object]
"""A function that can be pickled."""
ONE_THREAD = {f"{library}_NUM_THREADS": str(BLAS_THREADS) for library in ("OMP", "OPENBLAS", "MKL", "BLIS")}
"""Says to the libraries of a process that each core has one."""


class DiedError(Exception):
    """A process has died; the message says how."""


@dataclass(frozen=True)
class Failure:
    """Why a call failed: a sentence, and the traceback."""

    reason: str
    details: str


def failure_of(error: BaseException) -> Failure:
    """Return the failure that an error means."""
    return Failure(f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)))


def pickled_answer_of(call: Call) -> bytes:
    """Return what a call returns, or its failure, to be sent back."""
    import cloudpickle

    try:
        answer: bytes = cloudpickle.dumps(call())
    except Exception as error:  # noqa: BLE001 - it is the answer
        answer = pickle.dumps(failure_of(error))
    return answer


class Process:
    """A process that does calls, as this one sees it.

    Whoever uses `write` and `receive` has it alone; after `answer` it rests, for others to use.
    """

    def __init__(self) -> None:
        program = f"import sys; sys.path[:] = {sys.path}; from {__name__} import serve; serve()"
        with unheard_by_new_processes():
            self._process = Popen(  # noqa: S603
                [sys.executable, "-c", program], stdin=PIPE, stdout=PIPE, env={**os.environ, **ONE_THREAD}
            )
        atexit.register(self.end)

    @classmethod
    def resting(cls) -> "Process | None":
        """Return a process that has done all its calls, or None if there is none that is alive."""
        while _RESTING:
            with suppress(IndexError):  # another thread has taken it
                process = _RESTING.pop()
                if process.alive:
                    return process
                process.end()
        return None

    @property
    def alive(self) -> bool:
        """Tell whether it can do more calls."""
        return self._process.poll() is None

    def answer(self, call: Call) -> object:
        """Return what a call returns, or its failure; the process then rests.

        Raises DiedError if the process dies before it answers.
        """
        self.write(pickle.dumps(call))
        answer = self.receive()
        _RESTING.append(self)
        return answer

    def write(self, call: bytes) -> None:
        """Send a pickled call, which is done after those that were sent before.

        Raises DiedError if the process has died.
        """
        with self._noticing_death():
            self._pipe("stdin").write(call)
            self._pipe("stdin").flush()

    def receive(self) -> object:
        """Return what the next of the calls returns that were sent, or its failure.

        Raises DiedError if the process dies before it answers.
        """
        with self._noticing_death():
            answer: bytes = pickle.load(self._pipe("stdout"))  # noqa: S301 - of our own process
        return pickle.loads(answer)  # noqa: S301 - of our own process

    def _pipe(self, name: Literal["stdin", "stdout"]) -> IO[bytes]:
        pipe: IO[bytes] | None = getattr(self._process, name)
        if pipe is None:
            raise TypeError("there are pipes, for it was started with them")
        return pipe

    @contextmanager
    def _noticing_death(self) -> Iterator[None]:
        try:
            yield
        except (OSError, EOFError, pickle.UnpicklingError, ValueError) as error:
            self.end()
            status = self._process.returncode
            raise DiedError(signal.Signals(-status).name if status < 0 else f"exit status {status}") from error

    def end(self) -> None:
        """End the process, whatever it does."""
        atexit.unregister(self.end)
        self._process.kill()
        with suppress(OSError), self._process:  # OSError: what was not yet sent cannot be
            pass


_RESTING: list[Process] = []
"""Processes that have nothing to do: to start them takes a second, and a search asks for them again and again."""


def serve() -> None:
    """Do the calls that come from the standard input, until it ends."""
    calls: SimpleQueue[Call] = SimpleQueue()
    let_no_print_fail()
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a call prints is no answer
        threading.Thread(target=_receive, args=[calls], daemon=True).start()
        while True:
            pickle.dump(pickled_answer_of(calls.get()), answers)
            answers.flush()


def _receive(calls: SimpleQueue[Call]) -> None:
    try:
        with suppress(EOFError, pickle.UnpicklingError):
            while True:
                calls.put(pickle.load(sys.stdin.buffer))  # noqa: S301 - of the process that started this one
    except Exception:  # noqa: BLE001 - a call that cannot be read, of which nothing else would tell
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(1)
