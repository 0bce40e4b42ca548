"""The default store where users have changed something: the place of its folder, and what MLflow's page deletes."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.conftest import CommandLine

SMALL = ("trainer.epochs=2", "figures=false", "verbose=false")


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_artifacts_follow_an_output_folder_that_was(how: str, nnexp: CommandLine, tmp_path: Path) -> None:
    old, new = tmp_path / "a place #1 100% é" / "outputs", tmp_path / "another's #2, 50% ü" / "outputs"
    assert nnexp(*SMALL, f"output_dir='{old}'").returncode == 0
    client = MlflowClient(f"sqlite:///{old}/mlflow.db")
    other = client.create_experiment("other", artifact_location=(tmp_path / "elsewhere").as_uri())
    (run,) = client.search_runs([one.experiment_id for one in client.search_experiments()])
    model = client.create_logged_model(run.info.experiment_id, name="model")
    before = contents(old)
    new.parent.mkdir()
    (shutil.move if how == "moved" else shutil.copytree)(old, new)

    again = nnexp(*SMALL, "seed=1", f'output_dir="{new}"')
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
