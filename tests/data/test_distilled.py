from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from nnexp.core.component import Array
from nnexp.core.errors import UserError
from nnexp.core.task import Task
from nnexp.data.bundled import Diabetes, Iris, Wine
from nnexp.data.dataset import Dataset
from nnexp.data.distilled import Distilled, softened
from nnexp.data.groups import Pairs

SOURCE = Wine(validation_size=0.2)
WINE = Distilled(source=SOURCE, trees=60)


@pytest.mark.parametrize("temperature", [0.1, 1.0, 5.0])
def test_targets_are_distributions(temperature: float) -> None:
    data = replace(WINE, temperature=temperature).load()
    assert data.task == Task(SOURCE.load().task.classes, "distribution")
    for part in (data.train, *data.parts().values()):
        assert part.targets.shape == (len(part), 3)
        assert (part.targets >= 0).all()
        np.testing.assert_allclose(part.targets.sum(axis=1), 1)


def test_the_other_parts_are_certain_and_true() -> None:
    data, source = WINE.load(), SOURCE.load()
    for name, part in data.parts().items():
        np.testing.assert_array_equal(part.targets, np.eye(3)[source.parts()[name].targets])
        np.testing.assert_array_equal(part.x, source.parts()[name].x)
    np.testing.assert_array_equal(data.train.x, source.train.x)


def test_the_teacher_has_not_seen_what_it_judges() -> None:
    source = SOURCE.load()
    forest = RandomForestClassifier(60, random_state=0, oob_score=True).fit(source.train.x, source.train.targets)
    taught = WINE.load().train.targets
    np.testing.assert_allclose(taught, forest.oob_decision_function_, rtol=1e-12)
    assert np.abs(taught - forest.predict_proba(source.train.x)).max() > 0.1


def test_an_example_that_every_tree_has_seen_keeps_its_label() -> None:
    source = SOURCE.load()
    taught = replace(WINE, trees=1).load().train.targets
    seen = RandomForestClassifier(1, random_state=0).fit(source.train.x, source.train.targets).estimators_samples_[0]
    np.testing.assert_array_equal(taught[seen], np.eye(3)[source.train.targets[seen]])
    assert (taught.argmax(axis=1) != source.train.targets).any()


def shares() -> Array:
    return np.random.default_rng(0).dirichlet(np.ones(4), 50)


def test_temperature_one_changes_nothing() -> None:
    np.testing.assert_allclose(softened(shares(), 1.0), shares(), rtol=1e-12)


@pytest.mark.parametrize("temperature", [1e-300, 1e-4])
def test_the_cold_teacher_names_its_favourite(temperature: float) -> None:
    np.testing.assert_array_equal(softened(shares(), temperature).round(12), np.eye(4)[shares().argmax(axis=1)])


def test_the_hot_teacher_makes_no_difference_but_of_the_impossible() -> None:
    np.testing.assert_allclose(softened(shares(), 1e9), 0.25, rtol=1e-6)
    np.testing.assert_allclose(softened(np.array([[0.9, 0.1, 0.0]]), 1e9), [[0.5, 0.5, 0]], rtol=1e-6)


def test_the_largest_probability_falls_with_the_temperature() -> None:
    largest = [softened(shares(), temperature).max(axis=1) for temperature in (0.2, 0.5, 1.0, 2.0, 10.0)]
    assert (np.diff(largest, axis=0) < 0).all()


def test_the_student_gets_some_examples_of_a_teacher_that_had_all() -> None:
    few, data = replace(WINE, student_examples=10).load(), WINE.load()
    taught = {x.tobytes(): targets for x, targets in zip(data.train.x, data.train.targets, strict=True)}
    assert len({x.tobytes() for x in few.train.x}) == len(few.train) == 10
    for x, targets in zip(few.train.x, few.train.targets, strict=True):
        np.testing.assert_array_equal(targets, taught[x.tobytes()])
    assert len(few.test) == len(data.test)


def test_another_seed_is_another_teacher() -> None:
    assert (WINE.load().train.targets != replace(WINE, seed=1).load().train.targets).any()


REFUSED: list[tuple[Distilled, str]] = [
    (Distilled(source=Diabetes(name="sugar")), "dataset.source=sugar: must be a classification, and has numbers"),
    (Distilled(source=Pairs(name="pairs")), "dataset.source=pairs: must be a classification, and has pairs"),
    (Distilled(source=Iris(), student_examples=121), "dataset.student_examples=121: must be at most 120"),
]


@pytest.mark.parametrize(("dataset", "sentence"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_cannot_be_taught_is_refused(dataset: Dataset, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        dataset.load()
