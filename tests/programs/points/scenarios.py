"""What a user does: the commands that are disturbed, what was there before, and what is done afterwards."""

import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from re import Pattern

from tests.programs.points.contents import ARTIFACTS, HIDDEN, UNNAMED, contents, differences
from tests.programs.points.process import DEAD, FAULTS, Ended, Event, Fault, Place, command, forked

SHORT = ("trainer.epochs=2", "verbose=false", "figures=false")
RUN = ("trainer.epochs=20", "trainer.checkpoint_every=5", "verbose=false")
PLAIN = (*RUN, "figures=false")
SWEEP = ("-m", "seed=1,2,3", "trainer.epochs=20", "hydra.launcher.jobs=1", "hydra.launcher.stack_megabytes=0.000001")
DELIVER = ("deliver", "outputs")
FOLDERS = "outputs/*/2*"
OTHERS, CHECKPOINT = ("sweeps", ARTIFACTS), "checkpoint"
REMOVING = ("os.remove", "os.rmdir")
NO_CHECKPOINT = "no checkpoint could be written"
"""What a run says that then goes on."""
ALONE = 9
"""The seed of the run that is there before."""


@dataclass(frozen=True)
class Scenario:
    """What a user does.

    Attributes:
        prepare: Makes what is there before.
        words: Returns the words of the command, given the folder in which it is given.
        trains: Whether it trains.
        resumes: Whether it is gone on with by resuming the new folder of a run, if there is one.
        output: What the command makes as its last step, so that it need not be given again where that is there.
    """

    prepare: Callable[["Stage"], None]
    words: Callable[[Path], Sequence[str]]
    trains: bool = True
    resumes: bool = False
    output: str | None = None


def folders(work: Path) -> list[Path]:
    """Return the folders of runs that were trained alone, the earliest first."""
    return sorted(path for path in work.glob(FOLDERS) if path.parent.name not in OTHERS)


def nothing(_stage: "Stage") -> None:
    """Leave the folder empty."""


def one_run(stage: "Stage") -> None:
    """Train a run, which also makes the database."""
    stage.must(SHORT, f"seed={ALONE}")


def interrupted_twice(stage: "Stage") -> None:
    """Leave a run that was interrupted and, when it was resumed, killed."""
    one_run(stage)
    before = folders(stage.place.work)
    for fault, status in (("SIGINT", 130), ("death", DEAD)):
        words = _resume(stage.place.work, PLAIN) if folders(stage.place.work) != before else PLAIN
        stage.stop_after_checkpoint(words, FAULTS[fault], status)


def something_left(stage: "Stage") -> None:
    """Leave a run and a sweep that MLflow did not take."""
    one_run(stage)
    with _refusing(stage.place.work / "outputs" / "mlflow.db"):
        stage.must(PLAIN)
        stage.must(SWEEP, "trainer.epochs=4", status=1)


@contextmanager
def _refusing(database: Path) -> Iterator[None]:
    """Let a database take no metrics within the block."""
    refusal = "CREATE TRIGGER full BEFORE INSERT ON metrics BEGIN SELECT RAISE(ABORT, 'it is full'); END"
    for statement in (refusal, "DROP TRIGGER full"):
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute(statement)
        if statement == refusal:
            yield


def _resume(work: Path, words: Sequence[str]) -> Sequence[str]:
    """Return the command that resumes the newest run, with what the words of the first command say of its output."""
    shown = [word for word in words if word.startswith(("figures=", "verbose="))]
    return (f"resume={folders(work)[-1].relative_to(work)}", *shown)


def _predict(work: Path) -> Sequence[str]:
    return ("predict", str(folders(work)[-1].relative_to(work)))


def a_table(stage: "Stage") -> None:
    """Train a run, and write a table to predict, of 64 numbers a row."""
    one_run(stage)
    rows = [",".join(str((row + column) % 17) for column in range(64)) for row in range(5)]
    (stage.place.work / "table.csv").write_text("\n".join(rows), encoding="utf-8")


SCENARIOS = {
    "first": Scenario(nothing, lambda _: (*SHORT, "trainer.checkpoint_every=1"), resumes=True),
    "run": Scenario(one_run, lambda _: RUN, resumes=True),
    "resume": Scenario(interrupted_twice, lambda work: _resume(work, PLAIN)),
    "sweep": Scenario(one_run, lambda _: SWEEP),
    "deliver": Scenario(something_left, lambda _: DELIVER, trains=False),
    "predict": Scenario(
        a_table,
        lambda work: (*_predict(work), "table.csv", "--to", "predictions.csv"),
        trains=False,
        output="predictions.csv",
    ),
    "predict-model": Scenario(
        one_run, lambda work: (*_predict(work), "--model", "served"), trains=False, output="served"
    ),
}


class Stage:
    """A folder in which a scenario is played again and again, at the same paths, since a database has some of them.

    Raises RuntimeError if what was there before cannot be made, or the undisturbed command fails.
    """

    def __init__(self, scenario: str, folder: Path) -> None:
        self._name, self._state, self.place = scenario, folder / "state", Place.made(folder)
        self.scenario.prepare(self)
        self.place.work.replace(self._state)
        self.restore()
        self._before = folders(self.place.work)
        self.words = list(self.scenario.words(self.place.work))
        undisturbed = self._call(self.words)
        if undisturbed.status != 0:
            raise RuntimeError(f"{' '.join(self.words)}: status {undisturbed.status}: {undisturbed.errors}")
        self.must(DELIVER)
        self.events, self._expected = undisturbed.events, contents(self.place.work)

    @property
    def scenario(self) -> Scenario:
        """Return what the user does."""
        return SCENARIOS[self._name]

    def must(self, words: Sequence[str], *more: str, status: int = 0) -> None:
        """Give a command, which must end with a status.

        Raises RuntimeError if it does not.
        """
        ended = self._call([*words, *more])
        if ended.status != status:
            raise RuntimeError(f"{' '.join(words)}: status {ended.status}: {ended.errors}")

    def stop_after_checkpoint(self, words: Sequence[str], fault: Fault, status: int) -> None:
        """Give a command, and let a fault happen just after its first checkpoint, by trying.

        Raises RuntimeError if it does not end with a status.
        """
        kept = self.place.work.with_name("kept")
        shutil.copytree(self.place.work, kept)
        events = self._call(words).events
        shutil.rmtree(self.place.work)
        kept.replace(self.place.work)
        point = next(number for number, event in enumerate(events, 1) if _is_checkpoint(event)) + 1
        ended = self._call(words, fault, point)
        if ended.status != status:
            raise RuntimeError(f"{' '.join(words)}: status {ended.status}: {ended.errors}")

    @cached_property
    def trained_at(self) -> int:
        """Return the number of the first event at which something has been trained."""
        learned = (number for number, one in enumerate(self.events, 1) if _is_checkpoint(one) or "history" in one.path)
        return next(learned, len(self.events) + 1)

    def points(self, fault: Fault, every: int, at: str = "") -> list[int]:
        """Return the events at which a fault can happen and whose path has a text in it, or one of so many of them."""
        events = enumerate(self.events, 1)
        return [number for number, event in events if event.name in fault.events and at in event.path][::every]

    def disturbed(self, fault: Fault, point: int) -> tuple[str, list[str]]:
        """Play the scenario with a fault at a point, and return the event there and what is not as it should be."""
        self.restore()
        ended = self._call(self.words, fault, point)
        if len(ended.events) < point:
            return "", []
        event = ended.events[point - 1]
        complaints = []
        if ended.status not in fault.statuses:
            complaints.append(_status(ended))
        if fault is not FAULTS["death"]:
            complaints += self._said(ended)
            if fault.lasting and ended.status and self.scenario.trains and point >= self.trained_at:
                complaints += self._not_kept(ended)
        tolerated = UNNAMED if fault.lasting or fault is FAULTS["death"] else None
        if event.name in REMOVING and fault.refuses:
            tolerated = HIDDEN
        complaints += self.afterwards(ended, tolerated)
        return f"{event.name} {event.path}", complaints

    def afterwards(self, ended: Ended, tolerated: Pattern[str] | None = UNNAMED) -> list[str]:
        """Do what a user would after a disturbed command, and return what is not as it should be then.

        Args:
            ended: The command.
            tolerated: The names of what may be left; by default those of a command that was killed.
        """
        complaints, killed = [], ended.status in (DEAD, -signal.SIGKILL)
        for words in (self._again() if ended.status != 0 else (), DELIVER):
            if words:
                after = self._call(words)
                said = self._said(after) or ([] if after.status == 0 else [_status(after)])
                complaints += [f"then {words[0].partition('=')[0]}: {one}" for one in said]
        found = contents(self.place.work)
        for name in () if tolerated is None else filter(tolerated.fullmatch, [*(found.files - self._expected.files)]):
            del found.files[name]
        expected = self._expected
        if NO_CHECKPOINT in ended.errors:  # it was the last, and the one before it may be all there is
            expected, found = expected.without_checkpoints(), found.without_checkpoints()
        complaints += differences(expected, found)
        if not killed:
            unnamed = [path.name for path in self.place.temporary.iterdir() if str(path) not in ended.errors]
            complaints += [f"left in the temporary folder: {name}" for name in unnamed]
        return complaints

    def _again(self) -> Sequence[str]:
        """Return the command that goes on, if one is needed."""
        work, output = self.place.work, self.scenario.output
        if output is not None and (work / output).exists():
            return ()
        if self.scenario.resumes and folders(work) != self._before:
            return _resume(work, self.words)
        return self.words

    def _call(self, words: Sequence[str], fault: Fault | None = None, point: int = 0) -> Ended:
        ended = forked(command(words), self.place, fault, point)
        return replace(ended, errors=ended.errors.replace(f"{self.place.work}/", ""))

    def restore(self) -> None:
        """Make everything as it was before."""
        shutil.rmtree(self.place.work, ignore_errors=True)
        shutil.rmtree(self.place.temporary)
        self.place.temporary.mkdir()
        shutil.copytree(self._state, self.place.work)

    def _said(self, ended: Ended) -> list[str]:
        """Return what no user should see, and what is not said."""
        if "Traceback" in ended.errors + ended.out:
            return [f"a traceback: {ended.errors.strip().splitlines()[-1]}"]
        lines = [line for line in ended.errors.splitlines() if line.strip()]
        others = [line for line in lines if not line.startswith("nnexp: ")]
        if others:
            return [f"says: {others[0]}"]
        return ["fails without a word"] if ended.status and not (lines or ended.out.strip()) else []

    def _not_kept(self, ended: Ended) -> list[str]:
        """Return a complaint if what was trained is neither where it belongs nor in a folder that the command names."""
        if contents(self.place.work).learned == self._expected.learned:
            return []
        named = [folder for folder in self.place.temporary.iterdir() if str(folder) in ended.errors]
        kept = [path for folder in named for path in folder.rglob("*.npz")]
        return [] if kept else ["what was trained is not in a temporary folder that is named"]


def _status(ended: Ended) -> str:
    """Return how a process ended, with its last words."""
    last = [line for line in ended.errors.splitlines() if line.strip()][-1:]
    return ": ".join(["hangs" if ended.status is None else f"status {ended.status}", *last])


def _is_checkpoint(event: Event) -> bool:
    return CHECKPOINT in event.path
