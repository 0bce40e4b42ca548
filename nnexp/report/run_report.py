"""The report of one run, in Markdown: what was asked, what was changed, what came out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nnexp.config.identity import without_effect
from nnexp.core.component import flat
from nnexp.report.markdown import table
from nnexp.report.rows import class_rows, error_rows, metric_rows
from nnexp.training.history import History
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
"""What a reader sees in each figure."""


@dataclass(frozen=True)
class RunReport:
    """All that a report says.

    Attributes
    ----------
    name, question, command
        Which run it is.
    config, defaults
        Its resolved config, and that of a run without overrides.
    history, predictions, diverged_step, stopped
        What came out.
    notes
        What was done to the data.
    figures
        The names of the figures, in `figures/`.

    """

    name: str
    question: str | None
    command: str
    config: Mapping[str, object]
    defaults: Mapping[str, object]
    history: History
    predictions: Predictions | None
    diverged_step: int | None
    stopped: str | None
    notes: Sequence[str]
    figures: Sequence[str]

    def markdown(self) -> str:
        """Return the report."""
        changes = table(("key", "default", "here"), self.changes())
        sections = [
            f"# {self.name}",
            f"**Question.** {self.question or self._usual_question()}",
            f"    {self.command}",
            "## What came out",
            *self._ending(),
            self._numbers(),
            *self._predictions(),
            "## What differs from the defaults",
            changes if self.changes() else "Nothing.",
            *([] if not self.notes else ["## Notes on the data", *[f"- {note}" for note in self.notes]]),
            *([] if not self.figures else ["## Figures"]),
            *[f"![{name}](figures/{name}.png)\n\n{CAPTIONS[name]}" for name in self.figures],
        ]
        return "\n\n".join(sections) + "\n"

    def changes(self) -> list[tuple[str, str, str]]:
        """Return every key whose value is not the default, with both values; a key that only one has is left empty."""
        before, here = (_with_effect(flat(dict(config))) for config in (self.defaults, self.config))
        keys = [*here, *(key for key in before if key not in here)]
        differing = [key for key in keys if before.get(key, "") != here.get(key, "")]
        return [(f"`{key}`", _cell(before, key), _cell(here, key)) for key in differing]

    def _usual_question(self) -> str:
        return f"What changes with {self.name}?" if self.changes() else "What does a network learn with the defaults?"

    def _ending(self) -> list[str]:
        if self.diverged_step is not None:
            return [f"**Diverged**: the loss is no longer finite at step {self.diverged_step}."]
        return [] if self.stopped is None else [f"Ended before its time: {self.stopped}."]

    def _numbers(self) -> str:
        if not len(self.history):
            return "Nothing was evaluated."
        return table(("", *self.history.parts()), metric_rows(self.history, self.predictions))

    def _predictions(self) -> list[str]:
        if isinstance(self.predictions, ClassPredictions):
            return [table(("class, test", "precision", "recall", "F1", "examples"), class_rows(self.predictions))]
        if isinstance(self.predictions, NumberPredictions):
            titles = ("test", "typical error (root mean square)", "of the training mean")
            return [table(titles, error_rows(self.predictions))]
        return []


def _with_effect(config: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in config.items() if not without_effect(key)}


def _cell(config: Mapping[str, object], key: str) -> str:
    return f"`{json.dumps(config[key], ensure_ascii=False)}`" if key in config else ""
