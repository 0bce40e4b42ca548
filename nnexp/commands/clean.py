"""Says what an output folder holds and how large it is, and removes what is asked for: `nnexp clean`."""

import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from nnexp.commands.arguments import parser
from nnexp.core.errors import UserError, warn
from nnexp.core.exits import ExitStatus
from nnexp.core.files import absolute, is_there, relative, remove_folder
from nnexp.core.locks import held, lock_of
from nnexp.report import terminal
from nnexp.runs.find import RUNS, folders, is_sweep, listed
from nnexp.runs.limits import amount
from nnexp.runs.record import ERROR, summary_in
from nnexp.runs.tracked import read_tracked
from nnexp.storage.checkpoints import FOLDER
from nnexp.storage.run_folder import SUMMARY
from nnexp.sweeps.listing import in_use
from nnexp.sweeps.sweep_folder import BATCHES
from nnexp.tracking.mlflow_store import ARTIFACTS, DATABASE

SECONDS_OF_A_DAY = 86_400.0


@dataclass(frozen=True)
class Piece:
    """A folder that can be removed.

    Attributes:
        path: The folder.
        run: That of its run, itself or the one above.
        note: What to know before, or nothing.
    """

    path: Path
    run: Path
    note: str = ""


def main(words: Sequence[str]) -> None:
    """Print what an output folder holds, and remove what is asked for; exit status 1 if some of it stayed."""
    arguments = parser(
        "clean",
        "Say what an output folder holds and how large it is. Checkpoints and failed runs are removed if they are "
        "asked for, with --yes; what MLflow has of a run stays there.",
    )
    arguments.add_argument(
        "--checkpoints", action="store_true", help="of runs that have ended: they cannot become longer any more"
    )
    arguments.add_argument("--failed", action="store_true", help="runs that ended in an error")
    arguments.add_argument("--older-than", metavar="DAYS", type=float, help="only what is older")
    arguments.add_argument("--yes", action="store_true", help="remove it; else it is only said what would be removed")
    chosen = arguments.parse_args(words)
    output_dir, days = absolute(chosen.output_dir), chosen.older_than
    asked = chosen.checkpoints or chosen.failed
    if not asked and (days is not None or chosen.yes):
        raise UserError(f"clean {' '.join(words)}: must say what goes, --checkpoints or --failed or both")
    if not (is_there(output_dir) and output_dir.is_dir()):
        raise UserError(f"--output-dir={chosen.output_dir}: must be a folder in which runs are")
    before = time.time() - (days or 0.0) * SECONDS_OF_A_DAY
    runs = [folder for folder in folders(output_dir) if not is_sweep(folder) and not folder.is_symlink()]
    pieces = {
        "--checkpoints": [piece for run in runs if can_go(piece := Piece(run / FOLDER, run))],
        "--failed": [piece for run in runs if can_go(piece := Piece(run, run, _note(run)))],
    }
    if not asked:
        show(output_dir, pieces)
        return
    wanted = [*(pieces["--checkpoints"] if chosen.checkpoints else ()), *(pieces["--failed"] if chosen.failed else ())]
    if not remove([piece for piece in wanted if age_of(piece) <= before], really=chosen.yes):
        sys.exit(ExitStatus.UNSUCCESSFUL)


def can_go(piece: Piece) -> bool:
    """Tell whether a run has failed, or one whose checkpoints these are has ended."""
    if piece.path == piece.run:
        return is_there(piece.run / ERROR) and not is_there(piece.run / SUMMARY)
    return piece.path.is_dir() and not piece.path.is_symlink() and summary_in(piece.run) is not None


def _note(run: Path) -> str:
    """Return what else knows of a failed run, or wants to."""
    if run.parent.name == RUNS and is_there(run.parent.parent / BATCHES):
        return f"in the record of {run.parent.parent.name}, whose command would train it again"
    return "" if all(there.complete for there in read_tracked(run).values()) else "which MLflow does not have in full"


def age_of(piece: Piece) -> float:
    """Return when a run ended, or its checkpoint was written, in seconds since 1970."""
    file = piece.path / ERROR if piece.path == piece.run else piece.path
    try:
        return file.stat().st_mtime
    except OSError:
        return time.time()


def remove(pieces: Sequence[Piece], *, really: bool) -> bool:
    """Remove what no process uses, or say what would go, and return whether nothing stayed that was to go."""
    freed, gone, left = 0, 0, 0
    for piece in pieces:
        size, note = size_of(piece.path), f" ({piece.note})" if piece.note else ""
        locked = [*([piece.run.parent.parent] if piece.run.parent.name == RUNS else []), piece.run]
        try:
            with ExitStack() as resources:
                if really:
                    ours = all(resources.enter_context(held(lock_of(folder))) for folder in locked)
                else:
                    ours = not any(in_use(folder) for folder in locked)
                if not (ours and can_go(piece)):
                    terminal.show_lines([f"In use, and left alone: {relative(piece.path)}"])
                    continue
                if really:
                    remove_folder(piece.path)
        except OSError as error:
            left += 1
            warn(f"not removed: {relative(piece.path)} ({error.strerror})")
            continue
        freed, gone = freed + size, gone + 1
        does = "Removed" if really else "Would remove"
        terminal.show_lines([f"{does} {relative(piece.path)}, {amount(size)}{note}"])
    those = f"{gone} folder{'' if gone == 1 else 's'}, {amount(freed)}"
    done = f"Removed: {those}." if really else f"Nothing was removed; --yes removes {those}."
    terminal.show_lines([done if gone else "There is nothing to remove."])
    return left == 0


def show(output_dir: Path, pieces: dict[str, list[Piece]]) -> None:
    """Print what an output folder holds, how large that is, and what can be removed."""
    rows = listed(output_dir)
    parts = {
        "runs trained alone": [row for row in rows if not is_sweep(row)],
        "sweeps, with their runs": [row for row in rows if is_sweep(row)],
        "MLflow": [path for path in output_dir.iterdir() if path.name.startswith((DATABASE, ARTIFACTS))],
    }
    sizes = {name: sum(map(size_of, paths)) for name, paths in parts.items()}
    whole = size_of(output_dir)
    table = [(name, "" if name == "MLflow" else str(len(paths)), amount(sizes[name])) for name, paths in parts.items()]
    table += [("others", "", amount(whole - sum(sizes.values()))), ("all of it", "", amount(whole))]
    terminal.show_table((relative(output_dir), "number", "size"), table)
    names = {"--checkpoints": "checkpoints of runs that have ended", "--failed": "failed runs"}
    for option, found in pieces.items():
        size = amount(sum(size_of(piece.path) for piece in found))
        terminal.show_lines([f"{names[option]}: {len(found)}, {size}; to remove them: {option}"] if found else [])


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; links are not followed."""
    if not path.is_dir() or path.is_symlink():
        return _size(path)
    return sum(_size(Path(folder, name)) for folder, _, names in os.walk(path) for name in names)


def _size(file: Path) -> int:
    try:
        return file.lstat().st_size
    except OSError:  # it has gone meanwhile
        return 0
