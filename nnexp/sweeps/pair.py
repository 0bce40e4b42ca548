"""Trains two settings with the same seeds, as a sweep: what was trained before is reused."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser

from nnexp.analysis.results import SEED, SweepResults
from nnexp.config.command_line import OVERRIDE, with_quoted_texts
from nnexp.config.compose import compose_experiment, searched, sweep_config
from nnexp.config.identity import config_hash, without_effect
from nnexp.config.overrides import Job, command, key_of, without
from nnexp.core.errors import UserError
from nnexp.core.files import is_there, is_usual
from nnexp.runs.recorded_run import recorded_run
from nnexp.sweeps.configs import groups_of
from nnexp.sweeps.session import Session, running
from nnexp.sweeps.workers import Workers

OUTPUT_DIR = "output_dir"


def train_pair(
    texts: Sequence[str],
    seeds: int,
    output_dir: Path,
    options: Sequence[str] = (),
    *,
    config_dir: str | None = None,
) -> SweepResults:
    """Train what is missing of two settings with seeds 0, 1, 2 and so on, and return the results, those of A first.

    Raises UserError if a text is neither a run nor overrides that make one.

    Args:
        texts: For each a run, by its folder or its ID in MLflow, or overrides in one text.
        seeds: How many.
        output_dir: Where runs are written.
        options: Overrides of the sweep, such as `sweep.metric=test/accuracy`.
        config_dir: A folder with configs of one's own.
    """
    own_configs = searched(config_dir)
    settings = [setting_of(text, output_dir, config_dir) for text in texts]
    said = [one for one in settings[0] + settings[1] if without_effect(key_of(one)) and key_of(one) != OUTPUT_DIR]
    shared = [*said, *([] if is_usual(output_dir) else [f"{OUTPUT_DIR}={output_dir}"])]
    own = [[one for one in setting if not without_effect(key_of(one))] for setting in settings]
    jobs = [[*setting, f"{SEED}={seed}", *dict.fromkeys(shared)] for setting in own for seed in range(seeds)]
    with sweep_config([*options, *own_configs]) as (loader, config):
        for one in OverridesParser.create(loader).parse_overrides([*own[0], *own[1]]):
            if one.is_sweep_override():
                raise UserError(f"{one.input_line}: must be one value, for one setting is compared with another one")
            if key_of(str(one.input_line)).startswith("sweep."):
                raise UserError(f"{one.input_line}: must be no part of a setting; there are --metric and --matters")
        with running(Session(config, len(jobs))) as session:
            session.launch(jobs, groups_of(jobs, loader, config), Workers())
        return session.results()


def setting_of(text: str, output_dir: Path, config_dir: str | None = None) -> Job:
    """Return the overrides of a setting, but for its seed.

    Raises UserError if it is a run that its overrides do not make any more, or has none.
    """
    if not text.strip() or (OVERRIDE.match(text) and not is_there(Path(text))):
        try:
            overrides = with_quoted_texts(shlex.split(text))
        except ValueError as error:
            raise UserError(f"{text}: must have its quotes in pairs") from error
    else:
        run = recorded_run(text, output_dir)
        if run.record is None:
            raise UserError(f"run={text}: must have a run.json, or be given by its overrides in one text")
        overrides = [*run.record.overrides]
        if config_hash(compose_experiment(overrides, config_dir)) != run.record.config_hash:
            raise UserError(f"run={text}: must be what its overrides make, and {command(*overrides)} is another run")
    return without(overrides, [SEED])
