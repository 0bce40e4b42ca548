"""Neural networks in NumPy, configured with Hydra, compared in MLflow.

From Python: `from nnexp import run, sweep, load`, as in `run(optimizer__learning_rate=0.3)`. For components of one's
own: `from nnexp import Component, Positive`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from nnexp.core import old_names

if TYPE_CHECKING:
    from nnexp.core.component import Array, Component, Count, Fraction, Labels, NonNegative, Number, Positive, Seed
    from nnexp.core.errors import UserError
    from nnexp.python.training import load, run, sweep

__version__ = "0.1.0"
__all__ = [
    "Array",
    "Component",
    "Count",
    "Fraction",
    "Labels",
    "NonNegative",
    "Number",
    "Positive",
    "Seed",
    "UserError",
    "load",
    "run",
    "sweep",
]

HOMES = {
    **dict.fromkeys(("load", "run", "sweep"), "nnexp.python.training"),
    "UserError": "nnexp.core.errors",
}
"""Where the public names are, if not with the components."""

old_names.install()


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for, so that the command line starts without NumPy."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(HOMES.get(name, "nnexp.core.component")), name)
