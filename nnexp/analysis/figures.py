"""Figures of a sweep: components with options in `conf/figure/`.

A figure names varied keys and readings, is checked before anything is trained, and is drawn from the results. It pools
the values of other keys only where it says how.
"""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, partial
from math import isfinite, nan
from typing import Literal

import numpy as np

from nnexp.analysis.field import about_border, field_of, is_border
from nnexp.analysis.findings import DEFAULT
from nnexp.analysis.points import (
    Point,
    apart,
    axis_of,
    axis_of_numbers,
    by_value,
    can_compare,
    capitalized,
    curve_of,
    dotted,
    finding,
    grouped,
    measure_of,
    ordered,
    ranked_by,
    so_few,
    studied,
    unit_of_times,
    value_of,
    values_of,
    verdict_of,
)
from nnexp.analysis.results import REPEATS, Setting, SweepResults, SweepRun, SweptKey, short
from nnexp.config.overrides import split
from nnexp.core.component import Array, Component
from nnexp.core.errors import UserError
from nnexp.core.expressions import check_expression, evaluated
from nnexp.core.words import did_you_mean
from nnexp.plots.style import FARTHEST
from nnexp.plots.sweep import (
    Axis,
    Cells,
    Cloud,
    Curve,
    CurveLine,
    CurvePanel,
    Draw,
    Line,
    Look,
    Measure,
    Panel,
    Said,
    curve_panels,
    image,
    line_panels,
    pixels,
    scatter_map,
)
from nnexp.training.readings import check_reading

BEST_SETTINGS = 5
"""How many of the best settings get a colour of their own."""
BINS = 10
"""How many bins drawn values are put into, to find the best of each."""
MAX_LINES, MAX_PANELS = 8, 6
"""The most lines of a panel and the most panels that are chosen without being asked for."""
MOST_NAMED = 5
"""The most lines that are named in a title."""
FIT_POINTS = 50


@dataclass(frozen=True)
class Asked:
    """What a sweep is asked for, before it is trained.

    Attributes:
        jobs: Its jobs, or the first batch of them.
        swept: The keys that they vary.
        drawn: The keys whose values are drawn from intervals.
        metrics: The metrics that all of its runs will have.
        config: The config of its first run, by dotted keys.
    """

    jobs: Sequence[Sequence[str]]
    swept: Sequence[SweptKey]
    drawn: Sequence[str]
    metrics: Sequence[str]
    config: Mapping[str, object]

    @cached_property
    def keys(self) -> list[SweptKey]:
        """Return the keys that vary, repeats apart."""
        later = [SweptKey(key, (), drawn=True) for key in self.drawn if key not in {one.key for one in self.swept}]
        return [one for one in [*self.swept, *later] if one.key not in REPEATS]


Roles = dict[str, SweptKey]
"""The varied keys that a figure names, by its fields."""


@dataclass(frozen=True)
class Figure(Component):
    """A figure of the results of a sweep."""

    title: str | None = None
    pool: Literal["best"] | None = None

    @abstractmethod
    def roles(self, keys: Sequence[SweptKey]) -> Roles:
        """Return the varied keys that the figure names, or takes because none is named."""

    @abstractmethod
    def draw(self, results: SweepResults) -> Draw | None:
        """Return the figure of results; None where nothing can be drawn."""

    def check(self, path: str, asked: Asked) -> None:
        """Check its keys and readings; `path` is its place in the config.

        Raises UserError if a key does not vary, another one varies too, or something is not known.
        """
        known = {dotted(one.key): one for one in asked.keys}
        for name in self.key_fields:
            key = getattr(self, name)
            if key is None or dotted(key) in known or (name in ("line", "panel") and dotted(key) in asked.config):
                continue  # a line or a panel of what does not vary is the only one
            which = " or ".join(one.key for one in asked.keys) or "but none does"
            wanted = f"must be a key that varies, {which}{did_you_mean(key, known)}"
            raise UserError(f"{path}.{name}={key}: {wanted}; sweep.figures=null draws what fits")
        roles = self.roles(asked.keys)
        named = [one.key for one in roles.values()]
        for name, one in roles.items():
            if named.count(one.key) > 1:
                raise UserError(f"{path}.{name}={one.key}: must be another key than the others of this figure")
        self.check_more(path, asked)
        too = None if self.pool is not None else self.too(named, asked)
        if too is not None:
            others = [name for name in ("line", "panel") if hasattr(self, name)]
            way = f"name it {' or '.join(others)}, or say pool: best" if others else "say pool: best"
            raise UserError(f"{path}: {too} varies, too: {way}")

    @property
    def key_fields(self) -> list[str]:
        """Return the fields that name keys."""
        return [one.name for one in fields(self) if one.name in ("x", "line", "panel")]

    def named(self, keys: Sequence[SweptKey], *names: str) -> Roles:
        """Return the varied keys that these fields name."""
        known = {dotted(one.key): one for one in keys}
        written = {name: dotted(getattr(self, name) or "") for name in names}
        return {name: known[key] for name, key in written.items() if key in known}

    @abstractmethod
    def check_more(self, path: str, asked: Asked) -> None:
        """Check what is of this kind of figure alone."""

    def too(self, named: Sequence[str], asked: Asked) -> str | None:
        """Return a key that varies although all named ones have one value; None if there is none."""
        unnamed = [one for one in asked.keys if one.key not in named]
        if any(one.drawn for one in unnamed):
            return next(one.key for one in unnamed if one.drawn)
        if not unnamed:  # as usual; to look at a million jobs takes ten seconds
            return None
        jobs = [dict(map(split, job)) for job in asked.jobs]
        groups = grouped((tuple(job.get(key) for key in named), job) for job in jobs)
        for one in unnamed:
            if any(len({job.get(one.key) for job in group}) > 1 for group in groups.values()):
                return one.key
        return None


@dataclass(frozen=True)
class Lines(Figure):
    """A reading over a key: means over the repeats, joined, and every run as a dot."""

    x: str | None = None
    y: str | None = None
    line: str | None = None
    panel: str | None = None
    mark: Literal["best"] | None = None
    band: bool = True
    fit: Literal["power"] | None = None
    reference: str | None = None
    log: Literal["y", "none"] | None = None

    def roles(self, keys: Sequence[SweptKey]) -> Roles:
        """Return the keys of x, line and panel; x is the first of numbers that is not named otherwise."""
        roles = self.named(keys, "line", "panel")
        x = self.named(keys, "x").get("x") if self.x is not None else _first_numbers(keys, roles.values())
        return roles if x is None else {"x": x, **roles}

    def check_more(self, path: str, asked: Asked) -> None:
        """Check the reading and the reference, and that there is a key."""
        _check_there(path, "x", self.roles(asked.keys))
        if self.y is not None:
            check_reading(self.y, asked.metrics, f"{path}.y")
        if self.reference is not None:
            check_expression(self.reference, f"{path}.reference", asked.config)

    def draw(self, results: SweepResults) -> Draw | None:
        """Return the figure of results; None where no run has the reading."""
        keys, measure = studied(results), measure_of(results, self.y, log=_scale(self.log, "y"))
        roles = self.roles(keys)
        if measure is None or "x" not in roles:
            return None
        points = ordered(results, measure)
        if not points:
            return None
        panels = self.panels(results, points, roles)
        where = self._where(results, points, roles, measure)
        title = self.title or "\n".join(where or [finding(results, points, measure)])
        others = apart(results, [*roles.values()])
        if self.pool is not None and others and self.title is None:
            title += f"\neach point is the best over {', '.join(others)}"
        said = Said(
            title=title,
            lines_are=results.titles[roles["line"].key] if "line" in roles else "",
            repeats=results.repeats_name,
            reference=self.reference or "",
            extreme="lowest" if measure.lower else "highest",
            mean="best of each value" if self.pool is not None and others else f"mean of {results.repeats_name}",
        )
        return partial(line_panels, panels, measure, said)

    def panels(self, results: SweepResults, points: Sequence[Point], roles: Roles) -> list[Panel]:
        """Return the panels, each with its lines; `points` are in the order of their means, the best first."""
        x, line, panel = roles["x"], roles.get("line"), roles.get("panel")
        axis, places = axis_of(results, x, numeric=self.fit is not None)
        read = {id(run) for point in points for run in point.runs}
        gone = [run for run in results.diverged if id(run) not in read]
        found = []
        for of_panel, inside in by_value(panel, points, results):
            lines = [
                self._line(mine, x, places, name=of_line) for of_line, mine in by_value(line, inside, results) if mine
            ]
            title = f"{results.titles[panel.key]}={of_panel}" if panel is not None else ""
            mine = [run for run in gone if panel is None or value_of(run, panel) == of_panel]
            lost = [places.get(run.value(x.key), nan) for run in mine]
            found.append(Panel(axis=axis, lines=lines, lost=np.array(lost, float), title=title))
        return found

    def _line(self, points: Sequence[Point], x: SweptKey, places: Mapping[str | None, float], *, name: str) -> Line:
        shown: dict[float, Point] = {}
        for point in points:  # from best to worst: the first at a place is its best
            place = places.get(point.run.value(x.key), nan)
            if isfinite(place):
                shown.setdefault(place, point)
        kept = sorted(shown)
        if x.drawn and self.pool is not None and len(kept) > BINS:
            bins = np.array_split(np.array(kept), BINS)
            order = {id(point): rank for rank, point in enumerate(points)}
            kept = [min(part.tolist(), key=lambda place: order[id(shown[place])]) for part in bins]
        means = np.array(kept), np.array([shown[place].mean for place in kept])
        dots = [(places.get(point.run.value(x.key), nan), value) for point in points for value in point.values]
        first = next((place for place in shown if place in kept), None)
        return Line(
            label=name,
            means=means,
            low=np.array([min(shown[place].values) if self.band else shown[place].mean for place in kept]),
            high=np.array([max(shown[place].values) if self.band else shown[place].mean for place in kept]),
            dots=(np.array([place for place, _ in dots]), np.array([value for _, value in dots])),
            best=(first, shown[first].mean) if self.mark is not None and first is not None else None,
            fit=power_fit(*means) if self.fit is not None else None,
            reference=None
            if self.reference is None
            else (means[0], np.array([evaluated(self.reference, values_of(shown[place].run)) for place in kept])),
        )

    def _where(self, results: SweepResults, points: Sequence[Point], roles: Roles, measure: Measure) -> list[str]:
        """Return for every panel at which value of x each line is lowest or highest, where that is marked.

        A ~ stands before a value that is not told from others, or at the end how few the repeats are.
        """
        x, line, panel, titles = roles["x"], roles.get("line"), roles.get("panel"), results.titles
        rows = []
        for of_panel, inside in by_value(panel, points, results) if self.mark is not None else ():
            lines = {name: mine for name, mine in by_value(line, inside, results) if mine}
            found = {name: verdict_of(results, mine, measure) for name, mine in lines.items()}
            sure = {name: one is None or one.best or one.thin is not None for name, one in found.items()}
            best = {name: f"{'' if sure[name] else '~'}{_written(mine[0].run, x)}" for name, mine in lines.items()}
            words = [f"{titles[panel.key]}={of_panel}:" if panel is not None else capitalized(measure.name)]
            words.append("lowest at" if measure.lower else "highest at")
            alike = len(set(best.values())) == 1
            if line is None or alike:
                words += [
                    titles[x.key],
                    next(iter(best.values())),
                    *([] if line is None else [f"for every {titles[line.key]}"]),
                ]
            elif len(best) <= MOST_NAMED:
                words.append(f"{titles[x.key]} {', '.join(best.values())} for {titles[line.key]} {', '.join(best)}")
            else:
                words.append(f"{len(set(best.values()))} values of {titles[x.key]}, by {titles[line.key]}")
            few = {so_few(results, one): None for one in found.values() if one is not None}
            unsure = "" if all(sure.values()) else " (~: not told from others)"
            rows.append(f"{' '.join(words)}{unsure}{next(iter(few), '')}")
        return rows


@dataclass(frozen=True)
class Image(Figure):
    """A reading of every pair of values, as a colour; of drawn values, every run as a point."""

    x: str | None = None
    y: str | None = None
    value: str | None = None
    colours: Literal["cividis", "viridis", "magma", "gray", "coolwarm", "spectral"] | None = None
    levels: tuple[float, ...] = ()
    log: Literal["value", "none"] | None = None

    @property
    def key_fields(self) -> list[str]:
        """Return the fields that name keys."""
        return ["x", "y"]

    def roles(self, keys: Sequence[SweptKey]) -> Roles:
        """Return the keys of x and y, the first of numbers where they are not named."""
        roles = self.named(keys, "x", "y")
        for name in ("x", "y"):
            first = _first_numbers(keys, roles.values())
            if name not in roles and first is not None:
                roles[name] = first
        return roles

    def check_more(self, path: str, asked: Asked) -> None:
        """Check the reading, and that there are two keys."""
        for name in ("x", "y"):
            _check_there(path, name, self.roles(asked.keys))
        if self.value is not None:
            check_reading(self.value, asked.metrics, f"{path}.value")

    def draw(self, results: SweepResults) -> Draw | None:
        """Return the figure of results; None where no run has the reading."""
        keys, measure = studied(results), measure_of(results, self.value, log=_scale(self.log, "value"))
        roles = self.roles(keys)
        points = [] if measure is None else ordered(results, measure)
        if measure is None or len(roles) < 2 or not points:
            return None
        x, y = roles["x"], roles["y"]
        others = apart(results, [x, y])
        pooled = "\neach point is a run" if x.drawn or y.drawn else f"\neach cell is the best over {', '.join(others)}"
        found = about_border(results) if measure.reading == ranked_by(results) else []
        sentence = found[0].partition(" (")[0].replace("; ", "\n") if found else finding(results, points, measure)
        title = self.title or sentence + (pooled if others else "")
        look, cells = self._look(measure), self._field(results, measure, roles)
        if cells is not None:
            return partial(image, cells, measure, title, look)
        (x_axis, columns), (y_axis, rows) = axis_of(results, x), axis_of(results, y)
        if x.drawn or y.drawn:
            read = [(point.run, value) for point in points for value in point.values]
            placed = _placed(read, (x, columns), (y, rows))
            lost = _placed([(run, nan) for run in results.diverged], (x, columns), (y, rows))
            kept = np.isfinite(placed[:, :2]).all(axis=1)
            cloud = Cloud(x=x_axis, y=y_axis, runs=placed[kept], lost=lost[:, :2])
            return partial(scatter_map, cloud, measure, title, look)
        return partial(image, _cells(results, points, (x, x_axis, columns), (y, y_axis, rows)), measure, title, look)

    def pixels(self, results: SweepResults) -> Draw | None:
        """Return the picture without axes, a pixel a run; None where the sweep is no field."""
        measure = measure_of(results, self.value, log=_scale(self.log, "value"))
        cells = None if measure is None else self._field(results, measure, self.roles(studied(results)))
        return None if measure is None or cells is None else partial(pixels, cells, measure, self._look(measure))

    def _look(self, measure: Measure) -> Look:
        """Return the colours; a border at 0 has others on either side, by the ranks of values there."""
        ranked = is_border(measure.reading)
        name = (self.colours or ("spectral" if ranked else "cividis")).replace("spectral", "Spectral")
        return Look(colours=f"{name}{'_r' if measure.lower else ''}", levels=self.levels, ranked=ranked)

    def _field(self, results: SweepResults, measure: Measure, roles: Roles) -> Cells | None:
        """Return the cells of a field, whose axes may stand the other way; None where the sweep is none."""
        field = field_of(results, measure.reading) if len(roles) == 2 else None
        if field is None:
            return None
        turned = roles["x"].key == field.y.key
        x, y, values = (field.y, field.x, field.values.T) if turned else (field.x, field.y, field.values)
        lost, best = np.isnan(values), None
        if not is_border(measure.reading) and not lost.all():
            row, column = np.unravel_index((np.nanargmin if measure.lower else np.nanargmax)(values), values.shape)
            best = int(row), int(column)
        axes = (axis_of_numbers(one, results.titles[one.key]) for one in (x, y))
        return Cells(x=next(axes), y=next(axes), values=values, lost=lost, best=best)


@dataclass(frozen=True)
class Curves(Figure):
    """A metric over time: repeats as thin lines at their own times, means over them thick."""

    y: str | None = None
    line: str | None = None
    panel: str | None = None
    log: Literal["x", "y", "xy", "none"] | None = None
    reference: str | None = None

    def roles(self, keys: Sequence[SweptKey]) -> Roles:
        """Return the keys of line and panel."""
        return self.named(keys, "line", "panel")

    def check_more(self, path: str, asked: Asked) -> None:
        """Check the metric and the reference."""
        if self.y is not None and self.y not in asked.metrics:
            raise UserError(
                f"{path}.y={self.y}: must be {' or '.join(asked.metrics)}{did_you_mean(self.y, asked.metrics)}"
            )
        if self.reference is not None:
            check_expression(self.reference, f"{path}.reference", asked.config)

    def too(self, named: Sequence[str], asked: Asked) -> str | None:
        """Return a key that varies although all named ones have one value; without a line every setting is drawn."""
        return None if self.line is None else super().too(named, asked)

    def draw(self, results: SweepResults) -> Draw | None:
        """Return the figure of results; None where no run was evaluated."""
        measure = measure_of(results, self.y, log=_scale(self.log, "y"))
        if measure is None or not any(curve_of(run, measure.metric) is not None for run in results.runs):
            return None
        metric = measure.metric
        roles, points = self.roles(studied(results)), ordered(results, measure)
        panel, line = roles.get("panel"), roles.get("line")
        picked = self._picked(results, points, roles, comparable=can_compare(results, measure))
        all_curves = [c for _, lines in picked for _, p in lines for c in _curves_of(p.setting, metric)]
        heights = np.concatenate([np.empty(0), *[values for _, values in all_curves]])
        geometric = measure.spans_orders(heights)
        panels = []
        for of_panel, lines in picked:
            chosen = {id(run) for _, point in lines for run in point.setting.runs}
            here = [run for run in results.runs if id(run) not in chosen and line is None]
            here = [run for run in here if panel is None or value_of(run, panel) == of_panel]
            others, lost = (
                [curve for run in here if run.diverged == gone and (curve := curve_of(run, metric)) is not None]
                for gone in (False, True)
            )
            drawn = [self._line(name, point, metric, geometric=geometric) for name, point in lines]
            title = f"{results.titles[panel.key]}={of_panel}" if panel is not None else ""
            panels.append(CurvePanel(lines=drawn, others=others, lost=lost, title=title))
        said = Said(
            title=self.title or self._usual_title(results, points, measure, roles),
            lines_are="" if line is None else results.titles[line.key],
            unit=unit_of_times(results),
            reference=self.reference or "",
            mean="geometric mean" if geometric else "mean",
            log_time=self.log in ("x", "xy"),
        )
        return partial(curve_panels, panels, measure_of(results, metric, log=_scale(self.log, "y")) or measure, said)

    def _picked(
        self, results: SweepResults, points: Sequence[Point], roles: Roles, *, comparable: bool
    ) -> list[tuple[str, list[tuple[str, Point]]]]:
        """Return for every panel the settings that get a line, with its name."""
        groups, line = by_value(roles.get("panel"), points, results), roles.get("line")
        if line is not None:
            return [
                (name, [(of_line, mine[0]) for of_line, mine in by_value(line, inside, results) if mine])
                for name, inside in groups
            ]
        if comparable:
            chosen = [(name, inside[:BEST_SETTINGS]) for name, inside in groups]
        else:  # none is better: all of them, in the order of the sweep
            few = len(points) <= MAX_LINES
            chosen = [
                (name, sorted(inside, key=lambda one: results.settings.index(one.setting)) if few else [])
                for name, inside in groups
            ]
        return [(name, [(short(one.setting.name), one) for one in inside]) for name, inside in chosen]

    def _line(self, name: str, point: Point, metric: str, *, geometric: bool) -> CurveLine:
        curves = _curves_of(point.setting, metric)
        level = evaluated(self.reference, values_of(point.run)) if self.reference is not None else nan
        return CurveLine(
            label=name,
            seeds=curves,
            mean=mean_curve(curves, geometric=geometric),
            reference=level if isfinite(level) else None,
        )

    def _usual_title(self, results: SweepResults, points: Sequence[Point], measure: Measure, roles: Roles) -> str:
        lines = "line" in roles
        if not points or not (lines or can_compare(results, measure)):
            return f"{capitalized(measure.name)} of all runs"
        others = apart(results, [*roles.values()])
        pooled = f"\neach line is the best over {', '.join(others)}" if lines and self.pool and others else ""
        return finding(results, points, measure) + pooled


def check_figures(figures: Sequence[Figure], asked: Asked) -> None:
    """Check the figures of a sweep before anything is trained.

    Raises UserError if one of them names what there is not, or pools without saying how.
    """
    for number, figure in enumerate(figures):
        figure.check(f"sweep.figures[{number}].{kind_of(figure)}", asked)


Placed = tuple[SweptKey, Axis, dict[str | None, float]]


def _cells(results: SweepResults, points: Sequence[Point], x: Placed, y: Placed) -> Cells:
    (x_key, x_axis, columns), (y_key, y_axis, rows) = x, y
    column_of, row_of = ({value: place for place, value in enumerate(one)} for one in (columns, rows))

    def cell(run: SweepRun) -> tuple[int, int]:
        return row_of[run.value(y_key.key)], column_of[run.value(x_key.key)]

    values, lost = np.full((len(rows), len(columns)), np.nan), np.zeros((len(rows), len(columns)), bool)
    for point in points[::-1]:  # from worst to best: the best of a cell stays
        often = 2 * len(point.values) >= len(point.setting.runs)  # of times to a level, which some never reached
        values[cell(point.run)] = point.mean if often else np.nan
    for run in results.diverged:
        lost[cell(run)] = True
    return Cells(x=x_axis, y=y_axis, values=values, lost=lost & np.isnan(values), best=cell(points[0].run))


def _placed(
    read: Sequence[tuple[SweepRun, float]],
    x: tuple[SweptKey, Mapping[str | None, float]],
    y: tuple[SweptKey, Mapping[str | None, float]],
) -> Array:
    """Return for every run its places on two axes and its value, NaN where it has none."""
    rows = [[*(places.get(run.value(swept.key), nan) for swept, places in (x, y)), value] for run, value in read]
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def power_fit(x: Array, y: Array) -> tuple[Curve, str] | None:
    """Return y = a x^b, the line of least squares through the logarithms, and b; None of fewer than three points."""
    kept = (x > 0) & (y > 0)
    if kept.sum() < 3:
        return None
    power, factor = np.polyfit(np.log(x[kept]), np.log(y[kept]), 1)
    places = np.geomspace(x[kept].min(), x[kept].max(), FIT_POINTS)
    return (places, np.exp(factor) * places**power), f"power {power:.2f}".replace("-", "\N{MINUS SIGN}")


def mean_curve(curves: Sequence[Curve], *, geometric: bool) -> Curve:
    """Return the mean over repeats at the times that all of them have; nothing where these are few."""
    common = set.intersection(*[set(times.tolist()) for times, _ in curves]) if curves else set()
    if not common or 2 * len(common) < min(len(times) for times, _ in curves):
        return np.empty(0), np.empty(0)
    rows = np.array([[value for time, value in zip(*curve, strict=True) if time in common] for curve in curves])
    means = np.exp(np.log(np.maximum(rows, 1 / FARTHEST)).mean(axis=0)) if geometric else rows.mean(axis=0)
    return np.array(sorted(common)), means


def _curves_of(setting: Setting, metric: str) -> list[Curve]:
    return [curve for run in setting.finished if (curve := curve_of(run, metric)) is not None]


def _written(run: SweepRun, swept: SweptKey) -> str:
    """Return the value of a key with a few digits."""
    value = value_of(run, swept)
    return value if swept.numbers is None or value == DEFAULT else f"{float(value):.3g}"


def _first_numbers(keys: Sequence[SweptKey], taken: Iterable[SweptKey]) -> SweptKey | None:
    """Return the first key of numbers that is not taken, or else of anything."""
    free = [one for one in keys if one not in [*taken]]
    return next((one for one in free if one.numbers is not None), next(iter(free), None))


def _check_there(path: str, name: str, roles: Roles) -> None:
    if name not in roles:
        raise UserError(f"{path}.{name}: must be a key that varies, but none does; sweep.figures=null draws what fits")


def _scale(log: str | None, axis: str) -> bool | None:
    return None if log is None else axis in log


def kind_of(figure: Figure) -> str:
    """Return the name of the option that a figure is."""
    return type(figure).__name__.lower()
