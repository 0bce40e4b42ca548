"""Records that come back from JSON as they were, or are refused with their place."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import pytest

from nnexp.core.errors import DamagedError
from nnexp.core.json_files import read_json, typed, write_json


@dataclass(frozen=True)
class Inner:
    name: str
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class Outer:
    inner: Inner
    kind: Literal["a", "b"]
    count: int | None
    names: Sequence[str]
    anything: Mapping[str, object]
    late: bool = False


WHOLE = Outer(Inner("x", {"y": 1.5}), "b", None, ("p", "q"), {"k": [1, {"l": None}]})
DAMAGE: list[tuple[tuple[str, ...], object, str]] = [
    (("kind",), "c", r"file\.kind is 'c'"),
    (("count",), 1.5, r"file\.count is 1\.5"),
    (("count",), True, r"file\.count is True"),
    (("names",), ["p", 3], r"file\.names\[1\] is 3"),
    (("names",), "pq", r"file\.names is 'pq'"),
    (("inner",), None, r"file\.inner is None"),
    (("inner", "numbers", "y"), "1", r"file\.inner\.numbers\.y is '1'"),
    (("inner", "numbers", "y"), float("nan"), r"file\.inner\.numbers\.y is nan"),
    (("anything",), [], r"file\.anything is \[\]"),
]


def test_a_record_comes_back(tmp_path: Path) -> None:
    write_json(tmp_path / "file", asdict(WHOLE))
    assert read_json(tmp_path / "file", Outer, 1000) == WHOLE
    assert read_json(tmp_path / "file", Outer, 10) is None, "it is larger"
    assert read_json(tmp_path / "other", Outer, 1000) is None


def test_a_field_with_a_default_may_be_missing() -> None:
    tree = json.loads(json.dumps(asdict(WHOLE)))
    del tree["late"]
    assert typed(Outer, tree, "file") == WHOLE
    del tree["kind"]
    with pytest.raises(DamagedError, match="file has no kind"):
        typed(Outer, tree, "file")


@pytest.mark.parametrize(("place", "value", "sentence"), DAMAGE)
def test_damage_is_refused_with_its_place(place: tuple[str, ...], value: object, sentence: str) -> None:
    tree = json.loads(json.dumps(asdict(WHOLE)))
    node = tree
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    with pytest.raises(DamagedError, match=sentence):
        typed(Outer, tree, "file")


@pytest.mark.parametrize("text", ["", "[]", "3", "{", "null", "[" * 100_000, "\x00"])
def test_what_is_no_record_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text, encoding="utf-8")
    assert read_json(tmp_path / "file", Outer, 1_000_000) is None


def test_keys_of_a_later_version_are_not_read() -> None:
    tree = json.loads(json.dumps(asdict(WHOLE)))
    tree["later"] = tree["inner"]["later"] = object()
    assert typed(Outer, tree, "file") == WHOLE
