"""Results of sweeps made by hand: every number in them is known."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from nnexp.analysis.results import SweepResults, SweepRun, names_of
from nnexp.storage.run_folder import RunSummary
from nnexp.training.history import History

LENGTH = 100


def summary(
    best: float | Mapping[str, float],
    end: float | Mapping[str, float] | None = None,
    *,
    best_time: int = 50,
    stopped: str | None = None,
    diverged_step: int | None = None,
    baselines: Mapping[str, float] | None = None,
) -> RunSummary:
    """Return what came out of a run; a number alone is its loss, on the training and the test part."""
    best = {"train/loss": best, "test/loss": best} if isinstance(best, (int, float)) else dict(best)
    end = best if end is None else {**best, "test/loss": end} if isinstance(end, (int, float)) else dict(end)
    return RunSummary(
        config_hash="0123456789ab",
        data_digest="abc",
        version="1",
        unit="epoch",
        length=LENGTH,
        end=end,
        best=best,
        best_time=best_time if best else None,
        at_best=best,
        baselines=baselines or {},
        diverged_step=diverged_step,
        stopped=stopped,
        seconds=0.5,
        final=end if diverged_step is None else {},
    )


def ended(loss: float, baseline: float | None = None, **metrics: float) -> RunSummary:
    values = {"train/loss": loss, "test/loss": loss, **{f"test/{name}": value for name, value in metrics.items()}}
    return summary(values, baselines={} if baseline is None else {"test/accuracy": baseline})


def diverged(metrics: Mapping[str, float] | None = None) -> RunSummary:
    return summary(metrics or {}, diverged_step=3)


def falling(start: float, best: float, end: float, count: int = 60, length: int = LENGTH, at: float = 0.5) -> History:
    """Return a loss that falls to its best value at a share of the time, and ends at another."""
    times = np.linspace(0, length, count).astype(int)
    share = times / length
    early = best + (start - best) * (1 - np.minimum(1, share / at)) ** 2
    loss = early + (end - best) * np.maximum(0, share - at) / max(1e-9, 1 - at)
    return History(times, {"train/loss": 0.8 * loss, "test/loss": loss})


Out = tuple[RunSummary | str, History | None]


def results_of(
    jobs: Sequence[Sequence[str]],
    outs: Sequence[RunSummary | str | Out],
    *,
    missing: int = 0,
    drawn: Sequence[str] = (),
    **more: str | None,
) -> SweepResults:
    """Return the results of jobs; a text stands for the error of a run that failed."""
    names = names_of([list(job) for job in jobs])
    runs = []
    for number, (job, name, out) in enumerate(zip(jobs, names, outs, strict=True)):
        what, curves = out if isinstance(out, tuple) else (out, None)
        came_out, error = (None, what) if isinstance(what, str) else (what, None)
        folder = Path("outputs") / f"run_{number}"
        known = SweepRun(job=tuple(job), name=name, error=error, folder=folder)
        runs.append(known if came_out is None else of_summary(known, came_out, curves))
    return SweepResults(
        question=more.get("question"),
        command="python -m nnexp -m made",
        runs=tuple(runs),
        missing=missing,
        wanted=more.get("wanted"),
        drawn=drawn,
    )


def of_summary(run: SweepRun, summary: RunSummary, curves: History | None) -> SweepRun:
    """Return a run with what came out of it, as far as a summary has its readings; its metrics did not move."""
    kinds = {"final": summary.final, "end": summary.end, "best": summary.at_best, "mean": summary.final}
    readings = {f"{kind}/{name}": value for kind, known in kinds.items() for name, value in known.items()}
    readings |= {f"{kind}/{name}": value for kind in ("min", "max") for name, value in summary.best.items()}
    return replace(run, summary=summary, curves=curves, readings=readings)


def grid(**values: Sequence[object]) -> list[list[str]]:
    """Return the jobs of a full grid; two underscores stand for a dot."""
    keys = [key.replace("__", ".") for key in values]
    return [[f"{key}={value}" for key, value in zip(keys, row, strict=True)] for row in product(*values.values())]


def computed(
    jobs: Sequence[Sequence[str]], loss: Callable[[dict[str, str]], float | None], **more: object
) -> SweepResults:
    """Return the results of jobs whose loss is a function of their values; None is a run that diverged.

    All of them end a little worse, and have restored their best parameters.
    """
    outs: list[Out] = []
    for number, job in enumerate(jobs):
        value = loss(dict(override.split("=", 1) for override in job))
        wobble = 0.1 * ((number * 7919) % 11) / 11
        if value is None:
            outs.append((diverged({"train/loss": 0.6, "test/loss": 0.65}), falling(0.7, 0.65, 5.0, 12, 20)))
        else:
            curve = falling(0.7 + wobble, value, value * 1.02, at=0.4 + wobble)
            out = summary(value, value * 1.02, best_time=int(100 * (0.4 + wobble)))
            outs.append((replace(out, final=out.best, final_time=out.best_time), curve))
    return results_of(jobs, outs, **more)  # type: ignore[arg-type]
