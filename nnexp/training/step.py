"""One step of training: predict, compare, differentiate, correct.

Every array has the runs of a stack in front, so the same lines train one network or hundreds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nnexp.core.component import Array
from nnexp.nn.losses import Loss
from nnexp.nn.network import Network
from nnexp.optim.optimizers import Optimizer, State
from nnexp.optim.regularization import Regularization
from nnexp.training.batches import Examples


@dataclass(frozen=True, kw_only=True)
class ThetaBlock:
    """A part of the parameters that fits into the processor's cache, with all that is needed to update it.

    Attributes:
        theta, gradient: Shape (runs, parameters of this part).
        state: The arrays of the optimizer, of the same shape.
        learning_rate: Shape (runs, 1).
        factors: A factor on the learning rate of each parameter, of the same shape; None where all are 1.
        penalised: 1 where a parameter is penalised, else 0, shape (parameters of this part,).
    """

    theta: Array
    gradient: Array
    state: State
    learning_rate: Array
    factors: Array | None
    penalised: Array
    optimizer: Optimizer
    regularization: Regularization


@dataclass(frozen=True, kw_only=True)
class BoundStep:
    """The arrays and components of a step; `network.backward` writes into `gradient`, `blocks` are views of parts.

    `mask` is 0 where a parameter was pruned; None where none was.
    """

    network: Network
    loss: Loss
    batch: Examples
    theta: Array
    gradient: Array
    penalised: Array
    mask: Array | None
    regularization: Regularization
    blocks: Sequence[ThetaBlock]
    number: Array  # of steps, this one included


def descend(step: BoundStep) -> Array:
    """Change the parameters once, against the gradient of the batch's mean loss; return the logits before the step.

    g = d(mean loss)/d(theta) + d(penalty)/d(theta), clipped
    theta = theta - learning_rate * (direction(g) + weight_decay * theta)
    """
    z = step.network.forward(step.batch.rows(), training=True)
    step.network.backward(mean_loss_gradient(step.loss, z, step.batch))
    if step.mask is not None:
        np.multiply(step.gradient, step.mask, out=step.gradient)
    step.regularization.add_penalty_and_clip(step.gradient, step.theta, step.penalised)
    for block in step.blocks:
        direction = block.optimizer.update(block.gradient, block.state, step.number)
        if block.regularization.weight_decay is not None:
            direction = direction + block.regularization.decay(block.theta, block.penalised)
        rate = block.learning_rate if block.factors is None else block.learning_rate * block.factors
        change = np.multiply(rate, direction, out=block.gradient)  # the gradient is not needed any more
        np.subtract(block.theta, change, out=block.theta)
    return z


def mean_loss_gradient(loss: Loss, z: Array, batch: Examples) -> Array:
    """Return the gradient of a batch's mean loss with respect to its logits, of their shape."""
    gradient = loss.backward(z, batch.y)
    if batch.weights is not None:
        grouped = gradient.reshape(*gradient.shape[:-2], -1, batch.views, gradient.shape[-1])
        gradient = (grouped * batch.weights[..., None, None]).reshape(gradient.shape)
    count = z.shape[-2] // batch.views
    return gradient if count == 1 else gradient / count
