"""Figures of images: examples, and the weights of the first layer."""

from typing import TYPE_CHECKING

import numpy as np

from nnexp.core.component import Array
from nnexp.data.dataset import Data, Part
from nnexp.plots.style import BAD, CHECK_MARK, CROSS, GOOD, new_figure
from nnexp.training.model import Trained
from nnexp.training.predictions import ClassPredictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_IMAGES = 10
MOST_UNITS = 32
"""The most units of the first layer whose weights are drawn."""


def sample_images(data: Data) -> "Figure":
    """Draw the first training images, as they were before scaling."""
    source = data if data.labelled is None else data.labelled
    count = min(MOST_IMAGES, len(source.train))
    titles = [(text, "black") for text in _names(source, source.train)[:count]]
    return _images(source, source.scaling.undo(source.train.x[:count]), titles, f"Training examples of {data.name}")


def _names(data: Data, part: Part) -> list[str]:
    """Return titles of the first examples: the class, or the most probable one if the targets are distributions."""
    targets = part.targets[:MOST_IMAGES]
    if data.task.kind == "distribution":
        return [f"{data.task.classes[row.argmax()]} with probability {row.max():.2f}" for row in targets]
    return [f"label {data.task.classes[label]}" for label in targets.astype(np.intp)]


def sample_predictions(data: Data, predictions: ClassPredictions) -> "Figure":
    """Draw test images with the true and the predicted class, the most confident mistakes first."""
    wrong = predictions.predicted != predictions.labels
    confidence = predictions.probabilities[np.arange(len(wrong)), predictions.predicted]
    mistakes = np.flatnonzero(wrong)
    mistakes = mistakes[np.argsort(-confidence[mistakes], kind="stable")][: MOST_IMAGES // 2]
    chosen = np.concatenate([mistakes, np.flatnonzero(~wrong)])[:MOST_IMAGES]
    titles = []
    for index in chosen:
        true, predicted = (predictions.classes[labels[index]] for labels in (predictions.labels, predictions.predicted))
        mark, colour = (CROSS, BAD) if wrong[index] else (CHECK_MARK, GOOD)
        titles.append((f"{mark} true {true}, predicted {predicted}\nprobability {confidence[index]:.2f}", colour))
    title = f"Predictions on {data.name}: {wrong.sum()} of {len(wrong)} test examples wrong"
    return _images(data, data.scaling.undo(data.test.x[chosen]), titles, title)


def first_layer(trained: Trained) -> "Figure":
    """Draw the weights of the units of the first layer as images."""
    slot = next(slot for slot in trained.layout.parameters if slot.start == "weight")
    weight = trained.parameters()[slot.title].T[:MOST_UNITS]
    columns = min(8, len(weight))
    rows = -(-len(weight) // columns)
    width, height = max(1.1 * columns, 4.5) + 1.2, 1.3 * rows + 0.8
    figure = new_figure(width, height, (0.15, 0.1, 1.2, 0.75), (0.1, 0.25))
    figure.suptitle(f"Weights of the first layer, {trained.data.name}", y=1 - 0.1 / height, va="top")
    largest = float(np.abs(weight).max()) or 1.0
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for unit, (axes, image) in enumerate(zip(grid.flat, weight, strict=False), start=1):
        shown = axes.imshow(image.reshape(trained.data.image_shape), cmap="RdBu_r", vmin=-largest, vmax=largest)
        axes.set_title(f"unit {unit}", fontsize=10, pad=3)
    scale = figure.add_axes((1 - 1.0 / width, 0.1 / height, 0.15 / width, 1 - 0.85 / height))
    figure.colorbar(shown, cax=scale, label="weight")
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
