"""Runs that were trained before, found by config hash in the folders of earlier runs and sweeps."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from nnexp import __version__
from nnexp.analysis.results import SweepRun
from nnexp.config.code import code_fingerprint, has_foreign_components
from nnexp.runs.find import RUNS, SWEEPS
from nnexp.runs.prepare import FOLDER_NAME, Ready
from nnexp.runs.record import UNKNOWN_CODE, read_record
from nnexp.storage.run_folder import FIGURES, RunSummary, read_history


def folders_by_hash(output_dir: Path, own: Path | None) -> dict[str, list[Path]]:
    """Return the folders of all runs by config hash; those in `own`, the folder of the sweep itself, come first."""
    found: dict[str, list[Path]] = {}
    others = sorted({*output_dir.glob("*"), *output_dir.glob(f"{SWEEPS}/*/{RUNS}")} - {own, output_dir / SWEEPS})
    for parent in (*([own] if own is not None else []), *others):
        for folder in parent.iterdir() if parent.is_dir() else ():
            match = FOLDER_NAME.fullmatch(folder.name)
            if match is not None:
                found.setdefault(match["hash"], []).append(folder)
    return found


def trained_before(
    runs: Sequence[Ready], places: Iterable[int], output_dir: Path, own: Path | None, *, wanted: str | None = None
) -> dict[int, SweepRun]:
    """Return the runs that an earlier command has trained, by their places, with the reading that is wanted.

    `own` are those of the sweep itself.
    """
    folders = folders_by_hash(output_dir, own)
    found = ((place, finished(runs[place], folders, own, wanted)) for place in places)
    return {place: run for place, run in found if run is not None}


def finished(
    run: Ready, folders: Mapping[str, list[Path]], own: Path | None, wanted: str | None = None
) -> SweepRun | None:
    """Return a run that was trained before, if it was.

    It has to be trained by the same code on the same data, and to have figures if they are asked for. One that halving
    stopped counts in its own sweep only, where it would be stopped again.
    """
    for folder in folders.get(run.config_hash, []):
        summary = RunSummary.read(folder)
        if (
            summary is not None
            and (summary.config_hash, summary.data_digest) == (run.config_hash, run.dataset.digest)
            and _same_code(run, summary, folder)
            and (not run.experiment.draws(alone=False) or (folder / FIGURES).is_dir())
            and (folder.parent == own or not summary.halved)
        ):
            with suppress(OSError, ValueError, KeyError):  # a damaged history: the run is trained again
                known = SweepRun(
                    job=tuple(run.overrides), name=run.name, config_hash=run.config_hash, reused=True, folder=folder
                )
                return known.ended(summary, read_history(folder), wanted)
    return None


def _same_code(run: Ready, summary: RunSummary, folder: Path) -> bool:
    """Tell whether a run was trained by the code of today; where there is no record, only its version is known."""
    if summary.version != __version__:
        return False
    record = read_record(folder)
    if record is None or record.code == UNKNOWN_CODE:
        return not has_foreign_components(run.experiment)
    return record.code == code_fingerprint(run.experiment)
