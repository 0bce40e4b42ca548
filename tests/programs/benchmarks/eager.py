"""PyTorch as its tutorials have it: modules, autograd, an optimizer, one operation after the other."""

from collections.abc import Callable

import torch
from torch import nn

from nnexp.data.dataset import Part
from tests.programs.benchmarks.work import Matrices, Setting, Work


def network(work: Work, matrices: Matrices) -> nn.Sequential:
    """Return the network with its starting weights."""
    layers: list[nn.Module] = []
    for weight, bias in matrices:
        linear = nn.Linear(*weight.shape, dtype=getattr(torch, work.base.dtype))
        linear.weight.data, linear.bias.data = torch.tensor(weight.T), torch.tensor(bias)
        layers += [linear, nn.ReLU() if work.relu else nn.Sigmoid()]
    layers[-1:] = [nn.Sigmoid()] if work.squared else []
    return nn.Sequential(*layers)


def alone(work: Work, setting: Setting) -> Callable[[], float]:
    """Return a call that trains one run and returns its test loss."""
    torch.set_num_threads(1)

    def tensors(part: Part) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = work.part(part)
        return torch.tensor(x), torch.tensor(y)

    matrices, orders = work.matrices(setting), torch.tensor(work.orders())
    (x, y), (test_x, test_y) = tensors(work.data.train), tensors(work.data.test)
    classes, evaluations, full = len(matrices[-1][1]), work.evaluations, not work.batch_size
    mean_squared = nn.MSELoss()
    cross_entropy = nn.CrossEntropyLoss() if classes > 1 else nn.BCEWithLogitsLoss()

    def loss_of(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return mean_squared(z, y) / 2 if work.squared else cross_entropy(z, y)

    def accuracy(z: torch.Tensor, y: torch.Tensor) -> float:
        decided = z.argmax(dim=1) if classes > 1 else (z > 0).to(y.dtype)
        return float((decided == y).double().mean())

    def train() -> float:
        model = network(work, matrices)
        kind = torch.optim.Adam if work.adam else torch.optim.SGD
        optimizer, last = kind(model.parameters(), lr=setting.learning_rate), 0.0
        for epoch, batches in enumerate(orders, 1):
            seen = []
            for rows in batches:
                batch_x, batch_y = (x, y) if full else (x[rows], y[rows])
                z = model(batch_x)
                loss = loss_of(z, batch_y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                seen.append(z.detach())
            if epoch in evaluations:
                with torch.no_grad():
                    z, targets = torch.cat(seen), y[batches.ravel()]
                    float(loss_of(z, targets)), accuracy(z, targets)
                    z = model(test_x)
                    last = float(loss_of(z, test_y))
                    accuracy(z, test_y)
        return last

    return train
