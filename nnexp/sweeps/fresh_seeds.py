"""The jobs that ask again with fresh seeds what the first ones chose."""

from nnexp.analysis.results import FOLD, REPEATS, SEED, SPLIT_SEED, SweepResults
from nnexp.config.overrides import Job, without

FRESH_SEEDS, CHEAP = 10, 100_000_000
"""How many fresh seeds a sweep asks if it does not say, where runs x steps x parameters are at most `CHEAP`."""
ASKED_AGAIN = 5
"""How many of the first settings are asked again, beside the default."""
OTHER_TASKS = ("dataset", "loss", "experiment", "trainer.epochs", "trainer.iterations")
"""Where one of these varies, or a key below it, the default is another task, or a longer one, and is not asked."""


def jobs_to_confirm(results: SweepResults, seeds: int, configured_seed: int) -> list[Job]:
    """Return the jobs that ask again: the first settings and the default, each with so many fresh seeds.

    None where nothing was chosen, or runs failed. What repeats a setting is what did before: a seed, or a split of the
    data. There are no fresh folds, so instead of these it is both.

    Args:
        results: Those of the seeds that chose.
        seeds: How many.
        configured_seed: The seed of runs that do not set one.
    """
    if not seeds or not results.complete or len(results.settings) < 2:
        return []
    order = [setting for setting in results.ranked if not setting.halved][:ASKED_AGAIN]
    if not order:
        return []
    varied = {swept.key for swept in results.swept_keys}
    keys = [key for key in REPEATS if key in varied] or [SEED]
    if FOLD in keys:
        keys = [key for key in REPEATS if key in {*keys, SEED, SPLIT_SEED} and key != FOLD]
    first = {key: 1 + max(_used(results, key, configured_seed)) for key in keys}
    settings = [without(setting.runs[0].job, [*keys, FOLD]) for setting in order]
    dotted = [f"{key.replace('/', '.')}." for key in varied - {*REPEATS}]
    if not any(key.startswith(f"{task}.") for key in dotted for task in OTHER_TASKS):
        shared = set.intersection(*({*run.job} for run in results.runs))
        settings.append([override for override in without(results.runs[0].job, keys) if override in shared])
    return [[*job, *(f"{key}={first[key] + index}" for key in keys)] for job in settings for index in range(seeds)]


def _used(results: SweepResults, key: str, configured: int) -> set[int]:
    """Return the values of a key that repeats settings."""
    written = {run.value(key) for run in results.runs}
    return {configured if value is None else int(value) for value in written}
