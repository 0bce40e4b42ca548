"""The run axis: many runs of one shape become one, their numbers arrays.

This is the only place that turns components into stacks of components; the components themselves do not know.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Annotated, TypeVar, get_args, get_origin

import numpy as np
import numpy.typing as npt

from nnexp.component import Array, Component, annotations

C = TypeVar("C", bound=Component)


def stacked(components: Sequence[C], inner_axes: int, dtype: npt.DTypeLike) -> C:
    """Return one component for all runs: every `Number` an array of shape (runs, 1, ...), everything else as it is.

    Numbers become arrays also where all runs agree, and in a stack of one: the same operations on the same types are
    what makes a run's bits independent of its neighbours.

    Arguments
    ---------
    components
        The component of each run; they differ in numbers alone.
    inner_axes
        How many axes follow the run axis in the arrays that the numbers are combined with.
    dtype
        The dtype of these arrays.

    Raises
    ------
    ValueError
        If the components differ in more than numbers.

    """
    first = components[0]
    if any(type(component) is not type(first) for component in components):
        raise ValueError(f"runs of one stack need the same kind of component: {components}")
    changes: dict[str, object] = {}
    for field in fields(first):
        values = [getattr(component, field.name) for component in components]
        if field.name in _numbers(type(first)):
            changes[field.name] = np.array(values, dtype).reshape(-1, *[1] * inner_axes)
        elif isinstance(values[0], Component):
            changes[field.name] = stacked(values, inner_axes, dtype)
        elif any(value != values[0] for value in values):
            raise ValueError(f"runs of one stack need the same {field.name}: {values}")
    return replace(first, **changes)


def taken(component: C, runs: npt.NDArray[np.intp]) -> C:
    """Return a stacked component for a part of its runs."""
    changes: dict[str, object] = {}
    for field in fields(component):
        value = getattr(component, field.name)
        if isinstance(value, np.ndarray):
            numbers: Array = value
            changes[field.name] = numbers[runs]
        elif isinstance(value, Component):
            changes[field.name] = taken(value, runs)
    return replace(component, **changes)


def _numbers(component: type) -> frozenset[str]:
    """Return the fields that may differ between the runs of a stack."""
    hints = annotations(component)
    bare = {name: get_args(hint)[0] if get_origin(hint) is Annotated else hint for name, hint in hints.items()}
    return frozenset(name for name, hint in bare.items() if hint is float)
