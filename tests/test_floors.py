"""The floors of the house: imports go down only, and heavy libraries are imported late."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "nnexp"

FLOORS = [
    ["core"],
    ["nn", "optim", "data"],
    ["training"],
    ["storage", "tracking", "plots", "report"],
    ["config"],
    ["runs", "analysis"],
    ["sweeps"],
    ["commands", "_plugins"],
    ["__main__", "__init__"],
]
"""From the ground up; a module imports from its own folder and from floors below."""
HEAVY = {
    "mlflow",
    "matplotlib",
    "pandas",
    "mnist1d",
    "sklearn",
    "scipy",
    "rich",
    "markdown_it",
    "sqlalchemy",
    "filelock",
    "threadpoolctl",
    "urllib3",
    "joblib",
    "psutil",
    "distributed",
    "optuna",
}
"""Imported late, where used: never at the top of a module."""
GROUND_LIBRARIES = {"numpy", "annotated_types", "scipy", "pandas", "mnist1d", "filelock", "threadpoolctl"}
"""All that the mathematics may import from outside of the standard library."""
HOME = {
    "mlflow": ("tracking", "storage"),
    "matplotlib": "plots",
    "sklearn": ("data", "training"),
    "pandas": ("data", "storage"),
    "mnist1d": "data",
    "hydra": ("config", "commands", "sweeps", "_plugins"),
    "joblib": "sweeps",
    "distributed": "sweeps",
    "optuna": "sweeps",
}
"""The only places that may import these libraries at all."""

MODULES = sorted(PACKAGE.rglob("*.py"))


def home(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def floor(name: str) -> int:
    (number,) = [number for number, names in enumerate(FLOORS) if name in names]
    return number


def imports(tree: ast.AST) -> list[str]:
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    return names + [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(PACKAGE)))
def test_imports_go_down(module: Path) -> None:
    tree = ast.parse(module.read_text())
    for name in imports(tree):
        root, *rest = name.split(".")
        if root == "nnexp" and rest:
            down = floor(rest[0]) < floor(home(module))
            assert down or rest[0] == home(module), f"{module.name} imports {name}, which is not below it"
        if root in HOME:
            assert home(module) in HOME[root], f"{root} is imported outside of its home"
        if floor(home(module)) <= 1 and root not in sys.stdlib_module_names | {"nnexp", "sklearn"}:
            assert root in GROUND_LIBRARIES, f"{module.name} imports {name}"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(PACKAGE)))
def test_heavy_libraries_are_imported_late(module: Path) -> None:
    top = [node for node in ast.parse(module.read_text()).body if isinstance(node, (ast.Import, ast.ImportFrom))]
    roots = {name.split(".")[0] for node in top for name in imports(node)}
    assert not roots & HEAVY


@pytest.mark.parametrize("arguments", [["--cfg", "job"], ["--help"], ["-sc", "query=bash"]])
def test_questions_about_configs_are_answered_without_heavy_libraries(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['nnexp', *{arguments}]\n"
        "from nnexp.__main__ import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        f"    print('loaded:', sorted({HEAVY | {'numpy'}} & set(sys.modules)))\n"
    )
    variables = {"COMP_LINE": "nnexp optimizer=", "COMP_POINT": "16"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=variables, check=False)
    assert result.stdout.splitlines()[-1] == "loaded: []", result.stderr
