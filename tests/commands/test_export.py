"""A network that is exported predicts the same bits, in a Python that has NumPy alone."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nnexp import UserError, run
from nnexp.commands.export import main
from nnexp.storage.saved_model import predictor

QUICK = ["trainer.epochs=3", "tracking=none", "verbose=false", "figures=false", "optimizer.learning_rate=0.05"]
EVERY_ACTIVATION = "sigmoid,tanh,identity,relu,leaky_relu,elu,selu,softplus,silu,square,power,sine,erf"
LAYERS = (
    "architecture.hidden=[{dense: {units: 8, bias: false}},layer_norm,{activate: {activation: relu}},"
    "{residual: {layers: [{dense: {units: 8}},batch_norm,{activate: {activation: tanh}},{dropout: {rate: 0.3}}]}}]"
)
REGRESSION = ["dataset=diabetes", "loss=mean_squared_error"]
NETWORKS = {
    "defaults": [],
    "layers": ["architecture=layers", LAYERS, "trainer.batch_size=32"],
    "classes": ["dataset=iris", "loss=sparse_categorical_cross_entropy"],
    "distances": ["loss=mean_squared_error", "architecture.output=sigmoid"],
    "softmax": ["dataset=iris", "loss=mean_squared_error", "architecture.output=softmax"],
    "float32": ["dtype=float32"],
    **{f"float32 {name}": ["dtype=float32", f"architecture.activation={name}"] for name in EVERY_ACTIVATION.split(",")},
    "numbers": REGRESSION,
    "scaled numbers": [*REGRESSION, "dataset.standardize_targets=true", "dataset.standardize=false"],
    "names": ["dataset=heart", "architecture.activation=gelu"],
    "width": ["architecture=uniform", "architecture.parametrization=maximal_update", "initializer=he_normal"],
    "embeddings": ["dataset=pairs", "loss=contrastive", "architecture.outputs=2"],
    "centred": [*REGRESSION, "architecture.centred=true", "architecture.output_scale=0.5", "architecture.bias=false"],
    "centred layers": ["architecture=layers", LAYERS, "trainer.batch_size=32", "architecture.centred=true"],
    "tanh form": ["architecture/activation=gelu", "architecture.activation.approximate=tanh"],
    **{name: [f"architecture.activation={name}"] for name in EVERY_ACTIVATION.split(",")},
}


PROGRAM = """
import runpy
import sys
import numpy as np
sys.modules["nnexp"] = None
for folder in sys.argv[1:]:
    predict = runpy.run_path(folder + "/predict.py")["predict"]
    out = predict(np.load(folder + "/raw.npy"))
    labels, numbers = out if isinstance(out, tuple) else ([], out)
    np.savez(folder + "/out.npz", labels=labels, numbers=numbers)
"""


def test_the_programs_predict_the_same_bits(tmp_path: Path) -> None:
    expected = {}
    for name, words in NETWORKS.items():
        result = run([*QUICK, *words, f"output_dir={tmp_path / 'outputs'}"])
        main([str(result.folder), "--to", str(tmp_path / name)])
        data = result.trained.data
        raw = data.scaling.undo(data.test.x.reshape(-1, result.trained.fan_in)[:20])
        np.save(tmp_path / name / "raw.npy", raw)
        expected[tmp_path / name] = predictor(result.trained).answers(raw)
    subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM, *map(str, expected)], check=True)
    for folder, answers in expected.items():
        with np.load(folder / "out.npz") as out:
            columns = [column for title, column in answers if title != "predicted"]
            np.testing.assert_array_equal(out["numbers"], np.column_stack(columns), folder.name)
            if len(out["labels"]):
                assert out["labels"].tolist() == answers[0][1]
        assert len((folder / "predict.py").read_text().splitlines()) <= 30


def test_what_cannot_be_exported_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run=nowhere"):
        main(["nowhere", "--to", str(tmp_path)])
