"""Figures of the predictions of a regression."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from nnexp.core.component import Array
from nnexp.plots.style import add_legend, grid_of, legend_size, new_figure
from nnexp.training.model import Trained
from nnexp.training.predictions import NumberPredictions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_POINTS = 400
"""The most training examples that are drawn as points."""
LINE_POINTS = 500
"""The number of points of a predicted line."""


def fit(moments: Mapping[str, Trained]) -> "Figure":
    """Draw targets and predictions over the only feature, side by side for several moments of a training."""
    data = next(iter(moments.values())).data
    _, width = legend_size([f"actual {column} (training)" for column in data.task.columns])
    figure, panels = grid_of(len(moments), (3.6, 2.8), f"{data.name}: actual and predicted", width)
    for axes, (title, trained) in zip(panels, moments.items(), strict=True):
        _fit(axes, trained)
        axes.set_title(title if len(moments) > 1 else "")
    add_legend(figure, *panels[0].get_legend_handles_labels())
    return figure


def _fit(axes: "Axes", trained: Trained) -> None:
    data = trained.data
    order = np.argsort(data.train.x[:, 0], kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, min(MOST_POINTS, len(order))).astype(int)]
    x = np.linspace(data.train.x.min(), data.train.x.max(), LINE_POINTS)[:, None]
    raw_x, raw_points = data.scaling.undo(x)[:, 0], data.scaling.undo(data.train.x[chosen])[:, 0]
    targets, predicted = data.raw_targets(data.train.targets[chosen].astype(np.float64)), trained.numbers(x)
    for column, name in enumerate(data.task.columns):
        several = f" {name}" if len(data.task.columns) > 1 else ""
        axes.plot(raw_points, targets[:, column], ".", color="0.6", markersize=4, label=f"actual{several} (training)")
        axes.plot(raw_x, predicted[:, column], label=f"predicted{several}")
    feature = data.features[0] if data.features else "feature"
    axes.set(xlabel=feature, ylabel=", ".join(data.task.columns))


def residuals(predictions: NumberPredictions, name: str) -> "Figure":
    """Draw predicted against actual test targets, and their differences, for the first targets."""
    figure = new_figure(11, 4.4, (0.9, 0.65, 0.15, 0.5), (0.25, 0))
    left, right = figure.subplots(1, 2)
    column = predictions.columns[0]
    actual, predicted = predictions.targets[:, 0], predictions.predicted[:, 0]
    left.plot(actual, predicted, ".", alpha=0.6)
    ends = _ends(np.concatenate([actual, predicted]))
    left.plot(ends, ends, color="0.6", linewidth=1, linestyle=":", label="perfect")
    left.set(title=f"Predictions of {name}, test", xlabel=f"actual {column}", ylabel=f"predicted {column}")
    left.legend(loc="upper left")
    right.plot(predicted, actual - predicted, ".", alpha=0.6)
    right.axhline(0, color="0.6", linewidth=1, linestyle=":")
    right.set(title=f"Residuals of {name}, test", xlabel=f"predicted {column}", ylabel="actual - predicted")
    return figure


def _ends(values: Array) -> tuple[float, float]:
    return float(values.min()), float(values.max())
