"""Claims the folder of a run: one process has it, and what is known of the run is written there first."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import rmtree

from nnexp.core.errors import UserError
from nnexp.core.files import hidden_folder, new_folder, remove_abandoned, remove_temporaries, unwritable
from nnexp.core.locks import held, lock_of
from nnexp.runs.prepare import FOLDER_NAME, Ready
from nnexp.runs.record import read_record, record_of, write_record
from nnexp.runs.resume import Resumed
from nnexp.runs.tracked import note_beginning
from nnexp.tracking.tracker import RunRecord


@contextmanager
def claimed(
    ready: Ready, tags: Mapping[str, str], output_dir: Path, *, uri: str, earlier: Resumed | None
) -> Iterator[tuple[Path, RunRecord]]:
    """Yield the run's folder, which is locked in the block, and the record of what is known before the training.

    The record is written in a new folder; the files of a run that goes on stay as they are, until `go_on` is called.
    The store at `uri` is noted there before it is told of the run, so that one whose process dies can be closed.

    Raises UserError if another process is training the run, or the folder cannot be written; no new one is left then.
    """
    before, parent = None if earlier is None else earlier.folder, output_dir / ready.data.name
    folder, name = before, f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{ready.folder_name}"
    record = record_of(ready, tags) if earlier is None else record_of(ready, tags, earlier.record, earlier.code)
    with ExitStack() as resources:
        try:
            if folder is None:
                parent.mkdir(exist_ok=True)
                remove_abandoned(parent)
                with hidden_folder(parent / name) as hidden:
                    write_record(hidden, record, ready.experiment, durable=True)
                    folder = new_folder(parent, name, hidden.rename)
            ours = folder.is_dir() and resources.enter_context(held(lock_of(folder)))
            if not ours or (before is not None and earlier is not None and read_record(folder) != earlier.record):
                raise UserError(
                    f"resume={before}: must not be a run that another process is training, or has gone on with"
                )
            remove_temporaries(folder)
            note_beginning(folder, uri, None if earlier is None else earlier.run_id)
        except OSError as error:
            if before is None and folder is not None:
                rmtree(folder, ignore_errors=True)
            raise unwritable(output_dir, error) from error
        yield folder, record


def go_on(folder: Path, record: RunRecord, ready: Ready) -> Path:
    """Write the record of a run that goes on, and return its folder, renamed if its name has another hash.

    The result of a run that becomes longer stays until the longer one has ended; see `record.summary_in`.

    Raises UserError if the folder cannot be written.
    """
    try:
        write_record(folder, record, ready.experiment, durable=True)
        match = FOLDER_NAME.fullmatch(folder.name)
        if match is None or match["time"] is None or match["hash"] == ready.config_hash:
            return folder
        named = folder.with_name(f"{match['time']}_{ready.folder_name}{match['number'] or ''}")
        return folder if named.exists() else folder.rename(named)
    except OSError as error:
        raise unwritable(ready.experiment.output_dir, error) from error
