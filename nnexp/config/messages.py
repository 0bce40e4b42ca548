"""The wording of mistakes: proposals for misspelt words, and Hydra's own errors said in one line."""

from collections.abc import Iterable
from difflib import get_close_matches

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException


def no_such_key(path: str, known: Iterable[str]) -> str:
    """Return a line about an unknown key, with the closest known one or, where none is close, all of them."""
    known = sorted(known)
    proposal = did_you_mean(path.rpartition(".")[2], known)
    return f"{path}: no such key{proposal}" if proposal else f"{path}: no such key, known are {', '.join(known)}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that proposes the closest known word, or nothing where none is close."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f", did you mean {close[0]}?" if close else ""


def one_line(error: Exception) -> str:
    """Return a line that names the key, the value and what is allowed."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file is not None:
        group, _, name = error.missing_cfg_file.rpartition("/")
        choices = ", ".join(error.options or ())
        return f"{group or 'config'}={name}: must be one of {choices}" if choices else _first_line(error)
    if isinstance(error, OverrideParseException):
        return f"{error.override}: not a valid override, must be key=value ({_first_line(error)})"
    cause = error.__cause__
    if isinstance(cause, OmegaConfBaseException) and cause.full_key and isinstance(cause.parent_node, DictConfig):
        return no_such_key(cause.full_key, [str(key) for key in cause.parent_node])
    return _first_line(error)


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split("\n\n")[0].split("See https://")[0].split())
