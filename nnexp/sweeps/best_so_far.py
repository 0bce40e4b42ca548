"""The best run so far, for the bar of a sweep."""

from collections.abc import Sequence

from nnexp.analysis.results import REPEATS, SweepRun, SweptKey, short
from nnexp.report.rows import number
from nnexp.training.history import chosen_by
from nnexp.training.readings import Reading

NOT_COMPARED = ("loss", "dataset")
"""What runs have to share so that one is better than another."""


class BestSoFar:
    """Remembers the best run.

    Args:
        wanted: The path of the reading that ranks; None for the loss.
        keys: The keys that the sweep varies.
    """

    def __init__(self, wanted: str | None, keys: Sequence[SweptKey]) -> None:
        self._wanted = wanted
        varied = {one.key.split(".")[0] for one in keys if one.key not in REPEATS}
        self._comparable = varied.isdisjoint(NOT_COMPARED)
        self._score: float | None = None
        self._told = ""

    def told(self, run: SweepRun) -> str:
        """Return the best reading and whose it is, one more run counted; nothing where runs cannot be compared."""
        if not self._comparable or run.summary is None or not run.summary.final:
            return self._told
        path = self._wanted or chosen_by(run.summary.final)
        value, reading = run.reading(path), Reading.of(path)
        if value is not None:
            score = value if reading.lower_is_better else -value
            if self._score is None or score < self._score:
                self._score, self._told = score, f"best {number(value)} {reading.name} {short(run.name)}"
        return self._told
