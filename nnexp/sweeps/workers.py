"""Workers, in several processes here or on a cluster, which train stacks, and of which any may die.

A worker gets all that it needs, data included, and returns what was learned: it needs no disk of the process that
launched it, and no tracker.
"""

import gc
import logging
import pickle
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from threading import Lock, Semaphore
from typing import TYPE_CHECKING, Annotated, Generic, Literal, Self, TypeVar, cast

import annotated_types as at

from nnexp.core.component import Component, Count
from nnexp.core.errors import UserError, warn
from nnexp.core.processes import DiedError, Failure, Process, failure_of, pickled_answer_of
from nnexp.core.signals import unheard_by_new_processes
from nnexp.core.threads import BLAS_THREADS
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
        stack_megabytes: How much memory a stack may work on in one step. More runs share what a step costs in Python,
            and end later together.
    """

    backend: Literal["loky", "dask"] = "loky"
    jobs: Count | None = None
    address: str | None = None
    stack_megabytes: Annotated[float, at.Gt(0)] = 10.0

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
    """Workers that are ready, `count` of them; leaving the context ends their calls and releases them.

    Attributes:
        ahead: How many calls are sent to each worker, so that it need not wait for the next one.
        attempts: How often a call may lose its worker before it is given up.
        shares: Whether workers have the memory of this machine.
    """

    ahead, attempts, shares = 1, ATTEMPTS, True

    def __init__(self, count: int) -> None:
        self.count = count
        self._unfinished = ExitStack()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *raised: object) -> None:
        """End the calls that are not finished, and close the connection."""
        self._unfinished.close()

    def begin(self, functions: Sequence[Callable[[], T]]) -> Returned[T]:
        """Begin to call functions at once, and return an iterator over the answers as they come.

        A call whose worker dies is begun again; one that always kills its worker is given up.
        """
        calls = _Calls(functions, self)
        self._unfinished.callback(calls.end)
        return calls.answers()

    @abstractmethod
    def worker(self) -> "Process | _DaskWorker":
        """Return a worker that has nothing to do."""


class _Calls(Generic[T]):
    """Calls that begin at once, each with a thread here that waits for its answer.

    A worker that dies takes no other call with it.
    """

    def __init__(self, functions: Sequence[Callable[[], T]], pool: Pool) -> None:
        self._pool, self._turns = pool, max(1, min(pool.ahead * pool.count, len(functions)))
        self._free, self._asking = Semaphore(self._turns), Lock()
        self._arrays, self._busy, self._over = SharedArrays(share=pool.shares), list["Process | _DaskWorker"](), False
        self._threads = ThreadPoolExecutor(self._turns)
        self._begun = {self._threads.submit(self._answer, call): place for place, call in enumerate(functions)}

    def answers(self) -> Returned[T]:
        """Yield the answers as they come."""
        try:
            for call in as_completed(self._begun):
                yield self._begun.pop(call), call.result()  # popped, so that nothing keeps the answer
        finally:
            self.end()

    def end(self) -> None:
        """End the calls that are not finished."""
        self._over = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in [*self._busy]:
            worker.end()
        self._threads.shutdown()

    def _answer(self, function: Callable[[], T], attempt: int = 1) -> T | Failure:
        last = attempt == self._pool.attempts
        try:
            with self._having(self._turns if last else 1), self._arrays.packed(function) as call:
                return cast("T | Failure", self._returned(call))
        except DiedError as error:
            if last or self._over:
                return replace(failure_of(error), reason=f"the worker died: {error}")
            warn(f"a worker died ({error}): its stack is trained again")
        except Exception as error:  # noqa: BLE001 - the function or what it returned cannot be sent
            return failure_of(error)
        return self._answer(function, attempt + 1)

    @contextmanager
    def _having(self, turns: int) -> Iterator[None]:
        """Wait for a turn, or for all of them, so that nothing else is done beside the block."""
        with self._asking:  # else two that want all would wait for each other
            for _ in range(turns):
                self._free.acquire()
        try:
            yield
        finally:
            self._free.release(turns)

    def _returned(self, call: PackedCall) -> object:
        worker = self._pool.worker()
        self._busy.append(worker)
        if self._over:  # the others were ended in the meantime
            worker.end()
        try:
            return worker.answer(call)
        finally:
            self._busy.remove(worker)


class LocalPool(Pool):
    """Processes on this machine; a single one is this process itself."""

    def begin(self, functions: Sequence[Callable[[], T]]) -> Returned[T]:
        """Begin to call functions; what is done here begins when its answer is asked for."""
        if len(functions) > 1 and self.count > 1:
            return super().begin(functions)
        return ((place, _answer_of(function)) for place, function in enumerate(functions))

    def worker(self) -> Process:
        """Return a process that has nothing to do, or a new one."""
        return Process.resting() or Process()


def _answer_of(function: Callable[[], T]) -> T | Failure:
    try:
        return function()
    except Exception as error:  # noqa: BLE001 - it is the answer
        return failure_of(error)


class DaskPool(Pool):
    """The workers of a Dask scheduler, or of one that is started here."""

    attempts, shares = 2, False  # Dask gives up a call whose workers die, and those beside it: the second time is alone

    def __init__(self, workers: Workers) -> None:
        import dask
        from distributed import Client

        dask.config.set(
            {
                "distributed.admin.large-graph-warning-threshold": "1TB",  # data is meant to be sent
                "distributed.scheduler.allowed-failures": RETRIES,
            },
        )
        gc.collect()  # a client that did not connect, let go of while another one begins, would wait for that one
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
        self.ahead = 1 if limited else CALLS_PER_WORKER

    def worker(self) -> "_DaskWorker":
        """Return a worker, which Dask chooses when there is a call."""
        return _DaskWorker(self._client)


class _DaskWorker:
    def __init__(self, client: "distributed.Client") -> None:
        self._client, self._over = client, False
        self._call: distributed.Future | None = None

    def answer(self, call: PackedCall) -> object:
        self._call = self._client.submit(_called, call, pure=False)
        if self._over:
            self.end()
        try:
            return pickle.loads(self._call.result())  # noqa: S301 - of our workers
        except Exception as error:  # calls raise nothing, so it is a worker that died
            raise DiedError(_first_line(error)) from error

    def end(self) -> None:
        self._over = True
        if self._call is not None:
            self._call.cancel(force=True)


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


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
