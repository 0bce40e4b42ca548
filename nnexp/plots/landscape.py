"""The loss around and between what was learned, and the spectra of weights."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nnexp.plots.style import add_legend, class_colours, grid_of, legend_size, new_figure
from nnexp.training.landscape import Slice, Way

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVELS = 24


def slice_figure(plane: Slice, name: str) -> "Figure":
    """Draw the loss in a plane as colours and contour lines, on a logarithmic scale."""
    figure = new_figure(5.6, 4.6, (0.8, 0.7, 0.3, 0.6))
    axes = figure.add_subplot()
    losses = np.log10(np.maximum(plane.losses, np.finfo(float).tiny))
    drawn = axes.contourf(plane.steps, plane.steps, losses, LEVELS, cmap="cividis")
    axes.contour(plane.steps, plane.steps, losses, LEVELS // 3, colors="white", linewidths=0.5, alpha=0.6)
    axes.plot(0, 0, "+", color="white", markersize=10)
    axes.set(title=f"The training loss around {name}", xlabel="first direction", ylabel="second direction")
    figure.colorbar(drawn, label="log10 of the training loss")
    return figure


def way_figure(way: Way, title: str) -> "Figure":
    """Draw the loss on the way from one run to another."""
    figure = new_figure(5.6, 3.8, (0.8, 0.7, 0.3, 0.7))
    axes = figure.add_subplot()
    axes.plot(way.shares, way.losses, marker=".")
    axes.set(title=title, xlabel="share of the way", ylabel="train loss", yscale="log")
    return figure


def spectra_figure(spectra: Mapping[str, Sequence[float]]) -> "Figure":
    """Draw the singular values of weights, the largest first."""
    _, width = legend_size([*spectra])
    figure, (axes,) = grid_of(1, (4.8, 3.4), "Singular values of the weights", width + 0.4)
    colours = class_colours(len(spectra))
    lines = [
        axes.plot(range(1, len(values) + 1), values, marker=".", color=colour)[0]
        for values, colour in zip(spectra.values(), colours, strict=True)
    ]
    axes.set(xlabel="rank", ylabel="singular value", yscale="log")
    add_legend(figure, lines, [*spectra])
    return figure
