"""Old names of modules that were moved: logged models, recorded runs and packages of users still use them."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

OLD_NAMES = {
    "nnexp.component": "nnexp.core.component",  # components and data sets of users
    "nnexp.errors": "nnexp.core.errors",
    "nnexp.data.task": "nnexp.core.task",
    "nnexp.saved_model": "nnexp.storage.saved_model",  # in every model.json
    "nnexp.served_model": "nnexp.storage.served_model",  # the `loader_module` of every model in MLflow
}
"""Old and new names; an old one that stands in files of users is never removed."""
NAMES_IN_FILES = {
    **{new: old for old, new in OLD_NAMES.items()},
    "nnexp.sweeps.options": "nnexp.sweep.options",  # in what identifies a sweep; `nnexp.sweep` itself is a function
}


def name_in_files(module: str) -> str:
    """Return the name by which files call a module: its old one, if it was moved, which every version can import."""
    return NAMES_IN_FILES.get(module, module)


class OldNames(MetaPathFinder, Loader):
    """Finds a module under its old name; it is the same module as under the new one."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Return how to import a module that was moved; None for every other."""
        return ModuleSpec(fullname, self) if fullname in OLD_NAMES else None

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to Python, whose module is replaced below."""

    def exec_module(self, module: ModuleType) -> None:
        """Put the moved module in the place of the new one."""
        sys.modules[module.__name__] = import_module(OLD_NAMES[module.__name__])


def install() -> None:
    """Let old names be found; calling it again changes nothing."""
    if not any(isinstance(finder, OldNames) for finder in sys.meta_path):
        sys.meta_path.insert(0, OldNames())  # before the finder of files, which finds one of a moved package anew
