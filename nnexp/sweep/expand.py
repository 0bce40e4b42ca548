"""The jobs of a sweep: every combination of values on the command line and in a config's `sweep.over`.

`sweep.over` maps keys to lists of values, or to what Hydra's command line takes, such as `range(10)`. A list of such
mappings is a union: all combinations of the first, then those of the second. The command line wins over both.
"""

import json
import re
from collections.abc import Mapping, Sequence
from itertools import product

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.types import RunMode
from omegaconf import OmegaConf

from nnexp.errors import UserError

Job = list[str]
"""The overrides of one run."""
Axes = dict[str, list[str]]
"""The values of every key, as Hydra's command line has them."""
EXPERIMENT = "experiment"
PLAIN = re.compile(r"(?!(true|false|null|nan|inf)$)[a-z_][\w./+-]*", re.ASCII | re.IGNORECASE)
"""Text that needs no quotes on the command line, and is not taken for a number or the like."""


def all_jobs(arguments: Sequence[str], loader: ConfigLoader) -> list[Job]:
    """Return the overrides of every job; several experiments bring each its own sweep.

    Raises
    ------
    UserError
        If `sweep.over` is not what it should be, or a value of the command line cannot be swept over.

    """
    parser = OverridesParser.create(config_loader=loader)
    given: Axes = {}
    for override in parser.parse_overrides(list(arguments)):
        given |= _axis(override)
    jobs: list[Job] = []
    for experiment in given.pop(EXPERIMENT, [""]):
        chosen = {EXPERIMENT: [experiment]} if experiment else {}
        constant = [f"{key}={values[0]}" for key, values in {**chosen, **given}.items() if len(values) == 1]
        config = loader.load_configuration("config", constant, RunMode.RUN)
        keys = {key.lstrip("+") for key in given}
        for block in _blocks(_plain(config.sweep.over)):
            axes = {**chosen, **given}
            for key, values in block.items():
                if values == []:
                    raise UserError(f"sweep.over.{key}=[]: must have a value")
                if key not in keys:
                    axes |= _axis(*parser.parse_overrides([f"{key}={_choice(values)}"]))
            jobs += [
                [f"{key}={value}" for key, value in zip(axes, row, strict=True)] for row in product(*axes.values())
            ]
    return jobs


def _plain(node: object) -> object:
    return OmegaConf.to_container(node) if OmegaConf.is_config(node) else node


def _blocks(over: object) -> list[dict[str, object]]:
    """Return the mappings of a union, a single empty one where nothing is to be varied."""
    blocks: list[dict[str, object]] = []
    for block in over if over and isinstance(over, list) else [over or {}]:
        if not isinstance(block, Mapping):
            raise UserError(f"sweep.over={block}: must be keys and their values, or a list of such")
        blocks.append({str(key): values for key, values in block.items()})
    return blocks


def _axis(override: Override) -> Axes:
    """Return the values that an override stands for."""
    key = override.get_key_element()
    if not override.is_sweep_override():
        return {key: [override.get_value_element_as_str()]}
    if not override.is_discrete_sweep():
        raise UserError(f"{override.input_line}: must be a list or range of values, not an interval")
    return {key: list(override.sweep_string_iterator())}


def _choice(values: object) -> str:
    """Return values as the command line has them: a text as it is, a list as alternatives."""
    if isinstance(values, str):
        return values
    return ",".join(_element(value) for value in values) if isinstance(values, list) else _element(values)


def _element(value: object) -> str:
    if isinstance(value, list):
        return f"[{','.join(_element(item) for item in value)}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{_element(item)}' for key, item in value.items())}}}"
    if isinstance(value, str):
        return value if PLAIN.fullmatch(value) else QuotedString(value, Quote.single).with_quotes()
    return json.dumps(value)
