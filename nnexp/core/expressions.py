"""Expressions of numbers and keys, such as `2/optimizer.learning_rate`, and values of a config that are such."""

import ast
import math
import operator
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache

from nnexp.core.errors import UserError
from nnexp.core.words import did_you_mean

OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda over, under: over / under if under else math.nan,
}
MAX_CHARACTERS = 500
WANTED = "must be numbers, keys, + - * / and brackets, such as 2/optimizer.learning_rate"


def check_expression(text: str, path: str, known: Mapping[str, object]) -> None:
    """Check an expression; `path` is its place in the config, and `known` the values of the config by their keys.

    Raises UserError if it is no such expression, or a key does not exist or is no number.
    """
    keys: dict[str, float] = {}
    try:
        _value(_parsed(text), lambda key: keys.setdefault(key, 1.0))
    except ValueError as error:
        raise UserError(f"{path}={text}: {WANTED} ({error})") from error
    for key in keys:
        number_of(key, known, f"{path}={text}")


def evaluated(text: str, values: Mapping[str, object]) -> float:
    """Return the value of a checked expression, given those of its keys; NaN where one is missing or no number."""
    try:
        return _value(_parsed(text), lambda key: float(str(values[key])))
    except (KeyError, ValueError):
        return math.nan


class Formula(str):
    """A text in a config that stands for a number where a number is expected, such as `0.1/architecture.width`.

    Attributes:
        values: The values of the whole config by dotted keys.
    """

    __slots__ = ("values",)
    values: Mapping[str, object]

    def number(self, path: str) -> int | float:
        """Return its value, as a whole number where it is one; `path` is its place in the config.

        Raises UserError if a key does not exist, is no number or depends on the formula itself, or there is no value.
        """
        found = _number(self, self.values, [path])
        if not math.isfinite(found):
            raise UserError(f"{path}={self}: must be a finite number, and is {found}")
        return int(found) if found.is_integer() else found


def _number(text: str, values: Mapping[str, object], path: Sequence[str]) -> float:
    """Return the value of a formula; `path` has the keys that need it, the first one first, and its own at the end."""

    def value_of(key: str) -> float:
        value = values.get(key)
        if not (isinstance(value, str) and is_formula(value)):
            return number_of(key, values, f"{path[-1]}={text}")
        if key in path:
            raise UserError(f"{path[-1]}={text}: must not depend on itself ({' needs '.join([*path, key])})")
        return _number(value, values, [*path, key])

    return _value(_parsed(text), value_of)


def is_formula(text: str) -> bool:
    """Tell whether a text is arithmetic on at least one key, and no word with a hyphen or a slash in it."""
    return bool(_keys_in(text))


def _keys_in(text: str) -> Mapping[str, float]:
    """Return the keys of a formula; nothing where a text is none."""
    keys: dict[str, float] = {}
    if not any(sign in text for sign in "+-*/"):
        return keys
    try:
        parsed = _parsed(text)
        _value(parsed, lambda key: keys.setdefault(key, 1.0))
    except ValueError:
        return {}
    numbers = any(isinstance(node, ast.Constant) for node in ast.walk(parsed))
    return keys if numbers or any("." in key for key in keys) else {}


def needed_keys(node: object) -> Iterator[str]:
    """Yield the keys on which formulas in a part of a config depend, if they are formulas where they stand."""
    if isinstance(node, str):
        yield from _keys_in(node)
    elif isinstance(node, (dict, list)):
        for value in node.values() if isinstance(node, dict) else node:
            yield from needed_keys(value)


def with_formulas(node: object, values: Mapping[str, object]) -> object:
    """Return a part of a config whose formulas know the values of the whole."""
    if isinstance(node, dict):
        return {key: with_formulas(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [with_formulas(value, values) for value in node]
    if not (isinstance(node, str) and is_formula(node)):
        return node
    formula = Formula(node)
    formula.values = values
    return formula


def number_of(key: str, values: Mapping[str, object], where: str) -> float:
    """Return the number of a key.

    Raises UserError if it does not exist, or is no number; `where` is the setting that names it.
    """
    if key not in values:
        raise UserError(f"{where}: {key} is no such key{did_you_mean(key, values)}")
    value = values[key]
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise UserError(f"{where}: must have keys of numbers, and {key} is {value}")
    return float(value)


@lru_cache
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
        case ast.Constant(int() | float() as value) if not isinstance(value, bool) and abs(value) <= sys.float_info.max:
            return float(value)
    return value_of(_key(node))


def _key(node: ast.expr) -> str:
    match node:
        case ast.Name(name):
            return name
        case ast.Attribute(whole, name):
            return f"{_key(whole)}.{name}"
    raise ValueError(f"not {ast.unparse(node):.40}")
