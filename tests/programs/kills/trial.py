"""A command that is given undisturbed and then killed, and what is not as it should be in the end."""

import shutil
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from tests.conftest import CommandLine
from tests.programs.points.contents import LEARNED, SHOWN, Contents, contents, differences, digest
from tests.programs.points.process import Ended

MEMORY = Path("/dev/shm")  # noqa: S108 - to look at it
TIMEOUT = 900
"""Seconds after which a command hangs."""
SECONDS_TO_DIE = 2.0
"""How long a process may live on without the one that started it."""
DELIVER = ("deliver", "outputs")
NAME = "TMPDIR"
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class OwnTemporaries(CommandLine):
    """The command line with a folder of its own for temporary files, by which its processes can be told from others."""

    temporary: Path

    def environment(self, **variables: str) -> dict[str, str]:
        """Return the environment of a user without a tracking server."""
        return super().environment(**variables, **{NAME: str(self.temporary)})

    def processes(self) -> list[psutil.Process]:
        """Return the processes that are alive."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(NAME) == str(self.temporary) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found


class Trial:
    """A folder in which a command is given again and again, at the same path, since a database has it.

    Raises RuntimeError if the undisturbed command fails.

    Args:
        folder: An empty folder.
        words: The command.

    Attributes:
        work: The folder in which it is given.
        seconds: How long the undisturbed command takes.
        complaints: What was not as it should be.
    """

    def __init__(self, folder: Path, words: Sequence[str]) -> None:
        self.words, self.work, self._notes = words, folder / "work", folder / "notes"
        for path in (self.work, self._notes, folder / "temporary"):
            path.mkdir()
        self.command = OwnTemporaries(self.work, folder / "temporary")
        self.complaints: list[str] = []
        self._memory: set[Path] = set()
        self._began, began = time.time(), time.monotonic()
        ended = self.call(words)
        self.seconds = time.monotonic() - began
        if ended.status != 0:
            raise RuntimeError(f"status {ended.status}: {ended.errors}")
        self._expected, self._recorded = without_checkpoints(contents(self.work)), recorded(self.work)
        shutil.rmtree(self.work)
        self.work.mkdir()

    @contextmanager
    def started(self, words: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
        """Start a command, and wait for its end after the block."""
        with (self._notes / "out").open("w") as out, (self._notes / "errors").open("w") as errors:
            process = self.command.start(*words, output=out, errors=errors)
            try:
                yield process
                with suppress(subprocess.TimeoutExpired):
                    process.wait(TIMEOUT)
            finally:
                process.kill()
                process.wait()

    def ended(self, process: subprocess.Popen[str]) -> Ended:
        """Return how the last command ended; what no user should see is a complaint."""
        out, errors = ((self._notes / name).read_text(encoding="utf-8", errors="replace") for name in ("out", "errors"))
        if [line for line in errors.splitlines() if line.strip() and not line.startswith("nnexp: ")]:
            self.complaints.append(f"says: {errors.strip()}")
        return Ended(process.returncode, out, errors)

    def call(self, words: Sequence[str]) -> Ended:
        """Give a command to its end."""
        with self.started(words) as process:
            pass
        return self.ended(process)

    def note_memory(self) -> None:
        """Remember which files in memory the living processes have."""
        for process in self.command.processes():
            with suppress(psutil.Error):
                opened = {Path(file.path) for file in process.open_files() if file.path.startswith(f"{MEMORY}/")}
                named = {path for path in MEMORY.glob(f"*-{process.pid}-*") if path.stat().st_mtime > self._began}
                self._memory |= opened | named

    def wait_for_deaths(self) -> None:
        """Wait until no process is alive; it is a complaint if one lives too long."""
        end = time.monotonic() + SECONDS_TO_DIE
        while left := self.command.processes():
            if time.monotonic() > end:
                self.complaints.append(f"alive: {[' '.join(one.cmdline()) for one in left if one.is_running()]}")
                break
            time.sleep(0.05)
        for process in left:
            process.kill()

    def deliver(self) -> None:
        """Deliver what is left."""
        ended = self.call(DELIVER)
        if ended.status != 0:
            self.complaints.append(f"deliver: status {ended.status}: {ended.out}")

    def compare(self) -> None:
        """Compare what there is with what the undisturbed command made."""
        found = without_checkpoints(contents(self.work))
        self.complaints += differences(self._expected, found)
        try:
            there = recorded(self.work)
        except sqlite3.Error as error:  # it is not there, or not whole
            self.complaints.append(f"MLflow: {error}")
            return
        for what, found_there in there.items():
            expected = self._recorded[what]
            some = [*(expected - found_there), *(found_there - expected)][:SHOWN]
            self.complaints += [f"MLflow: {what} differ: {some}"] if some else []
        self.complaints += [f"left: {path.name}" for path in self.command.temporary.iterdir()]
        self.complaints += [f"left: {path}" for path in sorted(self._memory) if path.exists()]


def recorded(work: Path) -> dict[str, Counter[object]]:
    """Return what MLflow has, without times and IDs; of the numbers of a sweep, which are written again, the latest."""
    with closing(sqlite3.connect(work / "outputs" / "mlflow.db")) as database:

        def rows(sql: str) -> Counter[object]:
            return Counter(database.execute(sql).fetchall())

        active = database.execute("SELECT artifact_uri FROM runs WHERE lifecycle_stage = 'active'").fetchall()
        folders = [Path(uri.removeprefix("file://")) for (uri,) in active]  # a run that was deleted leaves its files
        files = [path for folder in folders for path in folder.rglob("*") if LEARNED.fullmatch(path.name)]
        return {
            "statuses": rows("SELECT name, status FROM runs WHERE lifecycle_stage = 'active'"),
            "metrics": rows(
                "SELECT name, key, step, value FROM latest_metrics JOIN runs USING (run_uuid)"
                " UNION SELECT name, key, step, value FROM metrics JOIN runs USING (run_uuid)"
                " WHERE run_uuid NOT IN (SELECT value FROM tags WHERE key = 'mlflow.parentRunId')"
            ),
            "parents": rows(
                "SELECT child.name, parent.name, parent.run_uuid = (SELECT max(value) FROM tags WHERE key = tag.key)"
                " FROM runs AS child JOIN tags AS tag USING (run_uuid)"
                " JOIN runs AS parent ON parent.run_uuid = tag.value"
                " WHERE tag.key = 'mlflow.parentRunId' AND child.lifecycle_stage = 'active'"
            ),
            "artifacts": Counter(map(digest, files)),
        }


def without_checkpoints(found: Contents) -> Contents:
    """Return contents without checkpoints, which an interrupted run has where an undisturbed one need not have any."""
    files = Counter({name: times for name, times in found.files.items() if CHECKPOINTS not in name.split("/")})
    runs = {
        name: [
            replace(run, files=frozenset(path for path in run.files if CHECKPOINTS not in path.split("/")))
            for run in same
        ]
        for name, same in found.runs.items()
    }
    return replace(found, files=files, runs=runs)
