"""MNIST over HTTPS: the one place of the package that opens a connection, and only when it is called.

A file grows under the name NAME.gz.part and gets its own name when all of it has come and is right. What a broken
connection leaves is where the next attempt goes on.
"""
import hashlib
import os
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from .idx import DAMAGE, NAMES, check_path, find, load_idx, open_raw

MIRRORS = "https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"
MD5 = {                                                 # of the raw bytes: whoever packs them again gets another .gz
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
TIMEOUT = 30                                            # seconds without a byte
CHUNK = 1 << 16


def fetch_mnist(folder, *, mirrors=MIRRORS):
    """Download what a folder lacks of MNIST, 11 MB in all, and load it: 60,000 + 10,000 digits of 28 × 28 pixels.

    folder  : made if it is not there; files in it that are right are not fetched again, and where all four are, nothing
              is connected to
    mirrors : addresses of folders, each with a "/" at its end, that are tried in turn
    returns : what load_idx(folder) returns

    Before a file gets its name, the md5 of its raw bytes is held against the table MD5 of this module. A call after a
    broken one goes on where that ended, if the server knows how to. A bar on stderr, if that is a terminal, shows how
    far it is. Nothing is overwritten: a file that is there and wrong raises ValueError before anything is fetched.
    Raises OSError, with a reason for each mirror, where none has the right file, or where the folder cannot be written.
    Source: LeCun, Cortes and Burges, The MNIST database of handwritten digits, derived from databases of NIST.
    Licence: CC BY-SA 3.0.
    """
    folder = check_path("folder", folder)
    _check_mirrors(mirrors)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"folder must be a folder, or a name that is free, got the file {folder}")
    missing = [name for name in NAMES.values() if not _is_there(folder, name)]
    folder.mkdir(parents=True, exist_ok=True)
    for name in missing:
        _fetch(folder / f"{name}.gz", MD5[name], mirrors)
    return load_idx(folder)


def _check_mirrors(mirrors):
    if not isinstance(mirrors, (tuple, list)) or not all(isinstance(mirror, str) for mirror in mirrors):
        raise TypeError(f"mirrors must be a tuple of addresses, got {mirrors!r}")
    if not mirrors or not all("://" in mirror and mirror.endswith("/") for mirror in mirrors):
        raise ValueError(f"mirrors must be addresses such as {MIRRORS[0]!r}, with a '/' at the end, got {mirrors!r}")


def _is_there(folder, name):
    """Whether a file is there and right; ValueError if it is there and wrong."""
    path = find(folder, name)
    if path is not None and (md5 := _raw_md5(path)) != MD5[name]:
        raise ValueError(f"{path} is there already, but is not MNIST's: the md5 of its raw bytes must be {MD5[name]}, "
                         f"got {md5}. Move it away, or name another folder")
    return path is not None


def _fetch(path, md5, mirrors):
    """Get one file from the first mirror that has it, or raise OSError with all that went wrong."""
    part, failures = path.with_name(f"{path.name}.part"), []
    for mirror in mirrors:
        try:
            _download_and_check(mirror + path.name, part, md5)
        except (OSError, ValueError, HTTPException) as error:
            failures.append(f"{mirror}: {str(error) or type(error).__name__}")
            continue
        with open(part, "rb+") as file:
            os.fsync(file.fileno())                     # the bytes are on the disk before the name is
        os.replace(part, path)
        return
    raise OSError(f"{path} could not be fetched. " + "; ".join(failures))


def _download_and_check(url, part, md5):
    """All of `url` in `part`; a part that turns out wrong is removed."""
    resumed = part.exists()
    _download(url, part)
    got = _raw_md5(part)
    if got == md5:
        return
    part.unlink()
    if not resumed:
        raise ValueError(f"the md5 of the raw bytes must be {md5}, got {got}")
    _download_and_check(url, part, md5)                 # the first piece may be of another file: now from the start


def _download(url, part):
    """Append to `part` what it lacks of `url`. Whether the two belong together, the md5 will tell."""
    from tqdm import tqdm                               # here, because no other door of the package needs it

    start = part.stat().st_size if part.exists() else 0
    try:
        answer = urlopen(Request(url, headers={"Range": f"bytes={start}-"} if start else {}), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == 416:                           # nothing lies behind `start`
            return
        raise
    with answer:
        if answer.status != 206:                        # the server knows no ranges: all of the file comes
            start = 0
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length else None
        bar = tqdm(total=total, initial=start, desc=part.stem, unit="B", unit_scale=True, disable=None)
        with open(part, "ab") as file, bar:
            file.truncate(start)
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    if total is not None and (got := part.stat().st_size) != total:
        raise ConnectionError(f"the connection ended after {got} of {total} bytes; call again to go on from there")


def _raw_md5(path):
    """md5 of a file's bytes, unpacked; words, where they cannot be."""
    try:
        with open_raw(path) as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except DAMAGE as error:
        return f"a damaged gzip file ({error})"
