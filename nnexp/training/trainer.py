"""How long and in which portions to train."""

from dataclasses import dataclass
from typing import Literal

from nnexp.component import Component, Count


@dataclass(frozen=True)
class Trainer(Component):
    """The settings of the training loop.

    Attributes
    ----------
    epochs
        How many times to go through the training examples.
    batch_size
        How many examples make one step; `full` takes all of them, in order, and anything else shuffles them every
        epoch.
    evaluate_every
        The number of epochs between two evaluations; the first and the last epoch are always evaluated.

    """

    epochs: Count = 1000
    batch_size: Literal["full"] | Count = "full"
    evaluate_every: Count = 1

    def examples_per_step(self, examples: int) -> int:
        """Return the batch size in numbers, for this many training examples."""
        return examples if self.batch_size == "full" else self.batch_size

    def evaluates(self, epoch: int) -> bool:
        """Tell whether metrics are taken after this epoch."""
        return epoch in (1, self.epochs) or epoch % self.evaluate_every == 0

    def evaluated_epochs(self) -> list[int]:
        """Return the epochs after which metrics are taken."""
        return [epoch for epoch in range(1, self.epochs + 1) if self.evaluates(epoch)]
