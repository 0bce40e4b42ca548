"""The jobs of a batch as a table: few runs that are checked and have their data, and columns of numbers beside them."""

import hashlib
from array import array
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import overload

import numpy as np
import numpy.typing as npt

from nnexp.analysis.results import SweptKey, names_of, swept_keys_of
from nnexp.config.code import code_fingerprint
from nnexp.config.columns import JobColumns, KeyColumn
from nnexp.config.experiment import Experiment
from nnexp.config.identity import config_hash, config_hashes
from nnexp.config.overrides import Job, run_name
from nnexp.data.dataset import Data
from nnexp.runs.prepare import Ready, folder_name
from nnexp.sweeps.configs import Group
from nnexp.sweeps.stacks import Alike, Places, stack_key, stacks_of
from nnexp.training.stack import Recipe
from nnexp.training.stacking import Varied, with_values

MOST_NAMED = 20_000
"""Among more runs, each has its name and its hash made when it is asked for, and is told from others by its hash."""


class Batch(Sequence[Ready]):
    """The runs of a batch; each is made when it is asked for.

    Args:
        jobs: The overrides of every run.
        groups: The configs, whose places are in `jobs`.
        firsts: The first run of every group.
        shortened: Returns names with as few digits as tell them apart.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        groups: Sequence[Group],
        firsts: Sequence[Ready],
        shortened: Callable[[Sequence[str]], list[str]],
    ) -> None:
        self.jobs, self.groups, self.firsts, self._shortened = jobs, groups, firsts, shortened
        self._group, self._index = array("i", bytes(4 * len(jobs))), array("i", bytes(4 * len(jobs)))
        for number, group in enumerate(groups):
            for index, place in enumerate(group.places):
                self._group[place], self._index[place] = number, index

    def __len__(self) -> int:
        """Return how many runs there are."""
        return len(self.jobs)

    @cached_property
    def names(self) -> list[str]:
        """Return what sets each run apart from the others."""
        return self._shortened(names_of(self.jobs))

    @cached_property
    def hashes(self) -> list[str]:
        """Return the identity of every run."""
        found = [""] * len(self)
        for group, first in zip(self.groups, self.firsts, strict=True):
            hashes = config_hashes(first.experiment, group.columns)
            if hashes is None:
                hashes = [config_hash(group.at(index)) for index in range(len(group.places))]
            for place, one in zip(group.places, hashes, strict=True):
                found[place] = one
        return found

    def hash(self, place: int) -> str:
        """Return the identity of a run."""
        if len(self) > MOST_NAMED:
            return config_hash(self.groups[self._group[place]].at(self._index[place]))
        return self.hashes[place]

    def identity(self) -> str:
        """Return a hash of all runs, their data and their code, without that of each."""
        digest = hashlib.sha256()
        for group, first in zip(self.groups, self.firsts, strict=True):
            code = code_fingerprint(first.experiment)
            digest.update(f"{first.config_hash} {first.dataset.digest} {code} {[*group.columns]}".encode())
            digest.update(group.places.tobytes())
            for column in group.columns.values():
                digest.update(column.tobytes())
        return digest.hexdigest()

    def group_numbers(self, places: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Return the numbers of the groups of some runs."""
        return np.asarray(self._group)[places]

    @cached_property
    def swept_keys(self) -> list[SweptKey]:
        """Return the keys that vary, but for those that change no number."""
        return swept_keys_of(self.jobs)

    @cached_property
    def varied(self) -> list[KeyColumn]:
        """Return the columns of the overrides that vary."""
        return [column for column in JobColumns(self.jobs).columns if not column.fixed]

    def first(self, place: int) -> Ready:
        """Return the first run of a run's group, which shares with it all but the columns."""
        return self.firsts[self._group[place]]

    def folder_name(self, place: int) -> str:
        """Return the name of a run's folder."""
        return folder_name(self.name(place), self.hash(place))

    def name(self, place: int) -> str:
        """Return the name of a run."""
        if len(self) <= MOST_NAMED:
            return self.names[place] or self.first(place).data.name
        begins = {column.begins for column in self.varied}
        varied = [one for one in self.jobs[place] if f"{one.partition('=')[0]}=" in begins]
        return self._shortened([run_name(varied)])[0]

    @overload
    def __getitem__(self, place: int) -> Ready: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Ready]: ...

    def __getitem__(self, place: int | slice) -> Ready | Sequence[Ready]:
        """Return a run, or some of them."""
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        if not 0 <= place < len(self):
            raise IndexError(place)
        first, group = self.first(place), self.groups[self._group[place]]
        experiment = group.at(self._index[place])
        return replace(
            first,
            experiment=experiment,
            overrides=self.jobs[place],
            name=self.name(place),
            recipe=_recipe(first.recipe, experiment),
            config_hash=self.hash(place),
        )

    def stacks(self, places: Sequence[int], stack_bytes: int, workers: int) -> list[Places]:
        """Return some of the runs as stacks."""
        firsts: dict[Hashable, Ready] = {}
        alike: dict[Hashable, dict[int, array[int]]] = {}
        of_group: list[array[int]] = []
        for first in self.firsts:
            key = stack_key(first)
            firsts.setdefault(key, first)
            of_group.append(alike.setdefault(key, {}).setdefault(id(first.data), array("q")))
        for place in places:
            of_group[self._group[place]].append(place)
        return stacks_of(
            [
                Alike([some for some in of_data.values() if some], firsts[key].step_bytes, firsts[key].data_bytes)
                for key, of_data in alike.items()
            ],
            stack_bytes,
            workers,
        )

    def recipes(self, places: Places) -> Sequence[Recipe]:
        """Return the recipes of the runs of a stack: one and columns, where they differ in columns alone."""
        numbers, index = np.asarray(self._group)[places], np.asarray(self._index)[places]
        columns = dict[str, npt.NDArray[np.number]]()
        groups = {number: self.groups[number] for number in np.unique(numbers).tolist()}
        for number, group in groups.items():
            here = numbers == number
            for key, column in group.columns.items():
                values = np.asarray(column)
                columns.setdefault(_in_recipe(key), np.zeros(len(places), values.dtype))[here] = values[index[here]]
        first = {key: column.item(0) for key, column in columns.items()}
        one, *others = [with_values(self.firsts[number].recipe, first) for number in groups]
        if any(len(group.columns) < len(columns) for group in groups.values()) or any(other != one for other in others):
            runs = zip(numbers.tolist(), index.tolist(), strict=True)
            return [_recipe(self.firsts[number].recipe, groups[number].at(at)) for number, at in runs]
        return Varied(one, columns, len(places))


def _in_recipe(key: str) -> str:
    """Return what a key of a config is in the recipe."""
    return key.removeprefix("trainer.")


def _recipe(recipe: Recipe, experiment: Experiment) -> Recipe:
    """Return a recipe with the numbers of another experiment."""
    return replace(
        recipe,
        initializer=experiment.initializer,
        optimizer=experiment.optimizer,
        schedule=experiment.schedule,
        seed=experiment.seed,
        regularization=experiment.trainer.regularization,
    )


def recipes_of(runs: Sequence[Ready], places: Places) -> Sequence[Recipe]:
    """Return the recipes of the runs of a stack."""
    return runs.recipes(places) if isinstance(runs, Batch) else [runs[place].recipe for place in places]


def data_of(runs: Sequence[Ready], places: Places) -> list[Data]:
    """Return the data sets of the runs of a stack."""
    return [(runs.first(place) if isinstance(runs, Batch) else runs[place]).data for place in places]
