"""Builds components from plain mappings, and checks every name, type and range on the way.

A node names its class with `_target_`; the fields of that dataclass are the node's schema. Where a component is
expected, the name of an option of its config group stands for that option, and a mapping of this name to fields for
the option with these fields.
"""

import ast
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from importlib import import_module
from importlib.machinery import PathFinder
from inspect import isabstract
from pathlib import Path
from typing import TypeVar, get_origin

from nnexp.core.component import (
    Component,
    InvalidFieldError,
    annotations,
    bare,
    choices_in,
    describe,
    is_required,
    items_of,
    plain,
    satisfies,
    takes_numbers,
)
from nnexp.core.errors import UnknownKeyError, UserError
from nnexp.core.expressions import Formula
from nnexp.core.words import meant, numbers_meant, one_of, proposal, same_or_synonym, some

C = TypeVar("C", bound=Component)
Node = Mapping[str, object]
Options = Callable[[type[Component]], Mapping[str, Node] | None]
"""Returns the named options for a kind of component and their contents; None where it has none."""

TARGET = "_target_"
NOTHING = ("none", "false", "off", "no", "")
"""What people write for null."""
PACKAGES_VARIABLE = "NNEXP_PACKAGES"


def no_options(_kind: type[Component]) -> None:
    """Return None: a config that writes everything out needs no named options."""


def build(node: object, kind: type[C], path: str = "", options: Options = no_options) -> C:
    """Return the component that a node describes; `path` is its place in the config, for messages."""
    named, own = _name_and_fields(node, kind)
    choices = options(kind) if named is not None or not isinstance(node, Mapping) else None
    if choices is not None:
        if named is None or named not in choices:
            raise UserError(one_of(path, "null" if node is None else named or node, choices))
        node, path = {**choices[named], **own}, f"{path}.{named}" if own else path
    if not isinstance(node, Mapping):
        wanted = describe(kind) if isabstract(kind) else f"keys and their values ({some([*annotations(kind)])})"
        raise UserError(f"{path}={node}: must be {wanted}")
    if TARGET not in node and isabstract(kind) and (choices := options(kind)):
        names = sorted(choices)
        raise UserError(f"{path}: must name one of {some(names)}, as {{{names[0]}: {{KEY: VALUE}}}}")
    component = locate(node, kind, path)
    hints = annotations(component)
    unknown = [key for key in node if key != TARGET and key not in hints]
    if unknown:
        raise UnknownKeyError(_join(path, str(unknown[0])), [*hints])
    missing = [field.name for field in fields(component) if field.name not in node and is_required(field)]
    if missing:
        raise UserError(f"{_join(path, missing[0])}: missing, must be {describe(hints[missing[0]])}")
    values = {
        name: _value(value, hints[name], _join(path, name), options) for name, value in node.items() if name != TARGET
    }
    try:
        return component(**values)
    except InvalidFieldError as error:
        key = _join(path, error.field)
        meaning = meant_value(key, error.value, hints.get(error.field))
        others = [name for name in same_or_synonym(error.field, hints) if satisfies(error.value, hints[name])]
        if others and others[0] != error.field:  # such as a share for dataset.split, which is dataset.test_size
            meaning = proposal([f"{_join(path, others[0])}={error.value}"])
        raise UserError(f"{_join(path, str(error))}{meaning}") from error


def meant_value(key: str, value: object, hint: object) -> str:
    """Return the end of a line about a wrong value: what to type in its place, if that is clear."""
    if satisfies(tuple(value) if isinstance(value, list) else value, hint):  # what is wrong is something else
        return ""
    if isinstance(value, list) and value and all(satisfies(one, hint) for one in value):
        return f"; for a run of each, -m {key}={','.join(map(str, value))}"
    text = "null" if value is None else ",".join(map(str, value)) if isinstance(value, list) else str(value)
    words = choices_in(hint)
    if words and (found := meant(text, words)):
        several = satisfies(tuple(found[:1]), hint)
        return proposal([f"[{one}]" for one in found] if several else found)
    numbers = numbers_meant(text)
    written = [str(one) if isinstance(one, int) else f"{one:.6g}" for one in numbers]
    if len(numbers) == 1 and satisfies(numbers[0], hint):
        return _typed(written[0], value)
    if numbers and satisfies(tuple(numbers), hint):
        return _typed(f"[{','.join(written)}]", value)
    if numbers and all(satisfies(one, hint) for one in numbers):
        return f"; for a run of each, -m {key}={','.join(written)}"
    span = re.fullmatch(r"(\d+):(\d+)", text)
    return f"; for a run of each, -m {key}=range({span[1]},{span[2]})" if span else ""


def _typed(wanted: str, value: object) -> str:
    """Return the end of a line about what to type in place of a value."""
    return ", without quotes" if wanted == value else proposal([wanted])


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
    NNEXP_PACKAGES, of which no module is imported but the one whose text has the dataclass.
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
        known = module.split(".")[0] == "nnexp" or module in sys.modules or has_dataclass(module, name)
        found: object = getattr(import_module(module), name, None) if known else None
    except (ModuleNotFoundError, RecursionError, OSError, SyntaxError) as error:  # the second of a thousand dots
        raise UserError(f"{_join(path, TARGET)}={target}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, kind) and is_dataclass(found)) or isabstract(found):
        raise UserError(f"{_join(path, TARGET)}={target}: must be the dataclass of {describe(kind)}")
    return found


def has_dataclass(module: str, name: str) -> bool:
    """Tell whether the text of a module makes a dataclass of this name, or it is a package as a whole.

    To read it imports no more than the package: a config may be from a stranger, and a module do anything.

    Raises ModuleNotFoundError if there is no such module.
    """
    package, *inner = module.split(".")
    path = getattr(import_module(package), "__path__", None)
    text: str | None = None
    for end in range(len(inner)):
        spec = PathFinder.find_spec(".".join([package, *inner[: end + 1]]), path)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {module!r}")
        path, source = spec.submodule_search_locations, spec.origin
        text = Path(source).read_text(encoding="utf-8") if source and source.endswith(".py") else ""
    return text is None or any(
        isinstance(made, ast.ClassDef) and made.name == name and any(map(_is_dataclass, made.decorator_list))
        for made in ast.parse(text).body
    )


def _is_dataclass(decorator: ast.expr) -> bool:
    return ast.unparse(decorator).partition("(")[0].rpartition(".")[2] == "dataclass"


def _value(value: object, hint: object, path: str, options: Options) -> object:
    """Return a value of a config, converted to the annotated type where possible; the component checks the rest."""
    kind = bare(hint)
    if isinstance(value, Formula):
        value = value.number(path) if takes_numbers(hint) else str(value)
    if isinstance(kind, type) and issubclass(kind, Component) and not (value is None and satisfies(None, hint)):
        if str(value).lower() in NOTHING and satisfies(None, hint):
            raise UserError(f"{path}={value}: must be null, or {describe(kind)}")
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
