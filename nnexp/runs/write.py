"""Writes the files of a run."""

from pathlib import Path
from shutil import rmtree

from nnexp.core.errors import UserError, warn
from nnexp.core.files import write_text
from nnexp.core.output import meanwhile
from nnexp.plots.animation import picture_of, save_animation
from nnexp.plots.run import moments_of, run_figures
from nnexp.plots.style import save_figures
from nnexp.report.html import page
from nnexp.runs.prepare import ANIMATION, Ready
from nnexp.runs.report import run_report
from nnexp.runs.result import Result
from nnexp.storage.run_folder import FIGURES, PARAMETERS, SUMMARY, RunSummary, write_history, write_parameters
from nnexp.storage.saved_model import MODEL, write_model
from nnexp.storage.served_model import SERVED, write_served_model
from nnexp.training.history import Outcome
from nnexp.training.model import Trained


def write_run(
    ready: Ready, outcome: Outcome, result: Result, *, figures: bool, shown: bool = False, durable: bool = False
) -> None:
    """Write what came out of a run into its folder, its summary last.

    Args:
        ready, outcome, result: The run.
        figures: Whether to draw figures.
        shown: Whether the report is written as a page even without figures.
        durable: Whether all of it lasts even if the machine dies.
    """
    folder = result.folder
    _remove_shorter(folder, result.summary)
    write_history(folder, result.history)
    write_parameters(folder / PARAMETERS, result.parameters)
    if outcome.diverged_step is None:
        _write_model(ready.trained(outcome), folder)
    for moment, snapshot in result.snapshots.items():
        write_parameters(folder / f"parameters_{result.history.unit}_{moment}.npz", snapshot)
    drawn: list[str] = []
    if figures:
        meanwhile("Drawing figures")
        drawn = save_figures(run_figures(ready.trained(outcome), outcome, result.predictions), folder / FIGURES)
        picture = picture_of(ready.data) if ready.experiment.figures == ANIMATION else None
        if picture is not None and outcome.snapshots and outcome.diverged_step is None:
            save_animation(moments_of(ready.trained(outcome), outcome), picture, folder / FIGURES)
    report = run_report(result, ready.experiment.question, drawn, result.story)
    write_text(folder / "report.md", report)
    if drawn or shown:  # not for the thousand runs of a sweep
        write_text(folder / "report.html", page(report, folder))
    result.summary.write(folder, durable=durable)


def _remove_shorter(folder: Path, summary: RunSummary) -> None:
    """Remove what came out of a shorter training that this one has gone on from."""
    shorter = RunSummary.read(folder)
    if shorter is not None and shorter.config_hash != summary.config_hash:
        for name in (SUMMARY, MODEL):
            (folder / name).unlink(missing_ok=True)
        for name in (SERVED, FIGURES):
            rmtree(folder / name, ignore_errors=True)


def _write_model(trained: Trained, folder: Path) -> None:
    """Write everything needed to predict; if the user's own data does not allow it, warn and go on."""
    try:
        write_model(folder, trained)
    except UserError as error:
        warn(f"the run cannot be asked for predictions later: {error}")


def serve(folder: Path) -> None:
    """Write the model in the folder of a run as a model of MLflow, too, if there is one."""
    try:
        if (folder / MODEL).is_file():
            write_served_model(folder / SERVED, folder)
    except UserError as error:
        warn(f"MLflow cannot serve the model of the run: {error}")


def file_and_links(result: Result) -> list[tuple[str, str]]:
    """Return notes on the data, the folder of the files and how to open the run in MLflow, each with its title."""
    return [*(("Data", note) for note in result.notes), ("Files", str(result.folder)), *result.links]
