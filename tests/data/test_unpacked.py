"""What a table may be packed in, and other files than those of text."""

import bz2
import gzip
import io
import lzma
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nnexp.core.component import Labels
from nnexp.core.errors import UserError
from nnexp.data import unpacked
from nnexp.data.csv import Csv
from tests.conftest import Finished
from tests.data.test_csv import assert_same, save, text

Typed = Callable[..., Finished]
MAC = ("__MACOSX/._my.csv", ".DS_Store", "folder/")


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


PACKED = {
    "my.csv.gz": gzip.compress(text().encode()),
    "my.bz2": bz2.compress(text().encode()),
    "my.xz": lzma.compress(text().encode()),
    "my.zip": zipped({"my.csv": text().encode()}),
    "of a mac.zip": zipped({**dict.fromkeys(MAC, b"\0\5\26\7"), "folder/my.csv": text().encode()}),
    "gzip without its name.csv": gzip.compress(text().encode()),
    "text by the name of another.zip": text().encode(),
}


@pytest.mark.parametrize("name", PACKED)
def test_a_packed_table_is_read_as_it_is(tmp_path: Path, name: str) -> None:
    plain = Csv(path=save(tmp_path, text())).load()
    assert_same(Csv(path=save(tmp_path, PACKED[name], name)).load(), plain)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("two.zip", zipped({"a.csv": b"", "b.csv": b""}), "must have one table in the archive, and has a.csv, b.csv;"),
        ("none.zip", zipped(dict.fromkeys(MAC, b"")), "must have one table in the archive, and has none"),
        ("my.xlsx", zipped({"xl/workbook.xml": b"", "a.xml": b""}), "is a workbook; save its sheet as CSV"),
        ("my.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is a workbook; save its sheet as CSV"),
        ("page.csv", b"\n<!DOCTYPE html>\n<html>", "is a web page; download the table itself"),
        ("torn.parquet", b"PAR1" + bytes(100), "must be a table of text in UTF-8"),
        ("torn.npz", zipped({"x.npy": b"\x93NUMPY\1\0"}), "must be an npz file of arrays"),
        ("torn-idx3-ubyte", bytes([0, 0, 8, 1, 0, 0, 0, 9, 1]), "must have as many numbers as torn-idx3-ubyte says"),
        ("alone-images-idx3-ubyte", bytes([0, 0, 8, 1, 0, 0, 0, 1, 1]), "must have the arrays x and y, or x_train"),
    ],
)
def test_other_files_are_told(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        Csv(path=save(tmp_path, content, name)).load()
    assert sentence in str(error.value)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lambda content: zipped({"a.csv": content})])
def test_a_small_file_that_unpacks_to_very_much_is_stopped_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    monkeypatch.setattr(unpacked, "MOST_UNPACKED", 2**20)
    for content in (b"x,y\n" + b"1,1\n" * 2**21, b"x,y\n" + b"1" * 2**23):
        path = save(tmp_path, pack(content), "bomb.csv.gz")
        with pytest.raises(UserError, match="must not unpack to more than 1 MiB, 100 times its size"):
            Csv(path=path).load()


def test_arrays_that_unpack_to_very_much_are_not_unpacked(tmp_path: Path) -> None:
    content = io.BytesIO()
    np.savez_compressed(content, x=np.zeros((2**26, 1), np.uint8), y=np.zeros(2**28, np.uint8))
    with pytest.raises(UserError, match="it unpacks to too much"):
        Csv(path=save(tmp_path, content.getvalue(), "bomb.npz")).load()


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(UserError, match="must be a file, no pipe or device"):
            Csv(path=str(path)).load()


def frame() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    cities = np.array(["Rom", "Köln", None])[generator.integers(0, 3, 40)]
    codes = generator.choice(["01", "02"], 40)
    return pd.DataFrame({"size": generator.random(40), "rooms": generator.integers(0, 9, 40), "city": cities,
                         "old": generator.random(40) < 0.5, "label": codes})  # fmt: skip


def test_parquet_is_read_as_text_is(tmp_path: Path) -> None:
    table = frame()
    table.to_csv(tmp_path / "my.csv", index=False)
    table.to_parquet(tmp_path / "my.parquet")
    plain, parquet = (
        Csv(path=str(tmp_path / name), categorical=("city",), missing="mean").load()
        for name in ("my.csv", "my.parquet")
    )
    assert_same(parquet, plain)
    assert parquet.task.classes == ("01", "02")
    with pytest.raises(UserError, match=r"column city, and row 2 has Köln; .*dataset.categorical=\[city\]"):
        Csv(path=str(tmp_path / "my.parquet")).load()


def test_predict_reads_parquet(typed: Typed) -> None:
    table = frame()
    table.to_csv("my.csv", index=False)
    table.to_parquet("my.parquet")
    words = ("dataset.path=my.csv", "dataset.categorical=auto", "dataset.missing=mean", "output_dir=runs")
    assert typed("dataset=csv", *words, "tracking=none", "figures=false", "verbose=false").returncode == 0
    (folder,) = (path.parent for path in Path("runs").rglob("result.json"))
    printed = [typed("predict", str(folder), name) for name in ("my.csv", "my.parquet")]
    assert printed[0].stdout == printed[1].stdout
    assert len(printed[0].stdout.splitlines()) == 41


IMAGES = np.random.default_rng(1).integers(0, 255, (60, 4, 3), np.uint8)
LABELS = np.arange(60, dtype=np.uint8) % 3


def idx(array: Labels) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return head + array.tobytes()


def test_idx_files_of_images_and_labels(tmp_path: Path) -> None:
    save(tmp_path, idx(LABELS[:50]), "train-labels-idx1-ubyte")
    path = save(tmp_path, idx(IMAGES[:50]), "train-images-idx3-ubyte")
    save(tmp_path, gzip.compress(idx(LABELS[50:])), "t10k-labels.idx1-ubyte.gz")
    test_path = save(tmp_path, gzip.compress(idx(IMAGES[50:])), "t10k-images.idx3-ubyte.gz")
    data = Csv(path=path, test_path=test_path, standardize=False).load()
    np.testing.assert_array_equal(data.train.x, IMAGES[:50].reshape(50, 12))
    np.testing.assert_array_equal(data.test.x, IMAGES[50:].reshape(10, 12))
    np.testing.assert_array_equal(data.test.targets, LABELS[50:])
    assert (data.task.classes, data.image_shape) == (("0", "1", "2"), (4, 3))


@pytest.mark.parametrize("save_arrays", [np.savez, np.savez_compressed])
def test_npz_files_with_and_without_a_test_part(tmp_path: Path, save_arrays: Callable[..., None]) -> None:
    parts = {"x_train": IMAGES[:50], "y_train": LABELS[:50], "x_test": IMAGES[50:], "y_test": LABELS[50:]}
    save_arrays(tmp_path / "keras.npz", **parts)
    save_arrays(tmp_path / "plain.npz", x=IMAGES, y=np.array(["a", "b", "c"])[LABELS])
    data = Csv(path=str(tmp_path / "keras.npz"), standardize=False, validation_size=0.2).load()
    np.testing.assert_array_equal(data.test.x, IMAGES[50:].reshape(10, 12))
    assert data.validation is not None
    assert (len(data.train), len(data.validation), data.image_shape) == (40, 10, (4, 3))
    plain = Csv(path=str(tmp_path / "plain.npz")).load()
    assert (plain.task.classes, len(plain.train), len(plain.test)) == (("a", "b", "c"), 48, 12)
    with pytest.raises(UserError, match=r"must have numbers in y; for names, dataset.kind=classification"):
        Csv(path=str(tmp_path / "plain.npz"), kind="regression").load()
    with pytest.raises(UserError, match=r"dataset.target: must not be given for arrays"):
        Csv(path=str(tmp_path / "plain.npz"), target="y").load()


def test_predict_reads_arrays(typed: Typed) -> None:
    np.savez("my.npz", x=IMAGES, y=LABELS)
    words = ("dataset.path=my.npz", "loss=sparse_categorical_cross_entropy", "output_dir=runs")
    assert typed("dataset=csv", *words, "tracking=none", "figures=false", "verbose=false").returncode == 0
    (folder,) = (path.parent for path in Path("runs").rglob("result.json"))
    pd.DataFrame(IMAGES.reshape(60, 12)).to_csv("my.csv", index=False, header=False)
    printed = [typed("predict", str(folder), name) for name in ("my.npz", "my.csv")]
    assert printed[0].stdout == printed[1].stdout, printed
    assert len(printed[0].stdout.splitlines()) == 61
