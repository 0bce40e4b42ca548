"""The matrix products of the steps alone, by the same BLAS, on arrays that lie ready: no training can take less."""

from collections.abc import Callable

import numpy as np

from tests.programs.benchmarks.work import Setting, Work


def alone(work: Work, setting: Setting) -> Callable[[], float]:
    """Return a call that multiplies what the steps of a training multiply, and returns some number."""
    weights, dtype = [weight for weight, _ in work.matrices(setting)], work.base.dtype
    rows, steps = work.batch_size or len(work.data.train), work.steps
    a = [np.ones((rows, len(weight)), dtype) for weight in weights]
    z = [np.ones((rows, weight.shape[1]), dtype) for weight in weights]
    gradients = [np.empty_like(weight) for weight in weights]
    products = [(a[number], weight, np.empty_like(z[number])) for number, weight in enumerate(weights)]
    products += [(a[number].T, z[number], gradients[number]) for number in range(len(weights))]
    products += [(z[number], weights[number].T, np.empty_like(a[number])) for number in range(1, len(weights))]

    def multiply() -> float:
        for _ in range(steps):
            for left, right, out in products:
                np.matmul(left, right, out)
        return float(gradients[0][0, 0])

    return multiply
