"""Turns errors of Hydra into messages of one line, with proposals for misspelt words."""

import os
import re
import sys
from collections.abc import Sequence
from traceback import walk_tb
from types import NoneType

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException, ValidationError

from nnexp.config.hydra_internals import known_functions
from nnexp.config.search_path import folder
from nnexp.core.errors import UserError, did_you_mean, no_such_key

HYDRA_PACKAGES = ("hydra", "omegaconf", "antlr4")
"""Packages whose errors are about the overrides of the user."""


def refusal(error: Exception, overrides: Sequence[str]) -> UserError | None:
    """Return the user's mistake behind an error of Hydra or OmegaConf; None for a bug.

    Args:
        error: The error.
        overrides: The overrides, for errors that do not name the one they are about.
    """
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return UserError(one_line(error))
    packages = [frame.f_globals.get("__name__", "").partition(".")[0] for frame, _ in walk_tb(error.__traceback__)]
    own = [package for package in packages if package not in sys.stdlib_module_names]
    if own[-1] not in HYDRA_PACKAGES:
        return None
    blamed = [override for override in overrides if _is_odd(override)] or overrides
    return UserError(f"{' '.join(blamed)}: must be something that Hydra understands ({error})")


def other_launcher(name: str) -> UserError:
    """Return the error for a launcher of Hydra or of a plugin, which nnexp does not support."""
    return UserError(f"hydra/launcher={name}: must be nnexp, which trains runs together, here or on a cluster of Dask")


def _is_odd(override: str) -> bool:
    """Tell whether an override cannot be parsed, or chooses for a group something other than a name."""
    try:
        parsed = OverridesParser.create().parse_override(override)
        value = parsed.value()
    except (HydraException, ValueError, RecursionError):
        return not override.startswith("-")
    names = value if isinstance(value, list) else [value]
    group = os.path.isdir(folder("conf") / parsed.key_or_group)  # noqa: PTH112 - no error for a long path
    return group and not isinstance(value, (dict, NoneType)) and not all(isinstance(name, str) for name in names)


def one_line(error: Exception) -> str:
    """Return a line that names the key, the value and what is allowed."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file is not None:
        group, _, name = error.missing_cfg_file.rpartition("/")
        choices = ", ".join(error.options or ())
        return f"{group or 'config'}={name}: must be one of {choices}" if choices else _first_line(error)
    if isinstance(error, OverrideParseException):
        return f"{error.override}: {_wrong_value(error)}"
    cause = error.__cause__
    if isinstance(cause, (ConfigKeyError, ConfigAttributeError)) and isinstance(cause.parent_node, DictConfig):
        return no_such_key(str(cause.full_key), [str(key) for key in cause.parent_node])
    if isinstance(cause, ValidationError) and "Sweep" in str(cause):
        override = str(error).removeprefix("Error merging override ")
        return f"{override}: must have its functions in quotes, such as 'range(3)'"
    return _first_line(error) or _first_line(cause or error) or type(error).__name__


def _wrong_value(error: OverrideParseException) -> str:
    """Return what is wrong with a value that Hydra's grammar or one of its functions refuses."""
    cause = error.__cause__
    unknown = re.search(r"Unknown function '(.*)'\nAvailable: (.*)", str(error))
    called = re.search(r"while evaluating '(\w+)", str(error))
    if unknown:
        names = unknown[2].split(",")
        return f"{unknown[1]} is no function{did_you_mean(unknown[1], names) or ', known are ' + ', '.join(names)}"
    if isinstance(cause, TypeError) and called:
        parameters = ",".join(known_functions()[called[1]])
        return f"must be {called[1]}({parameters}) ({cause})"
    if isinstance(cause, ValueError):
        return str(cause)
    return f"not a valid override, must be key=value ({_first_line(error)})"


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split("\n\n")[0].split("See https://")[0].split())
