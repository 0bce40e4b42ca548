"""Every key that a command can set, with what it takes: for advice about one that is not known.

Called when something is wrong, so it reads the files of conf/ itself: Hydra may be in the middle of anything.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from inspect import isabstract
from pathlib import Path

import yaml

from nnexp.config.experiment import Experiment
from nnexp.config.search_path import GROUP, is_group
from nnexp.core.build import TARGET, locate
from nnexp.core.component import Component, annotations, bare
from nnexp.core.files import shipped
from nnexp.core.words import no_such_key, proposal, same_or_synonym

OF_HYDRA = ("hydra.launcher.jobs", "hydra.launcher.backend", "hydra.launcher.address", "hydra.launcher.stack_megabytes")
FAMOUS = ("adam", "csv", "cosine", "step")
"""Options that are named first, of those that have a key."""
MOST = 3
"""The most keys that are proposed."""


@dataclass(frozen=True)
class Known:
    """A key that is known.

    Attributes:
        hint: The annotation of its values; None where the key is of a sweep or of Hydra.
        options: The options of a group that have it, best known first; empty where it is in no group.
        default: Whether the default run has it.
    """

    hint: object = None
    options: Sequence[str] = ()
    default: bool = True


@cache
def known_keys() -> Mapping[str, Known]:
    """Return every key of a run, of a sweep and of the launcher."""
    root = yaml.safe_load((shipped("conf") / "config.yaml").read_text(encoding="utf-8"))
    chosen = {group: name for entry in root["defaults"] if isinstance(entry, dict) for group, name in entry.items()}
    found = {**_keys_of(Experiment, "", chosen), GROUP: Known(str)}
    found = {key: replace(known, options=sorted(known.options, key=_fame)) for key, known in found.items()}
    return found | {key: Known() for key in ("sweep", *(f"sweep.{name}" for name in root["sweep"]), *OF_HYDRA)}


def options_of_group(group: str) -> list[str]:
    """Return the names of the options of a group of nnexp, such as `architecture/activation` or `experiment`."""
    place = shipped("experiments") if group == GROUP else shipped("conf") / group
    if not re.fullmatch(r"\w+(/\w+)?", group) or not (group == GROUP or is_group(group)):
        return []
    inner = place.rglob("*.yaml") if group == GROUP else place.glob("*.yaml")
    return sorted(path.relative_to(place).with_suffix("").as_posix() for path in inner)


def unknown_key(path: str, siblings: Sequence[str]) -> str:
    """Return a line about an unknown key: what is meant, here or elsewhere, or else what there is here.

    Args:
        path: The key, as `optimizer.lr`.
        siblings: The keys that are known in its place.
    """
    head, _, name = path.rpartition(".")
    siblings = sorted(one for one in siblings if one not in (TARGET, "hydra"))
    here = same_or_synonym(name, siblings) or get_close_matches(name, siblings, n=1, cutoff=0.85)
    if not (head and here):  # at the root, there may be better ones elsewhere
        known = known_keys()
        if path in known:
            which = " or ".join(known[path].options[:MOST]) or f"its value in {head}={{{name}: ...}}"
            return f"{path}: no such key here, but with {which}"
        if found := keys_meant(path):
            return f"{path}: no such key{proposal([_with_option(found[0]), *found[1:]])}"
        if name in options_of_group(head.replace(".", "/")):
            return f"{path}: no such key, did you mean {head}={name}?"
    return no_such_key(path, siblings)


def keys_meant(path: str) -> list[str]:
    """Return the keys that may be meant by one that is not known, at most three."""
    known = known_keys()
    *above, name = [part for part in re.split(r"[./,:]+", path) if part] or [""]
    leaves: dict[str, list[str]] = {}
    for key in known:
        leaves.setdefault(key.rpartition(".")[2], []).append(key)
    heads = same_or_synonym(above[0], [key for key in known if "." not in key]) if above else []
    words = same_or_synonym(name, leaves)
    if not words:
        words = get_close_matches(name.lower(), leaves, n=1, cutoff=0.78)
    found = [key for word in words for key in leaves[word]]

    def rank(key: str) -> tuple[bool, int, bool, int]:
        head, _, below = key.partition(".")
        same = head in heads if above else not below
        return not same, words.index(key.rpartition(".")[2]), not known[key].default, key.count(".")

    found.sort(key=rank)
    if not found and above and heads and heads[0] != above[0]:
        return heads[:1]
    best = [key for key in found if rank(key)[0] == rank(found[0])[0]] if above else found
    return best[:MOST]


def _with_option(key: str) -> str:
    known = known_keys()[key]
    return key if known.default else f"{key} (with {known.options[0]})"


def _fame(option: str) -> bool:
    return option.partition("=")[2] not in FAMOUS


def _keys_of(kind: type[Component], prefix: str, chosen: Mapping[str, str]) -> dict[str, Known]:
    """Return the keys of a component and of those within it; where there are options, of each of them."""
    found: dict[str, Known] = {}
    for name, hint in annotations(kind).items():
        key = f"{prefix}{name}"
        found[key] = Known(hint)
        inner = bare(hint)
        if not (isinstance(inner, type) and issubclass(inner, Component)):
            continue
        if not isabstract(inner):
            found |= _keys_of(inner, f"{key}.", chosen)
            continue
        for option, one in _options(key.replace(".", "/"), inner).items():
            default = chosen.get(key, option) == option  # that of an activation is no matter
            for inside, known in _keys_of(one, f"{key}.", chosen).items():
                before = found.get(inside, Known(default=False))
                which = known.options or [f"{key.replace('.', '/')}={option}"]  # the innermost says most
                options = [*dict.fromkeys([*before.options, *which])]
                found[inside] = replace(known, options=options, default=default or before.default)
    return found


def _options(group: str, kind: type[Component]) -> Mapping[str, type[Component]]:
    """Return the classes of the options of a group."""
    found: dict[str, type[Component]] = {}
    for path in sorted(Path(shipped("conf"), group).glob("*.yaml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        found[path.stem] = locate(content.get(group, content), kind, group)
    return found
