import pytest

from tests.programs.soak import soaked


@pytest.mark.slow
def test_many_runs_in_a_row_leave_a_sound_store_and_hold_nothing() -> None:
    found = soaked(rounds=40, seconds=60, seed=1000)
    assert found.complaints == []
    assert found.sweeps > 5
    assert len(found.warm) > 10
