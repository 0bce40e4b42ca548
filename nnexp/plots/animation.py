"""A network while it learns, as a moving picture: its decision regions in a plane, or the curve that it fits."""

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from nnexp.core.files import atomically
from nnexp.data.dataset import Data
from nnexp.plots.numbers import fit
from nnexp.plots.plane import decision_regions
from nnexp.plots.style import finish, styled
from nnexp.training.model import Trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILE = "animation.gif"
FRAME_MILLISECONDS, LAST_MILLISECONDS = 160, 2000
"""How long a frame is seen, and the last one."""
DOTS_PER_INCH = 72
Draw: TypeAlias = Callable[[Mapping[str, Trained]], "Figure"]


def picture_of(data: Data) -> Draw | None:
    """Return what draws a network at one moment; None where its data have too many features to be seen."""
    features = data.train.x.shape[-1]
    if data.task.kind == "classification" and features == 2:
        return decision_regions
    return fit if data.task.kind == "regression" and features == 1 else None


def save_animation(moments: Mapping[str, Trained], draw: Draw, folder: Path) -> None:
    """Write a network at several moments as a GIF, each with its title."""
    from PIL import Image

    frames = []
    for title, trained in moments.items():
        content = BytesIO()
        with styled():
            figure = draw({title: trained})
            above = 1 - 0.15 / figure.get_figheight()
            figure.suptitle(f"{figure.get_suptitle()}, {title}", y=above, va="top")
            finish(figure)
            figure.savefig(content, dpi=DOTS_PER_INCH)
        frames.append(Image.open(content).convert("P", palette=Image.Palette.ADAPTIVE))
    durations = [*[FRAME_MILLISECONDS] * (len(frames) - 1), LAST_MILLISECONDS]
    with atomically(folder / FILE) as path:
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0)
