"""The root of every config: what one run is made of, with all its components built and checked."""

from dataclasses import dataclass
from typing import Literal

from nnexp.component import Component, Seed
from nnexp.data.dataset import Data, Dataset
from nnexp.errors import UserError
from nnexp.nn.architectures import Architecture
from nnexp.nn.initializers import Initializer
from nnexp.nn.losses import Loss
from nnexp.optim.optimizers import Optimizer
from nnexp.optim.schedules import Schedule
from nnexp.tracking.tracker import Tracking
from nnexp.training.stack import Recipe
from nnexp.training.trainer import Trainer


@dataclass(frozen=True)
class Experiment(Component):
    """One run, as described by `conf/config.yaml` and the overrides.

    Attributes
    ----------
    seed
        The seed of everything random in the run but the split of the data.
    dtype
        The type of parameters and of everything computed from them.
    output_dir
        The folder for everything that is written.
    verbose
        Whether to show progress and results, or only one line.

    """

    dataset: Dataset
    architecture: Architecture
    initializer: Initializer
    loss: Loss
    optimizer: Optimizer
    schedule: Schedule
    trainer: Trainer
    tracking: Tracking
    seed: Seed
    dtype: Literal["float64", "float32"]
    output_dir: str
    verbose: bool

    def recipe(self, data: Data) -> Recipe:
        """Return what the training loop needs, once the data is known.

        Raises
        ------
        UserError
            If loss or batch size do not fit the data.

        """
        layers = self.architecture.layers(self.loss.outputs(data.task))
        examples = len(data.train)
        if self.trainer.examples_per_step(examples) > examples:
            # Clipping in silence would make the config, and the run's hash, say something that was not done.
            raise UserError(
                f"trainer.batch_size={self.trainer.batch_size}: must be a whole number from 1 to {examples}, "
                "the number of training examples, or full"
            )
        return Recipe(layers, self.initializer, self.loss, self.optimizer, self.schedule, self.seed)
