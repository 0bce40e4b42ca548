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
    from matplotlib.image import AxesImage

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
    largest, columns = float(np.abs(weight).max()) or 1.0, min(8, len(weight))
    width, height = max(1.1 * columns, 4.5) + 1.35, 1.3 * -(-len(weight) // columns) + 0.6
    figure = new_figure(width, height, (0.15, 0.1, 1.2, 0.5))
    figure.suptitle(f"Weights of the first layer, {trained.data.name}", y=1 - 0.1 / height, va="top")
    images = [row.reshape(trained.data.image_shape) for row in weight]
    titles = [(f"unit {unit}", "black") for unit in range(1, len(images) + 1)]
    shown = _tiles(figure, images, titles, columns, colours="RdBu_r", largest=largest)
    scale = figure.add_axes((1 - 1.0 / width, 0.1 / height, 0.15 / width, 1 - 0.9 / height))
    figure.colorbar(shown, cax=scale, label="weight")
    return figure


def _images(data: Data, pixels: Array, titles: list[tuple[str, str]], title: str) -> "Figure":
    columns = 5
    height = 0.5 + (2.0 + 0.3 * _lines(titles)) * -(-len(titles) // columns)
    figure = new_figure(11, height, (0.1, 0.1, 0.1, 0.4))
    figure.suptitle(title, y=1 - 0.1 / height, va="top")
    _tiles(figure, [row.reshape(data.image_shape) for row in pixels], titles, columns, colours="gray")
    return figure


def _tiles(
    figure: "Figure",
    images: list[Array],
    titles: list[tuple[str, str]],
    columns: int,
    *,
    colours: str,
    largest: float | None = None,
) -> "AxesImage":
    """Draw images of one size with titles above, from minus to plus the largest value if it is given; return one.

    All are in one pair of axes, whose unit is an inch: to make a pair for each takes most of the time.
    """
    axes = figure.subplots()
    axes.set_axis_off()
    wide, high = axes.get_position().size * figure.get_size_inches()
    axes.set(xlim=(0, wide), ylim=(0, high))
    cell_width, cell_height = wide / columns, high / -(-len(images) // columns)
    above = 0.3 * _lines(titles)
    least = None if largest is None else -largest
    rows, pixels = images[0].shape
    pixel = min((cell_width - 0.1) / pixels, (cell_height - above) / rows)
    half, height = pixel * pixels / 2, pixel * rows
    for place, (image, (title, colour)) in enumerate(zip(images, titles, strict=True)):
        middle, bottom = (place % columns + 0.5) * cell_width, high - (place // columns + 1) * cell_height
        extent = middle - half, middle + half, bottom, bottom + height
        shown = axes.imshow(image, colours, extent=extent, aspect="auto", vmin=least, vmax=largest)
        axes.text(middle, bottom + height + 0.05, title, color=colour, ha="center", va="bottom")
    return shown


def _lines(titles: list[tuple[str, str]]) -> int:
    return 1 + max(text.count("\n") for text, _ in titles)
