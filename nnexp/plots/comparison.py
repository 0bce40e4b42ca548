"""The learning curves of several runs in one figure."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nnexp.plots.run import LINE_STYLES
from nnexp.plots.style import add_legend, class_colours, grid_of, legend_size
from nnexp.training.history import History
from nnexp.training.metrics import unit_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_METRICS = 2
"""The most metrics that are drawn, the loss first."""


def comparison(histories: Mapping[str, History]) -> "Figure":
    """Draw the metrics of runs over time, a colour for each run, the lines as in the figure of a run alone."""
    names = dict.fromkeys(name for history in histories.values() for name in history.metrics)
    metrics = list(dict.fromkeys(name.partition("/")[2] for name in names))[:MOST_METRICS]
    parts = [part for part in LINE_STYLES if any(name.startswith(f"{part}/") for name in names)]
    units = sorted({history.unit for history in histories.values()})
    _, width = legend_size([*histories, *parts])
    colours = class_colours(len(histories))
    figure, panels = grid_of(len(metrics), (4.2, 3.4), "Runs over each other", width + 0.4)
    for axes, metric in zip(panels, metrics, strict=True):
        for number, history in enumerate(histories.values()):
            for part in parts:
                name = f"{part}/{metric}"
                if name in history.metrics:
                    known, marker = history.known(name), "o" if len(history) == 1 else ""
                    axes.plot(known.times, known.metrics[name], LINE_STYLES[part], color=colours[number], marker=marker)
        title = metric.replace("_", " ")
        axes.set(title=title.capitalize(), xlabel=" or ".join(units), ylabel=f"{title} ({unit_of(metric)})")
    legend = [panels[0].plot([], [], color=colour)[0] for colour in colours]
    legend += [panels[0].plot([], [], LINE_STYLES[part], color="0.4")[0] for part in parts]
    add_legend(figure, legend, [*histories, *parts])
    return figure
