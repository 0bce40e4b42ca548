"""The structure of the code: imports go down only, heavy libraries are imported late, a learner finds the step."""

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
    ["commands", "python", "estimators", "_plugins"],
    ["__main__", "__init__"],
]
"""From the ground up; a module imports from its own folder and from floors below."""
HEAVY = {
    "mlflow",
    "matplotlib",
    "pandas",
    "mnist1d",
    "pyarrow",
    "sklearn",
    "scipy",
    "rich",
    "markdown_it",
    "sqlalchemy",
    "filelock",
    "threadpoolctl",
    "urllib3",
    "joblib",
    "cloudpickle",
    "psutil",
    "distributed",
    "llvmlite",
    "optuna",
}
"""Imported late, where used: never at the top of a module."""
GROUND_LIBRARIES = {
    "numpy",
    "cloudpickle",
    "annotated_types",
    "scipy",
    "pandas",
    "pyarrow",
    "mnist1d",
    "filelock",
    "threadpoolctl",
    "yaml",
}
"""All that the mathematics may import from outside of the standard library."""
HOME = {
    "mlflow": ("tracking", "storage"),
    "matplotlib": "plots",
    "sklearn": ("data", "training", "estimators"),
    "pandas": ("data", "storage", "runs", "python"),
    "mnist1d": "data",
    "pyarrow": ("data", "analysis", "sweeps"),
    "hydra": ("config", "commands", "python", "sweeps", "_plugins"),
    "joblib": "sweeps",
    "cloudpickle": ("core", "sweeps"),
    "distributed": "sweeps",
    "llvmlite": "training",
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
    assert not roots & (HEAVY - {"sklearn"} if home(module) == "estimators" else HEAVY), (
        "its classes derive from others"
    )


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


def test_nothing_lies_loose_at_the_root() -> None:
    assert {path.name for path in PACKAGE.iterdir() if path.is_file()} == {"__init__.py", "__main__.py", "py.typed"}
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir()} - {"__pycache__"}
    assert folders == {name for names in FLOORS for name in names if not name.startswith("__")}


def test_tests_are_where_the_code_is() -> None:
    """Beside them stand the pages of MLflow in a browser, programs that are no tests, and files of an older version."""
    folders = {path.name for path in Path(__file__).parent.iterdir() if path.is_dir()} - {"__pycache__"}
    code = {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    assert folders - code == {"browser", "programs", "written_by_0_1"}
    assert code - folders <= {"_plugins", "__pycache__"}


def test_the_step_can_be_recited() -> None:
    (step,) = [node for node in functions(PACKAGE / "training" / "step.py") if node.name == "descend"]
    source = ast.unparse(step)
    assert len(source.splitlines()) <= 40
    order = [
        source.index(verb)
        for verb in (".forward(", "mean_loss_gradient(", ".add_penalty_and_clip(", ".update(", "np.subtract(")
    ]
    assert order == sorted(order)
    assert ".backward(" in source


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(PACKAGE)))
def test_only_the_tape_and_its_bindings_know_how_arrays_are_seen(module: Path) -> None:
    if home(module) in ("nn", "optim", "data", "training") and module.name not in ("tape.py", "binding.py"):
        names = {argument.arg.strip("_") for node in functions(module) for argument in node.args.args}
        assert not names & {"read", "change", "see"}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(PACKAGE)))
def test_calls_with_more_than_four_arguments_name_them(module: Path) -> None:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            partial = isinstance(node.func, ast.Name) and node.func.id == "partial"  # the function itself is one more
            nameless = [argument for argument in node.args if not isinstance(argument, ast.Starred)]
            assert len(nameless) <= 4 + partial, f"line {node.lineno}"


def functions(module: Path) -> list[ast.FunctionDef]:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
