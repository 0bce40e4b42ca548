"""Damaged files for every reader of files: `python -m tests.programs.fuzz --seconds 60 --seed 0 [READER ...]`.

Sound files are changed, in their bytes and in what these stand for. A reader must take the file or refuse it in its own
words, in little time and memory, and write nothing.
"""

import argparse
import bz2
import gzip
import io
import json
import lzma
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager, redirect_stdout
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any, Literal, TypeAlias

import numpy as np
import yaml

import nnexp
from nnexp.config.compose import compose_experiment
from nnexp.config.experiment import Experiment
from nnexp.config.file_checks import UNREADABLE, checked_yaml
from nnexp.config.search_path import FolderSource
from nnexp.core import state as checkpoint
from nnexp.core.build import build
from nnexp.core.errors import DamagedError, UserError, on_one_line
from nnexp.core.files import read_text
from nnexp.core.json_files import write_json
from nnexp.core.npz import NUMBER_KINDS, read_arrays, write_arrays
from nnexp.data.csv import Csv, Heart
from nnexp.data.reading import Reading, TableFile
from nnexp.runs.prepare import prepare
from nnexp.runs.resume import resumed
from nnexp.runs.tracked import InStore, read_tracked, write_tracked
from nnexp.storage.run_folder import (
    CONFIG,
    HISTORY,
    MAX_FILE_BYTES,
    PARAMETERS,
    SUMMARY,
    TRACKED,
    RunSummary,
    read_history,
)
from nnexp.storage.saved_model import MODEL, read_model
from nnexp.sweeps.sweep_folder import STATE as SWEEP_STATE
from nnexp.sweeps.sweep_folder import SweepRecord
from nnexp.tracking.tracker import SweepFacts
from nnexp.training.loop import Training

SLOW, LONG = 5.0, 20
"""The seconds that a file may take, and after which its reader is stopped."""
MEBIBYTE, MOST, LIMIT = 2**20, 200, 4096
"""By how many MiB the peak of the memory may grow with a file, and the most that the process may have."""
FRAMES = 4
"""How many lines of a traceback tell one end from another."""
CORPUS, SMALL = 1000, 2**18
"""The most files that are changed further, since their readers ended in a way that was new, and their most bytes."""
HEART = Heart().file()
TABLE = "x,y,name,label\n" + "".join(f"{row},{row % 7}.5,{'uv'[row % 2]},{'ab'[row % 3 % 2]}\n" for row in range(20))
TABLE = TABLE.replace("u,a", '"u, w",a').replace("3.5", "?").replace(",v", ", 1")
NUMERIC = "x,y\n" + "".join(f"{row}.25,{row % 2}\n" for row in range(20))
OWN = """# @package _global_
defaults:
  - override /optimizer: adam
optimizer: {learning_rate: 1e-3}
trainer:
  epochs: 3
  snapshots: [1, 2]
question: ${seed}
"""

Choose: TypeAlias = random.Random
Change: TypeAlias = Callable[[bytes, Choose], bytes]
Plain: TypeAlias = Any

EXTREME = (
    *("0", "-0", "-1", "1e999", "-1e308", "1e-400", "nan", "-inf", "NaN", "Infinity", "0x10", "1_0", "\u0661"),
    *(str(2**31), str(-(2**31) - 1), str(2**63), str(2**64), "9" * 30, "9" * 400, "9" * 5000, "0" * 70000),
)
TOKENS = (
    *(b"", b"\0", b"\n", b"\r", b"\r\n", b",", b'"', b"'", b"\t", b"\\", b"\xff", b"\xef\xbb\xbf", b"\x85", b"\x1b[2J"),
    *(sign.encode() for sign in ("\u2028", "\u0661", "\U0001f701", "e\u0301")),
    *(
        b"null",
        b"true",
        b"[]",
        b"{}",
        b"[" * 2000,
        b'{"a":' * 2000,
        b"\\ud800",
        b"NA",
        b"?",
        b" " * 5000,
        b"a" * 200_000,
    ),
    *(b"---\n", b"...\n", b"&a ", b"*a", b"<<: ", b"? ", b"- ", b": ", b"|+9\n", b">-\n", b"# ", b"%YAML 9.9\n", b"="),
    *(
        b"!!timestamp ",
        b"!!bool ",
        b"!!int ",
        b"!!float ",
        b"!!null ",
        b"!!binary ",
        b"!!set ",
        b"!!omap ",
        b"!!pairs ",
    ),
    *(
        b"!!str ",
        b"!!map ",
        b"!!seq ",
        b"!!python/name:os.system ",
        b"2026-13-45",
        b"1:99:99",
        b"0b2",
        b"0o9",
        b"%TAG ! x:\n",
    ),
)
GARBAGE: tuple[object, ...] = (
    *(None, True, False, 0, -1, 1.5, 2**31, 2**63, 10**30, 10**400, 1e308, 5e-324, float("nan"), float("-inf")),
    *("", "text", "\0", "\ud800", "9" * 5000, [], {}, [[]], [{}], {"": None}, {"array": "stack.theta"}, {"array": 3}),
)


def flipped(content: bytes, choose: Choose) -> bytes:
    """Change a bit."""
    changed, place = bytearray(content), choose.randrange(len(content))
    changed[place] ^= 1 << choose.randrange(8)
    return bytes(changed)


def cut(content: bytes, choose: Choose) -> bytes:
    """Leave out a part, or the end."""
    begin, end = part_of(content, choose)
    return content[:begin] + (content[end:] if choose.random() < 0.7 else b"")


def doubled(content: bytes, choose: Choose) -> bytes:
    """Repeat a part, often or once."""
    begin, end = part_of(content, choose)
    times = choose.choice((2, 2, 3, 100))
    return content[:begin] + content[begin:end] * times + content[end:]


def moved(content: bytes, choose: Choose) -> bytes:
    """Put a part in the place of another."""
    begin, end = part_of(content, choose)
    place, after = part_of(content, choose)
    return content[:place] + content[begin:end] + content[after:]


def with_token(content: bytes, choose: Choose) -> bytes:
    """Put in something that means something."""
    place = choose.randrange(len(content) + 1)
    return content[:place] + choose.choice(TOKENS) + content[choose.choice((place, place + 1)) :]


def with_number(content: bytes, choose: Choose) -> bytes:
    """Replace a number that is written in digits."""
    numbers = [*re.finditer(rb"-?\d+(\.\d+)?(e[-+]?\d+)?", content)]
    if not numbers:
        return flipped(content, choose)
    number = choose.choice(numbers)
    return content[: number.start()] + choose.choice(EXTREME).encode() + content[number.end() :]


def with_bytes(content: bytes, choose: Choose) -> bytes:
    """Replace a number that is written in bytes."""
    size = choose.choice((1, 2, 4, 8))
    value = choose.choice((0, 1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1))
    place = choose.randrange(len(content))
    return content[:place] + value.to_bytes(size, "little") + content[place + size :]


def part_of(content: bytes, choose: Choose) -> tuple[int, int]:
    """Return begin and end of a part, which is short as often as long."""
    begin = choose.randrange(len(content))
    return begin, min(len(content), begin + 1 + int(len(content) ** choose.random()))


CHANGES: Sequence[Change] = (flipped, cut, doubled, moved, with_token, with_number, with_bytes)


def changed(content: bytes, choose: Choose) -> bytes:
    """Change some bytes."""
    for _ in range(choose.choice((1, 1, 1, 2, 4))):
        content = choose.choice(CHANGES)(content or b"\n", choose)
    return content


def changed_json(content: bytes, choose: Choose) -> bytes:
    """Change a value in a text of JSON, or what is around it."""
    try:
        root = [json.loads(content)]
    except (ValueError, RecursionError):
        return changed(content, choose)
    places = [*places_in(root)]
    for _ in range(choose.choice((1, 1, 2, 3))):
        (node, key), (other, name) = choose.choice(places), choose.choice(places)
        node[key] = choose.choice(GARBAGE) if choose.random() < 0.7 else json.loads(json.dumps(other[name]))
        if isinstance(node, dict) and choose.random() < 0.2:
            node[choose.choice(("", "array", "more", str(name)))] = node.pop(key)
            break
    return json.dumps(root[0]).encode("utf-8", "surrogatepass")


def changed_yaml(content: bytes, choose: Choose) -> bytes:
    """Change a value in a text of YAML, or what is around it."""
    try:
        tree = json.loads(changed_json(json.dumps(yaml.safe_load(content), default=str).encode(), choose))
        return yaml.safe_dump(tree).encode()
    except (*UNREADABLE, RecursionError, TypeError):
        return changed(content, choose)


def places_in(node: Plain) -> Iterator[tuple[Plain, Plain]]:
    """Yield every place in a tree of plain values, as a container and a key."""
    if isinstance(node, (dict, list)):
        for key in [*node] if isinstance(node, dict) else range(len(node)):
            yield node, key
            yield from places_in(node[key])


def changed_zip(content: bytes, choose: Choose) -> bytes:
    """Change a file in an archive, or its name, or leave it out; the checksums of the archive are right."""
    files = files_in(content)
    if not files:
        return changed(content, choose)
    name = choose.choice([*files])
    what = choose.random()
    if what < 0.1:
        files[choose.choice(("/", "../up.npy", "a.npy", ".npy", "state.json", *files))] = files.pop(name)
    elif what < 0.2:
        del files[name]
    else:
        change = changed_array if name.endswith(".npy") else changed_json if name.endswith(".json") else changed
        files[name] = change(files[name], choose)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED if choose.random() < 0.05 else zipfile.ZIP_STORED) as file:
        for name, inside in files.items():
            file.writestr(name, inside)
    return stream.getvalue()


def files_in(content: bytes) -> dict[str, bytes]:
    """Return the files in an archive, none where it is damaged."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            return {info.filename: file.read(info) for info in file.infolist()}
    except Exception:  # noqa: BLE001 - it is damaged already
        return {}


def changed_array(content: bytes, choose: Choose) -> bytes:
    """Change the numbers of an array, their type or their shape, or the bytes of its file."""
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except Exception:  # noqa: BLE001 - it is damaged already
        return changed(content, choose)
    kind = choose.choice(("f8", "f4", "f2", "g", "i8", "u1", "?", ">f8", "c16", "U1", "M8[s]", "V3"))
    shape = choose.choice(((), (0,), (1, *array.shape), (array.size,), array.shape[::-1]))
    what = choose.random()
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if what < 0.4 and array.size:
            array.flat[choose.randrange(array.size)] = np.array(choose.choice((0, -1, 1e308, np.nan))).astype(
                array.dtype
            )
        elif what < 0.6:
            array = np.zeros(array.shape, kind)
        elif what < 0.8:
            array = np.resize(array, shape)
        else:
            return changed(content, choose)
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def sealed(content: bytes, choose: Choose) -> bytes:
    """Change a checkpoint, and give it the checksum of what it has become."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "changed.npz")
        path.write_bytes(changed_zip(content, choose))
        try:
            arrays, texts = read_arrays(path)
        except DamagedError:
            return path.read_bytes()
        checksum = checkpoint._checksum(texts.get(checkpoint.STATE, ""), arrays)  # noqa: SLF001 - anybody can
        write_arrays(path, arrays, {**texts, checkpoint.CHECKSUM: checksum})
        return path.read_bytes()


def compressed_again(content: bytes, choose: Choose) -> bytes:
    """Change what is compressed."""
    try:
        return gzip.compress(changed(gzip.decompress(content), choose), 1)
    except (OSError, EOFError, zlib.error):
        return changed_zip(content, choose)


@dataclass(frozen=True)
class Reader:
    """What reads files of a kind.

    Attributes:
        read: Reads a file, asks what it must be good for, and returns it; None where there is nothing to be read.
        refusals: What it raises where it does not take the file.
        corpus: Sound files: their names and contents.
        change: Changes what the bytes stand for.
    """

    read: Callable[[Path], object]
    refusals: tuple[type[Exception], ...]
    corpus: Sequence[tuple[str, bytes]]
    change: Change = changed


def read_table(path: Path) -> object:
    """Read a table in pieces."""
    number = zlib.crc32(path.read_bytes())
    reading = Reading(
        header=(True, False, 2)[number % 5 % 3],
        separator=",;\t"[number % 3],
        thousands=(None, "'", " ")[number % 7 % 3],
        comment=(None, "#")[number % 11 % 2],
        skip_rows=number % 2,
        encoding=("utf-8", "latin-1", "utf-16")[number % 17 % 3],
        quote=('"', None)[number % 13 % 2],
    )
    table = TableFile(path, "the table", reading if number % 2 else Reading())
    header = table.header
    pieces = [*table.chunks(header, header[-1:])]
    assert all([*piece.columns] == header for piece in pieces)
    return header


def read_data(path: Path) -> object:
    """Load a data set, in a way that depends on the file."""
    number = zlib.crc32(path.read_bytes())
    kind: Literal["regression", "classification"] = "regression" if number % 2 else "classification"
    missing: Literal["refuse", "mean"] = "mean" if number % 3 else "refuse"
    named = ("name",) if "name" in TableFile(path, "the table").header else ()
    names: Literal["auto"] | tuple[str, ...] = "auto" if number % 19 % 2 else named
    dtype: Literal["float64", "float32"] = "float32" if number % 7 % 2 else "float64"
    data = Csv(path=str(path), kind=kind, missing=missing, categorical=names, dtype=dtype).load()
    assert all(np.isfinite(part.x).all() for part in (data.train, data.test))
    return data


def read_all_arrays(path: Path) -> object:
    """Read arrays, of numbers."""
    arrays, texts = read_arrays(path)
    assert all(array.dtype.kind in NUMBER_KINDS for array in arrays.values())
    return [*arrays, *texts]


def read_config(path: Path) -> object:
    """Read a config file as Hydra does."""
    return FolderSource("nnexp", f"file://{path.parent}").load_config(path.name)


def read_recorded(path: Path) -> object:
    """Read the config of a recorded run."""
    try:
        content = yaml.safe_load(checked_yaml(read_text(path, MAX_FILE_BYTES)))
    except UNREADABLE as error:
        raise UserError(on_one_line(error) or "unreadable") from error
    return build(content, Experiment)


def readers(folder: Path) -> dict[str, Reader]:
    """Return all readers, with the files of a run in a folder that is free for it."""
    overrides = ["dataset=iris", "loss=sparse_categorical_cross_entropy", "optimizer=adam", "trainer.epochs=6"]
    quiet = ("tracking=none", "figures=false", "verbose=false", f"output_dir={folder}")
    overrides += ["trainer.checkpoint_every=3", "trainer.batch_size=30", "trainer.early_stopping={patience: 5}"]
    overrides += ["architecture.normalization=batch", "architecture.dropout=0.1"]
    with redirect_stdout(io.StringIO()):
        run = nnexp.run([*overrides, *quiet]).folder
    write_tracked(run, "http://a:1", InStore("0123456789abcdef"))
    facts = SweepFacts("moons", "seed (3 runs)", "why?", {"sweep_key": "abcd"})
    write_json(folder / SWEEP_STATE, asdict(SweepRecord(key="abcd", command="a command", total=3, facts=facts)))
    experiment = compose_experiment(quiet)
    ready = prepare(compose_experiment([*overrides, *quiet]))

    def go_on(path: Path) -> object:
        earlier = resumed(replace(experiment, resume=str(path)), ())
        training = Training([ready.recipe], ready.data, ready.experiment.trainer, ready.experiment.dtype)
        earlier.restore(training, earlier.data_digest)
        training.advance()
        return training

    def read_saved_model(path: Path) -> object:
        shutil.copy(run / PARAMETERS, path.parent)
        try:
            return read_model(path.parent, "the model").answers(ready.data.test.x)
        finally:
            (path.parent / PARAMETERS).unlink()

    def sound(*names: str) -> list[tuple[str, bytes]]:
        return [(Path(name).name, (run / name).read_bytes()) for name in names]

    written = HEART.read_bytes()
    tables = [("a.csv", written), ("b.csv", TABLE.encode()), ("c.csv", TABLE.replace("\n", "\r\n").encode("utf-8-sig"))]
    tables.append(("numbers.csv", NUMERIC.encode()))
    packed = [("d.csv.gz", gzip.compress(TABLE.encode())), ("e.csv.zip", zipped("e.csv", TABLE.encode()))]
    packed += [("f.csv.bz2", bz2.compress(TABLE.encode())), ("g.csv.xz", lzma.compress(TABLE.encode()))]
    checkpoints = sound("checkpoints/latest.npz", "checkpoints/previous.npz")
    sweeps = [(SWEEP_STATE, (folder / SWEEP_STATE).read_bytes())]
    return {
        "arrays": Reader(read_all_arrays, (DamagedError,), [*sound(PARAMETERS), *checkpoints], changed_zip),
        "checkpoint": Reader(go_on, (DamagedError, UserError), checkpoints, sealed),
        "csv": Reader(read_data, (UserError,), [*tables, *packed], compressed_again),
        "table": Reader(read_table, (UserError,), [*tables, *packed], compressed_again),
        "history": Reader(lambda path: read_history(path.parent), (OSError, ValueError), sound(HISTORY)),
        "summary": Reader(lambda path: RunSummary.read(path.parent), (), sound(SUMMARY), changed_json),
        "note": Reader(lambda path: read_tracked(path.parent), (), sound(TRACKED), changed_json),
        "sweep": Reader(lambda path: SweepRecord.read(path.parent), (), sweeps, changed_json),
        "config": Reader(read_config, (UserError,), [*sound(CONFIG), ("own.yaml", OWN.encode())], changed_yaml),
        "recorded": Reader(read_recorded, (UserError,), sound(CONFIG), changed_yaml),
        "model": Reader(read_saved_model, (UserError,), sound(MODEL), changed_json),
    }


def zipped(name: str, content: bytes) -> bytes:
    """Return an archive with one file."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, content)
    return stream.getvalue()


@dataclass
class Fuzzed:
    """What became of the files given to one reader.

    Attributes:
        files, taken: How many there were, and how many were read.
        ends: Where reading ended: a new one makes a file part of the corpus.
        complaints: What was not as it should be, with the name and the bytes of a file for each.
        slowest: The longest time for a file.
    """

    files: int = 0
    taken: int = 0
    ends: set[str] = field(default_factory=set)
    complaints: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    slowest: float = 0.0


def fuzzed(reader: Reader, seconds: float, seed: int, most: int | None = None) -> Fuzzed:
    """Give a reader changed files for a while, or so many at most."""
    choose, found = Choose(seed), Fuzzed()  # to draw examples
    corpus, end = [*reader.corpus], time.monotonic() + seconds
    while time.monotonic() < end and (most is None or found.files < most):
        if found.files < len(reader.corpus):
            name, content = reader.corpus[found.files]
        else:
            name, content = choose.choice(choose.choice((reader.corpus, corpus)))
            for _ in range(choose.choice((1, 1, 1, 2))):
                content = (reader.change if choose.random() < 0.6 else changed)(content, choose)
        with tempfile.TemporaryDirectory() as scratch:
            complaint, where = outcome(reader, Path(scratch, name), content, found)
        if where not in found.ends and len(corpus) < CORPUS and len(content) < SMALL:
            corpus.append((name, content))
        found.ends.add(where)
        if complaint:
            found.complaints.setdefault(complaint, (name, content))
        found.files += 1
    return found


def outcome(reader: Reader, path: Path, content: bytes, found: Fuzzed) -> tuple[str, str]:
    """Read a file; return what is wrong with that, or nothing, and where it ended."""
    path.write_bytes(content)
    begun, peak, complaint, where = time.monotonic(), peak_memory(), "", ""
    try:
        with alarm(LONG), chdir(path.parent):
            result = reader.read(path)
        where = type(result).__name__
        found.taken += result is not None
    except reader.refusals as error:
        where = place_of(error)
        if isinstance(error, (UserError, DamagedError)) and ("\n" in str(error) or not str(error)):
            complaint = f"not one line: {where}"
    except Exception as error:  # noqa: BLE001 - this is what is looked for
        where = place_of(error)
        complaint = f"{type(error).__name__}: {on_one_line(error)[:100]} ({where.splitlines()[-1]})"
    passed, grown = time.monotonic() - begun, (peak_memory() - peak) / MEBIBYTE
    found.slowest = max(found.slowest, passed)
    if passed > SLOW:
        complaint = complaint or f"{passed:.0f} s ({where.splitlines()[-1]})"
    if grown > MOST:
        complaint = complaint or f"{grown:.0f} MiB ({where.splitlines()[-1]})"
    if [*path.parent.iterdir()] != [path]:
        complaint = complaint or f"written: {', '.join(one.name for one in path.parent.iterdir() if one != path)}"
    return complaint, where


def place_of(error: BaseException) -> str:
    """Return the last lines that an error came through, and before them those of what it was raised from."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    way = " ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
    cause = f"{place_of(error.__cause__)}\n" if error.__cause__ else ""
    return f"{cause}{type(error).__name__} at {way}"


def peak_memory() -> int:
    """Return the most memory that the process had, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@contextmanager
def alarm(seconds: int) -> Iterator[None]:
    """Raise an error in the block after so many seconds."""

    def late(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError("it takes too long")

    previous = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def main(words: Sequence[str] | None = None) -> None:
    """Fuzz readers, print what was found and keep the files of it, and fail if there is any."""
    parser = argparse.ArgumentParser(prog="python -m tests.programs.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder for the files that made a reader fail")
    parser.add_argument("readers", nargs="*")
    chosen = parser.parse_args(words)
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT * MEBIBYTE, resource.RLIM_INFINITY))
    warnings.simplefilter("error")
    np.seterr(all="ignore")  # extreme numbers make infinite ones
    bad = 0
    with tempfile.TemporaryDirectory() as scratch:
        known = readers(Path(scratch))
        for name in chosen.readers or known:
            found = fuzzed(known[name], chosen.seconds, chosen.seed)
            print(  # noqa: T201
                f"{name}: {found.files} files, {found.taken} taken, {len(found.ends)} ends, "
                f"slowest {found.slowest:.1f} s, {len(found.complaints)} complaints",
                flush=True,
            )
            for number, (complaint, (file, content)) in enumerate(found.complaints.items()):
                print("BAD", name, complaint, content[:60], flush=True)  # noqa: T201
                if chosen.keep is not None:
                    (chosen.keep / f"{name}_{number}_{file}").write_bytes(content)
            bad += len(found.complaints)
    if bad:
        sys.exit(1)


if __name__ == "__main__":
    main()
