"""A network without biases whose outputs are scaled and centred, as the border of trainability needs it."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from nnexp.config.compose import compose_experiment
from nnexp.python.training import run
from nnexp.runs.load import load_run
from nnexp.runs.prepare import prepare
from nnexp.training.loop import train

SETTING = [
    "dataset=noise",
    "loss=mean_squared_error",
    "architecture=layers",
    "architecture.hidden=[{dense: {units: 5, bias: false}},{scale: {factor: 0.5}},{activate: {activation: tanh}}]",
    "architecture.bias=false",
    "architecture.output_scale=0.2",
    "architecture.centred=true",
    "initializer=normal",
    "initializer.scale=1.5",
    "optimizer.learning_rate=0.7",
    "trainer.epochs=30",
]


def test_a_training_is_that_of_a_plain_loop_alone_and_in_a_stack() -> None:
    ready = prepare(compose_experiment([*SETTING, "tracking=none"]))
    recipes = [
        replace(ready.recipe, initializer=replace(ready.recipe.initializer, scale=scale)) for scale in (0.3, 1.5, 3.0)
    ]
    trainer = ready.experiment.trainer
    outcomes = train(recipes, ready.data, trainer, "float64")
    (alone,) = train(recipes[1:2], ready.data, trainer, "float64")
    assert alone.learned.theta.tobytes() == outcomes[1].learned.theta.tobytes()

    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((72, 8)), generator.standard_normal((72, 1))
    start = outcomes[1].learned.statistics
    v, w = start[:40].reshape(8, 5).copy(), start[40:].reshape(5, 1).copy()
    at_start, losses = 0.2 * (np.tanh(0.5 * x @ v) @ w), []
    for _ in range(30):
        hidden = np.tanh(0.5 * x @ v)
        error = 0.2 * (hidden @ w) - at_start - y
        losses.append(float((error**2).mean()))
        through = 0.2 * 2 * error / 72
        back = (through @ w.T) * (1 - hidden**2) * 0.5
        w -= 0.7 * (hidden.T @ through)
        v -= 0.7 * (x.T @ back)
    np.testing.assert_allclose(outcomes[1].learned.theta, np.concatenate([v.ravel(), w.ravel()]), rtol=1e-10)
    np.testing.assert_allclose(outcomes[1].history.metrics["train/loss"][1:], losses, rtol=1e-10)
    assert losses[0] == float((y**2).mean()), "a centred network begins at zero"


def test_a_recorded_run_predicts_the_same_when_it_is_loaded(tmp_path: Path) -> None:
    result = run([*SETTING, "tracking=none", "verbose=false", "figures=false", f"output_dir={tmp_path}"])
    x = result.trained.data.test.x
    assert load_run(str(result.folder), tmp_path).trained.logits(x).tobytes() == result.trained.logits(x).tobytes()
