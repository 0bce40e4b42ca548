"""Commands made up from the project itself: its config groups, and the annotations of its components.

A new option or field is tried out without a change here. Most commands are close to what a person would write,
some have values at the edges of what is allowed or beyond, and some are garbage.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from inspect import isabstract
from pathlib import Path
from pkgutil import walk_packages
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

import annotated_types as at
import yaml
from hydra.core.override_parser.types import Quote, QuotedString

import nnexp
from nnexp.config.compose import GROUPS
from nnexp.config.experiment import Experiment
from nnexp.core.build import TARGET
from nnexp.core.component import Component, annotations, bare, satisfies
from nnexp.core.files import shipped
from nnexp.sweeps.options import SweepOptions

QUIET = ("tracking=none", "figures=false", "verbose=false")
SHORT = (("trainer.epochs=2",), ("trainer.iterations=2",))
NUMBERS = (
    0,
    -1,
    1,
    2,
    0.5,
    0.0,
    1.0,
    0.999999,
    1 - 1e-16,
    1e-16,
    1e20,
    1e150,
    1e200,
    1e-308,
    5e-324,
    1e308,
    -1e308,
    float("inf"),
    float("-inf"),
    float("nan"),
)
WHOLE = (100, 2**31, 2**32, 2**63, 2**64, 10**9, 10**30, -(10**30), 10**400)
TEXTS = (
    *("", " ", "x", "none", "é", "数据", "🜁", "\u202e", "a b", "a=b", "a,b", "a:b", "'", '"', "\\", "\\n", "\n", "\t"),
    *("{", "}", "[", "]", "(", ")", "{a", "[1,", "$", "$x$", "${", "${x}", "${seed}", "${oc.env:HOME}", "${oc.env:}"),
    *("${now:%Y}", "${trainer}", "${.seed}", "${..x}", "${a:b,c}", "#", "!!python/none", "&a", "*a", "[/x]", "[bold]"),
    *("%s", "../..", "/etc/passwd", "~", "~nobody/x", "+", "@", "range(3)", "choice(1,2)", "logspace(1,10,3)"),
    *("range(1000000000)", "interval(0,1)", "1e", "0x10", "1_0", ".", "..", "a.b", "nan", "inf", "null", "true"),
    *("x" * 300, "9" * 5000, "[" * 300, "(" * 300, "\x1b[2J", "\ud800"),
)
WRONG: tuple[object, ...] = (
    *(True, False, None, "text", [], [1], [[1]], [[[]]], ["a", None], {}, {"a": 1}, {"a": {"b": [1]}}),
    {TARGET: "os.system"},
)
KEYS = (
    *("hydra.run.dir", "hydra.verbose", "hydra.mode", "hydra.job.name", "hydra.sweep.dir", "hydra.launcher.jobs"),
    *("hydra", "hydra/launcher", "hydra/sweeper", "hydra.searchpath", "hydra.callbacks.x", "hydra.job.num"),
    *("x", "x.y", "x.y.z", "seed.x", "trainer.x", "trainer.epochs.x", "dataset.x", "optimizer._target_", "_target_"),
    *("experiment", "experiments", "config", "sweep", "sweep.over", "sweep.over.seed", "defaults"),
    *(
        "dataset@x",
        "dataset@seed",
        "dataset/x",
        "trainer",
        "architecture/activation",
        "optimizer._partial_",
        "0",
        "a-b",
    ),
)
FLAGS = ("-m", "--multirun", "--cfg=job", "--nonsense", "-x", "--run", "--resolve", "--info", "--package=x", "-c", "--")
EXPERIMENT = "experiment"
ALLOWED, KNOWN = 0.4, 0.75
"""Shares of commands: up to the first all values are of the right type, up to the second all keys exist."""
DRAWN, EXTREME, LISTED, SWEPT = 0.02, 0.4, 0.1, 0.1
"""Shares of commands that draw figures, which takes a second; have extreme values; have them in lists; are sweeps."""
KEPT = ("epochs", "iterations", "output_dir", "uri")
"""Fields that stay as they are, to be quick and within the folder of the test."""
DEEPEST = 3
"""The most components within each other."""
Choose = random.Random


@cache
def modules() -> None:
    """Import all of nnexp, so that every component is known."""
    for module in walk_packages(nnexp.__path__, "nnexp."):
        if "__main__" not in module.name and "_plugins" not in module.name:
            import_module(module.name)


@cache
def options() -> Mapping[str, Sequence[str]]:
    """Return the options of every config group."""
    conf, experiments = shipped("conf"), shipped("experiments")
    found: dict[str, list[str]] = {}
    for path in sorted(conf.rglob("*.yaml")):
        group = str(path.parent.relative_to(conf))
        if path.parent != conf and not group.startswith("hydra"):
            found.setdefault(group, []).append(path.stem)
    found[EXPERIMENT] = sorted(
        str(path.relative_to(experiments).with_suffix("")) for path in experiments.rglob("*.yaml")
    )
    return found


@cache
def chosen_class(group: str, option: str) -> type[Component]:
    """Return the class of an option."""
    content = yaml.safe_load(Path(shipped("conf"), group, f"{option}.yaml").read_text())
    module, _, name = str(content.get(group, content)[TARGET]).rpartition(".")
    found: object = getattr(import_module(module), name)
    assert isinstance(found, type)
    assert issubclass(found, Component)
    return found


@cache
def kinds(base: type[Component]) -> Sequence[type[Component]]:
    """Return all components of a kind, in an order that is always the same."""
    modules()
    found, waiting = set[type[Component]](), [base]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if not isabstract(kind) and kind.__module__.startswith("nnexp."):
            found.add(kind)
    return sorted(found, key=lambda kind: f"{kind.__module__}.{kind.__name__}")


def command(number: int) -> list[str]:
    """Return the arguments of one command, the same for the same number."""
    choose = Choose(number)
    words = [*QUIET, *choose.choice(SHORT)]
    if choose.random() < DRAWN:
        words[words.index("figures=false")] = "figures=true"
    style, extreme = choose.random(), choose.random() < EXTREME
    fields = _fields(_options(choose, words))
    for _ in range(choose.randrange(5)):
        path, hint = choose.choice(fields)
        value = _edge(choose) if extreme else valid(choose, hint)
        if path.split(".")[-1] not in KEPT and (not extreme or satisfies(value, hint)):
            words.append(f"{_plus(choose, path)}{path}={written(value, choose)}")
    if style < ALLOWED:
        return words
    for _ in range(choose.choice((1, 1, 1, 2, 3))):
        path, hint = choose.choice(fields)
        value = choose.choice((_edge, _edge, _wrong, _text))(choose)
        listed = [valid(choose, hint), value] if choose.random() < LISTED else value
        words.append(f"{_plus(choose, path)}{path}={written(listed, choose)}")
    if style < KNOWN:
        return words
    for _ in range(choose.choice((1, 1, 2, 3))):
        words.insert(choose.randrange(len(words) + 1), _garbage(choose, words, fields))
    return ["-m", *words] if choose.random() < SWEPT else words


def _plus(choose: Choose, path: str) -> str:
    return choose.choice(("", "", "", "++", "+")) if path.count(".") > 1 or choose.random() < 0.05 else ""


def _options(choose: Choose, words: list[str]) -> dict[str, type[Component]]:
    """Choose options of some groups, and return the class of every group of the root."""
    nodes: dict[str, type[Component]] = {}
    for group in annotations(Experiment):
        if group in options():
            nodes[group] = chosen_class(group, _default(group))
    for group in choose.sample(sorted(options()), choose.randrange(5)):
        option = choose.choice(options()[group])
        if group == "tracking" or (group == EXPERIMENT and choose.random() < 0.8):
            continue
        words.append(f"{group}={option}")
        if group in nodes:
            nodes[group] = chosen_class(group, option)
    return nodes


@cache
def _default(group: str) -> str:
    entries = yaml.safe_load((shipped("conf") / "config.yaml").read_text())["defaults"]
    return next(str(entry[group]) for entry in entries if isinstance(entry, dict) and group in entry)


def _fields(nodes: Mapping[str, type[Component]]) -> list[tuple[str, object]]:
    """Return the path and the annotation of every field, and of the fields of components within."""
    found: list[tuple[str, object]] = [(f"sweep.{name}", hint) for name, hint in annotations(SweepOptions).items()]
    waiting: list[tuple[str, type[Component]]] = [("", Experiment)]
    while waiting:
        path, kind = waiting.pop()
        for name, hint in annotations(kind).items():
            here = f"{path}.{name}" if path else name
            within = nodes.get(here, bare(hint))
            found.append((here, hint))
            if isinstance(within, type) and issubclass(within, Component) and here.count(".") < DEEPEST:
                waiting += [(here, one) for one in (kinds(within) if isabstract(within) else [within])[:1]]
    return found


def valid(choose: Choose, hint: object, depth: int = 0) -> object:
    """Return a value that an annotation allows, most often a small one."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _bounded(choose, hint, depth)
    if origin in (Union, UnionType):
        return valid(choose, choose.choice(arguments), depth)
    if origin is Literal:
        return choose.choice(arguments)
    if origin is tuple:
        return [valid(choose, arguments[0], depth + 1) for _ in range(choose.randrange(4))]
    if isinstance(hint, type) and issubclass(hint, Component):
        return _component(choose, hint, depth)
    makers: Mapping[object, Callable[[], object]] = {
        NoneType: lambda: None,
        bool: lambda: choose.random() < 0.5,
        int: lambda: choose.randrange(8),
        float: lambda: choose.choice((0.0, 1.0, choose.random(), -choose.random(), 10 ** choose.uniform(-6, 3))),
        str: lambda: choose.choice(("a", "b c", "é", "a", "test/loss")),
    }
    return makers[hint]()


def _bounded(choose: Choose, hint: object, depth: int) -> object:
    """Return a value within a range, often near its ends."""
    kind, *metadata = get_args(hint)
    low, high = -10.0, float("inf")
    for bound in (bound for item in metadata for bound in (item if isinstance(item, at.GroupedMetadata) else [item])):
        match bound:
            case at.Gt(limit) | at.Ge(limit):
                low = float(str(limit))
            case at.Lt(limit) | at.Le(limit):
                high = float(str(limit))
    if bare(kind) is int:
        return int(min(high, low + choose.choice((0, 1, 2, 3, 7, 20, 40))))
    if bare(kind) is float:
        high = min(high, low + 10)
        return choose.choice((choose.uniform(low, low + (high - low) / 5), choose.uniform(low, high), low))
    return valid(choose, kind, depth)


def _component(choose: Choose, kind: type[Component], depth: int) -> object:
    group = GROUPS.get(kind)
    if group is not None and (depth > 1 or choose.random() < 0.6):
        return choose.choice(options()[group])
    one = choose.choice(kinds(kind))
    hints = annotations(one)
    names = choose.sample(sorted(hints), choose.randrange(min(3, len(hints) + 1))) if depth < DEEPEST else []
    return {
        TARGET: f"{one.__module__}.{one.__name__}",
        **{name: valid(choose, hints[name], depth + 1) for name in names},
    }


def _edge(choose: Choose) -> object:
    return choose.choice((*NUMBERS, *WHOLE))


def _wrong(choose: Choose) -> object:
    return choose.choice(WRONG)


def _text(choose: Choose) -> str:
    if choose.random() < 0.3:
        signs = ((choose.randrange(32, 127), choose.randrange(1, 0x110000)) for _ in range(choose.randrange(12)))
        return "".join(chr(choose.choice(pair)) for pair in signs)
    return choose.choice(TEXTS)


def _garbage(choose: Choose, words: Sequence[str], fields: Sequence[tuple[str, object]]) -> str:
    path = choose.choice((choose.choice(fields)[0], choose.choice(KEYS), choose.choice(sorted(options()))))
    sign = choose.choice(("", "+", "++", "~", "~~", "+++", "-", "@", " "))
    value = written(choose.choice((_edge, _wrong, _text))(choose), choose)
    return choose.choice(
        (
            f"{sign}{path}={value}",
            f"{sign}{path}={value}",
            f"~{path}",
            f"{sign}{_text(choose)}={value}",
            _text(choose),
            choose.choice(words),
            choose.choice(FLAGS),
            f"{path}={value},{value}",
        ),
    )


def written(value: object, choose: Choose) -> str:
    """Return a value as the command line has it; of a text, sometimes without its quotes."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(written(item, choose) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{written(item, choose)}' for key, item in value.items())}}}"
    if isinstance(value, str):
        if value.isidentifier() or choose.random() < 0.3:
            return value
        return QuotedString(value, Quote.single).with_quotes()
    return str(value)
