"""The task of a data set: what is predicted, which is all that losses and metrics know of the data."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["classification", "regression", "distribution", "pairs", "triplets"]


@dataclass(frozen=True)
class Task:
    """The kind of targets that a data set has.

    Attributes:
        classes: The names of the classes; the label of an example is the index of its class.
        kind: `classification`: a label an example. `regression`: numbers, shape (examples, columns). `distribution`: a
            probability of every class, shape (examples, classes). `pairs`: 1 where two examples belong together, else
            0, the features of shape (pairs, 2, features). `triplets`: nothing, the features of shape (triplets, 3,
            features) hold an anchor, an example that belongs to it and one that does not.
        columns: The names of the targets of a regression.
    """

    classes: tuple[str, ...] = ()
    kind: Kind = "classification"
    columns: tuple[str, ...] = ("target",)

    def __str__(self) -> str:
        """Return the task in words, as in `data with 3 classes`."""
        if self.kind == "classification":
            return f"{len(self.classes)} classes"
        return {"regression": "numbers as targets", "distribution": "distributions as targets"}.get(
            self.kind, self.kind
        )
