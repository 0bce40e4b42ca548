"""The folder of a sweep, which belongs to one process at a time."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Timer
from uuid import uuid4

import pytest

from nnexp.core.errors import UserError
from nnexp.core.locks import held, lock_of
from nnexp.sweeps.sweep_folder import SweepFolder, SweepRecord
from nnexp.tracking.tracker import IDENTIFIER, SweepFacts

KEY = "0123abcd"

OTHER = """
import sys
from pathlib import Path
from nnexp.sweeps.sweep_folder import SweepFolder, SweepRecord
record = SweepRecord(key=sys.argv[2], command="a command")
folder = SweepFolder.begin(Path(sys.argv[1]), "rate", record, again=True)
print(folder.path, flush=True)
sys.stdin.read()
"""

TOGETHER = """
import sys, time
from pathlib import Path
import filelock  # now, for it takes longer than to begin
from nnexp.core.errors import UserError
from nnexp.core.locks import held, lock_of
from nnexp.sweeps.sweep_folder import SweepFolder, SweepRecord
print("ready", flush=True)
begin, folders = float(sys.stdin.readline()), []
for number in range(int(sys.argv[2])):
    begin += 0.02
    while time.monotonic() < begin:
        pass
    try:
        record = SweepRecord(key=f"{number:08}", command="a command")
        folders.append(SweepFolder.begin(Path(sys.argv[1]), "rate", record, again=True))
    except UserError:
        pass
print(*(folder.record.key for folder in folders), flush=True)
sys.stdin.read()
"""
"""Begins sweeps at times that are the same in all processes."""


def record(key: str = KEY) -> SweepRecord:
    facts = SweepFacts("moons", "rate (3 runs)", "why?", {"sweep_key": key, IDENTIFIER: uuid4().hex})
    return SweepRecord(key=key, command="python -m nnexp -m", question="why?", total=3, facts=facts)


def begin(output_dir: Path, key: str = KEY, *, again: bool = True) -> SweepFolder:
    return SweepFolder.begin(output_dir, "rate", record(key), again=again)


@contextmanager
def process_of(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@contextmanager
def another_process(output_dir: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Yield a process that goes on with the sweep until its input ends, and the folder it has."""
    with process_of(OTHER, str(output_dir), KEY) as process:
        yield process, Path(line_of(process))


def test_the_same_sweep_has_the_same_folder_once_it_is_closed(tmp_path: Path) -> None:
    first = begin(tmp_path)
    assert first.path.parent == tmp_path / "sweeps"
    assert first.path.name.endswith(f"_rate_{KEY}")
    assert first.runs == first.path / "runs"
    assert SweepRecord.read(first.path) == replace(first.record, status="RUNNING", process=os.getpid())
    first.note("FINISHED")
    assert SweepRecord.read(first.path) == replace(first.record, status="FINISHED")
    with pytest.raises(UserError, match=f"process {os.getpid()} in .*{first.path.name}"):
        begin(tmp_path)
    elsewhere = begin(tmp_path, again=False)
    assert elsewhere.path != first.path
    elsewhere.close()
    first.close()
    again = begin(tmp_path)
    assert again.path == elsewhere.path, "the newest"
    again.close()


def test_a_folder_that_is_free_is_gone_on_with_and_trackers_know_it(tmp_path: Path) -> None:
    first = begin(tmp_path)
    first.close()
    again = begin(tmp_path)
    assert (again.path, again.record.facts) == (first.path, first.record.facts)
    again.close()
    anew = begin(tmp_path, again=False)
    other = begin(tmp_path, "abcd0123")
    assert len({first.path, anew.path, other.path}) == 3
    assert len({one.record.facts.tags[IDENTIFIER] for one in (first, again, anew, other)}) == 3
    anew.close()
    other.close()


def test_a_run_that_somebody_resumes_is_not_removed(tmp_path: Path) -> None:
    first = begin(tmp_path)
    busy, free = first.runs / "busy_0123456789ab", first.runs / "free_0123456789ab"
    for folder in (busy, free):
        folder.mkdir(parents=True)
    first.close()
    with held(lock_of(busy)) as ours:
        assert ours
        begin(tmp_path).close()
        assert [*first.runs.iterdir()] == [busy]
    begin(tmp_path).close()
    assert [*first.runs.iterdir()] == []


def test_the_parent_that_an_earlier_version_noted_is_kept(tmp_path: Path) -> None:
    first = begin(tmp_path)
    old = {"key": KEY, "command": "a command", "status": "FINISHED", "parent": "parent-1"}
    (first.path / "sweep.json").write_text(json.dumps(old))
    first.close()
    again = begin(tmp_path)
    assert (again.path, again.record.parent, again.record.total) == (first.path, "parent-1", 3)
    again.close()


@pytest.mark.parametrize("text", ["", "[]", '{"parent": 3}', "{}", '{"parent": null}'])
def test_a_record_that_cannot_be_read_is_written_anew(tmp_path: Path, text: str) -> None:
    first = begin(tmp_path)
    (first.path / "sweep.json").write_text(text)
    assert SweepRecord.read(first.path) is None
    first.close()
    again = begin(tmp_path)
    assert (again.path, again.record.parent) == (first.path, None)
    assert SweepRecord.read(again.path) == again.record
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
    sweeps = 40
    arguments = (TOGETHER, str(tmp_path), str(sweeps))
    with process_of(*arguments) as one, process_of(*arguments) as other:
        assert [line_of(one), line_of(other)] == ["ready"] * 2
        begin = time.monotonic() + 0.1
        for process in (one, other):
            assert process.stdin is not None
            process.stdin.write(f"{begin}\n")
            process.stdin.flush()
        keys = [*line_of(one).split(), *line_of(other).split()]
    assert sorted(keys) == [f"{number:08}" for number in range(sweeps)]
    assert len([path for path in (tmp_path / "sweeps").iterdir() if path.is_dir()]) == sweeps


def test_a_sweep_waits_for_the_process_that_has_it(tmp_path: Path) -> None:
    with another_process(tmp_path) as (process, theirs):
        Timer(1, process.kill).start()
        ours = SweepFolder.begin(tmp_path, "rate", record(), again=True, wait=True)
        assert ours.path == theirs
        ours.close()
