"""The root of every config: the components of one run, built and checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import annotated_types as at

from nnexp.core.component import Component, Seed
from nnexp.core.errors import UserError
from nnexp.data.dataset import Data, Dataset
from nnexp.nn.activations import Sigmoid, Softmax
from nnexp.nn.architectures import Architecture
from nnexp.nn.initializers import FromRun, Initializer, VarianceScaling
from nnexp.nn.layers import BatchNorm, Dense, Layer, every_layer
from nnexp.nn.losses import CrossEntropy, KullbackLeibler, Loss, snake_case
from nnexp.nn.network import Layout
from nnexp.nn.parametrization import maximal_update
from nnexp.optim.optimizers import Optimizer
from nnexp.optim.schedules import Schedule
from nnexp.tracking.tracker import Tracking
from nnexp.training.early_stopping import watched_metric
from nnexp.training.evaluator import all_names, metric_names
from nnexp.training.metrics import no_such_metric
from nnexp.training.stack import Recipe
from nnexp.training.trainer import Trainer


@dataclass(frozen=True)
class Experiment(Component):
    """The config of one run, as described by `conf/config.yaml` and the overrides."""

    dataset: Dataset
    architecture: Architecture
    initializer: Initializer
    loss: Loss
    optimizer: Optimizer
    schedule: Schedule
    trainer: Trainer
    tracking: Tracking
    question: str | None
    seed: Seed
    dtype: Literal["float64", "float32"]
    output_dir: Annotated[str, at.MinLen(1), "a folder"]
    figures: Literal["animation"] | bool | None
    verbose: bool | None
    resume: str | None = None

    def draws(self, *, alone: bool) -> bool:
        """Tell whether figures are drawn, of a run alone or of one within a sweep."""
        return alone if self.figures is None else bool(self.figures)

    def recipe(self, data: Data) -> Recipe:
        """Return the recipe for the training loop, given the data.

        Raises UserError if loss, metrics, batch size or parametrization do not fit the rest.
        """
        if isinstance(self.loss, (CrossEntropy, KullbackLeibler)) and isinstance(
            self.architecture.output, (Sigmoid, Softmax)
        ):
            raise UserError(
                f"architecture.output={type(self.architecture.output).__name__.lower()}: must be null under "
                f"loss={snake_case(type(self.loss))}, which has its own"
            )
        loss = self.loss.fitted(data.task, data.train.targets)
        layers = self.architecture.layers(data.train.x.shape[-1], loss.outputs(data.task))
        names = metric_names(data, self.trainer.metrics)
        if self.trainer.early_stopping is not None:
            watched_metric(self.trainer.early_stopping, names)
        names = all_names(data, self.trainer, layers)
        if self.trainer.stop is not None and self.trainer.stop.metric not in names:
            raise UserError(no_such_metric("trainer.stop.metric", self.trainer.stop.metric, names))
        self._check_batches(layers, len(data.train))
        if self.architecture.parametrization == "maximal_update":
            self._check_maximal_update(layers)
            layers = maximal_update(layers, self.architecture.base_width, adaptive=self.optimizer.adaptive)
        if isinstance(self.initializer, FromRun):  # whether it fits is known before anything trains
            layout = Layout.of(layers, data.train.x.shape[-1])
            self.initializer.parameters({slot.title: slot.shape for slot in layout.parameters})
        return Recipe(
            layers=layers,
            initializer=self.initializer,
            loss=loss,
            optimizer=self.optimizer,
            schedule=self.schedule,
            seed=self.seed,
            regularization=self.trainer.regularization,
        )

    def _check_batches(self, layers: Sequence[Layer], examples: int) -> None:
        trainer = self.trainer
        batch_size = trainer.examples_per_step(examples)
        if batch_size > examples:
            # With silent clipping, the config and the run's hash would not describe the training.
            raise UserError(
                f"trainer.batch_size={batch_size}: must be a whole number from 1 to {examples}, "
                "the number of training examples, or full"
            )
        if any(isinstance(layer, BatchNorm) for layer in every_layer(layers)) and (
            batch_size == 1 or examples % batch_size == 1
        ):
            raise UserError(
                f"trainer.batch_size={batch_size}: must not leave a batch with one of {examples} examples, "
                "for batch normalization compares the examples of a batch"
            )

    def _check_maximal_update(self, layers: Sequence[Layer]) -> None:
        *hidden, _ = [layer.units for layer in every_layer(layers) if isinstance(layer, Dense)]
        if len({*hidden}) != 1:
            raise UserError(
                "architecture.parametrization=maximal_update: must have hidden layers of one width, "
                "such as architecture=uniform, or be standard"
            )
        if not isinstance(self.initializer, VarianceScaling) or self.initializer.fan != "in":
            raise UserError(
                "architecture.parametrization=maximal_update: must have weights of variance 1 / fan_in, "
                "initializer=he_normal or lecun_normal or the like, or be standard"
            )
