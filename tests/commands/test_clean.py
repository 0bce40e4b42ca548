"""`nnexp clean` says what there is, and removes nothing but what it is told to."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from nnexp.core.component import Array, Number
from nnexp.core.locks import held, lock_of
from nnexp.optim.optimizers import SGD, State
from nnexp.runs.find import listed
from tests.conftest import CommandLine, Finished, status_of

SHORT = ("trainer.epochs=2", "architecture.hidden=[4]", "verbose=false", "figures=false", "tracking=none")


@dataclass(frozen=True)
class Buggy(SGD):
    """Fails within the training."""

    def update(self, gradient: Array, state: State, step: Number) -> Array:  # noqa: ARG002
        raise RuntimeError("a bug")


BUGGY = f"optimizer._target_={__name__}.Buggy"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an output folder with a run that has a checkpoint, a failed one, and a sweep of two failed ones."""
    folder = tmp_path_factory.mktemp("clean")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("NNEXP_PACKAGES", "tests")
        assert status_of(*SHORT, "trainer.checkpoint_every=1") == 0
        with pytest.raises(RuntimeError):
            status_of(*SHORT, BUGGY)
        assert status_of("-m", *SHORT, BUGGY, "seed=0,1") == 1
    return folder / "outputs"


@pytest.fixture
def outputs(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "outputs"))


def files(outputs: Path) -> set[Path]:
    return {path for path in outputs.rglob("*") if path.is_file() and path.name != ".lock"}


Typed = Callable[..., Finished]


def test_it_says_what_there_is(outputs: Path, nnexp: CommandLine) -> None:
    before = files(outputs)
    result = nnexp("clean")
    assert (result.returncode, result.stderr) == (0, "")
    assert "runs trained alone" in result.stdout
    assert "checkpoints of runs that have ended: 1, " in result.stdout
    assert "failed runs: 3, " in result.stdout
    assert files(outputs) == before


@pytest.mark.parametrize(
    ("words", "gone"), [(["--checkpoints"], 2), (["--failed"], 10), (["--failed", "--checkpoints"], 12)]
)
def test_only_yes_removes_what_is_asked_for(outputs: Path, typed: Typed, words: list[str], gone: int) -> None:
    before = files(outputs)
    result = typed("clean", *words)
    assert (result.returncode, result.stderr) == (0, "")
    assert "\nNothing was removed; --yes removes " in result.stdout
    assert files(outputs) == before
    result = typed("clean", *words, "--yes")
    assert (result.returncode, result.stderr) == (0, "")
    removed = before - files(outputs)
    assert files(outputs) < before
    assert not list(outputs.rglob("*.tmp*"))
    assert len(removed) == gone
    assert typed("clean", *words).stdout == "There is nothing to remove.\n"


def test_a_run_in_the_record_of_a_sweep_is_not_removed_without_a_word(outputs: Path, typed: Typed) -> None:
    (sweep,) = (outputs / "sweeps").iterdir()
    lines = typed("clean", "--failed", "--yes").stdout.splitlines()
    said = f"(in the record of {sweep.name}, whose command would train it again)"
    assert [line.endswith(said) for line in lines] == [False, True, True, False]


def test_what_is_in_use_is_left_alone(outputs: Path, typed: Typed) -> None:
    (sweep,) = (outputs / "sweeps").iterdir()
    (alone,) = [run for run in listed(outputs) if (run / "error.txt").exists()]
    before = files(outputs)
    for words in (["--failed"], ["--failed", "--yes"]):
        with held(lock_of(sweep)), held(lock_of(alone)):
            result = typed("clean", *words)
        assert result.stdout.count("In use, and left alone: outputs/") == 3
        assert files(outputs) == before


def test_what_is_young_stays_where_age_is_asked_for(outputs: Path, typed: Typed) -> None:
    assert typed("clean", "--checkpoints", "--older-than", "3", "--yes").stdout == "There is nothing to remove.\n"
    (folder,) = outputs.rglob("checkpoints")
    os.utime(folder, times=(time.time() - 4 * 86400,) * 2)
    assert typed("clean", "--checkpoints", "--older-than", "3", "--yes").stdout.count("Removed") == 2
    assert not folder.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--yes",), "clean --yes: must say what goes, --checkpoints or --failed or both"),
        (("--output-dir", "nowhere"), "--output-dir=nowhere: must be a folder in which runs are"),
    ],
)
def test_mistakes(typed: Typed, words: tuple[str, ...], said: str) -> None:
    result = typed("clean", *words)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"nnexp: {said}\n")
