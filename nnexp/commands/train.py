"""Trains one run, or with -m a sweep: the command of nnexp without a name."""

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from nnexp import __version__
from nnexp.config.command_line import arranged, check_flags, check_words, flags_first
from nnexp.config.search_path import register
from nnexp.core.errors import UserError
from nnexp.core.exits import ExitStatus, exits
from nnexp.core.files import shipped

if TYPE_CHECKING:
    from nnexp.tracking.beside import Beside


def main(arguments: Sequence[str]) -> None:
    """Train the run or the sweep that overrides and flags of Hydra describe.

    Raises UserError if they are not valid.
    """
    if "--version" in arguments:  # Hydra would say its own
        from nnexp.report.terminal import show_lines

        show_lines([f"nnexp {__version__}"])
        return
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors instead of printing them
    register()
    sys.argv = ["nnexp", *arranged(arguments)]
    check_flags(flags_first(arguments))
    check_words(sys.argv[1:])
    try:
        with _beside(arguments) as recorder:

            def train(config: DictConfig) -> None:
                _train(config, recorder)

            hydra.main(version_base="1.3", config_path=str(shipped("conf")), config_name="config")(train)()
    except UserError:
        raise
    except Exception as error:
        from nnexp.config.hydra_errors import refusal

        mistake = refusal(error, sys.argv[1:])
        if mistake is None:
            raise
        raise mistake from None


def _beside(arguments: Sequence[str]) -> "AbstractContextManager[Beside | None]":
    """Return a process that imports MLflow, for what may be a run alone that needs it, as far as one can see."""
    flags = [word for word in arguments if word.startswith("-") and not word.startswith("--config")]
    if flags or "tracking=none" in arguments or "mlflow" in sys.modules:
        return nullcontext()
    from nnexp.tracking.beside import beside

    return beside()


def _say_what_was_not_swept(config: DictConfig, given: Sequence[str]) -> None:
    """Say that a file describes a sweep, of which a run alone is but one: without what it varies."""
    sweep = cast("dict[str, dict[str, object] | list[dict[str, object]] | None]", OmegaConf.to_container(config.sweep))
    over = sweep["over"]
    if over and config.verbose is not False:
        from nnexp.config.overrides import command
        from nnexp.core.words import some
        from nnexp.report.terminal import show_lines

        keys = [str(key) for part in (over if isinstance(over, list) else [over]) for key in part]
        show_lines([f"This run alone varies nothing. The sweep over {some(keys)}: {command('-m', *given)}"])


def _train(config: DictConfig, recorder: "Beside | None") -> None:
    """Train the run that a composed config describes; sweeps are trained by nnexp's own launcher."""
    from nnexp.config.compose import check
    from nnexp.config.hydra_errors import other_launcher
    from nnexp.runs.train import execute

    context = HydraConfig.get()
    with exits():  # here, for Hydra prints the overrides of a job beside what it raises
        if context.mode is RunMode.MULTIRUN:
            raise other_launcher(context.runtime.choices["hydra/launcher"])
        given = cast("list[str]", OmegaConf.to_container(context.overrides.task))  # as typed, ${...} and all
        result = execute(check(config), given, recorder)
        _say_what_was_not_swept(config, given)
    if result.diverged_step is not None or result.rescued:
        sys.exit(ExitStatus.UNSUCCESSFUL)
