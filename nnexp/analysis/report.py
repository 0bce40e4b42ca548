"""The report of a sweep, in Markdown, with a table of all its runs and its figures."""

from collections.abc import Sequence
from pathlib import Path

from nnexp.analysis.chosen_figures import PIXELS, sweep_figures
from nnexp.analysis.field import about_border
from nnexp.analysis.findings import (
    all_by_rank,
    called,
    divergence,
    first_command,
    flags,
    importance,
    incompleteness,
    verdict,
    where_diverged,
)
from nnexp.analysis.results import REPEATS, SweepResults, SweepRun, SweptKey, short
from nnexp.analysis.run_table import TABLE
from nnexp.analysis.runs_table import runs_csv
from nnexp.analysis.summary import baseline, failures, settings_table, title
from nnexp.config.overrides import split
from nnexp.core.files import write_text
from nnexp.core.words import enumerated
from nnexp.plots.style import save_figures
from nnexp.report.html import page
from nnexp.report.markdown import block, code, escaped, table
from nnexp.report.rows import number
from nnexp.training.readings import Reading

REPORT_FILES = ("report.html", "report.md", "runs.csv", TABLE, "figures")
"""The files and the folder of a report."""
MAX_ROWS = 50
"""The most rows of a table; `runs.csv` has all."""
WIDER = "A line that still falls (or, of an accuracy, rises) where it ends asks for a wider range."
FRAME = "the frame, star or ring is the best of all, a cross or the colour of the legend where all diverged."
CAPTIONS = {
    "lines": "Lines join means over the repeats, the shade reaches from the lowest to the highest of them, a dot is "
    f"a run. {WIDER}",
    "parameters": "A panel for each parameter. The line joins, for each of its values, the mean over the repeats of "
    f"its best setting; a dot is a run. {WIDER}",
    "image": f"Means over the repeats for two parameters; {FRAME}",
    "map": f"Means over the repeats for two parameters, the best over all others; {FRAME}",
    "curves": "Runs over time, each at its own evaluations: thin lines are repeats, thick ones their means, others lie "
    "behind them.",
    "learning": "The learning rates by the size of the network; a star is the best.",
    "importance": "A bar that does not pass its black line may be chance.",
}
"""By the names of figures, or their first words."""
CAPTIONS_WITHOUT_REPEATS = {
    "lines": f"A dot is a run. {WIDER}",
    "parameters": f"A panel for each parameter; a dot is a run, and the line joins the best of them. {WIDER}",
    "image": f"A run for each pair of values; {FRAME.replace('all diverged', 'it diverged')}",
    "map": f"The best run for each pair of values; {FRAME}",
    "curves": "Runs over time, each at its own evaluations; those without a name lie behind the others.",
}
"""Those that are others where no setting has a second run."""


def sweep_report(results: SweepResults, figures: Sequence[str]) -> str:
    """Return the report of a sweep in Markdown; `figures` are the names of those that were drawn, in `figures/`."""
    missing = incompleteness(results)
    sections = [
        f"# {_title(results)}",
        *([] if missing is None else [f"**{missing}**"]),
        f"**Goal.** {escaped(results.question or _usual_question(results))}",
        block(results.command),
        "## What is varied",
        _varied(results),
        "## What came out",
        *_answer(results),
        *_importance(results),
        *_divergence(results),
        *([] if not figures else ["## Figures"]),
        *[f"![{name}](figures/{name}.png)\n\n{caption(name, results)}" for name in figures],
        *_settings(results),
        "## Runs",
        _runs(results),
    ]
    return "\n\n".join(sections) + "\n"


def _title(results: SweepResults) -> str:
    names = [name for key, name in results.titles.items() if key not in REPEATS] or list(results.titles.values())
    return f"Sweep over {enumerated(names)}" if names else "Sweep of one run"


def _usual_question(results: SweepResults) -> str:
    names = [name for key, name in results.titles.items() if key not in REPEATS]
    if names:
        return f"Which {enumerated(names)} {'is' if len(names) == 1 else 'are'} best?"
    return "How much do results depend on the seed?" if results.titles else "What does this run learn?"


def _varied(results: SweepResults) -> str:
    rows = [
        (f"`{one.key}`", "nuisance" if one.key in REPEATS else "studied", _values(results, one))
        for one in results.swept_keys
    ]
    for override in results.fixed:
        key, value = split(override)
        rows.append((code(key), "fixed", code(value)))
    text = "Everything else has its default."
    return text if not rows else f"{table(('parameter', 'role', 'values'), rows)}\n\n{text}"


def _answer(results: SweepResults) -> list[str]:
    lines = []
    if results.metric is not None and results.ranked:
        best = "lowest" if results.sign > 0 else "highest"
        whose = " of the parameters that runs leave" if results.metric in results.metrics else ""
        lines.append(f"Ranked by the {best} {title(called(results))}{whose}, the mean over {results.repeats_name}.")
    sentences = [*verdict(results), *about_border(results), *baseline(results)]
    lines += [escaped(" ".join(sentences))] if sentences else []
    warnings = [*flags(results), *failures(results)]
    lines += ["\n".join(f"- {escaped(line)}" for line in warnings)] if warnings else []
    first = first_command(results)
    if first is not None:
        name, command = first
        lines += [f"{name}:", block(command)]
    return lines or ["Nothing was evaluated."]


def _importance(results: SweepResults) -> list[str]:
    shares = importance(results)
    if len(shares) < 2:
        return []
    names = {key: ", ".join(f"`{one.key}`" for one in group) for key, group in results.together.items()}
    rows = [(names[key], f"{100 * share:.0f} %") for key, share in shares.items()]
    what = (
        "How much of the differences between the ranks of the runs each parameter explains on its own (functional "
        "ANOVA on ranks); what is missing from 100 % is what parameters do together, and chance."
    )
    return ["## Importance", what, table(("parameter", "explains alone"), rows)]


def _divergence(results: SweepResults) -> list[str]:
    text = divergence(results)
    if text is None:
        return []
    rows = [
        (f"`{value}`", f"{lost} of {count}", f"{100 * lost / count:.0f} %")
        for values in where_diverged(results).values()
        for value, lost, count in values
        if lost
    ]
    more = [f"... and with {len(rows) - MAX_ROWS} more values."] if len(rows) > MAX_ROWS else []
    shown = [table(("with", "diverged", "share"), rows[:MAX_ROWS])] if rows else []
    return ["## Diverged runs", text, *shown, *more]


def _settings(results: SweepResults) -> list[str]:
    settings = all_by_rank(results)
    if all(len(setting.runs) == 1 for setting in settings):
        return []
    header, rows = settings_table(results, settings[:MAX_ROWS])
    more = len(settings) - len(rows)
    note = [f"... and {more} more."] if more > 0 else []
    what = f"Metrics of the parameters that runs leave, mean ± standard deviation over {results.repeats_name}."
    return ["## Settings", what, table(header, rows), *note]


def _runs(results: SweepResults) -> str:
    runs = _by_rank(results)
    names = results.shown
    header = ("run", *[title(Reading.of(name).name) for name in names], "best at", "ended", "folder")
    rows = [
        (
            short(run.name),
            *[_cell(run.reading(name)) for name in names],
            ""
            if run.summary is None or run.summary.best_time is None
            else f"{run.summary.unit} {run.summary.best_time}",
            _ending(run),
            "" if run.folder is None else code(run.folder.name),
        )
        for run in runs[:MAX_ROWS]
    ]
    left = f"The best {MAX_ROWS} of {len(runs) + results.beyond} runs; " if len(runs) > MAX_ROWS else ""
    where = "runs.csv" if results.table is None else TABLE
    return f"{left}`{where}` has all runs and more of their readings.\n\n{table(header, rows)}"


def caption(name: str, results: SweepResults) -> str:
    """Return the caption of a figure."""
    kind = name if name in CAPTIONS else name.partition("_")[0]
    repeated = any(len(setting.runs) > 1 for setting in results.settings)
    return CAPTIONS[kind] if repeated else CAPTIONS_WITHOUT_REPEATS.get(kind, CAPTIONS[kind])


def report_files(folder: Path) -> list[Path]:
    """Return the files and folders of a sweep's report that have been written."""
    return [folder / name for name in REPORT_FILES if (folder / name).exists()]


def write_report(results: SweepResults, folder: Path, *, figures: bool = True) -> None:
    """Write the report of a sweep as Markdown and as a page, `runs.csv` and the figures into its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = save_figures(sweep_figures(results), folder / "figures") if figures else []
    if results.table is None:
        write_text(folder / "runs.csv", runs_csv(results))
    text = sweep_report(results, [name for name in drawn if not name.endswith(PIXELS)])
    write_text(folder / "report.md", text)
    write_text(folder / "report.html", page(text, folder))


def _by_rank(results: SweepResults) -> list[SweepRun]:
    """Return all runs: the best first, then those stopped by halving, those that diverged and those that failed."""
    metric = results.metric
    if metric is None or not results.comparable:
        return list(results.runs)

    def rank(run: SweepRun) -> tuple[int, float]:
        score = run.reading(metric)
        return (2 + (run.summary is None), 0.0) if score is None else (int(run.halved), results.sign * score)

    return sorted(results.runs, key=rank)


def _ending(run: SweepRun) -> str:
    if run.summary is None:
        return "failed"
    if run.summary.diverged_step is not None:
        return f"diverged at step {run.summary.diverged_step}"
    if run.diverged:
        return "diverged"
    return run.summary.stopped or ""


def _values(results: SweepResults, swept: SweptKey) -> str:
    return results.span(swept) or ", ".join(code(short(value)) for value in swept.values)


def _cell(value: float | None) -> str:
    return "" if value is None else number(value)
