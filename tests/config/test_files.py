"""Every file under conf/ and experiments/: explained, complete, and run for a few steps."""

from collections.abc import Callable
from dataclasses import fields
from functools import cache, reduce
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from nnexp import run
from nnexp.config.compose import compose_experiment
from nnexp.config.search_path import register
from nnexp.core.component import Component, resolved
from nnexp.core.files import shipped
from nnexp.data import csv
from nnexp.nn.architectures import Layers
from nnexp.sweeps.options import sweep_options

CONF, EXPERIMENTS = shipped("conf"), shipped("experiments")
OPTIONS = sorted(path for path in CONF.rglob("*.yaml") if path.parent != CONF and "hydra" not in path.parts)
NAMES = sorted(str(path.relative_to(EXPERIMENTS).with_suffix("")) for path in EXPERIMENTS.rglob("*.yaml"))
SHORT = ["trainer.epochs=2", "tracking=none", "verbose=false"]
PLAIN = [*SHORT, "figures=false"]

HEART = Path(csv.__file__).with_name("tables") / "heart.csv"
FINISHED = Path(__file__).parent.parent / "written_by_0_1" / "finished"
CLASSES, NUMBERS = ["loss=sparse_categorical_cross_entropy"], ["loss=mean_squared_error"]
EMBEDDING = ["architecture.outputs=2", "dataset.count=50"]
NEEDS = {
    **{f"dataset={name}": CLASSES for name in ("digits", "iris", "wine", "spiral", "mnist1d", "modular")},
    **{f"dataset={name}": NUMBERS for name in ("sine", "diabetes", "teacher", "polynomial", "noise")},
    "dataset=csv": [f"dataset.path={HEART}", "dataset.missing=median"],
    "dataset=pairs": ["loss=contrastive", *EMBEDDING],
    "dataset=triplets": ["loss=triplet", *EMBEDDING],
    "dataset=distilled": ["loss=kullback_leibler", "dataset.trees=10"],
    "loss=contrastive": ["dataset=pairs", *EMBEDDING],
    "loss=triplet": ["dataset=triplets", *EMBEDDING],
    "architecture=layers": ["trainer.batch_size=32"],
    "initializer=from_run": [
        "dataset=iris",
        *CLASSES,
        "architecture.hidden=[4]",
        "architecture.dropout=0.1",
        f"initializer.run={FINISHED}",
    ],
}
"""What an option needs beside it."""


def override(option: Path) -> str:
    return f"{option.parent.relative_to(CONF)}={option.stem}"


@pytest.mark.parametrize("option", OPTIONS, ids=override)
def test_every_option_trains_on(option: Path, in_folder: Callable[[], Path]) -> None:
    if option.stem == "mnist1d":
        pytest.importorskip("mnist1d")
    chosen = use(option)
    short = [word for word in PLAIN if not (option.parent.name == "tracking" and word == "tracking=none")]
    result = run([*chosen, *short])
    assert np.isfinite(result.history.metrics["test/loss"]).all()
    assert result.folder.is_relative_to(in_folder())


def use(option: Path) -> list[str]:
    """Return the overrides that bring an option into a run."""
    if option.parent.name == "layer":
        return ["architecture=layers", f"architecture.hidden=[dense,{option.stem}]"]
    if option.parent.name == "figure":
        return [f"sweep.figures=[{option.stem}]"]
    if option.parent.name == "diagnostic":
        return [
            f"trainer.diagnostics=[{option.stem}]",
            *(["architecture.activation=relu"] * (option.stem == "dead_units")),
        ]
    return [override(option), *NEEDS.get(override(option), [])]


@cache
def of_option(option: Path) -> object:
    """Return the component that an option makes."""
    if option.parent.name == "figure":
        register()
        with initialize_config_dir(str(CONF), job_name="nnexp", version_base="1.3"):
            (figure,) = sweep_options(compose("config", use(option))).figures or ()
        return figure
    experiment = compose_experiment(use(option))
    if option.parent.name == "diagnostic":
        return experiment.trainer.diagnostics[0]
    if option.parent.name == "layer":
        assert isinstance(experiment.architecture, Layers)
        return experiment.architecture.hidden[1]
    return reduce(getattr, override(option).split("=")[0].split("/"), experiment)


@pytest.mark.parametrize("option", OPTIONS, ids=override)
def test_every_option_states_and_explains_all_its_fields(option: Path) -> None:
    lines = [line for line in option.read_text().splitlines() if line != "# @package _global_"]
    assert lines[0].startswith("# "), "what it is"
    skipped = ("_target_", "defaults", "- _self_", "optimizer:", "trainer:", "regularization:")
    assert all("#" in line for line in lines[1:] if not line.strip().startswith(skipped)), "what each field is"
    stated = OmegaConf.load(option)
    assert isinstance(stated, DictConfig)
    names = {*stated, *stated.get("optimizer", {}), *(str(key) for item in stated.get("defaults", []) for key in item)}
    component = of_option(option)
    assert isinstance(component, Component)
    assert {field.name for field in fields(component)} <= names


@pytest.mark.parametrize("option", OPTIONS, ids=override)
def test_every_option_says_the_defaults_of_its_class(option: Path) -> None:
    """So that a component in a list, or made in Python, is the one that the file describes."""
    component = of_option(option)
    assert isinstance(component, Component)
    if option.parent.name in ("dataset", "activation", "architecture") or option.stem in DIFFERENT:
        return
    assert resolved(component) == resolved(type(component)())


VARIANTS = ("glorot", "he_", "lecun", "adamw")
DIFFERENT = {"sgd", "momentum", "nesterov", "residual", "activate", "from_run"}
DIFFERENT |= {path.stem for path in OPTIONS if path.stem.startswith(VARIANTS)}
"""Options that are variants of a class, and those whose learning rate suits the default run."""


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_trains_and_says_what_to_look_at(name: str, in_folder: Callable[[], Path]) -> None:
    text = (EXPERIMENTS / f"{name}.yaml").read_text()
    short = PLAIN if "/" in name else SHORT  # the others have the figures of these
    result = run([f"experiment={name}", *short, *(["trainer.iterations=2"] if "iterations" in text else [])])
    assert len(result.history) == 3
    assert result.folder.is_relative_to(in_folder())
    lines = text.splitlines()
    assert lines[0] == "# @package _global_"
    assert lines[1].startswith("# ")
    assert "question:" in text


def test_a_folder_of_ones_own_is_searched(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nseed: 9\n")
    assert compose_experiment(["experiment=mine"], config_dir=tmp_path).seed == 9
