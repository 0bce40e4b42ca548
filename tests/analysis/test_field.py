"""Fields, their borders and pictures, and the next window of one."""

import math
from dataclasses import replace
from pathlib import Path

import matplotlib.image as images
import numpy as np
import pytest

from nnexp.analysis.chosen_figures import sweep_figures
from nnexp.analysis.field import about_border, border, box_dimension, field_of
from nnexp.analysis.results import SweepResults
from nnexp.commands.zoom import window_of
from nnexp.core.component import Array
from nnexp.plots.style import save_figures
from nnexp.plots.sweep import by_rank
from nnexp.sweeps.sweep_folder import SweepRecord, results_in
from tests.analysis.made import falling, grid, results_of, summary
from tests.conftest import Typed

SIDE, TRAINS = 64, "trainability/train/loss"


def dimension(values: Array) -> float:
    """Return the box dimension of the border at 0, by counting every box that lies in a whole larger one."""
    side, slopes = len(values) - 1, []
    cells = [(row, column) for row in range(side) for column in range(side)]
    met = [(row, column) for row, column in cells if 0 < (values[row : row + 2, column : column + 2] < 0).sum() < 4]
    for size in (1, 2, 4):
        whole = side // (2 * size) * 2 * size
        inside = [(row, column) for row, column in met if max(row, column) < whole]
        small, large = (len({(row // one, column // one) for row, column in inside}) for one in (size, 2 * size))
        slopes.append(math.log2(small / large))
    return float(np.median(slopes))


@pytest.mark.parametrize("kind", ["line", "noise", "rough"])
def test_the_dimension_of_a_border_is_that_of_counting_boxes(kind: str) -> None:
    noise = np.random.default_rng(0).standard_normal((SIDE, SIDE))
    place = np.arange(SIDE)
    values = {
        "line": place[:, None] - place[None] - 0.5,
        "noise": noise,
        "rough": place[:, None] - 32 + 8 * noise,
    }[kind]
    found = box_dimension(values)
    assert found is not None
    assert found.median == pytest.approx(dimension(values))
    assert 1 - 0.1 < found.low <= found.median <= found.high <= 2
    assert found.largest == 8
    assert {"line": abs(found.median - 1) < 0.1, "noise": found.median > 1.9, "rough": 1 < found.median < 2}[kind]


def test_where_nothing_crosses_there_is_no_dimension() -> None:
    assert not border(np.ones((SIDE, SIDE)), 0.0).any()
    assert box_dimension(np.ones((SIDE, SIDE))) is None
    assert box_dimension(np.full((SIDE, SIDE), np.nan)) is None


def test_runs_that_are_missing_have_no_border_and_are_none_of_those_that_do_not_train() -> None:
    """As where the sweep was interrupted; all that were trained do train."""
    jobs = [
        [f"dataset.noise={x}", f"optimizer.learning_rate={y}", "seed=0"] for x in range(1, 17) for y in range(1, 17)
    ]
    jobs = [job for job in jobs if not (job[0].endswith("=3") or job[1].endswith("=5"))] + [jobs[2 * 16], jobs[4]]
    results = results_of(jobs, [(summary(0.1), falling(1.0, 0.1, 0.1)) for _ in jobs], wanted=TRAINS)
    runs = tuple(replace(run, readings={**run.readings, TRAINS: -1.0}) for run in results.runs)
    assert about_border(replace(results, runs=runs)) == ["100.0 % of the runs train; there is no border to measure."]
    values = np.full((SIDE, SIDE), -1.0)
    values[20:, 30:40] = np.nan
    assert not border(values, 0.0).any()


def test_colours_go_by_ranks_on_either_side_of_the_border() -> None:
    values = np.array([-100.0, -2, -1, 5, 1e6, np.nan])
    ranked = by_rank(values, np.sort(values[:-1]))
    np.testing.assert_allclose(ranked, [-1, -0.625, -0.25, 0.25, 1, np.nan])


FIELD = [
    "dataset=noise",
    "dataset.examples=12",
    "dataset.features=2",
    "loss=mean_squared_error",
    "architecture=uniform",
    "architecture.width=2",
    "architecture.depth=1",
    "trainer.epochs=30",
    "trainer.metrics=[]",
    "tracking=none",
    "sweep.metric=trainability/train/loss",
    "sweep.confirm=0",
    "initializer.scale=logspace(0.3,30,17)",
    "optimizer.learning_rate=logspace(0.1,100,17)",
]


def recorded(folder: Path) -> SweepResults:
    record = SweepRecord.read(folder)
    assert record is not None
    return results_in(folder, record)


def test_a_field_is_a_picture_a_pixel_a_run_and_its_next_window_is_a_command(typed: Typed, tmp_path: Path) -> None:
    first = typed("-m", *FIELD)
    assert (first.returncode, first.stderr) == (0, "")
    assert "their border has the box" in first.stdout
    (folder,) = (tmp_path / "outputs" / "sweeps").iterdir()
    results = recorded(folder)
    field = field_of(results)
    assert field is not None
    assert (field.x.key, field.y.key, field.values.shape) == (
        *[word.partition("=")[0] for word in FIELD[-2:]],
        (17, 17),
    )
    for run in results.runs[::23]:
        row, column = ((one.numbers or ()).index(float(run.value(one.key) or 0)) for one in (field.y, field.x))
        assert field.values[row, column] == run.reading("trainability/train/loss")

    (sentence,) = about_border(results)
    assert sentence.partition("(")[0] in (folder / "report.md").read_text()
    (name,) = (path.name for path in (folder / "figures").iterdir() if path.name.endswith("_pixels.png"))
    assert name not in (folder / "report.md").read_text()
    picture = images.imread(folder / "figures" / name)[::-1]
    assert picture.shape[:2] == (17, 17)
    trains = field.values < 0
    trains = trains.T if "learning_rate_scale" in name else trains
    assert np.array_equal(picture[..., 2] > 0.6, trains), "what trains is blue, the first row at the bottom"

    second = typed("zoom", "last", "0.5", "3", "1", "10", "16")
    assert (second.returncode, second.stderr) == (0, f"nnexp: last is {folder.relative_to(tmp_path)}\n")
    said = second.stdout.splitlines()[0]
    assert said.startswith("python -m nnexp -m dataset=noise")
    assert said.endswith("'initializer.scale=logspace(0.5,3,16)' 'optimizer.learning_rate=logspace(1,10,16)'")
    newest = max((tmp_path / "outputs" / "sweeps").iterdir())
    zoomed = field_of(recorded(newest))
    assert zoomed is not None
    assert zoomed.values.shape == (16, 16)
    assert (zoomed.x.numbers or ())[0] == 0.5
    again = window_of(str(newest), str(tmp_path / "outputs"), ["1", "2", "1", "2"], None)
    assert again[-2:] == ["initializer.scale=logspace(1,2,16)", "optimizer.learning_rate=logspace(1,2,16)"]
    for window, answer in (
        ("5 0.5 1 10", "must have a window above 0 and with its lower end first, not 5 to 0.5"),
        ("0 5 1 10", "must have a window above 0 and with its lower end first, not 0 to 5"),
        ("x 5 1 10", "must have numbers for its window, not x"),
    ):
        refused = typed("zoom", str(folder), *window.split())
        assert (refused.returncode, refused.stderr) == (2, f"nnexp: zoom: {answer}\n")


def test_a_map_of_long_lists_has_a_picture_too(tmp_path: Path) -> None:
    numbers = [str(number) for number in range(1, 17)]
    jobs = grid(optimizer__learning_rate=numbers, initializer__scale=numbers)
    results = results_of(jobs, [(summary(1.0 + place), falling(2, 1, 1)) for place in range(len(jobs))])
    names = save_figures(sweep_figures(results), tmp_path / "figures")
    assert {"map_learning_rate_scale", "map_learning_rate_scale_pixels"} <= {*names}


def test_a_table_has_the_same_field(typed: Typed, tmp_path: Path) -> None:
    """Of all its rows, also where a report looks at some of its runs only."""
    figure = "sweep.figures=[{image: {x: initializer.scale, y: optimizer.learning_rate}}]"
    for record in ("runs", "table"):
        result = typed("-m", *FIELD, figure, f"sweep.record={record}", f"output_dir={record}")
        assert (result.returncode, result.stderr) == (0, "")
    (runs,), (table,) = ((tmp_path / record / "sweeps").iterdir() for record in ("runs", "table"))
    one, other = recorded(runs), recorded(table)
    assert other.table is not None
    assert not any("rate" in name or "scale" in name for name in other.table.names[3:]), "an axis is no reading"
    few = replace(other, runs=other.runs[::5])
    of_runs, of_table = field_of(one), field_of(few)
    assert of_runs is not None
    assert of_table is not None
    assert of_table.x.numbers == of_runs.x.numbers
    np.testing.assert_array_equal(of_table.values, of_runs.values)
    (name,) = (path.name for path in (table / "figures").iterdir() if path.name.endswith("_pixels.png"))
    assert (table / "figures" / name).read_bytes() == (runs / "figures" / name).read_bytes()
