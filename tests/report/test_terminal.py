"""The bar of a sweep, on a real terminal."""

import re

import pytest

from tests.conftest import CommandLine

SWEEP = (
    "-m",
    "optimizer.learning_rate=0.1,1",
    "architecture.hidden=[8],[200,200]",
    "trainer.epochs=30",
    "seed=range(4)",
)
QUIET = (
    "tracking=none",
    "figures=false",
    "sweep.confirm=0",
    "hydra.launcher.jobs=1",
    "hydra.launcher.stack_megabytes=1",
)


@pytest.mark.parametrize(("columns", "whose"), [(60, ""), (140, r" \S+=.*")])
def test_the_bar_has_its_counter_and_the_best_so_far(nnexp: CommandLine, columns: int, whose: str) -> None:
    shown = nnexp.on_terminal(*SWEEP, *QUIET, columns=columns)
    lines = [re.sub(r"\x1b\[[?\d;]*\w", "", line).rstrip() for line in re.split(r"\x1b\[2K|\r|\n", shown)]
    plain = [line for line in lines if re.match(r" ?\d+/16 runs ", line)]
    assert plain
    assert max(map(len, plain)) <= columns
    assert re.fullmatch(rf"16/16 runs .* left best 0\.\d{{4}} test/loss{whose}", plain[-1])


def test_links_are_short_where_a_terminal_knows_them_and_whole_elsewhere(
    nnexp: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("VTE_VERSION", "TERM_PROGRAM", "WT_SESSION", "KITTY_WINDOW_ID", "KONSOLE_VERSION", "WEZTERM_PANE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    words = ("trainer.epochs=2", "figures=false", "architecture.hidden=[4]")
    plain = nnexp.on_terminal(*words, columns=60)
    (folder,) = (nnexp.folder / "outputs" / "digits_binary").iterdir()
    assert f"Files   {folder}\r\n" in plain
    assert re.search(r"\nthen    http://127\.0\.0\.1:5000/#/experiments/\S+/runs/\w{32}\?\S+\r\n", plain)
    assert "\x1b]8;" not in plain
    monkeypatch.setenv("VTE_VERSION", "7600")
    linked = nnexp.on_terminal("seed=1", *words, columns=60)
    (other,) = {*folder.parent.iterdir()} - {folder}
    assert re.search(rf"Files   \x1b\]8;[^;]*;{re.escape(other.as_uri())}\x1b\\outputs/digits_binary/", linked)
    assert re.search(r"then    \x1b\]8;[^;]*;http://\S+\?workflowType=\w+\x1b\\http://127\.0\.0\.1:5000/\S+…", linked)
