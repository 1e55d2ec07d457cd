"""IDX folders: the form is written here a second time, byte by byte; each way to be wrong has its error.

The small set has 7 + 3 images of 5 × 4 pixels: no two of these numbers agree, so that no swapped axis stays unseen.
"""
import gzip
import hashlib
import os
import tracemalloc

import numpy as np
import pytest

from tinyvae.datasets import idx, load_idx
from tinyvae.datasets.fetch import MD5

TRAIN, TRAIN_LABELS, TEST, TEST_LABELS = NAMES = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                                  "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]
KEYS = ["train_images", "train_labels", "test_images", "test_labels"]
RNG = np.random.default_rng(3)
ARRAYS = dict(zip(NAMES, (RNG.integers(256, size=shape, dtype=np.uint8) for shape in [(7, 5, 4), 7, (3, 5, 4), 3])))


def packed(array, kind=8):
    """An array of bytes as IDX."""
    lengths = b"".join(length.to_bytes(4, "big") for length in array.shape)
    return bytes([0, 0, kind, array.ndim]) + lengths + bytes(array.ravel().tolist())


def spoilt(file, place, value):
    return file[:place] + bytes([value]) + file[place + 1:]


FILES = {name: packed(array) for name, array in ARRAYS.items()}


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch, tmp_path):
    monkeypatch.delenv("TINYVAE_DATA", raising=False)
    monkeypatch.setattr(idx, "DEBIAN", str(tmp_path / "not-installed"))


@pytest.fixture
def folder(tmp_path):
    """A folder of four good raw files."""
    folder = tmp_path / "set"
    folder.mkdir()
    for name, file in FILES.items():
        (folder / name).write_bytes(file)
    return folder


def assert_is_the_small_set(data):
    assert list(data) == KEYS
    for key, expected in zip(KEYS, ARRAYS.values()):
        assert data[key].dtype == np.uint8
        rows = [image.ravel() for image in expected] if expected.ndim == 3 else expected
        np.testing.assert_array_equal(data[key], rows)


def refused(folder, error, *words):
    with pytest.raises(error) as caught:
        load_idx(folder)
    assert type(caught.value) is error
    assert [word for word in words if str(word) not in str(caught.value)] == [], str(caught.value)


# ---- good folders ----------------------------------------------------------------------------------------------------


def rename(folder, how):
    for name, file in FILES.items():
        path = folder / name
        path.unlink()
        stem = name.replace("-idx", ".idx") if "dot" in how else name
        content = gzip.compress(file) if "gzip" in how else file
        (folder / (stem + ".gz" * ("named .gz" in how))).write_bytes(content)


@pytest.mark.parametrize("how", ["raw", "gzip, named .gz", "dot, raw", "dot, gzip, named .gz", "raw, named .gz",
                                 "gzip"])
def test_every_form_of_the_files(folder, how):
    rename(folder, how)
    assert_is_the_small_set(load_idx(folder))
    assert_is_the_small_set(load_idx(str(folder)))


def test_forms_may_be_mixed_and_raw_comes_first(folder):
    (folder / TRAIN).rename(folder / "train-images.idx3-ubyte")
    (folder / f"{TEST}.gz").write_bytes(b"never looked at")
    (folder / "notes.txt").write_text("mine")
    assert_is_the_small_set(load_idx(folder))


def test_where_it_looks(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(idx, "DEBIAN", str(folder))
    assert_is_the_small_set(load_idx())
    monkeypatch.setenv("TINYVAE_DATA", "")                      # as good as not set
    assert_is_the_small_set(load_idx())
    monkeypatch.setenv("TINYVAE_DATA", str(tmp_path / "gone"))  # named, so there is no way round it
    refused(None, FileNotFoundError, "TINYVAE_DATA", tmp_path / "gone", "does not exist")
    assert_is_the_small_set(load_idx(folder))                   # an argument comes before the variable
    monkeypatch.setattr(idx, "DEBIAN", str(tmp_path / "not-installed"))
    monkeypatch.setenv("TINYVAE_DATA", str(folder))
    assert_is_the_small_set(load_idx())


def test_debian_folder_is_the_one_of_the_package(monkeypatch):
    monkeypatch.undo()
    assert idx.DEBIAN == "/usr/share/datasets/fashion-mnist"


@pytest.mark.parametrize("how", ["raw", "gzip, named .gz"])
def test_arrays_are_fresh_and_may_be_changed(folder, how):
    rename(folder, how)
    first = load_idx(folder)
    for array in first.values():
        assert array.flags.writeable and array.flags.c_contiguous
        array[...] = 0
    assert_is_the_small_set(load_idx(folder))


def test_letters_have_more_than_ten_labels(folder):
    labels = np.array([255, 26, 1], np.uint8)
    (folder / TEST_LABELS).write_bytes(packed(labels))
    assert load_idx(folder)["test_labels"].tolist() == [255, 26, 1]


@pytest.mark.parametrize("how", ["raw", "gzip, named .gz"])
def test_nothing_is_held_twice(folder, how):
    images = np.zeros((5000, 40, 50), np.uint8)                 # 10 MB that gzip packs as closely as it can
    images[-1, -1, -1] = 1
    (folder / TRAIN).write_bytes(packed(images))
    (folder / TRAIN_LABELS).write_bytes(packed(np.zeros(5000, np.uint8)))
    (folder / TEST).write_bytes(packed(images[:3]))
    for name in FILES:
        path = folder / name
        if "gz" in how:
            (folder / f"{name}.gz").write_bytes(gzip.compress(path.read_bytes(), 9))
            path.unlink()
    tracemalloc.start()
    try:
        data = load_idx(folder)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(data["train_images"], images.reshape(5000, 2000))
    assert peak < 1.3 * images.nbytes


# ---- bad folders -----------------------------------------------------------------------------------------------------


def test_no_folder_is_known(tmp_path):
    refused(None, FileNotFoundError, "TINYVAE_DATA", tmp_path / "not-installed", "fetch_mnist", "dataset-fashion-mnist")


def test_a_folder_that_is_none(folder, tmp_path):
    refused(tmp_path / "gone", FileNotFoundError, "folder must be", "gone does not exist", "fetch_mnist")
    refused(folder / TRAIN, NotADirectoryError, "folder must be", f"got the file {folder / TRAIN}")
    for folder in (5, b"bytes", True, ["a"]):
        refused(folder, TypeError, "folder must be a path", repr(folder))


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    (folder / name).mkdir()                                     # some unpackers make a folder of this name: no file
    refused(folder, FileNotFoundError, folder, f"lacks {name};", "found", *(set(NAMES) - {name}), "fetch_mnist")


def test_an_empty_folder_and_a_full_one(tmp_path):
    refused(tmp_path, FileNotFoundError, f"lacks {', '.join(NAMES)}; found nothing")
    for i in range(40):
        (tmp_path / f"picture{i:02}").touch()
    refused(tmp_path, FileNotFoundError, "picture00", "picture11, …")


# ---- bad files -------------------------------------------------------------------------------------------------------


def header(*shape):
    return packed(np.zeros((0,) * len(shape), np.uint8))[:4] + b"".join(n.to_bytes(4, "big") for n in shape)


BAD = {                                                         # name of the file, its bytes, words of the error
    "first byte": (TRAIN, spoilt(FILES[TRAIN], 0, 1), ["magic number 0000 08 03", "got 01000803"]),
    "second byte": (TEST_LABELS, spoilt(FILES[TEST_LABELS], 1, 9), ["0000 08 01", "got 00090801"]),
    "labels under the name of images": (TRAIN, FILES[TRAIN_LABELS], ["3-dimensional", "got 00000801"]),
    "images under the name of labels": (TRAIN_LABELS, FILES[TRAIN], ["1-dimensional", "got 00000803"]),
    "a page of the web": (TEST, b"<!DOCTYPE html>", ["magic number", "got 3c21444f"]),
    "floats": (TRAIN, packed(ARRAYS[TRAIN], 0x0D), ["unsigned bytes (type 0x08)", "got type 0x0d (float32)"]),
    "signed bytes": (TEST_LABELS, packed(ARRAYS[TEST_LABELS], 9), ["got type 0x09 (int8)"]),
    "a type that is none": (TRAIN, packed(ARRAYS[TRAIN], 7), ["got type 0x07 (unknown)"]),
    "no byte": (TRAIN, b"", ["got an empty file"]),
    "half a magic number": (TRAIN, FILES[TRAIN][:3], ["got 000008"]),
    "half a header": (TRAIN, FILES[TRAIN][:10], ["header of 16 bytes, got 10"]),
    "no data": (TEST, FILES[TEST][:16], ["must hold 60 bytes", "cut short"]),
    "a byte too few": (TRAIN, FILES[TRAIN][:-1], ["must hold 140 bytes after its header, got 139"]),
    "a byte too many": (TEST_LABELS, FILES[TEST_LABELS] + b"\0", ["must hold 3 bytes after its header, got more"]),
    "no images": (TRAIN, header(0, 5, 4), ["must not be empty", "(0, 5, 4)"]),
    "no pixels": (TEST, header(3, 5, 0), ["must not be empty", "(3, 5, 0)"]),
    "no labels": (TRAIN_LABELS, header(0), ["must not be empty", "(0,)"]),
    "terabytes": (TRAIN, header(60_000, 10_000, 10_000) + FILES[TRAIN][16:], ["6000000000000 bytes", "at most"]),
    "more bytes than an int64 counts": (TEST, header(*[2**32 - 1] * 3) + b"12", [f"{(2**32 - 1)**3} bytes", "at most"]),
    "a label too few": (TRAIN_LABELS, packed(ARRAYS[TRAIN_LABELS][:6]), ["the 7 images", TRAIN, "got 6"]),
    "a label too many": (TEST_LABELS, packed(np.ones(4, np.uint8)), ["the 3 images", TEST, "got 4"]),
    "turned images": (TEST, packed(ARRAYS[TEST].transpose(0, 2, 1)), ["5 × 4", TRAIN, "got 4 × 5"]),
}


@pytest.mark.parametrize("how", ["raw", "gzip"])
@pytest.mark.parametrize("case", BAD)
def test_a_bad_file(folder, case, how):
    name, content, words = BAD[case]
    (folder / name).write_bytes(gzip.compress(content) if how == "gzip" else content)
    refused(folder, ValueError, folder / name, *words)


@pytest.mark.parametrize("how", ["raw", "gzip"])
def test_a_header_that_lies_is_refused_before_memory_is_asked_for(folder, how):
    name, content, _ = BAD["terabytes"]
    (folder / name).write_bytes(gzip.compress(content) if how == "gzip" else content)
    tracemalloc.start()
    try:
        refused(folder, ValueError, name)
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


ZIPPED = gzip.compress(FILES[TRAIN])


@pytest.mark.parametrize("content", [
    ZIPPED[:2], ZIPPED[:9], ZIPPED[:-1], ZIPPED[:-8], ZIPPED[:40],          # cut short, the last in the middle
    spoilt(ZIPPED, 2, 7), spoilt(ZIPPED, 10, 0xFF),                         # no such method; no such block
    spoilt(ZIPPED, len(ZIPPED) - 8, ZIPPED[-8] ^ 1), spoilt(ZIPPED, len(ZIPPED) - 4, ZIPPED[-4] ^ 1),   # sum, length
    ZIPPED + b"more"])
def test_a_damaged_gzip_file(folder, content):
    (folder / TRAIN).write_bytes(content)
    refused(folder, ValueError, folder / TRAIN, "damaged", "Fetch it again")


def test_no_flipped_bit_of_a_gzip_file_goes_unseen(folder):
    unseen = 0
    for place in range(10, len(ZIPPED)):
        (folder / TRAIN).write_bytes(spoilt(ZIPPED, place, ZIPPED[place] ^ 1 << place % 8))
        try:
            assert_is_the_small_set(load_idx(folder))           # up to seven bits behind the last block mean nothing
            unseen += 1
        except ValueError as error:
            assert str(folder / TRAIN) in str(error)
    assert unseen <= 1


# ---- the real files --------------------------------------------------------------------------------------------------


REAL = os.environ.get("TINYVAE_DATA")


@pytest.mark.skipif(not REAL, reason="TINYVAE_DATA names no folder of IDX files")
def test_real_files():
    data = load_idx(REAL)
    assert [array.shape[1:] for array in data.values()] == [(784,), (), (784,), ()]
    with idx.open_raw(idx.find(idx.Path(REAL), TRAIN)) as file:
        if hashlib.file_digest(file, "md5").hexdigest() != MD5[TRAIN]:
            pytest.skip("TINYVAE_DATA holds another set than MNIST")
    assert [len(array) for array in data.values()] == [60_000, 60_000, 10_000, 10_000]
    for name, array in zip(NAMES, data.values()):
        raw = packed(array.reshape(-1, 28, 28) if array.ndim == 2 else array)
        assert hashlib.md5(raw, usedforsecurity=False).hexdigest() == MD5[name]
    assert np.bincount(data["train_labels"]).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert data["train_labels"][:5].tolist() == [5, 0, 4, 1, 9]
