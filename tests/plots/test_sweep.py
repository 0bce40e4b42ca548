"""The figures of a sweep: that they show the numbers, that nothing is cut off, also of a thousand runs."""

from collections.abc import Callable
from dataclasses import replace
from math import log10

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.axis import Axis as Direction
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from scipy.stats import chi2

from nnexp.analysis.chosen_figures import sweep_figures
from nnexp.analysis.figures import Lines
from nnexp.analysis.results import SweepResults
from nnexp.core.component import Component, resolved
from nnexp.plots.style import finish, styled
from nnexp.plots.sweep import Axis
from nnexp.training.history import History
from tests.analysis.made import computed, diverged, ended, falling, grid, results_of, summary
from tests.plots.test_run import assert_labelled, assert_tidy

RATES = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3]


def bowl(job: dict[str, str]) -> float | None:
    rate, scale = float(job["optimizer.learning_rate"]), float(job["initializer.scale"])
    return None if rate * scale > 5 else 0.02 + log10(rate) ** 2 / 20 + (log10(scale) + 0.5) ** 2 / 10


DRAWN = ["optimizer.learning_rate", "initializer.scale", "optimizer.momentum"]


def draws(count: int) -> list[list[str]]:
    generator = np.random.default_rng(0)
    return [
        [
            f"optimizer.learning_rate={10 ** generator.uniform(-4, 1)}",
            f"initializer.scale={10 ** generator.uniform(-3, 1)}",
            f"optimizer.momentum={generator.uniform(0, 0.99)}",
            f"architecture.activation={generator.choice(['relu', 'tanh'])}",
        ]
        for _ in range(count)
    ]


def size(job: dict[str, str]) -> float:
    width, rate = float(job["a.width"]), float(job["b.learning_rate"])
    return 0.1 + abs(log10(rate * width / 10)) + float(job["a.depth"]) / 100


MAKERS: dict[str, Callable[[], SweepResults]] = {
    "grid": lambda: computed(grid(optimizer__learning_rate=RATES, initializer__scale=RATES), bowl),
    "seeds": lambda: computed(grid(rate=[0.01, 0.1, 1], seed=[0, 1, 2]), lambda job: float(job["rate"])),
    "draws": lambda: computed(draws(1000), bowl, drawn=DRAWN),
    "names": lambda: computed(
        grid(optimizer=["sgd", "a_very_long_name_of_one", *"bcdefgh"], learning_rate=[0.1, 1]),
        lambda job: float(job["learning_rate"]) + len(job["optimizer"]),
    ),
    "sizes": lambda: computed(grid(a__width=[10, 100], a__depth=[1, 3], b__learning_rate=[0.1, 1]), size),
    "lost": lambda: computed(grid(a=[1, 2]), lambda _: None),
    "one": lambda: computed([["a=1"]], lambda _: 0.1),
    "union": lambda: computed([["a=1", "b=2"], ["a=2"], ["a=3", "b=3"]], lambda job: float(job["a"])),
    "a decade": lambda: computed(
        grid(a__rate=[0.01, 0.1, 1], b=["x", "y"]),
        lambda job: {"x": 0.055, "y": 0.06}[job["b"]] / float(job["a.rate"]) ** 0.5,
    ),
    "far away": lambda: computed(grid(a=["1e300", "0.1"], b=["1e-300", "1"]), lambda job: float(job["b"] == "1")),
    "losses far away": lambda: computed(
        grid(a=[1, 2, 3], seed=[0, 1]), lambda job: 10 ** (float(job["a"]) * 100 - 300)
    ),
    "curves far away": lambda: results_of(grid(a=[1, 2]), [(summary(1.0), falling(1.7e308, 1.0, 1.0))] * 2),
    "diverged in all but name": lambda: computed(
        grid(a=[1, 2], seed=[0, 1]), lambda job: 1.7e308 ** (float(job["a"]) - 1)
    ),
    "accuracy": lambda: results_of(
        grid(a=[1, 2, 3], b=[1, 2]),
        [diverged(), *[ended(0.1, accuracy=number / 10) for number in (1, 9, 7, 6, 5)]],
        wanted="test/accuracy",
    ),
}


def draw(results: SweepResults, name: str) -> Figure:
    with styled():
        return sweep_figures(results)[name]()


@pytest.mark.parametrize("name", MAKERS)
def test_every_figure_is_labelled_and_nothing_is_cut_off_or_covered(name: str) -> None:
    for title, make in sweep_figures(MAKERS[name]()).items():
        with styled():
            figure = make()
            finish(figure)
            canvas = FigureCanvasAgg(figure)
            figure.draw_without_rendering()
        ticks = [tick.get_text() for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for tick in both(axis)]
        assert not any("$" in text for text in ticks), title
        assert_labelled(figure, title)
        assert_tidy(figure, canvas.get_renderer(), title)  # type: ignore[no-untyped-call]


def both(axis: Direction) -> list[Text]:
    return [*axis.get_ticklabels(), *axis.get_ticklabels(minor=True), axis.get_offset_text()]


def points(axes: Axes, label: str) -> set[tuple[float, float]]:
    (line,) = [line for line in axes.lines if str(line.get_label()).startswith(label)]
    return points_of(line)


def points_of(line: Line2D) -> set[tuple[float, float]]:
    return {(float(x), float(y)) for x, y in np.asarray(line.get_xydata())}


def asked(results: SweepResults, *figures: Component) -> SweepResults:
    return replace(results, figures=[resolved(one) for one in figures])


def test_lines_show_every_run_the_best_of_a_value_and_where_runs_diverged() -> None:
    jobs = grid(optimizer__learning_rate=RATES, initializer__scale=RATES)
    losses = {
        (rate, scale): bowl({"optimizer.learning_rate": str(rate), "initializer.scale": str(scale)})
        for rate in RATES
        for scale in RATES
    }
    keys = "optimizer.learning_rate", "initializer.scale"
    results = asked(computed(jobs, bowl), *[Lines(x=key, pool="best") for key in keys])
    for at, name in enumerate(("lines", "lines_2")):
        figure = draw(results, name)
        axes = figure.axes[0]
        finished = {key: loss for key, loss in losses.items() if loss is not None}
        assert points(axes, "a run") == {(key[at], loss) for key, loss in finished.items()}
        best = {value: min(loss for key, loss in finished.items() if key[at] == value) for value in RATES}
        assert points(axes, "mean") == set(best.items())
        assert {x for x, _ in points(axes, "diverged")} == {key[at] for key, loss in losses.items() if loss is None}
        assert (axes.get_xscale(), axes.get_xlabel()) == ("log", ("learning_rate", "scale")[at])
        other = ("scale", "learning_rate")[at]
        assert figure.get_suptitle().endswith(f"each point is the best over {other}")


def test_the_best_accuracy_of_a_value_is_its_highest() -> None:
    (first,) = draw(asked(MAKERS["accuracy"](), Lines(x="a", pool="best")), "lines").axes
    assert points(first, "mean") == {(1, 0.1), (2, 0.9), (3, 0.6)}
    assert all(y < 0.5 for _, y in points(first, "diverged"))  # in axes: at the worse end


def test_the_cells_of_a_map_are_the_best_of_means_over_seeds() -> None:
    jobs = grid(a=[1, 2, 3], b=[1, 2], c=["x", "y"], seed=[0, 1])
    values = {tuple(job): int(job[0][-1]) + ((37 * number) % 24) / 10 for number, job in enumerate(jobs)}
    outs = [diverged() if job[:2] == ["a=3", "b=1"] else summary(values[tuple(job)]) for job in jobs]
    axes = draw(results_of(jobs, outs), "map_a_b").axes[0]
    cells = np.ma.filled(np.ma.asarray(axes.images[0].get_array()).astype(np.float64), np.nan)
    expected = np.full((2, 3), np.nan)
    for a, b in {(a, b) for a in (1, 2, 3) for b in (1, 2)} - {(3, 1)}:
        means = [np.mean([values[f"a={a}", f"b={b}", f"c={c}", f"seed={seed}"] for seed in (0, 1)]) for c in "xy"]
        expected[b - 1, a - 1] = min(means)
    np.testing.assert_allclose(cells, expected)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("a", "b")
    assert [text.get_position() for text in axes.texts if text.get_text() == "\N{MULTIPLICATION SIGN}"] == [(2, 0)]
    row, column = np.unravel_index(np.nanargmin(expected), expected.shape)
    (frame,) = axes.patches
    assert isinstance(frame, Rectangle)
    assert frame.get_xy() == (column - 0.5, row - 0.5)


def test_a_map_of_draws_has_every_run_as_a_point_and_rings_the_best() -> None:
    results = MAKERS["draws"]()
    axes = draw(results, "map_learning_rate_scale").axes[0]
    scored = {
        (float(run.value("optimizer.learning_rate") or 0), float(run.value("initializer.scale") or 0)): score
        for run in results.runs
        if (score := run.reading("test/loss")) is not None
    }
    shown = np.asarray(axes.collections[0].get_offsets())
    colours = np.asarray(axes.collections[0].get_array())
    assert {(float(x), float(y)): float(c) for (x, y), c in zip(shown, colours, strict=True)} == scored
    assert len(np.asarray(axes.lines[0].get_xydata())) == len(results.diverged) > 0
    assert tuple(np.asarray(axes.lines[1].get_xydata())[0]) == min(scored, key=lambda key: scored[key])


def test_long_labels_stay_apart() -> None:
    alike = tuple(f"{{_target_:a.long.name.of.a.class,scale:{number}}}" for number in (1, 2))
    assert Axis("a", (0, 1), alike).short == ["…lass,scale:1}", "…lass,scale:2}"]
    assert Axis("a", (0, 1), ("a_very_long_name_of_one", "b")).short == ["a_very_long_n…", "b"]


def test_few_of_many_curves_are_drawn_and_the_best_are_named() -> None:
    results = MAKERS["draws"]()
    axes = draw(results, "curves").axes[0]
    others = [part for part in axes.collections if isinstance(part, LineCollection)]
    assert [len(part.get_segments()) for part in others] == [300, len(results.diverged)]
    best = sorted(score for run in results.runs if (score := run.reading("test/loss")) is not None)[:5]
    named = [line for line in axes.lines if len(np.asarray(line.get_xdata()))]
    assert [float(np.asarray(line.get_ydata()).min()) for line in named] == pytest.approx(best, rel=1e-3)


def test_repeats_are_drawn_at_their_own_times_and_their_mean_where_all_have_a_value() -> None:
    curves = [falling(1.0, 0.1, 0.2), falling(2.0, 0.3, 0.3, count=60, length=80)]
    same = History(curves[0].times[:50], {"test/loss": curves[1].metrics["test/loss"][:50]})
    outs = [(summary(float(curve.metrics["test/loss"].min())), curve) for curve in (*curves, same)]
    apart, together = (results_of(grid(seed=[0, 1]), outs[at : at + 3 : 2 - at]) for at in (1, 0))
    for results in (apart, together):
        lines = draw(results, "curves").axes[0].lines
        for run, line in zip(results.runs, lines, strict=False):
            assert run.curves is not None
            np.testing.assert_array_equal(line.get_xydata(), np.c_[run.curves.times, run.curves.metrics["test/loss"]])
    mean = draw(together, "curves").axes[0].lines[-1]
    np.testing.assert_array_equal(mean.get_xdata(), same.times)
    rows = np.array([curves[0].metrics["test/loss"][:50], same.metrics["test/loss"]])
    np.testing.assert_allclose(np.asarray(mean.get_ydata()), np.exp(np.log(rows).mean(axis=0)))
    shared = np.asarray(draw(apart, "curves").axes[0].lines[-1].get_xdata())
    assert set(shared) == {*curves[0].times} & {*curves[1].times}


def test_the_best_learning_rate_of_each_size() -> None:
    for axes, depth in zip(draw(MAKERS["sizes"](), "lines").axes, (1, 3), strict=True):
        assert axes.get_title() == f"depth={depth}"
        best = [np.asarray(line.get_xydata()) for line in axes.lines if line.get_label() == "best"]
        np.testing.assert_allclose(np.concatenate(best), [[1, 0.1 + depth / 100], [0.1, 0.1 + depth / 100]])


def test_bars_are_the_shares_and_lines_are_chance() -> None:
    figure = draw(computed(grid(a=[1, 2, 3], b=range(5)), lambda job: float(job["a"])), "importance")
    (axes,) = figure.axes
    assert figure.get_suptitle() == "Importance: a explains 100 % alone"
    widths = {tick.get_text(): bar.get_width() for tick, bar in zip(axes.get_yticklabels(), axes.patches, strict=True)}  # type: ignore[attr-defined]
    assert widths == pytest.approx({"a": 100, "b": 0})
    lines = [segment[0, 0] for segment in axes.collections[0].get_segments()]  # type: ignore[attr-defined]
    assert lines == pytest.approx([100 * chi2.isf(0.025, 4) / 14, 100 * chi2.isf(0.025, 2) / 14])


def test_a_few_outliers_do_not_flatten_the_curves() -> None:
    outs = [(summary(0.1), falling(1.0, 0.1, 0.1)) for _ in range(200)]
    wild = History(np.array([0, 50, 100]), {"test/loss": np.array([1.0, 1e-9, 1e9])})
    figure = draw(results_of(grid(a=range(201)), [*outs, (summary(0.2), wild)]), "curves")
    low, high = figure.axes[0].get_ylim()
    assert 0.01 < low < 0.1
    assert 1 < high < 10
    best = results_of(grid(a=range(201)), [*outs, (summary(1e-9), wild)])
    assert draw(best, "curves").axes[0].get_ylim()[0] < 1e-9
