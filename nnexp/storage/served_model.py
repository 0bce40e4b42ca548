"""A run as a model of MLflow, which `mlflow.pyfunc.load_model` loads and `mlflow models serve` serves.

The model is a folder with the two files of `saved_model` and a few that MLflow wants; nothing in it is pickled.
MLflow's own function that saves such a model looks into every installed package first, which takes a quarter of a
second, and copies `uv.lock` and `pyproject.toml` of the working folder; so it is not called.
"""

import json
import platform
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nnexp.core.component import Array
from nnexp.core.errors import UserError
from nnexp.core.files import folder_atomically, write_text
from nnexp.core.old_names import name_in_files
from nnexp.core.threads import BLAS_THREADS
from nnexp.data.columns import Column
from nnexp.storage.run_folder import PARAMETERS
from nnexp.storage.saved_model import MODEL, SavedModel, read_model

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import ModelSignature

SERVED = "model"
"""The folder of the model among the files of a run."""
DATA = "data"
PACKAGES = ("mlflow", "numpy", "pandas")
"""The requirements beside nnexp, which is not on PyPI: a package of its name there would be another one."""
EXAMPLE, REQUEST = "input_example.json", "serving_input_example.json"


def write_served_model(folder: Path, source: Path) -> None:
    """Write the model of a run as a model of MLflow.

    Raises UserError if the run has no model.

    Args:
        folder: The folder of the model; an older one is replaced.
        source: The folder of the run.
    """
    saved = read_model(source, str(source))
    with folder_atomically(folder) as new:
        _write(saved, new, source)


def _write(saved: SavedModel, folder: Path, source: Path) -> None:
    from mlflow.models import Model

    (folder / DATA).mkdir()
    for name in (MODEL, PARAMETERS):
        shutil.copyfile(source / name, folder / DATA / name)
    table, request, kind = _example(saved)
    write_text(folder / EXAMPLE, json.dumps(table))
    write_text(folder / REQUEST, json.dumps(request))
    write_text(folder / "requirements.txt", "".join(f"{name}=={version(name)}\n" for name in PACKAGES))
    write_text(
        folder / "python_env.yaml", f"python: {platform.python_version()}\ndependencies:\n- -r requirements.txt\n"
    )
    model = Model(
        signature=_signature(saved),
        saved_input_example_info={"artifact_path": EXAMPLE, "serving_input_path": REQUEST, **kind},
    )
    model.add_flavor(
        "python_function",
        loader_module=name_in_files(__name__),
        python_version=platform.python_version(),
        data=DATA,
        env={"virtualenv": "python_env.yaml"},
    )
    model.save(str(folder / "MLmodel"))


class ServedModel:
    """A model with the interface that MLflow calls."""

    def __init__(self, saved: SavedModel) -> None:
        from threadpoolctl import ThreadpoolController

        self._saved, self._pools = saved, ThreadpoolController()

    def predict(self, data: "pd.DataFrame | Array") -> "pd.DataFrame":
        """Return a row of predictions for every row of a table or, where features have no names, of an array."""
        import pandas as pd

        saved = self._saved
        with _refusals(), self._pools.limit(limits=BLAS_THREADS):
            frame = pd.DataFrame(data).reset_index(drop=True)
            if not saved.description.columns:
                frame.columns = pd.Index([column.name for column in saved.columns])
            answers = saved.answers(saved.of_frame(frame, "the input"))
        return pd.DataFrame(dict(answers))


def _load_pyfunc(path: str) -> ServedModel:
    """Return the model in a folder; MLflow finds this function by its name."""
    with _refusals():
        return ServedModel(read_model(Path(path), path))


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn a user's mistake into an error that a server of MLflow answers with."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except UserError as error:
        raise MlflowException.invalid_parameter_value(str(error)) from error


def _example(saved: SavedModel) -> tuple[object, object, dict[str, str]]:
    """Return a few examples as a table and as a request to a server, and their format in the words of MLflow."""
    about = saved.description
    if not about.columns:
        return about.examples, {"inputs": about.examples}, {"type": "ndarray"}
    rows = [_cells(saved, row) for row in about.examples]
    table = {"columns": [column.name for column in about.columns], "data": rows}
    return table, {"dataframe_split": table}, {"type": "dataframe", "pandas_orient": "split"}


def _cells(saved: SavedModel, features: Sequence[float]) -> list[float | str | bool]:
    """Return the cells of a table row, given the features made of them."""
    cells: list[float | str | bool] = []
    place = 0
    for column in saved.description.columns:
        width = len(column.features)
        part = features[place : place + width]
        cells.append(_cell(column, part))
        place += width
    return cells


def _cell(column: Column, features: Sequence[float]) -> float | str | bool:
    if column.names is not None:
        return column.names[int(np.argmax(features))]
    if column.truth is None:
        return features[0]
    return bool(round(features[0])) if column.truth == "true" else ("no", "yes")[round(features[0])]


def _type(column: Column) -> str:
    """Return the type of a column in the words of MLflow."""
    return {None: "double", "true": "boolean", "yes": "string"}[column.truth] if column.names is None else "string"


def _signature(saved: SavedModel) -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    about = saved.description
    inputs: list[ColSpec | TensorSpec] = [ColSpec(_type(column), column.name) for column in about.columns]
    answers = saved.answers(np.array(about.examples))
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec("double" if isinstance(column, np.ndarray) else "string", name) for name, column in answers
    ]
    return ModelSignature(
        Schema(inputs or [TensorSpec(np.dtype(np.float64), (-1, about.features))]),
        Schema(outputs),
    )
