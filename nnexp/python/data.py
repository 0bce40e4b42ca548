"""Data in memory, kept as a file in the output folder, so that a command repeats a run of them."""

import hashlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from nnexp.config.written import written
from nnexp.core.errors import UserError, on_one_line
from nnexp.core.files import atomically, writable_folder
from nnexp.runs.load import ARRAYS

if TYPE_CHECKING:
    import pandas as pd

NAMES = {2: ("x", "y"), 4: ("x_train", "y_train", "x_test", "y_test")}
"""What arrays are called in a file, by their number."""
if TYPE_CHECKING:
    Examples: TypeAlias = Sequence[npt.ArrayLike] | npt.NDArray[np.generic] | pd.DataFrame
else:  # pandas is imported late
    Examples = object
"""Features and targets as (x, y) or (x_train, y_train, x_test, y_test), or a table."""


def overrides_for(data: Examples, output_dir: str, given: Sequence[str]) -> list[str]:
    """Return the overrides that train on data in memory, which are written into the output folder.

    Targets are classes where they are texts, truths or whole numbers, else numbers. A table is predicted in its last
    column, if nothing else is said. The loss is the usual one for the targets.

    Raises UserError if they are neither arrays nor a table, or nothing can be written.

    Args:
        data: The data.
        output_dir: The output folder.
        given: The overrides that are given, before which those returned stand.
    """
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        if not data.size:
            raise UserError("data: must have rows and columns")
        named = data.set_axis([str(name) for name in data.columns], axis=1)
        target = _target(named, given)
        content, ending, targets = _parquet(named), "parquet", named[target].to_numpy()
        more = ["dataset.categorical=auto"]
    else:
        arrays = _arrays(data) if isinstance(data, (tuple, list)) else []
        if len(arrays) not in NAMES:
            raise UserError("data: must be (x, y), (x_train, y_train, x_test, y_test) or a DataFrame")
        content, ending, targets = _npz(arrays), "npz", arrays[1]
        more = []
    folder = writable_folder(str(Path(output_dir) / ARRAYS))
    path = folder / f"{hashlib.sha256(content).hexdigest()[:12]}.{ending}"
    if not path.exists():
        with atomically(path) as temporary:
            temporary.write_bytes(content)
    classes = targets.dtype.kind not in "fc"
    usual = ["dataset=csv", f"dataset.path={written(path)}", *more]
    if any(one.startswith("dataset.kind=") for one in given):
        classes = "dataset.kind=classification" in given
    usual += [] if classes else ["dataset.kind=regression"]
    binary = len(np.unique(targets.astype(str))) == 2 if classes else False
    loss = "binary_cross_entropy" if binary else "sparse_categorical_cross_entropy" if classes else "mean_squared_error"
    return [*usual, f"loss={loss}"]


def _target(frame: "pd.DataFrame", given: Sequence[str]) -> str:
    said = [one.partition("=")[2].strip("'\"") for one in given if one.startswith("dataset.target=")]
    return said[-1] if said and said[-1] in frame.columns else str(frame.columns[-1])


def _arrays(data: Sequence[npt.ArrayLike]) -> list[npt.NDArray[np.generic]]:
    """Return data as arrays of numbers or texts; a missing label is an empty text."""
    import pandas as pd

    arrays = []
    for place, one in enumerate(data):
        try:
            array = np.asarray(one, np.float64) if place % 2 == 0 else np.asarray(one)
        except (TypeError, ValueError) as error:
            raise UserError(f"data[{place}]: must be an array of numbers, not sparse or of rows that differ") from error
        if array.dtype == object:
            array = np.where(pd.isna(array), "", array.astype(str))
        if array.dtype.kind not in "biufUM" or not array.ndim:
            raise UserError(f"data[{place}]: must be an array of numbers or texts, not of {array.dtype}")
        arrays.append(array.astype(str) if array.dtype.kind == "M" else array)
    return arrays


def _npz(arrays: Sequence[npt.NDArray[np.generic]]) -> bytes:
    content = BytesIO()
    np.savez(content, allow_pickle=False, **dict(zip(NAMES[len(arrays)], arrays, strict=True)))
    return content.getvalue()


def _parquet(frame: "pd.DataFrame") -> bytes:
    try:
        content: bytes = frame.to_parquet(index=False)
    except (TypeError, ValueError, ImportError, NotImplementedError) as error:
        raise UserError(f"data: must be a table that Parquet can hold ({on_one_line(error)})") from error
    return content
