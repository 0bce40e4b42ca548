"""A moving picture of a network while it learns."""

from pathlib import Path

import pytest
from PIL import Image

from nnexp import UserError, run
from nnexp.training.trainer import Trainer

MOVING = ["figures=animation", "tracking=none", "verbose=false", "trainer.epochs=40"]
SINE = ["dataset=sine", "loss=mean_squared_error"]


@pytest.mark.parametrize(
    ("what", "frames"),
    [
        ([*SINE, "trainer.snapshots=log:6"], 7),
        (["dataset=moons", "trainer.snapshots=[0,3,40]"], 3),
    ],
)
def test_every_snapshot_is_a_frame(what: list[str], frames: int, tmp_path: Path) -> None:
    result = run([*MOVING, *what], output_dir=tmp_path)
    with Image.open(result.folder / "figures" / "animation.gif") as picture:
        assert getattr(picture, "n_frames", 1) == frames
        picture.seek(0)
        first = picture.convert("RGB").tobytes()
        picture.seek(frames - 1)
        assert picture.convert("RGB").tobytes() != first
        assert picture.info["duration"] == 2000


@pytest.mark.parametrize("what", [[], [*SINE], ["trainer.snapshots=log:6"]])
def test_where_there_is_nothing_to_move_it_is_refused(what: list[str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="figures=animation: must have snapshots to show"):
        run([*MOVING, *what], output_dir=tmp_path)
    assert not [*tmp_path.glob("*/*")]


def test_log_spaced_snapshots_begin_before_the_first_step() -> None:
    assert Trainer(epochs=1000, snapshots="log:4").moments == [0, 1, 10, 100, 1000]
    assert Trainer(epochs=10, snapshots=(3, 99)).evaluations() == [*range(1, 11)]
    with pytest.raises(UserError, match="snapshots=often: must be a list of times, or as log:40"):
        Trainer(snapshots="often")
