"""The notebook runs from its first cell to its last, in a kernel of its own."""

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "experiments" / "first_network.ipynb"
nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are not kept: they have paths in them"
    for cell in notebook.cells:
        cell.source = cell.source.replace("EPOCHS = 1000", "EPOCHS = 20")
    client = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    nbformat.write(notebook, tmp_path / "executed.ipynb")
    shown = [
        {**output.get("data", {}), "stream": output.get("text", "")}
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    ]
    pages = "".join(str(one.get("text/html", "")) for one in shown)
    assert "python -m nnexp" in pages
    assert pages.count("<img") >= 2
    assert sum("image/png" in one for one in shown) >= 2
    assert "network_size" in "".join(str(one["stream"]) for one in shown)
    assert shown[-1]["text/plain"].startswith("array(['")
