"""The files of a run: what was written comes back as it was, to the last bit."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from nnexp.core.component import Array
from nnexp.storage.run_folder import (
    HISTORY,
    SUMMARY,
    RunSummary,
    read_history,
    write_history,
    write_parameters,
    write_yaml,
)
from nnexp.training.history import History
from tests.conftest import tries

files = tries(60)

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
metric_names = st.sampled_from(["train/loss", "test/loss", "test/accuracy", 'a "quoted", name', "two\nlines"])
floats = st.floats(allow_nan=True, allow_infinity=True)


@st.composite
def histories(draw: st.DrawFn) -> History:
    times = sorted(draw(st.sets(st.integers(0, 2**40), max_size=8)))
    chosen = draw(st.lists(metric_names, unique=True, max_size=4))
    rows = st.lists(floats, min_size=len(times), max_size=len(times))
    metrics: dict[str, Array] = {name: np.array(draw(rows), np.float64) for name in chosen}
    return History(np.array(times, np.intp), metrics, draw(st.sampled_from(["epoch", "iteration"])))


@files
@given(history=histories())
def test_a_history_comes_back_to_the_last_bit(history: History, tmp_path: Path) -> None:
    write_history(tmp_path, history)
    again = read_history(tmp_path)
    assert again.unit == history.unit
    assert again.times.dtype == history.times.dtype
    assert again.times.tolist() == history.times.tolist()
    assert list(again.metrics) == list(history.metrics)
    for name, values in history.metrics.items():
        assert again.metrics[name].dtype == np.float64
        finite = ~np.isnan(values)
        assert again.metrics[name][finite].tobytes() == values[finite].tobytes()
        assert np.isnan(again.metrics[name][~finite]).all()
    assert [path.name for path in tmp_path.iterdir()] == [HISTORY]


def test_a_history_is_a_table_that_others_can_read(tmp_path: Path) -> None:
    write_history(tmp_path, History(np.array([1, 20]), {"train/loss": np.array([0.1, 1e-300])}))
    assert (tmp_path / HISTORY).read_text().splitlines() == ["epoch,train/loss", "1,0.1", "20,1e-300"]


numbers = st.dictionaries(metric_names, st.floats(allow_nan=False, allow_infinity=False), max_size=3)
summaries = st.builds(
    RunSummary,
    config_hash=st.text("0123456789abcdef", min_size=12, max_size=12),
    data_digest=st.text("0123456789abcdef", min_size=8, max_size=8),
    version=names,
    unit=st.sampled_from(["epoch", "iteration"]),
    length=st.integers(1, 2**60),
    end=numbers,
    best=numbers,
    best_time=st.none() | st.integers(0, 2**60),
    at_best=numbers,
    baselines=numbers,
    diverged_step=st.none() | st.integers(1, 2**60),
    stopped=st.none() | names,
    seconds=st.floats(0, allow_infinity=False),
    final=numbers,
    final_time=st.integers(0, 2**60),
)


@files
@given(summary=summaries)
def test_a_summary_comes_back_as_it_was(summary: RunSummary, tmp_path: Path) -> None:
    summary.write(tmp_path)
    assert RunSummary.read(tmp_path) == summary


SUMMARIES: Mapping[str, str] = {
    "nothing": "",
    "half": '{"config_hash": "0123',
    "a list": "[]",
    "a number": "3",
    "of another version": '{"config_hash": "0123456789ab"}',
}


@pytest.mark.parametrize("text", SUMMARIES.values(), ids=SUMMARIES)
def test_what_is_no_summary_is_none(text: str, tmp_path: Path) -> None:
    assert RunSummary.read(tmp_path) is None
    (tmp_path / SUMMARY).write_text(text)
    assert RunSummary.read(tmp_path) is None


def test_a_field_of_a_later_version_is_not_read(tmp_path: Path) -> None:
    summary = RunSummary("0" * 12, "abc", "1", "epoch", 3, {}, {}, None, {}, {}, None, None, 0.5)
    summary.write(tmp_path)
    tree = json.loads((tmp_path / SUMMARY).read_text())
    (tmp_path / SUMMARY).write_text(json.dumps({**tree, "more": 1}))
    assert RunSummary.read(tmp_path) == summary
    del tree["seconds"]
    (tmp_path / SUMMARY).write_text(json.dumps(tree))
    assert RunSummary.read(tmp_path) is None


WORDS = [
    *("1e3", "1E-3", "-1e+3", "1.", ".5", "-.5e3", "1_0", "1_000.0", "0x1F", "0o17", "0b11", "017", "1:30", "1:30.5"),
    *("nan", ".nan", ".NaN", "inf", "-inf", ".inf", "-.INF", "infinity"),
    *("null", "Null", "~", "none", "None", "true", "True", "yes", "no", "on", "off", "y", "n"),
    *("", " ", " a", "a ", "a: b", "a #b", "#", "- a", "-", "?", "!tag", "&a", "*a", "%", "@", "`", "|", ">", "'", '"'),
    *(
        "[1]",
        "{a: 1}",
        "2026-11-22",
        "2026-11-22 10:00:00",
        "<<",
        "=",
        "é",
        "\t",
        "\n",
        "two\nlines\n",
        "\\",
        "\\n",
        "🜁",
    ),
]


def read_again(content: Mapping[str, object], folder: Path) -> object:
    write_yaml(folder / "config.yaml", content)
    return OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))


@pytest.mark.parametrize("word", WORDS)
def test_text_that_looks_like_something_else_stays_text(word: str, tmp_path: Path) -> None:
    content = {"text": word, "list": [word, {"inner": word}]}
    assert read_again(content, tmp_path) == content


numbers_and_more = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
texts = st.text(st.characters(codec="utf-8", exclude_characters="$"), max_size=8) | st.text(
    "0123456789eE+-.:", max_size=6
)
configs = st.dictionaries(
    st.text("abc_", min_size=1, max_size=3),
    st.recursive(
        numbers_and_more | texts,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, max_size=2)
        ),
        max_leaves=5,
    ),
    max_size=4,
)


@files
@given(config=configs)
def test_a_config_comes_back_through_hydra_s_reader(config: dict[str, object], tmp_path: Path) -> None:
    again = read_again(config, tmp_path)
    assert again == config
    assert repr(again) == repr(config), "of the same types, in the same order"


@files
@given(config=configs)
def test_a_config_comes_back_through_any_reader_of_yaml(config: dict[str, object], tmp_path: Path) -> None:
    write_yaml(tmp_path / "config.yaml", config)
    assert repr(yaml.safe_load((tmp_path / "config.yaml").read_text(encoding="utf-8"))) == repr(config)


def test_parameters_come_back_with_their_names_and_types(tmp_path: Path) -> None:
    parameters = {
        "0.weight": np.array([[1.5, np.nan], [np.inf, -0.0]]),
        "0.bias": np.array([1e-40], np.float32),
        "2.file": np.empty((0, 3)),
    }
    write_parameters(tmp_path / "parameters.npz", parameters)
    with np.load(tmp_path / "parameters.npz") as found:
        assert set(found) == set(parameters)
        for name, values in parameters.items():
            assert (found[name].dtype, found[name].shape) == (values.dtype, values.shape)
            assert found[name].tobytes() == values.tobytes()
    assert [path.name for path in tmp_path.iterdir()] == ["parameters.npz"]
