"""The trained model of a run in two files: its parameters, and `model.json` with everything else.

Neither is trusted when it is read: only components of nnexp are built, every array must have the shape that they need,
and nothing is unpickled.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import annotated_types as at
import numpy as np
import numpy.typing as npt

from nnexp.core.build import build
from nnexp.core.component import Array, Component, Count, InvalidFieldError, resolved
from nnexp.core.errors import DamagedError, UserError
from nnexp.core.files import write_text
from nnexp.core.npz import AnyArray, read_arrays
from nnexp.core.task import Kind, Task
from nnexp.data.columns import LARGEST_NUMBER, Column, features_of
from nnexp.data.dataset import Scaling
from nnexp.data.listing import listed
from nnexp.data.reading import Reading, Source, TableFile
from nnexp.nn.layers import Layer
from nnexp.nn.losses import Loss
from nnexp.nn.network import Layout, Slot, outputs
from nnexp.storage.run_folder import PARAMETERS
from nnexp.training.history import Parameters
from nnexp.training.model import Model, Trained

if TYPE_CHECKING:
    import pandas as pd

MODEL = "model.json"
KEPT_EXAMPLES = 3
"""The number of examples in `model.json`, which show the features of the network."""
MAX_REASON_LENGTH = 300
"""The most characters of a reason: that of a file that is no model could be very long."""
Answers = Sequence[tuple[str, Sequence[str] | Array]]
"""Columns of a prediction, each with its name."""


@dataclass(frozen=True)
class Affine(Component):
    """A scaling of columns: scaled = (raw - offset) / factor."""

    offset: tuple[float, ...]
    factor: tuple[Annotated[float, at.Gt(0)], ...]

    @classmethod
    def of(cls, scaling: Scaling, columns: int) -> "Affine":
        """Return a scaling as tuples of numbers, one for each column."""
        offset, factor = (np.broadcast_to(array, columns).tolist() for array in (scaling.offset, scaling.factor))
        return cls(tuple(offset), tuple(factor))

    def scaling(self) -> Scaling:
        """Return the scaling as arrays."""
        return Scaling(np.array(self.offset, np.float64), np.array(self.factor, np.float64))


@dataclass(frozen=True)
class Description(Component):
    """Everything about a model but its parameters.

    Attributes:
        data: The name of the data that it was trained on.
        kind, classes, targets: The kind of task, and the names of classes or targets.
        layers, loss, dtype: The network.
        features: The number of features.
        columns: The columns of a table that the features are made of; empty if they have no names.
        feature_dtype: The dtype in which features are scaled.
        scaling, target_scaling: The scaling of the features, and of the targets of a regression.
        source: The table of the training, if there was one, and how it was read.
        examples: The raw features of a few examples of the test part, to six digits.
    """

    data: str
    kind: Kind
    classes: tuple[str, ...]
    targets: tuple[str, ...]
    layers: Annotated[tuple[Layer, ...], at.MinLen(1)]
    loss: Loss
    dtype: Literal["float64", "float32"]
    features: Count
    columns: tuple[Column, ...]
    feature_dtype: Literal["float64", "float32"]
    scaling: Affine
    target_scaling: Affine | None
    examples: Annotated[tuple[tuple[float, ...], ...], at.MinLen(1)]
    source: Source | None = None

    def __post_init__(self) -> None:
        """Check every field, and that they fit together."""
        super().__post_init__()
        names = [feature for column in self.columns for feature in column.features]
        if self.columns and (
            len(names) != self.features or len({column.name for column in self.columns}) < len(self.columns)
        ):
            raise InvalidFieldError("columns", len(names), f"different columns that make {self.features} features")
        _check_lengths("scaling", self.scaling, self.features)
        if self.target_scaling is not None:
            _check_lengths("target_scaling", self.target_scaling, len(self.targets))
        if any(len(example) != self.features for example in self.examples):
            raise InvalidFieldError("examples", len(self.examples), f"lists of {self.features} numbers")
        made, asked = outputs(self.layers, self.features), self.loss.outputs(self.task)
        if asked not in (None, made):
            raise InvalidFieldError("layers", made, f"layers with {asked} outputs, one for each target")

    @classmethod
    def of(cls, trained: Trained) -> "Description":
        """Return the description of a trained network."""
        data, task = trained.data, trained.data.task
        names = data.features if len({*data.features}) == trained.fan_in else ()
        target_scaling = trained.target_scaling
        return cls(
            data=data.name,
            kind=task.kind,
            classes=task.classes,
            targets=task.columns if task.kind == "regression" else (),
            layers=trained.layers,
            loss=trained.loss,
            dtype="float32" if trained.learned.theta.dtype == np.float32 else "float64",
            features=trained.fan_in,
            columns=data.columns or tuple(Column(name) for name in names),
            feature_dtype="float32" if data.train.x.dtype == np.float32 else "float64",
            scaling=Affine.of(data.scaling, trained.fan_in),
            target_scaling=None if target_scaling is None else Affine.of(target_scaling, len(task.columns)),
            source=data.source,
            examples=_rounded(data.scaling.undo(data.test.x.reshape(-1, trained.fan_in)[:KEPT_EXAMPLES])),
        )

    @property
    def layout(self) -> Layout:
        """Return the place of every parameter."""
        return Layout.of(self.layers, self.features)

    @property
    def task(self) -> Task:
        """Return the task of the data."""
        return Task(self.classes, self.kind, self.targets)


@dataclass(frozen=True)
class SavedModel:
    """A model that predicts from raw features.

    Attributes:
        description: Everything about it but its parameters.
        learned: Its parameters.
    """

    description: Description
    learned: Parameters

    @cached_property
    def model(self) -> Model:
        """Return the network."""
        about = self.description
        target_scaling = None if about.target_scaling is None else about.target_scaling.scaling()
        return Model(
            layers=about.layers,
            loss=about.loss,
            fan_in=about.features,
            learned=self.learned,
            target_scaling=target_scaling,
        )

    @property
    def columns(self) -> Sequence[Column]:
        """Return the columns that the features are made of; without names they are numbered from 1."""
        about = self.description
        return about.columns or [Column(str(place + 1)) for place in range(about.features)]

    @property
    def source(self) -> Source:
        """Return how the table of the training was read; as tables usually are where nothing is known of it."""
        about = self.description
        return about.source or Source(Reading(), (), about.targets)

    @property
    def words(self) -> list[str]:
        """Return the columns of names."""
        return [column.name for column in self.columns if column.names is not None]

    def features(self, frame: "pd.DataFrame", table: TableFile, unknown: Counter[str] | None = None) -> Array:
        """Return the raw features of the rows of a table, given under the names of the columns.

        Raises UserError if a cell is missing, or of the wrong type.

        Args:
            frame: The rows, their white space removed.
            table: The table in messages.
            unknown: Counts names that the training had not; without it they are refused.
        """
        return features_of(
            frame, self.columns, LARGEST_NUMBER[self.description.feature_dtype], table=table, unknown=unknown
        )

    def of_frame(self, frame: "pd.DataFrame", title: str) -> Array:
        """Return the raw features of a table in memory; it may have further columns.

        Raises UserError if a column or a cell is missing, or of the wrong type; it calls the table by its title.
        """
        lacking = [column.name for column in self.columns if [*frame.columns].count(column.name) != 1]
        if lacking:
            raise UserError(
                f"{title}: must have the columns of the training, and not each of them once: {listed(lacking)}"
            )
        source = self.source
        unknown = Counter[str]() if source.unknown == "ignore" else None
        cleaned = source.reading.cleaned(frame.reset_index(drop=True), self.words)
        return self.features(cleaned, TableFile(Path(), title, source.reading), unknown)

    def raw(self, x: "npt.ArrayLike | pd.DataFrame") -> Array:
        """Return raw features of shape (examples, features), given as an array or as a table under their names.

        Raises UserError if they are not those of the training.
        """
        import pandas as pd

        if isinstance(x, pd.DataFrame):
            return self.of_frame(x.set_axis([str(name) for name in x.columns], axis=1), "x")
        try:
            array = np.asarray(x, np.float64)
        except (TypeError, ValueError) as error:
            raise UserError(f"x: must be numbers of shape (examples, {self.description.features})") from error
        if array.ndim != 2 or array.shape[1] != self.description.features:
            raise UserError(f"x: must have the shape (examples, {self.description.features}), not {array.shape}")
        return self.checked(array, "x")

    def checked(self, raw: Array, title: str) -> Array:
        """Return raw features with missing ones filled in as in training.

        Raises UserError if one is missing or infinite otherwise; it calls them by their title.
        """
        fills = [
            np.nan if one.fill is None else one.fill
            for column in self.columns
            for one in [column] * len(column.features)
        ]
        filled = np.where(np.isnan(raw), np.array(fills), raw)
        wrong = np.flatnonzero(~np.isfinite(filled).all(axis=1))
        if len(wrong):
            raise UserError(f"{title}: must have a finite number for every feature, and row {wrong[0] + 1} has none")
        return filled

    def answers(self, raw: Array) -> Answers:
        """Return the predictions for examples, given their raw features: classes, numbers or embeddings."""
        if not len(raw):
            return [(name, column[:0]) for name, column in self.answers(np.zeros((1, self.description.features)))]
        about, model = self.description, self.model
        x = about.scaling.scaling().apply(raw.astype(np.float64), about.feature_dtype)
        if about.kind == "regression":
            return _named(_distinct(about.targets), model.numbers(x))
        if about.kind in ("pairs", "triplets"):
            embedded = model.logits(x)
            return _named([f"dimension_{number + 1}" for number in range(embedded.shape[1])], embedded)
        decided = [about.classes[number] for number in model.decide(x).tolist()]
        chances = [f"probability_{name}" for name in _distinct(about.classes)]
        return [("predicted", decided), *_named(chances, model.probabilities(x))]


def write_model(folder: Path, trained: Trained) -> None:
    """Write everything about a trained network but its parameters into a run's folder.

    Raises UserError if something cannot be written, such as a scaling without numbers.
    """
    write_text(folder / MODEL, json.dumps(resolved(Description.of(trained)), ensure_ascii=False) + "\n")


def predictor(trained: Trained) -> SavedModel:
    """Return the model of a run that is in memory, which predicts from raw features."""
    return SavedModel(Description.of(trained), trained.learned)


def read_model(folder: Path, title: str) -> SavedModel:
    """Return the model in a folder.

    Raises UserError if there is none, or its files were changed; it calls the folder by its title.
    """
    try:
        content = json.loads((folder / MODEL).read_text(encoding="utf-8"))
        description = build(content, Description)
        arrays, _ = read_arrays(folder / PARAMETERS)
        return SavedModel(description, flat_parameters(arrays, description.layout, description.dtype))
    except FileNotFoundError as error:
        raise UserError(
            f"{title}: must have {MODEL} and {PARAMETERS}; a run that diverged has none, nor one of an earlier version"
        ) from error
    except (OSError, ValueError, RecursionError, DamagedError) as error:
        reason = " ".join(str(error).split())[:MAX_REASON_LENGTH]
        raise UserError(
            f"{title}: must have files that nobody has changed ({MODEL}, {PARAMETERS}: {reason})"
        ) from error


def flat_parameters(arrays: Mapping[str, AnyArray], layout: Layout, dtype: str) -> Parameters:
    """Return parameters by name as flat arrays.

    Raises DamagedError if their names, shapes or types are not those that the layers need.
    """
    slots = (*layout.parameters, *layout.statistics)
    if not layout.parameters or {slot.title for slot in slots} != arrays.keys():
        raise DamagedError(f"it has {', '.join(arrays)}")
    for slot in slots:
        array = arrays[slot.title]
        if array.shape != slot.shape or array.dtype != dtype:
            raise DamagedError(f"{slot.title} is of {array.dtype} and {array.shape}, not {slot.shape}")

    def flat(slots: Sequence[Slot]) -> Array:
        parts = [np.zeros(0, dtype), *(arrays[slot.title].ravel() for slot in slots)]
        return np.concatenate(parts, dtype=dtype)

    return Parameters(flat(layout.parameters), flat(layout.statistics))


def _rounded(rows: Array) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(f"{value:.6g}") for value in row) for row in rows.tolist())


def _check_lengths(field: str, scaling: Affine, length: int) -> None:
    if not len(scaling.offset) == len(scaling.factor) == length:
        raise InvalidFieldError(field, len(scaling.offset), f"{length} offsets and factors")


def _named(names: Sequence[str], columns: Array) -> Answers:
    return list(zip(names, columns.T, strict=True))


def _distinct(names: Sequence[str]) -> list[str]:
    """Return names, numbered where two are the same."""
    return [*names] if len({*names}) == len(names) else [f"{name}_{number}" for number, name in enumerate(names)]
