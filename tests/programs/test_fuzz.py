import pytest

from tests.programs.fuzz import Reader, fuzzed, readers

NAMES = (
    *("arrays", "checkpoint", "csv", "table", "history", "summary", "note", "sweep", "config", "recorded"),
    "model",
)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reader]:
    return readers(tmp_path_factory.mktemp("sound"))


def test_every_reader_is_known(known: dict[str, Reader]) -> None:
    assert {*known} == {*NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_sound_file_is_taken(known: dict[str, Reader], name: str) -> None:
    found = fuzzed(known[name], seconds=60, seed=0, most=len(known[name].corpus))
    assert not found.complaints
    assert found.taken > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_taken_or_refused(known: dict[str, Reader], name: str) -> None:
    found = fuzzed(known[name], seconds=10, seed=1000)
    assert not found.complaints
    assert 0 < found.taken < found.files
