"""Workers, in several processes here or on a cluster, which train stacks, and of which any may die.

A worker gets all that it needs, data included, and returns what was learned: it needs no disk of the process that
launched it, and no tracker.
"""

import logging
import os
import pickle
import socket
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from queue import SimpleQueue
from typing import TYPE_CHECKING, Annotated, Generic, Literal, Self, TypeVar

import annotated_types as at

from nnexp.core.component import Component, Count
from nnexp.core.errors import UserError, warn
from nnexp.core.signals import ignored_by_new_processes
from nnexp.core.threads import BLAS_THREADS
from nnexp.sweeps.shared_memory import PackedCall, SharedArrays, shared_folder

if TYPE_CHECKING:
    import distributed
    from joblib.externals.loky import ProcessPoolExecutor

T = TypeVar("T")

ATTEMPTS = 2
"""How often a stack may lose its worker, before it has to wait until it can be trained while nothing else is."""
ATTEMPTS_ALONE = 2
"""How often it may lose a worker then, before it is given up."""
ONE_THREAD = {f"{library}_NUM_THREADS": str(BLAS_THREADS) for library in ("OMP", "OPENBLAS", "MKL", "BLIS")}
"""Says to the libraries of a worker that each core has a worker."""
SECONDS_TO_NOTICE = 0.5
"""How long a worker may live on without the process that started it."""
RETRIES = 2
"""How often a cluster that is started here gives the stack of a worker that died to another one."""
CALLS_PER_WORKER = 2
"""How many calls are sent to each worker of a cluster, so that it need not wait for the next one."""
SECONDS_TO_ANSWER = 10
"""How long to wait for a cluster."""
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Failure:
    """Why a call failed: a sentence, and the traceback."""

    reason: str
    details: str


def answer_of(function: Callable[[], T], place: int) -> tuple[int, T | Failure]:
    """Call a function, and return its place with what it returns, or with its failure, so that none ends another."""
    try:
        return place, function()
    except Exception as error:  # noqa: BLE001 - it is part of the answer
        return place, _failure(error)


def _failure(error: BaseException) -> Failure:
    return Failure(f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)))


@dataclass(frozen=True)
class Workers(Component):
    """The processes that train stacks: the fields of `hydra.launcher`.

    Attributes:
        backend: Where they run: `loky` is this machine, `dask` a cluster.
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

        return LokyPool(self.jobs or joblib.cpu_count())


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

    def begin(self, functions: Sequence[Callable[[], T]]) -> Returned[T]:
        """Begin to call functions at once, and return an iterator over the answers as they come.

        A call whose worker dies is begun again; one that always kills its worker is given up.
        """
        answers = self._begin(dict(enumerate(functions)))
        self._unfinished.callback(answers.close)
        return answers

    @abstractmethod
    def _begin(self, functions: Mapping[int, Callable[[], T]]) -> Returned[T]:
        """Begin to call functions, given by their places, and return the answers as they come."""


class LokyPool(Pool):
    """Processes on this machine, by loky; a single one is this process itself."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self._arrays = SharedArrays(self._unfinished.enter_context(shared_folder()))

    def _begin(self, functions: Mapping[int, Callable[[], T]]) -> Returned[T]:
        if len(functions) <= 1 or self.count == 1:
            return (answer_of(function, place) for place, function in functions.items())
        team: _Team[T] = _Team(min(self.count, len(functions)), self._arrays)
        self._unfinished.callback(team.end)
        return self._answers(functions, team, {team.call(functions[place], place): place for place in functions})

    def _answers(
        self,
        functions: Mapping[int, Callable[[], T]],
        team: "_Team[T]",
        calls: dict[Future[tuple[int, T | Failure]], int],
    ) -> Returned[T]:
        deaths: Counter[int] = Counter()
        alone: list[int] = []
        try:
            while calls or alone:
                if not calls:
                    place = alone.pop()
                    calls[team.call(functions[place], place)] = place
                done = team.ended.get()
                place, error = calls.pop(done), done.exception()
                if error is None:
                    yield done.result()
                    continue
                team.replace_dead()
                deaths[place] += 1
                if deaths[place] == ATTEMPTS + ATTEMPTS_ALONE:
                    yield place, _lost(error)
                    continue
                _warn_of_death(error)
                if deaths[place] < ATTEMPTS:
                    calls[team.call(functions[place], place)] = place
                else:
                    alone.append(place)
            team.rest()
        finally:
            team.end()


class _Team(Generic[T]):
    """Processes that call functions, each with a thread here that sends it the next call at once.

    Each has an executor of its own: one that dies takes no other with it, and which call was under way is known.

    Args:
        count: How many there are.
        arrays: Those that are sent.

    Attributes:
        ended: The calls that have ended, as they end.
    """

    def __init__(self, count: int, arrays: SharedArrays) -> None:
        self.ended: SimpleQueue[Future[tuple[int, T | Failure]]] = SimpleQueue()
        self._arrays = arrays
        self._processes: list[ProcessPoolExecutor] = []
        self._free: SimpleQueue[ProcessPoolExecutor] = SimpleQueue()
        self._dead: SimpleQueue[ProcessPoolExecutor] = SimpleQueue()
        self._threads = ThreadPoolExecutor(count)
        for _ in range(count):
            self._add()

    def call(self, function: Callable[[], T], place: int) -> "Future[tuple[int, T | Failure]]":
        """Call a function on the next process that is free; the future raises BrokenProcessPool if that dies."""
        future = self._threads.submit(self._called, function, place)
        future.add_done_callback(self.ended.put)
        return future

    def _called(self, function: Callable[[], T], place: int) -> tuple[int, T | Failure]:
        process = self._free.get()
        try:
            with self._arrays.packed(function) as call:
                answer: tuple[int, T | Failure] = process.submit(answer_of, partial(_call, call), place).result()
        except BrokenProcessPool:
            self._dead.put(process)
            raise
        except Exception as error:  # noqa: BLE001 - the function or what it returned cannot be sent
            answer = place, _failure(error)
        self._free.put(process)
        return answer

    def replace_dead(self) -> None:
        """Start a process for each that has died."""
        while not self._dead.empty():
            dead = self._dead.get()
            dead.shutdown()
            self._processes.remove(dead)
            self._add()

    def rest(self) -> None:
        """Keep the processes, none of which has anything to do, for the next team."""
        _RESTING.extend(self._processes)
        self._processes.clear()

    def end(self) -> None:
        """End the calls that are not finished, with the processes."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            process.shutdown(kill_workers=True)
            self._free.put(process)  # a thread that waits for one is told that it has ended
        self._threads.shutdown()
        self._processes.clear()

    def _add(self) -> None:
        process = _resting() or _started()
        self._processes.append(process)
        self._free.put(process)


_RESTING: "list[ProcessPoolExecutor]" = []
"""Processes that have nothing to do: to start them takes a second, and a search asks for them again and again."""


def _resting() -> "ProcessPoolExecutor | None":
    while _RESTING:
        process = _RESTING.pop()
        with suppress(BrokenProcessPool):  # it died while it rested
            process.submit(int)
            return process
    return None


def _started() -> "ProcessPoolExecutor":
    from joblib.externals.loky import ProcessPoolExecutor

    process = ProcessPoolExecutor(1, initializer=_end_with, initargs=(os.getpid(),), env=ONE_THREAD)
    with ignored_by_new_processes():
        process.submit(int)  # the first call starts it
    return process


def _end_with(parent: int) -> None:
    """Let this process end when the one that started it does, however that ends."""
    import psutil

    adopter = os.getppid()

    def watch() -> None:
        while os.getppid() == adopter and psutil.pid_exists(parent):  # the second where there is no adoption
            time.sleep(SECONDS_TO_NOTICE)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _call(call: PackedCall) -> object:
    """Unpack a function and call it; both may fail, the first where a worker lacks a package."""
    return call.unpacked()()


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
                with ignored_by_new_processes():
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

    def _begin(self, functions: Mapping[int, Callable[[], T]]) -> Returned[T]:
        waiting = ((self._submit(function, place), place) for place, function in functions.items())
        return self._answers(functions, dict(islice(waiting, self._under_way)), waiting)

    def _answers(
        self,
        functions: Mapping[int, Callable[[], T]],
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
                    answer: tuple[int, T | Failure] = pickle.loads(done.result())  # noqa: S301 - of our workers
                except Exception as error:  # noqa: BLE001 - calls raise nothing, so it is a worker that died
                    _warn_of_death(error)
                    lost.append(place)
                else:
                    yield answer
        finally:
            for call in calls:
                call.cancel(force=True)
        for place in lost:  # one at a time, for Dask gives up every call that was sent to workers that died
            try:
                yield pickle.loads(self._submit(functions[place], place).result())  # noqa: S301 - of our workers
            except Exception as error:  # noqa: BLE001 - calls raise nothing, so it is a worker that died
                yield place, _lost(error)

    def _submit(self, function: Callable[[], T], place: int) -> "distributed.Future":
        """Send a function as bytes, because the arrays that Dask sends on its own cannot be written to."""
        return self._client.submit(_called, pickle.dumps(function), place, pure=False)


def _called(function: bytes, place: int) -> bytes:
    """Call a function on a worker of a cluster, and return the answer as bytes."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(BLAS_THREADS)  # for good, because other threads of the process may be at work
    return pickle.dumps(answer_of(partial(_call, PackedCall(function, ())), place))


def _check_port(address: str) -> None:
    """Raise OSError if nobody listens at an address with a port; Dask itself would wait for all of its timeout."""
    scheme, _, place = address.rpartition("://")
    host, _, port = place.rpartition(":")
    if scheme in ("", "tcp", "tls") and host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=SECONDS_TO_ANSWER).close()


def _warn_of_death(error: BaseException) -> None:
    warn(f"a worker died ({_first_line(error)}): its stack is trained again")


def _lost(error: BaseException) -> Failure:
    return Failure(f"the worker died: {_first_line(error)}", _failure(error).details)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
