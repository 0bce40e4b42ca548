import numpy as np
import pytest

from nnexp.nn.losses import SparseCategoricalCrossEntropy
from nnexp.training.batches import Examples, Shuffler, Streams
from tests.conftest import make_data


@pytest.mark.parametrize("seeds", [[1, 1], [1, 2, 1]])
def test_every_epoch_shows_every_example_once_in_a_new_order(seeds: list[int]) -> None:
    shuffler = Shuffler(seeds, 50)
    first, second = shuffler.order(), shuffler.order()
    for order in (first, second):
        np.testing.assert_array_equal(np.sort(order, axis=-1), np.broadcast_to(np.arange(50), order.shape))
    assert (first != second).any()


def test_runs_of_one_seed_share_their_order() -> None:
    assert Shuffler([4, 4, 4], 20).order().shape == (20,)
    orders = Shuffler([4, 5, 4], 20).order()
    np.testing.assert_array_equal(orders[0], orders[2])
    np.testing.assert_array_equal(orders[1], Shuffler([5], 20).order())


def test_leaving_runs_do_not_shift_the_orders_of_the_others() -> None:
    shuffler, alone = Shuffler([4, 5], 20), Shuffler([5], 20)
    shuffler.order(), alone.order()
    shuffler.keep(np.array([1]))
    np.testing.assert_array_equal(shuffler.order(), alone.order())


def test_batches_cut_the_order_and_the_last_one_is_smaller() -> None:
    data = make_data(10, 3, 2)
    examples = Examples.of(data.train, data.task, SparseCategoricalCrossEntropy(), "float32")
    order = np.random.default_rng(0).permutation(10)
    batches = list(examples.batches(order, 4))
    assert [len(x) for x, _ in batches] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), examples.x[order])
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), examples.targets(order)[0])


def test_streams_of_a_run_differ_from_each_other() -> None:
    streams = Streams.of(0)
    draws = {stream.random() for stream in (streams.init, streams.batches, streams.dropout, streams.data)}
    assert len(draws) == 4
