"""What a caller in Python gives, as overrides: a list, a text, a dictionary, keywords, and objects as values."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias, TypeVar

from nnexp.core.component import Component, InvalidFieldError, annotations
from nnexp.core.errors import UserError
from nnexp.core.words import no_such_key

Given: TypeAlias = str | Sequence[str] | Mapping[str, object] | None
"""Overrides as a text, a list of texts, or values by their keys."""
C = TypeVar("C", bound=Component)


def overrides_of(
    given: Given, keywords: Mapping[str, object], write: Callable[[object], str]
) -> tuple[list[str], dict[str, Component]]:
    """Return overrides as texts, and the components that were given as objects, by their keys.

    In keywords two underscores stand for a dot.

    Raises UserError if the text has a quote without its second one.

    Args:
        given, keywords: What the caller gives.
        write: Returns a value as an override writes it.
    """
    values = {key.replace("__", "."): value for key, value in keywords.items()}
    texts: list[str] = []
    if given is None:
        texts = []
    elif isinstance(given, str):
        try:
            texts = shlex.split(given)
        except ValueError as error:
            raise UserError(f"{given}: must have its quotes in pairs") from error
    elif isinstance(given, Mapping):
        values = {**given, **values}
    elif isinstance(given, Sequence) and all(isinstance(one, str) for one in given):
        texts = [*given]
    else:
        raise UserError(
            f"overrides={given!r}: must be texts such as optimizer.learning_rate=0.3, or values by their keys"
        )
    entries = [*_entries(values)]
    objects = {key: value for key, value in entries if isinstance(value, Component)}
    return [*texts, *(f"{key}={write(value)}" for key, value in entries if key not in objects)], objects


def _entries(values: Mapping[str, object], path: str = "") -> Iterator[tuple[str, object]]:
    """Yield values with their dotted keys."""
    for name, value in values.items():
        key = f"{path}{name}"
        if isinstance(value, Mapping) and value:
            yield from _entries(value, f"{key}.")
        else:
            yield key, value


def with_objects(component: C, objects: Mapping[str, Component], path: str = "") -> C:
    """Return a component with others in place of those at some keys.

    Raises UserError if there is no such key, or the object is not of the kind that belongs there.
    """
    for key, value in objects.items():
        name, _, rest = key.partition(".")
        known = annotations(type(component))
        if name not in known:
            raise UserError(no_such_key(f"{path}{name}", known))
        inner = getattr(component, name)
        if rest and not isinstance(inner, Component):
            raise UserError(f"{path}{key}: must be the key of a component, and {path}{name} has none within")
        changed = with_objects(inner, {rest: value}, f"{path}{name}.") if rest else value
        try:
            component = replace(component, **{name: changed})
        except InvalidFieldError as error:
            raise UserError(f"{path}{name}={type(value).__name__}: must be {error.allowed}") from error
    return component
