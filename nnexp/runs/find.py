"""Finds runs and sweeps in an output folder: all of them, or the one that a short name means."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from nnexp.core.errors import UserError
from nnexp.core.files import absolute, is_there, read_text, relative
from nnexp.runs.prepare import FOLDER_NAME
from nnexp.runs.tracked import read_tracked
from nnexp.storage.run_folder import MAX_FILE_BYTES, TRACKED

SWEEPS, RUNS = "sweeps", "runs"
LAST = "last"
FEWEST_LETTERS = 4
"""The fewest letters of an ID that mean a run."""
ROW = re.compile(r"[1-9]\d{0,5}")
LETTERS = re.compile(rf"[0-9a-f]{{{FEWEST_LETTERS},32}}")
LETTERS_OF_TIME = len("2026-01-01_00-00-00")
NAME = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_.*_(?P<hash>[0-9a-f]{8}|[0-9a-f]{12})(_\d+)?")
"""The name of the folder of a run that was trained alone, with its config hash, or of a sweep, with its key."""


def listed(output_dir: Path) -> list[Path]:
    """Return the folders of the runs that were trained alone and of the sweeps, the newest first."""
    found = [path for group in _in(output_dir) for path in _in(group) if NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: (path.name[:LETTERS_OF_TIME], path.stat().st_mtime), reverse=True)


def is_sweep(folder: Path) -> bool:
    """Tell whether a folder is that of a sweep, by its place."""
    return folder.parent.name == SWEEPS


def find(name: str, output_dir: Path, *, key: str = "run", sweeps: bool = False) -> Path | None:
    """Return the folder of the run that a name means; None if no folder has it, though a store may.

    A name is a path, `last`, a row of `nnexp runs`, or the first letters of an ID in MLflow or of a config hash, which
    means the newest run of that config.

    Raises UserError if it means several, or none that could be anywhere.

    Args:
        name: What the user typed.
        output_dir: Where runs were written.
        key: What the name is given to, for messages.
        sweeps: Whether sweeps are meant, too.
    """
    path = absolute(name)
    if is_there(path):
        return path
    rows = listed(output_dir)
    if name == LAST:
        found = next((row for row in rows if sweeps or not is_sweep(row)), None)
        if found is None:
            raise UserError(f"{key}={name}: must be a run, and there is none in {relative(output_dir)}")
        return found
    if ROW.fullmatch(name) and int(name) <= len(rows):
        row = rows[int(name) - 1]
        if is_sweep(row) and not sweeps:
            sweep = f"row {name} of `nnexp runs` is the sweep {relative(row)}"
            raise UserError(f"{key}={name}: must be a run, and {sweep}; its report names the command of its best")
        return row
    if name.isdecimal() and len(name) < FEWEST_LETTERS:
        raise UserError(f"{key}={name}: must be a row of `nnexp runs`, and {relative(output_dir)} has {len(rows)}")
    return _by_letters(name, output_dir, key=key, sweeps=sweeps) if LETTERS.fullmatch(name) else None


def _by_letters(letters: str, output_dir: Path, *, key: str, sweeps: bool) -> Path | None:
    """Return the newest folder with an ID that begins so.

    Raises UserError if two IDs do.
    """
    found: dict[str, Path] = {}
    for folder in folders(output_dir):
        if sweeps or not is_sweep(folder):
            found |= {one: folder for one in ids_of(folder, letters) if one not in found}
    different = {folder: one for one, folder in reversed(found.items())}
    if len(different) > 1:
        (one, here), (other, there) = [(identifier, folder) for folder, identifier in different.items()][:2]
        both = f"{one} in {relative(here)} or {other} in {relative(there)}"
        raise UserError(f"{key}={letters}: must say which is meant, {both}")
    return next(iter(different), None)


def folders(output_dir: Path) -> Iterator[Path]:
    """Yield the folders of all runs and sweeps: those of `listed`, then the runs that sweeps have trained."""
    rows = listed(output_dir)
    yield from rows
    for sweep in rows:
        if is_sweep(sweep):
            yield from (path for path in _in(sweep / RUNS) if FOLDER_NAME.fullmatch(path.name))


def ids_of(folder: Path, letters: str = "") -> list[str]:
    """Return the config hash of a run, or the key of a sweep, and the IDs in stores, as far as they begin so."""
    match = NAME.fullmatch(folder.name) or FOLDER_NAME.fullmatch(folder.name)
    own = [] if match is None else [match["hash"]]
    with suppress(OSError, ValueError):
        if f'"{letters}' in read_text(folder / TRACKED, MAX_FILE_BYTES):  # to look is faster than to read it all
            own += [there.run_id for there in read_tracked(folder).values() if there.run_id]
    return [one for one in own if one.startswith(letters)]


def _in(folder: Path) -> list[Path]:
    """Return what is in a folder, but for what is hidden; nothing if it is none."""
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError:
        return []
