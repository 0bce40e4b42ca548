"""Output that nobody takes: commands end as always."""

import os
import pty
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from nnexp.core.output import let_no_print_fail
from tests.conftest import CommandLine, Finished

SHORT = ("trainer.epochs=4", "architecture.hidden=[4]", "figures=false")
OPENING = "Opening MLflow, which takes some seconds"


def printed_to(output: int, nnexp: CommandLine, *arguments: str, **variables: str) -> Finished:
    """Run a command whose standard output is a descriptor, which is closed."""
    try:
        return subprocess.run(
            [sys.executable, *(arguments if arguments[0] == "-c" else ("-m", "nnexp", *arguments))],
            cwd=nnexp.folder,
            env=nnexp.environment(**variables),
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        os.close(output)


def closed_pipe() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def test_a_sweep_for_a_closed_pipe_is_finished(nnexp: CommandLine) -> None:
    result = printed_to(closed_pipe(), nnexp, "-m", "seed=1,2", *SHORT)
    assert (result.returncode, result.stderr) == (0, "")
    with closing(sqlite3.connect(nnexp.folder / "outputs" / "mlflow.db")) as store:
        assert store.execute("select status from runs").fetchall() == [("FINISHED",)] * 3


@pytest.mark.parametrize("arguments", [("--help",), ("compare", "--help")])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_help_for_a_closed_pipe_is_no_error(nnexp: CommandLine, arguments: tuple[str, ...], unbuffered: str) -> None:
    result = printed_to(closed_pipe(), nnexp, *arguments, PYTHONUNBUFFERED=unbuffered)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_behind_the_output_is_told(nnexp: CommandLine) -> None:
    result = printed_to(os.open("/dev/full", os.O_WRONLY), nnexp, *SHORT, "tracking=none")
    line = "nnexp: standard output takes nothing more (No space left on device)\n"
    assert (result.returncode, result.stderr) == (0, line)
    (folder,) = nnexp.folder.glob("outputs/digits_binary/*")
    (nnexp.folder / "table.csv").write_text(",".join(["0"] * 64), encoding="utf-8")
    for words in (("predict", str(folder), "table.csv"), ("compare", str(folder))):  # what they print is all there is
        result = printed_to(os.open("/dev/full", os.O_WRONLY), nnexp, *words)
        assert (result.returncode, result.stderr) == (1, line)


def test_a_sweep_for_a_terminal_that_does_not_know_a_sign_is_finished(nnexp: CommandLine) -> None:
    result = nnexp("-m", "seed=1,2", "question='1 ± 1?'", *SHORT, "tracking=none", PYTHONIOENCODING="ascii")
    assert (result.returncode, result.stderr) == (0, "")
    assert "1 ? 1?" in result.stdout.splitlines()


@pytest.mark.parametrize(
    ("encoding", "sign"),
    [("latin-1:strict", b"?"), ("ascii:surrogateescape", b"?"), ("ascii:backslashreplace", b"\\u03a9")],
)
def test_signs_that_a_terminal_does_not_know_are_replaced(encoding: str, sign: bytes) -> None:
    code = "from nnexp.core.output import let_no_print_fail as let; let(); print('\u03a9')"
    variables = {**os.environ, "PYTHONIOENCODING": encoding}
    assert subprocess.check_output([sys.executable, "-c", code], env=variables) == sign + b"\n"


def test_a_process_without_standard_output_works(nnexp: CommandLine) -> None:
    command = [sys.executable, "-m", "nnexp", *SHORT, "tracking=none"]
    result = subprocess.run(
        ["/bin/sh", "-c", '"$@" >&-', "sh", *command],
        cwd=nnexp.folder,
        env=nnexp.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_pipe_that_does_not_wait_gets_everything(nnexp: CommandLine, unbuffered: str) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    code = "from nnexp.core.output import let_no_print_fail as let; let(); print('x' * 1_000_000)"
    variables = nnexp.environment(PYTHONUNBUFFERED=unbuffered)
    with subprocess.Popen([sys.executable, "-c", code], stdout=writer, env=variables) as process:
        os.close(writer)
        time.sleep(0.5)
        with os.fdopen(reader, "rb") as file:
            assert file.read() == b"x" * 1_000_000 + b"\n"
    assert process.returncode == 0


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_terminal_is_still_one(nnexp: CommandLine, unbuffered: str) -> None:
    code = (
        "import sys; from nnexp.core.output import let_no_print_fail\n"
        "def facts():\n"
        "    return [(s.isatty(), s.encoding, s.line_buffering, s.write_through, s.fileno(), s.buffer.writable())"
        " for s in (sys.stdout, sys.stderr)]\n"
        "before, own = facts(), sys.stdout\n"
        "let_no_print_fail()\n"
        "assert sys.stdout is not own and facts() == before and before[0][0], (before, facts())\n"
        "print('shown at once')\n"
        "import os; os._exit(3)\n"
    )
    terminal, inside = pty.openpty()
    with os.fdopen(terminal, "rb", buffering=0) as shown:
        result = printed_to(inside, nnexp, "-c", code, PYTHONUNBUFFERED=unbuffered)
        assert (result.returncode, result.stderr) == (3, "")
        assert shown.read(100) == b"shown at once\r\n"


@pytest.mark.usefixtures("capsys")
def test_streams_that_are_not_the_interpreters_own_stay() -> None:
    before = sys.stdout, sys.stderr
    let_no_print_fail()
    assert (sys.stdout, sys.stderr) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("runs",), ["Starting ..."]),
        (
            ("trainer.epochs=2", "tracking.uri=sqlite:///runs.db"),
            [
                f"{what} ..."
                for what in ("Starting", "Loading the data", OPENING, "Drawing figures", "Recording the run")
            ],
        ),
    ],
)
def test_what_is_waited_for_is_said_on_a_terminal_and_goes(
    nnexp: CommandLine, words: tuple[str, ...], said: list[str]
) -> None:
    shown = nnexp.on_terminal(*words, columns=80)
    first, *lines = shown.split("\r\x1b[2K")
    assert first == ""
    assert [line for line in lines if line in said] == said
    assert [line for line in lines if " ..." in line and line not in said] == []
