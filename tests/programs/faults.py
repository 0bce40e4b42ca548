"""Faults injected for real while runs and sweeps train: `python -m tests.programs.faults` prints what came of each.

Tracking servers are killed, stopped and started again, answer nonsense, databases are locked, disks are full. Then what
is in the store is compared with what is in the folders: nothing may be missing, and nothing there twice.
"""

import argparse
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from nnexp.storage.run_folder import read_history
from tests.conftest import CommandLine
from tests.tracking.server import Server, serving

EVALUATIONS = 150
"""Below what is thinned, so that every evaluation must be in the store."""
EPOCHS_A_SECOND = 15_000
"""Of the small network here, on a slow machine."""
SEEDS = 24
"""Runs of a sweep, which are trained one after another."""
LOCKED_SECONDS = 60
WHILE_FULL = 40
FOLDER = re.compile(r"outputs/\S*\d{4}-\d\d-\d\d_[^\s;]*?(?=\. All|[\s;]|$)")
"""The folder of a run or a sweep."""


@dataclass
class Scene:
    """Where a fault happens: a folder of its own, and perhaps a server."""

    command_line: CommandLine
    server: Server | None = None
    database: Path | None = None
    """Where a SQLite database is that is not in the output folder."""
    said: list[str] = field(default_factory=list)
    """What the user saw on standard error and at the end of standard output, without paths."""
    seconds: dict[str, float] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    """What was lost."""

    @property
    def folder(self) -> Path:
        """Return where everything lies."""
        return self.command_line.folder

    @property
    def outputs(self) -> Path:
        """Return the output folder."""
        return self.folder / "outputs"

    @property
    def uri(self) -> str:
        """Return the store."""
        if self.server is not None:
            return self.server.address
        return f"sqlite:///{self.database or self.outputs / 'mlflow.db'}"

    def start(self, seconds: int = 20) -> subprocess.Popen[str]:
        """Start to train one network, for about so many seconds."""
        epochs = EPOCHS_A_SECOND * seconds
        every = epochs // EVALUATIONS
        run = (f"trainer.epochs={epochs}", f"trainer.evaluate_every={every}", "architecture.hidden=[4]")
        return self.command_line.start(*run, "figures=false", "verbose=false", *self.where())

    def start_sweep(self) -> subprocess.Popen[str]:
        """Start a sweep of many runs."""
        seeds = f"seed={','.join(map(str, range(SEEDS)))}"
        run = (seeds, "trainer.epochs=15000", "trainer.evaluate_every=1000", "architecture.hidden=[4]")
        jobs = ("hydra.launcher.jobs=1", "hydra.launcher.stack_megabytes=0.000001")
        return self.command_line.start("-m", *run, *jobs, *self.where())

    def where(self) -> tuple[str, ...]:
        """Return the override that names the store."""
        return () if self.server is None and self.database is None else (f"tracking.uri={self.uri}",)

    def wait_for(self, what: Callable[[MlflowClient], bool], process: subprocess.Popen[str]) -> None:
        """Wait until something is in the store."""
        while self.server is None and not Path(self.uri.removeprefix("sqlite:///")).exists():
            time.sleep(0.1)
        client = MlflowClient(self.uri)
        while not what(client):
            if process.poll() is not None:
                raise RuntimeError(f"it ended before the fault: {process.communicate()}")
            time.sleep(0.2)

    def end(self, process: subprocess.Popen[str], status: int = 0) -> None:
        """Wait for the end of a process, which must have a status, and keep what the user saw."""
        out, errors = process.communicate(timeout=300)
        self.keep(errors)
        self.keep("\n".join(line for line in out.splitlines() if line.startswith(("Not recorded", "To "))))
        if process.returncode != status:
            raise RuntimeError(f"status {process.returncode}, not {status}: {out}{errors}")

    def keep(self, text: str) -> None:
        """Keep what the user saw, with words for the names of folders and stores."""
        short = FOLDER.sub("FOLDER", text.replace(f"{self.folder}/", "").replace(self.uri, "URI"))
        self.said += [line for line in short.splitlines() if line.strip()]

    def deliver(self) -> None:
        """Deliver what is left."""
        for last in (False, True):
            command = [sys.executable, "-m", "nnexp", "deliver", "outputs", "--tracking-uri", self.uri]
            result = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=300, check=False)
            self.keep("" if last else result.stdout + result.stderr)
            if result.returncode or (last and not result.stdout.startswith("Nothing is left")):
                raise RuntimeError(f"status {result.returncode}: {result.stdout}{result.stderr}")

    def lost(self) -> list[str]:
        """Return what is in the folders and not in the store, or there twice."""
        client, complaints = MlflowClient(self.uri), list[str]()
        runs = all_runs(client)
        by_hash = {run.data.tags["config_hash"]: run for run in runs if "config_hash" in run.data.tags}
        folders = [path.parent for path in self.outputs.rglob("result.json") if "mlartifacts" not in path.parts]
        parents = len(runs) - len([run for run in runs if "config_hash" in run.data.tags])
        if len(runs) != len(folders) + parents or len(by_hash) != len(folders) or not folders:
            complaints.append(f"{len(folders)} folders, {len(runs)} runs, {parents} of them sweeps")
        complaints += [f"{run.info.run_name} is {run.info.status}" for run in runs if run.info.status != "FINISHED"]
        for folder in folders:
            run = next((run for key, run in by_hash.items() if folder.name.endswith(key)), None)
            if run is None:
                complaints.append(f"{folder.name} is missing")
                continue
            history, thinned = read_history(folder), "mlflow.parentRunId" in run.data.tags
            for name, values in history.metrics.items():
                points = client.get_metric_history(run.info.run_id, name)
                there = {(one.step, one.value) for one in points}
                here = set(zip(history.times.tolist(), values.tolist(), strict=True))
                if len(points) != len(there) or not there <= here or not (thinned or there == here):
                    complaints.append(f"{folder.name}: {name} has {len(points)} points of {len(here)}")
            files = {one.path for one in client.list_artifacts(run.info.run_id)}
            complaints += [f"{folder.name}: {name}" for name in ("result.json", "parameters.npz") if name not in files]
        complaints += [str(path) for path in self.outputs.rglob(".*.*.*") if path.suffix != ".lock"]
        return complaints


def all_runs(client: MlflowClient) -> list[Run]:
    """Return the runs of a store."""
    return list(client.search_runs([one.experiment_id for one in client.search_experiments()], max_results=1000))


def metrics_there(client: MlflowClient) -> bool:
    """Tell whether the first metrics were delivered."""
    return any(run.data.metrics for run in all_runs(client))


def begun(client: MlflowClient) -> bool:
    """Tell whether a training has begun."""
    return any(run.data.params or "sweep_key" in run.data.tags for run in all_runs(client))


def some_finished(client: MlflowClient) -> bool:
    """Tell whether the first runs of a sweep are recorded."""
    return bool(sum(run.info.status == "FINISHED" for run in all_runs(client)) >= SEEDS // 8)


@dataclass(frozen=True)
class Kind:
    """A run or a sweep: how it starts, when a fault may happen, and how it ends when not all of it is recorded."""

    start: Callable[[Scene], subprocess.Popen[str]]
    ready: Callable[[MlflowClient], bool]
    status: int


RUN, SWEEP = Kind(Scene.start, metrics_there, 0), Kind(Scene.start_sweep, some_finished, 1)


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Make a folder a small file system of its own within the block, which takes the rights to mount one."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)], check=True)  # noqa: S607
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)  # noqa: S607


def fill(folder: Path) -> Path:
    """Leave no room in a file system; return the file that takes it."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return ballast


class Nonsense(BaseHTTPRequestHandler):
    """Answers everything with a status and a body that no MLflow sends."""

    status, body = 500, b"<html>it is broken</html>"

    def do_POST(self) -> None:
        """Answer."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_GET = do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815 - the names of the base class

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def nonsense(port: int, status: int, body: bytes) -> Iterator[None]:
    """Answer nonsense at a port."""
    handler = type("Handler", (Nonsense,), {"status": status, "body": body})
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def dies_and_comes_back(scene: Scene, kind: Kind) -> None:
    """The server is killed while something trains, and started again before its end."""
    assert scene.server is not None
    process = kind.start(scene)
    scene.wait_for(kind.ready, process)
    scene.server.kill()
    time.sleep(6)
    scene.server.start()
    scene.end(process)


def dies(scene: Scene, kind: Kind) -> None:
    """The server is killed while something trains; `deliver` when it is back."""
    assert scene.server is not None
    process = kind.start(scene)
    scene.wait_for(kind.ready, process)
    scene.server.kill()
    scene.end(process, kind.status)
    scene.server.start()
    scene.deliver()


def hangs(scene: Scene, kind: Kind) -> None:
    """The server hangs while something trains, to its end; `deliver` when it goes on."""
    assert scene.server is not None
    process = kind.start(scene)
    scene.wait_for(kind.ready, process)
    scene.server.send(signal.SIGSTOP)
    scene.end(process, kind.status)
    scene.server.send(signal.SIGCONT)
    scene.deliver()


def hangs_at_ctrl_c(scene: Scene) -> None:
    """The server hangs, and the user presses Ctrl-C; then the run is resumed."""
    assert scene.server is not None
    process = scene.start()
    scene.wait_for(metrics_there, process)
    scene.server.send(signal.SIGSTOP)
    time.sleep(7)  # a delivery is under way
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    scene.end(process, 130)
    scene.seconds["from Ctrl-C to the end"] = time.monotonic() - begun
    scene.server.send(signal.SIGCONT)
    (folder,) = scene.outputs.glob("*/*/checkpoints")
    words = (f"resume={folder.parent}", *scene.where(), "verbose=false", "figures=false")
    scene.end(scene.command_line.start(*words))


def answers(scene: Scene, status: int, body: bytes) -> None:
    """The server is replaced by one that answers nonsense; `deliver` when the right one is back."""
    assert scene.server is not None
    process = scene.start()
    scene.wait_for(metrics_there, process)
    scene.server.kill()
    with nonsense(scene.server.port, status, body):
        scene.end(process)
    scene.server.start()
    scene.deliver()


def locked(scene: Scene, *, to_the_end: bool) -> None:
    """Another process locks the SQLite database for a minute."""
    process = scene.start(20 if to_the_end else LOCKED_SECONDS + 40)
    scene.wait_for(metrics_there, process)
    with closing(sqlite3.connect(scene.outputs / "mlflow.db", timeout=60, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        if to_the_end:
            scene.end(process)
        else:
            time.sleep(LOCKED_SECONDS)
        other.execute("ROLLBACK")
    if to_the_end:
        scene.deliver()
    else:
        scene.end(process)


def store_on_a_full_disk(scene: Scene) -> None:
    """The disk of the SQLite database is full; `deliver` when there is room."""
    scene.database = scene.folder / "small" / "mlflow.db"
    process = scene.start()
    scene.wait_for(metrics_there, process)
    ballast = fill(scene.database.parent)
    scene.end(process)
    ballast.unlink()
    scene.deliver()


def output_on_a_full_disk(scene: Scene, kind: Kind) -> None:
    """The disk of the output folder is full when something is trained; it waits until there is room."""
    scene.database = scene.folder / "mlflow.db"
    (scene.folder / "outputs").symlink_to(scene.folder / "small")
    process = kind.start(scene)
    scene.wait_for(begun, process)
    ballast = fill(scene.folder / "small")
    time.sleep(WHILE_FULL)
    ballast.unlink()
    scene.end(process)


SERVER, SMALL_DISK = "server", "small disk"
PAGE, JSON = b"<html>Please log in</html>", b'{"run": 7}'
FAULTS: dict[str, tuple[str, Callable[[Scene], None]]] = {
    "server killed while a run trains, back before its end": (SERVER, partial(dies_and_comes_back, kind=RUN)),
    "server killed while a run trains, back later": (SERVER, partial(dies, kind=RUN)),
    "server hangs while a run trains, to its end": (SERVER, partial(hangs, kind=RUN)),
    "server hangs, Ctrl-C, the run is resumed": (SERVER, hangs_at_ctrl_c),
    "server answers 500": (SERVER, partial(answers, status=500, body=PAGE)),
    "server answers 200 with a page": (SERVER, partial(answers, status=200, body=PAGE)),
    "server answers 200 with other JSON": (SERVER, partial(answers, status=200, body=JSON)),
    "database locked for a minute while a run trains": ("", partial(locked, to_the_end=False)),
    "database locked at the end of a run": ("", partial(locked, to_the_end=True)),
    "disk of the database full": (SMALL_DISK, store_on_a_full_disk),
    "disk of the output folder full at the end of a run": (SMALL_DISK, partial(output_on_a_full_disk, kind=RUN)),
    "disk of the output folder full while a sweep trains": (SMALL_DISK, partial(output_on_a_full_disk, kind=SWEEP)),
    "server killed while a sweep trains, back before its end": (SERVER, partial(dies_and_comes_back, kind=SWEEP)),
    "server killed while a sweep trains, back later": (SERVER, partial(dies, kind=SWEEP)),
    "server hangs while a sweep trains": (SERVER, partial(hangs, kind=SWEEP)),
}


@contextmanager
def prepared(kind: str) -> Iterator[Scene]:
    """Yield a scene with a server or a small disk, if that is what a fault needs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scene = Scene(CommandLine(folder))
        if kind == SERVER:
            with serving(folder) as scene.server:
                yield scene
        elif kind == SMALL_DISK:
            with small_disk(folder / "small"):
                yield scene
        else:
            yield scene


def inject(fault: str) -> Scene:
    """Let a fault happen, and return what came of it."""
    kind, happen = FAULTS[fault]
    with prepared(kind) as scene:
        happen(scene)
        scene.complaints = scene.lost()
    return scene


def row(fault: str, scene: Scene) -> str:
    """Return a line of a table in Markdown."""
    seconds = [f"{what}: {number:.1f} s" for what, number in scene.seconds.items()]
    seen = [f"`{line}`" for line in scene.said]
    return f"| {fault} | {'; '.join(scene.complaints) or 'nothing'} | {'<br>'.join([*seen, *seconds]) or 'nothing'} |"


def main() -> None:
    """Inject the faults whose names contain a word of the command line, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.programs.faults", description=inject.__doc__)
    parser.add_argument("words", metavar="WORD", nargs="*", default=[""])
    words = parser.parse_args().words
    print("| fault | lost | what the user sees |\n|---|---|---|")  # noqa: T201
    lost = False
    for fault in FAULTS:
        if any(word in fault for word in words):
            scene = inject(fault)
            print(row(fault, scene), flush=True)  # noqa: T201
            lost = lost or bool(scene.complaints)
    sys.exit(lost)


if __name__ == "__main__":
    main()
