"""The figures of a sweep, drawn from numbers and names alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nnexp.core.component import Array
from nnexp.plots.style import (
    BAD,
    FARTHEST,
    PANEL_CHARACTER,
    R2,
    TITLE_LINE,
    WORST_R2,
    add_legend,
    folded,
    legend_size,
    new_figure,
    panel_grid,
    plain,
)

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colorbar import Colorbar
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

Draw = Callable[[], "Figure"]
Curve = tuple[Array, Array]
"""Times or places, and a value at each of them."""
LOG_FROM = 10
"""Losses have a logarithmic axis if the ratio of the largest to the smallest is greater."""
MOST_CURVES = 300
"""The most curves that are drawn in the background."""
MOST_NUMBERED_CELLS = 150
"""The most cells of a heat map in which numbers are written, and that are drawn with a size of their own."""
MOST_TICKS = 16
"""The most values along an axis that all have a label."""
CHARACTER_WIDTH = 0.085
"""The width of a character in a tick label, in inches."""
TICK_LETTERS = 14
"""The most characters of a tick label."""
LITTLE = 0.002
"""Axes reach at least so far, as a share of the values."""
MOST_COLOURED = 1e6
"""The most that a logarithmic scale of colours spans."""
GREY = "0.72"
LINE_COLOURS = ("C0", "C2", "C3", "C4", "C5", "C6")
"""The colours of lines; C1 is missing because it is the colour of what diverged."""
PANEL_SIZE = (3.3, 2.5)
"""Width and height of a panel of a grid, in inches; a panel alone is half as large again."""
IMAGE_SIZE = (5.2, 4.4)
"""Width and height of an image of many cells, in inches, up to whole pixels for each."""
BORDER_GAP = 0.25
"""The share of the colours on either side of a border that is left out."""


@dataclass(frozen=True)
class Measure:
    """What runs are compared by.

    Attributes:
        name: As it stands in a title, such as `test loss`.
        unit: Its unit.
        lower: Whether a lower value is better.
        metric: The metric that it is a reading of, such as `test/loss`.
        reading: The reading as it is written, such as `mean/test/loss`.
        logarithmic: Whether its axis is; None: where its values ask for it.
    """

    name: str
    unit: str
    lower: bool
    metric: str
    reading: str
    logarithmic: bool | None = None

    @property
    def label(self) -> str:
        """Return its name and unit."""
        return f"{self.name} ({self.unit})"

    def spans_orders(self, values: Array) -> bool:
        """Tell whether values have a logarithmic axis."""
        values = values[np.isfinite(values)]
        if not len(values) or values.min() <= 1 / FARTHEST:
            return False
        if self.logarithmic is not None:
            return self.logarithmic
        return self.lower and bool(values.max() > LOG_FROM * values.min())

    def lowest(self, low: float, high: float) -> float:
        """Return from where on values are drawn, given their lowest and highest."""
        return WORST_R2 if self.metric.endswith(R2) and low < WORST_R2 < high else low


@dataclass(frozen=True, kw_only=True)
class Said:
    """The words of a figure.

    Attributes:
        title: Its title.
        lines_are: The title of the legend, the parameter that tells lines apart.
        repeats: What repeats are called.
        unit: The unit of times.
        reference: What the reference of lines is.
        mean: What the means over the repeats are.
        extreme: What the marked one is.
        log_time: Whether the axis of times is logarithmic.
    """

    title: str
    lines_are: str = ""
    repeats: str = "seeds"
    unit: str = ""
    reference: str = ""
    mean: str = "mean"
    extreme: str = "lowest"
    log_time: bool = False


@dataclass(frozen=True)
class Axis:
    """A parameter along an axis.

    Attributes:
        name: The name of the parameter.
        places, labels: The places of its values and their labels; empty to let matplotlib choose.
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
        """Return the labels, long ones without their ends, or without their beginnings where the ends differ."""
        cut_off = [label if len(label) <= TICK_LETTERS else f"{label[: TICK_LETTERS - 1]}…" for label in self.labels]
        if len(set(cut_off)) == len(self.labels):
            return cut_off
        return [label if len(label) <= TICK_LETTERS else f"…{label[1 - TICK_LETTERS :]}" for label in self.labels]

    @property
    def many(self) -> bool:
        """Tell whether it has too many numbers for a label each."""
        return len(self.labels) > MOST_TICKS and self.ordered

    @property
    def longest(self) -> int:
        """Return the number of characters of the longest label."""
        return max((len(label) for label in self.short), default=5) if not self.many else 5

    def crowded(self, inches: float) -> bool:
        """Tell whether the labels do not fit side by side."""
        return not self.many and len(self.labels) * (self.longest + 1.5) * CHARACTER_WIDTH > inches


@dataclass(frozen=True, kw_only=True)
class Line:
    """Settings along an axis.

    Attributes:
        label: Its name in the legend; empty where it is the only one.
        means: The places on the axis in ascending order, and the mean over the repeats at each.
        low, high: The lowest and the highest of the repeats at each place.
        dots: The places and values of all runs.
        best: The best of its means; None for no mark.
        fit: A curve through the means, and what is known of it.
        reference: A curve beside it.
    """

    label: str
    means: Curve
    low: Array
    high: Array
    dots: Curve
    best: tuple[float, float] | None = None
    fit: tuple[Curve, str] | None = None
    reference: Curve | None = None

    @property
    def repeated(self) -> bool:
        """Tell whether a point is the mean of several runs."""
        return bool((self.high > self.low).any())

    @property
    def hidden(self) -> bool:
        """Tell whether there are runs that are in no mean."""
        return len(self.dots[0]) > len(self.means[0])


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Lines over one axis, and where runs diverged."""

    axis: Axis
    lines: Sequence[Line]
    lost: Array
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class CurveLine:
    """The repeats of a setting over time, each at its own times, and their mean where all have a value."""

    label: str
    seeds: Sequence[Curve]
    mean: Curve
    reference: float | None = None


@dataclass(frozen=True, kw_only=True)
class CurvePanel:
    """Curves over time: those with a name, others, and those of runs that diverged."""

    lines: Sequence[CurveLine]
    others: Sequence[Curve] = ()
    lost: Sequence[Curve] = ()
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class Cells:
    """The values of an image.

    Attributes:
        x, y: What columns and rows are; the first row is at the bottom.
        values: Shape (rows, columns); NaN where there is none.
        lost: Whether all runs diverged, same shape.
        best: Row and column of the cell with a frame; None for no frame.
    """

    x: Axis
    y: Axis
    values: Array
    lost: npt.NDArray[np.bool_]
    best: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """Runs between two parameters.

    Attributes:
        x, y: The parameters.
        runs: The places of each run on both, and its value, shape (runs, 3).
        lost: The places of diverged runs, shape (runs, 2).
    """

    x: Axis
    y: Axis
    runs: Array
    lost: Array


@dataclass(frozen=True, kw_only=True)
class Look:
    """How values are coloured.

    Attributes:
        colours: The name of a colour map.
        levels: The values that have contour lines.
        ranked: Whether colours go by the ranks of the values below 0 and of those above, with a gap between.
    """

    colours: str
    levels: Sequence[float] = field(default_factory=tuple)
    ranked: bool = False


def line_panels(panels: Sequence[Panel], measure: Measure, said: Said) -> "Figure":
    """Draw lines through means, and every run as a dot; panels have one scale along y."""
    lines = [line for panel in panels for line in panel.lines]
    names = list(dict.fromkeys(line.label for line in lines))
    colours = dict(zip(names, line_colours(len(names)), strict=True))
    values = np.concatenate([line.dots[1] for line in lines])
    floor = measure.lowest(float(values.min()), float(values.max()))
    legend = _line_legend(panels, colours, said, floor)
    columns, right = legend_size([*(text for _, label in legend for text in label.splitlines()), said.lines_are])
    titled = any(panel.title for panel in panels)
    figure, grid = _grid([panel.axis for panel in panels], said.title, right + 0.1, titled=titled)
    logarithmic = measure.spans_orders(values)
    for axes, panel in zip(grid, panels, strict=True):
        if logarithmic:
            axes.set_yscale("log")
        for line in panel.lines:
            _line(axes, line, colours[line.label], joined=panel.axis.ordered)
        axes.margins(x=0.08)
        _share_limits(axes, values, measure, logarithmic=logarithmic)
        for line in panel.lines:
            places, found = line.dots
            (below,) = axes.plot(places[found < floor], np.full((found < floor).sum(), 0.03), "v", label="below")
            below.set(color=colours[line.label], transform=axes.get_xaxis_transform())
        edge = 0.95 if measure.lower else 0.05
        (lost,) = axes.plot(panel.lost, np.full(len(panel.lost), edge), "x", color=BAD, mew=1.6, label="diverged")
        lost.set_transform(axes.get_xaxis_transform())
        axes.set_title(folded(panel.title, _width(len(panels)), PANEL_CHARACTER), fontsize=11)
        axes.set_ylabel(f"{measure.name}\n({measure.unit})", fontsize=10)
        _ticks(axes, "x", panel.axis, _width(len(panels)))
    handles, labels = zip(*legend, strict=True)
    add_legend(figure, handles, labels, title=said.lines_are, columns=columns)
    return figure


def _line_legend(
    panels: Sequence[Panel], colours: Mapping[str, str], said: Said, floor: float
) -> "list[tuple[Artist, str]]":
    from matplotlib.lines import Line2D

    lines = [line for panel in panels for line in panel.lines]
    alone, cut_off = [*colours] == [""], any((line.dots[1] < floor).any() for line in lines)
    grey = colours[""] if alone else "0.35"
    several, hidden = any(line.repeated for line in lines), any(line.hidden for line in lines)
    named = {said.mean if several or hidden else "value": grey} if alone else colours
    shade = Line2D([], [], color=grey, alpha=0.25, linewidth=7)
    dot = Line2D([], [], color=grey, marker="o", markersize=4, alpha=0.5, linestyle="")
    star = Line2D([], [], color=grey, marker="*", mec="black", markersize=12, linestyle="")
    shown: list[tuple[bool, Artist, str]] = [
        *((True, Line2D([], [], color=colour, marker="o", markersize=5), cut(name)) for name, colour in named.items()),
        (several and not alone, Line2D([], [], color=grey, marker="o", markersize=5), said.mean),
        (several or hidden, dot, "a run"),
        (any((line.high > line.low).any() for line in lines), shade, f"range of {said.repeats}"),
        (any(line.best is not None for line in lines), star, f"{said.extreme} mean" if several else said.extreme),
        (any(line.fit is not None for line in lines), Line2D([], [], color=grey, linestyle="--"), "power law"),
        (bool(said.reference), Line2D([], [], color=grey, linestyle=":"), cut(said.reference)),
        (cut_off, Line2D([], [], color=grey, marker="v", linestyle=""), f"a run below {plain(floor)}"),
        (any(len(panel.lost) for panel in panels), Line2D([], [], color=BAD, marker="x", linestyle=""), "diverged"),
    ]
    return [(artist, text) for wanted, artist, text in shown if wanted]


def _line(axes: "Axes", line: Line, colour: str, *, joined: bool) -> None:
    """Draw one line with its band, its runs, its best point, its fit and its reference."""
    size = 3.0 if len(line.dots[0]) > MOST_CURVES else 4.5
    axes.plot(*line.dots, "o", color=colour, markersize=size, alpha=0.4, mew=0, label="a run")
    if line.repeated and joined:
        axes.fill_between(line.means[0], line.low, line.high, color=colour, alpha=0.15, linewidth=0)
    elif line.repeated:
        axes.vlines(line.means[0], line.low, line.high, color=colour, alpha=0.25, linewidth=5)
    label, dot = f"mean {line.label}", 6 if len(line.means[0]) <= 2 * MOST_TICKS else 3
    axes.plot(*line.means, "o-" if joined else "o", color=colour, markersize=dot, linewidth=1.6, label=label)
    if line.fit is not None:
        (x, y), power = line.fit
        axes.plot(x, y, "--", color=colour, linewidth=1.2, label=f"fit {line.label}")
        axes.annotate(power, (x[-1], y[-1]), (0, 8), textcoords="offset points", ha="right", fontsize=9, color=colour)
    if line.reference is not None:
        axes.plot(*line.reference, ":", color=colour, linewidth=1.5, label=f"reference {line.label}")
    if line.best is not None:
        axes.plot(*line.best, "*", color=colour, mec="black", markersize=14, mew=0.8, label="best", zorder=4)


def _share_limits(axes: "Axes", values: Array, measure: Measure, *, logarithmic: bool) -> None:
    low, high = float(values.min()), float(values.max())
    if logarithmic:
        room = (high / low) ** 0.12 * 1.1
        axes.set_ylim(low / room, high * room)
    else:
        axes.set_ylim(*_roomy(measure.lowest(low, high), high, 0.12))


def _roomy(low: float, high: float, share: float) -> tuple[float, float]:
    """Return limits with a margin, wide enough that differences of a thousandth do not look large."""
    margin = max(share * (high - low), LITTLE * max(abs(low), abs(high))) or share
    return low - margin, high + margin


def image(cells: Cells, measure: Measure, title: str, look: Look) -> "Figure":
    """Draw the value of every pair of values as a cell; few cells have their numbers written in them."""
    from matplotlib.colors import ListedColormap

    x, y, values = cells.x, cells.y, cells.values
    rows, columns = values.shape
    small = values.size <= MOST_NUMBERED_CELLS
    wide, high = (max(3.6, 0.68 * columns), max(2.4, 0.42 * rows)) if small else _whole_pixels(rows, columns)
    turned = x.crowded(wide)
    left, bottom = 0.8 + CHARACTER_WIDTH * y.longest, 0.65 + (CHARACTER_WIDTH * x.longest if turned else 0)
    figure, axes = _titled(title, (wide, high), (left, bottom))
    norm, seen = _coloured(values, measure, look)
    shown = axes.imshow(seen, origin="lower", aspect="auto", norm=norm, cmap=look.colours, interpolation="nearest")
    if cells.lost.any() and not small:
        lost = np.where(cells.lost, 1.0, np.nan)
        axes.imshow(lost, origin="lower", aspect="auto", cmap=ListedColormap([BAD]), interpolation="nearest")
    if len(look.levels):
        lines = axes.contour(values, levels=sorted(look.levels), colors="black", linewidths=1.2)
        axes.clabel(lines, fmt=plain, fontsize=9)
    _names(axes, x, y, turned=turned)
    axes.grid(visible=False)
    for row, column in np.ndindex(values.shape) if small else ():
        if cells.lost[row, column]:
            axes.text(column, row, "\N{MULTIPLICATION SIGN}", color=BAD, ha="center", va="center", fontsize=14)
        elif np.isfinite(values[row, column]):
            red, green, blue, _ = shown.cmap(float(norm(seen[row, column])))
            ink = "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white"  # noqa: PLR2004
            axes.text(column, row, f"{values[row, column]:.3g}", color=ink, ha="center", va="center", fontsize=9)
    _mark_best_and_lost(axes, cells, small=small)
    bar = _finish_map(figure, axes, shown, measure=measure, x=x, y=y)
    if look.ranked:
        _mark_ends(bar, values)
    return figure


def _mark_best_and_lost(axes: "Axes", cells: Cells, *, small: bool) -> None:
    """Put a frame or a star at the best cell, and a legend below a large image."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Rectangle

    keys: list[tuple[Artist, str]] = []
    if cells.best is not None and small:
        row, column = cells.best
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=BAD, linewidth=3))
    elif cells.best is not None:
        axes.plot(cells.best[1], cells.best[0], "*", color="white", mec="black", markersize=14)
        keys.append((Line2D([], [], marker="*", linestyle="", color="white", mec="black", markersize=11), "best"))
    if cells.lost.any() and not small:
        keys.append((Rectangle((0, 0), 1, 1, color=BAD), "diverged"))
    if keys:
        handles, labels = zip(*keys, strict=True)
        axes.legend(handles, labels, loc="upper left", bbox_to_anchor=(0, -0.14), ncols=2, borderaxespad=0)


def pixels(cells: Cells, measure: Measure, look: Look) -> "Figure":
    """Draw a picture without axes, a pixel for every cell."""
    from matplotlib import colormaps

    norm, seen = _coloured(cells.values, measure, look)
    rows, columns = seen.shape
    figure = new_figure(1, 1, (0, 0, 0, 0))
    figure.set_size_inches((columns + 0.01) / figure.dpi, (rows + 0.01) / figure.dpi)
    colours = colormaps[look.colours].with_extremes(bad=BAD)(norm(np.ma.masked_invalid(seen)), bytes=True)
    figure.figimage(colours, origin="lower")
    return figure


def _whole_pixels(rows: int, columns: int) -> tuple[float, float]:
    """Return the size of an image of which every cell has the same number of pixels, in inches."""
    from matplotlib import rcParams

    dots = float(rcParams["savefig.dpi"])
    wide, high = (
        max(1, round(inches * dots / cells)) * cells / dots
        for inches, cells in zip(IMAGE_SIZE, (columns, rows), strict=True)
    )
    return wide, high


def _coloured(values: Array, measure: Measure, look: Look) -> tuple["Normalize", Array]:
    """Return the scale of colours, and the values on it."""
    from matplotlib.colors import Normalize

    finite = values[np.isfinite(values)]
    if look.ranked:
        return Normalize(-1, 1), by_rank(values, np.sort(finite))
    norm = _norm(finite, measure)
    return norm, np.maximum(values, norm.vmin or -np.inf)


def by_rank(values: Array, ascending: Array) -> Array:
    """Return values below 0 by their ranks from -1 to the gap at the border, others from there to 1; NaN stays."""
    if not len(ascending):
        return values
    below = int(np.searchsorted(ascending, 0))
    places = [np.linspace(-1, -BORDER_GAP, below), np.linspace(BORDER_GAP, 1, len(ascending) - below)]
    return np.interp(values, ascending, np.concatenate(places))


def scatter_map(cloud: Cloud, measure: Measure, title: str, look: Look) -> "Figure":
    """Draw every run as a point between two parameters, coloured by its value."""
    x, y, points, scores, lost = cloud.x, cloud.y, cloud.runs[:, :2], cloud.runs[:, 2], cloud.lost
    left, bottom = 0.8 + CHARACTER_WIDTH * y.longest, 0.65 + CHARACTER_WIDTH * x.longest * x.crowded(4.8)
    figure, axes = _titled(title, (4.8, 3.6), (left, bottom))
    order = np.argsort(-scores if measure.lower else scores, kind="stable")  # the best on top
    axes.plot(lost[:, 0], lost[:, 1], "x", color=BAD, markersize=4, alpha=0.7, label="diverged")
    shown = axes.scatter(
        points[order, 0],
        points[order, 1],
        c=scores[order],
        s=18,
        linewidths=0,
        norm=_norm(scores, measure),
        cmap=look.colours,
    )
    if len(order):
        axes.plot(*points[order[-1]], "o", color=BAD, markersize=11, mew=2, fillstyle="none")
    _ticks(axes, "x", x, 4.8)
    _ticks(axes, "y", y, 3.6)
    axes.set_facecolor("0.93")
    axes.grid(color="white")
    _finish_map(figure, axes, shown, measure=measure, x=x, y=y)
    return figure


def curve_panels(panels: Sequence[CurvePanel], measure: Measure, said: Said) -> "Figure":
    """Draw metrics over time: repeats as thin lines at their own times, their means thick, other runs behind them."""
    whole = CurvePanel(
        lines=[line for panel in panels for line in panel.lines],
        others=[curve for panel in panels for curve in panel.others],
        lost=[curve for panel in panels for curve in panel.lost],
    )
    names = list(dict.fromkeys(line.label for line in whole.lines))
    colours = dict(zip(names, line_colours(len(names)), strict=True))
    legend = _curve_legend(whole, colours, said)
    lines = [text for _, label in legend for text in label.splitlines()]
    _, right = legend_size([*lines, said.lines_are])
    several = len(panels) > 1
    size = (1.2 * PANEL_SIZE[0], 1.2 * PANEL_SIZE[1]) if several else (7.5, max(3.9, 0.26 * len(lines)))
    margins = (0.95, 0.65, right + 0.25, 0.9 if several else 0.55)
    figure, grid = panel_grid(said.title, len(panels), size, margins=margins, between=(0.95, 0.95))
    for axes, panel in zip(grid, panels, strict=True):
        _curves(axes, panel, colours)
        _limit(axes, whole, measure)
        axes.set(xlabel=said.unit, ylabel=measure.label)
        axes.set_title(folded(panel.title, size[0], PANEL_CHARACTER), fontsize=11)
        if said.log_time:
            axes.set_xscale("log" if axes.get_xlim()[0] > 0 else "symlog")
        else:
            axes.locator_params("x", integer=True)
    if legend:
        handles, labels = zip(*legend, strict=True)
        add_legend(figure, handles, labels, title=said.lines_are)
    return figure


def _curve_legend(whole: CurvePanel, colours: Mapping[str, str], said: Said) -> "list[tuple[Artist, str]]":
    from matplotlib.lines import Line2D

    legend: list[tuple[Artist, str]] = [(Line2D([], [], color=colour), cut(name)) for name, colour in colours.items()]
    for name, curves, colour in (
        ("other runs" if whole.lines else "runs", whole.others, GREY),
        ("diverged", whole.lost, BAD),
    ):
        legend += [(Line2D([], [], color=colour, linewidth=1.5), _counted(name, curves))] * bool(curves)
    legend += [(Line2D([], [], color="0.35", linestyle=":"), cut(said.reference))] * bool(said.reference)
    if any(len(line.seeds) > 1 for line in whole.lines):
        legend.append((Line2D([], [], color="0.35", linewidth=0.8, alpha=0.6), f"each run; thick:\n{said.mean}"))
    return legend


def _curves(axes: "Axes", panel: CurvePanel, colours: Mapping[str, str]) -> None:
    from matplotlib.collections import LineCollection

    for curves, colour, alpha in ((panel.others, GREY, 0.6), (panel.lost, BAD, 0.35)):
        behind = [np.column_stack(curve) for curve in _thinned(curves)]
        if behind:
            faint = alpha if len(behind) <= 50 else 0.6 * alpha
            axes.add_collection(LineCollection(behind, colors=colour, linewidths=0.8, alpha=faint))
    for line in panel.lines:
        colour = colours[line.label]
        for curve in line.seeds if len(line.seeds) > 1 else ():
            axes.plot(*curve, color=colour, linewidth=0.8, alpha=0.5, label="_a run")
        marker = "o" if len(line.mean[0]) == 1 else ""
        axes.plot(*line.mean, label=line.label, color=colour, linewidth=1.9, marker=marker)
        if line.reference is not None:
            axes.axhline(line.reference, color=colour, linestyle=":", linewidth=1.4, label="reference")


def importance_bars(shares: Mapping[str, float], chance: Mapping[str, float]) -> "Figure":
    """Draw the share of the variance of ranks that each parameter explains alone, and how far chance reaches."""
    names = list(shares)[::-1]
    first = names[-1]
    left = 0.65 + 0.09 * max(len(name) for name in names)
    figure = new_figure(left + 6.6, 1.6 + 0.42 * len(names), (left, 0.7, 0.9, 0.9))
    axes = figure.subplots()
    rows = np.arange(len(names))
    axes.barh(rows, [100 * shares[name] for name in names], color="C0", height=0.6)
    for row, name in enumerate(names):
        axes.text(102, row, f"{100 * shares[name]:.0f} %", va="center", fontsize=10)
    places = [100 * chance[name] for name in names]
    axes.vlines(places, rows - 0.42, rows + 0.42, color="black", label="within chance, 19 times of 20")
    axes.set_yticks(rows, names)
    axes.set(xlim=(0, 100), xlabel="share of the variance of the ranks (%)", ylabel="parameter")
    verb = "explain" if " and " in first else "explains"
    found = f"{first} {verb} {100 * shares[first]:.0f} % alone"
    shown = shares[first] > chance[first]
    figure.suptitle(
        f"Importance: {found if shown else 'none is shown to explain more than chance'}",
        y=1 - 0.15 / figure.get_figheight(),
        va="top",
    )
    axes.grid(visible=False, axis="y")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), fontsize=10, borderaxespad=0.1)
    return figure


def line_colours(count: int) -> Sequence[str]:
    """Return colours for lines: of the style, or from dark to light for many."""
    if count <= len(LINE_COLOURS):
        return LINE_COLOURS[:count]
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colour) for colour in colormaps["viridis"](np.linspace(0, 0.92, count))]


def cut(name: str) -> str:
    """Return a name in lines short enough for a legend."""
    return "\n".join(wrap(name, 30))


def _titled(title: str, size: tuple[float, float], corner: tuple[float, float]) -> tuple["Figure", "Axes"]:
    """Return a figure with one pair of axes of a size in inches, a title, and space for a colour bar on the right."""
    (wide, high), (left, bottom) = size, corner
    whole = left + wide + 1.5
    title = folded(title, whole)
    top = 0.55 + TITLE_LINE * title.count("\n")
    figure = new_figure(whole, bottom + high + top, (left, bottom, 1.5, top))
    figure.suptitle(title, y=1 - 0.12 / figure.get_figheight(), va="top")
    return figure, figure.subplots()


def _grid(axes_of: Sequence[Axis], title: str, right: float, *, titled: bool) -> tuple["Figure", list["Axes"]]:
    """Return a figure with a panel for every axis, three in a row, with space for upright labels and titles."""
    panels = len(axes_of)
    width, height = _width(panels), PANEL_SIZE[1] * _width(panels) / PANEL_SIZE[0]
    upright = max((CHARACTER_WIDTH * axis.longest for axis in axes_of if axis.crowded(width)), default=0.0)
    head = 0.35 * titled
    return panel_grid(
        title,
        panels,
        (width, height),
        margins=(1.15, 0.7 + upright, right, 0.6 + head),
        between=(1.3, 0.75 + upright + head),
    )


def _width(panels: int) -> float:
    return PANEL_SIZE[0] if panels > 1 else 1.5 * PANEL_SIZE[0]


def _ticks(axes: "Axes", direction: str, axis: Axis, inches: float) -> None:
    """Set scale, ticks and name of one axis."""
    from matplotlib.ticker import NullLocator

    across = direction == "x"
    if axis.logarithmic:
        (axes.set_xscale if across else axes.set_yscale)("log")
    if axis.places and not axis.many:
        turned = across and axis.crowded(inches)
        chosen = axes.xaxis if across else axes.yaxis
        chosen.set_minor_locator(NullLocator())
        chosen.set_ticks(axis.places, axis.short, rotation=90 if turned else 0)
        chosen.set_tick_params(labelsize=10)
    (axes.set_xlabel if across else axes.set_ylabel)(axis.name)


def _names(axes: "Axes", x: Axis, y: Axis, *, turned: bool) -> None:
    """Label columns and rows: each, or of many numbers those near round ones."""
    for axis, chosen, rotation in ((x, axes.xaxis, 90 if turned else 0), (y, axes.yaxis, 0)):
        if axis.many:
            places, labels = _round_places(axis)
            chosen.set_ticks(places, labels)
        else:
            chosen.set_ticks(range(len(axis.labels)), axis.short, rotation=rotation)
    axes.tick_params(length=0, labelsize=10)
    axes.spines[:].set_visible(False)


def _round_places(axis: Axis) -> tuple[list[float], list[str]]:
    """Return round numbers along an axis, as places between its columns, and their labels."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    low, high = axis.places[0], axis.places[-1]
    locator = LogLocator() if axis.logarithmic else MaxNLocator(6)
    numbers = [float(number) for number in locator.tick_values(low, high) if low <= number <= high]
    scale = np.log if axis.logarithmic else np.asarray
    places = np.interp(scale(numbers), scale(axis.places), np.arange(len(axis.places)))
    return places.tolist(), [plain(number) for number in numbers]


def _finish_map(
    figure: "Figure", axes: "Axes", shown: "ScalarMappable", *, measure: Measure, x: Axis, y: Axis
) -> "Colorbar":
    box, width = axes.get_position(), figure.get_figwidth()
    beside = figure.add_axes((box.x1 + 0.15 / width, box.y0, 0.18 / width, box.height))
    bar = figure.colorbar(shown, cax=beside)
    bar.set_label(measure.label, fontsize=10)
    bar.ax.tick_params(labelsize=9)
    axes.set(xlabel=x.name, ylabel=y.name)
    return bar


def _mark_ends(bar: "Colorbar", values: Array) -> None:
    """Write the lowest and the highest value on either side of a border beside its colours."""
    ascending = np.sort(values[np.isfinite(values)])
    below = int(np.searchsorted(ascending, 0))
    ends = np.array([end for side in (ascending[:below], ascending[below:]) if len(side) for end in side[[0, -1]]])
    bar.set_ticks(by_rank(ends, ascending).tolist(), labels=[plain(float(f"{end:.3g}")) for end in ends])


def _norm(values: Array, measure: Measure) -> "Normalize":
    """Return the scale of colours; a logarithmic one spans a few orders of magnitude at most, and 0 lies at its end."""
    from matplotlib.colors import LogNorm, Normalize

    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    above = values[values > high / MOST_COLOURED] if low >= 0 else values
    if len(above) and measure.spans_orders(above):
        return LogNorm(float(above.min()), high, clip=True)
    low = measure.lowest(low, high)
    return Normalize(*_roomy(low, high, 0.0)) if high - low < LITTLE * abs(high) else Normalize(low, high)


def _thinned(curves: Sequence[Curve]) -> list[Curve]:
    """Return the curves that are drawn, at most `MOST_CURVES`, evenly chosen."""
    chosen = np.linspace(0, len(curves) - 1, min(MOST_CURVES, len(curves))).astype(int)
    return [curves[index] for index in chosen]


def _counted(title: str, curves: Sequence[Curve]) -> str:
    return f"{title} ({len(curves)})" if len(curves) <= MOST_CURVES else f"{title} ({MOST_CURVES} of {len(curves)})"


def _limit(axes: "Axes", panel: CurvePanel, measure: Measure) -> None:
    """Set the limits of the axes: without the highest and lowest 1 % of values, but with the best of named curves."""
    picked = [curve for line in panel.lines for curve in [*line.seeds, line.mean] if len(curve[0])]
    curves = [*picked, *_thinned(panel.others)] or _thinned(panel.lost)
    if not curves:
        return
    level = [line.reference for line in panel.lines if line.reference is not None]
    values = np.concatenate([values for _, values in curves])
    values = values[np.isfinite(values)]
    low, high = (float(np.quantile(values, share)) for share in (0.01, 0.99))
    low = min([low, *level, *(float(values.min()) for _, values in picked)])
    high = max([high, *level])
    if not measure.lower:
        high = max([high, *(float(values.max()) for _, values in picked)])
    begin, end = min(float(times[0]) for times, _ in curves), max(float(times[-1]) for times, _ in curves)
    alone = begin == end
    axes.set_xlim(begin - alone, end + alone)
    if measure.spans_orders(np.array([low, high])):
        axes.set_yscale("log")
        axes.set_ylim(low / 1.3, high * 1.3)
    else:
        axes.set_ylim(*_roomy(measure.lowest(low, high), high, 0.05))
