from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from nnexp.core.component import Number
from nnexp.optim.optimizers import State
from nnexp.optim.schedules import (
    Constant,
    Cosine,
    CosineRestarts,
    Exponential,
    InverseTime,
    MultiStep,
    OneCycle,
    Plateau,
    Polynomial,
    Schedule,
    Step,
    Time,
)
from nnexp.training.stacking import stacked

TOTAL = 60

TORCH: list[tuple[Schedule, str, dict[str, object]]] = [
    (Constant(), "ConstantLR", {"factor": 1.0}),
    (Step(every=7, gamma=0.5), "StepLR", {"step_size": 7, "gamma": 0.5}),
    (MultiStep(milestones=(5.0, 30.0, 31.0), gamma=0.2), "MultiStepLR", {"milestones": [5, 30, 31], "gamma": 0.2}),
    (Exponential(gamma=0.9), "ExponentialLR", {"gamma": 0.9}),
    (InverseTime(per="epoch", decay=0.1), "LambdaLR", {"lr_lambda": lambda t: 1 / (1 + 0.1 * t)}),
    (Polynomial(power=2.0), "PolynomialLR", {"total_iters": TOTAL, "power": 2.0}),
    (Cosine(minimum=0.1), "CosineAnnealingLR", {"T_max": TOTAL, "eta_min": 0.1}),
    (CosineRestarts(period=10, stretch=2.0), "CosineAnnealingWarmRestarts", {"T_0": 10, "T_mult": 2}),
    (CosineRestarts(period=7, minimum=0.2), "CosineAnnealingWarmRestarts", {"T_0": 7, "eta_min": 0.2}),
    (OneCycle(per="epoch"), "OneCycleLR", {"max_lr": 1.0, "total_steps": TOTAL}),
    (
        OneCycle(per="epoch", rise=0.5, start=10, end=100),
        "OneCycleLR",
        {"max_lr": 1.0, "total_steps": TOTAL, "pct_start": 0.5, "div_factor": 10, "final_div_factor": 100},
    ),
]
"""Every schedule with its counterpart in PyTorch, at a learning rate of 1; a new one adds a row."""


def str_of(value: object) -> str:
    """Name a row by its schedule."""
    return repr(value) if isinstance(value, Schedule) else ""


def course(schedule: Schedule) -> list[float]:
    """Return the factor of every epoch."""
    return [float(np.ravel(schedule.factor(Time(0, epoch, 0, TOTAL), {}))[0]) for epoch in range(TOTAL)]


@pytest.mark.parametrize(("schedule", "name", "settings"), TORCH, ids=str_of)
@pytest.mark.parametrize("warmup", [None, 4])
def test_parity_with_pytorch(schedule: Schedule, name: str, settings: dict[str, object], warmup: int | None) -> None:
    torch = pytest.importorskip("torch")
    scheduling = torch.optim.lr_scheduler
    if warmup is not None:
        if "total_steps" in settings or "total_iters" in settings or "T_max" in settings:
            key = next(key for key in ("total_steps", "total_iters", "T_max") if key in settings)
            settings = {**settings, key: TOTAL - warmup}
        schedule = replace(schedule, warmup=warmup)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = getattr(scheduling, name)(optimizer, **settings)
    expected = []
    for _ in range(TOTAL - (warmup or 0)):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    if warmup is not None:
        expected = [(t + 1) / (warmup + 1) for t in range(warmup)] + expected
    np.testing.assert_allclose(course(schedule), expected, rtol=1e-10, atol=1e-15)


def test_plateau_parity_with_pytorch() -> None:
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=3, threshold=1e-2)
    ours = Plateau(gamma=0.5, patience=3, threshold=1e-2)
    state = ours.init(2)
    losses = 1 / np.arange(1, 40) + 0.05 * np.random.default_rng(0).standard_normal(39) + 0.5
    for epoch, loss in enumerate(losses):
        factor = ours.factor(Time(0, epoch, 0, TOTAL), state)
        np.testing.assert_allclose(np.ravel(factor), [optimizer.param_groups[0]["lr"]] * 2)
        theirs.step(loss)
        ours.observe(np.full((2, 1), loss), state)
    assert optimizer.param_groups[0]["lr"] < 0.2, "some drops were seen"


@pytest.mark.parametrize(("schedule", "name", "settings"), TORCH, ids=str_of)
def test_runs_with_numbers_of_their_own(schedule: Schedule, name: str, settings: dict[str, object]) -> None:
    """A schedule whose numbers are arrays over two runs gives each the factors it has alone."""
    del name, settings
    runs = [replace(schedule, warmup=warmup) for warmup in (0.0, 3.0)]
    both = stacked(runs, 1, "float64")
    alone = [course(stacked([run], 1, "float64")) for run in runs]
    for epoch, (one, two) in enumerate(zip(*alone, strict=True)):
        factor = np.broadcast_to(both.factor(Time(0, epoch, 0, TOTAL), {}), (2, 1))
        np.testing.assert_array_equal(np.ravel(factor), [one, two])


class Halved(Constant):
    """A schedule of somebody else, who said nothing of the length."""

    def shape(self, t: Number, total: Number, state: State) -> Number:
        """Return 1 / 2 in the second half."""
        del state
        return np.where(t < total / 2, 1.0, 0.5)


@pytest.mark.parametrize("schedule", [*(row[0] for row in TORCH), Plateau(), Halved()], ids=str_of)
@pytest.mark.parametrize("warmup", [None, 4.0])
@pytest.mark.parametrize("per", ["step", "epoch"])
def test_a_schedule_says_whether_it_depends_on_the_length(
    schedule: Schedule, warmup: float | None, per: Literal["step", "epoch"]
) -> None:
    schedule = stacked([replace(schedule, warmup=warmup, per=per)], 1, "float64")
    state = schedule.init(1)

    def factors(total: int) -> list[float]:
        times = [Time(t, t, total, total) for t in range(TOTAL)]
        return [float(np.ravel(schedule.factor(time, state))[0]) for time in times]

    assert (factors(TOTAL) != factors(2 * TOTAL)) == schedule.depends_on_length


def test_per_step_counts_steps() -> None:
    times = [Time(step, step // 10, 600, 60) for step in range(30)]
    by_step = [float(np.ravel(Exponential(per="step", gamma=0.5).factor(time, {}))[0]) for time in times]
    assert by_step == [0.5**step for step in range(30)]
