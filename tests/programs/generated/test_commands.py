"""Thousands of made-up commands: each trains two steps, or is refused in one line with status 2.

A failure names the number of its command, from which `command(number)` makes it again. The environment variable
NNEXP_COMMANDS begins at another number, for commands that nobody has tried yet.
"""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from nnexp.config.experiment import Experiment
from nnexp.core.component import annotations, satisfies
from tests.conftest import CommandLine
from tests.programs.generated.commands import Choose, command, options, valid
from tests.programs.generated.tried import complaint, smaller, tried_with_advice

FIRST = int(os.environ.get("NNEXP_COMMANDS", "0"))
PORTION = 100
FEW = range(FIRST, FIRST + 40)
MANY = range(FIRST, FIRST + 10_000)


def try_all(numbers: Sequence[int], folder: Path) -> Counter[str]:
    """Try commands, and return how often each status came out."""
    print(f"commands {numbers[0]} to {numbers[-1]}")  # noqa: T201 - pytest shows it where one of them fails
    statuses: Counter[str] = Counter()
    for number in numbers:
        words, end = tried_with_advice(command(number), folder)
        if end.wrong:
            pytest.fail(f"command({number}), in short {smaller(words, folder)!a}: {end.wrong}", pytrace=False)
        statuses[end.status] += 1
    return statuses


def test_a_few_commands(in_folder: Callable[[], Path]) -> None:
    statuses = try_all(FEW, in_folder())
    assert min(statuses["0"], statuses["2"]) > len(FEW) / 20, "some train, some are refused"


@pytest.mark.slow
@pytest.mark.parametrize("begin", MANY[::PORTION])
def test_many_commands(in_folder: Callable[[], Path], begin: int) -> None:
    try_all(range(begin, begin + PORTION), in_folder())


@pytest.mark.slow
@pytest.mark.parametrize("number", MANY[:: len(MANY) // 15])
def test_a_few_commands_as_real_processes(nnexp: CommandLine, number: int) -> None:
    result = nnexp(*[word.encode(errors="ignore").decode() for word in command(number)])
    assert complaint(result.returncode, result.stdout, result.stderr, list(nnexp.folder.rglob("*.*"))) == ""


def test_the_same_number_makes_the_same_command() -> None:
    assert [command(number) for number in range(50)] == [command(number) for number in range(50)]
    assert len({" ".join(command(number)) for number in range(50)}) > 45


def test_every_option_and_field_comes_up() -> None:
    """What is added to conf/ or to a component is tried out without a word here."""
    text = "\n".join(word for number in range(4000) for word in command(number))
    for group, names in options().items():
        for name in names if group != "tracking" else ():
            assert f"{group}={name}" in text, f"{group}={name}"
    for field in annotations(Experiment).keys() - options().keys() - {"output_dir"}:
        assert f"{field}=" in text


@pytest.mark.parametrize("field", ["seed", "dtype", "question", "figures"])
def test_valid_values_are_valid(field: str) -> None:
    hint, choose = annotations(Experiment)[field], Choose(0)
    assert all(satisfies(valid(choose, hint), hint) for _ in range(100))
