"""What is done to overrides before Hydra reads them."""

from collections.abc import Sequence

RESUME = "resume="
QUOTES = ("'", '"')


def with_quoted_paths(overrides: Sequence[str]) -> list[str]:
    """Return overrides with quotes around the folder to resume, whose name may be such as `seed=1`."""
    return [_quoted(override) for override in overrides]


def _quoted(override: str) -> str:
    path = override.removeprefix(RESUME)
    if not override.startswith(RESUME) or path in ("", "null") or path.startswith(QUOTES):
        return override
    escaped = path.replace("'", r"\'")
    return f"{RESUME}'{escaped}'"
