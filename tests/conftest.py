"""What many tests need: small data sets, and the command line as a real process."""

import gc
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING
from unittest import mock

import numpy as np
import pytest
from hydra.core.global_hydra import GlobalHydra
from hypothesis import HealthCheck, settings

from nnexp.core.task import Task
from nnexp.data.dataset import Data, Part, Scaling
from tests.nn.test_losses import make_targets

if TYPE_CHECKING:
    import pandas as pd

Finished = subprocess.CompletedProcess[str]
Typed = Callable[..., Finished]
"""The command line as a function, as the fixture `typed` returns it."""

FIXTURES = [HealthCheck.function_scoped_fixture]
settings.register_profile("derandomized", derandomize=True, deadline=None, suppress_health_check=FIXTURES)
settings.register_profile("random", derandomize=False, deadline=None, print_blob=True, suppress_health_check=FIXTURES)


def pytest_configure(config: pytest.Config) -> None:
    """Try the same examples every time, but others each time with `-m slow`."""
    settings.load_profile("random" if config.getoption("markexpr") == "slow" else "derandomized")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let `-m slow` run the property tests, too, of which the default run always tries the same examples."""
    for item in items if config.getoption("markexpr") == "slow" else []:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker("slow")


def pytest_collection_finish() -> None:
    """Let the garbage collector look at nothing of all that was imported and collected."""
    gc.collect()
    gc.freeze()


def tries(count: int) -> settings:
    """Return settings of a property test with so many examples with `-m slow`, and a quarter of them otherwise."""
    default = settings()
    return settings(default, max_examples=count // 4 if default.derandomize else count)


def needs(package: str) -> pytest.MarkDecorator:
    """Skip a test where a package is not installed, as it need not be."""
    return pytest.mark.skipif(find_spec(package) is None, reason=f"needs the package {package}")


def make_data(examples: int, features: int, classes: int, seed: int = 0) -> Data:
    """Return random data whose first examples show every class."""
    generator = np.random.default_rng(seed)

    def part(count: int) -> Part:
        labels = np.concatenate([np.arange(classes), generator.integers(classes, size=count)])[:count]
        return Part(generator.standard_normal((count, features)), labels)

    task = Task(tuple(str(number) for number in range(classes)))
    scaling = Scaling(np.zeros(features), np.ones(features))
    return Data("random", task, part(examples), part(max(2, examples // 2)), scaling)


def make_data_for(task: Task, views: int, examples: int, features: int, seed: int = 0) -> Data:
    """Return random data for any task."""
    generator = np.random.default_rng(seed)

    def part(count: int) -> Part:
        x = generator.standard_normal((count, views, features) if views > 1 else (count, features))
        return Part(x, make_targets(task, count, generator), generator.random(count))

    scaling = Scaling(np.zeros(features), np.ones(features))
    return Data("random", task, part(examples), part(max(2, examples // 2)), scaling, validation=part(4))


@dataclass(frozen=True)
class CommandLine:
    """Runs `python -m nnexp` in a folder of its own."""

    folder: Path

    def __call__(self, *arguments: str, **variables: str) -> Finished:
        """Run to the end and return status and output."""
        return subprocess.run(
            [sys.executable, "-m", "nnexp", *arguments],
            cwd=self.folder,
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(
        self,
        *arguments: str,
        stdin: int | None = None,
        output: int | IO[str] = subprocess.PIPE,
        errors: int | IO[str] = subprocess.PIPE,
        session: bool = False,
        before: Callable[[], object] = lambda: None,
        **variables: str,
    ) -> subprocess.Popen[str]:
        """Start and return the process, perhaps in a session of its own; it calls `before` before it begins."""

        def prepare() -> None:
            # A test suite in the background of a script, or under nohup, ignores these, and would hand that down.
            for one in (signal.SIGINT, signal.SIGHUP):
                signal.signal(one, signal.SIG_DFL)
            before()

        return subprocess.Popen(
            [sys.executable, "-m", "nnexp", *arguments],
            cwd=self.folder,
            env=self.environment(**variables),
            stdin=stdin,
            stdout=output,
            stderr=errors,
            text=True,
            start_new_session=session,
            preexec_fn=prepare,  # noqa: PLW1509
        )

    def on_terminal(self, *arguments: str, columns: int) -> str:
        """Run to the end, well, on a terminal with so many columns, and return all that it was sent."""
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, columns))
        with self.start(*arguments, output=theirs, errors=theirs, COLUMNS=str(columns)) as process:
            os.close(theirs)
            shown = b""
            with suppress(OSError):  # the end of a terminal
                while piece := os.read(ours, 4096):
                    shown += piece
        os.close(ours)
        assert process.returncode == 0, shown
        return shown.decode()

    def environment(self, **variables: str) -> dict[str, str]:
        """Return the environment of a user without a tracking server."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
        return {**inherited, "PYTHONUNBUFFERED": "1", **variables}


def status_of(*arguments: str) -> int:
    """Run the command line within this process and return its exit status."""
    from nnexp.__main__ import main

    GlobalHydra.instance().clear()
    status: object = 0
    try:
        with mock.patch.object(sys, "argv", ["nnexp", *arguments]):
            main()
    except SystemExit as end:
        status = end.code
    finally:
        GlobalHydra.instance().clear()
        gc.enable()
    assert isinstance(status, int)
    return status


@pytest.fixture
def nnexp(tmp_path: Path) -> CommandLine:
    """Return the command line, working in an empty folder."""
    return CommandLine(tmp_path)


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Work in an empty folder, without a tracking server in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return lambda: tmp_path


@pytest.fixture
def typed(in_folder: Callable[[], Path], capsys: pytest.CaptureFixture[str]) -> Typed:
    """Return the command line as a function, for many commands: the same from its arguments on, but no new process."""

    def run(*arguments: str) -> Finished:
        in_folder()
        status = status_of(*arguments)
        return Finished(["nnexp", *arguments], status, *capsys.readouterr())

    return run


@pytest.fixture
def study(in_folder: Callable[[], Path]) -> Callable[..., "pd.DataFrame"]:
    """Return a function that trains a study and returns the means over seeds of its numbers, by the keys that vary."""

    def trained(name: str, *keys: str) -> "pd.DataFrame":
        from nnexp import sweep

        in_folder()
        table = sweep([f"experiment=studies/{name}", "tracking=none", "verbose=false"]).table
        assert table["error"].isna().all()
        return table.groupby([*keys]).mean(numeric_only=True)

    return trained
