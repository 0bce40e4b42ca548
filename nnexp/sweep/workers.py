"""Working on stacks in several processes, here or on a cluster, and what happens when one of them dies.

A worker is sent all that it needs, data included, and sends back what was learned: it shares no disk with the process
that launched it and knows no tracker. What it means to be sent there is joblib's business.
"""

import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Annotated, Generic, Literal, Self, TypeVar

import annotated_types as at

from nnexp import terminal
from nnexp.component import Component, Count
from nnexp.errors import UserError

T = TypeVar("T")
R = TypeVar("R")

ATTEMPTS = 2
"""How often stacks are given to workers that may die, before each is given to a worker of its own."""
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
        except Exception as error:  # noqa: BLE001 - whatever it is, the other runs go on
            return place, Failure(f"{type(error).__name__}: {error}", traceback.format_exc())


@dataclass(frozen=True)
class Workers(Component):
    """The processes that train stacks: the fields of `hydra.launcher`.

    Attributes
    ----------
    backend
        Who runs them: `loky` on this machine, or a cluster of `dask` or `ray`. Ray hands over results only when all
        stacks are done; the others hand over each as it is done.
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
                return _dask(self)
            if self.backend == "ray":
                return _ray(self)
        except ImportError as error:
            raise UserError(
                f"hydra.launcher.backend={self.backend}: must be installed, "
                f"pip install 'nnexp[{self.backend}]' ({error})"
            ) from error
        import joblib

        return Pool("loky", self.jobs or joblib.cpu_count())


Results = Iterator[tuple[int, T | Failure]]
"""The place of a call among others, and what it returned."""


class Pool:
    """Workers that are ready; leaving the context lets go of them.

    Arguments
    ---------
    backend
        What joblib calls them.
    count
        How many there are.
    connection
        What is to be left in the end.

    """

    def __init__(self, backend: str, count: int, connection: AbstractContextManager[object] | None = None) -> None:
        self.count, self._backend = count, backend
        self._connection = connection or nullcontext()
        self._unfinished = ExitStack()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *raised: object) -> None:
        """End what is not finished, and close the connection."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # joblib's, that results are not used
            self._unfinished.close()
        self._connection.__exit__(None, None, None)

    def begin(self, functions: Sequence[Callable[[], T]]) -> Results[T]:
        """Begin to call functions at once, and return an iterator over the results as they come.

        A worker that dies takes its task along; tasks without a result are begun once more, and then each on its own,
        so that only the one that kills its worker is given up.
        """
        tasks = {place: Task(function) for place, function in enumerate(functions)}
        if self._backend == "loky" and (len(tasks) == 1 or self.count == 1):
            return (task(place) for place, task in tasks.items())
        # Ray hands over everything at the end, so there is nothing to begin before somebody waits for it.
        return self._results(tasks, None if self._backend == "ray" else self._parallel(tasks))

    def _results(self, tasks: dict[int, Task[T]], begun: Results[T] | None) -> Results[T]:
        for _ in range(ATTEMPTS):
            try:
                for place, result in begun or self._parallel(tasks):
                    del tasks[place]
                    yield place, result
            except Exception as error:  # noqa: BLE001 - tasks raise nothing, so it is a worker that died
                terminal.warn(f"a worker died ({_first_line(error)}): its stack is trained again")
                begun = None
            else:
                return
        for place, task in tasks.items():
            try:
                yield from self._parallel({place: task})
            except Exception as error:  # noqa: BLE001
                yield place, Failure(f"the worker died: {_first_line(error)}", traceback.format_exc())

    def _parallel(self, tasks: Mapping[int, Callable[[int], tuple[int, R]]]) -> Iterator[tuple[int, R]]:
        from joblib import Parallel, delayed

        parallel = Parallel(
            n_jobs=self.count,
            backend=self._backend,
            batch_size=1,
            return_as="generator_unordered" if self._backend != "ray" else "list",
        )
        with _ignoring_interrupts():
            calls = [delayed(task)(place) for place, task in tasks.items()]
            results: Iterator[tuple[int, R]] = iter(parallel(calls))
        if isinstance(results, Generator):
            self._unfinished.callback(results.close)
        return results


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


def _dask(workers: Workers) -> Pool:
    from distributed import Client

    try:
        if workers.address is None:
            client = Client(n_workers=workers.jobs, threads_per_worker=1, dashboard_address=None)
        else:
            client = Client(workers.address, timeout=10)
    except OSError as error:
        raise UserError(
            f"hydra.launcher.address={workers.address}: must be a Dask scheduler that answers ({_first_line(error)})"
        ) from error
    count = sum(client.nthreads().values())
    return Pool("dask", min(count, workers.jobs or count), client)


def _ray(workers: Workers) -> Pool:
    import ray
    from ray.util.joblib import register_ray

    try:
        connection = ray.init(
            address=workers.address,
            num_cpus=workers.jobs if workers.address is None else None,
            log_to_driver=False,
            include_dashboard=False,
        )
    except (ConnectionError, RuntimeError) as error:
        raise UserError(
            f"hydra.launcher.address={workers.address}: must be a Ray cluster that answers ({_first_line(error)})"
        ) from error
    register_ray()
    count = int(ray.cluster_resources().get("CPU", 1))
    return Pool("ray", min(count, workers.jobs or count), connection)
