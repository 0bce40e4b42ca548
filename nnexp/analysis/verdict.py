"""Which of several settings is best, as far as their repeats can tell.

A setting is called best if it is better than every other one, by Welch's test at 5 % each, or by the paired one where
repeats have their data in common. That this needs no further
correction was shown by Hung and Fithian. What cannot be told apart from the first is not worse, it could be best, too.

References:
    Hung and Fithian, Rank Verification for Exponential Families, Annals of Statistics 2019, arXiv 1610.03944.
    Goldwasser, Fithian and Hooker, Gaussian Rank Verification, 2025, arXiv 2501.14142.
    Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 1979.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import comb, isclose, sqrt
from statistics import fmean, median_low, stdev

import numpy as np

from nnexp.core.component import Array
from nnexp.report.rows import figures, with_spread

SIGNIFICANT, POWER = 0.05, 0.8
"""How often equal settings may be told apart, and how often different ones have to be for "would show"."""
FEWEST = 3
"""Fewer repeats than these claim nothing."""
SCATTERED = 10
"""A setting whose values lie so many times as far apart as those of the median one is told as one that scatters."""
MOST_REPEATS = 1000
"""More repeats than these are not asked for."""
ROUNDING = 1e-12
"""Means that differ by a smaller share of themselves are equal."""


@dataclass(frozen=True)
class Measured:
    """A setting with what its repeats gave.

    Attributes:
        name: What sets it apart.
        values: The metric of every repeat that did not diverge.
        diverged: How many did.
        matched: Which repeat each value is of, where the repeats of all settings have their data in common, as splits
            do, and are compared one by one; else empty.
    """

    name: str
    values: tuple[float, ...]
    diverged: int = 0
    matched: tuple[Hashable, ...] = ()

    @property
    def mean(self) -> float:
        """Return the mean of the values, whatever their order."""
        return fmean(self.values)

    @property
    def deviation(self) -> float:
        """Return their standard deviation; 0 of a single one."""
        return stdev(self.values) if len(self.values) > 1 else 0.0

    @property
    def written(self) -> str:
        """Return the mean, and the deviation of several values."""
        return with_spread(self.mean, self.deviation) if len(self.values) > 1 else figures(self.mean)

    @property
    def repeats(self) -> int:
        """Return how many repeats there were, diverged ones included."""
        return len(self.values) + self.diverged

    def told(self, gone: str) -> str:
        """Return the mean and the deviation, and how many repeats are not in them: what became of them is `gone`."""
        if not self.values:
            return f"{gone} every time"
        return f"{self.written} ({self.diverged} {gone})" if self.diverged else self.written

    @property
    def lost(self) -> bool:
        """Tell whether it has diverged in so many of its repeats that their values cannot be compared."""
        return len(self.values) < 2 and self.repeats >= FEWEST

    def pairs(self, other: "Measured") -> Array:
        """Return the values of both, shape (2, repeats), for the repeats that both have; none where none is matched."""
        theirs = dict(zip(other.matched, other.values, strict=False))
        found = [
            (value, theirs[repeat])
            for repeat, value in zip(self.matched, self.values, strict=False)
            if repeat in theirs
        ]
        return np.array(found).reshape(-1, 2).T

    def equals(self, other: "Measured") -> bool:
        """Tell whether the means are the same."""
        return isclose(self.mean, other.mean, rel_tol=ROUNDING, abs_tol=0.0)


@dataclass(frozen=True)
class Moments:
    """Means, standard deviations and numbers of values, of one setting or many: arrays that broadcast."""

    mean: Array
    deviation: Array
    count: Array

    @classmethod
    def of(cls, settings: Sequence[Measured], sign: int = 1) -> "Moments":
        """Return those of settings, whose means are turned so that lower ones are better."""
        return cls(
            mean=sign * np.array([one.mean for one in settings]),
            deviation=np.array([one.deviation for one in settings]),
            count=np.array([len(one.values) for one in settings], float),
        )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What can be said of settings.

    Attributes:
        compared: How many settings were compared.
        leader: The first by its mean.
        equal: The others with the same mean.
        next: The best of those that are behind; None if there is none.
        thin: The one with the fewest repeats, if that are too few to claim anything.
        best: Whether the leader is shown to be better than every other, by a difference that matters.
        possible: The settings that could be best, the leader first; all of them where too few repeats say nothing.
        alike: The leader and all that is surely closer to it than what matters; empty if another one could be best.
        usual: The median of the standard deviations of all settings.
        more_reliable: One that diverges less often than the leader, as far as that is shown; None if there is none.
    """

    compared: int
    leader: Measured
    equal: tuple[Measured, ...]
    next: Measured | None
    thin: Measured | None
    best: bool
    possible: tuple[Measured, ...]
    alike: tuple[Measured, ...]
    usual: float
    more_reliable: Measured | None

    @property
    def gap(self) -> float:
        """Return how far the next one is behind."""
        return 0.0 if self.next is None else abs(self.leader.mean - self.next.mean)

    @property
    def scattered(self) -> list[Measured]:
        """Return the possible ones that are behind and not ruled out because their repeats differ so much."""
        behind = [one for one in self.possible[1:] if one not in self.equal]
        return [one for one in behind if one.deviation > SCATTERED * self.usual > 0]

    @property
    def would_show(self) -> float | None:
        """Return the difference to the closest rival that these repeats show four times of five; None if it is told."""
        rival = (*self.equal, self.next)[0]
        if rival is None or rival not in self.possible or self.thin is not None:
            return None
        repeats = min(len(self.leader.values), len(rival.values))
        return detectable(repeats, balance(self.leader, rival)) * pooled(self.leader, rival) or None

    @property
    def needed(self) -> int | None:
        """Return how many repeats tell the leader from the next one four times of five; None if that is too many."""
        if self.equal or self.next is None or not (deviation := pooled(self.leader, self.next)):
            return None
        enough = repeats_for(self.gap / deviation, balance(self.leader, self.next))
        return None if enough is None else max(enough, len(self.leader.values) + 1)


def verdict_on(settings: Sequence[Measured], sign: int, matters: float | None = None) -> Verdict | None:
    """Return what can be said of settings; None if there is nothing to compare.

    Settings that mostly diverged are left out, unless what is left of one leads.

    Args:
        settings: In any order: it decides nothing.
        sign: 1 where lower values are better, else -1.
        matters: Differences below it do not matter; None: every one does.
    """
    order = sorted((one for one in settings if one.values), key=lambda one: (sign * one.mean, one.name))
    others = [one for one in order[1:] if not one.lost]
    if not others:
        return None
    leader = order[0]
    few = [one for one in others if one.repeats < FEWEST] + [leader] * (len(leader.values) < FEWEST)
    thin = min(few, key=lambda one: (len(one.values), one.name), default=None)
    equal = tuple(one for one in others if one.equals(leader))
    more_reliable = next((one for one in others if diverges_oftener(leader, one)), None)
    shown, possible, near = False, others, list[Measured]()
    if thin is None:
        p = np.array([seems_worse(one, leader, sign) for one in others])
        shown = not equal and bool((2 * p < SIGNIFICANT).all())
        out = ruled_out(p)
        lost = [one.mean * sign > leader.mean * sign and diverges_oftener(one, leader) for one in others]
        possible = [one for one, *gone in zip(others, out, lost, strict=True) if one in equal or not any(gone)]
        near = [one for one in others if matters is not None and farthest(leader, one) < matters]
    return Verdict(
        compared=1 + len(others),
        leader=leader,
        equal=equal,
        next=next((one for one in others if one not in equal), None),
        thin=thin,
        best=shown and more_reliable is None and not near,
        possible=(leader, *possible),
        alike=(leader, *near) if near and (shown or all(one in near for one in possible)) else (),
        usual=median_low(one.deviation for one in (leader, *others)),
        more_reliable=more_reliable,
    )


def worse(leader: Moments, others: Moments) -> Array:
    """Return for each of the others how likely it would seem so much worse than the leader if it were not: Welch's p.

    It is one-sided, and 1/2 for equal ones. Values that do not vary are told apart: of three and three that are drawn
    alike, all of the first are one number and all of the others another one in at most one case of 32.
    """
    from scipy.stats import ttest_ind_from_stats

    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        p: Array = ttest_ind_from_stats(
            mean1=others.mean,
            std1=others.deviation,
            nobs1=others.count,
            mean2=leader.mean,
            std2=leader.deviation,
            nobs2=leader.count,
            equal_var=False,
            alternative="greater",
        ).pvalue
    exact = np.where(others.mean > leader.mean, 0.0, 0.5)  # none of them varies
    return np.where((others.deviation == 0) & (leader.deviation == 0), exact, p)


def seems_worse(one: Measured, than: Measured, sign: int) -> float:
    """Return how likely a setting would seem so much worse than another if it were not, one-sided.

    It is Welch's p; of matched repeats that of the paired test, for what the data of a repeat do to both is no scatter.
    """
    from scipy.stats import ttest_rel

    pairs = one.pairs(than)
    differences = sign * (pairs[0] - pairs[1])
    if len(differences) < FEWEST:
        return float(worse(Moments.of([than], sign), Moments.of([one], sign))[0])
    if np.ptp(differences) == 0:
        return 0.0 if differences[0] > 0 else 0.5
    return float(ttest_rel(*(sign * pairs), alternative="greater").pvalue)


def ruled_out(p: Array) -> list[bool]:
    """Return which settings are not best, by Holm's test at 5 % for all of them together.

    None of them is as long as Welch's test, with both sides as for calling one best, does not tell it from the leader.
    """
    out = [False] * len(p)
    for rank, place in enumerate(np.argsort(p, kind="stable").tolist()):
        if p[place] * max(len(p) - rank, 2) >= SIGNIFICANT:
            break
        out[place] = True
    return out


def farthest(one: Measured, other: Measured) -> float:
    """Return how large the difference of two settings can be, by its 95 % interval (Welch, or of matched repeats)."""
    from scipy.stats import t

    differences = np.subtract(*one.pairs(other))
    if len(differences) >= FEWEST:
        wide = t.ppf(1 - SIGNIFICANT / 2, len(differences) - 1) * differences.std(ddof=1) / sqrt(len(differences))
        return abs(float(differences.mean())) + float(wide)
    parts = [setting.deviation**2 / len(setting.values) for setting in (one, other)]
    if sum(parts) == 0:
        return abs(one.mean - other.mean)
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(setting.values) - 1) for part, setting in zip(parts, (one, other), strict=True)
    )
    return abs(one.mean - other.mean) + float(t.ppf(1 - SIGNIFICANT / 2, freedom)) * sqrt(sum(parts))


def diverges_oftener(one: Measured, other: Measured) -> bool:
    """Tell whether a setting is shown to diverge oftener than another, by Fisher's exact test."""
    if one.diverged == 0:
        return False
    runs, others = (setting.diverged + len(setting.values) for setting in (one, other))
    diverged = one.diverged + other.diverged
    as_many = range(one.diverged, min(runs, diverged) + 1)
    ways = sum(comb(runs, count) * comb(others, diverged - count) for count in as_many)
    return ways / comb(runs + others, diverged) < SIGNIFICANT


def pooled(one: Measured, other: Measured) -> float:
    """Return the standard deviation that two settings have in common, of matched repeats without what the data do."""
    differences = np.subtract(*one.pairs(other))
    if len(differences) >= FEWEST:
        return float(differences.std(ddof=1)) / sqrt(2)
    return sqrt((one.deviation**2 + other.deviation**2) / 2)


def balance(one: Measured, other: Measured) -> float:
    """Return the freedom of the test a repeat: 2 where both settings vary alike, 1 where only one does, or in pairs."""
    if one.pairs(other).shape[1] >= FEWEST:
        return 1.0
    parts = one.deviation**2, other.deviation**2
    return sum(parts) ** 2 / sum(part**2 for part in parts) if any(parts) else 2.0


@cache
def detectable(repeats: int, balance: float = 2.0) -> float:
    """Return the difference, in standard deviations, that a test of so many repeats each shows four times of five."""
    from scipy.optimize import brentq
    from scipy.stats import nct, t

    freedom = balance * (repeats - 1)
    critical = t.ppf(1 - SIGNIFICANT / 2, freedom)
    return float(brentq(lambda gap: nct.sf(critical, freedom, gap * sqrt(repeats / 2)) - POWER, 1e-3, 100.0))


def repeats_for(gap: float, balance: float = 2.0) -> int | None:
    """Return how many repeats show a difference, in standard deviations, four times of five; None if too many."""
    low, high = FEWEST - 1, FEWEST
    while detectable(high, balance) > gap:
        if high >= MOST_REPEATS:
            return None
        low, high = high, min(2 * high, MOST_REPEATS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if detectable(middle, balance) > gap else (low, middle)
    return high


def wins(one: Measured, other: Measured, sign: int) -> tuple[float, int]:
    """Return in how many pairs of repeats a setting is better than another, ties as halves; and how many there are.

    Matched repeats make one pair each, others all that there are.
    """
    matched = one.pairs(other).T.tolist()
    pairs = matched if len(matched) >= FEWEST else product(one.values, other.values)
    signs = [np.sign(sign * (b - a)) for a, b in pairs]
    return float(sum(signs) + len(signs)) / 2, len(signs)
