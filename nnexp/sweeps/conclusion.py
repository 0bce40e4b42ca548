"""The end of a sweep, in its folder and in its tracker: the report, and what a tracker shows of it first."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from nnexp.analysis.findings import by_rank, flags, incompleteness, plateau, verdict
from nnexp.analysis.results import SweepResults, SweptKey, short
from nnexp.report.markdown import block, escaped
from nnexp.tracking.mlflow_entities import cut
from nnexp.tracking.tracker import Status, SweepView, TrackedSweep
from nnexp.training.history import chosen_by
from nnexp.training.readings import Reading

FIRST = "first setting"
"""The param of a sweep with the setting that came first."""
MOST_LETTERS = 500
"""How long what is said of one key may be."""


def conclude(tracked: TrackedSweep, results: SweepResults, files: Sequence[Path], status: Status) -> None:
    """Close a sweep in its tracker, with its results and the files of its report.

    Raises TrackingError if that fails.
    """
    tracked.finish(view_of(results), description_of(results), files, status)


def description_of(results: SweepResults) -> str:
    """Return the question, the command and the findings, in Markdown."""
    question = None if results.question is None else escaped(results.question)
    findings = map(escaped, filter(None, [incompleteness(results), *verdict(results), *flags(results)]))
    return "\n\n".join(line for line in [question, block(results.command), *findings] if line)


def view_of(results: SweepResults) -> SweepView:
    """Return the keys, metrics and counts that MLflow shows first."""
    numbers = {**{name: float(value) for name, value in results.counts.items()}, **_scores(results)}
    return SweepView(
        parameters=[swept.key.replace("/", ".") for swept in results.swept_keys],
        metric=(results.reading or Reading.of(chosen_by(results.metrics))).path,
        metrics=sorted(results.metrics, key=lambda name: not name.startswith("test/")),
        numbers=numbers,
        words=_words(results) if results.complete else {},
    )


def _scores(results: SweepResults) -> dict[str, float]:
    """Return the means of the first setting, by the names that its runs have them under, and that of fresh seeds."""
    if not results.ranked:
        return {}
    first = by_rank(results)[0]
    means = {path: fmean(scores) for path in map(_path, results.shown) if (scores := first.scores(path))}
    again = results.confirmation
    if again is not None and results.metric is not None and again.first.values:
        means[f"fresh/{_path(results.metric)}"] = fmean(again.first.values)
    return means


def _path(name: str) -> str:
    return Reading.of(name).path


def _words(results: SweepResults) -> dict[str, str]:
    """Return the first setting, and the values of every key."""
    told = results.ranked and len(results.settings) > 1 and plateau(results) is None
    first = {FIRST: short(by_rank(results)[0].name)} if told else {}
    return {key: cut(text, MOST_LETTERS) for key, text in {**first, **_varied(results)}.items()}


def _varied(results: SweepResults) -> dict[str, str]:
    return {one.key.replace("/", "."): _values(results, one) for one in results.swept_keys}


def _values(results: SweepResults, swept: SweptKey) -> str:
    return results.span(swept) or ", ".join(short(value) for value in swept.values)
