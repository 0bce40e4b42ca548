"""A real tracking server that can be killed, hung and started again."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

VARIABLES = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Server:
    """A tracking server with its store in a folder, always at the same address."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "mlflow", "server", "--port", str(self.port), "--workers", "1"]
        store = ["--backend-store-uri", f"sqlite:///{folder}/server.db"]
        self._command = [*command, *store, "--artifacts-destination", str(folder / "served")]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(
            self._command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **VARIABLES},
            start_new_session=True,
        )
        for _ in range(600):
            try:
                with urlopen(f"{self.address}/health", timeout=1):
                    return
            except OSError:
                time.sleep(0.1)
        raise TimeoutError("no tracking server")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to all of its processes: SIGSTOP lets it hang, SIGCONT go on."""
        if self._process is not None:
            os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """Kill it and wait until it is gone."""
        if self._process is not None:
            self.send(signal.SIGKILL)
            self._process.wait()
            self._process = None
            while self._is_listening():  # its workers are no children of ours
                time.sleep(0.05)

    def _is_listening(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Yield a server that answers."""
    server = Server(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
