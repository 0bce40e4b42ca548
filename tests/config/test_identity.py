from dataclasses import dataclass

import pytest
from omegaconf import OmegaConf

from nnexp.config.compose import check, compose_experiment
from nnexp.config.identity import config_hash
from nnexp.core.component import added, flat, resolved
from tests.core.test_component import Sample

DEFAULT = config_hash(compose_experiment())

WITHOUT_EFFECT = [
    ["verbose=false"],
    ["resume=somewhere"],
    ["trainer.checkpoint_every=5"],
    ["trainer.report_every=5"],
    ["output_dir=/elsewhere"],
    ["tracking=none"],
    ["tracking.uri=sqlite:///x.db"],
    ["optimizer.learning_rate=5e-1"],
    ["architecture/activation=sigmoid"],
    ["architecture.activation=sigmoid"],
    ["architecture.hidden=[16,8]"],
]
WITH_EFFECT = [
    ["seed=1"],
    ["dtype=float32"],
    ["optimizer.learning_rate=0.50001"],
    ["architecture.hidden=[8,16]"],
    ["architecture.activation=tanh"],
    ["dataset.classes=[1,0]"],
    ["trainer.epochs=1001"],
]


HASHES = {
    "digits": "4fc2b989af50",
    "digits_binary": "c4997da15e9a",
    "distillation": "ed20ee5ca13d",
    "embedding": "1a137f2134ad",
    "heart": "9eb3adee3096",
    "improve/everything": "b8f97397ece1",
    "improve/learning_rate_decay": "847599e1f8d8",
    "improve/more_digits": "3800be2a42ce",
    "sine": "0465f22e220f",
    "spiral": "85554193cbe2",
}
"""What runs of these experiments were called by commit 3f60379; they are reused and compared by it."""


@dataclass(frozen=True)
class Grown(Sample):
    later: int = added(3)


@pytest.mark.parametrize(("experiment", "expected"), HASHES.items())
def test_runs_keep_the_hashes_that_they_had(experiment: str, expected: str) -> None:
    assert config_hash(compose_experiment([f"experiment={experiment}"])) == expected


def test_a_field_that_was_added_counts_once_it_is_not_at_its_default() -> None:
    assert {**resolved(Grown(2.0), identity=True), "_target_": ""} == {**resolved(Sample(2.0)), "_target_": ""}
    assert resolved(Grown(2.0))["later"] == 3, "in its config it always stands"
    assert resolved(Grown(2.0, later=4), identity=True)["later"] == 4


def test_the_hash_follows_what_changes_numbers_and_nothing_else() -> None:
    assert {config_hash(compose_experiment(overrides)) for overrides in WITHOUT_EFFECT} == {DEFAULT}
    others = [config_hash(compose_experiment(overrides)) for overrides in WITH_EFFECT]
    assert len({DEFAULT, *others}) == 1 + len(WITH_EFFECT)


def test_a_resolved_config_builds_the_same_experiment_again() -> None:
    experiment = compose_experiment(["experiment=digits", "seed=3"])
    again = check(OmegaConf.create(resolved(experiment)), lambda _: None)
    assert again == experiment


def test_flat_names_classes_and_values() -> None:
    parameters = flat(resolved(compose_experiment(["optimizer=adam"])))
    assert parameters["optimizer"] == "Adam"
    assert parameters["optimizer.beta1"] == 0.9
    assert parameters["architecture.activation"] == "Sigmoid"
    assert parameters["architecture.hidden"] == [16, 8]
    assert not any("_target_" in key for key in parameters)
