"""The benchmark runs, and all of its contenders do the same work."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.programs.benchmarks import plain
from tests.programs.benchmarks.__main__ import main
from tests.programs.benchmarks.page import BY_HAND, Measured
from tests.programs.benchmarks.work import WORKS

LENGTHS = {"A": 30, "B": 2, "C": 1, "E": 1}
LIBRARIES = {"ours": "nnexp", "eager": "torch", "compiled": "jax"}


@pytest.mark.parametrize("name", LIBRARIES)
def test_contenders_do_the_same_work(name: str) -> None:
    """Each in a process of its own, for JAX starts threads, which the processes of other tests must not have."""
    if find_spec(LIBRARIES[name]) is None:
        pytest.skip(f"{LIBRARIES[name]} is not installed")
    code = (
        f"from tests.programs.benchmarks.{name} import alone\n"
        "from tests.programs.benchmarks.work import WORKS\n"
        f"for letter, epochs in {LENGTHS}.items():\n"
        "    work = WORKS[letter].lasting(epochs).in_order()\n"
        "    print(alone(work, work.setting)())\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    works = [WORKS[letter].lasting(epochs).in_order() for letter, epochs in LENGTHS.items()]
    expected = [plain.alone(work, work.setting)() for work in works]
    assert [float(line) for line in result.stdout.split()] == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_the_page_is_made_and_what_was_written_by_hand_stays(tmp_path: Path) -> None:
    main(["--works", "C", "--rounds", "1", "--parts", "alone", "--to", str(tmp_path)])
    page = tmp_path / "benchmarks.md"
    assert "| C | " in page.read_text()
    assert (tmp_path / "pictures" / "benchmark_ratios.png").exists()
    page.write_text(page.read_text() + "\nA word of mine.\n")
    Measured("again").write(tmp_path)
    assert "Made by `again`" in page.read_text()
    assert page.read_text().endswith(f"{BY_HAND}\n\nA word of mine.\n")


@pytest.mark.slow
def test_all_parts(tmp_path: Path) -> None:
    main(["--works", "C", "--rounds", "1", "--sizes", "2", "--to", str(tmp_path)])
    text = (tmp_path / "benchmarks.md").read_text()
    for title in ("One run", "A sweep, per run", "The first call", "A sweep as a whole", "The default run", "Growth"):
        assert f"## {title}" in text
    assert (tmp_path / "pictures" / "benchmark_growth.png").exists()
