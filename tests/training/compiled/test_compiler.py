"""Machine code is kept in files that may be missing, broken or not writable, and belong to one processor."""

import ctypes
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nnexp.training.compiled import compiler
from nnexp.training.compiled.compiler import Compiler, cache_folder
from nnexp.training.compiled.translate import SWITCH
from tests.conftest import needs

pytestmark = needs("llvmlite")
TEXT = "define i64 @doubled(i64 %number) {\n  %twice = mul i64 %number, 2\n  ret i64 %twice\n}\n"


def doubles(folder: Path, *, anew: bool = True) -> bool:
    """Tell whether a function could be had, as a new process has it, and does what it should."""
    addresses = (made := Compiler(folder)).functions(TEXT, ["doubled"], anew=anew)
    assert all(ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(address)(21) == 42 for address in addresses)
    del made
    return bool(addresses)


def test_code_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    assert not doubles(folder, anew=False)
    assert doubles(folder)
    assert doubles(folder, anew=False)
    assert [path.name[0] for path in folder.iterdir()] != ["."]


BROKEN: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "empty": lambda path: path.write_bytes(b""),
    "changed": lambda path: path.write_bytes(path.read_bytes().replace(b"doubled", b"doubler")),
    "of another function": lambda path: path.write_bytes(compiled_to_another(path)),
}


def compiled_to_another(path: Path) -> bytes:
    """Return the file of another function."""
    other = path.with_name("other")
    Compiler(other).functions(TEXT.replace("mul", "add"), ["doubled"])
    (made,) = other.iterdir()
    return made.read_bytes()


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_file_is_made_again(how: str, tmp_path: Path) -> None:
    assert doubles(tmp_path)
    (path,) = tmp_path.iterdir()
    BROKEN[how](path)
    assert not doubles(tmp_path, anew=False)
    assert doubles(tmp_path)
    assert doubles(tmp_path, anew=False)


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    assert doubles(tmp_path / "file")
    assert doubles(tmp_path / "folder")
    (path,) = (tmp_path / "folder").iterdir()
    path.unlink()
    path.mkdir()
    assert doubles(tmp_path / "folder")
    assert [*(tmp_path / "folder").iterdir()] == [path]


def test_without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_folder().is_relative_to(tmp_path / "cache")
    monkeypatch.setenv("XDG_CACHE_HOME", "~nobody_of_this_name")
    monkeypatch.chdir(tmp_path)
    assert doubles(cache_folder())
    assert [*tmp_path.iterdir()] == []


def test_old_files_go_when_there_are_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "MOST_FILES", 4)
    for number in range(4):
        (tmp_path / str(number)).touch()
        os.utime(tmp_path / str(number), (number, number))
    assert doubles(tmp_path)
    assert doubles(tmp_path, anew=False)
    assert {"2", "3"} < {path.name for path in tmp_path.iterdir()}
    assert len([*tmp_path.iterdir()]) == 3


def test_code_for_one_processor_is_not_taken_for_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doubles(tmp_path)
    monkeypatch.setattr(compiler, "this_processor", lambda: ("generic", ""))
    assert not doubles(tmp_path, anew=False)


TRAINING = """
from hashlib import sha256
from nnexp.data.sine import Sine
from nnexp.nn.activations import ReLU
from nnexp.nn.initializers import Normal
from nnexp.nn.layers import Activate, Dense
from nnexp.nn.losses import MeanSquaredError
from nnexp.optim.optimizers import Adam
from nnexp.optim.schedules import Constant
from nnexp.training.loop import train
from nnexp.training.stack import Recipe
from nnexp.training.trainer import Trainer
parts = (Dense(9), Activate(ReLU()), Dense(1)), Normal(0.1), MeanSquaredError(), Adam(0.01), Constant()
outcomes = train([Recipe(*parts, seed) for seed in (1, 2)], Sine().load(), Trainer(epochs=5), "float64")
print(sha256(b"".join(outcome.theta.tobytes() for outcome in outcomes)).hexdigest())
"""


def started(cache: Path, *arguments: str, switch: str = "1") -> subprocess.Popen[str]:
    """Start Python with a folder for its files."""
    variables = {"XDG_CACHE_HOME": str(cache), SWITCH: switch}
    return subprocess.Popen([sys.executable, *arguments], env=os.environ | variables, stdout=subprocess.PIPE, text=True)


def kept(cache: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (cache / "nnexp" / "machine_code").iterdir()}


def test_two_processes_that_compile_at_once_have_the_bits_of_all_others(tmp_path: Path) -> None:
    cold = [started(tmp_path, "-c", TRAINING) for _ in range(2)]
    outputs = [process.communicate()[0] for process in cold]
    files = kept(tmp_path)
    outputs += [started(tmp_path, "-c", TRAINING, switch=switch).communicate()[0] for switch in "10"]
    assert outputs == [outputs[0]] * 4
    assert len(outputs[0]) == 65
    assert len(files) > 2
    assert kept(tmp_path) == files


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="there is no older kind")
def test_an_old_processor_has_the_same_bits(tmp_path: Path) -> None:
    process = started(tmp_path, "-m", "tests.training.compiled.random_configs", "3", "2", "x86-64")
    assert int(process.communicate()[0]) > 2
    assert process.returncode == 0
