"""Readings: what a curve is as one number."""

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnexp.core.component import Array
from nnexp.core.errors import UserError
from nnexp.training.history import History
from nnexp.training.readings import READINGS, Reading, all_readings, check_reading

LOSS, ACCURACY = "test/loss", "test/accuracy"


def history(times: list[int], **metrics: list[float]) -> History:
    """Return a history; an underscore stands for a slash."""
    columns: dict[str, Array] = {name.replace("_", "/"): np.array(values) for name, values in metrics.items()}
    return History(np.array(times), columns)


CURVE = history([0, 1, 3, 10], test_loss=[8.0, 4.0, 1.0, 2.0], test_accuracy=[0.1, 0.5, 0.75, 0.95])
OLD = history([1, 3, 10], test_loss=[4.0, 1.0, 2.0], test_accuracy=[0.5, 0.75, 0.95])
TABLE: list[tuple[str, float | None, float | None]] = [
    ("test/loss", 2.0, 2.0),
    ("final/test/loss", 2.0, 2.0),
    ("end/test/loss", 2.0, 2.0),
    ("start/test/loss", 8.0, None),
    ("best/test/accuracy", 0.75, 0.75),
    ("min/test/loss", 1.0, 1.0),
    ("max/test/loss", 4.0, 4.0),
    ("min/test/accuracy", 0.5, 0.5),
    ("sum/test/loss", 4.0 + 2 * 1.0 + 7 * 2.0, 20.0),
    ("mean/test/loss", 2.0, 2.0),
    ("time_to/test/loss/2", 3.0, 3.0),
    ("time_to/test/loss/8", 0.0, 1.0),
    ("time_to/test/loss/0.5", None, None),
    ("time_to/test/accuracy/0.95", 10.0, 10.0),
    ("time_to/test/accuracy/0.99", None, None),
    ("trainability/test/loss", -(4 + 2 * 1 + 7 * 2) / 8, -(4 + 2 * 1 + 7 * 2) / 4),
]
"""Of the curve with its start, and without it."""


@pytest.mark.parametrize(("path", "whole", "old"), TABLE)
def test_readings_of_a_curve_by_hand(path: str, whole: float | None, old: float | None) -> None:
    reading = Reading.of(path)
    assert reading.read(CURVE, 10) == pytest.approx(whole)
    assert reading.read(OLD, 10) == pytest.approx(old)
    assert Reading.of(reading.path) == reading
    assert all_readings(CURVE, 10, path)[reading.path] == pytest.approx(whole)


def test_the_final_reading_is_of_the_parameters_that_are_left() -> None:
    assert Reading.of("test/loss").read(CURVE, 10, final=2) == 1.0
    assert Reading.of("final/test/accuracy").read(OLD, 10, final=1) == 0.75
    assert Reading.of("end/test/loss").read(CURVE, 10, final=2) == 2.0


def test_a_run_that_diverged_has_little() -> None:
    for known in (CURVE, history([0], test_loss=[8.0]), history([], test_loss=[])):
        kept = {path for path, value in all_readings(known, 10, "time_to/test/loss/9", diverged=True).items() if value}
        some = {"start/test/loss", "trainability/test/loss"} if len(known) else set()
        assert {path for path in kept if path.endswith("loss")} == some
    assert Reading.of("time_to/test/loss/4").read(CURVE, 10, diverged=True) == 1.0
    begun = all_readings(history([0], test_loss=[8.0]), 10)
    assert {path for path, value in begun.items() if value is not None} == {"start/test/loss"}


@pytest.mark.parametrize(
    ("losses", "left"),
    [([1.0] * 50 + [0.5] * 50, 0), ([1.0, 2.0, 4.0], 97), ([1.0] * 100, 0), ([2.0, *[1e300] * 99], 0), ([3.0], 99)],
    ids=range(5),
)
def test_trainability_is_the_formula_of_the_paper(losses: list[float], left: int) -> None:
    v = np.minimum(np.array([*losses, *[1e6 * losses[0]] * left]) / losses[0], 1e6)
    expected = -v.sum() if v[-20:].mean() < 1 else (1 / v).sum()
    known = history([*range(1, len(losses) + 1)], test_loss=losses)
    assert Reading.of("trainability/test/loss").read(known, 100, diverged=left > 0) == pytest.approx(expected, 1e-12)


@given(
    values=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=30),
    spans=st.lists(st.integers(1, 1000), min_size=30, max_size=30),
)
def test_a_mean_lies_between_and_a_level_is_reached_where_the_curve_says_so(
    values: list[float], spans: list[int]
) -> None:
    times = np.cumsum(spans[: len(values)]).tolist()
    known = history(times, test_loss=values, test_accuracy=values)
    found = {path: value for path, value in all_readings(known, times[-1]).items() if value is not None}
    for metric in (LOSS, ACCURACY):
        low, mean, high = (found[f"{kind}/{metric}"] for kind in ("min", "mean", "max"))
        assert low * (1 - 1e-12) <= mean <= high * (1 + 1e-12)
        assert found[f"sum/{metric}"] == pytest.approx(mean * times[-1])
        assert low <= found[f"best/{metric}"] <= high
        best = low if metric == LOSS else high
        at = Reading.of(f"time_to/{metric}/{best!r}").read(known, times[-1])
        assert at == times[values.index(best)]
    assert found["best/test/loss"] == found["min/test/loss"]
    longer = history([time * 3 for time in times], test_loss=values)
    assert Reading.of("mean/test/loss").read(longer, 3 * times[-1]) == pytest.approx(found["mean/test/loss"])


@given(value=st.floats(1e-6, 1e6), spans=st.lists(st.integers(1, 1000), min_size=1, max_size=30))
def test_a_constant_reads_as_itself(value: float, spans: list[int]) -> None:
    known = history(np.cumsum([0, *spans]).tolist(), test_loss=[value] * (len(spans) + 1))
    found = all_readings(known, sum(spans))
    for kind in ("final", "end", "start", "best", "min", "max", "mean"):
        assert found[f"{kind}/test/loss"] == pytest.approx(value, rel=1e-12)
    assert found["sum/test/loss"] == pytest.approx(value * sum(spans))
    assert found["trainability/test/loss"] == pytest.approx(sum(spans)), "it has not become better"


@pytest.mark.parametrize("losses", [[0.0, 1.0], [1e-300, 1e300], [1.0, 0.0, 3.0], [1e308, 1e308], [1e308, 1e-308]])
def test_extreme_losses_have_readings_without_a_warning(losses: list[float]) -> None:
    found = all_readings(history([*range(len(losses))], test_loss=losses), len(losses) - 1)
    assert {path for path, value in found.items() if value is None} == (
        set() if losses[0] else {"trainability/test/loss"}
    )
    assert abs(found["trainability/test/loss"] or 0) <= 1e6 * len(losses)


def test_each_reading_has_a_direction_and_a_name() -> None:
    assert {kind: Reading(kind, ACCURACY).lower_is_better for kind in READINGS} == {
        **dict.fromkeys(READINGS, False),
        "time_to": True,
        "trainability": True,
    }
    assert all(Reading(kind, LOSS).lower_is_better for kind in READINGS)
    names = {path: Reading.of(path).name for path, *_ in TABLE}
    assert (names["test/loss"], names["final/test/loss"]) == ("test/loss", "test/loss")
    assert (names["mean/test/loss"], names["time_to/test/loss/0.5"]) == ("mean test/loss", "time to test/loss 0.5")


MISTAKES = {
    "foo": r"m=foo: must be test/loss or test/accuracy, or a reading of one of them \(final, .*\), as mean/test/loss",
    "mean/foo": r"m=mean/foo: must be test/loss or test/accuracy, or a reading .*, as mean/test/loss",
    "mea/test/loss": r"m=mea/test/loss: must begin with a reading \(final, .*\), as mean/test/loss, or be test/loss",
    "time_to/test/loss": r"m=time_to/test/loss: must end in the level to reach, as time_to/test/loss/0\.1",
    f"time_to/test/loss/{inf}": r"must end in the level to reach",
    "time_to/foo/3": r"m=time_to/foo/3: must be test/loss or test/accuracy, or a reading",
}


@pytest.mark.parametrize("path", MISTAKES)
def test_a_path_that_is_none_is_a_line(path: str) -> None:
    with pytest.raises(UserError, match=MISTAKES[path]):
        check_reading(path, [LOSS, ACCURACY], "m")
    for good, *_ in TABLE:
        check_reading(good, [LOSS, ACCURACY], "m")
