"""The base class of activations, losses, initializers, layers, optimizers, schedules and data sets.

A component is a frozen dataclass of hyper-parameters. The annotation of a field is its whole specification: its type
and the range of its values, from which the check below and the sentence about a wrong value are both derived.
"""

import sys
from abc import ABC
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache
from math import isfinite
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

import annotated_types as at
import numpy as np
import numpy.typing as npt

from nnexp.core.errors import UserError
from nnexp.core.old_names import name_in_files
from nnexp.core.words import MOST_NAMES, some

Array: TypeAlias = npt.NDArray[np.floating]
"""Real numbers. Leading axis: the runs of a stack; second: the examples of a batch; last: features or units."""

Labels: TypeAlias = npt.NDArray[np.integer]
"""Class numbers from 0."""

# A hyper-parameter that may differ between the runs of a stack: one number or, inside a stack, an array with one number
# a run, shaped to broadcast. A config sees a float, so that is what the annotation is at run time.
if TYPE_CHECKING:
    Number: TypeAlias = float | Array
else:
    Number = float

T = TypeVar("T")
ADDED = "added"
"""The key of the metadata of a field that was added later."""

Positive = Annotated[Number, at.Gt(0)]
NonNegative = Annotated[Number, at.Ge(0)]
Fraction = Annotated[Number, at.Interval(ge=0, lt=1)]
Count = Annotated[int, at.Ge(1)]
Seed = Annotated[int, at.Interval(ge=0, le=2**32 - 1)]
Name = Annotated[str | int | float | bool, "a name"]
"""A name in a table; in YAML, one without quotes may be no text."""


class InvalidFieldError(UserError):
    """A field of a component has a value that its annotation does not allow."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        super().__init__(f"{field}={value}: must be {allowed}")
        self.field, self.value, self.allowed = field, value, allowed


@dataclass(frozen=True)
class Component(ABC):
    """A frozen dataclass whose values are checked against its annotations when it is made.

    Raises InvalidFieldError if a value is of the wrong type or outside the range that the annotation of its field
    states.
    """

    def __post_init__(self) -> None:
        """Check every field."""
        hints = annotations(type(self))
        for name, hint in hints.items():
            value = getattr(self, name)
            if not satisfies(value, hint):
                raise InvalidFieldError(name, plain(value), describe(hint))


def annotations(component: type[Component]) -> dict[str, object]:
    """Return the annotation of every field of a component's class, ranges included."""
    if component not in _annotations:
        hints = get_type_hints(component, include_extras=True)
        _annotations[component] = {one.name: hints[one.name] for one in fields(component)}
    return _annotations[component]


_annotations: dict[type, dict[str, object]] = {}


def is_required(one: Field[object]) -> bool:
    """Tell whether a field of a dataclass has no default."""
    return one.default is MISSING and one.default_factory is MISSING


def bare(hint: object) -> object:
    """Return the type within an annotation, without its range and without null."""
    if get_origin(hint) is Annotated:
        return bare(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        members = [member for member in get_args(hint) if member is not NoneType]
        return bare(members[0]) if len(members) == 1 else hint
    return hint


def items_of(hint: object) -> tuple[object, ...]:
    """Return the annotations that the items of a list may have: one for each kind of list that is allowed."""
    kind = bare(hint)
    members = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return tuple(get_args(bare(member))[0] for member in members if get_origin(bare(member)) is tuple)


def plain(value: object) -> object:
    """Return a value as a user writes it in a config: lists, not tuples."""
    return [plain(item) for item in value] if isinstance(value, tuple) else value


def added(default: T) -> T:
    """Return a field that was added to a component later, with the default that leaves its numbers as they were.

    Configs that have it at this default keep the hash that they had without it.
    """
    made: T = field(default=default, metadata={ADDED: default})
    return made


def is_added(component: Component, name: str) -> bool:
    """Tell whether a field was added to a component later."""
    return name in _added_to(type(component))


def resolved(component: Component, *, identity: bool = False) -> dict[str, object]:
    """Return a component as a config that builds it again: every field written out, defaults included.

    With `identity`, fields that were added later and have their default are left out; it builds the same component.
    """
    values: dict[str, object] = {"_target_": _target(type(component))}
    left_out = _added_to(type(component)) if identity else {}
    for name in annotations(type(component)):
        value = getattr(component, name)
        if name not in left_out or value != left_out[name]:
            values[name] = _resolved(value, identity=identity)
    return values


@cache
def _target(component: type[Component]) -> str:
    return f"{name_in_files(component.__module__)}.{component.__qualname__}"


@cache
def _added_to(component: type[Component]) -> dict[str, object]:
    """Return the defaults of the fields that were added to a class later."""
    return {one.name: one.metadata[ADDED] for one in fields(component) if ADDED in one.metadata}


def _resolved(value: object, *, identity: bool) -> object:
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Component):
        return resolved(value, identity=identity)
    return [_resolved(item, identity=identity) for item in value] if isinstance(value, tuple) else plain(value)


def default_fields(component: type[Component]) -> dict[str, object]:
    """Return the fields of a class that have a default, with it, as a config has them."""
    made = {one.name: one.default_factory() for one in fields(component) if one.default_factory is not MISSING}
    made |= {one.name: one.default for one in fields(component) if one.default is not MISSING}
    return {name: _resolved(value, identity=False) for name, value in made.items()}


def flat(config: dict[str, object], path: str = "") -> dict[str, object]:
    """Return a resolved config with dotted keys; a component's own key holds the name of its class."""
    result: dict[str, object] = {}
    for name, value in config.items():
        if name == "_target_":
            if path:
                result[path] = str(value).rpartition(".")[2]
        elif isinstance(value, dict):
            result |= flat(value, f"{path}.{name}" if path else name)
        else:
            result[f"{path}.{name}" if path else name] = value
    return result


@cache
def _parts(hint: object) -> tuple[object, tuple[object, ...]]:
    return get_origin(hint), get_args(hint)


def satisfies(value: object, hint: object) -> bool:
    """Tell whether a value is of the annotated type and within the annotated range."""
    origin, arguments = _parts(hint)
    if origin is Annotated:
        return satisfies(value, arguments[0]) and all(_within(value, bound) for bound in _bounds(hint))
    if origin in (Union, UnionType):
        return any(satisfies(value, member) for member in arguments)
    if origin is Literal:
        return value in arguments
    if origin is tuple:
        return isinstance(value, tuple) and all(satisfies(item, arguments[0]) for item in value)
    if hint is float and isinstance(value, float):
        return isfinite(value)  # NumPy's takes a hundred times as long
    if hint is float:
        if isinstance(value, int):
            return not isinstance(value, bool) and abs(value) <= sys.float_info.max
        return isinstance(value, np.ndarray) and bool(np.all(np.isfinite(value)))
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if not isinstance(hint, type):
        raise TypeError(f"an annotation that configs cannot express: {hint}")
    return isinstance(value, hint)


def describe(hint: object) -> str:
    """Say in words which values an annotation allows."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        called = [text for text in arguments[1:] if isinstance(text, str)]
        return called[0] if called else f"{describe(arguments[0])} {' and '.join(map(_words, _bounds(hint)))}"
    if origin in (Union, UnionType):
        return " or ".join(describe(member) for member in arguments)
    if origin is Literal:
        words = [str(choice) for choice in arguments]
        return " or ".join(words) if len(words) <= MOST_NAMES else f"one of {some(words)}"
    if origin is tuple:
        return f"a list, each {describe(arguments[0])}"
    names = {float: "a number", int: "a whole number", str: "a text", bool: "true or false", NoneType: "null"}
    if isinstance(hint, type):
        name = hint.__name__.lower()
        return names.get(hint) or f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
    raise TypeError(f"an annotation that configs cannot express: {hint}")


def choices_in(hint: object) -> list[str]:
    """Return the words that an annotation allows, anywhere in it."""
    if get_origin(hint) is Literal:
        return [str(choice) for choice in get_args(hint)]
    if hint in (bool, NoneType):
        return ["true", "false"] if hint is bool else ["null"]
    return [word for inner in get_args(hint) for word in choices_in(inner)]


def takes_numbers(hint: object) -> bool:
    """Tell whether an annotation allows numbers, and no text that could be anything."""
    kinds = _kinds(hint)
    return str not in kinds and (int in kinds or float in kinds)


def _kinds(hint: object) -> list[object]:
    return [kind for inner in get_args(hint) for kind in _kinds(inner)] if get_args(hint) else [hint]


@cache
def _bounds(hint: object) -> list[object]:
    _, *metadata = get_args(hint)
    grouped = [item if isinstance(item, at.GroupedMetadata) else [item] for item in metadata]
    return [bound for bounds in grouped for bound in bounds if not isinstance(bound, str)]


def _within(value: object, bound: object) -> bool:
    if isinstance(bound, at.MinLen):
        return len(value) >= bound.min_length if isinstance(value, (tuple, str)) else False
    number = np.asarray(value)
    match bound:
        case at.Gt(limit):
            return bool(np.all(number > limit))
        case at.Ge(limit):
            return bool(np.all(number >= limit))
        case at.Lt(limit):
            return bool(np.all(number < limit))
        case at.Le(limit):
            return bool(np.all(number <= limit))
    raise TypeError(f"a bound that is not known here: {bound}")


def _words(bound: object) -> str:
    match bound:
        case at.Gt(limit):
            return f"greater than {limit}"
        case at.Ge(limit):
            return f"of at least {limit}"
        case at.Lt(limit):
            return f"less than {limit}"
        case at.Le(limit):
            return f"of at most {limit}"
        case at.MinLen(limit):
            return f"({limit} or more of them)"
    raise TypeError(f"a bound that is not known here: {bound}")
