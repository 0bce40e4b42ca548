"""Turns errors of Hydra into messages of one line, with proposals for misspelt words."""

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from traceback import walk_tb

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    GrammarParseError,
    InterpolationResolutionError,
    OmegaConfBaseException,
    ValidationError,
)

from nnexp.config.command_line import FLAGS
from nnexp.config.hydra_internals import known_functions
from nnexp.config.known_keys import Known, keys_meant, known_keys, options_of_group, unknown_key
from nnexp.config.search_path import is_group
from nnexp.core.build import meant_value
from nnexp.core.component import Component, annotations, bare, choices_in, describe, satisfies
from nnexp.core.errors import UserError
from nnexp.core.words import meant, numbers_meant, one_of, proposal, some

KEY = r"[~+]*[\w/@:-]+(\.[\w-]+)*"
SUFFIX = re.compile(r"\.(csv|tsv|txt|data|dat|gz|zip|parquet|npz|xlsx?|json|arff)$", re.IGNORECASE)
"""What files of tables are called."""
HYDRA_PACKAGES = ("hydra", "omegaconf", "antlr4")
"""Packages whose errors are about the overrides of the user."""


def refusal(error: Exception, overrides: Sequence[str]) -> UserError | None:
    """Return the user's mistake behind an error of Hydra or OmegaConf; None for a bug.

    Args:
        error: The error.
        overrides: The overrides, for errors that do not name the one they are about.
    """
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return UserError(one_line(error, overrides))
    packages = [frame.f_globals.get("__name__", "").partition(".")[0] for frame, _ in walk_tb(error.__traceback__)]
    own = [package for package in packages if package not in sys.stdlib_module_names]
    if own[-1] not in HYDRA_PACKAGES:
        return None
    blamed = [override for override in overrides if _is_odd(override)] or overrides
    group, _, name = blamed[0].partition("=") if len(blamed) == 1 else ("", "", "")
    if options := options_of_group(group):
        return UserError(no_such_option(group, name, options))
    return UserError(f"{' '.join(blamed)}: must be something that Hydra understands ({error})")


def _is_odd(override: str) -> bool:
    """Tell whether an override cannot be parsed, or chooses for a group something other than a name."""
    try:
        parsed = OverridesParser.create().parse_override(override)
        value = parsed.value()
    except (HydraException, ValueError, RecursionError):
        return not override.startswith("-")
    names = value if isinstance(value, list) else [value]
    chosen = is_group(parsed.key_or_group) and "=" in override and not isinstance(value, dict)
    return chosen and not all(isinstance(name, str) for name in names)


def other_launcher(name: str) -> UserError:
    """Return the error for a launcher of Hydra or of a plugin, which nnexp does not support."""
    return UserError(f"hydra/launcher={name}: must be nnexp, which trains runs together, here or on a cluster of Dask")


def one_line(error: Exception, overrides: Sequence[str] = ()) -> str:
    """Return a line that names the key, the value and what is allowed."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file is not None:
        return _missing(error.missing_cfg_file, error)
    if isinstance(error, OverrideParseException):
        return f"{error.override}: {_wrong_value(error, overrides)}"
    if isinstance(error, InterpolationResolutionError) and error.full_key:
        reason = str(error).splitlines()[0]
        return f"{error.full_key}: must refer to what there is ({reason}); a text with ${{...}} is typed \\${{...}}"
    cause, text = error.__cause__, str(error)
    if isinstance(error, GrammarParseError) or isinstance(cause, GrammarParseError):
        blamed = next((override for override in overrides if "${" in override), "a config")
        return f"{blamed}: must refer to a key, as ${{seed}}, or have a backslash before its dollar sign"
    if isinstance(cause, (ConfigKeyError, ConfigAttributeError)) and isinstance(cause.parent_node, DictConfig):
        typed = re.match(r"Could not override '([^']*)'", text)
        key = max(str(cause.full_key), typed[1] if typed else "", key=len)
        return unknown_key(key, [str(one) for one in cause.parent_node])
    if explained := _explained(text, overrides):
        return explained
    if merged := re.match(r"Error merging override (.*?)=(.*)", text, re.DOTALL):
        is_function = isinstance(cause, ValidationError) and "Sweep" in str(cause)
        wanted = "must have its functions in quotes, such as 'range(3)'" if is_function else _allowed(*merged.groups())
        return f"{merged[1]}={merged[2]}: {wanted}"
    return _first_line(error) or _first_line(cause or error) or type(error).__name__


def _explained(text: str, overrides: Sequence[str]) -> str:
    """Return what is meant by what Hydra says; nothing where it is none of what is known."""
    if found := NO_MATCH.match(text):
        return _nothing_chosen(found["key"], found["file"], overrides)
    if several := re.match(r"Ambiguous value for argument '(.*?)=(.*?)'\n", text, re.DOTALL):
        return f"{several[1]}={several[2]}: {_several(*several.groups())}"
    for pattern, wanted in MEANINGS.items():
        if found := re.match(pattern, text, re.DOTALL):
            return f"{found[1]}: {wanted.format(found[1])}"
    return ""


NO_MATCH = re.compile(r"(In '(?P<file>.*?)': )?Could not override '(?P<key>.*?)'\.")
"""What Hydra says of a group of which nothing is chosen, so that there is nothing to override."""
MEANINGS = {
    r"Sweep parameters '(.*?)' requires": "must be one value; for a run of each, -m '{}'",
    r"Could not append to config\. An item is already at '(.*?)'": "must be without its +, for the key is there",
    r"Multiple values for (.*?)\. To": "must be chosen once, and without a +",
    r"Could not delete from config\. '(.*?)' does not exist": "no such key",
    r"Could not delete from config\. The value of '(.*?)' is": "must be deleted without a value, ~{0}",
    r"Could not delete '([^'=]*)(?:=.*)?'\. No match": "must be what is chosen, to be deleted",
    r"force-add of config groups is not supported: '\++(.*?)=": "must be chosen without a +",
    r"You must specify '(.*?)'": "must be chosen, {0}=OPTION",
    r"Duplicate _self_ defined in (.*)": "must have _self_ once",
    r"In (.*?): Override .* is defined before": "must have what it overrides at the end of its defaults",
}
"""What Hydra says, with the override or the key in it, and what is meant by that."""


def _missing(path: str, error: MissingConfigException) -> str:
    """Return a line about an option that is not there, by the path of its file."""
    first, second, *others = [*path.split("/"), ""]
    inner = first == "hydra" or (second.isidentifier() and is_group(f"{first}/{second}"))
    group, _, name = path.rpartition("/") if inner else (first, "", "/".join([second, *others[:-1]]))
    known = {*(error.options or ()), *options_of_group(group)}
    return no_such_option(group, name, known) if known else _first_line(error)


def _nothing_chosen(key: str, file: str | None, overrides: Sequence[str]) -> str:
    """Return a line about a group of which nothing is chosen.

    Args:
        key: The group, as Hydra says it: `architecture/activation`, or `optimizer@of`, under the key `of`.
        file: The config that overrides it, such as `experiment/sine`; None if it is typed.
        overrides: The overrides.
    """
    group, _, package = key.partition("@")
    value = next((one.partition("=")[2] for one in overrides if one.startswith(f"{key}=")), "OPTION")
    if file and package:  # without its slash, a group is looked for within that of the file
        return f"{file}: must have '- override /{package}: OPTION' in its defaults, with a slash"
    if package:
        return f"{key}={value}: must be {group}={value}"
    if group.startswith("experiment/"):
        return f"{key}={value}: must be experiment={group.partition('/')[2]}/{value}"
    listed = LISTED.get(group)
    line = f"{group}: must be {listed.format(value)}" if listed else unknown_key(group.replace("/", "."), ())
    return line.replace(": ", f", set by {file.replace('/', '=', 1)}: ", 1) if file else line


LISTED = {
    "architecture/layer": "architecture=layers architecture.hidden=[{}]",
    "diagnostic": "trainer.diagnostics=[{}]",
    "figure": "sweep.figures=[{}]",
}
"""Groups of which any number is chosen, and how."""


def no_such_option(group: str, name: str, known: Iterable[str]) -> str:
    """Return a line about an option that a group does not have."""
    if group.startswith("hydra/"):
        return f"{group}={name}: must be nnexp; sweep.sampler and hydra.launcher.backend choose how a sweep is done"
    if group == "dataset" and (SUFFIX.search(name) or Path(name).is_file()):
        return f"{group}={name}: must be a name; for a file of your own, dataset=csv dataset.path={name}"
    return one_of(group, name, known)


def _several(key: str, values: str) -> str:
    """Return what to type in place of several values, without brackets, for a run."""
    known = known_keys().get(key, Known())
    numbers = tuple(numbers_meant(values))
    if numbers and known.hint is not None and satisfies(numbers, known.hint):
        return f"must be a list, did you mean {key}=[{values}]?"
    decimal = values.replace(",", ".")
    comma = f", as {decimal}" if bare(known.hint) is float and re.fullmatch(r"\d+,\d+", values) else ""
    return f"must be one value{comma}; for a run of each, -m {key}={values}"


def _wrong_value(error: OverrideParseException, overrides: Sequence[str]) -> str:
    """Return what is wrong with a value that Hydra's grammar or one of its functions refuses."""
    cause, override = error.__cause__, str(error.override)
    unknown = re.search(r"Unknown function '(.*)'\nAvailable: (.*)", str(error))
    called = re.search(r"while evaluating '(\w+)", str(error))
    if unknown:
        key, _, value = override.partition("=")
        names = sorted(unknown[2].split(","))
        found = [f"{key}={one}" for one in meant(unknown[1], _options(key))] or meant(unknown[1], names)
        return f"{unknown[1]} is no function{proposal(found) or f', known are {some(names)}'}"
    if isinstance(cause, TypeError) and called:
        parameters = ",".join(known_functions()[called[1]])
        return f"must be {called[1]}({parameters}) ({cause})"
    if isinstance(cause, ValueError):
        return str(cause)
    key, separator, value = override.partition("=")
    if not (separator and re.fullmatch(KEY, key)):
        following = [*overrides, ""][[*overrides, override].index(override) + 1 :][:1]
        return _no_override(override, next((word for word in following if re.fullmatch(r"[\w.,/-]+", word)), "..."))
    return _allowed(key, value)


def _options(key: str) -> list[str]:
    """Return the words that a key may have for a value."""
    known = known_keys().get(key)
    return options_of_group(key.replace(".", "/")) or choices_in(known.hint if known else None)


def _allowed(key: str, value: str) -> str:
    """Return what the value of a key must be; the value is one that cannot be read or merged."""
    name = key.lstrip("+")
    known = known_keys().get(name)
    if known is None:
        return unknown_key(name, ()).partition(": ")[2]
    for opening, closing in ("[]", "{}"):
        if value.count(opening) != value.count(closing):
            return f"must have as many {opening} as {closing}"
    if options := options_of_group(name.replace(".", "/")):
        return one_of(name, value, options).partition(": ")[2] if value else f"must be one of {some(options)}"
    if re.search(r"[\s;&,][\w.]+=", value):
        return f"must be {_described(known)}; every KEY=VALUE is a word of its own"
    if name == "sweep.over":
        return "must be keys and lists of values, as sweep.over={seed:[1,2]}"
    inner = bare(known.hint)
    if isinstance(inner, type) and issubclass(inner, Component):
        return f"must be keys and their values, {name}={{KEY: VALUE}}, of {some([*annotations(inner)])}"
    return f"must be {_described(known)}{meant_value(name, value, known.hint)}"


def _described(known: Known) -> str:
    return "a value" if known.hint is None else describe(known.hint)


def _no_override(word: str, following: str) -> str:
    """Return what to type in place of a word that is not KEY=VALUE."""
    inner = word.strip().strip("'\"").strip()
    if not inner:
        return "must be KEY=VALUE, and is empty"
    found = re.fullmatch(r"([\w./@ -]+?)\s*(?:[:=]+|->|\s)\s*(\S.*)", inner, re.DOTALL)
    if found:
        key, value = found.groups()
        keys = [key] if key in known_keys() else keys_meant(key)
        return f"must be KEY=VALUE{proposal([f'{one}={value}' for one in keys[:1]])}"
    group, _, option = inner.rpartition("/")
    groups = (
        [group] if group else ["experiment", "dataset", "optimizer", "loss", "architecture", "initializer", "schedule"]
    )
    chosen = [f"{one}={option}" for one in groups if option in options_of_group(one)]
    if not chosen and SUFFIX.search(inner):
        chosen = [f"dataset=csv dataset.path={inner}"]
    if not chosen and inner.endswith((".yaml", ".yml")):
        chosen = [f"experiment={Path(inner).stem}"]
    keys = [inner] if inner in known_keys() else keys_meant(inner)
    if not chosen:
        chosen = [FLAGS[inner.lower()]] if inner.lower() in FLAGS else [f"{one}={following}" for one in keys]
    return f"must be KEY=VALUE{proposal(chosen[:3]) or ' (--help shows what there is)'}"


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split("\n\n")[0].split("See https://")[0].split())
