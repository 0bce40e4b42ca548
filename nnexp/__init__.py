"""Neural networks in NumPy, configured with Hydra, compared in MLflow.

From Python: `from nnexp import run; result = run(["optimizer.learning_rate=0.3"])`.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["run"]

if TYPE_CHECKING:
    from nnexp.solo import run


def __getattr__(name: str) -> object:
    """Import `run` when it is first asked for, so that the command line starts without NumPy."""
    if name == "run":
        from nnexp.solo import run

        return run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
