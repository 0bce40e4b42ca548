"""Arithmetic on keys, in references of figures and as values in configs."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from nnexp.config.compose import compose_experiment
from nnexp.config.identity import config_hash
from nnexp.core.errors import UserError
from nnexp.core.expressions import check_expression, evaluated
from tests.conftest import Typed


@pytest.mark.parametrize(
    ("text", "value"),
    [("2/a.b", 4.0), ("-(1 + 2) * a.b - 1", -2.5), ("1e3", 1000.0), ("1/(a.b - 0.5)", None), ("c", None), ("d", None)],
)
def test_an_expression_has_a_value(text: str, value: float | None) -> None:
    assert evaluated(text, {"a.b": "0.5", "c": "full"}) == (
        value if value is not None else pytest.approx(np.nan, nan_ok=True)
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2 **  3",
        "f(1)",
        "a.b if 1 else 2",
        "[1]",
        "'x'",
        "True",
        "1 1",
        "a[0]",
        "1;2",
        "1or 2",
        "(" * 400,
        "x" * 600,
    ],
)
def test_anything_else_is_no_expression(text: str) -> None:
    with pytest.raises(UserError, match="must be numbers, keys"):
        check_expression(text, "reference", {"a.b": 1.0, "x": 1})


def test_keys_of_an_expression_are_numbers_that_there_are() -> None:
    with pytest.raises(UserError, match=r"^r=2/a.bb: a.bb is no such key, did you mean a.b\?"):
        check_expression("2/a.bb", "r", {"a.b": 1.0})
    with pytest.raises(UserError, match="must have keys of numbers, and a is full"):
        check_expression("2/a", "r", {"a": "full"})


WIDTH = ["architecture=uniform", "architecture.width=32"]


@pytest.mark.parametrize(
    ("formula", "number"),
    [
        ("optimizer.learning_rate=0.1/architecture.width", 0.1 / 32),
        ("optimizer.learning_rate=(seed + 1)/(2*architecture.depth)", 0.25),
        ("optimizer.learning_rate=architecture.base_width*1e-3", 0.064),
        ("architecture.depth=architecture.width/8 - 1", 3),
        ("trainer.batch_size=4*architecture.depth", 8),
        ("trainer.snapshots=[1,architecture.depth*2]", [1, 4]),
    ],
)
def test_a_value_may_be_arithmetic_on_others_and_is_its_number(formula: str, number: object) -> None:
    """Its hash, and with it everything that is recorded, are those of the number."""
    key = formula.partition("=")[0]
    assert config_hash(compose_experiment([*WIDTH, formula])) == config_hash(
        compose_experiment([*WIDTH, f"{key}={json.dumps(number)}"])
    )


MISTAKES = [
    (["optimizer.learning_rate=1/3"], "must be a number greater than 0, did you mean 0.333333?"),
    (["optimizer.learning_rate=slow-rate"], "slow-rate: must be a number greater than 0"),
    (["optimizer.learning_rate=0.1/architecture.widht"], "architecture.widht is no such key, did you mean "),
    (["optimizer.learning_rate=0.1*trainer.batch_size"], "must have keys of numbers, and trainer.batch_size is full"),
    (["optimizer.learning_rate=0.1/seed"], "optimizer.learning_rate=0.1/seed: must be a finite number, and is nan"),
    (["optimizer.learning_rate=0-seed-1"], "optimizer.learning_rate=-1.0: must be a number greater than 0"),
    (["optimizer.learning_rate=exp(1)*architecture.width"], "must be a number"),
    (["seed=2*seed"], "seed=2*seed: must not depend on itself (seed needs seed)"),
    (
        ["optimizer.learning_rate=2*architecture.base_width", "architecture.base_width=optimizer.learning_rate/2"],
        "must not depend on itself (architecture.base_width needs optimizer.learning_rate needs",
    ),
]


@pytest.mark.parametrize(("overrides", "sentence"), MISTAKES)
def test_arithmetic_without_a_number_is_refused(overrides: list[str], sentence: str) -> None:
    with pytest.raises(UserError) as refusal:
        compose_experiment([*WIDTH, *overrides])
    assert sentence.partition("did you mean ")[0] in str(refusal.value)


FILE = """# @package _global_
optimizer: {learning_rate: 0.1*(seed + 1)/architecture.width}
sweep:
  over:
    architecture.width: [8, 16]
    initializer.scale: (architecture.width + 0.5)/architecture.base_width, 0.25
"""


def test_columns_of_a_sweep_may_be_arithmetic_in_a_file_and_on_the_command_line(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "rates.yaml").write_text(FILE)
    quick = ["architecture=uniform", "trainer.epochs=1", "tracking=none", "trainer.regularization.l2=1e-3*(seed+2),0"]
    result = typed("-m", "--config-dir", "mine", "experiment=rates", "seed=1", *quick)
    assert (result.returncode, result.stderr) == (0, "")
    configs = [yaml.safe_load(path.read_text()) for path in tmp_path.rglob("runs/*/config.yaml")]
    found = sorted(
        (one["architecture"]["width"], one["initializer"]["scale"], one["trainer"]["regularization"]["l2"])
        for one in configs
    )
    assert found == sorted((w, s, p) for w in (8, 16) for s in ((w + 0.5) / 64, 0.25) for p in (0, 0.003))
    assert all(one["optimizer"]["learning_rate"] == 0.2 / one["architecture"]["width"] for one in configs)


def test_a_formula_follows_a_number_that_varies(typed: Typed, tmp_path: Path) -> None:
    """Its value is that of each run, also of numbers that differ within a stack."""
    rates = "optimizer.learning_rate=0.1,0.2,0.4"
    result = typed("-m", rates, "initializer.scale=2*optimizer.learning_rate", "trainer.epochs=1", "tracking=none")
    assert (result.returncode, result.stderr) == (0, "")
    configs = [yaml.safe_load(path.read_text()) for path in tmp_path.rglob("runs/*/config.yaml")]
    found = {one["optimizer"]["learning_rate"]: one["initializer"]["scale"] for one in configs}
    assert found == {rate: 2 * rate for rate in (0.1, 0.2, 0.4)}
