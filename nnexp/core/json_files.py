"""Dataclasses in JSON files, checked against their annotations when read, since a file may be from a stranger."""

import json
from collections.abc import Mapping
from collections.abc import Sequence as AbstractSequence
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import NoReturn, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from nnexp.core.component import is_required, satisfies
from nnexp.core.errors import DamagedError
from nnexp.core.files import read_text, write_text

T = TypeVar("T")
NOT_IN_FILE = "not in file"
"""The key of the metadata of a field that no file holds; one of this name is not read."""


def write_json(path: Path, record: object, *, durable: bool = False) -> None:
    """Write a dataclass or a mapping, a line for each of its values."""
    lines = json.dumps(record, separators=(",\n ", ": "), default=vars)  # fast, as with an indent it is not
    write_text(path, f"{lines}\n", durable=durable)


def read_json(path: Path, kind: type[T], max_bytes: int) -> T | None:
    """Return the record in a file; None if there is no file or it does not hold such a record."""
    try:
        return typed(kind, json.loads(read_text(path, max_bytes)), path.name)
    except (OSError, ValueError, RecursionError, DamagedError):
        return None


def typed(kind: type[T], value: object, path: str) -> T:
    """Return a JSON value converted to the annotated type; `path` is its place in the file, for messages.

    A dataclass is a mapping from field names to values. Fields with a default may be missing; other keys, which a later
    version may have written, are not read.

    Raises DamagedError if the value is of another type.
    """
    return cast("T", _typed(kind, value, path))


def _typed(hint: object, value: object, path: str) -> object:
    origin, arguments = get_origin(hint), get_args(hint)
    if isinstance(hint, type) and is_dataclass(hint) and isinstance(value, dict):
        return _record(hint, value, path)
    if origin in (Union, UnionType):
        fitting = [member for member in arguments if (member is NoneType) == (value is None)]
        return _typed(fitting[0], value, path) if fitting else _damaged(value, path)
    if origin is Mapping and isinstance(value, dict):
        of = arguments[1]  # which is often anything, as in a config
        return value if of is object else {key: _typed(of, item, f"{path}.{key}") for key, item in value.items()}
    if origin is AbstractSequence and isinstance(value, list):
        return tuple(_typed(arguments[0], item, f"{path}[{place}]") for place, item in enumerate(value))
    if hint is object or (origin not in (Mapping, AbstractSequence) and satisfies(value, hint)):
        return value
    return _damaged(value, path)


def _damaged(value: object, path: str) -> NoReturn:
    raise DamagedError(f"{path} is {value!r:.80}")


def _record(kind: type, value: dict[str, object], path: str) -> object:
    held = [field for field in fields(kind) if NOT_IN_FILE not in field.metadata]
    missing = [one.name for one in held if one.name not in value and is_required(one)]
    if missing:
        raise DamagedError(f"{path} has no {', '.join(missing)}")
    hints = _hints(kind)
    given = {one.name: value[one.name] for one in held if one.name in value}
    return kind(**{name: _typed(hints[name], item, f"{path}.{name}") for name, item in given.items()})


@cache
def _hints(kind: type) -> dict[str, object]:
    return get_type_hints(kind)
