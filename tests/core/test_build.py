from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from hydra.core.global_hydra import GlobalHydra

from nnexp.config.compose import compose_experiment
from nnexp.core.build import PACKAGES_VARIABLE, Node, build
from nnexp.core.component import Component, Count, Fraction, resolved
from nnexp.core.errors import UserError
from nnexp.nn.activations import Activation, ReLU, Tanh
from nnexp.nn.architectures import MLP, Architecture
from nnexp.nn.layers import Layer
from nnexp.nn.losses import BinaryCrossEntropy
from nnexp.optim.optimizers import SGD, Adam, Optimizer
from tests.core.test_component import Sample

ACTIVATIONS: dict[type[Component], Mapping[str, Node]] = {
    Activation: {"relu": {"_target_": "nnexp.nn.activations.ReLU"}},
}


def test_overrides_reach_the_components() -> None:
    experiment = compose_experiment(
        ["optimizer=adam", "optimizer.learning_rate=1", "architecture.hidden=[5]", "architecture.activation=relu"]
    )
    assert experiment.optimizer == Adam(1.0)
    assert experiment.architecture == MLP(hidden=(5,), activation=ReLU())


@pytest.mark.parametrize("form", ["architecture.activation=tanh", "architecture/activation=tanh"])
def test_an_activation_may_be_named_as_a_value_or_as_an_option(form: str) -> None:
    assert compose_experiment([form]).architecture == MLP(activation=Tanh())


def test_whole_numbers_are_numbers() -> None:
    assert repr(build({"_target_": "nnexp.optim.optimizers.SGD", "learning_rate": 1}, Optimizer)) == repr(SGD(1.0))


PAIRS = (("<=50K", 1), (">50K", 2.5))


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([["<=50K", 1], [">50K", 2.5]], PAIRS),
        ({"<=50K": 1, ">50K": 2.5}, PAIRS),
        ({0: 1, 1: 2}, ((0, 1), (1, 2))),
        ([1, 2.5], (1.0, 2.5)),
        ("balanced", "balanced"),
        (None, None),
    ],
)
def test_a_mapping_is_a_list_of_pairs_where_these_are_allowed(weights: object, expected: object) -> None:
    node = {"_target_": "nnexp.nn.losses.BinaryCrossEntropy", "class_weights": weights}
    built = build(node, BinaryCrossEntropy)
    assert repr(built.class_weights) == repr(expected)
    assert build(resolved(built), BinaryCrossEntropy) == built


MISTAKES: list[tuple[object, type, str]] = [
    ({"_target_": "os.system", "command": "true"}, Optimizer, "at._target_=os.system: must be in nnexp"),
    ({"_target_": "nnexp.core.files.write_text"}, Optimizer, "must be the dataclass of an optimizer"),
    ({"_target_": "nnexp.optim.optimizers.Optimizer"}, Optimizer, "must be the dataclass"),
    ({"_target_": "nnexp.nn.activations.ReLU"}, Optimizer, "must be the dataclass"),
    ({"_target_": "nnexp.nothing.There"}, Optimizer, "No module named"),
    ({"_target_": "nnexp.optim.optimizers.sys"}, Optimizer, "must be the dataclass"),
    ({"learning_rate": 1}, Optimizer, "at: missing _target_"),
    ({"_target_": "nnexp.optim.optimizers.SGD", "lerning_rate": 1}, Optimizer, "at.lerning_rate: no such key, did you"),
    ({"_target_": "nnexp.optim.optimizers.SGD", "xyz": 1}, Optimizer, "at.xyz: no such key, known are learning_rate"),
    ("sgd", Optimizer, "at=sgd: must be an optimizer"),
    (None, Optimizer, "at=None: must be an optimizer"),
    ({"slope": 3, "x": 1}, Activation, "at: must name one of relu, as {relu: {KEY: VALUE}}"),
    ("rellu", Activation, "at=rellu: must be one of relu, did you mean relu?"),
    ({"_target_": "nnexp.nn.architectures.MLP", "hidden": [[1]]}, Architecture, "at.hidden="),
    ({"_target_": "nnexp.nn.architectures.MLP", "hidden": {"a": 1}}, Architecture, "at.hidden="),
    ({"_target_": "nnexp.nn.layers.Activate"}, Activation, "must be the dataclass"),
]


@pytest.mark.parametrize(("node", "kind", "sentence"), MISTAKES)
def test_mistakes_are_one_line(node: object, kind: type, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        build(node, kind, "at", ACTIVATIONS.get)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@dataclass(frozen=True)
class Table(Component):
    split: Literal["shuffled", "order"] = "shuffled"
    test_size: Fraction = 0.2
    sizes: tuple[Count, ...] = ()
    draw: bool | None = None


MEANT: list[tuple[str, object, str]] = [
    ("split", "Sequential", ", did you mean order?"),
    ("split", 0.3, ", did you mean at.test_size=0.3?"),
    ("test_size", "20%", ", did you mean 0.2?"),
    ("test_size", "0.2", ", without quotes"),
    ("test_size", [0.1, 0.2], "; for a run of each, -m at.test_size=0.1,0.2"),
    ("test_size", "0.1;0.2", "; for a run of each, -m at.test_size=0.1,0.2"),
    ("test_size", 2, "less than 1"),
    ("sizes", 8, ", did you mean [8]?"),
    ("sizes", "(8, 4)", ", did you mean [8,4]?"),
    ("sizes", "[8,4]", ", without quotes"),
    ("draw", "yes", ", did you mean true?"),
    ("draw", "none", ", did you mean null or false?"),
]


@pytest.mark.parametrize(("key", "value", "ending"), MEANT)
def test_what_is_meant_by_a_wrong_value_is_said(key: str, value: object, ending: str) -> None:
    with pytest.raises(UserError) as error:
        build({key: value}, Table, "at")
    assert str(error.value).endswith(ending)


def test_missing_fields_are_named() -> None:
    with pytest.raises(UserError, match=r"at\.activation: missing, must be an activation"):
        build({"_target_": "nnexp.nn.layers.Activate"}, Layer, "at")


def test_packages_of_the_user_are_allowed_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    node = {"_target_": "tests.core.test_component.Sample", "rate": 2}
    with pytest.raises(UserError, match="must be in nnexp"):
        build(node, Sample)
    monkeypatch.setenv(PACKAGES_VARIABLE, "tests")
    assert build(node, Sample) == Sample(2.0)


def test_composing_leaves_hydra_as_it_was() -> None:
    compose_experiment()
    assert not GlobalHydra.instance().is_initialized()


def test_interpolations_that_lead_nowhere_are_one_line() -> None:
    with pytest.raises(UserError, match="nowhere"):
        compose_experiment(["seed=${nowhere}"])


def test_of_a_listed_package_only_modules_with_the_component_are_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "listed_package"
    (package / "inner").mkdir(parents=True)
    component = "from dataclasses import dataclass\nfrom nnexp.optim.optimizers import SGD\n"
    component += "@dataclass(frozen=True)\nclass Mine(SGD):\n    pass\n"
    (package / "__init__.py").touch()
    (package / "inner" / "__init__.py").touch()
    (package / "inner" / "good.py").write_text(component)
    (package / "wipe.py").write_text("from pathlib import Path\nPath('wiped').touch()\nclass Mine(Exception): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(PACKAGES_VARIABLE, "listed_package")
    for name in ("wipe.Mine", "wipe.Path", "wipe", "nothing.Mine", "wipe.inner.Mine", "inner.good.SGD"):
        with pytest.raises(UserError, match=r"optimizer\._target_=listed_package"):
            build({"_target_": f"listed_package.{name}", "learning_rate": 0.1}, Optimizer, "optimizer")
    assert not (tmp_path / "wiped").exists()
    mine = build({"_target_": "listed_package.inner.good.Mine", "learning_rate": 0.1}, Optimizer, "optimizer")
    assert type(mine).__name__ == "Mine"
