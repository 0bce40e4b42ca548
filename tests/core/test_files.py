import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nnexp.core.files import (
    SECONDS_TO_WRITE,
    absolute,
    atomically,
    folder_atomically,
    hidden_folder,
    new_folder,
    remove_abandoned,
    remove_temporaries,
    write_text,
)

WRITE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from nnexp.core.files import folder_atomically, write_text

left = int(sys.argv[1])
def die(event, arguments):
    global left
    if event in ("os.mkdir", "open", "os.rename", "os.rmdir") and "model" in str(arguments[0]):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(die)
with folder_atomically(Path("model")) as new:
    for name in "ab":
        write_text(new / name, "new")
"""
"""Writes a folder, and is killed before one of the things that it asks of the system."""


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


def test_what_nobody_can_be_writing_any_more_is_removed(tmp_path: Path) -> None:
    old, new, others = tmp_path / ".run.tmp1", tmp_path / ".run.tmp2", tmp_path / ".run"
    for folder in (old, new, others):
        folder.mkdir()
        before = time.time() - (0 if folder == new else SECONDS_TO_WRITE + 60)
        os.utime(folder, (before, before))
    remove_abandoned(tmp_path)
    assert {*tmp_path.iterdir()} == {new, others}


def test_a_place_has_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    monkeypatch.chdir(tmp_path / "far")
    for name in ("out", "../far/out", "./away/../out", "../link/../out", str(tmp_path / "far" / "away" / ".." / "out")):
        assert absolute(name) == tmp_path / "far" / "out"


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with folder_atomically(path) as new:
        write_text(new / "a", "old")
    with pytest.raises(RuntimeError), folder_atomically(path) as new:
        write_text(new / "b", "new")
        raise RuntimeError
    assert contents(tmp_path) == {"model/a": "old"}
    with folder_atomically(path) as new:
        write_text(new / "b", "new")
    assert contents(tmp_path) == {"model/b": "new"}
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_can_be_written_again_wherever_its_writer_was_killed(tmp_path: Path) -> None:
    statuses: list[int] = []
    while 0 not in statuses:
        folder = tmp_path / str(len(statuses))
        (folder / "model").mkdir(parents=True)
        write_text(folder / "model" / "a", "old")
        command = [sys.executable, "-c", WRITE_AND_DIE]
        statuses.append(subprocess.run([*command, str(len(statuses))], cwd=folder, check=False).returncode)
        remove_temporaries(folder)
        assert contents(folder) in ({"model/a": "old"}, {}, {"model/a": "new", "model/b": "new"})
        with folder_atomically(folder / "model") as new:
            write_text(new / "c", "later")
        assert contents(folder) == {"model/c": "later"}
        assert [path.name for path in folder.iterdir()] == ["model"]
    assert {*statuses[:-1]} == {-signal.SIGKILL}
    assert len(statuses) > 7


def test_only_what_is_temporary_is_removed(tmp_path: Path) -> None:
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    elsewhere.mkdir()
    kept = [run / name for name in ("model/.data.7/x", ".backup.20261127101500/x", ".notes.tmp", ".tmp5", "a.tmp7.csv")]
    for path in [*kept, elsewhere / "x"]:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, "mine")
    before = contents(tmp_path)
    for path in (run, run / "model"):
        with pytest.raises(RuntimeError), folder_atomically(path / "figures") as new, atomically(path / "b.c") as file:
            (path / new.name.replace("figures", "killed") / "data").mkdir(parents=True)
            (path / file.name.replace("b", "killed")).touch()
            (path / new.name.replace("figures", "linked")).symlink_to(elsewhere)
            raise RuntimeError
    assert len([*tmp_path.rglob(".killed*")]) == 4
    remove_temporaries(run)
    assert contents(tmp_path) == before
    assert not [*tmp_path.rglob(".killed*"), *tmp_path.rglob(".linked*")]


def test_folders_never_collide(tmp_path: Path) -> None:
    names = [new_folder(tmp_path / "runs", "same").name for _ in range(3)]
    assert names == ["same", "same_2", "same_3"]
    (tmp_path / "whole").mkdir()
    for _ in range(2):
        with hidden_folder(tmp_path / "whole" / "same") as hidden:
            write_text(hidden / "a", "mine")
            new_folder(tmp_path / "whole", "same", hidden.rename)
    assert contents(tmp_path / "whole") == {"same/a": "mine", "same_2/a": "mine"}
