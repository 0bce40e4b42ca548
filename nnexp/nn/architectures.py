"""Architectures: descriptions from which the layers of a network follow."""

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import annotated_types as at

from nnexp.core.component import Component, Count, Fraction, NonNegative, Positive, added
from nnexp.core.errors import UserError
from nnexp.nn.activations import Activation, Sigmoid
from nnexp.nn.centred import Centred
from nnexp.nn.layers import Activate, BatchNorm, Dense, Dropout, Layer, LayerNorm, Scale
from nnexp.nn.network import outputs as outputs_of

Depth = Annotated[int, at.Interval(ge=1, le=10_000)]


@dataclass(frozen=True)
class Architecture(Component):
    """A description of a network; the output layer is added to it, with the number of units that data and loss need.

    Outputs are multiplied by `output_scale`; centred ones then have those of the start subtracted.
    `learning_rates` and `scales` have a factor for each dense layer, the output layer last; `frozen` has the numbers of
    those that stay as they start.
    """

    output: Activation | None = None
    outputs: Count | None = None
    parametrization: Literal["standard", "maximal_update"] = "standard"
    base_width: Count = 64
    learning_rates: tuple[NonNegative, ...] = added(default=())
    scales: tuple[NonNegative, ...] = added(default=())
    frozen: tuple[int, ...] = added(default=())
    bias: bool = added(default=True)
    output_scale: Positive | None = added(default=None)
    centred: bool = added(default=False)

    @abstractmethod
    def hidden_layers(self) -> tuple[Layer, ...]:
        """Return all layers before the output layer."""

    def layers(self, fan_in: int, outputs: int | None) -> tuple[Layer, ...]:
        """Return the layers of a network with `fan_in` inputs; `outputs` is None where data and loss leave it open.

        Raises UserError if the number of outputs is not known, or the field `outputs` has another one.
        """
        if outputs is not None and self.outputs not in (None, outputs):
            raise UserError(
                f"architecture.outputs={self.outputs}: must be {outputs}, which data and loss ask for, or null"
            )
        units = outputs or self.outputs
        if units is None:
            raise UserError(
                "architecture.outputs=null: must be the number of dimensions of an embedding, under this loss"
            )
        hidden = self.hidden_layers()
        width = outputs_of(hidden, fan_in)
        maximal_update = self.parametrization == "maximal_update" and width != self.base_width
        scale = [Scale(self.base_width / width)] if maximal_update else []
        output_scale = [Scale(self.output_scale)] if self.output_scale is not None else []
        layers = (*hidden, *scale, Dense(units, self.bias), *output_scale)
        activate = [Activate(self.output)] if self.output is not None else []
        layers = self._with_numbers(layers)
        return (*((Centred(layers),) if self.centred else layers), *activate)

    def _with_numbers(self, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
        """Return layers with learning rates, scales and freezing of each dense one; those within blocks stay."""
        count = sum(isinstance(layer, Dense) for layer in layers)
        for key, values in (("learning_rates", self.learning_rates), ("scales", self.scales)):
            if len(values) not in (0, count):
                raise UserError(
                    f"architecture.{key}={[*values]}: must be [], or have {count} numbers, one for each dense layer, "
                    "the output layer last"
                )
        frozen = {number % count for number in self.frozen}
        if not all(-count <= number < count for number in self.frozen) or len(frozen) == count:
            raise UserError(
                f"architecture.frozen={[*self.frozen]}: must be numbers of dense layers, from 0 to {count - 1}, but "
                "not of all"
            )
        rates, scales = self.learning_rates or (1.0,) * count, self.scales or (1.0,) * count
        numbers = iter(zip(rates, scales, range(count), strict=True))

        def numbered(layer: Layer) -> Layer:
            if not isinstance(layer, Dense):
                return layer
            rate, scale, number = next(numbers)
            return replace(
                layer,
                learning_rate=layer.learning_rate * rate,
                scale=layer.scale * scale,
                frozen=layer.frozen or number in frozen,
            )

        return tuple(map(numbered, layers))


@dataclass(frozen=True)
class Perceptron(Architecture):
    """Dense hidden layers, each followed by normalization, activation and dropout."""

    activation: Activation = field(default_factory=Sigmoid)
    normalization: Literal["layer", "batch"] | None = None
    dropout: Fraction | None = None

    @abstractmethod
    def sizes(self) -> tuple[int, ...]:
        """Return the number of units of every hidden layer."""

    def hidden_layers(self) -> tuple[Layer, ...]:
        """Return dense, normalization, activation, dropout, dense, and so on."""
        after: list[Layer] = [Activate(self.activation)]
        if self.normalization is not None:
            after.insert(0, LayerNorm() if self.normalization == "layer" else BatchNorm())
        if self.dropout is not None:
            after.append(Dropout(self.dropout))
        return tuple(layer for units in self.sizes() for layer in (Dense(units, self.bias), *after))


@dataclass(frozen=True)
class MLP(Perceptron):
    """A multi-layer perceptron: hidden layers of given sizes."""

    hidden: tuple[Count, ...] = (16, 8)

    def sizes(self) -> tuple[int, ...]:
        """Return the number of units of every hidden layer."""
        return self.hidden


@dataclass(frozen=True)
class Uniform(Perceptron):
    """A multi-layer perceptron whose hidden layers all have the same width."""

    width: Count = 16
    depth: Depth = 2

    def sizes(self) -> tuple[int, ...]:
        """Return the width, once for each layer."""
        return (self.width,) * self.depth


@dataclass(frozen=True)
class Logistic(Architecture):
    """No hidden layer: logistic or softmax regression under a cross-entropy, linear under a squared error."""

    def hidden_layers(self) -> tuple[Layer, ...]:
        """Return no layers."""
        return ()


@dataclass(frozen=True)
class Layers(Architecture):
    """Any layers, in order."""

    hidden: tuple[Layer, ...] = ()

    def hidden_layers(self) -> tuple[Layer, ...]:
        """Return the list of layers."""
        return self.hidden
