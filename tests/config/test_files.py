"""Every file under conf/ and experiments/: explained, complete, and run for a few steps."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf

from nnexp import run
from nnexp.config.compose import compose_experiment
from nnexp.config.identity import resolved
from nnexp.config.search_path import folder

CONF, EXPERIMENTS = folder("conf"), folder("experiments")
OPTIONS = sorted(path for path in CONF.rglob("*.yaml") if path.parent != CONF and "hydra" not in path.parts)
NAMES = sorted(str(path.relative_to(EXPERIMENTS).with_suffix("")) for path in EXPERIMENTS.rglob("*.yaml"))
SHORT = ["trainer.epochs=2", "tracking=none", "verbose=false"]

NEEDS = {
    "dataset=digits": ["loss=sparse_categorical_cross_entropy"],
}
"""What an option needs beside it."""


def override(option: Path) -> str:
    return f"{option.parent.relative_to(CONF)}={option.stem}"


@pytest.mark.parametrize("option", OPTIONS, ids=override)
def test_every_option_trains_on(option: Path, in_folder: Callable[[], Path]) -> None:
    chosen = override(option)
    short = [word for word in SHORT if not (chosen.startswith("tracking") and word == "tracking=none")]
    result = run([chosen, *NEEDS.get(chosen, []), *short])
    assert np.isfinite(result.history.metrics["test/loss"]).all()
    assert result.folder.is_relative_to(in_folder())


@pytest.mark.parametrize("option", OPTIONS, ids=override)
def test_every_option_states_and_explains_all_its_fields(option: Path) -> None:
    chosen = override(option)
    text = option.read_text()
    lines = text.splitlines()
    assert lines[0].startswith("# "), "what it is"
    assert all("#" in line for line in lines[1:] if not line.startswith(("_target_", "defaults", "  - _self_")))
    node = resolved(compose_experiment([chosen, *NEEDS.get(chosen, [])]))
    for part in chosen.split("=")[0].split("/"):
        node = node[part]  # type: ignore[assignment]
    stated = OmegaConf.load(option)
    assert isinstance(stated, DictConfig)
    assert set(node) <= {*stated, *[next(iter(item)) for item in stated.get("defaults", []) if item != "_self_"]}


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_trains_and_says_what_to_look_at(name: str, in_folder: Callable[[], Path]) -> None:
    result = run([f"experiment={name}", *SHORT])
    assert len(result.history) == 2
    assert result.folder.is_relative_to(in_folder())
    text = (EXPERIMENTS / f"{name}.yaml").read_text().splitlines()
    assert text[0] == "# @package _global_"
    assert text[1].startswith("# ")


def test_a_folder_of_ones_own_is_searched(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nseed: 9\n")
    assert compose_experiment(["experiment=mine"], config_dir=tmp_path).seed == 9
