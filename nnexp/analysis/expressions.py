"""Expressions of numbers and keys, such as `2/optimizer.learning_rate`."""

import ast
import math
import operator
import sys
import warnings
from collections.abc import Callable, Mapping

from nnexp.core.errors import UserError
from nnexp.core.words import did_you_mean

OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda over, under: over / under if under else math.nan,
}
MAX_CHARACTERS = 500


def check_expression(text: str, path: str, known: Mapping[str, object]) -> None:
    """Check an expression; `path` is its place in the config, and `known` the values of the config by their keys.

    Raises UserError if it is no such expression, or a key does not exist or is no number.
    """
    keys: dict[str, float] = {}
    try:
        _value(_parsed(text), lambda key: keys.setdefault(key, 1.0))
    except ValueError as error:
        wanted = "must be numbers, keys, + - * / and brackets, such as 2/optimizer.learning_rate"
        raise UserError(f"{path}={text}: {wanted} ({error})") from error
    for key in keys:
        if key not in known:
            raise UserError(f"{path}={text}: {key} is no such key{did_you_mean(key, known)}")
        if not _is_number(known[key]):
            raise UserError(f"{path}={text}: must have keys of numbers, and {key} is {known[key]}")


def evaluated(text: str, values: Mapping[str, object]) -> float:
    """Return the value of a checked expression, given those of its keys; NaN where one is missing or no number."""
    try:
        return _value(_parsed(text), lambda key: float(str(values[key])))
    except (KeyError, ValueError):
        return math.nan


def _parsed(text: str) -> ast.expr:
    try:
        if len(text) > MAX_CHARACTERS:
            raise ValueError(f"it has more than {MAX_CHARACTERS} characters")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as of 1or 2, which is refused all the same
            return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError("it cannot be read") from error


def _value(node: ast.expr, value_of: Callable[[str], float]) -> float:
    """Return the value of a part of an expression; raises ValueError if anything else than is allowed stands in it."""
    match node:
        case ast.BinOp(left, op, right) if type(op) in OPERATORS:
            return OPERATORS[type(op)](_value(left, value_of), _value(right, value_of))
        case ast.UnaryOp(ast.USub(), operand):
            return -_value(operand, value_of)
        case ast.Constant(int() | float() as value) if _is_number(value) and abs(value) <= sys.float_info.max:
            return float(value)
    return value_of(_key(node))


def _key(node: ast.expr) -> str:
    match node:
        case ast.Name(name):
            return name
        case ast.Attribute(whole, name):
            return f"{_key(whole)}.{name}"
    raise ValueError(f"not {ast.unparse(node):.40}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
