"""The folder of a sweep, which belongs to one process at a time."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import pytest

from nnexp.core.errors import UserError
from nnexp.sweeps.sweep_folder import SweepFolder

KEY = "0123abcd"

OTHER = """
import sys
from pathlib import Path
from nnexp.sweeps.sweep_folder import SweepFolder
folder = SweepFolder.begin(Path(sys.argv[1]), "rate", sys.argv[2], "a command", again=True)
print(folder.path, flush=True)
sys.stdin.read()
"""


def begin(output_dir: Path, key: str = KEY, *, again: bool = True) -> SweepFolder:
    return SweepFolder.begin(output_dir, "rate", key, "python -m nnexp -m", again=again)


@contextmanager
def another_process(output_dir: Path, key: str = KEY) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Yield a process that goes on with the sweep until its input ends, and the folder it has."""
    with subprocess.Popen(
        [sys.executable, "-c", OTHER, str(output_dir), key],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    ) as process:
        assert process.stdout is not None
        try:
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def test_the_same_sweep_has_the_same_folder_once_it_is_closed(tmp_path: Path) -> None:
    first = begin(tmp_path)
    assert first.path.parent == tmp_path / "sweeps"
    assert first.path.name.endswith(f"_rate_{KEY}")
    assert first.runs == first.path / "runs"
    first.note("FINISHED", "parent-1")
    assert json.loads((first.path / "sweep.json").read_text()) == {
        "key": KEY,
        "command": "python -m nnexp -m",
        "status": "FINISHED",
        "parent": "parent-1",
        "process": os.getpid(),
        "identifier": first.identifier,
    }
    with pytest.raises(UserError, match=f"process {os.getpid()} in .*{first.path.name}"):
        begin(tmp_path)
    elsewhere = begin(tmp_path, again=False)
    assert elsewhere.path != first.path
    elsewhere.close()
    first.close()
    again = begin(tmp_path)
    assert again.path == elsewhere.path, "the newest"
    again.close()


def test_a_folder_that_is_free_is_gone_on_with_and_knows_its_parent(tmp_path: Path) -> None:
    first = begin(tmp_path)
    first.note(None, "parent-1")
    assert json.loads((first.path / "sweep.json").read_text())["status"] == "RUNNING"
    first.close()
    again = begin(tmp_path)
    assert (again.path, again.parent) == (first.path, "parent-1")
    again.close()
    anew = begin(tmp_path, again=False)
    assert (anew.path != first.path, anew.parent) == (True, None)
    other = begin(tmp_path, "abcd0123")
    assert other.path not in {first.path, anew.path}
    assert other.parent is None
    anew.close()
    other.close()


@pytest.mark.parametrize("text", ["", "[]", '{"parent": 3}', "{}", '{"parent": null}'])
def test_a_state_that_cannot_be_read_has_no_parent(tmp_path: Path, text: str) -> None:
    first = begin(tmp_path)
    (first.path / "sweep.json").write_text(text)
    first.close()
    again = begin(tmp_path)
    assert (again.path, again.parent) == (first.path, None)
    again.close()


def test_what_is_half_written_is_removed_and_the_rest_is_not(tmp_path: Path) -> None:
    first = begin(tmp_path)
    whole, half = first.runs / "whole_0123456789ab", first.runs / "half_0123456789ab"
    for folder in (whole, half):
        (folder / "figures").mkdir(parents=True)
        (folder / "history.csv").touch()
    (whole / "result.json").touch()
    elsewhere = tmp_path / "sweeps" / "another_sweep" / "runs" / "half_0123456789ab"
    elsewhere.mkdir(parents=True)
    assert begin(tmp_path, again=False).runs != first.runs
    assert half.exists()
    first.close()
    for folder in sorted((tmp_path / "sweeps").glob(f"*_{KEY}*")):
        if folder != first.path:
            folder.rename(folder.with_name("out_of_the_way"))
    begin(tmp_path).close()
    assert [path.name for path in first.runs.iterdir()] == [whole.name]
    assert {path.name for path in whole.iterdir()} == {"figures", "history.csv", "result.json"}
    assert elsewhere.exists()


def test_a_sweep_that_another_process_has_is_refused_and_not_touched(tmp_path: Path) -> None:
    ours = begin(tmp_path)
    half = ours.runs / "half_0123456789ab"
    half.mkdir(parents=True)
    ours.close()
    with another_process(tmp_path) as (process, theirs):
        assert (theirs, half.exists()) == (ours.path, False)
        half.mkdir()
        with pytest.raises(UserError, match=f"process {process.pid} "):
            begin(tmp_path)
        assert half.exists()
        process.send_signal(signal.SIGKILL)
        process.wait()
        freed = begin(tmp_path)
        assert freed.path == theirs, "the system lets go of the lock of the dead"
        freed.close()


def test_of_processes_that_begin_together_one_has_the_sweep(tmp_path: Path) -> None:
    with (
        another_process(tmp_path) as (_, one),
        another_process(tmp_path) as (_, two),
        another_process(tmp_path) as (_, three),
    ):
        assert len([path for path in (one, two, three) if path.name.endswith(KEY)]) == 1
    assert len([path for path in (tmp_path / "sweeps").iterdir() if path.is_dir()]) == 1


def test_a_sweep_waits_for_the_process_that_has_it(tmp_path: Path) -> None:
    with another_process(tmp_path) as (process, theirs):
        Timer(1, process.kill).start()
        ours = SweepFolder.begin(tmp_path, "rate", KEY, "a command", again=True, wait=True)
        assert ours.path == theirs
        ours.close()
