"""Runs as models of MLflow: loaded in a process elsewhere, and served."""

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import numpy as np
import pandas as pd
import pytest
import yaml

from nnexp.commands.predict import main
from nnexp.core.errors import UserError
from nnexp.storage.saved_model import read_model
from nnexp.storage.served_model import ServedModel, write_served_model
from tests.commands.test_predict import FLATS, on_flats, trained
from tests.conftest import CommandLine, Finished

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Models:
    """Two models of MLflow, and the folder of the run that the first is of."""

    flats: Path
    digits: Path
    run: Path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """Return the models of two runs that MLflow does not know."""
    folder = tmp_path_factory.mktemp("served")
    runs = [trained(folder / "runs", *overrides).folder for overrides in (on_flats(folder), ["trainer.epochs=2"])]
    made = Models(folder / "flats", folder / "digits", runs[0])
    write_served_model(made.flats, runs[0])
    write_served_model(made.digits, runs[1])
    return made


def environment(folder: Path) -> dict[str, str]:
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/outputs/mlflow.db", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return CommandLine(folder).environment(PYTHONPATH=str(ROOT), **store)


def test_a_fresh_process_elsewhere_loads_and_predicts(models: Models, tmp_path: Path) -> None:
    """The same numbers as from the command line, and refusals that say why."""
    (tmp_path / "in.csv").write_text("\n".join([*FLATS[:9]]))
    code = f"""
import json, mlflow, numpy as np, pandas as pd
from mlflow.exceptions import MlflowException
flats, digits = map(mlflow.pyfunc.load_model, {(str(models.flats), str(models.digits))})
def refused(model, data):
    try:
        model.predict(data)
    except MlflowException as error:
        assert error.get_http_status_code() == 400
        return error.message
table = pd.read_csv("in.csv", dtype={{"floor": str}})
table["size"] = table["size"].astype(float)
pixels = digits.input_example
ragged = pixels.copy()
ragged[1, 2] = np.nan
numbered = table.astype({{"floor": int}}).astype({{"floor": object}})
print(json.dumps({{
    "price": flats.predict(table)["price"].tolist(),
    "from numbers": flats.predict(numbered)["price"].tolist(),
    "example": flats.predict(flats.input_example)["price"].tolist(),
    "none": flats.predict(table[:0])["price"].tolist(),
    "columns": list(digits.predict(pixels).columns),
    "predicted": digits.predict(pixels)["predicted"].tolist(),
    "inputs": flats.metadata.get_input_schema().to_dict(),
    "outputs": digits.metadata.get_output_schema().to_dict(),
    "unknown": refused(flats, table.assign(city="mars")),
    "missing": refused(flats, table.drop(columns="city")),
    "empty": refused(digits, ragged),
    "narrow": refused(digits, pixels[:, :5]),
}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    main([str(models.run), str(tmp_path / "in.csv"), "--to", str(tmp_path / "out.csv")])
    expected = [float(line) for line in (tmp_path / "out.csv").read_text().splitlines()[1:]]
    assert answer["price"] == answer["from numbers"] == expected
    assert (len(answer["example"]), answer["none"]) == (3, [])
    assert answer["columns"] == ["predicted", "probability_0", "probability_1"]
    assert set(answer["predicted"]) <= {"0", "1"}
    assert [(one["name"], one["type"]) for one in answer["inputs"]] == [
        *(("size", "double"), ("rooms", "double"), ("city", "string"), ("floor", "string"))
    ]
    assert [one["type"] for one in answer["outputs"]] == ["string", "double", "double"]
    assert answer["unknown"].startswith("the input: must have one of an east, missing, north, south in column city")
    assert "missing inputs ['city']" in answer["missing"]
    assert answer["empty"] == "the input: must have a value in every row of column 3, and row 2 has none"
    assert "(3, 5)" in answer["narrow"]


def test_nothing_is_pickled(models: Models) -> None:
    for model in (models.flats, models.digits):
        about = yaml.safe_load((model / "MLmodel").read_text())
        assert about["flavors"]["python_function"]["loader_module"] == "nnexp.served_model"
        assert "cloudpickle" not in (model / "MLmodel").read_text()
        files = {str(path.relative_to(model)) for path in model.rglob("*") if path.is_file()}
        assert files == {
            *("MLmodel", "requirements.txt", "python_env.yaml", "input_example.json", "serving_input_example.json"),
            *("data/model.json", "data/parameters.npz"),
        }
        with np.load(model / "data" / "parameters.npz", allow_pickle=False) as parameters:
            assert all(parameters[name].dtype.kind == "f" for name in parameters)


def test_the_example_of_a_table_is_raw(models: Models) -> None:
    example = json.loads((models.flats / "input_example.json").read_text())
    assert example["columns"] == ["size", "rooms", "city", "floor"]
    assert len(example["data"]) == 3
    for size, rooms, city, floor in example["data"]:
        assert 40 <= size <= 90
        assert rooms in range(1, 6)
        assert city in {"north", "south", "missing", "an east"}
        assert floor in {"0", "1", "2"}


def test_a_model_is_made_when_asked(models: Models, tmp_path: Path) -> None:
    main([str(models.run), "--model", str(tmp_path / "mine")])
    assert not (models.run / "model").exists()
    from mlflow.models import Model

    model = Model.load(str(tmp_path / "mine"))
    assert model.signature.inputs.input_names() == ["size", "rooms", "city", "floor"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    damaged = tmp_path / "damaged"
    shutil.copytree(models.run, damaged)
    (damaged / "model.json").write_text("{}")
    with pytest.raises(UserError, match="must have files that nobody has changed"):
        write_served_model(tmp_path / "other", damaged)
    assert not (tmp_path / "other").exists()


def test_a_run_goes_on_whose_model_and_figures_have_begun(typed: Callable[..., Finished], tmp_path: Path) -> None:
    run = ("trainer.epochs=2", "trainer.checkpoint_every=2", "verbose=false")
    assert typed(*run).returncode == 0
    (folder,) = tmp_path.glob("outputs/digits_binary/*")
    (folder / "result.json").unlink()
    (folder / "model" / "MLmodel").unlink()
    (folder / "model" / "data" / "half").touch()
    (folder / "figures" / "half.png").touch()
    done = typed(f"resume={folder}", "verbose=false")
    assert (done.returncode, done.stderr) == (0, "")
    assert (folder / "result.json").exists()
    assert (folder / "model" / "MLmodel").exists()
    assert not [*folder.rglob("half*")]


@contextmanager
def served(folder: Path, uri: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "--port", str(port)]
    with subprocess.Popen(
        [*command, "--model-uri", uri],
        env=environment(folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            for _ in range(300):
                try:
                    urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
                    break
                except (URLError, OSError):
                    time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/invocations"
        finally:
            server.terminate()


def ask(url: str, content: object) -> tuple[int, str]:
    request = Request(url, json.dumps(content).encode(), {"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.slow
def test_a_run_in_mlflow_is_asked_from_elsewhere(nnexp: CommandLine, tmp_path_factory: pytest.TempPathFactory) -> None:
    nnexp(*on_flats(nnexp.folder), "verbose=false", "figures=false")
    (note,) = nnexp.folder.glob("outputs/table/*/tracked.json")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for place, run in enumerate((note.parent, json.loads(note.read_text())["run_id"])):
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "nnexp",
                "predict",
                str(run),
                str(nnexp.folder / "flats.csv"),
                "--to",
                f"{place}.csv",
            ],
            cwd=elsewhere,
            env=environment(nnexp.folder),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (0, "", 1), done.stderr
    one, other = elsewhere.glob("*.csv")
    assert one.read_text() == other.read_text()
    assert len(one.read_text().splitlines()) == len(FLATS)


@pytest.mark.slow
def test_a_server_answers_and_refuses(nnexp: CommandLine, models: Models) -> None:
    """One serves a run in MLflow, one a folder."""
    nnexp(*on_flats(nnexp.folder), "verbose=false", "figures=false")
    (note,) = nnexp.folder.glob("outputs/table/*/tracked.json")
    good: dict[str, object] = {"size": 62, "rooms": None, "city": "north", "floor": 1}
    with served(nnexp.folder, f"runs:/{json.loads(note.read_text())['run_id']}/model") as url:
        status, answer = ask(url, {"dataframe_records": [good, {**good, "city": None}]})
        assert status == 200
        assert [list(row) for row in json.loads(answer)["predictions"]] == [["price"]] * 2
        for change, words in (
            ({"city": "mars"}, "the input: must have one of an east, missing, north, south in column city, and row 1"),
            ({"size": None}, "must have a value"),
            ({"size": "large"}, "could not convert string to float: 'large'"),
            ({"size": 1e300}, "the input: must have numbers up to 1e+150 in column size, and row 1 has 1e+300"),
        ):
            status, answer = ask(url, {"dataframe_records": [{**good, **change}]})
            if change == {"size": None}:  # filled in, as was asked for in training
                assert status == 200
                continue
            assert status == 400
            assert words in json.loads(answer)["message"]
        status, answer = ask(url, {"dataframe_records": [{"size": 1}]})
        assert (status, "missing inputs ['rooms', 'city', 'floor']" in answer) == (400, True)
    with served(nnexp.folder, str(models.digits)) as url:
        status, answer = ask(url, json.loads((models.digits / "serving_input_example.json").read_text()))
        assert status == 200
        assert [list(row) for row in json.loads(answer)["predictions"]] == [
            ["predicted", "probability_0", "probability_1"]
        ] * 3
        for row in ([1.0] * 63, [None] + [1.0] * 63, ["word"] + [1.0] * 63):
            status, answer = ask(url, {"inputs": [row]})
            assert status == 400
            assert "unexpected error" not in answer


def test_truths_codes_and_numbers_that_are_names_are_served_as_they_were_read(tmp_path: Path) -> None:
    """Numbers are numbers, even where the table of the training has decimal commas."""
    rows = np.arange(40)
    table = pd.DataFrame({"old": rows % 2 == 0, "lift": np.array(["yes", "No"])[rows % 2], "size": rows % 7 * 1.5})
    table = table.assign(zip=np.array(["01", "2"])[rows % 2], floor=rows % 2 * 1.5, label=rows % 2)
    table.to_csv(tmp_path / "in.csv", index=False, sep=";", decimal=",")
    words = ("dataset.decimal=,", "dataset.categorical=[zip,floor]", "dataset.unknown=ignore", "trainer.epochs=20")
    folder = trained(tmp_path / "runs", "dataset=csv", f"dataset.path={tmp_path / 'in.csv'}", *words).folder
    main([str(folder), str(tmp_path / "in.csv"), "--to", str(tmp_path / "out.csv")])
    write_served_model(tmp_path / "model", folder)
    about = yaml.safe_load((tmp_path / "model" / "MLmodel").read_text())
    types = [column["type"] for column in json.loads(about["signature"]["inputs"])]
    assert types == ["boolean", "string", "double", "string", "string"]
    served, frame = ServedModel(read_model(folder, "run")), table.drop(columns="label")
    expected = pd.read_csv(tmp_path / "out.csv")
    as_texts = frame.assign(floor=[f"{value:g}".replace(".", ",") for value in frame["floor"]])
    for given in (frame, as_texts):
        np.testing.assert_array_equal(served.predict(given)["probability_1"], expected["probability_1"])
    assert len(served.predict(frame.assign(zip="99"))) == 40
