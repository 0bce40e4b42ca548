import numpy as np

from nnexp.data.sine import Sine


def test_the_wave_of_the_tutorial() -> None:
    data = Sine().load()
    x = np.linspace(-2 * np.pi, 2 * np.pi, 500)
    np.testing.assert_allclose(data.train.x[:, 0], (x - x.mean()) / x.std(), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(data.train.targets[:, 0], (np.sin(x) + 1) / 2, rtol=1e-12, atol=1e-15)


def test_the_test_part_lies_halfway() -> None:
    data = Sine(points=50, periods=1.5, noise=0.2).load()
    train, test = data.train.x[:, 0], data.test.x[:, 0]
    np.testing.assert_allclose(test, (train[1:] + train[:-1]) / 2, atol=1e-12)
    raw = data.scaling.undo(data.test.x)
    np.testing.assert_allclose(data.test.targets, (np.sin(raw) + 1) / 2, atol=1e-12)


def test_noise_is_added_to_the_training_part_alone() -> None:
    noisy, clean = Sine(points=5000, noise=0.1).load(), Sine(points=5000).load()
    np.testing.assert_allclose((noisy.train.targets - clean.train.targets).std(), 0.1, rtol=0.05)
    np.testing.assert_array_equal(noisy.test.targets, clean.test.targets)
    assert (Sine(noise=0.1, seed=1).load().train.targets != Sine(noise=0.1).load().train.targets).all()
