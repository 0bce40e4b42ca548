"""Turns what is known of data and network before the training into rows of tables."""

from collections.abc import Sequence

import numpy as np

from nnexp.core.component import Array, Labels
from nnexp.data.dataset import Data, Part
from nnexp.nn.network import size
from nnexp.report.rows import figures
from nnexp.training.checks import Start, names_of
from nnexp.training.gradient_check import Gradient
from nnexp.training.model import Model

MOST_CLASSES, MOST_FEATURES, FIRST = 10, 5, 2
"""The most classes and features that are listed one by one, and how many of the first examples are shown."""
ROUNDING = 1e-12
"""A number up to this size is shown as 0: it is what rounding leaves."""
Rows = list[tuple[str, ...]]


def about(data: Data) -> str:
    """Return data in a line."""
    width = data.train.x.shape[-1]
    shape = "" if data.image_shape is None else " ({} x {} pixels)".format(*data.image_shape)
    return f"{data.name}: {data.task}, {width} feature{'s' if width > 1 else ''}{shape}"


def part_rows(data: Data) -> list[tuple[str, str]]:
    """Return the name of each part of the data, and how many examples it has, of which classes or numbers."""
    parts = {"train": data.train, **data.parts()}
    return [(name, f"{len(part):,} examples{_contents(data, part)}") for name, part in parts.items()]


def _contents(data: Data, part: Part) -> str:
    task = data.task
    if task.kind == "regression":
        numbers = data.raw_targets(part.targets.astype(np.float64))
        return f": {', '.join(f'{name} {_span(numbers[:, place])}' for place, name in enumerate(task.columns))}"
    if task.kind not in ("classification", "distribution"):
        return ""
    counts: list[int] = np.bincount(_labels(part.targets), minlength=len(task.classes)).tolist()
    shown = [f"{count:,} of {name}" for name, count in zip(task.classes, counts, strict=True)]
    if len(shown) > MOST_CLASSES:
        shown[MOST_CLASSES:] = [f"{sum(counts[MOST_CLASSES:]):,} of {len(shown) - MOST_CLASSES} more"]
    return f": {', '.join(shown)}"


def feature_rows(data: Data) -> tuple[tuple[str, ...], Rows]:
    """Return the header and rows of a table of features: those of the first examples, and ranges in the training."""
    x = data.train.x.reshape(-1, data.train.x.shape[-1])
    scaled = np.stack([x.min(axis=0), x.max(axis=0)])
    first, (low, high) = data.scaling.undo(x[:FIRST]), data.scaling.undo(scaled)
    names = data.features or [f"{number}" for number in range(x.shape[1])]
    rows: Rows = [
        (name, *map(_short, first[:, place]), _short(low[place]), _short(high[place]), _span(scaled[:, place]))
        for place, name in enumerate(names[:MOST_FEATURES])
    ]
    blank = [""] * len(first)
    if x.shape[1] > MOST_FEATURES:
        rows.append((f"all {x.shape[1]}", *blank, _short(low.min()), _short(high.max()), _span(scaled)))
    if data.task.kind not in ("pairs", "triplets"):
        rows.append(("to predict", *_targets(data, len(first)), "", "", ""))
    return ("feature", *["first", "second"][: len(first)], "lowest", "highest", "scaled"), rows


def _targets(data: Data, count: int) -> list[str]:
    """Return what is to be predicted of the first examples: their class, or their first number."""
    targets = data.train.targets[:count]
    if data.task.kind == "regression":
        return [_short(number) for number in data.raw_targets(targets.astype(np.float64))[:, 0].tolist()]
    return [data.task.classes[label] for label in _labels(targets).tolist()]


def _labels(targets: Array | Labels) -> Labels:
    """Return the class of every example, of a distribution the most probable one."""
    labels: Labels = targets.argmax(axis=-1) if targets.ndim > 1 else targets.astype(np.intp, copy=False)
    return labels


def layer_rows(start: Start, found: Sequence[Gradient]) -> tuple[tuple[str, ...], Rows]:
    """Return the header and rows of a table of layers: their shapes and sizes at the start, and their gradients."""
    deviations = [f"{one.deviation:.0e}" if one.wrong is None else "wrong" for one in found]
    rows: Rows = [
        (
            layer.name,
            f"{layer.fan_in} x {layer.fan_out}" if layer.parameters else f"{layer.fan_out}",
            f"{layer.parameters:,}" if layer.parameters else "",
            "" if layer.weights is None else figures(layer.weights),
            f"{_short(layer.mean, 2)} ± {_short(layer.deviation, 2)}",
        )
        for layer in start.layers
    ]
    rows += [("loss", *[""] * 4), ("network", "", f"{sum(layer.parameters for layer in start.layers):,}", "", "")]
    header = ("layer", "shape", "parameters", "weights", "outputs", "error of gradient")
    return header, [(*row, deviation) for row, deviation in zip(rows, deviations, strict=True)]


def network_rows(model: Model) -> tuple[tuple[str, ...], Rows]:
    """Return the header and rows of a table of the layers of a network, with their shapes and numbers of parameters."""
    rows, fan_in = Rows(), model.fan_in
    for place, (layer, name) in enumerate(zip(model.layers, names_of(model.layers), strict=True)):
        fan_out = layer.fan_out(fan_in)
        count = sum(slot.end - slot.begin for slot in model.layout.parameters if slot.path[0] == place)
        rows.append((name, f"{fan_in} x {fan_out}" if count else f"{fan_out}", f"{count:,}" if count else ""))
        fan_in = fan_out
    return ("layer", "shape", "parameters"), [*rows, ("network", "", f"{size(model.layout.parameters):,}")]


def _short(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}g}" if abs(value) > ROUNDING else "0"


def _span(values: Array) -> str:
    return f"{_short(values.min())} to {_short(values.max())}"
