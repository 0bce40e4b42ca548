"""The sweeper that `-m` uses. Hydra takes sweepers from the package `hydra_plugins` alone, so it lives here."""

from collections.abc import Sequence
from dataclasses import dataclass

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class SweeperConfig:
    """What Hydra has to know to make the sweeper."""

    _target_: str = "hydra_plugins.nnexp_sweeper.NNexpSweeper"


ConfigStore.instance().store(group="hydra/sweeper", name="nnexp", node=SweeperConfig, provider="nnexp")


class NNexpSweeper(Sweeper):
    """Runs every combination of the command line and of `sweep.over`, and says what came out best."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Get ready for a sweep."""
        self._loader, self._question, self._metric = hydra_context.config_loader, config.question, config.sweep.metric
        self._launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Sequence[JobReturn]:
        """Launch all jobs, and print the answer."""
        from nnexp.sweep.answer import show_answer
        from nnexp.sweep.expand import all_jobs

        jobs = all_jobs(arguments, self._loader)
        returns = self._launcher.launch(jobs, initial_job_idx=0)
        show_answer(self._question, jobs, [job.return_value for job in returns], self._metric)
        return returns
