"""Tries a command within this process, with a limit of time, and says what is wrong with how it ended."""

import gc
import io
import re
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from hydra.core.global_hydra import GlobalHydra

SECONDS = 30.0
"""How long a command may take."""
LONGEST = 2000
"""Characters of a line that somebody would still read."""
NEEDED = ("tracking=", "figures=", "verbose=", "trainer.epochs=", "trainer.iterations=")
"""What keeps a command quick."""
ADVICE = re.compile(r"use (loss=\w+)")
EMBEDDINGS = ("contrastive", "triplet")


class End(NamedTuple):
    """How a command ended, what is wrong with that, and what it said on standard error."""

    status: str
    wrong: str
    said: str = ""


class TooLongError(BaseException):
    """A command took longer than it may; no handler of errors is to stop this one."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """End the block after so long; an alarm that was set before goes on."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise TooLongError(f"longer than {seconds} s")

    handler, begin = signal.signal(signal.SIGALRM, end), time.monotonic()
    before, _ = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, max(before - time.monotonic() + begin, 0.1) if before else 0)


def tried(words: Sequence[str], folder: Path, seconds: float = SECONDS) -> End:
    """Return how a command ended, given the working directory, which is emptied."""
    from nnexp.__main__ import main

    out, err = io.StringIO(), io.StringIO()
    status: object = 0
    arguments, sys.argv = sys.argv, ["nnexp", *words]
    GlobalHydra.instance().clear()
    try:
        with limited(seconds), redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", DeprecationWarning)  # as Python itself does
            main()
    except SystemExit as end:
        status = end.code
    except (TooLongError, Exception):  # noqa: BLE001 - whatever it is, the test is about it
        return End("failed", traceback.format_exc())
    finally:
        sys.argv = arguments
        GlobalHydra.instance().clear()
        gc.enable()
        files = [path for path in folder.rglob("*") if path.is_file()]
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return End(str(status), complaint(status, out.getvalue(), err.getvalue(), files), err.getvalue())


def complaint(status: object, out: str, err: str, files: Sequence[Path] = ()) -> str:
    """Say what is wrong: a command trains without a word of warning, or is refused in one line and leaves nothing."""
    if status == 0 or (status == 1 and "diverged" in out):
        return f"status {status}, and said {err[:LONGEST]}" if err else ""
    if status != 2:
        return f"status {status}, and said {err[:LONGEST]}"
    if len(err.splitlines()) != 1 or not re.match("nnexp: .", err) or len(err) > LONGEST:
        return f"not one line: {err[:LONGEST]}"
    return f"refused, but wrote {files[0]}: {err}" if files else ""


def tried_with_advice(words: Sequence[str], folder: Path) -> tuple[list[str], End]:
    """Try a command and, where it is told to use another loss, that; return what was tried last."""
    end = tried(words, folder)
    advice = ADVICE.search(end.said)
    if advice is None or end.wrong:
        return list(words), end
    outputs = ["architecture.outputs=2"] if advice[1].endswith(EMBEDDINGS) else []
    better = [*words, advice[1], *outputs]
    return better, tried(better, folder)


def smaller(words: Sequence[str], folder: Path) -> list[str]:
    """Return fewer of the words of a command that ends wrongly, with which it still does."""
    kept = list(words)
    for word in (word for word in words if not word.startswith(NEEDED)):
        fewer = list(kept)
        fewer.remove(word)
        if tried(fewer, folder).wrong:
            kept = fewer
    return kept
