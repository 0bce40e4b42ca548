from pathlib import Path

from nnexp.config.compose import compose_experiment
from nnexp.core.component import resolved
from tests.conftest import Typed

CHOICES = {"dataset": "iris", "optimizer": "adamw", "loss": "huber", "architecture": "uniform", "schedule": "cosine"}


def test_a_name_in_a_file_chooses_an_option_of_any_group(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    lines = ["# @package _global_", *(f"{group}: {name}" for group, name in CHOICES.items()), "trainer: {epochs: 7}"]
    (tmp_path / "experiment" / "mine.yaml").write_text("\n".join(lines))
    typed = [f"{group}={name}" for group, name in CHOICES.items()]

    def composed(*words: str) -> dict[str, object]:
        return resolved(compose_experiment(words, tmp_path))

    assert composed("experiment=mine") == composed(*typed, "trainer.epochs=7"), "with the weight decay of AdamW"
    assert composed("experiment=mine", "optimizer=sgd", "schedule.warmup=3") == composed(
        *typed, "trainer.epochs=7", "optimizer=sgd", "schedule.warmup=3"
    )


def test_a_field_that_a_file_does_not_list_has_the_default_of_its_class_and_can_be_set(
    typed: Typed, tmp_path: Path
) -> None:
    folder = tmp_path / "own" / "architecture"
    folder.mkdir(parents=True)
    (folder / "wide.yaml").write_text(
        "defaults: [activation: tanh, _self_]\n_target_: nnexp.nn.architectures.Uniform\nwidth: 64\n"
    )
    own = ["--config-dir", "own", "architecture=wide", "tracking=none", "trainer.epochs=1"]
    assert typed(*own, "architecture.depth=3", "--cfg", "job").stdout.count("Tanh") == 1
    swept = typed("-m", *own, "architecture.depth=1,3", "sweep.plan=true")
    assert swept.returncode == 0, swept.stderr
    assert "architecture.depth: 1, 3" in swept.stdout
    wrong = typed(*own, "architecture.deep=3")
    assert (wrong.returncode, wrong.stderr) == (
        2,
        "nnexp: architecture.deep: no such key, did you mean architecture.depth?\n",
    )
