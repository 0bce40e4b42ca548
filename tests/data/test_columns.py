"""Features made of the columns of a table, compared with what pandas makes of them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nnexp.core.component import Array
from nnexp.core.errors import UserError
from nnexp.data.columns import LARGEST_NUMBER, Column, features_of
from nnexp.data.reading import TableFile

NUMBER, FILLED = Column("a"), Column("b", fill=2.5)
NAMED = Column("c", names=("x", "y", "z"))


def frame(**columns: list[object]) -> pd.DataFrame:
    cells: dict[str, list[object]] = {"a": [1, 2, 3], "b": [1.5, None, 4], "c": ["x", "z", "x"]}
    return pd.DataFrame({**cells, **columns})


def features(table: pd.DataFrame, *columns: Column) -> Array:
    named = [column.name for column in columns if column.names is not None]
    file = TableFile(Path(), "it")
    return features_of(file.reading.cleaned(table, named), columns, LARGEST_NUMBER["float64"], table=file)


def test_features_are_numbers_and_one_hot_columns_in_the_order_of_the_columns() -> None:
    table = frame()
    dummies = pd.get_dummies(table["c"]).reindex(columns=["x", "y", "z"], fill_value=False)
    expected = pd.concat([dummies, table["b"].fillna(2.5), table["a"]], axis=1).to_numpy(float)
    found = features(table, NAMED, FILLED, NUMBER)
    np.testing.assert_array_equal(found, expected)
    assert [name for column in (NAMED, FILLED) for name in column.features] == ["c=x", "c=y", "c=z", "b"]


def test_a_missing_name_is_one_where_the_training_had_it() -> None:
    column = Column("c", names=("missing", "x"))
    found = features(frame(c=["x", None, float("nan")]), column)
    np.testing.assert_array_equal(found, [[0, 1], [1, 0], [1, 0]])


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"a": [1, None, None]}, "it: must have a value in every row of column a, and row 2 has none"),
        ({"a": [1, 2, "3 m"]}, r"it: must have numbers up to 1e\+150 in column a, and row 3 has 3 m"),
        ({"b": [1, 2, float("-inf")]}, r"it: must have numbers up to 1e\+150 in column b, and row 3 has -inf"),
        ({"b": [1, 10**400, 2]}, r"it: must have numbers up to 1e\+150 in column b, and row 2 has 10000"),
        ({"c": ["x", "X", "y"]}, "it: must have one of x, y, z in column c, and row 2 has X"),
        ({"c": [None, "x", "y"]}, "it: must have a value in every row of column c, and row 1 has none"),
    ],
)
def test_a_wrong_cell_is_named(columns: dict[str, list[object]], sentence: str) -> None:
    with pytest.raises(UserError, match=f"^{sentence}"):
        features(frame(**columns), NUMBER, FILLED, NAMED)
