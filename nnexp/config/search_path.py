"""The folders of configs, `conf/` and `experiments/`, in a checkout or an installed wheel.

The folder `experiments/` is Hydra's config group `experiment`. Hydra names a group by its folder, so a small config
source translates between the two names. Files of all folders but `conf/` are checked when they are read.
"""

import os
import sys
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import cache
from importlib import import_module
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nnexp.config.file_checks import UNREADABLE, check_file, checked_yaml
from nnexp.config.hydra_internals import FileConfigSource, extend
from nnexp.config.sweep_functions import FUNCTIONS
from nnexp.core.errors import UserError
from nnexp.core.files import shipped

GROUP = "experiment"


def is_group(name: str) -> bool:
    """Tell whether a name is that of a config group of nnexp, other than `experiment`."""
    return os.path.isdir(shipped("conf") / name)  # noqa: PTH112 - no error for a long path


class FolderSource(FileConfigSource):
    """Reads the configs in a folder, and none outside of it; Hydra's own source would follow `../`."""

    def load_config(self, config_path: str) -> ConfigResult:
        """Return the content of a file, checked unless it came with nnexp."""
        if Path(self.path) == shipped("conf"):
            return deepcopy(_as_it_came(self.provider, self.path, config_path))
        path = Path(self.path, self._normalize_file_name(config_path))
        try:
            checked_yaml(path.read_text(encoding="utf-8"))
            result = super().load_config(config_path)
            content = OmegaConf.to_container(result.config)
        except (*UNREADABLE, OmegaConfBaseException) as error:
            raise UserError(f"{path}: must be a YAML file ({' '.join(str(error).split())})") from error
        # A file in a folder of this name would be put under the key `hydra` by its place alone.
        package = next((part for part in (*Path(config_path).parts, path.stem) if part == "hydra"), None)
        check_file(str(path), content, package or result.header.get("package"))
        named = {str(key): value for key, value in content.items()} if isinstance(content, dict) else {}
        if result.header.get("package") == "_global_":
            result.config = OmegaConf.create(_with_choices(str(path), named))
        elif "_target_" in named:
            result.config = OmegaConf.create(_with_defaults(str(path), named))
        return result

    def is_group(self, config_path: str) -> bool:
        """Tell whether a path is a folder within this one."""
        return _within(config_path) and super().is_group(config_path)

    def is_config(self, config_path: str) -> bool:
        """Tell whether a path is a file within this folder."""
        return _within(config_path) and super().is_config(config_path)


@cache
def _as_it_came(provider: str, path: str, config_path: str) -> ConfigResult:
    """Return the content of a file that came with nnexp, which every command composes several times.

    Hydra changes what it is given.
    """
    return FileConfigSource(provider, path).load_config(config_path)


class ExperimentSource(FolderSource):
    """Reads the configs in a folder as the options of the config group `experiment`."""

    @staticmethod
    def scheme() -> str:
        """Return the scheme of such a source in a search path."""
        return "experiments"

    def load_config(self, config_path: str) -> ConfigResult:
        """Return the content of one experiment."""
        return super().load_config(_inside(config_path))

    def is_group(self, config_path: str) -> bool:
        """Tell whether a path is a folder of experiments."""
        return config_path == "" or (_is_experiment(config_path) and super().is_group(_inside(config_path)))

    def is_config(self, config_path: str) -> bool:
        """Tell whether a path is an experiment."""
        return _is_experiment(config_path) and super().is_config(_inside(config_path))

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Return the names of experiments or folders of experiments directly below a path."""
        if config_path == "":
            return [] if results_filter is ObjectType.CONFIG else [GROUP]
        names: list[str] = []
        for entry in Path(self.path, _inside(config_path)).iterdir():
            self._list_add_result(names, f"{config_path}/{entry.name}", entry.name, results_filter)
        return sorted(names)


class ExperimentSearchPath(SearchPathPlugin):
    """Adds the experiments that come with nnexp to Hydra's search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the folder `experiments`."""
        search_path.append("nnexp", f"{ExperimentSource.scheme()}://{shipped('experiments')}")


def register() -> Callable[[], None]:
    """Register config sources, search path, sweeper and functions with Hydra, and return what undoes it.

    Sweeper and search path stay: another program that uses Hydra in this process does not see them.
    """
    plugins = str(Path(__file__).resolve().parent.parent / "_plugins")
    if plugins not in sys.path:
        sys.path.append(plugins)
    known = Plugins.instance()
    sweeper = import_module("hydra_plugins.nnexp_sweep")  # where another program began to use Hydra, it is not known
    for plugin in (ExperimentSource, ExperimentSearchPath, sweeper.NNexpSweeper, sweeper.NNexpLauncher):
        known.register(plugin)
    return extend(FolderSource, FUNCTIONS)


def _with_choices(name: str, content: Mapping[str, object]) -> dict[str, object]:
    """Return the content of a file whose lines such as `optimizer: adam` choose options, as its `defaults` do."""
    groups = {key: value for key, value in content.items() if is_group(key)}
    for key, value in groups.items():
        if isinstance(value, list):
            raise UserError(f"{name}: must have one {key}; for a run of each, sweep: {{over: {{{key}: {value}}}}}")
    chosen = [{f"override /{key}": value} for key, value in groups.items() if isinstance(value, str)]
    others = {key: value for key, value in content.items() if not (key in groups and isinstance(value, str))}
    defaults = others.get("defaults", [])
    return {**others, "defaults": [*defaults, *chosen]} if chosen and isinstance(defaults, list) else {**content}


def _with_defaults(name: str, content: Mapping[str, object]) -> dict[str, object]:
    """Return the content of a file that names a class, with the defaults of the fields that it does not list."""
    from nnexp.core.build import locate
    from nnexp.core.component import Component, default_fields  # questions about configs are answered without NumPy

    component = locate(content, Component, name)
    defaults = content.get("defaults", [])
    chosen = [{*entry} for entry in defaults if isinstance(entry, dict)] if isinstance(defaults, list) else []
    listed = {*content, *(str(key).split()[-1] for keys in chosen for key in keys)}
    return {**{key: value for key, value in default_fields(component).items() if key not in listed}, **content}


def _within(config_path: str) -> bool:
    return ".." not in Path(config_path).parts and not Path(config_path).is_absolute()


def _is_experiment(config_path: str) -> bool:
    return config_path == GROUP or config_path.startswith(f"{GROUP}/")


def _inside(config_path: str) -> str:
    return config_path.removeprefix(GROUP).removeprefix("/")
