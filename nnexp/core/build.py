"""Builds components from plain mappings, and checks every name, type and range on the way.

A node names its class with `_target_`; the fields of that dataclass are the node's schema. Where a component is
expected, the name of an option of its config group stands for that option, and a mapping of this name to fields for
the option with these fields.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from importlib import import_module
from inspect import isabstract
from typing import TypeVar, get_origin

from nnexp.core.component import (
    Component,
    InvalidFieldError,
    annotations,
    bare,
    describe,
    is_required,
    items_of,
    plain,
    satisfies,
)
from nnexp.core.errors import UserError, did_you_mean, no_such_key

C = TypeVar("C", bound=Component)
Node = Mapping[str, object]
Options = Callable[[type[Component]], Mapping[str, Node] | None]
"""Returns the named options for a kind of component and their contents; None where it has none."""

TARGET = "_target_"
PACKAGES_VARIABLE = "NNEXP_PACKAGES"


def no_options(_kind: type[Component]) -> None:
    """Return None: a config that writes everything out needs no named options."""


def build(node: object, kind: type[C], path: str = "", options: Options = no_options) -> C:
    """Return the component that a node describes; `path` is its place in the config, for messages."""
    named, own = _name_and_fields(node, kind)
    choices = options(kind) if named is not None else None
    if named is not None and choices is not None:
        if named not in choices:
            raise UserError(
                f"{path}={named}: must be one of {', '.join(sorted(choices))}{did_you_mean(named, choices)}"
            )
        node, path = {**choices[named], **own}, f"{path}.{named}" if own else path
    if not isinstance(node, Mapping):
        raise UserError(f"{path}={node}: must be {describe(kind)}, chosen with {TARGET}")
    component = locate(node, kind, path)
    hints = annotations(component)
    unknown = [key for key in node if key != TARGET and key not in hints]
    if unknown:
        raise UserError(no_such_key(_join(path, str(unknown[0])), hints))
    missing = [field.name for field in fields(component) if field.name not in node and is_required(field)]
    if missing:
        raise UserError(f"{_join(path, missing[0])}: missing, must be {describe(hints[missing[0]])}")
    values = {
        name: _value(value, hints[name], _join(path, name), options) for name, value in node.items() if name != TARGET
    }
    try:
        return component(**values)
    except InvalidFieldError as error:
        raise UserError(f"{_join(path, str(error))}") from error


def _name_and_fields(node: object, kind: type[Component]) -> tuple[str | None, Node]:
    """Return the name of an option and its fields, of a name alone or a mapping of one name to fields, if it is one."""
    if isinstance(node, str):
        return node, {}
    if isinstance(node, Mapping) and len(node) == 1 and TARGET not in node and isabstract(kind):
        (name, own), *_ = node.items()
        if own is None or isinstance(own, Mapping):
            return str(name), own or {}
    return None, {}


def locate(node: Node, kind: type[C], path: str) -> type[C]:
    """Return the class that a node names, or the expected one where the node names none.

    Only components are ever called, and only those of nnexp and of the packages in the environment variable
    NNEXP_PACKAGES.
    """
    if TARGET not in node:
        if isabstract(kind):
            raise UserError(f"{path}: missing {TARGET}, must be {describe(kind)}")
        return kind
    target = str(node[TARGET])
    allowed = ["nnexp", *filter(None, os.environ.get(PACKAGES_VARIABLE, "").split(","))]
    module, _, name = target.rpartition(".")
    if not all(part.isidentifier() for part in target.split(".")):
        raise UserError(f"{_join(path, TARGET)}={target!r}: must be the dataclass of {describe(kind)}")
    if module.split(".")[0] not in allowed:
        raise UserError(
            f"{_join(path, TARGET)}={target}: must be in {' or '.join(allowed)} "
            f"(or in a package listed in {PACKAGES_VARIABLE})"
        )
    try:
        found: object = getattr(import_module(module), name, None)
    except (ModuleNotFoundError, RecursionError) as error:  # the second of a name with a thousand dots
        raise UserError(f"{_join(path, TARGET)}={target}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, kind) and is_dataclass(found)) or isabstract(found):
        raise UserError(f"{_join(path, TARGET)}={target}: must be the dataclass of {describe(kind)}")
    return found


def _value(value: object, hint: object, path: str, options: Options) -> object:
    """Return a value of a config, converted to the annotated type where possible; the component checks the rest."""
    kind = bare(hint)
    if isinstance(kind, type) and issubclass(kind, Component) and not (value is None and satisfies(None, hint)):
        return build(value, kind, path, options)
    items = items_of(hint)
    if isinstance(value, Mapping) and any(get_origin(item) is tuple for item in items):
        value = [[*pair] for pair in value.items()]
    if isinstance(value, list):
        made = {
            item: tuple(_value(entry, item, f"{path}[{index}]", options) for index, entry in enumerate(value))
            for item in items or (kind,)
        }
        fitting = (found for item, found in made.items() if all(satisfies(one, item) for one in found))
        return next(fitting, next(iter(made.values())))
    if isinstance(value, int) and kind is float and satisfies(value, kind):
        return float(value)
    return plain(value)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
