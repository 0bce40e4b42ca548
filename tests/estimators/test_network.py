"""The estimators pass scikit-learn's own checks, and work where people use estimators."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from nnexp import run
from nnexp.estimators import NetworkClassifier, NetworkRegressor
from nnexp.estimators.network import composed


@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [NetworkClassifier(epochs=60, random_state=0), NetworkRegressor(epochs=60, random_state=0)]
)
def test_scikit_learn_s_own_checks(estimator, check) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    check(estimator)


@pytest.fixture(scope="module")
def iris() -> tuple[np.ndarray, np.ndarray]:
    x, y = load_iris(return_X_y=True)
    return x, np.array(["setosa", "versicolor", "virginica"])[y]


def test_a_grid_search_finds_what_the_same_fits_find(iris: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = iris
    grid = {"network__learning_rate": [0.0001, 0.01], "network__hidden": [(4,), (16, 8)]}
    pipeline = Pipeline([("scale", StandardScaler()), ("network", NetworkClassifier(epochs=20, random_state=3))])
    search = GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(x, y)
    assert search.best_params_["network__learning_rate"] == 0.01
    assert search.best_score_ > 0.9
    best = clone(pipeline).set_params(**search.best_params_)
    assert cross_val_score(best, x, y, cv=3).mean() == search.best_score_
    assert {*search.predict(x[:3])} == {"setosa"}
    assert search.predict_proba(x).shape == (150, 3)


def test_the_network_is_the_one_that_a_run_trains(tmp_path: Path) -> None:
    estimator = NetworkClassifier(hidden=[8], epochs=5, batch_size=16, random_state=np.random.RandomState(0))
    seed = int(np.random.RandomState(0).randint(2**31))
    trained = run(
        {"dataset": "iris", "loss": "sparse_categorical_cross_entropy", "optimizer": "adam", "tracking": "none"},
        architecture__hidden=[8],
        architecture__activation="relu",
        initializer="he_normal",
        verbose=False,
        optimizer__learning_rate=0.01,
        trainer__epochs=5,
        trainer__batch_size=16,
        seed=seed,
        output_dir=tmp_path,
    ).trained
    raw = trained.data.scaling.undo(trained.data.train.x)
    fitted = estimator.fit(raw, trained.data.train.targets)
    for name, values in trained.parameters().items():
        np.testing.assert_allclose(fitted.network_.parameters()[name], values, rtol=1e-9, atol=1e-12)


def test_regressions_of_one_and_of_several_targets() -> None:
    x, y = load_diabetes(return_X_y=True)
    model = NetworkRegressor((8,), epochs=60, random_state=0, overrides=("trainer.regularization.l2=0.1",))
    assert cross_val_score(model, x, y, cv=3).mean() > 0.4
    both = np.column_stack([y, -3 * y])
    predicted = model.fit(x, both).predict(x)
    assert predicted.shape == both.shape
    assert model.score(x, both) > 0.4


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"activation": "rellu"}, "architecture.activation=rellu: must be one of .* did you mean relu"),
        ({"optimizer": "adamm"}, "optimizer=adamm"),
        ({"epochs": 0}, "trainer.epochs=0: must be a whole number of at least 1"),
        ({"learning_rate": -1.0}, "optimizer.learning_rate=-1.0: must be"),
        ({"optimizer": "sgd", "learning_rate": 1e300}, "learning_rate=1e[+]300: must be smaller"),
        ({"overrides": ("trainer.early_stopping={patience: 1}",)}, "early_stopping.* has no effect here"),
        ({"overrides": ("dataset=iris",)}, "dataset=iris has no effect here"),
        ({"overrides": ("architecture.hiden=[3]",)}, "architecture.hiden: no such key"),
    ],
)
def test_wrong_parameters_are_one_line(
    parameters: dict[str, object], message: str, iris: tuple[np.ndarray, np.ndarray]
) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        NetworkClassifier(epochs=3).set_params(**parameters).fit(*iris)
    assert len(str(raised.value).splitlines()) == 1


def test_all_examples_can_be_one_batch_and_composed_configs_are_not_kept_for_every_seed(
    iris: tuple[np.ndarray, np.ndarray],
) -> None:
    before = composed.cache_info().currsize
    for seed in range(5):
        NetworkClassifier(batch_size="full", epochs=2, random_state=seed).fit(*iris)
    assert composed.cache_info().currsize <= before + 1
