"""Asking again with fresh seeds: how good is what the first seeds chose, and is it better than the others?

The seeds that choose the best of many settings flatter it: of 20 equal ones with three seeds each, the mean of the
chosen one is 1.07 standard deviations too good. So the first few, and the default, are trained with seeds that chose
nothing. They test and measure the one that was chosen; they choose no other.
"""

from dataclasses import dataclass

from nnexp.analysis.results import FOLD, REPEATS, SEED, SPLIT_SEED, SweepResults
from nnexp.analysis.verdict import FEWEST, SIGNIFICANT, Measured, Moments, diverges_oftener, farthest, worse
from nnexp.config.overrides import Job, without

ASKED_AGAIN = 5
"""How many of the first settings are asked again, beside the default."""
DEFAULT = "the default"
OTHER_TASKS = ("dataset", "loss", "experiment", "trainer.epochs", "trainer.iterations")
"""Where one of these varies, or a key below it, the default is another task, or a longer one, and is not asked."""


@dataclass(frozen=True)
class Confirmation:
    """What fresh seeds say of the setting that the first ones chose.

    Attributes:
        leader: The setting that was chosen, measured by the fresh seeds.
        others: The others that were asked again.
        sign: 1 where lower values are better, else -1.
        matters: Differences below it do not matter; None: every one does.
        complete: Whether all fresh runs are there.
    """

    leader: Measured
    others: tuple[Measured, ...]
    sign: int
    matters: float | None = None
    complete: bool = True

    @property
    def thin(self) -> bool:
        """Tell whether there are too few fresh seeds to tell anything."""
        compared = [self.leader, *(one for one in self.others if not one.lost)]
        return any(len(one.values) < FEWEST for one in compared)

    @property
    def alike(self) -> list[Measured]:
        """Return the settings that are surely closer to the one that was chosen than what matters."""
        if self.matters is None or self.thin:
            return []
        return [one for one in self._compared if farthest(self.leader, one) < self.matters]

    @property
    def _compared(self) -> list[Measured]:
        return [one for one in self.others if one.values and not one.lost]

    @property
    def could_be_better(self) -> list[Measured]:
        """Return the settings that are neither shown to be worse than the one that was chosen, nor surely alike."""
        compared = [one for one in self._compared if one not in self.alike]
        if not compared or self.thin:
            return compared
        p = worse(Moments.of([self.leader], self.sign), Moments.of(compared, self.sign))
        return [
            one
            for one, of_one in zip(compared, p.tolist(), strict=True)
            if 2 * of_one >= SIGNIFICANT or diverges_oftener(self.leader, one)
        ]

    @property
    def best(self) -> bool:
        """Tell whether the chosen one is shown to be better than all others that were asked again."""
        return bool(self.others) and self.complete and not (self.thin or self.could_be_better or self.alike)


def confirmation_of(results: SweepResults) -> Confirmation | None:
    """Return what the fresh seeds of a sweep say; None where there are none, or not of the one that was chosen."""
    metric, order = results.metric, results.ranked
    if metric is None or not order:
        return None
    asked = {setting.name: setting for setting in results.grouped(results.fresh)}
    chosen = asked.pop(order[0].name, None)
    if chosen is None or not chosen.scores(metric):
        return None
    hashes = {
        run.config_hash
        for setting in (chosen, *(asked[one.name] for one in order if one.name in asked))
        for run in setting.runs
    }
    known = {setting.name for setting in results.settings}
    others = []
    for name, setting in asked.items():
        if name not in known and {run.config_hash for run in setting.runs} <= hashes:
            continue  # the default, which is one of the settings under another name
        measured = setting.measured(metric)
        others.append(measured if name in known else Measured(DEFAULT, measured.values, measured.diverged))
    return Confirmation(
        leader=chosen.measured(metric),
        others=tuple(others),
        sign=results.sign,
        matters=results.matters,
        complete=results.complete,
    )


def jobs_to_confirm(results: SweepResults, seeds: int, configured_seed: int) -> list[Job]:
    """Return the jobs that ask again: the first settings and the default, each with so many fresh seeds.

    None where nothing was chosen, or runs failed. What repeats a setting is what did before: a seed, or a split of the
    data. There are no fresh folds, so instead of these it is both.

    Args:
        results: Those of the seeds that chose.
        seeds: How many.
        configured_seed: The seed of runs that do not set one.
    """
    order = [setting for setting in results.ranked if not setting.halved][:ASKED_AGAIN]
    if len(results.settings) < 2 or not order or not seeds or not results.complete:
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
