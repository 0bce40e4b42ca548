"""Commands as people mistype them: each answer is one line that leads to the right command, and nothing is written."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.conftest import Typed

MISTAKES = [json.loads(line) for line in Path(__file__).with_name("mistakes.jsonl").read_text().splitlines()]
"""What people typed, and of the answer one of these; those whose answer has the form of an earlier one are slow."""
MOST_CHARACTERS, MOST_NAMES = 200, 8
OF_PARSERS = ("LexerNoViableAlt", "mismatched input", "merging override", "extraneous", "<EOF>", "_target_", "hydra,")


@pytest.fixture
def beside(in_folder: Callable[[], Path]) -> list[str]:
    """Return the names of the files that lie beside a command."""
    table = "price,rooms,city\n" + "".join(f"{90 + row % 7},{row % 4 + 1},{'OR'[row % 2]}\n" for row in range(40))
    texts = {
        "flats.csv": table,
        "semi.csv": table.replace(",", ";"),
        "empty.csv": "",
        "header.csv": table.split("\n")[0],
    }
    for name, text in texts.items():
        (in_folder() / name).write_text(text)
    (in_folder() / "mine").mkdir()
    return [*texts, "mine"]


@pytest.mark.parametrize(
    ("words", "hints"),
    [pytest.param(case["argv"], case["hint"], marks=pytest.mark.slow if "slow" in case else ()) for case in MISTAKES],
    ids=lambda value: " ".join(value)[:60],
)
def test_an_answer_leads_to_the_right_command(
    typed: Typed, tmp_path: Path, beside: list[str], words: Sequence[str], hints: Sequence[str]
) -> None:
    result = typed(*words)
    (line,) = result.stderr.splitlines()
    answer = line.removeprefix("nnexp: ")
    assert result.returncode == 2, answer
    assert not hints or any(hint in answer for hint in hints), answer
    assert len(answer) <= MOST_CHARACTERS, answer
    assert all(part.count(",") <= MOST_NAMES for part in answer.split("must be one of")[1:]), answer
    assert not any(word in answer for word in OF_PARSERS), answer
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(beside)


FILES: list[tuple[str, str]] = [
    ("optimizer: Adam", "optimizer=Adam: must be one of adadelta, adagrad, adam, adamw, 8 more, did you mean adam?"),
    ("optimizer: {lr: 0.1}", "optimizer.lr: no such key, did you mean optimizer.learning_rate?"),
    (
        "optimizer: [sgd, adam]",
        "must have one optimizer; for a run of each, sweep: {over: {optimizer: ['sgd', 'adam']}}",
    ),
    ("lr: 0.1", "lr: no such key, did you mean optimizer.learning_rate?"),
    ("trainer: {early_stopping: 10}", "must be keys and their values (metric, patience, min_delta, restore)"),
    ("trainer: {early_stopping: none}", "trainer.early_stopping=none: must be null, or "),
    ("architecture: {activation: swish}", "did you mean silu?"),
    ("defaults: [override optimizer: adam]", "must have '- override /optimizer: OPTION' in its defaults, with a slash"),
    ("defaults: [override /optimiser: adam]", "optimiser, set by experiment=a: no such key, did you mean optimizer?"),
    ("defaults: [{/optimizer: '???'}]", "optimizer: must be chosen, optimizer=OPTION"),
    ("defaults: [_self_, _self_]", "experiment/a: must have _self_ once"),
    ("defaults: [override /loss: huber, /tracking: none]", "must have what it overrides at the end of its defaults"),
]


@pytest.mark.parametrize(("text", "line"), FILES)
def test_a_mistake_in_a_file_is_told_likewise(typed: Typed, tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "a.yaml").write_text(f"# @package _global_\n{text}\n")
    result = typed("--config-dir=mine", "experiment=a")
    assert result.returncode == 2
    assert line in result.stderr
