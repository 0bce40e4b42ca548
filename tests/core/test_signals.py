"""A closed terminal: runs and sweeps end as after Ctrl-C, and go on."""

import fcntl
import os
import pty
import shlex
import signal
import sqlite3
import termios
import time
from contextlib import closing
from pathlib import Path

import pytest

from nnexp.core.signals import KINDS, HungUp, Terminated, no_interrupt_is_lost, sigterm_interrupts, waiting_interrupts
from tests.conftest import CommandLine

LONG = ("seed=1", "trainer.epochs=1000000", "figures=false")
STACKS = ("hydra.launcher.jobs=2", "hydra.launcher.stack_megabytes=0.001")
SWEEP = ("-m", "seed=range(50)", "trainer.epochs=100000", *STACKS)


def statuses(folder: Path) -> list[str]:
    try:
        with closing(sqlite3.connect(f"file:{folder}/outputs/mlflow.db?mode=ro", uri=True)) as store:
            return [status for (status,) in store.execute("select status from runs")]
    except sqlite3.OperationalError:  # there is none yet
        return []


def take_as_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.parametrize(
    ("arguments", "begun"), [(LONG, b"train / test"), pytest.param(SWEEP, b"left", marks=pytest.mark.slow)]
)
def test_what_trains_in_a_terminal_that_is_closed_is_killed_in_mlflow(
    nnexp: CommandLine, arguments: tuple[str, ...], begun: bytes
) -> None:
    terminal, inside = pty.openpty()
    process = nnexp.start(*arguments, stdin=inside, output=inside, errors=inside, session=True, before=take_as_terminal)
    os.close(inside)
    text = b""
    while not (statuses(nnexp.folder) and begun in text):
        text += os.read(terminal, 4096)
    os.close(terminal)
    try:
        assert process.wait(timeout=30) == 129
    finally:
        process.kill()
    assert statuses(nnexp.folder) == ["KILLED"]
    if arguments is LONG:
        assert len(list(nnexp.folder.glob("outputs/digits_binary/*/checkpoints/latest.npz"))) == 1


def ignore() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def test_a_second_sighup_does_not_hurry_and_the_printed_command_goes_on(nnexp: CommandLine) -> None:
    process = nnexp.start("seed=1", "trainer.epochs=8000", "figures=false", "tracking=none")
    assert process.stdout is not None
    next(line for line in process.stdout if line.startswith("epoch"))
    for _ in range(20):  # a shell that ends and the kernel each send one
        process.send_signal(signal.SIGHUP)
        time.sleep(0.002)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 129
    begin, _, command = errors.partition("; to go on: ")
    assert begin == "\nnnexp: interrupted"
    result = nnexp(*shlex.split(command)[3:])
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Going on after epoch ")


def test_a_sighup_that_is_ignored_as_under_nohup_ends_nothing(nnexp: CommandLine) -> None:
    with nnexp.start("trainer.epochs=2000", "figures=false", "tracking=none", before=ignore) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith("epoch"))
        process.send_signal(signal.SIGHUP)
        assert "epoch 2000/2000" in process.stdout.read()
    assert process.returncode == 0


def test_a_handler_is_put_back_unless_the_terminal_is_gone() -> None:
    found = {
        number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)
    }  # as a script or nohup set it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    before = {number: signal.getsignal(number) for number in KINDS}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            with pytest.raises(KINDS[number]), sigterm_interrupts(), waiting_interrupts() as interruption:
                os.kill(os.getpid(), number)
                assert interruption.asked
            assert {number: signal.getsignal(number) for number in KINDS} == before
        with pytest.raises(HungUp), sigterm_interrupts(), waiting_interrupts():
            os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)
    finally:
        for number, handler in found.items():
            signal.signal(number, handler)


class Interrupted:
    """Gets a signal while it is finalized, where Python ignores what is raised."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __del__(self) -> None:
        signal.raise_signal(self._number)


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated), (signal.SIGHUP, Terminated)]
)
def test_a_signal_that_comes_while_an_object_is_finalized_is_not_lost(
    number: signal.Signals, kind: type[KeyboardInterrupt]
) -> None:
    before = signal.signal(number, signal.default_int_handler)  # whatever it is where the suite runs, as under nohup
    try:
        with pytest.raises(KeyboardInterrupt) as found, sigterm_interrupts(), no_interrupt_is_lost():
            Interrupted(number)
            time.sleep(5)
    finally:
        signal.signal(number, before)
    assert found.type is kind
