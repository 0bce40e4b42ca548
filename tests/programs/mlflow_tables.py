"""Writes nnexp/tracking/mlflow.sql: the tables of a new database, as the installed MLflow makes them in a second."""

import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from nnexp.tracking.mlflow_store import TABLES


def tables_of_mlflow(folder: Path) -> str:
    """Return the statements that make the tables; the one experiment in them has a folder of ours in it."""
    from mlflow import MlflowClient

    file = folder / "new.db"
    MlflowClient(f"sqlite:///{file}").search_experiments(max_results=1)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DELETE FROM experiments")
        return "\n".join(connection.iterdump()) + "\n"


if __name__ == "__main__":
    with TemporaryDirectory() as here:
        TABLES.write_text(tables_of_mlflow(Path(here)), encoding="utf-8")
