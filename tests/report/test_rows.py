"""What texts become in tables for other programs."""

import pytest

from nnexp.report.rows import cell


@pytest.mark.parametrize("text", ["=1+1", "@SUM(A1)", "+cmd|x", "-a", "\t=1"])
def test_no_text_is_a_formula(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["-1.5", "+3", "-1e-3", "-inf", "setosa", "a=b", "", -1.5, None, True])
def test_all_else_is_as_it_was(value: object) -> None:
    assert cell(value) is value
