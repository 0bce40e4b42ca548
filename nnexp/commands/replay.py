"""Trains a recorded run again and compares it bit for bit: `nnexp replay RUN`."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nnexp.commands.arguments import A_RUN, parser, say_which
from nnexp.config.experiment import Experiment
from nnexp.core.build import build
from nnexp.core.exits import ExitStatus
from nnexp.core.files import absolute
from nnexp.core.signals import sigterm_interrupts
from nnexp.core.threads import one_thread
from nnexp.report import terminal
from nnexp.runs.prepare import Ready, prepare
from nnexp.runs.recorded_run import RecordedRun, recorded_run
from nnexp.tracking.environment import environment
from nnexp.training.history import History
from nnexp.training.loop import train

NUMERICAL_TAGS = ("version.", "platform", "processor", "blas", "git.")
"""The beginnings of the tags of everything that the last bits may depend on."""


class Difference(NamedTuple):
    """The first evaluation at which two histories are not the same, and a metric in which they are not."""

    time: int
    metric: str
    was: float | None
    now: float | None


def main(words: Sequence[str]) -> None:
    """Train a recorded run again; exit status 1 if it comes out differently."""
    arguments = parser(
        "replay", "Train a recorded run again and compare every evaluation, bit for bit. Nothing is written."
    )
    arguments.add_argument("run", metavar="RUN", help=A_RUN)
    chosen = arguments.parse_args(words)
    if not replay(chosen.run, absolute(chosen.output_dir)):
        sys.exit(ExitStatus.UNSUCCESSFUL)


def replay(name: str, output_dir: Path) -> bool:
    """Train a run again, print whether the numbers are the same, and return that.

    Raises UserError if there is no such run, or its config cannot be trained.
    """
    recorded = recorded_run(name, output_dir)
    if recorded.record is not None:
        say_which(name, recorded.record.name)
    experiment = build(recorded.config, Experiment)
    ready = prepare(experiment, name=name)
    with one_thread(), sigterm_interrupts():
        here = environment()
        with terminal.progress(experiment.trainer, verbose=True) as show:
            (outcome,) = train(
                [ready.recipe],
                ready.data,
                experiment.trainer,
                experiment.dtype,
                observe=lambda time, _runs, row: show(
                    time, {metric: float(values[0]) for metric, values in row.items()}
                ),
            )
    difference = first_difference(recorded.history, outcome.history, ended_early=recorded.summary.stopped is not None)
    if difference is None and outcome.diverged_step == recorded.summary.diverged_step:
        history = recorded.history
        terminal.show_lines([f"The same, bit for bit: {len(history)} evaluations of {len(history.metrics)} metrics."])
        return True
    words = (
        f"It diverged at step {outcome.diverged_step}, and was to at step {recorded.summary.diverged_step}."
        if difference is None
        else sentence(difference, recorded)
    )
    terminal.show_sentences([words, *changed_inputs(recorded, ready)])
    show_environment(recorded, here)
    return False


def first_difference(was: History, now: History, *, ended_early: bool) -> Difference | None:
    """Return the first evaluation at which a metric has other bits; None if there is none.

    A run that ended early, by the clock or by halving, may train for longer the second time. One of an earlier version
    was not evaluated at time 0.
    """
    now = now if was.first else now.trained
    for place, time in enumerate(was.times.tolist()):
        there = place < len(now) and now.times[place] == time
        for metric, values in was.metrics.items():
            before = float(values[place])
            after = float(now.metrics[metric][place]) if there and metric in now.metrics else None
            if after is None or np.float64(before).tobytes() != np.float64(after).tobytes():
                return Difference(time, metric, before, after)
    if len(now) > len(was) and not ended_early:
        metric = next(iter(now.metrics))
        return Difference(int(now.times[len(was)]), metric, None, float(now.metrics[metric][len(was)]))
    return None


def sentence(difference: Difference, recorded: RecordedRun) -> str:
    """Return the difference in words."""
    was, now = ("missing" if value is None else repr(value) for value in (difference.was, difference.now))
    return f"Different from {recorded.summary.unit} {difference.time} on: {difference.metric} is {now}, was {was}."


def changed_inputs(recorded: RecordedRun, ready: Ready) -> list[str]:
    """Return sentences about changes of the data and the config."""
    lines = []
    if ready.dataset.digest != recorded.summary.data_digest:
        lines.append(f"The data is another: its digest is {ready.dataset.digest}, was {recorded.summary.data_digest}.")
    if ready.config_hash != recorded.summary.config_hash:
        lines.append(f"The config is another: its hash is {ready.config_hash}, was {recorded.summary.config_hash}.")
    return lines


def show_environment(recorded: RecordedRun, here: Mapping[str, str]) -> None:
    """Print the changes of the environment since the run."""
    if recorded.record is None:
        terminal.show_sentences(["The run is of an earlier version, so what was around it is not known."])
        return
    there = recorded.record.tags
    rows = [
        (key, there.get(key, "unknown"), value)
        for key, value in here.items()
        if key.startswith(NUMERICAL_TAGS) and there.get(key) != value
    ]
    if rows:
        terminal.show_table(("environment", "was", "is"), rows)
    else:
        terminal.show_sentences(["Nothing that is recorded of the environment has changed."])
