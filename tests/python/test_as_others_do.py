"""What people do from Python with Optuna, hydra-zen, skorch, joblib and Keras: it works, or is one line."""

import asyncio
import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from joblib import Parallel, delayed
from omegaconf import OmegaConf
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import learning_curve

from nnexp import UserError, run, sweep
from nnexp.estimators import NetworkClassifier

pytestmark = pytest.mark.usefixtures("in_folder")
QUICK: dict[str, object] = {"tracking": "none", "verbose": False, "figures": False, "trainer.epochs": 3}


def loss_at(rate: float) -> float:
    return float(run({**QUICK, "optimizer.learning_rate": rate}).summary.final["test/loss"])


def test_an_objective_of_optuna_in_two_threads() -> None:
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(lambda trial: loss_at(trial.suggest_float("rate", 1e-3, 10, log=True)), n_trials=4, n_jobs=2)
    assert study.best_value == loss_at(study.best_params["rate"])


def test_a_config_of_omegaconf_is_a_mapping() -> None:
    config = OmegaConf.create({"optimizer": {"learning_rate": 0.25}, "architecture": {"hidden": [4, 2]}})
    result = run(config, trainer__epochs=3, tracking="none", verbose=False, figures=False)
    assert result.name.startswith("learning_rate=0.25 hidden=[4,2]")


def map_of_joblib(rates: list[float]) -> list[float]:
    return [*Parallel(n_jobs=2)(delayed(loss_at)(rate) for rate in rates)]


def map_of_processes(rates: list[float]) -> list[float]:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        return [*pool.map(loss_at, rates)]


def map_of_asyncio(rates: list[float]) -> list[float]:
    async def all_of_them() -> list[float]:
        return await asyncio.gather(*(asyncio.to_thread(loss_at, rate) for rate in rates))

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("mapped", [map_of_joblib, map_of_processes, map_of_asyncio])
def test_runs_side_by_side(mapped: Callable[[list[float]], list[float]]) -> None:
    rates = [0.1, 1.0]
    assert mapped(rates) == [loss_at(rate) for rate in rates]


def test_a_result_can_be_copied_and_sent() -> None:
    result = run(QUICK)
    for other in (copy.deepcopy(result), pickle.loads(pickle.dumps(result))):  # noqa: S301 - just made
        assert repr(other) == repr(result)
        assert (other.predict(np.zeros((2, 64))) == result.predict(np.zeros((2, 64)))).all()


def test_a_loop_over_settings_is_grouped_with_pandas() -> None:
    table = sweep({"optimizer.learning_rate": [0.1, 1.0], "seed": range(3), **QUICK}, confirm=0, figures=False).table
    means = table.groupby("optimizer.learning_rate")["final/test/loss"].mean()
    assert means.index.tolist() == [0.1, 1.0]


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_estimator_within_others() -> None:
    x, y = load_iris(return_X_y=True)
    network = NetworkClassifier((8,), epochs=10, random_state=0)
    vote = VotingClassifier([("network", network), ("line", LogisticRegression(max_iter=1000))], voting="soft").fit(
        x, y
    )
    assert vote.score(x, y) > 0.9
    assert BaggingClassifier(network, n_estimators=2, random_state=0).fit(x, y).score(x, y) > 0.8
    assert CalibratedClassifierCV(network, cv=2).fit(x, y).predict_proba(x).shape == (150, 3)
    _, train, _ = learning_curve(network, x, y, cv=2, train_sizes=[0.5, 1.0], shuffle=True, random_state=0)
    assert train.shape == (2, 2)
    assert permutation_importance(network.fit(x, y), x, y, n_repeats=2, random_state=0).importances_mean.max() > 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"learning_rate": 0.1}, "learning_rate: no such key, did you mean optimizer.learning_rate"),
        ({"epochs": 3}, "epochs: no such key, did you mean trainer.epochs"),
        ({"optimizer__lr": 0.1}, "optimizer.lr: no such key, did you mean optimizer.learning_rate"),
        ({"optimizer": "Adam"}, "optimizer=Adam: .*did you mean .*adam"),
        ({"architecture__hidden": (16, "a")}, "architecture.hidden"),
        ({"trainer__epochs": 2.5}, "trainer.epochs=2.5: must be a whole number"),
        ({"optimizer__learning_rate": [0.1, 1]}, "optimizer.learning_rate"),
        ({"callbacks": []}, "callbacks: no such key"),
    ],
)
def test_what_is_called_otherwise_elsewhere_is_one_line(given: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        run({key.replace("__", "."): value for key, value in given.items()})
    assert len(str(raised.value).splitlines()) == 1
