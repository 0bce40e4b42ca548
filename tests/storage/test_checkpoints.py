"""Checkpoints, and the summary of a run, are on the disk before they have their names."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TRAIN = """
from nnexp import run
from nnexp.storage.run_folder import RunSummary

options = ["trainer.epochs=2", "trainer.checkpoint_every=1", "tracking=none", "figures=false", "verbose=false"]
folder = run(options).folder
RunSummary.read(folder).write(folder, durable=True)
"""
SYNC = re.compile(r"fsync\(\d+<(.+)>\) += 0")
RENAME = re.compile(r"rename\w*\([^\"]*\"([^\"]+)\"[^\"]*\"([^\"]+)\".*\) += 0")


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_what_must_last_is_on_the_disk_before_it_has_its_name(tmp_path: Path) -> None:
    command = ["strace", "-y", "-o", "calls", "-e", "trace=fsync,rename,renameat,renameat2"]
    subprocess.run([*command, sys.executable, "-c", TRAIN], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    (folder,) = tmp_path.resolve().glob("outputs/*/*")
    synced, renamed = dict[int, Path](), dict[int, tuple[Path, Path]]()
    for place, line in enumerate((tmp_path / "calls").read_text().splitlines()):
        if sync := SYNC.match(line):
            synced[place] = Path(sync[1])
        elif rename := RENAME.match(line):
            renamed[place] = (Path(rename[1]).resolve(), Path(rename[2]).resolve())
    checkpoints = [place for place, (_, new) in renamed.items() if new.name.startswith(".latest.")]
    latest = [place for place, (_, new) in renamed.items() if new.name == "latest.npz"]
    summary = max(place for place, (_, new) in renamed.items() if new.name == "result.json")
    assert len(checkpoints) == len(latest) == 2
    for place in (*checkpoints, summary):
        assert synced.get(place - 1) == renamed[place][0], "the file is synced at last"
    for place in (*checkpoints, *latest, summary):
        assert synced.get(place + 1) == renamed[place][1].parent, "and then its name"
    earlier = max(place for place in renamed if place < summary)
    between = {path for place, path in synced.items() if earlier < place < summary}
    assert between >= {*folder.rglob("[!.]*"), folder, folder.parent}
