"""The maximal update parametrization, under which a good learning rate is good for any width of the network.

With m = width / base width, relative to the standard parametrization (Yang et al., arXiv 2203.03466, table 8):

    |                       | input weights, biases | hidden weights | output weights |
    | initial variance      | 1 / fan_in            | 1 / fan_in     | 1 / base width |
    | forward multiplier    | 1                     | 1              | 1 / m          |
    | learning rate of SGD  | eta m                 | eta            | eta m          |
    | learning rate of Adam | eta                   | eta / m        | eta            |

The forward multiplier is a `Scale` layer that the architecture adds; the rest are numbers of the layers. The output
bias keeps its learning rate.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import sqrt

from nnexp.nn.centred import Centred
from nnexp.nn.layers import Dense, Layer, Learned, Residual, every_layer


def maximal_update(layers: Sequence[Layer], base_width: int, *, adaptive: bool) -> tuple[Layer, ...]:
    """Return layers of one width with the learning rates and starting weights of the table.

    Args:
        layers: All layers, the output layer included.
        base_width: The width at which they stay as they are.
        adaptive: Whether the optimizer's direction does not depend on the size of the gradient, as Adam's.
    """
    dense = [layer for layer in every_layer(layers) if isinstance(layer, Dense)]
    m = dense[0].units / base_width
    wide = 1.0 if adaptive else m

    def changed(layer: Layer) -> Layer:
        if isinstance(layer, (Residual, Centred)):
            return replace(layer, layers=tuple(map(changed, layer.layers)))
        if layer is dense[-1]:
            return _times(layer, wide, bias=1.0, scale=sqrt(m))
        if layer is dense[0] or not isinstance(layer, Dense):
            return _times(layer, wide, bias=wide)
        return _times(layer, 1 / m if adaptive else 1.0, bias=wide)

    return tuple(map(changed, layers))


def _times(layer: Layer, rate: float, *, bias: float, scale: float = 1.0) -> Layer:
    """Return a layer with factors on its numbers."""
    if isinstance(layer, Dense):
        biases = layer.rate_of("bias") * bias
        return replace(
            layer, learning_rate=layer.learning_rate * rate, bias_learning_rate=biases, scale=layer.scale * scale
        )
    return replace(layer, learning_rate=layer.learning_rate * rate) if isinstance(layer, Learned) else layer
