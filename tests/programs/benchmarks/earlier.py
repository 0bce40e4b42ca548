"""Whole processes of an earlier commit beside those of today: how long they take, and the memory of the largest one."""

import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from tests.programs.benchmarks.growth import largest
from tests.programs.benchmarks.whole import SWEEPS

ROOT = Path(__file__).parents[3]
COMMANDS = {
    "the default run": [],
    "the sweep of A, with MLflow": ["-m", *SWEEPS["A"]],
    "`experiment=sine`": ["experiment=sine"],
    "`-m experiment=heart`": ["-m", "experiment=heart"],
}


@dataclass
class Taken:
    """The seconds of all rounds, and the most megabytes of any."""

    seconds: list[float] = field(default_factory=list)
    megabytes: float = 0.0


def unpacked(commit: str, folder: Path) -> bool:
    """Unpack a commit into a folder, and return whether there is such a commit here."""
    git = shutil.which("git") or "git"
    result = subprocess.run([git, "archive", commit], cwd=ROOT, capture_output=True, check=False)
    if result.returncode == 0:
        with tarfile.open(fileobj=BytesIO(result.stdout)) as archive:
            archive.extractall(folder, filter="data")
    return result.returncode == 0


def compared(command: Sequence[str], earlier: Path, folder: Path, rounds: int) -> tuple[Taken, Taken]:
    """Return what a command takes today, and what it took by the files of an earlier commit, in turn."""
    both = Taken(), Taken()
    for number in range(rounds + 1):  # the first one makes the databases
        for taken, root in zip(both, (ROOT, earlier), strict=True):
            output = folder / ("today" if root == ROOT else "earlier")
            words = [sys.executable, "-m", "nnexp", *command, f"output_dir={output}"]
            if command[:1] == ["-m"]:
                words.append("sweep.reuse=false")
            begin = time.perf_counter()
            environment = {**os.environ, "PYTHONPATH": str(root)}
            # Elsewhere, for Python would find the code of the folder it is called in before any other.
            process = subprocess.Popen(words, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - begin
            if status:
                sys.exit(f"{words} ended with {status}")
            if number:
                taken.seconds.append(seconds)
                taken.megabytes = max(taken.megabytes, largest(usage))
    return both
