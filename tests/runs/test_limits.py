"""Runs that would need more than there is are refused, with the estimate, before anything is written."""

import shutil
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from nnexp.runs.limits import amount, existing
from tests.conftest import Finished

UNIFORM = ("architecture=uniform", "initializer=he_normal")
TOO_MUCH: list[tuple[tuple[str, ...], str]] = [
    ((*UNIFORM, "architecture.width=10000000"), "architecture, trainer.batch_size: must need at most the"),
    ((*UNIFORM, "architecture.width=10000000000"), "architecture, trainer.batch_size: must need at most the"),
    ((*UNIFORM, "architecture.depth=1000000000"), "architecture.depth=1000000000: must be a whole number"),
    (("architecture.hidden=[1000000000,1000000000]",), "architecture, trainer.batch_size: must need at most the"),
    (("trainer.epochs=1000000000000",), "trainer.epochs=1000000000000: must need at most the"),
    (("trainer.iterations=1000000000000",), "trainer.iterations=1000000000000: must need at most the"),
    ((f"trainer.iterations=1{'0' * 400}",), "trainer.iterations=1"),
    (("dataset=spiral", "dataset.points=100000000000000"), "dataset.points="),
]


@pytest.mark.parametrize(("overrides", "expected"), TOO_MUCH, ids=lambda value: " ".join(value)[-40:])
def test_too_much_is_one_line(
    typed: Callable[..., Finished], tmp_path: Path, overrides: tuple[str, ...], expected: str
) -> None:
    for words in (overrides, ("-m", *overrides, "seed=0,1")):
        result = typed(*words)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith(f"nnexp: {expected}")
        assert len(result.stderr.splitlines()) == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file()], "nothing is written"


def test_the_disk(typed: Callable[..., Finished], tmp_path: Path) -> None:
    """The snapshots of a network that fits into memory, more of them than the disk can hold."""
    width = 3000
    free, parameters = shutil.disk_usage(tmp_path).free, width * width + 66 * width + 1
    snapshots = int(1.1 * free / (2 * 8 * parameters))
    assert 6 * 8 * parameters < psutil.virtual_memory().available
    result = typed(
        *UNIFORM, f"architecture.width={width}", f"trainer.snapshots={[*range(1, snapshots + 1)]}".replace(" ", "")
    )
    assert result.returncode == 2
    assert result.stderr.startswith("nnexp: output_dir=outputs: must have room for")


def test_amounts() -> None:
    assert [amount(count) for count in (0, 999, 1000, 24_300_000_000, 123e12, 8e30)] == [
        "0 bytes",
        "999 bytes",
        "1 kB",
        "24 GB",
        "123 TB",
        "8,000,000,000,000 EB",
    ]


def test_the_nearest_folder_that_exists(tmp_path: Path) -> None:
    assert existing(tmp_path / "a" / "b") == tmp_path
