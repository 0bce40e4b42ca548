"""Every command of the README works, shortened but otherwise as it stands."""

import re
import shlex
from pathlib import Path

import pytest

from tests.conftest import CommandLine

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


LINES = [line for block in blocks("bash") for line in block.splitlines()]
COMMANDS = [line.removeprefix("python -m nnexp").strip() for line in LINES if line.startswith("python -m nnexp")]


@pytest.mark.parametrize("command", COMMANDS)
def test_command(nnexp: CommandLine, command: str) -> None:
    arguments = shlex.split(command)
    kept = [argument for argument in arguments if not argument.startswith("trainer.epochs")]
    result = nnexp(*kept, "trainer.epochs=2", "tracking=none")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""


def test_set_up_is_what_ci_does() -> None:
    install, test = (line.split(" && ") for line in LINES if "pip install" in line)
    assert install == ["python -m pip install -e .", "python -m nnexp"]
    ci = (ROOT / ".ci" / "run").read_text().replace("pip install --quiet", "pip install")
    assert test[0] in ci
    assert test[1] == ci.splitlines()[-1]


def test_python_example(nnexp: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(nnexp.folder)
    (code,) = blocks("python")
    names: dict[str, object] = {}
    shortened = code.replace("trainer.epochs=600", "trainer.epochs=2").replace('"]', '", "tracking=none"]', 1)
    assert shortened.count("tracking=none") == 1
    exec(shortened, names)  # noqa: S102 - our own words
    assert "result" in names


def test_links_and_pictures_lead_somewhere() -> None:
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", README) if "://" not in target]
    assert targets
    for target in targets:
        assert (ROOT / target).is_file(), target
    for folder in re.findall(r"`((?:nnexp|conf|experiments)/[\w/.]*)`", README):
        assert (ROOT / folder).exists(), folder
