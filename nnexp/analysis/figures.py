"""The figures of a sweep: which fit its results, and the plain numbers that they show."""

from collections.abc import Sequence
from functools import partial
from itertools import combinations
from statistics import fmean

import numpy as np

from nnexp.analysis.findings import DEFAULT, chance, importance, levels, short
from nnexp.analysis.results import REPEATS, Setting, SweepResults, SweepRun, SweptKey
from nnexp.config.overrides import slug
from nnexp.core.component import Array
from nnexp.plots.run import Figures
from nnexp.plots.style import FARTHEST
from nnexp.plots.sweep import (
    Axis,
    Curve,
    Draw,
    Measure,
    Panel,
    all_curves,
    axis_plots,
    best_by_size,
    heat_map,
    importance_bars,
    scatter_map,
    seed_bands,
)
from nnexp.training.readings import Reading

BEST_SETTINGS = 5
"""How many of the best settings get a colour of their own."""
MAPS = 4
"""The most pairs of swept keys that get a map."""
ALWAYS_PAIRED = (("learning_rate", "scale"), ("width", "depth"))
"""The pairs that matter in every network, by their short names."""
SIZE_NAMES = ("width", "depth", "hidden")
BINS = 10
"""How many bins drawn values are put into, to find the best of each."""
UNEVEN_FACTOR = 4
"""Numbers stand side by side, as names do, where their largest step is this many times the smallest."""
MAX_LINES = 6
"""The most lines of a panel."""


def sweep_figures(results: SweepResults) -> Figures:
    """Return the figures that fit the results of a sweep, each drawn when called."""
    metric = results.metric
    if metric is None:
        return {}
    measure = Measure(metric, lower=results.sign > 0)
    order, figures = results.ranked, Figures()
    if order:
        figures |= _figures_of_keys(results, order, measure)
    if any(_curve(run, metric) is not None for run in results.runs):
        figures["curves"] = _curves(results, order, measure)
    best = order[:BEST_SETTINGS]
    bands = {short(setting.name): band for setting in best if (band := _band(setting, metric)) is not None}
    if bands:
        figures["seeds"] = partial(seed_bands, bands, measure, _unit(results))
    shares = {results.titles[key]: share for key, share in importance(results).items()}
    if len(shares) > 1:
        usual = {results.titles[key]: share for key, share in chance(results).items()}
        figures["importance"] = partial(importance_bars, shares, usual)
    return figures


def _figures_of_keys(results: SweepResults, order: Sequence[Setting], measure: Measure) -> Figures:
    figures = Figures()
    if results.swept_keys:
        figures["parameters"] = partial(axis_plots, [_panel(results, one) for one in results.swept_keys], measure)
    for x, y in pairs(results):
        name = slug(f"map_{results.titles[x.key]}_{results.titles[y.key]}".replace(".", "_"))
        figures[name] = _map(results, x, y, measure)
    rates = [one for one in results.swept_keys if one.name == "learning_rate" and one.numbers is not None]
    sizes = [one for one in results.swept_keys if one.name in SIZE_NAMES and len(one.values) > 1]
    if rates and sizes:
        figures["learning_rate_by_size"] = _sizes(results, order, rates[0], sizes)
    return figures


def pairs(results: SweepResults) -> list[tuple[SweptKey, SweptKey]]:
    """Return the pairs of swept keys that get a map: those that always matter, then numbers by their importance."""
    shares = importance(results)
    varied = [one for one in results.swept_keys if one.key not in REPEATS and len(one.values) > 1]
    varied.sort(key=lambda one: (one.numbers is None, -shares.get(one.key, 0.0)))
    named = {one.name: one for one in varied}
    found = [(named[x], named[y]) for x, y in ALWAYS_PAIRED if x in named and y in named]
    # Names make the rows of a heat map, beside numbers that are few enough for its columns.
    others = [
        (one, other)
        for one, other in combinations(varied, 2)
        if one.numbers is not None and (other.numbers is not None or not one.drawn)
    ]
    found += [pair for pair in others if not any({*pair} == {*known} for known in found)]
    return found[:MAPS]


def axis_of(results: SweepResults, swept: SweptKey) -> tuple[Axis, dict[str | None, float]]:
    """Return a swept key as an axis, and the place on it of each of its values."""
    numbers, title = swept.numbers, results.titles[swept.key]
    unset = any(run.value(swept.key) is None for run in results.runs)
    if numbers is not None and swept.drawn:
        places: dict[str | None, float] = dict(zip(swept.values, numbers, strict=True))
        return Axis(title, logarithmic=swept.logarithmic), places
    labels = tuple(short(value) for value in swept.values)
    if numbers is not None and len(numbers) > 1 and not unset and _even(numbers, logarithmic=swept.logarithmic):
        places = dict(zip(swept.values, numbers, strict=True))
        return Axis(title, numbers, labels, swept.logarithmic), places
    values = [*swept.values, *([None] if unset else [])]
    side_by_side = {value: float(place) for place, value in enumerate(values)}
    labels = (*labels, *([DEFAULT] if unset else []))
    ordered = numbers is not None and not unset
    return Axis(title, tuple(side_by_side.values()), labels, ordered=ordered), side_by_side


def _even(numbers: Sequence[float], *, logarithmic: bool) -> bool:
    steps = np.diff(np.log(numbers) if logarithmic else numbers)
    return bool(steps.max() < UNEVEN_FACTOR * steps.min())


def _placed(results: SweepResults, swept: SweptKey, runs: Sequence[SweepRun]) -> tuple[Axis, Array]:
    """Return a swept key as an axis, and the place of every run on it, NaN where it has none."""
    axis, places = axis_of(results, swept)
    return axis, np.array([places.get(run.value(swept.key), np.nan) for run in runs], dtype=np.float64)


def _panel(results: SweepResults, swept: SweptKey) -> Panel:
    runs, scores = _scored(results)
    axis, places = _placed(results, swept, runs)
    _, lost = _placed(results, swept, results.diverged)
    groups = [[i for i in group if np.isfinite(places[i])] for group in levels(swept, runs, BINS).values()]
    best = [min(group, key=lambda i: results.sign * scores[i]) for group in groups if group]
    return Panel(axis=axis, places=places, scores=scores, lost=lost, best=(places[best], scores[best]))


def _scored(results: SweepResults) -> tuple[list[SweepRun], Array]:
    metric = results.metric or ""
    scored = [(run, score) for run in results.runs if (score := run.score(metric)) is not None]
    return [run for run, _ in scored], np.array([score for _, score in scored])


def _map(results: SweepResults, x: SweptKey, y: SweptKey, measure: Measure) -> Draw:
    x_axis, columns = axis_of(results, x)
    y_axis, rows = axis_of(results, y)
    if x_axis.places and y_axis.places:
        shape = len(rows), len(columns)
        found: dict[tuple[int, int], list[float]] = {}
        lost = np.zeros(shape, bool)
        row_of, column_of = list(rows), list(columns)
        for setting in results.settings:
            run = setting.runs[0]
            cell = row_of.index(run.value(y.key)), column_of.index(run.value(x.key))
            scores = setting.scores(measure.metric)
            found.setdefault(cell, []).extend([fmean(scores)] if scores else [])
            lost[cell] |= any(run.diverged for run in setting.runs)
        cells = np.full(shape, np.nan)
        for cell, means in found.items():
            if means:
                cells[cell] = (min if measure.lower else max)(means)
        return partial(heat_map, x_axis, y_axis, cells, lost=lost & np.isnan(cells), measure=measure)
    runs, values = _scored(results)
    points = np.column_stack([_placed(results, one, runs)[1] for one in (x, y)])
    lost_points = np.column_stack([_placed(results, one, results.diverged)[1] for one in (x, y)])
    kept = np.isfinite(points).all(axis=1)
    return partial(scatter_map, x_axis, y_axis, points[kept], scores=values[kept], lost=lost_points, measure=measure)


def _sizes(results: SweepResults, order: Sequence[Setting], rate: SweptKey, sizes: Sequence[SweptKey]) -> Draw:
    rate_axis, rate_places = axis_of(results, rate)
    panels = []
    for size in sizes:
        axis, places = axis_of(results, size)
        others = [one for one in sizes if one is not size and len(one.values) <= MAX_LINES]
        lines: dict[str, Curve] = {}
        for value in others[0].values if others else (None,):
            best: dict[float, float] = {}
            for setting in order:  # from best to worst: the first of a size is its best
                run = setting.runs[0]
                place, height = places.get(run.value(size.key)), rate_places.get(run.value(rate.key))
                if place is not None and height is not None and (not others or run.value(others[0].key) == value):
                    best.setdefault(place, height)
            name = f"{results.titles[others[0].key]}={value}" if others else ""
            if best:
                lines[name] = np.array(sorted(best)), np.array([best[place] for place in sorted(best)])
        panels.append((axis, lines))
    return partial(best_by_size, panels, rate_axis)


def _curves(results: SweepResults, order: Sequence[Setting], measure: Measure) -> Draw:
    best: dict[str, Curve] = {}
    picked: set[int] = set()
    for setting in order[:BEST_SETTINGS]:
        _, run = min(setting.scored(measure.metric), key=lambda scored: results.sign * scored[0])
        curve = _curve(run, measure.metric)
        if curve is not None:
            best[short(run.name)] = curve
            picked.add(id(run))
    others = [
        curve
        for run in results.runs
        if not run.diverged and id(run) not in picked and (curve := _curve(run, measure.metric)) is not None
    ]
    lost = [curve for run in results.diverged if (curve := _curve(run, measure.metric)) is not None]
    return partial(all_curves, best, others, lost, measure=measure, unit=_unit(results))


def _curve(run: SweepRun, metric: str) -> Curve | None:
    metric = Reading.of(metric).metric
    if run.curves is None or not len(run.curves) or metric not in run.curves.metrics:
        return None
    return run.curves.times.astype(np.float64), np.clip(run.curves.metrics[metric], -FARTHEST, FARTHEST)


def _band(setting: Setting, metric: str) -> tuple[Array, Array] | None:
    """Return the times up to where the first seed of a setting ended, and the metric of every seed at each of them."""
    curves = [curve for run in setting.finished if (curve := _curve(run, metric)) is not None]
    if len(curves) < 2:
        return None
    times = np.unique(np.concatenate([times for times, _ in curves]))
    first, last = max(times[0] for times, _ in curves), min(times[-1] for times, _ in curves)
    times = times[(times >= first) & (times <= last)]
    return None if not len(times) else (times, np.array([np.interp(times, *curve) for curve in curves]))


def _unit(results: SweepResults) -> str:
    return next((run.curves.unit for run in results.runs if run.curves is not None), "epoch")
