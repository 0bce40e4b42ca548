"""The jobs that ask again: the first settings and the default, with seeds that no run has had."""

from nnexp.sweeps.fresh_seeds import jobs_to_confirm
from tests.analysis.made import ended, grid, results_of

RATES = ["0.1", "1", "10"]


def test_the_jobs_that_ask_again() -> None:
    many = results_of(grid(rate=[str(rate) for rate in range(9)]), [ended(0.1 * rate) for rate in range(9)])
    jobs = jobs_to_confirm(many, 2, 7)
    assert jobs[:4] == [["rate=0", "seed=8"], ["rate=0", "seed=9"], ["rate=1", "seed=8"], ["rate=1", "seed=9"]]
    assert jobs[10:] == [["seed=8"], ["seed=9"]]
    repeated = results_of(
        [["x=1", *job] for job in grid(dataset__split_seed=[3, 4], rate=RATES)], [ended(loss) for loss in [1, 2, 3] * 2]
    )
    assert jobs_to_confirm(repeated, 1, 0) == [
        ["x=1", "rate=0.1", "dataset.split_seed=5"],
        ["x=1", "rate=1", "dataset.split_seed=5"],
        ["x=1", "rate=10", "dataset.split_seed=5"],
        ["x=1", "dataset.split_seed=5"],
    ]
    folds = results_of(grid(dataset__fold=[0, 1], rate=["1", "10"]), [ended(loss) for loss in (1, 2, 1, 2)])
    assert jobs_to_confirm(folds, 1, 7) == [
        [*rate, "seed=8", "dataset.split_seed=8"] for rate in (["rate=1"], ["rate=10"], [])
    ], "there are no fresh folds"
    other = results_of(grid(trainer__epochs=[1, 2]), [ended(1), ended(2)])
    assert jobs_to_confirm(other, 1, 0) == [["trainer.epochs=1", "seed=1"], ["trainer.epochs=2", "seed=1"]]
    assert jobs_to_confirm(many, 0, 0) == []
    assert jobs_to_confirm(results_of(grid(rate=["1"]), [ended(1)]), 5, 0) == []
