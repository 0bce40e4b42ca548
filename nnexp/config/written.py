"""Values as overrides on the command line write them."""

import json
from collections.abc import Mapping, Sequence
from os import PathLike

import numpy as np

from nnexp.config.command_line import quoted
from nnexp.core.errors import UserError, on_one_line


def alternatives(values: object) -> str:
    """Return the values that a key takes in a sweep: a text as it is, a list as alternatives."""
    if isinstance(values, str):
        return values
    plain = _plain(values)
    return ",".join(written(value) for value in plain) if isinstance(plain, list) else written(plain)


def written(value: object) -> str:
    """Return a value in a form that is read as the same value."""
    plain = _plain(value)
    if isinstance(plain, list):
        return f"[{','.join(written(item) for item in plain)}]"
    if isinstance(plain, Mapping):
        return f"{{{','.join(f'{key}:{written(item)}' for key, item in plain.items())}}}"
    if isinstance(plain, str):
        return quoted(plain)
    try:
        return json.dumps(plain)
    except TypeError as error:
        kind = type(value).__name__
        raise UserError(f"{on_one_line(value)}: must be a number, a text, a list or the like, not a {kind}") from error


def _plain(value: object) -> object:
    """Return a value of Python or NumPy as one of a config."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, PathLike):
        return str(value)
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
