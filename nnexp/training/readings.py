"""Readings make the curve of a metric one number: `final/test/loss`, `mean/train/loss`, `time_to/test/accuracy/0.99`.

They are written as paths, and are what ranks runs, what stands in tables and what figures show. A metric alone is its
`final` reading. They are computed from all evaluations of a run, never from a part of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isfinite, nan

import numpy as np

from nnexp.core.component import Array
from nnexp.core.errors import UserError
from nnexp.core.words import did_you_mean
from nnexp.training.history import History
from nnexp.training.metrics import lower_is_better, unit_of

FINAL, START, TIME_TO, TRAINABILITY = "final", "start", "time_to", "trainability"
LARGEST_RATIO = 1e6
"""Where the trainability cuts a loss, in units of its first value; a run that diverged has it from there on."""
LAST_TIMES = 20
"""The epochs, or iterations, before the end over which the trainability asks whether a run has converged."""


@dataclass(frozen=True)
class Curve:
    """The curve of one metric of a run.

    Attributes:
        times, values: The evaluations after the start, and the metric at each of them.
        start: The metric at time 0, before the first step; None if it was not evaluated there.
        final: The index of the evaluation whose parameters the run leaves; None if the metric is not known there.
        best: The index of the evaluation with the lowest selection loss; None likewise.
        lower: Whether a lower value of the metric is better.
        level: The level to reach, for the reading that asks for it.
        length: How long the run was to train.
        diverged: Whether it diverged.
    """

    times: Array
    values: Array
    start: float | None
    final: int | None
    best: int | None
    lower: bool
    level: float
    length: int
    diverged: bool

    @property
    def spans(self) -> Array:
        """Return the time that each evaluation stands for, which is that since the one before it."""
        return np.diff(self.times, prepend=0.0)


def _at(curve: Curve, place: int | None) -> float | None:
    return None if place is None else float(curve.values[place])


def _sum(curve: Curve) -> float:
    """Return sum of v_i (t_i - t_(i-1)) over all evaluations, with t_0 = 0."""
    return float(curve.spans @ curve.values)


def _mean(curve: Curve) -> float:
    """Return the sum over the time of the last evaluation."""
    return _sum(curve) / float(curve.times[-1])


def _time_to(curve: Curve) -> float | None:
    """Return the first time with v <= level of a loss, or v >= level of what is better when higher; None if never."""
    times, values = curve.times, curve.values
    if curve.start is not None:
        times, values = np.append(0.0, times), np.append(curve.start, values)
    there = np.flatnonzero(values <= curve.level if curve.lower else values >= curve.level)
    return float(times[there[0]]) if len(there) else None


def _trainability(curve: Curve) -> float | None:
    """Return how fast a run trains, below 0, or how fast it fails to, above 0; the border of trainability is between.

    With l_t the metric that stands for time t = 1, ..., T over its first value, at most 1e6, and 1e6 from where a run
    diverged to the time T at which it would have ended:

        -(l_1 + ... + l_T) if the mean of the last 20 is below 1, else 1 / l_1 + ... + 1 / l_T, each at most 1e6.

    The first value is that of time 0, or else of the first evaluation; None where that is 0, or there is none. It is
    for maps of what trains and what does not: in a ranking, what trains comes first, but not the fastest of it.

    References:
        Sohl-Dickstein, The Boundary of Neural Network Trainability Is Fractal, 2024, arXiv 2402.06184.
    """
    first = curve.start if curve.start is not None or not len(curve.values) else float(curve.values[0])
    if not first or not (len(curve.values) or curve.diverged):
        return None
    times, ratios = curve.times, np.minimum(curve.values / first, LARGEST_RATIO)
    if curve.diverged:
        times, ratios = np.append(times, float(curve.length)), np.append(ratios, LARGEST_RATIO)
    spans = np.diff(times, prepend=0.0)
    inverse = float((spans / np.maximum(ratios, 1 / LARGEST_RATIO)).sum())
    late = np.clip(times - max(0.0, times[-1] - LAST_TIMES), 0.0, spans)
    return -float((spans * ratios).sum()) if late @ ratios < late.sum() else inverse


@dataclass(frozen=True)
class Kind:
    """A kind of reading.

    Attributes:
        compute: Returns it of a curve; None if the curve has none.
        lower: Whether a lower one is better; None: as of the metric.
        of_diverged: Whether a run that diverged has it, too, and one without any evaluation but that at time 0.
    """

    compute: Callable[[Curve], float | None]
    lower: bool | None = None
    of_diverged: bool = False


READINGS = {
    FINAL: Kind(lambda curve: _at(curve, curve.final)),
    "end": Kind(lambda curve: float(curve.values[-1])),
    "start": Kind(lambda curve: curve.start, of_diverged=True),
    "best": Kind(lambda curve: _at(curve, curve.best)),
    "min": Kind(lambda curve: float(curve.values.min())),
    "max": Kind(lambda curve: float(curve.values.max())),
    "mean": Kind(_mean),
    "sum": Kind(_sum),
    TIME_TO: Kind(_time_to, lower=True, of_diverged=True),
    TRAINABILITY: Kind(_trainability, lower=True, of_diverged=True),
}
"""All kinds of readings. `final` is of the parameters that the run leaves, `best` of the lowest selection loss."""


@dataclass(frozen=True)
class Reading:
    """A kind of reading of a metric.

    Attributes:
        kind: One of `READINGS`.
        metric: Such as `test/loss`.
        level: The level that `time_to` asks for; nothing in others.
    """

    kind: str
    metric: str
    level: float = 0.0

    @classmethod
    def of(cls, path: str) -> "Reading":
        """Return the reading that a path names.

        Raises ValueError if it asks for a time to a level that is no number.
        """
        kind, _, metric = path.partition("/")
        if kind not in READINGS:
            return cls(FINAL, path)
        if kind != TIME_TO:
            return cls(kind, metric)
        metric, _, level = metric.rpartition("/")
        if not isfinite(float(level)):
            raise ValueError(f"{level} is no level")
        return cls(kind, metric, float(level))

    @property
    def path(self) -> str:
        """Return its whole path, such as `final/test/loss`."""
        return "/".join([self.kind, self.metric, *self._level])

    @property
    def name(self) -> str:
        """Return what sentences call it: a metric alone is the final one."""
        words = [] if self.kind == FINAL else [self.kind.replace("_", " ")]
        return " ".join([*words, self.metric, *self._level])

    @property
    def _level(self) -> list[str]:
        return [repr(self.level).removesuffix(".0")] if self.kind == TIME_TO else []

    @property
    def lower_is_better(self) -> bool:
        """Tell whether a lower value is better."""
        lower = READINGS[self.kind].lower
        return lower_is_better(self.metric) if lower is None else lower

    @property
    def of_diverged(self) -> bool:
        """Tell whether a run that diverged has it, too."""
        return READINGS[self.kind].of_diverged

    def unit(self, of_time: str) -> str:
        """Return its unit, given that of time."""
        of_metric = unit_of(self.metric)
        special = {TIME_TO: of_time, "sum": f"{of_metric} x {of_time}", TRAINABILITY: "below 0 it trains"}
        return special.get(self.kind, of_metric)

    def read(self, history: History, length: int, *, final: int = -1, diverged: bool = False) -> float | None:
        """Return the reading of a run; None if it has none, as never having reached a level.

        Args:
            history: All evaluations of the run.
            length: How long it was to train, in the unit of the history.
            final: The index of the evaluation whose parameters the run leaves.
            diverged: Whether it diverged.
        """
        if self.metric not in history.metrics:
            return None
        curve = _curve(history, self.metric, length, final=final, diverged=diverged)
        return _read(READINGS[self.kind], replace(curve, level=self.level))


def all_readings(
    history: History, length: int, wanted: str | None = None, *, final: int = -1, diverged: bool = False
) -> dict[str, float | None]:
    """Return by their paths all readings of a run that need no level, and the wanted one; `Reading.read` has the rest.

    Args:
        history, length, final, diverged: As in `Reading.read`.
        wanted: The path of one more.
    """
    found: dict[str, float | None] = {}
    for metric in history.metrics:
        curve = _curve(history, metric, length, final=final, diverged=diverged)
        found |= {f"{name}/{metric}": _read(kind, curve) for name, kind in READINGS.items() if name != TIME_TO}
    if wanted is not None and (one := Reading.of(wanted)).path not in found:
        found[one.path] = one.read(history, length, final=final, diverged=diverged)
    return found


def _curve(history: History, metric: str, length: int, *, final: int, diverged: bool) -> Curve:
    known = history.known(metric)
    first, values = known.first, known.metrics[metric]

    def place(index: int) -> int | None:
        there = np.flatnonzero(known.times[first:] == history.times[index]).tolist()
        return next(iter(there), None)

    some = len(history) > history.first
    return Curve(
        times=known.times[first:].astype(np.float64),
        values=values[first:],
        start=float(values[0]) if first else None,
        final=place(final) if some else None,
        best=place(history.best()) if some else None,
        lower=lower_is_better(metric),
        level=nan,
        length=length,
        diverged=diverged,
    )


def _read(kind: Kind, curve: Curve) -> float | None:
    none = not kind.of_diverged and (curve.diverged or not len(curve.values))
    with np.errstate(over="ignore"):  # a loss can be as large as a number can
        return None if none else kind.compute(curve)


def check_reading(path: str, metrics: Sequence[str], key: str) -> None:
    """Check that a path is a reading of one of these metrics.

    Raises UserError if it is not, naming the key of the config.
    """
    begin, _, rest = path.partition("/")
    listed, kinds = " or ".join(metrics), ", ".join(READINGS)
    try:
        reading = Reading.of(path)
    except ValueError:
        raise UserError(f"{key}={path}: must end in the level to reach, as {TIME_TO}/{metrics[0]}/0.1") from None
    if reading.metric in metrics:
        return
    if begin in READINGS or rest not in metrics:
        meaning = (
            did_you_mean(path, sorted(metrics, key=lambda name: name.startswith("train/")))
            or f", or a reading of one of them ({kinds}), as mean/{metrics[0]}"
        )
        raise UserError(f"{key}={path}: must be {listed}{meaning}")
    raise UserError(f"{key}={path}: must begin with a reading ({kinds}), as mean/{rest}, or be {rest} alone")
