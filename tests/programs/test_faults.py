"""Faults that happen for real: nothing is lost, and nobody sees a traceback."""

import os

import pytest

from tests.programs.faults import FAULTS, SMALL_DISK, inject

ALMOST_TWO_SECONDS = 5.0
"""Two seconds, on a machine that has other things to do."""


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_lost(fault: str) -> None:
    if FAULTS[fault][0] == SMALL_DISK and os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    scene = inject(fault)
    assert scene.complaints == []
    assert not [line for line in scene.said if not line.startswith(("nnexp: ", "Not recorded: ", "To ", "Delivered "))]
    assert all(seconds < ALMOST_TWO_SECONDS for seconds in scene.seconds.values())
