"""Learning rate, starting weights and freezing of single layers."""

import numpy as np
import pytest

from nnexp import run
from nnexp.config.compose import compose_experiment
from nnexp.core.component import Array
from nnexp.core.errors import UserError

WORDS = ["dataset=moons", "architecture.activation=tanh", "architecture.hidden=[6,5]", "initializer=lecun_normal"]
SHORT = [*WORDS, "trainer.epochs=1", "trainer.snapshots=[0]", "tracking=none", "verbose=false", "figures=false"]


def first_step(*words: str) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the starting parameters, and how far the first step moved them, by name."""
    result = run([*(word for word in SHORT if not ("architecture=layers" in words and "architecture" in word)), *words])
    start = dict(result.snapshots[0])
    return start, {name: array - start[name] for name, array in result.parameters.items()}


@pytest.mark.usefixtures("in_folder")
def test_learning_rates_multiply_the_steps_of_their_layers() -> None:
    start, plain = first_step()
    same, moved = first_step("architecture.learning_rates=[3,0.5,0]")
    for layer, factor in (("0", 3), ("2", 0.5), ("4", 0)):
        for name in (f"{layer}.weight", f"{layer}.bias"):
            np.testing.assert_array_equal(same[name], start[name])
            np.testing.assert_allclose(moved[name], factor * plain[name], rtol=1e-9, atol=1e-15)


@pytest.mark.usefixtures("in_folder")
def test_scales_multiply_the_starting_weights_of_their_layers() -> None:
    start, scaled = first_step()[0], first_step("architecture.scales=[1,2,0]")[0]
    for layer, factor in (("0", 1), ("2", 2), ("4", 0)):
        np.testing.assert_array_equal(scaled[f"{layer}.weight"], factor * start[f"{layer}.weight"])


@pytest.mark.usefixtures("in_folder")
@pytest.mark.parametrize("frozen", [0, 1, -1])
def test_a_frozen_layer_stays_as_it_starts_and_counts_in_no_norm(frozen: int) -> None:
    """Not even weight decay, momentum or a sign moves it; the others move as if the gradient had no other part."""
    name = f"{[0, 2, 4][frozen]}."
    words = ["optimizer=lion", "trainer.epochs=5", "trainer.regularization.weight_decay=0.1", "optimizer.beta1=0.5"]
    _, moved = first_step(f"architecture.frozen=[{frozen}]", *words)
    assert all((array == 0).all() == key.startswith(name) for key, array in moved.items())
    clip = ["trainer.regularization.clip_norm=0.01", "optimizer.learning_rate=1.0"]
    _, clipped = first_step(f"architecture.frozen=[{frozen}]", *clip)
    length = np.sqrt(sum((array**2).sum() for array in clipped.values()))
    np.testing.assert_allclose(length, 0.01, rtol=1e-6)


@pytest.mark.usefixtures("in_folder")
def test_layers_of_a_list_say_their_own_numbers() -> None:
    layers = "architecture.hidden=[{dense: {units: 6, frozen: true}},layer_norm,{dense: {units: 5, scale: 0}}]"
    start, moved = first_step("architecture=layers", layers)
    assert not moved["0.weight"].any()
    assert moved["2.weight"].any()
    assert not start["2.weight"].any()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "learning_rates=[1,2]",
            r"learning_rates=\[1.0, 2.0\]: must be \[\], or have 3 numbers, one for each dense layer",
        ),
        ("scales=[1]", r"scales=\[1.0\]: must be \[\], or have 3 numbers"),
        ("frozen=[3]", r"frozen=\[3\]: must be numbers of dense layers, from 0 to 2, but not of all"),
        ("frozen=[0,1,-1]", r"frozen=\[0, 1, -1\]: must be"),
    ],
)
def test_numbers_that_fit_no_layer_are_refused(words: str, said: str) -> None:
    experiment = compose_experiment([*WORDS, f"architecture.{words}"])
    with pytest.raises(UserError, match=rf"architecture\.{said}"):
        experiment.recipe(experiment.dataset.load())
