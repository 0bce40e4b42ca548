"""The same below Python: a real process is killed within the calls of the system that write, by strace."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

from tests.programs.points.process import Ended
from tests.programs.points.scenarios import Stage

CALLS = "write,pwrite64,rename,fsync,fdatasync"
CALL = re.compile(r"(?P<thread>\d+) +(?P<name>[a-z0-9]+)\((?P<rest>.*)")


def calls(stage: Stage) -> list[tuple[str, int]]:
    """Return the calls that change files: the name of each, and its number among those of its name and thread.

    Raises RuntimeError if the command fails.
    """
    ended = _traced(stage)
    if ended.status != 0:
        raise RuntimeError(ended.errors)
    found, numbers = list[tuple[str, int]](), Counter[tuple[str, str]]()
    for call in _noted(stage):
        numbers[call["thread"], call["name"]] += 1
        if str(stage.place.work) in call["rest"]:
            found.append((call["name"], numbers[call["thread"], call["name"]]))
    return found


def killed_within(stage: Stage, name: str, number: int) -> tuple[str, list[str]]:
    """Kill the command within a call; return the call and what is not as it should be after going on.

    The call is empty if it was not met, as threads do not do the same every time.
    """
    ended = _traced(stage, f"--inject={name}:signal=KILL:when={number}")
    if ended.status == 0:
        return "", []
    *_, last = [call for call in _noted(stage) if call["name"] == name]
    what = last["rest"].partition(", ")[0].replace(f"{stage.place.work}/", "")
    return f"{name} {what}", stage.afterwards(ended)


def _noted(stage: Stage) -> Iterator[re.Match[str]]:
    text = (stage.place.notes / "calls").read_text(encoding="utf-8", errors="replace")
    yield from filter(None, map(CALL.match, text.splitlines()))


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
