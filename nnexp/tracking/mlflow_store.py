"""The store of MLflow: checks and opens it, copies files to it, and shortens its errors to one line."""

import logging
import os
import re
import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nnexp.core.errors import TrackingError, UserError, on_one_line, warn
from nnexp.core.files import absolute, atomically
from nnexp.core.output import meanwhile

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

OPENING = "Opening MLflow, which takes some seconds"
REACH_SECONDS = 5.0
"""How long a server may take to answer, before the training begins."""
SERVER_ERROR = 500
LAST_CAUSE = re.compile(r"Caused by \w+\(['\"](.*)['\"]\)")
"""The last part of the message about a call that was tried several times."""
NO_SUCH_RUN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""The error codes of MLflow for a run that does not exist."""
SERVER_SCHEMES = ("http", "https")
SQLITE = "sqlite:///"
DATABASE, ARTIFACTS = "mlflow.db", "mlartifacts"
"""The default store in an output folder."""
TABLES = Path(__file__).with_name("mlflow.sql")
"""The tables of a new database, of which MLflow makes one after another as its versions did, which takes a second."""
VERSION = re.compile(r'INSERT INTO "alembic_version" VALUES\(\'(\w+)\'\)')
"""The version of these tables."""
LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
)
"""The tables and columns of MLflow that have the absolute locations of artifacts."""
ADVISORY_LOCK = 1_852_730_992
"""The number of the lock in PostgreSQL, one that others hardly use; it goes with the connection."""
DRIVERS = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
"""The packages with the drivers of databases, where they are called otherwise."""
MAX_REASON_LENGTH = 200
"""The most characters of an error message; a server may answer with a whole page."""

DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a dead server blocks a call for four minutes otherwise
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
SQLITE_DEFAULTS = {"MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool"}
"""No pool: a connection that stays open goes on writing into a file that was deleted."""


def is_server(uri: str) -> bool:
    """Tell whether a store is behind a server."""
    return urlsplit(uri).scheme in SERVER_SCHEMES


def database_file(uri: str) -> Path | None:
    """Return the file of a SQLite database; None if the store is something else."""
    return Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None


def absolute_uri(uri: str) -> str:
    """Return the address of a store as it is from every folder, with the whole path of a SQLite database."""
    return f"{SQLITE}{absolute(uri.removeprefix(SQLITE))}" if uri.startswith(SQLITE) else uri


def is_usable(database: Path) -> bool:
    """Tell whether a database is still to be made, or has the tables of this version of MLflow and can be written."""
    if not database.exists():
        return True
    wanted = VERSION.search(TABLES.read_text(encoding="utf-8"))
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=rw", timeout=0, uri=True)) as connection:
            connection.execute("BEGIN IMMEDIATE")  # as one that writes
            found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite3.Error:
        return False
    return wanted is not None and found == [(wanted[1],)]


def check_store(uri: str) -> None:
    """Check that a tracking server answers within seconds; refuse a file store, which MLflow no longer supports.

    Raises UserError otherwise.
    """
    if urlsplit(uri).scheme in ("", "file"):
        raise UserError(f"tracking.uri={uri}: must be a database such as sqlite:///runs.db, or a server, not a folder")
    if is_server(uri):
        _check_server(uri)


def _check_server(uri: str) -> None:
    """Check that a tracking server answers within seconds; it is asked as MLflow asks, with its variables."""
    import requests  # MLflow's own library

    meanwhile("Asking the tracking server")
    trusted = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or True
    insecure = os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1")
    try:
        with warnings.catch_warnings(action="ignore"):  # of a certificate that is not to be checked
            answer = requests.get(
                f"{uri.rstrip('/')}/health", timeout=REACH_SECONDS, verify=False if insecure else trusted
            )
        if answer.status_code < SERVER_ERROR:  # one without this page, or with another login, has answered, too
            return
        reason = f"it answers {answer.status_code}"
    except requests.exceptions.SSLError as error:
        reason = f"{_reason(error)}; MLFLOW_TRACKING_SERVER_CERT_PATH names a certificate to trust"
    except (requests.RequestException, OSError, ValueError) as error:
        reason = _reason(error)
    raise UserError(f"tracking.uri={uri}: must be a tracking server that can be reached ({reason})")


def set_defaults(more: Mapping[str, str] = MappingProxyType({})) -> None:
    """Set what the user has not set otherwise, before MLflow is imported, which reads some of it at once."""
    for name, value in {**DEFAULTS, **more}.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # a line for every migration of a new database


def open_store(uri: str) -> "MlflowClient":
    """Return a client of a store; a database gets its tables if needed, from one process at a time."""
    meanwhile(OPENING)
    path = database_file(uri)
    set_defaults({} if path is None else SQLITE_DEFAULTS)

    from mlflow import MlflowClient

    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it raises what it logs, with a traceback
    try:
        with tracking_errors(), _one_at_a_time(uri):
            if path is not None and not path.exists():
                # A process interrupted in the middle would leave a database that cannot be opened any more.
                for left in path.parent.glob(f".{path.stem}.*{path.suffix}*"):
                    left.unlink()  # of a killed process, as we hold the lock
                with atomically(path) as temporary:
                    _make_tables(temporary)
            client = MlflowClient(uri)
            client.search_experiments(max_results=1)
            if path is not None and path.name == DATABASE:
                _follow_artifacts(path)
    except ModuleNotFoundError as error:
        package = DRIVERS.get(str(error.name), str(error.name))
        wanted = f"must be a store whose driver is installed: python -m pip install '{package}'"
        raise UserError(f"tracking.uri={uri}: {wanted}") from error
    except (TrackingError, ImportError) as error:
        raise UserError(f"tracking.uri={uri}: must be a store that MLflow can open ({error})") from error
    return client


def _make_tables(database: Path) -> None:
    """Make the tables of a new database at once, or let MLflow do so if its version asks for others."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(TABLES.read_text(encoding="utf-8"))
    try:
        MlflowClient(f"{SQLITE}{database}").search_experiments(max_results=1)
    except MlflowException:
        database.unlink()
        MlflowClient(f"{SQLITE}{database}").search_experiments(max_results=1)


@contextmanager
def _one_at_a_time(uri: str) -> Iterator[None]:
    """Keep other processes out of the block for the same database: MLflow fails where two make its tables at once."""
    from filelock import FileLock
    from sqlalchemy import NullPool, create_engine, text

    path = database_file(uri)
    if path is not None:
        with FileLock(path.with_name(f".{path.name}.lock")):
            yield
    elif urlsplit(uri).scheme.startswith("postgresql"):
        with create_engine(uri, poolclass=NullPool).connect() as connection:
            connection.execute(text(f"SELECT pg_advisory_lock({ADVISORY_LOCK})"))
            yield
    else:
        yield


def _follow_artifacts(database: Path) -> None:
    """Let a default store whose folder was moved or copied have its artifacts where it is now."""
    from urllib.request import url2pathname

    here = database.absolute().parent / ARTIFACTS
    new = here.as_uri()
    with closing(sqlite3.connect(database)) as connection, connection:
        # The few experiments alone are asked, as every run comes here.
        question = "SELECT DISTINCT artifact_location FROM experiments WHERE artifact_location LIKE ?"
        for (old,) in connection.execute(question, [f"file:///%/{ARTIFACTS}"]).fetchall():
            there = Path(url2pathname(urlsplit(old).path))
            if old == new or (there.exists() and (not here.exists() or here.samefile(there))):
                continue
            for table, column in LOCATIONS:
                connection.execute(
                    f"UPDATE {table} SET {column} = :new || substr({column}, length(:old) + 1) "  # noqa: S608
                    f"WHERE {column} = :old OR substr({column}, 1, length(:old) + 1) = :old || '/'",
                    {"old": old, "new": new},
                )


def restore(client: "MlflowClient", experiment: "Experiment") -> None:
    """Restore an experiment with its runs if it was deleted in MLflow, which takes no runs in it otherwise."""
    from mlflow.exceptions import MlflowException

    if experiment.lifecycle_stage == "active":
        return
    try:
        client.restore_experiment(experiment.experiment_id)
    except MlflowException:
        if client.get_experiment(experiment.experiment_id).lifecycle_stage != "active":
            raise
    else:  # no other process was first
        warn(f"tracking.experiment={experiment.name}: was deleted in MLflow, and is restored with its runs")


def active_run(client: "MlflowClient", run_id: str, *, restored: bool = False) -> "Run | None":
    """Return a run; None if it was deleted, or the store is a new one.

    Args:
        client: A client of the store.
        run_id: The ID of the run.
        restored: Whether an experiment that was deleted as a whole is restored for it.
    """
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
        if restored and run.info.lifecycle_stage != "active":
            restore(client, client.get_experiment(run.info.experiment_id))
            run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code in NO_SUCH_RUN:
            return None
        raise
    return run if run.info.lifecycle_stage == "active" else None


def log_files(client: "MlflowClient", run_id: str, files: Sequence[Path]) -> None:
    """Copy files and folders to a run."""
    for path in files:
        if path.is_dir():
            client.log_artifacts(run_id, str(path), path.name)
        else:
            client.log_artifact(run_id, str(path))


@contextmanager
def tracking_errors() -> Iterator[None]:
    """Turn the errors of a store in the block into a TrackingError of one line, which does not stop the training.

    A server may answer anything, and MLflow raises errors of many kinds.

    Raises TrackingError if the block fails in the store.
    """
    from google.protobuf.json_format import Error as AnswerError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, AnswerError, OSError, ValueError, LookupError) as error:
        raise TrackingError(_reason(error)) from error


def _reason(error: Exception) -> str:
    """Return the reason of an error in one line: the message of the database or the system, if one is its cause."""
    from sqlalchemy.exc import DBAPIError

    message = str(error)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, DBAPIError):
            message = str(cause.orig)
        elif isinstance(cause, OSError):
            message = cause.strerror or str(cause)
        cause = cause.__cause__ or cause.__context__
    first = on_one_line(message.strip().partition("\n")[0])
    retried = LAST_CAUSE.search(first)
    return (retried[1] if retried else first)[:MAX_REASON_LENGTH].rstrip(".") or type(error).__name__
