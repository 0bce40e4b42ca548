"""Checks and rearranges the arguments of a command before Hydra reads them."""

import re
from collections.abc import Sequence
from typing import NoReturn

from hydra.core.override_parser.types import Quote, QuotedString

from nnexp.config.hydra_internals import flag_parser
from nnexp.config.search_path import GROUP, is_group
from nnexp.core.errors import UserError
from nnexp.core.expressions import is_formula

SWEEP_OVER = "sweep.over="
TEXTS = frozenset(
    {"question", "output_dir", "resume", "tracking.uri", "tracking.experiment"}
    | {f"dataset.{name}" for name in ("name", "separator", "decimal", "thousands", "comment", "quote", "encoding")}
)
"""Keys whose values are texts, which are taken as they are typed."""
NAMES = frozenset(
    {"initializer.run"}
    | {
        f"dataset.{one}"
        for one in ("path", "test_path", "target", "positive", "categorical", "ignore", "missing_values")
    }
)
"""Keys whose values are names of files, columns or classes: texts likewise, or lists or choices of such."""
SEVERAL = re.compile(r"(\[|choice\(|zip\()(.*)([])])", re.DOTALL)
"""A list of names, or a choice between some."""
UNQUOTED = re.compile(r"(?!(true|false|null|nan|inf)$)(\.{0,2}/)*[a-z_][\w./+-]*", re.ASCII | re.IGNORECASE)
"""Text that needs no quotes on the command line, and is not taken for a number or the like."""
OVERRIDE = re.compile(r"[~+]*[\w./@:]+=|~")
"""The beginning of an override, as distinct from a flag: Hydra needs all flags first, users may mix them."""


REFUSED_FLAGS = {
    "experimental_rerun": "the config of a run is replayed with nnexp replay, for Hydra would load a pickle",
    "config_path": "the configs of nnexp are in conf/, those of your own are added with --config-dir",
    "config_name": "the root of all configs is conf/config.yaml, others are chosen with experiment=NAME",
}
"""Flags of Hydra that are refused, and why: with them, a file from a stranger could make Hydra execute anything."""
FLAGS = {
    **dict.fromkeys(("v", "verbose", "debug", "vv"), "verbose=true"),
    **dict.fromkeys(("q", "quiet", "silent", "no_verbose", "no_progress"), "verbose=false"),
    **dict.fromkeys(("no_mlflow", "no_tracking", "no_logging", "no_log", "no_wandb", "offline"), "tracking=none"),
    **dict.fromkeys(("plan", "dry_run", "dryrun"), "-m sweep.plan=true"),
    **dict.fromkeys(("sweep", "multi_run", "multi", "grid"), "-m"),
    **dict.fromkeys(("config", "conf", "config_file", "yaml"), "--config-dir or experiment=NAME"),
    **dict.fromkeys(("help_me", "usage"), "--help"),
    **dict.fromkeys(("print_config", "show_config", "show"), "--cfg job"),
    **dict.fromkeys(("nnexp", "train"), "the words after it alone"),
    "no_early_stopping": "trainer.early_stopping=null",
    **dict.fromkeys(("no_figures", "no_plots", "no_plot"), "figures=false"),
}
"""Flags of other programs, and what to type instead; others are looked for among the keys."""
SWITCHES = ("verbose", "figures", "sweep.plan", "sweep.reuse", "sweep.wait", "dataset.standardize", "dataset.stratify")


def arranged(arguments: Sequence[str]) -> list[str]:
    """Return arguments in the form that Hydra needs: flags first, texts in quotes, `sweep.over` replaced."""
    return flags_first(replacing_sweep_over(with_quoted_texts(arguments)))


def flags_first(arguments: Sequence[str]) -> list[str]:
    """Return arguments in the order that Hydra needs, all flags with their values before the overrides."""
    return sorted(arguments, key=lambda word: OVERRIDE.match(word) is not None)


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
    """Check that overrides are valid text, choose options by their names, and keep the keys that every command reads.

    Raises UserError if one is not UTF-8, removes keys of sweeps, or has a file or a list where an option is chosen.
    """
    for override in overrides:
        try:
            override.encode()
        except UnicodeEncodeError as error:
            raise UserError(f"{override}: must be text in UTF-8") from error
        if override.startswith("~sweep"):
            raise UserError(f"{override}: must be changed instead, as in sweep.plan=true")
        group, _, value = override.lstrip("+").partition("=")
        if not group:
            raise UserError(f"{override}: must be KEY=VALUE")
        if not group.isidentifier() or not (group == GROUP or is_group(group)):
            continue
        if value.endswith((".yaml", ".yml")):
            name = value.rpartition(".")[0].removeprefix("experiments/")
            raise UserError(f"{override}: must be without the ending of the file, {group}={name}")
        if value.startswith("[") and group != GROUP:
            raise UserError(
                f"{override}: must be one option, {group}=NAME, or with -m several, {group}={value.strip('[] ')}"
            )


def check_flags(arguments: Sequence[str]) -> None:
    """Check that all flags are known to Hydra and harmless, and that a sweep is asked for where its keys are.

    Raises UserError if that is not so.
    """
    parser = flag_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    parser.allow_abbrev = False  # --experiment is no short form of --experimental-rerun
    given, unknown = parser.parse_known_args(list(arguments))
    if unknown:
        raise UserError(_no_such_flag(unknown[0], arguments))
    for flag, reason in REFUSED_FLAGS.items():
        if getattr(given, flag) is not None:
            raise UserError(f"--{flag.replace('_', '-')}={getattr(given, flag)}: must not be given; {reason}")
    of_sweeps = [word for word in given.overrides if re.match(r"\+*sweep\.", word)]
    alone = not (given.multirun or given.cfg or given.help or given.info)
    if of_sweeps and alone and "hydra.mode=MULTIRUN" not in arguments:
        from nnexp.config.overrides import command

        raise UserError(f"{of_sweeps[0]}: must come with -m, for it is about a sweep: {command('-m', *arguments)}")


def _no_such_flag(flag: str, arguments: Sequence[str]) -> str:
    """Return a line about an unknown flag, with the key that is meant if that is clear."""
    from nnexp.config.known_keys import keys_meant  # late, for it needs every component

    word, separator, value = flag.partition("=")
    name = word.lstrip("-").replace("-", "_").lower()
    place = list(arguments).index(flag) + 1
    if not separator and place < len(arguments) and not re.match(r"--?[a-z]|.*=", arguments[place]):
        value = arguments[place]
    if name in FLAGS:
        return f"{flag}: no such flag, did you mean {FLAGS[name]}?"
    keys = keys_meant(name.removeprefix("no_"))
    if not keys:
        return f"unrecognized arguments: {flag} (--help shows what there is)"
    value = value or ("false" if name.startswith("no_") else "true" if keys[0] in SWITCHES else "...")
    return f"{flag}: no such flag, did you mean {keys[0]}={value}?"


def _refuse(message: str) -> NoReturn:
    raise UserError(f"{message} (--help shows what there is)")


def _with_quotes(override: str) -> str:
    key, separator, value = override.partition("=")
    name = key.lstrip("+")
    if separator and name in TEXTS:
        return f"{key}={_text(value)}"
    if separator and name in NAMES:
        return f"{key}={_names(value)}"
    return with_quoted_formulas(override)


def with_quoted_formulas(override: str) -> str:
    """Return an override with quotes around arithmetic in brackets, which Hydra would read as functions."""
    key, _, value = override.partition("=")
    if "(" not in value or not any(map(is_formula, parts := _parts(value))):
        return override
    return f"{key}={','.join(quoted(part) if '(' in part and is_formula(part) else part for part in parts)}"


def _text(value: str) -> str:
    return value if value in ("", "null") or _is_quoted(value) else quoted(value)


def _is_quoted(value: str) -> bool:
    """Tell whether a text stands wholly in quotes, which `"a" or "b"` does not."""
    within = re.sub(r"\\.", "", value[1:-1])
    return len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" and value[0] not in within


def _names(value: str) -> str:
    """Return a name, or a list or choice of names, with the quotes that each needs."""
    parts = _parts(value)
    if len(parts) > 1 and all(SEVERAL.fullmatch(part) for part in parts):  # a sweep over lists
        return ",".join(map(_names, parts))
    if len(parts) > 1 and all(map(_is_quoted, parts)):  # several texts, as Hydra has them
        return value
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
