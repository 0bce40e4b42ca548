"""Asking again with fresh seeds: how good is what the first seeds chose, and is it better than the others?

The seeds that choose the best of many settings flatter it: of 20 equal ones with three seeds each, the mean of the
chosen one is 1.07 standard deviations too good. So the first few, and the default, are trained with seeds that chose
nothing. They test and measure the one that was chosen; where another one comes out ahead of it, that is said, too.
"""

from dataclasses import dataclass

import numpy as np

from nnexp.analysis.verdict import FEWEST, SIGNIFICANT, Measured, diverges_oftener, farthest, ruled_out, seems_worse

DEFAULT = "the default"
"""The name of the setting without any override of the sweep."""


@dataclass(frozen=True)
class Confirmation:
    """What fresh seeds say of the setting that the first ones chose.

    Attributes:
        leader: The setting that was chosen, measured by the fresh seeds.
        others: The others that were asked again.
        sign: 1 where lower values are better, else -1.
        matters: Differences below it do not matter; None: every one does.
        complete: Whether all fresh runs are there.
    """

    leader: Measured
    others: tuple[Measured, ...]
    sign: int
    matters: float | None = None
    complete: bool = True

    @property
    def first(self) -> Measured:
        """Return the setting that is first by the fresh seeds, the default apart: mostly the one that was chosen."""
        rivals = [one for one in self._compared if one.name != DEFAULT and one not in self.alike]
        others = [one for one in rivals if not diverges_oftener(one, self.leader)]
        return self.leader if self.thin else min([self.leader, *others], key=lambda one: self.sign * one.mean)

    @property
    def thin(self) -> bool:
        """Tell whether there are too few fresh seeds to tell anything."""
        return len(self.leader.values) < FEWEST or any(one.repeats < FEWEST for one in self.others)

    @property
    def alike(self) -> list[Measured]:
        """Return the settings that are surely closer to the one that was chosen than what matters."""
        if self.matters is None or self.thin:
            return []
        return [one for one in self._compared if farthest(self.leader, one) < self.matters]

    @property
    def _compared(self) -> list[Measured]:
        return [one for one in self.others if one.values and not one.lost]

    @property
    def better(self) -> list[Measured]:
        """Return the settings that are shown to be better than the one that was chosen, at 5 % for all of them."""
        if self.thin:
            return []
        p = np.array([seems_worse(self.leader, one, self.sign) for one in self._compared])
        return [one for one, better in zip(self._compared, ruled_out(p), strict=True) if better]

    @property
    def not_told(self) -> list[Measured]:
        """Return the settings that are not shown to be worse than the one that was chosen, nor better, nor alike."""
        told = [*self.alike, *self.better]
        return [one for one in self.others if one not in told and not self._is_behind(one)]

    def _is_behind(self, one: Measured) -> bool:
        """Tell whether a setting is shown to be worse than the one that was chosen, or to diverge oftener."""
        if diverges_oftener(self.leader, one):
            return False
        ahead = one.values and self.sign * one.mean <= self.sign * self.leader.mean
        if diverges_oftener(one, self.leader) and not ahead:
            return True
        tested = one in self._compared and not self.thin
        return tested and 2 * seems_worse(one, self.leader, self.sign) < SIGNIFICANT

    @property
    def best(self) -> bool:
        """Tell whether the chosen one is shown to be better than all others that were asked again.

        To be better than the default alone is not enough.
        """
        rivals = [one for one in self.others if one.name != DEFAULT]
        return bool(rivals) and self.complete and not (self.thin or self.not_told or self.better or self.alike)
