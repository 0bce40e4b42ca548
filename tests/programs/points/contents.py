"""What is in a folder after commands, without times and IDs; and how it differs from what should be there."""

import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

ARTIFACTS, DATABASE, CHECKPOINTS = "mlartifacts", "mlflow.db", "checkpoints/"
LEARNED = re.compile(r"history\.csv|parameters.*\.npz|predictions.*\.csv|runs\.parquet")
"""The names of the files with what was learned, which must be the same."""
CHANGING = ["seconds", "folder"]
"""The columns of the table of a sweep that are others each time."""
TIME = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(_\d+)?")
AGAIN = re.compile(r"(?<=TIME)(.*_[0-9a-f]{8,12})_\d+")
"""The number behind the name of a second folder of the same name."""
ONCE = re.compile(r"\d{10,}|[0-9a-f]{32}|(?<=uploading\.)\w+|(?<=^tmp)\w{8}$")
"""Process IDs, times, IDs of runs and random letters in names."""
UNNAMED = re.compile(r"(outputs/[^/]+/)?\.[^/]+\.tmpID(\.\w+)?(/.*)?")
"""What was to become a folder of a run, or what `predict` makes, and has no name yet: nobody knows whose it is."""
HIDDEN = re.compile(r"(.*/)?\..*")
"""What could not be removed; a name without a dot must be that of something whole."""
UPLOADING = ".artifact.uploading."
"""The beginning of the name of a file that MLflow is copying; it is hidden, and MLflow never removes one."""
SHOWN = 3
"""So many of the files that are missing or left are named."""


@dataclass(frozen=True)
class Recorded:
    """A run in MLflow: its status, how often it has each metric at each step, the names of its parameters and files."""

    status: str
    points: Counter[str]
    parameters: frozenset[str]
    files: frozenset[str]

    def without_checkpoints(self) -> "Recorded":
        """Return the run without its checkpoints."""
        return replace(self, files=frozenset(name for name in self.files if CHECKPOINTS not in name))


@dataclass(frozen=True)
class Contents:
    """What is in a folder.

    Attributes:
        files: How often there is a file of each name.
        learned: The digests of what was learned, by the names of the files.
        runs: The runs of MLflow by their names.
    """

    files: Counter[str]
    learned: Mapping[str, frozenset[str]]
    runs: Mapping[str, Sequence[Recorded]] = field(default_factory=dict)

    def without_checkpoints(self) -> "Contents":
        """Return the contents but for checkpoints."""
        files = Counter({name: times for name, times in self.files.items() if CHECKPOINTS not in name})
        runs = {name: [one.without_checkpoints() for one in runs] for name, runs in self.runs.items()}
        return replace(self, files=files, runs=runs)


def contents(folder: Path) -> Contents:
    """Return what is in a folder."""
    files, learned, runs = Counter[str](), dict[str, frozenset[str]](), dict[str, list[Recorded]]()
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if ARTIFACTS in parts or (path.is_dir() and any(path.iterdir())):
            continue
        name = without_times("/".join(parts)) + ("/" if path.is_dir() else "")
        files[name] += 1
        if LEARNED.fullmatch(path.name):
            learned[name] = learned.get(name, frozenset()) | {digest(path)}
    for database in folder.rglob(DATABASE):
        for run, recorded in _recorded(database):
            runs.setdefault(run, []).append(recorded)
    return Contents(files, learned, runs)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, or of all in the table of a sweep that must be equal."""
    if path.suffix != ".parquet":
        return sha256(path.read_bytes()).hexdigest()
    import pandas as pd

    return sha256(pd.read_parquet(path).drop(columns=CHANGING).to_csv().encode()).hexdigest()


def without_times(path: str) -> str:
    """Return a path with words for what is another one each time."""
    return "/".join(ONCE.sub("ID", AGAIN.sub(r"\1", TIME.sub("TIME", part))) for part in path.split("/"))


def _recorded(database: Path) -> Iterator[tuple[str, Recorded]]:
    """Yield the runs of a database with their names; a sweep's own numbers, which may be written anew, count once."""
    with closing(sqlite3.connect(database)) as connection:

        def column(sql: str, *values: str) -> list[str]:
            return [str(value) for (value,) in connection.execute(sql, values)]

        sweeps = column("SELECT value FROM tags WHERE key='mlflow.parentRunId'")
        rows = connection.execute(
            "SELECT run_uuid, name, status, artifact_uri FROM runs WHERE lifecycle_stage='active'"
        )
        for run_id, name, status, artifacts in rows.fetchall():
            points = column("SELECT key || ' at ' || step FROM metrics WHERE run_uuid=?", run_id)
            folder = Path(artifacts.removeprefix("file://"))
            files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(UPLOADING)]
            yield (
                name,
                Recorded(
                    status=status,
                    points=Counter(set(points) if run_id in sweeps else points),
                    parameters=frozenset(column("SELECT key FROM params WHERE run_uuid=?", run_id)),
                    files=frozenset(without_times(path.relative_to(folder).as_posix()) for path in files),
                ),
            )


def differences(expected: Contents, found: Contents) -> list[str]:
    """Return what is lost, what is there twice, and what is left."""
    complaints = [
        f"{what}: {_some(files)}"
        for what, files in (
            ("missing", expected.files - found.files),
            ("left", found.files - expected.files),
        )
        if files
    ]
    complaints += [
        f"{name} differs"
        for name in expected.learned
        if found.learned.get(name, expected.learned[name]) != expected.learned[name]
    ]
    for name, before in expected.runs.items():
        complaints += _differences(name, before, found.runs.get(name, ()))
    for name in found.runs.keys() - expected.runs.keys():
        complaints += _differences(name, (), found.runs[name])
    return complaints


def _differences(name: str, expected: Sequence[Recorded], found: Sequence[Recorded]) -> list[str]:
    """Return how what is recorded of a name differs from what should be."""
    ended = [run for run in found if run.status == "FINISHED"]
    complaints = [
        f"MLflow: {name} is {run.status}" for run in found if run.status not in ("FINISHED", "KILLED", "FAILED")
    ]
    if len(ended) != len(expected):
        return [*complaints, f"MLflow: {name} is FINISHED {len(ended)} times, not {len(expected)}"]
    for one, other in zip(expected, ended, strict=True):
        for what, left, right in (
            ("points", one.points, other.points),
            ("parameters", Counter(one.parameters), Counter(other.parameters)),
            ("files", Counter(one.files), Counter(other.files)),
        ):
            if left != right:
                difference = _some([*(left - right), *(right - left)])
                complaints.append(f"MLflow: {name} has {right.total()} {what}, not {left.total()}: {difference}")
    return complaints


def _some(names: "Counter[str] | Sequence[object]") -> str:
    listed = [str(name) for name in names]
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(listed[:SHOWN]) + more
