"""The results of a sweep: its runs, each reduced to what the answer, the report and the figures need."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from math import log, nan
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING

import numpy as np

from nnexp.analysis.confirmation import DEFAULT, Confirmation
from nnexp.analysis.verdict import Measured, Verdict, verdict_on
from nnexp.config.identity import without_effect
from nnexp.config.overrides import Job, key_of, run_name, split, titles_of
from nnexp.core.component import Array
from nnexp.plots.style import FARTHEST
from nnexp.storage.run_folder import RunSummary
from nnexp.training.history import History, chosen_by
from nnexp.training.readings import FINAL, START, TIME_TO, Reading
from nnexp.training.story import TRAINING_LOSS

if TYPE_CHECKING:
    from nnexp.analysis.run_table import RunTable

SEED = "seed"
SPLIT_SEED, FOLD = "dataset.split_seed", "dataset.fold"
REPEATS = (SEED, SPLIT_SEED, "dataset.seed", FOLD)
"""The keys whose values are repeats of a setting: none of them is better, and what counts is the mean over them."""
TREATMENTS = {
    "dataset.standardize",
    "dataset.standardize_targets",
    "dataset.categorical",
    "dataset.ignore",
    "dataset.missing",
    "dataset.dtype",
    "dataset.label_noise",
    "dataset.subsample",
    "dataset.validation_size",
}
"""The keys of a data set that leave the examples of the test part what they are; with any other one they differ."""
EXPLODED = 1000.0
"""A run has diverged, too, whose training loss ends so many times as large as it began."""
LONG_NUMBER = re.compile(r"(?<![\w.])\d+\.\d{4,}(?:e[+-]?\d+)?(?![\w.])")
"""A number with more digits than a name needs."""
MOST_LISTED = 20
"""Of more numbers that a key has, one reads the first and the last."""
KEPT_EVALUATIONS = 200
"""How many evaluations of a run a sweep keeps in memory; the run's folder has all."""


@dataclass(frozen=True, kw_only=True)
class SweepRun:
    """One run of a sweep.

    Attributes:
        job: Its overrides.
        name: What sets it apart from the others, as in `learning_rate=0.3 scale=0.1 seed=2`.
        config_hash: Its identity; jobs with the same one are one run.
        summary: What came out; None if it failed.
        curves: Its history, thinned to a few hundred evaluations; None if it failed.
        readings: By their paths, those of its whole history.
        error: Why it failed; None if it did not.
        reused: Whether it was trained by an earlier command.
        fresh: Whether its seed is one that chose nothing, and tests what others chose.
        folder: Where its files are.
        row: Its row in the table of the sweep, if that has one.
    """

    job: tuple[str, ...]
    name: str
    config_hash: str = ""
    summary: RunSummary | None = None
    curves: History | None = None
    readings: Mapping[str, float | None] = field(default_factory=dict)
    error: str | None = None
    reused: bool = False
    fresh: bool = False
    folder: Path | None = None
    row: int | None = None

    def ended(self, summary: RunSummary, history: History, wanted: str | None) -> "SweepRun":
        """Return the run with what came out of it, and with the readings that a sweep may rank by.

        Args:
            summary, history: What came out.
            wanted: The path of the reading that the sweep asks for, beside those that need no level.
        """
        readings = summary.readings(history, wanted)
        return replace(self, summary=summary, curves=history.thinned(KEPT_EVALUATIONS), readings=readings)

    @cached_property
    def diverged(self) -> bool:
        """Tell whether its loss was no longer finite at some step, or ended far above where it began."""
        if self.summary is None:
            return False
        final, begun = self.summary.final, self.readings.get(f"{START}/{TRAINING_LOSS}")
        exploded = begun is not None and final.get(TRAINING_LOSS, 0.0) > EXPLODED * begun > 0
        return self.summary.diverged_step is not None or exploded or any(abs(one) > FARTHEST for one in final.values())

    @property
    def halved(self) -> bool:
        """Tell whether successive halving stopped it before its end."""
        return self.summary is not None and self.summary.halved

    def value(self, key: str) -> str | None:
        """Return the value that an override gave to a key, as it was written; None where none did."""
        return self._values.get(key)

    @cached_property
    def _values(self) -> dict[str, str]:
        return dict(map(split, self.job))

    @cached_property
    def repeat(self) -> tuple[str | None, ...]:
        """Return which repeat of its setting it is."""
        return tuple(self.value(key) for key in REPEATS)

    def reading(self, path: str) -> float | None:
        """Return a reading such as `mean/train/loss`; a metric alone is its final one.

        None if the run failed or never reached the level, or if it diverged and the reading is none that it then has.
        """
        wanted = Reading.of(path)
        return None if self.diverged and not wanted.of_diverged else self.readings.get(wanted.path)


@dataclass(frozen=True)
class SweptKey:
    """A key that a sweep varies.

    Attributes:
        key: As on the command line, such as `optimizer.learning_rate`.
        values: Its values as on the command line: numbers in ascending order, others in the order of the sweep.
        drawn: Whether they were drawn from an interval; else they were listed.
    """

    key: str
    values: tuple[str, ...]
    drawn: bool = False

    @property
    def name(self) -> str:
        """Return its short name, such as `learning_rate`."""
        return self.key.replace("/", ".").rpartition(".")[2]

    @cached_property
    def numbers(self) -> tuple[float, ...] | None:
        """Return the values as numbers; None where one of them is a word, or too large or small for an axis."""
        numbers = [_number(value) for value in self.values]
        return tuple(number for number in numbers if number is not None) if None not in numbers else None

    @property
    def logarithmic(self) -> bool:
        """Tell whether it is shown best on a logarithmic axis.

        Its numbers are positive, over more than a factor of ten, and lie as evenly there: their median is no further
        from the middle of the axis.
        """
        if self.numbers is None or not 0 < 10 * self.numbers[0] < self.numbers[-1]:
            return False
        logarithms = [log(number) for number in self.numbers]
        return _off_centre(logarithms) <= _off_centre(self.numbers)


@dataclass(frozen=True)
class Setting:
    """Runs that differ in nothing but what repeats them, such as the seed.

    Attributes:
        name: What sets it apart from other settings; empty where there is only one.
        runs: One for each repeat.
    """

    name: str
    runs: tuple[SweepRun, ...]

    @property
    def finished(self) -> list[SweepRun]:
        """Return the runs that neither failed nor diverged."""
        return [run for run in self.runs if run.summary is not None and not run.diverged]

    @property
    def halved(self) -> bool:
        """Tell whether it has finished runs, and none of them went to the end."""
        return bool(self.finished) and all(run.halved for run in self.finished)

    def scores(self, path: str) -> list[float]:
        """Return a reading of every run that has it."""
        return [score for score, _ in self.scored(path)]

    def measured(self, path: str, *, matched: bool = False) -> Measured:
        """Return what its repeats gave; `matched` where those of other settings have the same data one by one."""
        scored = self.scored(path)
        repeats = tuple(run.repeat for _, run in scored) if matched else ()
        return Measured(self.name, tuple(score for score, _ in scored), self.without(path), repeats)

    def scored(self, path: str) -> list[tuple[float, SweepRun]]:
        """Return the runs that have a reading, and the reading of each."""
        return [(score, run) for run in self.runs if (score := run.reading(path)) is not None]

    def baselines(self, metric: str) -> list[float]:
        """Return the baseline of a metric for each run that has one."""
        known = [run.summary.baselines for run in self.runs if run.summary is not None]
        return [baselines[metric] for baselines in known if metric in baselines]

    def without(self, path: str) -> int:
        """Return how many of its runs ended without a reading: they diverged, or never reached a level."""
        return sum(run.summary is not None and run.reading(path) is None for run in self.runs)


@dataclass(frozen=True, kw_only=True)
class SweepResults:
    """All runs of a sweep, with its question and its command.

    Attributes:
        question: What the sweep is to find out, or None.
        command: The command that does the same.
        runs: The runs that were trained, failed or were reused, in the order of the sweep.
        missing: How many jobs were not done, because the sweep was interrupted, those with fresh seeds included.
        wanted: The path of the reading to rank by; None is the final selection loss (validation, else test).
        matters: Differences below it do not matter; None: every one does.
        fresh: The runs with seeds that chose nothing, which test what the others chose.
        drawn: The keys whose values were drawn from intervals.
        figures: The figures that were asked for, as configs; None: those that fit.
        table: The table with a row for every run, where a sweep has one; it can have more rows than `runs` has runs.
    """

    question: str | None
    command: str
    runs: tuple[SweepRun, ...]
    missing: int = 0
    wanted: str | None = None
    matters: float | None = None
    fresh: tuple[SweepRun, ...] = ()
    drawn: Sequence[str] = ()
    figures: Sequence[Mapping[str, object]] | None = None
    table: "RunTable | None" = None

    @cached_property
    def beyond(self) -> int:
        """Return how many rows of the table are none of the runs that are looked at."""
        return 0 if self.table is None else max(0, len(self.table) - len(self.runs))

    def numbers(self, keys: Sequence[str], path: str) -> Array:
        """Return the values of keys of numbers, and a reading, of every run or row: shape (runs, keys and reading)."""
        if self.table is not None and Reading.of(path).path in self.table.names:
            return self.table.numbers(keys, Reading.of(path).path)
        rows = [[*map(run.value, keys), run.reading(path)] for run in self.runs]
        return np.array([[nan if value is None else value for value in row] for row in rows], np.float64).reshape(
            -1, len(keys) + 1
        )

    @cached_property
    def metrics(self) -> list[str]:
        """Return the metrics that every evaluated run has, losses first."""
        evaluated = [run.summary.best for run in self.runs if run.summary is not None and run.summary.best]
        return [name for name in (evaluated or [{}])[0] if all(name in best for best in evaluated)]

    @property
    def metric(self) -> str | None:
        """Return the path of the reading that ranks the runs, a metric alone for its final one, or None."""
        if self.reading is None:
            return None
        return self.reading.metric if self.reading.kind == FINAL else self.reading.path

    @property
    def timed(self) -> bool:
        """Tell whether runs are ranked by the time to a level, which some may never have reached."""
        return self.reading is not None and self.reading.kind == TIME_TO

    @property
    def gone(self) -> str:
        """Return what became of runs that ended without the reading."""
        return "never got there" if self.timed else "diverged"

    @cached_property
    def reading(self) -> Reading | None:
        """Return the reading that ranks the runs; None where not all runs have its metric."""
        reading = Reading.of(self.wanted or chosen_by(self.metrics))
        return reading if reading.metric in self.metrics else None

    @property
    def listed(self) -> list[str]:
        """Return the metrics that have a column in tables: of the training part only the loss."""
        return [name for name in self.metrics if name == "train/loss" or not name.startswith("train/")]

    @property
    def shown(self) -> list[str]:
        """Return the readings that have a column in tables: the final ones of these metrics, and the one that ranks."""
        return [*dict.fromkeys([*self.listed, *([] if self.metric is None else [self.metric])])]

    @property
    def sign(self) -> int:
        """Return 1 where a lower value of the reading is better, else -1."""
        return 1 if self.reading is None or self.reading.lower_is_better else -1

    @property
    def total(self) -> int:
        """Return how many runs there would be in the whole sweep."""
        return len(self.runs) + self.beyond + len(self.fresh) + self.missing

    @cached_property
    def failed(self) -> list[SweepRun]:
        """Return the runs that failed."""
        return [run for run in self.runs if run.summary is None]

    @cached_property
    def failed_fresh(self) -> list[SweepRun]:
        """Return the runs with fresh seeds that failed."""
        return [run for run in self.fresh if run.summary is None]

    @cached_property
    def diverged(self) -> list[SweepRun]:
        """Return the runs that diverged."""
        return [run for run in self.runs if run.diverged]

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """Return how many runs there are, and how many failed and diverged: of a table in all its rows."""
        if self.table is not None and self.beyond:
            return self.table.counts
        return {"runs": len(self.runs), "failed": len(self.failed), "diverged": len(self.diverged)}

    @property
    def complete(self) -> bool:
        """Tell whether every job was done and none failed; a run that diverged is a result."""
        return not self.missing and not self.failed and not self.failed_fresh

    @cached_property
    def baselines(self) -> dict[str, list[float]]:
        """Return the values of the baselines, by metric: one each where all runs have the same data."""
        known = [run.summary.baselines for run in self.runs if run.summary is not None]
        names = dict.fromkeys(name for baselines in known for name in baselines)
        return {name: sorted({baselines[name] for baselines in known if name in baselines}) for name in names}

    @cached_property
    def losses_differ(self) -> bool:
        """Tell whether losses are of another kind, factor, weight or smoothing: their values mean other things."""
        return any(swept.key.partition(".")[0] == "loss" for swept in self.swept_keys)

    @cached_property
    def comparable(self) -> bool:
        """Tell whether the metric that ranks can be compared between settings.

        A loss can where neither losses nor data differ, other metrics where their own baseline is the same.
        """
        loss = self.reading is None or self.reading.metric.endswith("/loss")
        if loss and self.losses_differ:
            return False
        names = [*self.baselines] if loss or self.reading is None else [self.reading.metric]
        return self._same_examples and all(self.has_one_baseline(name) for name in names)

    @property
    def _same_examples(self) -> bool:
        """Tell whether all settings are tested on the same examples, in each of their repeats."""
        digests: dict[tuple[str | None, ...], set[str]] = {}
        for run in self.runs:
            if run.summary is not None:
                digests.setdefault(run.repeat, set()).add(run.summary.data_digest)
        varied = [swept.key.replace("/", ".") for swept in self.swept_keys if swept.key not in REPEATS]
        of_data = [key for key in varied if key.partition(".")[0] in ("dataset", "experiment")]
        return all(len(one) == 1 for one in digests.values()) or all(key in TREATMENTS for key in of_data)

    def has_one_baseline(self, name: str) -> bool:
        """Tell whether all settings have the same baseline of a metric, in each of their repeats."""
        found: dict[tuple[str | None, ...], set[float]] = {}
        for run in self.runs:
            if run.summary is not None and name in run.summary.baselines:
                found.setdefault(run.repeat, set()).add(run.summary.baselines[name])
        return all(len(values) == 1 for values in found.values())

    @property
    def repeats_name(self) -> str:
        """Return what its repeats are called: seeds, splits, folds, or repeats where they are of several kinds."""
        varied = [swept.key for swept in self.swept_keys if swept.key in REPEATS]
        names = {(): "seeds", (SEED,): "seeds", (SPLIT_SEED,): "splits", (FOLD,): "folds"}
        return names.get(tuple(varied), "repeats")

    @property
    def fresh_name(self) -> str:
        """Return what its fresh repeats are called; there are no fresh folds, but other splits."""
        return "splits" if self.repeats_name == "folds" else self.repeats_name

    @cached_property
    def fixed(self) -> list[str]:
        """Return the overrides that all runs share, but for those that change no number."""
        shared = set.intersection(*[set(run.job) for run in self.runs]) if self.runs else set()
        job = self.runs[0].job if self.runs else ()
        return [override for override in job if override in shared and not without_effect(key_of(override))]

    @cached_property
    def titles(self) -> dict[str, str]:
        """Return what each swept key is called: its short name, or the whole key where two share that."""
        return titles_of([swept.key for swept in self.swept_keys])

    @cached_property
    def swept_keys(self) -> list[SweptKey]:
        """Return the keys that are varied, in the order of the overrides; those that change no number are left out."""
        return swept_keys_of([run.job for run in self.runs], self.drawn)

    def span(self, swept: SweptKey) -> str | None:
        """Return between which numbers the values of a key lie, if they are drawn or many, else None."""
        if swept.numbers is None:
            return None
        every = np.array(swept.numbers)
        if self.table is not None and self.beyond:
            every = np.unique(self.table.reading(swept.key))
            every = every[np.isfinite(every)]
        if not swept.drawn and len(every) <= MOST_LISTED:
            return None
        kind = ", over orders of magnitude" if swept.logarithmic else ""
        return f"{len(every):,} values from {every[0]:.4g} to {every[-1]:.4g}{kind}"

    @cached_property
    def together(self) -> dict[str, list[SweptKey]]:
        """Return the keys that are varied, those that always move together, as zipped ones do, under the first one."""
        groups: dict[str, list[SweptKey]] = {}
        for swept in self.swept_keys:
            first = next((key for key in groups if self._move_together(key, swept.key)), swept.key)
            groups.setdefault(first, []).append(swept)
        return groups

    def _move_together(self, one: str, other: str) -> bool:
        if {one, other} & {*self.drawn}:  # no draw comes twice
            return False
        pairs = {(run.value(one), run.value(other)) for run in self.runs}
        if any(None in pair for pair in pairs):  # in different parts of a union
            return False
        return len(pairs) == len({value for value, _ in pairs}) == len({value for _, value in pairs})

    @property
    def judged(self) -> list[SweptKey]:
        """Return the keys that are varied; of those that move together the first, for all."""
        return [group[0] for group in self.together.values()]

    def named(self, swept: SweptKey, value: str | None = None) -> str:
        """Return what a key is called, with those that move together with it, or with one of its values theirs."""
        group = self.together[swept.key]
        if value is None or len(group) == 1:
            name = " and ".join(self.titles[one.key] for one in group)
            return name if value is None else f"{name}={short(value)}"
        run = next(run for run in self.runs if run.value(swept.key) == value)
        return " and ".join(f"{self.titles[one.key]}={short(run.value(one.key) or '')}" for one in group)

    @cached_property
    def settings(self) -> list[Setting]:
        """Return the runs by what they differ in, repeats apart, in the order of the sweep."""
        return self.grouped(self.runs)

    def grouped(self, runs: Sequence[SweepRun]) -> list[Setting]:
        """Return runs by the values of the keys that the sweep varies, repeats apart."""
        keys = [swept.key for swept in self.swept_keys if swept.key not in REPEATS]
        groups: dict[tuple[str | None, ...], list[SweepRun]] = {}
        known: set[tuple[object, ...]] = set()
        for run in runs:
            values = tuple(run.value(key) for key in keys)
            if not run.config_hash or (*values, run.config_hash) not in known:  # jobs may say the same in two ways
                groups.setdefault(values, []).append(run)
            known.add((*values, run.config_hash))
        names = {
            values: run_name([f"{key}={value}" for key, value in zip(keys, values, strict=True) if value], self.titles)
            for values in groups
        }
        nameless = DEFAULT if len(groups) > 1 else ""
        return [Setting(names[values] or nameless, tuple(runs)) for values, runs in groups.items()]

    @cached_property
    def ranked(self) -> list[Setting]:
        """Return the settings from best to worst by their mean reading, those that halving stopped at the end.

        Of times to a level, those come first of which the fewest repeats never reached it. Equal ones come by their
        names, so that the order of the sweep decides nothing. Settings without the reading are left out, and all are
        where they cannot be compared.
        """
        metric = self.metric
        if metric is None or not self.comparable:
            return []
        scored = [(fmean(scores), setting) for setting in self.settings if (scores := setting.scores(metric))]
        return [one for _, one in sorted(scored, key=lambda it: (self._class(it[1]), self.sign * it[0], it[1].name))]

    @property
    def best(self) -> dict[str, float]:
        """Return the metrics of the setting that ranks first, means over its repeats; nothing where none does."""
        scores = {name: self.ranked[0].scores(name) for name in self.metrics} if self.ranked else {}
        return {name: fmean(values) for name, values in scores.items() if values}

    def _class(self, setting: Setting) -> tuple[bool, int]:
        """Return what counts before the reading: whether halving stopped it, how often it never reached the level."""
        return setting.halved, setting.without(str(self.metric)) if self.timed else 0

    def _measured(self, setting: Setting) -> Measured:
        """Return what the repeats of a setting gave, matched where they are of several splits or data sets."""
        varied = {swept.key for swept in self.swept_keys if swept.key in REPEATS}
        return setting.measured(str(self.metric), matched=bool(varied - {SEED}))

    @cached_property
    def verdict(self) -> Verdict | None:
        """Return the verdict on the settings that got as far as the first; None if there are no others."""
        metric, order = self.metric, self.ranked
        if metric is None or not order:
            return None
        rivals = [setting for setting in order if self._class(setting) == self._class(order[0])]
        return verdict_on([self._measured(setting) for setting in rivals], self.sign, self.matters)

    @cached_property
    def confirmation(self) -> Confirmation | None:
        """Return what the fresh seeds say; None where there are none, or not of the setting that was chosen."""
        metric, order = self.metric, self.ranked
        if metric is None or not order:
            return None
        asked = {setting.name: setting for setting in self.grouped(self.fresh)}
        chosen = asked.pop(order[0].name, None)
        if chosen is None or not chosen.scores(metric):
            return None
        hashes = {
            run.config_hash
            for setting in (chosen, *(asked[one.name] for one in order if one.name in asked))
            for run in setting.runs
        }
        known = {setting.name for setting in self.settings}
        others = []
        for name, setting in asked.items():
            if name not in known and {run.config_hash for run in setting.runs} <= hashes:
                continue  # the default, which is one of the settings under another name
            measured = self._measured(setting)
            others.append(measured if name in known else replace(measured, name=DEFAULT))
        return Confirmation(
            leader=self._measured(chosen),
            others=tuple(others),
            sign=self.sign,
            matters=self.matters,
            complete=self.complete,
        )


def short(name: str) -> str:
    """Return the name of a setting with drawn numbers cut to four digits; `runs.csv` has all of them."""
    return re.sub(r"\d+\.\d{5,}(e[+-]?\d+)?", lambda found: f"{float(found[0]):.4g}", name) or "all"


def names_of(jobs: Sequence[Job]) -> list[str]:
    """Return what sets each job apart from the others, its overrides with short keys."""
    shared = set.intersection(*[set(job) for job in jobs]) if len(jobs) > 1 else set()
    titles = titles_of([*dict.fromkeys(key_of(override) for job in jobs for override in job if override not in shared)])
    return [run_name([override for override in job if override not in shared], titles) for job in jobs]


def shortened(names: Sequence[str]) -> list[str]:
    """Return names of runs with the fewest digits, four or more, that tell apart all that are told apart now."""
    for digits in (4, 6, 9):
        found = [LONG_NUMBER.sub(partial(_rounded, digits), name) for name in names]
        if len({*found}) == len({*names}):
            return found
    return [*names]


def _rounded(digits: int, number: re.Match[str]) -> str:
    return f"{float(number[0]):.{digits}g}"


def swept_keys_of(jobs: Sequence[Sequence[str]], drawn: Sequence[str] = ()) -> list[SweptKey]:
    """Return the keys that jobs vary, in the order of their overrides; those that change no number are left out.

    Those of `drawn` have values that were drawn from an interval.
    """
    given: dict[str, dict[str, None]] = {}
    count: Counter[str] = Counter()
    for job in jobs:
        values = dict(map(split, job))
        count.update(values.keys())
        for key, value in values.items():
            given.setdefault(key, {})[value] = None
    found = []
    for key, written in given.items():
        if (len(written) > 1 or count[key] < len(jobs)) and not without_effect(key):
            ordered = all(_number(value) is not None for value in written)
            values_in_order = tuple(sorted(written, key=float) if ordered else written)
            found.append(SweptKey(key, values_in_order, drawn=key in drawn))
    return found


def _off_centre(numbers: Sequence[float]) -> float:
    """Return how far the median of ascending numbers is from the middle of their range, as a share of the range."""
    return abs((median(numbers) - numbers[0]) / (numbers[-1] - numbers[0]) - 0.5)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if number == 0 or 1 / FARTHEST < abs(number) < FARTHEST else None
