"""Neural networks in NumPy, configured with Hydra, compared in MLflow.

From Python: `from nnexp import run; result = run(["optimizer.learning_rate=0.3"])`. For components of one's own:
`from nnexp import Component, Positive`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from nnexp.core import old_names

if TYPE_CHECKING:
    from nnexp.core.component import Array, Component, Count, Fraction, Labels, NonNegative, Number, Positive, Seed
    from nnexp.core.errors import UserError
    from nnexp.runs.train import run

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
    "run",
]

HOMES = {"run": "nnexp.runs.train", "UserError": "nnexp.core.errors"}
"""Where the public names are, if not with the components."""

old_names.install()


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for, so that the command line starts without NumPy."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(HOMES.get(name, "nnexp.core.component")), name)
