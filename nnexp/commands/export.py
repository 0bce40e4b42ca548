"""Writes a network as NumPy alone, `nnexp export RUN`: its weights, and a short program that predicts the same bits."""

from collections.abc import Sequence
from pathlib import Path

from nnexp.commands.arguments import parser, say_which
from nnexp.core.files import writable_folder
from nnexp.report import terminal
from nnexp.runs.recorded_run import files_of
from nnexp.storage.plain_numpy import PROGRAM, WEIGHTS, write_program
from nnexp.storage.run_folder import PARAMETERS
from nnexp.storage.saved_model import MODEL, read_model


def main(words: Sequence[str]) -> None:
    """Export the run that is named."""
    arguments = parser(
        "export",
        f"Write the weights of a trained network, {WEIGHTS}, and a program of plain NumPy that predicts with them, "
        f"{PROGRAM}: the same bits, without nnexp.",
    )
    arguments.add_argument("run", metavar="RUN", help="the folder of a run, or its ID in MLflow")
    arguments.add_argument("--to", metavar="FOLDER", default="network", help="where to write them (default: network)")
    chosen = arguments.parse_args(words)
    with files_of(chosen.run, Path(chosen.output_dir), (MODEL, PARAMETERS)) as folder:
        say_which(chosen.run, folder)
        saved = read_model(folder, f"run={chosen.run}")
    target = writable_folder(chosen.to, "--to")
    write_program(target, saved, Path(chosen.run).name)
    terminal.show_lines([f"Files   {target / PROGRAM}, {target / WEIGHTS}"])
