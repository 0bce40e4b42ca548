from pathlib import Path

from nnexp.config.compose import compose_experiment
from nnexp.core.component import resolved

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
