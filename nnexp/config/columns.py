"""The overrides of many jobs as columns, one for every key."""

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from nnexp.config.overrides import Job, key_of

MOST_ODD = 1000
"""How many numbers of a column may be written otherwise than Python writes them; with more, the texts are kept."""
WHOLE, DECIMAL = re.compile(r"-?\d{1,15}"), re.compile(r"-?\d+(\.\d*)?(e[+-]?\d+)?", re.IGNORECASE)


@dataclass(eq=False)
class KeyColumn:
    """The values of one key.

    Attributes:
        begins: What stands before a value in an override, such as `optimizer.learning_rate=`.
        codes: For every job the number of its value, -1 where it has none.
        texts: The values, as they are written, by their numbers.
    """

    begins: str
    codes: "array[int]" = field(default_factory=lambda: array("i"))
    texts: dict[str, int] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Return the key, without a + before it."""
        return key_of(self.begins)

    @property
    def fixed(self) -> bool:
        """Tell whether all jobs have the same value."""
        return len(self.texts) == 1 and self.codes.count(-1) == 0

    @cached_property
    def numbers(self) -> npt.NDArray[np.number] | None:
        """Return the values as numbers by their codes; None where they are words, or two of them are one number."""
        if all(map(WHOLE.fullmatch, self.texts)):
            found: npt.NDArray[np.number] = np.array([int(text) for text in self.texts], np.int64)
        elif all(map(DECIMAL.fullmatch, self.texts)):
            found = np.array([float(text) for text in self.texts])
        else:
            return None
        return found if len(self.odd(found)) <= MOST_ODD and len({*found.tolist()}) == len(self.texts) else None

    def odd(self, numbers: npt.NDArray[np.number]) -> dict[str, str]:
        """Return the values that are written otherwise than Python writes their numbers."""
        pairs = zip(map(repr, numbers.tolist()), self.texts, strict=True)
        return {usual: text for usual, text in pairs if usual != text}


class JobColumns:
    """The overrides of jobs by their keys, in the order in which they first stand in a job."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.count = len(jobs)
        columns: dict[str, KeyColumn] = {}
        for place, job in enumerate(jobs):
            for override in job:
                begin, sign, text = override.partition("=")
                column = columns.get(begin)
                if column is None:
                    column = columns[begin] = KeyColumn(f"{begin}{sign}")
                codes = column.codes
                if len(codes) > place:  # said twice: the last one counts
                    codes.pop()
                elif len(codes) < place:
                    codes.extend([-1] * (place - len(codes)))
                codes.append(column.texts.setdefault(text, len(column.texts)))
        for column in columns.values():
            column.codes.extend([-1] * (len(jobs) - len(column.codes)))
        self.columns = [*columns.values()]

    @property
    def varied(self) -> list[KeyColumn]:
        """Return the columns of the keys that jobs vary."""
        return [column for column in self.columns if not column.fixed]
