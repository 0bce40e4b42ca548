"""Which of two settings is better: said where it is shown, and hardly ever of equal ones."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ttest_ind

from nnexp.analysis.pair import Pair
from nnexp.analysis.verdict import Measured

LOW, HIGH = (1.0, 1.1, 0.9, 1.05), (2.0, 2.1, 1.9, 2.05)


def pair(
    a: tuple[float, ...],
    b: tuple[float, ...],
    sign: int = 1,
    lost: tuple[int, int] = (0, 0),
    matters: float | None = None,
) -> Pair:
    return Pair(Measured("A", a, lost[0]), Measured("B", b, lost[1]), "test/loss", sign, matters=matters)


@pytest.mark.parametrize(
    ("judged", "better"),
    [
        (pair(LOW, HIGH), "A"),
        (pair(HIGH, LOW), "B"),
        (pair(LOW, HIGH, -1), "B"),
        (pair(LOW, LOW), None),
        (pair(LOW[:2], HIGH[:2]), None),
        (pair(LOW, HIGH, matters=5.0), None),
        (pair(LOW, (), lost=(0, 4)), "A"),
        (pair((), LOW, lost=(4, 0)), "B"),
        (pair((), (), lost=(4, 4)), None),
        (pair(LOW, HIGH, lost=(9, 0)), None),
        (Pair(Measured("A", LOW), Measured("B", HIGH), None, 1), None),
    ],
)
def test_a_setting_is_better_where_that_is_shown(judged: Pair, better: str | None) -> None:
    assert judged.better == better
    assert judged.line.startswith("Not shown which is better" if better is None else f"{better} is better")
    assert judged.as_json()["better"] == better


def test_the_line_and_the_p_are_those_of_welch() -> None:
    found = pair(LOW, HIGH)
    assert found.p == pytest.approx(ttest_ind(LOW, HIGH, equal_var=False).pvalue)
    assert found.line == (
        "A is better: test/loss 1.012 ± 0.085 of A, 2.013 ± 0.085 of B; p < .001, A wins 16 of 16 pairs."
    )
    assert pair(LOW, (), lost=(0, 4)).line == (
        "A is better: test/loss 1.012 ± 0.085 of A, none (4 of 4 diverged) of B."
    )
    differing = Pair(Measured("A", LOW), Measured("B", HIGH), None, 1)
    assert differing.line == "Not shown which is better: their losses or data differ, so that no metric compares them."


def test_of_a_thousand_edits_that_change_nothing_hardly_any_is_called_better_or_worse() -> None:
    """By 20 seeds each, drawn alike or from a long tail."""
    generator = np.random.default_rng(0)
    for draw in (generator.standard_normal, lambda size: np.exp(generator.standard_normal(size))):
        both = draw((1000, 2, 20))
        false = sum(pair(tuple(a.tolist()), tuple(b.tolist())).better is not None for a, b in both)
        assert 10 <= false <= 65, "5 % or less are expected; none at all would say nothing"


def test_p_is_the_same_from_either_side_also_where_nothing_varies() -> None:
    a, b = Measured("A", (0.3, 0.3, 0.3)), Measured("B", (0.1, 0.1, 0.1))
    assert Pair(a, b, "test/loss", 1).p == Pair(b, a, "test/loss", 1).p == 2 * 0.5**6
    assert Pair(a, replace(a, name="B"), "test/loss", 1).p == 1
