"""Working on stacks in several processes, here or on a cluster, and what happens when one of them dies.

A worker is sent all that it needs, data included, and sends back what was learned: it shares no disk with the process
that launched it and knows no tracker.
"""

import logging
import os
import pickle
import signal
import socket
import threading
import traceback
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Generic, Literal, Self, TypeVar

import annotated_types as at

from nnexp.core.component import Component, Count
from nnexp.core.errors import UserError, warn
from nnexp.core.threads import BLAS_THREADS

if TYPE_CHECKING:
    import distributed
    import ray

T = TypeVar("T")
R = TypeVar("R")
F = TypeVar("F")

ATTEMPTS = 2
"""How often stacks are given to workers that may die, before each is given to a worker of its own."""
RETRIES = 2
"""How often a cluster that is started here gives the stack of a worker that died to another one."""
AHEAD = 2
"""How many calls are sent to a cluster for each of its workers, so that none waits for the next."""
SECONDS_TO_ANSWER = 10
"""How long a cluster is waited for."""
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Failure:
    """What went wrong: a sentence, and the traceback."""

    reason: str
    details: str


@dataclass(frozen=True)
class Task(Generic[T]):
    """A call that reports its failure instead of raising it, so that no task ends another."""

    function: Callable[[], T]

    def __call__(self, place: int) -> tuple[int, T | Failure]:
        """Return the place, by which results are told apart, and what the function returns."""
        try:
            return place, self.function()
        except Exception as error:  # noqa: BLE001 - it is raised where somebody waits for it
            return place, Failure(f"{type(error).__name__}: {error}", traceback.format_exc())


@dataclass(frozen=True)
class Workers(Component):
    """The processes that train stacks: the fields of `hydra.launcher`.

    Attributes
    ----------
    backend
        Who runs them: `loky` on this machine, or a cluster of `dask` or `ray`.
    jobs
        How many there are; null is one for each core, or all that the cluster has.
    address
        Of the cluster's scheduler, such as `tcp://10.0.0.1:8786`; null starts one on this machine.
    stack_megabytes
        How much memory a stack may work on in one step; more than the cache of a core slows it down.

    """

    backend: Literal["loky", "dask", "ray"] = "loky"
    jobs: Count | None = None
    address: str | None = None
    stack_megabytes: Annotated[float, at.Gt(0)] = 3.0

    @property
    def stack_bytes(self) -> int:
        """Return the memory of a stack in bytes."""
        return int(self.stack_megabytes * MEGABYTE)

    def start(self) -> "Pool":
        """Return the workers, connected to their cluster if they are on one.

        Raises
        ------
        UserError
            If the backend is not installed or the cluster does not answer.

        """
        if self.backend == "loky" and self.address is not None:
            raise UserError(f"hydra.launcher.address={self.address}: must be null for the backend loky")
        try:
            if self.backend == "dask":
                return DaskPool(self)
            if self.backend == "ray":
                return RayPool(self)
        except ImportError as error:
            raise UserError(
                f"hydra.launcher.backend={self.backend}: must be installed, "
                f"pip install 'nnexp[{self.backend}]' ({error})"
            ) from error
        import joblib

        return LokyPool(self.jobs or joblib.cpu_count())


Results = Generator[tuple[int, T | Failure], None, None]
"""The place of a call among others, and what it returned."""


class Pool(ABC):
    """Workers that are ready; leaving the context ends what is not finished and lets go of them.

    Arguments
    ---------
    count
        How many there are.

    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._unfinished = ExitStack()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *raised: object) -> None:
        """End what is not finished, and close the connection."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # joblib's, that results are not used
            self._unfinished.close()

    def begin(self, functions: Sequence[Callable[[], T]]) -> Results[T]:
        """Begin to call functions at once, and return an iterator over the results as they come.

        A worker that dies takes its task along, which is begun again; one that always kills its worker is given up.
        """
        results = self._begin(dict(enumerate(functions)))
        self._unfinished.callback(results.close)
        return results

    @abstractmethod
    def _begin(self, functions: Mapping[int, Callable[[], T]]) -> Results[T]:
        """Begin to call functions, which come with their places, and return the results as they come."""


class LokyPool(Pool):
    """Processes on this machine, by joblib; a single one is this process itself."""

    def _begin(self, functions: Mapping[int, Callable[[], T]]) -> Results[T]:
        if len(functions) == 1 or self.count == 1:
            return (Task(function)(place) for place, function in functions.items())
        return self._results(functions, self._parallel(functions))

    def _results(self, functions: Mapping[int, Callable[[], T]], begun: Results[T] | None) -> Results[T]:
        left = dict(functions)
        for _ in range(ATTEMPTS):
            try:
                for place, result in begun or self._parallel(left):
                    del left[place]
                    yield place, result
            except Exception as error:  # noqa: BLE001 - tasks raise nothing, so it is a worker that died
                warn(f"a worker died ({_first_line(error)}): its stack is trained again")
                begun = None
            else:
                return
        for place, function in left.items():
            try:
                yield from self._parallel({place: function})
            except Exception as error:  # noqa: BLE001 - tasks raise nothing, so it is a worker that died
                yield place, _lost(error)

    def _parallel(self, functions: Mapping[int, Callable[[], T]]) -> Results[T]:
        from joblib import Parallel, delayed

        parallel = Parallel(
            n_jobs=self.count,
            backend="loky",
            batch_size=1,
            return_as="generator_unordered",
            mmap_mode="c",  # large arrays are shared through files; those of a training that goes on are written to
        )
        calls = [delayed(Task(function))(place) for place, function in functions.items()]
        with _ignoring_interrupts():
            results: Results[T] = parallel(calls)
        self._unfinished.callback(results.close)
        return results


class ClusterPool(Pool, Generic[F]):
    """Processes on other machines, which start the call of a worker that died again on their own.

    Arguments
    ---------
    count
        How many there are.
    ahead
        How many calls are under way at the same time.

    """

    def __init__(self, count: int, ahead: int) -> None:
        super().__init__(count)
        self._ahead = ahead

    def _begin(self, functions: Mapping[int, Callable[[], T]]) -> Results[T]:
        waiting = ((self._call(function, place), place) for place, function in functions.items())
        return self._results(functions, dict(islice(waiting, self._ahead)), waiting)

    def _results(
        self, functions: Mapping[int, Callable[[], T]], calls: dict[F, int], waiting: Iterator[tuple[F, int]]
    ) -> Results[T]:
        lost = []
        try:
            while calls:
                done = self._first(list(calls))
                place = calls.pop(done)
                calls.update(islice(waiting, 1))
                try:
                    result: tuple[int, T | Failure] = pickle.loads(self._result(done))  # noqa: S301 - of our workers
                except Exception as error:  # noqa: BLE001 - tasks raise nothing, so it is a worker that died
                    warn(f"a worker died ({_first_line(error)}): its stack is trained again")
                    lost.append(place)
                else:
                    yield result
        finally:
            for call in calls:
                self._cancel(call)
        for place in lost:  # on its own, for a cluster gives up whatever was given to workers that died
            try:
                yield pickle.loads(self._result(self._call(functions[place], place)))  # noqa: S301 - of our workers
            except Exception as error:  # noqa: BLE001 - tasks raise nothing, so it is a worker that died
                yield place, _lost(error)

    def _call(self, function: Callable[[], T], place: int) -> F:
        """Send a function as bytes, because what a cluster makes of arrays on its own can only be read."""
        return self._submit(pickle.dumps(function), place)

    @abstractmethod
    def _submit(self, function: bytes, place: int) -> F:
        """Begin a call, and return what stands for it."""

    @abstractmethod
    def _first(self, calls: list[F]) -> F:
        """Wait until a call is done, and return it."""

    @abstractmethod
    def _result(self, call: F) -> bytes:
        """Return what came of a call, or raise what is known about its worker."""

    @abstractmethod
    def _cancel(self, call: F) -> None:
        """End a call."""


class DaskPool(ClusterPool["distributed.Future"]):
    """The workers of a Dask scheduler, or of one that is started here."""

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
                with _ignoring_interrupts():
                    self._client = Client(
                        n_workers=workers.jobs,
                        threads_per_worker=1,
                        dashboard_address="127.0.0.1:0",
                        scheduler_kwargs={"dashboard": False},
                        silence_logs=logging.CRITICAL,
                    )
            else:
                _knock(workers.address)
                self._client = Client(workers.address, timeout=SECONDS_TO_ANSWER)
                self._client.wait_for_workers(1, timeout=SECONDS_TO_ANSWER)
        except (OSError, ValueError) as error:
            raise _unreachable(workers, "a Dask scheduler", error) from error
        count = sum(self._client.nthreads().values())
        super().__init__(*_counts(workers, count))
        self._unfinished.callback(self._client.__exit__, None, None, None)

    def _submit(self, function: bytes, place: int) -> "distributed.Future":
        return self._client.submit(_called, function, place, pure=False)

    def _first(self, calls: "list[distributed.Future]") -> "distributed.Future":
        from distributed import wait

        return next(iter(wait(calls, return_when="FIRST_COMPLETED").done))

    def _result(self, call: "distributed.Future") -> bytes:
        result: bytes = call.result()
        return result

    def _cancel(self, call: "distributed.Future") -> None:
        call.cancel(force=True)


class RayPool(ClusterPool["ray.ObjectRef"]):
    """The workers of a Ray cluster, or of one that is started here."""

    def __init__(self, workers: Workers) -> None:
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # without it, Ray warns of a change to come
        import ray

        try:
            _knock(workers.address or "")
            with _ignoring_interrupts():
                self._connection = ray.init(
                    address=workers.address,
                    num_cpus=workers.jobs if workers.address is None else None,
                    log_to_driver=False,
                    include_dashboard=False,
                    logging_level=logging.ERROR,
                )
        except (OSError, RuntimeError, ValueError) as error:
            raise _unreachable(workers, "a Ray cluster", error) from error
        self._ray = ray
        self._remote = ray.remote(num_cpus=1, max_retries=RETRIES)(_called)
        super().__init__(*_counts(workers, int(ray.cluster_resources().get("CPU", 0)) or 1))
        self._unfinished.callback(self._connection.__exit__, None, None, None)

    def _submit(self, function: bytes, place: int) -> "ray.ObjectRef":
        return self._remote.remote(function, place)

    def _first(self, calls: "list[ray.ObjectRef]") -> "ray.ObjectRef":
        return self._ray.wait(calls, num_returns=1)[0][0]

    def _result(self, call: "ray.ObjectRef") -> bytes:
        result: bytes = self._ray.get(call)
        return result

    def _cancel(self, call: "ray.ObjectRef") -> None:
        self._ray.cancel(call, force=True)


def _called(function: bytes, place: int) -> bytes:
    """Call a function on a worker of a cluster, and return the place and the result."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(BLAS_THREADS)  # for good: others in threads of this process must not see it change
    return pickle.dumps(Task(partial(_unpacked, function))(place))


def _unpacked(function: bytes) -> object:
    """Call a function within a task, which also tells of a package that a worker does not have."""
    return pickle.loads(function)()  # noqa: S301 - what the launching process sent


def _counts(workers: Workers, most: int) -> tuple[int, int]:
    """Return how many workers there are and how many calls are under way; more than asked for must not be at work."""
    limited = workers.address is not None and workers.jobs is not None
    count = min(most, workers.jobs or most)
    return count, count if limited else AHEAD * count


def _knock(address: str) -> None:
    """Raise if nobody listens at an address with a port; Ray itself would ask for minutes."""
    scheme, _, place = address.rpartition("://")
    host, _, port = place.rpartition(":")
    if scheme in ("", "tcp", "tls", "ray") and host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=SECONDS_TO_ANSWER).close()


def _unreachable(workers: Workers, what: str, error: Exception) -> UserError:
    return UserError(f"hydra.launcher.address={workers.address}: must be {what} that answers ({_first_line(error)})")


def _lost(error: Exception) -> Failure:
    return Failure(f"the worker died: {_first_line(error)}", traceback.format_exc())


@contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Start processes that never hear of Ctrl-C, which a terminal sends to all: the launching one ends its workers."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which is inherited, where a handler would not be
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
