"""Reads a recorded run from its folder or from MLflow."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from nnexp.config.file_checks import UNREADABLE, checked_yaml
from nnexp.core.component import flat
from nnexp.core.errors import UserError
from nnexp.core.files import is_there, read_text
from nnexp.runs.find import find
from nnexp.runs.record import RECORD, read_record, summary_in
from nnexp.storage.run_folder import CONFIG, HISTORY, MAX_FILE_BYTES, SUMMARY, RunSummary, read_history
from nnexp.tracking.tracker import RunRecord
from nnexp.training.history import History


@dataclass(frozen=True)
class RecordedRun:
    """The recorded config and results of a run.

    Attributes:
        config: The resolved config.
        history: Its metrics over time.
        summary: Its result in a few numbers.
        record: What was known before it was trained; None if it is of an earlier version.
    """

    config: dict[str, object]
    history: History
    summary: RunSummary
    record: RunRecord | None

    @property
    def flat_config(self) -> Mapping[str, object]:
        """Return the config with dotted keys."""
        return flat(self.config)


def recorded_run(run: str, output_dir: Path) -> RecordedRun:
    """Return a run, given its folder or a name that `find` knows.

    Raises UserError if there is no such run, or its files are damaged.
    """
    with files_of(run, output_dir, (CONFIG, HISTORY, SUMMARY)) as folder:
        config, summary = read_config(folder, f"run={run}"), summary_in(folder)
        try:
            history = read_history(folder)
        except (OSError, ValueError) as error:
            raise UserError(f"run={run}: must have files that nobody has changed ({error})") from error
        if summary is None:
            raise UserError(f"run={run}: must have files that nobody has changed ({SUMMARY})")
        return RecordedRun(config, history, summary, read_record(folder))


@contextmanager
def files_of(run: str, output_dir: Path, names: Sequence[str]) -> Iterator[Path]:
    """Yield a folder with files of a run, and with its record if it has one.

    Files in the output folder are preferred, since MLflow takes seconds to start.

    Raises UserError if there is no such run.
    """
    folder = find(run, output_dir)
    if folder is not None:
        if not is_there(folder / SUMMARY):
            raise UserError(f"run={run}: must be the folder of a run that has ended, with its {SUMMARY}")
        yield folder
        return
    from nnexp.tracking.mlflow import MLflowTracking

    with TemporaryDirectory() as fetched:
        MLflowTracking().fetch(output_dir, run, names, Path(fetched), optional=(RECORD,))
        yield Path(fetched)


def read_config(folder: Path, title: str) -> dict[str, object]:
    """Return the resolved config of a run.

    Raises UserError if it is damaged; it calls the run by its title.
    """
    try:
        config = yaml.safe_load(checked_yaml(read_text(folder / CONFIG, MAX_FILE_BYTES)))
    except UNREADABLE as error:
        raise UserError(f"{title}: must have files that nobody has changed ({error})") from error
    if not isinstance(config, dict):
        raise UserError(f"{title}: must have files that nobody has changed ({CONFIG})")
    return config
