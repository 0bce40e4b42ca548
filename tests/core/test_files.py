from pathlib import Path

import pytest

from nnexp.core.files import atomically, new_folder, write_text


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomically(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert path.read_text() == "old"
    write_text(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_folders_never_collide(tmp_path: Path) -> None:
    names = [new_folder(tmp_path / "runs", "same").name for _ in range(3)]
    assert names == ["same", "same_2", "same_3"]
