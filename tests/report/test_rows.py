"""What texts become in tables for other programs."""

import math

import pytest

from nnexp.report.rows import cell, with_spread


@pytest.mark.parametrize("text", ["=1+1", "@SUM(A1)", "+cmd|x", "-a", "\t=1"])
def test_no_text_is_a_formula(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["-1.5", "+3", "-1e-3", "-inf", "setosa", "a=b", "", -1.5, None, True])
def test_all_else_is_as_it_was(value: object) -> None:
    assert cell(value) is value


@pytest.mark.parametrize(
    ("mean", "deviation", "text"),
    [
        (0.00176, 0.000187, "0.00176 ± 0.00019"),
        (0.2027, 0.2873, "0.20 ± 0.29"),
        (14.0, 1.0, "14.0 ± 1.0"),
        (231.4, 57.2, "231 ± 57"),
        (2.5, 0.0, "2.50 ± 0"),
        (0.69314, 0.0000071, "0.6931 ± 7e-06"),
        (123456.0, 2345.0, "1.23e+05 ± 2.34e+03"),
        (math.inf, math.nan, "inf ± nan"),
    ],
)
def test_a_spread_has_two_digits_and_the_mean_as_many_decimals(mean: float, deviation: float, text: str) -> None:
    assert with_spread(mean, deviation) == text
