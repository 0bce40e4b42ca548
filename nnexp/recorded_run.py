"""A run that was recorded before, read again from its folder or from MLflow."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from nnexp.config.foreign import checked_yaml
from nnexp.config.identity import flat
from nnexp.errors import UserError
from nnexp.files import read_text
from nnexp.run_folder import CONFIG, HISTORY, LARGEST, SUMMARY, TRACKED, RunSummary, read_history, run_id_of
from nnexp.tracking.mlflow import MLflowTracking
from nnexp.training.history import History


@dataclass(frozen=True)
class RecordedRun:
    """What is kept of a run.

    Attributes
    ----------
    config
        The resolved config.
    history
        Its metrics over time.
    summary
        What came out.
    run_id
        What MLflow calls it, None if it is not there.

    """

    config: dict[str, object]
    history: History
    summary: RunSummary
    run_id: str | None

    @property
    def flat_config(self) -> Mapping[str, object]:
        """Return the config with dotted keys."""
        return flat(self.config)


def recorded_run(run: str, output_dir: Path) -> RecordedRun:
    """Return a run, given its folder or its ID in MLflow.

    Files in the output folder are preferred, since MLflow takes seconds to start.

    Raises
    ------
    UserError
        If there is no such run, or its files are damaged.

    """
    folders = [Path(run), *(path.parent for path in _noted(output_dir) if run_id_of(path) == run)]
    for folder in folders:
        if (folder / SUMMARY).is_file():
            return _read(run, folder, run_id_of(folder / TRACKED))
    if Path(run).exists():
        raise UserError(f"run={run}: must be the folder of a run that has ended, with its {SUMMARY}")
    with TemporaryDirectory() as fetched:
        MLflowTracking().fetch(output_dir, run, (CONFIG, HISTORY, SUMMARY), Path(fetched))
        return _read(run, Path(fetched), run)


def _noted(output_dir: Path) -> list[Path]:
    """Return the notes beside runs' files that say what MLflow calls them."""
    return [*output_dir.glob(f"*/*/{TRACKED}"), *output_dir.glob(f"sweeps/*/runs/*/{TRACKED}")]


def _read(run: str, folder: Path, run_id: str | None) -> RecordedRun:
    summary = RunSummary.read(folder)
    try:
        config = yaml.safe_load(checked_yaml(read_text(folder / CONFIG, LARGEST)))
        history = read_history(folder)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"run={run}: must have files that nobody has changed ({error})") from error
    if summary is None or not isinstance(config, dict):
        raise UserError(f"run={run}: must have files that nobody has changed ({SUMMARY}, {CONFIG})")
    return RecordedRun(config, history, summary, run_id)
