"""The figures of a sweep: that they show the numbers, that nothing is cut off, also of a thousand runs."""

from collections.abc import Callable
from math import log10

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from nnexp.analysis.figures import sweep_figures
from nnexp.analysis.results import SweepResults
from nnexp.plots.style import styled
from nnexp.training.history import History
from tests.analysis.made import computed, diverged, ended, falling, grid, results_of, summary
from tests.plots.test_run import assert_labelled, assert_tidy

RATES = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3]


def bowl(job: dict[str, str]) -> float | None:
    rate, scale = float(job["optimizer.learning_rate"]), float(job["initializer.scale"])
    return None if rate * scale > 5 else 0.02 + log10(rate) ** 2 / 20 + (log10(scale) + 0.5) ** 2 / 10


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
    "draws": lambda: computed(draws(1000), bowl),
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
            canvas = FigureCanvasAgg(figure)
            figure.draw_without_rendering()
        assert_labelled(figure, title)
        assert_tidy(figure, canvas.get_renderer(), title)  # type: ignore[no-untyped-call]


def points(axes: Axes, label: str) -> set[tuple[float, float]]:
    (line,) = [line for line in axes.lines if str(line.get_label()).startswith(label)]
    return {(float(x), float(y)) for x, y in np.asarray(line.get_xydata())}


def test_panels_show_every_run_the_best_of_a_value_and_where_runs_diverged() -> None:
    jobs = grid(optimizer__learning_rate=RATES, initializer__scale=RATES)
    losses = {
        (rate, scale): bowl({"optimizer.learning_rate": str(rate), "initializer.scale": str(scale)})
        for rate in RATES
        for scale in RATES
    }
    panels = draw(computed(jobs, bowl), "parameters").axes
    for at, axes in enumerate(panels):
        finished = {key: loss for key, loss in losses.items() if loss is not None}
        assert points(axes, "a run") == {(key[at], loss) for key, loss in finished.items()}
        best = {value: min(loss for key, loss in finished.items() if key[at] == value) for value in RATES}
        assert points(axes, "the best") == set(best.items())
        assert {x for x, _ in points(axes, "diverged")} == {key[at] for key, loss in losses.items() if loss is None}
        assert (axes.get_xscale(), axes.get_xlabel()) == ("log", ("learning_rate", "scale")[at])


def test_the_best_accuracy_of_a_value_is_its_highest() -> None:
    (first, second) = draw(MAKERS["accuracy"](), "parameters").axes
    assert points(first, "the best") == {(1, 0.1), (2, 0.9), (3, 0.6)}
    assert points(second, "the best") == {(1, 0.9), (2, 0.7)}
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
        if (score := run.score("test/loss")) is not None
    }
    shown = np.asarray(axes.collections[0].get_offsets())
    colours = np.asarray(axes.collections[0].get_array())
    assert {(float(x), float(y)): float(c) for (x, y), c in zip(shown, colours, strict=True)} == scored
    assert len(np.asarray(axes.lines[0].get_xydata())) == len(results.diverged) > 0
    assert tuple(np.asarray(axes.lines[1].get_xydata())[0]) == min(scored, key=lambda key: scored[key])


def test_few_of_many_curves_are_drawn_and_the_best_are_named() -> None:
    results = MAKERS["draws"]()
    axes = draw(results, "curves").axes[0]
    others = [part for part in axes.collections if isinstance(part, LineCollection)]
    assert [len(part.get_segments()) for part in others] == [300, len(results.diverged)]
    best = sorted(score for run in results.runs if (score := run.score("test/loss")) is not None)[:5]
    named = [line for line in axes.lines if len(np.asarray(line.get_xdata()))]
    assert [float(np.asarray(line.get_ydata()).min()) for line in named] == pytest.approx(best, rel=1e-3)


def test_bands_reach_from_the_lowest_to_the_highest_seed_up_to_where_the_first_ended() -> None:
    curves = [falling(1.0, 0.1, 0.2), falling(2.0, 0.3, 0.3, count=41, length=80)]
    results = results_of(
        grid(seed=[0, 1]), [(summary(float(curve.metrics["test/loss"].min())), curve) for curve in curves]
    )
    axes = draw(results, "seeds").axes[0]
    times, means = (np.asarray(part) for part in axes.lines[0].get_data())
    assert times[-1] == max(time for time in [*curves[0].times, *curves[1].times] if time <= 80)
    values = [np.interp(times, curve.times, curve.metrics["test/loss"]) for curve in curves]
    np.testing.assert_allclose(means, np.mean(values, axis=0))
    corners = axes.collections[0].get_paths()[0].vertices
    assert {(t, round(v, 9)) for t, v in np.asarray(corners)} >= {
        (t, round(v, 9)) for row in values for t, v in zip(times, row, strict=True)
    }


def test_the_best_learning_rate_of_each_size() -> None:
    by_width, by_depth = draw(MAKERS["sizes"](), "learning_rate_by_size").axes
    for depth in (1, 3):
        assert points(by_width, f"depth={depth}") == {(10, 1), (100, 0.1)}
    labels = {str(line.get_label()): line for line in by_depth.lines}
    assert np.asarray(labels["width=10"].get_xydata()).tolist() == [[1, 1], [3, 1]]
    assert np.asarray(labels["width=100"].get_xydata()).tolist() == [[1, 0.1], [3, 0.1]]


def test_bars_are_the_shares_and_lines_are_chance() -> None:
    (axes,) = draw(computed(grid(a=[1, 2, 3], b=[1, 2]), lambda job: float(job["a"])), "importance").axes
    widths = {tick.get_text(): bar.get_width() for tick, bar in zip(axes.get_yticklabels(), axes.patches, strict=True)}  # type: ignore[attr-defined]
    assert widths == pytest.approx({"a": 100, "b": 0})
    lines = [segment[0, 0] for segment in axes.collections[0].get_segments()]  # type: ignore[attr-defined]
    assert lines == pytest.approx([100 / 5, 200 / 5])


def test_a_few_outliers_do_not_flatten_the_curves() -> None:
    outs = [(summary(0.1), falling(1.0, 0.1, 0.1)) for _ in range(200)]
    wild = History(np.array([0, 50, 100]), {"test/loss": np.array([1.0, 1e-9, 1e9])})
    figure = draw(results_of(grid(a=range(201)), [*outs, (summary(0.2), wild)]), "curves")
    low, high = figure.axes[0].get_ylim()
    assert 0.01 < low < 0.1
    assert 1 < high < 10
    best = results_of(grid(a=range(201)), [*outs, (summary(1e-9), wild)])
    assert draw(best, "curves").axes[0].get_ylim()[0] < 1e-9
