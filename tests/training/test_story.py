"""What became of a run: each story where it must be told, and beside it where it must not."""

import numpy as np
import pytest

from nnexp.training.history import History
from nnexp.training.story import Story, story_of

LOG_2 = 0.6931


def told(train: list[float], test: list[float], accuracy: float | None = None, final: int = -1) -> Story | None:
    """Return the story of a run with these losses, and an accuracy at its end beside a baseline of a half."""
    metrics = {"train/loss": np.array(train), "test/loss": np.array(test)}
    history = History(np.arange(1, len(train) + 1), metrics)
    known = {} if accuracy is None else {"test/accuracy": accuracy}
    return story_of(history, {**history.at(final), **known}, {} if accuracy is None else {"test/accuracy": 0.5})


FALL = np.geomspace(LOG_2, 0.1, 40).tolist()
SETTLED = [*FALL, *([0.1] * 40)]
RISE = [*FALL, *np.linspace(0.1, 0.2, 40).tolist()]


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        (told(SETTLED, SETTLED, 0.9), "learned"),
        (told(SETTLED, SETTLED), "learned"),
        (told(FALL, FALL, 0.9), "falling"),
        (told([LOG_2] * 9, [LOG_2] * 9, 0.5), "stuck"),
        (told([LOG_2] * 9, [LOG_2] * 9, 0.6), "learned"),
        (told([LOG_2, 0.7, 0.72], [LOG_2, 0.8, 0.9], 0.5), "guessing"),
        (told([LOG_2, 9.0, 93.6], [LOG_2, 0.6, 161.0], 0.5), "exploded"),
        (told([LOG_2, 9.0, 93.6], [LOG_2, 0.6, 161.0], 0.9), "exploded"),
        (told(SETTLED, SETTLED, 0.5), "guessing"),
        (told(SETTLED, RISE, 0.9), "overfitted"),
        (told(SETTLED, RISE, 0.9, final=39), "learned"),
        (told(SETTLED, [*FALL, *np.linspace(0.1, 0.12, 40).tolist()], 0.9), "learned"),
        (told([LOG_2], [LOG_2], 0.5), None),
    ],
)
def test_each_story_is_told_where_it_happened(story: Story | None, expected: Story | None) -> None:
    assert story == expected


def test_a_loss_that_never_moved_is_stuck_whatever_a_few_examples_say() -> None:
    losses = {"train/loss": np.array([LOG_2, LOG_2, 0.6929]), "test/loss": np.array([LOG_2, 0.6930, 0.6931])}
    history = History(np.arange(3), losses)
    assert story_of(history, {**history.at(-1), "test/accuracy": 0.7}, {"test/accuracy": 0.5}) == "stuck"
    moved = History(np.arange(3), {**losses, "train/loss": np.array([LOG_2, 0.69, 0.687])})
    assert story_of(moved, {**moved.at(-1), "test/accuracy": 0.7}, {"test/accuracy": 0.5}) == "learned"


def test_noise_at_the_end_is_no_fall() -> None:
    noise = 0.1 + 0.02 * np.random.default_rng(0).random(60)
    assert told(SETTLED, [*FALL, *noise[:40].tolist()], 0.9) in ("learned", "overfitted")
    late = [*FALL, *([0.1] * 35), 0.12, 0.11, 0.0995]
    assert told(late, late, 0.9) == "learned"


def test_what_the_features_give_is_no_guess() -> None:
    history = History(np.arange(2), {"train/loss": np.array([1.0, 0.1]), "test/loss": np.array([1.0, 0.1])})
    left = {"train/loss": 0.1, "test/loss": 0.1, "test/neighbour_accuracy": 0.8}
    assert story_of(history, left, {"test/neighbour_accuracy": 0.9}) == "falling"
    assert story_of(history, {**left, "test/accuracy": 0.4}, {"test/accuracy": 0.5}) == "guessing"


def test_a_run_that_was_not_evaluated_has_none() -> None:
    assert story_of(History(np.arange(0), {}), {}, {}) is None
