"""What came out of a sweep, in a table and a sentence or two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from nnexp import terminal
from nnexp.config.identity import without_effect
from nnexp.runs import Result, run_name
from nnexp.sweep.expand import Job
from nnexp.training.history import chosen_by
from nnexp.training.metrics import lower_is_better

SEED = "seed"


class Objective(float):
    """A run's lowest loss, which a sweeper minimises, and with it what a sweep's answer is made of.

    Attributes
    ----------
    metrics
        All metrics at the end; empty where nothing was evaluated.
    baselines
        What metrics are to be compared with.
    diverged_step
        The step at which the run diverged, or None.

    """

    metrics: Mapping[str, float]
    baselines: Mapping[str, float]
    diverged_step: int | None

    @classmethod
    def of(cls, result: Result) -> "Objective":
        """Return the objective of a run; not a number where nothing was evaluated."""
        best = result.best_loss()
        objective = cls("nan" if best is None else best)
        objective.metrics = result.history.at(-1) if len(result.history) else {}
        known = {} if result.predictions is None else result.predictions.baselines()
        objective.baselines = {f"test/{metric}": value for metric, (_, value) in known.items()}
        objective.diverged_step = result.diverged_step
        return objective


@dataclass(frozen=True)
class Setting:
    """Runs that differ in nothing but their seed."""

    name: str
    runs: Sequence[Objective]

    @property
    def finished(self) -> list[Objective]:
        """Return the runs that did not diverge."""
        return [run for run in self.runs if run.diverged_step is None]

    def values(self, metric: str) -> list[float]:
        """Return a metric at the end of every run that did not diverge."""
        return [run.metrics[metric] for run in self.finished if metric in run.metrics]

    def baselines(self, metric: str) -> list[float]:
        """Return what a metric is to be compared with, which all runs agree on, if any of them knows."""
        return [run.baselines[metric] for run in self.runs if metric in run.baselines][:1]


def settings_of(jobs: Sequence[Job], objectives: Sequence[Objective]) -> list[Setting]:
    """Return the runs of a sweep by what they differ in, seeds apart."""
    shared = set.intersection(*[set(job) for job in jobs])
    groups: dict[tuple[str, ...], list[Objective]] = {}
    for job, objective in zip(jobs, objectives, strict=True):
        differing = [override for override in job if override not in shared and not _same_setting(override)]
        groups.setdefault(tuple(differing), []).append(objective)
    return [Setting(run_name(differing), runs) for differing, runs in groups.items()]


def _same_setting(override: str) -> bool:
    """Tell whether runs that differ in an override are still of one setting."""
    key = override.lstrip("+").partition("=")[0]
    return key == SEED or without_effect(key)


def show_answer(
    question: str | None, jobs: Sequence[Job], objectives: Sequence[Objective], metric: str | None = None
) -> None:
    """Print the question, a table of all settings in the order of the sweep, and which is best and how sure that is.

    The metric says what is best; null is the loss on the part for choosing.
    """
    names = next((list(run.metrics) for run in objectives if run.metrics), [])
    if not names:
        terminal.show_lines(["", "Nothing was evaluated: every run diverged."])
        return
    settings = settings_of(jobs, objectives)
    metrics = ["train/loss", *[name for name in names if not name.startswith("train/")]]
    baselines = {name: sorted({run.baselines[name] for run in objectives if name in run.baselines}) for name in metrics}
    columns = [name for name, values in baselines.items() if len(values) > 1]
    several = max(len(setting.runs) for setting in settings) > 1

    header = ["setting", *(["runs"] if several else []), *metrics, *[f"{name} by baseline" for name in columns]]
    rows = []
    for setting in settings:
        diverged = len(setting.runs) - len(setting.finished)
        count = f"{len(setting.runs)}" + (f" ({diverged} diverged)" if diverged else "")
        cells = [spread(setting.values(metric)) if setting.finished else "diverged" for metric in metrics]
        guesses = [spread(setting.baselines(name)) for name in columns]
        rows.append([setting.name or "all", *([count] if several else []), *cells, *guesses])
    terminal.show_lines(["", *([question] if question else [])])
    terminal.show_table([name.replace("/", " ").replace("_", " ") for name in header], rows)
    known = [f"{name} {terminal.number(values[0])}" for name, values in baselines.items() if len(values) == 1]
    common = set.intersection(*[set(run.metrics) for run in objectives if run.metrics])
    if columns:
        terminal.show_lines(["The settings differ in their data: compare each with its baseline."])
    elif (metric or chosen_by(list(common))) in common:
        terminal.show_lines(verdict(settings, metric or chosen_by(list(common))))
    if known:
        terminal.show_lines([f"Baseline: {', '.join(known)}."])


def spread(values: Sequence[float]) -> str:
    """Return a mean, with the standard deviation of several values."""
    if not values:
        return ""
    mean = terminal.number(fmean(values))
    return f"{mean} ± {terminal.number(stdev(values))}" if len(values) > 1 else mean


def verdict(settings: Sequence[Setting], metric: str) -> list[str]:
    """Return which setting is best by a metric at the end, and how far the next one is beside the spread over seeds."""
    sign = 1 if lower_is_better(metric) else -1
    ranked = sorted((setting for setting in settings if setting.finished), key=lambda s: sign * fmean(s.values(metric)))
    if len(settings) < 2 or not ranked:  # noqa: PLR2004 - nothing to compare
        return []
    best, *others = ranked
    lines = [f"Best: {best.name}, {metric} {spread(best.values(metric))}."]
    if others:
        gap = abs(fmean(others[0].values(metric)) - fmean(best.values(metric)))
        lines[0] += f" Next: {others[0].name}, {terminal.number(gap)} behind."
        spreads = [stdev(setting.values(metric)) for setting in (best, others[0]) if len(setting.values(metric)) > 1]
        if spreads:
            lines.append(f"That is {'more' if gap > max(spreads) else 'no more'} than the spread over seeds.")
    return lines
