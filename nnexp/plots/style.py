"""The canvas that every figure starts from."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GOOD, BAD = "#009E73", "#D55E00"
"""Green and red that are told apart by every kind of colour vision."""
LEFT, RIGHT = "\N{CHECK MARK}", "\N{BALLOT X}"


@contextmanager
def styled() -> Iterator[None]:
    """Apply the style file inside the block."""
    import matplotlib as mpl

    with mpl.rc_context(fname=str(Path(__file__).with_name("nnexp.mplstyle"))):
        yield


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure of a size in inches, without the state and the windows of pyplot."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))
