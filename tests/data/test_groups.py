from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from nnexp.core.component import Array, Labels
from nnexp.core.errors import UserError
from nnexp.core.task import Task
from nnexp.data.bundled import Diabetes
from nnexp.data.dataset import Dataset, Part, Table
from nnexp.data.digits import Digits
from nnexp.data.groups import Groups, Pairs, Partners, Triplets
from nnexp.data.plane import Spiral
from tests.data.test_dataset import Given, make_table

SOURCE = Given(table=make_table(200, 4, features=2), validation_size=0.2)
KINDS: list[Groups] = [Pairs(source=SOURCE, count=500), Pairs(source=SOURCE, same=0.0), Triplets(source=SOURCE)]
every_kind = pytest.mark.parametrize("dataset", KINDS, ids=lambda kind: f"{type(kind).__name__}-{kind.count}")
some_labels = st.lists(st.integers(0, 4), min_size=2, max_size=30).map(np.array)


def members(groups: Part, examples: Part) -> Labels:
    """Return which example each member of each group is; an unknown one fails."""
    row_of = {x.tobytes(): row for row, x in enumerate(examples.x)}
    assert len(row_of) == len(examples)
    return np.array([[row_of[x.tobytes()] for x in group] for group in groups.x])


@every_kind
def test_every_group_comes_from_its_own_part(dataset: Groups) -> None:
    data = dataset.load()
    assert data.labelled is not None
    outside = {x.tobytes() for part in data.labelled.parts().values() for x in part.x}
    for name, part in data.parts().items():
        members(part, data.labelled.parts()[name])
    members(data.train, data.labelled.train)
    assert not outside & {x.tobytes() for x in data.train.x.reshape(-1, 2)}


@every_kind
def test_the_other_parts_have_groups_in_proportion(dataset: Groups) -> None:
    data = dataset.load()
    assert data.labelled is not None
    assert len(data.train) == dataset.count
    for name, part in data.parts().items():
        share = len(data.labelled.parts()[name]) / len(data.labelled.train)
        assert abs(len(part) - share * dataset.count) <= 0.5


@pytest.mark.parametrize("dataset", KINDS[:2], ids=["half", "none"])
def test_the_target_of_a_pair_is_whether_its_labels_agree(dataset: Pairs) -> None:
    data = dataset.load()
    assert data.labelled is not None
    for part, examples in ((data.train, data.labelled.train), (data.test, data.labelled.test)):
        pairs = members(part, examples)
        one, other = examples.targets[pairs].T
        np.testing.assert_array_equal(part.targets, one == other)
        assert (pairs[:, 0] != pairs[:, 1]).all()


@pytest.mark.parametrize("same", [0.0, 0.2, 0.9])
def test_pairs_of_one_class_have_their_probability(same: float) -> None:
    pairs = Pairs(source=SOURCE, count=20_000, same=same).load().train
    assert abs(pairs.targets.mean() - same) < 0.01


def test_triplets_are_an_anchor_one_of_its_class_and_one_of_another() -> None:
    data = Triplets(source=SOURCE).load()
    assert data.labelled is not None
    for part, examples in ((data.train, data.labelled.train), (data.test, data.labelled.test)):
        triplets = members(part, examples)
        anchor, near, far = examples.targets[triplets].T
        assert (anchor == near).all()
        assert (anchor != far).all()
        assert (triplets[:, 0] != triplets[:, 1]).all()


@pytest.mark.parametrize("dataset", [Pairs(count=50), Triplets(count=50)], ids=["pairs", "triplets"])
def test_a_seed_draws_the_same_groups_again(dataset: Groups) -> None:
    one, again, other = dataset.load(), dataset.load(), replace(dataset, seed=1).load()
    assert one.train.x.tobytes() == again.train.x.tobytes()
    assert one.train.x.tobytes() != other.train.x.tobytes()


def test_groups_keep_what_their_source_says_of_its_features() -> None:
    data = Pairs(source=Digits(classes=(1, 7)), count=50).load()
    assert (data.image_shape, data.task) == ((8, 8), Task(("1", "7"), "pairs"))
    assert data.train.x.shape == (50, 2, 64)
    assert Triplets(source=Spiral(), count=50).load().features == ("x", "y")


@given(labels=some_labels, seed=st.integers(0, 1000))
def test_partners_are_of_the_class_that_was_asked_for(labels: Labels, seed: int) -> None:
    generator, partners = np.random.default_rng(seed), Partners(labels)
    anchors = partners.anchors.repeat(5)
    near = partners.same_class(generator, anchors)
    np.testing.assert_array_equal(labels[near], labels[anchors])
    assert (near != anchors).all()
    if len(np.unique(labels)) > 1:
        rows = np.arange(len(labels)).repeat(5)
        assert (labels[partners.other_class(generator, rows)] != labels[rows]).all()


@given(labels=some_labels)
def test_an_example_alone_in_its_class_is_never_an_anchor(labels: Labels) -> None:
    expected = [row for row, label in enumerate(labels) if (labels == label).sum() > 1]
    assert Partners(labels).anchors.tolist() == expected


def test_every_partner_is_as_likely() -> None:
    generator, labels = np.random.default_rng(0), np.array([0, 1, 2, 1, 0, 1, 1, 2, 1, 0, 2])
    partners = Partners(labels)
    for row in range(len(labels)):
        rows = np.full(20_000, row)
        same = np.flatnonzero((labels == labels[row]) & (np.arange(len(labels)) != row))
        for drawn, allowed in (
            (partners.same_class(generator, rows), same),
            (partners.other_class(generator, rows), np.flatnonzero(labels != labels[row])),
        ):
            counts = np.bincount(drawn, minlength=len(labels))
            assert counts[allowed].sum() == len(rows)
            assert chisquare(counts[allowed]).pvalue > 1e-4


def fixed(labels: list[int], classes: str) -> Given:
    x: Array = np.arange(2.0 * len(labels)).reshape(-1, 2)
    return Given(table=Table(x, np.array(labels), Task(tuple(classes))), stratify=False, test_size=0.5)


REFUSED: list[tuple[Dataset, str]] = [
    (Diabetes(name="diabetes"), "dataset.source=diabetes: must be a classification, and has numbers as targets"),
    (Pairs(name="pairs"), "dataset.source=pairs: must be a classification, and has pairs"),
    (fixed([0] * 8, "a"), "must have two classes and two examples of one in its training part"),
    (fixed([0, 1], "ab"), "must have two classes and two examples of one in its training part"),
    (Given(table=make_table(20, 2), test_size=0.1), "must have two classes and two examples of one in its test part"),
]


@pytest.mark.parametrize("kind", [Pairs, Triplets])
@pytest.mark.parametrize(("source", "sentence"), REFUSED, ids=lambda value: str(value)[:30])
def test_sources_without_groups_are_refused(kind: type[Groups], source: Dataset, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        kind(source=source).load()
