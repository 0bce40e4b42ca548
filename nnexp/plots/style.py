"""The canvas that every figure starts from."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Margins = tuple[float, float, float, float]

GOOD, BAD = "#009E73", "#D55E00"
"""Green and red that are told apart by every kind of colour vision."""
LEFT, RIGHT = "\N{CHECK MARK}", "\N{BALLOT X}"


@contextmanager
def styled() -> Iterator[None]:
    """Apply the style file inside the block."""
    import matplotlib as mpl

    with mpl.rc_context(fname=str(Path(__file__).with_name("nnexp.mplstyle"))):
        yield


def new_figure(width: float, height: float, margins: Margins, between: tuple[float, float] = (0, 0)) -> "Figure":
    """Return an empty figure without the state and the windows of pyplot, all lengths in inches.

    The margins are given because matplotlib's automatic layouts draw a figure several times to find them, which
    takes longer than everything else about it (measured on ten small images: 0.4 s against 0.2 s).

    Arguments
    ---------
    width, height
        The size of the figure.
    margins
        Around all axes: left, bottom, right, top.
    between
        Between neighbouring axes, across and down, as shares of the size of one.

    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    left, bottom, right, top = margins
    across, down = between
    figure.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height, across, down)
    return figure
