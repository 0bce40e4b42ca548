"""The style, size and margins of all figures."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from nnexp.core.component import Array
from nnexp.core.files import atomically, folder_atomically

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import XAxis, YAxis
    from matplotlib.figure import Figure

Margins = tuple[float, float, float, float]

GOOD, BAD = "#009E73", "#D55E00"
"""Green and red that colour-blind people can distinguish."""
FARTHEST = 1e100
"""Numbers beyond it, or closer to 0 than 1 / it, cannot be drawn: the margin around them would overflow."""
COLUMNS = 3
"""The most panels beside each other."""
LEGEND_ROWS = 20
"""The most entries in a column of a legend."""
LONGEST_LABEL = 80
"""The most characters of a label for which a figure has space."""
MOST_DECADES = 8
"""The most numbers at powers of ten along an axis."""
LITTLE = 0.6
"""A logarithmic axis over fewer powers of ten has numbers between 1, 2 and 5, too."""
SMALLEST, LARGEST = 1e-4, 1e6
"""The numbers that are written without an exponent."""
TITLE_CHARACTER, PANEL_CHARACTER, TITLE_LINE = 0.115, 0.09, 0.28
"""The width of a character of the title of a figure or a panel, and the height of a line of it, in inches."""
R2, WORST_R2 = "r2", -1.0
"""R2 has no lower bound: what is worse than this would hide the rest, and is cut off."""
CHECK_MARK, CROSS = "\N{CHECK MARK}", "\N{BALLOT X}"


def load() -> None:
    """Import what figures are drawn with, which takes half a second."""
    import matplotlib.backends.backend_agg
    import matplotlib.figure  # noqa: F401


@contextmanager
def styled() -> Iterator[None]:
    """Apply the style file inside the block."""
    import matplotlib as mpl

    with mpl.rc_context(fname=str(Path(__file__).with_name("nnexp.mplstyle"))):
        yield


def save_figures(figures: Mapping[str, Callable[[], "Figure"]], folder: Path) -> list[str]:
    """Draw figures into a folder of their own, which replaces an older one, and return their names."""
    with folder_atomically(folder) as new:
        add_figures(figures, new)
    return list(figures)


def add_figures(figures: Mapping[str, Callable[[], "Figure"]], folder: Path) -> None:
    """Draw figures into a folder that has other files, too."""
    with styled(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)  # a box is drawn in its place
        for name, draw in figures.items():
            with atomically(folder / f"{name}.png") as path:
                figure = draw()
                finish(figure)
                figure.savefig(path)


def finish(figure: "Figure") -> None:
    """Write numbers plainly."""
    from matplotlib.ticker import LogFormatter, ScalarFormatter

    for axis in (axis for axes in figure.axes if axes.axison for axis in (axes.xaxis, axes.yaxis)):
        if isinstance(axis.get_major_formatter(), (LogFormatter, ScalarFormatter)):
            plain_numbers(axis)


def plain_numbers(axis: "XAxis | YAxis") -> None:
    """Write numbers such as 0.05 and 2,000 along an axis.

    On a logarithmic one they stand at 1, 2 and 5, or over a large range at powers of ten.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    if axis.get_scale() == "log":
        low, high = sorted(axis.get_view_interval())
        decades = np.log10(high / low)
        few = decades > 2
        axis.set_major_locator(LogLocator(subs=(1.0,) if few else (1.0, 2.0, 5.0), numticks=MOST_DECADES))
        if decades < LITTLE:
            axis.set_major_locator(LogLocator(subs=tuple(np.arange(1.0, 10.0, 0.5)), numticks=MOST_DECADES))
        axis.set_minor_formatter(NullFormatter())
    nothing = 1e-9 * abs(np.subtract(*axis.get_view_interval())) if axis.get_scale() == "linear" else 0.0
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain(0.0 if abs(value) < nothing else value)))


def plain(value: float) -> str:
    """Return a number as it stands beside an axis: 2,000 and 0.05, and 1e-7 where that would be long."""
    if value and not SMALLEST <= abs(value) < LARGEST:
        digits, _, power = f"{value:.3e}".partition("e")
        return f"{float(digits):g}e{int(power)}"
    return f"{value:,.10f}".rstrip("0").rstrip(".").replace("-", "\N{MINUS SIGN}")


def class_colours(classes: int) -> Array:
    """Return a colour for every class, shape (classes, 3), from the style, or from a colour map for many classes."""
    from matplotlib import colormaps, rcParams
    from matplotlib.colors import to_rgb

    cycle = rcParams["axes.prop_cycle"].by_key()["color"]
    if classes <= len(cycle):
        return np.array([to_rgb(name) for name in cycle[:classes]])
    return np.asarray(colormaps["turbo"](np.linspace(0.05, 0.95, classes)))[:, :3]


def legend_size(labels: Sequence[str]) -> tuple[int, float]:
    """Return the number of columns of a legend beside the axes, and its width in inches."""
    columns = -(-len(labels) // LEGEND_ROWS)
    return columns, columns * (0.6 + 0.095 * min(LONGEST_LABEL, max(len(label) for label in labels)))


def grid_of(panels: int, size: tuple[float, float], title: str, right: float) -> tuple["Figure", list["Axes"]]:
    """Return a figure with panels of one size, and their axes.

    Args:
        panels: The number of panels; there are three in a row.
        size: Width and height of a panel, in inches; a panel alone is half as large again.
        title: The title of the figure.
        right: The width of the space for a legend on the right.
    """
    width, height = (1.5 * length for length in size) if panels == 1 else size
    margins = 0.9, 0.65, right, 0.95 if panels > 1 else 0.55
    return panel_grid(title, panels, (width, height), margins=margins, between=(0.9, 0.95))


def panel_grid(
    title: str, panels: int, size: tuple[float, float], margins: Margins, between: tuple[float, float]
) -> tuple["Figure", list["Axes"]]:
    """Return a figure with panels of one size, three in a row, and their axes; all lengths are in inches.

    The space for a legend on the right is left out where the last row has a place for it.
    """
    (width, height), (left, bottom, right, top), (across, down) = size, margins, between
    columns = min(panels, COLUMNS)
    rows = -(-panels // columns)
    right = 0.35 if panels < rows * columns and right <= width else right
    wide = left + columns * width + across * (columns - 1) + right
    title = folded(title, wide)
    top += TITLE_LINE * title.count("\n")
    high = bottom + rows * height + down * (rows - 1) + top
    figure = new_figure(wide, high, (left, bottom, right, top), (across / width, down / height))
    figure.suptitle(title, y=1 - 0.15 / high, va="top")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[panels:]:
        axes.set_axis_off()
    return figure, list(grid.flat[:panels])


def folded(title: str, inches: float, character: float = TITLE_CHARACTER) -> str:
    """Return a title in lines of about one length that fit a figure."""
    width = max(20, int((inches - 0.3) / character))
    return "\n".join(part for line in title.splitlines() for part in wrap(line, _even_width(line, width)) or [""])


def _even_width(line: str, most: int) -> int:
    """Return the smallest width at which a line takes no more lines than at the largest."""
    fewest = len(wrap(line, most))
    return next(
        width for width in range(max(1, len(line) // max(1, fewest)), most + 1) if len(wrap(line, width)) <= fewest
    )


def add_legend(
    figure: "Figure", handles: Sequence["Artist"], labels: Sequence[str], *, title: str = "", columns: int = 1
) -> None:
    """Put a legend where a grid has no panel, or else on the right."""
    free = next((axes for axes in figure.axes if not axes.axison and not axes.has_data()), None)
    if free is None:
        figure.legend(handles, labels, loc="center right", title=title or None, ncols=columns)
        return
    box = free.get_position()
    middle = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    figure.legend(handles, labels, loc="center", bbox_to_anchor=middle, title=title or None, ncols=columns)


def png(figure: "Figure") -> bytes:
    """Return a figure as the content of a PNG file."""
    content = BytesIO()
    with styled():
        figure.savefig(content)
    return content.getvalue()


@cache
def _figure_class() -> type["Figure"]:
    """Return matplotlib's figure, which a notebook shows although pyplot does not know of it."""
    from matplotlib.figure import Figure

    class ShownFigure(Figure):
        def _repr_png_(self) -> bytes:
            return png(self)

    return ShownFigure


def new_figure(width: float, height: float, margins: Margins, between: tuple[float, float] = (0, 0)) -> "Figure":
    """Return an empty figure without the state and the windows of pyplot, all lengths in inches.

    The margins are given because matplotlib's automatic layouts draw a figure several times to find them, which
    takes longer than everything else about it (measured on ten small images: 0.4 s against 0.2 s).

    Args:
        width, height: The size of the figure.
        margins: The margins around all axes: left, bottom, right, top.
        between: The space between neighbouring axes, across and down, as shares of the size of one.
    """
    figure = _figure_class()(figsize=(width, height))
    left, bottom, right, top = margins
    across, down = between
    figure.subplots_adjust(left=left / width, bottom=bottom / height, right=1 - right / width, top=1 - top / height)
    figure.subplots_adjust(wspace=across, hspace=down)
    return figure
