"""The figures of a sweep: those that were asked for, or those that fit its results.

A figure is a component with options in `conf/figure/`. It names varied keys and readings, is checked before anything
is trained, and is drawn from the results. It pools the values of other keys only where it says how.
"""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, partial
from itertools import combinations
from math import isfinite, nan, prod
from statistics import fmean
from typing import Literal, TypeVar

import numpy as np
import yaml

from nnexp.analysis.expressions import check_expression, evaluated
from nnexp.analysis.findings import DEFAULT, chance, importance, plateau, short
from nnexp.analysis.results import REPEATS, Setting, SweepResults, SweepRun, SweptKey, swept_keys_of
from nnexp.analysis.verdict import Measured, verdict_on
from nnexp.config.overrides import slug
from nnexp.core.build import build
from nnexp.core.component import Array, Component, flat
from nnexp.core.errors import UserError, did_you_mean
from nnexp.core.files import read_text
from nnexp.plots.run import Figures
from nnexp.plots.style import FARTHEST, plain
from nnexp.plots.sweep import (
    MOST_TICKS,
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
    importance_bars,
    line_panels,
    scatter_map,
)
from nnexp.storage.run_folder import CONFIG, MAX_FILE_BYTES
from nnexp.training.metrics import lower_is_better, unit_of

BEST_SETTINGS = 5
"""How many of the best settings get a colour of their own."""
MAPS = 4
"""The most pairs of swept keys that get a map."""
ALWAYS_PAIRED = (("learning_rate", "scale"), ("width", "depth"))
"""The pairs that matter in every network, by their short names."""
RATE, SIZE_NAMES = "learning_rate", ("width", "depth", "hidden")
BINS = 10
"""How many bins drawn values are put into, to find the best of each."""
UNEVEN_FACTOR = 4
"""Numbers stand side by side, as names do, where their largest step is this many times the smallest."""
MAX_LINES, MAX_PANELS = 8, 6
"""The most lines of a panel and the most panels that are chosen without being asked for."""
KINDS_OF_READING = ("final", "end", "start", "best", "min", "max", "mean", "sum", "time_to", "trainability")
TIME_TO = "time_to"
FIT_POINTS = 50
K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True)
class Asked:
    """What a sweep is asked for, before it is trained.

    Attributes:
        jobs: Its jobs, or the first batch of them.
        drawn: The keys whose values are drawn from intervals.
        metrics: The metrics that all of its runs will have.
        config: The config of its first run, by dotted keys.
    """

    jobs: Sequence[Sequence[str]]
    drawn: Sequence[str]
    metrics: Sequence[str]
    config: Mapping[str, object]

    @cached_property
    def keys(self) -> list[SweptKey]:
        """Return the keys that vary, repeats apart."""
        found = swept_keys_of(self.jobs, self.drawn)
        later = [SweptKey(key, (), drawn=True) for key in self.drawn if key not in {one.key for one in found}]
        return [one for one in [*found, *later] if one.key not in REPEATS]


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
        known = {_dotted(one.key): one for one in asked.keys}
        for name in self.key_fields:
            key = getattr(self, name)
            if key is not None and _dotted(key) not in known:
                proposal = did_you_mean(key, known) if known else " (there is none)"
                wanted = f"must be a key that varies, {' or '.join(one.key for one in asked.keys)}{proposal}"
                raise UserError(f"{path}.{name}={key}: {wanted}")
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

    @abstractmethod
    def check_more(self, path: str, asked: Asked) -> None:
        """Check what is of this kind of figure alone."""

    def too(self, named: Sequence[str], asked: Asked) -> str | None:
        """Return a key that varies although all named ones have one value; None if there is none."""
        unnamed = [one for one in asked.keys if one.key not in named]
        if any(one.drawn for one in unnamed):
            return next(one.key for one in unnamed if one.drawn)
        jobs = [dict(override.lstrip("+~").partition("=")[::2] for override in job) for job in asked.jobs]
        groups = _grouped((tuple(job.get(key) for key in named), job) for job in jobs)
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
        roles = {name: one for name in ("line", "panel") if (one := _named(getattr(self, name), keys)) is not None}
        x = _named(self.x, keys) if self.x is not None else _first_numbers(keys, roles.values())
        return roles if x is None else {"x": x, **roles}

    def check_more(self, path: str, asked: Asked) -> None:
        """Check the reading and the reference, and that there is a key."""
        _check_there(path, "x", self.roles(asked.keys))
        check_reading(f"{path}.y", self.y, asked.metrics)
        if self.reference is not None:
            check_expression(self.reference, f"{path}.reference", asked.config)

    def draw(self, results: SweepResults) -> Draw | None:
        """Return the figure of results; None where no run has the reading."""
        keys, measure = _studied(results), measure_of(results, self.y, log=_scale(self.log, "y"))
        roles = self.roles(keys)
        if measure is None or "x" not in roles:
            return None
        points = ordered(results, measure, self.y)
        if not points:
            return None
        panels = self.panels(results, points, roles)
        best = self._best(results, points, roles)
        title = self.title or "\n".join([*best, *([] if best else [finding(results, points, measure)])])
        others = [results.titles[one.key] for one in keys if one not in roles.values()]
        if self.pool is not None and others and self.title is None:
            title += f"\neach point is the best over {_listed(others)}"
        said = Said(
            title=title,
            lines_are=results.titles[roles["line"].key] if "line" in roles else "",
            repeats=results.repeats_name,
            reference=self.reference or "",
            mean="best of each value" if self.pool is not None and others else f"mean of {results.repeats_name}",
        )
        return partial(line_panels, panels, measure, said)

    def panels(self, results: SweepResults, points: Sequence["Point"], roles: Roles) -> list[Panel]:
        """Return the panels, each with its lines; `points` are in the order of their means, the best first."""
        x, line, panel = roles["x"], roles.get("line"), roles.get("panel")
        axis, places = axis_of(results, x, numeric=self.fit is not None)
        found = []
        for of_panel, inside in _by(panel, points, results):
            lines = [self._line(mine, x, places, name=of_line) for of_line, mine in _by(line, inside, results) if mine]
            title = f"{results.titles[panel.key]}={of_panel}" if panel is not None else ""
            lost = [
                places.get(run.value(x.key), nan)
                for run in results.diverged
                if (panel is None or _value(run, panel) == of_panel)
                and not any(run is one for p in points for one in p.runs)
            ]
            found.append(Panel(axis=axis, lines=lines, lost=np.array(lost, float), title=title))
        return found

    def _line(self, points: Sequence["Point"], x: SweptKey, places: Mapping[str | None, float], *, name: str) -> Line:
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
        across = [evaluated(self.reference or "", values_of(shown[place].run)) for place in kept]
        return Line(
            label=name,
            means=means,
            low=np.array([min(shown[place].values) if self.band else shown[place].mean for place in kept]),
            high=np.array([max(shown[place].values) if self.band else shown[place].mean for place in kept]),
            dots=(np.array([place for place, _ in dots]), np.array([value for _, value in dots])),
            best=(first, shown[first].mean) if self.mark is not None and first is not None else None,
            fit=power_fit(*means) if self.fit is not None else None,
            reference=None if self.reference is None else (np.array(kept), np.array(across)),
        )

    def _best(self, results: SweepResults, points: Sequence["Point"], roles: Roles) -> list[str]:
        """Return for every panel which value of x is the best of each line, where these are marked."""
        if self.mark is None:
            return []
        x, line, panel = roles["x"], roles.get("line"), roles.get("panel")
        rows = []
        for of_panel, inside in _by(panel, points, results):
            best = {name: _written(mine[0].run, x) for name, mine in _by(line, inside, results) if mine}
            every = len(set(best.values())) == 1 and len(best) > 1
            values = (
                f"{next(iter(best.values()))} for every {results.titles[line.key]}"
                if every and line
                else _listed([*best.values()])
            )
            names = f" for {results.titles[line.key]} {_listed([*best])}" if line and not every else ""
            where = f"{results.titles[panel.key]}={of_panel}: " if panel is not None else ""
            rows.append(f"{where}best {results.titles[x.key]} {values}{names}")
        return rows


@dataclass(frozen=True)
class Image(Figure):
    """A reading of every pair of values, as a colour; of drawn values, every run as a point."""

    x: str | None = None
    y: str | None = None
    value: str | None = None
    colours: Literal["cividis", "viridis", "magma", "gray", "coolwarm"] = "cividis"
    levels: tuple[float, ...] = ()
    log: Literal["value", "none"] | None = None

    @property
    def key_fields(self) -> list[str]:
        """Return the fields that name keys."""
        return ["x", "y"]

    def roles(self, keys: Sequence[SweptKey]) -> Roles:
        """Return the keys of x and y, the first of numbers where they are not named."""
        roles = {name: one for name in ("x", "y") if (one := _named(getattr(self, name), keys)) is not None}
        for name in ("x", "y"):
            first = _first_numbers(keys, roles.values())
            if name not in roles and first is not None:
                roles[name] = first
        return roles

    def check_more(self, path: str, asked: Asked) -> None:
        """Check the reading, and that there are two keys."""
        for name in ("x", "y"):
            _check_there(path, name, self.roles(asked.keys))
        check_reading(f"{path}.value", self.value, asked.metrics)

    def draw(self, results: SweepResults) -> Draw | None:
        """Return the figure of results; None where no run has the reading."""
        keys, measure = _studied(results), measure_of(results, self.value, log=_scale(self.log, "value"))
        roles = self.roles(keys)
        points = [] if measure is None else ordered(results, measure, self.value)
        if measure is None or len(roles) < 2 or not points:
            return None
        x, y = roles["x"], roles["y"]
        others = [results.titles[one.key] for one in keys if one not in (x, y)]
        pooled = f"\neach {'point is a run' if x.drawn or y.drawn else f'cell is the best over {_listed(others)}'}"
        title = self.title or finding(results, points, measure) + (pooled if others else "")
        bright_is_best = f"{self.colours}{'_r' if measure.lower else ''}"
        look = Look(colours=bright_is_best, levels=self.levels)
        (x_axis, columns), (y_axis, rows) = axis_of(results, x), axis_of(results, y)
        if x.drawn or y.drawn:
            read = [(point.run, value) for point in points for value in point.values]
            placed = _placed(read, (x, columns), (y, rows))
            lost = _placed([(run, nan) for run in results.diverged], (x, columns), (y, rows))
            kept = np.isfinite(placed[:, :2]).all(axis=1)
            cloud = Cloud(x=x_axis, y=y_axis, runs=placed[kept], lost=lost[:, :2])
            return partial(scatter_map, cloud, measure, title, look)
        return partial(image, _cells(results, points, (x, x_axis, columns), (y, y_axis, rows)), measure, title, look)


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
        return {name: one for name in ("line", "panel") if (one := _named(getattr(self, name), keys)) is not None}

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
        measure, metric = measure_of(results, self.y, log=_scale(self.log, "y")), self.y or results.metric
        if measure is None or metric is None or not any(_curve(run, metric) is not None for run in results.runs):
            return None
        roles, points = self.roles(_studied(results)), ordered(results, measure, self.y)
        panel, line = roles.get("panel"), roles.get("line")
        picked = self._picked(results, points, roles)
        all_curves = [c for _, lines in picked for _, p in lines for c in _curves_of(p.setting, metric)]
        heights = np.concatenate([np.empty(0), *[values for _, values in all_curves]])
        geometric = measure.spans_orders(heights)
        panels = []
        for of_panel, lines in picked:
            chosen = {id(run) for _, point in lines for run in point.setting.runs}
            here = [run for run in results.runs if id(run) not in chosen and line is None]
            here = [run for run in here if panel is None or _value(run, panel) == of_panel]
            others, lost = (
                [curve for run in here if run.diverged == gone and (curve := _curve(run, metric)) is not None]
                for gone in (False, True)
            )
            drawn = [self._line(name, point, metric, geometric=geometric) for name, point in lines]
            title = f"{results.titles[panel.key]}={of_panel}" if panel is not None else ""
            panels.append(CurvePanel(lines=drawn, others=others, lost=lost, title=title))
        said = Said(
            title=self.title or self._usual_title(results, points, measure, line),
            lines_are="" if line is None else results.titles[line.key],
            unit=_unit(results),
            reference=self.reference or "",
            mean="geometric mean" if geometric else "mean",
            log_time=self.log in ("x", "xy"),
        )
        return partial(curve_panels, panels, measure, said)

    def _picked(
        self, results: SweepResults, points: Sequence["Point"], roles: Roles
    ) -> list[tuple[str, list[tuple[str, "Point"]]]]:
        """Return for every panel the settings that get a line, with its name."""
        groups, line = _by(roles.get("panel"), points, results), roles.get("line")
        if line is not None:
            return [
                (name, [(of_line, mine[0]) for of_line, mine in _by(line, inside, results) if mine])
                for name, inside in groups
            ]
        if results.comparable:
            chosen = [(name, inside[:BEST_SETTINGS]) for name, inside in groups]
        else:  # none is better: all of them, in the order of the sweep
            few = len(points) <= MAX_LINES
            chosen = [
                (name, sorted(inside, key=lambda one: results.settings.index(one.setting)) if few else [])
                for name, inside in groups
            ]
        return [(name, [(short(one.setting.name), one) for one in inside]) for name, inside in chosen]

    def _line(self, name: str, point: "Point", metric: str, *, geometric: bool) -> CurveLine:
        curves = _curves_of(point.setting, metric)
        level = evaluated(self.reference, values_of(point.run)) if self.reference is not None else nan
        return CurveLine(
            label=name,
            seeds=curves,
            mean=mean_curve(curves, geometric=geometric),
            reference=level if isfinite(level) else None,
        )

    def _usual_title(
        self, results: SweepResults, points: Sequence["Point"], measure: Measure, line: SweptKey | None
    ) -> str:
        if not points or (line is None and not results.comparable):
            return f"{measure.name.capitalize()} of all runs"
        others = [results.titles[one.key] for one in _studied(results) if one.key not in (self.line, self.panel)]
        pooled = f"\neach line is the best over {_listed(others)}" if line is not None and self.pool and others else ""
        return finding(results, points, measure) + pooled


def check_figures(figures: Sequence[Figure], asked: Asked) -> None:
    """Check the figures of a sweep before anything is trained.

    Raises UserError if one of them names what there is not, or pools without saying how.
    """
    for number, figure in enumerate(figures):
        figure.check(f"sweep.figures[{number}].{_kind(figure)}", asked)


def sweep_figures(results: SweepResults) -> Figures:
    """Return the figures that were asked for, or those that fit the results, each drawn when called."""
    if results.figures is None:
        return _fitting(results)
    figures = Figures()
    for node in results.figures:
        one = build(node, Figure)
        draw, kind = one.draw(results), _kind(one)
        number = sum(name.partition("_")[0] == kind for name in figures)
        if draw is not None:
            figures[f"{kind}_{number + 1}" if number else kind] = draw
    return figures


def _fitting(results: SweepResults) -> Figures:
    """Return the figures that fit the results of a sweep."""
    if results.metric is None:
        return {}
    found: dict[str, Draw | None] = {}
    if results.ranked:
        found |= _of_keys(results)
    found["curves"] = Curves().draw(results)
    shares = {results.titles[key]: share for key, share in importance(results).items() if key not in REPEATS}
    if len(shares) > 1:
        usual = {results.titles[key]: share for key, share in chance(results).items()}
        found["importance"] = partial(importance_bars, shares, usual)
    return {name: draw for name, draw in found.items() if draw is not None}


def _of_keys(results: SweepResults) -> dict[str, Draw | None]:
    keys = _studied(results)
    found: dict[str, Draw | None] = {}
    whole = _whole_lines(results, keys)
    if whole is not None:
        found["lines"] = whole.draw(results)
    elif keys:
        found["parameters"] = _parameters(results, keys)
    for x, y in pairs(results):
        name = slug(f"map_{results.titles[x.key]}_{results.titles[y.key]}".replace(".", "_"))
        found[name] = Image(x=x.key, y=y.key, pool="best").draw(results)
    rates = [one for one in keys if one.name == RATE and one.numbers is not None and not one.drawn]
    sizes = [one for one in keys if one.name in SIZE_NAMES and len(one.values) <= MAX_LINES and not one.drawn]
    if rates and sizes and whole is None:
        panel = next((one.key for one in sizes[1:] if len(one.values) <= MAX_PANELS), None)
        by_size = Lines(x=rates[0].key, line=sizes[0].key, panel=panel, pool="best", mark="best")
        found["learning_rate_by_size"] = by_size.draw(results)
    return found


def _whole_lines(results: SweepResults, keys: Sequence[SweptKey]) -> Lines | None:
    """Return lines that show all settings, pooling nothing; None where there are too many for that."""
    if not 1 <= len(keys) <= 3 or any(one.drawn for one in keys[1:]):
        return None
    counts = {one.key: len({run.value(one.key) for run in results.runs}) for one in keys}
    if 2 * len(results.settings) < prod(counts.values()):
        return None
    first = max(keys, key=lambda one: (one.name == RATE, one.numbers is not None, counts[one.key]))
    others = sorted((one for one in keys if one is not first), key=lambda one: -counts[one.key])
    if any(counts[one.key] > most for one, most in zip(others, (MAX_LINES, MAX_PANELS), strict=False)):
        return None
    line, panel = ([one.key for one in others] + [None, None])[:2]
    marked = first.numbers is not None and all(run.value(first.key) is not None for run in results.runs)
    return Lines(x=first.key, line=line, panel=panel, mark="best" if line and marked else None)


def _parameters(results: SweepResults, keys: Sequence[SweptKey]) -> Draw | None:
    """Return a figure with a panel for each key, of which every point is the best over all others."""
    measure = measure_of(results, None)
    if measure is None:
        return None
    points = ordered(results, measure, None)
    panels = [panel for one in keys for panel in Lines(x=one.key, pool="best").panels(results, points, {"x": one})]
    drawn = " of a tenth of the draws" if any(one.drawn for one in keys) else ""
    note = f"\neach point of a line is the best{drawn} over all other parameters" if len(keys) > 1 else ""
    said = Said(
        title=finding(results, points, measure) + note,
        repeats=results.repeats_name,
        mean="best of each value" if len(keys) > 1 else f"mean of {results.repeats_name}",
    )
    return partial(line_panels, panels, measure, said)


def pairs(results: SweepResults) -> list[tuple[SweptKey, SweptKey]]:
    """Return the pairs of swept keys that get a map: those that always matter, then numbers by their importance."""
    shares = importance(results)
    varied = [one for one in _studied(results) if len(one.values) > 1]
    varied.sort(key=lambda one: (one.numbers is None, -shares.get(one.key, 0.0)))
    paired = [
        (x, y) for first, second in ALWAYS_PAIRED for x in varied if x.name == first for y in varied if y.name == second
    ]
    # Names make the rows of a heat map, beside numbers that are few enough for its columns.
    others = [
        (one, other)
        for one, other in combinations(varied, 2)
        if one.numbers is not None and (other.numbers is not None or not one.drawn)
    ]
    paired += [pair for pair in others if not any({*pair} == {*known} for known in paired)]
    return [pair for pair in paired if _fills(results, *pair)][:MAPS]


def _fills(results: SweepResults, x: SweptKey, y: SweptKey) -> bool:
    """Tell whether at least half of the pairs of values of two keys occur; draws are points, and need not."""
    found = {(run.value(x.key), run.value(y.key)) for run in results.runs}
    return x.drawn or y.drawn or 2 * len(found) >= len({x for x, _ in found}) * len({y for _, y in found})


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

    @cached_property
    def mean(self) -> float:
        """Return the mean over the repeats."""
        return fmean(self.values)


def ordered(results: SweepResults, measure: Measure, path: str | None) -> list[Point]:
    """Return the settings that have a reading, from best to worst by their means, as they are ranked in the text."""
    sign = 1 if measure.lower else -1
    points = []
    for setting in results.settings:
        read = [(run, value) for run in setting.runs if (value := _reading(run, path or measure.metric)) is not None]
        if read:
            runs, values = zip(*read, strict=True)
            points.append(Point(setting, runs, values))
    return sorted(points, key=lambda one: (one.setting.halved, sign * one.mean, one.setting.name))


def _reading(run: SweepRun, path: str) -> float | None:
    """Return what a reading makes of a run; None where it has none."""
    return run.score(parted(path)[1])


def parted(path: str) -> tuple[str, str, str]:
    """Return the kind of a reading, the metric that it reads, and its level: that of `time_to/METRIC/LEVEL`."""
    kind, _, rest = path.partition("/")
    if kind not in KINDS_OF_READING:
        return "final", path, ""
    if kind == TIME_TO:
        metric, _, level = rest.rpartition("/")
        return kind, metric, level
    return kind, rest, ""


def check_reading(path: str, reading: str | None, metrics: Sequence[str]) -> None:
    """Check the name of a reading; raises UserError if it reads no metric that there is, or has no level."""
    if reading is None:
        return
    kind, metric, level = parted(reading)
    if metric not in metrics:
        wanted = f"must be a metric or a reading of one, such as mean/train/loss; metrics are {', '.join(metrics)}"
        raise UserError(f"{path}={reading}: {wanted}{did_you_mean(metric, metrics)}")
    try:
        float(level or 0)
    except ValueError as error:
        raise UserError(f"{path}={reading}: must end in a number, such as {kind}/{metric}/0.9") from error


def measure_of(results: SweepResults, path: str | None, *, log: bool | None = None) -> Measure | None:
    """Return what a reading measures; None: the metric that ranks, if there is one."""
    path = path or results.metric
    if path is None:
        return None
    kind, metric, _ = parted(path)
    return Measure(
        name=path.replace("/", " ").replace("_", " "),
        unit=_unit(results) if kind == TIME_TO else unit_of(metric),
        lower=kind == TIME_TO or lower_is_better(metric),
        metric=metric,
        logarithmic=log,
    )


def finding(results: SweepResults, points: Sequence[Point], measure: Measure) -> str:
    """Return which setting comes first in a figure, and what can be said of it."""
    if measure.metric == results.metric and plateau(results) is not None:
        return "No run left the plateau"
    rivals = [one for one in points if one.setting.halved == points[0].setting.halved]
    measured = [Measured(one.setting.name, one.values, len(one.setting.runs) - len(one.values)) for one in rivals]
    found = verdict_on(
        measured, 1 if measure.lower else -1, results.matters if measure.metric == results.metric else None
    )
    first, value = short(points[0].setting.name), f"{points[0].mean:.3g}"
    if not results.comparable and measure.metric == results.metric:
        return f"{measure.name.capitalize()} of settings that cannot be compared"
    if found is None:
        return f"{measure.name.capitalize()} {value}"
    if found.best:
        return f"Best: {first}, {measure.name} {value}"
    extreme = f"{'Lowest' if measure.lower else 'Highest'} {measure.name}"
    if found.equal:
        return f"{extreme}: {1 + len(found.equal)} settings are equal, {value}"
    if found.thin is not None:
        repeats = len(found.thin.values)
        name = results.repeats_name if repeats > 1 else results.repeats_name.removesuffix("s")
        return f"{extreme}: {first}, {value} ({repeats} {name})"
    others = len(found.possible) - 1
    return f"{extreme}: {first}, {value}{f'; {others} more could be best' if others else ''}"


def axis_of(results: SweepResults, swept: SweptKey, *, numeric: bool = False) -> tuple[Axis, dict[str | None, float]]:
    """Return a swept key as an axis, and the place on it of each of its values; numeric ones never side by side."""
    numbers, title = swept.numbers, results.titles[swept.key]
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


def _written_briefly(numbers: Sequence[float]) -> tuple[str, ...]:
    """Return numbers with three digits, or more where two would be alike."""
    found: tuple[str, ...] = ()
    for digits in (3, 4, 6, 12):
        found = tuple(plain(float(f"{number:.{digits}g}")) for number in numbers)
        if len(set(found)) == len(set(numbers)):
            break
    return found


def _even(numbers: Sequence[float], *, logarithmic: bool) -> bool:
    """Tell whether numbers have their own places on an axis, rather than one beside the other."""
    if not 1 < len(numbers) <= MOST_TICKS:
        return len(numbers) > 1
    steps = np.diff(np.log(numbers) if logarithmic else numbers)
    return bool(steps.max() < UNEVEN_FACTOR * steps.min())


Placed = tuple[SweptKey, Axis, dict[str | None, float]]


def _cells(results: SweepResults, points: Sequence[Point], x: Placed, y: Placed) -> Cells:
    (x_key, x_axis, columns), (y_key, y_axis, rows) = x, y
    column_of, row_of = ({value: place for place, value in enumerate(one)} for one in (columns, rows))

    def cell(run: SweepRun) -> tuple[int, int]:
        return row_of[run.value(y_key.key)], column_of[run.value(x_key.key)]

    values, lost = np.full((len(rows), len(columns)), np.nan), np.zeros((len(rows), len(columns)), bool)
    for point in points[::-1]:  # from worst to best: the best of a cell stays
        values[cell(point.run)] = point.mean
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


def values_of(run: SweepRun) -> dict[str, object]:
    """Return the config of a run by dotted keys, as its folder has it, and its overrides."""
    found: dict[str, object] = {}
    if run.folder is not None:
        try:
            content = yaml.safe_load(read_text(run.folder / CONFIG, MAX_FILE_BYTES))
        except (OSError, ValueError, yaml.YAMLError):
            content = None
        found = flat(content) if isinstance(content, dict) else {}
    return found | {_dotted(key): value for key, _, value in (one.lstrip("+~").partition("=") for one in run.job)}


def _curves_of(setting: Setting, metric: str) -> list[Curve]:
    return [curve for run in setting.finished if (curve := _curve(run, metric)) is not None]


def _curve(run: SweepRun, metric: str) -> Curve | None:
    if run.curves is None or not len(run.curves) or metric not in run.curves.metrics:
        return None
    return run.curves.times.astype(np.float64), np.clip(run.curves.metrics[metric], -FARTHEST, FARTHEST)


def _by(swept: SweptKey | None, points: Sequence[Point], results: SweepResults) -> list[tuple[str, list[Point]]]:
    """Return points by the value of a key, in the order of its values; all of them where there is no key."""
    if swept is None:
        return [("", [*points])]
    groups = _grouped((_value(point.run, swept), point) for point in points)
    unset = [DEFAULT] * any(run.value(swept.key) is None for run in results.runs)
    return [(name, groups.get(name, [])) for name in [*map(short, swept.values), *unset]]


def _grouped(items: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    groups: dict[K, list[V]] = {}
    for key, item in items:
        groups.setdefault(key, []).append(item)
    return groups


def _value(run: SweepRun, swept: SweptKey) -> str:
    value = run.value(swept.key)
    return DEFAULT if value is None else short(value)


def _written(run: SweepRun, swept: SweptKey) -> str:
    """Return the value of a key with a few digits."""
    value = _value(run, swept)
    return value if swept.numbers is None or value == DEFAULT else f"{float(value):.3g}"


def _studied(results: SweepResults) -> list[SweptKey]:
    """Return the keys that vary, repeats apart."""
    return [one for one in results.swept_keys if one.key not in REPEATS]


def _named(key: str | None, keys: Sequence[SweptKey]) -> SweptKey | None:
    return next((one for one in keys if key is not None and _dotted(one.key) == _dotted(key)), None)


def _first_numbers(keys: Sequence[SweptKey], taken: Iterable[SweptKey]) -> SweptKey | None:
    """Return the first key of numbers that is not taken, or else of anything."""
    free = [one for one in keys if one not in [*taken]]
    return next((one for one in free if one.numbers is not None), next(iter(free), None))


def _check_there(path: str, name: str, roles: Roles) -> None:
    if name not in roles:
        raise UserError(f"{path}.{name}: must be a key that varies, and there is none")


def _scale(log: str | None, axis: str) -> bool | None:
    return None if log is None else axis in log


def _dotted(key: str) -> str:
    return key.replace("/", ".")


def _kind(figure: Figure) -> str:
    return type(figure).__name__.lower()


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


def _unit(results: SweepResults) -> str:
    return next((run.curves.unit for run in results.runs if run.curves is not None), "epoch")
