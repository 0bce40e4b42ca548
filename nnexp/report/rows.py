"""Turns the results of a run into rows of tables and a line, for the terminal and for reports."""

from nnexp.training.history import History
from nnexp.training.predictions import ClassPredictions, NumberPredictions, Predictions

DECIMALS_MATTER = 10_000
"""A number below this is written with four decimals."""


def summary(history: History, diverged_step: int | None) -> str:
    """Return the result of a run in one line."""
    end = f", diverged at step {diverged_step}" if diverged_step is not None else ""
    if not len(history):
        return f"nothing evaluated{end}"
    last = history.at(-1)
    return ", ".join(f"{name} {number(value)}" for name, value in last.items()) + end


def metric_rows(history: History, predictions: Predictions | None) -> list[tuple[str, ...]]:
    """Return a row for each metric at the end and at the best time, a column for each part, then the baselines."""
    parts = history.parts()
    metrics = list(dict.fromkeys(name.partition("/")[2] for name in history.metrics))
    best, unit = history.best(), history.unit
    rows: list[tuple[str, ...]] = []
    for title, index in ((f"{unit} {history.times[-1]}", -1), (f"best {unit} {history.times[best]}", best)):
        values = history.at(index)
        rows += [
            (f"{metric.replace('_', ' ')}, {title}", *[number(values[f"{part}/{metric}"]) for part in parts])
            for metric in metrics
        ]
    for metric, (title, value) in ({} if predictions is None else predictions.baselines()).items():
        if metric in metrics:
            row = [number(value) if part == "test" else "" for part in parts]
            rows.append((f"{metric.replace('_', ' ')}, {title}", *row))
    return rows


def class_rows(predictions: ClassPredictions) -> list[tuple[str, ...]]:
    """Return the name of every class, its precision, recall and F1, and the number of its test examples."""
    return [
        (score.name, *[f"{share:.3f}" for share in (score.precision, score.recall, score.f1)], str(score.examples))
        for score in predictions.class_scores()
    ]


def error_rows(predictions: NumberPredictions) -> list[tuple[str, ...]]:
    """Return the name of every target, its typical error in the test part, and that of the training mean."""
    return [(column, number(error), number(mean)) for column, error, mean in predictions.typical_errors()]


def number(value: float) -> str:
    """Return a metric with four decimals, or in powers of ten if it is too large for them to matter."""
    return f"{value:.4f}" if abs(value) < DECIMALS_MATTER else f"{value:.3e}"
