"""Did my change help? A run beside the one most like it, and the command that asks both again with more seeds."""

from collections.abc import Mapping
from pathlib import Path

from nnexp.config.compose import compose_experiment
from nnexp.config.identity import config_hash
from nnexp.config.overrides import command
from nnexp.core.errors import UserError
from nnexp.core.files import is_usual, relative
from nnexp.report.rows import number
from nnexp.runs.find import listed
from nnexp.runs.record import read_record, summary_in
from nnexp.storage.run_folder import RunSummary
from nnexp.tracking.tracker import RunRecord
from nnexp.training.history import chosen_by

NEWEST = 20
"""How many earlier runs are looked at, for a run is not to wait for this."""
MOST_KEYS = 3
"""How many of the keys that differ are named."""
HASH_LETTERS = 6
SEED, LOSS = "seed", "loss"


def beside_the_last(folder: Path, record: RunRecord, summary: RunSummary, output_dir: Path) -> list[str]:
    """Return what differs from the run most like it, of the same data and metrics, and both scores; nothing without.

    One seed shows nothing, so the command that repeats both comes with it.
    """
    others = [] if not summary.final else _others_like(folder, record, summary, output_dir)
    if not others:
        return []
    earlier, before = min(others, key=lambda other: len(_differences(record.parameters, other[0].parameters)))
    different = _differences(record.parameters, earlier.parameters)
    part, losses_differ = (
        chosen_by(summary.final).partition("/")[0],
        any(key == LOSS or key.startswith(f"{LOSS}.") for key in different),
    )
    names = [name for name in summary.final if name.startswith(f"{part}/")]
    names = [name for name in names if not (losses_differ and name.endswith("/loss"))][:2]
    scores = [f"{name} {number(summary.final[name])}, was {number(before.final[name])}" for name in names]
    changed = [f"{key}={value}, was {was}" for key, (value, was) in [*different.items()][:MOST_KEYS]]
    more = len(different) - MOST_KEYS
    told = "; ".join([*changed, *(["1 more key" if more == 1 else f"{more} more keys"] if more > 0 else []), *scores])
    if different.keys() == {SEED}:
        return [f"Beside the run most like it: {told}. Only the seed differs, so that is chance."]
    if not all(map(_is_repeated, (earlier, record))):
        return [f"Beside the run most like it: {told}. One seed shows nothing."]
    where = [] if is_usual(output_dir) else ["--output-dir", relative(output_dir)]
    both = [one.config_hash[:HASH_LETTERS] for one in (earlier, record)]
    again = command("compare", *both, "--seeds", "10", *where)
    return [f"Beside the run most like it: {told}.", f"One seed shows nothing; to ask ten: {again}"]


def _is_repeated(record: RunRecord) -> bool:
    """Tell whether the overrides of a run make it again; those with an object of Python or configs elsewhere do not."""
    try:
        return config_hash(compose_experiment(record.overrides)) == record.config_hash
    except UserError:
        return False


def _others_like(
    folder: Path, record: RunRecord, summary: RunSummary, output_dir: Path
) -> list[tuple[RunRecord, RunSummary]]:
    """Return the other finished runs of the same data and metrics with another config, the newest first."""
    like = list[tuple[RunRecord, RunSummary]]()
    others = [other for other in listed(output_dir) if other.parent == folder.parent and other != folder]
    for other in others[:NEWEST]:
        known = read_record(other)
        before = None if known is None else summary_in(other, known)
        if (
            known is not None
            and before is not None
            and known.config_hash not in ("", record.config_hash)
            and before.data_digest == summary.data_digest
            and before.final.keys() == summary.final.keys()
        ):
            like.append((known, before))
    return like


def _differences(now: Mapping[str, object], before: Mapping[str, object]) -> dict[str, tuple[str, str]]:
    """Return the keys with another value, and both.

    The fields of a component that is another one go without saying, and so do those that an older version had not.
    """
    both = {key: (str(now[key]), str(before[key])) for key in now if key in before}
    return {key: values for key, values in both.items() if values[0] != values[1]}
