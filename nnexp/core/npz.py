"""Arrays in npz files, without pickle, and checked before memory is allocated, since a file may be from a stranger."""

import io
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nnexp.core.errors import DamagedError
from nnexp.core.files import atomically

AnyArray: TypeAlias = npt.NDArray[np.generic]
NUMBER_KINDS = "biuf"
"""The kinds of dtype that are read: truth values, whole numbers and real ones."""
SUFFIX = ".npy"
HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
UNREADABLE = (
    *(OSError, EOFError, ValueError, RuntimeError, MemoryError, struct.error, zipfile.BadZipFile, zlib.error),
    *(TypeError, SyntaxError, tokenize.TokenError, UserWarning),
)
"""The errors of reading a damaged archive; the last four come from NumPy's parser of headers."""


def write_arrays(
    path: Path, arrays: Mapping[str, AnyArray], texts: Mapping[str, str] | None = None, *, durable: bool = False
) -> None:
    """Write arrays and texts, by their names, as an npz file, which `numpy.load` can read."""
    with atomically(path, durable=durable) as temporary, zipfile.ZipFile(temporary, "w") as file:
        for name, array in arrays.items():
            with file.open(name + SUFFIX, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array).reshape(array.shape), allow_pickle=False)
        for name, text in (texts or {}).items():
            file.writestr(name, text)


def read_arrays(
    path: Path, *, most: int | None = None, kinds: str = NUMBER_KINDS
) -> tuple[dict[str, AnyArray], dict[str, str]]:
    """Return the arrays and the texts of an npz file; it takes at most twice the memory of the file.

    Raises DamagedError if `write_arrays` or `numpy.savez` would not write such a file, or it cannot be read.

    Args:
        path: The file.
        most: The bytes that its parts may unpack to; without it none may be compressed.
        kinds: The kinds of dtype that its arrays may have.
    """
    arrays, texts = dict[str, AnyArray](), dict[str, str]()
    try:
        for name, content in _members(path, most).items():
            if name.endswith(SUFFIX):
                arrays[name.removesuffix(SUFFIX)] = _array(name, content, kinds)
            else:
                texts[name] = content.decode()
    except UNREADABLE as error:
        raise DamagedError(" ".join(str(error).split()) or type(error).__name__) from error
    return arrays, texts


def _members(path: Path, most: int | None) -> dict[str, bytes]:
    """Return the files in an archive, refusing compressed, large or overlapping ones that would fill the memory."""
    with zipfile.ZipFile(path) as file:
        infos = file.infolist()
        if len({info.filename for info in infos}) < len(infos):
            raise DamagedError("a name occurs twice")
        if most is None and any(
            info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size for info in infos
        ):
            raise DamagedError("it is compressed")
        if sum(info.file_size for info in infos) > (path.stat().st_size if most is None else most):
            raise DamagedError("its parts are larger than the whole" if most is None else "it unpacks to too much")
        return {info.filename: file.read(info) for info in infos}


def _array(name: str, content: bytes, kinds: str) -> AnyArray:
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version not in HEADER_READERS:
        raise DamagedError(f"{name} has version {version}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # NumPy warns of headers that it repairs, as of Python 2
        shape, by_columns, dtype = HEADER_READERS[version](stream)
    if dtype.kind not in kinds:
        raise DamagedError(f"{name} is of {dtype}, not of numbers")
    if prod(shape) * dtype.itemsize != len(content) - stream.tell() or min(shape, default=0) < 0:
        raise DamagedError(f"{name} has shape {shape}, and {len(content) - stream.tell()} bytes")
    flat = np.frombuffer(content, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if by_columns else "C").copy()
