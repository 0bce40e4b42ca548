"""Pruning in rounds, against a loop written out in the test."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nnexp.core.component import Array, InvalidFieldError
from nnexp.core.state import read_checkpoint, write_checkpoint
from nnexp.nn.activations import ReLU
from nnexp.nn.architectures import MLP
from nnexp.nn.initializers import VarianceScaling
from nnexp.nn.losses import SparseCategoricalCrossEntropy
from nnexp.nn.network import Layout, Network
from nnexp.optim.optimizers import SGD, Adam, Lion, Optimizer
from nnexp.optim.regularization import Regularization
from nnexp.optim.schedules import Constant
from nnexp.training.batches import Examples
from nnexp.training.compiled.translate import SWITCH
from nnexp.training.diagnostics import Sharpness
from nnexp.training.loop import Training, train
from nnexp.training.pruning import Pruning
from nnexp.training.stack import Recipe
from nnexp.training.step import mean_loss_gradient
from nnexp.training.trainer import Trainer
from tests.conftest import make_data

DATA = make_data(40, 6, 3)
LAYERS = MLP(hidden=(8, 5), activation=ReLU()).layers(6, 3)
LAYOUT = Layout.of(LAYERS, 6)
WEIGHTS = np.concatenate([np.full(slot.end - slot.begin, slot.name == "weight") for slot in LAYOUT.parameters])
EPOCHS, RATE = 12, 0.3


def recipe(seed: int, optimizer: Optimizer | None = None) -> Recipe:
    loss = SparseCategoricalCrossEntropy()
    initializer = VarianceScaling(gain=2.0, bias=VarianceScaling())
    return Recipe(LAYERS, initializer, loss, optimizer or SGD(RATE), Constant(), seed)


def trained(pruning: Pruning | None, *seeds: int, optimizer: Optimizer | None = None) -> list[dict[int, Array]]:
    """Return the parameters of runs at the start, after three epochs and at the end."""
    trainer = Trainer(epochs=EPOCHS, snapshots=(0, 3, EPOCHS), pruning=pruning)
    runs = train([recipe(seed, optimizer) for seed in seeds], DATA, trainer, "float64")
    return [{time: learned.theta for time, learned in run.snapshots.items()} for run in runs]


def descended(theta: Array, mask: Array) -> Array:
    """Return where plain gradient descent leads, with the gradient of what was pruned left out."""
    loss = SparseCategoricalCrossEntropy()
    examples, theta = Examples.of(DATA.train, DATA.task, loss, "float64"), (theta * mask)[None]
    network = Network(LAYERS, LAYOUT, theta, np.zeros((1, 0)))
    for _ in range(EPOCHS):
        z = network.forward(examples.rows(), training=True)
        theta -= RATE * mask * network.backward(mean_loss_gradient(loss, z, examples))
    left: Array = theta[0]
    return left


@pytest.mark.parametrize("rewind", [0, 3])
def test_rounds_of_magnitude_pruning_are_those_of_a_plain_loop(rewind: int) -> None:
    (plain,) = trained(None, 4)
    mask, theta = np.ones(len(WEIGHTS)), plain[EPOCHS]
    for _ in range(3):
        sizes = np.where((mask > 0) & WEIGHTS, np.abs(theta), np.inf)
        left = int(np.isfinite(sizes).sum())
        mask[np.argsort(sizes)[: int(0.3 * left)]] = 0
        theta = descended(plain[rewind], mask)
    (ours,) = trained(Pruning(3, 0.3, rewind=rewind), 4)
    np.testing.assert_array_equal(ours[0], plain[rewind] * mask)
    np.testing.assert_allclose(ours[EPOCHS], theta, rtol=1e-9, atol=1e-12)
    assert (ours[EPOCHS] == 0).sum() >= (mask == 0).sum() > 40


@pytest.mark.parametrize("optimizer", [Adam(0.05), Lion(0.01)])
def test_what_is_pruned_stays_zero_under_every_penalty(optimizer: Optimizer) -> None:
    trainer = Trainer(epochs=3, pruning=Pruning(2, 0.5, by="random"), snapshots=(0,))
    penalties = Regularization(l1=0.01, l2=0.01, weight_decay=0.1, biases=True, clip_norm=0.5)
    (run,) = train([replace(recipe(1, optimizer), regularization=penalties)], DATA, trainer, "float64")
    gone = WEIGHTS & (run.snapshots[0].theta == 0)
    assert gone.sum() == 51 + 26  # of 103 weights, and of the 52 that were left, half, rounded down
    assert not run.theta[gone].any()
    assert run.theta[~gone].all()


@pytest.mark.parametrize("compiled", ["0", "1"])
@pytest.mark.parametrize("pruning", [Pruning(2, 0.4), Pruning(2, 0.4, by="random"), Pruning(1, 0.4, rewind=3)])
def test_bits_are_the_same_alone_in_a_stack_and_after_a_pause(
    pruning: Pruning, compiled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiled code plays a stack run by run, each with a mask of its own."""
    monkeypatch.setenv(SWITCH, compiled)
    together = trained(pruning, 1, 2, 3)
    (alone,) = trained(pruning, 2)
    assert all(alone[time].tobytes() == together[1][time].tobytes() for time in alone)
    trainer = Trainer(epochs=EPOCHS, pruning=pruning)
    trainings = pruning.rounds + 1 if pruning.by == "magnitude" else 1
    for number in range(trainings):  # paused in each of them
        paused, gone_on = (Training([recipe(2)], DATA, trainer, "float64") for _ in range(2))
        for _ in range(number + 1):
            assert paused.advance(pause=lambda steps: steps == 5)
        assert paused.steps == (5 if number + 1 == trainings else 0)
        write_checkpoint(tmp_path / "paused.npz", paused.state())
        gone_on.restore(read_checkpoint(tmp_path / "paused.npz"))
        gone_on.advance()
        assert gone_on.outcomes()[0].theta.tobytes() == alone[EPOCHS].tobytes()


def test_a_unit_is_the_sharpness_of_what_is_left_at_the_start(tmp_path: Path) -> None:
    in_units, pruning = recipe(2, SGD(0.5, unit="sharpness")), Pruning(1, 0.5, by="random")
    trainer = Trainer(epochs=EPOCHS, pruning=pruning, diagnostics=(Sharpness(),))
    (ours,) = train([in_units], DATA, trainer, "float64")
    rate = 0.5 * (1 / ours.history.metrics["train/sharpness"][0])
    (again,) = train([recipe(2, SGD(rate))], DATA, trainer, "float64")
    assert again.theta.tobytes() == ours.theta.tobytes()
    paused, gone_on = (Training([in_units], DATA, trainer, "float64") for _ in range(2))
    assert paused.advance(pause=lambda steps: steps == 5)
    write_checkpoint(tmp_path / "paused.npz", paused.state())
    gone_on.restore(read_checkpoint(tmp_path / "paused.npz"))
    gone_on.advance()
    assert gone_on.outcomes()[0].theta.tobytes() == ours.theta.tobytes()


def test_no_round_is_no_pruning() -> None:
    assert trained(Pruning(0), 0)[0][EPOCHS].tobytes() == trained(None, 0)[0][EPOCHS].tobytes()


def test_a_time_to_go_back_to_that_never_comes_is_refused() -> None:
    with pytest.raises(InvalidFieldError, match=r"pruning.rewind=9: must be at most 5, the epochs"):
        Trainer(epochs=5, pruning=Pruning(rewind=9))
