"""The bar of a sweep, on a real terminal."""

import re

import pytest

from tests.conftest import CommandLine

SWEEP = (
    "-m",
    "optimizer.learning_rate=0.1,1",
    "architecture.hidden=[8],[200,200]",
    "trainer.epochs=30",
    "seed=range(4)",
)
QUIET = ("tracking=none", "sweep.confirm=0", "hydra.launcher.jobs=1", "hydra.launcher.stack_megabytes=1")


@pytest.mark.parametrize(("columns", "whose"), [(60, ""), (140, r" \S+=.*")])
def test_the_bar_has_its_counter_and_the_best_so_far(nnexp: CommandLine, columns: int, whose: str) -> None:
    shown = nnexp.on_terminal(*SWEEP, *QUIET, columns=columns)
    bars = [line for line in re.split(r"\x1b\[2K|\r|\n", shown) if " runs " in line]
    plain = [re.sub(r"\x1b\[[?\d;]*\w", "", bar).rstrip() for bar in bars]
    assert plain
    assert all(re.match(r" ?\d+/16 runs ", bar) for bar in plain)
    assert max(map(len, plain)) <= columns
    assert re.fullmatch(rf"16/16 runs .* left best 0\.\d{{4}} test/loss{whose}", plain[-1])
