"""What is to be predicted: the part of a data set that losses and metrics need to know."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """A classification into named classes; the label of an example is the index of its class."""

    classes: tuple[str, ...]
