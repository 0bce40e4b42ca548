"""Asking again with fresh seeds: how good is what the first seeds chose, and is it better than the others?

The seeds that choose the best of many settings flatter it: of 20 equal ones with three seeds each, the mean of the
chosen one is 1.07 standard deviations too good. So the first few, and the default, are trained with seeds that chose
nothing. They test and measure the one that was chosen; they choose no other.
"""

from dataclasses import dataclass

from nnexp.analysis.verdict import FEWEST, SIGNIFICANT, Measured, Moments, diverges_oftener, farthest, worse

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
    def by_name(self) -> dict[str, Measured]:
        """Return every setting that was asked again."""
        return {one.name: one for one in (self.leader, *self.others)}

    @property
    def thin(self) -> bool:
        """Tell whether there are too few fresh seeds to tell anything."""
        compared = [self.leader, *(one for one in self.others if not one.lost)]
        return any(len(one.values) < FEWEST for one in compared)

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
    def could_be_better(self) -> list[Measured]:
        """Return the settings that are neither shown to be worse than the one that was chosen, nor surely alike."""
        compared = [one for one in self._compared if one not in self.alike]
        if not compared or self.thin:
            return compared
        p = worse(Moments.of([self.leader], self.sign), Moments.of(compared, self.sign))
        return [
            one
            for one, of_one in zip(compared, p.tolist(), strict=True)
            if 2 * of_one >= SIGNIFICANT or diverges_oftener(self.leader, one)
        ]

    @property
    def best(self) -> bool:
        """Tell whether the chosen one is shown to be better than all others that were asked again."""
        return bool(self.others) and self.complete and not (self.thin or self.could_be_better or self.alike)
