"""Pictures of what happens inside a network while it trains."""

from typing import TYPE_CHECKING

import numpy as np

from nnexp.component import Array
from nnexp.plots.style import new_figure
from nnexp.training.history import LayerHistory

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DECADE = 10
"""The ratio of the largest to the smallest size from which an axis is logarithmic."""
COLOURS = 8
"""Layers with a colour of their own; where there are more, they go from dark to light."""


def layer_sizes(layers: LayerHistory, unit: str, name: str) -> "Figure":
    """Draw the sizes of activations, gradients and updates by layer over time, and the share of dead units."""
    figure = new_figure(11, 7.2, (0.95, 0.65, 1.9, 0.8), (0.32, 0.42))
    figure.suptitle(f"Inside the network, {name}", y=1 - 0.12 / 7.2, va="top")
    activations, gradients, updates, last = figure.subplots(2, 2).flat
    relative = layers.updates / np.where(layers.weights > 0, layers.weights, np.inf)
    round_ = unit if unit == "epoch" else "evaluation"
    panels = [
        (activations, "Activations", "root mean square", layers.activations),
        (gradients, "Gradients", "root mean square", layers.gradients),
        (
            updates,
            f"Updates in one {round_}",
            "share of the weights' size",
            relative,
        ),
        (last, "Dead rectified units", "share of units", layers.dead)
        if layers.dead.shape[1]
        else (last, "Weights", "root mean square", layers.weights),
    ]
    for axes, title, size, values in panels:
        _lines(axes, layers, values)
        axes.set(title=title, ylabel=size)
        if values is layers.dead:
            axes.set_ylim(-0.02, 1.02)
        elif values.max(initial=0) > DECADE * values[values > 0].min(initial=np.inf):
            axes.set_yscale("log")
        else:
            axes.set_ylim(0, 1.08 * values.max(initial=0) or 1)
    for axes in (updates, last):
        axes.set_xlabel(unit)
    figure.legend(
        gradients.get_lines(),
        layers.layers,
        title="layer",
        loc="upper left",
        bbox_to_anchor=(1 - 1.8 / 11, 1 - 0.75 / 7.2),
    )
    return figure


def _lines(axes: "Axes", layers: LayerHistory, values: Array) -> None:
    """Draw a line for each layer."""
    count, marker = values.shape[1], "o" if len(layers.times) == 1 else ""
    lines = [axes.plot(layers.times, values[:, layer], marker=marker)[0] for layer in range(count)]
    if count > COLOURS:
        from matplotlib import colormaps

        for line, colour in zip(lines, colormaps["cividis"](np.linspace(0, 0.95, count)), strict=True):
            line.set_color(colour)
