"""A model's two files as somebody else may have made them."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnexp import run
from nnexp.config.compose import compose_experiment
from nnexp.core.errors import UserError
from nnexp.core.npz import AnyArray, read_arrays
from nnexp.data.dataset import Scaling
from nnexp.runs.prepare import load, prepare
from nnexp.runs.result import result_of
from nnexp.runs.write import write_run
from nnexp.storage.run_folder import PARAMETERS, RunSummary
from nnexp.storage.saved_model import MODEL, Affine, read_model
from nnexp.training.loop import train
from tests.conftest import tries

Content = dict[str, Any]
Arrays = dict[str, AnyArray]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run with named features."""
    overrides = ["dataset=iris", "loss=sparse_categorical_cross_entropy", "trainer.epochs=1", "tracking=none"]
    result = run([*overrides, "figures=false", "verbose=false", f"output_dir={tmp_path_factory.mktemp('saved')}"])
    assert read_model(result.folder, "run").model.parameters().keys() == result.parameters.keys()
    return result.folder


def test_large_numbers_keep_their_digits_until_they_are_scaled(folder: Path) -> None:
    saved = read_model(folder, "run")
    scaling = Affine((1_700_000_000.0,) * 4, (60.0,) * 4)
    about = replace(saved.description, feature_dtype="float32", scaling=scaling)
    seconds = np.arange(32.0).reshape(8, 4)
    answers = dict(replace(saved, description=about).answers(1_700_000_000 + seconds))
    expected = saved.model.probabilities((seconds / 60).astype(np.float32))
    np.testing.assert_array_equal(answers["probability_setosa"], expected[:, 0])


def copy(folder: Path, to: Path, text: str | None = None) -> Path:
    to.mkdir(exist_ok=True)
    for name in (MODEL, PARAMETERS):
        shutil.copyfile(folder / name, to / name)
    if text is not None:
        (to / MODEL).write_text(text)
    return to


def content_of(folder: Path) -> Content:
    content: Content = json.loads((folder / MODEL).read_text())
    return content


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_model(folder, "run=x")
    sentence = str(caught.value)
    assert sentence.startswith("run=x: must have ")
    assert len(sentence.splitlines()) == 1
    assert len(sentence) < 500
    return sentence


def test_what_a_model_says(folder: Path) -> None:
    content = content_of(folder)
    assert content["classes"] == ["setosa", "versicolor", "virginica"]
    assert [column["name"] for column in content["columns"]][:2] == ["sepal length (cm)", "sepal width (cm)"]
    assert np.shape(content["examples"]) == (3, 4)
    assert 4 < content["examples"][0][0] < 8, "raw, not scaled"


def put(*path: str | int, value: object) -> Callable[[Content], object]:
    def change(content: Content) -> None:
        place: Any = content
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("loss", "_target_", value="os.system"), "loss._target_=os.system: must be in nnexp"),
        (put("layers", 0, "_target_", value="nnexp.runs.train.run"), "must be the dataclass of a layer"),
        (put("layers", 0, "_target_", value="nnexp.optim.optimizers.Adam"), "must be the dataclass of a layer"),
        (put("layers", 0, "units", value=10**12), "0.weight is of float64 and (4, 16)"),
        (put("layers", 0, "units", value="many"), "layers[0].units=many: must be a whole number"),
        (put("layers", value=[]), "layers=[]: must be"),
        (put("layers", value=[{"_target_": "nnexp.nn.layers.Dropout", "rate": 0.1}]), "layers=4"),
        (put("classes", value=["a", "b"]), "layers=3: must be layers with 2 outputs"),
        (put("features", value=5), "columns=4: must be different columns that make 5 features"),
        (put("columns", 1, "name", value="sepal length (cm)"), "columns=4: must be different columns"),
        (put("scaling", "offset", value=[0.0]), "scaling=1: must be 4 offsets and factors"),
        (put("scaling", "factor", 0, value=float("nan")), "scaling.factor="),
        (put("scaling", "factor", 0, value=0.0), "scaling.factor="),
        (put("target_scaling", value={"offset": [1.0], "factor": [1.0]}), "target_scaling=1: must be 0 offsets"),
        (put("examples", 0, value=[1.0]), "examples=3: must be lists of 4 numbers"),
        (put("kind", value="pairs"), "loss=sparse_categorical_cross_entropy: needs labels"),
        (put("dtype", value="float32"), "0.weight is of float64"),
        (put("dtype", value="object"), "dtype=object: must be float64 or float32"),
        (put("surprise", value=1), "surprise: no such key"),
        (dict.clear, "missing, must be"),
    ],
)
def test_a_description_that_makes_no_sense(
    folder: Path, tmp_path: Path, change: Callable[[Content], object], words: str
) -> None:
    content = content_of(folder)
    change(content)
    assert words in refusal(copy(folder, tmp_path, json.dumps(content)))


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", "[" * 100_000, '{"layers": ' * 5000 + "1" + "}" * 5000, f'"{"x" * 9999}"']
)
def test_a_description_that_is_none(folder: Path, tmp_path: Path, text: str) -> None:
    refusal(copy(folder, tmp_path, text))


def test_data_that_no_file_can_keep_harms_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    experiment = compose_experiment(["dataset=xor", "trainer.epochs=1"])
    data, facts = load(experiment.dataset)
    ready = prepare(experiment, loaded=(replace(data, scaling=Scaling(np.full(2, np.nan), np.ones(2))), facts))
    (outcome,) = train([ready.recipe], ready.data, experiment.trainer, experiment.dtype, lambda *_: None)
    write_run(ready, outcome, result_of(ready, outcome, tmp_path, 0.0), figures=False)
    assert capsys.readouterr().err.startswith("nnexp: the run cannot be asked for predictions later: offset=[nan")
    assert RunSummary.read(tmp_path) is not None
    assert not (tmp_path / MODEL).exists()


def test_layers_within_layers_without_end(folder: Path, tmp_path: Path) -> None:
    content = content_of(folder)
    layer: object = content["layers"][0]
    for _ in range(400):
        layer = {"_target_": "nnexp.nn.layers.Residual", "layers": [layer]}
    content["layers"] = [layer]
    refusal(copy(folder, tmp_path, json.dumps(content)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda arrays: arrays.pop("0.bias"), "it has 0.weight, "),
        (lambda arrays: arrays.update(more=np.zeros(1)), "it has "),
        (lambda arrays: arrays.update({"0.weight": arrays["0.weight"].T}), "0.weight is of float64 and (16, 4)"),
        (lambda arrays: arrays.update({"0.bias": arrays["0.bias"].astype(np.int64)}), "0.bias is of int64"),
    ],
)
def test_parameters_of_another_network(
    folder: Path, tmp_path: Path, change: Callable[[Arrays], object], words: str
) -> None:
    arrays, _ = read_arrays(folder / PARAMETERS)
    change(arrays)
    written: Mapping[str, Any] = arrays
    np.savez(copy(folder, tmp_path) / PARAMETERS, allow_pickle=False, **written)
    assert words in refusal(tmp_path)


def test_a_pickle_is_not_loaded(folder: Path, tmp_path: Path) -> None:
    arrays, _ = read_arrays(folder / PARAMETERS)
    parameters: Mapping[str, Any] = {**arrays, "0.bias": np.array([print], object)}
    np.savez(copy(folder, tmp_path) / PARAMETERS, allow_pickle=True, **parameters)
    assert "not of numbers" in refusal(tmp_path)


@tries(60)
@given(data=st.data())
def test_one_byte_changed(folder: Path, tmp_path: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([MODEL, PARAMETERS]))
    content = bytearray((folder / name).read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (copy(folder, tmp_path) / name).write_bytes(content)
    try:
        saved = read_model(tmp_path, "run=x")
    except UserError:
        refusal(tmp_path)
    else:
        assert len(saved.answers(np.zeros((2, 4)))) == 4
