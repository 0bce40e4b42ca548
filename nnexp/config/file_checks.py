"""Checks config files, which may be from strangers: they may only choose components and values.

Where files are written and what Hydra itself does can be set on the command line alone: Hydra creates any object that
its own config names, and a resolver such as `oc.env` reads secrets.
"""

import re
from collections.abc import Iterator

import yaml

from nnexp.core.errors import UserError

COMMAND_LINE_KEYS = {
    "hydra": "what Hydra does",
    "output_dir": "where files are written, output_dir=...,",
    "uri": "where runs are recorded, tracking.uri=...,",
}
"""Keys that can be set on the command line alone, and what they do."""
MAX_CHARACTERS, MAX_DEPTH = 1_000_000, 50
"""The most characters of a YAML file, and the most levels."""
SPLIT_FUNCTION = re.compile(r"(logspace|linspace|zip|uniform|loguniform|integers|choice|range|interval)\([^()]*")
"""What is left of a function, such as `logspace(0.1` of `logspace(0.1,10,5)`, where commas in braces have split it."""
PLAIN_INTERPOLATION = re.compile(r"\$\{[\w.\[\]-]*\}")
"""A reference to another value of the same config; everything else between such braces calls a function."""

UNREADABLE = (OSError, ValueError, yaml.YAMLError, LookupError, AttributeError, ArithmeticError)
"""The errors of reading a YAML file; the last three are of values that do not fit their tags, as `!!bool maybe`."""


class UnreadableError(ValueError):
    """A text is not YAML, or could take all memory; the message is one line."""


def checked_yaml(text: str) -> str:
    """Return a YAML text unchanged, once it is known to need time and memory in proportion to its length.

    Raises UnreadableError if it is long, deep or damaged, has aliases, by which a few lines can stand for any number of
    values, or is a single text, which OmegaConf would parse as YAML again.
    """
    if len(text) > MAX_CHARACTERS:
        raise UnreadableError(f"it has more than {MAX_CHARACTERS:,} characters")
    depth = 0
    try:
        for event in yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(event, yaml.AliasEvent):
                raise UnreadableError(f"it has the alias *{event.anchor}")
            if depth == 0 and isinstance(event, yaml.ScalarEvent) and event.value:
                raise UnreadableError("it is a single value")
            if isinstance(event, yaml.ScalarEvent) and SPLIT_FUNCTION.fullmatch(event.value):
                raise UnreadableError(f"the commas in braces split {event.value},...): give each key a line, or quotes")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise UnreadableError(f"it has more than {MAX_DEPTH} levels")
    except yaml.YAMLError as error:
        raise UnreadableError(" ".join(str(error).split())) from error
    return text


def check_file(name: str, content: object, package: str | None) -> None:
    """Check that a config file sets no key of the command line.

    Raises UserError if it sets one, or calls a resolver.

    Args:
        name: The file, for messages.
        content: The content of the file.
        package: The key under which the config is put, if the file names one.
    """
    if not isinstance(content, dict):
        raise UserError(f"{name}: must have keys and their values")
    defaults = content.get("defaults")
    chosen = [entry for entry in defaults if isinstance(entry, str)] if isinstance(defaults, list) else []
    for key, value in [*_entries(content), *((entry, "") for entry in (*chosen, package or ""))]:
        for word in re.split(r"\W+", key):
            if word in COMMAND_LINE_KEYS and value is not None:
                raise UserError(f"{name}: must not say {key}; {COMMAND_LINE_KEYS[word]} is said on the command line")
        for text in (key, value):
            if isinstance(text, str) and "${" in PLAIN_INTERPOLATION.sub("", text.replace("\\", "")):
                raise UserError(f"{name}: must not have {text!r}; only ${{another.key}} can stand in a file")


def _entries(node: object, key: str = "") -> Iterator[tuple[str, object]]:
    """Yield every key at any depth with its value, and the items of lists with the key of the list."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield str(name), value
            yield from _entries(value, str(name))
    elif isinstance(node, list):
        for value in node:
            yield key, value
            yield from _entries(value, key)
