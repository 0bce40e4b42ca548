"""Figures for notebooks: each is drawn when it is asked for."""

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from nnexp.plots.style import finish, png, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
class DrawnFigures(Mapping[str, "Figure"]):
    """Figures by name, as those in the folder `figures`; a notebook shows all of them."""

    draw: Mapping[str, Callable[[], "Figure"]]

    def __getitem__(self, name: str) -> "Figure":
        """Return a figure of matplotlib."""
        with styled():
            figure = self.draw[name]()
            finish(figure)
        return figure

    def __iter__(self) -> Iterator[str]:
        """Yield the names of all figures."""
        return iter(self.draw)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.draw)

    def __repr__(self) -> str:
        """Return the names."""
        return f"figures: {', '.join(self)}"

    def _repr_html_(self) -> str:
        """Return all of them as pictures."""
        return "\n".join(f'<img alt="{escape(name)}" src="{self.address(name)}">' for name in self)

    def address(self, name: str) -> str:
        """Return a figure as the address of a picture within a page."""
        return f"data:image/png;base64,{b64encode(png(self[name])).decode()}"
