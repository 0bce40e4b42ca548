"""A run as MLflow has it, in a SQLite store and behind a real server."""

import csv
import json
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.models import Model
from omegaconf import OmegaConf

from nnexp import run
from nnexp.config.compose import compose_experiment
from nnexp.core.component import resolved
from nnexp.runs.record import read_record
from nnexp.runs.result import Result
from nnexp.tracking import mlflow_run, mlflow_sweep
from nnexp.tracking.mlflow import MLflowTracking
from nnexp.tracking.mlflow_sweep import MLflowSweep
from nnexp.tracking.tracker import IDENTIFIER, DatasetFacts, FinishedRun, RunRecord, Status, SweepFacts, SweepView
from nnexp.training.history import History
from nnexp.training.predictions import ClassPredictions
from tests.tracking.server import Server, serving

METRICS = {"train/loss", "test/loss", "train/accuracy", "test/accuracy"}


def the_run(client: MlflowClient, experiment: str) -> Run:
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    (run,) = client.search_runs([found.experiment_id])
    return run


@pytest.fixture
def tracked(in_folder: Callable[[], Path]) -> tuple[Result, MlflowClient, Run]:
    """Return a run of 450 epochs, its store, and what is in it."""
    result = run(["trainer.epochs=450", "optimizer.learning_rate=1", "initializer.scale=0.1", "verbose=false"])
    client = MlflowClient(f"sqlite:///{in_folder()}/outputs/mlflow.db")
    return result, client, the_run(client, "digits_binary")


def test_a_run_in_the_default_store(tracked: tuple[Result, MlflowClient, Run]) -> None:
    result, client, run = tracked
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "epochs=450 learning_rate=1 scale=0.1"
    assert run.data.params["optimizer.learning_rate"] == "1.0"
    assert run.data.params["architecture.hidden"] == "[16, 8]"
    assert run.data.params["optimizer"] == "SGD"
    assert not [key for key in run.data.params if key.startswith(("tracking", "output_dir", "verbose"))]

    tags = run.data.tags
    assert tags["config_hash"] == result.config_hash
    assert tags["version.numpy"] == np.__version__
    assert tags["blas.threads"] == "1"
    assert tags["diverged"] == "false"
    assert tags["git.commit"] == "unknown" or len(tags["git.commit"]) == 40
    assert tags["git.dirty"] in ("unknown", "true", "false")
    assert "learning_rate=1" in tags["mlflow.note.content"]

    assert run.inputs is not None
    (data,) = run.inputs.dataset_inputs
    assert data.dataset.name == "digits_binary"

    for name in METRICS:
        points = client.get_metric_history(run.info.run_id, name)
        assert 190 <= len(points) <= 200
        assert (points[0].step, points[-1].step) == (0, 450)
        for point in points:
            assert point.value == result.history.metrics[name][point.step]
    best = result.history.best()
    assert run.data.metrics["best/test/loss"] == result.history.metrics["test/loss"].min()
    assert run.data.metrics["best/epoch"] == result.history.times[best]


def test_artifacts_are_complete(tracked: tuple[Result, MlflowClient, Run], tmp_path: Path) -> None:
    result, client, run = tracked
    folder = Path(client.download_artifacts(run.info.run_id, "", str(tmp_path)))
    assert str(run.info.artifact_uri).startswith((tmp_path / "outputs").as_uri())
    assert {path.name for path in (folder / "figures").iterdir()} == {
        "curves.png",
        "samples.png",
        "confusion_matrix.png",
        "predictions.png",
        "roc.png",
        "layers.png",
        "first_layer.png",
    }
    assert OmegaConf.to_container(OmegaConf.load(folder / "config.yaml")) == result.config
    with (folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["test/loss"]) for row in rows] == result.history.metrics["test/loss"].tolist()
    with np.load(folder / "parameters.npz") as parameters:
        assert set(parameters) == set(result.parameters)
        for name, values in result.parameters.items():
            np.testing.assert_array_equal(parameters[name], values)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/png;base64,') == 7
    link = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}/artifacts/report.html"
    assert run.data.tags["mlflow.note.content"].startswith(f"[**Report**, with figures]({link}?")


def test_the_model_of_a_run_is_one_of_mlflow(tracked: tuple[Result, MlflowClient, Run]) -> None:
    result, client, run = tracked
    (model,) = client.search_logged_models([run.info.experiment_id])
    assert (model.name, model.status, model.source_run_id) == ("model", "READY", run.info.run_id)
    assert run.outputs is not None
    assert [one.model_id for one in run.outputs.model_outputs] == [model.model_id]
    folder = Path(unquote(urlsplit(model.artifact_location).path))
    assert (folder / "data" / "parameters.npz").read_bytes() == (result.folder / "parameters.npz").read_bytes()
    assert Model.load(str(folder)).signature.inputs.inputs[0].shape == (-1, 64)


def test_a_run_that_goes_on_has_one_model(in_folder: Callable[[], Path]) -> None:
    overrides = ["trainer.checkpoint_every=1", "verbose=false", "figures=false"]
    first = run([*overrides, "trainer.epochs=2"])
    again = run([*overrides, f"resume={first.folder}", "trainer.epochs=4"])
    client = MlflowClient(f"sqlite:///{in_folder()}/outputs/mlflow.db")
    (model,) = client.search_logged_models([the_run(client, "digits_binary").info.experiment_id])
    there = Path(unquote(urlsplit(model.artifact_location).path))
    assert (there / "data" / "parameters.npz").read_bytes() == (again.folder / "parameters.npz").read_bytes()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Yield a real tracking server."""
    with serving(tmp_path) as server:
        yield server


def test_a_run_on_a_server(in_folder: Callable[[], Path], server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # what is typed counts
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    typed = [f"tracking.uri={server.address}", "tracking.tags={team: vision, 7: 1.5}"]
    result = run(["trainer.epochs=5", "verbose=false", *typed])
    assert not (in_folder() / "outputs" / "mlflow.db").exists()
    client = MlflowClient(server.address)
    run_there = the_run(client, "mine")
    assert run_there.info.status == "FINISHED"
    assert (run_there.data.tags["team"], run_there.data.tags["7"]) == ("vision", "1.5")
    assert run_there.data.metrics["test/loss"] == result.history.metrics["test/loss"][-1]
    assert {artifact.path for artifact in client.list_artifacts(run_there.info.run_id, "figures")} >= {
        "figures/curves.png"
    }
    ((title, link),) = result.links
    assert title == "MLflow"
    assert link.startswith(f"{server.address}/#/experiments/")


def test_a_store_that_was_deleted_is_made_anew_in_the_same_process(in_folder: Callable[[], Path]) -> None:
    for seed in range(2):
        run([f"seed={seed}", "trainer.epochs=2", "verbose=false", "figures=false"])
        client = MlflowClient(f"sqlite:///{in_folder()}/outputs/mlflow.db")
        assert the_run(client, "digits_binary").data.params["seed"] == str(seed)
        shutil.rmtree("outputs")


def test_from_python_a_run_returns_everything(in_folder: Callable[[], Path]) -> None:
    overrides = [
        "experiment=digits",
        "trainer.epochs=3",
        "tracking=none",
        "verbose=false",
        f"output_dir={in_folder()}/x",
    ]
    result = run(overrides)
    assert result.history.times.tolist() == [0, 1, 2, 3]
    assert isinstance(result.predictions, ClassPredictions)
    assert result.predictions.probabilities.shape == (360, 10)
    accuracy = (result.predictions.predicted == result.predictions.labels).mean()
    assert accuracy == result.history.metrics["test/accuracy"][-1]
    assert result.config == resolved(compose_experiment(overrides))
    assert result.folder.parent == in_folder() / "x" / "digits"


def finished(key: str = "0123456789ab", status: Status = "FINISHED", **changes: object) -> FinishedRun:
    """Return a run of 300 epochs whose loss is lowest at epoch 100, by 1 / 1000 at every epoch."""
    times = np.arange(1, 301)
    loss = 1 + np.abs(times - 100) / 1000
    facts = RunRecord(
        group="moons",
        name=f"seed={key}",
        parameters={"optimizer": "SGD", "architecture.hidden": [4, 2], "seed": 3},
        tags={"config_hash": key, "version.numpy": "2"},
        dataset=DatasetFacts("moons", "d1935700", "{}", {"train": [10, 2]}),
    )
    whole = FinishedRun(
        facts=facts,
        metrics={"best/test/loss": 1.0},
        tags={"diverged": "false"},
        description="what it is",
        seconds=12.5,
        status=status,
        history=History(times, {"test/loss": loss, "train/loss": loss / 2}),
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def test_a_run_that_failed_and_then_came_to_its_end_is_no_failure(in_folder: Callable[[], Path]) -> None:
    folder = in_folder()
    quick = ["trainer.epochs=2", "figures=false", "verbose=false", "tracking=none"]
    record = read_record(run([*quick, f"output_dir={folder}"]).folder)
    assert record is not None
    tracker = MLflowTracking().open(folder)
    failed = tracker.start(record, [1])
    failed.finish(finished(status="FAILED", tags={"error": "RuntimeError: once"}))
    again = tracker.start(record, [1], failed.run_id)
    again.finish(finished())
    found = MlflowClient(tracker.uri).get_run(str(failed.run_id))
    assert (found.info.status, "error" in found.data.tags) == ("FINISHED", False)


class Opened(NamedTuple):
    sweep: MLflowSweep
    client: MlflowClient

    def run(self, run_id: str | None) -> Run:
        assert run_id is not None
        return self.client.get_run(run_id)

    def begin(self, parent: str, **tags: str) -> str:
        """Leave a child that is not ended."""
        tags = {"mlflow.parentRunId": parent, **tags}
        return str(self.client.create_run(self.sweep.experiment_id, tags=tags).info.run_id)

    def children(self) -> dict[str, str]:
        return {key: child.run_id for key, child in self.sweep.children().items()}


SWEEP = SweepFacts("moons", "seed (3 runs)", "why?", {"sweep_key": "abcd"})


def open_sweep(output_dir: Path, run_id: str | None = None, facts: SweepFacts = SWEEP) -> Opened:
    sweep = MLflowTracking().open(output_dir).start_sweep(facts, run_id)
    assert sweep.uri == f"sqlite:///{output_dir}/mlflow.db"
    return Opened(sweep, MlflowClient(sweep.uri))


@pytest.fixture
def opened(in_folder: Callable[[], Path]) -> Opened:
    """Return a sweep that has begun in a new store."""
    return open_sweep(in_folder())


def test_a_sweep_whose_id_was_not_noted_is_found_by_its_identifier(in_folder: Callable[[], Path]) -> None:
    folder, facts = in_folder(), [replace(SWEEP, tags={IDENTIFIER: word}) for word in ("one", "other")]
    first, again, other = (open_sweep(folder, facts=facts[place]) for place in (0, 0, 1))
    assert first.sweep.run_id == again.sweep.run_id != other.sweep.run_id


def test_a_sweep_records_a_whole_run(opened: Opened, tmp_path: Path) -> None:
    folder = tmp_path / "a_run"
    (folder / "figures").mkdir(parents=True)
    (folder / "result.json").write_text("{}")
    (folder / "figures" / "curves.png").touch()
    parent = opened.run(opened.sweep.run_id)
    assert (parent.info.status, parent.info.run_name) == ("RUNNING", "seed (3 runs)")
    assert parent.data.tags["mlflow.note.content"] == "why?"
    assert parent.data.tags["sweep_key"] == "abcd"

    child = opened.run(opened.sweep.record(finished(files=[*folder.iterdir()])))
    assert (child.info.status, child.info.run_name) == ("FINISHED", "seed=0123456789ab")
    assert child.info.end_time - child.info.start_time == pytest.approx(12500, abs=5000)
    assert child.data.params == {"optimizer": "SGD", "architecture.hidden": "[4, 2]", "seed": "3"}
    assert child.data.metrics["best/test/loss"] == 1
    tags = {key: value for key, value in child.data.tags.items() if key != "mlflow.user"}
    assert tags == {
        "config_hash": "0123456789ab",
        "version.numpy": "2",
        "diverged": "false",
        "mlflow.note.content": "what it is",
        "mlflow.runName": "seed=0123456789ab",
        "mlflow.source.name": "nnexp",
        "mlflow.parentRunId": opened.sweep.run_id,
        "sweep": opened.sweep.run_id,
        f"sweep.{opened.sweep.run_id}": "yes",
    }
    assert child.inputs is not None
    (data,) = child.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("moons", "d1935700")
    points = opened.client.get_metric_history(child.info.run_id, "train/loss")
    assert 38 <= len(points) <= 41
    assert {1, 100, 300} <= {point.step for point in points}
    assert all(point.value == (1 + abs(point.step - 100) / 1000) / 2 for point in points)
    assert {one.path for one in opened.client.list_artifacts(child.info.run_id)} == {"figures", "result.json"}
    assert {one.path for one in opened.client.list_artifacts(child.info.run_id, "figures")} == {"figures/curves.png"}


def test_a_sweep_records_a_run_that_failed_with_a_long_error_and_many_parameters(opened: Opened) -> None:
    nothing = History(np.empty(0, np.intp), {})
    facts = replace(finished().facts, parameters={f"key{number}": number for number in range(1500)})
    run = finished(
        status="FAILED",
        facts=facts,
        history=nothing,
        metrics={},
        tags={"error": "E" * 20_000},
        description="D" * 90_000,
    )
    child = opened.run(opened.sweep.record(run))
    assert child.info.status == "FAILED"
    assert child.data.metrics == {}
    assert child.data.params == {f"key{number}": str(number) for number in range(1500)}
    for key, letter in (("error", "E"), ("mlflow.note.content", "D")):
        assert re.fullmatch(rf"{letter}{{4000,}}\W*", child.data.tags[key])


def test_what_was_not_recorded_to_its_end_is_deleted(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that failed was recorded to its end; what another program has put there is not touched."""
    monkeypatch.setattr(mlflow_sweep, "PAGE_SIZE", 2)
    assert opened.children() == {}
    other, parent = open_sweep(Path.cwd()), opened.sweep.run_id
    left = [other.begin(other.sweep.run_id, config_hash="cc"), opened.begin(parent), parent]
    statuses: dict[str, Status] = {"aa": "FINISHED", "bb": "FAILED", "cc": "FINISHED", "dd": "KILLED", "ee": "FINISHED"}
    whole = {key: opened.sweep.record(finished(key, status)) for key, status in statuses.items()}
    half = [opened.begin(parent, config_hash=key) for key in ("ff", "aa")]
    assert opened.children() == whole
    assert {child.status for child in opened.sweep.children().values()} == {"FINISHED", "FAILED", "KILLED"}
    stages = {key: opened.run(key).info.lifecycle_stage for key in [*left, *whole.values(), *half] if key}
    assert {key for key, stage in stages.items() if stage == "deleted"} == set(half)
    assert opened.children() == whole


def test_of_two_trainings_of_a_job_the_last_stays(opened: Opened) -> None:
    """As when the process is killed between recording the second and deleting the first."""
    first = opened.sweep.record(finished("aa", "FAILED"))
    time.sleep(0.01)  # it is told by the time of its end, in milliseconds
    last = opened.sweep.record(finished("aa", seconds=1e6))
    assert opened.children() == {"aa": last}
    assert opened.run(first).info.lifecycle_stage == "deleted"


def test_a_run_of_another_sweep_becomes_one_of_this_unless_it_is_deleted(opened: Opened) -> None:
    other = open_sweep(Path.cwd())
    kept, deleted = other.sweep.record(finished("aa")), other.sweep.record(finished("bb"))
    assert kept is not None
    assert deleted is not None
    other.client.delete_run(deleted)
    assert [opened.sweep.reuse(run_id) for run_id in (kept, kept, deleted, "0" * 32)] == [True, True, False, False]
    members = [key for key in opened.run(kept).data.tags if key.startswith("sweep.")]
    assert sorted(members) == sorted([f"sweep.{opened.sweep.run_id}", f"sweep.{other.sweep.run_id}"])
    assert opened.run(kept).data.tags["mlflow.parentRunId"] == other.sweep.run_id
    assert f"sweep.{opened.sweep.run_id}" not in opened.run(deleted).data.tags
    assert opened.children() == {}
    assert other.children() == {"aa": kept}


def test_a_sweep_is_finished_with_a_view_and_its_files(opened: Opened, tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text("# Report")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "map.png").touch()
    shown = SweepView(["seed", "optimizer.learning_rate"], "test/loss", ["test/loss"], {"runs": 3.0, "failed": 1.0})
    files = [tmp_path / "report.md", tmp_path / "figures"]
    opened.sweep.finish(shown, "long " * 20_000, files, "KILLED")
    parent = opened.run(opened.sweep.run_id)
    assert parent.info.status == "KILLED"
    assert parent.data.metrics == {"runs": 3, "failed": 1}
    assert re.fullmatch(r"(long ){800,}.{0,20}", parent.data.tags["mlflow.note.content"])
    paths = [one.path for name in ("", "figures") for one in opened.client.list_artifacts(parent.info.run_id, name)]
    assert sorted(paths) == ["figures", "figures/map.png", "report.md"]
    tags = opened.client.get_experiment(parent.info.experiment_id).tags
    state = json.loads(tags[f"mlflow.sharedViewState.{opened.sweep.run_id}"])
    assert state["searchFilter"] == f"tags.`sweep.{opened.sweep.run_id}` = 'yes'"
    found = opened.client.search_runs([parent.info.experiment_id], state["searchFilter"])
    assert [one.info.run_id for one in found] == []
    child = opened.sweep.record(finished())
    found = opened.client.search_runs([parent.info.experiment_id], state["searchFilter"])
    assert [one.info.run_id for one in found] == [child]
    pages = dict(opened.sweep.links())
    assert pages["Runs"].endswith(f"viewStateShareKey={opened.sweep.run_id}")
    assert f"/runs/{opened.sweep.run_id}" in pages["Report"]


def test_a_sweep_is_opened_again_and_made_anew_where_it_was_deleted(opened: Opened) -> None:
    first = opened.sweep.run_id
    opened.sweep.finish(SweepView([], "test/loss", [], {}), "so far", [], "KILLED")
    again = open_sweep(Path.cwd(), first)
    assert again.sweep.run_id == first
    assert again.run(first).info.status == "RUNNING"
    again.client.delete_run(first)
    anew = open_sweep(Path.cwd(), first)
    assert anew.sweep.run_id != first
    assert anew.run(anew.sweep.run_id).info.status == "RUNNING"
    assert anew.run(first).info.lifecycle_stage == "deleted"
    unknown = open_sweep(Path.cwd(), "0" * 32)
    assert unknown.sweep.run_id not in {first, anew.sweep.run_id, "0" * 32}


def test_what_a_killed_process_left_of_a_new_store_is_removed(tmp_path: Path) -> None:
    for name in (".mlflow.17.db", ".mlflow.17.db-journal"):
        (tmp_path / name).touch()
    MLflowTracking().open(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"mlflow.db", ".mlflow.db.lock"}


def test_metrics_that_come_while_others_are_delivered_are_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_run, "DELIVER_SECONDS", 0.0)
    run = MLflowTracking().open(tmp_path).start(finished().facts, [1, 2, 3])
    with closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        run.log(1, {"train/loss": 1.0})
        time.sleep(0.2)  # the delivery has begun, and waits
        run.log(2, {"train/loss": 2.0})
        other.execute("ROLLBACK")
    run.log(3, {"train/loss": 3.0})
    run.finish(finished())
    points = MlflowClient(run.uri).get_metric_history(str(run.run_id), "train/loss")
    assert sorted((point.step, point.value) for point in points) == [(1, 1.0), (2, 2.0), (3, 3.0)]
