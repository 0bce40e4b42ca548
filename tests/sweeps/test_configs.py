"""The configs of a sweep's jobs against those that Hydra composes one by one, in words of their own."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from nnexp.config.compose import check
from nnexp.config.experiment import Experiment
from nnexp.config.hydra_errors import one_line
from nnexp.config.overrides import Job
from nnexp.config.search_path import register
from nnexp.core.errors import UserError
from nnexp.core.files import shipped
from nnexp.sweeps.configs import groups_of


@pytest.fixture(autouse=True, scope="module")
def hydra() -> Iterator[None]:
    """Keep Hydra initialized, as it is while the command line launches a sweep."""
    register()
    with initialize_config_dir(str(shipped("conf")), job_name="nnexp", version_base="1.3"):
        yield


def loader() -> ConfigLoader:
    return GlobalHydra.instance().config_loader()


def master(*arguments: str) -> DictConfig:
    """Return the config of a sweep with what is said of Hydra on its command line."""
    return loader().load_configuration("config", list(arguments), RunMode.MULTIRUN)


def composed(jobs: Sequence[Job], *arguments: str) -> list[Experiment]:
    groups = groups_of(jobs, loader(), master(*arguments))
    found = {place: group.at(index) for group in groups for index, place in enumerate(group.places)}
    return [found[place] for place in range(len(jobs))]


def one_by_one(jobs: Sequence[Job]) -> list[Experiment]:
    return [check(compose("config", job)) for job in jobs]


JOBS: list[Job] = [
    [],
    ["seed=3"],
    ["optimizer.learning_rate=0.3", "seed=1", "dtype=float32"],
    ["optimizer.learning_rate=1e-7"],
    ["optimizer=adam"],
    ["optimizer=adam", "optimizer.beta1=0.5"],
    ["optimizer.beta1=0.5", "optimizer=adam"],
    ["optimizer.learning_rate=0.3", "optimizer=adam"],
    ["dataset=digits", "loss=sparse_categorical_cross_entropy", "architecture.activation=relu"],
    ["architecture/activation=relu"],
    ["architecture=uniform", "architecture.width=5", "architecture.depth=2"],
    ["architecture=layers", "architecture.hidden=[dense,{_target_:nnexp.nn.layers.Dense,units:7}]"],
    ["architecture.hidden=[]"],
    ["architecture.hidden=[5,6,7]", "architecture.dropout=0.1"],
    ["++optimizer.learning_rate=0.3"],
    ["++trainer.early_stopping.patience=3"],
    ["trainer.early_stopping={patience:4,metric:test/loss}"],
    ["trainer.early_stopping={patience:4}", "+trainer.early_stopping.min_delta=0.1"],
    ["trainer.early_stopping=null"],
    ["trainer.iterations=null", "trainer.snapshots=[1,2]"],
    ["~trainer.snapshots"],
    ["~seed", "+seed=4"],
    ["+trainer.regularization.l2=0.5"],
    ["trainer.regularization.l2=0.5", "trainer.regularization.biases=true"],
    ["loss.class_weights=[1,2.5]"],
    ["question='a, b: {c} = \"d\"'"],
    [r"question='it\'s null'", "output_dir='some where'"],
    ["question=null"],
    ["question='null'"],
    ["question=''"],
    ["output_dir=${dtype}/${seed}", "seed=7"],
    ["seed=${trainer.epochs}", "trainer.epochs=12"],
    ["trainer.batch_size=8", "trainer.epochs=${trainer.batch_size}"],
    ["experiment=digits"],
    ["experiment=digits", "optimizer=sgd", "optimizer.learning_rate=0.3"],
    ["experiment=digits", "trainer.batch_size=full"],
    ["experiment=spiral"],
    ["experiment=improve/learning_rate"],
    ["schedule=cosine", "schedule.warmup=10"],
    ["initializer.bias={_target_:nnexp.nn.initializers.Normal,scale:0.5}"],
    ["initializer.bias=uniform"],
    ["tracking=none"],
    ["tracking.uri=sqlite:///x.db"],
    ["sweep.plan=true"],
    ["figures=true", "verbose=false"],
    ["seed=1", "seed=2"],
    ["architecture.activation=relu", "architecture.activation=tanh"],
]


def test_jobs_are_what_hydra_composes_and_do_not_know_of_each_other() -> None:
    """All at once, in either order: what is shared between them stays as it was."""
    expected = one_by_one(JOBS)
    assert composed(JOBS) == expected
    assert composed(JOBS[::-1]) == expected[::-1]
    assert len(set(map(repr, expected))) > 30


def test_the_table_has_different_jobs() -> None:
    """So that equality says something."""
    plain, other = one_by_one([[], ["++optimizer.learning_rate=0.3"]])
    assert plain != other


def test_what_is_said_of_hydra_counts_for_all_jobs(tmp_path: Path) -> None:
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "fast.yaml").write_text(
        "_target_: nnexp.optim.optimizers.Adam\nlearning_rate: 0.1\nbeta1: 0.5\n"
    )
    path = f"hydra.searchpath=[file://{tmp_path}]"
    (one,) = composed([["optimizer=fast", "optimizer.beta1=0.25"]], path, "hydra.launcher.jobs=2")
    (other,) = composed([["optimizer=adam", "optimizer.learning_rate=0.1", "optimizer.beta1=0.25"]])
    assert one == other


def reason(job: Job) -> str:
    """Return in a line what Hydra or the check after it has against a job on its own."""
    try:
        check(compose("config", job))
    except UserError as error:
        return str(error)
    except (HydraException, OmegaConfBaseException) as error:
        return one_line(error)
    raise AssertionError(job)


MISTAKES: list[tuple[Job, str]] = [
    (["optimizer.learing_rate=1"], "optimizer.learing_rate: no such key, did you mean optimizer.learning_rate?"),
    (["+optimizer.learing_rate=1"], "optimizer.learing_rate: no such key, did you mean optimizer.learning_rate?"),
    (["optimizer.learning_rate=-1"], "optimizer.learning_rate=-1.0: must be a number greater than 0"),
    (["trainer.epochs=many"], "trainer.epochs=many: must be a whole number of at least 1"),
    (["optimiser=sgd"], "optimiser: no such key, did you mean optimizer?"),
    (["optimizer=sdg"], "optimizer=sdg: must be one of "),
    (["experiment=digit"], "experiment=digit: must be one of "),
    (["+optimizer.learning_rate=0.3"], "optimizer.learning_rate"),
    (["trainer.early_stopping={patience:4}", "trainer.early_stopping.min_delta=1"], "trainer.early_stopping.min_delta"),
    (["~optimizer.beta9"], "optimizer.beta9"),
    (["question=${nothing}"], "'nothing'"),
    (["architecture.hidden=[16,0]"], "architecture.hidden=[16, 0]: must be a list, each a whole number of at least 1"),
    (["initializer.bias=unifrom"], "initializer.bias=unifrom: must be one of "),
]


@pytest.mark.parametrize(("job", "sentence"), MISTAKES, ids=lambda value: " ".join(value)[:40])
def test_the_first_mistake_is_told_in_a_line_that_names_the_key(job: Job, sentence: str) -> None:
    jobs = [["seed=1"], ["seed=2", *job], ["trainer.epochs=0"]]
    with pytest.raises((UserError, HydraException, OmegaConfBaseException)) as caught:
        groups_of(jobs, loader(), master())
    line = str(caught.value) if isinstance(caught.value, UserError) else one_line(caught.value)
    assert "\n" not in line
    mistake, _, run = line.partition(" (in the run ")
    assert mistake == reason(["seed=2", *job])
    assert sentence in mistake
    assert run.startswith("seed=2") or "=" in mistake.partition(":")[0]


def test_files_are_read_once_for_each_choice_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[list[str]] = []
    real = loader()
    load: Any = real.load_sweep_config

    def counted(config: DictConfig, overrides: list[str]) -> DictConfig:
        read.append(overrides)
        found: DictConfig = load(config, overrides)
        return found

    monkeypatch.setattr(real, "load_sweep_config", counted)
    values = [[f"seed={seed}", f"optimizer.learning_rate={1 + seed}"] for seed in range(200)]
    assert [experiment.seed for experiment in composed(values)] == list(range(200))
    assert read == [[]]
    read.clear()
    groups = [[f"optimizer={name}", f"seed={seed}"] for seed in range(20) for name in ("adam", "sgd", "lion")]
    assert len(composed(groups)) == 60
    assert read == [["optimizer=adam"], ["optimizer=sgd"], ["optimizer=lion"]]


def test_a_change_of_a_job_is_no_change_of_the_sweep() -> None:
    config = master()
    before = repr(config)
    groups_of([["seed=3", "+trainer.regularization.l2=0.5"], ["~trainer.snapshots"]], loader(), config)
    assert repr(config) == before
