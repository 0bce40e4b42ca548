"""Settings of a sweep with what a reading says of them: the points of its figures, in their order, and their axes."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import TypeVar

import numpy as np
import yaml

from nnexp.analysis.findings import DEFAULT, plateau
from nnexp.analysis.results import REPEATS, Setting, SweepResults, SweepRun, SweptKey, short
from nnexp.analysis.verdict import Measured, Verdict, verdict_on
from nnexp.core.component import flat
from nnexp.core.files import read_text
from nnexp.plots.style import FARTHEST, plain
from nnexp.plots.sweep import MOST_TICKS, Axis, Curve, Measure
from nnexp.storage.run_folder import CONFIG, MAX_FILE_BYTES, read_history
from nnexp.training.metrics import DIAGNOSTIC
from nnexp.training.readings import TIME_TO, Reading

UNEVEN_FACTOR = 4
"""Numbers stand side by side, as names do, where their largest step is this many times the smallest."""
K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True)
class Point:
    """A setting, with what a reading says of those of its repeats that have one."""

    setting: Setting
    runs: tuple[SweepRun, ...]
    values: tuple[float, ...]

    @property
    def run(self) -> SweepRun:
        """Return one of its runs, which says what its keys are."""
        return self.setting.runs[0]

    @property
    def lost(self) -> int:
        """Return how many of its repeats ended without the reading; those that failed did not end."""
        return sum(run.summary is not None for run in self.setting.runs) - len(self.values)

    @cached_property
    def mean(self) -> float:
        """Return the mean over the repeats."""
        return fmean(self.values)


def ordered(results: SweepResults, measure: Measure) -> list[Point]:
    """Return the settings that have a reading, from best to worst by their means, as they are ranked in the text."""
    sign = 1 if measure.lower else -1
    points = []
    for setting in results.settings:
        read = [(run, value) for run in setting.runs if (value := reading_of(run, measure.reading)) is not None]
        if read:
            runs, values = zip(*read, strict=True)
            points.append(Point(setting, runs, values))
    return sorted(points, key=lambda one: (_class(one, measure), sign * one.mean, one.setting.name))


def _class(point: Point, measure: Measure) -> tuple[bool, int]:
    """Return what counts before the mean, as in the text: halving, and how often a level was never reached."""
    timed = Reading.of(measure.reading).kind == TIME_TO
    return point.setting.halved, point.lost if timed else 0


def reading_of(run: SweepRun, path: str) -> float | None:
    """Return a reading of a run; a time to a level that the sweep was not asked for is read from its files."""
    wanted = Reading.of(path)
    if wanted.kind != TIME_TO or wanted.path in run.readings or run.summary is None or run.folder is None:
        return run.reading(path)
    with suppress(OSError, ValueError):
        return run.summary.readings(read_history(run.folder), path)[wanted.path]
    return None


def measure_of(results: SweepResults, path: str | None, *, log: bool | None = None) -> Measure | None:
    """Return what a reading measures; None: the one that ranks, if there is one."""
    path = path or results.metric
    if path is None:
        return None
    reading = Reading.of(path)
    return Measure(
        name=reading.name.replace("/", " ").replace("_", " "),
        unit=reading.unit(unit_of_times(results)),
        lower=reading.lower_is_better,
        metric=reading.metric,
        reading=reading.path,
        logarithmic=log,
    )


def ranked_by(results: SweepResults) -> str | None:
    """Return the path of the reading that ranks the runs."""
    return None if results.reading is None else results.reading.path


def can_compare(results: SweepResults, measure: Measure) -> bool:
    """Tell whether settings can be compared by a measure: their losses and data do not differ."""
    return (results if measure.reading == ranked_by(results) else replace(results, wanted=measure.reading)).comparable


def verdict_of(results: SweepResults, points: Sequence[Point], measure: Measure) -> Verdict | None:
    """Return the verdict on settings that went as far as the first; None where it has no rival."""
    rivals = [one for one in points if _class(one, measure) == _class(points[0], measure)]
    measured = [Measured(one.setting.name, one.values, one.lost) for one in rivals]
    matters = results.matters if measure.reading == ranked_by(results) else None
    return verdict_on(measured, 1 if measure.lower else -1, matters)


def so_few(results: SweepResults, found: Verdict) -> str:
    """Return the number of repeats where they are too few to claim anything, as in ` (1 seed)`."""
    if found.thin is None:
        return ""
    count, name = len(found.thin.values), results.repeats_name
    return f" ({count} {name if count > 1 else name.removesuffix('s')})"


def capitalized(name: str) -> str:
    """Return a name as it begins a sentence."""
    return f"{name[:1].upper()}{name[1:]}"


def finding(results: SweepResults, points: Sequence[Point], measure: Measure) -> str:
    """Return which setting comes first in a figure, and what can be said of it."""
    name = capitalized(measure.name)
    if measure.reading == ranked_by(results) and plateau(results) is not None:
        return "No run left the plateau"
    if not can_compare(results, measure) or measure.unit == DIAGNOSTIC:  # which has no better end
        return f"{name} by {', '.join(results.titles[one.key] for one in studied(results))}"
    again = results.confirmation if measure.reading == ranked_by(results) else None
    if again is not None:
        of = f"{'Best' if again.best else 'Chosen'}: {short(again.leader.name)}"
        return f"{of}, {measure.name} {again.leader.mean:.3g} with fresh {results.fresh_name}"
    found = verdict_of(results, points, measure)
    first, value = short(points[0].setting.name), f"{points[0].mean:.3g}"
    if found is None:
        return f"{name} {value}"
    if found.best:
        return f"Best: {first}, {measure.name} {value}"
    extreme = f"{'Lowest' if measure.lower else 'Highest'} {measure.name}"
    if found.equal:
        return f"{extreme}: {first} and {len(found.equal)} more are equal, {value}{so_few(results, found)}"
    others = 0 if found.thin is not None else len(found.possible) - 1
    more = f"; {others} more could be best" if others else so_few(results, found)
    return f"{extreme}: {first}, {value}{more}"


def axis_of(results: SweepResults, swept: SweptKey, *, numeric: bool = False) -> tuple[Axis, dict[str | None, float]]:
    """Return a swept key as an axis, and the place on it of each of its values; numeric ones never side by side."""
    numbers, title = swept.numbers, results.named(swept)
    unset = any(run.value(swept.key) is None for run in results.runs)
    if numbers is not None and swept.drawn:
        places: dict[str | None, float] = dict(zip(swept.values, numbers, strict=True))
        return Axis(title, logarithmic=swept.logarithmic), places
    labels = tuple(map(short, swept.values)) if numbers is None else _written_briefly(numbers)
    even = numbers is not None and not unset and (numeric or _even(numbers, logarithmic=swept.logarithmic))
    if numbers is not None and even:
        places = dict(zip(swept.values, numbers, strict=True))
        return Axis(title, numbers, labels, swept.logarithmic), places
    values = [*swept.values, *([None] if unset else [])]
    side_by_side = {value: float(place) for place, value in enumerate(values)}
    labels = (*labels, *([DEFAULT] if unset else []))
    return Axis(title, tuple(side_by_side.values()), labels, ordered=numbers is not None and not unset), side_by_side


def axis_of_numbers(swept: SweptKey, title: str) -> Axis:
    """Return a key of many numbers as an axis on which only round numbers have labels."""
    numbers = swept.numbers or ()
    return Axis(title, numbers, ("",) * len(numbers), swept.logarithmic)


def _written_briefly(numbers: Sequence[float]) -> tuple[str, ...]:
    """Return numbers with three digits, or more where two would be alike; whole ones as they are."""
    found: tuple[str, ...] = ()
    for digits in (3, 4, 6, 12):
        found = tuple(plain(n if n.is_integer() else float(f"{n:.{digits}g}")) for n in numbers)
        if len(set(found)) == len(set(numbers)):
            break
    return found


def _even(numbers: Sequence[float], *, logarithmic: bool) -> bool:
    """Tell whether numbers have their own places on an axis, rather than one beside the other."""
    if not 1 < len(numbers) <= MOST_TICKS:
        return len(numbers) > 1
    steps = np.diff(np.log(numbers) if logarithmic else numbers)
    return bool(steps.max() < UNEVEN_FACTOR * steps.min())


def values_of(run: SweepRun) -> dict[str, object]:
    """Return the config of a run by dotted keys, as its folder has it, and its overrides."""
    found: dict[str, object] = {}
    if run.folder is not None:
        try:
            content = yaml.safe_load(read_text(run.folder / CONFIG, MAX_FILE_BYTES))
        except (OSError, ValueError, yaml.YAMLError):
            content = None
        found = flat(content) if isinstance(content, dict) else {}
    return found | {dotted(key): value for key, _, value in (one.lstrip("+~").partition("=") for one in run.job)}


def curve_of(run: SweepRun, metric: str) -> Curve | None:
    """Return a metric of a run over time; None if it was not evaluated."""
    if run.curves is None or not len(run.curves) or metric not in run.curves.metrics:
        return None
    known = run.curves.known(metric)
    return known.times.astype(np.float64), np.clip(known.metrics[metric], -FARTHEST, FARTHEST)


def by_value(swept: SweptKey | None, points: Sequence[Point], results: SweepResults) -> list[tuple[str, list[Point]]]:
    """Return points by the value of a key, in the order of its values; all of them where there is no key."""
    if swept is None:
        return [("", [*points])]
    groups = grouped((value_of(point.run, swept), point) for point in points)
    unset = [DEFAULT] * any(run.value(swept.key) is None for run in results.runs)
    return [(name, groups.get(name, [])) for name in [*map(short, swept.values), *unset]]


def grouped(items: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """Return values by their keys, both in their order."""
    groups: dict[K, list[V]] = {}
    for key, item in items:
        groups.setdefault(key, []).append(item)
    return groups


def value_of(run: SweepRun, swept: SweptKey) -> str:
    """Return the value of a key in a run as it stands in legends and titles."""
    value = run.value(swept.key)
    return DEFAULT if value is None else short(value)


def studied(results: SweepResults) -> list[SweptKey]:
    """Return the keys that vary, repeats apart."""
    return [one for one in results.swept_keys if one.key not in REPEATS]


def apart(results: SweepResults, roles: Iterable[SweptKey]) -> list[str]:
    """Return the names of the keys that vary beside those of some roles, and beside what moves together with them."""
    shown = {key for group in results.together.values() if {*group} & {*roles} for key in group}
    return [results.named(one) for one in results.judged if one.key not in REPEATS and one not in shown]


def dotted(key: str) -> str:
    """Return a key with dots alone, so that `architecture/activation` is `architecture.activation`."""
    return key.replace("/", ".")


def unit_of_times(results: SweepResults) -> str:
    """Return what the times of runs count."""
    return next((run.summary.unit for run in results.runs if run.summary is not None), "epoch")
