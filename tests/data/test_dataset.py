import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split
from sklearn.preprocessing import StandardScaler

from nnexp.core.component import Array, InvalidFieldError, Labels
from nnexp.core.errors import UserError
from nnexp.core.task import Task
from nnexp.data.bundled import BreastCancer, Diabetes, Iris, Wine
from nnexp.data.csv import Csv, Heart
from nnexp.data.dataset import ROWS_AT_A_TIME, Collection, Data, Part, Scaling, Table, TableDataset, fit_scaling, noisy
from nnexp.data.digits import Digits
from nnexp.data.mnist1d import MNIST1D
from nnexp.data.noise import Noise
from nnexp.data.plane import Circles, Moons, Spiral, Xor
from nnexp.data.sine import Sine
from nnexp.data.synthetic import Modular, Polynomial, RandomLabels, Teacher
from tests.conftest import Typed, needs, tries

CLASSIFICATIONS: list[TableDataset] = [
    Digits(),
    Digits(classes=(3, 8)),
    Iris(),
    Wine(),
    BreastCancer(),
    Moons(),
    Circles(),
    Xor(),
    Spiral(),
    MNIST1D(examples=400),
    Heart(),
    Modular(stratify=True, standardize=True),
    RandomLabels(),
]
REGRESSIONS: list[TableDataset] = [
    Diabetes(),
    Sine(),
    Sine(noise=0.1),
    Teacher(standardize=True),
    Polynomial(noise=0.1),
    Noise(standardize=True),
]
"""Every table, by kind; a new one adds an entry."""


def every(datasets: Sequence[TableDataset]) -> pytest.MarkDecorator:
    missing = needs("mnist1d")
    entries = [pytest.param(one, marks=missing) if isinstance(one, MNIST1D) else one for one in datasets]
    return pytest.mark.parametrize("dataset", entries, ids=repr)


every_table = every(CLASSIFICATIONS + REGRESSIONS)
every_classification = every(CLASSIFICATIONS)
every_regression = every(REGRESSIONS)
every_collection = every([one for one in CLASSIFICATIONS + REGRESSIONS if isinstance(one, Collection)])


@dataclass(frozen=True)
class Given(Collection):
    """A table made in a test."""

    table: Table = field(default_factory=lambda: make_table(20, 2))

    def examples(self) -> Table:
        return self.table


def make_table(examples: int, classes: int, seed: int = 0, features: int = 3) -> Table:
    """Return random examples; no class at all means a regression."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((examples, features))
    if not classes:
        return Table(x, generator.standard_normal((examples, 1)), Task(kind="regression"))
    return Table(x, generator.permutation(np.arange(examples) % classes), Task(tuple("abcdefgh"[:classes])))


def rows_of(dataset: Given) -> tuple[Labels, Labels, Labels]:
    """Return which rows of the table are for training, for validation and for testing."""
    numbered = replace(dataset.table, x=np.arange(float(len(dataset.table)))[:, None])
    data = replace(dataset, table=numbered, standardize=False).load()
    parts = (data.train, data.validation, data.test)
    train, validation, test = (np.zeros(0, int) if part is None else part.x[:, 0].astype(int) for part in parts)
    return train, validation, test


def plain(count: float) -> bool:
    """Tell whether a count is not just above a whole number, which is rounded down here and up by scikit-learn."""
    return bool(np.ceil(count) == np.ceil(round(count, 9)))


def counted(*parts: Part | None) -> Counter[bytes]:
    """Return how often each example occurs."""
    return Counter(
        row.tobytes() + np.asarray(target, float).tobytes()
        for part in parts
        if part is not None
        for row, target in zip(part.x, part.targets, strict=True)
    )


def assert_same_bits(one: Data, other: Data) -> None:
    assert one.train.x.tobytes() == other.train.x.tobytes()
    assert one.train.targets.tobytes() == other.train.targets.tobytes()
    assert one.scaling.offset.tobytes() == other.scaling.offset.tobytes()
    assert one.scaling.factor.tobytes() == other.scaling.factor.tobytes()


@every_table
def test_loading_twice_gives_the_same_bits(dataset: TableDataset) -> None:
    one, other = dataset.load(), dataset.load()
    assert_same_bits(one, other)
    assert one.test.x.tobytes() == other.test.x.tobytes()
    assert one.test.targets.tobytes() == other.test.targets.tobytes()


@every_table
def test_features_of_the_training_part_are_standardised(dataset: TableDataset) -> None:
    x = replace(dataset, validation_size=0.1).load().train.x
    spread = x.std(axis=0)
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(spread[spread > 0], 1)
    assert (spread > 0).mean() > 0.5


@every_table
def test_features_stay_as_they_are_where_that_is_asked(dataset: TableDataset) -> None:
    scaled, raw = dataset.load(), replace(dataset, standardize=False).load()
    np.testing.assert_array_equal(raw.scaling.offset, 0)
    np.testing.assert_array_equal(raw.scaling.factor, 1)
    for one, other in ((scaled.train, raw.train), (scaled.test, raw.test)):
        np.testing.assert_allclose(scaled.scaling.undo(one.x), other.x, rtol=1e-12, atol=1e-12)


@every_table
def test_tables_are_what_their_task_says(dataset: TableDataset) -> None:
    data = replace(dataset, validation_size=0.1).load()
    for part in (data.train, *data.parts().values()):
        assert len(part.x) == len(part.targets) > 0
        assert part.x.dtype == np.float64
        assert np.isfinite(part.x).all()
        if data.task.kind == "classification":
            np.testing.assert_array_equal(np.unique(part.targets), np.arange(len(data.task.classes)))
        else:
            assert part.targets.shape == (len(part), len(data.task.columns))
    assert len(data.features) in {0, data.train.x.shape[1]}


@given(
    examples=st.integers(20, 60),
    classes=st.sampled_from([0, 2, 3]),
    validation=st.sampled_from([0.0, 0.2, 0.35]),
    stratify=st.booleans(),
    subsample=st.sampled_from([1.0, 0.6]),
    seed=st.integers(0, 1000),
)
@tries(60)
def test_no_test_or_validation_row_influences_the_training_part(
    *, examples: int, classes: int, validation: float, stratify: bool, subsample: float, seed: int
) -> None:
    table = make_table(examples, classes, seed)
    dataset = Given(
        table=table,
        validation_size=validation,
        stratify=stratify,
        subsample=subsample,
        split_seed=seed,
        standardize_targets=table.task.kind == "regression",
    )
    train, *_ = rows_of(dataset)
    outside = np.setdiff1d(np.arange(examples), train)
    x, targets = table.x.copy(), table.targets.copy()
    x[outside] = 1e6 * x[outside] - 1e9
    if table.task.kind == "regression":
        targets[outside] = 1e6 * targets[outside] - 1e9
    one, other = dataset.load(), replace(dataset, table=replace(table, x=x, targets=targets)).load()
    assert_same_bits(one, other)
    assert one.target_scaling is None or one.target_scaling.offset == fit_scaling(table.targets[train]).offset
    assert (one.test.x != other.test.x).all()


@pytest.mark.parametrize("missing", ["mean", "median", "most_frequent"])
@pytest.mark.parametrize("seed", range(3))
def test_no_test_or_validation_row_influences_what_is_filled_in(tmp_path: Path, missing: Any, seed: int) -> None:  # noqa: ANN401
    generator = np.random.default_rng(seed)
    table = make_table(60, 2, seed)
    holes = generator.random(table.x.shape) < 0.3
    dataset = Given(table=table, validation_size=0.2)
    train, *others = rows_of(dataset)
    outside = np.concatenate(others)

    def load(x: Array) -> Data:
        frame = pd.DataFrame(x).round(1).assign(label=table.targets)
        frame.to_csv(tmp_path / "table.csv", index=False)
        return Csv(path=str(tmp_path / "table.csv"), missing=missing, validation_size=0.2).load()

    x = np.where(holes, np.nan, table.x)
    changed = x.copy()
    changed[outside] = np.where(generator.random(changed[outside].shape) < 0.5, np.nan, 1e6)
    one, other = load(x), load(changed)
    assert np.isnan(x[train]).any()
    assert_same_bits(one, other)
    assert one.test.x.tobytes() != other.test.x.tobytes()


@every_classification
def test_stratified_parts_keep_the_share_of_each_class(dataset: TableDataset) -> None:
    data = replace(dataset, validation_size=0.2).load()
    assert data.validation is not None
    counts = {
        name: np.bincount(part.targets.astype(int))
        for name, part in {"train": data.train, **data.parts()}.items()
        if name != "test" or isinstance(dataset, Collection)
    }
    total = np.sum(list(counts.values()), axis=0)
    for count in counts.values():
        assert (np.abs(count - total * count.sum() / total.sum()) < 2).all()


@every_collection
def test_without_stratification_the_split_is_another(dataset: Collection) -> None:
    anyhow = replace(dataset, stratify=False)
    one, other = counted(dataset.load().test), counted(anyhow.load().test)
    assert (one == other) == (dataset.examples().task.kind == "regression")


@every_table
def test_the_parts_share_no_example_and_leave_none_out(dataset: TableDataset) -> None:
    raw = replace(dataset, standardize=False)
    whole, data = raw.load(), replace(raw, validation_size=0.2).load()
    assert data.validation is not None
    assert counted(data.train, data.validation) == counted(whole.train)
    assert counted(data.test) == counted(whole.test)
    # The share is of all examples, or where the test part comes apart from them, of all others.
    of = len(whole.train) + (len(whole.test) if isinstance(dataset, Collection) else 0)
    assert abs(len(data.validation) - 0.2 * of) < 1


@every_table
def test_a_subsample_leaves_the_other_parts_whole(dataset: TableDataset) -> None:
    raw = replace(dataset, standardize=False, validation_size=0.1)
    whole, data = raw.load(), replace(raw, subsample=0.5).load()
    assert len(data.train) == len(whole.train) // 2
    assert counted(data.train) <= counted(whole.train)
    for name, part in data.parts().items():
        assert counted(part) == counted(whole.parts()[name])
    if data.task.kind == "classification":
        count, of = (np.bincount(part.targets.astype(int)) for part in (data.train, whole.train))
        assert (np.abs(count - of / 2) <= 1).all()


@every_classification
@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_label_noise_changes_its_share_of_the_training_labels_alone(dataset: TableDataset, share: float) -> None:
    quiet = replace(dataset, validation_size=0.1)
    clean, data = quiet.load(), replace(quiet, label_noise=share).load()
    assert (data.train.targets != clean.train.targets).sum() == round(share * len(clean.train))
    assert set(data.train.targets.tolist()) <= set(range(len(data.task.classes)))
    assert data.train.x.tobytes() == clean.train.x.tobytes()
    for name, part in data.parts().items():
        np.testing.assert_array_equal(part.targets, clean.parts()[name].targets)


def test_wrong_labels_are_each_other_class_as_likely() -> None:
    labels = np.full(30_000, 2)
    counts = np.bincount(noisy(labels, Task(tuple("abcd")), 0.9, 0), minlength=4)
    assert counts[2] == 3_000
    np.testing.assert_allclose(counts[[0, 1, 3]], 9_000, rtol=0.03)


@every_regression
def test_targets_are_scaled_by_the_training_part(dataset: TableDataset) -> None:
    raw, data = dataset.load(), replace(dataset, standardize_targets=True).load()
    assert raw.target_scaling is None
    assert data.target_scaling is not None
    np.testing.assert_allclose(data.target_scaling.offset, raw.train.targets.mean(axis=0))
    np.testing.assert_allclose(data.target_scaling.factor, raw.train.targets.std(axis=0))
    for one, other in ((data.train, raw.train), (data.test, raw.test)):
        np.testing.assert_allclose(
            data.target_scaling.undo(one.targets.astype(float)), other.targets, rtol=1e-12, atol=1e-12
        )
    np.testing.assert_allclose([data.train.targets.mean(), data.train.targets.std()], [0, 1], atol=1e-12)


@given(
    examples=st.integers(5, 200),
    size=st.floats(0.05, 0.8),
    seed=st.integers(0, 2**32 - 1),
    classes=st.integers(0, 3),
)
@tries(60)
def test_the_plain_split_and_scaling_are_those_of_scikit_learn(
    examples: int, size: float, seed: int, classes: int
) -> None:
    table = make_table(examples, classes)
    assume(plain(size * examples) and np.ceil(size * examples) < examples)
    data = Given(table=table, test_size=size, split_seed=seed, stratify=False).load()
    x, x_test, y, y_test = train_test_split(table.x, table.targets, test_size=size, random_state=seed)
    scaler = StandardScaler().fit(x)
    np.testing.assert_array_equal(data.train.x, scaler.transform(x))
    np.testing.assert_array_equal(data.test.x, scaler.transform(x_test))
    np.testing.assert_array_equal(data.train.targets, y)
    np.testing.assert_array_equal(data.test.targets, y_test)


@given(examples=st.integers(20, 100), size=st.floats(0.2, 0.7), seed=st.integers(0, 1000))
@tries(30)
def test_the_stratified_split_is_that_of_scikit_learn(examples: int, size: float, seed: int) -> None:
    assume(plain(size * examples))
    table = make_table(examples, 3)
    data = Given(table=table, test_size=size, split_seed=seed, standardize=False).load()
    expected, _ = train_test_split(table.x, test_size=size, random_state=seed, stratify=table.targets)
    np.testing.assert_array_equal(data.train.x, expected)


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("split", ["shuffled", "order"])
@pytest.mark.parametrize(("folds", "stratify"), [(2, True), (5, True), (5, False)])
def test_folds_are_those_of_scikit_learn(classes: int, split: Any, folds: int, *, stratify: bool) -> None:  # noqa: ANN401
    table = make_table(32, classes)
    kind = StratifiedKFold if classes and stratify and split == "shuffled" else KFold
    seed = 7 if split == "shuffled" else None
    expected = kind(folds, shuffle=split == "shuffled", random_state=seed).split(table.x, table.targets)
    dataset = Given(table=table, folds=folds, split=split, stratify=stratify, split_seed=7)
    for fold, (rest, test) in enumerate(expected):
        train, validation, tested = rows_of(replace(dataset, fold=fold))
        np.testing.assert_array_equal(train, rest)
        np.testing.assert_array_equal(tested, test)
        train, validation, tested = rows_of(replace(dataset, fold=fold, validation_size=0.25))
        assert (len(validation), len(tested)) == (int(np.ceil(0.25 / (1 - 1 / folds) * len(rest))), len(test))
        assert {*train} | {*validation} == {*rest}


def test_in_order_the_last_rows_are_for_testing_and_those_before_for_validation() -> None:
    dataset = Given(table=make_table(20, 2), split="order", test_size=0.2, validation_size=0.1)
    train, validation, test = (rows.tolist() for rows in rows_of(dataset))
    assert train + validation + test == [*range(20)]
    assert (len(validation), len(test)) == (2, 4)
    thinned, *others = (rows.tolist() for rows in rows_of(replace(dataset, subsample=7)))
    assert others == [validation, test]
    assert thinned == sorted({*thinned} & {*train})
    assert len(thinned) == 7


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("count", [2, 3, 9, 29, 32])
def test_a_subsample_can_be_a_number_of_training_examples(classes: int, count: int) -> None:
    table = make_table(40, classes)
    if classes and count == 2:
        with pytest.raises(UserError, match=r"^dataset.subsample=2: must leave an example of each of 3 classes"):
            Given(table=table, subsample=count).load()
        return
    train, _, test = rows_of(Given(table=table, subsample=count))
    whole, _, same = rows_of(Given(table=table))
    assert len(train) == count
    assert {*train} <= {*whole}
    assert test.tolist() == same.tolist()
    assert not classes or np.ptp(np.bincount(table.targets[train].astype(int), minlength=3)) <= 1


def test_folds_and_weights_by_name_from_the_command_line(typed: Typed, tmp_path: Path) -> None:
    lines = [f"{number},{'>50K' if number % 4 == 0 else '<=50K'}" for number in range(60)]
    (tmp_path / "adult.csv").write_text("\n".join(["age,income", *lines]))
    words = ["dataset=csv", "dataset.path=adult.csv", "loss.class_weights=[['<=50K',1],['>50K',3]]", "trainer.epochs=2"]
    words += ["dataset.folds=5", "dataset.fold=range(5)", "optimizer.learning_rate=0.1,1", "tracking=none"]
    result = typed("-m", *words, "sweep.confirm=0")
    assert result.returncode == 0, result.stderr
    (report,) = tmp_path.glob("outputs/sweeps/*/report.md")
    assert "the mean over folds" in report.read_text()
    rows = pd.read_csv(report.with_name("runs.csv"))
    assert sorted(rows["dataset.fold"]) == sorted([*range(5)] * 2)
    assert rows["final/test/loss"].notna().all()


def test_large_numbers_keep_their_digits_until_they_are_scaled() -> None:
    """Seconds since 1970 and long codes are a few values in float32; scaled, they are as good as any others."""
    times = 1_700_000_000 + np.arange(200.0)
    x = np.column_stack([times, 987_654_321_000 + np.arange(200.0)])
    table = Table(x, np.arange(200) % 2, Task(("a", "b")), dtype="float32")
    data = Given(table=table).load()
    exact = Given(table=replace(table, x=x.copy(), dtype=None)).load()
    assert len(np.unique(data.train.x[:, 0])) == len(np.unique(data.train.x[:, 1])) == 160
    for part, other in ((data.train, exact.train), (data.test, exact.test)):
        assert part.x.dtype == np.float32
        np.testing.assert_array_equal(part.x, other.x.astype(np.float32))


@pytest.mark.skipif("NNEXP_HEART_CSV" not in os.environ, reason="NNEXP_HEART_CSV is the table of the tutorial")
def test_the_split_of_reference_r0() -> None:
    path = os.environ["NNEXP_HEART_CSV"]
    data = Heart(path=path, stratify=False).load()
    frame = pd.read_csv(path)
    x, x_test, y, y_test = train_test_split(
        frame.to_numpy(float)[:, :-1], frame["output"].to_numpy(), test_size=0.2, random_state=42
    )
    scaler = StandardScaler().fit(x)
    np.testing.assert_array_equal(data.train.x, scaler.transform(x))
    np.testing.assert_array_equal(data.test.x, scaler.transform(x_test))
    np.testing.assert_array_equal(data.train.targets, y)
    np.testing.assert_array_equal(data.test.targets, y_test)
    assert (len(frame), len(data.test)) == (303, 61)
    assert round(100 * np.bincount(data.test.targets.astype(int)).max() / 61, 2) == 52.46


@pytest.mark.parametrize("kind", [float, np.float32, int])
@pytest.mark.parametrize("columns", [1, 3])
def test_a_table_of_many_chunks_is_scaled_as_a_whole(kind: type, columns: int) -> None:
    x: Array = (100 + 9 * np.random.default_rng(0).standard_normal((2 * ROWS_AT_A_TIME + 5, columns))).astype(kind)
    x[:, 2:] = 0.1
    scaling, theirs = fit_scaling(x), StandardScaler()
    for begin in range(0, len(x), ROWS_AT_A_TIME):
        theirs.partial_fit(x[begin : begin + ROWS_AT_A_TIME])
    np.testing.assert_array_equal(scaling.offset, theirs.mean_)
    np.testing.assert_array_equal(scaling.factor, theirs.scale_)
    np.testing.assert_allclose(scaling.offset, x.mean(axis=0, dtype=float))
    expected = (x - scaling.offset) / scaling.factor
    np.testing.assert_array_equal(scaling.apply(x), expected.astype(kind if kind is np.float32 else float))


def one_of_a_class() -> Table:
    table = make_table(20, 2)
    return replace(table, targets=(np.arange(20) == 7).astype(int))


REFUSED: list[tuple[Table, dict[str, Any], str]] = [
    (make_table(20, 0), {"label_noise": 0.1}, "dataset.label_noise=0.1: must be 0.0 for data with numbers"),
    (make_table(20, 2), {"standardize_targets": True}, "standardize_targets=true: must be false for data with 2 cl"),
    (one_of_a_class(), {}, "dataset.stratify=true: must be false, for class b has only 1 of 20 examples"),
    (make_table(5, 4), {}, "dataset.test_size=0.2: must leave an example of each of 4 classes on either side"),
    (make_table(20, 4), {"test_size": 0.9}, "dataset.test_size=0.9: must leave an example of each of 4 classes"),
    (make_table(1, 0), {}, "dataset.test_size=0.2: must leave an example on either side, and there are 1 in all"),
    (make_table(20, 4), {"validation_size": 0.05}, "dataset.validation_size=0.05: must leave an example of each of 4"),
    (make_table(20, 4), {"subsample": 0.1}, "dataset.subsample=0.1: must leave an example of each of 4 classes"),
    (make_table(20, 4), {"subsample": 17}, "dataset.subsample=17: must be at most 16, the training examples"),
    (make_table(20, 4), {"folds": 6}, "dataset.folds=6: must be at most the 5 examples, those of class a, or dataset."),
    (make_table(20, 0), {"folds": 21}, "dataset.folds=21: must be at most the 20 examples, all there are"),
    (make_table(3, 0), {"split": "order", "test_size": 0.9}, "dataset.test_size=0.9: must leave an example on either"),
]


@pytest.mark.parametrize(("table", "fields", "sentence"), REFUSED, ids=lambda value: str(value)[:40])
def test_settings_that_do_not_fit_the_examples_are_refused(table: Table, fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as error:
        Given(table=table, **fields).load()
    assert sentence in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"test_size": 0.5, "validation_size": 0.5},
        {"test_size": 0.9, "validation_size": 0.2},
        {"test_size": 0.0},
        {"test_size": 1.0},
        {"validation_size": -0.1},
        {"label_noise": 1.0},
        {"subsample": 0.0},
        {"subsample": 2.5},
        {"folds": 1},
        {"fold": 1},
        {"folds": 3, "fold": 3},
        {"folds": 2, "validation_size": 0.5},
        {"split": "sorted"},
        {"split_seed": -1},
    ],
    ids=str,
)
def test_shares_that_make_no_sense_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidFieldError, match=f"^{list(fields)[-1]}="):
        Iris(**fields)


def test_scaling_is_never_lost_whatever_the_type_of_the_numbers() -> None:
    scaling = Scaling(np.array([2.0]), np.array([4.0]))
    for dtype in (np.float64, np.float32, np.int64, np.uint8):
        raw: Array = np.array([[6.0], [10.0]]).astype(dtype)
        np.testing.assert_array_equal(scaling.apply(raw), [[1.0], [2.0]])


def test_targets_of_a_table_in_float32_are_scaled(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text("size,price\n" + "".join(f"{row},{100 + 7 * row}\n" for row in range(40)))
    data = Csv(path=str(path), kind="regression", dtype="float32", standardize_targets=True).load()
    np.testing.assert_allclose([data.train.targets.mean(), data.train.targets.std()], [0, 1], atol=1e-6)


@every([one for one in (*CLASSIFICATIONS, *REGRESSIONS) if hasattr(one, "seed")])
def test_another_seed_draws_other_numbers(dataset: TableDataset) -> None:
    if isinstance(dataset, Sine) and dataset.noise == 0:
        pytest.skip("its points are not drawn")
    one, other = dataset.load().train, replace(dataset, seed=1).load().train  # type: ignore[call-arg]
    assert max((one.x != other.x).mean(), (one.targets != other.targets).mean()) > 0.9
