"""The report of one run in Markdown: its question, its results, and how its config differs from the defaults."""

from collections.abc import Sequence

from nnexp.config.compose import default_config
from nnexp.config.identity import changes
from nnexp.report.markdown import block, code, escaped, table
from nnexp.report.rows import class_rows, error_rows, metric_rows
from nnexp.runs.result import Result
from nnexp.training.predictions import ClassPredictions, NumberPredictions, Predictions

CAPTIONS = {
    "curves": "How loss and metric change; the dotted line is where the loss on the part for choosing was lowest.",
    "samples": "What there is to learn: training examples as they were before scaling.",
    "predictions": "Test examples, the most confident mistakes first.",
    "confusion_matrix": "Which class was taken for which.",
    "roc": "What every threshold on the probability would give.",
    "decision_regions": "Which class the network sees where; the paler, the less sure it is.",
    "snapshots": "The same network at several moments of its training.",
    "fit": "The curve that was learned, and the points it was learned from.",
    "residuals": "How far predictions are off, and where.",
    "embedding": "Where the network puts test examples: those of one class should be together.",
    "layers": "The sizes of activations, gradients and updates, layer by layer: where they shrink to nothing or grow "
    "without end, nothing is learned.",
    "first_layer": "What each unit of the first layer looks for: red makes it larger, blue smaller.",
}
"""The caption of each figure."""


def run_report(result: Result, question: str | None, figures: Sequence[str], story: Sequence[str] = ()) -> str:
    """Return the report of a run.

    Args:
        result: What came out.
        question: What it is to find out.
        figures: The names of those that were drawn, in the folder `figures`.
        story: What became of it, in sentences.
    """
    differing = [
        (code(key), *(code(value) if value else "" for value in values))
        for key, *values in changes(result.config, default_config())
    ]
    usual = f"What changes with {result.name}?" if differing else "What does a network learn with the defaults?"
    sections = [
        f"# {escaped(result.name)}",
        f"**Question.** {escaped(question or usual)}",
        block(result.command),
        result.about,
        "## What came out",
        *_ending(result),
        _numbers(result),
        *map(escaped, story),
        *_predictions(result.predictions),
        "## What differs from the defaults",
        table(("key", "default", "here"), differing) if differing else "Nothing.",
        *([] if not result.notes else ["## Notes on the data", *[f"- {escaped(note)}" for note in result.notes]]),
        *([] if not figures else ["## Figures"]),
        *[f"![{name}](figures/{name}.png)\n\n{CAPTIONS[name]}" for name in figures],
    ]
    return "\n\n".join(sections) + "\n"


def _ending(result: Result) -> list[str]:
    if result.diverged_step is not None:
        return [f"**Diverged**: the loss is no longer finite at step {result.diverged_step}."]
    return [] if result.stopped is None else [f"Ended before its time: {escaped(result.stopped)}."]


def _numbers(result: Result) -> str:
    if not len(result.history.trained):
        return "Nothing was evaluated."
    rows = metric_rows(result.history, result.predictions, result.summary.final_time)
    return table(("", *result.history.parts()), rows)


def _predictions(predictions: Predictions | None) -> list[str]:
    if isinstance(predictions, ClassPredictions):
        return [table(("class, test", "precision", "recall", "F1", "examples"), class_rows(predictions))]
    if isinstance(predictions, NumberPredictions):
        titles = ("test", "typical error (root mean square)", "of the training mean")
        return [table(titles, error_rows(predictions))]
    return []
