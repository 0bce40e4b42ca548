"""What counts as trained before, in folders made by hand."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from nnexp import __version__
from nnexp.analysis.results import KEPT_EVALUATIONS
from nnexp.config.code import code_fingerprint
from nnexp.config.compose import compose_experiment
from nnexp.runs.prepare import Ready, prepare
from nnexp.runs.record import RECORD, UNKNOWN_CODE, record_of, write_record
from nnexp.storage.run_folder import RunSummary, write_history
from nnexp.sweeps import reuse
from nnexp.training.history import History

HISTORY = History(np.arange(1, 1001), {"train/loss": np.linspace(1, 0, 1000), "test/loss": np.linspace(1, 0, 1000)})


@cache
def ready(seed: int = 0) -> Ready:
    return prepare(compose_experiment([f"seed={seed}"]))


def result(run: Ready, **changes: object) -> RunSummary:
    summary = RunSummary(
        config_hash=run.config_hash,
        data_digest=run.dataset.digest,
        version=__version__,
        unit="epoch",
        length=3,
        end={},
        best={},
        best_time=None,
        at_best={},
        baselines={},
        diverged_step=None,
        stopped=None,
        seconds=0.5,
    )
    return replace(summary, **changes)  # type: ignore[arg-type]


def leave(parent: Path, run: Ready, name: str = "", **changes: object) -> Path:
    """Leave the folder of a run that has been trained."""
    folder = parent / (name or f"seed_{run.config_hash}")
    folder.mkdir(parents=True)
    write_record(folder, record_of(run, {}), run.experiment)
    write_history(folder, HISTORY)
    result(run, **changes).write(folder)
    return folder


def found(output_dir: Path, own: Path | None, run: Ready) -> Path | None:
    known = reuse.finished(run, reuse.folders_by_hash(output_dir, own), own)
    return None if known is None else known.folder


def test_runs_alone_and_of_other_sweeps_are_found_those_of_the_own_sweep_first(tmp_path: Path) -> None:
    own = tmp_path / "sweeps" / "z" / "runs"
    assert found(tmp_path, own, ready()) is None
    elsewhere = leave(tmp_path / "sweeps" / "y" / "runs", ready())
    assert found(tmp_path, None, ready()) == elsewhere
    alone = leave(tmp_path / "digits_binary", ready(), f"2026-11-22_10-00-00_seed=0_{ready().config_hash}_2")
    assert found(tmp_path, None, ready()) in {alone, elsewhere}
    here = leave(own, ready())
    assert found(tmp_path, own, ready()) == here
    assert found(tmp_path, own, ready(1)) is None
    known = reuse.finished(ready(), reuse.folders_by_hash(tmp_path, own), own)
    assert known is not None
    assert (known.folder, known.summary, known.reused) == (here, result(ready()), True)
    assert known.curves is not None
    assert known.curves.times[[0, -1]].tolist() == [1, 1000]
    assert 100 < len(known.curves) <= KEPT_EVALUATIONS + 1


def test_without_an_output_folder_there_is_nothing(tmp_path: Path) -> None:
    assert reuse.folders_by_hash(tmp_path / "none", None) == {}
    assert found(tmp_path / "none", tmp_path / "none" / "runs", ready()) is None


@pytest.mark.parametrize(
    "changes", [{"version": "0.0.0"}, {"data_digest": "00000000"}, {"config_hash": "0123456789ab"}], ids=str
)
def test_another_version_or_data_set_is_another_run(tmp_path: Path, changes: dict[str, str]) -> None:
    own = tmp_path / "sweeps" / "z" / "runs"
    leave(own, ready(), **changes)
    assert found(tmp_path, own, ready()) is None
    other = leave(tmp_path / "digits_binary", ready())
    assert found(tmp_path, own, ready()) == other


OTHER = "0123456789ab"


@pytest.mark.parametrize(
    ("code", "counts"),
    [
        ("{today}", True),
        (OTHER, False),
        (f"{OTHER}+{{today}}", False),
        (f"{{today}}+{OTHER}", False),
        (UNKNOWN_CODE, True),
        (None, True),
    ],
)
def test_a_run_of_other_code_is_another_run(tmp_path: Path, code: str | None, counts: bool) -> None:  # noqa: FBT001
    """Also one that was gone on with by other code; of a run without a record only the version is known."""
    folder = leave(tmp_path / "digits_binary", ready())
    if code is None:
        (folder / RECORD).unlink()
    else:
        code = code.format(today=code_fingerprint(ready().experiment))
        write_record(folder, replace(record_of(ready(), {}), code=code), ready().experiment)
    assert found(tmp_path, None, ready()) == (folder if counts else None)


@pytest.mark.parametrize(("stopped", "counts"), [("halving at epoch 3", False), ("early stopping", True), (None, True)])
def test_a_run_that_halving_ended_is_one_only_in_its_own_sweep(
    tmp_path: Path,
    stopped: str | None,
    counts: bool,  # noqa: FBT001
) -> None:
    own, other = tmp_path / "sweeps" / "z" / "runs", tmp_path / "sweeps" / "y" / "runs"
    folder = leave(other, ready(), stopped=stopped)
    assert found(tmp_path, own, ready()) == (folder if counts else None)
    assert found(tmp_path, other, ready()) == folder
    diverged = leave(own, ready(), diverged_step=2)
    assert found(tmp_path, own, ready()) == diverged


@pytest.mark.parametrize("text", [None, "", "epoch,train/loss\n1,a\n", "epoch,train/loss\n1\n"])
def test_a_damaged_history_makes_a_run_unfinished(tmp_path: Path, text: str | None) -> None:
    own = tmp_path / "sweeps" / "z" / "runs"
    folder = leave(own, ready())
    (folder / "history.csv").unlink()
    if text is not None:
        (folder / "history.csv").write_text(text)
    assert found(tmp_path, own, ready()) is None


def test_what_is_no_finished_run_is_passed_over(tmp_path: Path) -> None:
    own, key = tmp_path / "sweeps" / "z" / "runs", ready().config_hash
    (own / f"half_{key}").mkdir(parents=True)
    (own / f"file_{key}").touch()
    (tmp_path / "mlflow.db").touch()
    (tmp_path / "digits_binary").mkdir()
    (tmp_path / "digits_binary" / f"a_{key}").mkdir()
    (tmp_path / "digits_binary" / f"a_{key}" / "result.json").write_text("{")
    leave(own, ready(), f"name_{key}more")
    leave(own, ready(), f"name_{key[:-1]}")
    assert found(tmp_path, own, ready()) is None
    whole = leave(own, ready(), f"name_{key}_12")
    assert found(tmp_path, own, ready()) == whole


def test_a_run_without_figures_is_none_where_figures_are_asked_for(tmp_path: Path) -> None:
    own = tmp_path / "sweeps" / "z" / "runs"
    drawn = replace(ready(), experiment=replace(ready().experiment, figures=True))
    folder = leave(own, ready())
    assert found(tmp_path, own, drawn) is None
    assert found(tmp_path, own, ready()) == folder
    (folder / "figures").mkdir()
    assert found(tmp_path, own, drawn) == folder
