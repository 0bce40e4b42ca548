import pytest

from nnexp.config.known_keys import known_keys, options_of_group, unknown_key

ROOT = ["architecture", "dataset", "hydra", "loss", "optimizer", "output_dir", "seed", "trainer"]
UNKNOWN: list[tuple[str, list[str], str]] = [
    ("lr", ROOT, "did you mean optimizer.learning_rate?"),
    ("trainer.lr", [], "did you mean optimizer.learning_rate?"),
    ("optim.lr", [], "did you mean optimizer.learning_rate?"),
    ("batch-size", ROOT, "did you mean trainer.batch_size?"),
    ("model.hidden", [], "did you mean architecture.hidden?"),
    ("training.foo", [], "did you mean trainer?"),
    ("output", ROOT, "did you mean output_dir or architecture.output?"),
    ("val_size", ROOT, "did you mean dataset.validation_size?"),
    ("shuffle", ROOT, "did you mean trainer.sampling?"),
    ("eps", ROOT, "did you mean optimizer.epsilon (with optimizer=adam)?"),
    ("optimizer.momentum", ["learning_rate"], "no such key here, but with optimizer=momentum or optimizer=nesterov"),
    ("architecture.depth", ["hidden", "dropout"], "no such key here, but with architecture=uniform"),
    ("architecture.activation.approximate", [], "no such key here, but with architecture/activation=gelu"),
    ("architecture.layers", ["hidden", "_target_"], "did you mean architecture.hidden?"),
    ("trainer.early_stopping.patience", [], "its value in trainer.early_stopping={patience: ...}"),
    ("trainer.regularization.dropout", ["l1", "l2"], "did you mean architecture.dropout?"),
    ("optimizer.adam", ["learning_rate"], "did you mean optimizer=adam?"),
    ("jobs", ROOT, "did you mean hydra.launcher.jobs?"),
    ("hydra.sweeper.params", [], "did you mean sweep.over?"),
    ("zzz", ROOT, "known are architecture, dataset, loss, optimizer, output_dir, seed, trainer"),
]


@pytest.mark.parametrize(("key", "siblings", "expected"), UNKNOWN)
def test_an_unknown_key_is_looked_for_everywhere(key: str, siblings: list[str], expected: str) -> None:
    line = unknown_key(key, siblings)
    assert line.startswith(f"{key}: no such key")
    assert line.endswith(expected)


def test_every_key_is_known_with_the_options_that_have_it() -> None:
    known = known_keys()
    assert known["dataset.path"].options == ["dataset=csv", "dataset=heart"]
    assert not known["dataset.path"].default
    assert known["optimizer.learning_rate"].default
    assert {"seed", "sweep.over", "trainer.regularization.l2", "tracking.uri", "experiment"} <= known.keys()


def test_experiments_in_folders_are_options() -> None:
    assert "improve/relu" in options_of_group("experiment")
    assert options_of_group("../conf") == options_of_group("/etc") == options_of_group("hydra") == []
