"""The view of a sweep in MLflow, and the links to pages of MLflow.

MLflow keeps a view of an experiment's runs (filter, order, columns, charts) in a tag of the experiment, and a link with
its key opens it. Such a view is usually arranged by hand and saved there; here it is written.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from nnexp.core.errors import PASSWORD, without_passwords
from nnexp.core.files import relative
from nnexp.tracking.mlflow_entities import cut
from nnexp.tracking.mlflow_store import DATABASE, database_file, is_server
from nnexp.training.readings import Reading

PORT = 5000
"""The port of MLflow, if it is not told another one."""
MAX_VIEW_LENGTH = 20_000
"""The longest value of an experiment's tag in MLflow 3.17, which refuses longer ones."""
SCATTER_CHARTS = 2
"""The number of parameters with a scatter chart of their own."""
CURVE_CHARTS = 4
"""The number of metrics that are drawn over time, before those that MLflow adds."""
REPORT = "report.html"
"""The report of a run or a sweep as a page."""
WORKFLOW_QUERY = "workflowType=machine_learning"
"""Without it a first visit opens another part of MLflow, which does not show these runs."""


def tag_name(sweep: str) -> str:
    """Return the name of the experiment's tag that keeps the view of a sweep."""
    return f"mlflow.sharedViewState.{sweep}"


def shared_view(sweep: str, parameters: Sequence[str], metric: str, metrics: Sequence[str]) -> str:
    """Return the view of a sweep: its runs, the best first, and charts of the parameters that were varied.

    Args:
        sweep: The ID of the sweep; its runs have the tag `sweep.<sweep>`, also reused ones.
        parameters, metric: The varied parameters, the most interesting first, and the metric that ranks the runs, such
            as `final/test/loss`. The last parameters are left out if the tag would be too long.
        metrics: The curves to draw, the most interesting first; MLflow itself adds all others.
    """
    for count in range(len(parameters), -1, -1):
        text = _json(_state(sweep, parameters[:count], metric, metrics[:CURVE_CHARTS]))
        if len(text) <= MAX_VIEW_LENGTH:
            break
    return text


def runs_link(experiment_id: str, sweep: str, *, arranged: bool = True) -> str:
    """Return the path of the page of a sweep's runs, to append to the address of MLflow.

    Args:
        experiment_id, sweep: The IDs of the experiment and the sweep.
        arranged: Whether the view of the sweep is there; to name one that is not would lead away from the runs.
    """
    shown = f"viewStateShareKey={quote(sweep)}" if arranged else f"searchFilter={quote(_members(sweep))}"
    return f"#/experiments/{experiment_id}/runs?{WORKFLOW_QUERY}&compareRunsMode=CHART&{shown}"


def about_runs(experiment_id: str) -> str:
    """Return the description of an experiment in Markdown, which begins with the link to its runs.

    Whoever comes to an experiment from MLflow's first page sees this above a part of MLflow that does not show them.
    """
    link = f"#/experiments/{experiment_id}/runs?{WORKFLOW_QUERY}"
    return (
        f"[**All runs**]({link}) (Model training, at the top left). A row with a plus is a sweep: its scores are the "
        "means of its first setting, and its runs are below it. Sort by `final/test/loss` to compare. The description "
        "of each begins with a link to its report."
    )


def _members(sweep: str) -> str:
    """Return the filter of the runs of a sweep, but for those with fresh seeds."""
    return f"tags.`sweep.{sweep}` = 'yes'"


def links(uri: str, pages: Mapping[str, str]) -> Sequence[tuple[str, str]]:
    """Return titles and addresses of pages of MLflow, after the command that starts it if it is no server."""
    if is_server(uri):
        address = PASSWORD.sub("", uri).rstrip("/")
        return [(title if len(pages) > 1 else "MLflow", f"{address}/{page}") for title, page in pages.items()]
    address = f"http://127.0.0.1:{PORT}"
    return [("MLflow", _command(uri)), *[(title, f"{address}/{page}") for title, page in pages.items()]]


def _command(uri: str) -> str:
    """Return the command that opens MLflow on a store that is no server."""
    file = database_file(uri)
    if file is None or file.name != DATABASE:
        where = ["--tracking-uri", without_passwords(uri)]
    else:
        where = [] if relative(file.parent) == "outputs" else ["--output-dir", relative(file.parent)]
    return shlex.join(["python", "-m", "nnexp", "ui", *where])


def experiments_link() -> str:
    """Return the path of the page of all experiments, to append to the address of MLflow."""
    return f"#/experiments?{WORKFLOW_QUERY}"


def run_link(experiment_id: str, run_id: str) -> str:
    """Return the path of the page of a run, to append to the address of MLflow."""
    return f"#/experiments/{experiment_id}/runs/{run_id}?{WORKFLOW_QUERY}"


def artifact_link(experiment_id: str, run_id: str, path: str) -> str:
    """Return the path of the page of a file of a run, to append to the address of MLflow."""
    return f"#/experiments/{experiment_id}/runs/{run_id}/artifacts/{quote(path)}?{WORKFLOW_QUERY}"


def described(text: str, experiment_id: str, run_id: str, files: Sequence[Path]) -> str:
    """Return the description of a run or a sweep in Markdown, which begins with the link to its report, if any."""
    if not any(path.name == REPORT for path in files):
        return cut(text)
    return cut(f"[**Report**, with figures]({artifact_link(experiment_id, run_id, REPORT)})\n\n{text}")


def _state(sweep: str, parameters: Sequence[str], metric: str, metrics: Sequence[str]) -> Mapping[str, object]:
    column = f"metrics.`{metric}`"
    # MLflow hides children below their parent unless runs are sorted, as by a metric.
    return {
        "searchFilter": _members(sweep),
        "orderByKey": column,
        "orderByAsc": Reading.of(metric).lower_is_better,
        "runsHiddenMode": "SHOW_ALL",
        "selectedColumns": [column, *(f"params.`{name}`" for name in parameters)],
        # Without it the groups of charts are sorted by name, and those of single metrics may come first.
        "isAccordionReordered": True,
        "compareRunSections": [
            _section("all", "What was varied", 1),
            _section("each", "Each on its own", 2),
            _section("curves", "Curves", 2),
        ],
        "compareRunCharts": [
            _chart("PARALLEL", "all", 0, selectedParams=[*parameters], selectedMetrics=[metric], showAllRuns=True),
            *[
                _chart("SCATTER", "each", number, xaxis=_axis("PARAM", name), yaxis=_axis("METRIC", metric))
                for number, name in enumerate(parameters[:SCATTER_CHARTS])
            ],
            *[
                _chart("LINE", "curves", number, metricKey=name, selectedMetricKeys=[name])
                for number, name in enumerate(metrics)
            ],
        ],
    }


def _section(key: str, name: str, columns: int) -> Mapping[str, object]:
    return {"uuid": key, "name": name, "display": True, "isReordered": True, "columns": columns, "cardHeight": 320}


def _chart(kind: str, section: str, number: int, **settings: object) -> Mapping[str, object]:
    return {"uuid": f"{section}{number}", "type": kind, "metricSectionId": section, **settings}


def _axis(kind: str, key: str) -> Mapping[str, str]:
    return {"key": key, "type": kind}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
