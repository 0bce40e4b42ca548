"""The fingerprint of code changes with the code that a run's numbers come from, and with nothing else."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from nnexp.config.code import code_fingerprint, has_foreign_components
from nnexp.config.compose import compose_experiment
from nnexp.optim.optimizers import SGD

FILES = {
    "configs/optimizer/mine.yaml": "_target_: mine.parts.Mine\nlearning_rate: 0.1\n",
    "configs/initializer/other.yaml": "_target_: mine.other.Other\ndistribution: normal\nfan: in\nscale: 1.0\n",
    "code/mine/__init__.py": "",
    "code/mine/parts.py": """
from dataclasses import dataclass
import numpy as np
from nnexp.optim.optimizers import SGD
from . import constants
from scales import SCALE

@dataclass(frozen=True)
class Mine(SGD):
    def update(self, gradient, state, step):
        from mine.late import late
        return late(SCALE * gradient)
""",
    "code/mine/other.py": """
from dataclasses import dataclass
from nnexp.nn.initializers import VarianceScaling

@dataclass(frozen=True)
class Other(VarianceScaling):
    pass
""",
    "code/mine/constants.py": "ONE = 1\n",
    "code/mine/late.py": "import no_such_module.at_all\ndef late(value): return value\n",
    "code/scales.py": "SCALE = 2\n",
}
PRINT = """
import sys
from nnexp.config.code import code_fingerprint, has_foreign_components
from nnexp.config.compose import compose_experiment

experiments = [compose_experiment(arguments.split(","), "../configs") for arguments in sys.argv[1:]]
before = set(sys.modules)
print(*[code_fingerprint(one) for one in experiments])
assert set(sys.modules) == before, "something was imported"
assert all(map(has_foreign_components, experiments))
"""


def fingerprints(folder: Path, *experiments: str) -> list[str]:
    """Return the fingerprints of experiments, as a process in a folder beside the configs and the code finds them."""
    working = folder / "working"
    working.mkdir(exist_ok=True)
    paths = os.pathsep.join([str(folder / "code"), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths, "NNEXP_PACKAGES": "mine", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", PRINT, *experiments]
    done = subprocess.run(command, cwd=working, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


def write(folder: Path) -> Path:
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_it_is_the_same_in_every_process_and_folder(tmp_path: Path) -> None:
    one, both, other = "optimizer=mine", "optimizer=mine,initializer=other", "initializer=other"
    first = fingerprints(write(tmp_path / "here"), one, both, other)
    assert len({*first, code_fingerprint(compose_experiment())}) == 4
    there = write(tmp_path / "there" / "deeper")
    config = there / "configs" / "optimizer" / "mine.yaml"
    config.write_text("# A comment.\n" + config.read_text())
    assert fingerprints(there, other, one) == [first[2], first[0]], "whatever was imported before"


def test_it_changes_with_all_code_that_a_component_uses(tmp_path: Path) -> None:
    mine, other = "optimizer=mine", "initializer=other"
    seen = [fingerprints(write(tmp_path), mine, other)]
    for name in ("mine/parts.py", "mine/constants.py", "mine/late.py", "scales.py"):
        with (tmp_path / "code" / name).open("a") as file:
            file.write("X = 1\n")
        seen.append(fingerprints(tmp_path, mine, other))
    assert len({one for one, _ in seen}) == len(seen)
    assert len({another for _, another in seen}) == 1, "it uses none of these"


def test_a_class_that_is_in_no_file_has_a_fingerprint() -> None:
    typed = type("Typed", (SGD,), {"__module__": "typed_in"})
    default = compose_experiment()
    experiment = replace(default, optimizer=typed(0.1))
    assert has_foreign_components(experiment)
    assert code_fingerprint(experiment) != code_fingerprint(default)


def test_it_is_of_code_and_not_of_config() -> None:
    digits, heart = (compose_experiment([f"experiment={name}"]) for name in ("digits", "heart"))
    assert code_fingerprint(digits) == code_fingerprint(heart)
    assert not has_foreign_components(digits)
