"""The environment of a run: versions, commit, processor and threads."""

import getpass
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("nnexp", "numpy", "scikit-learn", "hydra-core", "mlflow")
GIT_SECONDS = 5


def environment() -> dict[str, str]:
    """Return, as tags, everything outside the config that the last bits of a run may depend on."""
    from threadpoolctl import threadpool_info

    blas = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {
        **{f"version.{package}": installed(package) for package in PACKAGES},
        "version.python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "blas": ", ".join(sorted({f"{pool['internal_api']} {pool['version']}" for pool in blas})) or "unknown",
        "blas.threads": ", ".join(sorted({str(pool["num_threads"]) for pool in blas})) or "unknown",
        **commit(Path(__file__)),
    }


def processor() -> str:
    """Return the name of the processor, or of its kind if the system does not know it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def installed(package: str) -> str:
    """Return the version of an installed package, or `unknown`."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def user() -> str:
    """Return the name of the user, or `unknown` where the system has none for it, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def commit(file: Path) -> Mapping[str, str]:
    """Return the git commit of a source file and whether its tree has changes since, each `unknown` outside of git."""
    unknown = {"git.commit": "unknown", "git.dirty": "unknown"}
    try:
        # An installed package may lie inside another checkout; then git does not track the file.
        _git(file, "ls-files", "--error-unmatch", file.name)
        head, changes = _git(file, "rev-parse", "HEAD"), _git(file, "status", "--porcelain")
    except (OSError, subprocess.SubprocessError):
        return unknown
    return {"git.commit": head, "git.dirty": str(bool(changes)).lower(), "mlflow.source.git.commit": head}


def _git(file: Path, *arguments: str) -> str:
    command = ["git", "-C", str(file.parent), *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=GIT_SECONDS, check=True)  # noqa: S603 - constants and our own path
    return result.stdout.strip()
