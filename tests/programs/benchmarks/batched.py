"""PyTorch as an expert writes a sweep: all runs one network of batched products, with one optimizer for all of them."""

import math
import shutil
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

import torch
from torch.nn import functional

from tests.programs.benchmarks.work import Work

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
State = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""All parameters, and the means and the squares of their gradients, of one shape."""
F = TypeVar("F", bound=Callable[..., object])


class Compiler(Protocol):
    """Returns a function that does the same, in less time from its second call on."""

    def __call__(self, function: F, /) -> F:
        """Return the function."""


class Networks:
    """The networks of all runs, whose weights and biases lie in one array, those of a layer side by side.

    Args:
        work: What is trained, and by which runs.
        cores: The number of threads.
    """

    def __init__(self, work: Work, cores: int) -> None:
        self.work, self.cores, self.runs = work, cores, len(work.settings)
        layers = zip(*[work.matrices(setting) for setting in work.settings], strict=True)
        arrays = [
            torch.stack([torch.tensor(run[kind]) for run in runs]).view(self.runs, -1, runs[0][1].size)
            for runs in layers
            for kind in (0, 1)
        ]
        rates = torch.tensor([setting.learning_rate for setting in work.settings], dtype=arrays[0].dtype)
        self.shapes = [array.shape for array in arrays]
        self.start = torch.cat([array.reshape(-1) for array in arrays])
        self.rate = torch.cat([rates.repeat_interleave(shape[1:].numel()) for shape in self.shapes])
        (self.x, self.y), (self.test_x, self.test_y) = (
            map(torch.tensor, work.part(part)) for part in (work.data.train, work.data.test)
        )
        self.orders, self.classes = torch.tensor(work.orders()), self.shapes[-1][-1]

    def arrays(self, theta: torch.Tensor) -> list[torch.Tensor]:
        """Return the weights, shape (runs, fan_in, fan_out), and biases, shape (runs, 1, fan_out), of all layers."""
        parts = theta.split([shape.numel() for shape in self.shapes])
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def forward(self, arrays: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """Return the logits of all runs."""
        a = x.expand(self.runs, *x.shape)
        for weight, bias in zip(arrays[:-2:2], arrays[1:-2:2], strict=True):
            z = torch.baddbmm(bias, a, weight)
            a = functional.relu(z) if self.work.relu else torch.sigmoid(z)
        return torch.baddbmm(arrays[-1], a, arrays[-2])

    def losses(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of every run."""
        if self.work.squared:
            return (torch.sigmoid(z) - y).square().mean((1, 2)) / 2
        if self.classes == 1:
            return functional.binary_cross_entropy_with_logits(z, y.expand_as(z), reduction="none").mean((1, 2))
        each = functional.cross_entropy(z.flatten(0, 1), y.repeat(self.runs), reduction="none")
        return each.view(self.runs, -1).mean(1)

    def accuracies(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the share of examples that each run has right."""
        decided = z.argmax(-1) if self.classes > 1 else (z > 0).to(y.dtype)
        return (decided == y).double().flatten(1).mean(1)

    def step(self, state: State, x: torch.Tensor, y: torch.Tensor, t: int) -> tuple[State, torch.Tensor]:
        """Change the state in place; return it, and the logits from before."""
        theta, means, squares = state
        arrays = [array.requires_grad_() for array in self.arrays(theta.detach())]
        z = self.forward(arrays, x)
        gradients = torch.autograd.grad(self.losses(z, y).sum(), arrays)
        gradient = torch.cat([part.reshape(-1) for part in gradients])
        if self.work.adam:
            means.lerp_(gradient, 1 - BETA1)
            squares.mul_(BETA2).addcmul_(gradient, gradient, value=1 - BETA2)
            root = squares.sqrt().div_(math.sqrt(1 - BETA2**t)).add_(EPSILON)
            theta.addcmul_(means / root, self.rate, value=-1 / (1 - BETA1**t))
        else:
            theta.addcmul_(gradient, self.rate, value=-1)
        return state, z.detach()

    def pure_step(
        self, state: State, x: torch.Tensor, y: torch.Tensor, corrections: torch.Tensor
    ) -> tuple[State, torch.Tensor]:
        """Return the next state, and the logits from before: the same as a function that can be compiled as a whole."""

        def loss(theta: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            z = self.forward(self.arrays(theta), x)
            return self.losses(z, y).sum(), z

        theta, means, squares = state
        direction, z = torch.func.grad(loss, has_aux=True)(theta)
        if self.work.adam:
            means = BETA1 * means + (1 - BETA1) * direction
            squares = BETA2 * squares + (1 - BETA2) * direction * direction
            direction = means / corrections[0] / ((squares / corrections[1]).sqrt() + EPSILON)
        return (theta - self.rate * direction, means, squares), z

    def metrics(self, theta: torch.Tensor, z: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
        """Return loss and accuracy of all runs, of what was seen and of the test part."""
        test = self.forward(self.arrays(theta), self.test_x)
        pairs = (z, y), (test, self.test_y)
        return [function(*pair) for pair in pairs for function in (self.losses, self.accuracies)]

    def batches(self, rows: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the batches of an epoch."""
        for part in rows:
            yield (self.x[part], self.y[part]) if self.work.batch_size else (self.x, self.y)


def compiler() -> Compiler:
    """Return PyTorch's compiler.

    Raises ImportError if it has none for C++ to call.
    """
    if not shutil.which("g++"):
        raise ImportError("torch.compile, without g++")
    compiled: Compiler = torch.compile
    return compiled


def sweep(work: Work, cores: int, compiler: Compiler | None = None) -> Callable[[], float]:
    """Return a call that trains all runs of the sweep, perhaps compiled, and returns the test loss of the first."""
    networks = Networks(work, cores)
    pure_step, metrics = networks.pure_step, networks.metrics
    if compiler is not None:
        pure_step, metrics = compiler(pure_step), compiler(metrics)

    def train() -> float:
        torch.set_num_threads(networks.cores)
        theta, steps, last = networks.start.clone(), 0, 0.0
        state = theta, torch.zeros_like(theta), torch.zeros_like(theta)
        for epoch, rows in enumerate(networks.orders, 1):
            seen = []
            for x, y in networks.batches(rows):
                steps += 1
                if compiler is not None:
                    corrections = torch.tensor([1 - BETA1**steps, 1 - BETA2**steps], dtype=theta.dtype)
                    state, z = pure_step(state, x, y, corrections)
                else:
                    state, z = networks.step(state, x, y, steps)
                seen.append(z)
            if epoch in work.evaluations:
                with torch.no_grad():
                    found = metrics(state[0], torch.cat(seen, 1), networks.y[rows.ravel()])
                    last = [values.tolist() for values in found][2][0]
        return last

    return train
