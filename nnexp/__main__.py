"""The command line: `python -m nnexp`, or `nnexp`.

Only Hydra is imported here; the rest of nnexp comes when there is something to train.
"""

import atexit
import gc
import os
import re
import sys
from typing import NoReturn, cast

gc.disable()  # until the first job is done: start-up makes nothing but what is kept, and is a fifth faster without

import hydra
from hydra._internal.utils import get_args_parser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from nnexp.config.arguments import with_quoted_paths
from nnexp.config.messages import check_words, refusal
from nnexp.config.search_path import folder, register
from nnexp.config.sweep_functions import replacing
from nnexp.core.errors import UserError

MISTAKE, DIVERGED, INTERRUPTED, TERMINATED = 2, 1, 130, 143
"""Exit statuses; the last two are what a shell reports of a process that Ctrl-C or SIGTERM ended."""

OVERRIDE = re.compile(r"[~+]*[\w./@:]+=|~")
"""What distinguishes an override from a flag; Hydra wants the flags before the overrides, a user need not know."""


FIXED = {
    "experimental_rerun": "the config of a run is replayed with python -m nnexp.replay, for Hydra would load a pickle",
    "config_path": "the configs of nnexp are in conf/, those of your own are added with --config-dir",
    "config_name": "the root of all configs is conf/config.yaml, others are chosen with experiment=NAME",
}
"""Flags of Hydra that are refused, and why: a file of somebody else would say what Hydra executes."""


def job(config: DictConfig) -> float:
    """Train what one composed config describes, and return its lowest loss, which sweepers minimise."""
    from hydra.core.hydra_config import HydraConfig

    from nnexp.config.compose import check
    from nnexp.solo import execute
    from nnexp.sweep.objective import Objective, swept

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
    sys.argv[1:] = sorted(
        replacing(with_quoted_paths(sys.argv[1:])), key=lambda argument: OVERRIDE.match(argument) is not None
    )
    try:
        check_words(sys.argv[1:])
        _check_flags()
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


def _check_flags() -> None:
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    given = parser.parse_args()
    for flag, reason in FIXED.items():
        if getattr(given, flag) is not None:
            raise UserError(f"--{flag.replace('_', '-')}={getattr(given, flag)}: must not be given; {reason}")


def _refuse(message: str) -> NoReturn:
    raise UserError(f"{message} (--help shows what there is)")


def _mistake(error: UserError) -> int:
    print(f"nnexp: {error}", file=sys.stderr)
    return MISTAKE


if __name__ == "__main__":
    main()
