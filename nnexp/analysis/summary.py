"""The results of a sweep in a table and a few sentences, for the terminal."""

from collections.abc import Sequence
from statistics import fmean

from nnexp.analysis.confirmation import DEFAULT
from nnexp.analysis.field import about_border
from nnexp.analysis.findings import (
    all_by_rank,
    called,
    divergence,
    first_command,
    flags,
    incompleteness,
    spread,
    verdict,
)
from nnexp.analysis.results import Setting, SweepResults, short
from nnexp.report import terminal
from nnexp.report.rows import number
from nnexp.training.readings import Reading

MOST_SETTINGS, BEST_SETTINGS = 20, 15
"""The most settings of which all are shown; and how many are of a sweep that has more."""
NAMED_FAILURES = 5
"""How many failed runs are named."""
REASON_LENGTH = 120
"""The most characters of the reason for a failure."""

HeaderAndRows = tuple[list[str], list[list[str]]]
"""The header and the rows."""


def show_answer(results: SweepResults) -> None:
    """Print the question, a table of the settings, which is best and how sure that is, and what to look at next."""
    missing = incompleteness(results)
    terminal.show_sentences(["", *(line for line in (results.question, missing) if line)])
    if not any(run.summary is not None and run.summary.end for run in results.runs):
        diverged = results.diverged and not results.failed
        terminal.show_sentences(
            ["Nothing was evaluated: every run diverged." if diverged else "Nothing was evaluated."]
        )
    else:
        few = len(results.settings) <= MOST_SETTINGS
        header, rows = settings_table(results, all_by_rank(results)[: MOST_SETTINGS if few else BEST_SETTINGS])
        ranking = title(called(results))
        needed = {ranking, *map(title, _differing(results))}
        spare = [title(name) for name in results.metrics if title(name) in header and title(name) not in needed]
        spare = spare if ranking else spare[:-1]
        columns = {name: {row[place] for row in rows} for place, name in enumerate(header) if place}
        constant = [name for name, cells in columns.items() if len(rows) > 1 == len(cells) and name != ranking]
        best_is_first = len(rows) > 1 and bool(results.ranked)
        terminal.show_fitting_table(header, rows, [*dict.fromkeys([*constant, *spare])], first_is_best=best_is_first)
        if not few:
            terminal.show_sentences([f"... and {len(results.settings) - BEST_SETTINGS} more, in report.md", ""])
    terminal.show_sentences(_sentences(results))
    terminal.show_lines(_command(results))


def answer(results: SweepResults) -> list[str]:
    """Return the question, what can be said, and the command of the first setting, a line each."""
    asked = [line for line in (results.question, incompleteness(results)) if line]
    return [*asked, *_sentences(results), *_command(results)]


def _sentences(results: SweepResults) -> list[str]:
    where = divergence(results)
    said = [*verdict(results), *about_border(results), *flags(results), *baseline(results), *failures(results)]
    return [*said, *([where] if where else [])]


def _command(results: SweepResults) -> list[str]:
    first = first_command(results)
    return [] if first is None else [": ".join(first)]


def settings_table(results: SweepResults, settings: Sequence[Setting]) -> HeaderAndRows:
    """Return a row for every setting: the metrics of what its runs leave, and the reading that ranks them."""
    names = results.shown
    several = any(len(setting.runs) > 1 for setting in results.settings)
    confirmed = results.confirmation
    asked = [] if confirmed is None else [confirmed.leader, *confirmed.others]
    again = {one.name: one.told(results.gone) for one in asked}
    differing = _differing(results)
    header = ["setting", *(["runs"] if several else []), *[title(Reading.of(name).name) for name in names]]
    header += [f"baseline {title(name.partition('/')[2])}" for name in differing]
    header += ["fresh seeds"] if again else []
    rows = []
    for setting in settings:
        cells = [_ended(setting, spread(setting.scores(name))) for name in names]
        cells += [number(fmean(values)) if (values := setting.baselines(name)) else "" for name in differing]
        rows.append(
            [
                short(setting.name) + (" (halved)" if setting.halved else ""),
                *([_count(setting, results)] if several else []),
                *cells,
                *([again.get(setting.name, "")] if again else []),
            ],
        )
    if DEFAULT in again:
        rows.append([DEFAULT, *[""] * (len(header) - 2), again[DEFAULT]])
    return header, rows


def title(name: str) -> str:
    """Return the name of a metric or a reading, such as `test/loss`, in words."""
    return name.replace("/", " ").replace("_", " ")


def baseline(results: SweepResults) -> list[str]:
    """Return the sentence with the baselines, or the one that the settings have different ones."""
    if not results.comparable and results.losses_differ:
        other = next((name for name in results.listed if not name.endswith("/loss")), None)
        how = "" if other is None else f": rank by another metric, as sweep.metric={other}"
        return [f"The losses differ, so their values are not compared{how}."]
    if not results.comparable:
        return ["The settings differ in their data: compare each with its baseline."]
    differing = _differing(results)
    same = [name for name in results.baselines if name not in differing]
    known = {name: [value for one in results.settings for value in one.baselines(name)] for name in same}
    several = any(len({*values}) > 1 for values in known.values())
    words = ", ".join(f"{name} {number(fmean(values))}" for name, values in known.items())
    return [f"Baseline: {words}{f', means over {results.repeats_name}' if several else ''}."] if known else []


def failures(results: SweepResults) -> list[str]:
    """Return the names of the first runs that failed, with the reasons."""
    lines = []
    failed = [*results.failed, *results.failed_fresh]
    for run in failed[:NAMED_FAILURES]:
        reason = " ".join((run.error or "no reason known").split())
        cut = reason if len(reason) <= REASON_LENGTH else reason[: REASON_LENGTH - 1] + "…"
        lines.append(f"Failed: {short(run.name)}: {cut}")
    more = len(failed) - NAMED_FAILURES
    return [*lines, f"... and {more} more failed."] if more > 0 else lines


def _differing(results: SweepResults) -> list[str]:
    """Return the metrics whose baselines differ between settings, not only between their repeats."""
    return [name for name in results.baselines if not results.has_one_baseline(name)]


def _ended(setting: Setting, cell: str) -> str:
    if setting.finished or cell:
        return cell
    return "diverged" if any(run.diverged for run in setting.runs) else "failed"


def _count(setting: Setting, results: SweepResults) -> str:
    lost = setting.without(results.metric) if results.timed and results.metric else 0
    lost = lost or sum(run.diverged for run in setting.runs)
    failed = sum(run.summary is None for run in setting.runs)
    parts = [f"{count} {what}" for count, what in ((lost, results.gone), (failed, "failed")) if count]
    return f"{len(setting.runs)}" + (f" ({', '.join(parts)})" if parts else "")
