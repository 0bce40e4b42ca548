"""`nnexp check`: what one sees of data and network before they train."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from nnexp.core.build import PACKAGES_VARIABLE
from nnexp.core.files import shipped
from tests.conftest import CommandLine, Finished

EXPERIMENTS = shipped("experiments")
NAMES = sorted(str(path.relative_to(EXPERIMENTS).with_suffix("")) for path in EXPERIMENTS.rglob("*.yaml"))
MINE = """
from dataclasses import dataclass

import numpy as np

from nnexp import Array
from nnexp.nn.activations import Tanh
from nnexp.nn.layers import Dense
from nnexp.nn.losses import BinaryCrossEntropy


@dataclass(frozen=True)
class Steep(Tanh):
    def backward(self, gradient, z, a):
        return gradient * (1 - a)


@dataclass(frozen=True)
class Half(BinaryCrossEntropy):
    def backward(self, z, y):
        return super().backward(z, y) / 2


@dataclass(frozen=True)
class FirstRow(Dense):
    def differentiate(self, gradient, cell):
        super().differentiate(gradient, cell)
        np.copyto(cell.gradients["bias"], gradient[..., :1, :])
"""


def test_the_default_run(nnexp: CommandLine) -> None:
    result = nnexp("check")
    assert (result.returncode, result.stderr) == (0, "")
    for words in (
        "digits_binary: 2 classes, 64 features (8 x 8 pixels)",
        "train  288 examples: 142 of 0, 146 of 1",
        "all 64 0 16 -4.02 to 13.8",
        "0 Dense 64 x 16 1,040",
        "network 1,185",
        "Loss 0.6932 at the start, 0.6931 by guessing",
        "Gradient right within",
        "Bits the same in a stack",
        "Tape every component is recorded",
        "By heart 8 of 8 examples",
    ):
        assert words.split() == [] or " ".join(words.split()) in " ".join(result.stdout.split()), words
    assert [*nnexp.folder.iterdir()] == []


def test_it_fits_into_a_narrow_terminal(nnexp: CommandLine) -> None:
    shown = nnexp.on_terminal("check", "dataset=iris", "loss=sparse_categorical_cross_entropy", columns=60)
    lasting = re.sub(r"\x1b\[[0-9;]*m|[^\n]*\x1b\[2K\r?", "", shown)  # without what was said meanwhile
    lines = [line.rstrip() for line in lasting.strip().splitlines()]
    assert max(map(len, lines)) <= 60
    assert lines[1:3] == ["train  120 examples: 40 of setosa, 40 of versicolor, 40 of", "       virginica"]
    assert " sepal width         2.9        2       4.4   -2.35 to 3.03" in lines, "numbers are not wrapped"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["architecture.activation={_target_:mine.Steep}"], r"Gradient  wrong in 1 Steep: by input\[\d+, \d+\] it is "),
        (["loss={_target_:mine.Half}"], r"Gradient  wrong in loss: by input\[\d+, 0\] it is "),
        (
            ["architecture=layers", "architecture.hidden=[dense,activate,{_target_:mine.FirstRow,units:3}]"],
            r"Gradient  wrong in 2 FirstRow: by 2\.bias\[0, \d\] it is ",
        ),
    ],
)
def test_a_component_that_is_wrong_on_purpose(
    typed: Callable[..., Finished], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(PACKAGES_VARIABLE, "mine")
    result = typed("check", *words)
    assert result.returncode == 1
    found = re.search(said + r"(\S+), and finite differences give (\S+)$", result.stdout, re.MULTILINE)
    assert found is not None, result.stdout
    assert abs(float(found[1]) - float(found[2])) > 1e-3 * abs(float(found[2]))


TOO_DEEP = ("studies/depth_and_initialization",)
"""Experiments whose network, as it starts, learns nothing by heart: that is what they show."""


def test_every_experiment(typed: Callable[..., Finished]) -> None:
    for name in NAMES:
        result = typed("check", f"experiment={name}")
        assert (result.returncode, result.stderr) == (0, ""), name
        assert "Tape      every component is recorded" in result.stdout, name
        by_heart = re.search(r"^By heart  (\d+) of \1 examples", result.stdout, re.MULTILINE)
        assert bool(by_heart) == (name not in TOO_DEEP), name


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["check.every=true"], "nnexp: check.every: no such key, known are all"),
        (["check.all=yes"], "nnexp: check.all=yes: must be true or false"),
        (
            ["optimizer.learning_rat=1"],
            "nnexp: optimizer.learning_rat: no such key, did you mean optimizer.learning_rate?",
        ),
    ],
)
def test_mistakes_are_one_line(typed: Callable[..., Finished], words: list[str], sentence: str) -> None:
    result = typed("check", *words)
    assert (result.returncode, result.stderr.splitlines()) == (2, [sentence])


def test_all_derivatives_can_be_compared(typed: Callable[..., Finished]) -> None:
    result = typed("check", "check.all=true", "architecture.hidden=[3]", "dataset=iris", "loss=mean_squared_error")
    assert result.returncode == 0
    numbers = (4 * 3 + 3 + 3 * 3 + 3) + 24 * (4 + 3 + 3 + 3)
    assert f"in {numbers + 7 * 10} finite differences" in result.stdout
