"""Every command of the README, the guide and the experiments works, shortened but otherwise as it stands."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose

from nnexp.config.compose import check as checked
from nnexp.config.compose import compose_experiment, sweep_config
from nnexp.sweeps.jobs import search_of
from tests.conftest import CommandLine, Finished, needs

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
GUIDE = (ROOT / "experiments" / "guide.md").read_text()
EXPERIMENTS = (ROOT / "experiments" / "README.md").read_text()
STUDIES = (ROOT / "experiments" / "studies" / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README + GUIDE, re.MULTILINE | re.DOTALL)


LINES = [line for block in blocks("bash") for line in block.splitlines()]
IN_README = [line for line in LINES if line.startswith("python -m nnexp")]
IN_EXPERIMENTS = sorted({*re.findall(r"`(python -m nnexp[^`]*)`", EXPERIMENTS + STUDIES)} - {*IN_README})
PLAIN = re.compile(r"python -m nnexp (-m )?experiment=\S+")
"""An experiment as it is, which tests/config/test_files.py trains and tests/sweeps/test_jobs.py composes as a sweep."""
LENGTH = ("trainer.epochs=", "trainer.iterations=", "seed=")


def marks(command: str) -> list[pytest.MarkDecorator]:
    """Return the marks of a command: an experiment as it is takes long, and so does making MNIST-1D."""
    if "dataset=mnist1d" in command:
        return [needs("mnist1d"), pytest.mark.slow]
    return [pytest.mark.slow] if PLAIN.fullmatch(command) else []


@pytest.mark.parametrize("command", IN_README[::10])
def test_command(nnexp: CommandLine, command: str) -> None:
    check(command, nnexp, nnexp.folder)


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(command, marks=marks(command))
        for command in sorted({*IN_README, *IN_EXPERIMENTS} - {*IN_README[::10]})
    ],
)
def test_command_within_this_process(typed: Callable[..., Finished], tmp_path: Path, command: str) -> None:
    check(command, typed, tmp_path)


@pytest.mark.parametrize("row", re.findall(r"^\|.*`python -m nnexp experiment=.*\|$", EXPERIMENTS, re.MULTILINE))
def test_what_to_try_next_makes_sense(row: str) -> None:
    experiment, *words = re.findall(r"`([^`]*=[^`]*)`", row)
    assert words or "challenges" in row
    for word in words:
        compose_experiment([*shlex.split(experiment)[3:], *shlex.split(word)])


@pytest.mark.parametrize("section", STUDIES.split("\n## ")[1:], ids=lambda text: text.partition("\n")[0])
def test_what_to_try_next_with_a_study_makes_sense(section: str) -> None:
    experiment = re.search(r"`python -m nnexp -m (experiment=\w+/\w+)`", section)
    (to_try,) = re.findall(r"^To try: (.*)$", section, re.MULTILINE)
    assert experiment is not None
    with sweep_config([]) as (loader, _):
        for words in re.findall(r"`([^`]*=[^`]*)`", to_try):
            fewer = re.sub(r",\d{3,}\)", ",3)", words)  # of a picture with as many pixels
            first, *_, last = search_of([experiment[1], *shlex.split(fewer)], loader).ask()
            assert all(checked(compose("config", job)).question for job in (first, last))


def check(command: str, nnexp: Callable[..., Finished], folder: Path) -> None:
    """Run a command, shortened, beside the tables it may want."""
    (folder / "experiments").mkdir(exist_ok=True)
    shutil.copy(ROOT / "experiments" / "flats.csv", folder / "experiments" / "flats.csv")
    shutil.copy(ROOT / "nnexp" / "data" / "tables" / "heart.csv", folder / "heart.csv")
    words = shlex.split(command.removeprefix("python -m nnexp"))
    kept = [argument for argument in words if not argument.startswith(LENGTH)]
    length = "trainer.iterations=2" if "experiment=heart" in kept else "trainer.epochs=2"
    if "-m" in kept and any(argument.startswith("experiment=") for argument in kept):
        kept += [
            "sweep.over=null",
            "sweep.figures=null",
            "sweep.repeats=null",
            "seed=0,1",
        ]  # all of its jobs are composed in tests/sweep
    result = nnexp(*kept, length, "tracking=none", "figures=false")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""


def test_set_up_is_what_ci_does() -> None:
    install, test = (line.split(" && ") for line in LINES if "pip install" in line)
    assert install == ["python -m pip install -e .", "python -m nnexp"]
    ci = (ROOT / ".ci" / "run").read_text().replace("pip install --quiet", "pip install").splitlines()
    assert test[0] in ci
    assert ci[-1] == ".ci/test"
    assert (ROOT / ".ci" / "test").read_text().splitlines()[-1] == f'{test[1]} "$@"'


def test_python_example(nnexp: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(nnexp.folder)
    (code,) = (block for block in blocks("python") if "from nnexp import load, run" in block)
    names: dict[str, object] = {}
    short = 'trainer__epochs=2, tracking="none"'
    shortened = code.replace("trainer__epochs=600", short).replace("repeats=3", f"repeats=3, confirm=0, {short}")
    assert shortened.count(short) == 2
    exec(shortened, names)  # noqa: S102 - our own words
    assert {"result", "rates"} <= names.keys()


def test_the_model_loads_as_it_is_written(nnexp: CommandLine, typed: Callable[..., Finished]) -> None:
    assert typed("trainer.epochs=2", "verbose=false", "figures=false").returncode == 0
    (note,) = nnexp.folder.glob("outputs/*/*/tracked.json")
    (code,) = (block for block in blocks("python") if "load_model" in block)
    ((run_id,),) = [{one["run_id"] for one in json.loads(note.read_text())["stores"].values()}]
    program = f"{code.replace('RUN_ID', run_id)}\nprint(model.predict(model.input_example).columns.tolist())"
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, cwd=nnexp.folder, env=nnexp.environment(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "['predicted', 'probability_0', 'probability_1']\n"), done.stderr


@pytest.mark.parametrize(
    "home", [ROOT, ROOT / "experiments", ROOT / "experiments" / "studies"], ids=["", "experiments", "studies"]
)
def test_links_and_pictures_lead_somewhere(home: Path) -> None:
    text = "".join(page.read_text() for page in home.glob("*.md"))
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target]
    assert targets
    for target in targets:
        assert (home / target).is_file(), target


def test_folders_are_there() -> None:
    for folder in re.findall(r"`((?:nnexp|conf|experiments)/[\w/.]*)`", README + GUIDE):
        assert (ROOT / folder).exists(), folder
