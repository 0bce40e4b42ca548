"""A sweep on Debian's Slurm on this one machine, as the guide says; a job that is cancelled loses no run."""

import csv
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.conftest import CommandLine

pytestmark = pytest.mark.slow
CONFIG = """ClusterName=one
SlurmctldHost={host}
SlurmUser=root
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
NodeName={host} CPUs={cores} RealMemory=4000
PartitionName=all Nodes=ALL Default=YES
"""
CLUSTER = """
import sys
from dask_jobqueue import SLURMCluster

with SLURMCluster(cores=1, processes=1, memory="1GB", walltime="00:05:00", python=sys.executable) as cluster:
    cluster.scale(2)
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
"""
SWEEP = ["optimizer.learning_rate=logspace(0.01,1,48)", "sweep.repeats=8", "sweep.confirm=0", "tracking=none"]


@contextmanager
def running(words: Sequence[str], folder: Path) -> Iterator[None]:
    """Run a server in the background."""
    with (
        (folder / f"{Path(words[0]).name}.log").open("wb") as log,
        subprocess.Popen([*words], stdout=log, stderr=log, env=os.environ) as process,
    ):
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, for a minute at most."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


def said(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start Slurm with two jobs at a time: `apt install slurmctld slurmd slurm-client munge`."""
    pytest.importorskip("dask_jobqueue")
    programs = {
        name: shutil.which(name, path="/usr/sbin:/usr/bin") for name in ("munged", "slurmctld", "slurmd", "sinfo")
    }
    if os.geteuid() != 0 or None in programs.values():
        pytest.skip("needs Slurm and root")
    folder = tmp_path / "slurm"
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    (folder / "munge.key").write_bytes(secrets.token_bytes(128))
    (folder / "munge.key").chmod(0o600)
    host = os.uname().nodename.partition(".")[0]
    (folder / "slurm.conf").write_text(CONFIG.format(folder=folder, host=host, cores=os.cpu_count()))
    monkeypatch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
    files = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munge.pid", "seed-file": "munge.seed"}
    munge = [f"--{name}={folder / file}" for name, file in files.items()]
    with ExitStack() as stack:
        for words in (
            [programs["munged"], "--foreground", "--force", *munge],
            [programs["slurmctld"], "-D"],
            [programs["slurmd"], "-D"],
        ):
            stack.enter_context(running([str(word) for word in words], folder))
            until((folder / "munge.socket").exists)
        until(lambda: "idle" in said("sinfo", "-h", "-o", "%t"))
        yield


def rows_in(folder: Path) -> list[dict[str, str]]:
    (file,) = folder.glob("sweeps/*/runs.csv")
    with file.open(newline="") as lines:
        rows = [*csv.DictReader(lines)]
    return [{key: row[key] for key in row if key not in ("seconds", "folder", "command")} for row in rows]


@pytest.mark.usefixtures("slurm")
def test_a_sweep_on_slurm_is_that_of_this_machine_and_outlives_a_job(nnexp: CommandLine) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=nnexp.folder
    ) as cluster:
        assert cluster.stdout is not None
        address = cluster.stdout.readline().strip()
        until(lambda: said("squeue", "-h", "-o", "%T").split() == ["RUNNING"] * 2)
        words = ["-m", *SWEEP, "output_dir=far", "hydra.launcher.backend=dask", f"hydra.launcher.address={address}"]
        with subprocess.Popen(
            [sys.executable, "-m", "nnexp", *words],
            cwd=nnexp.folder,
            env=nnexp.environment(),
            stdout=subprocess.DEVNULL,
        ) as sweep:
            until(lambda: any(nnexp.folder.glob("far/sweeps/*/runs/*/result.json")))
            said("scancel", said("squeue", "-h", "-o", "%i").split()[0])
            assert sweep.wait(200) == 0
        cluster.communicate("")
    near = nnexp("-m", *SWEEP, "output_dir=near")
    assert near.returncode == 0
    assert rows_in(nnexp.folder / "far") == rows_in(nnexp.folder / "near")
