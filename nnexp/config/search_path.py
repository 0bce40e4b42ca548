"""Where configs are found: `conf/` and `experiments/`, in a checkout and in an installed wheel alike.

The folder `experiments/` is Hydra's config group `experiment`. Hydra names a group by its folder, so a small config
source translates between the two names.
"""

import os
import sys
from pathlib import Path

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin

from nnexp.config import sweep_functions

GROUP = "experiment"


def folder(name: str) -> Path:
    """Return the folder of this name that came with nnexp: in the package when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / name
    return installed if installed.is_dir() else package.parent / name


class ExperimentSource(FileConfigSource):
    """Serves the files of a folder as the options of the config group `experiment`."""

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
        search_path.append("nnexp", f"{ExperimentSource.scheme()}://{folder('experiments')}")


def register() -> None:
    """Make Hydra know config source, search path, sweeper and functions; calling it again changes nothing."""
    plugins = str(Path(__file__).resolve().parent.parent / "_plugins")
    if plugins not in sys.path:
        sys.path.append(plugins)
        # Launchers that are not ours begin processes that read a pickled config, in which our plugins are named.
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), plugins]))
    for plugin in (ExperimentSource, ExperimentSearchPath):
        Plugins.instance().register(plugin)
    sweep_functions.install()


def _is_experiment(config_path: str) -> bool:
    return config_path == GROUP or config_path.startswith(f"{GROUP}/")


def _inside(config_path: str) -> str:
    return config_path.removeprefix(GROUP).removeprefix("/")
