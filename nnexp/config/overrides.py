"""Overrides such as `optimizer.learning_rate=0.3`: their parts, and the names and commands made of them."""

import re
import shlex
from collections.abc import Collection, Mapping, Sequence

from nnexp.config.identity import without_effect
from nnexp.core.errors import without_passwords

Job = list[str]
"""The overrides of one run."""
SLUG_LENGTH = 60
"""The most characters of a run's name in the name of its folder."""


def split(override: str) -> tuple[str, str]:
    """Return the key that an override sets and its value, as `optimizer` and `adam` of `+optimizer=adam`."""
    key, _, value = override.lstrip("+~").partition("=")
    return key, value


def key_of(override: str) -> str:
    """Return the key that an override sets."""
    return split(override)[0]


def without(overrides: Sequence[str], keys: Collection[str]) -> list[str]:
    """Return overrides but for those of some keys."""
    return [override for override in overrides if key_of(override) not in keys]


def command(*words: str) -> str:
    """Return the command that calls nnexp with these arguments, quoted for a shell, without passwords of addresses."""
    return " ".join(["python -m nnexp", *(_quoted(without_passwords(word)) for word in words)])


def _quoted(word: str) -> str:
    """Return a word with quotes for a shell, around quotes of its own the double ones, which can be read."""
    return f'"{word}"' if "'" in word and not re.search(r'["$`\\!]', word) else shlex.quote(word)


def titles_of(keys: Sequence[str]) -> dict[str, str]:
    """Return what keys are called: the last part of each, or the whole key where two share that."""
    short = {key: re.split("[./]", key)[-1] for key in keys}
    names = list(short.values())
    return {key: name if names.count(name) == 1 else key for key, name in short.items()}


def run_name(overrides: Sequence[str], titles: Mapping[str, str] | None = None) -> str:
    """Return the name of a run: its overrides with short keys, as in `learning_rate=0.3 scale=0.1`.

    Args:
        overrides: What sets it apart.
        titles: What their keys are called among other runs; None: as they are told apart here.
    """
    titles = titles_of([key_of(override) for override in overrides]) if titles is None else titles
    parts = []
    for override in overrides:
        key, value = split(override)
        if not without_effect(key) and not key.startswith("hydra"):
            parts.append(value if key == "experiment" else f"{titles[key]}={value}")
    return " ".join(parts)


def slug(name: str) -> str:
    """Return a name as a part of a path: short, and without special characters of shells and file systems."""
    return re.sub(r"[^\w.=+-]+", "_", name).strip("_.")[:SLUG_LENGTH]
