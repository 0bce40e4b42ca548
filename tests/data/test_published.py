"""Well-known tables in the form in which their publishers give them, each trained with one command of obvious keys."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Finished

Typed = Callable[..., Finished]
QUIET = ("tracking=none", "figures=false", "verbose=false", "trainer.epochs=1", "output_dir=runs")
NUMBERS = ("dataset.kind=regression", "loss=mean_squared_error")
CLASSES = ("loss=sparse_categorical_cross_entropy",)
HEADLESS, AUTO, MEAN = "dataset.header=false", "dataset.categorical=auto", "dataset.missing=mean"
ROWS = 60
DRAWN = np.random.default_rng(0)


def made(line: str, *choices: Sequence[object]) -> str:
    """Return lines in which each {} is one of its choices, in turn with other steps."""
    steps = (1, 7, 11, 13, 17, 19, 23, 29, 31)
    rows = (
        line.format(
            *(some[row * steps[place % 9] // (1 + place % 2) % len(some)] for place, some in enumerate(choices))
        )
        for row in range(ROWS)
    )
    return "\n".join(rows) + "\n"


REALS = [f"{value:.3f}" for value in DRAWN.normal(3, 1, 47)]
WHOLE = [str(value) for value in DRAWN.integers(1, 90, 31)]
JOBS, SCHOOLS, COUNTRIES = (
    ("Private", "State-gov", "?"),
    ("Bachelors", "HS-grad", "11th"),
    ("United-States", "?", "Cuba"),
)
PEOPLE = "{}, {}, 77516, {}, 13, Never-married, {}, 0, 40, {}, {}"
ADULT = made(PEOPLE, WHOLE, JOBS, SCHOOLS, ("Male", "Female"), COUNTRIES, ("<=50K", ">50K"))
ADULT_TEST = "|1x3 Cross validator\n" + ADULT.replace("0K\n", "0K.\n")
AIR = "Date;Time;CO(GT);PT08.S1(CO);NMHC(GT);T;;\n"
AIR += made("10/03/2004;18.00.00;{};{};{};{};;", ("2,6", "-200", "1,4"), WHOLE, ("150", "-200"), ("13,6", "11,9", "9"))
AIR += ";;;;;;;\n" * 5
CARS = made('{}   8   307.0      {}      3504.      12.0   70  1\t"{} {}"', ("18.0", "15.5", "16.25"),
            ("130.0", "?", "95.00"), ("ford", "chevrolet"), WHOLE)  # fmt: skip
AMES = "Id,MSZoning,LotFrontage,Alley,PoolQC,SalePrice\n" + made(
    "{},{},{},{},NA,{}", range(1, 61), ("RL", "RM", "C (all)"), ("65", "NA", "80"), ("NA", "Grvl"), WHOLE
)
CONCRETE = (
    '"Cement (component 1)(kg in a m^3 mixture)","Age (day)","Concrete compressive strength(MPa, megapascals) "\n'
)
TITANIC = "PassengerId,Survived,Pclass,Name,Sex,Age,Ticket,Fare,Cabin,Embarked\r\n" + made(
    '{},{},3,"Braund, Mr. Owen ""O"" {}",{},{},A/5 {},7.25,,{}\r',
    range(1, 61), "01", range(60), ("male", "female"), ("22", "", "0.42"), range(100, 160), "SCQ",
)  # fmt: skip
MUSHROOMS = made("{},x,{},n,{},?", "ep", "sfy", "ft").rstrip("\n") + "\n"
WINE = '"fixed acidity";"volatile acidity";"alcohol";"quality"\n' + made("{};{};{};{}", REALS, REALS, REALS, "567")

TABLES: dict[str, tuple[dict[str, str], tuple[str, ...], int, int]] = {
    "wine quality": ({"winequality-red.csv": WINE}, CLASSES, 60, 3),
    "adult": (
        {"adult.data": ADULT + "\n", "adult.test": ADULT_TEST + "\n"},
        ("dataset.test_path=adult.test", "dataset.comment=|", HEADLESS, AUTO, MEAN),
        60, 17,
    ),
    "Titanic": (
        {"train.csv": TITANIC},
        ("dataset.target=Survived", "dataset.ignore=[Name,Ticket,Cabin]", AUTO, MEAN),
        60, 9,
    ),
    "Pima": ({"pima-indians-diabetes.data": made("6,{},72,{},{},{}", WHOLE, REALS, WHOLE, "01")}, (HEADLESS,), 60, 5),
    "concrete": ({"Concrete_Data.csv": CONCRETE + made("{},{},{}", REALS, WHOLE, REALS)}, NUMBERS, 60, 2),
    "air quality": (
        {"AirQualityUCI.csv": AIR},
        (*NUMBERS, "dataset.target=CO(GT)", "dataset.decimal=,", "dataset.missing_values=[-200]", MEAN,
         "dataset.drop_without_target=true", "dataset.ignore=[Date,Time]"),
        40, 3,
    ),
    "banknotes": ({"data_banknote_authentication.txt": made("{},{},{},{},{}", *[REALS] * 4, "01")}, (HEADLESS,), 60, 4),
    "Ames": (
        {"train.csv": AMES},
        (*NUMBERS, AUTO, "dataset.missing=median", "dataset.ignore=[Id,PoolQC]"),
        60, 6,
    ),
    "mushrooms": (
        {"agaricus-lepiota.data": MUSHROOMS},
        (HEADLESS, "dataset.target=column 1", AUTO, "dataset.missing_values=[]"),
        60, 8,
    ),
    "abalone": (
        {"abalone.data": made("{},{},{},{}", "MFI", REALS, REALS, WHOLE)},
        (*NUMBERS, HEADLESS, AUTO),
        60, 5,
    ),
    "cars": (
        {"auto-mpg.data": CARS},
        (*NUMBERS, HEADLESS, "dataset.target=column 1", "dataset.ignore=[column 9]", MEAN),
        60, 7,
    ),
    "iris": (
        {"iris.data": made("{},{},{},{},{}", *[REALS] * 4, ("Iris-setosa", "Iris-virginica")) + "\n"},
        (HEADLESS,), 60, 4,
    ),
    "seeds": (
        {"seeds_dataset.txt": made("{}\t{}{}\t{}", REALS, ("\t", ""), REALS, "123")}, (*CLASSES, HEADLESS), 60, 2,
    ),
}  # fmt: skip
"""Files, the keys beside `dataset.path`, and the rows and features that come of them."""


@pytest.mark.parametrize("name", TABLES)
def test_a_published_table_trains_with_one_command(typed: Typed, name: str) -> None:
    files, words, rows, features = TABLES[name]
    for file, content in files.items():
        Path(file).write_bytes(content.encode())
    file = next(iter(files))
    done = typed("dataset=csv", f"dataset.path={file}", *words, *QUIET)
    assert (done.returncode, done.stderr) == (0, "")
    (folder,) = (path.parent for path in Path("runs").rglob("result.json"))
    assert json.loads((folder / "model.json").read_text())["features"] == features
    predicted = typed("predict", str(folder), file)
    assert predicted.returncode == 0, predicted.stderr
    assert len([line for line in predicted.stdout.splitlines()[1:] if line]) >= rows


@pytest.mark.parametrize("name", [name for name, (_, words, *_) in TABLES.items() if HEADLESS in words])
def test_without_its_key_a_table_without_a_header_is_refused(typed: Typed, name: str) -> None:
    files, words, *_ = TABLES[name]
    for file, content in files.items():
        Path(file).write_text(content)
    done = typed(
        "dataset=csv", f"dataset.path={next(iter(files))}", *(word for word in words if word != HEADLESS), *QUIET
    )
    assert done.returncode == 2
    assert done.stderr.startswith("nnexp: dataset.header=true: must be false")
