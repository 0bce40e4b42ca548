"""Workers that fail, die, are interrupted or live elsewhere; what they return is what a plain call returns."""

import gc
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import pytest
from omegaconf import OmegaConf
from threadpoolctl import threadpool_info

from nnexp.config.compose import sweep_config
from nnexp.core import processes
from nnexp.core.errors import UserError
from nnexp.core.processes import Failure
from nnexp.sweeps.workers import LocalPool, Pool, Workers
from tests.conftest import CommandLine, Typed, needs
from tests.programs.points.contents import digest

ROOT = Path(__file__).parents[2]
SECONDS = 60
"""How long anything is waited for; nothing takes that long unless something is wrong."""
LARGE = 300_000
"""Numbers of an array that is shared through memory instead of being sent."""


def wait_for(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + SECONDS
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return met


def power(base: int, exponent: int) -> int:
    return int(base**exponent)


def complain(text: str) -> int:
    raise ValueError(text)


def kill_once(flag: Path) -> str:
    """End the process the first time, as the system does when memory runs out."""
    if not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


def kill_always() -> str:
    os._exit(1)


def kill_twice(folder: Path) -> int:
    """End the process twice, and say how many other calls are under way the third time."""
    times = len(list(folder.glob("death*")))
    if times < 2:
        (folder / f"death{times}").touch()
        os._exit(1)
    return len(list(folder.glob("under way*")))


def be_under_way(folder: Path, number: int) -> int:
    """Leave a file in a folder for a while."""
    flag = folder / f"under way{number}"
    flag.touch()
    time.sleep(0.1)
    flag.unlink()
    return number


def wait_until_noticed(flag: Path) -> bool:
    """Tell whether somebody had the result of another call before this one ended."""
    return wait_for(flag.exists)


def begun_once(folder: Path) -> int:
    """Return how often this was begun, when others are done."""
    (folder / f"begun{os.getpid()}").touch()
    wait_for((folder / "enough").exists)
    return len(list(folder.glob("begun*")))


def note_and_sleep(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(SECONDS)


def survive_interrupts() -> bool:
    for kind in (signal.SIGINT, signal.SIGHUP):
        os.kill(os.getpid(), kind)
    return True


def whereabouts() -> tuple[int, Path, str]:
    return os.getpid(), Path.cwd(), os.environ["HOME"]


def threads_of_products() -> set[int]:
    """Return how many threads a product of matrices may take, which can change its last bits."""
    np.ones((2, 2)) @ np.ones((2, 2))
    return {int(pool["num_threads"]) for pool in threadpool_info()}


def period() -> tuple[float, float]:
    begin = time.monotonic()
    time.sleep(0.2)
    return begin, time.monotonic()


def doubled(array: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Change an array in place, as a training that goes on does."""
    array *= 2
    return array


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def begin(pool: Pool, functions: Sequence[Callable[[], Any]]) -> Iterator[tuple[int, Any]]:
    """Begin functions of all kinds."""
    return pool.begin(functions)


def results(pool: Pool, functions: Sequence[Callable[[], Any]]) -> list[Any]:
    """Return what functions return, in their order."""
    found = dict(begin(pool, functions))
    assert sorted(found) == list(range(len(functions)))
    return [found[place] for place in range(len(functions))]


@pytest.mark.parametrize("count", [1, 2])
def test_results_are_those_of_plain_calls(count: int) -> None:
    functions = [partial(power, base, exponent) for base in (2, 3) for exponent in range(5)]
    with LocalPool(count) as pool:
        assert results(pool, functions) == [1, 2, 4, 8, 16, 1, 3, 9, 27, 81]
        assert results(pool, functions[3:4]) == [8]
        assert results(pool, []) == []


@pytest.mark.parametrize("count", [1, 2])
def test_a_call_that_raises_says_why_and_the_others_go_on(count: int) -> None:
    with LocalPool(count) as pool:
        first, failure, last = results(pool, [partial(power, 2, 3), partial(complain, "too hot"), partial(power, 2, 4)])
    assert (first, last) == (8, 16)
    assert isinstance(failure, Failure)
    assert failure.reason == "ValueError: too hot"
    assert "in complain" in failure.details


def test_a_call_that_loses_its_worker_is_begun_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    others = [partial(power, 2, exponent) for exponent in range(6)]
    with LocalPool(2) as pool:
        assert results(pool, [partial(kill_once, tmp_path / "flag"), *others]) == ["survived", 1, 2, 4, 8, 16, 32]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("nnexp: a worker died (")
    assert lines[0].endswith("): its stack is trained again")


def test_a_call_that_always_kills_its_worker_is_given_up_and_the_others_are_done() -> None:
    others = [partial(power, 2, exponent) for exponent in range(6)]
    with LocalPool(2) as pool:
        failure, *rest = results(pool, [kill_always, *others])
        assert results(pool, others) == [1, 2, 4, 8, 16, 32]  # and the pool is as good as before
    assert isinstance(failure, Failure)
    assert failure.reason.startswith("the worker died: ")
    assert rest == [1, 2, 4, 8, 16, 32]


def test_a_stack_that_lost_two_workers_is_trained_while_nothing_else_is(tmp_path: Path) -> None:
    others = [partial(be_under_way, tmp_path, number) for number in range(1, 12)]
    with LocalPool(2) as pool:
        assert results(pool, [partial(kill_twice, tmp_path), *others]) == [0, *range(1, 12)]


def test_a_worker_that_dies_takes_no_other_with_it(tmp_path: Path) -> None:
    """Each stack loses its worker once, one after the other; a third one is under way all the time and begun once."""
    with LocalPool(2) as pool:
        calls: list[Callable[[], object]] = [partial(begun_once, tmp_path)]
        calls += [partial(kill_once, tmp_path / f"flag{number}") for number in range(2)]
        begun = begin(pool, calls)
        assert sorted(next(begun) for _ in range(2)) == [(place, "survived") for place in range(1, 3)]
        (tmp_path / "enough").touch()
        assert list(begun) == [(0, 1)]


def test_a_call_that_cannot_be_sent_fails_alone() -> None:
    with LocalPool(2) as pool:
        failure, number = results(pool, [partial(len, threading.Lock()), partial(power, 2, 3)])  # type: ignore[arg-type]
    assert isinstance(failure, Failure)
    assert "pickle" in failure.reason
    assert number == 8


SCRIPT = """
import sys
from dataclasses import dataclass

import numpy as np

from nnexp import Array, Number
from nnexp.optim.optimizers import Optimizer, State


@dataclass(frozen=True)
class SignSGD(Optimizer):
    def update(self, gradient: Array, state: State, step: Number) -> Array:
        return np.sign(gradient)


from nnexp.__main__ import main

sys.argv = ["nnexp", *sys.argv[1:]]
main()  # not guarded by __name__, as in a notebook
"""


def test_components_of_a_script_reach_workers_and_come_back(nnexp: CommandLine) -> None:
    (nnexp.folder / "script.py").write_text(SCRIPT)
    # Halving sends trainings that have paused, with their components, there and back.
    options = (
        "optimizer._target_=__main__.SignSGD",
        "optimizer.learning_rate=0.01",
        "sweep.halving=0.99",
        "sweep.rungs=2",
    )
    result = subprocess.run(
        [sys.executable, "script.py", *SWEEP[:2], *SWEEP[3:], *options, "hydra.launcher.jobs=2"],
        cwd=nnexp.folder,
        env=nnexp.environment(NNEXP_PACKAGES="__main__"),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_results_come_as_they_are_done(tmp_path: Path) -> None:
    flag = tmp_path / "noticed"
    with LocalPool(2) as pool:
        begun = begin(pool, [partial(wait_until_noticed, flag), partial(power, 2, 3)])
        assert next(begun) == (1, 8)
        flag.touch()
        assert list(begun) == [(0, True)]


def test_large_arrays_can_be_changed_by_a_worker() -> None:
    """What is shared must not be read-only: a training that goes on changes its own."""
    arrays = [np.full(LARGE, fill) for fill in (1.0, 2.0)]
    with LocalPool(2) as pool:
        ones, twos = results(pool, [partial(doubled, array) for array in arrays])
    assert (ones == 2).all()
    assert (twos == 4).all()
    assert (arrays[0] == 1).all()


def test_an_interrupt_ends_the_workers_without_a_word(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def ended_by_an_interrupt() -> None:
        with LocalPool(2) as pool:
            for _ in begin(pool, [partial(power, 1, 1), *[partial(note_and_sleep, tmp_path)] * 5]):
                assert wait_for(lambda: len(list(tmp_path.iterdir())) == 2)
                raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        ended_by_an_interrupt()
    processes = [int(path.name) for path in tmp_path.iterdir()]
    assert len(processes) == 2
    assert wait_for(lambda: not any(alive(process) for process in processes))
    assert time.monotonic() - started < SECONDS / 2
    assert capfd.readouterr() == ("", "")


def test_workers_do_not_hear_of_interrupts_and_this_process_does() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with LocalPool(3) as pool:  # a number that no other test has, so that its processes are started anew
        assert results(pool, [survive_interrupts] * 6) == [True] * 6
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_a_thread_can_use_workers() -> None:
    found: list[object] = []

    def use() -> None:
        with LocalPool(2) as pool:
            found.extend(results(pool, [partial(power, 2, 3), partial(power, 2, 4)]))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert found == [8, 16]


MISTAKES = [
    (["hydra.launcher.backend=foo"], r"hydra\.launcher\.backend=foo: must be loky or dask"),
    (["hydra.launcher.backend=ray"], r"hydra\.launcher\.backend=ray: must be loky or dask"),
    (["hydra.launcher.jobs=0"], r"hydra\.launcher\.jobs=0: must be a whole number of at least 1 or null"),
    (["hydra.launcher.stack_megabytes=0"], r"hydra\.launcher\.stack_megabytes=0\.0: must be a number greater than 0"),
    (
        ["hydra.launcher.address=tcp://127.0.0.1:1"],
        r"hydra\.launcher\.address=tcp://127\.0\.0\.1:1: must be null for the backend loky",
    ),
    (
        ["hydra.launcher.backend=dask", "hydra.launcher.address=tcp://127.0.0.1:1"],
        r"hydra\.launcher\.address=tcp://127\.0\.0\.1:1: must be a Dask scheduler that answers \(.*refused\)",
    ),
    (
        ["hydra.launcher.backend=dask", "hydra.launcher.address=nonsense"],
        r"hydra\.launcher\.address=nonsense: must be a Dask scheduler that answers \(.*\)",
    ),
]


@pytest.mark.parametrize(("arguments", "sentence"), MISTAKES, ids=lambda value: str(value)[-40:])
def test_a_mistake_is_one_line_and_leaves_nothing(
    typed: Typed, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    if "hydra.launcher.backend=dask" in arguments:
        pytest.importorskip("distributed")
    result = typed("-m", "seed=0,1", "trainer.epochs=2", "tracking=none", *arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert re.fullmatch(f"nnexp: {sentence}", line), line
    assert not list(tmp_path.glob("outputs/sweeps/*"))


@pytest.mark.parametrize("package", ["dask", "distributed"])
def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    sentence = r"^hydra\.launcher\.backend=dask: must be installed, pip install 'nnexp\[dask\]' \(.*\)$"
    with pytest.raises(UserError, match=sentence):
        Workers("dask").start()


@contextmanager
def running(*arguments: str, folder: Path, **variables: str) -> Iterator[None]:
    """Run a program of Dask in a folder, and end it."""
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(folder), **variables},
            stdout=log,
            stderr=log,
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


THREADS = "distributed: {nanny: {pre-spawn-environ: {OMP_NUM_THREADS: 2, OPENBLAS_NUM_THREADS: 2}}}"
"""Dask limits them to one, but for workers that are started without a nanny."""


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a Dask scheduler with two workers, which know nothing but what they are sent."""
    distributed = pytest.importorskip("distributed")
    folders = [tmp_path_factory.mktemp(name) for name in ("scheduler", "worker", "worker")]
    file = folders[0] / "scheduler.json"
    address = ("--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file), "--no-dashboard", "--no-show")
    with ExitStack() as processes:
        patience = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
        processes.enter_context(running("scheduler", *address, folder=folders[0], **patience))
        for folder in folders[1:]:
            worker = ("--scheduler-file", str(file), "--nthreads", "1", "--no-dashboard", "--local-directory", ".")
            (folder / "dask.yaml").write_text(THREADS)
            processes.enter_context(running("worker", *worker, folder=folder, DASK_CONFIG=str(folder)))
        assert wait_for(lambda: file.exists() and bool(file.read_text()))
        found = str(json.loads(file.read_text())["address"])
        gc.collect()  # clients that did not connect, as those of other tests
        with distributed.Client(found) as client:
            client.wait_for_workers(2, timeout=SECONDS)
        yield found


@pytest.mark.slow
def test_workers_of_a_cluster_share_nothing_with_us(scheduler: str) -> None:
    with Workers("dask", address=scheduler).start() as pool:
        assert pool.count == 2
        found = results(pool, [whereabouts] * 8)
    assert os.getpid() not in {process for process, _, _ in found}
    assert all(str(folder) == home != str(Path.cwd()) for _, folder, home in found)
    assert len({folder for _, folder, _ in found}) == 2


@pytest.mark.slow
def test_a_cluster_does_what_plain_calls_do(scheduler: str, tmp_path: Path) -> None:
    flag = tmp_path / "noticed"
    with Workers("dask", address=scheduler).start() as pool:
        assert results(pool, [partial(power, 2, exponent) for exponent in range(7)]) == [1, 2, 4, 8, 16, 32, 64]
        (failure,) = results(pool, [partial(complain, "too hot")])
        assert isinstance(failure, Failure)
        assert failure.reason == "ValueError: too hot"
        begun = begin(pool, [partial(wait_until_noticed, flag), partial(power, 2, 3)])
        assert next(begun) == (1, 8)
        flag.touch()
        assert list(begun) == [(0, True)]
        (twos,) = results(pool, [partial(doubled, np.ones(LARGE))])
        (fours,) = results(pool, [partial(doubled, twos)])
    assert (fours == 4).all()


@pytest.mark.slow
def test_products_take_one_thread_on_a_cluster(scheduler: str) -> None:
    with Workers("dask", address=scheduler).start() as pool:
        assert results(pool, [threads_of_products] * 4) == [{1}] * 4


@pytest.mark.slow
def test_no_more_workers_of_a_cluster_are_used_than_asked_for(scheduler: str) -> None:
    with Workers("dask", jobs=1, address=scheduler).start() as pool:
        assert pool.count == 1
        periods = sorted(results(pool, [period] * 4))
    assert all(end <= begin for (_, end), (begin, _) in pairwise(periods))


@pytest.mark.slow
def test_a_cluster_loses_workers(scheduler: str, tmp_path: Path) -> None:
    others = [partial(power, 2, exponent) for exponent in range(4)]
    with Workers("dask", address=scheduler).start() as pool:
        assert results(pool, [partial(kill_once, tmp_path / "flag"), *others]) == ["survived", 1, 2, 4, 8]
        failure, *rest = results(pool, [kill_always, *others])
    assert isinstance(failure, Failure)
    assert failure.reason.startswith("the worker died: ")
    assert rest == [1, 2, 4, 8]


LARGE_TABLE = 24_000
"""Rows of eight features, whose training part is large enough to be sent through a file."""
STARTED = 0.8
"""Seconds that a worker computes, about, before it trains."""
LONG_SWEEP = (
    *("-m", "dataset=csv", "dataset.path=table.csv", "optimizer=sgd", "trainer.batch_size=64", "seed=range(4)"),
    *("tracking=none", "hydra.launcher.jobs=2", "hydra.launcher.stack_megabytes=0.01"),
)


def begin_long_sweep(nnexp: CommandLine, *arguments: str) -> subprocess.Popen[str]:
    """Start a sweep of large data, which has memory of its own that nobody else looks at."""
    rows = np.random.default_rng(0).standard_normal((LARGE_TABLE, 8))
    table = "\n".join([",".join("abcdefghi"), *(f"{','.join(map(str, row))},{int(row[0] > 0)}" for row in rows)])
    (nnexp.folder / "table.csv").write_text(table)
    return nnexp.start(*LONG_SWEEP, *arguments)


def busy_workers(sweep: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the workers of a sweep that have trained for a while, or are about to."""
    found: list[psutil.Process] = []

    def busy() -> bool:
        with suppress(psutil.NoSuchProcess):
            workers = [child for child in psutil.Process(sweep.pid).children(recursive=True) if is_worker(child)]
            found[:] = [worker for worker in workers if worker.cpu_times().user > STARTED]
        return bool(found) or sweep.poll() is not None

    assert wait_for(busy)
    assert sweep.poll() is None
    return found


def is_worker(process: psutil.Process) -> bool:
    line = " ".join(process.cmdline()) if process.status() != psutil.STATUS_ZOMBIE else ""
    return bool(re.search(f"{processes.__name__}|spawn_main", line))


def has_ended(process: psutil.Process) -> bool:
    """Tell whether a process has ended; it stays a zombie where nobody asks how, as in some containers."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    return True


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_workers_that_are_killed_are_replaced_and_nothing_else_is_said(nnexp: CommandLine) -> None:
    sweep = begin_long_sweep(nnexp, "trainer.epochs=200")
    for _ in range(2):
        worker = busy_workers(sweep)[0]
        worker.kill()
        assert wait_for(partial(has_ended, worker))
    output, errors = sweep.communicate(timeout=SECONDS)
    assert sweep.returncode == 0, output
    said = [line.rpartition(": ")[2] for line in errors.splitlines()]
    assert said == ["its stack is trained again"] * len(said)
    assert 1 <= len(said) <= 2  # one that was killed between two stacks is missed by nobody


def test_workers_need_no_standard_error(nnexp: CommandLine) -> None:
    """It is closed where a command ends in `2>&-`."""
    sweep = nnexp.start(*SWEEP, "hydra.launcher.jobs=2", before=partial(os.close, 2))
    output, _ = sweep.communicate(timeout=SECONDS)
    assert sweep.returncode == 0, output
    assert len([*nnexp.folder.glob("outputs/sweeps/*/runs/*/result.json")]) == 4


@pytest.mark.parametrize("backend", ["loky", pytest.param("dask", marks=[needs("distributed"), pytest.mark.slow])])
@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_workers_end_with_a_sweep_that_is_killed_and_nothing_of_it_stays_in_memory(
    nnexp: CommandLine, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    sweep = begin_long_sweep(nnexp, "trainer.epochs=100000", f"hydra.launcher.backend={backend}")
    worker = busy_workers(sweep)[0]
    children = psutil.Process(sweep.pid).children(recursive=True)
    if backend == "loky":
        assert any("memfd:nnexp" in area.path for area in worker.memory_maps()), "its data are shared"
    sweep.kill()
    killed = time.monotonic()
    assert wait_for(lambda: all(map(has_ended, children)))
    assert time.monotonic() - killed < 2
    _, errors = sweep.communicate()
    if backend == "loky":
        assert errors == ""
        assert not [path for path in Path("/dev/shm").glob("*") if str(sweep.pid) in path.name]  # noqa: S108
        assert not list(temporary.iterdir())


SWEEP = (
    *("-m", "seed=0,1", "optimizer=sgd,adam", "architecture.dropout=0.1", "trainer.batch_size=64"),
    *("trainer.epochs=5", "tracking=none", "hydra.launcher.stack_megabytes=0.2"),
)


def histories(folder: Path) -> dict[str, bytes]:
    found = {path.parent.name: path.read_bytes() for path in folder.glob("sweeps/*/runs/*/history.csv")}
    assert len(found) == 4
    return found


@pytest.mark.slow
def test_a_sweep_on_a_cluster_has_the_same_bits(scheduler: str, nnexp: CommandLine, typed: Typed) -> None:
    here = typed(*SWEEP, "hydra.launcher.jobs=1", "output_dir=here")
    assert (here.returncode, here.stderr) == (0, "")
    there = nnexp(*SWEEP, "hydra.launcher.backend=dask", f"hydra.launcher.address={scheduler}", "output_dir=there")
    assert (there.returncode, there.stderr) == (0, "")
    assert histories(nnexp.folder / "there") == histories(nnexp.folder / "here")


@needs("distributed")
def test_a_cluster_that_is_started_here_has_the_same_bits(nnexp: CommandLine, typed: Typed) -> None:
    here = typed(*SWEEP, "hydra.launcher.jobs=1", "output_dir=here")
    assert (here.returncode, here.stderr) == (0, "")
    # Halving to one rung sends trainings that have paused; a share of nearly 1 stops none of them.
    rungs = ("sweep.halving=0.99", "sweep.rungs=2")
    there = nnexp(*SWEEP, *rungs, "hydra.launcher.backend=dask", "hydra.launcher.jobs=2", "output_dir=there")
    assert (there.returncode, there.stderr) == (0, "")
    assert histories(nnexp.folder / "there") == histories(nnexp.folder / "here")


TABLE = (
    *("-m", "dataset=moons", "dataset.points=30", "architecture.hidden=[4]", "trainer.epochs=100", "tracking=none"),
    *("optimizer.learning_rate=logspace(0.01,1,20)", "seed=range(20)", "sweep.record=table", "sweep.figures=[]"),
    *("sweep.confirm=0", "hydra.launcher.stack_megabytes=0.02"),
)


@pytest.mark.slow
@needs("distributed")
@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_a_table_is_the_same_after_a_worker_of_a_cluster_was_killed(nnexp: CommandLine, typed: Typed) -> None:
    here = typed(*TABLE, "hydra.launcher.jobs=1", "output_dir=here")
    assert (here.returncode, here.stderr) == (0, "")
    sweep = nnexp.start(*TABLE, "hydra.launcher.backend=dask", "hydra.launcher.jobs=2", "output_dir=there")
    assert sweep.stdout is not None
    assert re.fullmatch(r"\d+/400 runs\n", first := sweep.stdout.readline()), first
    busy_workers(sweep)[0].kill()
    _, errors = sweep.communicate(timeout=SECONDS)
    assert sweep.returncode == 0, errors
    one, other = ({*map(digest, nnexp.folder.glob(f"{name}/sweeps/*/runs.parquet"))} for name in ("here", "there"))
    assert one == other
    assert len(one) == 1


def test_hydra_knows_the_fields_and_their_defaults() -> None:
    with sweep_config([]) as (_, config):
        known = OmegaConf.to_container(config.hydra.launcher)
    assert known == {"_target_": "hydra_plugins.nnexp_sweep.NNexpLauncher", **vars(Workers())}
