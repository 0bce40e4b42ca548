"""`run`, `sweep` and `load` in Python give what the commands give."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

from nnexp import Array, UserError, load, run, sweep
from nnexp.nn.activations import Activation
from nnexp.optim.optimizers import Adam
from nnexp.python.swept import Sweep
from nnexp.runs.result import Result
from nnexp.training.predictions import ClassPredictions
from tests.conftest import Typed

QUICK = ["optimizer.learning_rate=2.0", "trainer.epochs=30", "tracking=none", "verbose=false", "figures=false"]


@dataclass(frozen=True)
class Sine(Activation):
    """The sine."""

    def forward(self, z: Array, a: Array) -> Array:
        """Write sin(z) into `a`."""
        return np.sin(z, out=a)

    def backward(self, gradient: Array, z: Array, a: Array) -> Array:  # noqa: ARG002
        """Return gradient * cos(z)."""
        gradient *= np.cos(z)
        return gradient


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return run([*QUICK, f"output_dir={tmp_path_factory.mktemp('run')}", "trainer.snapshots=[0,10]"])


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    folder = tmp_path_factory.mktemp("sweep")
    values = {"optimizer.learning_rate": np.array([0.5, 2]), "architecture.hidden": [[8], [16, 8]]}
    return sweep(values, repeats=2, confirm=3, trainer__epochs=30, tracking="none", output_dir=folder)


def said(folder: Path) -> Result:
    return run(" ".join([*QUICK, f"output_dir='{folder}'"]))


def mapped(folder: Path) -> Result:
    given = {"optimizer.learning_rate": 2, "trainer.epochs": np.int64(30), "tracking": "none"}
    return run(given, verbose=False, figures=False, output_dir=folder)


def nested(folder: Path) -> Result:
    given = {"trainer": {"epochs": 30}, "optimizer": {"learning_rate": np.float64(2)}, "tracking": "none"}
    return run(given, verbose=False, figures=False, output_dir=folder)


def named(folder: Path) -> Result:
    return run(["tracking=none"], trainer__epochs=30, optimizer__learning_rate=2.0, figures=False, output_dir=folder)


@pytest.mark.parametrize("call", [said, mapped, nested, named])
def test_overrides_can_be_said_in_many_ways(call: Callable[[Path], Result], trained: Result, tmp_path: Path) -> None:
    same = call(tmp_path / "my runs")
    assert same.folder.is_relative_to(tmp_path / "my runs")
    assert all((same.parameters[name] == values).all() for name, values in trained.parameters.items())


def test_a_result_predicts_and_shows_itself(trained: Result) -> None:
    raw, test = load_digits(n_class=2).data, trained.predictions
    features = trained.trained.data.scaling.undo(trained.trained.data.test.x)
    assert isinstance(test, ClassPredictions)
    assert [*trained.predict(features)] == [test.classes[label] for label in test.predicted]
    assert len(trained.predict(raw)) == len(raw)
    with pytest.raises(UserError, match=r"x: must have the shape \(examples, 64\), not \(64,\)"):
        trained.predict(raw[0])
    assert len(repr(trained).splitlines()) == 1
    assert "test/loss" in repr(trained)
    page = trained._repr_html_()
    assert page.count("<img") == 1
    assert "loss, epoch 30" in page
    assert trained.frame()["test/loss"].loc[30] == trained.history.metrics["test/loss"][-1]
    assert {"curves", "confusion_matrix", "samples"} <= {*trained.figures}
    assert trained.figures["curves"].axes


def test_a_run_that_is_loaded_is_the_run(trained: Result) -> None:
    loaded = load(trained.folder)
    assert isinstance(loaded, Result)
    assert loaded.command == trained.command
    assert loaded.summary == trained.summary
    assert loaded.history.times.tolist() == trained.history.times.tolist()
    for one, other in zip(
        [loaded.parameters, *loaded.snapshots.values()], [trained.parameters, *trained.snapshots.values()], strict=True
    ):
        assert one.keys() == other.keys()
        assert all((one[name] == values).all() for name, values in other.items())
    assert {*trained.figures} - {*loaded.figures} <= {"layers"}
    with pytest.raises(UserError, match="run=nowhere: "):
        load("nowhere", trained.folder.parent)


def test_a_sweep_gives_what_the_command_gives(swept: Sweep, typed: Typed, tmp_path: Path) -> None:
    over = ["optimizer.learning_rate=0.5,2.0", "architecture.hidden=[8],[16,8]", "sweep.repeats=2", "sweep.confirm=3"]
    result = typed("-m", *over, "trainer.epochs=30", "tracking=none", f"output_dir={tmp_path}")
    (table,) = tmp_path.glob("sweeps/*/runs.csv")
    command = pd.read_csv(table).drop(columns=["seconds", "command"])
    own = pd.read_csv(StringIO(swept.table.to_csv(index=False))).drop(columns=["seconds", "command"])
    pd.testing.assert_frame_equal(own, command)
    assert own["optimizer.learning_rate"].tolist()[::4][:2] == [0.5, 2.0]
    for line in swept.answer.splitlines()[:-1]:
        assert line in result.stdout
    assert "'architecture.hidden=[8]'" in str(swept.table.loc[0, "command"])


def test_a_sweep_has_its_best_run_curves_and_figures(swept: Sweep) -> None:
    assert swept.best.name.startswith("learning_rate=2.0 hidden=[8]")
    curves = swept.curves("test/loss")
    assert curves.shape == (31, 8)
    best = swept.table.loc[swept.table["folder"] == swept.best.folder.name].iloc[0]
    assert curves.loc[30, best["name"]] == best["final/test/loss"] == swept.best.summary.final["test/loss"]
    with pytest.raises(UserError, match="metric=loss: must be one of train/loss, test/loss"):
        swept.curves("loss")
    assert "lines" in swept.figures
    assert "learning_rate=2.0" in swept._repr_html_()
    assert repr(swept).endswith(swept.answer)
    assert swept.folder is not None
    again = load(swept.folder)
    assert isinstance(again, Sweep)
    assert again.answer == swept.answer
    pd.testing.assert_frame_equal(again.table, swept.table)


def test_an_object_can_stand_for_a_component(tmp_path: Path) -> None:
    result = run(QUICK[1:], architecture__activation=Sine(), optimizer=Adam(learning_rate=0.01), output_dir=tmp_path)
    assert result.name == "epochs=30 activation=Sine optimizer=Adam"
    assert "sin" in str(result.config["architecture"]).lower()
    assert "the command does not repeat this run" in result.notes[-1]
    assert result.config_hash != run([*QUICK[1:], "optimizer=adam", f"output_dir={tmp_path}"]).config_hash
    for wrong, message in (
        ({"architecture.activation": Adam()}, "architecture.activation=Adam: must be an activation"),
        (
            {"architecture.activatoin": Sine()},
            "architecture.activatoin: no such key, did you mean architecture.activation?",
        ),
        ({"seed.x": Sine()}, "seed.x: must be the key of a component"),
    ):
        with pytest.raises(UserError, match=message):
            run(wrong, output_dir=tmp_path)
    with pytest.raises(UserError, match="must be given by name in a sweep"):
        sweep({"architecture.activation": Sine()}, output_dir=tmp_path)


def test_threads_take_turns_where_they_must(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        results = [*pool.map(lambda seed: run([*QUICK, f"seed={seed}"], output_dir=tmp_path), range(3))]
    assert [result.config["seed"] for result in results] == [0, 1, 2]


def test_it_works_within_a_hydra_program_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "config.yaml").write_text("rate: ${oc.env:RATE,0.1}\n")
    (tmp_path / "app.py").write_text(
        "import hydra\nfrom nnexp import run\n"
        "@hydra.main(version_base='1.3', config_path='conf', config_name='config')\n"
        "def main(config):\n"
        "    result = run(tracking='none', trainer__epochs=2, optimizer__learning_rate=config.rate, verbose=False)\n"
        "    job = hydra.core.hydra_config.HydraConfig.get().job.name\n"
        "    print('rate', result.config['optimizer']['learning_rate'], job)\n"
        "main()\n"
    )
    command = [sys.executable, "-W", "error", "app.py", "-m", "rate=0.25,0.5"]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "rate 0.25 app" in shown
    assert "rate 0.5 app" in shown


def test_damaged_files_are_refused_and_a_lost_command_is_not_made_up(tmp_path: Path) -> None:
    for name, damage in (("history.csv", ""), ("history.csv", None), ("run.json", "{"), ("parameters.npz", "x")):
        folder = run(QUICK, output_dir=tmp_path / name / str(damage)).folder
        (folder / name).unlink() if damage is None else (folder / name).write_text(damage)
        with pytest.raises(UserError, match=r"must have files that nobody has changed"):
            load(folder)
    folder = run(QUICK, output_dir=tmp_path).folder
    (folder / "run.json").unlink()
    known = load(folder)
    assert isinstance(known, Result)
    assert known.command.startswith("python -m nnexp replay ")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([3], r"overrides=\[3\]: must be texts such as optimizer.learning_rate=0.3"),
        ({"optimizer.learning_rate": {0.1}}, "{0.1}: must be a number, a text, a list or the like, not a set"),
        ({"architecture.activation": Sine}, "must be a number, a text, a list or the like, not a ABCMeta"),
        ("'", "must have its quotes in pairs"),
    ],
)
def test_what_is_no_override_is_one_line(given: Sequence[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(given)


def test_a_folder_of_configs_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="config_dir=nowhere: must be a folder"):
        run(QUICK, "nowhere")
    own = tmp_path / "my, configs [1]" / "optimizer"
    own.mkdir(parents=True)
    (own / "slow.yaml").write_text("_target_: nnexp.optim.optimizers.SGD\nlearning_rate: 0.001\n")
    slow = run([*QUICK[1:], "optimizer=slow"], own.parent, output_dir=tmp_path)
    assert slow.config["optimizer"] == {"_target_": "nnexp.optim.optimizers.SGD", "learning_rate": 0.001, "unit": None}
