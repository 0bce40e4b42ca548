"""The files of a run: its config, history and parameters, and a summary of its result."""

import csv
import io
import json
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import get_args

import numpy as np
import yaml

from nnexp.core.component import Array
from nnexp.core.files import atomically, read_text, sync_all, write_text
from nnexp.core.json_files import read_json, write_json
from nnexp.training.history import History, Unit
from nnexp.training.readings import all_readings

HALVING = "halving"
"""The first word of the reason with which successive halving stops a run."""
CONFIG, SUMMARY, HISTORY, TRACKED = "config.yaml", "result.json", "history.csv", "tracked.json"
PARAMETERS, FIGURES = "parameters.npz", "figures"
TIME_UNITS: tuple[Unit, ...] = get_args(Unit)
MAX_FILE_BYTES, MAX_HISTORY_BYTES = 2**20, 2**28
"""The largest files that are read: one from a stranger could be made to take all memory."""


@dataclass(frozen=True)
class RunSummary:
    """The result of a run in a few numbers, small enough to keep a thousand of them.

    Attributes:
        config_hash, data_digest, version: The hash of the config, the digest of the data, and the version of nnexp.
        unit, length: The length of the training in epochs or iterations.
        end: Every metric at the end; empty if nothing was evaluated.
        best: The best value over the training of every metric: the lowest loss, the highest accuracy.
        best_time: The epoch or iteration with the lowest selection loss (validation, else test); None if nothing was
            evaluated.
        at_best: Every metric at that time.
        baselines: The values to compare metrics with.
        diverged_step, stopped: The step at which it diverged and the reason why it ended early, or None.
        seconds: The time of the training; of a stack, the run's share.
        examples: How many the test and validation part have; nothing in a file of an earlier version.
        final: Every metric of the parameters that it leaves, those of the end or those that early stopping restored;
            empty if it diverged.
        final_time: When these were evaluated; None if they were not.
    """

    config_hash: str
    data_digest: str
    version: str
    unit: Unit
    length: int
    end: Mapping[str, float]
    best: Mapping[str, float]
    best_time: int | None
    at_best: Mapping[str, float]
    baselines: Mapping[str, float]
    diverged_step: int | None
    stopped: str | None
    seconds: float
    examples: Mapping[str, int] = field(default_factory=dict)
    final: Mapping[str, float] = field(default_factory=dict)
    final_time: int | None = None

    @property
    def halved(self) -> bool:
        """Tell whether successive halving stopped the run before its end."""
        return (self.stopped or "").startswith(HALVING)

    def write(self, folder: Path, *, durable: bool = False) -> None:
        """Write the summary as the last file of a run's folder: if it is there, all files are.

        If durable, that is so even if the machine dies.
        """
        if durable:
            sync_all(folder)
        write_json(folder / SUMMARY, self, durable=durable)

    @classmethod
    def read(cls, folder: Path) -> "RunSummary | None":
        """Return the summary in a run's folder; None if there is none, or it is damaged.

        Of an earlier version, the end is taken to be what the run left.
        """
        summary = read_json(folder / SUMMARY, cls, MAX_FILE_BYTES)
        if summary is None or summary.final_time is not None or summary.diverged_step is not None:
            return summary
        return replace(summary, final=summary.end)

    def readings(self, history: History, wanted: str | None = None) -> dict[str, float | None]:
        """Return by their paths the readings of the run's whole history, and the wanted one."""
        final, diverged = history.place(self.final_time), self.diverged_step is not None
        return all_readings(history, self.length, wanted, final=final, diverged=diverged)


def files_to_record(folder: Path) -> list[Path]:
    """Return the files and folders of a run, without the note about its tracking and what is hidden."""
    return sorted(path for path in folder.iterdir() if path.name != TRACKED and not path.name.startswith("."))


def write_yaml(path: Path, config: Mapping[str, object]) -> None:
    """Write a resolved config, which Hydra can read again."""
    write_text(path, "".join(_section(key, json.dumps(value)) for key, value in config.items()) or "{}\n")


@lru_cache(1000)
def _section(key: str, value: str) -> str:
    """Return a key and its value, given as JSON, in YAML; runs of a sweep share most of them."""
    return str(yaml.dump({key: json.loads(value)}, Dumper=_dumper(), sort_keys=False, allow_unicode=True))


@cache
def _dumper() -> type[yaml.SafeDumper]:
    """Return YAML's fastest writer, which quotes texts that OmegaConf would read as numbers, such as 1e3."""

    def represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        try:
            float(text)
        except ValueError:
            return dumper.represent_str(text)
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, "'")

    base: type[yaml.SafeDumper] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # the first needs a C library
    dumper: type[yaml.SafeDumper] = type("Dumper", (base,), {})
    dumper.add_representer(str, represent)
    return dumper


def write_history(folder: Path, history: History) -> None:
    """Write all evaluations, a line each."""
    with atomically(folder / HISTORY) as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([history.unit, *history.metrics])
        writer.writerows(zip(history.times.tolist(), *(row.tolist() for row in history.metrics.values()), strict=True))


def read_history(folder: Path) -> History:
    """Return all evaluations, bit for bit.

    Raises OSError or ValueError if there is no history, or it is damaged.
    """
    text = read_text(folder / HISTORY, MAX_HISTORY_BYTES)
    times, values = array("q"), array("d")
    try:
        rows = csv.reader(io.StringIO(text, newline=""))
        unit, *names = next(rows)
        for row in rows:
            time, *numbers = row
            if len(numbers) != len(names):
                raise ValueError(f"{HISTORY} has {len(numbers)} metrics in a row, not {len(names)}")
            times.append(int(time))
            values.extend(map(float, numbers))
    except (csv.Error, OverflowError, StopIteration) as error:
        raise ValueError(f"{HISTORY} is none ({error})") from error
    if unit not in TIME_UNITS or len({*names}) < len(names):
        raise ValueError(f"{HISTORY} has the header {unit}, {', '.join(names)}")
    columns = np.array(values, np.float64).reshape(len(times), len(names)).T
    metrics: dict[str, Array] = {name: column.copy() for name, column in zip(names, columns, strict=True)}
    return History(np.array(times, np.intp), metrics, unit)


def write_parameters(path: Path, parameters: Mapping[str, Array]) -> None:
    """Write parameters by name."""
    made = io.BytesIO()  # of which a disk gets one piece
    np.savez(made, allow_pickle=False, **parameters)
    with atomically(path) as temporary:
        temporary.write_bytes(made.getbuffer())
