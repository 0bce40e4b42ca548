"""Texts are taken as they are typed, wherever overrides come in."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString

from nnexp import run
from nnexp.config.command_line import with_quoted_texts
from nnexp.config.search_path import register
from nnexp.sweeps.pair import setting_of
from tests.conftest import CommandLine, Finished

TYPED: list[tuple[str, object]] = [
    ("question=Why, then?", "Why, then?"),
    ("question=Isn't it {x: 1}, [2", "Isn't it {x: 1}, [2"),
    ("++question=a=b", "a=b"),
    ("question=true", "true"),
    ("question=null", None),
    ("question='null'", "null"),
    ("question='it\\'s \"so\"'", "it's \"so\""),
    ("question=", ""),
    ("output_dir=~/lr=0.1", "~/lr=0.1"),
    ("output_dir=a,b", "a,b"),
    ("resume=1234", "1234"),
    ("tracking.uri=postgresql://me:p&ss;#@host/db?x=1", "postgresql://me:p&ss;#@host/db?x=1"),
    *[(f"dataset.separator={sign}", sign) for sign in (";", ",", "|", "'", '"', " ", r"\t", r"\s+", "#")],
    ("dataset.path=müller.csv", "müller.csv"),
    ("dataset.path=fraud (1).csv", "fraud (1).csv"),
    ("dataset.path=C:\\Users\\me\\", "C:\\Users\\me\\"),
    ("dataset.path='flats.csv", "'flats.csv"),
    ("dataset.path=[a] b.csv", "[a] b.csv"),
    ("dataset.target=Strength(MPa, megapascals) ", "Strength(MPa, megapascals) "),
    ("dataset.target=Price ($)", "Price ($)"),
    ("dataset.target=4", "4"),
    ("dataset.target=01", "01"),
    ("dataset.target=[Price ($),0]", ["Price ($)", "0"]),
    ("dataset.ignore=[# pets,'a, b',O'Brien, f(x, y)]", ["# pets", "a, b", "O'Brien", "f(x, y)"]),
    ("dataset.categorical=auto", "auto"),
    ("dataset.missing_values=[-200,'',?]", ["-200", "", "?"]),
    ("dataset.target=choice(is 5%?,4)", ["is\\ 5%?", "4"]),
    ("dataset.path='a.csv','b.csv'", ["'a.csv'", "'b.csv'"]),
    ("dataset.path=zip(a b.csv,c.csv)", ["a\\ b.csv", "c.csv"]),
    ("dataset.ignore=[a],[b c]", ["[a]", "['b c']"]),
]  # fmt: skip


def text_of(value: object) -> object:
    if isinstance(value, list):
        return [text_of(item) for item in value]
    return value.text if isinstance(value, QuotedString) else value


@pytest.mark.parametrize(("typed", "expected"), TYPED)
def test_hydra_reads_what_was_typed(typed: str, expected: object) -> None:
    register()
    (override,) = with_quoted_texts([typed])
    parsed = OverridesParser.create().parse_override(override)
    value = [*parsed.sweep_string_iterator()] if parsed.is_sweep_override() else text_of(parsed.value())
    assert value == expected
    assert with_quoted_texts([override]) == [override], "as it is recorded, and replayed"


@pytest.mark.parametrize("override", ["seed=1,2", "optimizer.learning_rate=4", "dataset.path=flats.csv", "~resume"])
def test_what_needs_no_quotes_stays_as_it_is(override: str) -> None:
    assert with_quoted_texts([override]) == [override]


TABLE = "0,is 5%?,Price ($)\n" + "".join(f"{row % 5},{row % 2},{row % 3}\n" for row in range(30))
FILE, OPTIONS = "müller (1).csv", ["dataset=csv", "trainer.epochs=2", "tracking=none", "verbose=false"]


def test_odd_names_of_files_and_columns_are_trained_on(nnexp: CommandLine) -> None:
    (nnexp.folder / FILE).write_text(TABLE)
    options = [*OPTIONS, f"dataset.path={FILE}", "dataset.ignore=[Price ($)]", "output_dir=lr=0.1, ~"]
    result = nnexp("dataset.target=is 5%?", "question=Why, then?", *options)
    assert (result.returncode, result.stderr) == (0, "")
    assert "Why, then?" in next((nnexp.folder / "lr=0.1, ~").rglob("report.md")).read_text()


def test_a_sweep_takes_texts_likewise(typed: Callable[..., Finished], tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(TABLE)
    options = [*OPTIONS, f"dataset.path={FILE}", "loss=sparse_categorical_cross_entropy", "sweep.plan=true"]
    result = typed("-m", "dataset.target=choice(is 5%?,0)", *options)
    assert result.returncode == 0, result.stderr
    assert "dataset.target: 'is 5%?', '0'" in result.stdout


def test_python_takes_texts_likewise(in_folder: Callable[[], Path]) -> None:
    (in_folder() / FILE).write_text(TABLE)
    result = run([*OPTIONS, f"dataset.path={FILE}", "dataset.target=is 5%?", "figures=false"])
    assert result.history.metrics["test/accuracy"][-1] == 0.5


def test_a_comparison_takes_texts_likewise(tmp_path: Path) -> None:
    assert setting_of('dataset.target="is 5%?" optimizer=adam', tmp_path) == [
        "dataset.target='is 5%?'",
        "optimizer=adam",
    ]


def test_two_texts_in_quotes_with_words_between_are_one_text() -> None:
    assert with_quoted_texts(['question="a" or "b"']) == ['question=\'"a" or "b"\'']
    assert with_quoted_texts(["question='it is'"]) == ["question='it is'"]
