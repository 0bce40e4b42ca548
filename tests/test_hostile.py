"""Configs and runs made by somebody else: nothing of theirs is executed, no secret read, and nothing written elsewhere.

What a user types is the user's to decide; what a file says is not.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.conftest import CommandLine, Finished, status_of

QUICK = ("trainer.epochs=1", "tracking=none", "verbose=false")
MINE = ("--config-dir", "theirs", "experiment=evil", *QUICK)
ROOT = "# @package _global_\n"
SECRET = "hunter2-of-the-environment"  # noqa: S105 - what must not get out
MARK = "{_target_: theirs_code.mark}"
"""A call that leaves a file behind."""
CODE = "from pathlib import Path\n\n\ndef mark(*_words, **_fields):\n    Path('executed').touch()\n"
FOLDER = "where files are written"
RESOLVER = r"only ${another.key} can stand in a file"

Files = Mapping[str, str]


def evil(text: str, **others: str) -> Files:
    return {"experiment/evil.yaml": ROOT + text, **{f"{name.replace('__', '/')}.yaml": t for name, t in others.items()}}


ATTACKS: list[tuple[str, Files, tuple[str, ...], str]] = [
    ("callbacks", evil(f"hydra: {{callbacks: {{x: {MARK}}}}}"), MINE, "what Hydra does"),
    ("launcher", evil(f"hydra: {{launcher: {MARK}}}"), ("-m", *MINE), "what Hydra does"),
    ("sweeper", evil(f"hydra: {{sweeper: {MARK}}}"), ("-m", *MINE), "what Hydra does"),
    ("mode", evil("hydra: {mode: MULTIRUN}"), MINE, "what Hydra does"),
    ("environment", evil("hydra: {job: {env_set: {NNEXP_PACKAGES: theirs_code}}}"), MINE, "what Hydra does"),
    ("copied environment", evil("hydra: {job: {env_copy: [SECRET]}}"), MINE, "what Hydra does"),
    ("logging", evil("hydra: {job_logging: {handlers: {x: {(): theirs_code.mark}}}}"), MINE, "what Hydra does"),
    ("run.dir", evil("hydra: {run: {dir: ../elsewhere}}"), MINE, "what Hydra does"),
    ("chdir", evil("hydra: {job: {chdir: true}}"), MINE, "what Hydra does"),
    ("sweep.dir", evil("hydra: {sweep: {dir: ../elsewhere}}"), ("-m", *MINE), "what Hydra does"),
    ("output_subdir", evil("hydra: {output_subdir: ../elsewhere}"), MINE, "what Hydra does"),
    ("searchpath", evil("hydra: {searchpath: ['pkg://theirs_code']}"), MINE, "what Hydra does"),
    ("null", evil("hydra: {callbacks: null}"), MINE, "what Hydra does"),
    (
        "package in the header",
        {"experiment/evil.yaml": f"# @package hydra.callbacks.x\n{MARK[1:-1]}\n"},
        MINE,
        "must not say hydra.callbacks.x; what Hydra does",
    ),
    (
        "package in a default",
        evil("defaults: [optimizer/call@hydra.callbacks.x: call]", optimizer__call__call=MARK[1:-1]),
        MINE,
        "must not say optimizer/call@hydra.callbacks.x; what Hydra does",
    ),
    ("package in a default, as text", evil("defaults: [optimizer/sgd@hydra.callbacks.x]"), MINE, "what Hydra does"),
    (
        "a name that is a package",
        evil("defaults: [x: hydra]", experiment__x__hydra=f"# @package _name_\ncallbacks: {{x: {MARK}}}"),
        MINE,
        "x/hydra.yaml: must not say hydra; what Hydra does",
    ),
    (
        "an option of Hydra",
        evil("defaults: [override /hydra/launcher: evil]", hydra__launcher__evil=MARK[1:-1]),
        ("-m", *MINE),
        "must not say override /hydra/launcher; what Hydra does",
    ),
    ("a log of Hydra", evil("defaults: [override /hydra/job_logging: default]"), MINE, "what Hydra does"),
    (
        "an option of Hydra that the user chooses",
        {"hydra/launcher/evil.yaml": MARK[1:-1]},
        ("-m", "--config-dir", "theirs", "hydra/launcher=evil", *QUICK),
        "must not say hydra; what Hydra does",
    ),
    (
        "a sweep over Hydra",
        evil(f"sweep: {{over: {{+hydra.callbacks.x: ['{MARK}']}}}}"),
        ("-m", *MINE),
        "must not say +hydra.callbacks.x; what Hydra does",
    ),
    (
        "a sweep over a package of Hydra",
        evil("sweep: {over: {+optimizer@hydra.callbacks.x: [evil]}}", optimizer__evil=MARK[1:-1]),
        ("-m", *MINE),
        "must not say +optimizer@hydra.callbacks.x; what Hydra does",
    ),
    (
        "a sweep over all of Hydra with its own launcher",
        evil(f"sweep: {{over: {{++hydra: ['{{callbacks: {{x: {MARK}}}}}']}}}}"),
        ("-m", *MINE, "hydra/launcher=basic"),
        "must not say ++hydra; what Hydra does",
    ),
    ("output_dir", evil("output_dir: ../elsewhere"), MINE, "must not say output_dir; where files are written"),
    ("a sweep over output_dir", evil("sweep: {over: {output_dir: [../elsewhere]}}"), ("-m", *MINE), FOLDER),
    ("output_dir by a package", evil("defaults: [x@output_dir: y]"), MINE, FOLDER),
    (
        "tracking.uri",
        evil("tracking: {uri: 'sqlite:///../elsewhere.db'}"),
        MINE,
        "must not say uri; where runs are recorded",
    ),
    (
        "tracking.uri of an option",
        {"tracking/evil.yaml": "_target_: nnexp.tracking.mlflow.MLflowTracking\nuri: sqlite:///../elsewhere.db\n"},
        ("--config-dir", "theirs", "tracking=evil"),
        "must not say uri; where runs are recorded",
    ),
    (
        "a sweep over tracking.uri",
        evil("sweep: {over: {tracking.uri: ['sqlite:///../x.db']}}"),
        ("-m", *MINE),
        "where runs are recorded",
    ),
    ("oc.env", evil("question: ${oc.env:SECRET}"), MINE, RESOLVER),
    ("oc.env in a name", evil("dataset: {name: '${oc.env:SECRET}'}"), MINE, RESOLVER),
    ("oc.env in oc.decode", evil("question: '${oc.decode:${oc.env:SECRET}}'"), MINE, RESOLVER),
    ("oc.env by oc.select", evil("question: '${oc.select:x,${oc.env:SECRET}}'"), MINE, RESOLVER),
    ("oc.env by oc.create", evil("trainer: {metrics: '${oc.create:{a: ${oc.env:SECRET}}}'}"), MINE, RESOLVER),
    ("a resolver whose name is a value", evil("x: oc.env\nquestion: '${${x}:SECRET}'"), MINE, RESOLVER),
    ("oc.env in an interpolation", evil("question: '${x.${oc.env:SECRET}}'"), MINE, RESOLVER),
    ("oc.env in a key", evil("'${oc.env:SECRET}': 1"), MINE, RESOLVER),
    ("oc.env in a default", evil("defaults: ['dataset: ${oc.env:SECRET}']"), MINE, RESOLVER),
    ("oc.env in a choice", evil("defaults: [override /dataset: '${oc.env:SECRET}']"), MINE, RESOLVER),
    ("oc.env in a list", evil("dataset: {classes: ['${oc.env:SECRET}']}"), MINE, RESOLVER),
    ("hydra:", evil("question: ${hydra:runtime.cwd}"), MINE, RESOLVER),
    ("now:", evil("question: '${now:%Y}'"), MINE, RESOLVER),
    ("oc.env in a sweep", evil("sweep: {over: {question: ['${oc.env:SECRET}']}}"), ("-m", *MINE), RESOLVER),
    (
        "oc.env in a sweep, escaped",
        evil(r"sweep: {over: {question: '$\{oc.env\:SECRET\}'}}"),
        ("-m", *MINE),
        RESOLVER,
    ),
    (
        "oc.env in an option named in a list",
        {"architecture/layer/evil.yaml": "_target_: nnexp.nn.layers.Dense\nunits: ${oc.env:SECRET}\n"},
        ("--config-dir", "theirs", "architecture=layers", "architecture.hidden=[evil]", *QUICK),
        RESOLVER,
    ),
    ("a tag of YAML", evil("question: !!python/object/apply:theirs_code.mark []"), MINE, "must be a YAML file (could"),
    (
        "a module by a tag",
        evil("question: !!python/module:theirs_code"),
        MINE,
        "must be a YAML file (could not determine",
    ),
    ("a bomb", evil("a: &a [1, 1]\nb: &b [*a, *a]\nc: [*b, *b]"), MINE, "must be a YAML file (it has the alias *a)"),
    ("a circle", evil("a: &a [*a]"), MINE, "must be a YAML file (it has the alias *a)"),
    ("a bomb in a text", {"experiment/evil.yaml": r'"a: &a [1, 1]\nb: [*a, *a]"'}, MINE, "(it is a single value)"),
    ("a value alone", {"experiment/evil.yaml": "'[1'"}, MINE, "must be a YAML file (it is a single value)"),
    ("depth", evil(f"a: {'[' * 900}{']' * 900}"), MINE, "must be a YAML file (it has more than 50 levels)"),
    ("length", evil(f"a: {'1' * 10**6}"), MINE, "must be a YAML file (it has more than 1,000,000 characters)"),
    ("a time that is none", evil("seed: !!timestamp now"), MINE, "must be a YAML file ("),
    ("a truth that is none", evil("seed: !!bool maybe"), MINE, "must be a YAML file ("),
    ("an empty number", evil("seed: !!int ''"), MINE, "must be a YAML file ("),
    ("a number to the base of 60", evil(f"seed: 1{':1' * 500}.5"), MINE, "must be a YAML file ("),
    ("digits", evil(f"seed: {'1' * 5000}"), MINE, "must be a YAML file (Exceeds the limit"),
    ("no mapping", {"experiment/evil.yaml": ROOT + "[1]"}, MINE, "must have keys and their values"),
    ("no text", {"experiment/evil.yaml": ROOT + "a: \x01"}, MINE, "must be a YAML file"),
    ("another file", evil("defaults: [/../secret]"), MINE, "../secret"),
    ("an absolute file", evil("defaults: [//etc/passwd]"), MINE, "etc/passwd"),
    *[
        (f"_target_={target}", evil(f"optimizer: {{_target_: {target}}}"), MINE, f"optimizer._target_={shown}: must be")
        for target, shown in {
            **{target: target for target in ("os.system", "builtins.eval", "theirs_code.mark", "nnexp.__main__.main")},
            **{
                target: target
                for target in ("nnexp.runs.train.run", "nnexp.core.files.write_text", "nnexp.runs.result.Result")
            },
            **{target: target for target in ("nnexp.core.files.os", "nnexp.core.build.import_module")},
            **{target: target for target in ("nnexp.optim.optimizers.Optimizer", "nnexp.sweeps.options.SweepOptions")},
            "nnexp..files": "'nnexp..files'",
            "../theirs_code.mark": "'../theirs_code.mark'",
            "'nnexp.core.files.write_text()'": "'nnexp.core.files.write_text()'",
            "'nnexp.\\u0000'": "",
        }.items()
        if shown
    ],
    *[
        (key, evil(f"optimizer: {{{key}: {value}}}"), MINE, f"optimizer.{key}: no such key")
        for key, value in (("_partial_", "true"), ("_args_", "[1]"), ("_recursive_", "true"), ("_convert_", "all"))
    ],
    *[
        (f"name {name!r}", evil(f"dataset: {{name: {json.dumps(name)}}}"), MINE, "dataset.name=")
        for name in ("../elsewhere", "/tmp/elsewhere", "a/../../b", "..", ".git", "", " ", "a\\b", "a\nb", "x" * 300)  # noqa: S108
    ],
    ("the store's name", evil("dataset: {name: mlflow.db}"), MINE, "dataset.name='mlflow.db': must be"),
]
TYPED: list[tuple[tuple[str, ...], str]] = [
    (("experiment=../../elsewhere",), "experiment=../../elsewhere: must be one of"),
    (("dataset=../elsewhere",), "dataset=../elsewhere: must be one of"),
    (("experiment=/etc/passwd",), "passwd"),
    (("--experimental-rerun", "theirs/config.pickle"), "--experimental-rerun=theirs/config.pickle: must not be given"),
    (("--exp", "theirs/config.pickle"), "unrecognized arguments: --exp"),
    (("-cp", "theirs"), "--config-path=theirs: must not be given"),
    (("--config-dir", "theirs", "-cn", "evil"), "--config-name=evil: must not be given"),
]
"""What must not lead out of the folders of configs even where a user types it."""


@pytest.fixture
def theirs(in_folder: Callable[[], Path], monkeypatch: pytest.MonkeyPatch) -> Callable[[Files], Path]:
    """Return what writes files of somebody else, beside code that leaves a mark when it is called, and a secret."""
    home = in_folder() / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    monkeypatch.syspath_prepend(home)
    monkeypatch.setenv("SECRET", SECRET)

    def write(files: Files) -> Path:
        (home / "theirs_code.py").write_text(CODE)
        for name, text in files.items():
            path = home / "theirs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (home / "theirs").mkdir(exist_ok=True)
        return home

    return write


def assert_refused(result: Finished, sentence: str, home: Path, before: set[Path]) -> None:
    assert (result.returncode, result.stdout) == (2, ""), result.stderr
    assert result.stderr.startswith("nnexp: ")
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert SECRET not in result.stderr
    written = {path for path in home.parent.rglob("*") if path.is_file() and path.suffix != ".pyc"} - before
    assert not written


@pytest.mark.parametrize(("files", "words", "sentence"), [row[1:] for row in ATTACKS], ids=[row[0] for row in ATTACKS])
def test_a_config_of_somebody_else_is_refused(
    typed: Callable[..., Finished],
    theirs: Callable[[Files], Path],
    files: Files,
    words: tuple[str, ...],
    sentence: str,
) -> None:
    home = theirs(files)
    before = {*home.parent.rglob("*")}
    assert_refused(typed(*words), sentence, home, before)


@pytest.mark.parametrize(("words", "sentence"), TYPED, ids=lambda value: " ".join(value)[:40])
def test_what_is_typed_stays_within_the_folders_of_configs(
    typed: Callable[..., Finished], theirs: Callable[[Files], Path], words: tuple[str, ...], sentence: str
) -> None:
    home = theirs({"evil.yaml": "seed: 1\n"})
    assert_refused(typed(*words), sentence, home, {*home.parent.rglob("*")})


@pytest.mark.parametrize(("files", "words", "sentence"), [row[1:] for row in ATTACKS[::20]])
def test_a_real_process_refuses_them_likewise(
    theirs: Callable[[Files], Path], files: Files, words: tuple[str, ...], sentence: str
) -> None:
    home = theirs(files)
    before = {*home.parent.rglob("*")}
    assert_refused(CommandLine(home)(*words, SECRET=SECRET), sentence, home, before)


def test_what_the_user_types_is_the_users_to_decide(
    typed: Callable[..., Finished], theirs: Callable[[Files], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also that an honest file is taken, and interpolations of the config itself."""
    home = theirs(evil("seed: 7\ndataset: {split_seed: '${seed}'}\nquestion: What does a hydra do?\n"))
    monkeypatch.setenv("NAME", "mine")
    result = typed(*MINE, "output_dir=../elsewhere", "hydra.job.chdir=false", "dataset.name=${oc.env:NAME}")
    assert (result.returncode, result.stderr) == (0, "")
    (folder,) = (home.parent / "elsewhere" / "mine").iterdir()
    assert "split_seed: 7\n" in (folder / "config.yaml").read_text()


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run."""
    home = tmp_path_factory.mktemp("honest")
    assert CommandLine(home)("trainer.epochs=2", "tracking=none", "figures=false", "verbose=false").returncode == 0
    (folder,) = (home / "outputs" / "digits_binary").iterdir()
    return folder


def changed(**fields: object) -> Callable[[str], str]:
    return lambda text: json.dumps({**json.loads(text), **fields})


def replaced(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return change


DEEP = 100_000
UNTOUCHED = "must have files that nobody has changed"
RECORDED: list[tuple[str, str, Callable[[str], str], str]] = [
    ("no JSON", "result.json", lambda _: "{", UNTOUCHED),
    ("deep JSON", "result.json", lambda _: "[" * DEEP + "]" * DEEP, UNTOUCHED),
    ("much JSON", "result.json", lambda _: f"[{'[],' * 500_000}[]]", UNTOUCHED),
    ("text for a mapping", "result.json", changed(end="test/loss"), UNTOUCHED),
    ("a list for a mapping", "result.json", changed(best=[1]), UNTOUCHED),
    ("text for a number", "result.json", changed(end={"test/loss": "low"}), UNTOUCHED),
    ("a mapping for a number", "result.json", changed(end={"test/loss": {}}), UNTOUCHED),
    ("not a number", "result.json", changed(end={"test/loss": float("nan")}), UNTOUCHED),
    (
        "a number without end",
        "result.json",
        lambda text: text.replace("{", '{"end": {"a": 1' + "0" * 4000 + "}, "),
        UNTOUCHED,
    ),
    ("a large number", "result.json", changed(end={"test/loss": 10**400}), UNTOUCHED),
    ("text for a step", "result.json", changed(diverged_step="1"), UNTOUCHED),
    ("a number for text", "result.json", changed(stopped=3), UNTOUCHED),
    ("another unit", "result.json", changed(unit="\x1b[2J"), UNTOUCHED),
    ("null", "result.json", changed(config_hash=None), UNTOUCHED),
    ("ragged rows", "history.csv", lambda text: text + "3,1\n", UNTOUCHED),
    ("no rows", "history.csv", lambda _: "", UNTOUCHED),
    ("text for a metric", "history.csv", lambda text: text + "3,a,b,c,d\n", UNTOUCHED),
    ("a time without end", "history.csv", lambda text: text + "9" * 30 + ",1,2,3,4\n", UNTOUCHED),
    ("a time with too many digits", "history.csv", lambda text: text + "9" * 5000 + ",1,2,3,4\n", UNTOUCHED),
    ("a long cell", "history.csv", lambda text: text + "3," + "1" * 10**6 + ",2,3,4\n", UNTOUCHED),
    ("an open quote", "history.csv", lambda text: text + '"' + "\n" * 200_000, UNTOUCHED),
    ("another header", "history.csv", replaced("epoch,", "\x1b[2J,"), UNTOUCHED),
    ("a name twice", "history.csv", replaced("test/loss", "train/loss"), UNTOUCHED),
    ("no text", "history.csv", lambda _: "\0", UNTOUCHED),
    ("a tag", "config.yaml", lambda _: "!!python/object/apply:theirs_code.mark []", UNTOUCHED),
    ("a bomb", "config.yaml", lambda text: text + "a: &a [1, 1]\nb: [*a, *a]\n", UNTOUCHED),
    ("a circle", "config.yaml", lambda text: text + "a: &a [*a]\n", UNTOUCHED),
    ("deep YAML", "config.yaml", lambda text: text + f"a: {'[' * DEEP}{']' * DEEP}", UNTOUCHED),
    ("long YAML", "config.yaml", lambda text: text + "b: " + "a" * 2**20, UNTOUCHED),
    ("many digits", "config.yaml", replaced("\nseed: 0\n", f"\nseed: {'9' * 5000}\n"), UNTOUCHED),
    ("a list", "config.yaml", lambda _: "[1]", UNTOUCHED),
    ("a time that is none", "config.yaml", lambda text: text + "a: !!timestamp now\n", UNTOUCHED),
    ("a truth that is none", "config.yaml", lambda text: text + "a: !!bool maybe\n", UNTOUCHED),
    ("an empty number", "config.yaml", lambda text: text + "a: !!int ''\n", UNTOUCHED),
    ("a number to the base of 60", "config.yaml", lambda text: text + f"a: 1{':1' * 500}.5\n", UNTOUCHED),
]
CONFIGS: list[tuple[str, Callable[[str], str], str]] = [
    (
        "a call",
        replaced("nnexp.optim.optimizers.SGD", "theirs_code.mark"),
        "optimizer._target_=theirs_code.mark: must be in",
    ),
    (
        "a resolver",
        replaced("\nseed: 0\n", "\nseed: ${oc.env:SECRET}\n"),
        "seed=${oc.env:SECRET}: must be a whole number",
    ),
    ("a key that is a number", lambda text: text + "1: 2\n", "1: no such key"),
    ("a key that is nothing", lambda text: text + "null: 2\n", "None: no such key"),
    ("a date", replaced("\nseed: 0\n", "\nseed: 2026-01-01\n"), "seed=2026-01-01: must be a whole number"),
    ("bytes", replaced("\nseed: 0\n", "\nseed: !!binary aGk=\n"), "seed=b'hi': must be a whole number"),
    (
        "a number without end",
        replaced("learning_rate: 0.5", f"learning_rate: 1{'0' * 400}"),
        "optimizer.learning_rate=1",
    ),
    ("time without end", replaced("epochs: 2", f"epochs: 1{'0' * 30}"), "trainer.epochs=1"),
    (
        "a name without end",
        replaced("nnexp.optim.optimizers.SGD", f"nnexp{'.a' * 5000}"),
        "optimizer._target_=nnexp.a.a",
    ),
    (
        "names that lead elsewhere",
        replaced("name: digits_binary", "name: ../../elsewhere"),
        "dataset.name='../../elsewhere'",
    ),
]


def damaged(honest: Path, home: Path, name: str, change: Callable[[str], str]) -> Path:
    folder = home / "run"
    shutil.copytree(honest, folder)
    (folder / name).write_text(change((folder / name).read_text()))
    return folder


@pytest.mark.parametrize(
    ("name", "change", "sentence"), [row[1:] for row in RECORDED], ids=[row[0] for row in RECORDED]
)
def test_a_damaged_run_is_one_line(
    honest: Path,
    theirs: Callable[[Files], Path],
    capsys: pytest.CaptureFixture[str],
    name: str,
    change: Callable[[str], str],
    sentence: str,
) -> None:
    home = theirs({})
    run = str(damaged(honest, home, name, change))
    for words in (["compare", run, run], ["replay", run]):
        status = status_of(*words)
        lines = capsys.readouterr().err.splitlines()
        assert status == 2
        assert len(lines) == 1
        assert sentence in lines[0]
        assert "\x1b" not in lines[0]
    assert not (home / "executed").exists()


@pytest.mark.parametrize(("change", "sentence"), [row[1:] for row in CONFIGS], ids=[row[0] for row in CONFIGS])
def test_a_recorded_config_of_somebody_else_runs_and_writes_nothing(
    honest: Path,
    theirs: Callable[[Files], Path],
    capsys: pytest.CaptureFixture[str],
    change: Callable[[str], str],
    sentence: str,
) -> None:
    home = theirs({})
    run = damaged(honest, home, "config.yaml", change)
    before = {*home.parent.rglob("*")}
    assert_refused(Finished([], status_of("replay", str(run)), *capsys.readouterr()), sentence, home, before)


def test_texts_of_somebody_else_are_only_shown(
    honest: Path, theirs: Callable[[Files], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither the terminal nor rich takes them for a command, and only the output folder is written to."""
    home = theirs({})
    change = replaced("\nseed: 0\n", '\nseed: "[/x] [bold]${oc.env:SECRET} \\e[2J"\n')
    run = damaged(honest, home, "config.yaml", change)
    assert status_of("compare", str(run), str(honest)) == 0
    shown = capsys.readouterr()
    assert "[/x] [bold]${oc.env:SECRET} ?[2J" in shown.out
    assert shown.err == ""
    assert [path.name for path in home.parent.iterdir()] == ["home"]
