"""What was written before the modules were moved (by commit 3f60379) still loads, predicts, replays and resumes.

`written_by_0_1` holds a run that ended (`finished`), its model as it was logged (`logged_model`), what it said of a few
flowers, and a run that was interrupted in the middle of a round (`paused`) beside the history of the same run without
an interruption (`whole`). Numbers may differ in their last bits on another processor.
"""

import importlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nnexp.core.component import resolved
from nnexp.core.old_names import OLD_NAMES
from nnexp.runs.record import UNKNOWN_CODE, read_record
from nnexp.storage.run_folder import RunSummary, read_history
from nnexp.storage.saved_model import Affine
from nnexp.sweeps.options import SweepOptions
from tests.conftest import Typed

WRITTEN = Path(__file__).parent / "written_by_0_1"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Return a copy of the old files, which may be written to."""
    return shutil.copytree(WRITTEN, tmp_path / "written")


@pytest.mark.parametrize(("old", "new"), OLD_NAMES.items())
def test_an_old_name_is_the_same_module(old: str, new: str) -> None:
    assert importlib.import_module(old) is importlib.import_module(new)


def test_files_call_moved_components_by_their_old_names() -> None:
    options = resolved(SweepOptions())
    assert [*options][:2] == ["_target_", "repeats"]
    assert options["_target_"] == "nnexp.sweep.options.SweepOptions"
    assert resolved(Affine((0.0,), (1.0,)))["_target_"] == "nnexp.saved_model.Affine"


@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred")  # of MLflow's own, when it is imported
def test_a_logged_model_loads_and_predicts(written: Path) -> None:
    import mlflow

    assert "loader_module: nnexp.served_model" in (written / "logged_model" / "MLmodel").read_text()
    model = mlflow.pyfunc.load_model(str(written / "logged_model"))
    said, expected = model.predict(pd.read_csv(written / "flowers.csv")), pd.read_csv(written / "predicted.csv")
    pd.testing.assert_frame_equal(said, expected, rtol=1e-9)


def test_a_run_still_predicts(written: Path, typed: Typed, tmp_path: Path) -> None:
    done = typed("predict", "written/finished", "written/flowers.csv", "--to", "said.csv")
    assert (done.returncode, done.stderr) == (0, "")
    said, expected = pd.read_csv(tmp_path / "said.csv"), pd.read_csv(written / "predicted.csv")
    pd.testing.assert_frame_equal(said, expected, rtol=1e-9)


def test_a_run_still_replays(written: Path, typed: Typed) -> None:
    done = typed("replay", str(written / "finished"))
    assert done.stderr == ""
    summary = RunSummary.read(written / "finished")
    assert summary is not None
    assert summary.final == summary.end, "what it left was not said"
    assert "config is another" not in done.stdout
    assert "data is another" not in done.stdout
    if done.returncode != 0:  # another processor may give other last bits
        assert (done.returncode, done.stdout.count("Different from epoch")) == (1, 1)
    else:
        assert "The same, bit for bit: 8 evaluations of 4 metrics." in done.stdout


def test_a_run_that_paused_in_the_middle_of_a_round_still_resumes(written: Path, typed: Typed) -> None:
    done = typed("resume=written/paused", "tracking=none", "output_dir=out", "figures=false", "verbose=false")
    assert done.returncode == 0, done.stderr
    resumed, whole = read_history(written / "paused"), read_history(written / "whole")
    assert resumed.times.tolist() == whole.times.tolist() == [1, 25, 50, 60]
    for name, values in whole.metrics.items():
        np.testing.assert_allclose(resumed.metrics[name], values, rtol=1e-9, err_msg=name)
    summary = RunSummary.read(written / "paused")
    assert summary is not None
    assert summary.config_hash == "abc4f6827ed6"
    record = read_record(written / "paused")
    assert record is not None
    assert record.config_hash == summary.config_hash
    assert record.code.startswith(f"{UNKNOWN_CODE}+"), "nobody has noted the code that began it"
