"""nnexp: one run as a stack of one; a sweep as stacks on all cores, as `-m` trains them."""

from collections.abc import Callable

from nnexp.core.processes import Failure
from nnexp.runs.prepare import Ready, prepare
from nnexp.sweeps.train import train_stacks
from nnexp.sweeps.workers import Pool, Workers
from nnexp.tracking.tracker import DatasetFacts
from nnexp.training.loop import train
from tests.programs.benchmarks.work import Setting, Work
from tests.sweeps.batches import stacks_of


def ready(work: Work, setting: Setting) -> Ready:
    """Return a run as the command line has it before it trains."""
    data = work.data
    return prepare(work.experiment(setting), name=repr(setting), loaded=(data, DatasetFacts(data.name, "", "", {})))


def alone(work: Work, setting: Setting) -> Callable[[], float]:
    """Return a call that trains one run and returns its test loss."""
    run, trainer, dtype = ready(work, setting), work.base.trainer, work.base.dtype

    def call() -> float:
        (outcome,) = train([run.recipe], run.data, trainer, dtype)
        return float(outcome.history.metrics["test/loss"][-1])

    return call


def sweep(work: Work, pool: Pool) -> Callable[[], float]:
    """Return a call that trains all runs of the sweep and returns the test loss of the first."""
    runs = [ready(work, setting) for setting in work.settings]
    stacks = stacks_of(runs, Workers().stack_bytes, pool.count)

    def call() -> float:
        results = dict(train_stacks(runs, stacks, pool))
        first = results[0]
        assert not isinstance(first, Failure), first
        assert len(results) == len(runs)
        return float(first[0].history.metrics["test/loss"][-1])

    return call
