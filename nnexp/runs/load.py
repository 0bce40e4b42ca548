"""Loads a run that was trained before, with its data, as if it had just ended."""

import re
from dataclasses import replace
from pathlib import Path

from nnexp.config.experiment import Experiment
from nnexp.config.overrides import command
from nnexp.core.build import build
from nnexp.core.errors import DamagedError, UserError
from nnexp.core.files import is_there
from nnexp.core.npz import read_arrays
from nnexp.data.csv import Csv
from nnexp.nn.network import Layout
from nnexp.runs.prepare import prepare
from nnexp.runs.record import RECORD, history_of, read_record, summary_in
from nnexp.runs.recorded_run import files_of, read_config
from nnexp.runs.result import Result, result_of
from nnexp.storage.run_folder import CONFIG, HISTORY, PARAMETERS, SUMMARY
from nnexp.storage.saved_model import flat_parameters
from nnexp.training.history import Outcome

ARRAYS = "arrays"
"""The folder, in an output folder, of data that were in memory."""
SNAPSHOT = re.compile(r"parameters_(?:epoch|iteration)_(\d+)\.npz")


def load_run(name: str, output_dir: Path) -> Result:
    """Return the result of a run, given its folder or its ID in MLflow; its data are loaded again.

    Raises UserError if there is no such run, its files are damaged, or its data have changed.
    """
    with files_of(name, output_dir, (CONFIG, HISTORY, SUMMARY, PARAMETERS)) as folder:
        title = f"run={name}"
        record, summary = read_record(folder), summary_in(folder)
        if record is None and is_there(folder / RECORD):
            raise UserError(f"{title}: must have files that nobody has changed ({RECORD})")
        overrides = () if record is None else record.overrides
        ready = prepare(_moved(build(read_config(folder, title), Experiment), folder), overrides)
        if summary is None:
            raise UserError(f"{title}: must have files that nobody has changed ({SUMMARY})")
        if ready.dataset.digest != summary.data_digest:
            raise UserError(f"{title}: must have the data that it was trained on, and they have changed")
        layout = Layout.of(ready.recipe.layers, ready.data.train.x.shape[-1])
        snapshots = ((SNAPSHOT.fullmatch(path.name), path) for path in sorted(folder.iterdir()))
        try:
            history = history_of(folder)
            learned = flat_parameters(read_arrays(folder / PARAMETERS)[0], layout, ready.experiment.dtype)
            moments = {
                int(match[1]): flat_parameters(read_arrays(path)[0], layout, ready.experiment.dtype)
                for match, path in snapshots
                if match is not None
            }
        except (OSError, ValueError, DamagedError) as error:
            raise UserError(f"{title}: must have files that nobody has changed ({error})") from error
        if summary.end and (not len(history) or history.at(-1) != {**summary.end}):
            raise UserError(f"{title}: must have files that nobody has changed ({HISTORY})")
        outcome = Outcome(
            history=history,
            learned=learned,
            diverged_step=summary.diverged_step,
            stopped=summary.stopped,
            snapshots=dict(sorted(moments.items())),
            final=history.place(summary.final_time),
        )
        result = replace(result_of(ready, outcome, folder, seconds=summary.seconds), summary=summary)
        return result if record is not None else replace(result, command=command("replay", str(folder)))


def _moved(experiment: Experiment, folder: Path) -> Experiment:
    """Return an experiment whose data, kept in its output folder, are found where the folder is now."""
    dataset = experiment.dataset
    if not isinstance(dataset, Csv) or dataset.path is None or is_there(Path(dataset.path)):
        return experiment
    kept = Path(dataset.path)
    if kept.parent.name != ARRAYS:
        return experiment
    places = [parent / ARRAYS / kept.name for parent in folder.absolute().parents]
    found = next((place for place in places if is_there(place)), kept)
    return replace(experiment, dataset=replace(dataset, path=str(found)))
