"""Checks and rearranges the arguments of a command before Hydra reads them."""

import re
from collections.abc import Sequence
from typing import NoReturn

from nnexp.config.hydra_internals import flag_parser
from nnexp.core.errors import UserError

RESUME, SWEEP_OVER = "resume=", "sweep.over="
QUOTES = ("'", '"')
OVERRIDE = re.compile(r"[~+]*[\w./@:]+=|~")
"""The beginning of an override, as distinct from a flag: Hydra needs all flags first, users may mix them."""


REFUSED_FLAGS = {
    "experimental_rerun": "the config of a run is replayed with nnexp replay, for Hydra would load a pickle",
    "config_path": "the configs of nnexp are in conf/, those of your own are added with --config-dir",
    "config_name": "the root of all configs is conf/config.yaml, others are chosen with experiment=NAME",
}
"""Flags of Hydra that are refused, and why: with them, a file from a stranger could make Hydra execute anything."""


def arranged(arguments: Sequence[str]) -> list[str]:
    """Return arguments in the form that Hydra needs: flags first, a folder to resume quoted, `sweep.over` replaced."""
    return sorted(replacing_sweep_over(with_quoted_paths(arguments)), key=lambda word: OVERRIDE.match(word) is not None)


def with_quoted_paths(overrides: Sequence[str]) -> list[str]:
    """Return overrides with quotes around the folder to resume, whose name may contain signs such as `=`."""
    return [_quoted(override) for override in overrides]


def replacing_sweep_over(arguments: Sequence[str]) -> list[str]:
    """Return arguments whose `sweep.over=...` replaces that of an experiment; Hydra alone would merge the two."""
    return [
        part
        for argument in arguments
        for part in ([f"{SWEEP_OVER}null", argument] if argument.startswith(SWEEP_OVER) else [argument])
    ]


def check_words(overrides: Sequence[str]) -> None:
    """Check that overrides are valid text, and do not remove keys that every command reads.

    Raises UserError if one is not UTF-8, or removes keys of sweeps.
    """
    for override in overrides:
        try:
            override.encode()
        except UnicodeEncodeError as error:
            raise UserError(f"{override}: must be text in UTF-8") from error
        if override.startswith("~sweep"):
            raise UserError(f"{override}: must be changed instead, as in sweep.plan=true")


def check_flags(arguments: Sequence[str]) -> None:
    """Check that all flags are known to Hydra and harmless.

    Raises UserError if one is not.
    """
    parser = flag_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    given = parser.parse_args(list(arguments))
    for flag, reason in REFUSED_FLAGS.items():
        if getattr(given, flag) is not None:
            raise UserError(f"--{flag.replace('_', '-')}={getattr(given, flag)}: must not be given; {reason}")


def _refuse(message: str) -> NoReturn:
    raise UserError(f"{message} (--help shows what there is)")


def _quoted(override: str) -> str:
    path = override.removeprefix(RESUME)
    if not override.startswith(RESUME) or path in ("", "null") or path.startswith(QUOTES):
        return override
    escaped = path.replace("'", r"\'")
    return f"{RESUME}'{escaped}'"
