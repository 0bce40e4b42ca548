"""Which of several settings is best, as far as their repeats can tell.

A setting is called best if it is better than every other one, by Welch's test at 5 % each. That this needs no further
correction was shown by Hung and Fithian. What cannot be told apart from the first is not worse, it could be best, too.

References:
    Hung and Fithian, Rank Verification for Exponential Families, Annals of Statistics 2019, arXiv 1610.03944.
    Goldwasser, Fithian and Hooker, Gaussian Rank Verification, 2025, arXiv 2501.14142.
    Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 1979.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import sqrt

import numpy as np

from nnexp.core.component import Array

SIGNIFICANT, POWER = 0.05, 0.8
"""How often equal settings may be told apart, and how often different ones have to be for "would show"."""
FEWEST = 3
"""Fewer repeats than these claim nothing."""
MOST_REPEATS = 1000
"""More repeats than these are not asked for."""


@dataclass(frozen=True)
class Measured:
    """A setting with what its repeats gave.

    Attributes:
        name: What sets it apart.
        values: The metric of every repeat that did not diverge.
        diverged: How many did.
    """

    name: str
    values: tuple[float, ...]
    diverged: int = 0

    @property
    def mean(self) -> float:
        """Return the mean of the values."""
        return float(np.mean(self.values))

    @property
    def deviation(self) -> float:
        """Return their standard deviation; 0 of a single one."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else 0.0


@dataclass(frozen=True)
class Verdict:
    """What can be said of settings.

    Attributes:
        leader: The first by its mean.
        equal: The others with the same mean.
        next: The best of those that are behind; None if there is none.
        best: Whether the leader is shown to be better than every other.
        possible: The settings that could be best, the leader first; all of them where too few repeats say nothing.
        alike: Whether all of these differ from the leader by less than what matters.
        more_reliable: One that diverges less often than the leader, as far as that is shown; None if there is none.
    """

    leader: Measured
    equal: tuple[Measured, ...]
    next: Measured | None
    best: bool
    possible: tuple[Measured, ...]
    alike: bool
    more_reliable: Measured | None

    @property
    def gap(self) -> float:
        """Return how far the next one is behind."""
        return 0.0 if self.next is None else abs(self.leader.mean - self.next.mean)

    @property
    def repeats(self) -> int:
        """Return how many repeats the leader and the next one have at least."""
        others = (self.leader, *self.equal, *([] if self.next is None else [self.next]))
        return min(len(one.values) for one in others)

    @property
    def would_show(self) -> float | None:
        """Return the difference that these repeats show four times of five; None where they show none."""
        if self.next is None or self.repeats < FEWEST:
            return None
        return detectable(self.repeats) * pooled(self.leader, self.next)

    @property
    def needed(self) -> int | None:
        """Return how many repeats tell the leader from the next one four times of five; None if that is too many."""
        if self.next is None or self.repeats < FEWEST or self.gap == 0:
            return None
        return repeats_for(self.gap / deviation) if (deviation := pooled(self.leader, self.next)) else FEWEST


def verdict_on(settings: Sequence[Measured], sign: int, matters: float | None = None) -> Verdict | None:
    """Return what can be said of settings; None if there is nothing to compare.

    Args:
        settings: In any order: it decides nothing.
        sign: 1 where lower values are better, else -1.
        matters: Differences below it do not matter; None: every one does.
    """
    measured = sorted((one for one in settings if one.values), key=lambda one: (sign * one.mean, one.name))
    if len(measured) < 2:
        return None
    leader, others = measured[0], measured[1:]
    equal = tuple(one for one in others if one.mean == leader.mean)
    behind = [one for one in others if one.mean != leader.mean]
    telling = min(len(one.values) for one in measured) >= FEWEST
    two_sided = worse(leader, others, sign=sign) * 2
    more_reliable = next((one for one in others if diverges_oftener(leader, one)), None)
    possible = [one for one, out in zip(others, holm(worse(leader, others, sign=sign)), strict=True) if not out]
    possible = possible if telling else [*others]
    return Verdict(
        leader=leader,
        equal=equal,
        next=behind[0] if behind else None,
        best=bool(telling and not equal and more_reliable is None and (two_sided < SIGNIFICANT).all()),
        possible=(leader, *possible),
        alike=bool(
            telling and matters is not None and possible and all(farthest(leader, one) < matters for one in possible)
        ),
        more_reliable=more_reliable,
    )


def worse(leader: Measured, others: Sequence[Measured], *, sign: int) -> Array:
    """Return for each of the others how likely it would seem so much worse than the leader if it were not: Welch's p.

    It is one-sided, and 1/2 for equal ones.
    """
    from scipy.stats import ttest_ind_from_stats

    means, deviations, counts = (
        np.array([attribute(one) for one in others], float)
        for attribute in (lambda one: one.mean, lambda one: one.deviation, lambda one: len(one.values))
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        p: Array = ttest_ind_from_stats(
            mean1=sign * means,
            std1=deviations,
            nobs1=counts,
            mean2=sign * leader.mean,
            std2=leader.deviation,
            nobs2=len(leader.values),
            equal_var=False,
            alternative="greater",
        ).pvalue
    exact = np.where(sign * means > sign * leader.mean, 0.0, 0.5)  # none of them varies
    return np.where((deviations == 0) & (leader.deviation == 0), exact, p)


def holm(p: Array) -> list[bool]:
    """Return which hypotheses are rejected at 5 % for all of them together."""
    rejected = [False] * len(p)
    for rank, place in enumerate(np.argsort(p, kind="stable").tolist()):
        if p[place] * (len(p) - rank) >= SIGNIFICANT:
            break
        rejected[place] = True
    return rejected


def farthest(one: Measured, other: Measured) -> float:
    """Return how large the difference of two settings can be, by its 95 % interval (Welch)."""
    from scipy.stats import t

    parts = [setting.deviation**2 / len(setting.values) for setting in (one, other)]
    if sum(parts) == 0:
        return abs(one.mean - other.mean)
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(setting.values) - 1) for part, setting in zip(parts, (one, other), strict=True)
    )
    return abs(one.mean - other.mean) + float(t.ppf(1 - SIGNIFICANT / 2, freedom)) * sqrt(sum(parts))


def diverges_oftener(one: Measured, other: Measured) -> bool:
    """Tell whether a setting is shown to diverge oftener than another, by Fisher's exact test."""
    from scipy.stats import fisher_exact

    if one.diverged == 0:
        return False
    table = [[one.diverged, len(one.values)], [other.diverged, len(other.values)]]
    return bool(fisher_exact(table, alternative="greater").pvalue < SIGNIFICANT)


def pooled(one: Measured, other: Measured) -> float:
    """Return the standard deviation that two settings have in common."""
    return sqrt((one.deviation**2 + other.deviation**2) / 2)


@cache
def detectable(repeats: int) -> float:
    """Return the difference, in standard deviations, that a t test of so many repeats each shows four times of five."""
    from scipy.optimize import brentq
    from scipy.stats import nct, t

    freedom = 2 * (repeats - 1)
    critical = t.ppf(1 - SIGNIFICANT / 2, freedom)
    return float(brentq(lambda gap: nct.sf(critical, freedom, gap * sqrt(repeats / 2)) - POWER, 1e-3, 20.0))


def repeats_for(gap: float) -> int | None:
    """Return how many repeats show a difference, in standard deviations, four times of five; None if too many."""
    low, high = FEWEST - 1, FEWEST
    while detectable(high) > gap:
        if high >= MOST_REPEATS:
            return None
        low, high = high, min(2 * high, MOST_REPEATS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if detectable(middle) > gap else (low, middle)
    return high


def wins(one: Measured, other: Measured, sign: int) -> tuple[float, int]:
    """Return in how many pairs of repeats a setting is better than another, ties as halves; and how many there are."""
    signs = [np.sign(sign * (b - a)) for a, b in product(one.values, other.values)]
    return float(sum(signs) + len(signs)) / 2, len(signs)
