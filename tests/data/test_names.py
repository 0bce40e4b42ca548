import re
from collections.abc import Sequence

import pytest
from omegaconf import OmegaConf

from nnexp.core.component import Name
from nnexp.core.errors import UserError
from nnexp.data.names import column_named

NAMED: list[tuple[str, Sequence[str], str]] = [
    ("price", ["price", "rooms"], "price"),
    ("' price'", ["rooms", "price "], "price "),
    ("No", ["No", "yes"], "No"),
    ("yes", ["No", "yes"], "yes"),
    ("no", ["Off"], "Off"),
    ("1", ["0", "1"], "1"),
    ("01", ["00", "01"], "01"),
    ("010", ["10", "010"], "010"),
    ("1.0", ["1", "1.0"], "1.0"),
    ("1e3", ["1000", "1e3"], "1e3"),
    ("1", ["yes"], "1"),
    ("true", ["1"], "true"),
    ("'1'", ["01", "1"], "1"),
    ("7", ["[", "a: b", "?"], "7"),
]


def read(text: str) -> Name:
    """Return a value as the files of configs are read."""
    value = OmegaConf.create(f"key: {text}").key
    assert isinstance(value, (str, int, float, bool))
    return value


@pytest.mark.parametrize(("text", "header", "expected"), NAMED)
def test_a_column_is_named_as_yaml_reads_it(text: str, header: Sequence[str], expected: str) -> None:
    assert column_named(read(text), header, "dataset.target") == expected


def test_two_columns_that_yaml_reads_alike_need_quotes() -> None:
    line = "dataset.target=1: must have its quotes, '1' or '01', for YAML reads both alike"
    with pytest.raises(UserError, match=f"^{re.escape(line)}$"):
        column_named(read("1"), ["1", "01", "2"], "dataset.target")


def test_a_name_as_it_stands_comes_before_one_with_white_space() -> None:
    assert column_named("y", [" y", "y", "x"], "dataset.target") == "y"
    assert column_named("y", [" y", "x"], "dataset.target") == " y"
