"""Handwritten digits."""

from dataclasses import dataclass
from typing import Annotated

import annotated_types as at
import numpy as np

from nnexp.core.component import InvalidFieldError
from nnexp.core.task import Task
from nnexp.data.bundled import numbers_in
from nnexp.data.dataset import Collection, Table

Digit = Annotated[int, at.Interval(ge=0, le=9)]


@dataclass(frozen=True)
class Digits(Collection):
    """Images of handwritten digits, 8 x 8 pixels from 0 to 16, that come with scikit-learn (1797 of ten classes).

    References:
        Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
    """

    classes: Annotated[tuple[Digit, ...], at.MinLen(2)] = tuple(range(10))

    def __post_init__(self) -> None:
        """Check every field, and that no class is named twice."""
        super().__post_init__()
        if len(set(self.classes)) < len(self.classes):
            raise InvalidFieldError("classes", list(self.classes), "a list of different digits")

    @property
    def image_shape(self) -> tuple[int, int]:
        """Return (8, 8)."""
        return 8, 8

    def examples(self) -> Table:
        """Return the images of the chosen digits as rows of 64 pixels; labels count in the order of `classes`."""
        table = numbers_in("digits.csv.gz")
        pixels, digits = table[:, :-1], table[:, -1].astype(np.intp)
        chosen = np.isin(digits, self.classes)
        label_of_digit = np.full(10, -1)
        label_of_digit[list(self.classes)] = np.arange(len(self.classes))
        names = tuple(str(digit) for digit in self.classes)
        return Table(pixels[chosen], label_of_digit[digits[chosen]], Task(names))
