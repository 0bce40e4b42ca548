"""Predicts new examples with a trained run: `nnexp predict RUN input.csv`."""

import csv
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO

import numpy as np

from nnexp.commands.arguments import A_RUN, parser
from nnexp.core.component import Array
from nnexp.core.errors import UserError, warn
from nnexp.core.exits import ExitStatus
from nnexp.core.files import absolute, atomically, expanded, is_there
from nnexp.core.output import is_all_printed
from nnexp.core.threads import one_thread
from nnexp.data.table_file import TableFile, listed
from nnexp.nn.network import CHUNK
from nnexp.runs.recorded_run import files_of
from nnexp.storage.run_folder import PARAMETERS
from nnexp.storage.saved_model import MODEL, SavedModel, read_model
from nnexp.storage.served_model import write_served_model

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
    arguments.add_argument("input", metavar="TABLE", nargs="?", help="comma-separated values, named as the data was")
    arguments.add_argument("--to", metavar="FILE", help="where predictions go; standard output if not given")
    arguments.add_argument("--separator", default=",", help=r"what stands between two columns, \t for a tab")
    arguments.add_argument("--model", metavar="FOLDER", help="write the network as a model of MLflow into a new folder")
    chosen = arguments.parse_args(words)
    if (chosen.input is None) == (chosen.model is None):
        raise UserError("predict: must have either a TABLE or --model FOLDER")
    output_dir = absolute(chosen.output_dir)
    with files_of(chosen.run, output_dir, (MODEL, PARAMETERS)) as folder:
        saved = read_model(folder, f"run={chosen.run}")
        if chosen.model is not None:
            _write_model(chosen.model, folder)
            return
    table = TableFile(expanded(chosen.input), chosen.input, chosen.separator)
    with _output(chosen.to) as file:
        predict(saved, table, file)


def predict(saved: SavedModel, table: TableFile, file: IO[str]) -> None:
    """Write predictions for a table as a table, some rows at a time.

    Raises UserError if the table does not have the columns that the network was trained on.
    """
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([name for name, _ in saved.answers(np.array(saved.description.examples))])
    with one_thread():
        for raw in aligned(examples(saved, table)):
            columns = [column for _, column in saved.answers(raw)]
            cells = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns]
            writer.writerows(zip(*cells, strict=True))


def examples(saved: SavedModel, table: TableFile) -> Iterator[Array]:
    """Yield the raw features of the rows of a table, in pieces."""
    if not saved.description.columns:
        yield from _nameless(saved, table)
        return
    header, wanted = table.header(), [column.name for column in saved.columns]
    missing = [name for name in wanted if name not in header]
    if missing:
        raise UserError(f"{table.title}: must have a column {listed(missing)}; its columns are {listed(header)}")
    others = [name for name in header if name not in wanted]
    if others:
        warn(f"{table.title}: not used: {listed(others)}")
    text = [*others, *(column.name for column in saved.columns if column.names is not None)]
    for frame in table.chunks(header, text):
        yield saved.features(frame, table.title)


def _nameless(saved: SavedModel, table: TableFile) -> Iterator[Array]:
    """Yield features that have no names, in the order of the columns; the first row may still be a header."""
    first, columns = table.first_row(), saved.columns
    if len(first) != len(columns):
        raise UserError(f"{table.title}: must have {len(columns)} columns, one for each feature, and has {len(first)}")
    for frame in table.chunks([column.name for column in columns], [], header=is_header(first)):
        yield saved.features(frame, table.title)


def is_header(row: Sequence[str]) -> bool:
    """Tell whether a first row holds names: none of its cells is a number, or they count as pandas' names do."""
    return not any(map(_is_number, row)) or (len(row) > 2 and [*row] == [*map(str, range(len(row)))])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


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
