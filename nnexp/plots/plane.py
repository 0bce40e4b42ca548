"""Figures of classes in a plane: which class a network predicts at each point, and how probable it is."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from nnexp.core.component import Array, Labels
from nnexp.data.dataset import Part
from nnexp.plots.style import add_legend, class_colours, grid_of, legend_size
from nnexp.training.model import Trained

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GRID_POINTS = 200
"""Points of the grid along each axis."""
MARGIN = 0.06
"""Width of the margin around the points, as a share of their range."""
CLASS_TITLE = "class (x: test)"
DEEPEST_SHADE = 0.45
"""The share of a class's colour in the background where its probability is 1; the rest is white."""


def decision_regions(moments: Mapping[str, Trained]) -> "Figure":
    """Draw regions in the colour of the most probable class, paler where it is less probable, and all examples."""
    data = next(iter(moments.values())).data
    columns, width = legend_size([*data.task.classes, CLASS_TITLE])
    figure, panels = grid_of(len(moments), (4.0, 3.8), f"Decision regions of {data.name}", width)
    for axes, (title, trained) in zip(panels, moments.items(), strict=True):
        _regions(axes, trained)
        axes.set_title(title if len(moments) > 1 else "")
    add_legend(figure, *panels[0].get_legend_handles_labels(), title=CLASS_TITLE, columns=columns)
    return figure


def _regions(axes: "Axes", trained: Trained) -> None:
    data = trained.data
    x = np.concatenate([data.train.x, data.test.x]).astype(np.float64)
    low, high = x.min(axis=0), x.max(axis=0)
    low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)
    first, second = np.meshgrid(*np.linspace(low, high, GRID_POINTS).T)
    probabilities = trained.probabilities(np.column_stack([first.ravel(), second.ravel()]))
    colours = class_colours(len(data.task.classes))
    (left, right), (bottom, top) = data.scaling.undo(np.array([low, high])).T
    axes.imshow(
        _shades(probabilities, colours).reshape(GRID_POINTS, GRID_POINTS, 3),
        extent=(left, right, bottom, top),
        origin="lower",
        aspect="auto",
        interpolation="bilinear",
    )
    for part, marker in ((data.train, "o"), (data.test, "x")):
        raw, labels = data.scaling.undo(part.x), _labels(part)
        for label, name in enumerate(data.task.classes):
            mine = raw[labels == label]
            axes.plot(*mine.T, marker, color=colours[label], markersize=3.5, label=name if marker == "o" else None)
    names = data.features or ("first feature", "second feature")
    axes.set(xlabel=names[0], ylabel=names[1])
    axes.grid(visible=False)


def _labels(part: Part) -> Labels:
    return (part.targets.argmax(axis=-1) if part.targets.ndim > 1 else part.targets).astype(np.intp)


def _shades(probabilities: Array, colours: Array) -> Array:
    """Return the colour of the most probable class; white if all classes are equally probable."""
    chance = 1 / probabilities.shape[1]
    sureness = ((probabilities.max(axis=1) - chance) / (1 - chance))[:, None]
    shades: Array = 1 - (1 - colours[probabilities.argmax(axis=1)]) * sureness * DEEPEST_SHADE
    return shades
