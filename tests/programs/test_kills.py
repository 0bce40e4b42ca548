from pathlib import Path

import pytest

from tests.programs.kills.runs import killed_run
from tests.programs.kills.sweeps import WAYS, killed_sweep


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
