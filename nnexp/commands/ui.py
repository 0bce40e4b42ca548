"""Opens MLflow on the runs of an output folder: `nnexp ui`."""

import os
import signal
import socket
import subprocess
import sys
import time
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile
from typing import IO
from urllib.request import urlopen

from nnexp.commands.arguments import parser
from nnexp.core.errors import UserError
from nnexp.core.files import absolute, is_there
from nnexp.core.signals import sigterm_interrupts
from nnexp.report import terminal
from nnexp.tracking.mlflow import MLflowTracking
from nnexp.tracking.mlflow_store import check_store, database_file, is_server
from nnexp.tracking.mlflow_view import PORT, experiments_link

HOST = "127.0.0.1"
SECONDS_TO_START, SECONDS_TO_STOP = 120.0, 5.0
SECONDS_BETWEEN_LOOKS = 0.1
VARIABLES = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
"""What spares the server work that runs do not need."""


def main(words: Sequence[str]) -> None:
    """Open MLflow, and keep it running until Ctrl-C."""
    arguments = parser(
        "ui", "Open MLflow on your runs in the browser: start it, wait until it answers, and stop it with Ctrl-C."
    )
    arguments.add_argument("--tracking-uri", metavar="URI", help="where runs were tracked, if not in mlflow.db there")
    arguments.add_argument("--port", type=int, help=f"{PORT} if not given, or another one where that is taken")
    arguments.add_argument("--no-browser", action="store_true", help="print the address and open nothing")
    chosen = arguments.parse_args(words)
    uri = MLflowTracking(chosen.tracking_uri).address(absolute(chosen.output_dir))
    file = database_file(uri)
    if file is not None and not is_there(file):
        raise UserError(f"--output-dir={chosen.output_dir}: must be where runs were tracked; there is no {file.name}")
    check_store(uri)
    if is_server(uri):
        _open(f"{uri.rstrip('/')}/{experiments_link()}", browser=not chosen.no_browser)
        return
    try:
        with sigterm_interrupts(), serving(uri, chosen.port) as (address, process):
            _open(f"{address}/{experiments_link()}", browser=not chosen.no_browser)
            terminal.show_lines(["Ctrl-C stops it."])
            sys.stdout.flush()
            process.wait()
            raise UserError(f"tracking.uri={uri}: must be a store that MLflow can show; it has stopped")
    except KeyboardInterrupt as interrupt:
        if type(interrupt) is not KeyboardInterrupt:
            raise
        terminal.show_lines(["", "MLflow has stopped."])  # the first line ends that of ^C


@contextmanager
def serving(uri: str, port: int | None) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Yield the address of an MLflow that answers, and its process, which ends with the block.

    Raises UserError if it does not start.
    """
    port = free_port() if port is None else port
    command = [sys.executable, "-m", "mlflow", "ui", "--host", HOST, "--port", str(port), "--workers", "1"]
    terminal.show_lines(["MLflow is starting, which takes some seconds ..."])
    sys.stdout.flush()
    with TemporaryFile() as said:
        environment = {**os.environ, **VARIABLES, "MLFLOW_BACKEND_STORE_URI": uri}  # no list of processes shows it
        with subprocess.Popen(  # noqa: S603 - constants and a number
            command, stdout=said, stderr=said, env=environment, start_new_session=True
        ) as process:
            try:
                _wait_for(f"http://{HOST}:{port}", process, said)
                yield f"http://{HOST}:{port}", process
            finally:
                _stop(process)


def free_port() -> int:
    """Return the port to which printed links lead, or any free one where that is taken."""
    for wanted in (PORT, 0):
        with suppress(OSError), socket.create_server((HOST, wanted)) as server:
            port: int = server.getsockname()[1]
            return port
    raise UserError("--port: must be given, for the system has none that is free")


def _wait_for(address: str, process: "subprocess.Popen[bytes]", said: IO[bytes]) -> None:
    end = time.monotonic() + SECONDS_TO_START
    while process.poll() is None and time.monotonic() < end:
        with suppress(OSError), urlopen(f"{address}/health", timeout=1):  # noqa: S310 - our own address
            return
        time.sleep(SECONDS_BETWEEN_LOOKS)
    said.seek(0)
    lines = said.read().decode(errors="replace").strip().splitlines()
    raise UserError(f"nnexp ui: MLflow must start, and does not ({lines[-1] if lines else 'it says nothing'})")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End the server with all of its processes."""
    for number in (signal.SIGTERM, signal.SIGKILL) if sys.platform != "win32" else ():
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS_TO_STOP)
    process.kill()


def _open(address: str, *, browser: bool) -> None:
    """Print an address, and show it in a browser that has windows; one of the terminal would take that."""
    terminal.show_links([("MLflow", address)])
    sys.stdout.flush()
    has_windows = sys.platform in ("darwin", "win32") or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
    if browser and has_windows:
        webbrowser.open(address)
