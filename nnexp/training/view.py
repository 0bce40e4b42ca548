"""What a diagnostic sees of a stack while it trains: parameters, predictions, gradients and curvature of every run.

Nothing here depends on the number of runs: all numbers of a run are the same bits alone and in a stack.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial

import numpy as np

from nnexp.core.component import Array
from nnexp.core.task import Task
from nnexp.nn.layers import Activate, learns
from nnexp.nn.network import Network, Slot, layer_at
from nnexp.training.batches import Examples
from nnexp.training.binding import bound_curvature
from nnexp.training.stack import MAX_RECORDED_SIZE, Stack
from nnexp.training.stacking import taken
from nnexp.training.step import mean_loss_gradient
from nnexp.training.tape import Repeated


class View:
    """A stack as a diagnostic sees it, until runs leave it.

    Args:
        stack: The stack.
        whole: The training examples.
        task: The task of the data.

    Attributes:
        theta: Its parameters, shape (runs, parameters).
        outputs: The number of logits.
        start, before: Its parameters before the first step, and before the round.
    """

    def __init__(self, stack: Stack, whole: Examples, task: Task) -> None:
        self.theta, self.loss, self.task, self.outputs = stack.theta, stack.loss, task, stack.outputs
        self.start, self.before = stack.theta, stack.theta
        self._stack, self._whole = stack, whole
        self._curvatures: dict[int, Callable[[Array], Array]] = {}

    def __len__(self) -> int:
        """Return the number of runs."""
        return len(self.theta)

    @cached_property
    def weights(self) -> Sequence[Slot]:
        """Return the places of the weights of all layers in theta."""
        return [slot for slot in self._stack.layout.parameters if slot.start == "weight"]

    @cached_property
    def learns(self) -> Array | float:
        """Return 1 where a parameter learns, 0 where it is frozen or pruned."""
        stack = self._stack
        frozen = [slot for slot in stack.layout.parameters if not learns(layer_at(stack.layers, slot.path))]
        if not frozen and stack.mask is None:
            return 1.0
        learning = np.ones_like(self.theta) if stack.mask is None else stack.mask.copy()
        for slot in frozen:
            learning[:, slot.begin : slot.end] = 0
        return learning

    def examples(self, most: int | None) -> Examples:
        """Return so many of the training examples, evenly spread, or all."""
        count = len(self._whole)
        if most is None or most >= count:
            return self._whole
        return self._whole.take(np.linspace(0, count - 1, most).round().astype(np.intp))

    def _network(self) -> Network:
        """Return the network with running statistics of its own, so that nothing is changed."""
        return Network(self._stack.layers, self._stack.layout, self.theta, self._stack.statistics.copy())

    def activations(self, examples: Examples) -> list[tuple[Activate, Array]]:
        """Return the activation layers, in order, each with its outputs for examples, shape (runs, rows, units)."""
        network = self._network()
        network.forward(examples.rows())
        found = [(layer, cell.saved["a"]) for layer, cell in network.activations()]
        return [(layer, np.broadcast_to(a, (len(self), *a.shape[-2:]))) for layer, a in found]

    def features(self, examples: Examples) -> Array:
        """Return the inputs of the last layer with weights, shape (runs, rows, units)."""
        x, last = examples.rows(), self.weights[-1].path[0]
        for layer, cell in self._network().parts()[:last]:
            x = layer.forward(x, cell)
        return np.broadcast_to(x, (len(self), *x.shape[-2:]))

    def gradient(self, examples: Examples) -> Array:
        """Return the gradient of the mean loss of examples, shape (runs, parameters), without dropout or penalties.

        It is 0 for parameters that do not learn, as it is in `curvature` and `example_gradients`.
        """
        network = self._network()
        z = network.forward(examples.rows(), training=True)
        return self.learns * network.backward(mean_loss_gradient(self.loss, z, examples))

    def curvature(self, examples: Examples) -> Callable[[Array], Array]:
        """Return a function that multiplies the Hessian of the mean loss of examples by a direction of every run.

        The direction has the shape (runs, parameters), and so has the product, which is exact.
        """
        if len(examples) not in self._curvatures:
            self._curvatures[len(examples)] = self._product(examples)
        return self._curvatures[len(examples)]

    def _product(self, examples: Examples) -> Callable[[Array], Array]:
        direction = np.empty_like(self.theta)
        bind = partial(bound_curvature, stack=self._stack, examples=examples, direction=direction)
        repeated = Repeated(bind, worth=self.theta.size < MAX_RECORDED_SIZE)

        def product(v: Array) -> Array:
            np.multiply(v, self.learns, out=direction)
            return self.learns * repeated()["product"]

        return product

    def example_gradients(self, examples: Examples, of: Callable[[Array, Examples], Array]) -> Iterator[Array]:
        """Yield for every run the gradients of something of single examples, shape (examples, parameters).

        Args:
            examples: The examples.
            of: Returns the derivative of it by the logits, given the logits, shape (examples, views, outputs), and the
                examples, each alone as if it were of a run of its own.
        """
        rows, learning = len(examples), np.broadcast_to(self.learns, self.theta.shape)
        alone = Examples(
            examples.x.reshape(rows, examples.views, -1),
            examples.y[:, None],
            targets=examples.targets[:, None],
            weights=None if examples.weights is None else examples.weights[:, None],
            views=examples.views,
        )
        for run in range(len(self)):
            again = np.full(rows, run)
            layers = [taken(layer, again) for layer in self._stack.layers]
            theta, statistics = self.theta[again], self._stack.statistics[again]
            network = Network(layers, self._stack.layout, theta, statistics)
            z = network.forward(alone.x)
            yield learning[run] * network.backward(of(z, alone))

    def loss_gradients(self, examples: Examples) -> Iterator[Array]:
        """Yield for every run the gradients of the losses of single examples, shape (examples, parameters)."""
        loss, rows = self.loss, len(examples)
        run = iter(range(len(self)))

        def slope(z: Array, alone: Examples) -> Array:
            return mean_loss_gradient(taken(loss, np.full(rows, next(run))), z, alone)

        return self.example_gradients(examples, slope)
