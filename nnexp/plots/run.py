"""The figures of one run, chosen by the kind of its data."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nnexp.plots.classes import confusion_matrix, roc
from nnexp.plots.embedding import embedding
from nnexp.plots.images import first_layer, sample_images, sample_predictions
from nnexp.plots.layers import layer_sizes
from nnexp.plots.numbers import fit, residuals
from nnexp.plots.plane import decision_regions
from nnexp.plots.style import R2, WORST_R2, new_figure
from nnexp.training.history import History, Outcome, chosen_by
from nnexp.training.metrics import SHARE, unit_of
from nnexp.training.model import Trained
from nnexp.training.predictions import ClassPredictions, Embeddings, NumberPredictions, Predictions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WHILE_TRAINING = "train (mean over the\nsteps, before each)"
"""What the metrics of the training part are, while the others are of the parameters at that time."""
MOST_MOMENTS = 12
"""The most snapshots that a figure shows side by side."""
LINE_STYLES = {"train": "-", "validation": "-.", "test": "--"}

Figures = dict[str, Callable[[], "Figure"]]
"""Figures by name, each drawn when called."""


def run_figures(trained: Trained, outcome: Outcome, predictions: Predictions | None) -> Figures:
    """Return the figures of a run; there are fewer if it diverged, since it has no predictions then."""
    data, history = trained.data, outcome.history
    figures: Figures = {}
    if len(history.trained):
        figures["curves"] = lambda: curves(history, data.name)
    if data.image_shape is not None:
        figures["samples"] = lambda: sample_images(data)
    if predictions is not None:
        figures |= _prediction_figures(trained, outcome, predictions)
    if outcome.layers is not None:
        layers, unit = outcome.layers, history.unit
        figures["layers"] = lambda: layer_sizes(layers, unit, data.name)
    if data.image_shape is not None and outcome.diverged_step is None:
        figures["first_layer"] = lambda: first_layer(trained)
    return figures


def _prediction_figures(trained: Trained, outcome: Outcome, predictions: Predictions) -> Figures:
    data = trained.data
    moments = moments_of(trained, outcome) if len(outcome.snapshots) <= MOST_MOMENTS else {}
    inputs = data.train.x.shape[-1]
    figures: Figures = {}
    if isinstance(predictions, ClassPredictions):
        classified = predictions
        figures["confusion_matrix"] = lambda: confusion_matrix(classified, data.name)
        if len(classified.classes) == 2 == len(np.unique(classified.labels)):
            figures["roc"] = lambda: roc(classified, data.name)
        if data.image_shape is not None:
            figures["predictions"] = lambda: sample_predictions(data, classified)
        if inputs == 2:
            figures["decision_regions"] = lambda: decision_regions({"at the end": trained})
            if moments:
                figures["snapshots"] = lambda: decision_regions(moments)
    elif isinstance(predictions, NumberPredictions):
        numbers = predictions
        figures["residuals"] = lambda: residuals(numbers, data.name)
        if inputs == 1:
            figures["fit"] = lambda: fit({"at the end": trained})
            if moments:
                figures["snapshots"] = lambda: fit(moments)
    elif isinstance(predictions, Embeddings):
        embedded = predictions
        figures["embedding"] = lambda: embedding(embedded, data.name)
    return figures


def moments_of(trained: Trained, outcome: Outcome) -> dict[str, Trained]:
    """Return the network at each of its snapshots, with a title."""
    return {
        _moment(time, outcome.history): replace(trained, learned=learned) for time, learned in outcome.snapshots.items()
    }


def _moment(time: int, history: History) -> str:
    """Return the title of a snapshot, with the selection loss where it was evaluated then."""
    title = f"after {time} {history.unit}{'' if time == 1 else 's'}"
    loss = chosen_by(history.metrics)
    values = history.metrics[loss][history.times == time]
    return f"{title}, {loss} {values[0]:.3g}" if len(values) else title


def curves(history: History, name: str) -> "Figure":
    """Draw the loss, and the first other metric, of all parts over time."""
    figure = new_figure(11.2, 4.2, (1.05, 0.65, 0.15, 0.4), (0.27, 0))
    best = history.times[history.best()]
    metrics = list(dict.fromkeys(key.rpartition("/")[2] for key in history.metrics))[:2]
    for axes, metric in zip(np.atleast_1d(figure.subplots(1, len(metrics))), metrics, strict=True):
        parts = [part for part in LINE_STYLES if f"{part}/{metric}" in history.metrics]
        for part in parts:
            marker = "o" if len(history) == 1 else ""
            label = WHILE_TRAINING if part == "train" else part
            known = history.known(f"{part}/{metric}")
            axes.plot(known.times, known.metrics[f"{part}/{metric}"], LINE_STYLES[part], label=label, marker=marker)
        axes.axvline(best, color="0.6", linewidth=1, linestyle=":")
        title = metric.replace("_", " ")
        axes.set(title=f"{title.capitalize()} of {name}", xlabel=history.unit, ylabel=f"{title} ({unit_of(metric)})")
        axes.locator_params("x", integer=True)
        axes.legend(title=f"dotted: best {history.unit}, {best}")
        values = np.concatenate([history.known(f"{part}/{metric}").metrics[f"{part}/{metric}"] for part in parts])
        if unit_of(metric) == SHARE:
            axes.set_ylim(-0.02, 1.02)
        elif values.min() >= 0:
            axes.set_ylim(bottom=0)
        elif metric == R2 and values.min() < WORST_R2 < values.max():
            axes.set_ylim(WORST_R2, values.max() + 0.05 * (values.max() - WORST_R2))
    return figure
