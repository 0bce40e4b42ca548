"""Random tables, read as pandas and scikit-learn read them."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import LabelEncoder, OneHotEncoder

from nnexp.data.csv import Csv

Options = dict[str, Any]
WORDS = ("north", "south", "Zürich", "a b", "x,y", "semi;colon", 'say "a"', "O'Hara", "no 5", "é")
CODES = ("007", "0123", "42", "100", "00")


def column(kind: str, rows: int, generator: np.random.Generator) -> pd.Series:
    """Return a column that is written in one way or another."""
    values: dict[str, Any] = {
        "real": generator.standard_normal(rows) * 10.0 ** generator.integers(-5, 6),
        "whole": generator.integers(-50, 50, rows),
        "truth": generator.random(rows) < 0.5,
        "word": generator.choice(WORDS, rows),
        "code": generator.choice(CODES, rows),
    }
    made = pd.Series(values[kind])
    if generator.random() < 0.4:
        made = made if kind == "real" else made.astype(object)
        made = made.where(pd.Series(generator.random(rows) > 0.1), None)
    if kind in ("word", "code") and generator.random() < 0.3:  # white space that means nothing
        made = made.map(lambda text: f"{text}{generator.choice(['', ' ', '  '])}", na_action="ignore")
    return made


def written(path: Path, generator: np.random.Generator) -> tuple[pd.DataFrame, Options, list[str]]:
    """Write a random table; return it, how it is to be read, and the kinds of its columns."""
    rows = int(generator.integers(12, 40))
    kinds = generator.choice(["real", "whole", "truth", "word", "code"], generator.integers(1, 5)).tolist()
    target = generator.choice(["real", "whole", "word", "code"])
    frame = pd.concat([column(kind, rows, generator) for kind in kinds], axis=1)
    frame.columns = pd.Index([f"{kind} {place}" for place, kind in enumerate(kinds)])
    labels = {"real": generator.random(rows), "whole": generator.integers(0, 4, rows)}
    labels |= {"word": generator.choice(WORDS[:4], rows), "code": generator.choice(CODES[:3], rows)}
    frame["y"] = labels[target]
    if generator.random() < 0.3:
        other = frame.columns[[kind != "real" for kind in kinds] + [target != "real"]]
        frame[other] = frame[other].astype(object)
        frame.loc[generator.integers(0, rows, 2)] = None
    sep, header = generator.choice([",", ";", "\t", "|"]), bool(generator.random() < 0.8)
    decimal = generator.choice([".", ","]) if sep != "," else "."
    encoding = generator.choice(["utf-8", "utf-8-sig", "latin-1", "utf-16"])
    style: Options = {"index": bool(generator.random() < 0.3), "header": header}
    style |= {"sep": sep, "decimal": decimal, "encoding": encoding, "na_rep": generator.choice(["", "NA", "?"])}
    style["quoting"] = int(generator.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
    frame.to_csv(path, lineterminator=generator.choice(["\n", "\r\n"]), **style)
    return (
        frame,
        {"sep": sep, "decimal": decimal, "header": 0 if header else None, "encoding": encoding},
        [*kinds, target],
    )


def as_pandas_reads(path: Path, **options: Any) -> pd.DataFrame:  # noqa: ANN401
    read: object = pd.read_csv(path, skip_blank_lines=False, na_values=["?"], **options)
    assert isinstance(read, pd.DataFrame)
    return read


@pytest.mark.parametrize("first", range(0, 300, 30))
def test_features_and_labels_are_those_of_pandas_and_scikit_learn(tmp_path: Path, first: int) -> None:
    for seed in range(first, first + 30):
        compare(tmp_path / f"table_{seed}.csv", np.random.default_rng(seed))


def compare(path: Path, generator: np.random.Generator) -> None:
    frame, options, kinds = written(path, generator)
    read = as_pandas_reads(path, dtype=str, **options)
    read = read.apply(lambda cells: cells.str.strip())
    again = as_pandas_reads(path, **options)
    extra = read.shape[1] - frame.shape[1]  # the index
    kept = read.notna().any(axis=1).to_numpy() & read.iloc[:, -1].notna().to_numpy()

    regression = kinds[-1] == "real"
    data = Csv(
        path=str(path),
        separator=options["sep"],
        decimal=options["decimal"],
        header=options["header"] == 0,
        encoding=options["encoding"],
        kind="regression" if regression else "classification",
        missing="mean",
        categorical="auto",
        drop_without_target=True,
    )
    table = data.examples()
    words = [place for place, column in enumerate(table.columns) if column.names is not None]
    assert table.x.shape[0] == kept.sum()
    numbers, names = list[Any](), list[Any]()
    for place in range(read.shape[1] - 1):
        kind = kinds[place - extra] if place >= extra else "whole"
        if kind == "word":
            names.append(read.iloc[:, place][kept].fillna("missing"))
        elif kind == "truth":
            numbers.append(read.iloc[:, place][kept].map({"True": 1.0, "False": 0.0}))
        else:
            numbers.append(again.iloc[:, place][kept].astype(float))
    expected = [np.column_stack(numbers)] if numbers else []
    if names:
        expected.append(OneHotEncoder(sparse_output=False).fit_transform(np.column_stack(names)))
    assert len(words) == len(names)
    np.testing.assert_array_equal(table.x, np.concatenate(expected, axis=1))
    labels = read.iloc[:, -1][kept] if kinds[-1] == "code" else again.iloc[:, -1][kept]
    if regression:
        np.testing.assert_array_equal(table.targets[:, 0], labels.astype(float))
    else:
        cells = labels.str.strip() if labels.dtype.kind in "OT" or labels.dtype == "str" else labels
        np.testing.assert_array_equal(table.targets, LabelEncoder().fit_transform(cells))
