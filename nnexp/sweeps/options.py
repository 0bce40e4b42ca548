"""The keys of `sweep` in `conf/config.yaml`, but for `over`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import annotated_types as at
from omegaconf import DictConfig, OmegaConf

from nnexp.analysis.figures import Figure
from nnexp.config.compose import options_in, options_of
from nnexp.config.sweep_functions import MAX_VALUES
from nnexp.core.build import Node, build
from nnexp.core.component import Component, Count, Seed, added
from nnexp.core.errors import UserError

MOST_FOLDERS = 1000
"""How many runs of a sweep have a folder each, if it does not say."""


@dataclass(frozen=True)
class SweepOptions(Component):
    """The settings of a sweep, under `sweep` in `conf/config.yaml`."""

    repeats: Annotated[int, at.Interval(ge=1, le=MAX_VALUES)] | None = None
    metric: str | None = None
    sampler: Literal["random", "sobol", "optuna"] = "random"
    draws: Count = 16
    draw_seed: Seed = 0
    batch: Count = 8
    halving: Annotated[float, at.Interval(gt=0, lt=1)] | None = None
    rungs: Annotated[int, at.Interval(ge=1, le=100)] = 3
    plan: bool = False
    reuse: bool = True
    wait: bool = added(default=False)
    confirm: Annotated[int, at.Interval(ge=0, le=1000)] | None = added(default=None)
    matters: Annotated[float, at.Gt(0)] | None = added(default=None)
    figures: tuple[Figure, ...] | None = added(default=None)
    record: Literal["runs", "table", "auto"] = added(default="auto")
    curves: Annotated[int, at.Ge(2)] | None = added(default=None)

    def in_table(self, total: int) -> bool:
        """Tell whether so many runs are recorded as rows of one table.

        Raises UserError if they are to be, and runs depend on what others gave.
        """
        depends = f"sweep.halving={self.halving}" if self.halving is not None else None
        depends = depends or (f"sweep.sampler={self.sampler}" if self.sampler == "optuna" else None)
        if self.record == "table" and depends is not None:
            raise UserError(f"sweep.record=table: must be runs or auto beside {depends}")
        return self.record == "table" or (self.record == "auto" and depends is None and total > MOST_FOLDERS)


def sweep_options(config: DictConfig) -> SweepOptions:
    """Return the checked options of a composed config, `sweep.over` apart.

    Raises UserError if a key is unknown, or a value has the wrong type or is out of range.
    """
    content = OmegaConf.to_container(config.sweep, resolve=True) if OmegaConf.is_dict(config.sweep) else None
    if not isinstance(content, dict):
        raise UserError(f"sweep={config.sweep}: must be keys and their values")
    return build({key: value for key, value in content.items() if key != "over"}, SweepOptions, "sweep", _options)


def _options(kind: type[Component]) -> Mapping[str, Node] | None:
    return options_in("figure") if kind is Figure else options_of(kind)
