"""Composing configs outside of the command line, and what both ways need from Hydra."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from omegaconf import DictConfig, OmegaConf

from nnexp.config.arguments import with_quoted_paths
from nnexp.config.build import Node, build_experiment
from nnexp.config.experiment import Experiment
from nnexp.config.identity import resolved
from nnexp.config.messages import check_words, refusal
from nnexp.config.search_path import folder, register
from nnexp.errors import UserError


def compose_experiment(overrides: Sequence[str] = (), config_dir: str | Path | None = None) -> Experiment:
    """Return the checked experiment for Hydra overrides, as the command line composes it.

    Arguments
    ---------
    overrides
        Such as `["optimizer.learning_rate=0.3", "architecture.hidden=[32,16]"]`.
    config_dir
        A folder with configs of one's own, searched beside those of nnexp.

    Raises
    ------
    UserError
        If the overrides do not make a valid experiment.

    """
    register()
    own = [f"hydra.searchpath=[file://{Path(config_dir).resolve()}]"] if config_dir is not None else []
    check_words(overrides)
    with _initialized():
        try:
            config = compose("config", [*with_quoted_paths(overrides), *own])
        except Exception as error:
            mistake = refusal(error, overrides)
            if mistake is None:
                raise
            raise mistake from error
        return check(config)


@cache
def default_config() -> Mapping[str, object]:
    """Return the resolved config of a run without overrides, from within a run or outside of one."""
    within = GlobalHydra.instance().is_initialized()
    return resolved(check(compose("config")) if within else compose_experiment())


def check(config: DictConfig) -> Experiment:
    """Return the checked experiment of a composed config, while Hydra is initialized."""
    return build_experiment(config, options)


def options(group: str) -> Mapping[str, Node]:
    """Return the options of a config group in Hydra's search path, while Hydra is initialized."""
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


def _initialized() -> AbstractContextManager[object]:
    return initialize_config_dir(str(folder("conf")), job_name="nnexp", version_base="1.3")
