"""Files in memory: one for an array however many calls have it, none that is not needed, nothing of the dead."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nnexp.core.locks import lock_of
from nnexp.sweeps.shared_memory import LARGE, SharedArrays, shared_folder

HOLD = """
from nnexp.sweeps.shared_memory import shared_folder
with shared_folder() as folder:
    (folder / "array").touch()
    print(folder, flush=True)
    input()
"""


def doubled(array: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    array *= 2
    return float((array + other).sum())


def test_an_array_has_one_file_as_long_as_a_call_needs_it(tmp_path: Path) -> None:
    arrays, ones, small = SharedArrays(tmp_path), np.ones((LARGE // 8, 2), order="F"), np.zeros(2)
    with arrays.packed(partial(doubled, ones, ones)) as first:
        with arrays.packed(partial(doubled, ones, small)) as second:
            assert first.files == (first.files[0],)
            assert second.files == first.files
            assert len(second.pickled) < 1000
            assert second.unpacked()() == second.unpacked()() == 2 * ones.size, "each changes an array of its own"
        assert list(tmp_path.iterdir()) == list(first.files)
    assert not list(tmp_path.iterdir())
    assert (ones == 1).all()


def test_arrays_for_which_there_is_no_room_are_sent(tmp_path: Path) -> None:
    ones = np.ones(LARGE)
    with SharedArrays(tmp_path / "missing").packed(partial(doubled, ones, np.zeros(LARGE))) as call:
        assert not call.files
        assert call.unpacked()() == 2 * LARGE


def test_folders_of_the_dead_are_removed_and_those_of_the_living_are_kept() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        theirs = Path(holder.stdout.readline().strip())
        with shared_folder() as ours:
            assert (theirs / "array").exists()
        assert not ours.exists()
        assert not lock_of(ours).exists()
        holder.kill()
        holder.wait()
        assert (theirs / "array").exists()
        with shared_folder():
            assert not theirs.exists()
            assert not lock_of(theirs).exists()
