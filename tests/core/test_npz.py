"""Arrays in files, whoever made them: what is read, and what is refused without taking memory or running code."""

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from nnexp.core.errors import DamagedError
from nnexp.core.npz import AnyArray, read_arrays, write_arrays

NUMBERS = arrays_of.arrays(
    st.sampled_from(["f8", "f4", "i8", "u4", "?"]), arrays_of.array_shapes(min_dims=0, min_side=0, max_side=5)
)


@given(st.dictionaries(st.sampled_from(["theta", "optimizer.sum", "0.weight"]), NUMBERS), st.text(max_size=20))
def test_what_is_written_is_read_also_by_numpy(
    tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, AnyArray], text: str
) -> None:
    path = tmp_path_factory.mktemp("arrays") / "some.npz"
    write_arrays(path, arrays, {"note.json": text})
    read, texts = read_arrays(path)
    assert texts == {"note.json": text}
    assert read.keys() == arrays.keys()
    with np.load(path, allow_pickle=False) as loaded:
        for name, array in arrays.items():
            for other in (read[name], loaded[name]):
                assert (other.dtype, other.shape, other.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_what_numpy_writes_is_read(tmp_path: Path) -> None:
    by_columns = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    np.savez(tmp_path / "a.npz", allow_pickle=False, **{"0.weight": by_columns})
    (read,), texts = read_arrays(tmp_path / "a.npz")[0].values(), read_arrays(tmp_path / "a.npz")[1]
    np.testing.assert_array_equal(read, by_columns)
    assert texts == {}


class Bomb:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("exploded",)


def member(header: str, data: bytes = b"") -> bytes:
    """Return an npy file with a header of one's own."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def archive(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path


def pickled() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([Bomb()], object), allow_pickle=True)
    return stream.getvalue()


HOSTILE = {
    "objects": {"a.npy": pickled()},
    "a pickle": {"a.npy": pickle.dumps(Bomb())},
    "objects in a record": {
        "a.npy": member("{'descr': [('x', '|O')], 'fortran_order': False, 'shape': (1,), }", b"0" * 8)
    },
    "10^9 numbers": {"a.npy": member("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000,), }", b"0" * 8)},
    "10^30 numbers": {"a.npy": member(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({10**30},), }}")},
    "a header of Python 2": {"a.npy": member("{'descr': '<f8', 'fortran_order': False, 'shape': (1L,), }", b"0" * 8)},
    "a negative shape": {"a.npy": member("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1), }", b"0" * 8)},
    "code in a header": {"a.npy": member("__import__('os').mkdir('exploded')")},
    "text": {"a.npy": member("{'descr': '<U2', 'fortran_order': False, 'shape': (1,), }", b"0" * 8)},
    "nothing": {"a.npy": b""},
    "bytes that are no text": {"note.json": b"\xff\xfe\xfa"},
}


@pytest.mark.parametrize("files", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused(files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    archive(tmp_path / "a.npz", files)
    with pytest.raises(DamagedError):
        read_arrays(tmp_path / "a.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (12500000,), }"
    path = archive(tmp_path / "a.npz", {"a.npy": member(header, bytes(100_000_000))}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 200_000
    with pytest.raises(DamagedError, match="compressed"):
        read_arrays(path)


def test_parts_that_lie_over_each_other_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", {"a": bytes(1000), "b": b""})
    content = bytearray(path.read_bytes())
    first, second = (place for place in range(len(content)) if content[place : place + 4] == b"PK\x01\x02")
    content[second + 20 : second + 28] = content[first + 20 : first + 28]  # both sizes
    content[second + 16 : second + 20] = content[first + 16 : first + 20]  # the checksum
    path.write_bytes(content)
    with pytest.raises(DamagedError):
        read_arrays(path)


@given(st.binary(max_size=300))
@example(b"PK\x05\x06" + bytes(18))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "any.npz"
    path.write_bytes(content)
    try:
        arrays, _ = read_arrays(path)
    except DamagedError:
        return
    assert all(array.dtype.kind in "biuf" for array in arrays.values())


@given(st.text(max_size=60) | st.text("{}[]()'\"\\ ,:<f8L0123456789descrshapfon_t\n#", max_size=100))
def test_any_header_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, header: str) -> None:
    path = archive(tmp_path_factory.mktemp("any") / "any.npz", {"a.npy": member(header)})
    with pytest.raises(DamagedError, match=r"\A.+\Z"):
        read_arrays(path)


@given(st.data())
def test_a_changed_byte_is_noticed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """What zip's own checksums cover is refused; elsewhere nothing worse happens than that it is read."""
    path = tmp_path_factory.mktemp("changed") / "a.npz"
    write_arrays(path, {"theta": np.arange(4.0)}, {"note.json": "{}"})
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content[: data.draw(st.sampled_from([len(content), place]))])
    try:
        arrays, texts = read_arrays(path)
    except DamagedError:
        return
    assert all(array.tobytes() == np.arange(4.0).tobytes() for array in arrays.values() if array.size == 4)
    assert len(arrays) + len(texts) <= 2


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DamagedError, match="No such file"):
        read_arrays(tmp_path / "none.npz")
