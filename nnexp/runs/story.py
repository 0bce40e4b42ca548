"""What became of a run, in sentences, and what to try next, as a command."""

from collections.abc import Sequence

import numpy as np

from nnexp.config.overrides import command, key_of, without
from nnexp.core.component import Array
from nnexp.nn.initializers import VarianceScaling
from nnexp.nn.layers import Dense, every_layer
from nnexp.report.rows import figures
from nnexp.runs.prepare import Ready
from nnexp.storage.run_folder import RunSummary
from nnexp.training.history import LayerHistory, Outcome, chosen_by
from nnexp.training.story import TRAINING_LOSS, story_of

LEAST_PATIENCE = 20
DEEP, LARGE = 4, 5.0
"""From so many dense layers on, or from so large a learning rate, the starting weights are the likelier cause."""
DEAD_SHARE = 0.5
"""The share of dead units of a layer that is worth a word."""


def sentences(ready: Ready, outcome: Outcome, summary: RunSummary) -> list[str]:
    """Return what the user of a run would want to know, with the command to try; nothing where it simply learned."""
    rate = ready.experiment.optimizer.learning_rate
    slower, faster = (f"optimizer.learning_rate={value:g}" for value in (rate / 10, 10 * rate))
    if outcome.diverged_step is not None:
        return [f"Its steps are too large: try {_with(ready, slower)}"]
    history, unit = outcome.history, outcome.history.unit
    longer = f"trainer.{unit}s={2 * summary.length}"
    match story_of(history, summary.final, summary.baselines):
        case "exploded":
            losses = [float(history.metrics[TRAINING_LOSS][0]), summary.final[TRAINING_LOSS]]
            changed = f"{TRAINING_LOSS} {' then '.join(map(figures, losses))}"
            ends = f"It ends worse than it began, {changed}: its steps are too large."
            told = [f"{ends} Try {_with(ready, slower)}"]
        case "stuck":
            stays = (
                f"It stays where it began, {TRAINING_LOSS} {figures(summary.final[TRAINING_LOSS])}, and only guesses."
            )
            told = [f"{stays} {_way_out(ready, faster, [longer] if outcome.stopped is None else [])}"]
        case "guessing":
            told = ["It learned something of the training part, but is no better on the test part than its baseline."]
        case "overfitted":
            loss = chosen_by(history.metrics)
            best = f"{figures(history.at(history.best())[loss])} at {unit} {summary.best_time}"
            rose = f"Its {loss} was lowest, {best}, and rose to {figures(summary.final[loss])}"
            again = _with(ready, f"trainer.early_stopping={{patience: {_patience(history.metrics[loss])}}}")
            told = [f"{rose}: it overfits, or its steps are too large. Try {again}"]
        case "falling" if outcome.stopped is None:
            told = [f"Its {chosen_by(history.metrics)} was still falling at the end. Try {_with(ready, longer)}"]
        case _:
            told = []
    return [*told, *_dead(outcome.layers)]


def _way_out(ready: Ready, faster: str, longer: Sequence[str]) -> str:
    """Return what to try where nothing was learned: less of a penalty, other starting weights, or larger steps."""
    regularization, start = ready.experiment.trainer.regularization, ready.experiment.initializer
    penalties = [name for name in ("l1", "l2", "weight_decay") if getattr(regularization, name)]
    if penalties:
        without_any = [f"trainer.regularization.{name}=null" for name in penalties]
        return f"Its penalty may hold it there. Try without: {_with(ready, *without_any)}"
    dense = sum(isinstance(layer, Dense) for layer in every_layer(ready.recipe.layers))
    small_start = dense >= DEEP or ready.experiment.optimizer.learning_rate >= LARGE
    if small_start and not isinstance(start, VarianceScaling):
        return f"Try starting weights of a size that fits each layer: {_with(ready, 'initializer=glorot_uniform')}"
    return f"Try larger steps, larger starting weights, or longer: {_with(ready, faster, *longer)}"


def _patience(losses: Array) -> int:
    """Return how many evaluations early stopping has to wait so that it does not stop before the lowest loss."""
    lowest = np.minimum.accumulate(losses[: int(losses.argmin()) + 1])
    found = np.flatnonzero(np.diff(lowest, prepend=np.inf) < 0)
    return max(LEAST_PATIENCE, 2 * int(np.diff(found).max(initial=0)))


def _with(ready: Ready, *changes: str) -> str:
    """Return the command of the run with some overrides changed or added."""
    return command(*without(ready.overrides, {key_of(change) for change in changes}), *changes)


def _dead(layers: LayerHistory | None) -> list[str]:
    """Return a sentence where most units of a layer are zero whatever they see."""
    if layers is None or not layers.dead.size:
        return []
    shares = layers.dead[-1]
    worst = int(shares.argmax())
    if shares[worst] < DEAD_SHARE:
        return []
    dead = f"{100 * shares[worst]:.0f} % of the units of layer {worst + 1} (ReLU) are dead, zero for every example"
    return [f"{dead}: try smaller steps, or architecture.activation=leaky_relu."]
