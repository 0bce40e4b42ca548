"""The figures of one run."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from nnexp.component import Array
from nnexp.data.dataset import Data
from nnexp.plots.style import BAD, GOOD, LEFT, RIGHT, new_figure
from nnexp.training.history import History
from nnexp.training.predictions import Predictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IMAGES = 10
LINES = {"train": "-", "validation": "-.", "test": "--"}
UNITS = {"accuracy": "share of examples"}
DARK_CELL = 0.5
"""The share of its row from which a cell of the confusion matrix is dark, so that its number is written in white."""


def run_figures(data: Data, history: History, predictions: Predictions | None) -> dict[str, Callable[[], "Figure"]]:
    """Return the figures that fit a run by name, each drawn when called; some need predictions."""
    figures: dict[str, Callable[[], Figure]] = {}
    if len(history):
        figures["curves"] = lambda: curves(history, data.name)
    if data.image_shape is not None:
        figures["samples"] = lambda: sample_images(data)
    if predictions is not None:
        figures["confusion_matrix"] = lambda: confusion_matrix(predictions, data.name)
        if data.image_shape is not None:
            figures["predictions"] = lambda: sample_predictions(data, predictions)
    return figures


def curves(history: History, name: str) -> "Figure":
    """Draw the loss, and the first other metric, of all parts over time."""
    figure = new_figure(11, 4.2, (0.8, 0.65, 0.15, 0.4), (0.22, 0))
    best = history.times[history.best()]
    metrics = list(dict.fromkeys(key.rpartition("/")[2] for key in history.metrics))[:2]
    for axes, metric in zip(np.atleast_1d(figure.subplots(1, len(metrics))), metrics, strict=True):
        parts = [part for part in LINES if f"{part}/{metric}" in history.metrics]
        for part in parts:
            marker = "o" if len(history) == 1 else ""
            axes.plot(history.times, history.metrics[f"{part}/{metric}"], LINES[part], label=part, marker=marker)
        axes.axvline(best, color="0.6", linewidth=1, linestyle=":")
        unit = UNITS.get(metric, "mean over examples")
        axes.set(title=f"{metric.capitalize()} of {name}", xlabel=history.unit, ylabel=f"{metric} ({unit})")
        axes.legend(title=f"dotted: best {history.unit}, {best}")
        values = np.concatenate([history.metrics[f"{part}/{metric}"] for part in parts])
        if metric == "accuracy":
            axes.set_ylim(-0.02, 1.02)
        elif values.min() >= 0:
            axes.set_ylim(bottom=0)
    return figure


def sample_images(data: Data) -> "Figure":
    """Draw the first training images, as they were before scaling."""
    count = min(IMAGES, len(data.train))
    titles = [(f"label {data.task.classes[label]}", "black") for label in data.train.targets[:count]]
    return _images(data, data.scaling.undo(data.train.x[:count]), titles, f"Training examples of {data.name}")


def sample_predictions(data: Data, predictions: Predictions) -> "Figure":
    """Draw test images with the true and the predicted class, the most confident mistakes first."""
    wrong = predictions.predicted != predictions.labels
    confidence = predictions.probabilities[np.arange(len(wrong)), predictions.predicted]
    mistakes = np.flatnonzero(wrong)
    mistakes = mistakes[np.argsort(-confidence[mistakes], kind="stable")][: IMAGES // 2]
    chosen = np.concatenate([mistakes, np.flatnonzero(~wrong)])[:IMAGES]
    titles = []
    for index in chosen:
        true, predicted = (predictions.classes[labels[index]] for labels in (predictions.labels, predictions.predicted))
        mark, colour = (RIGHT, BAD) if wrong[index] else (LEFT, GOOD)
        titles.append((f"{mark} true {true}, predicted {predicted}\nprobability {confidence[index]:.2f}", colour))
    title = f"Predictions on {data.name}: {wrong.sum()} of {len(wrong)} test examples wrong"
    return _images(data, data.scaling.undo(data.test.x[chosen]), titles, title)


def confusion_matrix(predictions: Predictions, name: str) -> "Figure":
    """Draw how many test examples of each class were taken for which; shades are shares of a true class."""
    counts = predictions.confusion()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(2.8, 0.5 * len(counts))
    figure = new_figure(side + 2.0, side + 1.2, (0.8, 0.7, 1.2, 0.5))
    axes = figure.subplots()
    axes.grid(visible=False)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        axes.text(
            column,
            row,
            str(count),
            ha="center",
            va="center",
            color="white" if shares[row, column] > DARK_CELL else "black",
        )
    ticks = range(len(counts))
    axes.set(title=f"Confusion matrix of {name}, test", xlabel="predicted class", ylabel="true class")
    axes.set_xticks(ticks, predictions.classes)
    axes.set_yticks(ticks, predictions.classes)
    scale = figure.add_axes((1 - 1.0 / (side + 2.0), 0.7 / (side + 1.2), 0.18 / (side + 2.0), side / (side + 1.2)))
    figure.colorbar(image, cax=scale, label="share of the true class")
    return figure


def _images(data: Data, pixels: Array, titles: list[tuple[str, str]], title: str) -> "Figure":
    columns = 5
    rows = -(-len(titles) // columns)
    lines = 1 + max(text.count("\n") for text, _ in titles)
    figure = new_figure(11, 0.3 + (2.0 + 0.3 * lines) * rows, (0.1, 0.1, 0.1, 0.4 + 0.25 * lines), (0.05, 0.15 * lines))
    figure.suptitle(title, y=1 - 0.1 / figure.get_figheight(), va="top")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, (text, colour) in zip(grid.flat, pixels, titles, strict=False):
        axes.imshow(image.reshape(data.image_shape), cmap="gray")
        axes.set_title(text, color=colour, fontsize=11)
    return figure
