"""Stacks components: those of many runs become one component, whose numbers are arrays with a value per run.

This is the only place that does so; the components themselves need not know of it.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar, cast, overload

import numpy as np
import numpy.typing as npt

from nnexp.core.component import Component, annotations, bare, items_of, satisfies

C = TypeVar("C", bound=Component)
T = TypeVar("T")


@dataclass(frozen=True)
class Varied(Sequence[T]):
    """Components, or recipes, of many runs: one of them, and columns of the numbers in which the others differ.

    Attributes:
        one: One of them, from which the others have all that is in no column.
        columns: By dotted keys the number of every run.
        size: How many runs there are.
    """

    one: T
    columns: Mapping[str, npt.NDArray[np.number]]
    size: int

    def __len__(self) -> int:
        """Return how many runs there are."""
        return self.size

    @overload
    def __getitem__(self, run: int) -> T: ...

    @overload
    def __getitem__(self, run: slice) -> Sequence[T]: ...

    def __getitem__(self, run: int | slice) -> T | Sequence[T]:
        """Return the component of a run, or those of some runs."""
        if isinstance(run, slice):
            return [self[one] for one in range(*run.indices(self.size))]
        if not 0 <= run < self.size:
            raise IndexError(run)
        return with_values(self.one, {key: column.item(run) for key, column in self.columns.items()})


def with_values(component: T, values: Mapping[str, object]) -> T:
    """Return a dataclass with other values at some dotted keys, each checked where it is a component's."""
    own: dict[str, object] = {}
    for key, value in values.items():
        name, _, rest = key.partition(".")
        own[name] = with_values(own.get(name, getattr(component, name)), {rest: value}) if rest else value
    return cast("T", replace(cast("Any", component), **own)) if own else component


def parts(runs: Sequence[object], name: str) -> Sequence[Any]:
    """Return a part of every run."""
    if not isinstance(runs, Varied):
        return [getattr(run, name) for run in runs]
    if name in runs.columns:
        return cast("list[float]", runs.columns[name].tolist())
    own = {key.removeprefix(f"{name}."): column for key, column in runs.columns.items() if key.startswith(f"{name}.")}
    return Varied(getattr(runs.one, name), own, runs.size)


def positions(tuples: Sequence[tuple[T, ...]]) -> list[Sequence[T]]:
    """Return for every place in tuples, which are equally long, what all runs have there."""
    if isinstance(tuples, Varied):
        return [Varied(item, {}, tuples.size) for item in tuples.one]
    return [*zip(*tuples, strict=True)]


def stacked(components: Sequence[C], inner_axes: int, dtype: npt.DTypeLike) -> C:
    """Return one component for all runs: every `Number` an array of shape (runs, 1, ...), everything else as it is.

    Numbers become arrays also where all runs agree, and in a stack of one: the same operations on the same types are
    what makes a run's bits independent of its neighbours.

    Raises ValueError if the components differ in more than numbers.

    Args:
        components: The component of each run; they differ in numbers alone.
        inner_axes: How many axes follow the run axis in the arrays that the numbers are combined with.
        dtype: The dtype of these arrays.
    """
    if isinstance(components, Varied):
        return cast("C", _spread(components.columns, components.one, (components.size, *[1] * inner_axes), dtype))
    first = components[0]
    if any(type(component) is not type(first) for component in components):
        raise ValueError(f"runs of one stack need the same kind of component: {components}")
    hints = annotations(type(first))

    def stack(name: str, values: Sequence[object], hint: object) -> object:
        if isinstance(values[0], Component):
            return stacked(cast("Sequence[Component]", values), inner_axes, dtype)
        if isinstance(values[0], tuple) and len({len(cast("tuple[object, ...]", value)) for value in values}) == 1:
            positions = zip(*cast("Sequence[tuple[object, ...]]", values), strict=True)
            return tuple(stack(name, position, _item_hint(values[0], hint)) for position in positions)
        if bare(hint) is float and all(value is not None for value in values):
            return np.array(values, dtype).reshape(-1, *[1] * inner_axes)
        if any(value != values[0] for value in values):
            raise ValueError(f"runs of one stack need the same {name}: {values}")
        return values[0]

    return replace(
        first,
        **{
            field.name: stack(
                field.name, [getattr(component, field.name) for component in components], hints[field.name]
            )
            for field in fields(first)
        },
    )


def _spread(
    columns: Mapping[str, npt.NDArray[np.number]], one: C, shape: tuple[int, ...], dtype: npt.DTypeLike, path: str = ""
) -> C:
    """Return a component, or one within it, whose numbers are arrays of a shape, those in columns taken from there."""

    def spread(value: object, hint: object, key: str) -> object:
        if isinstance(value, Component):
            return _spread(columns, value, shape, dtype, path=f"{key}.")
        if isinstance(value, tuple):
            return tuple(spread(item, _item_hint(value, hint), key) for item in value)
        if bare(hint) is not float or value is None:
            return value
        return np.array(columns[key], dtype).reshape(shape) if key in columns else np.full(shape, value, dtype)

    hints = annotations(type(one))
    return replace(one, **{name: spread(getattr(one, name), hint, f"{path}{name}") for name, hint in hints.items()})


def alike(component: Component, but: str = "") -> bool:
    """Tell whether all runs have the same numbers in a stacked component; `but` names a field that may differ."""

    def same(value: object) -> bool:
        if isinstance(value, np.ndarray):
            numbers: npt.NDArray[np.floating] = value
            return bool((numbers == numbers[:1]).all())
        if isinstance(value, Component):
            return alike(value)
        return all(map(same, value)) if isinstance(value, tuple) else True

    return all(same(getattr(component, field.name)) for field in fields(component) if field.name != but)


def _item_hint(items: tuple[object, ...], hint: object) -> object:
    """Return the annotation of the items of a tuple; where several kinds are allowed, that of its kind."""
    return next(kind for kind in items_of(hint) if all(satisfies(item, kind) for item in items))


def shape_of(component: Component) -> Hashable:
    """Return all of a component but its numbers; components with the same shape can be stacked."""
    hints = annotations(type(component))

    def shape(value: object, hint: object) -> Hashable:
        if isinstance(value, Component):
            return shape_of(value)
        if isinstance(value, tuple):
            return tuple(shape(item, _item_hint(value, hint)) for item in value)
        return float if bare(hint) is float and value is not None else repr(value)

    return type(component), *[shape(getattr(component, name), hint) for name, hint in hints.items()]


def taken(component: C, runs: npt.NDArray[np.intp] | slice) -> C:
    """Return a stacked component for a part of its runs."""

    def take(value: object) -> object:
        if isinstance(value, np.ndarray):
            numbers: npt.NDArray[np.floating] = value
            return numbers[runs]
        if isinstance(value, Component):
            return taken(value, runs)
        return tuple(take(item) for item in value) if isinstance(value, tuple) else value

    return replace(component, **{field.name: take(getattr(component, field.name)) for field in fields(component)})
