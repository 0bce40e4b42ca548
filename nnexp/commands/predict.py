"""Predicts new examples with a trained run: `nnexp predict RUN input.csv`."""

import csv
import shutil
import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO

import numpy as np
import yaml

from nnexp.commands.arguments import A_RUN, parser, say_which
from nnexp.core.build import build
from nnexp.core.component import Array, resolved
from nnexp.core.errors import UserError, warn
from nnexp.core.exits import ExitStatus
from nnexp.core.files import absolute, atomically, expanded, is_there
from nnexp.core.output import is_all_printed
from nnexp.core.threads import one_thread
from nnexp.data.columns import Mask, counted, is_number
from nnexp.data.listing import listed
from nnexp.data.reading import Source, TableFile
from nnexp.data.unpacked import array_names, arrays
from nnexp.nn.network import CHUNK
from nnexp.report.rows import cell
from nnexp.runs.recorded_run import files_of
from nnexp.storage.run_folder import PARAMETERS
from nnexp.storage.saved_model import MODEL, SavedModel, read_model
from nnexp.storage.served_model import write_served_model

OPTIONS = {
    "header": "true, false, or the number of the line that has the names",
    "separator": r"what stands between two columns, \t for a tab, \s+ for spaces",
    "decimal": "the mark of decimals",
    "thousands": "the mark of thousands, or null",
    "comment": "what begins a comment, or null",
    "skip_rows": "lines to leave out at the beginning",
    "encoding": "such as latin-1",
    "missing_values": "what stands for a missing value beside an empty cell",
    "quote": "what stands around a cell that has a separator in it, or null",
    "unknown": "names that the training had not: refuse, or ignore",
}
MAX_BYTES_IN_MEMORY = 2**24
"""Bytes of predictions that are held in memory until all of them are made."""


def main(words: Sequence[str]) -> None:
    """Predict for every row of a table, or write the network as a model of MLflow."""
    arguments = parser(
        "predict",
        "Print what a trained network says of every row of a table, as a table. The run's own files are enough: names, "
        "scaling and classes are those of its training.",
    )
    arguments.add_argument("run", metavar="RUN", help=A_RUN)
    arguments.add_argument("input", metavar="TABLE", nargs="?", help="a table, its columns named as the data was")
    arguments.add_argument("--to", metavar="FILE", help="where predictions go; standard output if not given")
    told = arguments.add_argument_group("the table", "how it is read, if not as in training")
    for option, shown in OPTIONS.items():
        told.add_argument(
            f"--{option.replace('_', '-')}", help=shown, nargs="*" if option == "missing_values" else None
        )
    arguments.add_argument("--model", metavar="FOLDER", help="write the network as a model of MLflow into a new folder")
    chosen = arguments.parse_args(words)
    if (chosen.input is None) == (chosen.model is None):
        raise UserError("predict: must have either a TABLE or --model FOLDER")
    output_dir = absolute(chosen.output_dir)
    with files_of(chosen.run, output_dir, (MODEL, PARAMETERS)) as folder:
        say_which(chosen.run, folder)
        saved = read_model(folder, f"run={chosen.run}")
        if chosen.model is not None:
            _write_model(chosen.model, folder)
            return
    given = {name: getattr(chosen, name) for name in OPTIONS if getattr(chosen, name) is not None}
    source = _told(saved.source, given)
    table = TableFile(
        expanded(chosen.input),
        chosen.input,
        source.reading,
        tuple(column.name for column in saved.columns),
        options=True,
    )
    with _output(chosen.to) as file:
        predict(saved, table, file, unknown=source.unknown, header=source.reading.header if "header" in given else None)


def _told(source: Source, options: Mapping[str, str | list[str]]) -> Source:
    """Return how a table is read: as in training, but for what is said on the command line."""
    values: dict[str, object] = {**options}
    for name in {"header", "skip_rows"} & options.keys():
        with suppress(yaml.YAMLError):  # it is then a text, and refused as one
            values[name] = yaml.safe_load(str(options[name]))
    values |= {name: None for name in ("thousands", "comment", "quote") if options.get(name) == "null"}
    unknown = values.pop("unknown", source.unknown)
    try:
        node = {**resolved(source), "unknown": unknown, "reading": {**resolved(source.reading), **values}}
        return build(node, Source)
    except UserError as error:
        raise UserError(f"--{str(error).removeprefix('reading.').replace('_', '-')}") from error


def predict(
    saved: SavedModel, table: TableFile, file: IO[str], *, unknown: str = "refuse", header: bool | int | None = None
) -> None:
    """Write predictions for a table as a table, some rows at a time, with an empty line for every row without a value.

    Raises UserError if the table does not have the columns that the network was trained on.

    Args:
        saved: The network.
        table: The table.
        file: Where the predictions go.
        unknown: Whether names that the training had not are refused, or ignored and counted.
        header: Whether the table has a header, if that has been said.
    """
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([cell(name) for name, _ in saved.answers(np.array(saved.description.examples))])
    counts = Counter[str]() if unknown == "ignore" else None
    lines = deque[bool]()
    with one_thread():
        for raw in aligned(examples(saved, table, lines, counts, header=header)):
            columns = [column for _, column in saved.answers(raw)]
            cells = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns]
            for row in zip(*cells, strict=True):
                while not lines.popleft():
                    file.write("\n")
                writer.writerow(map(cell, row))
    file.write("\n" * len(lines))
    if counts:
        warn(f"{table.title}: names that the training had not count as none: {counted(counts)}")


def examples(
    saved: SavedModel,
    table: TableFile,
    lines: deque[bool],
    unknown: Counter[str] | None = None,
    *,
    header: bool | int | None = None,
) -> Iterator[Array]:
    """Yield the raw features of the rows of a table, in pieces, without those that have no value.

    Args:
        saved: The network.
        table: The table.
        lines: Is told of every row whether it has a value.
        unknown: Counts names that the training had not; without it they are refused.
        header: Whether the table has a header, if that has been said.
    """
    wanted = [column.name for column in saved.columns]
    if array_names(table.path, table.title):
        for raw in _of_arrays(saved, table):
            lines.extend([True] * len(raw))
            yield raw
        return
    for note in table.notes:
        warn(f"{table.title}: {note}")
    if saved.description.columns:
        names, has_header = _header(saved, table), table.reading.header is not False
    else:
        first = table.first_row
        if len(first) != len(wanted):
            raise UserError(
                f"{table.title}: must have {len(wanted)} columns, one for each feature, and has {len(first)}"
            )
        names, has_header = wanted, is_header(first) if header is None else header is not False
    text = [*(name for name in names if name not in wanted), *saved.words]
    for frame in table.chunks(names, text, header=has_header):
        filled: Mask = frame.notna().any(axis=1).to_numpy() | (len(names) == 1)
        lines.extend(filled.tolist())
        yield saved.features(frame if filled.all() else frame[filled], table, unknown)


def _header(saved: SavedModel, table: TableFile) -> list[str]:
    """Return the names of the columns of a table, those of the training if it has none."""
    wanted, source = [column.name for column in saved.columns], saved.source
    if table.reading.header is False:
        count, all_names = len(table.first_row), [*source.columns]
        for names in (all_names, [name for name in all_names if name not in source.targets], wanted):
            if len(names) == count:
                return names
        raise UserError(
            f"{table.title}: must have {len(all_names)} columns as the table of the training, or {len(wanted)}, "
            f"one for each feature, and has {count}"
        )
    header = table.header
    missing = [name for name in wanted if name not in header]
    if missing:
        raise UserError(f"{table.title}: must have a column {listed(missing)}; its columns are {listed(header)}")
    others = [name for name in header if name not in {*wanted, *table.hollow}]
    if others:
        warn(f"{table.title}: not used: {listed(others)}")
    return header


def _of_arrays(saved: SavedModel, table: TableFile) -> Iterator[Array]:
    found = arrays(table.path, table.title)
    x = found.get("x", found.get("x_test"))
    features = saved.description.features
    if saved.description.source or x is None or x.dtype.kind == "U" or x.ndim < 2 or x[0].size != features:
        raise UserError(f"{table.title}: must be a table, or have an array x of {features} numbers an example")
    yield saved.checked(x.reshape(len(x), -1).astype(np.float64), table.title)


def is_header(row: Sequence[str]) -> bool:
    """Tell whether a first row holds names: none of its cells is a number, or they count as pandas' names do."""
    return not any(map(is_number, row)) or (len(row) > 2 and [*row] == [*map(str, range(len(row)))])


def aligned(pieces: Iterable[Array]) -> Iterator[Array]:
    """Yield rows in pieces of whole chunks of the network: the bits are those of the whole table at once."""
    rest: Array | None = None
    for piece in pieces:
        rows = piece if rest is None else np.concatenate([rest, piece])
        whole = len(rows) // CHUNK * CHUNK
        if whole:
            yield rows[:whole]
        rest = rows[whole:]
    if rest is not None and len(rest):
        yield rest


def _write_model(to: str, run: Path) -> None:
    """Write the network of a run as a model of MLflow into a new folder."""
    if is_there(absolute(to)):
        raise UserError(f"--model={to}: must not exist")
    try:
        write_served_model(absolute(to), run)
    except OSError as error:
        raise UserError(f"--model={to}: must be a folder that can be made ({error.strerror})") from error


@contextmanager
def _output(to: str | None) -> Iterator[IO[str]]:
    """Yield a file that becomes the named one, or is printed, if the block succeeds."""
    if to is None:
        with SpooledTemporaryFile(MAX_BYTES_IN_MEMORY, "w+", newline="", encoding="utf-8") as file:
            yield file
            file.seek(0)
            shutil.copyfileobj(file, sys.stdout)
        if not is_all_printed():
            sys.exit(ExitStatus.UNSUCCESSFUL)
        return
    try:
        with atomically(expanded(to)) as path, path.open("w", newline="", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise UserError(f"--to={to}: must be a file that can be written ({error.strerror})") from error
