"""The command line as a user types it: a real process in an empty folder."""

import re
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from nnexp import __version__
from tests.conftest import CommandLine, Typed

QUICK = ("trainer.epochs=3", "tracking=none")

MISTAKES = [
    (["optimizer.learing_rate=1"], r"optimizer\.learing_rate: no such key, did you mean optimizer.learning_rate\?"),
    (["+optimizer.learing_rate=1"], r"optimizer\.learing_rate: no such key, did you mean optimizer.learning_rate\?"),
    (["optimiser=sgd"], r"optimiser: no such key, did you mean optimizer\?"),
    (["optimizer=sdg"], r"optimizer=sdg: must be one of adadelta, .*, did you mean sgd\?"),
    (["experiment=digit"], r"experiment=digit: must be one of digits"),
    (["trainer.epochs=many"], r"trainer\.epochs=many: must be a whole number of at least 1"),
    (["optimizer.learning_rate=-1"], r"optimizer\.learning_rate=-1\.0: must be a number greater than 0"),
    (
        ["architecture.hidden=[16,0]"],
        r"architecture\.hidden=\[16, 0\]: must be a list, each a whole number of at least 1",
    ),
    (["trainer.batch_size=1000000"], r"trainer\.batch_size=1000000: must be a whole number from 1 to 288, .* or full"),
    (
        ["dataset=digits"],
        r"loss=binary_cross_entropy: needs 2 classes .* 10 classes: use loss=sparse_categorical_cross_entropy",
    ),
    (["optimizer"], r"optimizer: must be KEY=VALUE, did you mean optimizer=\.\.\.\?"),
    (
        ["tracking.uri=http://127.0.0.1:9"],
        r"tracking\.uri=http://127\.0\.0\.1:9: must be .* can be reached \(.*refused\)",
    ),
    (["tracking.uri=runs"], r"tracking\.uri=runs: must be a database such as .*, or a server, not a folder"),
    (["--config-dir", "nowhere"], r"directory '.*nowhere' not found"),
    (["loss=triplet"], r"loss=triplet: needs triplets and the data has 2 classes: use loss=binary_cross_entropy"),
    (["trainer.batch_size=1", "architecture.normalization=batch"], r"batch_size=1: must not leave a batch with one"),
    (["trainer.batch_size=7", "architecture.normalization=batch"], r"batch_size=7: must not leave a batch with one"),
    (["trainer.metrics=[r2]"], r"trainer\.metrics=r2: must be accuracy or .* for data with 2 classes"),
    (
        ["trainer.metrics=[acuracy]"],
        r"trainer\.metrics=\['acuracy'\]: must be a list, each one of accuracy, .* mean \[accuracy\]",
    ),
    (
        ["trainer.early_stopping={patience: 0}"],
        r"trainer\.early_stopping\.patience=0: must be a whole number of at least 1",
    ),
    (
        ["trainer.early_stopping={metric: test/los}"],
        r"trainer\.early_stopping\.metric=test/los: must be one of .*, did you mean test/loss",
    ),
    (["trainer.regularization.l2=-1"], r"trainer\.regularization\.l2=-1\.0: must be a number of at least 0 or null"),
    (["architecture.output=sigmoid"], r"architecture\.output=sigmoid: must be null under loss=binary_cross_entropy"),
    (["architecture.outputs=3"], r"architecture\.outputs=3: must be 1, which data and loss ask for, or null"),
    (
        ["architecture.parametrization=maximal_update"],
        r"architecture\.parametrization=maximal_update: must have hidden",
    ),
    (["architecture.dropout=1"], r"architecture\.dropout=1\.0: must be a number of at least 0 and less than 1 or null"),
    (
        ["architecture=layers", "architecture.hidden=[dens]"],
        r"architecture\.hidden\[0\]=dens: must be one of .*mean dense",
    ),
    (
        ["loss.class_weights=[1,2,3]"],
        r"loss\.class_weights=\[1\.0, 2\.0, 3\.0\]: must be a list of 2, one for each class",
    ),
    (["dataset=csv"], r"dataset\.path=null: must be the path of a table, dataset\.path=my\.csv"),
    (
        ["dataset=csv", "dataset.path=none.csv"],
        r"dataset\.path=none\.csv: must be a file that can be read",
    ),
    (
        ["dataset=heart", "dataset.target=diseas"],
        r"dataset\.target=diseas: must be a column of the table, age, .*more",
    ),
    (["dataset=heart", "dataset.missing=refuse"], r"dataset\.missing=refuse: must be mean, .* \(ca 4, thal 2\)"),
    (["dataset=heart", "dataset.kind=number"], r"dataset\.kind=number: must be classification or regression"),
    (
        ["dataset=sine"],
        r"loss=binary_cross_entropy: needs 2 classes .* use loss=mean_squared_error",
    ),
    (["dataset=pairs"], r"loss=binary_cross_entropy: needs 2 classes and the data has pairs: use loss=contrastive"),
    (["dataset=triplets", "loss=triplet"], r"architecture\.outputs=null: must be the number of dimensions"),
    (["dataset=pairs", "dataset.source=diabetes", "loss=contrastive"], r"source=diabetes: must be a classification"),
    (["dataset=pairs", "dataset.source=digts"], r"dataset\.source=digts: must be one of .*, did you mean digits\?"),
    (["dataset.test_size=1"], r"dataset\.test_size=1\.0: must be a number greater than 0 and less than 1"),
    (
        ["dataset.test_size=0.9", "dataset.validation_size=0.2"],
        r"validation_size=0\.2: must be less than 1 - ",
    ),
    (["dataset.standardize_targets=true"], r"standardize_targets=true: must be false for data with 2 classes"),
    (["dataset.test_size=0.001"], r"dataset\.test_size=0\.001: must leave an example of each of 2 classes on either"),
    (["-m", "sweep.over=3"], r"sweep\.over=3: must be keys and their values, or a list of such"),
    (["-m", "seed=interval(0,1)"], r"seed=0\.636962: must be a whole number of at least 0"),
    (["schedule=cosin"], r"schedule=cosin: must be one of constant, cosine"),
    (["--nonsense"], r"unrecognized arguments: --nonsense \(--help shows what there is\)"),
    (["--resolve"], r"--resolve: must be something that Hydra understands \(The --resolve flag"),
    (["dataset=1"], r"dataset=1: must be one of breast_cancer, "),
    (["seed=1", "dataset=[[1]]"], r"dataset=\[\[1\]\]: must be one option"),
    (["~dataset=3"], r"~dataset=3: must be something that Hydra understands"),
    (["question=${x}"], r"question: must refer to what there is .*'x' not found.*; a text with .* is typed"),
    (["trainer.sampling=${oc.env:}"], r"TypeError raised while resolving interpolation: env\(\) missing 1 required"),
    (["schedule='${'"], r"schedule='\$\{': must refer to a key, as \$\{seed\}, or have a backslash"),
    ([f"{'x' * 300}=1"], r"xx=1: must be something that Hydra understands \(.*File name too long"),
    ([f"~{'x' * 300}=1"], r"xx=1: must be something that Hydra understands \(.*File name too long"),
    ([f"seed={'9' * 5000}"], r"seed=9+ \.\.\. .*Exceeds the limit"),
    ([f"seed={'[' * 1000}"], r"seed=\[+ \.\.\. .*"),
    (["question='a\nb'", "seed=x\ny"], r"seed=x y: .*"),
    (["question='\ud800'"], r"question='\?': must be text in UTF-8"),
    (["dtype='\x1b[2J'"], r"dtype=\?\[2J: must be float64 or float32"),
    (["seed=4294967296"], r"seed=4294967296: must be a whole number of at least 0 and of at most 4294967295"),
    (["dataset.split_seed=-1"], r"dataset\.split_seed=-1: must be a whole number of at least 0"),
    ([f"optimizer.learning_rate=1{'0' * 400}"], r"optimizer\.learning_rate=10+: must be a number greater than 0"),
    (["optimizer=momentum", "optimizer.momentum=false"], r"optimizer\.momentum=False: must be a number"),
    (["dataset=sine", "dataset.points=1e30"], r"dataset\.points=1e\+30: must be a whole number of at least 2"),
    (["dataset=spiral", "dataset.points=5000000"], r"dataset\.points=5000000: must be at most 3333333 for 3 arms"),
    (["dataset=sine", "dataset.points=10000001"], r"dataset\.points=10000001: must be .* of at most 10000000"),
    (["dataset=spiral", "dataset.arms=1000000000"], r"dataset\.arms=1000000000: must be .* of at most 1000"),
    (
        ["dataset=moons", "dataset.noise=1e308"],
        r"dataset\.noise=1e\+308: must be a number of at least 0 and of at most",
    ),
    (["dataset=pairs", "dataset.count=1000000000"], r"dataset\.count=1000000000: must be .* of at most 1000000"),
    (["dataset=csv", "dataset.path=/dev/zero"], r"dataset\.path=/dev/zero: must be a file"),
    (["optimizer._target_=nnexp..x"], r"optimizer\._target_='nnexp\.\.x': must be the dataclass of an optimizer"),
    (["-m", "seed=range(1000000000)"], r"seed=range\(1000000000\): must have at most 100000 values"),
    (["-m", "seed=zip(range(1000000000))"], r"seed=zip\(range\(1000000000\)\): must have at most 100000 values"),
    (
        ["-m", "seed=range(1000)", "dtype=float32,float64", "dataset.split_seed=range(1000)", "sweep.record=runs"],
        r"-m: must make at most 100,000",
    ),
    (["-m", "sweep.repeats=1000000000"], r"sweep\.repeats=1000000000: must be a whole number of at least 1 and of at"),
    (["-m", "seed=range(0,3,0)"], r"seed=range\(0,3,0\): must have a step other than 0"),
    (
        ["-m", "optimizer.learning_rate=0.1,-1", *QUICK],
        r"optimizer\.learning_rate=-1\.0: must be a number greater than 0",
    ),
    (["~sweep"], r"~sweep: must be changed instead, as in sweep\.plan=true"),
    (["-m", "~sweep.plan", "seed=1,2"], r"~sweep\.plan: must be changed instead"),
    ([f"resume={'9' * 300}"], r"run=9+: must be the folder of a run or its ID"),
    ([f"output_dir={'x' * 300}"], r"output_dir=x+: must be a folder that can be written to \(File name too long"),
]


@pytest.mark.parametrize(
    ("arguments", "sentence"), MISTAKES, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_mistake_is_one_line_and_status_2(typed: Typed, tmp_path: Path, arguments: list[str], sentence: str) -> None:
    result = typed(*arguments)
    assert result.returncode == 2, result.stderr
    assert re.fullmatch(f"nnexp: .*{sentence}.*\n", result.stderr), result.stderr
    if "-m" not in arguments:
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("arguments", "sentence"), MISTAKES[::30], ids=lambda value: str(value)[:30])
def test_a_mistake_ends_a_real_process_likewise(nnexp: CommandLine, arguments: list[str], sentence: str) -> None:
    result = nnexp(*arguments)
    assert result.returncode == 2, result.stderr
    assert re.fullmatch(f"nnexp: .*{sentence}.*\n", result.stderr), result.stderr
    assert list(nnexp.folder.iterdir()) == []


def test_an_output_folder_that_cannot_be_written(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    result = typed("output_dir=taken/here", *QUICK)
    assert result.returncode == 2
    assert re.fullmatch("nnexp: output_dir=taken/here: must be a folder that can be written to .*\n", result.stderr)


@contextmanager
def silent_server() -> Iterator[int]:
    """Accept connections and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        connections: list[socket.socket] = []

        def accept() -> None:
            try:
                while True:
                    connections.append(server.accept()[0])
            except OSError:
                return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        for connection in connections:
            connection.close()


def test_a_tracking_server_that_hangs_is_given_up_on(nnexp: CommandLine) -> None:
    with silent_server() as port:
        result = nnexp(MLFLOW_TRACKING_URI=f"http://127.0.0.1:{port}")
    assert result.returncode == 2
    assert re.fullmatch(r"nnexp: tracking\.uri=.*: must be .* can be reached \(timed out\)\n", result.stderr)
    assert list(nnexp.folder.iterdir()) == []


def test_piped_output_is_plain_text_with_results_and_places(nnexp: CommandLine) -> None:
    result = nnexp("trainer.epochs=20", "architecture.activation=tanh")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", result.stdout), "no control characters"
    for words in ("epoch 20/20", "accuracy", "majority class", "the best", "true \\ predicted", "precision"):
        assert words in result.stdout
    (folder,) = (nnexp.folder / "outputs" / "digits_binary").iterdir()
    assert str(folder) in result.stdout
    assert "\nMLflow  python -m nnexp ui\n" in result.stdout
    assert re.search(
        r"http://127\.0\.0\.1:5000/#/experiments/1/runs/\w{32}\?workflowType=machine_learning", result.stdout
    )
    assert {path.name for path in folder.iterdir()} == {
        ".lock",
        "config.yaml",
        "run.json",
        "history.csv",
        "parameters.npz",
        "model.json",
        "report.html",
        "report.md",
        "result.json",
        "tracked.json",
        "figures",
        "model",
    }
    history = np.genfromtxt(folder / "history.csv", delimiter=",", names=True)
    assert history["epoch"].tolist() == list(range(21))


def test_a_line_is_printed_each_so_many_epochs(typed: Typed) -> None:
    """At the first evaluation from each of these epochs on, and at the end."""
    words = ("trainer.report_every=10", "trainer.evaluate_every=7", *QUICK, "figures=false", "trainer.epochs=32")
    output = typed(*words).stdout
    assert re.findall(r"^epoch +(\d+)/32  train / test  loss ", output, re.MULTILINE) == ["0", "14", "21", "32"]
    assert "epoch" not in typed(*words, "verbose=false").stdout.partition(":")[2]


def test_a_neuron_under_a_squared_error_has_all_its_tables_and_figures(typed: Typed, tmp_path: Path) -> None:
    """Reference R0's network, on the digits: one output for two classes."""
    one_neuron = ("architecture=logistic", "architecture.output=sigmoid", "loss=mean_squared_error")
    result = typed(*one_neuron, *QUICK, "dataset.validation_size=0.2", "trainer.metrics=[accuracy,f1,log_loss]")
    assert (result.returncode, result.stderr) == (0, "")
    assert "validation" in result.stdout
    assert "precision" in result.stdout
    (folder,) = (tmp_path / "outputs" / "digits_binary").iterdir()
    assert {path.stem for path in (folder / "figures").iterdir()} == {
        *("curves", "samples", "predictions", "confusion_matrix", "roc", "layers", "first_layer")
    }


def test_texts_that_mean_something_to_others_are_shown_as_they_are(typed: Typed, tmp_path: Path) -> None:
    """A formula of TeX to matplotlib, a sign that its font has not, markup of rich, and a user that is not there."""
    (tmp_path / "t.csv").write_text("a,class\n" + "1,[/x]\n2,$a_$b$数\n" * 20, encoding="utf-8")
    data = ("dataset=csv", "dataset.path=t.csv", "dataset.name='[b] $_$ 数据'", "question='[/b] $_$ 数据'")
    result = typed(*data, "output_dir='~nobody-of-this-name/x'", *QUICK)
    assert (result.returncode, result.stderr) == (0, "")
    assert "true \\ predicted" in result.stdout
    assert "[/x]" in result.stdout
    assert [*(tmp_path / "~nobody-of-this-name" / "x" / "[b] $_$ 数据").iterdir()]


def test_not_verbose_is_one_line(typed: Typed) -> None:
    result = typed(*QUICK, "verbose=false")
    assert re.fullmatch(r"epochs=3: train/loss [\d.]+, test/loss [\d.]+, .*\n", result.stdout)
    assert result.stderr == ""


def test_no_tracking_means_no_mlflow(nnexp: CommandLine) -> None:
    result = nnexp(*QUICK, PYTHONPROFILEIMPORTTIME="1")
    assert result.returncode == 0
    assert "numpy" in result.stderr
    assert not re.search(r"\| +(mlflow|sklearn|pandas)", result.stderr), "our own modules about them are no matter"
    assert not (nnexp.folder / "outputs" / "mlflow.db").exists()


def test_a_diverged_run_says_where_and_fails(typed: Typed, tmp_path: Path) -> None:
    result = typed("architecture.activation=relu", "initializer.scale=1e200")
    assert result.returncode == 1
    assert "Diverged: the loss is no longer finite at step 1." in result.stdout
    assert result.stderr == ""
    with closing(sqlite3.connect(tmp_path / "outputs" / "mlflow.db")) as store:
        tags = dict(store.execute("select key, value from tags").fetchall())
    assert (tags["diverged"], tags["diverged_step"]) == ("true", "1")


def test_a_sweep_of_jobs_goes_on_after_a_diverged_one(typed: Typed, tmp_path: Path) -> None:
    varied = ("initializer.scale=1e200,0.1", "architecture.activation=relu", "sweep.confirm=0")
    result = typed("-m", *varied, *QUICK, "verbose=false")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert any(line.split()[:2] == ["scale=1e+200", "diverged"] for line in lines)
    assert any(line.startswith("Lowest: scale=0.1, test/loss ") for line in lines)
    assert "Diverged: 1 of 2 runs; 1 of 1 with scale=1e+200." in lines
    written = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")}
    assert written == {"outputs"}
    names = [path.name for path in (tmp_path / "outputs" / "sweeps").glob("*/runs/*")]
    assert sorted("scale=1e+200" in name for name in names) == [False, True]


def test_a_bug_keeps_its_traceback_and_fails_the_run(nnexp: CommandLine, tmp_path: Path) -> None:
    (nnexp.folder / "buggy.py").write_text(
        "from dataclasses import dataclass\n"
        "from nnexp.optim.optimizers import SGD\n\n\n"
        "@dataclass(frozen=True)\n"
        "class Buggy(SGD):\n"
        "    def update(self, gradient, state, step):\n"
        "        raise RuntimeError('a bug')\n"
    )
    result = nnexp("optimizer._target_=buggy.Buggy", NNEXP_PACKAGES="buggy", PYTHONPATH=str(tmp_path))
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "RuntimeError: a bug" in result.stderr
    with closing(sqlite3.connect(nnexp.folder / "outputs" / "mlflow.db")) as store:
        assert store.execute("select status from runs").fetchall() == [("FAILED",)]


def test_help_is_ours(typed: Typed) -> None:
    text = typed("--help").stdout
    for group in (
        "architecture",
        "dataset",
        "experiment",
        "initializer",
        "loss",
        "optimizer",
        "schedule",
        "tracking",
        "trainer",
    ):
        assert re.search(rf"^{group}: \w", text, re.MULTILINE)
    assert text.count("python -m nnexp ") >= 3
    assert "Powered by" not in text


def test_config_of_a_command_is_shown_and_nothing_is_run(typed: Typed, tmp_path: Path) -> None:
    result = typed("experiment=digits", "--cfg", "job", "seed=4")
    assert result.returncode == 0
    assert "seed: 4\n" in result.stdout
    assert "batch_size: 32\n" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_config_folder_of_ones_own(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "mine" / "optimizer").mkdir(parents=True)
    (tmp_path / "mine" / "optimizer" / "fast.yaml").write_text(
        "_target_: nnexp.optim.optimizers.Adam\nlearning_rate: 0.1\n"
    )
    result = typed("--config-dir", "mine", "optimizer=fast", "verbose=false", *QUICK)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("optimizer=fast")


def test_runs_started_together_share_a_fresh_store(nnexp: CommandLine) -> None:
    processes = [nnexp.start("trainer.epochs=2", "verbose=false", "figures=false", f"seed={seed}") for seed in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, "")
    with closing(sqlite3.connect(nnexp.folder / "outputs" / "mlflow.db")) as store:
        assert store.execute("select status from runs").fetchall() == [("FINISHED",)] * 2


def test_the_version_is_that_of_nnexp(typed: Typed) -> None:
    assert typed("--version").stdout == f"nnexp {__version__}\n"
