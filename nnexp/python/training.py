"""Trains from Python as the command line does: one network with `run`, many with `sweep`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path

from omegaconf import DictConfig

from nnexp.config.command_line import arranged
from nnexp.config.compose import compose_experiment, options_of, searched, sweep_config
from nnexp.config.written import alternatives, written
from nnexp.core.build import TARGET, build
from nnexp.core.errors import UserError
from nnexp.core.files import absolute
from nnexp.python.data import Examples, overrides_for
from nnexp.python.given import Given, overrides_of, with_objects
from nnexp.python.swept import Sweep
from nnexp.runs.find import find
from nnexp.runs.load import load_run
from nnexp.runs.result import Result
from nnexp.runs.train import execute
from nnexp.sweeps.configs import groups_of
from nnexp.sweeps.jobs import search_of
from nnexp.sweeps.options import SweepOptions
from nnexp.sweeps.session import Session, running
from nnexp.sweeps.sweep_folder import SweepRecord, results_in
from nnexp.sweeps.workers import Workers


@contextmanager
def _mistakes_alone() -> Iterator[None]:
    """Raise a UserError of the block without the errors behind it, whose tracebacks say nothing to the user."""
    try:
        yield
    except UserError as error:
        raise error from None


@_mistakes_alone()
def run(
    overrides: Given = (),
    config_dir: str | Path | None = None,
    *,
    data: Examples | None = None,
    **keywords: object,
) -> Result:
    """Train one network as the command line would, and return its results.

    An object of a component can stand where an override would, as in `run(architecture__activation=Sine())`; such a run
    cannot be repeated by a command, which one of its notes says.

    Raises UserError if they do not make a valid run.

    Args:
        overrides: Such as `["optimizer.learning_rate=0.3"]`, `{"optimizer.learning_rate": 0.3}`, or one text.
        config_dir: A folder with configs of your own.
        data: What to learn, `(x, y)`, `(x_train, y_train, x_test, y_test)` or a DataFrame; it is kept in the output
            folder, so that the command repeats the run.
        keywords: Further overrides, with two underscores for a dot: `optimizer__learning_rate=0.3`.
    """
    texts, objects = overrides_of(overrides, keywords, written)
    texts = _with_data(data, texts)
    experiment = with_objects(compose_experiment(texts, config_dir), objects)
    named = [f"{key}={type(value).__name__}" for key, value in objects.items()]
    result = execute(experiment, [*texts, *named])
    if not named:
        return result
    note = f"the command does not repeat this run, for {', '.join(named)} was given as an object of Python"
    return replace(result, notes=[*result.notes, note])


@_mistakes_alone()
def sweep(
    overrides: Given = (),
    config_dir: str | Path | None = None,
    *,
    data: Examples | None = None,
    **keywords: object,
) -> Sweep:
    """Train all combinations of values as `python -m nnexp -m` would, and return what came out.

    Raises UserError if they do not make a valid sweep.

    Args:
        overrides: As on the command line, or values by key: `{"optimizer.learning_rate": [0.1, 1]}`. A text is taken as
            the command line takes it, such as `"logspace(0.01, 1, 5)"`. With `verbose=False` the answer is not printed.
        config_dir: A folder with configs of your own.
        data: What to learn, as for `run`.
        keywords: Further overrides, with two underscores for a dot, and settings of the sweep: `repeats=3`.
    """
    own = {one.name for one in fields(SweepOptions)}
    of_runs = {"figures"} if isinstance(keywords.get("figures"), bool) else set()  # else those of the sweep's report
    named = {f"sweep__{key}" if key in own - of_runs else key: value for key, value in keywords.items()}
    texts, objects = overrides_of(overrides, named, alternatives)
    if objects:
        raise UserError(f"{next(iter(objects))}: must be given by name in a sweep; run takes objects, one at a time")
    texts = _with_data(data, texts)
    texts += searched(config_dir)
    show = "verbose=false" not in texts
    arguments = arranged(texts)
    with sweep_config(arguments) as (loader, config):
        search = search_of(arguments, loader)
        workers = build(_launcher(config), Workers, "hydra.launcher", options_of)
        with running(Session(config, search.total, search.drawn, said=["-m", *texts], show=show)) as session:
            for jobs in session.batches(search):
                session.launch(jobs, groups_of(jobs, loader, config), workers)
        return Sweep(session.results(), session.folder)


def load(name: str | Path, output_dir: str | Path = "outputs") -> Result | Sweep:
    """Return what was trained before, a run or a sweep.

    Raises UserError if there is no such sweep or run, its files are damaged, or the data of a run have changed.

    Args:
        name: Its folder, `last`, its row in `nnexp runs`, or the first letters of its ID in MLflow or of its hash.
        output_dir: Where runs were written.
    """
    folder = find(str(name), absolute(str(output_dir)), sweeps=True)
    record = None if folder is None else SweepRecord.read(folder)
    if folder is not None and record is not None:
        return Sweep(results_in(folder, record), folder)
    return load_run(str(name if folder is None else folder), absolute(str(output_dir)))


def _with_data(data: Examples | None, texts: Sequence[str]) -> list[str]:
    """Return overrides that train on data in memory, if there are some."""
    if data is None:
        return [*texts]
    said = compose_experiment([one for one in texts if one.startswith("output_dir=")])
    return [*overrides_for(data, said.output_dir, texts), *texts]


def _launcher(config: DictConfig) -> dict[str, object]:
    """Return the fields of the launcher in a config of a sweep."""
    return {str(key): value for key, value in config.hydra.launcher.items() if key != TARGET}
