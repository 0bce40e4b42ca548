"""The jobs of a sweep: every combination of values on the command line and in a config's `sweep.over`.

`sweep.over` maps keys to lists of values, or to what the command line takes, such as `range(10)`. A list of such
mappings is a union: all combinations of the first, then those of the second. The command line wins over both. Keys
that are zipped move together, intervals are drawn from together, and `sweep.repeats` brings seeds to every setting.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ElementType, IntervalSweep, Override, RangeSweep, Transformer
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from nnexp.config.command_line import quoted, replacing_sweep_over, takes_text, with_quoted_formulas
from nnexp.config.hydra_errors import one_line
from nnexp.config.overrides import Job, key_of
from nnexp.config.sweep_functions import LOGARITHMIC, ZipSweep, bounds, listed
from nnexp.config.written import alternatives
from nnexp.core.errors import UserError
from nnexp.core.expressions import is_formula
from nnexp.sweeps.options import SweepOptions, sweep_options
from nnexp.sweeps.sampling import Interval, Point, points
from nnexp.sweeps.search import Block, Search

EXPERIMENT, SEED, SWEEP = "experiment", "seed", "sweep"
S = TypeVar("S")
T = TypeVar("T")
Overrides = dict[str, Override]
"""Overrides by their keys, without the + before them."""


def search_of(arguments: Sequence[str], loader: ConfigLoader) -> Search:
    """Return the search that makes the jobs of a command; several experiments bring each its own sweep.

    Overrides of Hydra and of the sweep itself are used here, and are no overrides of a job.

    Raises UserError if `sweep.over` or another option of sweeps is not what it should be, or a key cannot be varied
    like this. Raises HydraException if there is no such experiment, or a key does not exist.
    """
    parser = OverridesParser.create(config_loader=loader)
    given: Overrides = {}
    own: list[str] = []
    for override in _parsed(parser, replacing_sweep_over(arguments)):
        if override.is_hydra_override() or _of_sweeps(override):
            own.append(str(override.input_line))
        else:
            given[_key(override)] = override
    experiments = _rows(given.pop(EXPERIMENT)) if EXPERIMENT in given else [()]

    jobs: list[Job] = []
    searched: list[tuple[Block, SweepOptions]] = []
    drawn: list[str] = []
    for chosen in experiments:
        constant = [*own, *chosen, *[row[0] for override in given.values() if (row := _constant(override))]]
        config = loader.load_configuration("config", constant, RunMode.RUN)
        options = sweep_options(config)
        for over in _blocks(_plain(config.sweep.over)):
            varied = {**given, **_overrides(over, given, parser)}
            block = _block([*chosen], varied, options, config)
            block.check(options)
            _check_keys(varied, block, own, config=config, loader=loader)
            drawn += [key_of(interval.key) for interval in block.intervals]
            if block.intervals and options.sampler == "optuna":
                searched.append((block, options))
            else:
                jobs += block.jobs(points(block.intervals, options) if block.intervals else [()])
    return Search(jobs, searched, [*dict.fromkeys(drawn)])


def _plain(node: object) -> object:
    return OmegaConf.to_container(node) if OmegaConf.is_config(node) else node


def _parsed(parser: OverridesParser, arguments: Sequence[str]) -> list[Override]:
    try:
        return parser.parse_overrides(list(arguments))
    except OverrideParseException as error:
        raise UserError(one_line(error)) from error


def _key(override: Override) -> str:
    return override.get_key_element().lstrip("+")


def _of_sweeps(override: Override) -> bool:
    """Tell whether an override is of the sweep itself, which cannot be varied."""
    found = _key(override).lstrip("~").split(".")[0] == SWEEP
    if found and override.is_sweep_override():
        raise UserError(f"{override.input_line}: must be a single value, for it is about the sweep itself")
    return found


def _blocks(over: object) -> list[dict[str, object]]:
    """Return the mappings of a union, a single empty one where nothing is to be varied."""
    blocks: list[dict[str, object]] = []
    for block in over if over and isinstance(over, list) else [over or {}]:
        if not isinstance(block, Mapping):
            raise UserError(f"sweep.over={block}: must be keys and their values, or a list of such")
        blocks.append({str(key): values for key, values in block.items()})
    return blocks


def _overrides(over: Mapping[str, object], given: Overrides, parser: OverridesParser) -> Overrides:
    """Return the overrides of a mapping, but for the keys that the command line sets."""
    overrides: Overrides = {}
    for key, values in over.items():
        if values == []:
            raise UserError(f"sweep.over.{key}=[]: must have a value")
        (override,) = _parsed(parser, [with_quoted_formulas(f"{key}={alternatives(values)}")])
        if _of_sweeps(override) or override.is_hydra_override():
            raise UserError(f"{override.input_line}: must not be varied, for it is no part of a run")
        if _key(override) not in given:
            overrides[_key(override)] = override
    return overrides


def _block(chosen: Sequence[str], varied: Overrides, options: SweepOptions, config: DictConfig) -> Block:
    """Return the rows and intervals to combine; keys that are zipped share their rows."""
    seeds = _seeds(varied.get(SEED), options.repeats, config) if options.repeats else []
    axes: list[list[Point]] = [[(override,)] for override in chosen]
    intervals: list[Interval] = []
    first_interval = 0
    zipped: tuple[int, Override] | None = None
    for key, override in varied.items():
        if key == SEED and seeds:
            continue
        value = override.value()
        if isinstance(value, IntervalSweep):
            if not intervals:
                first_interval = len(axes)
            intervals.append(_interval(override, value))
        elif not isinstance(value, ZipSweep):
            axes.append(list(dict.fromkeys(_rows(override))))
        elif zipped is None:
            zipped = len(axes), override
            axes.append(_rows(override))
        else:
            axes[zipped[0]] = _side_by_side(axes[zipped[0]], zipped[1], override)
    return Block(axes[:first_interval], intervals, [*axes[first_interval:], *([seeds] if seeds else [])])


def _side_by_side(rows: Sequence[Point], first: Override, override: Override) -> list[Point]:
    others = _rows(override)
    if len(rows) != len(others):
        raise UserError(
            f"{first.input_line} and {override.input_line}: must have as many values, not {len(rows)} and {len(others)}"
        )
    return [(*row, *other) for row, other in zip(rows, others, strict=True)]


def _seeds(override: Override | None, repeats: int, config: DictConfig) -> list[Point]:
    """Return consecutive seeds, from the one that is given or configured."""
    if override is not None and not _constant(override):
        raise UserError(f"{override.input_line}: must be a single value under sweep.repeats={repeats}")
    seed = config.seed if override is None else override.value()
    if not isinstance(seed, int):
        raise UserError(f"seed={seed}: must be a whole number of at least 0")
    return [(f"{SEED}={seed + repeat}",) for repeat in range(repeats)]


def _constant(override: Override) -> Point:
    """Return an override that is the same in every job; an empty point for one that varies."""
    rows = [] if override.is_interval_sweep() else _rows(override)
    return rows[0] if len(rows) == 1 else ()


def _rows(override: Override) -> list[Point]:
    """Return one override for every value of an override."""
    key = override.get_key_element()
    if override.is_interval_sweep():
        raise UserError(f"{override.input_line}: must be a list or range of values, not an interval")
    if override.value_type is None:
        return [(key,)]
    if not override.is_sweep_override():
        return [(f"{key}={override.get_value_element_as_str()}",)]
    value = override.value()
    if isinstance(value, RangeSweep):
        _checked(override, listed, value)
    try:
        rows: list[Point] = [(f"{key}={_value(key, value)}",) for value in override.sweep_iterator()]
    except (ValueError, HydraException) as error:
        raise UserError(f"{override.input_line}: must have a step other than 0") from error
    if not rows:
        raise UserError(f"{override.input_line}: must have a value")
    return rows


def _value(key: str, value: ElementType) -> str:
    """Return a value as the command line writes it; a function such as choice has taken the quotes from its texts."""
    if isinstance(value, str) and (takes_text(key) or is_formula(value)):
        return quoted(value)
    return Transformer.str(value)


def _interval(override: Override, interval: IntervalSweep) -> Interval:
    low, high = _checked(override, bounds, interval)
    return Interval(override.get_key_element(), low, high, LOGARITHMIC in interval.tags)


def _checked(override: Override, function: Callable[[S], T], sweep: S) -> T:
    """Return a function of the values of an override; its mistakes then name the override."""
    try:
        return function(sweep)
    except UserError as error:
        raise UserError(f"{override.input_line}: {error}") from error


def _check_keys(
    varied: Overrides, block: Block, own: Sequence[str], *, config: DictConfig, loader: ConfigLoader
) -> None:
    """Raise Hydra's error if a key does not exist; a job is composed only where the config does not have the key."""
    doubtful = False
    for key, override in varied.items():
        group = bool(loader.get_group_options(override.key_or_group, ObjectType.CONFIG))
        if group and override.is_interval_sweep():
            raise UserError(f"{override.input_line}: must be a list of options, not an interval")
        doubtful |= not group and OmegaConf.select(config, key, default=config) is config
    if doubtful:
        middle = tuple(interval.at(0.5) for interval in block.intervals)
        loader.load_configuration("config", [*own, *block.jobs([middle])[0]], RunMode.RUN)
