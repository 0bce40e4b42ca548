"""Config files that anybody may have made: what they may say.

A file chooses components and their values. Where something is written and what Hydra itself does are said on the
command line: Hydra makes any object that its own config names, and a resolver such as `oc.env` reads secrets.
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
"""Keys that only the command line may have."""
MAX_CHARACTERS, MAX_DEPTH = 1_000_000, 50
"""The most characters of a YAML file, and the most levels."""
PLAIN_INTERPOLATION = re.compile(r"\$\{[\w.\[\]-]*\}")
"""Another value of the same config; everything else between such braces calls a function."""

UNREADABLE = (OSError, ValueError, yaml.YAMLError, LookupError, AttributeError, ArithmeticError)
"""What reading a YAML file raises; the last three are of values that are not what their tags say, as `!!bool maybe`."""


class UnreadableError(ValueError):
    """A YAML text is none, or one made to take all memory; the message is one line."""


def checked_yaml(text: str) -> str:
    """Return a YAML text that can be read in the time and the memory that its length suggests.

    Raises UnreadableError if it is long, deep or damaged, has aliases, by which a few lines can stand for any number of
    values, or is a single text, which OmegaConf would read as YAML in its turn.
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
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise UnreadableError(f"it has more than {MAX_DEPTH} levels")
    except yaml.YAMLError as error:
        raise UnreadableError(" ".join(str(error).split())) from error
    return text


def check_file(name: str, content: object, package: str | None) -> None:
    """Make sure that a config file says nothing that is the user's to say.

    Raises UserError if it does, or calls a resolver.

    Args:
        name: The file, for messages.
        content: What is in it.
        package: Where in the config it goes, if it says so.
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
