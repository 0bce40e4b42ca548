"""Eight sweeps at once into one new store: `python -m tests.programs.stores` prints what came of each kind of store.

The stores are the default SQLite database, a tracking server, and PostgreSQL where it is installed with psycopg2.
"""

import argparse
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from nnexp.tracking.mlflow_store import open_store
from tests.conftest import CommandLine
from tests.programs.faults import Scene, all_runs
from tests.tracking.server import free_port, serving

OPTIMIZERS = ("sgd", "momentum", "adam", "nadam", "radam", "rmsprop", "lion", "adagrad")
"""That of each sweep."""
SEEDS = ("0", "1", "2")
"""Those of each sweep, of which every one is a run."""
SMALL = ("trainer.epochs=20", "architecture.hidden=[4]", "figures=false", "hydra.launcher.jobs=1")


class MissingError(Exception):
    """What a store needs is not installed; the message says what."""


@dataclass
class Crowd(Scene):
    """Where several sweeps are recorded at once.

    Attributes:
        address: The address of the store; that of the output folder if it is empty.
        found: What is in the store.
    """

    address: str = ""
    found: str = ""

    @property
    def uri(self) -> str:
        """Return the store."""
        return self.address or super().uri

    def where(self) -> tuple[str, ...]:
        """Return the override that names the store."""
        return (f"tracking.uri={self.address}",) if self.address else ()

    def sweep(self) -> None:
        """Start all sweeps, wait for their ends, and keep what is wrong."""
        seeds = f"seed={','.join(SEEDS)}"
        sweeps = {
            name: self.command_line.start("-m", seeds, f"optimizer={name}", *SMALL, *self.where())
            for name in OPTIMIZERS
        }
        for name, process in sweeps.items():
            out, errors = process.communicate(timeout=500)
            self.keep(errors)
            if process.returncode:
                self.complaints.append(f"{name} ended with status {process.returncode}")
            if "Traceback" in out + errors:
                self.complaints.append(f"{name} shows a traceback")
        self.complaints += [*self.lost(), *self.misplaced()]

    def misplaced(self) -> list[str]:
        """Return the runs that are not below the one parent of their sweep, or without their params and files."""
        client, complaints = open_store(self.uri), list[str]()
        runs = {run.info.run_id: run for run in all_runs(client)}
        parents = {key for key, run in runs.items() if "sweep_key" in run.data.tags}
        children = {key: run for key, run in runs.items() if key not in parents}
        if len(parents) != len(OPTIMIZERS) or len(children) != len(OPTIMIZERS) * len(SEEDS):
            complaints.append(f"{len(parents)} sweeps of {len(OPTIMIZERS)} with {len(children)} runs")
        families: dict[tuple[str | None, str], list[str]] = {}
        for run in children.values():
            params = run.data.params
            families.setdefault((run.data.tags.get("mlflow.parentRunId"), params["optimizer"]), []).append(
                params["seed"]
            )
        if {parent for parent, _ in families} != parents or any(sorted(one) != [*SEEDS] for one in families.values()):
            complaints.append(f"sweeps with the seeds {list(families.values())}")
        files = 0
        for key, run in children.items():
            for folder in self.outputs.glob(f"**/*{run.data.tags['config_hash']}"):
                for name in ("config.yaml", "result.json", "parameters.npz"):
                    with tempfile.TemporaryDirectory() as copies:
                        copy = Path(client.download_artifacts(key, name, copies))
                        files += copy.read_bytes() == (folder / name).read_bytes()
        if files != 3 * len(children):
            complaints.append(f"{files} files of {3 * len(children)} are the same")
        values = sum(len(run.data.metrics) for run in children.values())
        self.found = f"{len(parents)} sweeps, {len(children)} runs, {values} metrics, {files} files"
        return complaints


@contextmanager
def sqlite(folder: Path) -> Iterator[str]:
    """Yield nothing: the default store is in the output folder."""
    assert folder.is_dir()
    yield ""


@contextmanager
def tracking_server(folder: Path) -> Iterator[str]:
    """Yield the address of a tracking server."""
    with serving(folder) as server:
        yield server.address


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """Yield the address of an empty database of a PostgreSQL server.

    Raises MissingError if PostgreSQL or its driver is not installed.
    """
    assert folder.is_dir()
    installed = map(str, Path("/usr/lib/postgresql").glob("*/bin"))
    control = shutil.which("pg_ctl", path=os.pathsep.join([os.environ["PATH"], *installed]))
    driver = next((name for name in ("psycopg2", "psycopg") if find_spec(name) is not None), None)
    if control is None or driver is None:
        raise MissingError("PostgreSQL's pg_ctl" if control is None else "psycopg2")
    user = []
    if os.geteuid() == 0:  # it refuses to run as root
        if "postgres" not in {one.pw_name for one in pwd.getpwall()}:
            raise MissingError("a user postgres, as we are root")
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    with tempfile.TemporaryDirectory() as name:
        if user:
            shutil.chown(name, "postgres", "postgres")
        port = free_port()

        def call(*words: str) -> None:
            subprocess.run(
                [*user, control, "-D", f"{name}/data", *words], cwd=name, check=True, stdout=subprocess.DEVNULL
            )

        call("init", "-o", "--auth=trust --username=tester --no-sync --encoding=UTF8")
        options = f"-p {port} -k {name} -c listen_addresses=127.0.0.1 -c fsync=off"
        call("start", "--wait", "--log", f"{name}/log", "-o", options)
        try:
            yield f"postgresql+{driver}://tester@127.0.0.1:{port}/postgres"
        finally:
            call("stop", "--mode", "immediate")


STORES: dict[str, Callable[[Path], AbstractContextManager[str]]] = {
    "SQLite": sqlite,
    "server": tracking_server,
    "PostgreSQL": postgresql,
}


def crowded(name: str) -> Crowd:
    """Let all sweeps be recorded in a new store of a kind at once, and return what came of it.

    Raises MissingError if what it needs is not installed.
    """
    with tempfile.TemporaryDirectory() as scratch, STORES[name](Path(scratch)) as address:
        crowd = Crowd(CommandLine(Path(scratch)), address=address)
        begun = time.monotonic()
        crowd.sweep()
        crowd.seconds["together"] = time.monotonic() - begun
    return crowd


def main() -> None:
    """Try the stores named on the command line, or all; print a line for each, and fail if something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.programs.stores", description=crowded.__doc__)
    parser.add_argument("names", metavar="STORE", nargs="*", help=", ".join(STORES))
    wrong = False
    for name in parser.parse_args().names or STORES:
        try:
            crowd = crowded(name)
        except MissingError as error:
            print(f"{name}: skipped, it needs {error}", flush=True)  # noqa: T201
            continue
        wrong = wrong or bool(crowd.complaints)
        print(  # noqa: T201
            f"{name}: {crowd.found} in {crowd.seconds['together']:.0f} s, {len(crowd.complaints)} wrong",
            *crowd.complaints,
            *crowd.said,
            sep="\n    ",
            flush=True,
        )
    if wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()
