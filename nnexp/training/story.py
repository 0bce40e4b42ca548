"""What the curves of a run tell: whether it learned, and if so, what became of it."""

from collections.abc import Mapping
from typing import Literal

from nnexp.training.history import History, chosen_by
from nnexp.training.metrics import lower_is_better

Story = Literal["exploded", "stuck", "guessing", "overfitted", "falling", "learned"]
TRAINING_LOSS = "train/loss"
FROZEN_SHARE, STUCK_SHARE, EXPLODED_SHARE = 0.001, 0.01, 0.1
"""A training loss that changed by less than the first share of what it was has not moved, whatever a metric of a few
examples does; by less than the second, it has not moved if no metric is better than guessing; one that rose by more
than the third exploded."""
LOST_SHARE, LEAST_LOSS = 0.05, 0.01
"""The shares of all that a run gained, and of the loss itself, that it has to lose again to be worth a word."""
LATE_SHARE, FALLING_SHARE = 0.1, 0.01
"""A loss still falls where its lowest value of this last share of the training is so much below that of before."""
NO_GUESS = "neighbour_accuracy"
"""A metric whose baseline is what the features themselves give, and not what guessing does."""


def story_of(history: History, left: Mapping[str, float], baselines: Mapping[str, float]) -> Story | None:
    """Return what became of a run that did not diverge; None if too little was evaluated to say.

    - `exploded`: its training loss is higher than where it began;
    - `stuck`: it is what it was, or nearly so and no metric is better than its baseline;
    - `guessing`: it learned something, but no metric is better than its baseline;
    - `overfitted`: its selection loss rose again, by a share of all that it had gained;
    - `falling`: its selection loss was still falling at the end;
    - `learned`: none of these.

    Args:
        history: All evaluations, or a thinned history with the first, the best and the last.
        left: Every metric of the parameters that the run leaves.
        baselines: The values that are no better than guessing, by metric.
    """
    loss = chosen_by(history.metrics)
    if len(history) < 2 or not {TRAINING_LOSS, loss} <= left.keys() & history.metrics.keys():
        return None
    begun, values = float(history.metrics[TRAINING_LOSS][0]), history.metrics[loss]
    change = left[TRAINING_LOSS] - begun
    guesses = {name: value for name, value in baselines.items() if not name.endswith(NO_GUESS)}
    beaten = [name for name, value in guesses.items() if name in left and _is_better(name, left[name], value)]
    share = change / abs(begun) if begun else change
    if share > EXPLODED_SHARE:
        return "exploded"
    if history.first and abs(share) <= FROZEN_SHARE:
        return "stuck"
    if guesses and not beaten:
        return "stuck" if abs(share) <= STUCK_SHARE else "guessing"
    lowest = float(values[history.best()])
    gained, lost = float(values[0]) - lowest, left[loss] - lowest
    if lost > max(LOST_SHARE * max(gained, lost), LEAST_LOSS * abs(lowest)):
        return "overfitted"
    late = history.times > history.times[-1] - LATE_SHARE * (history.times[-1] - history.times[0])
    before = float(values[~late].min())
    return "falling" if before - float(values[late].min()) > FALLING_SHARE * abs(before) else "learned"


def _is_better(metric: str, value: float, than: float) -> bool:
    return value < than if lower_is_better(metric) else value > than
