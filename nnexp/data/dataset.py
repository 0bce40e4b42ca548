"""The common part of all data sets: split first, then scale by mean and deviation of the training part."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import annotated_types as at
import numpy as np
import numpy.typing as npt

from nnexp.core.component import Array, Component, InvalidFieldError, Labels, Seed, added
from nnexp.core.errors import UserError
from nnexp.core.task import Task
from nnexp.data.columns import Column
from nnexp.data.reading import Source
from nnexp.data.shuffled import divided

Share = Annotated[float, at.Interval(ge=0, lt=1)]
Spread = Annotated[float, at.Interval(ge=0, le=1e6)]

MOST_EXAMPLES = 10_000_000
"""The most examples that a data set generates, because it does so before the memory is checked."""
Size = Annotated[int, at.Interval(ge=2, le=MOST_EXAMPLES)]

RESERVED_NAMES = ("arrays", "sweeps", "comparisons", "multirun", "mlartifacts", "mlflow.db")
"""Names in the output folder that no data set can have."""
MOST_NAME_BYTES = 200
"""The longest name, so that it can be that of a folder on any file system."""
ROWS_AT_A_TIME = 65_536
"""Rows that are scaled at a time, so that a large table needs little further memory."""


@dataclass(frozen=True)
class Part:
    """Examples: features `x` of shape (examples, features), targets of the kind of the task, and weights.

    A weight multiplies the loss of its example; None stands for equal weights.
    """

    x: Array
    targets: Array | Labels
    weights: Array | None = None

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.x)

    def take(self, rows: Labels) -> "Part":
        """Return some of the examples."""
        return Part(self.x[rows], self.targets[rows], None if self.weights is None else self.weights[rows])


@dataclass(frozen=True)
class Scaling:
    """The affine map that was applied to each column: scaled = (raw - offset) / factor."""

    offset: Array
    factor: Array

    @classmethod
    def none(cls, columns: int) -> "Scaling":
        """Return the map that changes nothing."""
        return cls(np.zeros(columns), np.ones(columns))

    def apply(self, x: Array | Labels, dtype: npt.DTypeLike | None = None) -> Array:
        """Return scaled columns, computed in float64 and only then rounded to another type.

        Without another type they are scaled in place, so that a large table is in memory once; integers are copied.
        """
        kind = np.dtype(dtype or np.result_type(x, np.float32))
        scaled: Array = x.astype(kind, copy=False) if kind == x.dtype else np.empty(x.shape, kind)
        for begin in range(0, len(x), ROWS_AT_A_TIME):
            rows = slice(begin, begin + ROWS_AT_A_TIME)
            scaled[rows] = (x[rows] - self.offset) / self.factor
        return scaled

    def undo(self, x: Array) -> Array:
        """Return the raw columns."""
        return x * self.factor + self.offset


@dataclass(frozen=True)
class Data:
    """A data set ready for training.

    Attributes:
        name: Its name in figures and MLflow.
        task: The classes or numbers to predict.
        train, test, validation: The parts, scaled; validation may be None.
        scaling: How the features were scaled.
        target_scaling: How the targets of a regression were scaled; None where they were not.
        image_shape: (height, width) where the features are the pixels of an image.
        features: The names of the features; empty where they have none.
        notes: Sentences for the terminal and the report, such as how missing numbers were filled in.
        labelled: For pairs and triplets, the classification data that they were drawn from.
        columns: The columns of the table from which the features were made; empty where there was no table.
        source: How that table was read.
    """

    name: str
    task: Task
    train: Part
    test: Part
    scaling: Scaling
    image_shape: tuple[int, int] | None = None
    validation: Part | None = None
    target_scaling: Scaling | None = None
    features: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    labelled: "Data | None" = None
    columns: tuple[Column, ...] = ()
    source: Source | None = None

    def raw_targets(self, targets: Array) -> Array:
        """Return targets, or predictions of them, in their own units."""
        return targets if self.target_scaling is None else self.target_scaling.undo(targets)

    def parts(self) -> dict[str, Part]:
        """Return the parts on which a run is evaluated, by name, after the training part."""
        return {"test": self.test} if self.validation is None else {"validation": self.validation, "test": self.test}


@dataclass(frozen=True)
class Dataset(Component):
    """A source of examples, in parts."""

    name: str = "data"

    def __post_init__(self) -> None:
        """Check every field, and that the name can be that of a folder in the output folder."""
        super().__post_init__()
        name = self.name
        if (
            not (name.isprintable() and name.strip() and len(name.encode()) <= MOST_NAME_BYTES)
            or name.startswith(".")
            or {*name} & {*"/\\"}
            or name in RESERVED_NAMES
        ):
            shown = repr(name if len(name) <= MOST_NAME_BYTES else f"{name[:MOST_NAME_BYTES]}...")
            raise InvalidFieldError(
                "name",
                shown,
                f"a short text on one line, without / or a dot in front, and none of {', '.join(RESERVED_NAMES)}",
            )

    @abstractmethod
    def load(self) -> Data:
        """Return the data set, ready for training.

        Raises UserError if the examples do not fit the fields.
        """


@dataclass(frozen=True)
class Table:
    """Examples as they come from their source, not yet scaled; a missing value is NaN.

    `dtype` is the type of the scaled features, None that of `x`; a large number, such as a time, needs more digits
    before it is scaled than after.
    """

    x: Array
    targets: Array | Labels
    task: Task
    features: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    dtype: Literal["float64", "float32"] | None = None
    notes: tuple[str, ...] = ()
    source: Source | None = None
    image_shape: tuple[int, int] | None = None

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.x)

    def take(self, rows: Labels) -> "Table":
        """Return some of the examples."""
        return replace(self, x=self.x[rows], targets=self.targets[rows])


@dataclass(frozen=True)
class TableDataset(Dataset):
    """Examples that are split, thinned out and scaled here.

    The seed of the split is apart from the seed of the run, so that runs of many seeds share one split. A `subsample`
    up to 1 is a share of the training examples, a larger one their number.
    """

    validation_size: Share = 0.0
    split_seed: Seed = 42
    stratify: bool = True
    standardize: bool = True
    standardize_targets: bool = False
    label_noise: Share = 0.0
    subsample: Annotated[float, at.Gt(0)] = 1.0
    split: Literal["shuffled", "order"] = added(default="shuffled")

    def __post_init__(self) -> None:
        """Check every field, and that a subsample is a share or a number of examples."""
        super().__post_init__()
        if self.subsample > 1 and self.subsample % 1:
            raise InvalidFieldError("subsample", self.subsample, "a share up to 1, or a whole number of examples")

    @abstractmethod
    def rest_and_test(self) -> tuple[Table, Table]:
        """Return the examples outside the test part and those of the test part, in arrays that may be changed."""

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """Return (height, width) where the features are the pixels of an image."""
        return None

    def complete(self, train: Table, others: Sequence[Table]) -> tuple[Table, list[Table], list[str]]:
        """Return the tables with missing values filled in from the training part, and sentences about that."""
        return train, list(others), []

    def load(self) -> Data:
        """Return the data set, split (stratified by class), thinned out and scaled."""
        rest, test = self.rest_and_test()
        task = rest.task
        self._check(task)
        train, kept = rest, None
        if self.validation_size:
            rows, chosen = self.divided(rest, count_of(self._validation_share(), rest), "validation_size")
            train, kept = rest.take(rows), rest.take(chosen)
        train = self._subsampled(train)
        train, (test, *others), notes = self.complete(train, [test] if kept is None else [test, kept])
        if self.label_noise:
            train = replace(train, targets=noisy(train.targets, task, self.label_noise, self.split_seed))

        columns = train.x.shape[1]
        scaling = fit_scaling(train.x) if self.standardize else Scaling.none(columns)
        target_scaling = fit_scaling(train.targets) if self.standardize_targets else None

        def part(table: Table) -> Part:
            targets = table.targets if target_scaling is None else target_scaling.apply(table.targets)
            return Part(scaling.apply(table.x, table.dtype), targets)

        return Data(
            self.name,
            task,
            train=part(train),
            test=part(test),
            scaling=scaling,
            image_shape=rest.image_shape or self.image_shape,
            validation=part(others[0]) if others else None,
            target_scaling=target_scaling,
            features=train.features,
            notes=(*rest.notes, *notes),
            columns=train.columns,
            source=train.source,
        )

    def divided(self, table: Table, kept: int, key: str) -> tuple[Labels, Labels]:
        """Return the row numbers of a table in two groups: the others, and so many that are kept apart.

        Raises UserError if one of the two would have no example, or none of some class; the message names the field
        `key`.
        """
        stratified = self._is_stratified(table.task)
        groups = len(table.task.classes) if stratified else 1
        if min(kept, len(table) - kept) < groups:
            each = f"an example of each of {groups} classes" if stratified else "an example"
            raise UserError(
                f"dataset.{key}={getattr(self, key):g}: must leave {each} on either side, and there are {len(table)} "
                "in all"
            )
        if self.split == "order":
            rows = np.arange(len(table))
            return rows[:-kept], rows[-kept:]
        return self._drawn(table, kept, stratified=stratified)

    def _drawn(self, table: Table, kept: int, *, stratified: bool) -> tuple[Labels, Labels]:
        if stratified:
            name, count = rarest_class(table)
            if count < 2:
                raise UserError(
                    f"dataset.stratify=true: must be false, for class {name} has only {count} of "
                    f"{len(table)} examples and cannot be on both sides of a split"
                )
        return divided(len(table), kept, self.split_seed, table.targets if stratified else None)

    def _is_stratified(self, task: Task) -> bool:
        return self.stratify and self.split == "shuffled" and task.kind == "classification"

    def _subsampled(self, train: Table) -> Table:
        """Return the training examples that are used, in their order where the parts are in order."""
        if self.subsample == 1:
            return train
        if self.subsample < 1:
            left_out = count_of(1 - self.subsample, train)
        else:
            left_out = len(train) - int(self.subsample)
            if left_out < 0:
                raise UserError(
                    f"dataset.subsample={self.subsample:g}: must be at most {len(train)}, the training examples"
                )
        if left_out == 0:
            return train
        drawn = replace(self, split="shuffled")
        rows, _ = drawn.divided(train, left_out, "subsample")
        return train.take(rows if self.split == "shuffled" else np.sort(rows))

    def _validation_share(self) -> float:
        """Return the share of the examples outside the test part that is kept for validation."""
        return self.validation_size

    def _check(self, task: Task) -> None:
        """Raise an error for settings that do not apply to the task."""
        for key, kind in (("standardize_targets", "regression"), ("label_noise", "classification")):
            value = getattr(self, key)
            if value and task.kind != kind:
                allowed = str(type(value)()).lower()
                raise UserError(f"dataset.{key}={str(value).lower()}: must be {allowed} for data with {task}")


@dataclass(frozen=True)
class Collection(TableDataset):
    """A fixed set of examples, of which some are kept for testing: a share of them, or one of several folds."""

    test_size: Annotated[float, at.Interval(gt=0, lt=1)] = 0.2
    folds: Annotated[int, at.Ge(2)] | None = added(default=None)
    fold: Annotated[int, at.Ge(0)] = added(default=0)

    def __post_init__(self) -> None:
        """Check every field, that the fold is one of the folds, and that examples are left for the training part."""
        super().__post_init__()
        if self.fold >= (self.folds or 1):
            allowed = "0, or one of several, with folds=5" if self.folds is None else f"less than folds={self.folds}"
            raise InvalidFieldError("fold", self.fold, allowed)
        if self._test_share + self.validation_size >= 1:
            test = "test_size" if self.folds is None else f"1/{self.folds}"
            raise InvalidFieldError(
                "validation_size", self.validation_size, f"less than 1 - {test}, which is {1 - self._test_share:g}"
            )

    @abstractmethod
    def examples(self) -> Table:
        """Return all examples."""

    def rest_and_test(self) -> tuple[Table, Table]:
        """Return the examples in two parts, stratified by class."""
        table = self.examples()
        if self.folds is None:
            rest, test = self.divided(table, count_of(self.test_size, table), "test_size")
        else:
            rest, test = self._folded(table, self.folds)
        return table.take(rest), table.take(test)

    def _folded(self, table: Table, folds: int) -> tuple[Labels, Labels]:
        """Return the row numbers outside the fold and in it."""
        from sklearn.model_selection import KFold, StratifiedKFold

        stratified = self._is_stratified(table.task)
        name, count = rarest_class(table) if stratified else ("", len(table))
        if count < folds:
            whose = f"those of class {name}, or dataset.stratify=false" if stratified else "all there are"
            raise UserError(f"dataset.folds={folds}: must be at most the {count} examples, {whose}")
        seed = self.split_seed if self.split == "shuffled" else None
        splitter = (StratifiedKFold if stratified else KFold)(folds, shuffle=seed is not None, random_state=seed)
        rest, test = list(splitter.split(np.zeros(len(table)), table.targets))[self.fold]
        return rest, test

    @property
    def _test_share(self) -> float:
        return self.test_size if self.folds is None else 1 / self.folds

    def _validation_share(self) -> float:
        return self.validation_size / (1 - self._test_share)


def count_of(share: float, table: Table) -> int:
    """Return a share of the examples of a table as a whole number, rounded up."""
    return int(np.ceil(round(share * len(table), 9)))


def rarest_class(table: Table) -> tuple[str, int]:
    """Return the name of the class with the fewest examples, and how many these are."""
    counts = np.bincount(table.targets.astype(np.intp, copy=False), minlength=len(table.task.classes))
    return table.task.classes[int(counts.argmin())], int(counts.min())


def fit_scaling(x: Array | Labels) -> Scaling:
    """Return the scaling by mean and population standard deviation; a constant column is only centred.

    It does as the `StandardScaler` of scikit-learn, which takes a second to import, and gives the same bits.

    References:
        Chan, Golub and LeVeque, Algorithms for Computing the Sample Variance, The American Statistician 37, 1983.
    """
    count, mean, variance = 0, np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for begin in range(0, len(x), ROWS_AT_A_TIME):
        rows = x[begin : begin + ROWS_AT_A_TIME]
        rows = rows if rows.dtype.kind == "f" else rows.astype(np.float64)
        new, before, total = len(rows), mean * count, rows.sum(axis=0, dtype=np.float64)
        away = rows - total / new
        rounding = away.sum(axis=0)
        away **= 2
        squares = away.sum(axis=0) - rounding**2 / new
        if count:
            ratio = count / new
            squares = variance * count + squares + ratio / (count + new) * (before / ratio - total) ** 2
        count += new
        mean, variance = (before + total) / count, squares / count
    eps = np.finfo(np.float64).eps
    constant = variance <= count * eps * variance + (count * mean * eps) ** 2
    return Scaling(mean, np.where(constant, 1.0, np.sqrt(variance)))


def noisy(labels: Array | Labels, task: Task, share: float, seed: int) -> Labels:
    """Return labels of which a share is replaced by another class, all other classes with equal probability."""
    generator = np.random.default_rng([seed, 1])  # a stream of its own, apart from that of the split
    wrong = generator.choice(len(labels), size=round(share * len(labels)), replace=False)
    replaced = labels.astype(np.intp)
    steps = generator.integers(1, len(task.classes), size=len(wrong))
    replaced[wrong] = (replaced[wrong] + steps) % len(task.classes)
    return replaced
