"""The configs of all jobs of a sweep, composed and checked before any of them trains.

Hydra takes a tenth of a second to read and merge files, and milliseconds to set values in what it has read. So files
are read once for each choice of them, and a config is composed once for each combination of what is no number: numbers
and seeds are columns beside it.
"""

import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import cast

import numpy as np
from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from nnexp.analysis.results import SEED, names_of
from nnexp.config.compose import check, options_of
from nnexp.config.experiment import Experiment
from nnexp.config.hydra_errors import one_line
from nnexp.config.hydra_internals import set_values
from nnexp.config.overrides import Job, key_of
from nnexp.core.component import Component, Seed, annotations, bare, flat, satisfies
from nnexp.core.errors import UserError
from nnexp.core.expressions import needed_keys
from nnexp.training.stacking import with_values

NUMBER = re.compile(r"([A-Za-z_][\w.]*)=(-?(?:0|[1-9]\d{0,14})(\.\d+)?([eE][+-]?\d+)?)")
"""An override that sets a number, as Hydra reads it, too; what is written otherwise is left to Hydra."""
IN_STACKS = ("optimizer.", "schedule.", "initializer.", "trainer.regularization.")
"""The components whose numbers may differ within a stack, beside the seed, and have no part in anything else."""
Value = int | float
"""A number in a config, whole where its field wants whole ones."""


@dataclass(eq=False)
class Group:
    """Jobs whose configs differ in columns alone: the seed, and numbers that may differ within a stack.

    Attributes:
        experiment: The config of the first of them.
        columns: For each of these keys the value of every job.
        places: Where the jobs are among all of the sweep.
    """

    experiment: Experiment
    columns: Mapping[str, "array[float]"]
    places: "array[int]" = field(default_factory=lambda: array("q"))

    def at(self, index: int) -> Experiment:
        """Return the config of one of the jobs."""
        return with_values(self.experiment, {key: column[index] for key, column in self.columns.items()})

    def misfits(self) -> Iterator[int]:
        """Yield for every column the place of the first job with a value that its field does not allow, if any."""
        for key, column in self.columns.items():
            hint = _hint(self.experiment, key)
            if key == SEED or not satisfies(np.array(column), hint):
                yield from [
                    place for value, place in zip(column, self.places, strict=True) if not satisfies(value, hint)
                ][:1]


def _owner(component: object, key: str) -> object:
    """Return what has the field at a dotted key; None where there is nothing."""
    for part in key.split(".")[:-1]:
        component = getattr(component, part, None)
    return component


def _hint(component: object, key: str) -> object:
    """Return the annotation of the field at a dotted key; None where there is none."""
    owner = _owner(component, key)
    return annotations(type(owner)).get(key.rpartition(".")[2]) if isinstance(owner, Component) else None


class Composer:
    """Composes configs for jobs; `master` is the config of the sweep, with the overrides of Hydra."""

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        self._loader, self._master = loader, master
        self._bases: dict[tuple[str, ...], DictConfig] = {}
        parser = OverridesParser.create(config_loader=loader)
        self._options, self._parsed = cache(options_of), cache(parser.parse_override)
        self.chooses_files = cache(self._chooses_files)

    def _chooses_files(self, override: str) -> bool:
        key = str(self._parsed(override).key_or_group)
        return key.startswith("hydra.") or bool(self._loader.get_group_options(key, ObjectType.CONFIG))

    def config(self, job: Job) -> DictConfig:
        """Return the composed config of a job.

        Raises an error of Hydra or OmegaConf if its overrides do not make one.
        """
        choices = tuple(override for override in job if self.chooses_files(override))
        if choices not in self._bases:
            base = self._loader.load_sweep_config(self._master, list(choices))
            with open_dict(base):
                del base["hydra"]
            self._bases[choices] = base
        config = deepcopy(self._bases[choices])
        values = [self._parsed(override) for override in job if override not in choices]
        set_values(values, config)
        return config

    def interpolates(self, job: Job) -> bool:
        """Tell whether a value of the config of a job is made of others."""
        content = cast("dict[str, object]", OmegaConf.to_container(self.config(job)))
        known = flat(content)
        return "${" in str(content) or any(key in known for key in needed_keys(content))

    def experiment(self, jobs: Sequence[Job], place: int) -> Experiment:
        """Return the checked experiment of one of the jobs.

        Raises UserError if an override does not make a valid experiment; it names the job where its override does not.
        Hydra's own errors pass through where there is one job.
        """
        try:
            return check(self.config(jobs[place]), self._options)
        except (UserError, HydraException, OmegaConfBaseException) as error:
            mistake = str(error) if isinstance(error, UserError) else one_line(error, jobs[place])
            name = names_of(jobs)[place] if len(jobs) > 1 else ""
            if not name or "=" in mistake.partition(":")[0]:  # a value is known by itself
                raise
            raise UserError(f"{mistake} (in the run {name})") from error


@dataclass(frozen=True)
class _Kind:
    """What the numbers are to jobs that set the same keys, and have the same overrides beside them, by their places.

    Attributes:
        columns: They may differ within a stack.
        rebuilt: They are set in an experiment that is composed already.
        fixed: For each of their values one is composed.
    """

    columns: Sequence[int]
    rebuilt: Sequence[int]
    fixed: Sequence[int]


def groups_of(jobs: Sequence[Job], loader: ConfigLoader, master: DictConfig) -> list[Group]:
    """Return the checked experiments of all jobs, those that differ in columns alone as one group.

    Raises UserError if an override does not make a valid experiment, see `Composer.experiment`.
    """
    composer = Composer(loader, master)
    groups: dict[tuple[object, ...], Group] = {}
    try:
        _add_all(groups, jobs, composer)
    finally:  # an earlier job has the first mistake, even if a later one does not compose
        for place in sorted(place for group in groups.values() for place in group.misfits()):
            composer.experiment(jobs, place)
    return [*groups.values()]


def _add_all(groups: dict[tuple[object, ...], Group], jobs: Sequence[Job], composer: Composer) -> None:
    """Add all jobs to groups, by what they have in common."""
    number = lru_cache(10_000)(_number)
    kinds: dict[tuple[object, ...], _Kind] = {}
    bases: dict[tuple[object, ...], Experiment] = {}
    for place, job in enumerate(jobs):
        numbers = [one for override in job if (one := number(override)) is not None]
        others = [override for override in job if number(override) is None]
        likewise = (*others, None, *[key for key, _ in numbers])
        kind = kinds.get(likewise)
        if kind is None:
            kind = kinds[likewise] = _kind(composer, others, numbers, composer.experiment(jobs, place))
        fixed = (likewise, *[numbers[index] for index in kind.fixed])
        which = (fixed, *[numbers[index] for index in kind.rebuilt])
        group = groups.get(which)
        if group is None:
            base = _rebuilt(bases.get(fixed), [numbers[index] for index in kind.rebuilt])
            composed = base or composer.experiment(jobs, place)
            bases.setdefault(fixed, composed)
            keys = [numbers[index][0] for index in kind.columns]
            group = groups[which] = Group(composed, {key: _column(key) for key in keys})
        for index in kind.columns:
            key, value = numbers[index]
            if key == SEED and isinstance(value, float):
                composer.experiment(jobs, place)  # which refuses it
            group.columns[key].append(value)
        group.places.append(place)


def _column(key: str) -> "array[float]":
    """Return an empty column for the numbers of a key; seeds are whole."""
    return cast("array[float]", array("q")) if key == SEED else array("d")


def _number(override: str) -> tuple[str, Value] | None:
    """Return the key of an override and the number that it sets; None where it is no number."""
    found = NUMBER.fullmatch(override)
    if found is None:
        return None
    key, text, fraction, exponent = found.groups()
    return key, int(text) if fraction is exponent is None else float(text)


def _kind(
    composer: Composer, others: Sequence[str], numbers: Sequence[tuple[str, Value]], experiment: Experiment
) -> _Kind:
    keys, every = [key for key, _ in numbers], range(len(numbers))
    inner = [key_of(override) for override in others if not composer.chooses_files(override)]
    if len({*keys}) < len(keys) or composer.interpolates([*others, *(f"{key}={value}" for key, value in numbers)]):
        return _Kind([], [], every)

    def free(index: int) -> bool:
        """Tell whether nothing else depends on a number, and it can be set after all others."""
        key, value = numbers[index]
        hint = _hint(experiment, key)
        fits = isinstance(value, int) if hint == Seed else bare(hint) is float
        return fits and not any(f"{key}.".startswith(f"{other}.") for other in inner)

    def within(index: int) -> bool:
        """Tell whether runs may differ in a number within a stack, and no check asks for more than its range."""
        key = keys[index]
        owner = _owner(experiment, key)
        plain = isinstance(owner, Component) and type(owner).__post_init__ is Component.__post_init__
        return key == SEED or (plain and key.startswith(IN_STACKS))

    columns = [index for index in every if free(index) and within(index)]
    rebuilt = [index for index in every if free(index) and not within(index)]
    return _Kind(columns, rebuilt, [index for index in every if not free(index)])


def _rebuilt(base: Experiment | None, numbers: Sequence[tuple[str, Value]]) -> Experiment | None:
    """Return an experiment with other numbers; None where there is none yet, or they are not allowed."""
    if base is None:
        return None
    try:
        values = {key: value if _hint(base, key) == Seed else float(value) for key, value in numbers}
        return with_values(base, values)
    except UserError:
        return None
