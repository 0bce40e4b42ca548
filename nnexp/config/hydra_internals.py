"""Everything that nnexp uses of Hydra's internals: when Hydra changes, only this module has to."""

from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.grammar.functions import Functions
from hydra._internal.hydra import Hydra
from hydra._internal.sources_registry import SourcesRegistry
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser import overrides_parser
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigSource
from hydra.types import RunMode
from omegaconf import DictConfig

__all__ = ["FileConfigSource", "extend", "flag_parser", "known_functions", "set_values"]

_functions_of_hydra = overrides_parser.create_functions
_mode_of_hydra = Hydra.get_mode


def flag_parser() -> ArgumentParser:
    """Return the parser of Hydra's flags, such as --multirun."""
    parser: ArgumentParser = get_args_parser()
    return parser


def extend(source: type[ConfigSource], functions: Mapping[str, Callable[..., object]]) -> Callable[[], None]:
    """Let Hydra read configs with a class of its own, and overrides call further functions; return what undoes that.

    Hydra composes the whole config once more to learn whether it says `hydra.mode`, as no file may: only what is typed
    is asked for.

    Args:
        source: Reads the configs of its scheme.
        functions: Those that overrides may call, too.
    """
    types = SourcesRegistry.instance().types
    before = types[source.scheme()], overrides_parser.create_functions

    def create_functions() -> Functions:
        known = _functions_of_hydra()
        for name, function in functions.items():
            known.register(name, function)
        return known

    def get_mode(hydra: Hydra, config_name: str | None, overrides: list[str]) -> RunMode | None:
        said = any("hydra.mode" in override for override in overrides)
        mode: RunMode | None = _mode_of_hydra(hydra, config_name, overrides) if said else None
        return mode

    def undo() -> None:
        types[source.scheme()], overrides_parser.create_functions = before
        Hydra.get_mode = _mode_of_hydra  # type: ignore[method-assign]

    types[source.scheme()], overrides_parser.create_functions = source, create_functions
    Hydra.get_mode = get_mode  # type: ignore[assignment, method-assign]
    return undo


def known_functions() -> Mapping[str, Sequence[str]]:
    """Return the names of the parameters of every function that overrides may call."""
    definitions = overrides_parser.create_functions().definitions
    return {name: list(signature.parameters) for name, signature in definitions.items()}


def set_values(overrides: Sequence[Override], config: DictConfig) -> None:
    """Set the values of overrides in a composed config, as Hydra does after it has merged the files."""
    ConfigLoaderImpl._apply_overrides_to_config(list(overrides), config)  # noqa: SLF001
