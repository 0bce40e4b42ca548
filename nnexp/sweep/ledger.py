"""What has been trained before, found by config hash in the folders of earlier runs and sweeps."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from nnexp import __version__
from nnexp.files import write_text
from nnexp.run_folder import RunSummary
from nnexp.runs import Ready

SWEEPS, RUNS = "sweeps", "runs"
FOLDER = re.compile(r".*_([0-9a-f]{12})(_\d+)?")
"""The name of a run's folder, which ends in its config hash, numbered where the name was taken."""
TRACKED = "tracked.json"
HALVING = "halving"
"""How the reason begins for which halving ends a run."""


def folders_by_hash(output_dir: Path, own: Path | None) -> dict[str, list[Path]]:
    """Return the folders of all runs by config hash, those of one's own sweep, if it has begun, first."""
    found: dict[str, list[Path]] = {}
    others = sorted({*output_dir.glob("*"), *output_dir.glob(f"{SWEEPS}/*/{RUNS}")} - {own, output_dir / SWEEPS})
    for parent in (*([own] if own is not None else []), *others):
        for folder in parent.iterdir() if parent.is_dir() else ():
            match = FOLDER.fullmatch(folder.name)
            if match is not None:
                found.setdefault(match[1], []).append(folder)
    return found


def finished(run: Ready, folders: Mapping[str, list[Path]], own: Path | None) -> tuple[Path, RunSummary] | None:
    """Return the folder and the summary of a run that was trained before by the same version on the same data.

    A run that halving ended early is none, but within its own sweep, where it would end early again.
    """
    for folder in folders.get(run.config_hash, []):
        summary = RunSummary.read(folder)
        if (
            summary is not None
            and (summary.config_hash, summary.data_digest) == (run.config_hash, run.dataset.digest)
            and summary.version == __version__
            and (folder.parent == own or not (summary.stopped or "").startswith(HALVING))
        ):
            return folder, summary
    return None


def remember(folder: Path, uri: str, run_id: str) -> None:
    """Note beside a run's files where it was recorded."""
    write_text(folder / TRACKED, json.dumps({"uri": uri, "run_id": run_id}) + "\n")


def recorded(folder: Path, uri: str) -> str | None:
    """Return what a store calls a run, if it was recorded there."""
    try:
        noted = json.loads((folder / TRACKED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return str(noted.get("run_id")) if isinstance(noted, dict) and noted.get("uri") == uri else None
