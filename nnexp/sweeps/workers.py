"""Workers, in several processes here or on a cluster, which train stacks, and of which any may die.

A worker gets all that it needs, data included, and returns what was learned: it needs no disk of the process that
launched it, and no tracker.
"""

import logging
import pickle
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import islice
from threading import Lock, Semaphore
from typing import TYPE_CHECKING, Annotated, Generic, Literal, Self, TypeVar, cast

import annotated_types as at

from nnexp.core.component import Component, Count
from nnexp.core.errors import UserError, warn
from nnexp.core.signals import unheard_by_new_processes
from nnexp.core.threads import BLAS_THREADS
from nnexp.sweeps.processes import DiedError, Failure, Process, failure_of, pickled_answer_of
from nnexp.sweeps.shared_memory import PackedCall, SharedArrays

if TYPE_CHECKING:
    import distributed

T = TypeVar("T")

ATTEMPTS = 3
"""How often a stack may lose its worker before it is given up; the last time nothing else is trained beside it."""
RETRIES = 2
"""How often a cluster that is started here gives the stack of a worker that died to another one."""
CALLS_PER_WORKER = 2
"""How many calls are sent to each worker of a cluster, so that it need not wait for the next one."""
SECONDS_TO_ANSWER = 10
"""How long to wait for a cluster."""
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Workers(Component):
    """The processes that train stacks: the fields of `hydra.launcher`.

    Attributes:
        backend: Where they run: `loky` is this machine, by the name of what it once ran on; `dask` is a cluster.
        jobs: How many there are; null is one for each core, or all that the cluster has.
        address: Of the cluster's scheduler, such as `tcp://10.0.0.1:8786`; null starts one on this machine.
        stack_megabytes: How much memory a stack may work on in one step; more than the cache of a core slows it down.
    """

    backend: Literal["loky", "dask"] = "loky"
    jobs: Count | None = None
    address: str | None = None
    stack_megabytes: Annotated[float, at.Gt(0)] = 3.0

    @property
    def stack_bytes(self) -> int:
        """Return the memory of a stack in bytes."""
        return int(self.stack_megabytes * MEGABYTE)

    def start(self) -> "Pool":
        """Return the workers, connected to their cluster if they are on one.

        Raises UserError if the backend is not installed or the cluster does not answer.
        """
        if self.backend == "loky" and self.address is not None:
            raise UserError(f"hydra.launcher.address={self.address}: must be null for the backend loky")
        if self.backend == "dask":
            try:
                return DaskPool(self)
            except ImportError as error:
                wanted = "must be installed, pip install 'nnexp[dask]'"
                raise UserError(f"hydra.launcher.backend=dask: {wanted} ({error})") from error
        import joblib

        return LocalPool(self.jobs or joblib.cpu_count())


Returned = Generator[tuple[int, T | Failure], None, None]
"""The place of every call among the others, with what it returned or why it failed, as the calls end."""


class Pool(ABC):
    """Workers that are ready, `count` of them; leaving the context ends their calls and releases them."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._unfinished = ExitStack()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *raised: object) -> None:
        """End the calls that are not finished, and close the connection."""
        self._unfinished.close()

    @abstractmethod
    def begin(self, functions: Sequence[Callable[[], T]]) -> Returned[T]:
        """Begin to call functions at once, and return an iterator over the answers as they come.

        A call whose worker dies is begun again; one that always kills its worker is given up.
        """


class LocalPool(Pool):
    """Processes on this machine; a single one is this process itself."""

    def begin(self, functions: Sequence[Callable[[], T]]) -> Returned[T]:
        """Begin to call functions."""
        if len(functions) <= 1 or self.count == 1:
            return ((place, _answer_of(function)) for place, function in enumerate(functions))
        team = _Team(functions, min(self.count, len(functions)))
        self._unfinished.callback(team.end)
        return team.answers()


def _answer_of(function: Callable[[], T]) -> T | Failure:
    try:
        return function()
    except Exception as error:  # noqa: BLE001 - it is the answer
        return failure_of(error)


class _Team(Generic[T]):
    """Threads, each of which has a process that calls a function; they begin at once.

    A process that dies takes no other with it, and which function it called is known.
    """

    def __init__(self, functions: Sequence[Callable[[], T]], count: int) -> None:
        self._count, self._turns, self._asking = count, Semaphore(count), Lock()
        self._arrays, self._busy, self._over = SharedArrays(), list[Process](), False
        self._threads = ThreadPoolExecutor(count)
        self._calls = {self._threads.submit(self._answer, call): place for place, call in enumerate(functions)}

    def answers(self) -> Returned[T]:
        """Yield the answers as they come."""
        try:
            for call in as_completed(self._calls):
                yield self._calls.pop(call), call.result()  # popped, so that nothing keeps the answer
        finally:
            self.end()

    def end(self) -> None:
        """End the calls that are not finished, with their processes."""
        self._over = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in [*self._busy]:
            process.end()
        self._threads.shutdown()

    def _answer(self, function: Callable[[], T], attempt: int = 1) -> T | Failure:
        last = attempt == ATTEMPTS
        try:
            with self._having(self._count if last else 1), self._arrays.packed(function) as call:
                return cast("T | Failure", self._returned(call))
        except DiedError as error:
            if last or self._over:
                return _lost(error)
            _warn_of_death(error)
        except Exception as error:  # noqa: BLE001 - the function or what it returned cannot be sent
            return failure_of(error)
        return self._answer(function, attempt + 1)

    @contextmanager
    def _having(self, turns: int) -> Iterator[None]:
        """Wait for a turn, or for all of them, so that nothing else is done beside the block."""
        with self._asking:  # else two that want all would wait for each other
            for _ in range(turns):
                self._turns.acquire()
        try:
            yield
        finally:
            self._turns.release(turns)

    def _returned(self, call: PackedCall) -> object:
        process = _rested() or Process()
        self._busy.append(process)
        if self._over:  # the others were ended in the meantime
            process.end()
        try:
            return process.answer(call)
        finally:
            self._busy.remove(process)
            _RESTING.append(process)


_RESTING: list[Process] = []
"""Processes that have nothing to do: to start them takes a second, and a search asks for them again and again."""


def _rested() -> Process | None:
    with suppress(IndexError):  # there is none
        while not (process := _RESTING.pop()).alive:
            process.end()
        return process
    return None


class DaskPool(Pool):
    """The workers of a Dask scheduler, or of one that is started here; Dask trains the stack of a dead worker again."""

    def __init__(self, workers: Workers) -> None:
        import dask
        from distributed import Client

        dask.config.set(
            {
                "distributed.admin.large-graph-warning-threshold": "1TB",  # data is meant to be sent
                "distributed.scheduler.allowed-failures": RETRIES,
            },
        )
        try:
            if workers.address is None:
                with unheard_by_new_processes():
                    self._client = Client(
                        n_workers=workers.jobs,
                        threads_per_worker=1,
                        dashboard_address="127.0.0.1:0",
                        scheduler_kwargs={"dashboard": False},
                        silence_logs=logging.CRITICAL,
                    )
            else:
                _check_port(workers.address)
                self._client = Client(workers.address, timeout=SECONDS_TO_ANSWER)
                self._client.wait_for_workers(1, timeout=SECONDS_TO_ANSWER)
        except (OSError, ValueError) as error:
            wanted = f"must be a Dask scheduler that answers ({_first_line(error)})"
            raise UserError(f"hydra.launcher.address={workers.address}: {wanted}") from error
        available = sum(self._client.nthreads().values())
        super().__init__(min(available, workers.jobs or available))
        self._unfinished.callback(self._client.__exit__, None, None, None)
        # Calls that are sent ahead may be begun by workers beyond the number that was asked for.
        limited = workers.address is not None and workers.jobs is not None
        self._under_way = self.count if limited else CALLS_PER_WORKER * self.count

    def begin(self, functions: Sequence[Callable[[], T]]) -> Returned[T]:
        """Send as many functions as may be under way."""
        waiting = ((self._submit(function), place) for place, function in enumerate(functions))
        answers = self._answers(functions, dict(islice(waiting, self._under_way)), waiting)
        self._unfinished.callback(answers.close)
        return answers

    def _answers(
        self,
        functions: Sequence[Callable[[], T]],
        calls: "dict[distributed.Future, int]",
        waiting: "Iterator[tuple[distributed.Future, int]]",
    ) -> Returned[T]:
        from distributed import wait

        lost = []
        try:
            while calls:
                done = next(iter(wait(list(calls), return_when="FIRST_COMPLETED").done))
                place = calls.pop(done)
                calls.update(islice(waiting, 1))
                try:
                    answer: T | Failure = pickle.loads(done.result())  # noqa: S301 - of our workers
                except Exception as error:  # noqa: BLE001 - calls raise nothing, so it is a worker that died
                    _warn_of_death(error)
                    lost.append(place)
                else:
                    yield place, answer
        finally:
            for call in calls:
                call.cancel(force=True)
        for place in lost:  # one at a time, for Dask gives up every call that was sent to workers that died
            try:
                yield place, pickle.loads(self._submit(functions[place]).result())  # noqa: S301 - of our workers
            except Exception as error:  # noqa: BLE001 - calls raise nothing, so it is a worker that died
                yield place, _lost(error)

    def _submit(self, function: Callable[[], object]) -> "distributed.Future":
        """Send a function as bytes, because the arrays that Dask sends on its own cannot be written to."""
        import cloudpickle

        return self._client.submit(_called, PackedCall(cloudpickle.dumps(function)), pure=False)


def _called(call: PackedCall) -> bytes:
    """Do a call on a worker of a cluster, and return the answer as bytes."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(BLAS_THREADS)  # for good, because other threads of the process may be at work
    return pickled_answer_of(call)


def _check_port(address: str) -> None:
    """Raise OSError if nobody listens at an address with a port; Dask itself would wait for all of its timeout."""
    scheme, _, place = address.rpartition("://")
    host, _, port = place.rpartition(":")
    if scheme in ("", "tcp", "tls") and host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=SECONDS_TO_ANSWER).close()


def _warn_of_death(error: BaseException) -> None:
    warn(f"a worker died ({_first_line(error)}): its stack is trained again")


def _lost(error: BaseException) -> Failure:
    return replace(failure_of(error), reason=f"the worker died: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
