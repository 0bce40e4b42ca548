"""Checks and rearranges the arguments of a command before Hydra reads them."""

import re
from collections.abc import Sequence
from typing import NoReturn

from hydra.core.override_parser.types import Quote, QuotedString

from nnexp.config.hydra_internals import flag_parser
from nnexp.core.errors import UserError

SWEEP_OVER = "sweep.over="
TEXTS = frozenset(
    {"question", "output_dir", "resume", "tracking.uri", "tracking.experiment"}
    | {f"dataset.{name}" for name in ("name", "separator", "decimal", "thousands", "comment", "quote", "encoding")}
)
"""Keys whose values are texts, which are taken as they are typed."""
NAMES = frozenset(
    f"dataset.{name}" for name in ("path", "test_path", "target", "positive", "categorical", "ignore", "missing_values")
)
"""Keys whose values are names of files, columns or classes: texts likewise, or lists or choices of such."""
SEVERAL = re.compile(r"(\[|choice\(|zip\()(.*)([])])", re.DOTALL)
"""A list of names, or a choice between some."""
UNQUOTED = re.compile(r"(?!(true|false|null|nan|inf)$)[a-z_][\w./+-]*", re.ASCII | re.IGNORECASE)
"""Text that needs no quotes on the command line, and is not taken for a number or the like."""
OVERRIDE = re.compile(r"[~+]*[\w./@:]+=|~")
"""The beginning of an override, as distinct from a flag: Hydra needs all flags first, users may mix them."""


REFUSED_FLAGS = {
    "experimental_rerun": "the config of a run is replayed with nnexp replay, for Hydra would load a pickle",
    "config_path": "the configs of nnexp are in conf/, those of your own are added with --config-dir",
    "config_name": "the root of all configs is conf/config.yaml, others are chosen with experiment=NAME",
}
"""Flags of Hydra that are refused, and why: with them, a file from a stranger could make Hydra execute anything."""


def arranged(arguments: Sequence[str]) -> list[str]:
    """Return arguments in the form that Hydra needs: flags first, texts in quotes, `sweep.over` replaced."""
    return sorted(replacing_sweep_over(with_quoted_texts(arguments)), key=lambda word: OVERRIDE.match(word) is not None)


def with_quoted_texts(overrides: Sequence[str]) -> list[str]:
    """Return overrides with quotes around texts, which Hydra would read as numbers, lists, functions or nothing.

    A text that is null, or stands in quotes already, stays as it is.
    """
    return [_with_quotes(override) for override in overrides]


def takes_text(key: str) -> bool:
    """Tell whether the value of a key is a text, or several."""
    return key.lstrip("+") in TEXTS | NAMES


def quoted(text: str) -> str:
    """Return a text as the command line has it, in quotes if it needs some."""
    return text if UNQUOTED.fullmatch(text) else QuotedString(text, Quote.single).with_quotes()


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


def _with_quotes(override: str) -> str:
    key, separator, value = override.partition("=")
    name = key.lstrip("+")
    if separator and name in TEXTS:
        return f"{key}={_text(value)}"
    return f"{key}={_names(value)}" if separator and name in NAMES else override


def _text(value: str) -> str:
    as_it_is = value in ("", "null") or (len(value) > 1 and value[0] == value[-1] and value[0] in "'\"")
    return value if as_it_is else quoted(value)


def _names(value: str) -> str:
    """Return a name, or a list or choice of names, with the quotes that each needs."""
    parts = _parts(value)
    if len(parts) > 1 and all(SEVERAL.fullmatch(part) for part in parts):  # a sweep over lists
        return ",".join(map(_names, parts))
    several = SEVERAL.fullmatch(value)
    if several is None:
        return _text(value)
    opening, inside, closing = several.groups()
    return f"{opening}{','.join(map(_names, _parts(inside)))}{closing}"


def _parts(text: str) -> list[str]:
    """Return what stands between commas, but for those in quotes or brackets, without white space around it."""
    parts, depth, quote = [""], 0, ""
    for place, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote and text[place - 1] != "\\" else quote
        elif sign in "'\"" and not parts[-1].strip():
            quote = sign
        elif sign in "[(":
            depth += 1
        elif sign in ")]":
            depth -= 1
        if sign == "," and not quote and depth <= 0:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]
