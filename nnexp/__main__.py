"""The command line: `python -m nnexp`, or `nnexp`.

Only Hydra is imported here; the rest of nnexp comes when there is something to train.
"""

import atexit
import gc
import os
import sys
from typing import cast

gc.disable()  # until the first job is done: start-up makes nothing but what is kept, and is a fifth faster without

import hydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from nnexp.config.command_line import arranged, check_flags, check_words
from nnexp.config.hydra_errors import refusal
from nnexp.config.search_path import folder, register
from nnexp.core.errors import UserError

MISTAKE, DIVERGED, INTERRUPTED, TERMINATED = 2, 1, 130, 143
"""Exit statuses; the last two are what a shell reports of a process that Ctrl-C or SIGTERM ended."""


def job(config: DictConfig) -> float:
    """Train what one composed config describes, and return its lowest loss, which sweepers minimise."""
    from hydra.core.hydra_config import HydraConfig

    from nnexp.config.compose import check
    from nnexp.runs.train import execute
    from nnexp.sweeps.objective import Objective, swept

    context = HydraConfig.get()
    try:
        alone = context.mode is not RunMode.MULTIRUN
        given = cast("list[str]", OmegaConf.to_container(context.overrides.task))  # as typed, ${...} and all
        overrides = [override for override in given if not override.startswith("sweep.")]
        result = execute(check(config), overrides, alone=alone, parent=config.sweep.parent)
        gc.enable()
    except UserError as error:
        # An exit passes through Hydra, where an exception would be printed together with the overrides.
        sys.exit(_mistake(error))
    if result.diverged_step is not None and alone:
        sys.exit(DIVERGED)
    return Objective.of(swept(result))


def main() -> None:
    """Run the command line; a user's mistake is one line and exit status 2."""
    atexit.register(gc.freeze)  # what is left at the end is let go of as it is: to look through it takes a second
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands its errors on instead of printing them in its own words
    register()
    sys.argv[0] = "nnexp"  # the name in Hydra's usage line
    sys.argv[1:] = arranged(sys.argv[1:])
    try:
        check_words(sys.argv[1:])
        check_flags(sys.argv[1:])
        hydra.main(version_base="1.3", config_path=str(folder("conf")), config_name="config")(job)()
    except UserError as error:
        sys.exit(_mistake(error))
    except Exception as error:
        mistake = refusal(error, sys.argv[1:])
        if mistake is None:
            raise
        sys.exit(_mistake(mistake))
    except KeyboardInterrupt as interrupt:
        print(f"\nnnexp: interrupted{''.join(f'; to go on: {command}' for command in interrupt.args)}", file=sys.stderr)
        sys.exit(TERMINATED if type(interrupt) is not KeyboardInterrupt else INTERRUPTED)


def _mistake(error: UserError) -> int:
    print(f"nnexp: {error}", file=sys.stderr)
    return MISTAKE


if __name__ == "__main__":
    main()
