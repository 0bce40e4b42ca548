from pathlib import Path

import numpy as np
import pytest

from nnexp.config.compose import compose_experiment
from nnexp.plots.run import run_figures
from nnexp.plots.style import BAD, GOOD, styled
from nnexp.training.loop import train
from nnexp.training.predictions import predict
from tests.conftest import make_data


@pytest.mark.parametrize("epochs", [1, 8])
def test_the_figures_of_a_classifier_of_images(epochs: int, tmp_path: Path) -> None:
    experiment = compose_experiment(["experiment=digits", f"trainer.epochs={epochs}"])
    data = experiment.dataset.load()
    recipe = experiment.recipe(data)
    (outcome,) = train([recipe], data, experiment.trainer, experiment.dtype)
    predictions = predict(recipe, outcome.learned, data)
    with styled():
        figures = {name: draw() for name, draw in run_figures(data, outcome.history, predictions).items()}
        for name, figure in figures.items():
            figure.savefig(tmp_path / f"{name}.png")
    assert set(figures) == {"curves", "samples", "confusion_matrix", "predictions"}

    loss = figures["curves"].axes[0]
    np.testing.assert_array_equal(loss.lines[0].get_ydata(), outcome.history.metrics["train/loss"])
    assert [axes.get_xlabel() for axes in figures["curves"].axes] == ["epoch", "epoch"]
    assert len(figures["samples"].axes) == 10

    colours = [axes.title.get_color() for axes in figures["predictions"].axes]
    wrong = int((predictions.predicted != predictions.labels).sum())
    assert colours == [BAD] * min(wrong, 5) + [GOOD] * (10 - min(wrong, 5))
    counts = [text.get_text() for text in figures["confusion_matrix"].axes[0].texts]
    assert counts == [str(count) for count in predictions.confusion().ravel()]


def test_a_run_that_never_came_to_an_evaluation_has_only_pictures_of_its_data() -> None:
    experiment = compose_experiment(["architecture.activation=relu", "initializer.scale=1e200"])
    data = experiment.dataset.load()
    (outcome,) = train([experiment.recipe(data)], data, experiment.trainer, experiment.dtype)
    assert set(run_figures(data, outcome.history, None)) == {"samples"}
    assert set(run_figures(make_data(5, 2, 2), outcome.history, None)) == set()
