"""The sweeper and the launcher that `-m` uses: thin shells around nnexp.sweeps.

Hydra takes plugins from the package `hydra_plugins` alone, so they live here. It reads this file at every start, so
slow modules are imported late.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, cast

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from nnexp.core.exits import ExitStatus

if TYPE_CHECKING:
    from nnexp.analysis.results import SweepRun
    from nnexp.sweeps.session import Session


@dataclass
class SweeperConfig:
    """The config from which Hydra makes the sweeper."""

    _target_: str = "hydra_plugins.nnexp_sweep.NNexpSweeper"


@dataclass
class LauncherConfig:
    """The fields of `hydra.launcher`; nnexp.sweeps.workers explains and checks them."""

    _target_: str = "hydra_plugins.nnexp_sweep.NNexpLauncher"
    backend: str = "loky"
    jobs: int | None = None
    address: str | None = None
    stack_megabytes: float = 10.0


ConfigStore.instance().store(group="hydra/sweeper", name="nnexp", node=SweeperConfig, provider="nnexp")
ConfigStore.instance().store(group="hydra/launcher", name="nnexp", node=LauncherConfig, provider="nnexp")


class NNexpLauncher(Launcher):
    """Trains jobs as stacks, in several processes, after all of them have been checked.

    Args:
        fields: Those of `hydra.launcher`.
    """

    session: "Session | None" = None
    """The sweep that the jobs belong to; None if the sweeper is not ours: every batch is then a sweep of its own."""

    def __init__(self, **fields: object) -> None:
        self._fields = fields

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:  # noqa: ARG002
        """Get ready to launch."""
        self._loader, self._config = hydra_context.config_loader, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:  # noqa: ARG002
        """Train jobs, and return the lowest selection loss of each."""
        from nnexp.config.compose import options_of
        from nnexp.core.build import build
        from nnexp.sweeps.configs import groups_of
        from nnexp.sweeps.session import Session, running
        from nnexp.sweeps.workers import Workers

        jobs = [job if isinstance(job, list) else list(job) for job in job_overrides]
        groups = groups_of(jobs, self._loader, self._config)
        workers = build(self._fields, Workers, "hydra.launcher", options_of)
        if self.session is not None:
            runs = self.session.launch(jobs, groups, workers)
        else:
            with running(Session(self._config, len(jobs))) as session:
                runs = session.launch(jobs, groups, workers)
            exit_unless_well(session)
        return [returned(run) for run in runs]


def returned(run: "SweepRun") -> JobReturn:
    """Return a run in Hydra's form: with its lowest selection loss (NaN without one), or with its error."""
    from nnexp.training.history import chosen_by

    if run.error is not None:
        return JobReturn(overrides=run.job, status=JobStatus.FAILED, _return_value=RuntimeError(run.error))
    best = {} if run.summary is None else run.summary.best
    return JobReturn(overrides=run.job, status=JobStatus.COMPLETED, _return_value=best.get(chosen_by(best), nan))


def exit_unless_well(session: "Session") -> None:
    """Exit with status 1 if a sweep is not complete and recorded."""
    if not session.well:
        sys.exit(ExitStatus.UNSUCCESSFUL)


class NNexpSweeper(Sweeper):
    """Asks a search for jobs, gives them to the launcher, and tells the search their scores."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Get ready for a sweep."""
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )
        if not isinstance(launcher, NNexpLauncher):
            from nnexp.config.hydra_errors import other_launcher

            raise other_launcher(config.hydra.runtime.choices["hydra/launcher"])
        self._loader, self._config, self._launcher = hydra_context.config_loader, config, launcher

    def sweep(self, arguments: list[str]) -> Sequence[JobReturn]:
        """Launch all jobs; the session writes a report at the end."""
        from nnexp.sweeps.jobs import search_of
        from nnexp.sweeps.session import Session, running

        about_hydra = cast("list[str]", OmegaConf.to_container(self._config.hydra.overrides.hydra))
        search = search_of([*about_hydra, *arguments], self._loader)
        returns: list[JobReturn] = []
        with running(Session(self._config, search.total, search.drawn)) as session:
            self._launcher.session = session
            for jobs in session.batches(search):
                returns += self._launcher.launch(jobs, initial_job_idx=len(returns))
        exit_unless_well(session)
        return returns
