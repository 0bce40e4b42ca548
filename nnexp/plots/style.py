"""The style, size and margins of all figures."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nnexp.core.component import Array
from nnexp.core.files import atomically, folder_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Margins = tuple[float, float, float, float]

GOOD, BAD = "#009E73", "#D55E00"
"""Green and red that colour-blind people can distinguish."""
FARTHEST = 1e100
"""Numbers beyond it, or closer to 0 than 1 / it, cannot be drawn: the margin around them would overflow."""
LEGEND_ROWS = 20
"""The most entries in a column of a legend."""
LONGEST_LABEL = 80
"""The most characters of a label for which a figure has space."""
CHECK_MARK, CROSS = "\N{CHECK MARK}", "\N{BALLOT X}"


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
                show_dollars(figure)
                figure.savefig(path)


def show_dollars(figure: "Figure") -> None:
    """Show names as they are, although matplotlib takes text between two $ for a formula."""
    from matplotlib.text import Text
    from matplotlib.ticker import FixedFormatter, FuncFormatter

    for text in figure.findobj(Text):
        if isinstance(text, Text):
            text.set_parse_math(False)
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        if not isinstance(axis.get_major_formatter(), (FixedFormatter, FuncFormatter)):
            for number in [*axis.get_ticklabels(), axis.get_offset_text()]:
                number.set_parse_math(True)


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
    return panel_grid(
        title, panels, (width, height), margins=(0.9, 0.65, right, 0.95 if panels > 1 else 0.55), between=(0.9, 0.95)
    )


def panel_grid(
    title: str, panels: int, size: tuple[float, float], margins: Margins, between: tuple[float, float]
) -> tuple["Figure", list["Axes"]]:
    """Return a figure with panels of one size, three in a row, and their axes; all lengths are in inches."""
    (width, height), (left, bottom, right, top), (across, down) = size, margins, between
    columns = min(panels, 3)
    rows = -(-panels // columns)
    wide = left + columns * width + across * (columns - 1) + right
    high = bottom + rows * height + down * (rows - 1) + top
    figure = new_figure(wide, high, margins, (across / width, down / height))
    figure.suptitle(title, y=1 - 0.15 / high, va="top")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[panels:]:
        axes.set_axis_off()
    return figure, list(grid.flat[:panels])


def new_figure(width: float, height: float, margins: Margins, between: tuple[float, float] = (0, 0)) -> "Figure":
    """Return an empty figure without the state and the windows of pyplot, all lengths in inches.

    The margins are given because matplotlib's automatic layouts draw a figure several times to find them, which
    takes longer than everything else about it (measured on ten small images: 0.4 s against 0.2 s).

    Args:
        width, height: The size of the figure.
        margins: The margins around all axes: left, bottom, right, top.
        between: The space between neighbouring axes, across and down, as shares of the size of one.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    left, bottom, right, top = margins
    across, down = between
    figure.subplots_adjust(left=left / width, bottom=bottom / height, right=1 - right / width, top=1 - top / height)
    figure.subplots_adjust(wspace=across, hspace=down)
    return figure
