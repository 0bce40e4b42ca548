"""JAX: the whole training one compiled function, epochs and steps as scans; a sweep is its vmap over the runs."""

import sys
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from tests.programs.benchmarks.work import WORKS, Setting, Work

Tree = list[tuple[jax.Array, jax.Array]]
State = tuple[Tree, Tree, Tree, jax.Array]
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def training(work: Work) -> Callable[[Tree, jax.Array], jax.Array]:  # noqa: C901 - one function is what JAX compiles
    """Return a function from starting weights and learning rate to the metrics of all epochs, the test loss last."""
    (x, y), (test_x, test_y) = (
        [jnp.asarray(array) for array in work.part(part)] for part in (work.data.train, work.data.test)
    )
    orders, full = jnp.asarray(work.orders()), not work.batch_size

    def forward(parameters: Tree, a: jax.Array) -> jax.Array:
        for weight, bias in parameters[:-1]:
            z = a @ weight + bias
            a = jax.nn.relu(z) if work.relu else jax.nn.sigmoid(z)
        weight, bias = parameters[-1]
        return a @ weight + bias

    def mean_loss(z: jax.Array, y: jax.Array) -> jax.Array:
        if work.squared:
            return jnp.mean((jax.nn.sigmoid(z) - y) ** 2) / 2
        if z.shape[1] > 1:
            return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], axis=1))
        return jnp.mean(jax.nn.softplus(z) - y * z)

    def accuracy(z: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.mean(z.argmax(axis=1) == y) if z.shape[1] > 1 else jnp.mean((z > 0) == y)

    def loss_of(parameters: Tree, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        z = forward(parameters, x)
        return mean_loss(z, y), z

    def train(parameters: Tree, rate: jax.Array) -> jax.Array:
        def step(state: State, rows: jax.Array) -> tuple[State, jax.Array]:
            parameters, means, squares, t = state
            batch = (x, y) if full else (x[rows], y[rows])
            direction, z = jax.grad(loss_of, has_aux=True)(parameters, *batch)
            t = t + 1
            if work.adam:
                means = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, means, direction)
                squares = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, squares, direction)
                direction = jax.tree.map(
                    lambda m, v: m / (1 - BETA1**t) / (jnp.sqrt(v / (1 - BETA2**t)) + EPSILON), means, squares
                )
            parameters = jax.tree.map(lambda p, d: p - rate * d, parameters, direction)
            return (parameters, means, squares, t), z

        def epoch(state: State, batches: jax.Array) -> tuple[State, jax.Array]:
            state, z = jax.lax.scan(step, state, batches)
            if len(work.evaluations) < work.epochs:
                return state, jnp.zeros(0)
            z, seen, test = z.reshape(-1, z.shape[-1]), y[batches.ravel()], forward(state[0], test_x)
            return state, jnp.stack([mean_loss(z, seen), accuracy(z, seen), accuracy(test, test_y)])

        zeros = jax.tree.map(jnp.zeros_like, parameters)
        state, metrics = jax.lax.scan(epoch, (parameters, zeros, zeros, jnp.zeros((), x.dtype)), orders)
        return jnp.append(metrics.ravel(), mean_loss(forward(state[0], test_x), test_y))

    return train


def starts(work: Work, settings: Sequence[Setting]) -> tuple[Tree, jax.Array]:
    """Return the starting weights and the learning rates of all runs, stacked."""
    weights: Tree = jax.tree.map(lambda *arrays: jnp.stack(arrays), *[work.matrices(one) for one in settings])
    return weights, jnp.array([setting.learning_rate for setting in settings], work.base.dtype)


def alone(work: Work, setting: Setting) -> Callable[[], float]:
    """Return a call that trains one run and returns its test loss; the first call compiles."""
    jax.config.update("jax_enable_x64", work.base.dtype == "float64")
    train, start = jax.jit(training(work)), jax.tree.map(lambda array: array[0], starts(work, [setting]))
    return lambda: float(train(*start)[-1])


def sweep(work: Work) -> Callable[[], float]:
    """Return a call that trains all runs of the sweep and returns the test loss of the first."""
    jax.config.update("jax_enable_x64", work.base.dtype == "float64")
    train, start = jax.jit(jax.vmap(training(work))), starts(work, work.settings)
    return lambda: float(train(*start)[0, -1])


if __name__ == "__main__":
    print(sweep(WORKS[sys.argv[1]])())  # noqa: T201
