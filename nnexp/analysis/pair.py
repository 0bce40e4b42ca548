"""Which of two settings is better, as far as their seeds can tell: A, B, or not shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nnexp.analysis.results import Setting, SweepResults
from nnexp.analysis.verdict import Measured, Moments, diverges_oftener, verdict_on, wins, worse
from nnexp.report.rows import figures

Letter = Literal["A", "B"]


@dataclass(frozen=True)
class Pair:
    """Two settings that were trained with the same seeds, called A and B.

    Attributes:
        a, b: What their seeds gave.
        metric: The metric that decides; None where they cannot be compared.
        sign: 1 where lower values of it are better, else -1.
        matters: A difference below it does not matter; None: every one does.
        gone: What became of the runs that it leaves out.
    """

    a: Measured
    b: Measured
    metric: str | None
    sign: int
    matters: float | None = None
    gone: str = "diverged"

    @classmethod
    def of(cls, results: SweepResults) -> "Pair":
        """Return the two halves of the runs of a sweep, which may be the same."""
        metric, half = results.metric if results.comparable else None, len(results.runs) // 2
        settings = (Setting(name, runs) for name, runs in (("A", results.runs[:half]), ("B", results.runs[half:])))
        a, b = (setting.measured(metric or "") for setting in settings)
        return cls(a, b, metric, results.sign, matters=results.matters, gone=results.gone)

    @property
    def better(self) -> Letter | None:
        """Return which is better: by its values, or because the other one diverges nearly always and it does not."""
        if self.metric is None:
            return None
        if self.a.lost and diverges_oftener(self.a, self.b):
            return "B"
        if self.b.lost and diverges_oftener(self.b, self.a):
            return "A"
        found = verdict_on([self.a, self.b], self.sign, self.matters)
        if found is None or not found.best:
            return None
        return "A" if found.leader == self.a else "B"

    @property
    def p(self) -> float | None:
        """Return the two-sided p of Welch's test; None where one of them has fewer than two values."""
        if min(len(self.a.values), len(self.b.values)) < 2:
            return None
        a, b = (Moments.of([one], self.sign) for one in (self.a, self.b))
        return 2 * min(float(worse(one, other)[0]) for one, other in ((a, b), (b, a)))

    @property
    def line(self) -> str:
        """Return the verdict in a sentence."""
        first = f"{self.better} is better" if self.better is not None else "Not shown which is better"
        if self.metric is None:
            return f"{first}: their losses or data differ, so that no metric compares them."
        line = f"{first}: {self.metric} {self._said(self.a)} of A, {self._said(self.b)} of B"
        if self.p is not None:
            count, pairs = wins(self.a, self.b, self.sign)
            line += f"; p {'< .001' if self.p < 0.001 else f'= {figures(self.p)}'}, A wins {count:g} of {pairs} pairs"  # noqa: PLR2004 - as tables say it
        return f"{line}."

    def as_json(self) -> Mapping[str, object]:
        """Return the verdict for a program."""
        return {
            "better": self.better,
            "metric": self.metric,
            "p": self.p,
            "matters": self.matters,
            **{name: {"values": one.values, "without": one.diverged} for name, one in (("A", self.a), ("B", self.b))},
        }

    def _said(self, one: Measured) -> str:
        """Return what the seeds of a setting gave, in words."""
        lost = f" ({one.diverged} of {one.repeats} {self.gone})" if one.diverged else ""
        return f"{one.written if one.values else 'none'}{lost}"
