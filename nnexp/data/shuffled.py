"""Random parts and orders, drawn as scikit-learn draws them: it takes a second to import, longer than most trainings.

NumPy's legacy generator never changes, so neither do the parts.
"""

import numpy as np
import numpy.typing as npt

from nnexp.core.component import Array, Labels

Counts = npt.NDArray[np.intp]


def divided(count: int, kept: int, seed: int, labels: npt.ArrayLike | None = None) -> tuple[Labels, Labels]:
    """Return the numbers of rows in two random groups, the others and so many that are kept, as `train_test_split`.

    Args:
        count, kept: The number of all rows, and of those that are kept.
        seed: Of what is random.
        labels: The class of each row, of which both groups then have about the same shares.
    """
    generator = np.random.RandomState(seed)
    if labels is None:
        rows = generator.permutation(count)
        return rows[kept:], rows[:kept]
    _, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    others = _shares(counts, count - kept, generator)
    chosen = _shares(counts - others, kept, generator)
    groups: tuple[list[Labels], list[Labels]] = [], []
    ends = np.cumsum(counts)[:-1]
    for rows, first, second in zip(np.split(np.argsort(place, kind="stable"), ends), others, chosen, strict=True):
        mixed = rows[generator.permutation(len(rows))]
        groups[0].append(mixed[:first])
        groups[1].append(mixed[first : first + second])
    rest, test = (generator.permutation(np.concatenate(group)) for group in groups)
    return rest, test


def _shares(counts: Counts, wanted: int, generator: np.random.RandomState) -> Counts:
    """Return how many rows of each class make so many in all; the remainders decide, and chance between equal ones."""
    exact = counts / counts.sum() * wanted
    shares: Array = np.floor(exact)
    left, remainders = int(wanted - shares.sum()), exact - shares
    for remainder in np.unique(remainders)[::-1] if left else ():
        (equal,) = np.where(remainders == remainder)
        chosen = generator.choice(equal, size=min(len(equal), left), replace=False)
        shares[chosen] += 1
        left -= len(chosen)
        if not left:
            break
    whole: Counts = shares.astype(np.intp)
    return whole
