import gzip
import io
import os
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer

from nnexp.core.component import InvalidFieldError
from nnexp.core.errors import UserError
from nnexp.data import reading
from nnexp.data.csv import Csv, Heart
from nnexp.data.dataset import Data
from tests.conftest import tries

Fields = dict[str, Any]
HEAD = "x,y,label\n"
FILL = {"missing": "mean"}
NUMBERS = {"kind": "regression"}


def text(y: str = "2", label: str = "a", row: str | None = None) -> str:
    """Return a table of 20 rows, 1,2,b and 1,2,a in turn, of which the fifth is another."""
    rows = [f"{number},{number % 7},{'ab'[number % 2]}" for number in range(20)]
    rows[4] = f"4,{y},{label}" if row is None else row
    return HEAD + "\n".join(rows) + "\n"


def save(folder: Path, content: str | bytes, name: str = "my.csv") -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def classes(*labels: object) -> str:
    return HEAD + "".join(f"{row},{row},{label}\n" for row, label in enumerate(labels))


REFUSED: list[tuple[str, str | bytes, Fields, str]] = [
    ("empty", b"", {}, "must not be empty"),
    ("blank lines alone", "\n\n \n", {}, "must not be empty"),
    ("header alone", HEAD, {}, "must have a row below its header"),
    ("header without an end", HEAD.strip(), {}, "must have a row below its header"),
    ("no such target", text(), {"target": "price"}, "dataset.target=price: must be a column of the table, x, y, label"),
    ("two targets", text(), {"target": "x,y"}, "x, y, label; several, a run of each, are choice(x,y)"),
    ("no such category", text(), {"categorical": ("z",)}, "dataset.categorical=z: must be columns of the table, x, y"),
    ("no such column", text(), {"ignore": ("z",)}, "dataset.ignore=z: must be columns of the table, x, y, label"),
    ("target is a category", text(), {"categorical": ("label",)}, "dataset.categorical=label: must not be the target"),
    ("target is ignored", text(), {"ignore": ("label",)}, "dataset.ignore=label: must not be the target"),
    ("target alone", text(), {"ignore": ("x", "y")}, "must have a column beside the target, label"),
    ("no separator", text().replace(",", "~"), {}, "must have a column beside the target, x~y~label; if they are"),
    ("semicolons in some lines", text(row="4;4").replace(",", ";"), {}, "the target, x;y;label; if they are separated"),
    ("a name twice", text().replace("y", "x", 1), {}, "must have different names in its header, x, x, label"),
    ("many columns", ",".join("abcdefgh") + "\n1", {"target": "z"}, "column of the table, a, b, c, d, e, and 3 more"),
    ("text", text("oops"), {}, "in column y, and row 5 has oops; for names, dataset.categorical=[y]"),
    ("text after a blank line", text("oops").replace("\n", "\n\n"), {}, "in column y, and row 10 has oops"),
    ("text of two lines", text('"o\no"'), {}, "in column y, and row 5 has o o; for names"),
    ("long text", text("o" * 5000), {}, f"in column y, and row 5 has {'o' * 40}...; for names"),
    ("date", text("2024-02-03"), {}, "in column y, and row 5 has 2024-02-03;"),
    ("infinity", text("inf"), {}, "must have numbers up to 1e+150 in column y, and row 5 has inf"),
    ("minus infinity", text("-inf"), {}, "in column y, and row 5 has -inf"),
    ("beyond all numbers", text("1e999"), {}, "must have numbers up to 1e+150 in column y, and row 5 has inf"),
    ("squares that are infinite", text("-1e200"), {}, "in column y, and row 5 has -1e+200"),
    ("beyond float32", text("1e39"), {"dtype": "float32"}, "numbers up to 1e+30 in column y, and row 5 has 1e+39"),
    ("hundreds of digits", text("1" + "0" * 400), {}, "in column y, and row 5 has 10000"),
    (
        "number to predict",
        text(row="4,4,oops"),
        NUMBERS,
        "column label, and row 1 has a; for names, dataset.kind=class",
    ),
    ("missing numbers", text(""), {}, "dataset.missing=refuse: must be mean, median, most_frequent or drop"),
    ("counts of missing", text(row=",?,a"), {}, "it has missing values (x 1, y 1)"),
    ("missing category", text(""), {"categorical": ("y",)}, "it has missing values (y 1)"),
    ("missing class", text(label=""), FILL, "dataset.target=label: must have a value in every row, and row 5 has none"),
    ("missing target", text(row="4,4,").replace("a", "1").replace("b", "2"), FILL | NUMBERS, "and row 5 has none"),
    ("short row", text(row="4,4"), FILL, "dataset.target=label: must have a value in every row, and row 5 has none"),
    ("long row", text(row="4,4,a,5"), {}, "must be a table of text in UTF-8 (Expected 3 fields in line 6, saw 4)"),
    ("long rows", text().replace("a\n", "a,5\n").replace("b\n", "b,5\n"), {}, "Expected 3 fields in line 2, saw 4"),
    ("long rows, two used", text(row="4,4,a,5"), {"ignore": ("x",)}, "Expected 3 fields in line 6, saw 4"),
    ("open quote", text('"4'), {}, "must be a table of text in UTF-8 (EOF inside string starting at row"),
    ("every byte", bytes(range(256)), {}, "must be a table of text in UTF-8 ('utf-8' codec can't decode byte 0x80"),
    ("latin 1", text(label="ä").encode("latin1"), {}, "must be a table of text in UTF-8 ('utf-8' codec can't decode"),
    (
        "UTF-16",
        text().encode("utf-16"),
        {},
        "byte 0xff in position 0: invalid start byte); of another encoding, dataset.encoding=utf-16",
    ),
    ("too few lines", text(), {"header": 50}, "must have more than 49 lines"),
    ("nothing but zeros", bytes(100), {}, "must have a column beside the target, ????"),
    ("one class", classes(*"aaaa"), {}, "dataset.target=label: must have at least two classes, and every row has a"),
    ("one row", classes("a"), {}, "must have at least two classes, and every row has a"),
    ("fewer rows than classes on a side", classes(*"aabbcc"), {}, "an example of each of 3 classes on either side"),
    ("a class of one row", text(label="c"), {}, "dataset.stratify=true: must be false, for class c has only 1 of 20"),
    ("a number in each row", classes(*range(20)), {}, "dataset.kind=classification: must be regression, or have"),
    ("counts of classes", classes(*range(20)), {}, "label has 20 different values in 20 rows"),
]


@pytest.mark.parametrize(
    ("content", "fields", "sentence"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_a_bad_table_is_refused_in_one_line(
    tmp_path: Path, content: str | bytes, fields: Fields, sentence: str
) -> None:
    with pytest.raises(UserError) as error:
        Csv(path=save(tmp_path, content), **fields).load()
    assert sentence in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert str(error.value).startswith("dataset.")
    assert "C error" not in str(error.value)


@pytest.mark.parametrize("missing", ["mean", "median", "most_frequent"])
@pytest.mark.parametrize("hole", ["", "?", "NA"])
def test_a_column_without_a_training_value_is_refused(tmp_path: Path, missing: Any, hole: str) -> None:  # noqa: ANN401
    path = save(tmp_path, HEAD + "".join(f"{row},{hole},{'ab'[row % 2]}\n" for row in range(20)))
    with pytest.raises(UserError, match=r"must have a number in column y among the training rows; list it in dataset."):
        Csv(path=path, missing=missing).load()
    assert Csv(path=path, missing=missing, ignore=("y",)).load().features == ("x",)


def zip_with(place: int, value: int) -> bytes:
    """Return an archive of a table with a byte changed in both headers, counted from the flags."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.csv", text())
    content = bytearray(stream.getvalue())
    for begin in (content.index(b"PK\x03\x04") + 6, content.index(b"PK\x01\x02") + 8):
        content[begin + place] = value
    return bytes(content)


def test_a_table_that_came_with_nnexp_is_found_from_any_folder(in_folder: Callable[[], Path]) -> None:
    flats = Csv(path="experiments/flats.csv", target="price", kind="regression", categorical="auto")
    assert len(flats.load().train.x) > 20
    (in_folder() / "experiments").mkdir()
    save(in_folder() / "experiments", "a,b\n" + "1,2\n" * 30, "flats.csv")
    assert replace(flats, target="b").load().features == ("a",)  # one's own comes first


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    packed = gzip.compress(text().encode())
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", text())
        archive.writestr("b.csv", text())
    for path, reason in (
        (None, "dataset.path=null: must be the path of a table"),
        (str(tmp_path / "none.csv"), r"must be a file that can be read \(No such file"),
        (str(tmp_path), r"must be a file that can be read \(Is a directory"),
        ("", r"must be a file that can be read \(Is a directory"),
        ("a\0b.csv", "must be a table"),
        (save(tmp_path, packed[:-20], "short.gz"), "must be a table of text"),
        (save(tmp_path, packed[:20] + b"\0\xff" * 9 + packed[40:], "torn.gz"), "must be a table of text"),
        (save(tmp_path, b"PK\3\4" + text().encode(), "no.zip"), "must be a table of text in UTF-8 .File is not a zip"),
        (str(tmp_path / "two.zip"), "must have one table in the archive, and has a.csv, b.csv; unpack the one you"),
        (save(tmp_path, zip_with(0, 1), "locked.zip"), "must be a table of text in UTF-8 .File 'a.csv' is encrypted"),
        (save(tmp_path, zip_with(2, 7), "odd.zip"), "must be a table of text in UTF-8 .That compression method"),
    ):
        with pytest.raises(UserError, match=reason):
            Csv(path=path).load()


@pytest.mark.parametrize(
    "fields",
    [
        {"separator": ""},
        {"separator": "||"},
        {"separator": "(("},
        {"separator": "\n"},
        {"separator": '"'},
        {"separator": "§"},
        {"categorical": ("x", "x")},
        {"categorical": ("x",), "ignore": ("x",)},
        {"missing": "zero"},
        {"dtype": "float16"},
    ],
    ids=str,
)
def test_fields_that_make_no_sense_are_refused(fields: Fields) -> None:
    with pytest.raises(InvalidFieldError, match=f"^{next(iter(fields))}=.*: must be") as error:
        Csv(**fields)
    assert len(str(error.value).splitlines()) == 1


def quoted() -> str:
    lines = ['"x","y","label"', *(f'"{row}","{row % 7}","{"ab"[row % 2]}"' for row in range(20))]
    return "\n".join(lines).replace('"4","4"', '"4","2"')


SAME: list[tuple[str, str | bytes, Fields]] = [
    ("mark of UTF-8", b"\xef\xbb\xbf" + text().encode(), {}),
    ("lines of Windows", text().replace("\n", "\r\n"), {}),
    ("lines of an old Macintosh", text().replace("\n", "\r"), {}),
    ("no end of the last line", text().strip(), {}),
    ("blank lines", text().replace("\n", "\n\n"), {}),
    ("blank lines first", "\n\n" + text(), {}),
    ("spaces after commas", text().replace(",", ", "), {}),
    ("spaces after names", text().replace("x,y", "x , y "), {}),
    ("quotes", quoted(), {}),
    ("rows of separators", text().replace("\n", "\n,,\n, \t,\n"), {}),
    ("tabs around cells", text().replace(",", "\t,\t"), {}),
    ("blanks within quotes", quoted().replace(',"', ',"\t ').replace('",', ' ",'), {}),
    ("separators at the ends of lines", text().replace("\n", ",,\n"), {}),
    ("semicolons", text().replace(",", ";"), {"separator": ";"}),
    ("tabs", text().replace(",", "\t"), {"separator": "\t"}),
    ("tabs, as a shell passes them", text().replace(",", "\t"), {"separator": r"\t"}),
    ("columns of spaces", text().replace(",", "   "), {"separator": r"\s+"}),
    ("decimals", text("2.00"), {}),
    ("powers of ten", text("0.2e1"), {}),
    (
        "a column to ignore",
        text().replace("\n", ",oops\n").replace("oops", "note", 1),
        {"ignore": ("note",), "target": "label"},
    ),
]


@pytest.mark.parametrize(("content", "fields"), [row[1:] for row in SAME], ids=[row[0] for row in SAME])
def test_other_ways_to_write_a_table_give_the_same_data(tmp_path: Path, content: str | bytes, fields: Fields) -> None:
    plain = Csv(path=save(tmp_path, text())).load()
    assert_same(Csv(path=save(tmp_path, content, "other.csv"), **fields).load(), plain)


@pytest.mark.parametrize("suffix", ["gz", "zip"])
def test_a_compressed_table_is_read_as_it_is(tmp_path: Path, suffix: str) -> None:
    plain, path = Csv(path=save(tmp_path, text())).load(), tmp_path / f"my.csv.{suffix}"
    if suffix == "gz":
        path.write_bytes(gzip.compress(text().encode()))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("my.csv", text())
    assert_same(Csv(path=str(path)).load(), plain)


TOP = "a report,\n\n# of 2020\n"
SAID: list[tuple[str, str | bytes, Fields]] = [
    ("the line of the header", TOP + text(), {"header": 4}),
    ("lines to leave out", TOP + text(), {"skip_rows": 3}),
    ("comments", "# one\n" + text().replace("\n", " # more\n", 3), {"comment": "#"}),
    ("numbers as names, said", text().replace("x,y,label", "7,8,9"), {"header": 1}),
    ("latin 1", text().encode("latin-1"), {"encoding": "latin-1"}),
    ("UTF-16", text().encode("utf-16"), {"encoding": "utf-16"}),
    ("other quotes", text().replace("a", "'a'"), {"quote": "'"}),
    ("decimal commas", text("2,0").replace(",", ";").replace("2;0", "2,0"), {"separator": ";", "decimal": ","}),
    ("marks of thousands", text().replace("19,5", "0'019,5"), {"thousands": "'"}),
]


@pytest.mark.parametrize(("content", "fields"), [row[1:] for row in SAID], ids=[row[0] for row in SAID])
def test_how_a_table_is_read_can_be_said(tmp_path: Path, content: str | bytes, fields: Fields) -> None:
    plain = Csv(path=save(tmp_path, text())).load()
    other = Csv(path=save(tmp_path, content, "other.csv"), **fields).load()
    np.testing.assert_array_equal(other.train.x, plain.train.x)
    assert other.task == plain.task


@pytest.mark.parametrize(
    ("first", "refused"),
    [
        ("5,1,a", True),
        ("0.5,?,c", True),
        ("x,y,label", False),
        ("2019,2020,name", False),
        ("0,1,2", False),
        ("1,2,3", False),
        ("4,5,6", True),
        ("?,1,a", True),
    ],
)
def test_a_first_line_that_looks_like_a_row_is_refused(tmp_path: Path, first: str, refused: bool) -> None:  # noqa: FBT001
    path = save(tmp_path, text().replace("x,y,label", first))
    if refused:
        with pytest.raises(UserError, match=r"dataset.header=true: must be false, or the number of the line"):
            Csv(path=path, header=True).load()
    else:
        assert len(Csv(path=path, header=True).load().train) == 16


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (("1", "1.0", "1e0", "+1", "0"), ("0", "1")),
        (("01", "1", "02"), ("01", "02", "1")),
        (("1.50", "1.5", "15e-1", ".5"), ("0.5", "1.5")),
        (("1", "1.0", "a"), ("1", "1.0", "a")),
        (("10000000000000001", "10000000000000002"), ("10000000000000001", "10000000000000002")),
        (("yes", "no"), ("no", "yes")),
    ],
)
def test_numbers_are_equal_as_labels_however_they_are_written_and_codes_are_not(
    tmp_path: Path, labels: tuple[str, ...], names: tuple[str, ...]
) -> None:
    path = save(tmp_path, classes(*(labels[row % len(labels)] for row in range(60))))
    assert Csv(path=path).load().task.classes == names
    table = Csv(path=path, target="y", kind="regression", categorical=("label",)).examples()
    assert table.columns[-1].names == names


def test_rows_that_are_left_out_are_counted(tmp_path: Path) -> None:
    lines = [f"{row},{row * 1.5 if row % 5 else '-'},{'ab'[row % 2] if row % 7 else ''}" for row in range(40)]
    path = save(tmp_path, HEAD + "\n\n,,\n".join(lines))
    fields: Fields = {"missing": "drop", "missing_values": ("-",)}
    with pytest.raises(UserError, match=r"row 22 has none; dataset.drop_without_target=true leaves such rows out"):
        Csv(path=path, **fields).load()
    data = Csv(path=path, drop_without_target=True, **fields).load()
    assert len(data.train) + len(data.test) == sum(row % 5 > 0 and row % 7 > 0 for row in range(40))
    assert data.notes[:2] == ("rows without a target are left out: 6", "rows without every value are left out: 6")


@pytest.mark.parametrize("said", [(-200,), (-200.0,), ("-200",), ("-2e2",)])
@pytest.mark.parametrize("decimal", [".", ","])
def test_a_number_may_stand_for_a_missing_value_however_it_is_written(tmp_path: Path, said: Any, decimal: Any) -> None:  # noqa: ANN401
    cells = ["-200", f"-200{decimal}0", "-2e2", "NA", f"1{decimal}5", ""]
    lines = [f"{row % 3};{cells[row % 5 + row % 2]};{cells[row % 3]}" for row in range(60)]
    path = save(tmp_path, "x;y;label\n" + "\n".join(lines))
    fields: Fields = {"missing_values": said, "decimal": decimal, "missing": "mean", "categorical": ("y",)}
    table = Csv(path=path, target="x", ignore=("label",), **fields).examples()
    assert table.columns[0].names == (f"1{decimal}5", "NA", "missing")
    with pytest.raises(UserError, match=r"dataset.target=label: must have a value in every row, and row 1 has none"):
        Csv(path=path, **fields).load()


def test_a_column_without_a_name_that_has_a_value_after_all_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "ROWS", 5)
    path = save(tmp_path, (text().replace("\n", ",\n") + "1,2,a,9\n"))
    with pytest.raises(UserError, match="must have a name for each column with a value, and column 4 has none"):
        Csv(path=path).load()


def test_a_test_file_has_the_columns_and_truths_of_the_training(tmp_path: Path) -> None:
    rows = [f"{row},{('yes', 'no')[row % 2]},{'ab'[row // 2 % 2]}" for row in range(40)]
    path, test_path = (
        save(tmp_path, "\n".join([HEAD.strip(), *rows])),
        save(tmp_path, "label,y,x\nb,TRUE,1\na,0,2", "t"),
    )
    data = raw(path, test_path=test_path, validation_size=0.5)
    assert data.validation is not None
    assert (len(data.train), len(data.validation), data.test.x.tolist()) == (20, 20, [[1, 1], [2, 0]])
    assert data.test.targets.tolist() == [1, 0]
    for content, sentence in (
        ("x,label\n1,a", "must have the columns of .* and lacks y"),
        ("x,y,label\n1,no,c", "must have the classes of the training, a, b, and has c in column label"),
        ("x,y,label\n1,maybe,a", "in column y, and row 1 has maybe"),
        ("x,y,label\n1,,a", "or the table .* complete"),
    ):
        with pytest.raises(UserError, match=sentence):
            raw(path, test_path=save(tmp_path, content, "t"))


def assert_same(one: Data, other: Data) -> None:
    for part in ("train", "test"):
        np.testing.assert_array_equal(getattr(one, part).x, getattr(other, part).x)
        np.testing.assert_array_equal(getattr(one, part).targets, getattr(other, part).targets)
    assert (one.task, one.features, one.notes) == (other.task, other.features, other.notes)


def test_a_table_read_in_pieces_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"{row},{'' if row % 5 == 0 else row * row},{'uvw'[row // 7 % 3]},{row // 30}" for row in range(60)]
    fields: Fields = {"path": save(tmp_path, "x,y,z,label\n" + "\n".join(lines)), "categorical": ("z",), **FILL}
    whole = Csv(**fields).load()
    monkeypatch.setattr(reading, "CELLS", 12)
    assert_same(Csv(**fields).load(), whole)
    bad = save(tmp_path, text("oops"))
    with pytest.raises(UserError, match="row 5 has oops"):
        Csv(path=bad).load()


def raw(path: str, **fields: Any) -> Data:  # noqa: ANN401
    return Csv(path=path, standardize=False, **fields).load()


def test_the_target_may_be_any_column(tmp_path: Path) -> None:
    data = raw(save(tmp_path, text()), target="y", kind="regression", ignore=("label",))
    assert (data.features, data.task.columns) == (("x",), ("y",))
    np.testing.assert_array_equal(data.train.targets, np.where(data.train.x == 4, 2, data.train.x % 7))


def test_values_are_those_of_pandas(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.standard_normal((50, 3)), columns=["a", "b", "c"])
    frame["d"] = generator.integers(-5, 5, 50)
    path = save(tmp_path, frame.to_csv(index=False))
    data = raw(path, kind="regression", target="c")
    rows = np.concatenate([np.hstack([part.x, part.targets]) for part in (data.train, data.test)])
    expected = pd.read_csv(path)[["a", "b", "d", "c"]].to_numpy()
    assert Counter(map(tuple, rows.tolist())) == Counter(map(tuple, expected.tolist()))
    assert (data.features, data.task.columns) == (("a", "b", "d"), ("c",))


def test_a_constant_column_is_centred_and_noted(tmp_path: Path) -> None:
    lines = "".join(f"{row},5,{'ab'[row % 2]}\n" for row in range(20))
    data = Csv(path=save(tmp_path, HEAD + lines)).load()
    np.testing.assert_array_equal(data.train.x[:, 1], 0)
    np.testing.assert_array_equal(data.test.x[:, 1], 0)
    assert data.notes[-1] == "the same in every training row: y"


def test_ten_thousand_columns_are_read(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 100, (20, 10_000))
    frame = pd.DataFrame(x).assign(label=["a", "b"] * 10)
    data = Csv(path=save(tmp_path, frame.to_csv(index=False))).load()
    assert data.train.x.shape == (16, 10_000)
    assert data.features[-1] == "9999"


def test_truths_are_ones(tmp_path: Path) -> None:
    lines = "".join(f"{row},{row % 3 == 0},{'ab'[row % 2]}\n" for row in range(20))
    x, y = raw(save(tmp_path, HEAD + lines)).train.x.T
    np.testing.assert_array_equal(y, x % 3 == 0)


def test_truths_with_a_gap_are_ones_too(tmp_path: Path) -> None:
    lines = "".join(f"{row},{'' if row == 8 else row % 3 == 0},{'ab'[row % 2]}\n" for row in range(20))
    data = raw(save(tmp_path, HEAD + lines), missing="most_frequent")
    x, y = np.concatenate([data.train.x, data.test.x]).T
    np.testing.assert_array_equal(y, (x % 3 == 0) & (x != 8))


def test_each_category_is_a_column_and_so_is_a_missing_one(tmp_path: Path) -> None:
    cities = ["Rom", "?", "Köln", "Rom", "Aix", "NA", "Köln", ""] * 3
    lines = "".join(f"{city},{row},{'ab'[row % 2]}\n" for row, city in enumerate(cities))
    data = raw(save(tmp_path, HEAD + lines), categorical=("x",), missing="mean")
    assert data.features == ("y", "x=Aix", "x=Köln", "x=Rom", "x=missing")
    for part in (data.train, data.test):
        for y, *ones in part.x.tolist():
            city = cities[int(y)]
            assert ones == [city == "Aix", city == "Köln", city == "Rom", city in {"?", "NA", ""}]


def test_codes_become_columns_in_the_order_of_numbers(tmp_path: Path) -> None:
    lines = "".join(f"{[10, 9, 2][row % 3]},{row},{'ab'[row % 2]}\n" for row in range(24))
    assert raw(save(tmp_path, HEAD + lines), categorical=("x",)).features == ("y", "x=2", "x=9", "x=10")


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (("x", "y", "z"), ("x", "y", "z")),
        (("2", "9", "10"), ("2", "9", "10")),
        (("-1", "0", "1.5"), ("-1", "0", "1.5")),
        (("10", "9", "x"), ("10", "9", "x")),
        (("False", "True"), ("False", "True")),
        (('"b, or\nnot"', '"say ""a"""'), ("b, or not", 'say "a"')),
    ],
)
def test_classes_are_in_their_order(tmp_path: Path, cells: tuple[str, ...], names: tuple[str, ...]) -> None:
    count = len(cells)
    data = raw(save(tmp_path, classes(*(cells[-1 - row % count] for row in range(24)))))
    assert data.task.classes == names
    np.testing.assert_array_equal(data.train.targets, count - 1 - data.train.x[:, 0] % count)


@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_filling_in_is_that_of_scikit_learn(tmp_path: Path, strategy: Any, dtype: Any) -> None:  # noqa: ANN401
    generator = np.random.default_rng(3)
    table = generator.integers(0, 9, (80, 3)).astype(float)
    holes = generator.random((80, 3)) < 0.2
    table[holes] = np.nan
    frame = pd.DataFrame(table, columns=["p", "q", "r"]).assign(row=range(80), label=np.arange(80) % 2)
    path = save(tmp_path, frame.to_csv(index=False))
    data = raw(path, missing=strategy, dtype=dtype, validation_size=0.2)
    assert data.validation is not None
    imputer = SimpleImputer(strategy=strategy).fit(table[data.train.x[:, 3].astype(int)])
    for part in (data.train, data.validation, data.test):
        assert part.x.dtype == dtype
        filled = imputer.transform(table[part.x[:, 3].astype(int)]).astype(dtype)
        np.testing.assert_array_equal(part.x[:, :3], filled)
    counts = ", ".join(f"{name} {count}" for name, count in zip("pqr", holes.sum(axis=0), strict=True))
    value = strategy.replace("_", " ")
    assert data.notes[-1] == f"missing numbers ({counts}) are filled in with the {value} of the training part"


rubbish = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(str.encode),
    st.text(',;"\n\r\t 01ab?.-einfE', max_size=300).map(str.encode),
    st.text(",01ab?\n", max_size=200).map(lambda rows: f"{HEAD}{rows}".encode()),
    st.lists(st.sampled_from(["1,2,a", "3,4,b", "1e30,-7,a", ",,b", "inf,1,a", "1,2", '"1",2,b']), max_size=30).map(
        lambda rows: "\n".join([HEAD.strip(), *rows]).encode()
    ),
)


@given(
    content=rubbish,
    kind=st.sampled_from(["classification", "regression"]),
    missing=st.sampled_from(["refuse", "mean", "most_frequent"]),
    dtype=st.sampled_from(["float64", "float32"]),
)
@tries(200)
def test_any_file_is_data_or_a_sentence(content: bytes, kind: Any, missing: Any, dtype: Any) -> None:  # noqa: ANN401
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="error"):
        try:
            data = Csv(path=save(Path(folder), content), kind=kind, missing=missing, dtype=dtype).load()
        except UserError as error:
            assert len(str(error).splitlines()) == 1  # noqa: PT017
        else:
            assert np.isfinite(data.train.x).all()
            assert len(data.train) > 0


def test_the_table_of_heart_disease() -> None:
    data = Heart().load()
    labels = np.concatenate([data.train.targets, data.test.targets])
    assert (len(data.train.x) + len(data.test.x), len(data.features)) == (303, 13)
    assert np.bincount(labels).tolist() == [164, 139]
    assert data.notes == ("missing numbers (ca 4, thal 2) are filled in with the most frequent of the training part",)
    assert (data.task.classes, data.features[:2]) == (("0", "1"), ("age", "sex"))


@pytest.mark.skipif("NNEXP_HEART_CSV" not in os.environ, reason="NNEXP_HEART_CSV is the table of the tutorial")
def test_the_tutorial_has_the_same_patients_and_calls_the_healthy_one() -> None:
    """One row is another there: the tutorial has a man of 38 twice, and lacks a woman of 60."""
    tutorial = pd.read_csv(os.environ["NNEXP_HEART_CSV"])
    ours = pd.read_csv(Heart().file())
    findings = ["age", "sex", "trestbps", "chol", "thalach", "oldpeak"]
    theirs = tutorial[["age", "sex", "trtbps", "chol", "thalachh", "oldpeak"]].assign(disease=1 - tutorial["output"])
    one = Counter(map(tuple, ours[[*findings, "disease"]].astype(float).to_numpy().tolist()))
    other = Counter(map(tuple, theirs.astype(float).to_numpy().tolist()))
    assert (one - other).total() == (other - one).total() == 1
    assert tutorial.duplicated().sum() == 1
