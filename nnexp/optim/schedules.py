"""Schedules: the factor on the learning rate at each step."""

from abc import abstractmethod
from dataclasses import dataclass

from nnexp.component import Component, Number


@dataclass(frozen=True)
class Schedule(Component):
    """A function of the step."""

    @abstractmethod
    def factor(self, step: int) -> Number:
        """Return the factor on the learning rate at this step, counted from 1."""


@dataclass(frozen=True)
class Constant(Schedule):
    """The same learning rate throughout: factor = 1."""

    def factor(self, step: int) -> Number:  # noqa: ARG002
        """Return 1."""
        return 1.0
