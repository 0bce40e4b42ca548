"""What a sweep would do, as the command line tells it: the counts by hand, and nothing is done."""

import re
from collections.abc import Callable
from pathlib import Path

from tests.conftest import Finished, needs

QUICK = ("-m", "trainer.epochs=30", "trainer.batch_size=64", "tracking=none", "hydra.launcher.jobs=2")
PLAN = "sweep.plan=true"
Typed = Callable[..., Finished]


def planned(result: Finished) -> dict[str, str]:
    """Return the lines of a plan by their titles."""
    assert (result.returncode, result.stderr) == (0, "")
    *lines, empty, end = result.stdout.splitlines()
    assert (empty, end) == ("", "Nothing was trained: sweep.plan=true.")
    titles = [line[:10].strip() for line in lines]
    return {
        title: "; ".join(line[10:] for line, other in zip(lines, titles, strict=True) if other == title)
        for title in titles
    }


def test_a_plan_says_what_would_be_done_and_does_nothing(typed: Typed, tmp_path: Path) -> None:
    """6 runs of 2 shapes for 2 workers, 3 of each shape."""
    lines = planned(typed(*QUICK, "seed=0,1,2", "optimizer=sgd,adam", PLAN))
    assert lines["Runs"] == "6: 0 trained before and reused, 6 to train"
    assert lines["Varied"] == "seed: 0, 1, 2 (3 values)"
    assert lines[""] == "optimizer: sgd, adam"
    assert lines["Stacks"] == "2: 2 of 3 runs, on 2 workers"
    time = re.fullmatch(r"about (\S+) seconds of training, 3 seconds of start and report", lines["Time"])
    assert time is not None
    assert 0 < float(time[1]) < 60
    memory = re.fullmatch(r"about 200 MB, (\d+) MB in each worker", lines["Memory"])
    assert memory is not None
    assert 50 < int(memory[1]) < 1000
    assert list(tmp_path.iterdir()) == []


def test_hydra_s_own_word_for_a_sweep_is_heard(typed: Typed) -> None:
    assert planned(typed("hydra.mode=MULTIRUN", *QUICK[1:], "seed=0,1", PLAN))["Runs"].startswith("2: ")


def test_stacks_of_several_sizes_are_counted(typed: Typed) -> None:
    lines = planned(typed(*QUICK, "seed=0,1,2,3,4", "architecture.activation=relu", PLAN))
    assert lines["Stacks"] == "2: 1 of 3, 1 of 2 runs, on 2 workers"
    lines = planned(typed(*QUICK, "seed=0,1,2", "hydra.launcher.stack_megabytes=0.000001", PLAN))
    assert lines["Stacks"] == "3: 3 of 1 run, on 2 workers"


def test_long_lists_of_values_are_shortened(typed: Typed) -> None:
    lines = planned(typed(*QUICK, "seed=range(20)", PLAN))
    assert lines["Varied"] == "seed: 0, 1, 2, 3, 4, 5, 6, ..., 19 (20 values)"
    assert lines["Stacks"] == "2: 2 of 10 runs, on 2 workers"


def test_what_was_trained_before_is_counted_and_costs_nothing(typed: Typed, tmp_path: Path) -> None:
    assert typed(*QUICK, "seed=0,1").returncode == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    lines = planned(typed(*QUICK, "seed=0,1,2", PLAN))
    assert lines["Runs"] == "3: 2 trained before and reused, 1 to train"
    assert lines["Stacks"] == "1: 1 of 1 run, on 2 workers"
    lines = planned(typed(*QUICK, "seed=0,1", PLAN))
    assert lines.keys() == {"Runs", "Varied"}
    assert lines["Runs"] == "2: 2 trained before and reused, 0 to train"
    lines = planned(typed(*QUICK, "seed=0,1", "sweep.reuse=false", PLAN))
    assert lines["Runs"] == "2: 0 trained before and reused, 2 to train"
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_what_is_asked_for_twice_is_trained_once(typed: Typed) -> None:
    """The learning rate of the config is 0.5: both jobs have one hash."""
    lines = planned(typed(*QUICK, "optimizer.learning_rate=0.5,0.50", PLAN))
    assert lines["Stacks"].startswith("1: 1 of 1 run")


def test_more_time_is_estimated_for_more_training(typed: Typed) -> None:
    """200 times as many epochs; how long an epoch takes is measured, so that only the order of size is sure."""

    def seconds(epochs: int) -> float:
        line = planned(typed(*QUICK, "seed=0,1", f"trainer.epochs={epochs}", PLAN))["Time"]
        number, unit = line.removeprefix("about ").split()[:2]
        return float(number) * {"seconds": 1, "minutes": 60, "hours": 3600}[unit]

    assert 20 < seconds(60_000) / seconds(300) < 2000


SEARCH = ("sweep.sampler=optuna", "sweep.draws=12", "sweep.batch=4")


@needs("optuna")
def test_a_search_plans_its_first_batch(typed: Typed) -> None:
    lines = planned(typed(*QUICK, "seed=0,1", "optimizer.learning_rate=interval(0.1,1)", *SEARCH, PLAN))
    assert lines["Runs"] == "8: 0 trained before and reused, 8 to train, 16 more depend on their results"


@needs("optuna")
def test_a_search_says_that_the_rest_depends_on_results(typed: Typed, tmp_path: Path) -> None:
    result = typed(*QUICK, "seed=0,1", "optimizer.learning_rate=interval(0.1,1)", *SEARCH, PLAN)
    assert (result.returncode, result.stderr) == (0, "")
    first = result.stdout.splitlines()[0]
    assert first == "Runs      8: 0 trained before and reused, 8 to train, 16 more depend on their results"
    assert list(tmp_path.iterdir()) == []
