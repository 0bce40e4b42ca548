"""Runs and sweeps that are killed come out as if nothing had been; what kills every worker is given up, and alone."""

import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import CommandLine
from tests.programs.kills.runs import killed_run
from tests.programs.kills.sweeps import WAYS, killed_sweep, killed_table

DEADLY = """
import os
import signal
from dataclasses import dataclass

import numpy as np

from nnexp.__main__ import main
from nnexp.optim.optimizers import SGD


@dataclass(frozen=True)
class Deadly(SGD):
    def update(self, gradient, state, step):
        if np.any(np.asarray(self.learning_rate) == 0.5):
            os.kill(os.getpid(), signal.SIGKILL)
        return gradient


main()
"""


@pytest.mark.slow
def test_a_run_that_always_kills_its_worker_is_given_up_and_that_alone(nnexp: CommandLine) -> None:
    (nnexp.folder / "script.py").write_text(DEADLY)
    rates = "optimizer.learning_rate=0.1,0.2,0.3,0.5"
    options = ("optimizer._target_=__main__.Deadly", "trainer.epochs=5", "hydra.launcher.jobs=2", "verbose=false")
    result = subprocess.run(
        [sys.executable, "script.py", "-m", rates, *options],
        cwd=nnexp.folder,
        env=nnexp.environment(NNEXP_PACKAGES="__main__"),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 1, result.stderr
    # Twice with its stack, of which another one is the last time, and twice alone.
    assert result.stderr.splitlines() == ["nnexp: a worker died (SIGKILL): its stack is trained again"] * 4
    assert "learning_rate=0.5: the worker died: SIGKILL" in result.stdout
    with closing(sqlite3.connect(nnexp.folder / "outputs" / "mlflow.db")) as database:
        runs = Counter(database.execute("SELECT name, status FROM runs"))
    ended = {(f"learning_rate={rate}", "FINISHED") for rate in ("0.1", "0.2", "0.3")}
    assert runs == Counter({*ended, ("learning_rate=0.5", "FAILED"), ("learning_rate (4 runs)", "FINISHED")})


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1004))
def test_a_run_that_is_killed_again_and_again_comes_out_the_same(seed: int, tmp_path: Path) -> None:
    killed = killed_run(seed, tmp_path)
    assert killed.complaints == []
    assert killed.kills


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1000 + len(WAYS)))
def test_a_sweep_that_is_killed_comes_out_the_same(seed: int, tmp_path: Path) -> None:
    killed = killed_sweep(seed, tmp_path)
    assert killed.complaints == []
    assert killed.kills


@pytest.mark.slow
def test_a_table_that_is_killed_again_and_again_comes_out_the_same(tmp_path: Path) -> None:
    killed = killed_table(side=40, kills=4, seed=1000, scratch=tmp_path)
    assert killed.complaints == []
    assert killed.kills.total() == 4
