"""Pictures of where a network puts its examples."""

from typing import TYPE_CHECKING

import numpy as np

from nnexp.core.component import Array
from nnexp.plots.style import class_colours, legend_size, new_figure
from nnexp.training.predictions import Embeddings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = "os^vDP*Xhp"
PLANE = 2


def embedding(embedded: Embeddings, name: str) -> "Figure":
    """Draw the test examples at their embeddings, those of more than two dimensions along their widest two."""
    points, share = flattened(embedded.points)
    columns, width = legend_size([*embedded.classes, "class"])
    figure = new_figure(5.9 + width, 5.4, (0.8, 0.65, width, 0.5))
    axes = figure.subplots()
    colours = class_colours(len(embedded.classes))
    for label, title in enumerate(embedded.classes):
        mine = points[embedded.labels == label]
        axes.plot(*mine.T, MARKERS[label % len(MARKERS)], color=colours[label], markersize=4.5, alpha=0.8, label=title)
    dimensions = embedded.points.shape[1]
    seen = f" ({share:.0%} of the spread of {dimensions} dimensions)" if dimensions > PLANE else ""
    axes.set(title=f"Embedding of {name}, test{seen}", xlabel="first dimension", ylabel="second dimension")
    axes.set_aspect("equal", adjustable="datalim")
    axes.legend(title="class", loc="upper left", bbox_to_anchor=(1, 1), ncols=columns)
    return figure


def flattened(points: Array) -> tuple[Array, float]:
    """Return points in two dimensions, their principal ones where they have more, and the share of variance."""
    if points.shape[1] < PLANE:
        return np.column_stack([points, np.zeros(len(points))]), 1.0
    if points.shape[1] == PLANE:
        return points, 1.0
    centred = points - points.mean(axis=0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    total = (sizes**2).sum()
    return centred @ directions[:PLANE].T, float((sizes[:PLANE] ** 2).sum() / total) if total else 1.0
