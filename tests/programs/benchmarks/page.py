"""The page and the pictures of a benchmark."""

import platform
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from nnexp.core.files import write_text
from nnexp.plots.style import add_figures, new_figure
from nnexp.report.markdown import table
from nnexp.tracking.environment import environment, installed, processor
from tests.programs.benchmarks.beginning import NONE, Line, ahead_from
from tests.programs.benchmarks.earlier import COMMANDS, Taken
from tests.programs.benchmarks.growth import GROWTHS, Point
from tests.programs.benchmarks.measure import (
    BATCHED,
    COMPILED,
    ONE_WORKER,
    OURS,
    PEERS,
    POOLED,
    WARM,
    Timing,
    cores,
    ratios,
)
from tests.programs.benchmarks.spent import CALLS, EVALUATION, HARD, OTHER, PRODUCTS, REST, WHOLE
from tests.programs.benchmarks.whole import BARE, JAX, TRACKED
from tests.programs.benchmarks.work import named

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SECTION = re.compile(r"^## (.*)\n((?:(?!## ).*\n?)*)", re.MULTILINE)
"""The title and the text of a section of the page."""
BY_HAND = "<!-- What follows is written by hand, and stays when the page is made again. -->"
NAMES = {
    **PEERS,
    "floor": "matrix products alone",
}
SWEEP_NAMES = {
    ONE_WORKER: "nnexp on one core",
    "plain": "plain loop, one by one",
    POOLED: "plain loop, in a pool",
    "scikit": "scikit-learn, in a pool",
    "eager": "PyTorch, one by one",
    BATCHED: "PyTorch, batched",
    COMPILED: "PyTorch, batched, compiled",
    "compiled": "JAX, vmap",
}
GOALS: dict[str, dict[str, float]] = {
    "A": {"plain": 0.4, "scikit": 0.33, "eager": 0.14, "compiled": 0.75},
    "B": {"plain": 0.27, "scikit": 0.18, "eager": 0.09, "compiled": 0.8},
    "C": {"plain": 0.016, "scikit": 0.008, "eager": 0.003, "compiled": 0.5},
    "D": {"plain": 0.75, "scikit": 0.65, "eager": 1.0, "compiled": 1.05},
    "E": {"plain": 0.57, "scikit": 0.36, "eager": 0.36, "compiled": 0.75},
}
SWEEP_GOALS: dict[str, dict[str, float]] = {
    "A": {"plain": 0.15, "scikit": 0.25, "eager": 0.06, BATCHED: 0.65, "compiled": 0.65},
    "B": {"plain": 0.15, "scikit": 0.25, "eager": 0.06, BATCHED: 0.65, "compiled": 0.65},
    "C": {"plain": 0.002, "scikit": 0.002, "eager": 0.0003, BATCHED: 0.05, "compiled": 0.4},
}
"""What was aimed at."""
WHOLE_GOAL = 0.7
EARLIER_GOALS = dict(zip(COMMANDS, (0.65, 0.6, 0.2, 0.6), strict=True))
LEGEND = {**SWEEP_NAMES, **NAMES}
CONTENDERS = ("plain", "scikit", "eager", "compiled", ONE_WORKER, POOLED, "floor", BATCHED, COMPILED)
COLOURS = {**{name: f"C{number}" for number, name in enumerate(CONTENDERS)}, COMPILED: "0.5"}
"""Each contender has the same colour in both pictures."""
HOW = (
    "Every contender does the same work in the same precision, from the same starting weights, with one thread a "
    "process, all in turn; the first call, which warms up and compiles, is told apart. A ratio is our time over that "
    "of the other, the median of the rounds with their range: below 1 nnexp is ahead. The goal stands in parentheses; "
    "bold is reached."
)

FIRST = (
    "In a process that finds no code compiled earlier; for `again`, it finds what another process of nnexp compiled."
)
BEGINNING = (
    "A line through trainings of two lengths, each way in processes of its own. Code is compiled from the start, by "
    "`NNEXP_COMPILED=1`; else it waits until that pays."
)
SPENT = (
    "Without compiled code every call is timed in its place. Of compiled code the rows of each kind are played alone; "
    "the loops that it generates, roots and divisions included, are other work. The rest is what moves examples, "
    "logits and runs, and Python's part of a round."
)


@dataclass
class Measured:
    """All that a benchmark measured so far."""

    command: str
    alone: dict[str, Mapping[str, Timing]] = field(default_factory=dict)
    sweep: dict[str, Mapping[str, Timing]] = field(default_factory=dict)
    whole: dict[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    default_run: Mapping[str, Sequence[float]] = field(default_factory=dict)
    against: str = ""
    earlier: dict[str, tuple[Taken, Taken]] = field(default_factory=dict)
    beginning: dict[str, Mapping[str, Line]] = field(default_factory=dict)
    spent: dict[str, Sequence[Mapping[str, float]]] = field(default_factory=dict)
    growth: dict[str, Sequence[Point]] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write the page and its pictures; of an earlier page there stays what was not measured again.

        So does what was written by hand below it.
        """
        pictures: dict[str, Callable[[], Figure]] = {}
        if self.alone or self.sweep:
            pictures["benchmark_ratios"] = self._ratios
        if self._lines():
            pictures["benchmark_growth"] = self._growth
        (folder / "pictures").mkdir(parents=True, exist_ok=True)
        add_figures(pictures, folder / "pictures")
        path = folder / "benchmarks.md"
        earlier, _, by_hand = (path.read_text(encoding="utf-8") if path.exists() else "").partition(BY_HAND)
        write_text(path, "\n\n".join(part for part in (*self._parts(earlier), BY_HAND, by_hand.strip()) if part) + "\n")

    def _parts(self, earlier: str) -> list[str]:
        """Return the parts of the page, with the sections of an earlier page that were not measured again."""
        kept = dict(SECTION.findall(earlier))
        new = self._sections()
        bodies = {title: body or kept.get(title, "").strip() for title, body in new.items()}
        sections = [f"## {title}\n\n{body}" for title, body in bodies.items() if body]
        goals = sum(section.count(" (≤ ") for section in sections)
        reached = sum(len(re.findall(r"\*\* \(≤ ", section)) for section in sections)
        made = f"`{self.command}` on {processor()}, {cores()} cores. {versions()}"
        before = [line for line in earlier.splitlines() if line.startswith(("Made by", "Again"))]
        whole = not before or all(body or title not in kept for title, body in new.items())
        return [
            "# Benchmarks",
            *([f"Made by {made}"] if whole else dict.fromkeys([*before, f"Again, in part, by {made}"])),
            HOW + (f" Of {goals} goals {reached} are reached." if goals else ""),
            "![Our time over that of others, for every work](pictures/benchmark_ratios.png)",
            *sections,
        ]

    def _sections(self) -> dict[str, str]:
        """Return all sections by their titles, empty where nothing was measured."""
        return {
            "One run, on one core": self._table(self.alone, NAMES, GOALS, "step"),
            "A sweep, per run, on all cores": self._table(self.sweep, SWEEP_NAMES, SWEEP_GOALS, "run"),
            "The first call, in seconds": self._first(),
            "A sweep as a whole, from prompt to prompt": self._whole(),
            "The default run": self._default_run(),
            "Beside an earlier commit": self._earlier(),
            "From how many steps on compiled code is ahead": self._beginning(),
            "Growth": self._growth_text(),
            "What the time is spent on": self._spent(),
        }

    def _table(
        self,
        measured: Mapping[str, Mapping[str, Timing]],
        names: Mapping[str, str],
        goals: Mapping[str, Mapping[str, float]],
        unit: str,
    ) -> str:
        if not measured:
            return ""
        rows = [
            f"| | nnexp, a {unit} | {' | '.join(names.values())} |",
            "|---" * (len(names) + 2) + "|",
        ]
        for work, timings in measured.items():
            seconds = median(timings[OURS].later) / (named(work).steps if unit == "step" else 1)
            cells = [ratio_cell(timings, name, goals.get(work, {}).get(name)) for name in names]
            rows.append(f"| {work} | {duration(seconds)} | {' | '.join(cells)} |")
        works = [f"- {work}: {named(work).title}" for work in measured] if unit == "step" else []
        return "\n".join([*rows, "", *works]).rstrip()

    def _first(self) -> str:
        measured = [(f"{work} alone", timings) for work, timings in self.alone.items()]
        measured += [(f"{work} sweep", timings) for work, timings in self.sweep.items()]
        if not measured:
            return ""
        names = {
            OURS: "nnexp",
            WARM: "nnexp, again",
            **PEERS,
            BATCHED: "PyTorch, batched",
            COMPILED: "the same, compiled",
        }
        del names["floor"]
        rows = [
            f"| | {' | '.join(names.values())} |",
            "|---" * (len(names) + 1) + "|",
        ]
        for title, timings in measured:
            cells = [f"{timings[name].first:.2f}" if name in timings else "" for name in names]
            rows.append(f"| {title} | {' | '.join(cells)} |")
        return "\n".join([*rows, "", FIRST])

    def _whole(self) -> str:
        if not self.whole:
            return ""
        rows = [
            f"| | {BARE} | {TRACKED} | {JAX} | ratio, without MLflow |",
        ]
        rows.append("|---" * 5 + "|")
        for work, times in self.whole.items():
            shown = [f"{median(times[name]):.1f} s" if name in times else "" for name in (BARE, TRACKED, JAX)]
            cell = ""
            if JAX in times:
                cell = spread([ours / other for ours, other in zip(times[BARE], times[JAX], strict=True)], WHOLE_GOAL)
            rows.append(f"| {work} | {' | '.join(shown)} | {cell} |")
        return "\n".join(rows)

    def _default_run(self) -> str:
        if not self.default_run:
            return ""
        part = {name: median(values) for name, values in self.default_run.items()}
        rest = 2 * part["whole"] - sum(part.values())
        names = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in part.items() if name != "whole")
        return (
            f"`python -m nnexp` with a database that is there: {part['whole']:.1f} s, of which {names}, "
            f"and {rest:.1f} s for all the rest: imports, configs, data, files."
        )

    def _earlier(self) -> str:
        if not self.earlier:
            return ""
        rows = [f"| whole processes | time | at {self.against} | ratio | memory | then |"]
        rows.append("|---" * 6 + "|")
        for name, (today, then) in self.earlier.items():
            cell = spread([a / b for a, b in zip(today.seconds, then.seconds, strict=True)], EARLIER_GOALS.get(name))
            memory = f"{today.megabytes:.0f} MB | {then.megabytes:.0f} MB"
            rows.append(
                f"| {name} | {median(today.seconds):.1f} s | {median(then.seconds):.1f} s | {cell} | {memory} |"
            )
        return "\n".join([*rows, "", "Memory is that of the largest process, at its peak."])

    def _beginning(self) -> str:
        if not self.beginning:
            return ""
        header = ("", "compiled code", "before the first step", "a step", "ahead from step")
        rows = [
            (
                *(work, way, duration(line.begin), duration(line.step)),
                "" if way == NONE else f"{ahead_from(lines[NONE], line):,.0f}",
            )
            for work, lines in self.beginning.items()
            for way, line in lines.items()
        ]
        return "\n".join([table(header, rows), "", BEGINNING])

    def _spent(self) -> str:
        if not self.spent:
            return ""
        kinds = (PRODUCTS, HARD, OTHER, EVALUATION, REST)
        names = ("products", "exp, root, division", "other", "evaluation", "the rest")
        rows = [
            (place, way, duration(taken[WHOLE]), *(f"{taken[kind] / taken[WHOLE]:.0%}" for kind in kinds))
            for place, ways in self.spent.items()
            for way, taken in zip((f"{ways[0][CALLS]:.0f} calls", "compiled"), ways, strict=True)
        ]
        header = ("", "", "a step and run", *names)
        return "\n".join([table(header, rows), "", SPENT])

    def _growth_text(self) -> str:
        if not self._lines():
            return ""
        rows = ["![Time and memory as sizes grow](pictures/benchmark_growth.png)", ""]
        rows += ["| what grows | of | sizes | time | slope | memory | slope |", "|---" * 7 + "|"]
        for name, points in self._lines().items():
            growth, sizes = GROWTHS[name], f"{points[0].size:,} to {points[-1].size:,}"
            time_, memory = [point.seconds for point in points], [point.megabytes for point in points]
            rows.append(
                f"| {growth.axis} | {growth.what} | {sizes} | {duration(time_[0])} to {duration(time_[-1])} | "
                f"{slope(points, time_):.2f} | {memory[0]:.0f} to {memory[-1]:.0f} MB | {slope(points, memory):.2f} |"
            )
        rows += ["", "A slope is that of the line between the last two sizes on log-log axes: 1 is in proportion."]
        return "\n".join(rows)

    def _lines(self) -> dict[str, Sequence[Point]]:
        """Return what has been measured in more than one size."""
        return {name: points for name, points in self.growth.items() if len(points) > 1}

    def _ratios(self) -> "Figure":
        figure = new_figure(12, 4.8, (0.95, 0.65, 2.6, 0.55), (0.25, 0))
        left, right = figure.subplots(1, 2)
        dots(left, self.alone, NAMES, "One run")
        dots(right, self.sweep, SWEEP_NAMES, "A sweep, per run")
        shown = {name for timings in (*self.alone.values(), *self.sweep.values()) for name in timings}
        for name in CONTENDERS:
            if name in shown:
                left.plot([], [], "o", color=COLOURS[name], label=LEGEND[name])
        figure.legend(*left.get_legend_handles_labels(), loc="center right")
        return figure

    def _growth(self) -> "Figure":
        from matplotlib.ticker import NullFormatter

        lines = self._lines()
        figure = new_figure(14, 5.8, (0.95, 0.65, 0.2, 0.6), (0.14, 0.12))
        grid = figure.subplots(2, len(lines), squeeze=False, sharex="col", sharey="row")
        for column, (name, points) in enumerate(lines.items()):
            sizes = [point.size for point in points]
            for row, values in enumerate(([p.seconds for p in points], [p.megabytes for p in points])):
                axes, colour = grid[row, column], f"C{row}"
                axes.loglog(sizes, values, "o-", color=colour, markersize=5)
                at = (0.05, 0.9)
                axes.annotate(f"slope {slope(points, values):.2f}", at, xycoords="axes fraction", color=colour)
                axes.xaxis.set_minor_formatter(NullFormatter())
            grid[1, column].set_xlabel(GROWTHS[name].axis)
        for axes, label, extent in zip(grid[:, 0], ("time (s)", "peak memory (MB)"), self._extent(), strict=True):
            axes.set(ylabel=label, ylim=extent)
            axes.yaxis.set_minor_formatter(NullFormatter())
        figure.suptitle("How time and memory grow")
        return figure

    def _extent(self) -> list[tuple[float, float]]:
        """Return whole decades around all times and all memories."""
        points = [point for line in self._lines().values() for point in line]
        columns = [point.seconds for point in points], [point.megabytes for point in points]
        return [(10 ** np.floor(np.log10(min(one))), 10 ** np.ceil(np.log10(max(one)) + 0.3)) for one in columns]


def dots(axes: "Axes", measured: Mapping[str, Mapping[str, Timing]], names: Mapping[str, str], title: str) -> None:
    """Draw the ratio to every contender, with its range, for every work."""
    for number, name in enumerate(names):
        for place, timings in enumerate(measured.values()):
            if name in timings:
                values = ratios(timings, name)
                x = place + 0.09 * (number - (len(names) - 1) / 2)
                axes.plot([x, x], [min(values), max(values)], color=COLOURS[name], linewidth=1.2)
                axes.plot([x], [median(values)], "o", color=COLOURS[name], markersize=7)
    axes.axhline(1, color="0.4", linewidth=1)
    axes.set(title=title, yscale="log", ylabel="our time / time of the other", xticks=range(len(measured)))
    axes.set_xticklabels([*measured])
    axes.set_xlim(-0.6, max(1, len(measured)) - 0.4)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(visible=False, axis="x")


def slope(points: Sequence[Point], values: Sequence[float]) -> float:
    """Return the slope between the last two points on log-log axes."""
    return float(np.log(values[-1] / values[-2]) / np.log(points[-1].size / points[-2].size))


def ratio_cell(timings: Mapping[str, Timing], name: str, goal: float | None) -> str:
    """Return a ratio as a cell of a table."""
    return spread(ratios(timings, name), goal) if name in timings else ""


def spread(values: Sequence[float], goal: float | None) -> str:
    """Return a median with its range and its goal, bold where that is reached."""
    middle = median(values)
    text = f"{middle:.2g}" if middle < 0.1 else f"{middle:.2f}"
    if goal is not None and middle <= goal:
        text = f"**{text}**"
    aim = "" if goal is None else f" (≤ {goal:.2g})"
    return f"{text}{aim} <sub>{min(values):.2g} to {max(values):.2g}</sub>"


def duration(seconds: float) -> str:
    """Return a time with a unit that fits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def versions() -> str:
    """Return the versions of all that was measured."""
    packages = ("numpy", "scikit-learn", "torch", "jax", "mlflow")
    shown = [f"{package} {installed(package)}" for package in packages if installed(package) != "unknown"]
    return f"Python {platform.python_version()}, {', '.join(shown)}; BLAS: {environment()['blas']}."
