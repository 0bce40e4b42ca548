"""The benchmark runs, and all of its contenders do the same work."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.programs.benchmarks import plain
from tests.programs.benchmarks.__main__ import main
from tests.programs.benchmarks.beginning import NONE, Line
from tests.programs.benchmarks.earlier import Taken
from tests.programs.benchmarks.measure import OURS, WARM, Timing
from tests.programs.benchmarks.page import BY_HAND, Measured
from tests.programs.benchmarks.spent import CALLS, EVALUATION, HARD, OTHER, PRODUCTS, REST, WHOLE
from tests.programs.benchmarks.work import WORKS, drawn, named

LENGTHS = {"A": 30, "B": 2, "C": 1, "E": 1}
WAYS = {
    "nnexp": "from tests.programs.benchmarks.ours import alone; ways = [alone]",
    "jax": "from tests.programs.benchmarks.compiled import alone; ways = [alone]",
    "torch": """
from dataclasses import replace
from tests.programs.benchmarks import batched, eager
def two(work, setting):
    return batched.sweep(replace(work, settings=(setting, setting)), 1)
def two_in_pure_steps(work, setting):
    return batched.sweep(replace(work, settings=(setting, setting)), 1, lambda function: function)
ways = [eager.alone, two, two_in_pure_steps]
""",
}
"""How every library trains a run; PyTorch's compiler takes 10 seconds, and is left out."""


@pytest.mark.parametrize("library", WAYS)
def test_contenders_do_the_same_work(library: str) -> None:
    """Each in a process of its own, for JAX starts threads, which the processes of other tests must not have."""
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    code = f"""{WAYS[library]}
from tests.programs.benchmarks.work import WORKS
for alone in ways:
    for letter, epochs in {LENGTHS}.items():
        work = WORKS[letter].lasting(epochs).in_order()
        print(alone(work, work.setting)())
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = np.reshape([float(line) for line in result.stdout.split()], (-1, len(LENGTHS)))
    works = [WORKS[letter].lasting(epochs).in_order() for letter, epochs in LENGTHS.items()]
    expected = [plain.alone(work, work.setting)() for work in works]
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), rtol=1e-6)


def test_a_seed_draws_other_works_and_always_the_same() -> None:
    titles = {named(f"{seed}-{number}").title for seed in range(5) for number in (1, 2, 3)}
    assert len(titles) == 15
    assert named("3-1") == drawn(3, 1)
    work = named("3-2").lasting(1)
    assert np.isfinite(plain.alone(work, work.setting)())


def test_the_page_has_all_parts_and_keeps_what_was_written_by_hand(tmp_path: Path) -> None:
    timings = {name: Timing(1.0, [0.1, 0.2], 0.5) for name in (OURS, WARM, "eager")}
    today, then = Taken([1.0, 1.1], 300.0), Taken([2.0, 2.2], 310.0)
    taken = dict.fromkeys((PRODUCTS, HARD, OTHER, EVALUATION, REST), 2e-6) | {WHOLE: 1e-5, CALLS: 36}
    measured = Measured("once", alone={"A": timings, "1-1": timings}, against="3f60379")
    measured.earlier["the default run"] = today, then
    measured.beginning["A"] = {NONE: Line(0.01, 1e-4), "compiled": Line(0.11, 5e-5)}
    measured.spent["A alone"] = [taken, taken]
    measured.write(tmp_path)
    page = tmp_path / "benchmarks.md"
    text = page.read_text()
    assert "Of 2 goals 1 are reached." in text
    assert "| the default run | 1.1 s | 2.1 s | **0.50** (≤ 0.65) <sub>0.5 to 0.5</sub> | 300 MB | 310 MB |" in text
    assert "| A | compiled | 110 ms | 50 µs | 2,000 |" in text
    assert "| A alone | 36 calls | 10 µs | 20% | 20% | 20% | 20% | 20% |" in text
    assert (tmp_path / "pictures" / "benchmark_ratios.png").exists()
    page.write_text(text + "\nA word of mine.\n")
    again = Measured("again", default_run={"whole": [3.0], "training": [0.5], "drawing": [1.0]})
    again.write(tmp_path)
    both = page.read_text()
    assert "3.0 s, of which training 0.5 s, drawing 1.0 s, and 1.5 s for all the rest" in both
    assert "Made by `once`" in both
    assert "Again, in part, by `again`" in both
    assert both.count("\n## ") == text.count("\n## ") + 1
    for section in text.partition(BY_HAND)[0].split("\n## ")[1:]:
        assert section.strip() in both
    assert both.endswith(f"{BY_HAND}\n\nA word of mine.\n")
    again.write(tmp_path)
    assert page.read_text() == both
    measured.write(tmp_path)
    assert "Again" in page.read_text()


@pytest.mark.slow
def test_all_parts(tmp_path: Path) -> None:
    main(["--works", "C", "--rounds", "1", "--sizes", "2", "--to", str(tmp_path)])
    text = (tmp_path / "benchmarks.md").read_text()
    titles = "One run", "A sweep, per run", "The first call", "A sweep as a whole", "The default run", "Growth"
    for title in (*titles, "Beside an earlier commit", "From how many steps on", "What the time"):
        assert f"## {title}" in text
    assert (tmp_path / "pictures" / "benchmark_growth.png").exists()
