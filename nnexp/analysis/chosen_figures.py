"""The figures of a sweep's report: those that were asked for, or those that fit its results."""

from collections.abc import Sequence
from functools import partial
from itertools import combinations
from math import prod

from nnexp.analysis.figures import MAX_LINES, MAX_PANELS, Curves, Figure, Image, Lines, kind_of
from nnexp.analysis.findings import chance, importance
from nnexp.analysis.points import finding, measure_of, ordered, studied
from nnexp.analysis.results import REPEATS, SweepResults, SweptKey
from nnexp.config.overrides import slug
from nnexp.core.build import build
from nnexp.plots.run import Figures
from nnexp.plots.sweep import Draw, Said, importance_bars, line_panels

MAPS = 4
"""The most pairs of swept keys that get a map."""
ALWAYS_PAIRED = (("learning_rate", "scale"), ("width", "depth"))
"""The pairs that matter in every network, by their short names."""
PIXELS = "_pixels"
"""The end of the names of figures that are pictures without axes."""
RATE, SIZE_NAMES = "learning_rate", ("width", "depth", "hidden")


def sweep_figures(results: SweepResults) -> Figures:
    """Return the figures that were asked for, or those that fit the results, each drawn when called."""
    if results.figures is None:
        return _fitting(results)
    figures = Figures()
    for node in results.figures:
        one = build(node, Figure)
        draw, kind = one.draw(results), kind_of(one)
        number = sum(name.partition("_")[0] == kind for name in figures)
        if draw is not None:
            name = f"{kind}_{number + 1}" if number else kind
            figures[name] = draw
            figures |= _pixels(name, one, results)
    return figures


def _pixels(name: str, figure: Figure, results: SweepResults) -> Figures:
    """Return the picture without axes of an image of a field, a pixel a run."""
    draw = figure.pixels(results) if isinstance(figure, Image) else None
    return {} if draw is None else {f"{name}{PIXELS}": draw}


def _fitting(results: SweepResults) -> Figures:
    """Return the figures that fit the results of a sweep."""
    if results.metric is None:
        return {}
    found: dict[str, Draw | None] = {}
    if results.ranked:
        found |= _of_keys(results)
    found["curves"] = Curves().draw(results)
    names = {one.key: results.named(one) for one in results.judged}
    shares = {names[key]: share for key, share in importance(results).items() if key not in REPEATS}
    if len(shares) > 1:
        usual = {names[key]: share for key, share in chance(results).items()}
        found["importance"] = partial(importance_bars, shares, usual)
    return {name: draw for name, draw in found.items() if draw is not None}


def _of_keys(results: SweepResults) -> dict[str, Draw | None]:
    keys = [one for one in studied(results) if one in results.judged]
    found: dict[str, Draw | None] = {}
    whole = _whole_lines(results, keys)
    if whole is not None:
        found["lines"] = whole.draw(results)
    elif keys:
        found["parameters"] = _parameters(results, keys)
    for x, y in pairs(results):
        name = slug(f"map_{results.titles[x.key]}_{results.titles[y.key]}".replace(".", "_"))
        one = Image(x=x.key, y=y.key, pool="best")
        found |= {name: one.draw(results), **_pixels(name, one, results)}
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
    points = ordered(results, measure)
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
    varied = [one for one in studied(results) if one in results.judged and len(one.values) > 1]
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
