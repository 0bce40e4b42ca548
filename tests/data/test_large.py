"""A table of a million rows: what it takes in memory, beside its numbers in float64, in which it is read."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROWS, COLUMNS = 1_000_000, 50
RUN = """
import resource, sys
from nnexp import run

words = ["dataset=csv", "dtype=float32", "dataset.dtype=float32", "trainer.epochs=1", "trainer.batch_size=256"]
words += ["architecture.hidden=[32]", "architecture.activation=relu", "tracking=none", "figures=false", "verbose=false"]
run([*words, f"dataset.path={sys.argv[1]}"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(table: Path) -> int:
    """Return the most memory, in kB, of a process that trains on a table."""
    command = [sys.executable, "-c", RUN, str(table)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=table.parent)
    return int(result.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_million_rows_train_in_two_and_a_half_times_their_size(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    small, large = tmp_path / "small.csv", tmp_path / "large.csv"
    with large.open("w") as file:
        file.write(",".join([*(f"x{column}" for column in range(COLUMNS)), "y"]) + "\n")
        for _ in range(ROWS // 10_000):
            x = generator.standard_normal((10_000, COLUMNS))
            np.savetxt(file, np.column_stack([x, x[:, 0] > 0]), fmt=["%.5g"] * COLUMNS + ["%d"], delimiter=",")
    with large.open() as file:
        small.write_text("".join(next(file) for _ in range(1001)))
    assert (peak(large) - peak(small)) * 1024 < 2.5 * ROWS * COLUMNS * 8
