"""The findings of a sweep, in numbers and in sentences."""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import fmean, median_high, stdev
from typing import Literal

import numpy as np

from nnexp.analysis.confirmation import DEFAULT as ASKED_DEFAULT
from nnexp.analysis.confirmation import Confirmation
from nnexp.analysis.results import REPEATS, Setting, SweepResults, SweepRun, SweptKey, short
from nnexp.analysis.verdict import MOST_REPEATS, SIGNIFICANT, Measured, Verdict, wins
from nnexp.config.overrides import command, without
from nnexp.core.words import enumerated
from nnexp.report.rows import figures, number, with_spread
from nnexp.training.history import chosen_by
from nnexp.training.metrics import lower_is_better
from nnexp.training.story import TRAINING_LOSS, Story, story_of

DEFAULT = "default"
"""The name of the value of a swept key where a run does not set it."""
RATE = "optimizer.learning_rate"
CONTINUOUS = ("learning_rate", "scale", "factor", "weight", "temperature")
"""Keys of numbers that may be whole and are no counts: the smallest value can be less than 1."""
FEW_EXAMPLES = 30
"""A part of the data with fewer examples chooses by chance."""
MOST_NAMED = 5
"""How many settings are named in a sentence."""
LEADING_DRAWS, OUTER_SHARE = 5, 0.1
"""A range ends too early where all but one of the leading draws lie in this outer share of it."""


def by_rank(results: SweepResults) -> list[Setting]:
    """Return the settings that have a rank; the one that is first by fresh seeds, where those were asked, leads."""
    again = results.confirmation
    first = "" if again is None else again.first.name
    return sorted(results.ranked, key=lambda setting: again is not None and setting.name != first)


def all_by_rank(results: SweepResults) -> list[Setting]:
    """Return all settings from best to worst, those without a rank at the end."""
    order = by_rank(results)
    known = {id(setting) for setting in order}
    return [*order, *(setting for setting in results.settings if id(setting) not in known)]


def best_run(results: SweepResults) -> SweepRun | None:
    """Return the best run of the best setting, if possible one that went to the end."""
    metric, order = results.metric, by_rank(results)
    if metric is None or not order:
        return None
    return min(order[0].scored(metric), key=lambda one: (one[1].halved, results.sign * one[0], one[1].name))[1]


def standing(results: SweepResults) -> str:
    """Return what the setting that comes first is called: best where that is shown, or where there is no other."""
    again, found = results.confirmation, results.verdict
    shown = again.best if again is not None else found is not None and found.best
    return "best" if shown or len(results.settings) == 1 else "first"


def first_command(results: SweepResults) -> tuple[str, str] | None:
    """Return what the first setting is called, the best one only where that is shown, and the command that trains it.

    Of several repeats the command names none: a lucky one is not better. Where no run left the plateau it is a command
    to try. None where nothing is ranked.
    """
    run, found = best_run(results), results.verdict
    if run is None:
        return None
    if plateau(results) is not None:
        return "To try", command(*_off_plateau(results))
    again = results.confirmation
    title = "First setting" if again is None or again.first is not again.leader else "Chosen setting"
    if found is not None and standing(results) == "best":
        title = "Best setting"
    if len(results.settings) == 1:
        title = "Command"
    if again is None and found is not None and found.equal:
        title = "One of the first settings"
    dropped = {swept.key for swept in results.swept_keys if swept.key in REPEATS}
    alone = len(by_rank(results)[0].runs) == 1
    job = run.job if alone else without(run.job, dropped)
    return f"{title}{'' if results.complete else ' so far'}", command(*job)


def _off_plateau(results: SweepResults) -> list[str]:
    """Return the overrides of the run with the largest steps, ten times as large where it says so, twice as long.

    Where larger ones diverged, it is the middle between.
    """

    def rate_of(run: SweepRun) -> float:
        return float(run.value(RATE) or 0)

    run = max(_learning(results), key=rate_of)
    rate, limit = rate_of(run), min(map(rate_of, (one for one in results.diverged if rate_of(one))), default=math.inf)
    changes = {} if run.summary is None else {f"trainer.{run.summary.unit}s": f"{2 * run.summary.length}"}
    changes |= {RATE: f"{10 * rate if 10 * rate < limit else math.sqrt(rate * limit):.3g}"} if rate else {}
    return [*without(run.job, {*changes, *REPEATS}), *(f"{key}={value}" for key, value in changes.items())]


def importance(results: SweepResults) -> dict[str, float]:
    """Return by key the share of the variance of the ranks that each swept key explains on its own, largest first.

    Keys that move together, as zipped ones do, have one share, under the first of them.

    With r the rank of a run (1 is best, ties share their mean rank, diverged runs are the worst), m the mean of all
    ranks, and m_v and n_v the mean rank and the number of the runs with value v,

        share = sum over v of n_v (m_v - m)^2 / sum over runs of (r - m)^2.

    That is the main effect of a functional analysis of variance, computed on the runs themselves; ranks are taken
    because losses differ by orders of magnitude. Where a key has many values, v are the quarters of its runs.
    In a full grid the shares add up to 1 at most, and the rest belongs to interactions and chance. Empty where the
    sweep is not complete, where runs cannot be compared, and where all ranks are the same.

    References:
        Hutter, Hoos and Leyton-Brown, An Efficient Approach for Assessing Hyperparameter Importance, ICML 2014.
    """
    from scipy.stats import rankdata

    runs = _measured(results)
    scores = [run.reading(str(results.metric)) for run in runs]
    ranks = rankdata([math.inf if score is None else results.sign * score for score in scores])
    total = float(((ranks - ranks.mean()) ** 2).sum()) if len(runs) > 1 else 0.0
    if not results.complete or total == 0:
        return {}
    shares = {}
    for swept in results.judged:
        groups = levels(swept, runs).values()
        between = sum(len(group) * (ranks[group].mean() - ranks.mean()) ** 2 for group in groups)
        shares[swept.key] = float(between) / total
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def chance(results: SweepResults) -> dict[str, float]:
    """Return the share that `importance` has to exceed for a swept key to be told from one without any effect.

    Where no key has an effect, one of them exceeds it in a sweep of twenty: the share times n - 1, of n runs, is the
    statistic of Kruskal and Wallis, which then has the chi-squared distribution of k - 1 degrees, for k values.
    """
    from scipy.stats import chi2

    runs, quantile = _measured(results), 1 - SIGNIFICANT / max(1, len(results.judged))
    groups = {one.key: len(levels(one, runs)) for one in results.judged}
    return {
        key: min(1.0, float(chi2.ppf(quantile, count - 1)) / max(1, len(runs) - 1)) if count > 1 else 0.0
        for key, count in groups.items()
    }


def levels(swept: SweptKey, runs: Sequence[SweepRun], bins: int = 4) -> dict[str, list[int]]:
    """Return the indices of the runs by their value of a swept key; many numbers are put into bins of equal size."""
    written = [run.value(swept.key) for run in runs]
    groups: dict[str, list[int]] = {}
    if not swept.drawn:
        found: dict[str | None, list[int]] = {value: [] for value in (*swept.values, None)}
        for i, value in enumerate(written):
            found[value].append(i)
        groups = {DEFAULT if value is None else value: group for value, group in found.items()}
    else:
        numbers = {i: float(value) for i, value in enumerate(written) if value is not None}
        order = np.array(sorted(numbers, key=lambda i: numbers[i]), dtype=np.intp)
        for part in np.array_split(order, bins):
            if len(part):
                groups[f"{numbers[part[0]]:.3g} to {numbers[part[-1]]:.3g}"] = part.tolist()
        groups[DEFAULT] = [i for i, value in enumerate(written) if value is None]
    return {name: group for name, group in groups.items() if group}


def incompleteness(results: SweepResults) -> str | None:
    """Return a sentence with the number of runs that are missing or failed, or None where the sweep is complete."""
    if results.complete:
        return None
    parts = []
    if results.missing:
        parts.append(f"{results.missing} of {results.total} runs {'is' if results.missing == 1 else 'are'} missing")
    failed = results.counts["failed"] + len(results.failed_fresh)
    if failed:
        which = "" if results.missing else f" of {results.total} runs"
        parts.append(f"{failed}{which} failed")
    return f"Incomplete: {enumerated(parts)}; what follows is about the others, and may change."


def verdict(results: SweepResults) -> list[str]:
    """Return sentences: whether a setting is best, which could be, how far they are apart, and what would tell them."""
    metric, order = results.metric, results.ranked
    if metric is None or not order or len(results.settings) == 1 or plateau(results) is not None:
        return []
    so_far = "" if results.complete else " so far"
    again = results.confirmation
    if again is not None:
        return _confirmed(again, results, so_far)
    first = f"{'Lowest' if results.sign > 0 else 'Highest'}{so_far}"
    found = results.verdict
    if found is None:
        return [f"{first}: {_with_value(order[0].measured(metric), results)}.", *_earlier(results, metric)]
    return [_leading(found, results, first, f"Best{so_far}"), *_earlier(results, metric), *_telling(found, results)]


def _confirmed(again: Confirmation, results: SweepResults, so_far: str) -> list[str]:
    """Return what fresh repeats say of the setting that the first ones chose."""
    chosen, gone = again.leader, results.gone
    fresh = counted(len(chosen.values), f"fresh {results.fresh_name}")
    value = f"{short(chosen.name)}, {read_as(results, chosen)} over {fresh}"
    lost = f" ({chosen.diverged} more {gone})" if chosen.diverged else ""
    asked = [one for one in again.others if one.name != ASKED_DEFAULT]
    default = next((one for one in again.others if one.name == ASKED_DEFAULT), None)
    others = [f"the next {len(asked)}" if len(asked) > 1 else "the next one"] if asked else []
    lines = [f"Chosen{so_far}: {value}{lost}."]
    if again.best:
        whom = enumerated([*others, *(["the default"] if default is not None else [])])
        each = " for each" if len(again.others) > 1 else ""
        lines = [f"Best{so_far}: {value}{lost}, better than {whom} (p < .05{each})."]
    elif not again.thin:
        if again.alike:
            lines.append(_no_difference(again.alike, chosen, results))
        if again.better:
            verb = "is" if len(again.better) == 1 else "are"
            lines.append(f"{capitalized(_with_values(again.better, gone))} {verb} better (p < .05).")
        if again.not_told:
            lines.append(f"They do not tell it from {_with_values(again.not_told, gone)}.")
        if again.first is not chosen and again.first not in again.better:
            lines.append(f"First by the fresh {results.fresh_name}, though: {short(again.first.name)}.")
    else:
        lines.append(f"So few fresh {results.fresh_name} claim nothing: sweep.confirm=10.")
    if default is not None:
        lines.append(f"The default: {default.told(gone)}.")
    return lines


def _no_difference(alike: Sequence[Measured], leader: Measured, results: SweepResults) -> str:
    """Return the sentence that settings are as good as the one that leads, for all that matters."""
    return f"{_some([leader, *alike])}: no difference that matters, all within {results.matters:g} of the first."


def _with_values(settings: Sequence[Measured], gone: str) -> str:
    """Return the names of settings, each with what its repeats gave."""
    return enumerated([f"{short(one.name)} ({one.told(gone)})" for one in settings], MOST_NAMED)


def capitalized(name: str) -> str:
    """Return a name as it begins a sentence, unless it is that of a key."""
    return name if "=" in name.partition(" ")[0] else f"{name[:1].upper()}{name[1:]}"


def read_as(results: SweepResults, setting: Measured) -> str:
    """Return the reading that ranks the runs, with what the repeats of a setting gave."""
    if results.reading is None or not results.timed:
        return f"{called(results)} {setting.written}"
    unit = next((run.curves.unit for run in results.runs if run.curves is not None), "epoch")
    return f"{called(results)}: {setting.written} {unit}s"


def counted(count: int, name: str) -> str:
    """Return so many repeats in words."""
    return f"{count} {name if count > 1 else name.removesuffix('s')}"


def _leading(found: Verdict, results: SweepResults, first: str, best: str) -> str:
    """Return which setting is first, and whether it is best, with the next one."""
    leader = found.leader
    if found.equal:
        line = f"{first}: {_some([leader, *found.equal])} are equal, {called(results)} {figures(leader.mean)}."
    elif found.best:
        way = "one that always got there" if results.timed else "one that went to the end"
        others = "setting" if found.compared == len(results.settings) else way
        whom = f"every other {others} (p < .05 for each)" if len(results.settings) > 2 else "the other (p < .05)"
        line = f"{best}: {_with_value(leader, results)}, better than {whom}."
    else:
        line = f"{first}: {_with_value(leader, results)}."
    if found.next is None:
        return line
    won = ""
    if found.thin is None and not found.equal:
        count, pairs = wins(leader, found.next, results.sign)
        won = f"; the first wins {'all' if count == pairs else f'{count:g} of'} {pairs} pairs"
    return f"{line} Next: {short(found.next.name)}, {figures(found.gap)} behind{won}."


def _earlier(results: SweepResults, metric: str) -> list[str]:
    """Return a sentence on a setting that got to a level earlier than the first one, but less often."""
    if not results.timed:
        return []
    first, *others = results.ranked
    for one in others:
        if fmean(one.scores(metric)) < fmean(first.scores(metric)):
            often = f"{len(one.scores(metric))} of {len(one.runs)} runs"
            return [f"{short(first.name)} got there most often; {short(one.name)} was earlier, but in {often}."]
    return []


def _telling(found: Verdict, results: SweepResults) -> list[str]:
    """Return what the repeats cannot tell, and what it would take."""
    leader, lines, seeds = found.leader, list[str](), results.repeats_name
    if found.more_reliable is not None:
        one, other = (f"{it.diverged} of {it.repeats}" for it in (leader, found.more_reliable))
        first, second = short(leader.name), short(found.more_reliable.name)
        lines.append(f"{first} diverged {one} times, {second} {other}: it is not called best.")
    if found.thin is not None or found.best:
        return lines
    if found.alike:
        return [*lines, _no_difference(found.alike[1:], leader, results)]
    if len(found.possible) > 1:
        lines.append(f"Not told apart by these {seeds}: {_some(found.possible)} could be best.")
        verb = "scatters" if len(found.scattered) == 1 else "scatter"
        widely = _with_values(found.scattered, results.gone) if found.scattered else ""
        lines += [f"{widely} {verb} too much to be ruled out by so few."] if widely else []
    if found.would_show is not None:
        more = f"about {found.needed} {seeds}" if found.needed is not None else f"more than {MOST_REPEATS:,} {seeds}"
        first_two = "" if found.equal else f"; that of the first two takes {more} each"
        lines.append(f"They would show a difference of {figures(found.would_show)}{first_two}.")
    return lines


def _with_value(setting: Measured, results: SweepResults) -> str:
    over = f" over {counted(len(setting.values), results.repeats_name)}" if len(setting.values) > 1 else ""
    return f"{short(setting.name)}, {read_as(results, setting)}{over}"


def called(results: SweepResults) -> str:
    """Return what the reading is called that ranks the runs."""
    return "" if results.reading is None else results.reading.name


def _some(settings: Sequence[Measured]) -> str:
    """Return the names of settings, the first few of many."""
    return enumerated([short(setting.name) for setting in settings], MOST_NAMED)


def flags(results: SweepResults) -> list[str]:
    """Return warnings that concern how far the results can be trusted, a sentence each."""
    lines = _flags_of_divergence(results)
    if results.beyond:
        these = f"{len(results.runs):,} of {results.beyond + len(results.runs):,} runs"
        lines.insert(0, f"This looks at {these}, the best and others evenly spread; the table has all.")
    order, stuck, found = by_rank(results), plateau(results), results.verdict
    if stuck is not None:
        where = f"No run left the plateau on which it began, train/loss {figures(stuck)} and no better than guessing"
        wanted = "ten times the learning rate, ten times the starting weights, or longer trainings"
        return [f"{where}: try {wanted}.", *lines]
    tied = [] if found is None else [*found.equal]
    if order and results.complete and not tied:
        lines += [line for swept in results.judged for line in _flags_of_edge(results, swept, order)]
    if order:
        lines += [*([] if tied else _flags_of_time(results, order[0])), *_flags_of_baseline(results, order[0])]
    return [*lines, *_flags_of_seeds(results, order, found), *_flags_of_choice(results, order)]


def plateau(results: SweepResults) -> float | None:
    """Return the training loss on which every run stayed, no better than guessing; None if one learned something."""
    runs = _learning(results)
    if not runs or any(story(run) != "stuck" for run in runs):
        return None
    return fmean(run.summary.final[TRAINING_LOSS] for run in runs if run.summary is not None)


def _learning(results: SweepResults) -> list[SweepRun]:
    """Return the runs that went to their end."""
    return [run for run in results.runs if run.summary is not None and not run.diverged and not run.halved]


def story(run: SweepRun) -> Story | None:
    """Return what became of a run; None if it failed, diverged or was hardly evaluated."""
    if run.summary is None or run.curves is None or run.diverged:
        return None
    return story_of(run.curves, run.summary.final, run.summary.baselines)


def spread(values: Sequence[float]) -> str:
    """Return a mean, with the standard deviation of several values."""
    if len(values) > 1:
        return with_spread(fmean(values), stdev(values))
    return number(values[0]) if values else ""


def where_diverged(results: SweepResults) -> dict[str, list[tuple[str, int, int]]]:
    """Return for every swept key its values, how many runs diverged with each, and how many there were.

    A value is named with its key, and with those that move together with it. Nothing where a table has more rows than
    are looked at, since some of the runs with a value tell little.
    """
    if results.beyond:
        return {}
    runs = [run for run in results.runs if run.summary is not None]
    return {
        swept.key: [
            (_with(results, swept, value), sum(runs[index].diverged for index in group), len(group))
            for value, group in levels(swept, runs).items()
        ]
        for swept in results.judged
        if swept.key not in REPEATS
    }


def _with(results: SweepResults, swept: SweptKey, value: str) -> str:
    """Return a level of a key by its name; a bin of drawn ones is no value."""
    return results.named(swept, value) if value in swept.values else f"{results.named(swept)}={value}"


def divergence(results: SweepResults) -> str | None:
    """Return how many runs diverged, and with which values of the key where that differs most; None where none did."""
    lost, finished = _diverged_of(results)
    if not lost:
        return None
    text = f"Diverged: {lost} of {finished} runs"
    tables = where_diverged(results)
    differences = {key: float(np.ptp([lost / count for _, lost, count in rows])) for key, rows in tables.items()}
    key = max(differences, key=lambda key: differences[key], default=None)
    if key is None or differences[key] == 0:
        return f"{text}."
    parts = [f"{lost} of {count} with {value}" for value, lost, count in tables[key] if lost]
    more = [f"and with {len(parts) - MOST_NAMED} more values"] if len(parts) > 2 * MOST_NAMED else []
    return f"{text}; {', '.join([*parts[: MOST_NAMED if more else None], *more])}."


def _diverged_of(results: SweepResults) -> tuple[int, int]:
    """Return how many runs diverged, and how many did not fail."""
    counts = results.counts
    return counts["diverged"], counts["runs"] - counts["failed"]


def _measured(results: SweepResults) -> list[SweepRun]:
    """Return the runs that have a rank: all that ended; of those that are some of a table, none for being good."""
    if results.metric is None or not results.comparable:
        return []
    ended = [run for run in results.runs if run.summary is not None]
    if results.table is None or not results.beyond:
        return ended
    even = {*results.table.rows[results.table.even].tolist()}
    return [run for run in ended if run.row in even]


def _flags_of_divergence(results: SweepResults) -> list[str]:
    lost, finished = _diverged_of(results)
    if lost and lost == finished:
        which = "All runs" if finished > 1 else "The only run"
        return [f"{which} diverged: try smaller learning rates, or smaller starting weights."]
    if 2 * lost > finished:
        return ["More than half of the runs diverged: move the ranges away from where they do."]
    return []


def _flags_of_edge(results: SweepResults, swept: SweptKey, order: Sequence[Setting]) -> list[str]:
    end = _end_of_best(swept, order)
    if end is None:
        return []
    title, value = results.named(swept), swept.values[-1 if end == "largest" else 0]
    if swept.drawn:
        return [f"The leading draws lie among the {end} values of {title}, beside {short(value)}: extend it."]
    if len(results.together[swept.key]) > 1:
        return [f"The {standing(results)} lies at the edge of {title} ({results.named(swept, value)}): extend them."]
    return [f"The {standing(results)} lies at the edge of {title} (its {end} value, {short(value)}): extend it."]


def _end_of_best(swept: SweptKey, order: Sequence[Setting]) -> Literal["smallest", "largest"] | None:
    """Return the end of a key's numbers where the best setting lies, or nearly all of the best draws, if any.

    A range that begins at 0, or at 1 of whole numbers, cannot be extended downwards.
    """
    numbers = swept.numbers
    if swept.key in REPEATS or numbers is None or len(set(numbers)) < 3:
        return None
    scale = math.log if swept.logarithmic else float
    low, high = scale(numbers[0]), scale(numbers[-1])
    leading, needed, margin = (LEADING_DRAWS, LEADING_DRAWS - 1, OUTER_SHARE) if swept.drawn else (1, 1, 0.0)
    written = [setting.runs[0].value(swept.key) for setting in order[:leading]]
    places = [(scale(float(value)) - low) / (high - low) for value in written if value is not None]
    if sum(place >= 1 - margin for place in places) >= needed:
        return "largest"
    counts = swept.name not in CONTINUOUS and all(number.is_integer() for number in numbers)
    smallest_possible = numbers[0] == 0 or (numbers[0] == 1 and counts)
    return "smallest" if sum(place <= margin for place in places) >= needed and not smallest_possible else None


def _flags_of_time(results: SweepResults, setting: Setting) -> list[str]:
    """Return what most runs of a setting tell: that they were still learning, or had lost what they learned."""
    runs = [run for run in setting.finished if run.summary is not None and not run.halved]
    told = Counter(story(run) for run in runs)
    common, count = told.most_common(1)[0] if told else (None, 0)
    summary = runs[0].summary if runs else None
    if summary is None or 2 * count <= len(runs):
        return []
    loss, unit = chosen_by(summary.best), summary.unit
    longer = f"trainer.{unit}s"  # where that varies, its edge says so
    stopped = any(run.summary is not None and run.summary.stopped is not None for run in runs)
    if (
        common == "falling"
        and not results.timed
        and not stopped
        and longer not in {swept.key for swept in results.swept_keys}
    ):
        end = f"{unit} {summary.length}"
        return [f"The {loss} of the {standing(results)} setting was still falling at its end, {end}: train longer."]
    by_loss = results.reading is not None and results.reading.metric == loss
    times = [run.summary.best_time for run in runs if run.summary is not None and run.summary.best_time is not None]
    if common == "overfitted" and by_loss and times:
        when = (
            f"The {standing(results)} setting has its lowest {loss} at {unit} {median_high(times)} of {summary.length}"
        )
        return [f"{when}, and ends clearly worse (overfitting, or too large steps): train shorter, or stop early."]
    return []


def _flags_of_baseline(results: SweepResults, setting: Setting) -> list[str]:
    lines = []
    for metric in results.baselines:
        scores, values = setting.scores(metric), setting.baselines(metric)
        sign = 1 if lower_is_better(metric) else -1
        if scores and values and sign * fmean(scores) >= sign * fmean(values):
            beside = f"{metric} {number(fmean(scores))} beside {number(fmean(values))}"
            lines.append(f"The {standing(results)} is no better than the baseline: {beside}.")
    return lines


def _flags_of_saturation(results: SweepResults, first: Setting) -> list[str]:
    """Return that settings are equally right where a loss ranks them, and all have every example right."""
    accuracy = f"{'' if results.reading is None else results.reading.metric.removesuffix('/loss')}/accuracy"
    right = [one for one in results.ranked if (scores := one.scores(accuracy)) and min(scores) == 1]
    if len(right) < 2 or first not in right:
        return []
    which = "All settings have" if len(right) == len(results.settings) else f"{len(right)} of the settings have"
    return [f"{which} every example right, {accuracy} 1: among them a lower loss means surer, not more often right."]


def _flags_of_seeds(results: SweepResults, order: Sequence[Setting], found: Verdict | None) -> list[str]:
    lines = []
    lost = order[0].without(str(results.metric)) if order else 0
    if lost:
        first = f"{lost} of {len(order[0].runs)} runs of the first setting"
        lines.append(f"{first} {results.gone}, which its mean leaves out.")
    if found is not None and found.thin is not None and results.confirmation is None:
        count = len(found.thin.values)
        whose = "each" if all(len(one.values) == count for one in found.possible) else f"of {short(found.thin.name)}"
        verb = "claims" if count == 1 else "claim"
        seeds = counted(count, results.repeats_name)
        lines.append(f"{seeds} {whose} {verb} nothing: repeat the first ones, with sweep.repeats=5 or more.")
    return lines


def _flags_of_choice(results: SweepResults, order: Sequence[Setting]) -> list[str]:
    """Return what the part of the data that chooses does to the choice."""
    part = "" if results.reading is None else results.reading.metric.partition("/")[0]
    if len(order) < 2:
        return []
    lines = []
    if part == "test":
        lines.append(
            "Chosen by the test part: the value of the first is a little too good, "
            "which a validation part avoids (dataset.validation_size=0.2)."
        )
    lines += _flags_of_saturation(results, order[0])
    examples = [run.summary.examples.get(part) for run in results.runs if run.summary is not None]
    fewest = min((count for count in examples if count is not None), default=FEW_EXAMPLES)
    if fewest < FEW_EXAMPLES:
        lines.append(f"The {part} part has {fewest} examples only: what is best on them need not be so on others.")
    return lines
