"""Figures of the layers of a network during the training."""

from typing import TYPE_CHECKING

import numpy as np

from nnexp.core.component import Array
from nnexp.plots.style import LEGEND_ROWS, new_figure
from nnexp.training.history import LayerHistory

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

LOG_FROM = 10
"""An axis is logarithmic if the ratio of the largest to the smallest size is greater."""
MOST_COLOURS = 8
"""The most layers with colours of the style; more layers have colours from dark to light."""


def layer_sizes(layers: LayerHistory, unit: str, name: str) -> "Figure":
    """Draw the sizes of activations, gradients and updates by layer over time, and the share of dead units."""
    columns = -(-len(layers.layers) // LEGEND_ROWS)
    width, right = 9.1 + 2.1 * columns, 2.1 * columns
    figure = new_figure(width, 7.2, (1.05, 0.65, right, 0.8), (0.36, 0.48))
    figure.suptitle(f"Inside the network, {name}", y=1 - 0.12 / 7.2, va="top")
    relative = layers.updates / np.where(layers.weights > 0, layers.weights, np.inf)
    round_ = unit if unit == "epoch" else "evaluation"
    panels = [
        ("Activations", "root mean square", layers.activations),
        ("Gradients", "root mean square", layers.gradients),
        (f"Updates in one {round_}", "share of the weights' size", relative),
        ("Dead rectified units", "share of units", layers.dead)
        if layers.dead.shape[1]
        else ("Weights", "root mean square", layers.weights),
    ]
    shown = [panel for panel in panels if panel[-1].shape[1]]  # a network may have no activations
    grid = figure.subplots(2, 2)
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    for axes, (title, size, values) in zip(grid.flat, shown, strict=False):
        _lines(axes, layers, values)
        axes.set(title=title, xlabel=unit, ylabel=size)
        axes.locator_params("x", integer=True)
        finite = values[np.isfinite(values)]
        if values is layers.dead:
            axes.set_ylim(-0.02, 1.02)
        elif finite.max(initial=0) > LOG_FROM * finite[finite > 0].min(initial=np.inf):
            axes.set_yscale("log")
        else:
            axes.set_ylim(0, 1.08 * finite.max(initial=0) or 1)
    all_layers: list[Line2D] = max((axes.get_lines() for axes in grid.flat), key=len)
    names = layers.layers
    if len(set(names)) < len(names):
        names = tuple(f"{number}: {name}" for number, name in enumerate(names, start=1))
    figure.legend(
        all_layers,
        names,
        title="layer",
        loc="upper left",
        bbox_to_anchor=(1 - (right - 0.1) / width, 1 - 0.75 / 7.2),
        ncols=columns,
    )
    return figure


def _lines(axes: "Axes", layers: LayerHistory, values: Array) -> None:
    """Draw a line for each layer, of the same colour in every panel, though the last may have no activation."""
    marker, count = "o" if len(layers.times) == 1 else "", len(layers.layers)
    lines = [axes.plot(layers.times, column, marker=marker)[0] for column in values.T]
    if count > MOST_COLOURS:
        from matplotlib import colormaps

        for line, colour in zip(lines, colormaps["cividis"](np.linspace(0, 0.95, count)), strict=False):
            line.set_color(colour)
