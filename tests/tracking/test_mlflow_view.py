"""The view of a sweep as MLflow reads it, and the links to it."""

import json
from urllib.parse import parse_qs

import pytest

from nnexp.tracking.mlflow_view import MAX_VIEW_LENGTH, run_link, runs_link, shared_view, tag_name

SWEEP = "3f2a9c0d5e"
PARAMETERS = ["optimizer.learning_rate", "initializer.scale", "architecture.hidden"]


def state_of(tag: str) -> dict[str, object]:
    found = json.loads(tag)
    assert isinstance(found, dict)
    return found


def charts_of(state: dict[str, object], kind: str) -> list[dict[str, object]]:
    charts = state["compareRunCharts"]
    assert isinstance(charts, list)
    return [chart for chart in charts if chart["type"] == kind]


def view(parameters: list[str] = PARAMETERS, metric: str = "best/test/loss") -> str:
    return shared_view(SWEEP, parameters, metric, ["test/loss", "train/loss"])


def test_the_view_shows_the_runs_of_a_sweep_and_what_was_varied() -> None:
    state = state_of(view())
    assert state["searchFilter"] == f"tags.`sweep.{SWEEP}` = 'yes'"
    assert state["runsHiddenMode"] == "SHOW_ALL"
    assert state["selectedColumns"] == ["metrics.`best/test/loss`", *(f"params.`{name}`" for name in PARAMETERS)]

    (parallel,) = charts_of(state, "PARALLEL")
    assert (parallel["selectedParams"], parallel["selectedMetrics"]) == (PARAMETERS, ["best/test/loss"])
    scattered = charts_of(state, "SCATTER")
    assert [chart["xaxis"] for chart in scattered] == [{"key": name, "type": "PARAM"} for name in PARAMETERS[:2]]
    assert all(chart["yaxis"] == {"key": "best/test/loss", "type": "METRIC"} for chart in scattered)
    assert [chart["metricKey"] for chart in charts_of(state, "LINE")] == ["test/loss", "train/loss"]


def test_every_chart_has_a_name_of_its_own_and_a_section_that_exists() -> None:
    state = state_of(view())
    charts, sections = state["compareRunCharts"], state["compareRunSections"]
    assert isinstance(charts, list)
    assert isinstance(sections, list)
    assert len({chart["uuid"] for chart in charts}) == len(charts)
    assert {chart["metricSectionId"] for chart in charts} == {section["uuid"] for section in sections}


@pytest.mark.parametrize(("metric", "ascending"), [("best/test/loss", True), ("best/test/accuracy", False)])
def test_the_best_run_is_first(metric: str, ascending: bool) -> None:  # noqa: FBT001
    state = state_of(view(metric=metric))
    assert (state["orderByKey"], state["orderByAsc"]) == (f"metrics.`{metric}`", ascending)


def test_equal_sweeps_have_equal_views() -> None:
    assert view() == view()
    assert view() != view(PARAMETERS[:2])


def test_a_hundred_parameters_fit_as_far_as_they_go_into_a_tag() -> None:
    many = [f"architecture.a_parameter_with_a_long_name_{number}" for number in range(100)]
    tag = view(many)
    assert len(tag) <= MAX_VIEW_LENGTH
    (parallel,) = charts_of(state_of(tag), "PARALLEL")
    shown = parallel["selectedParams"]
    assert isinstance(shown, list)
    assert len(shown) >= 30
    assert shown == many[: len(shown)]


def test_many_curves_leave_room_for_the_parameters() -> None:
    state = state_of(shared_view(SWEEP, PARAMETERS, "best/test/loss", [f"curve/{n}" for n in range(50)]))
    assert charts_of(state, "PARALLEL")[0]["selectedParams"] == PARAMETERS


def test_names_with_quotes_come_through() -> None:
    odd = ["data.it's", 'data."it"', "data.back\\slash", "data.größe"]
    (parallel,) = charts_of(state_of(view(odd)), "PARALLEL")
    assert parallel["selectedParams"] == odd


def test_links_open_the_part_of_mlflow_where_runs_are() -> None:
    page, _, query = runs_link("7", SWEEP).partition("?")
    assert page == "#/experiments/7/runs"
    assert parse_qs(query) == {
        "workflowType": ["machine_learning"],
        "compareRunsMode": ["CHART"],
        "viewStateShareKey": [tag_name(SWEEP).rpartition(".")[2]],
    }
    page, _, query = runs_link("7", SWEEP, arranged=False).partition("?")
    assert (page, parse_qs(query)["searchFilter"]) == ("#/experiments/7/runs", [f"tags.`sweep.{SWEEP}` = 'yes'"])
    assert run_link("7", "ab") == "#/experiments/7/runs/ab?workflowType=machine_learning"
