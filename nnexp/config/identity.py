"""The identity of a run: the hash of the part of its config that its numbers depend on."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence

from nnexp.config.experiment import Experiment
from nnexp.core.component import Component, flat, is_added, resolved

WITHOUT_EFFECT = frozenset(
    {
        *("question", "tracking", "output_dir", "figures", "verbose", "resume"),
        *("trainer.checkpoint_every", "trainer.report_every"),
    }
)
"""Keys that change where files are written and what is shown, but no number of a run."""

MARK = "==="
"""Stands around a key in the place of its number; json.dumps leaves it as it is."""


def without_effect(key: str) -> bool:
    """Tell whether a dotted key changes no number."""
    return key in WITHOUT_EFFECT or key.split(".", 1)[0] in WITHOUT_EFFECT


def config_hash(experiment: Experiment) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of the config, without keys that change no number."""
    content = _with_effect(resolved(experiment, identity=True))
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def config_hashes(experiment: Experiment, columns: Mapping[str, Sequence[float]]) -> list[str] | None:
    """Return the hash of every config that differs from one in columns, by their dotted keys; None if none is written.

    All of them are written as the first, but for the numbers.
    """
    content = _with_effect(resolved(experiment, identity=True))
    for key in columns:
        *path, name = key.split(".")
        node: object = content
        owner: object = experiment
        for part in path:
            node, owner = node[part] if isinstance(node, dict) else None, getattr(owner, part)
        if not isinstance(node, dict) or not isinstance(owner, Component) or is_added(owner, name):
            return None
        node[name] = f"{MARK}{key}{MARK}"
    pieces = re.split(f'"{MARK}(.*?){MARK}"', json.dumps(content, sort_keys=True))
    if sorted(pieces[1::2]) != sorted(columns):
        return None
    order = [columns[key] for key in pieces[1::2]]
    begin, *between = [text.encode() for text in pieces[::2]]
    found = []
    for row in zip(*order, strict=True) if order else [()]:
        digest = hashlib.sha256(begin)
        for number, text in zip(row, between, strict=True):
            digest.update(repr(number).encode() + text)
        found.append(digest.hexdigest()[:12])
    return found


def _with_effect(config: Mapping[str, object], path: str = "") -> dict[str, object]:
    return {
        key: _with_effect(value, f"{path}{key}.") if isinstance(value, dict) else value
        for key, value in config.items()
        if f"{path}{key}" not in WITHOUT_EFFECT
    }


def changes(config: Mapping[str, object], defaults: Mapping[str, object]) -> list[tuple[str, str, str]]:
    """Return every dotted key with another value than the default, and both as JSON, "" if it is missing."""
    before, here = flat(dict(defaults)), flat(dict(config))

    def told(values: Mapping[str, object], key: str) -> str:
        return json.dumps(values[key], ensure_ascii=False) if key in values else ""

    differing = [key for key in {**here, **before} if repr(before.get(key, ...)) != repr(here.get(key, ...))]
    return [(key, told(before, key), told(here, key)) for key in differing if not without_effect(key)]
