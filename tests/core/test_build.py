from collections.abc import Mapping

import pytest
from hydra.core.global_hydra import GlobalHydra

from nnexp.config.compose import compose_experiment
from nnexp.core.build import PACKAGES_VARIABLE, Node, build
from nnexp.core.component import Component, resolved
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
