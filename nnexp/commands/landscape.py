"""Looks around what was learned, `nnexp landscape RUN [OTHER]`: the loss in a plane and on a line, and spectra."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from nnexp.commands.arguments import parser
from nnexp.core.files import writable_folder, write_text
from nnexp.report import terminal
from nnexp.runs.load import load_run


def main(words: Sequence[str]) -> None:
    """Look around the run that is named, and on the way to another one."""
    arguments = parser(
        "landscape",
        "Draw the training loss around what a run has learned, in a plane of two random directions scaled unit by "
        "unit, on the straight line to another run, and the singular values of its weights; each as a table, too.",
    )
    arguments.add_argument("run", metavar="RUN", help="the folder of a run, its number in nnexp runs, or its ID")
    arguments.add_argument("other", metavar="OTHER", nargs="?", help="another run of the same layers and data")
    arguments.add_argument("--to", metavar="FOLDER", default="landscape", help="where to write (default: landscape)")
    arguments.add_argument("--points", type=int, default=25, help="so many a side of the plane (default: 25)")
    arguments.add_argument("--reach", type=float, default=1.0, help="how far it reaches, 1 for as long as the weights")
    arguments.add_argument("--seed", type=int, default=0, help="of the directions (default: 0)")
    chosen = arguments.parse_args(words)
    results = [load_run(run, Path(chosen.output_dir)) for run in (chosen.run, chosen.other) if run is not None]

    from nnexp.plots.landscape import slice_figure, spectra_figure, way_figure
    from nnexp.plots.style import add_figures
    from nnexp.training.landscape import slice_of, spectra, way_between

    trained, folder = results[0].trained, writable_folder(chosen.to, "--to")
    way = way_between(trained, results[1].trained, 4 * chosen.points + 1) if len(results) > 1 else None
    plane, values = slice_of(trained, chosen.points, chosen.reach, chosen.seed), spectra(trained)
    figures = {
        "slice": partial(slice_figure, plane, trained.data.name),
        "spectra": partial(spectra_figure, values),
    }
    places = [(x, y) for y in plane.steps for x in plane.steps]
    rows = [(x, y, loss) for (x, y), loss in zip(places, plane.losses.ravel(), strict=True)]
    _write(folder / "slice.csv", ("x", "y", "train/loss"), rows)
    singular = [(name, rank, one) for name, ones in values.items() for rank, one in enumerate(ones, 1)]
    _write(folder / "spectra.csv", ("weight", "rank", "singular_value"), singular)
    if way is not None:
        barrier = f"a barrier of {way.barrier:.3g}"
        figures["line"] = partial(way_figure, way, f"From one run to the other: {barrier}")
        _write(folder / "line.csv", ("share", "train/loss"), list(zip(way.shares, way.losses, strict=True)))
        ends = f"{way.losses[0]:.3g} and {way.losses[-1]:.3g} at its ends"
        terminal.show_lines([f"Line    {barrier} in the training loss, {ends}"])
    add_figures(figures, folder)
    terminal.show_lines([f"Files   {folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}"])


def _write(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a table as CSV."""
    write_text(path, "\n".join(",".join(map(str, row)) for row in [header, *rows]) + "\n")
