from omegaconf import OmegaConf

from nnexp.config.compose import check, compose_experiment
from nnexp.config.identity import config_hash
from nnexp.core.component import flat, resolved

DEFAULT = config_hash(compose_experiment())

WITHOUT_EFFECT = [
    ["verbose=false"],
    ["resume=somewhere"],
    ["trainer.checkpoint_every=5"],
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
