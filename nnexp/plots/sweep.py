"""The figures of a sweep, drawn from numbers and names alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nnexp.core.component import Array
from nnexp.plots.style import BAD, FARTHEST, new_figure, panel_grid
from nnexp.training.metrics import unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import XAxis, YAxis
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

Draw = Callable[[], "Figure"]
Curve = tuple[Array, Array]
"""Times, and a value at each of them."""
LOG_FROM = 10
"""Losses have a logarithmic axis if the ratio of the largest to the smallest is greater."""
POWERS_OF_TEN_FROM = 100
"""A logarithmic axis has ticks only at powers of ten if the ratio of its ends is greater."""
MOST_CURVES = 300
"""The most curves that are drawn in the background."""
MOST_NUMBERED_CELLS = 150
"""The most cells of a heat map in which numbers are written."""
CHARACTER_WIDTH = 0.085
"""The width of a character in a tick label, in inches."""
TICK_LETTERS = 14
"""The most characters of a tick label."""
GREY = "0.72"
LINE_COLOURS = ("C0", "C2", "C3", "C4", "C5", "C6")
"""The colours of the best runs; C1 is missing because it is the colour of diverged ones."""
PANEL_SIZE = (3.3, 2.5)
"""Width and height of a panel of a grid, in inches; a panel alone is half as large again."""


@dataclass(frozen=True)
class Measure:
    """The metric by which runs are compared.

    Attributes:
        metric: Its name, such as `test/loss`.
        lower: Whether a lower value is better.
    """

    metric: str
    lower: bool

    @property
    def title(self) -> str:
        """Return its name, such as `test loss`."""
        return self.metric.replace("/", " ").replace("_", " ")

    @property
    def label(self) -> str:
        """Return its name and unit."""
        return f"{self.title} ({unit_of(self.metric)})"


@dataclass(frozen=True)
class Axis:
    """A parameter along an axis.

    Attributes:
        name: The name of the parameter.
        places, labels: The places of the ticks and their labels; empty to let matplotlib choose.
        logarithmic: Whether the axis is logarithmic.
        ordered: Whether its values have an order, as numbers do and names do not.
    """

    name: str
    places: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()
    logarithmic: bool = False
    ordered: bool = True

    @property
    def short(self) -> list[str]:
        """Return the labels, cut off where they are long."""
        return [label if len(label) <= TICK_LETTERS else f"{label[: TICK_LETTERS - 1]}…" for label in self.labels]

    @property
    def longest(self) -> int:
        """Return the number of characters of the longest label."""
        return max((len(label) for label in self.short), default=5)

    def crowded(self, inches: float) -> bool:
        """Return whether the labels do not fit side by side."""
        return len(self.labels) * (self.longest + 1.5) * CHARACTER_WIDTH > inches


@dataclass(frozen=True)
class Panel:
    """All runs by their value of one parameter.

    Attributes:
        axis: The parameter.
        places, scores: The place of each run on the axis, and its best value.
        lost: The places of runs that diverged.
        best: The places of the values of the parameter, and the best value of all runs with each of them.
    """

    axis: Axis
    places: Array
    scores: Array
    lost: Array
    best: Curve


def axis_plots(panels: Sequence[Panel], measure: Measure) -> "Figure":
    """Draw the best value of every run over each parameter, and where runs diverged."""
    figure, grid = _grid([panel.axis for panel in panels], f"Best {measure.title} of every run, by parameter", 2.0)
    logarithmic = _spans_orders(np.concatenate([panel.scores for panel in panels]), measure)
    for axes, panel in zip(grid, panels, strict=True):
        if logarithmic:
            axes.set_yscale("log")
            _plain_numbers(axes.yaxis, panel.scores)
        size, alpha = (5.0, 0.6) if len(panel.scores) <= MOST_CURVES else (3.0, 0.35)
        axes.plot(panel.places, panel.scores, "o", color="C0", markersize=size, alpha=alpha, mew=0, label="a run")
        axes.plot(
            *panel.best, "o-" if panel.axis.ordered else "o", color="C4", markersize=6, label="the best of\nthis value"
        )
        axes.margins(x=0.08, y=0.18)
        edge = 0.94 if measure.lower else 0.06
        (lost,) = axes.plot(panel.lost, np.full(len(panel.lost), edge), "x", color=BAD, mew=1.6, label="diverged")
        lost.set_transform(axes.get_xaxis_transform())
        axes.set_ylabel(f"best {measure.label.replace(' (', chr(10) + '(')}", fontsize=10)
        _ticks(axes, "x", panel.axis, _width(len(panels)))
    handles, labels = grid[0].get_legend_handles_labels()
    kept = 3 if any(len(panel.lost) for panel in panels) else 2
    figure.legend(handles[:kept], labels[:kept], loc="center right")
    return figure


def heat_map(x: Axis, y: Axis, cells: Array, lost: npt.NDArray[np.bool_], measure: Measure) -> "Figure":
    """Draw the best value of every pair of values.

    Args:
        x, y: The parameters; their labels name columns and rows, the first row at the bottom.
        cells: The best value over all other parameters, shape (rows, columns); NaN where there is none.
        lost: Whether all runs diverged, shape (rows, columns).
        measure: The metric of the values.
    """
    from matplotlib.patches import Rectangle

    rows, columns = cells.shape
    wide, high = max(3.6, 0.68 * columns), max(2.4, 0.42 * rows)
    turned = x.crowded(wide)
    left, bottom = 0.8 + CHARACTER_WIDTH * y.longest, 0.65 + (CHARACTER_WIDTH * x.longest if turned else 0)
    figure = new_figure(left + wide + 1.5, bottom + high + 0.55, (left, bottom, 1.5, 0.55))
    axes = figure.subplots()
    norm = _norm(cells[np.isfinite(cells)], measure)
    image = axes.imshow(cells, origin="lower", aspect="auto", norm=norm, cmap=_bright_is_best(measure))
    _names(axes, x, y, turned=turned)
    axes.grid(visible=False)
    numbered = cells.size <= MOST_NUMBERED_CELLS
    for row, column in np.ndindex(cells.shape):
        if lost[row, column]:
            axes.text(column, row, "\N{MULTIPLICATION SIGN}", color=BAD, ha="center", va="center", fontsize=14)
        elif numbered and np.isfinite(cells[row, column]):
            red, green, blue, _ = image.cmap(float(norm(cells[row, column])))
            ink = "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white"  # noqa: PLR2004
            axes.text(column, row, f"{cells[row, column]:.3g}", color=ink, ha="center", va="center", fontsize=9)
    if np.isfinite(cells).any():
        best = np.unravel_index((np.nanargmin if measure.lower else np.nanargmax)(cells), cells.shape)
        axes.add_patch(Rectangle((best[1] - 0.5, best[0] - 0.5), 1, 1, fill=False, edgecolor="#D55E00", linewidth=3))
    _finish_map(figure, axes, image, measure=measure, x=x, y=y)
    return figure


def scatter_map(x: Axis, y: Axis, points: Array, scores: Array, lost: Array, measure: Measure) -> "Figure":
    """Draw every run as a point between two parameters, coloured by its best value.

    Args:
        x, y: The parameters.
        points, scores: The values of both parameters in every run, shape (runs, 2), and its best value.
        lost: The values of both parameters in diverged runs, shape (runs, 2).
        measure: The metric of the best values.
    """
    left, bottom = 0.8 + CHARACTER_WIDTH * y.longest, 0.65 + CHARACTER_WIDTH * x.longest * x.crowded(4.8)
    figure = new_figure(left + 4.8 + 1.5, bottom + 3.6 + 0.55, (left, bottom, 1.5, 0.55))
    axes = figure.subplots()
    order = np.argsort(-scores if measure.lower else scores, kind="stable")  # the best on top
    axes.plot(lost[:, 0], lost[:, 1], "x", color=BAD, markersize=4, alpha=0.7, label="diverged")
    image = axes.scatter(
        points[order, 0],
        points[order, 1],
        c=scores[order],
        s=18,
        linewidths=0,
        norm=_norm(scores, measure),
        cmap=_bright_is_best(measure),
    )
    if len(order):
        axes.plot(*points[order[-1]], "o", color=BAD, markersize=11, mew=2, fillstyle="none")
    _ticks(axes, "x", x, 4.8)
    _ticks(axes, "y", y, 3.6)
    axes.set_facecolor("0.93")
    axes.grid(color="white")
    _finish_map(figure, axes, image, measure=measure, x=x, y=y)
    return figure


def all_curves(
    best: Mapping[str, Curve], others: Sequence[Curve], lost: Sequence[Curve], measure: Measure, unit: str
) -> "Figure":
    """Draw the metric of all runs over time: the best few by name, the others and those that diverged behind them."""
    from matplotlib.collections import LineCollection

    labels = [_folded(name) for name in best]
    kinds = [("other runs", others, GREY, 0.6), ("diverged", lost, BAD, 0.35)]
    titles = {title: _counted(title, curves) for title, curves, _, _ in kinds}
    figure = _beside_legend([*labels, *titles.values()])
    axes = figure.subplots()
    for title, curves, colour, alpha in kinds:
        lines = [np.column_stack(curve) for curve in _thinned(curves)]
        if lines:
            alpha_of_all = alpha if len(lines) <= 50 else 0.6 * alpha
            axes.add_collection(LineCollection(lines, colors=colour, linewidths=0.8, alpha=alpha_of_all))
            axes.plot([], [], color=colour, linewidth=1.5, label=titles[title])
    for label, colour, curve in zip(labels, LINE_COLOURS, best.values(), strict=False):
        axes.plot(*curve, label=label, color=colour, linewidth=1.8, marker="o" if len(curve[0]) == 1 else "")
    axes.set(title=f"{measure.title.capitalize()} of all runs", xlabel=unit, ylabel=measure.label)
    _limit(axes, [*best.values(), *_thinned(others)] or _thinned(lost), [*best.values()], measure)
    axes.locator_params("x", integer=True)
    figure.legend(loc="center right", labelspacing=0.8, fontsize=10)
    return figure


def seed_bands(bands: Mapping[str, tuple[Array, Array]], measure: Measure, unit: str) -> "Figure":
    """Draw the mean and the range over seeds of a few settings over time.

    Args:
        bands: By the name of a setting the times, and the values of its seeds, shape (seeds, times).
        measure, unit: The metric of the values, and the unit of the times.
    """
    labels = [_folded(name) for name in bands]
    counts = sorted({len(values) for _, values in bands.values()})
    figure = _beside_legend([*labels, "seeds"])
    axes = figure.subplots()
    for label, colour, (times, values) in zip(labels, LINE_COLOURS, bands.values(), strict=False):
        axes.plot(times, values.mean(axis=0), color=colour, label=label, marker="o" if len(times) == 1 else "")
        low, high = values.min(axis=0), values.max(axis=0)
        axes.fill_between(times, low, high, color=colour, alpha=0.2, linewidth=0)
    title = f"{measure.title.capitalize()} of the best settings: mean and range over seeds"
    axes.set(title=title, xlabel=unit, ylabel=measure.label)
    curves = [(times, row) for times, values in bands.values() for row in values]
    _limit(axes, curves, curves, measure)
    axes.locator_params("x", integer=True)
    each = f"{' to '.join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))} seeds each"
    figure.legend(loc="center right", labelspacing=0.8, fontsize=10, title=each)
    return figure


def best_by_size(panels: Sequence[tuple[Axis, Mapping[str, Curve]]], rate: Axis) -> "Figure":
    """Draw the best value of a parameter over the size of the network.

    Args:
        panels: A measure of size, and lines by their name: sizes, and the best value for each of them.
        rate: The parameter, such as the learning rate.
    """
    figure, grid = _grid([axis for axis, _ in panels], f"Best {rate.name} by the size of the network", 0.3)
    for axes, (axis, lines) in zip(grid, panels, strict=True):
        for index, (name, curve) in enumerate(lines.items()):
            size = 5.0 + 3.0 * (len(lines) - 1 - index)  # so that lines on each other are both seen
            axes.plot(*curve, "o-", label=name, markersize=size, alpha=0.85)
        axes.margins(x=0.12, y=0.15)
        _ticks(axes, "x", axis, _width(len(panels)))
        _ticks(axes, "y", rate, PANEL_SIZE[1])
        axes.set_ylabel(f"best {rate.name}")
        if any(lines):
            axes.legend(fontsize=9)
    return figure


def importance_bars(shares: Mapping[str, float], chance: Mapping[str, float]) -> "Figure":
    """Draw the share of the variance of ranks that each parameter explains alone, and the share expected by chance."""
    names = list(shares)[::-1]
    left = 0.65 + 0.09 * max(len(name) for name in names)
    figure = new_figure(left + 6.6, 1.6 + 0.42 * len(names), (left, 0.7, 0.9, 0.9))
    axes = figure.subplots()
    rows = np.arange(len(names))
    axes.barh(rows, [100 * shares[name] for name in names], color="C0", height=0.6)
    for row, name in enumerate(names):
        axes.text(102, row, f"{100 * shares[name]:.0f} %", va="center", fontsize=10)
    places = [100 * chance[name] for name in names]
    axes.vlines(places, rows - 0.42, rows + 0.42, color="black", label="what chance alone would give")
    axes.set_yticks(rows, names)
    axes.set(xlim=(0, 100), xlabel="share of the variance of the ranks (%)", ylabel="parameter")
    figure.suptitle("Importance: what each parameter explains alone", y=1 - 0.15 / figure.get_figheight(), va="top")
    axes.grid(visible=False, axis="y")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), fontsize=10, borderaxespad=0.1)
    return figure


def _grid(axes_of: Sequence[Axis], title: str, right: float) -> tuple["Figure", list["Axes"]]:
    """Return a figure with a panel for every axis, three in a row, with space for upright labels."""
    panels = len(axes_of)
    width, height = _width(panels), PANEL_SIZE[1] * _width(panels) / PANEL_SIZE[0]
    upright = max((CHARACTER_WIDTH * axis.longest for axis in axes_of if axis.crowded(width)), default=0.0)
    return panel_grid(
        title, panels, (width, height), margins=(1.1, 0.7 + upright, right, 0.6), between=(1.25, 0.75 + upright)
    )


def _width(panels: int) -> float:
    return PANEL_SIZE[0] if panels > 1 else 1.5 * PANEL_SIZE[0]


def _ticks(axes: "Axes", direction: str, axis: Axis, inches: float) -> None:
    """Set scale, ticks and name of one axis."""
    from matplotlib.ticker import NullLocator

    across = direction == "x"
    if axis.logarithmic:
        (axes.set_xscale if across else axes.set_yscale)("log")
    if axis.places:
        turned = across and axis.crowded(inches)
        chosen = axes.xaxis if across else axes.yaxis
        chosen.set_minor_locator(NullLocator())
        chosen.set_ticks(axis.places, axis.short, rotation=90 if turned else 0)
        chosen.set_tick_params(labelsize=10)
    (axes.set_xlabel if across else axes.set_ylabel)(axis.name)


def _plain_numbers(axis: "XAxis | YAxis", values: Array) -> None:
    """Write numbers such as 0.05 on a logarithmic axis: at 1, 2 and 5, or over a large range only at powers of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    few = len(values) == 0 or values.max() > POWERS_OF_TEN_FROM * values.min()
    axis.set_major_locator(LogLocator(subs=(1.0,) if few else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def _names(axes: "Axes", x: Axis, y: Axis, *, turned: bool) -> None:
    axes.set_xticks(range(len(x.labels)), x.short, rotation=90 if turned else 0)
    axes.set_yticks(range(len(y.labels)), y.short)
    axes.tick_params(length=0, labelsize=10)
    axes.spines[:].set_visible(False)


def _finish_map(figure: "Figure", axes: "Axes", image: "ScalarMappable", measure: Measure, x: Axis, y: Axis) -> None:
    box, width = axes.get_position(), figure.get_figwidth()
    beside = figure.add_axes((box.x1 + 0.15 / width, box.y0, 0.18 / width, box.height))
    bar = figure.colorbar(image, cax=beside)
    bar.set_label(f"best {measure.title}")
    if bar.ax.get_yscale() == "log":
        _plain_numbers(bar.ax.yaxis, np.array(image.get_clim()))
    bar.ax.tick_params(labelsize=9)
    axes.set(title=f"Best {measure.title}", xlabel=x.name, ylabel=y.name)


def _spans_orders(values: Array, measure: Measure) -> bool:
    """Return whether values have a logarithmic axis."""
    return measure.lower and bool(
        len(values) and values.min() > 1 / FARTHEST and values.max() > LOG_FROM * values.min()
    )


def _norm(values: Array, measure: Measure) -> "Normalize":
    from matplotlib.colors import LogNorm, Normalize

    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    return LogNorm(low, high) if _spans_orders(values, measure) else Normalize(low, high)


def _bright_is_best(measure: Measure) -> str:
    return "cividis_r" if measure.lower else "cividis"


def _thinned(curves: Sequence[Curve]) -> list[Curve]:
    """Return the curves that are drawn, at most `MOST_CURVES`, evenly chosen."""
    chosen = np.linspace(0, len(curves) - 1, min(MOST_CURVES, len(curves))).astype(int)
    return [curves[index] for index in chosen]


def _counted(title: str, curves: Sequence[Curve]) -> str:
    return f"{title} ({len(curves)})" if len(curves) <= MOST_CURVES else f"{title} ({MOST_CURVES} of {len(curves)})"


def _limit(axes: "Axes", curves: Sequence[Curve], picked: Sequence[Curve], measure: Measure) -> None:
    """Set the limits of the axes: without the highest and lowest 1 % of values, but with the best of picked curves."""
    if not curves:
        return
    values = np.concatenate([values for _, values in curves])
    values = values[np.isfinite(values)]
    low, high = (float(np.quantile(values, share)) for share in (0.01, 0.99))
    low = min([low, *(float(values.min()) for _, values in picked)])
    if not measure.lower:
        high = max([high, *(float(values.max()) for _, values in picked)])
    begin, end = min(float(times[0]) for times, _ in curves), max(float(times[-1]) for times, _ in curves)
    alone = begin == end
    axes.set_xlim(begin - alone, end + alone)
    if _spans_orders(np.array([low, high]), measure):
        axes.set_yscale("log")
        axes.set_ylim(low / 1.3, high * 1.3)
        _plain_numbers(axes.yaxis, np.array([low, high]))
    else:
        margin = 0.05 * (high - low) or 0.05
        axes.set_ylim(low - margin, high + margin)


def _folded(name: str) -> str:
    """Return a name in lines short enough for a legend."""
    return "\n".join(wrap(name, 30))


def _beside_legend(labels: Sequence[str]) -> "Figure":
    """Return a figure for one pair of axes, with space on the right for a legend of these labels."""
    lines = [line for label in labels for line in label.splitlines()]
    right = 0.95 + 0.09 * max(len(line) for line in lines)
    height = max(4.6, 0.4 + 0.17 * len(lines) + 0.12 * len(labels))
    return new_figure(8.4 + right, height, (0.9, 0.65, right, 0.45))
