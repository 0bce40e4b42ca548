"""What a diagnostic is: a number of a network while it trains, or one for each of its layers."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import annotated_types as at

from nnexp.core.component import Array, Component
from nnexp.core.errors import UserError
from nnexp.core.task import Task
from nnexp.nn.layers import Layer
from nnexp.nn.losses import snake_case

if TYPE_CHECKING:
    from nnexp.training.view import View

LookedAt = Annotated[int, at.Ge(2)]
"""How many training examples are looked at, evenly spread; all where there are fewer."""


@dataclass(frozen=True)
class Diagnostic(Component):
    """Looks at a stack while it trains, and changes nothing; what it finds is a metric, such as `train/sharpness`."""

    @property
    def name(self) -> str:
        """Return its name, which is that of its option."""
        return snake_case(type(self))

    def misfit(self, task: Task, layers: Sequence[Layer]) -> str | None:
        """Return in words what it needs and the data or the network has not; None where it fits."""
        return None

    def count(self, layers: Sequence[Layer]) -> int | None:
        """Return how many numbers it has for a network, one for each of some of its layers; None: one in all."""
        return None

    @abstractmethod
    def look(self, view: "View") -> Array:
        """Return a number for each run, shape (runs,), or for each of the layers, shape (runs, layers)."""

    def names(self, layers: Sequence[Layer]) -> list[str]:
        """Return the names of its metrics, such as `train/gradient_size_1` for the first layer."""
        count = self.count(layers)
        name = f"train/{self.name}"
        return [name] if count is None else [f"{name}_{number + 1}" for number in range(count)]


def diagnostic_names(diagnostics: Sequence[Diagnostic], task: Task, layers: Sequence[Layer]) -> list[str]:
    """Return the names of the metrics of diagnostics.

    Raises UserError if one does not fit the data or the network, or is there twice.
    """
    for place, one in enumerate(diagnostics):
        needs = one.misfit(task, layers)
        if needs is not None:
            raise UserError(f"trainer.diagnostics={one.name}: must have {needs}")
        if one.name in [other.name for other in diagnostics[:place]]:
            raise UserError(f"trainer.diagnostics={one.name}: must be in the list once")
    return [name for one in diagnostics for name in one.names(layers)]
