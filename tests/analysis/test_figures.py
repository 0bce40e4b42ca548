"""The figures that a sweep asks for: that a mistake is one line, and the numbers that are drawn."""

import json
from collections.abc import Mapping
from dataclasses import replace
from math import log
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nnexp.analysis.chosen_figures import sweep_figures
from nnexp.analysis.figures import Curves, Image, Lines
from nnexp.analysis.figures import Figure as Asked
from nnexp.analysis.points import finding, measure_of, ordered
from nnexp.analysis.results import SweepResults
from nnexp.analysis.runs_table import runs_csv
from nnexp.core.component import resolved
from nnexp.plots.style import finish, plain, styled
from nnexp.storage.run_folder import RunSummary
from nnexp.sweeps.sweep_folder import SweepRecord, results_in
from tests.analysis.made import computed, diverged, ended, falling, grid, results_of, summary
from tests.conftest import Typed

RATE, WIDTH, MODE = "optimizer.learning_rate", "architecture.width", "architecture.parametrization"


def drawn(results: SweepResults, *figures: Asked) -> list[Figure]:
    with styled():
        made = [draw() for draw in sweep_figures(asked(results, *figures)).values()]
    for figure in made:
        finish(figure)
    return made


def asked(results: SweepResults, *figures: Asked) -> SweepResults:
    return replace(results, figures=[resolved(one) for one in figures])


def line(axes: Axes, label: str) -> list[list[float]]:
    (found,) = [one for one in axes.lines if one.get_label() == label]
    return [[float(x), float(y)] for x, y in np.asarray(found.get_xydata())]


def transfer(job: Mapping[str, str]) -> float:
    """Return a loss whose best learning rate falls with the width, but for one parametrization."""
    best = 0.01 if job[MODE] == "maximal_update" else 0.64 / float(job[WIDTH])
    return 0.1 + abs(log(float(job[RATE]) / best)) + int(job["seed"]) / 100


@pytest.mark.parametrize(("failed", "title"), [("MemoryError", "Best: learning_rate=1"), (diverged(), "Lowest test")])
def test_a_run_that_failed_is_none_that_diverged(failed: RunSummary | str, title: str) -> None:
    """Half of the runs of the better setting; where they diverged, it is not called best."""
    jobs = grid(optimizer__learning_rate=[1, 2], seed=range(12))
    better: list[RunSummary | str] = [failed if seed % 2 else ended(0.1 + 0.001 * seed) for seed in range(12)]
    results = results_of(jobs, [*better, *[ended(0.9 + 0.001 * seed) for seed in range(12)]])
    measure = measure_of(results, None)
    assert measure is not None
    said = finding(results, ordered(results, measure), measure)
    assert said.startswith(title), said


def test_lines_of_widths_in_panels_of_parametrizations_say_where_the_best_rates_are() -> None:
    rates = [0.0025, 0.005, 0.01, 0.02, 0.04]
    jobs = grid(
        architecture__parametrization=["standard", "maximal_update"],
        architecture__width=[32, 64, 128],
        optimizer__learning_rate=rates,
        seed=[0, 1, 2],
    )
    lines = Lines(x=RATE, y="mean/train/loss", line=WIDTH, panel=MODE, mark="best")
    (figure,) = drawn(computed(jobs, transfer), lines)
    assert [axes.get_title() for axes in figure.axes] == ["parametrization=standard", "parametrization=maximal_update"]
    assert figure.get_suptitle().splitlines() == [
        "parametrization=standard: lowest at learning_rate 0.02, 0.01, 0.005 for width 32, 64, 128",
        "parametrization=maximal_update: lowest at learning_rate 0.01 for every width",
    ]
    for axes, mode in zip(figure.axes, ("standard", "maximal_update"), strict=True):
        assert axes.get_ylabel() == "mean train loss\n(mean over examples)"
        for width in (32, 64, 128):
            means = [[rate, transfer({MODE: mode, WIDTH: str(width), RATE: str(rate), "seed": "1"})] for rate in rates]
            np.testing.assert_allclose(line(axes, f"mean {width}"), means)
    assert [text.get_text() for text in figure.legends[0].get_texts()][:3] == ["32", "64", "128"]


def test_where_a_line_is_lowest_is_said_with_what_the_seeds_can_tell() -> None:
    losses = {"near": {"1": 0.1, "2": 0.101}, "far": {"1": 0.9, "2": 0.1}}
    jobs = grid(kind=["near", "far"], a=[1, 2], seed=[0, 1, 2])
    results = computed(jobs, lambda job: losses[job["kind"]][job["a"]] + int(job["seed"]) / 50)
    (figure,) = drawn(results, Lines(x="a", line="kind", mark="best"))
    assert " ".join(figure.get_suptitle().split()) == (
        "Test loss lowest at a ~1, 2 for kind near, far (~: not told from others)"
    )
    one_seed = replace(results, runs=tuple(run for run in results.runs if run.value("seed") == "0"))
    assert drawn(one_seed, Lines(x="a", line="kind", mark="best"))[0].get_suptitle().endswith("near, far (1 seed)")


def test_of_what_cannot_be_compared_none_is_called_best() -> None:
    outs = [replace(summary({"test/accuracy": value}), baselines={"test/accuracy": value / 2}) for value in (0.5, 0.9)]
    (figure,) = drawn(results_of(grid(**{"dataset.classes": [2, 3]}), outs), Lines(y="test/accuracy"))
    assert figure.get_suptitle() == "Test accuracy by classes"


def test_of_what_has_no_better_end_none_is_called_best() -> None:
    outs = [summary({"test/loss": 0.1, "train/effective_rank": rank}) for rank in (2.0, 8.0)]
    (figure,) = drawn(results_of(grid(a=[1, 2]), outs), Lines(y="train/effective_rank"))
    assert figure.get_suptitle() == "Train effective rank by a"


def test_the_readings_that_are_drawn_are_in_the_table() -> None:
    results = computed(grid(a=[1, 2]), lambda job: float(job["a"]))
    table = runs_csv(asked(results, Lines(y="mean/train/loss"), Image(value="start/train/loss"), Curves(y="test/loss")))
    assert {"mean/train/loss", "start/train/loss"} < {*table.splitlines()[0].split(",")}


def test_a_figure_and_the_text_name_the_same_setting() -> None:
    """One of three seeds of the largest rate is the best of all, and its mean is not."""
    losses = {"1": [0.2, 0.2, 0.2], "2": [0.1, 0.1, 0.1], "3": [0.01, 0.4, 0.4]}
    results = computed(grid(rate=[1, 2, 3], seed=[0, 1, 2]), lambda job: losses[job["rate"]][int(job["seed"])])
    with styled():
        figures = {name: draw() for name, draw in sweep_figures(results).items()}
    assert results.ranked[0].name == "rate=2"
    assert {figure.get_suptitle() for name, figure in figures.items() if name != "importance"} == {
        "Lowest test loss: rate=2, 0.1; 1 more could be best"
    }
    axes = figures["lines"].axes[0]
    np.testing.assert_allclose(line(axes, "mean "), [[1, 0.2], [2, 0.1], [3, 0.27]])
    assert "seed" not in {axes.get_xlabel() for figure in figures.values() for axes in figure.axes}


def test_many_listed_values_are_means_and_draws_are_points() -> None:
    widths = range(1024, 14 * 1024, 1024)
    jobs = grid(width=widths, seed=[0, 1, 2])
    results = computed(jobs, lambda job: 1 / float(job["width"]) + int(job["seed"]) / 100)
    (figure,) = drawn(results, Lines())
    means = [[width, pytest.approx(1 / width + 0.01)] for width in widths]
    assert line(figure.axes[0], "mean ") == means
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == [f"{width:,}" for width in widths]


def test_four_keys_pool_only_where_the_title_says_so() -> None:
    jobs = grid(a=[1, 2, 3], b=[1, 2], c=[1, 2], d=[1, 2])
    results = computed(jobs, lambda job: sum(float(value) for value in job.values()) / 10)
    with styled():
        titles = {name: draw().get_suptitle() for name, draw in sweep_figures(results).items()}
    pooled = {name: title for name, title in titles.items() if name.startswith(("map", "parameters", "lines"))}
    assert len(pooled) == 5
    assert all("is the best over" in title for title in pooled.values())
    (figure,) = drawn(results, Lines(x="a", line="b", panel="c", pool="best"))
    assert figure.get_suptitle().endswith("each point is the best over d")
    assert [line(axes, "mean 1")[0][1] for axes in figure.axes] == [pytest.approx(0.4), pytest.approx(0.5)]


def test_a_large_grid_is_an_image() -> None:
    values = np.geomspace(0.01, 10, 20).tolist()
    jobs = grid(a=values, b=values)
    results = computed(jobs, lambda job: None if float(job["a"]) > 9 else float(job["a"]) + float(job["b"]))
    figure, _ = drawn(results, Image(x="a", y="b", levels=(1.0,), colours="magma"))
    cells = np.ma.filled(np.ma.asarray(figure.axes[0].images[0].get_array()).astype(np.float64), np.nan)
    expected = np.add.outer(values, values)
    np.testing.assert_allclose(cells[:, :-1], expected[:, :-1])
    assert np.isnan(cells[:, -1]).all()
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["0.01", "0.1", "1", "10"]


def test_a_power_is_fitted_and_a_reference_is_drawn() -> None:
    sizes = computed(grid(n=[1, 2, 4, 8, 16]), lambda job: 3 / float(job["n"]) ** 0.5)
    axes = drawn(sizes, Lines(fit="power"))[0].axes[0]
    places, values = np.array(line(axes, "fit ")).T
    np.testing.assert_allclose(values, 3 / np.sqrt(places))
    assert [text.get_text() for text in axes.texts] == ["power \N{MINUS SIGN}0.50"]
    results = computed(grid(optimizer__learning_rate=[0.1, 0.2, 0.4]), lambda job: float(job[RATE]))
    (lines, curves) = drawn(
        results,
        Lines(fit="power", reference=f"(2 - 1) / {RATE}"),
        Curves(line=RATE, reference=f"2/{RATE}", log="xy"),
    )
    assert line(lines.axes[0], "reference ") == [[0.1, 10], [0.2, 5], [0.4, 2.5]]
    levels = [one.get_ydata() for one in curves.axes[0].lines if one.get_label() == "reference"]
    assert [float(np.asarray(level)[0]) for level in levels] == [20, 10, 5]
    assert curves.axes[0].get_yscale() == "log"


def test_the_values_of_a_reference_that_do_not_vary_stand_in_the_folder_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("optimizer: {_target_: a.B, learning_rate: 0.5}\n")
    results = results_of(grid(a=[1, 2]), [(summary(1.0), falling(2, 1, 1)), (summary(2.0), falling(2, 2, 2))])
    results = replace(results, runs=tuple(replace(run, folder=tmp_path) for run in results.runs))
    (figure,) = drawn(results, Lines(reference=f"1/{RATE} + a"))
    assert line(figure.axes[0], "reference ") == [[1, 3], [2, 4]]


@pytest.mark.parametrize(
    ("value", "text"),
    [(2000, "2,000"), (0.05, "0.05"), (1e-7, "1e-7"), (2.5e6, "2.5e6"), (0, "0"), (-0.5, "\N{MINUS SIGN}0.5")],
)
def test_numbers_beside_axes_are_plain(value: float, text: str) -> None:
    assert plain(value) == text


SHORT = ("tracking=none", "trainer.epochs=3", "architecture=uniform", "architecture.width=2,3", "sweep.repeats=2")
MISTAKES = [
    ("[lines]", "lines: optimizer.learning_rate varies, too: name it line or panel, or say pool: best"),
    ("[{lines:{x:width}}]", "lines.x=width: must be a key that varies, architecture.width or optimizer.learning_rate"),
    ("[{lines:{x:seed}}]", "lines.x=seed: must be a key that varies"),
    ("[{lines:{line:architecture.widht,pool:best}}]", "lines.line=architecture.widht: must be a key that varies"),
    ("[{lines:{line:architecture.width,x:architecture.width}}]", "must be another key than the others of this figure"),
    ("[{lines:{y:mean/train/los,pool:best}}]", "lines.y=mean/train/los: must be train/loss or test/loss"),
    ("[{lines:{pool:best,reference:2**3}}]", "lines.reference=2**3: must be numbers, keys, + - * / and brackets"),
    ("[{curves:{y:loss}}]", "curves.y=loss: must be train/loss or"),
    ("[{curves:{line:architecture.width}}]", "curves: optimizer.learning_rate varies, too"),
    ("[{image:{colours:red}}]", "image.colours=red: must be cividis or viridis"),
    ("[{line:{x:a}}]", "figures[0]=line: must be one of curves, image, lines, did you mean lines?"),
    ("[{lines:{z:1}}]", "lines.z: no such key"),
]


@pytest.mark.parametrize(("figures", "said"), MISTAKES)
def test_a_mistake_is_one_line_before_training(figures: str, said: str, typed: Typed) -> None:
    for plan in ("true", "false") if said == MISTAKES[0][1] else ("false",):
        done = typed("-m", *SHORT, "optimizer.learning_rate=0.1,1", f"sweep.figures={figures}", f"sweep.plan={plan}")
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert said in done.stderr
    assert not Path("outputs").exists()


def test_a_line_or_a_panel_of_what_does_not_vary_here_is_the_only_one() -> None:
    (figure,) = drawn(computed(grid(a=[1, 2]), lambda job: float(job["a"])), Lines(x="a", line="b", panel="c"))
    assert line(figure.axes[0], "mean ") == [[1, 1], [2, 2]]


def test_figures_are_drawn_from_the_record_and_others_go_on_with_the_sweep(typed: Typed, tmp_path: Path) -> None:
    command = "-m", *SHORT, "optimizer.learning_rate=uniform(0.1,1)", "sweep.draws=3"
    first = typed(*command, "sweep.figures=[{lines:{x:architecture.width,pool:best}},image,curves]")
    assert first.returncode == 0, first.stderr
    (folder,) = (tmp_path / "outputs" / "sweeps").iterdir()
    assert {path.stem for path in (folder / "figures").iterdir()} == {"lines", "image", "curves"}
    record = SweepRecord.read(folder)
    assert record is not None
    results = results_in(folder, record)
    assert [(one.key, one.drawn) for one in results.swept_keys if one.key != "seed"] == [(WIDTH, False), (RATE, True)]
    assert list(sweep_figures(results)) == ["lines", "image", "curves"]
    again = typed(*command, "sweep.figures=[lines]")
    assert again.returncode == 2, again.stderr
    again = typed(*command, "sweep.figures=[{lines:{line:architecture.width}}]")
    assert again.returncode == 0, again.stderr
    assert {path.stem for path in (folder / "figures").iterdir()} == {"lines"}
    assert json.loads((folder / "sweep.json").read_text())["figures"][0]["line"] == WIDTH
    report = (folder / "report.md").read_text()
    assert "![lines](figures/lines.png)" in report
