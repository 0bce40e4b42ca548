"""The door: commands by their names, their help, mistakes and exit statuses."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from nnexp.__main__ import COMMANDS, command_of
from nnexp.core.errors import UserError
from nnexp.core.exits import exits
from tests.conftest import CommandLine, status_of

HELP = (Path(__file__).parents[2] / "conf" / "hydra" / "help" / "nnexp.yaml").read_text(encoding="utf-8")


def test_without_a_command_it_trains() -> None:
    assert command_of([]) == ("train", [])
    assert command_of(["optimizer=adam"]) == ("train", ["optimizer=adam"])
    assert command_of(["--help"]) == ("train", ["--help"])
    assert command_of(["train", "seed=1"]) == ("train", ["seed=1"])
    assert command_of(["compare", "a", "b"]) == ("compare", ["a", "b"])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_a_module_and_in_the_help(name: str) -> None:
    assert callable(import_module(f"nnexp.commands.{name}").main)
    assert name == "train" or re.search(rf"^    {name} ", HELP, re.MULTILINE)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "train"])
def test_every_command_has_help_and_tells_of_a_mistake_in_one_line(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(name, "--help") == 0
    assert capsys.readouterr().out.startswith(f"usage: nnexp {name} ")
    assert status_of(name, "--nonsense") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(rf"nnexp: {name}: .* \(--help shows what there is\)", line)


@pytest.mark.parametrize(("typed", "meant"), [("comapre", "compare"), ("predit", "predict"), ("tain", "train")])
def test_a_misspelt_command_is_told(typed: str, meant: str) -> None:
    with pytest.raises(UserError, match=rf"{typed}: no such command, did you mean {meant}\?"):
        command_of([typed, "outputs"])


@pytest.mark.parametrize("name", ["compare", "predict"])
def test_a_command_does_not_wait_for_what_it_does_not_need(nnexp: CommandLine, name: str) -> None:
    code = (
        f"import sys; sys.argv = ['nnexp', '{name}', '--help']\n"
        "from nnexp.__main__ import main\n"
        "try:\n    main()\nfinally:\n"
        "    print(sorted({'mlflow', 'matplotlib', 'sklearn', 'pandas', 'joblib'} & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=nnexp.folder)
    assert result.stderr == "[]\n"


def test_the_command_that_goes_on_keeps_every_space(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end, exits():
        raise KeyboardInterrupt("python -m nnexp 'resume=a  b'")
    assert end.value.code == 130
    assert capsys.readouterr().err == "\nnnexp: interrupted; to go on: python -m nnexp 'resume=a  b'\n"
