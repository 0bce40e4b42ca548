"""The store that MLflow keeps runs in: opened, asked whether it is there, and its refusals in one line."""

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from nnexp.core.errors import TrackingError, UserError, on_one_line
from nnexp.core.files import atomically

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

REACH_SECONDS = 5.0
"""How long a server may take to answer before anything is trained."""
SERVER_ERROR = 500
LAST_CAUSE = re.compile(r"Caused by \w+\(['\"](.*)['\"]\)")
"""What is said at the end of the story of a call that was tried again and again."""
NO_SUCH_RUN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""What MLflow says where there is no such run."""
SERVER_SCHEMES = ("http", "https")
SQLITE = "sqlite:///"
MAX_REASON_LENGTH = 200
"""The most characters of a reason; a server may answer with a whole page."""

DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a dead server blocks a call for four minutes otherwise
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
SQLITE_DEFAULTS = {"MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool"}
"""A connection that is kept open goes on writing into a file that somebody has deleted."""


def is_server(uri: str) -> bool:
    """Tell whether a store is behind a server."""
    return urlsplit(uri).scheme in SERVER_SCHEMES


def database_file(uri: str) -> Path | None:
    """Return the file of a SQLite database; None where the store is none."""
    return Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None


def check_store(uri: str) -> None:
    """Make sure that a tracking server answers within seconds, and that no file store is meant, which MLflow gave up.

    Raises UserError if it does not, or is.
    """
    if urlsplit(uri).scheme in ("", "file"):
        raise UserError(f"tracking.uri={uri}: must be a database such as sqlite:///runs.db, or a server, not a folder")
    if is_server(uri):
        _check_server(uri)


def _check_server(uri: str) -> None:
    """Find out within seconds whether a tracking server answers at all."""
    try:
        with urlopen(f"{uri.rstrip('/')}/health", timeout=REACH_SECONDS):  # noqa: S310 - a web address
            return
    except HTTPError as error:
        if error.code < SERVER_ERROR:  # a server that has no such page, or wants a login, is there
            return
        reason = f"it answers {error.code}"
    except (URLError, TimeoutError, OSError) as error:
        reason = str(getattr(error, "reason", error))
    raise UserError(f"tracking.uri={uri}: must be a tracking server that can be reached ({reason})")


def open_store(uri: str) -> "MlflowClient":
    """Return a client of a store that exists; a SQLite database is made here, by one process at a time."""
    from contextlib import nullcontext

    from filelock import FileLock

    path = database_file(uri)
    for name, value in {**DEFAULTS, **({} if path is None else SQLITE_DEFAULTS)}.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # a line for every migration of a new database

    from mlflow import MlflowClient

    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it raises what it logs, with a traceback
    try:
        with tracking_errors(), FileLock(path.with_name(f".{path.name}.lock")) if path else nullcontext():
            if path is not None and not path.exists():
                # Whoever is interrupted in the middle would leave a database that nothing opens any more.
                for left in path.parent.glob(f".{path.stem}.*{path.suffix}*"):
                    left.unlink()  # by somebody who was killed, as we hold the lock
                with atomically(path) as temporary:
                    MlflowClient(f"{SQLITE}{temporary}").search_experiments(max_results=1)
            client = MlflowClient(uri)
            client.search_experiments(max_results=1)
    except TrackingError as error:
        raise UserError(f"tracking.uri={uri}: must be a store that MLflow can open ({error})") from error
    return client


def active_run(client: "MlflowClient", run_id: str) -> "Run | None":
    """Return a run; None where somebody has deleted it, or has begun another store."""
    from mlflow.exceptions import MlflowException

    try:
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
    """Say in one line what a store could not do: whatever it is, the training has nothing to do with it.

    A server may answer anything, and MLflow hands on what it stumbles over.

    Raises TrackingError if the block fails in the store.
    """
    from google.protobuf.json_format import Error as AnswerError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, AnswerError, OSError, ValueError, LookupError) as error:
        raise TrackingError(_reason(error)) from error


def _reason(error: Exception) -> str:
    """Return what went wrong in one line: what the system or the database said, where it was one of them."""
    from sqlalchemy.exc import DBAPIError

    said = str(error)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, DBAPIError):
            said = str(cause.orig)
        elif isinstance(cause, OSError):
            said = cause.strerror or str(cause)
        cause = cause.__cause__ or cause.__context__
    first = on_one_line(said.strip().partition("\n")[0])
    retried = LAST_CAUSE.search(first)
    return (retried[1] if retried else first)[:MAX_REASON_LENGTH].rstrip(".") or type(error).__name__
