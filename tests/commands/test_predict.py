"""Predictions from a run's own files, compared with those that the run made of its test part."""

import csv
import io
import re
import shutil
import subprocess
import sys
from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nnexp import run
from nnexp.commands.predict import aligned, examples, is_header, main, predict
from nnexp.config.compose import compose_experiment
from nnexp.core.component import Array, Labels
from nnexp.core.errors import UserError
from nnexp.data import reading
from nnexp.data.dataset import TableDataset
from nnexp.data.reading import TableFile
from nnexp.runs.result import Result
from nnexp.storage.run_folder import PARAMETERS
from nnexp.storage.saved_model import MODEL, read_model
from nnexp.training.predictions import ClassPredictions, Embeddings, NumberPredictions
from tests.conftest import CommandLine, Finished, status_of, tries

QUIET = ("tracking=none", "figures=false", "verbose=false")
ADAM = ("optimizer=adam", "optimizer.learning_rate=0.01")
REGRESSION = ("loss=mean_squared_error", "dataset.standardize_targets=true", *ADAM)
FLATS = ["size,city,rooms,floor,price"] + [
    f"{40 + row / 3!r},{('north', 'south', '', 'an east')[row % 4]},{'' if row % 7 == 0 else 1 + row % 5},"
    f"{row % 3},{3 * row + row % 4}"
    for row in range(150)
]
"""A table with a column that has names, one of them missing, another with missing numbers, and one with codes."""
WIDE = "{_target_: nnexp.nn.layers.Dense, units: 6}"
BLOCK = f"{{_target_: nnexp.nn.layers.Residual, layers: [{WIDE}]}}"
SETTINGS: dict[str, list[str]] = {
    "binary": ["trainer.epochs=40"],
    "classes": ["experiment=digits", "trainer.epochs=2"],
    "validation": ["dataset=iris", "dataset.validation_size=0.2", "loss=sparse_categorical_cross_entropy", *ADAM],
    "float32": ["experiment=spiral", "trainer.epochs=20", "dtype=float32"],
    "layers within layers": ["dataset=xor", f"architecture.hidden=[{WIDE},{BLOCK}]", "architecture=layers", *ADAM],
    "batch norm and dropout": [
        *("experiment=digits", "trainer.epochs=2", "architecture.normalization=batch", "architecture.dropout=0.2")
    ],
    "layer norm": ["dataset=heart", "architecture.normalization=layer", "trainer.epochs=5"],
    "numbers": ["dataset=diabetes", "trainer.epochs=20", *REGRESSION],
    "squared error of classes": ["dataset=wine", "loss=mean_squared_error", "trainer.epochs=5"],
    "embedding": ["experiment=embedding", "trainer.epochs=1"],
    "distributions": ["dataset=distilled", "dataset.trees=5", "loss=kullback_leibler", "trainer.epochs=2"],
}


def trained(folder: Path, *overrides: str) -> Result:
    return run([*overrides, *QUIET, f"output_dir={folder}"])


def raw_test_part(*overrides: str) -> Array:
    """Return the features of the test part of a run, before they were scaled."""
    dataset = compose_experiment(overrides).dataset
    source = getattr(dataset, "source", dataset)
    assert isinstance(source, TableDataset)
    return replace(source, standardize=False).load().test.x


def as_table(names: tuple[str, ...], x: Array | Labels) -> str:
    header = [",".join(f'"{name}"' for name in names)] if names else []
    return "\n".join([*header, *(",".join(map(repr, row)) for row in x.tolist())]) + "\n"


def predicted(folder: Path, table: str) -> dict[str, list[str]]:
    """Return the columns that are predicted for a table."""
    path = folder / "input.csv"
    path.write_text(table)
    printed = io.StringIO()
    predict(read_model(folder, "run"), TableFile(path, "input.csv"), printed)
    header, *rows = csv.reader(printed.getvalue().splitlines())
    return {name: [row[place] for row in rows] for place, name in enumerate(header)}


def numbers_of(columns: dict[str, list[str]]) -> Array:
    return np.array([[float(cell) for cell in column] for column in columns.values()]).T


def assert_predictions(result: Result, columns: dict[str, list[str]]) -> None:
    """Compare bit for bit: numbers are printed so that they are read as the same."""
    match result.predictions:
        case ClassPredictions() as known:
            assert columns.pop("predicted") == [known.classes[number] for number in known.predicted]
            assert [*columns] == [f"probability_{name}" for name in known.classes]
            np.testing.assert_array_equal(numbers_of(columns), known.probabilities)
        case NumberPredictions() as known:
            assert tuple(columns) == known.columns
            np.testing.assert_array_equal(numbers_of(columns), known.predicted)
        case Embeddings() as known:
            assert [*columns] == [f"dimension_{number + 1}" for number in range(known.points.shape[1])]
            np.testing.assert_array_equal(numbers_of(columns)[: len(known.points)], known.points)
        case None:
            pytest.fail("the run predicted nothing")


@pytest.mark.parametrize("name", SETTINGS)
def test_predictions_are_those_of_the_run(tmp_path: Path, name: str) -> None:
    overrides = SETTINGS[name]
    result = trained(tmp_path, *overrides)
    names = tuple(column.name for column in read_model(result.folder, "run").description.columns)
    assert_predictions(result, predicted(result.folder, as_table(names, raw_test_part(*overrides))))


def on_flats(folder: Path, *overrides: str) -> list[str]:
    (folder / "flats.csv").write_text("\n".join(FLATS) + "\n")
    return [
        *(
            "dataset=csv",
            f"dataset.path={folder / 'flats.csv'}",
            "trainer.epochs=3",
            "dataset.categorical=[city,floor]",
        ),
        *("dataset.kind=regression", "dataset.missing=median", *REGRESSION, *overrides),
    ]


@pytest.mark.parametrize(("dtype", "network"), [("float64", "float64"), ("float32", "float64"), ("float32", "float32")])
def test_names_and_missing_numbers_are_treated_as_in_training(tmp_path: Path, dtype: str, network: str) -> None:
    overrides = on_flats(tmp_path, f"dataset.dtype={dtype}", f"dtype={network}")
    result = trained(tmp_path, *overrides)
    sizes = raw_test_part(*overrides)[:, 0].tolist()
    lines = {float(np.dtype(dtype).type(line.split(",")[0])): line for line in FLATS[1:]}
    chosen = [lines[size] for size in sizes]
    assert any(",," in line for line in chosen)
    assert_predictions(result, predicted(result.folder, "\n".join([FLATS[0], *chosen]) + "\n"))
    turned = [FLATS[0], *chosen]
    again = "\n".join(",".join(reversed(line.split(",")[:-1])) for line in turned) + "\n"
    assert_predictions(result, predicted(result.folder, again))


@pytest.fixture(scope="module")
def flats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run on flats."""
    folder = tmp_path_factory.mktemp("flats")
    return trained(folder, *on_flats(folder)).folder


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run on digits, whose features have no names."""
    return trained(tmp_path_factory.mktemp("digits"), "trainer.epochs=2").folder


def test_a_table_in_pieces_has_the_same_bits(flats: Path, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows than the network takes at once, and pieces that do not fit to that."""
    generator = np.random.default_rng(0)
    many = as_table((), generator.integers(0, 17, (2500, 64)))
    cities = [FLATS[0], *(FLATS[row] for row in generator.integers(1, 150, 2500).tolist())]
    whole = predicted(digits, many), predicted(flats, "\n".join(cities))
    saved = read_model(digits, "run")
    raw = np.array([row.split(",") for row in many.splitlines()], np.float64)
    x = saved.description.scaling.scaling().apply(raw.copy())
    np.testing.assert_array_equal(
        numbers_of({"p": whole[0]["probability_1"]})[:, 0], saved.model.probabilities(x)[:, 1]
    )
    monkeypatch.setattr(reading, "CELLS", 300 * 64)
    assert (predicted(digits, many), predicted(flats, "\n".join(cities))) == whole
    some = as_table((), raw[:300])
    few = predicted(digits, some)
    monkeypatch.setattr(reading, "CELLS", 64)  # the product of one row and a matrix has other bits now and then
    assert predicted(digits, some) == few


@pytest.mark.parametrize("sizes", [[], [0], [5], [1024], [1000, 1000, 1000], [3000, 1], [1, 2047, 5000]])
def test_aligned(sizes: list[int]) -> None:
    rows = np.arange(2.0 * sum(sizes)).reshape(-1, 2)
    pieces = [*aligned(np.split(rows, np.cumsum(sizes)[:-1]) if sizes else [])]
    assert all(len(piece) % 1024 == 0 for piece in pieces[:-1])
    assert all(len(piece) for piece in pieces)
    np.testing.assert_array_equal(np.concatenate([np.zeros((0, 2)), *pieces]), rows)


@pytest.mark.parametrize(
    ("row", "header"),
    [
        (["a", "b"], True),
        (["0", "1", "2"], True),
        (["0", "1"], False),
        (["1", "b"], False),
        (["1e5", "nan"], False),
        (["x"], True),
        (["0"], False),
    ],
)
def test_is_header(row: list[str], header: bool) -> None:  # noqa: FBT001
    assert is_header(row) == header


def test_a_header_where_features_have_no_names(digits: Path) -> None:
    rows = np.arange(128).reshape(2, 64) % 17
    plain = predicted(digits, as_table((), rows))
    assert len(plain["predicted"]) == 2
    for header in (tuple(map(str, range(64))), tuple(f"pixel {place}" for place in range(64))):
        assert predicted(digits, as_table(header, rows)) == plain


def with_line(line: str, header: str = FLATS[0]) -> str:
    return "\n".join([header, FLATS[1], line]) + "\n"


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("size,city,floor\n1,north,1\n", "must have a column rooms; its columns are size, city, floor"),
        ("name\nx\n", "must have a column size, rooms, city, floor; its columns are name"),
        (with_line("40,north,large,1,3"), "must have numbers up to 1e+150 in column rooms, and row 2 has large"),
        (with_line("inf,north,3,1,3"), "must have numbers up to 1e+150 in column size, and row 2 has inf"),
        (
            with_line("40,mars,3,1,3"),
            "must have one of an east, missing, north, south in column city, and row 2 has mars",
        ),
        (with_line("40,north,3,,3"), "must have a value in every row of column floor, and row 2 has none"),
        (with_line("40,north,3,1,3,4"), "must be a table of text in UTF-8 (Expected 5 fields in line 3, saw 6)"),
        (with_line("40,north,3,1,3", "size,city,rooms,city,price"), "must have different names in its header"),
        ("", "must not be empty"),
        ("\0\0,\n", "must have a column size, rooms, city, floor"),
    ],
)
def test_a_mistake_is_one_line(flats: Path, table: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        predicted(flats, table)
    assert str(caught.value).startswith(f"input.csv: {sentence}")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        (["1"] * 65, "must have 64 columns, one for each feature, and has 65"),
        (["1"] * 63 + ["x"], "must have numbers up to 1e+150 in column 64, and row 1 has x"),
        (["1"] * 9 + [""] + ["1"] * 54, "must have a value in every row of column 10, and row 1 has none"),
    ],
)
def test_a_mistake_where_features_have_no_names(digits: Path, cells: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"input.csv: {sentence}")):
        predicted(digits, ",".join(cells) + "\n")


def test_missing_numbers_are_refused_where_the_training_had_none(tmp_path: Path) -> None:
    folder = trained(tmp_path, "dataset=xor", "trainer.epochs=1").folder
    assert len(predicted(folder, "y,x\n1,2\n")["predicted"]) == 1
    with pytest.raises(UserError, match=r"input.csv: must have a value in every row of column y, and row 1 has none"):
        predicted(folder, "x,y\n1,?\n")


def test_a_table_without_rows_has_predictions_without_rows(flats: Path) -> None:
    assert predicted(flats, FLATS[0] + "\n") == {"price": []}


cells = st.one_of(
    st.sampled_from(["", "1", "2.5", "north", "south", "-1e400", "1e999", "?", "nan", '"', '"a\nb"', "\r", "9" * 400]),
    st.text(max_size=5),
)
tables = st.lists(st.lists(cells, min_size=1, max_size=6).map(",".join), max_size=5).map("\n".join).map(str.encode)


@tries(60)
@given(content=st.one_of(st.binary(max_size=200), tables), named=st.booleans())
@example(content=b"\xff\xfe1\x00,", named=False)
@example(content=b'"', named=True)
@example(content=b"40,north,1,1,1\n" * 3 + b"40", named=True)
def test_any_bytes_predict_or_are_refused_in_one_line(
    flats: Path, digits: Path, tmp_path: Path, content: bytes, *, named: bool
) -> None:
    """With a header that fits, too, so that the rows come to be read."""
    path = tmp_path / "any.csv"
    saved = read_model(flats if named else digits, "run")
    path.write_bytes((FLATS[0].encode() + b"\n" if named else b"") + content)
    printed, refusal = io.StringIO(), None
    try:
        predict(saved, TableFile(path, "any.csv"), printed)
    except UserError as error:
        refusal = str(error)
    if refusal is None:
        assert {len(row) for row in csv.reader(printed.getvalue().splitlines())} - {0} == {1 if named else 3}
    else:
        assert refusal.startswith("any.csv: must ")
        assert len(refusal.splitlines()) == 1
        assert len(refusal) < 600


def test_what_is_read_at_a_time_does_not_grow_with_the_table(
    flats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "long.csv"
    path.write_text("\n".join([FLATS[0], *FLATS[1:] * 20]))
    monkeypatch.setattr(reading, "CELLS", 500)
    lines = deque[bool]()
    sizes = [len(piece) for piece in examples(read_model(flats, "run"), TableFile(path, "long.csv"), lines)]
    assert (sum(sizes), max(sizes), [*lines]) == (20 * 150, 100, [True] * 20 * 150)


def command(*words: object, cwd: Path) -> Finished:
    environment = CommandLine(cwd).environment()
    return subprocess.run(
        [sys.executable, "-m", "nnexp", "predict", *map(str, words)],
        capture_output=True, text=True, check=False, cwd=cwd, env=environment,
    )  # fmt: skip


def test_command_line(flats: Path, tmp_path: Path) -> None:
    """The run is moved to where neither its data nor its output folder is."""
    folder, path = tmp_path / "moved", tmp_path / "input.csv"
    shutil.copytree(flats, folder)
    path.write_text("\n".join(FLATS[:4]) + "\n")
    printed = command("moved", "input.csv", cwd=tmp_path)
    assert (printed.returncode, printed.stderr) == (0, "nnexp: input.csv: not used: price\n")
    assert printed.stdout.splitlines() == ["price", *predicted(folder, path.read_text())["price"]]
    main([str(folder), str(path), "--to", str(tmp_path / "out.csv")])
    assert (tmp_path / "out.csv").read_text() == printed.stdout

    path.write_text("\n".join([*FLATS[:4], "40,mars,3,1,3"]) + "\n")
    before = sorted(tmp_path.rglob("*"))
    refused = command("moved", "input.csv", "--to", "out.csv", cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.splitlines()[1].startswith("nnexp: input.csv: must have one of an east")
    assert len(refused.stderr.splitlines()) == 2
    assert sorted(tmp_path.rglob("*")) == before, "nothing half written"
    assert (tmp_path / "out.csv").read_text() == printed.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("input.csv",), "predict: must have either a TABLE or --model FOLDER"),
        (("missing.csv",), "missing.csv: must be a file that can be read (No such file or directory)"),
        (
            ("input.csv", "--to", "no/such/folder"),
            "--to=no/such/folder: must be a file that can be written (No such file",
        ),
        (("--model", "."), "--model=.: must not exist"),
        (("--model", "no/folder"), "--model=no/folder: must be a folder that can be made (No such file or directory)"),
        (("input.csv", "--header", "2"), "input.csv: must have different names in its header, 40.0, north"),
        (("input.csv", "--header", "maybe"), "--header=maybe: must be true or false or a whole number of at least 1"),
        (("input.csv", "--separator", ";;"), r"--separator=';;': must be one character, \t for a tab or \s+ for"),
        (("input.csv", "--unknown", "drop"), "--unknown=drop: must be refuse or ignore"),
    ],
)
def test_mistakes_on_the_command_line(
    flats: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("input.csv").write_text("\n".join(FLATS))
    given = [] if sentence.startswith("predict: must have either") else words
    assert status_of("predict", str(flats), *given) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"nnexp: {sentence}")
    assert [path.name for path in tmp_path.iterdir()] == ["input.csv"]


def test_another_separator(flats: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tabs").write_text("\n".join(FLATS[:4]).replace(",", "\t"))
    main([str(flats), str(tmp_path / "tabs"), "--separator", r"\t"])
    assert capsys.readouterr().out.splitlines()[1:] == predicted(flats, "\n".join(FLATS[:4]))["price"]


def test_blank_lines_before_rows_without_a_header_have_their_lines(flats: Path, tmp_path: Path) -> None:
    path = tmp_path / "bare.csv"
    path.write_text("\n\n" + "\n,,,,\n".join(FLATS[1:4]) + "\n\n")
    main([str(flats), str(path), "--header", "false", "--to", str(tmp_path / "out.csv")])
    lines = (tmp_path / "out.csv").read_text().splitlines()[1:]
    assert [bool(line) for line in lines] == [False, False, True, False, True, False, True, False]
    assert [line for line in lines if line] == predicted(flats, "\n".join(FLATS[:4]))["price"]


def test_a_run_that_diverged_has_no_model(tmp_path: Path) -> None:
    folder = trained(tmp_path, *on_flats(tmp_path), "optimizer.learning_rate=1e200").folder
    assert not (folder / MODEL).exists()
    assert (folder / PARAMETERS).exists()
    with pytest.raises(UserError, match="a run that diverged has none"):
        read_model(folder, "run=x")


def test_reading_imports_nothing_that_training_needs(flats: Path, tmp_path: Path) -> None:
    """Neither MLflow, nor what draws, nor what loads data."""
    (tmp_path / "in.csv").write_text("\n".join(FLATS[:4]))
    code = (
        f"import sys; from nnexp.commands.predict import main; main([{str(flats)!r}, 'in.csv'])\n"
        "print({'mlflow', 'sklearn', 'matplotlib'} & set(sys.modules), file=sys.stderr)"
    )
    environment = CommandLine(tmp_path).environment()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )
    assert done.stderr.splitlines()[-1] == "set()"


def test_one_column_with_decimal_commas_is_not_cut_at_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "table.csv").write_text("".join(f"{row},5;{2 * row},0\n" for row in range(30)))
    keys = ["dataset.separator=;", "dataset.decimal=,", "dataset.header=false", "dataset.kind=regression"]
    keys.append("dataset.standardize_targets=true")
    trained = run(
        ["dataset=csv", f"dataset.path={tmp_path / 'table.csv'}", *keys, "loss=mean_squared_error"],
        trainer__epochs=2,
        tracking="none",
        verbose=False,
        output_dir=tmp_path,
    )
    (tmp_path / "new.csv").write_text("1,5\n2,7\n")
    capsys.readouterr()
    main([str(trained.folder), str(tmp_path / "new.csv")])
    said = [float(line) for line in capsys.readouterr().out.splitlines()[1:]]
    assert said == pytest.approx(trained.predict([[1.5], [2.7]]).tolist())


def test_a_header_that_is_no_yaml_is_refused(flats: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--header='?\[1'?: must be"):
        main([str(flats), str(tmp_path / "flats.csv"), "--header", "[1"])
