import pytest

from tests.programs.kills import killed_until_done


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1006))
def test_a_run_that_is_killed_again_and_again_comes_out_the_same(seed: int) -> None:
    killed = killed_until_done(seed)
    assert killed.complaint == ""
    assert killed.kills > 0
