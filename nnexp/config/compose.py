"""Composes configs outside of the command line, and checks and builds the experiments they describe."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import RLock
from typing import cast

from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.utils import JobRuntime
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nnexp.config.command_line import check_words, quoted, with_quoted_texts
from nnexp.config.experiment import Experiment
from nnexp.config.hydra_errors import one_line, refusal
from nnexp.config.known_keys import unknown_key
from nnexp.config.search_path import register
from nnexp.core.build import Node, Options, build
from nnexp.core.component import Component, flat, resolved
from nnexp.core.errors import UnknownKeyError, UserError
from nnexp.core.expressions import with_formulas
from nnexp.core.files import shipped
from nnexp.data.dataset import Dataset
from nnexp.nn.activations import Activation
from nnexp.nn.initializers import Initializer
from nnexp.nn.layers import Layer
from nnexp.training.diagnostic import Diagnostic

ONE_HYDRA = RLock()
"""Held by the thread that composes, for Hydra has one state for the whole process."""
SWEEP = "sweep"
"""The key of the settings of sweeps, which are no part of a run."""
GROUPS: dict[type[Component], str] = {
    Activation: "architecture/activation",
    Layer: "architecture/layer",
    Initializer: "initializer",
    Dataset: "dataset",
    Diagnostic: "diagnostic",
}
"""The config groups whose options may be given by name alone, by the kind of component that is expected."""


def compose_experiment(overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> Experiment:
    """Return the checked experiment for Hydra overrides, as the command line composes it.

    Raises UserError if the overrides do not make a valid experiment.

    Args:
        overrides: Such as `["optimizer.learning_rate=0.3", "architecture.hidden=[32,16]"]`.
        config_dir: A folder with configs of your own, searched beside those of nnexp.
    """
    own = searched(config_dir)
    check_words(overrides)
    with _initialized():
        try:
            config = compose("config", [*with_quoted_texts(overrides), *own])
        except Exception as error:
            mistake = refusal(error, overrides)
            if mistake is None:
                raise
            raise mistake from error
        return check(config)


def searched(config_dir: str | Path | None) -> list[str]:
    """Return the override by which configs are searched in a folder, too; none where there is no folder.

    Raises UserError if it is no folder.
    """
    if config_dir is None:
        return []
    folder = Path(config_dir).expanduser().resolve()
    if not folder.is_dir():
        raise UserError(f"config_dir={config_dir}: must be a folder")
    return [f"hydra.searchpath=[{quoted(f'file://{folder}')}]"]


@contextmanager
def sweep_config(options: Sequence[str]) -> Iterator[tuple[ConfigLoader, DictConfig]]:
    """Yield Hydra's loader of configs, and the config of a sweep with these overrides, as the command line has them.

    An error of Hydra about what the user has typed becomes a UserError.
    """
    with _initialized():
        loader = GlobalHydra.instance().config_loader()
        try:
            yield loader, loader.load_configuration("config", overrides=[*options], run_mode=RunMode.MULTIRUN)
        except Exception as error:
            mistake = None if isinstance(error, UserError) else refusal(error, options)
            if mistake is None:
                raise
            raise mistake from error


@cache
def default_config() -> Mapping[str, object]:
    """Return the resolved config of a run without overrides."""
    return resolved(compose_experiment())


def check(config: DictConfig, options: Options | None = None) -> Experiment:
    """Return the checked experiment of a composed config, while Hydra is initialized.

    Raises UserError if a key is unknown, or a value has the wrong type or is out of range.

    Args:
        config: The config that Hydra composed.
        options: Returns the named options; None reads them from Hydra's search path.
    """
    try:
        content = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(one_line(error)) from error
    run = {key: value for key, value in cast("Node", content).items() if key != SWEEP}
    try:
        return build(with_formulas(run, flat(run)), Experiment, options=options or options_of)
    except UnknownKeyError as error:
        raise UserError(unknown_key(error.path, error.known)) from error


def options_of(kind: type[Component]) -> Mapping[str, Node] | None:
    """Return the options for a kind of component, while Hydra is initialized; None if the kind has no config group."""
    return options_in(GROUPS[kind]) if kind in GROUPS else None


def options_in(group: str) -> Mapping[str, Node]:
    """Return the options of a config group, while Hydra is initialized."""
    loader = GlobalHydra.instance().config_loader()
    sources = loader.get_sources()
    found: dict[str, Node] = {}
    for name in loader.get_group_options(group, ObjectType.CONFIG):
        source = next(source for source in sources if source.is_config(f"{group}/{name}"))
        content = OmegaConf.to_container(source.load_config(f"{group}/{name}").config)
        if not isinstance(content, dict):
            raise UserError(f"{group}/{name}: must be a mapping")
        found[name] = {str(key): value for key, value in content.items()}
    return found


@contextmanager
def _initialized() -> Iterator[None]:
    """Let Hydra find the configs of nnexp; threads take turns, and a Hydra that is at work already is set aside."""
    with ONE_HYDRA:
        before, about, job = GlobalHydra.instance().hydra, HydraConfig.instance().cfg, JobRuntime.instance().conf
        JobRuntime.instance().conf = job.copy()
        GlobalHydra.instance().clear()
        undo = register()
        try:
            with initialize_config_dir(str(shipped("conf")), job_name="nnexp", version_base="1.3"):
                yield
        finally:
            undo()
            GlobalHydra.instance().hydra, HydraConfig.instance().cfg = before, about
            JobRuntime.instance().conf = job
