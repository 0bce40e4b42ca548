"""Many sweeps at once into every kind of store: nothing is lost, and nobody sees an error."""

import pytest

from tests.programs.stores import STORES, MissingError, crowded


@pytest.mark.slow
@pytest.mark.parametrize("name", STORES)
def test_sweeps_at_once_are_all_recorded(name: str) -> None:
    try:
        crowd = crowded(name)
    except MissingError as error:
        pytest.skip(f"needs {error}")
    assert crowd.complaints == []
    assert crowd.said == []
