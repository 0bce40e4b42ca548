"""Figures of predicted against true classes."""

from typing import TYPE_CHECKING

import numpy as np

from nnexp.plots.style import new_figure
from nnexp.training.predictions import ClassPredictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DARK_CELL = 0.5
"""The number of a cell of the confusion matrix is white if its share of the row is larger."""
LONG_LABEL = 25
"""Labels of the ROC curve with more characters of class names take two lines."""
LONG_NAME = 3
"""Class names with more characters are turned by 90 degrees below a matrix."""


def confusion_matrix(predictions: ClassPredictions, name: str) -> "Figure":
    """Draw how many test examples of each true class have each predicted class; shades are shares of the true class."""
    counts = predictions.confusion()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(2.8, 0.5 * len(counts))
    longest = max(len(name) for name in predictions.classes)
    left = bottom = 0.7 + 0.09 * longest
    width, height = side + left + 1.2, side + bottom + 0.5
    figure = new_figure(width, height, (left, bottom, 1.2, 0.5))
    axes = figure.subplots()
    axes.grid(visible=False)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        dark = shares[row, column] > DARK_CELL
        axes.text(column, row, str(count), ha="center", va="center", color="white" if dark else "black")
    ticks = range(len(counts))
    figure.suptitle(f"Confusion matrix of {name}, test", y=1 - 0.1 / height, va="top")
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.set_xticks(ticks, predictions.classes, rotation=90 if longest > LONG_NAME else 0)
    axes.set_yticks(ticks, predictions.classes)
    scale = figure.add_axes((1 - 1.0 / width, bottom / height, 0.18 / width, side / height))
    figure.colorbar(image, cax=scale, label="share of the true class")
    return figure


def roc(predictions: ClassPredictions, name: str) -> "Figure":
    """Draw the share of each class that is predicted as the second class, for thresholds from high to low."""
    first, second = predictions.classes
    line = "\n" if 2 * max(len(first), len(second)) > LONG_LABEL else " "
    figure = new_figure(5.6, 5.4, (1.0, 0.85, 0.2, 0.5))
    axes = figure.subplots()
    wrong, right, area = predictions.roc()
    axes.plot(wrong, right, label=f"area {area:.3f}", clip_on=False)
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle=":", label="by chance, area 0.5")
    axes.set(
        title=f"ROC curve of {name}, test",
        xlabel=f"share of class {first}{line}taken for {second}",
        ylabel=f"share of class {second}{line}taken for {second}",
        xlim=(0, 1),
        ylim=(0, 1.02),
    )
    axes.set_aspect("equal")
    axes.legend(loc="lower right")
    return figure
