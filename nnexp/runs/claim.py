"""Claims the folder of a run: one process has it, and what is known of the run is written there first."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import rmtree

from nnexp.core.errors import UserError
from nnexp.core.files import hidden_folder, new_folder, remove_temporaries, unwritable
from nnexp.core.locks import held, lock_of
from nnexp.runs.prepare import FOLDER_NAME, Ready
from nnexp.runs.record import EXTENDED, read_record, record_of, write_record
from nnexp.runs.resume import Resumed
from nnexp.runs.tracked import InStore, write_tracked
from nnexp.storage.run_folder import SUMMARY
from nnexp.tracking.tracker import RunRecord


@contextmanager
def claimed(
    ready: Ready, tags: Mapping[str, str], output_dir: Path, *, uri: str, earlier: Resumed | None
) -> Iterator[tuple[Path, RunRecord]]:
    """Yield the run's folder, and the record there of what is known before the training; it is locked in the block.

    The store at `uri` is noted there, too, before it is told of the run, so that one whose process dies can be closed.

    Raises UserError if another process is training the run, or the folder cannot be written; no new one is left then.
    """

    def begun(folder: Path) -> RunRecord:
        record = record_of(ready, tags, read_record(folder))
        write_record(folder, record, ready.experiment, durable=True)
        return record

    def claim(folder: Path) -> None:
        if not resources.enter_context(held(lock_of(folder), removed=True)):
            raise UserError(f"resume={folder}: must not be a run that another process is training")

    before, parent = None if earlier is None else earlier.folder, output_dir / ready.data.name
    name, folder = f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{ready.folder_name}", before
    with ExitStack() as resources:
        try:
            if folder is None:
                parent.mkdir(exist_ok=True)
                with hidden_folder(parent / name) as hidden:
                    record = begun(hidden)
                    folder = new_folder(parent, name, hidden.rename)
                claim(folder)
            else:
                claim(folder)
                remove_temporaries(folder)
                if EXTENDED in tags:
                    (folder / SUMMARY).unlink(missing_ok=True)  # it is that of the shorter training
                record = begun(folder)
                folder = _renamed(folder, ready, claim)
            if uri:
                write_tracked(folder, uri, InStore(None if earlier is None else earlier.tracked_as(uri)))
        except OSError as error:
            if before is None and folder is not None:
                rmtree(folder, ignore_errors=True)
            raise unwritable(output_dir, error) from error
        yield folder, record


def _renamed(folder: Path, ready: Ready, claim: Callable[[Path], None]) -> Path:
    """Return the folder of a run, renamed if its name has another hash, as that of a run that was extended."""
    match = FOLDER_NAME.fullmatch(folder.name)
    if match is None or match["time"] is None or match["hash"] == ready.config_hash:
        return folder
    named = folder.with_name(f"{match['time']}_{ready.folder_name}{match['number'] or ''}")
    if named.exists():
        return folder
    claim(named)
    return folder.rename(named)
