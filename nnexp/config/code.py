"""The fingerprint of the code that the numbers of a run come from: that of nnexp, and of components of the user."""

import ast
import hashlib
import inspect
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import resolve_name
from pathlib import Path

from nnexp.config.experiment import Experiment
from nnexp.config.identity import WITHOUT_EFFECT
from nnexp.core.component import Component

PACKAGE = Path(__file__).parent.parent
NUMERICS = ("core", "nn", "optim", "data", "training")
"""The folders of nnexp whose code makes the numbers."""
INSTALLED = {"site-packages", "dist-packages"}
STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))
UNKNOWN = b"no source"
"""Stands for the source of a class that nothing holds, such as one typed into an interactive session."""


def code_fingerprint(experiment: Experiment) -> str:
    """Return the first 12 hexadecimal digits of a SHA-256 of the code that the numbers of a run come from.

    That is the code of nnexp and the modules of components that are not of nnexp, with all that these import, if it is
    not installed. Nothing is imported for it, so it is the same whatever a process has done before.
    """
    digest = hashlib.sha256(_numerics())
    for name, source in sorted(_foreign_sources(experiment).items()):
        digest.update(f"{name} {len(source)}\n".encode() + source)
    return digest.hexdigest()[:12]


def has_foreign_components(experiment: Experiment) -> bool:
    """Tell whether the numbers of a run come from components that are not of nnexp, too."""
    return any(_foreign(experiment))


@cache
def _numerics() -> bytes:
    """Return the code of nnexp: what was imported, even if somebody edits it now."""
    paths = sorted(path for folder in NUMERICS for path in (PACKAGE / folder).rglob("*.py"))
    digest = hashlib.sha256()
    for path in paths:
        source = _source(path)
        digest.update(f"{path.relative_to(PACKAGE).as_posix()} {len(source)}\n".encode() + source)
    return digest.digest()


def _foreign(experiment: Experiment) -> Iterator[type[Component]]:
    for one in fields(experiment):
        if one.name not in WITHOUT_EFFECT:
            for component in _components(getattr(experiment, one.name)):
                if component.__module__.partition(".")[0] != PACKAGE.name:
                    yield type(component)


def _components(value: object) -> Iterator[Component]:
    """Yield the components in a value of a config, and those within them."""
    if isinstance(value, Component):
        yield value
        for one in fields(value):
            yield from _components(getattr(value, one.name))
    elif isinstance(value, tuple):
        for item in value:
            yield from _components(item)


def _foreign_sources(experiment: Experiment) -> dict[str, bytes]:
    """Return the source of every module that components which are not of nnexp use, by its name."""
    sources: dict[str, bytes] = {}
    for kind in _foreign(experiment):
        file = _file_of(kind.__module__)
        if file is None:
            sources[f"{kind.__module__}.{kind.__qualname__}"] = _written(kind)
            continue
        waiting = [(kind.__module__, file)]
        while waiting:
            name, file = waiting.pop()
            if name not in sources:
                sources[name], imported = _read(name, file, file.stat().st_mtime_ns)
                found = [(other, _file_of(other)) for other in (imported if _is_edited(file) else ())]
                waiting += [(other, path) for other, path in found if path is not None and _is_edited(path)]
    return sources


def _written(kind: type) -> bytes:
    """Return the source of a class that is in no file, as far as Python knows it."""
    try:
        return inspect.getsource(kind).encode()
    except (OSError, TypeError):
        return UNKNOWN


@cache
def _read(name: str, file: Path, changed: int) -> tuple[bytes, Sequence[str]]:  # noqa: ARG001 - read again if changed
    """Return the source of a module, and the names of what it may import, some of which are no modules."""
    source = _source(file)
    try:
        statements = list(ast.walk(ast.parse(source))) if file.suffix == ".py" else []
    except (SyntaxError, ValueError):  # of a module that nobody has imported
        statements = []
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    imported: dict[str, None] = {}
    for statement in statements:
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                parts = alias.name.split(".")
                imported |= dict.fromkeys(".".join(parts[:end]) for end in range(1, len(parts) + 1))
        elif isinstance(statement, ast.ImportFrom):
            try:
                base = resolve_name("." * statement.level + (statement.module or ""), package)
            except ImportError:  # from beyond the package
                continue
            imported |= dict.fromkeys([base, *(f"{base}.{alias.name}" for alias in statement.names)])
    return source, [*imported]


def _source(file: Path) -> bytes:
    return file.read_bytes().replace(b"\r\n", b"\n")


def _file_of(name: str) -> Path | None:
    """Return the file of a module, which need not be imported; None if it has none, or is of nnexp."""
    if name.partition(".")[0] == PACKAGE.name:
        return None
    module = sys.modules.get(name)
    file = _search(name) if module is None else getattr(module, "__file__", None)
    return Path(file) if file is not None and Path(file).is_file() else None


def _search(name: str) -> str | None:
    """Return the file of a module as Python would find it, without importing it or the packages that it is in."""
    file, folders = None, None
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:end]), folders)
        if spec is None or (spec.submodule_search_locations is None and end < len(parts)):
            return None
        file, folders = spec.origin, spec.submodule_search_locations
    return file


def _is_edited(file: Path) -> bool:
    """Tell whether a file is one that its user may edit: neither installed nor of Python itself."""
    return INSTALLED.isdisjoint(file.parts) and not file.is_relative_to(STANDARD_LIBRARY)
