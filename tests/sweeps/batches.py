"""Runs of a test as a batch of a sweep, each of them a group of its own."""

from array import array
from collections.abc import Sequence

from nnexp.runs.prepare import Ready
from nnexp.sweeps.batch import Batch
from nnexp.sweeps.configs import Group
from nnexp.sweeps.stacks import Places


def stacks_of(runs: Sequence[Ready], stack_bytes: int, workers: int) -> list[Places]:
    """Return runs as a sweep stacks them."""
    groups = [Group(run.experiment, {}, array("q", [place])) for place, run in enumerate(runs)]
    batch = Batch([[*run.overrides] for run in runs], groups, firsts=runs, shortened=list)
    return batch.stacks(range(len(runs)), stack_bytes, workers)
