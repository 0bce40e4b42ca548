"""What identifies a run: its resolved config, and the hash of the part of it that its numbers depend on."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields

from nnexp.component import Component, plain
from nnexp.config.experiment import Experiment

WITHOUT_EFFECT = frozenset(
    {"question", "tracking", "output_dir", "figures", "verbose", "resume", "trainer.checkpoint_every"}
)
"""Keys that change where things go and what is shown, never a number."""


def without_effect(key: str) -> bool:
    """Tell whether a dotted key changes no number."""
    return key in WITHOUT_EFFECT or key.split(".", 1)[0] in WITHOUT_EFFECT


def key_of(override: str) -> str:
    """Return the key that an override sets, as `optimizer` of `+optimizer=adam`."""
    return override.lstrip("+~").partition("=")[0]


def resolved(component: Component) -> dict[str, object]:
    """Return a component as a config that builds it again: every field written out, defaults included."""
    target = f"{type(component).__module__}.{type(component).__qualname__}"
    return {
        "_target_": target,
        **{field.name: _resolved_value(getattr(component, field.name)) for field in fields(component)},
    }


def _resolved_value(value: object) -> object:
    if isinstance(value, Component):
        return resolved(value)
    if isinstance(value, tuple):
        return [_resolved_value(item) for item in value]
    return plain(value)


def config_hash(experiment: Experiment) -> str:
    """Return 12 hexadecimal digits, the start of the SHA-256 of all of the config that numbers depend on."""
    content = _with_effect(resolved(experiment))
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _with_effect(config: Mapping[str, object], path: str = "") -> dict[str, object]:
    return {
        key: _with_effect(value, f"{path}{key}.") if isinstance(value, dict) else value
        for key, value in config.items()
        if f"{path}{key}" not in WITHOUT_EFFECT
    }


def flat(config: dict[str, object], path: str = "") -> dict[str, object]:
    """Return a resolved config with dotted keys; a component's own key holds the name of its class."""
    result: dict[str, object] = {}
    for name, value in config.items():
        if name == "_target_":
            if path:
                result[path] = str(value).rpartition(".")[2]
        elif isinstance(value, dict):
            result |= flat(value, f"{path}.{name}" if path else name)
        else:
            result[f"{path}.{name}" if path else name] = value
    return result
