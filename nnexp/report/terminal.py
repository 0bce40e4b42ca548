"""Output in the terminal: a progress bar, or plain lines in a pipe, and tables at the end."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from textwrap import shorten
from time import monotonic
from typing import TYPE_CHECKING, Literal

from nnexp.core.errors import printable
from nnexp.core.files import is_there, relative
from nnexp.report.rows import class_rows, error_rows, metric_rows, number, summary
from nnexp.training.history import History
from nnexp.training.predictions import ClassPredictions, NumberPredictions, Predictions
from nnexp.training.trainer import Trainer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.table import Table

COMMAND = "python -m nnexp"
NAME, LEAST_NAME = "name", 20
"""The column of a list that is cut where a terminal is narrow, and what it keeps while another one can be left out."""
LINKING_VARIABLES = ("WT_SESSION", "KITTY_WINDOW_ID", "KONSOLE_VERSION", "WEZTERM_PANE")
LINKING_PROGRAMS = ("iTerm.app", "vscode", "WezTerm", "ghostty", "Hyper", "Tabby")
LINKING_KINDS = ("xterm-kitty", "xterm-ghostty", "alacritty", "foot", "contour")
LEAST_VTE = 5000
"""What terminals say of themselves in which a text can be a link (OSC 8)."""
REDRAW_SECONDS = 0.1
WIDE_TERMINAL = 115
"""The columns of a terminal from which a progress bar shows a second metric."""
MIDDLE_TERMINAL = 80
"""The columns from which a bar is long, and says how long it has taken."""
WIDTH_OF_SHORT, WIDTH_OF_LONG = 30, 48
"""The columns of a bar of runs, but for the numbers of its counter and the text behind it."""
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"
TRAIN_AND_TEST = "train / test"
PIPED_WIDTH = 100
"""The columns of a table in a pipe."""
PIPED_LINES = 10
"""The number of lines of progress in a pipe."""


Progress = Callable[[int, Mapping[str, float]], None]
"""Shows the metrics of an epoch."""


def console() -> "Console":
    """Return the console of standard output; in a pipe it writes plain text."""
    from rich.console import Console

    return Console(highlight=False) if is_live() else Console(highlight=False, soft_wrap=True, width=PIPED_WIDTH)


def is_live() -> bool:
    """Tell whether output can be drawn again: on a terminal, or in a notebook."""
    if sys.stdout.isatty() or "IPython" not in sys.modules:
        return sys.stdout.isatty()
    from rich.console import Console

    return Console().is_jupyter


def _has_bars() -> bool:
    """Tell whether bars can be drawn; those of a notebook need a package of its own."""
    return sys.stdout.isatty() or (is_live() and find_spec("ipywidgets") is not None)


@contextmanager
def progress(trainer: Trainer, *, verbose: bool) -> Iterator[Progress]:
    """Yield a function that shows progress: a bar with the time left, or lines; nothing if not verbose.

    There are ten lines in a pipe, or one each so many epochs where that is asked for.
    """
    if not verbose:
        yield lambda epoch, metrics: None  # noqa: ARG005
    elif _has_bars() and trainer.report_every is None:
        with _bar(trainer) as bar:
            yield bar
    else:
        shown = _reported(trainer)

        def show(epoch: int, metrics: Mapping[str, float]) -> None:
            if epoch in shown:
                print(_line(epoch, trainer, metrics), flush=True)

        yield show


def _reported(trainer: Trainer) -> set[int]:
    """Return the evaluations that get a line: the first from each multiple of `report_every` on, and the last."""
    times = trainer.evaluations()
    if trainer.report_every is None:
        return {times[index * (len(times) - 1) // PIPED_LINES] for index in range(PIPED_LINES + 1)}
    passed = [time // trainer.report_every for time in (0, *times)]
    return {0, times[-1], *(time for time, before, now in zip(times, passed, passed[1:], strict=False) if now > before)}


@contextmanager
def runs_progress(total: int) -> Iterator[Callable[[int, str], None]]:
    """Yield a function that adds to the number of runs that are done, shown as a bar, or as lines in a pipe.

    Behind the bar stands a text, such as the best so far, as many words as there is room for.
    """
    if total == 0:
        yield lambda runs, text: None  # noqa: ARG005
    elif not _has_bars():
        marks = {max(1, total * mark // PIPED_LINES) for mark in range(1, PIPED_LINES + 1)}
        done = 0

        def count(runs: int, text: str) -> None:  # noqa: ARG001
            nonlocal done
            if any(done < mark <= done + runs for mark in marks):
                print(f"{done + runs}/{total} runs", flush=True)
            done += runs

        yield count
    else:
        with _counting("runs") as bars:
            task = bars.add_task("", total=total, more="")
            narrow = bars.console.width < MIDDLE_TERMINAL
            taken = (WIDTH_OF_SHORT if narrow else WIDTH_OF_LONG) + 2 * len(str(total))
            room = max(1, bars.console.width - taken)

            def advance(runs: int, text: str) -> None:
                bars.update(task, advance=runs, more=shorten(printable(text), room, placeholder=""))

            yield advance


@contextmanager
def waiting(what: str, left: Callable[[], int]) -> Iterator[Callable[[], None]]:
    """Yield a function that shows how much is left of work done elsewhere; in a pipe it shows nothing."""
    if not _has_bars() or left() == 0:
        yield lambda: None
    else:
        with _counting(what) as bars:
            total = left()
            task = bars.add_task("", total=total, more="")
            yield lambda: bars.update(task, completed=total - left())


def _counting(what: str) -> "Bars":
    """Return a bar with a counter, which stays in a narrow terminal, and room for a text behind it, `more`."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars
    from rich.table import Column

    columns = (
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn(what),
        BarColumn(bar_width=10 if console().width < MIDDLE_TERMINAL else 20),
        *([] if console().width < MIDDLE_TERMINAL else [TimeElapsedColumn()]),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
        TextColumn("{task.fields[more]}", markup=False, table_column=Column(no_wrap=True)),
    )
    return Bars(*columns, transient=True)


def show_line(name: str, history: History, diverged_step: int | None, final_time: int | None) -> None:
    """Print the result of a run in one line."""
    line = f"{name}: {summary(history, diverged_step, final_time)}"
    console().print(printable(line), soft_wrap=True, markup=False)


def show_results(
    history: History,
    predictions: Predictions | None,
    diverged_step: int | None,
    final_time: int | None,
    *,
    story: Sequence[str],
) -> None:
    """Print the tables of a finished run, and what became of it."""
    out = console()
    if diverged_step is not None:
        out.print(f"\nDiverged: the loss is no longer finite at step {diverged_step}.", style="bold red")
    if len(history.trained):
        out.print(_table(("", *history.parts()), metric_rows(history, predictions, final_time)))
    if isinstance(predictions, ClassPredictions):
        counts = zip(predictions.classes, predictions.confusion(), strict=True)
        rows = [(name, *map(str, row)) for name, row in counts]
        out.print(_table(("true \\ predicted", *predictions.classes), rows))
        out.print(_table(("class", "precision", "recall", "F1", "examples"), class_rows(predictions)))
    elif isinstance(predictions, NumberPredictions):
        out.print(_table(("test", "typical error", "of the training mean"), error_rows(predictions)))
    show_sentences(story)


def show_lines(lines: Sequence[str]) -> None:
    """Print lines of text."""
    for line in lines:
        console().print(printable(line), soft_wrap=True, markup=False)


def show_links(rows: Sequence[tuple[str, str]]) -> None:
    """Print folders, addresses and commands, each after its title; in a terminal that knows links they are links.

    There an address is cut to what the line has room for, since a click needs no more of it.
    """
    from rich.style import Style
    from rich.text import Text

    out = console()
    for title, target in rows:
        link = _link_to(target) if is_live() and knows_links(os.environ) else None
        if link is None:
            show_lines([f"{title:7} {target}"])
            continue
        text = Text(printable(f"{title:7} {relative(Path(target)) if target != link else target}"))
        text.stylize(Style(link=link), 8)
        if target == link:
            text.truncate(out.width, overflow="ellipsis")
        out.print(text, soft_wrap=True)


def _link_to(target: str) -> str | None:
    """Return the address of a page or a folder; None if it is neither."""
    if target.startswith(("http://", "https://")):
        return target
    return Path(target).as_uri() if target.startswith(os.sep) and is_there(Path(target)) else None


def knows_links(environment: Mapping[str, str]) -> bool:
    """Tell whether a terminal is known to show links: where it is not, an address has to stand there in full."""
    vte = environment.get("VTE_VERSION", "")
    return (
        any(name in environment for name in LINKING_VARIABLES)
        or environment.get("TERM_PROGRAM") in LINKING_PROGRAMS
        or environment.get("TERM", "").startswith(LINKING_KINDS)
        or (vte.isdecimal() and int(vte) >= LEAST_VTE)
    )


def show_sentences(lines: Sequence[str]) -> None:
    """Print sentences, on a terminal wrapped between words; a command at their end has a line that stays whole."""
    out = console()
    for line in lines:
        said, words, rest = printable(line).partition(f" {COMMAND} ")
        if words and sys.stdout.isatty():
            out.print(said, markup=False)
            out.print(f"{words.lstrip()}{rest}", soft_wrap=True, markup=False)
        else:
            out.print(printable(line), markup=False)


def show_named(rows: Sequence[tuple[str, str]]) -> None:
    """Print sentences, each with a name before it, beside which it is wrapped on a terminal."""
    from rich.table import Table
    from rich.text import Text

    width = max(len(name) for name, _ in rows)
    if not sys.stdout.isatty():
        show_lines([f"{name:{width}}  {sentence}" for name, sentence in rows])
        return
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    for name, sentence in rows:
        grid.add_row(Text(printable(name)), Text(printable(sentence)))
    console().print(grid)


def show_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, its first column aligned left and the others right."""
    console().print(_table(header, rows))


def show_fitting_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], spare: Sequence[str], *, first_is_best: bool = False
) -> None:
    """Print a table, its best row bold; in a narrow terminal, spare columns are left out, the first of them first.

    Where that is not enough, a deviation stands below its mean.
    """
    out = console()
    longest = max((len(word) for row in rows for word in row[0].split()), default=0)
    widths = {name: max(len(name), *(len(row[i]) for row in rows)) for i, name in enumerate(header) if i}
    kept, leaving = list(header), list(spare)
    while leaving and _width(longest, widths, kept) > out.width:
        kept.remove(leaving.pop(0))
    places = [place for place, name in enumerate(header) if name in kept]
    chosen = [[row[place] for place in places] for row in rows]
    if _width(longest, widths, kept) > out.width:
        chosen = [[cell.replace(f" {PLUS_MINUS} ", f"\n{PLUS_MINUS} ") for cell in row] for row in chosen]
    table = _table(kept, chosen)
    if first_is_best:
        table.rows[0].style = "bold"
    table.columns[0].min_width = min(longest, out.width // 2)
    for column in table.columns[1:]:
        column.no_wrap = _width(longest, widths, kept) <= out.width  # it is the first one that is wrapped
    out.print(table)


def show_list(
    header: Sequence[str], rows: Sequence[Sequence[str]], spare: Sequence[str], folders: Sequence[Path]
) -> None:
    """Print a table with a line for each row, its names as links to folders; in a pipe it is as wide as need be.

    In a terminal, spare columns are left out, the first of them first, until a name has `LEAST_NAME` signs; then names
    are cut.
    """
    from rich import box
    from rich.style import Style
    from rich.table import Table
    from rich.text import Text

    out = console()
    if not is_live():
        out.width = sum(max(map(len, cells)) + 3 for cells in zip(header, *rows, strict=True))
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    widths = {title: max(len(title), *map(len, cells)) for title, cells in columns.items()}
    leaving, longest = list(spare), widths.pop(NAME)
    while leaving and _room(widths, out.width) < min(longest, LEAST_NAME):
        widths.pop(leaving.pop(0))
    table = Table(box=box.SIMPLE, pad_edge=False)
    kept = [title for title in header if title in widths or title == NAME]
    for title in kept:
        right = all(cell[:1].isdigit() or not cell for cell in columns[title])
        wide = max(1, _room(widths, out.width)) if title == NAME else None
        justify: Literal["left", "right"] = "right" if right else "left"
        table.add_column(title, justify=justify, no_wrap=True, overflow="ellipsis", max_width=wide)
    for row, folder in zip(zip(*(columns[title] for title in kept), strict=True), folders, strict=True):
        link = Style(link=folder.as_uri())
        cells = [Text(printable(cell), link if title == NAME else "") for title, cell in zip(kept, row, strict=True)]
        table.add_row(*cells)
    out.print(table)


def _room(widths: Mapping[str, int], width: int) -> int:
    """Return what columns leave of a line for one more."""
    return width - sum(one + 3 for one in widths.values()) - 2


def _width(longest: int, widths: Mapping[str, int], names: Sequence[str]) -> int:
    """Return the least width of a table with these columns, the first of which is wrapped between words."""
    return longest + sum(3 + widths[name] for name in names[1:]) + 2


@contextmanager
def _bar(trainer: Trainer) -> Iterator[Progress]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars
    from rich.table import Column

    narrow = console().width < MIDDLE_TERMINAL
    columns = (
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TextColumn(f"{trainer.unit}s"),
        BarColumn(bar_width=5 if narrow else 20),
        TimeRemainingColumn(compact=True),
        TextColumn("left  {task.fields[metrics]}"),
    )
    drawn = 0.0
    with Bars(*columns, transient=True) as bars:
        most = 2 if bars.console.width >= WIDE_TERMINAL else 1
        task = bars.add_task("", total=trainer.length, metrics="")

        def show(epoch: int, metrics: Mapping[str, float]) -> None:
            nonlocal drawn
            if monotonic() - drawn > REDRAW_SECONDS:
                drawn = monotonic()
                bars.update(task, completed=epoch, metrics=_short(metrics, most, "" if narrow else TRAIN_AND_TEST))

        yield show


def _short(metrics: Mapping[str, float], most: int = 2, begin: str = TRAIN_AND_TEST) -> str:
    """Return the loss and the next metrics, `most` in all, of the training and test part in little space."""
    names = [name.removeprefix("train/") for name in metrics if name.startswith("train/")][:most]
    values = [f"{name} {number(metrics[f'train/{name}'])} / {number(metrics[f'test/{name}'])}" for name in names]
    return "  ".join([begin, *values] if begin else values)


def _line(time: int, trainer: Trainer, metrics: Mapping[str, float]) -> str:
    width = len(str(trainer.length))
    return f"{trainer.unit} {time:{width}}/{trainer.length}  {_short(metrics)}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, pad_edge=False)
    for index, title in enumerate(header):  # as texts, for in a string rich would take [/x] for markup
        table.add_column(Text(printable(title)), justify="right" if index else "left", overflow="fold")
    for row in rows:
        table.add_row(*[Text(printable(cell)) for cell in row])
    return table
