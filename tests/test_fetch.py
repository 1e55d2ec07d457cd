"""fetch_mnist against servers of this machine that behave as real ones do on bad days.

The four files are small stand-ins, so their md5s stand in for the real ones. A server keeps a list of what it was asked
for and how many bytes it sent: that nothing is fetched twice is counted, not believed.
"""
import gzip
import hashlib
import http.server
import os
import re
import socket
import threading

import numpy as np
import pytest

from tinyvae.datasets import fetch, fetch_mnist, idx, load_idx

NAMES = TRAIN, *_ = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
                     "t10k-labels-idx1-ubyte"]
RNG = np.random.default_rng(5)


def small_set(n):
    """{name: IDX bytes}; random, so that half of a gzip file is not all of it."""
    arrays = [RNG.integers(256, size=shape, dtype=np.uint8) for shape in [(n, 6, 5), (n,), (9, 6, 5), (9,)]]
    return {name: bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
            for name, array in zip(NAMES, arrays)}


RAW = small_set(40)
ZIPPED = {f"{name}.gz": gzip.compress(file) for name, file in RAW.items()}
OTHER = {f"{name}.gz": gzip.compress(file) for name, file in small_set(30).items()}         # another set, and shorter
PACK = f"{TRAIN}.gz"
HALF = len(ZIPPED[PACK]) // 2


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the server's `files` as its `mood` is."""

    def do_GET(self):
        server, name = self.server, self.path.removeprefix("/")
        start = self.headers["Range"]
        record = [name, start, 0]
        server.log.append(record)
        file = server.files.get(name)
        if server.mood == "down" or file is None:
            return self.send_error(503 if server.mood == "down" else 404)
        if server.mood == "nonsense":
            return self.wfile.write(b"nonsense\r\n\r\n")
        if server.mood == "asleep":
            server.awake.wait(3)                                            # a client of less patience has left
        start = 0 if start is None or server.mood == "no ranges" else int(re.fullmatch(r"bytes=(\d+)-", start)[1])
        if start >= len(file):
            return self.send_error(416)
        begin = 0 if server.mood == "other ranges" else start
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {begin}-{len(file) - 1}/{len(file)}")
        if server.mood != "no lengths":
            self.send_header("Content-Length", str(len(file) - begin))
        self.end_headers()
        rest = file[begin:] if server.cut.pop(name, None) is None else file[begin:len(file) // 2]
        self.wfile.write(rest)
        record[2] = len(rest)

    def log_message(self, *args):
        pass


@pytest.fixture
def serve(monkeypatch):
    """serve(files, mood) starts a server; .url is its mirror, .log its [name, Range, bytes sent] of each request."""
    monkeypatch.setattr(fetch, "MD5", {name: hashlib.md5(file).hexdigest() for name, file in RAW.items()})
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = []

    def start(files=ZIPPED, mood="good", cut=()):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.files, server.mood, server.log, server.awake = dict(files), mood, [], threading.Event()
        server.cut = dict.fromkeys(cut, True)                               # files that break off at the half, once
        server.url = f"http://127.0.0.1:{server.server_address[1]}/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.awake.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def unused():
    """The mirror of a port at which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    return f"http://127.0.0.1:{port}/"


def assert_is_fetched(folder, data):
    assert sorted(path.name for path in folder.iterdir()) == sorted(ZIPPED)
    for name, file in RAW.items():
        assert gzip.decompress((folder / f"{name}.gz").read_bytes()) == file
    for key, array in load_idx(folder).items():
        np.testing.assert_array_equal(array, data[key])
    assert data["train_images"].tobytes() == RAW[TRAIN][16:] and data["train_images"].shape == (40, 30)


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else None


# ---- good days -------------------------------------------------------------------------------------------------------


def test_the_table_is_that_of_mnist():
    assert fetch.MD5 == {"train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
                         "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
                         "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
                         "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637"}
    assert len(fetch.MIRRORS) == 2
    assert all(mirror.startswith("https://") and mirror.endswith("/mnist/") for mirror in fetch.MIRRORS)


@pytest.mark.parametrize("mood", ["good", "no ranges", "no lengths"])
def test_all_is_fetched_once(serve, tmp_path, capfd, mood):
    server, spare = serve(mood=mood), serve()
    folder = tmp_path / "new" / "mnist"
    data = fetch_mnist(str(folder), mirrors=(server.url, spare.url))
    assert_is_fetched(folder, data)
    assert server.log == [[name, None, len(file)] for name, file in ZIPPED.items()] and spare.log == []
    assert capfd.readouterr() == ("", "")                                   # no bar where there is no terminal
    assert_is_fetched(folder, fetch_mnist(folder, mirrors=[server.url]))    # all there: no connection
    assert len(server.log) == 4


def test_a_mirror_may_pack_the_files_in_another_way(serve, tmp_path):
    server = serve({name: gzip.compress(gzip.decompress(file), 1, mtime=7) for name, file in ZIPPED.items()})
    assert server.files[PACK] != ZIPPED[PACK]
    assert_is_fetched(tmp_path, fetch_mnist(tmp_path, mirrors=(server.url,)))


@pytest.mark.parametrize("name", [TRAIN, f"{TRAIN}.gz", "train-images.idx3-ubyte"])
def test_a_file_that_is_there_is_not_fetched(serve, tmp_path, name):
    content = ZIPPED[PACK] if name.endswith(".gz") else RAW[TRAIN]
    (tmp_path / name).write_bytes(content)
    server = serve()
    data = fetch_mnist(tmp_path, mirrors=(server.url,))
    assert [asked for asked, _, _ in server.log] == list(ZIPPED)[1:]
    assert (tmp_path / name).read_bytes() == content and data["train_images"].shape == (40, 30)


# ---- bad days --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["nobody listens", "down", "404", "nonsense", "wrong files", "a page of the web",
                                   "cut"])
def test_the_next_mirror_helps(serve, unused, tmp_path, fault):
    first = {"nobody listens": lambda: None, "down": lambda: serve(mood="down"), "404": lambda: serve({}),
             "nonsense": lambda: serve(mood="nonsense"), "wrong files": lambda: serve(OTHER),
             "cut": lambda: serve(cut=ZIPPED),
             "a page of the web": lambda: serve(dict.fromkeys(ZIPPED, b"<html>log in</html>"))}[fault]()
    second = serve()
    assert_is_fetched(tmp_path, fetch_mnist(tmp_path, mirrors=(first.url if first else unused, second.url)))
    assert len(second.log) == 4
    assert all((start is not None) == (fault == "cut") for _, start, _ in second.log)   # what has come is not lost


def test_no_mirror_helps(serve, unused, tmp_path):
    server = serve(mood="down")
    with pytest.raises(OSError) as caught:
        fetch_mnist(tmp_path, mirrors=(server.url, unused))
    for word in (PACK, server.url, "503", unused, "refused"):
        assert word in str(caught.value)
    assert names(tmp_path) == [] and len(server.log) == 1


def test_a_broken_transfer_goes_on_where_it_ended(serve, tmp_path):
    server = serve(cut=[PACK])
    with pytest.raises(OSError, match=rf"{PACK}.*ended after {HALF} of {len(ZIPPED[PACK])} bytes"):
        fetch_mnist(tmp_path, mirrors=(server.url,))
    assert names(tmp_path) == [f"{PACK}.part"]
    assert_is_fetched(tmp_path, fetch_mnist(tmp_path, mirrors=(server.url,)))
    assert server.log[:2] == [[PACK, None, HALF], [PACK, f"bytes={HALF}-", len(ZIPPED[PACK]) - HALF]]
    assert len(server.log) == 5


@pytest.mark.parametrize("mood", ["no ranges", "other ranges"])
@pytest.mark.parametrize("part", [ZIPPED[PACK][:HALF], OTHER[PACK][:HALF], b""])
def test_a_server_that_knows_no_ranges_begins_again(serve, tmp_path, mood, part):
    (tmp_path / f"{PACK}.part").write_bytes(part)
    server = serve(mood=mood)
    assert_is_fetched(tmp_path, fetch_mnist(tmp_path, mirrors=(server.url,)))
    assert server.log[-4][2] == len(ZIPPED[PACK])                           # all of it came
    assert len(server.log) == (5 if mood == "other ranges" and part else 4)  # once, unless the md5 had to tell


@pytest.mark.parametrize("part, requests", [
    (ZIPPED[PACK], 1),                                                      # all of it, but for the name: 416
    (ZIPPED[PACK] + b"more", 2), (b"\0" * 9999, 2),                         # longer than the server's: 416, then anew
    (OTHER[PACK][:HALF], 2), (b"\x1f\x8b", 1), (b"\0", 2)])                  # of another file: the md5 tells, then anew
def test_a_part_that_does_not_fit(serve, tmp_path, part, requests):
    (tmp_path / f"{PACK}.part").write_bytes(part)
    server = serve()
    assert_is_fetched(tmp_path, fetch_mnist(tmp_path, mirrors=(server.url,)))
    asked = [start for name, start, _ in server.log if name == PACK]
    assert asked == [f"bytes={len(part)}-", None][:requests]


@pytest.mark.parametrize("part", [None, ZIPPED[PACK][:HALF]])
def test_wrong_bytes_get_no_name(serve, tmp_path, part):
    server = serve({**ZIPPED, PACK: OTHER[PACK]})
    if part:
        (tmp_path / f"{PACK}.part").write_bytes(part)
    with pytest.raises(OSError) as caught:
        fetch_mnist(tmp_path, mirrors=(server.url,))
    got = hashlib.md5(gzip.decompress(OTHER[PACK])).hexdigest()
    for word in (PACK, server.url, f"must be {fetch.MD5[TRAIN]}, got {got}"):
        assert word in str(caught.value)
    assert names(tmp_path) == [] and len(server.log) == (2 if part else 1)


def test_a_server_that_says_nothing_is_left(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "TIMEOUT", 0.2)
    server = serve(mood="asleep")
    with pytest.raises(OSError, match=f"{server.url}: .*timed out"):
        fetch_mnist(tmp_path, mirrors=(server.url,))


@pytest.mark.parametrize("where, came", [("tqdm.tqdm.update", HALF),                       # after the first piece
                                         ("tinyvae.datasets.fetch._raw_md5", len(ZIPPED[PACK])),
                                         ("os.replace", len(ZIPPED[PACK]))])
def test_an_interrupt_leaves_no_half_file(serve, tmp_path, monkeypatch, where, came):
    def interrupt(*args):
        raise KeyboardInterrupt

    server = serve()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(fetch, "CHUNK", HALF)
        patch.setattr(where, interrupt)
        fetch_mnist(tmp_path, mirrors=(server.url,))
    assert [(path.name, path.stat().st_size) for path in tmp_path.iterdir()] == [(f"{PACK}.part", came)]
    assert_is_fetched(tmp_path, fetch_mnist(tmp_path, mirrors=(server.url,)))
    assert server.log[1][:2] == [PACK, f"bytes={came}-"]


def test_bytes_are_on_the_disk_before_the_name_is(serve, tmp_path, monkeypatch):
    order, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: (order.append("fsync"), fsync(number)))
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append("replace"), replace(a, b)))
    fetch_mnist(tmp_path, mirrors=(serve().url,))
    assert order == ["fsync", "replace"] * 4


# ---- what is refused before anything is fetched ----------------------------------------------------------------------


@pytest.mark.parametrize("content", [OTHER[PACK], ZIPPED[PACK][:HALF], b"mine", b""])
@pytest.mark.parametrize("name", [TRAIN, PACK, "t10k-labels.idx1-ubyte"])
def test_a_wrong_file_of_the_user_is_left_alone(serve, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    server = serve()
    with pytest.raises(ValueError, match="is there already.*must be [0-9a-f]{32}, got .*[Mm]ove it away") as caught:
        fetch_mnist(tmp_path, mirrors=(server.url,))
    assert str(tmp_path / name) in str(caught.value)
    assert (tmp_path / name).read_bytes() == content and names(tmp_path) == [name] and server.log == []


@pytest.mark.parametrize("mirrors, error", [
    ("http://127.0.0.1/", TypeError), (None, TypeError), (5, TypeError), ((b"http://127.0.0.1/",), TypeError),
    ((), ValueError), (("http://127.0.0.1",), ValueError), (("a folder/",), ValueError)])
def test_bad_mirrors(tmp_path, mirrors, error):
    with pytest.raises(error, match="mirrors must be .*, got"):
        fetch_mnist(tmp_path / "new", mirrors=mirrors)
    assert names(tmp_path) == []


def test_bad_folders(serve, tmp_path):
    server = serve()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError, match="folder must be a folder.*got the file"):
        fetch_mnist(tmp_path / "file", mirrors=(server.url,))
    for folder in (None, 5, b"new"):
        with pytest.raises(TypeError, match="folder must be a path, got"):
            fetch_mnist(folder, mirrors=(server.url,))
    assert server.log == [] and (tmp_path / "file").read_text() == "mine"


# ---- the real files --------------------------------------------------------------------------------------------------


REAL = os.environ.get("TINYVAE_DATA")


@pytest.mark.skipif(not REAL, reason="TINYVAE_DATA names no folder of IDX files")
def test_real_files_are_right():
    for name, md5 in fetch.MD5.items():
        with idx.open_raw(idx.find(idx.Path(REAL), name)) as file:
            if hashlib.file_digest(file, "md5").hexdigest() != md5:
                pytest.skip("TINYVAE_DATA holds another set than MNIST")
    data = fetch_mnist(REAL, mirrors=("http://127.0.0.1:9/",))              # nobody there: nothing may be asked
    assert data["test_images"].shape == (10_000, 784)
