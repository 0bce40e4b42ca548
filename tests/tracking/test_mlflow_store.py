"""The default store where users have changed something: the place of its folder, and what MLflow's page deletes."""

import re
import shutil
import sqlite3
import ssl
import subprocess
from contextlib import closing
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from threading import Thread

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

from nnexp.core.errors import UserError
from nnexp.runs.tracked import read_tracked
from nnexp.storage.run_folder import TRACKED
from nnexp.tracking import mlflow_store
from nnexp.tracking.mlflow_store import DATABASE, TABLES, check_store, open_store, restore
from tests.conftest import CommandLine, Typed
from tests.programs.mlflow_tables import tables_of_mlflow
from tests.tracking.server import serving

SMALL = ("trainer.epochs=2", "figures=false", "verbose=false")


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_artifacts_follow_an_output_folder_that_was(how: str, typed: Typed, tmp_path: Path) -> None:
    old, new = tmp_path / "a place #1 100% é" / "outputs", tmp_path / "another's #2, 50% ü" / "outputs"
    assert typed(*SMALL, f"output_dir='{old}'").returncode == 0
    client = MlflowClient(f"sqlite:///{old}/mlflow.db")
    other = client.create_experiment("other", artifact_location=(tmp_path / "elsewhere").as_uri())
    (run,) = client.search_runs([one.experiment_id for one in client.search_experiments()])
    model = client.create_logged_model(run.info.experiment_id, name="model")
    before = contents(old)
    new.parent.mkdir()
    (shutil.move if how == "moved" else shutil.copytree)(old, new)

    again = typed(*SMALL, "seed=1", f'output_dir="{new}"')
    assert (again.returncode, again.stderr) == (0, "")
    client = MlflowClient(f"sqlite:///{new}/mlflow.db")
    experiments = {one.name: one for one in client.search_experiments() if one.name != "Default"}
    assert set(experiments) == {"digits_binary", "other"}
    assert client.get_experiment(other).artifact_location == (tmp_path / "elsewhere").as_uri()
    runs = client.search_runs([experiments["digits_binary"].experiment_id])
    assert len(runs) == 2
    for run in runs:
        assert str(run.info.artifact_uri).startswith(f"{new.as_uri()}/mlartifacts/")
        copy = Path(client.download_artifacts(run.info.run_id, "config.yaml"))
        assert copy.read_bytes() == (new / "mlartifacts" / run.info.run_id / "artifacts" / "config.yaml").read_bytes()
    assert client.get_logged_model(model.model_id).artifact_location.startswith(f"{new.as_uri()}/mlartifacts/")
    assert (contents(old) if old.exists() else None) == (before if how == "copied" else None)


def experiment_and_runs(folder: Path) -> tuple[MlflowClient, str, dict[str, Run]]:
    """Return the store of a folder, the experiment in it, and its runs that are not deleted."""
    client = MlflowClient(f"sqlite:///{folder}/outputs/mlflow.db")
    experiment = client.get_experiment_by_name("digits_binary")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], run_view_type=ViewType.ACTIVE_ONLY)
    return client, experiment.experiment_id, {run.info.run_id: run for run in runs}


def test_an_experiment_that_was_deleted_is_restored_by_one_of_two_processes(
    nnexp: CommandLine, typed: Typed, tmp_path: Path
) -> None:
    assert typed(*SMALL).returncode == 0
    client, experiment, _ = experiment_and_runs(tmp_path)
    client.delete_experiment(experiment)
    as_both_see_it = client.get_experiment(experiment)
    both = [nnexp.start(*SMALL, f"seed={seed}") for seed in (1, 2)]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    line = "nnexp: tracking.experiment=digits_binary: was deleted in MLflow, and is restored with its runs\n"
    assert set(said) <= {"", line}
    assert line in said
    assert {run.data.params["seed"] for run in experiment_and_runs(tmp_path)[2].values()} == {"0", "1", "2"}
    restore(client, as_both_see_it)


def test_the_children_of_a_parent_that_was_deleted_follow_the_new_one(typed: Typed, tmp_path: Path) -> None:
    sweep = ("-m", "seed=0,1", *SMALL)
    assert typed(*sweep).returncode == 0
    client, experiment, runs = experiment_and_runs(tmp_path)
    children = {key for key, run in runs.items() if "mlflow.parentRunId" in run.data.tags}
    (first,) = runs.keys() - children

    def parents_of_the_children() -> tuple[set[str], list[set[str]]]:
        runs = experiment_and_runs(tmp_path)[2]
        assert children < set(runs)
        tags = [runs[child].data.tags for child in children]
        return set(runs) - children, [{one["mlflow.parentRunId"], one["sweep"]} for one in tags]

    client.delete_experiment(experiment)
    again = typed(*sweep)
    assert (again.returncode, again.stderr.count("is restored with its runs")) == (0, 1)
    assert parents_of_the_children() == ({first}, [{first}, {first}])

    client.delete_run(first)
    assert typed(*sweep).returncode == 0
    ((anew,), children_of) = parents_of_the_children()
    assert children_of == [{anew}, {anew}]

    assert typed("-m", "seed=0,1,2", *SMALL).returncode == 0
    assert parents_of_the_children()[1] == [{anew}, {anew}]


@pytest.mark.parametrize("how", ["config", "environment"])
def test_a_database_in_the_working_folder_is_noted_as_it_is_from_everywhere(
    how: str, typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "environment":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs.db")
    said = [] if how == "environment" else ["tracking.uri=sqlite:///runs.db"]
    assert typed(*SMALL, *said).returncode == 0
    (note,) = (tmp_path / "outputs").rglob(TRACKED)
    assert [*read_tracked(note.parent)] == [f"sqlite:///{tmp_path}/runs.db"]
    assert not list(tmp_path.rglob("mlflow.db"))


def test_a_database_without_its_driver_is_refused_in_one_line(typed: Typed) -> None:
    refused = typed(*SMALL, "tracking.uri=postgresql+pg8000://me:s@cret@127.0.0.1:9/runs")
    wanted = "must be a store whose driver is installed: python -m pip install 'pg8000'"
    expected = f"nnexp: tracking.uri=postgresql+pg8000://me:***@127.0.0.1:9/runs: {wanted}\n"
    assert (refused.returncode, refused.stderr) == (2, expected)


def test_a_password_is_neither_printed_nor_recorded(
    typed: Typed, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("server")
    with serving(place) as server:
        uri = f"http://me:hunter2@127.0.0.1:{server.port}"
        done = typed("trainer.epochs=2", f"tracking.uri={uri}")
        swept = typed("-m", "seed=0,1", *SMALL, f"tracking.uri={uri}", "sweep.confirm=0")
    assert (done.returncode, swept.returncode) == (0, 0), done.stderr + swept.stderr
    assert f"http://127.0.0.1:{server.port}/#/experiments/" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr + swept.stdout + swept.stderr
    files = {**contents(place), **contents(tmp_path)}
    known = {path.name for path, text in files.items() if b"hunter2" in text}
    assert known <= {TRACKED, "0.json"}  # where the run goes on, and what a sweep has to do


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate")
def test_a_certificate_is_trusted_as_mlflow_trusts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = tmp_path / "own.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=own -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*make.split(), "-keyout", pem, "-out", tmp_path / "cert"], check=True, capture_output=True)
    pem.write_text(pem.read_text() + (tmp_path / "cert").read_text())
    with HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, daemon=True).start()
        uri = f"https://me:secret@127.0.0.1:{server.server_port}"
        with pytest.raises(UserError, match=r"me:\*\*\*@.*self-signed.*MLFLOW_TRACKING_SERVER_CERT_PATH") as refused:
            check_store(uri)
        assert len(str(refused.value)) < 300
        for name, text in (("SERVER_CERT_PATH", str(tmp_path / "cert")), ("INSECURE_TLS", "true")):
            with monkeypatch.context() as variables:
                variables.setenv(f"MLFLOW_TRACKING_{name}", text)
                check_store(uri)
        server.shutdown()


def tables_in(database: Path) -> list[tuple[str, list[str]]]:
    """Return what a database is made of, and its version; MLflow does not always write constraints in one order."""
    with closing(sqlite3.connect(database)) as connection:
        (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        made = connection.execute("SELECT name, coalesce(sql, '') FROM sqlite_master")
        return sorted([(version, []), *((name, sorted(re.split(r",?\s*\n\s*", sql))) for name, sql in made)])


def test_the_tables_of_a_new_database_are_those_of_mlflow(tmp_path: Path) -> None:
    """If not, `python -m tests.programs.mlflow_tables` makes them anew."""
    tables_of_mlflow(tmp_path)
    open_store(f"sqlite:///{tmp_path / DATABASE}")
    assert tables_in(tmp_path / DATABASE) == tables_in(tmp_path / "new.db")


def test_another_version_of_mlflow_makes_its_own_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "old.sql"
    old.write_text(re.sub(r"(alembic_version. VALUES\()'\w+'", r"\1'of 2021'", TABLES.read_text(encoding="utf-8")))
    monkeypatch.setattr(mlflow_store, "TABLES", old)
    open_store(f"sqlite:///{tmp_path / DATABASE}")
    tables_of_mlflow(tmp_path)
    assert tables_in(tmp_path / DATABASE) == tables_in(tmp_path / "new.db")
