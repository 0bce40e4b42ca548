"""The record of a run, its folder: what is known before the training is in `run.json`, what came out in other files.

Whoever needs to know something of a run reads it there: a tracker, a sweep, `deliver`, `resume`.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from nnexp.config.code import code_fingerprint
from nnexp.config.experiment import Experiment
from nnexp.config.identity import without_effect
from nnexp.config.overrides import command
from nnexp.core.component import flat, resolved
from nnexp.core.errors import DamagedError, without_passwords
from nnexp.core.files import read_text, write_text
from nnexp.core.json_files import read_json, write_json
from nnexp.report.markdown import block, code
from nnexp.report.rows import summary as in_words
from nnexp.runs.prepare import Ready
from nnexp.storage.run_folder import (
    CONFIG,
    HISTORY,
    MAX_FILE_BYTES,
    RunSummary,
    files_to_record,
    read_history,
    write_yaml,
)
from nnexp.tracking.tracker import IDENTIFIER, FinishedRun, RunRecord
from nnexp.training.history import NOTHING, History
from nnexp.training.readings import TIME_TO, Reading

RECORD, ERROR = "run.json", "error.txt"
EXTENDED = "extended_to"
"""The tag with the length to which a run was extended; its params in the store stay those of its beginning."""
UNKNOWN_CODE = "unknown"
"""The code of a run of an earlier version, which had no record."""


def read_record(folder: Path) -> RunRecord | None:
    """Return the record in a run's folder; None if there is none, or it is damaged."""
    return read_json(folder / RECORD, RunRecord, MAX_FILE_BYTES)


def record_of(
    ready: Ready, environment: Mapping[str, str], earlier: RunRecord | None = None, code: str | None = None
) -> RunRecord:
    """Return the record of a run that begins now, or goes on.

    Args:
        ready: The run.
        environment: The tags of its environment.
        earlier: Its record, if it goes on.
        code: The fingerprint of the code that trains it; None: of the code of today.
    """
    identifier = uuid4().hex if earlier is None else earlier.identifier
    extended = {} if earlier is None else {key: text for key, text in earlier.tags.items() if key == EXTENDED}
    parameters = flat(resolved(ready.experiment))
    return RunRecord(
        group=ready.data.name,
        name=ready.name,
        parameters={key: value for key, value in parameters.items() if not without_effect(key)},
        tags={
            **ready.experiment.tracking.own_tags(),
            **extended,
            **environment,
            IDENTIFIER: identifier,
            "config_hash": ready.config_hash,
        },
        dataset=ready.dataset,
        identifier=identifier,
        overrides=[*map(without_passwords, ready.overrides)],
        config_hash=ready.config_hash,
        code=code or code_fingerprint(ready.experiment),
    )


def write_record(folder: Path, record: RunRecord, config: Experiment, *, durable: bool = False) -> None:
    """Write what is known of a run before it is trained, its config and its record, and forget an earlier failure."""
    write_yaml(folder / CONFIG, resolved(replace(config, tracking=config.tracking.in_files())))
    write_json(folder / RECORD, record, durable=durable)
    (folder / ERROR).unlink(missing_ok=True)


def summary_in(folder: Path, record: RunRecord | None = None) -> RunSummary | None:
    """Return the result of the run in a folder; None if it has not ended, also if a shorter one has that goes on.

    Its record is read if it is not given.
    """
    record, summary = record or read_record(folder), RunSummary.read(folder)
    same = summary is None or record is None or record.config_hash in ("", summary.config_hash)
    return summary if same else None


def write_error(folder: Path, reason: str, details: str) -> None:
    """Write why a run failed: a sentence, and the traceback."""
    write_text(folder / ERROR, f"{reason}\n\n{details}")


def finished_run(folder: Path, wanted: str | None = None) -> FinishedRun:
    """Return everything that a tracker records of the run in a folder; one without a result was killed, or failed.

    Raises DamagedError if there is no run, or its files are damaged.

    Args:
        folder: The folder.
        wanted: The path of a reading that is recorded, too; a tag says where a level was never reached.
    """
    record, summary = read_record(folder), summary_in(folder)
    if record is None:
        raise DamagedError(f"{folder} has no {RECORD}, or a damaged one")
    error = failure(folder) if summary is None else None
    history = history_of(folder)
    tags = outcome_tags(summary) if summary is not None else {} if error is None else {"error": error}
    metrics = {} if summary is None else best_metrics(summary)
    if summary is not None and wanted is not None:
        path = Reading.of(wanted).path
        value = summary.readings(history, wanted)[path]
        metrics |= {} if value is None else {path: value}
        tags |= {path: "never reached"} if value is None and Reading.of(wanted).kind == TIME_TO else {}
    changed = ("config_hash", EXTENDED) if EXTENDED in record.tags else ()
    return FinishedRun(
        facts=record,
        metrics=metrics,
        tags={**{key: record.tags[key] for key in changed}, **tags},
        description=_description(record, summary, history, folder),
        seconds=0.0 if summary is None else summary.seconds,
        status="FINISHED" if summary is not None else "KILLED" if error is None else "FAILED",
        history=history,
        files=files_to_record(folder),
    )


def history_of(folder: Path) -> History:
    """Return the evaluations of a run, none where it has no history yet.

    Raises DamagedError if its history is damaged.
    """
    if not (folder / HISTORY).is_file():
        return NOTHING
    try:
        return read_history(folder)
    except (OSError, ValueError) as error:
        raise DamagedError(f"{folder / HISTORY} is damaged ({error})") from error


def failure(folder: Path) -> str | None:
    """Return why a run failed, None if it did not."""
    try:
        return read_text(folder / ERROR, MAX_FILE_BYTES).partition("\n")[0]
    except (OSError, ValueError):
        return None


def _description(record: RunRecord, summary: RunSummary | None, history: History, folder: Path) -> str:
    """Return a run in a few lines of Markdown."""
    came_out = [] if summary is None else [in_words(history, summary.diverged_step, summary.final_time)]
    return "\n\n".join([block(command(*record.overrides)), *came_out, f"Files: {code(str(folder))}"])


def best_metrics(summary: RunSummary) -> dict[str, float]:
    """Return the metrics of the parameters that the run leaves, `final/...`, and of the best epoch, `best/...`."""
    final = {f"final/{name}": value for name, value in summary.final.items()}
    if summary.best_time is None:
        return final
    metrics = {f"best/{name}": value for name, value in summary.at_best.items()}
    return {**final, **metrics, f"best/{summary.unit}": float(summary.best_time)}


def outcome_tags(summary: RunSummary) -> dict[str, str]:
    """Return the tags by which diverged and stopped runs are found; NaN is never logged as a metric."""
    tags = {"diverged": str(summary.diverged_step is not None).lower()}
    if summary.diverged_step is not None:
        tags["diverged_step"] = str(summary.diverged_step)
    return tags if summary.stopped is None else {**tags, "stopped": summary.stopped}
