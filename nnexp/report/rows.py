"""Turns the results of a run into rows of tables and a line, for the terminal and for reports."""

import math

from nnexp.training.history import History
from nnexp.training.metrics import DIAGNOSTIC, unit_of
from nnexp.training.predictions import ClassPredictions, NumberPredictions, Predictions

DECIMALS_MATTER = 10_000
"""A number below this is written with four decimals."""
DECIMALS_SHOW = 0.0005
"""A number below this, but for 0, would lose nearly all its digits."""
MOST_DECIMALS = 6
"""A spread that needs more decimals is written in powers of ten."""


def summary(history: History, diverged_step: int | None, final_time: int | None) -> str:
    """Return the result of a run in one line: the metrics of the parameters that it leaves."""
    end = f", diverged at step {diverged_step}" if diverged_step is not None else ""
    if not len(history.trained):
        return f"nothing evaluated{end}"
    left = history.at(history.place(final_time))
    if final_time not in (None, history.times[-1]):
        end = f", restored from {history.unit} {final_time}"
    return ", ".join(f"{name} {number(value)}" for name, value in left.items()) + end


def metric_rows(history: History, predictions: Predictions | None, final_time: int | None) -> list[tuple[str, ...]]:
    """Return a row for each metric of the parameters that are left, then at the end and the best time, and baselines.

    There is a column for each part of the data. What the diagnostics saw stands among the first alone.
    """
    parts = history.parts()
    metrics = list(dict.fromkeys(name.partition("/")[2] for name in history.metrics))
    best, last, unit = history.best(), len(history) - 1, history.unit
    final = history.place(final_time)
    moments = {f"{unit} {history.times[last]}": last, f"best {unit} {history.times[best]}": best}
    if best == last:
        moments = {f"{unit} {history.times[last]}, the best": last}
    if final not in (-1, last):
        moments = {
            f"restored {unit} {final_time}": final,
            **{title: at for title, at in moments.items() if at != final},
        }
    rows: list[tuple[str, ...]] = []
    for title, index in moments.items():
        values = history.at(index)
        for metric in metrics if not rows else [metric for metric in metrics if unit_of(metric) != DIAGNOSTIC]:
            names = [f"{part}/{metric}" for part in parts]
            if any(name in values for name in names):
                row = [number(values[name]) if name in values else "" for name in names]
                rows.append((f"{metric.replace('_', ' ')}, {title}", *row))
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


def figures(value: float) -> str:
    """Return a number with three significant digits."""
    return f"{value:#.3g}".rstrip(".") if value else "0"


def with_spread(mean: float, deviation: float) -> str:
    """Return a mean and a standard deviation: two significant digits of the deviation, and as many decimals of both."""
    if not deviation:
        return f"{figures(mean)} ± 0"
    if not math.isfinite(deviation) or max(abs(mean), deviation) >= DECIMALS_MATTER:
        return f"{figures(mean)} ± {figures(deviation)}"
    decimals = max(0, 1 - int(f"{deviation:.1e}".partition("e")[2]))
    if decimals > MOST_DECIMALS:
        return f"{number(mean)} ± {deviation:.0e}"
    return f"{mean:.{decimals}f} ± {deviation:.{decimals}f}"


def cell(value: object) -> object:
    """Return a cell of a table for other programs; a text that a spreadsheet would compute gets a quotation mark."""
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def number(value: float) -> str:
    """Return a metric with four decimals, or in powers of ten if it is too large, or too small, for them to matter."""
    if 0 < abs(value) < DECIMALS_SHOW:
        return f"{value:.1e}"
    return f"{value:.4f}" if abs(value) < DECIMALS_MATTER else f"{value:.3e}"
