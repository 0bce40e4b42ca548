from dataclasses import dataclass
from typing import Annotated, Literal

import annotated_types as at
import numpy as np
import pytest

from nnexp.core.component import (
    Component,
    Count,
    Fraction,
    InvalidFieldError,
    Name,
    NonNegative,
    Positive,
    describe,
)


@dataclass(frozen=True)
class Sample(Component):
    rate: Positive = 1.0
    scale: NonNegative = 0.0
    decay: Fraction = 0.5
    count: Count = 1
    sizes: Annotated[tuple[Count, ...], at.MinLen(1)] = (1,)
    portion: Literal["full"] | Count = "full"
    label: str | None = None
    flag: bool = False
    column: Name | tuple[Name, ...] | None = None


GOOD = [
    {"rate": 1e-9},
    {"rate": np.array([[0.1], [2.0]])},
    {"scale": 0.0},
    {"decay": 0},
    {"sizes": (3, 4)},
    {"portion": 5},
    {"label": "x"},
    {"column": "x"},
    {"column": ("x", 1, False)},
]
BAD: list[tuple[dict[str, object], str]] = [
    ({"rate": 0.0}, "rate=0.0: must be a number greater than 0"),
    ({"rate": float("nan")}, "rate=nan: must be a number greater than 0"),
    ({"rate": float("inf")}, "rate=inf: must be a number greater than 0"),
    ({"rate": "fast"}, "rate=fast: must be a number greater than 0"),
    ({"rate": True}, "rate=True: must be a number greater than 0"),
    ({"rate": False}, "rate=False: must be a number greater than 0"),
    ({"scale": False}, "scale=False: must be a number of at least 0"),
    ({"scale": 10**400}, f"scale=1{'0' * 400}: must be a number of at least 0"),
    ({"rate": None}, "rate=None: must be a number greater than 0"),
    ({"scale": -1e-300}, "scale=-1e-300: must be a number of at least 0"),
    ({"decay": 1.0}, "decay=1.0: must be a number of at least 0 and less than 1"),
    ({"count": 0}, "count=0: must be a whole number of at least 1"),
    ({"count": 1.0}, "count=1.0: must be a whole number of at least 1"),
    ({"count": True}, "count=True: must be a whole number of at least 1"),
    ({"sizes": ()}, "sizes=[]: must be a list, each a whole number of at least 1 (1 or more of them)"),
    ({"sizes": (2, 0)}, "sizes=[2, 0]: must be a list, each a whole number of at least 1 (1 or more of them)"),
    ({"sizes": 3}, "sizes=3: must be a list, each a whole number of at least 1 (1 or more of them)"),
    ({"portion": "half"}, "portion=half: must be full or a whole number of at least 1"),
    ({"portion": 0}, "portion=0: must be full or a whole number of at least 1"),
    ({"label": 3}, "label=3: must be a text or null"),
    ({"flag": 1}, "flag=1: must be true or false"),
    ({"column": {}}, "column={}: must be a name or a list, each a name or null"),
]


@pytest.mark.parametrize("values", GOOD)
def test_good_values_are_taken(values: dict[str, object]) -> None:
    Sample(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(("values", "sentence"), BAD)
def test_bad_values_are_refused_in_one_sentence(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidFieldError) as error:
        Sample(**values)  # type: ignore[arg-type]
    assert str(error.value) == sentence


def test_an_annotation_that_is_not_known_is_a_bug() -> None:
    with pytest.raises(TypeError):
        describe(Annotated[int, at.MultipleOf(3)])
