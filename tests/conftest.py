"""What many tests need: small data sets, and the command line as a real process."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from nnexp.data.dataset import Data, Part, Scaling
from nnexp.data.task import Task

Finished = subprocess.CompletedProcess[str]


def make_data(examples: int, features: int, classes: int, seed: int = 0) -> Data:
    """Return random data whose first examples show every class."""
    generator = np.random.default_rng(seed)

    def part(count: int) -> Part:
        labels = np.concatenate([np.arange(classes), generator.integers(classes, size=count)])[:count]
        return Part(generator.standard_normal((count, features)), labels)

    task = Task(tuple(str(number) for number in range(classes)))
    scaling = Scaling(np.zeros(features), np.ones(features))
    return Data("random", task, part(examples), part(max(2, examples // 2)), scaling)


@dataclass(frozen=True)
class CommandLine:
    """Runs `python -m nnexp` in a folder of its own."""

    folder: Path

    def __call__(self, *arguments: str, **variables: str) -> Finished:
        """Run to the end and return status and output."""
        return subprocess.run(
            [sys.executable, "-m", "nnexp", *arguments],
            cwd=self.folder,
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start and return the process."""
        return subprocess.Popen(
            [sys.executable, "-m", "nnexp", *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def environment(self, **variables: str) -> dict[str, str]:
        """Return the environment of a user without a tracking server."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
        return {**inherited, "PYTHONUNBUFFERED": "1", **variables}


@pytest.fixture
def nnexp(tmp_path: Path) -> CommandLine:
    """Return the command line, working in an empty folder."""
    return CommandLine(tmp_path)


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Work in an empty folder, without a tracking server in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return lambda: tmp_path
