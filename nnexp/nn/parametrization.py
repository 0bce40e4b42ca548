"""The maximal update parametrization, under which a good learning rate is good for any width of the network.

With m = width / base width, relative to the standard parametrization (Yang et al., arXiv 2203.03466, table 8):

    |                       | input weights, biases | hidden weights | output weights |
    | initial variance      | 1 / fan_in            | 1 / fan_in     | 1 / base width |
    | forward multiplier    | 1                     | 1              | 1 / m          |
    | learning rate of SGD  | eta m                 | eta            | eta m          |
    | learning rate of Adam | eta                   | eta / m        | eta            |

The forward multiplier is a `Scale` layer that the architecture adds; the rest is here. The m of a weight is
that of the side that is a width: fan_out for input weights and biases, fan_in for output weights. The output bias keeps
its learning rate.
"""

from dataclasses import replace

import numpy as np

from nnexp.core.component import Array
from nnexp.nn.network import Layout, Slot, size


def with_base_width(layout: Layout, base_width: int) -> Layout:
    """Return a layout whose output weights start as if they had `base_width` inputs."""
    last = _weights(layout)[-1]
    slots = [replace(slot, fan_in=base_width) if slot is last else slot for slot in layout.parameters]
    return replace(layout, parameters=tuple(slots))


def learning_rate_factors(layout: Layout, base_width: int, *, adaptive: bool) -> Array:
    """Return the factor on the learning rate of every parameter, shape (parameters,).

    Args:
        layout: The place of every parameter.
        base_width: The width at which all factors are 1.
        adaptive: Whether the optimizer's direction does not depend on the size of the gradient, as Adam's.
    """
    weights = _weights(layout)
    factors = np.ones(size(layout.parameters))
    for slot in layout.parameters:
        factor = 1.0
        if slot is weights[-1]:
            factor = 1.0 if adaptive else slot.shape[0] / base_width
        elif slot.path == weights[-1].path:
            factor = 1.0
        elif slot is weights[0] or slot not in weights:
            factor = 1.0 if adaptive else slot.shape[-1] / base_width
        elif adaptive:
            factor = base_width / slot.fan_in
        else:
            factor = slot.fan_out / slot.fan_in
        factors[slot.begin : slot.end] = factor
    return factors


def _weights(layout: Layout) -> list[Slot]:
    return [slot for slot in layout.parameters if slot.start == "weight"]
