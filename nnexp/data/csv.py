"""Tables in files: separated values, Parquet, and arrays."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from nnexp.core.component import Array, InvalidFieldError, Labels, Name, added
from nnexp.core.errors import UserError, on_one_line
from nnexp.core.files import expanded, is_there, shipped
from nnexp.core.npz import AnyArray
from nnexp.core.task import Task
from nnexp.data.columns import (
    LARGEST_NUMBER,
    MISSING_NAME,
    Column,
    counted,
    encode,
    in_order,
    is_number,
    places_of,
    refuse_words,
)
from nnexp.data.dataset import Collection, Table
from nnexp.data.gathered import Columns, Gathered, gather
from nnexp.data.listing import listed, pasted, shortened
from nnexp.data.names import column_named
from nnexp.data.reading import Reading, Source, TableFile
from nnexp.data.unpacked import array_names, arrays

if TYPE_CHECKING:
    import pandas as pd

MOST_CATEGORIES, MOST_AUTO = 1000, 50
"""The most different names in a column, each of which becomes a column; and of those that `auto` takes."""
FEWEST_ROWS = 20
"""Rows that a table must have before it is noted that a column counts them."""
Missing: TypeAlias = Literal["refuse", "mean", "median", "most_frequent", "drop"]


@dataclass(frozen=True)
class Csv(Reading, Collection):
    """A table in a file, or arrays: columns to predict, and numbers or categories to predict them from."""

    path: str | None = None
    test_path: str | None = added(default=None)
    target: Name | tuple[Name, ...] | None = None
    kind: Literal["classification", "regression"] = "classification"
    categorical: Literal["auto"] | tuple[Name, ...] = ()
    ignore: tuple[Name, ...] = ()
    missing: Missing = "refuse"
    drop_without_target: bool = added(default=False)
    unknown: Literal["refuse", "ignore"] = added(default="refuse")
    dtype: Literal["float64", "float32"] = "float64"

    def __post_init__(self) -> None:
        """Check every field, and that they fit together."""
        super().__post_init__()
        named = () if self.categorical == "auto" else self.categorical
        if len(set(named)) < len(named) or set(named) & set(self.ignore):
            raise InvalidFieldError("categorical", list(named), "a list of different columns, none of them in ignore")
        if isinstance(self.target, tuple) and (self.kind == "classification" or not self.target):
            raise InvalidFieldError("target", list(self.target), "one column, or several with kind=regression")
        if self.test_path is not None and self.folds is not None:
            raise InvalidFieldError("folds", self.folds, "null with a test_path")

    def file(self) -> Path:
        """Return the path of the table."""
        if self.path is None:
            raise UserError("dataset.path=null: must be the path of a table, dataset.path=my.csv")
        path = _found(self.path)
        if "," in self.path and not is_there(path):
            raise UserError(
                f"dataset.path={self.path}: must be a file; several, a run of each, are choice({self.path})"
            )
        return path

    def examples(self) -> Table:
        """Return the table; a missing number is NaN."""
        table = self._file("path", self.file())
        names = array_names(table.path, table.title)
        if names:
            return self._of_arrays(table, "x_train" if "x_train" in names else "x")
        header = table.header
        targets = self._target(header, table)
        ignored = {*self._columns("ignore", header), *targets, *table.hollow}
        names = [name for name in header if name not in ignored]
        if not names:
            raise UserError(
                f"{table.title}: must have a column beside the target, {shortened(targets[0])}; if they are separated "
                f"by another sign, {table.typed('separator', ';')}"
            )
        categorical, taken = [] if self.categorical == "auto" else self._columns("categorical", header), list[str]()
        gathered = self._gathered(table, self._used(names, categorical, targets))
        of_names = {name for name, (_, cell) in gathered.wrong.items() if not is_number(cell)}
        if self.categorical == "auto" and of_names & {*names}:
            categorical = [name for name in names if name in of_names]
            taken = [f"{shortened(name)} ({shortened(gathered.wrong[name][1])})" for name in categorical]
            gathered = self._gathered(table, self._used(names, categorical, targets))
            self._check_auto(gathered, categorical)
        if gathered.wrong:
            refuse_words(table, gathered.wrong, LARGEST_NUMBER[self.dtype], targets)
        columns = (
            *(Column(name, truth=gathered.truths.get(name)) for name in names if name not in categorical),
            *(Column(name, self._values(gathered.words[name], table)) for name in categorical),
        )
        source = Source(Reading.of(table.found), tuple(header), tuple(targets), self.unknown)
        made = self._assembled(table, gathered, Table(np.zeros(0), np.zeros(0), Task(), columns=columns, source=source))
        of_auto = [f"taken as names: {listed(taken)}"] if taken else []
        return replace(made, notes=(*table.notes, *of_auto, *made.notes, *self._notes(made, gathered, categorical)))

    def rest_and_test(self) -> tuple[Table, Table]:
        """Return the examples in two parts, which two files may hold."""
        if not self._has_test_part:
            return super().rest_and_test()
        rest = self.examples()
        table = (
            self._file("path", self.file())
            if self.test_path is None
            else self._file("test_path", _found(self.test_path))
        )
        if rest.source is None:
            test = self._of_arrays(table, "x_test" if self.test_path is None else "x", rest.task.classes)
            if (test.x.shape[1], test.targets.shape[1:]) != (rest.x.shape[1], rest.targets.shape[1:]):
                raise UserError(f"{table.title}: must have test examples of the shape of those of the training")
            return rest, test
        header, source = table.header, rest.source
        lacking = [column.name for column in rest.columns if column.name not in header]
        lacking += [name for name in source.targets if name not in header]
        if lacking:
            raise UserError(f"{table.title}: must have the columns of {self.file()}, and lacks {listed(lacking)}")
        categorical = [column.name for column in rest.columns if column.names is not None]
        names, truths = (
            [column.name for column in rest.columns],
            [column.name for column in rest.columns if column.truth],
        )
        columns = self._used(names, categorical, source.targets)
        gathered = self._gathered(table, replace(columns, truths=truths))
        if gathered.wrong:
            refuse_words(table, gathered.wrong, LARGEST_NUMBER[self.dtype])
        test = self._assembled(table, gathered, rest)
        notes = [f"{self.test_path}: {note}" for note in (*table.notes, *test.notes)]
        return replace(rest, notes=(*rest.notes, *notes)), test

    def complete(self, train: Table, others: Sequence[Table]) -> tuple[Table, list[Table], list[str]]:
        """Fill in missing numbers from the training part; note that, and columns with the same value in every row."""
        tables = [train, *others]
        gaps: Labels = np.sum([np.isnan(table.x).sum(axis=0) for table in tables], axis=0)
        features = train.features or tuple(str(place + 1) for place in range(train.x.shape[1]))
        notes = []
        if gaps.any():
            empty = np.isnan(train.x).all(axis=0)
            if empty.any():
                columns = _list(features, np.flatnonzero(empty))
                raise UserError(
                    f"dataset.path={self.file()}: must have a number in column {columns} among the training rows; "
                    "list it in dataset.ignore"
                )
            columns = ", ".join(f"{name} {count}" for name, count in zip(features, gaps.tolist(), strict=True) if count)
            value = self.missing.replace("_", " ")
            notes.append(f"missing numbers ({columns}) are filled in with the {value} of the training part")
        if self.missing not in ("refuse", "drop"):
            tables = self._filled(tables, gaps=bool(gaps.any()))
        constant = tables[0].x.max(axis=0) == tables[0].x.min(axis=0)
        if constant.any():
            notes.append(f"the same in every training row: {_list(features, np.flatnonzero(constant))}")
        return tables[0], tables[1:], notes

    def _file(self, key: str, path: Path) -> TableFile:
        return TableFile(path, f"dataset.{key}={path}", Reading.of(self))

    @property
    def _has_test_part(self) -> bool:
        path = self.file()
        return self.test_path is not None or "x_test" in array_names(path, f"dataset.path={path}")

    def _validation_share(self) -> float:
        return self.validation_size if self._has_test_part else super()._validation_share()

    def _columns(self, key: Literal["categorical", "ignore"], header: Sequence[str]) -> list[str]:
        """Return the columns that a key names."""
        names = [column_named(name, header, f"dataset.{key}") for name in getattr(self, key)]
        for name in names:
            if name not in header:
                raise UserError(f"dataset.{key}={name}: must be columns of the table, {listed(header)}")
        return names

    def _target(self, header: Sequence[str], table: TableFile) -> list[str]:
        """Return the columns to predict."""
        last = [name for name in header if name not in table.hollow][-1:]
        given = self.target if isinstance(self.target, tuple) else () if self.target is None else (self.target,)
        targets = [column_named(name, header, "dataset.target") for name in given] or last
        for name in targets:
            if name not in header:
                several = f"; several, a run of each, are choice({name})" if "," in name else ""
                raise UserError(f"dataset.target={name}: must be a column of the table, {listed(header)}{several}")
            for key in ("ignore", *(() if self.categorical == "auto" else ("categorical",))):
                if name in self._columns(key, header):
                    raise UserError(f"dataset.{key}={name}: must not be the target")
        return targets

    def _used(self, names: Sequence[str], categorical: Sequence[str], targets: Sequence[str]) -> Columns:
        """Return the columns that are used; the last of numbers are the targets of a regression."""
        words, numeric = [*categorical], [name for name in names if name not in categorical]
        (numeric if self.kind == "regression" else words).extend(targets)
        return Columns(numeric, words, targets)

    def _gathered(self, table: TableFile, columns: Columns) -> Gathered:
        limit, drop = LARGEST_NUMBER[self.dtype], self.missing == "drop"
        return gather(table, columns, limit, drop=drop, drop_without_target=self.drop_without_target)

    def _check_auto(self, gathered: Gathered, categorical: Sequence[str]) -> None:
        """Refuse columns with many names that nobody has named."""
        counts = {name: len(gathered.words[name].cat.categories) for name in categorical}
        many = [name for name, count in counts.items() if count > MOST_AUTO]
        if many:
            found = listed([f"{shortened(name)} has {counts[name]}" for name in many])
            raise UserError(
                f"dataset.categorical=auto: must have at most {MOST_AUTO} different names in a column, and {found}; "
                f"{pasted('dataset.ignore', many)} leaves them out"
            )

    def _values(self, cells: "pd.Series", table: TableFile) -> tuple[str, ...]:
        """Return the names in a column."""
        texts = [str(text) for text in cells.cat.remove_unused_categories().cat.categories]
        names = {*table.found.names(texts), *([MISSING_NAME] if cells.isna().any() else [])}
        if len(names) > MOST_CATEGORIES:
            raise UserError(
                f"dataset.categorical={cells.name}: must have at most {MOST_CATEGORIES} different values, and has "
                f"{len(names)}; list it in dataset.ignore"
            )
        return tuple(in_order(names))

    def _assembled(self, table: TableFile, gathered: Gathered, like: Table) -> Table:
        """Return gathered rows as examples with the columns, and if it has some the classes, of another table."""
        targets = like.source.targets if like.source is not None else ()
        x, y = gathered.numbers, gathered.numbers[:, :0]
        if self.kind == "regression":
            x, y = np.split(x, [-len(targets)], axis=1)
        features = tuple(feature for column in like.columns for feature in column.features)
        words = {name: cells for name, cells in gathered.words.items() if name not in targets}
        self._check_missing(table, x, features, words)
        unknown = None if self.unknown == "refuse" else Counter[str]()
        encoded = encode(words, [column for column in like.columns if column.names is not None], table, unknown)
        notes = [f"rows without {reason} are left out: {count}" for reason, count in gathered.left_out.items() if count]
        if unknown:
            notes.append(f"names that the training has not count as none: {counted(unknown)}")
        x = np.concatenate([x, *encoded], axis=1) if encoded else x
        made = replace(like, x=x, features=features, dtype=self.dtype, notes=tuple(notes))
        if self.kind == "regression":
            return replace(made, targets=y.copy(), task=Task(kind="regression", columns=tuple(targets)))
        return self._labelled(made, gathered.words[targets[0]], table, like.task.classes)

    def _labelled(self, table: Table, cells: "pd.Series", file: TableFile, classes: Sequence[str]) -> Table:
        """Return a table with its labels, of given classes if there are some."""
        cells = cells.cat.remove_unused_categories()
        texts, notes = [str(text) for text in cells.cat.categories], [*table.notes]
        if classes:
            texts = [*map(on_one_line, texts)]
            dotted = [text for text in texts if text not in classes and text.removesuffix(".") in classes]
            texts = [text.removesuffix(".") if text in dotted else text for text in texts]
            notes += [f"labels are read without the dot at their end ({listed(dotted)})"] if dotted else []
        else:
            classes = self._classes(cells, file.found.names(texts))
            plain = Counter(name.rstrip(".").lower() for name in classes)
            alike = [name for name in classes if plain[name.rstrip(".").lower()] > 1]
            notes += [f"classes that are nearly the same: {listed(alike)}"] if alike else []
        places = places_of(texts, classes, file.found)
        strange = [text for text, place in zip(texts, places, strict=True) if place < 0]
        if strange:
            raise UserError(
                f"{file.title}: must have the classes of the training, {listed(classes)}, and has {listed(strange)} in "
                f"column {cells.name}"
            )
        task = Task(tuple(map(on_one_line, classes)))
        return replace(table, targets=np.array(places)[cells.cat.codes.to_numpy()], task=task, notes=tuple(notes))

    def _classes(self, cells: "pd.Series", names: Sequence[str]) -> list[str]:
        """Return the classes in a column of labels."""
        classes = in_order({*names})
        if len(classes) == 1:
            raise UserError(
                f"dataset.target={cells.name}: must have at least two classes, and every row has "
                f"{shortened(classes[0])}"
            )
        if len(classes) > max(2, len(cells) / 2):
            raise UserError(
                f"dataset.kind=classification: must be regression, or have examples of each class; "
                f"{cells.name} has {len(classes)} different values in {len(cells)} rows"
            )
        return classes

    def _check_missing(
        self, table: TableFile, x: Array, features: Sequence[str], words: "dict[str, pd.Series]"
    ) -> None:
        if self.missing != "refuse":
            return
        numbers = zip(features, np.isnan(x).sum(axis=0).tolist(), strict=False)  # numbers come first
        gaps = [*numbers, *((name, int(cells.isna().sum())) for name, cells in words.items())]
        columns = [f"{name} {count}" for name, count in gaps if count]
        if columns:
            raise UserError(
                f"dataset.missing=refuse: must be mean, median, most_frequent or drop, or the table {table.path} "
                f"complete; it has missing values ({listed(columns)}), as dataset.missing_values says"
            )

    def _notes(self, table: Table, gathered: Gathered, categorical: Sequence[str]) -> list[str]:
        """Return what one should know of the columns."""
        notes = []
        for truth, other in (("true", "false"), ("yes", "no")):
            names = [name for name, word in gathered.truths.items() if word == truth]
            notes += [f"{truth} is 1 and {other} is 0: {listed(names)}"] if names else []
        if len(table) < FEWEST_ROWS:
            return notes
        counting, different = list[str](), list[str]()
        numeric = [column.name for column in table.columns if column.names is None]
        for name, cells in zip(numeric, table.x.T, strict=False):  # numbers come first
            if _are_different(cells[:MOST_CATEGORIES]) and _are_different(cells):
                (counting if (np.diff(cells) == 1).all() else different).append(name)
        different += [name for name in categorical if gathered.words[name].nunique() == len(table)]
        for names, what in ((counting, "counts the rows"), (different, "another value in each row")):
            notes += [f"{what}: {listed(names)} ({pasted('dataset.ignore', names)} leaves it out)"] if names else []
        return notes

    def _of_arrays(self, table: TableFile, name: str, classes: Sequence[str] = ()) -> Table:
        """Return the examples in a file of arrays."""
        import pandas as pd

        for key in ("target", "categorical", "ignore"):
            if getattr(self, key):
                raise UserError(f"dataset.{key}: must not be given for arrays, which have no names of columns")
        found, y_name = arrays(table.path, table.title), name.replace("x", "y", 1)
        if not {name, y_name} <= {*found}:
            raise UserError(
                f"{table.title}: must have the arrays x and y, or x_train, y_train, x_test and y_test, and has "
                f"{listed([*found])}"
            )
        x, y = found[name], found[y_name]
        if not (x.ndim > 1 and x.dtype.kind != "U" and len(x) == len(y) > 0):
            raise UserError(f"{table.title}: must have a row of numbers in {name} for each of {y_name}")
        shape = (x.shape[1], x.shape[2]) if x.ndim == 3 or (x.ndim == 4 and x.shape[3] == 1) else None
        numbers = x.reshape(len(x), -1).astype(np.float64)
        if self.missing in ("refuse", "drop") and np.isnan(numbers).any():
            raise UserError(
                f"dataset.missing={self.missing}: must be mean, median or most_frequent, for {name} has gaps"
            )
        if not (np.isnan(numbers) | (np.abs(numbers) <= LARGEST_NUMBER[self.dtype])).all():
            raise UserError(f"{table.title}: must have numbers up to {LARGEST_NUMBER[self.dtype]} in {name}")
        made = Table(numbers, np.zeros(0), Task(), dtype=self.dtype, image_shape=shape)
        if self.kind == "regression":
            return self._with_numbers(made, y.reshape(len(y), -1), y_name, table)
        if y.size != len(y):
            raise UserError(f"{table.title}: must have a label for each row of {name}, and {y_name} has {y.shape[1:]}")
        cells = Reading(missing_values=()).cleaned(pd.DataFrame({y_name: y.ravel()}), (y_name,))[y_name]
        gaps = np.flatnonzero(cells.isna() | (cells == "nan"))
        if len(gaps):
            raise UserError(f"{table.title}: must have a label for each row of {name}, and row {gaps[0] + 1} has none")
        return self._labelled(made, cells, replace(table, path=Path(), reading=Reading()), classes)

    def _with_numbers(self, made: Table, y: AnyArray, name: str, table: TableFile) -> Table:
        if y.dtype.kind == "U" or not np.isfinite(y.astype(np.float64)).all():
            raise UserError(f"{table.title}: must have numbers in {name}; for names, dataset.kind=classification")
        columns = ("target",) if y.shape[1] == 1 else tuple(f"target_{place + 1}" for place in range(y.shape[1]))
        return replace(made, targets=y.astype(np.float64), task=Task(kind="regression", columns=columns))

    def _filled(self, tables: Sequence[Table], *, gaps: bool) -> list[Table]:
        """Return tables without missing numbers, whose columns have the numbers for empty cells."""
        fills = _common(tables[0].x, self.missing)
        columns = tuple(
            replace(column, fill=float(fill)) if column.names is None else column
            for column, fill in zip(tables[0].columns, fills, strict=False)  # numbers come first
        )
        return [
            replace(table, x=np.where(np.isnan(table.x), fills, table.x) if gaps else table.x, columns=columns)
            for table in tables
        ]


@dataclass(frozen=True)
class Heart(Csv):
    """Heart disease in Cleveland: 13 findings on 303 patients, and whether an artery was narrowed by more than half.

    The table comes with nnexp, in the coding of the UCI repository; `disease` is 1 for the degrees 1 to 4 there. Six
    rows have a missing value. Another table of the same findings can be given with `path`.

    References:
        Janosi, Steinbrunn, Pfisterer and Detrano, Heart Disease, UCI Machine Learning Repository, 1988 (CC BY 4.0).
    """

    missing: Missing = "most_frequent"

    def file(self) -> Path:
        """Return `path`, or without one the path of the table that comes with nnexp."""
        return Path(__file__).with_name("tables") / "heart.csv" if self.path is None else super().file()


def _found(name: str) -> Path:
    """Return the path of a file, from the working directory or of those that came with nnexp."""
    path = expanded(name)
    came = shipped(path)
    return came if is_there(came) and not is_there(path) else path


def _common(x: Array, kind: Missing) -> Array:
    """Return the mean or the median of every column, or its most frequent number, of several the smallest."""
    there = np.ma.masked_invalid(x)
    if kind == "most_frequent":
        found = [np.unique(column.compressed(), return_counts=True) for column in there.T]
        return np.array([numbers[counts.argmax()] for numbers, counts in found])
    middle: Array = there.mean(axis=0) if kind == "mean" else np.ma.median(there, axis=0)  # type: ignore[no-untyped-call]
    return np.ma.getdata(middle)


def _are_different(cells: Array) -> bool:
    """Tell whether cells are whole numbers, and no two the same."""
    return bool((cells % 1 == 0).all()) and len(np.unique(cells)) == len(cells)


def _list(names: Sequence[str], places: Labels) -> str:
    return listed([names[place] for place in places.tolist()])
