"""Tables as people have them: each is read as they mean it, in training and in predict, or a line says what to type."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nnexp.data.csv import Csv
from tests.conftest import Finished

TABLES = Path(__file__).with_name("tables")
QUIET = ("tracking=none", "figures=false", "verbose=false", "trainer.epochs=1", "output_dir=runs")
NUMBERS = ("dataset.kind=regression", "loss=mean_squared_error", "dataset.standardize_targets=true")
CLASSES = ("loss=sparse_categorical_cross_entropy",)
DATES = "dataset.ignore=[Datum,Zeit]"
AIR = (*NUMBERS, "dataset.target=CO(GT)", DATES, "dataset.missing_values=[-200]", "dataset.missing=mean")
TITANIC = (
    "dataset.target=Survived",
    "dataset.missing=median",
    "dataset.ignore=[PassengerId,Name,Cabin]",
    "dataset.categorical=[Sex,Embarked]",
)
Typed = Callable[..., Finished]

READ: dict[str, tuple[str, tuple[str, ...], int, int, tuple[str, ...]]] = {
    "no header": ("noheader.csv", (*CLASSES, "dataset.header=false"), 60, 4, ("Iris-setosa", "Iris-virginica")),
    "one feature": ("one_feature.csv", NUMBERS, 60, 1, ()),
    "tabs in labels": ("tabs_in_labels.csv", (), 100, 3, ("ckd", "notckd")),
    "a tab before ?": ("tab_question.csv", ("dataset.missing=mean",), 100, 3, ("bp 1", "yes is 1")),
    "trailing blanks": ("trailing_space.csv", ("dataset.categorical=auto",), 80, 3, ("fail", "pass")),
    "labels 1 and 1.0": ("mixed_labels.csv", (), 80, 2, ("0", "1")),
    "None is a class": ("none_class.csv", (*CLASSES, "dataset.missing_values=[]"), 60, 2, ("Apnea", "None")),
    "NA and None are names": (
        "na_category.csv", (*NUMBERS, "dataset.missing_values=[]", "dataset.categorical=auto"), 60, 7, ('"None"',),
    ),
    "decimal commas": ("euro.csv", (*NUMBERS, "dataset.decimal=,", "dataset.thousands=."), 60, 2, ("separator=;",)),
    "points for thousands?": ("euro_thousands.csv", NUMBERS, 60, 2, ("a mark of thousands: dataset.thousands=.",)),
    "points for thousands": ("euro_thousands.csv", (*NUMBERS, "dataset.thousands=."), 60, 2, ()),
    "-200 for missing": (
        "airquality_points.csv",
        (*AIR, "dataset.drop_without_target=true"), 72, 3, ("without a target are left out: 8",),
    ),
    "rows of separators": (
        "airquality_norows.csv",
        (*AIR, "dataset.drop_without_target=true"), 72, 3, ("without a target are left out: 8",),
    ),
    "no target in a row": (
        "housing_gap.csv", (*NUMBERS, "dataset.drop_without_target=true"), 199, 3, ("a target are left out: 1",),
    ),
    "brackets and commas in names": (
        "concrete.csv",
        (*NUMBERS, "dataset.target=Concrete compressive strength(MPa, megapascals)"),
        60, 2, ("Concrete compressive strength(MPa, megapascals)",),
    ),
    "signs in names": ("odd_names.csv", (*NUMBERS, "dataset.target=Price ($)"), 40, 3, ("Price ($)",)),
    "brackets in the name of the file": ("fraud (1).csv", (), 600, 3, ("0", "1")),
    "numbers for names": ("numeric_header.csv", ("dataset.target=4",), 60, 4, ("0", "1")),
    "semicolons": ("wine_semicolon.csv", CLASSES, 90, 2, ("separator=;", "5", "7")),
    "semicolons, said": ("wine_semicolon.csv", (*CLASSES, "dataset.separator=;"), 90, 2, ("5", "7")),
    "comments": ("comments.csv", ("dataset.comment=#",), 40, 2, ("a", "b")),
    "a zip of a Mac": ("mac.zip", NUMBERS, 60, 1, ("response",)),
    "times": ("timestamps.csv", (*NUMBERS, "dataset.dtype=float32"), 200, 2, ("counts the rows: ts",)),
    "names and gaps": ("titanic.csv", TITANIC, 120, 9, ("Age 20",)),
    "an index": ("index_unnamed.csv", (), 60, 3, ("counts the rows: Unnamed: 0",)),
    "an index, left out": ("index_unnamed.csv", ("dataset.ignore=[Unnamed: 0]",), 60, 2, ()),
    "two targets": ("two_targets.csv", (*NUMBERS, "dataset.target=[Y1,Y2]"), 60, 2, ("Y1", "Y2")),
    "a test file": (
        "adult_train.csv",
        ("dataset.test_path=adult_test.csv", "dataset.categorical=auto", "dataset.missing=mean"),
        80, 5, ("<=50K", "labels are read without the dot at their end (<=50K., >50K.)"),
    ),
    "many columns of names": ("many_categories.csv", (*NUMBERS, "dataset.categorical=auto"), 60, 29, ("C1",)),
    "dates, left out": ("dates.csv", (*NUMBERS, "dataset.ignore=[date]"), 100, 1, ()),
}  # fmt: skip
"""Files, what is typed, their rows and features, and words that the files of the run have."""


def trained(typed: Typed, file: str, *words: str) -> Path:
    """Return the folder of a run."""
    for path in TABLES.iterdir():
        (Path.cwd() / path.name).write_bytes(path.read_bytes())
    done = typed("dataset=csv", f"dataset.path={file}", *words, *QUIET)
    assert done.returncode == 0, done.stderr
    (folder,) = (path.parent for path in Path("runs").rglob("result.json"))
    return folder


def lines_of(typed: Typed, *words: str) -> list[str]:
    """Return the lines that are predicted."""
    done = typed("predict", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[1:]


@pytest.mark.parametrize("name", READ)
def test_a_table_is_read_as_it_is_meant(typed: Typed, name: str) -> None:
    """In training; and predict has a line for each of its rows, and the same answer without the target."""
    file, words, rows, features, known = READ[name]
    folder = trained(typed, file, *words)
    about = json.loads((folder / "model.json").read_text())
    said = "\n".join((folder / part).read_text() for part in ("model.json", "result.json", "report.md"))
    assert about["features"] == features
    assert all(word in said for word in known)
    predicted = lines_of(typed, str(folder), file)
    assert len([line for line in predicted if line]) >= rows
    assert len({*predicted}) > 1


REFUSED: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "no header": ("noheader.csv", CLASSES, ("dataset.header=true: must be false", "5.1, 3.2")),
    "None is a class": ("none_class.csv", CLASSES, ("row 1 has none", "dataset.missing_values=[]")),
    "NA and None are names": ("na_category.csv", NUMBERS, ("dataset.categorical=[pool,garage]",)),
    "decimal commas": ("euro.csv", NUMBERS, ("flaeche (40,0)", "dataset.decimal=,", "dataset.thousands=.")),
    "dates with semicolons": ("airquality_points.csv", NUMBERS, ("01/03/2004 is a date", DATES)),
    "no target in a row": ("housing_gap.csv", NUMBERS, ("row 10 has none", "dataset.drop_without_target=true")),
    "comments": ("comments.csv", (), ("dataset.comment=#",)),
    "a name of which auto is none": (
        "titanic.csv",
        ("dataset.target=Survived", "dataset.categorical=auto"), ("Name has 120", "dataset.ignore=[Name]"),
    ),
    "many columns of names": ("many_categories.csv", NUMBERS, ("dataset.categorical=[C0,C1,C2,C3,C4,C5,C6,C7,C8,C9,",)),
    "money": ("currency.csv", (), ("$10.99 is a currency", "ignore=[price]", "dataset.categorical=[installs,free]")),
    "dates": ("dates.csv", NUMBERS, ("2023-01-01 is a date", "dataset.ignore=[date]")),
    "two targets of classes": ("two_targets.csv", ("dataset.target=[Y1,Y2]",), ("dataset.target=", "kind=regression")),
    "no such file to test on": (
        "housing.csv", (*NUMBERS, "dataset.test_path=adult.test"), ("dataset.test_path=adult.test: must be a file",),
    ),
    "an address": ("https://example.org/a.csv", (), ("not an address; download it",)),
    "a pipe": ("/dev/stdin", (), ("dataset.path=/dev/stdin: must be a file",)),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_table_that_cannot_be_meant_so_is_refused_in_one_line(typed: Typed, name: str) -> None:
    file, words, known = REFUSED[name]
    path = f"dataset.path={TABLES / file if (TABLES / file).exists() else file}"
    done = typed("dataset=csv", path, *words, *QUIET)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert all(word in done.stderr for word in known), done.stderr
    assert not Path("runs").exists()


def test_a_blank_line_has_its_prediction(typed: Typed) -> None:
    """In a table of one column it is a missing value, in any other no row, and its line is empty."""
    folder = str(trained(typed, "one_feature.csv", *NUMBERS))
    for name in ("one_feature_new.csv", "one_feature_quoted.csv"):
        done = typed("predict", folder, name)
        assert (done.returncode, "row 2 has none" in done.stderr) == (2, True)
    Path("two.csv").write_text("dose,more\n1,a\n\n,\n3,b\n\n")
    assert [bool(line) for line in lines_of(typed, folder, "two.csv")] == [True, False, False, True, False]


def test_a_blank_line_is_filled_in(typed: Typed) -> None:
    Path("gap.csv").write_text((TABLES / "one_feature.csv").read_text() + ",7\n")
    folder = str(trained(typed, "gap.csv", *NUMBERS, "dataset.missing=mean"))
    for name in ("one_feature_new.csv", "one_feature_quoted.csv"):
        assert len([line for line in lines_of(typed, folder, name) if line]) == 4


def test_predict_reads_as_training_did(typed: Typed) -> None:
    """And otherwise where it is told to."""
    folder = str(
        trained(typed, "euro.csv", *NUMBERS, "dataset.decimal=,", "dataset.thousands=.", "dataset.ignore=[zimmer]")
    )
    plain = lines_of(typed, folder, "euro.csv")
    table = pd.read_csv("euro.csv", sep=";", decimal=",", thousands=".")
    table[["flaeche"]].to_csv("point.csv", index=False)
    assert lines_of(typed, folder, "point.csv", "--decimal", ".", "--thousands", "null") == plain
    table.drop(columns="preis").to_csv("bare.csv", index=False, header=False, sep=";", decimal=",", encoding="utf-16")
    assert lines_of(typed, folder, "bare.csv", "--header", "false", "--encoding", "utf-16") == plain
    refused = typed("predict", folder, "point.csv")
    assert refused.returncode == 2
    assert "has a decimal point: --decimal ." in refused.stderr


def test_a_name_that_the_training_had_not(typed: Typed) -> None:
    names = ("dataset.ignore=[PassengerId,Name]", "dataset.categorical=[Sex,Embarked,Cabin]")
    folder = str(trained(typed, "titanic.csv", *TITANIC, *names))
    refused = typed("predict", folder, "titanic_new.csv")
    assert refused.returncode == 2
    assert "in column Cabin, and row 2 has B45; --unknown ignore takes such" in refused.stderr
    taken = typed("predict", folder, "titanic_new.csv", "--unknown", "ignore")
    assert (taken.returncode, len(taken.stdout.splitlines())) == (0, 7)
    assert (
        taken.stderr.splitlines()[-1]
        == "nnexp: titanic_new.csv: names that the training had not count as none: Cabin 1"
    )


def test_names_that_stand_for_missing_elsewhere_are_names_in_predict(typed: Typed) -> None:
    words = (*NUMBERS, "dataset.missing_values=[]", "dataset.categorical=auto", "dataset.unknown=ignore")
    folder = str(trained(typed, "na_category.csv", *words))
    done = typed("predict", folder, "na_new.csv")
    assert done.stderr == "nnexp: na_new.csv: names that the training had not count as none: pool 1\n"
    assert len(done.stdout.splitlines()) == 2


def test_large_numbers_keep_their_digits() -> None:
    data = Csv(path=str(TABLES / "timestamps.csv"), kind="regression", dtype="float32").load()
    assert len({*data.train.x[:, 0].tolist()}) == len(data.train)
    assert data.train.x.dtype == np.float32
