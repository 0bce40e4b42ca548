"""Dual numbers: arrays with their derivatives along one direction, which NumPy's functions carry with them.

A formula that is given a `Dual` returns one: its value, and its slope, the derivative of the value along the direction
in which the inputs change. So the formulas of a backward pass, given parameters with the slope v, return the gradient
and the product of the Hessian with v, exactly, and know nothing of it: this is the R-operator of Pearlmutter (Fast
Exact Multiplication by the Hessian, Neural Computation 6, 1994), a line for each function of NumPy. At a kink the slope
is that of the side whose value is taken.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import pi, prod, sqrt
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt
from numpy.lib.mixins import NDArrayOperatorsMixin

from nnexp.core.component import Array
from nnexp.core.errors import UserError

Rule: TypeAlias = Callable[..., Array]
"""Returns what the slope `s` of one input adds to that of the result `y`, given s, y and all inputs."""
Axis: TypeAlias = int | tuple[int, ...] | None


class Dual(NDArrayOperatorsMixin):
    """An array, and its slope, an array of the same shape; a part of it is a view of both."""

    def __init__(self, value: Array, slope: Array) -> None:
        self.value, self.slope = value, slope

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: object, out: Sequence[object] = (), **options: object
    ) -> object:
        """Call a universal function, and apply its rule."""
        if method == "reduce" and ufunc in REDUCED:
            axis, keepdims = options.get("axis", 0), options.get("keepdims", False)
            return _result(*REDUCED[ufunc](cast("Dual", inputs[0]), axis, keepdims), out)
        if method != "__call__" or options:
            raise unknown(f"{ufunc.__name__}.{method}")
        values = [value_of(one) for one in inputs]
        value = ufunc(*values)
        if ufunc in LEVEL:
            return _result(value, None, out) if out else value
        name = ufunc.__name__
        if name not in RULES:
            raise unknown(name)
        slope: Array | None = None
        for rule, one in zip(RULES[name], inputs, strict=True):
            if isinstance(one, Dual):
                added = rule(one.slope, value, *values)
                slope = added if slope is None else slope + added
        shared = any(isinstance(one, Dual) and one.slope is slope for one in inputs)
        return _result(value, slope, out, shared=shared)

    def __array_function__(
        self, function: Callable[..., object], _: object, arguments: Iterable[object], options: Mapping[str, object]
    ) -> object:
        """Call another function of NumPy, one of those that are known."""
        if function not in FUNCTIONS:
            raise unknown(function.__name__)
        return FUNCTIONS[function](*arguments, **options)

    def __array__(self, *_: object, **__: object) -> Array:
        """Refuse to be an array without a slope."""
        raise unknown("asarray")

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape."""
        return self.value.shape

    @property
    def ndim(self) -> int:
        """Return the number of axes."""
        return self.value.ndim

    @property
    def dtype(self) -> npt.DTypeLike:
        """Return the type of the numbers."""
        return self.value.dtype

    @property
    def mT(self) -> "Dual":  # noqa: N802 - as NumPy calls it
        """Return it with its last two axes swapped."""
        return Dual(self.value.mT, self.slope.mT)

    def __len__(self) -> int:
        """Return the length of the first axis."""
        return len(self.value)

    def __getitem__(self, key: object) -> "Dual":
        """Return a part."""
        return Dual(self.value[key], self.slope[key])  # type: ignore[call-overload]

    def __setitem__(self, key: object, one: object) -> None:
        """Copy numbers into a part."""
        _copy_to(self[key], one)

    def reshape(self, *shape: int) -> "Dual":
        """Return it in another shape."""
        return Dual(self.value.reshape(*shape), self.slope.reshape(*shape))

    def copy(self) -> "Dual":
        """Return a copy."""
        return Dual(self.value.copy(), self.slope.copy())

    def astype(self, dtype: npt.DTypeLike, *, copy: bool = True) -> "Dual":
        """Return it with numbers of another type."""
        return Dual(self.value.astype(dtype, copy=copy), self.slope.astype(dtype, copy=copy))

    def sum(self, axis: Axis = None, *, keepdims: bool = False, out: "Dual | None" = None) -> object:
        """Return the sum along axes."""
        return _result(*_sum(self, axis, keepdims), () if out is None else (out,))

    def max(self, axis: Axis = None, *, keepdims: bool = False) -> object:
        """Return the largest along axes."""
        return _result(*_max(self, axis, keepdims), ())

    def mean(self, axis: Axis = None, *, keepdims: bool = False) -> object:
        """Return the mean along axes."""
        axes = range(self.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
        return cast("Dual", self.sum(axis, keepdims=keepdims)) / prod(self.shape[one] for one in axes)

    def var(self, axis: Axis = None, *, keepdims: bool = False) -> object:
        """Return the variance along axes."""
        deviation = self - self.mean(axis, keepdims=True)
        return cast("Dual", deviation * deviation).mean(axis, keepdims=keepdims)


def unknown(name: str) -> UserError:
    """Return an error about a function whose derivative is not known here."""
    return UserError(f"trainer.diagnostics: a curvature needs the derivative of NumPy's {name}, which is not known")


def value_of(one: object) -> Array:
    """Return the value of a dual number, and anything else as it is."""
    return one.value if isinstance(one, Dual) else cast("Array", one)


def _result(value: Array, slope: Array | None, out: Sequence[object], *, shared: bool = False) -> Dual:
    """Return a dual number with arrays of its own, or `out`, into which it is written.

    Args:
        value, slope: The arrays; without a slope it is 0.
        out: The array of the result, if there is one.
        shared: Whether the slope is that of another number, too.
    """
    if not out and slope is not None and not shared and slope.shape == value.shape and slope.dtype == value.dtype:
        return Dual(value, slope)
    target = out[0] if out else Dual(value, np.empty_like(value))
    if not isinstance(target, Dual):
        raise unknown("results in arrays without a slope")
    if out:
        np.copyto(target.value, value)
    np.copyto(target.slope, 0.0 if slope is None else slope)
    return target


def _sum(one: Dual, axis: object, keepdims: object) -> tuple[Array, Array]:
    options = {"axis": axis, "keepdims": keepdims}
    return np.add.reduce(one.value, **options), np.add.reduce(one.slope, **options)  # type: ignore[call-overload]


def _max(one: Dual, axis: object, keepdims: object) -> tuple[Array, Array]:
    largest = np.maximum.reduce(one.value, axis=axis, keepdims=True)  # type: ignore[call-overload]
    there = one.value == largest
    options = {"axis": axis, "keepdims": keepdims}
    count = np.add.reduce(np.where(there, 1.0, 0.0), **options)  # type: ignore[call-overload]
    slope = np.add.reduce(np.where(there, one.slope, 0.0), **options) / count  # type: ignore[call-overload]
    return np.maximum.reduce(one.value, **options), slope  # type: ignore[call-overload]


def _copy_to(target: object, one: object) -> None:
    _result(value_of(one), one.slope if isinstance(one, Dual) else None, (target,))


def _where(condition: Array, one: object, other: object) -> Dual:
    slopes = [item.slope if isinstance(item, Dual) else 0.0 for item in (one, other)]
    condition = value_of(condition)
    return Dual(np.where(condition, value_of(one), value_of(other)), np.where(condition, *slopes))


def _joined(function: Callable[..., Array]) -> Callable[..., Dual]:
    """Return a function that joins arrays, some of which may have no slope."""

    def joined(arrays: Sequence[object], axis: int = 0) -> Dual:
        slopes = [one.slope if isinstance(one, Dual) else np.zeros_like(cast("Array", one)) for one in arrays]
        return Dual(function([value_of(one) for one in arrays], axis=axis), function(slopes, axis=axis))

    return joined


def _empty(like: Dual) -> Dual:
    return Dual(np.empty_like(like.value), np.empty_like(like.slope))


def _zeros(like: Dual) -> Dual:
    return Dual(np.zeros_like(like.value), np.zeros_like(like.slope))


def _inverse_root(y: Array) -> Array:
    """Return 1 / (2 y), and 0 for 0, where a length is at its kink."""
    return 0.5 * np.sign(y) / np.where(y > 0, y, 1)


def _one_side(s: Array, chosen: Array) -> Array:
    return np.where(chosen, s, 0)


RULES: dict[str, tuple[Rule, ...]] = {
    "add": (lambda s, *_: s, lambda s, *_: s),
    "subtract": (lambda s, *_: s, lambda s, *_: -s),
    "multiply": (lambda s, _, _a, b: s * b, lambda s, _, a, _b: a * s),
    "divide": (lambda s, _, _a, b: s / b, lambda s, y, _a, b: -s * y / b),
    "matmul": (lambda s, _, _a, b: s @ b, lambda s, _, a, _b: a @ s),
    "power": (lambda s, _, a, b: s * b * a ** (b - 1), lambda s, y, a, _b: s * y * np.log(a)),
    "maximum": (lambda s, _, a, b: _one_side(s, a > b), lambda s, _, a, b: _one_side(s, b >= a)),
    "minimum": (lambda s, _, a, b: _one_side(s, a < b), lambda s, _, a, b: _one_side(s, b <= a)),
    "negative": (lambda s, *_: -s,),
    "positive": (lambda s, *_: s,),
    "square": (lambda s, _, a: 2 * a * s,),
    "sqrt": (lambda s, y, _: s * _inverse_root(y),),
    "reciprocal": (lambda s, y, _: -s * y * y,),
    "absolute": (lambda s, _, a: s * np.sign(a),),
    "exp": (lambda s, y, _: s * y,),
    "expm1": (lambda s, y, _: s * (y + 1),),
    "log": (lambda s, _, a: s / a,),
    "log1p": (lambda s, _, a: s / (1 + a),),
    "sin": (lambda s, _, a: s * np.cos(a),),
    "cos": (lambda s, _, a: -s * np.sin(a),),
    "sinh": (lambda s, _, a: s * np.cosh(a),),
    "cosh": (lambda s, _, a: s * np.sinh(a),),
    "tanh": (lambda s, y, _: s * (1 - y * y),),
    "arctan": (lambda s, _, a: s / (1 + a * a),),
    "erf": (lambda s, _, a: s * (2 / sqrt(pi)) * np.exp(-a * a),),
    "ndtr": (lambda s, _, a: s * np.exp(-0.5 * a * a) / sqrt(2 * pi),),
    "clip": (
        lambda s, y, a, *_: _one_side(s, y == a),
        lambda s, y, a, low, *_: _one_side(s, y != a) * (y == low),
        lambda s, y, a, _, high: _one_side(s, y != a) * (y == high),
    ),
}
"""For every universal function, by its name, what the slope of each of its inputs adds to that of its result."""
LEVEL = {
    *(np.sign, np.floor, np.ceil, np.rint, np.isfinite, np.isnan, np.logical_and, np.logical_or, np.logical_not),
    *(np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal),
}
"""Functions whose slope is 0 wherever they have one: their result is a plain array."""
REDUCED = {np.add: _sum, np.maximum: _max}
FUNCTIONS: dict[Callable[..., object], Callable[..., object]] = {
    np.copyto: _copy_to,
    np.where: _where,
    np.empty_like: _empty,
    np.zeros_like: _zeros,
    np.concatenate: _joined(np.concatenate),
    np.stack: _joined(np.stack),
    np.sum: Dual.sum,
    np.mean: Dual.mean,
    np.var: Dual.var,
    np.max: Dual.max,
    np.clip: lambda x, low, high: np.minimum(np.maximum(x, low), high),
    np.broadcast_to: lambda x, shape: Dual(np.broadcast_to(x.value, shape), np.broadcast_to(x.slope, shape)),
    np.reshape: lambda x, shape: x.reshape(*shape),
}
