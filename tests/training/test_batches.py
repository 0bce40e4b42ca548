from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest

from nnexp.core.task import Task
from nnexp.data.dataset import Part
from nnexp.nn.losses import SparseCategoricalCrossEntropy, Triplet
from nnexp.training.batches import STREAMS, BatchBuffers, DropoutNoise, Examples, Rows, RunStreams, Sampler, stream
from nnexp.training.trainer import Trainer
from tests.conftest import make_data


def epoch(sampler: Sampler, examples: int, batch_size: int) -> npt.NDArray[np.intp]:
    rows = sampler.batches(-(-examples // batch_size))
    return np.concatenate([np.arange(examples)[row] if isinstance(row, slice) else row for row in rows], axis=-1)


@pytest.mark.parametrize("seeds", [[1, 1], [1, 2, 1]])
@pytest.mark.parametrize("batch_size", [1, 7, 10])
def test_every_epoch_shows_every_example_once_in_a_new_order(seeds: list[int], batch_size: int) -> None:
    sampler = Sampler(seeds, 50, Trainer(batch_size=batch_size))
    first, second = epoch(sampler, 50, batch_size), epoch(sampler, 50, batch_size)
    for order in (first, second):
        np.testing.assert_array_equal(np.sort(order, axis=-1), np.broadcast_to(np.arange(50), order.shape))
    assert (first != second).any()


@pytest.mark.parametrize(("batch_size", "sampling"), [("full", "shuffled"), ("full", "order"), (7, "order")])
def test_examples_in_their_order(batch_size: Literal["full"] | int, sampling: Literal["shuffled", "order"]) -> None:
    sampler = Sampler([3, 4], 50, Trainer(batch_size=batch_size, sampling=sampling))
    np.testing.assert_array_equal(epoch(sampler, 50, 50 if batch_size == "full" else batch_size), np.arange(50))


def test_drawing_with_replacement_repeats_some_and_leaves_out_others() -> None:
    order = epoch(Sampler([1], 200, Trainer(batch_size=1, sampling="replacement")), 200, 1)
    assert 100 < len(set(order.tolist())) < 150, "about 1 - 1/e of the examples"


def test_iterations_go_on_where_the_last_ones_ended() -> None:
    one, other = (Sampler([5], 10, Trainer(batch_size=3)) for _ in range(2))
    pieces = [row for count in (2, 5, 1) for row in one.batches(count)]
    for piece, whole in zip(pieces, other.batches(8), strict=True):
        np.testing.assert_array_equal(piece, whole)


def test_runs_of_one_seed_share_their_draws() -> None:
    assert RunStreams([4, 4, 4], "dropout").uniform((5,)).shape == (5,)
    draws = RunStreams([4, 5, 4], "dropout").uniform((5,))
    np.testing.assert_array_equal(draws[0], draws[2])
    np.testing.assert_array_equal(draws[1], RunStreams([5], "dropout").uniform((5,)))


def test_leaving_runs_do_not_shift_the_orders_of_the_others() -> None:
    sampler, alone = (Sampler(seeds, 20, Trainer(batch_size=6)) for seeds in ([4, 5], [5]))
    sampler.batches(2), alone.batches(2)
    sampler.keep(np.array([1]))

    def flat(rows: list[Rows]) -> list[int]:
        return [int(number) for row in rows if not isinstance(row, slice) for number in row.ravel()]

    left = sampler.batches(6)
    assert flat(left) == flat(alone.batches(6))
    assert all(not isinstance(rows, slice) and rows.ndim == 1 for rows in left), (
        "what was drawn for two runs is now one order"
    )


def test_batches_are_parts_of_the_examples() -> None:
    data = make_data(10, 3, 2)
    part = Part(data.train.x, data.train.targets, np.arange(10.0))
    examples = Examples.of(part, data.task, SparseCategoricalCrossEntropy(), "float32")
    order = np.random.default_rng(0).permutation(10)
    portions = BatchBuffers(examples)
    for rows in (order[:4], order[4:8], np.stack([order[:4], order[4:8]]), slice(2, 5), slice(0, 10)):
        for batch in (examples.take(rows), portions.batch(rows)):
            np.testing.assert_array_equal(batch.x, examples.x[rows])
            np.testing.assert_array_equal(batch.y, examples.y[rows])
            np.testing.assert_array_equal(batch.weights, np.arange(10.0)[rows])
        np.testing.assert_array_equal(examples.take(rows).targets, part.targets[rows])
    assert portions.batch(order[:4]) is portions.batch(order[4:8]), "one object for all batches of a shape"
    for batches in ([order[:4], order[4:]], [slice(0, 4), slice(4, 10)], [slice(4, 10), slice(0, 4)], [slice(2, 5)]):
        answers, rows = portions.targets(batches), np.concatenate([np.arange(10)[rows] for rows in batches])
        np.testing.assert_array_equal(answers.y, examples.y[rows])
        np.testing.assert_array_equal(answers.targets, part.targets[rows])
        np.testing.assert_array_equal(answers.weights, np.arange(10.0)[rows])


def test_the_noise_of_a_step_is_drawn_before_it() -> None:
    noise, streams = DropoutNoise(RunStreams([1, 2], "dropout")), RunStreams([1, 2], "dropout")
    first, second = noise.uniform((3,)).copy(), noise.uniform((2,)).copy()
    np.testing.assert_array_equal(first, streams.uniform((3,)))
    np.testing.assert_array_equal(second, streams.uniform((2,)))
    noise.renew()
    noise.rewind()
    np.testing.assert_array_equal(noise.uniform((3,)), streams.uniform((3,)))
    np.testing.assert_array_equal(noise.uniform((2,)), streams.uniform((2,)))


def test_the_views_of_an_example_are_rows_in_succession() -> None:
    x = np.random.default_rng(0).standard_normal((4, 3, 2))
    examples = Examples.of(Part(x, np.zeros(4)), Task(kind="triplets"), Triplet(), "float64")
    np.testing.assert_array_equal(examples.rows(), x.reshape(12, 2))
    assert examples.take(np.array([[0, 1], [2, 3]])).rows().shape == (2, 6, 2)


def test_streams_of_a_run_differ_from_each_other() -> None:
    assert len({stream(0, name).random() for name in STREAMS}) == len(STREAMS)
