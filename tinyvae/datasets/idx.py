"""IDX files, the form in which MNIST and Fashion-MNIST travel: four files of bytes with a short header, in one folder.

    0 0 type rank    then, for each of the `rank` axes, its length as a big-endian uint32, then the bytes, row by row

Images have rank 3 (number, height, width), labels rank 1; type 8 stands for unsigned bytes.
Source: LeCun, Cortes and Burges, The MNIST database of handwritten digits, file formats.
"""
import gzip
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np

NAMES = {"train_images": "train-images-idx3-ubyte", "train_labels": "train-labels-idx1-ubyte",
         "test_images": "t10k-images-idx3-ubyte", "test_labels": "t10k-labels-idx1-ubyte"}
RANKS = {"train_images": 3, "train_labels": 1, "test_images": 3, "test_labels": 1}
TYPES = {0x08: "uint8", 0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}

VARIABLE = "TINYVAE_DATA"
DEBIAN = "/usr/share/datasets/fashion-mnist"            # where Debian's package dataset-fashion-mnist puts its files
ADVICE = (f"fetch_mnist(folder) downloads MNIST; pass its folder, or set {VARIABLE} to it. On Debian the package "
          "dataset-fashion-mnist needs neither")

DAMAGE = EOFError, zlib.error, gzip.BadGzipFile         # what reading a damaged gzip file raises
DEFLATE = 1032                                          # no byte of a gzip file unpacks to more than so many
CHUNK = 1 << 17


def load_idx(folder=None):
    """MNIST, Fashion-MNIST or any set of that form, from a folder of IDX files.

    folder  : where the four files are; None for the environment variable TINYVAE_DATA or, if it is not set, the folder
              of Debian's package dataset-fashion-mnist
    returns : {"train_images", "train_labels", "test_images", "test_labels"}, all uint8 and fresh, to be changed freely;
              images are (N, height * width), a row an image, with grey levels 0 to 255; labels are (N,)

    Each file may be raw or gzipped: train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
    t10k-labels-idx1-ubyte, all with or without .gz. The raw one is taken where both are there. Files are unpacked into
    the arrays in pieces: nothing is held twice.
    Raises FileNotFoundError or NotADirectoryError where folder or files are missing; ValueError where a file is not
    what its name says, is damaged, too short or too long, or where the four do not belong together.
    """
    folder = _choose(folder)
    paths = {key: find(folder, name) for key, name in NAMES.items()}
    missing = [NAMES[key] for key, path in paths.items() if path is None]
    if missing:
        there = sorted(path.name for path in folder.iterdir())
        listed = ", ".join(there[:12] + ["…"] * (len(there) > 12)) or "nothing"
        raise FileNotFoundError(f"{folder} must hold four IDX files, raw or .gz, but lacks {', '.join(missing)}; found "
                                f"{listed}. {ADVICE}")
    data = {key: _read(path, RANKS[key]) for key, path in paths.items()}
    _check_that_they_match(data, paths)
    return {key: array.reshape(len(array), -1) if array.ndim == 3 else array for key, array in data.items()}


def check_path(name, path):
    """`path` as a Path; TypeError for what is no path."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{name} must be a path, got {path!r} ({type(path).__name__})")
    return Path(path)


def find(folder, name):
    """The file of this name, raw or gzipped, or None. Some unpackers write a dot before idx."""
    stems = name, name.replace("-idx", ".idx")
    return next((path for stem in stems for end in ("", ".gz") if (path := folder / f"{stem}{end}").is_file()), None)


def open_raw(path):
    """The file, to be read unpacked. Its first bytes, not its name, tell gzip: browsers unpack and keep the name."""
    with open(path, "rb") as file:
        gzipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if gzipped else open(path, "rb")


def _choose(folder):
    """The folder that is meant, and that is there."""
    name = "folder"
    if folder is None and os.environ.get(VARIABLE):
        name, folder = VARIABLE, os.environ[VARIABLE]
    if folder is None:
        if not Path(DEBIAN).is_dir():
            raise FileNotFoundError(f"no folder was passed, {VARIABLE} is not set, and there is no {DEBIAN}. {ADVICE}")
        folder = DEBIAN
    folder = check_path(name, folder)
    if not folder.exists():
        raise FileNotFoundError(f"{name} must be a folder of IDX files, but {folder} does not exist. {ADVICE}")
    if not folder.is_dir():
        raise NotADirectoryError(f"{name} must be a folder of IDX files, got the file {folder}. {ADVICE}")
    return folder


def _read(path, rank):
    """The array that an IDX file of this rank holds."""
    with open_raw(path) as file:
        try:
            shape = _read_header(file, path, rank)
            array = np.empty(shape, np.uint8)
            got = _fill(file, array.reshape(-1))
            trailing = file.read(1)                     # at the end, and not before, gzip looks at its checksum
        except DAMAGE as error:
            raise ValueError(f"{path} is damaged: {error}. Fetch it again") from error
    if got < array.size:
        raise ValueError(f"{path} must hold {array.size} bytes after its header, got {got}: it was cut short")
    if trailing:
        raise ValueError(f"{path} must hold {array.size} bytes after its header, got more: it is no single IDX file")
    return array


def _read_header(file, path, rank):
    """Lengths of the axes: as many as expected, none 0, and no more bytes in all than the file can hold."""
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[3] != rank:
        raise ValueError(f"{path} must begin with the magic number 0000 08 {rank:02} of {rank}-dimensional IDX data, "
                         f"got {magic.hex() or 'an empty file'}")
    if magic[2] != 0x08:
        raise ValueError(f"{path} must hold unsigned bytes (type 0x08), got type 0x{magic[2]:02x} "
                         f"({TYPES.get(magic[2], 'unknown')})")
    lengths = file.read(4 * rank)
    if len(lengths) < 4 * rank:
        raise ValueError(f"{path} must have a header of {4 + 4 * rank} bytes, got {4 + len(lengths)}: it was cut short")
    shape = struct.unpack(f">{rank}I", lengths)
    if 0 in shape:
        raise ValueError(f"{path} must not be empty, got shape {shape}")
    most = os.fstat(file.fileno()).st_size * (DEFLATE if isinstance(file, gzip.GzipFile) else 1)
    if math.prod(shape) > most:
        raise ValueError(f"{path} must hold {math.prod(shape)} bytes after its header (shape {shape}), but its size "
                         f"allows {most} at most: it was cut short, or its header is damaged")
    return shape


def _fill(file, array):
    """Number of bytes read into a flat array. In pieces, because gzip's readinto makes a copy of what it reads."""
    got = 0
    while n := file.readinto(array[got:got + CHUNK]):
        got += n
    return got


def _check_that_they_match(data, paths):
    for part in ("train", "test"):
        images, labels = f"{part}_images", f"{part}_labels"
        if len(data[images]) != len(data[labels]):
            raise ValueError(f"{paths[labels]} must hold a label for each of the {len(data[images])} images of "
                             f"{paths[images].name}, got {len(data[labels])}")
    train, test = (data[key].shape[1:] for key in ("train_images", "test_images"))
    if train != test:
        raise ValueError(f"{paths['test_images']} must hold images of {train[0]} × {train[1]} pixels, as does "
                         f"{paths['train_images'].name}, got {test[0]} × {test[1]}")
