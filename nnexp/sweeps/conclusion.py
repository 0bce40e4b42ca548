"""The end of a sweep, in its folder and in its tracker: the report, and what a tracker shows of it first."""

from collections.abc import Sequence
from pathlib import Path

from nnexp.analysis.findings import flags, incompleteness, verdict
from nnexp.analysis.results import SweepResults
from nnexp.tracking.tracker import Status, SweepView, TrackedSweep
from nnexp.training.history import chosen_by
from nnexp.training.readings import Reading


def conclude(tracked: TrackedSweep, results: SweepResults, files: Sequence[Path], status: Status) -> None:
    """Close a sweep in its tracker, with its results and the files of its report.

    Raises TrackingError if that fails.
    """
    tracked.finish(view_of(results), description_of(results), files, status)


def description_of(results: SweepResults) -> str:
    """Return the question, the command and the findings, in Markdown."""
    report = "The whole report, with figures, is `report.html` among the artifacts."
    findings = [incompleteness(results), *verdict(results), *flags(results)]
    return "\n\n".join(line for line in [results.question, f"    {results.command}", *findings, report] if line)


def view_of(results: SweepResults) -> SweepView:
    """Return the keys, metrics and counts that MLflow shows first."""
    numbers = {"runs": len(results.runs), "failed": len(results.failed), "diverged": len(results.diverged)}
    return SweepView(
        parameters=[swept.key.replace("/", ".") for swept in results.swept_keys],
        metric=(results.reading or Reading.of(chosen_by(results.metrics))).path,
        metrics=sorted(results.metrics, key=lambda name: not name.startswith("test/")),
        numbers={name: float(value) for name, value in numbers.items()},
    )
