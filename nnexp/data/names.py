"""Names of columns as YAML files write them, where `No`, `1` and `01` without quotes are no texts."""

from collections.abc import Sequence

import yaml

from nnexp.core.component import Name
from nnexp.core.errors import UserError


def column_named(name: Name, header: Sequence[str], path: str) -> str:
    """Return the column of a header that a value names; the value as a text where there is none.

    White space around a name means nothing. A value that is no text, as YAML makes of `No`, `1` or `01`, names the
    column whose header YAML reads the same way.

    Raises UserError if it reads two columns so.

    Args:
        name: The value of a config.
        header: The names of all columns.
        path: The key of the value, for messages.
    """
    if isinstance(name, str):
        return name if name in header else next((column for column in header if column.strip() == name.strip()), name)
    found = [column for column in header if _is_read_as(column.strip(), name)]
    if len(found) > 1:
        columns = " or ".join(f"'{column.strip()}'" for column in found)
        raise UserError(f"{path}={_as_text(name)}: must have its quotes, {columns}, for YAML reads both alike")
    return found[0] if found else _as_text(name)


def _is_read_as(text: str, value: Name) -> bool:
    """Tell whether YAML reads a text without quotes as this value."""
    try:
        read: object = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return False
    if isinstance(read, str) and isinstance(value, float):  # 1e3 is a number to OmegaConf, and a text to PyYAML
        try:
            read = float(read)
        except ValueError:
            return False
    return type(read) is type(value) and read == value


def _as_text(value: Name) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
