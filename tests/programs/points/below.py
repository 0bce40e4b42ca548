"""The same below Python: a real process is killed within the calls of the system that write, by strace."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter

from tests.programs.points.process import Ended
from tests.programs.points.scenarios import Stage

CALLS = "write,pwrite64,rename,fsync,fdatasync"
CALL = re.compile(r"(?P<thread>\d+) +(?P<name>[a-z0-9]+)\((?P<rest>.*)")


def calls(stage: Stage) -> list[tuple[str, int, str]]:
    """Return the calls of the first thread that change files: their names, their numbers among all, and the rest.

    Raises RuntimeError if the command fails.
    """
    ended = _traced(stage)
    if ended.status != 0:
        raise RuntimeError(ended.errors)
    found, numbers = list[tuple[str, int, str]](), Counter[str]()
    for line in (stage.place.notes / "calls").read_text(encoding="utf-8", errors="replace").splitlines():
        call = CALL.match(line)
        if call is not None:
            numbers[call["thread"]] += 1
            if str(stage.place.work) in call["rest"]:
                found.append((call["name"], numbers[call["thread"]], call["rest"].split(", ")[0]))
    return found


def killed_within(stage: Stage, number: int) -> list[str] | None:
    """Kill the command within a call, and return what is not as it should be after going on; None if it was not met."""
    ended = _traced(stage, f"--inject={CALLS}:signal=KILL:when={number}")
    return None if ended.status == 0 else stage.afterwards(ended)


def _traced(stage: Stage, *more: str) -> Ended:
    """Give the command of a scenario under strace."""
    stage.restore()
    notes = stage.place.notes / "calls"
    trace = ["strace", "-f", "-y", "-o", str(notes), f"--trace={CALLS}", *more]
    result = subprocess.run(
        [*trace, sys.executable, "-m", "nnexp", *stage.words],
        cwd=stage.place.work,
        env={**os.environ, "TMPDIR": str(stage.place.temporary), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Ended(result.returncode, result.stdout, result.stderr)


def can_trace() -> bool:
    """Tell whether there is a strace that works."""
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False).returncode == 0  # noqa: S607
