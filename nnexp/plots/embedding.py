"""Figures of embeddings."""

from typing import TYPE_CHECKING

import numpy as np

from nnexp.core.component import Array
from nnexp.plots.style import class_colours, legend_size, new_figure
from nnexp.training.predictions import Embeddings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = "os^vDP*Xhp"


def embedding(embedded: Embeddings, name: str) -> "Figure":
    """Draw the test examples at their embeddings; of more than two dimensions, along the first two principal ones."""
    points, share = flattened(embedded.points)
    columns, width = legend_size([*embedded.classes, "class"])
    figure = new_figure(6.1 + width, 5.4, (1.0, 0.65, width, 0.5))
    axes = figure.subplots()
    colours = class_colours(len(embedded.classes))
    for label, title in enumerate(embedded.classes):
        mine = points[embedded.labels == label]
        axes.plot(*mine.T, MARKERS[label % len(MARKERS)], color=colours[label], markersize=4.5, alpha=0.8, label=title)
    dimensions = embedded.points.shape[1]
    seen = f" ({share:.0%} of the spread of {dimensions} dimensions)" if dimensions > 2 else ""
    axes.set(title=f"Embedding of {name}, test{seen}", xlabel="first dimension", ylabel="second dimension")
    axes.set_aspect("equal", adjustable="datalim")
    axes.legend(title="class", loc="upper left", bbox_to_anchor=(1, 1), ncols=columns)
    return figure


def flattened(points: Array) -> tuple[Array, float]:
    """Return points in two dimensions, the principal ones if there are more, and their share of the variance."""
    if points.shape[1] < 2:
        return np.column_stack([points, np.zeros(len(points))]), 1.0
    if points.shape[1] == 2:
        return points, 1.0
    centred = points - points.mean(axis=0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    total = (sizes**2).sum()
    return centred @ directions[:2].T, float((sizes[:2] ** 2).sum() / total) if total else 1.0
