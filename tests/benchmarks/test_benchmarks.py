"""The benchmark runs, and all of its contenders do the same work."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from tests.benchmarks.__main__ import main
from tests.benchmarks.page import BY_HAND
from tests.benchmarks.work import A, B, C, E, Work


def in_order(work: Work) -> Work:
    """Return a work whose examples are seen in their order, by whoever trains it."""
    return replace(work, base=replace(work.base, trainer=replace(work.base.trainer, sampling="order")))


@pytest.mark.parametrize("name", ["ours", "eager", "compiled"])
@pytest.mark.parametrize("work", [A.lasting(30), B.lasting(2), C.lasting(1), E.lasting(1)], ids=lambda work: work.name)
def test_contenders_do_the_same_work(work: Work, name: str) -> None:
    pytest.importorskip({"ours": "numpy", "eager": "torch", "compiled": "jax"}[name])
    expected = import_module("tests.benchmarks.plain").alone(in_order(work), work.setting)()
    got = import_module(f"tests.benchmarks.{name}").alone(in_order(work), work.setting)()
    assert got == pytest.approx(expected, rel=1e-6)


def test_the_page_is_made_and_what_was_written_by_hand_stays(tmp_path: Path) -> None:
    words = ["--works", "C", "--rounds", "1", "--parts", "alone", "--to", str(tmp_path)]
    page = tmp_path / "benchmarks.md"
    main(words)
    page.write_text(page.read_text() + "\nA word of mine.\n")
    main(words)
    assert "| C | " in page.read_text()
    assert page.read_text().endswith(f"{BY_HAND}\n\nA word of mine.\n")
    assert (tmp_path / "pictures" / "benchmark_ratios.png").exists()


@pytest.mark.slow
def test_all_parts(tmp_path: Path) -> None:
    main(["--works", "C", "--rounds", "1", "--sizes", "2", "--to", str(tmp_path)])
    text = (tmp_path / "benchmarks.md").read_text()
    for title in ("One run", "A sweep, per run", "The first call", "A sweep as a whole", "The default run", "Growth"):
        assert f"## {title}" in text
    assert (tmp_path / "pictures" / "benchmark_growth.png").exists()
