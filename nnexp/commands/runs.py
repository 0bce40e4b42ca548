"""Lists the runs and sweeps of an output folder: `nnexp runs`."""

import json
import operator
import re
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import islice

from nnexp.commands.arguments import parser
from nnexp.core.errors import UserError
from nnexp.core.exits import ExitStatus
from nnexp.core.files import absolute
from nnexp.core.output import is_all_printed
from nnexp.core.words import did_you_mean
from nnexp.report import terminal
from nnexp.report.rows import number
from nnexp.runs.find import listed
from nnexp.sweeps.listing import Row, rows
from nnexp.training.metrics import lower_is_better

MOST_ROWS = 20
"""How many rows are shown if nothing else is said."""
MOST_METRICS = 2
"""How many metrics beside the loss have a column."""
LOSS = "test/loss"
CONDITION = re.compile(r"(?P<key>[^<>=]+)(?P<sign><=|>=|<|>|=)(?P<value>.+)")
SIGNS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
NO_RUNS = "There are no runs in {} yet; to train one: python -m nnexp"
WHEN = "when"
SORTED_BY = (WHEN, "name", "data", "status", "seconds")


def main(words: Sequence[str]) -> None:
    """Print the runs and sweeps of an output folder."""
    arguments = parser(
        "runs",
        "List the runs and sweeps of an output folder, the newest first. The number of a row is a name of its run for "
        "all commands, as are `last` and the first four letters or more of its ID in MLflow or of its config hash.",
    )
    arguments.add_argument(
        "--filter",
        metavar="TEXT",
        action="append",
        default=[],
        help="only those with this word in name, data or status, with this KEY=VALUE, or as in test/loss<0.1; "
        "several have to hold together",
    )
    arguments.add_argument(
        "--sort", metavar="COLUMN", default=WHEN, help=f"by {', '.join(SORTED_BY)} or a metric, the best first"
    )
    arguments.add_argument(
        "--limit", metavar="N", type=int, help=f"the most rows, {MOST_ROWS} if not given, 0 for all of them"
    )
    arguments.add_argument("--json", action="store_true", help="print all of it as JSON")
    chosen = arguments.parse_args(words)
    output_dir = absolute(chosen.output_dir)
    limit = chosen.limit if chosen.limit is not None else 0 if chosen.json else MOST_ROWS
    if limit < 0:
        raise UserError(f"--limit={limit}: must be 0 or more")
    all_are_asked = chosen.filter or chosen.sort != WHEN or not limit
    found = islice(rows(output_dir), None if all_are_asked else limit)  # to read no more than is shown
    kept = sorted_by(chosen.sort, [row for row in found if all(matches(row, text) for text in chosen.filter)])
    shown, total = kept[: limit or None], len(listed(output_dir))
    if chosen.json:
        terminal.show_lines([json.dumps([row.as_json() for row in shown], indent=1)])
    elif shown:
        show(shown)
        more = (len(kept) if all_are_asked else total) - len(shown)
        terminal.show_lines([f"... and {more} more: --limit 0 shows all"] if more else [])
    else:
        terminal.show_lines(
            [f"No run in {chosen.output_dir} is like that." if total else NO_RUNS.format(chosen.output_dir)]
        )
    if not is_all_printed():
        sys.exit(ExitStatus.UNSUCCESSFUL)


def matches(row: Row, text: str) -> bool:
    """Tell whether a row has a word in what it is called, a value of a key, or a metric within a bound."""
    condition = CONDITION.fullmatch(text)
    if condition is None:
        return text.lower() in f"{row.name} {row.data} {row.status}".lower()
    key, sign, value = condition["key"].strip(), condition["sign"], condition["value"].strip()
    if sign == "=":
        values = [one for name, one in row.parameters.items() if name == key or name.endswith(f".{key}")]
        return f"{key}={value}" in row.said or any(_same(one, value) for one in values)
    known = row.metrics if row.seconds is None else {**row.metrics, "seconds": row.seconds}
    try:
        bound = float(value)
    except ValueError as error:
        raise UserError(f"--filter={text}: must have a number behind {sign}") from error
    return key in known and SIGNS[sign](known[key], bound)


def _same(one: object, text: str) -> bool:
    """Tell whether a value of a config is what was typed, numbers in any form and names in any case."""
    try:
        return float(str(one)) == float(text)
    except ValueError:
        return str(one).lower().replace("_", "") == text.lower().replace("_", "")


def sorted_by(column: str, found: Sequence[Row]) -> list[Row]:
    """Return rows in the order of a column, those without a value last.

    Raises UserError if there is no such column.
    """
    metrics = dict.fromkeys(name for row in found for name in row.metrics)
    if column in metrics:
        sign = 1 if lower_is_better(column) else -1
        return sorted(found, key=lambda row: sign * row.metrics[column] if column in row.metrics else float("inf"))
    match column:
        case "when":
            return [*found]
        case "seconds":
            return sorted(found, key=lambda row: -(row.seconds or 0.0))
        case "name" | "data" | "status":
            return sorted(found, key=lambda row: str(getattr(row, column)))
    known = [*SORTED_BY, *metrics]
    raise UserError(f"--sort={column}: must be one of {', '.join(known)}{did_you_mean(column, known)}")


def show(shown: Sequence[Row]) -> None:
    """Print rows as a table, in a narrow terminal without the less important columns."""
    counts = Counter(name for row in shown for name in row.metrics if name.startswith("test/") and name != LOSS)
    metrics = [LOSS, *(name for name, _ in counts.most_common(MOST_METRICS))]
    titles = ["test loss", *(name.removeprefix("test/").replace("_", " ") for name in metrics[1:])]
    header = ["", "name", "data", *titles, "when", "seconds", "status"]
    now = datetime.now().astimezone()
    table = [
        [
            str(row.number),
            row.name,
            row.data,
            *[number(row.metrics[name]) if name in row.metrics else "" for name in metrics],
            when(row.began, now),
            "" if row.seconds is None else f"{row.seconds:.1f}",
            row.status,
        ]
        for row in shown
    ]
    spare = ["seconds", *titles[2:], "data", "when", *titles[1:2]]
    terminal.show_list(header, table, spare, [row.folder for row in shown])


def when(began: datetime, now: datetime) -> str:
    """Return a time as one says it: today without the date, this year without the year."""
    if began.date() == now.date():
        return began.strftime("%H:%M")
    return began.strftime("%d %b %H:%M" if began.year == now.year else "%d %b %Y")
