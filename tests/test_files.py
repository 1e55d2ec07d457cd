"""A model in one file: what comes back is the model, whatever its parameters; what is not whole is refused in words.

The archive is written here a second time, with a right digest, so that forged contents get to the checks behind it.
"""
import hashlib
import io
import json
import os
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyvae import PCA, VAE, Autoencoder, LinearSVM, ProbabilisticPCA, SoftmaxClassifier, load, optim, save
from tinyvae.corruption import GaussianNoise, MaskingNoise, SaltAndPepper
from tinyvae.estimator import NotFittedError
from tinyvae.penalties import L1, Contractive, KLSparsity

X = (np.random.default_rng(0).random((40, 6)) < 0.4).astype(float)
OUTPUTS = ("transform", "reconstruct", "reconstruction_error", "elbo", "log_likelihood", "kl_by_dimension")
SMALL = {"hidden": (3,), "batch_size": 16, "n_epochs": 2, "random_state": 1}
MADE = {
    "pca": lambda: PCA(2), "pca, numpy integer": lambda: PCA(np.int64(3)), "ppca": lambda: ProbabilisticPCA(2),
    "em": lambda: ProbabilisticPCA(2, "em", tol=1e-3, random_state=np.random.default_rng(4)),
    "autoencoder": lambda: Autoencoder(2, **SMALL),
    "tied": lambda: Autoencoder(2, tied=True, loss="bernoulli", **SMALL),
    "gaussian": lambda: VAE(2, **SMALL), "sd": lambda: VAE(1, sd=0.5, **SMALL),
    "bernoulli": lambda: VAE(2, likelihood="bernoulli", binarize=True, **SMALL),
    "grey": lambda: VAE(2, likelihood="bernoulli", input_scale=np.float32(0.5), **SMALL),
    "diagonal": lambda: VAE(2, likelihood="gaussian_diagonal", beta=2, **SMALL),
    "full": lambda: VAE(2, posterior="full", likelihood="gaussian_full", objective="iwae", n_samples=np.int64(3),
                        gradient="dreg", warm_up=3, **SMALL),                             # in the middle of its warm-up
    "score": lambda: VAE(2, posterior="full", n_samples=2, gradient="score", control_variate=True, warm_up=1, **SMALL),
    "list": lambda: VAE(2, **{**SMALL, "hidden": [4, np.int32(3)]}),
    "no hidden": lambda: VAE(2, **{**SMALL, "hidden": ()}),
    "type": lambda: VAE(2, dtype=np.float32, **SMALL), "dtype": lambda: VAE(2, dtype=np.dtype("float32"), **SMALL),
    "word": lambda: VAE(2, dtype="float64", **SMALL), "no epochs": lambda: VAE(2, **{**SMALL, "n_epochs": 0}),
    **{name: lambda name=name: VAE(2, optimizer=name, learning_rate=1e-3, **SMALL) for name in optim.OPTIMIZERS},
    "Momentum": lambda: VAE(2, optimizer=optim.Momentum(0.01, beta=0.8), **SMALL),
    "Nesterov": lambda: VAE(2, optimizer=optim.Nesterov(0.01), **SMALL),
    "Adam": lambda: Autoencoder(2, optimizer=optim.Adam(beta1=0.8, eps=1e-7), **SMALL),
    "penalties": lambda: Autoencoder(2, activation="sigmoid", penalties=[L1(0.1, eps=1e-3), KLSparsity(0.2, 0.1)],
                                     corruption=MaskingNoise(0.3), **SMALL),
    "contractive": lambda: Autoencoder(2, penalties=(Contractive(0.1),), corruption=GaussianNoise(0.1), pretrain=True,
                                       **SMALL),
    "salt": lambda: Autoencoder(2, corruption=SaltAndPepper(0.1), **SMALL),
    "none": lambda: VAE(2, **{**SMALL, "random_state": None}),
    "RandomState": lambda: VAE(2, **{**SMALL, "random_state": np.random.RandomState(3)}),
    **{kind.__name__: lambda kind=kind: VAE(2, **{**SMALL, "random_state": np.random.Generator(kind(5))}) for kind in
       (np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64)},
}
each = pytest.mark.parametrize("make", MADE.values(), ids=MADE)


def fitted(make):
    model = make()
    model._warned = True                                    # of grey levels; set by every other Bernoulli fit
    return model.fit(X * 0.7 if isinstance(model, VAE) and model.likelihood == "bernoulli" else X)


def state(model):
    """All that a model is, in a form that `==` compares bit for bit."""
    return {name: plain(value) for name, value in vars(model).items()}


def plain(value):
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes()
    if isinstance(value, np.random.Generator):
        return plain(value.bit_generator.state)
    if isinstance(value, np.random.RandomState):
        return plain(value.get_state(legacy=False))
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return np.dtype(value).name if value in (np.float32, np.float64) or isinstance(value, np.dtype) else value


# ---- there and back --------------------------------------------------------------------------------------------------


@each
def test_what_comes_back_is_the_model(make, tmp_path):
    model = fitted(make)
    assert save(model, str(tmp_path / "m.npz")) == tmp_path / "m.npz" and os.listdir(tmp_path) == ["m.npz"]
    twin = load(tmp_path / "m.npz")
    assert type(twin) is type(model) and state(twin) == state(model) and twin is not model
    assert type(getattr(twin, "hidden", ())) is type(getattr(model, "hidden", ()))
    seed = {"random_state": 7} if isinstance(model, VAE) else {}
    for name in set(OUTPUTS) & set(dir(model)):
        arguments = seed if name in OUTPUTS[3:] else {}
        assert plain(getattr(twin, name)(X, **arguments)) == plain(getattr(model, name)(X, **arguments)), name


@each
def test_training_goes_on_as_if_nothing_had_happened(make, tmp_path):
    model = fitted(make)
    if isinstance(model, (PCA, ProbabilisticPCA)):
        return
    twin = load(save(model, tmp_path / "m"))
    for one in (model, twin):
        one.partial_fit(X)
        if isinstance(one, VAE):
            one.elbo(X)                                     # draws from random_state, where that is a generator …
        one.partial_fit(X)                                  # … and so changes what follows
    assert state(twin) == state(model)
    if model.random_state is not None:
        assert state(twin.fit(X)) == state(model.fit(X))


def test_a_random_state_keeps_the_normal_number_that_it_holds_ready(tmp_path):
    random_state = np.random.RandomState(3)
    model = VAE(2, **{**SMALL, "random_state": random_state}).fit(X)
    random_state.normal()
    assert load(save(model, tmp_path / "m")).random_state.normal() == random_state.normal()


def test_a_callback_is_not_saved(tmp_path):
    model = VAE(2, callback=lambda model: None, **SMALL).fit(X)
    assert load(save(model, tmp_path / "m")).callback is None and model.callback is not None


def test_the_same_model_gives_the_same_bytes(tmp_path):
    first, again = (save(fitted(MADE["tied"]), tmp_path / name).read_bytes() for name in "ab")
    assert first == again == save(load(tmp_path / "a"), tmp_path / "c").read_bytes()


def test_a_file_from_before_an_option_gives_it_its_default(tmp_path):
    file = save(model := fitted(MADE["gaussian"]), tmp_path / "m")
    contents = members(file)
    header = json.loads(contents["model.json"])
    for name in ("objective", "n_samples", "gradient", "control_variate", "warm_up"):
        del header["parameters"]["dict"][name]
    assert state(load(write(file, contents | {"model.json": json.dumps(header).encode()}))) == state(model)


def test_what_callbacks_leave_on_the_model_is_saved(tmp_path):
    model = fitted(MADE["gaussian"])
    model.best = {"theta": model.theta_ - 1, "at": (1, 2.5), "zero": np.array(3), "empty": np.empty((0, 2))}
    assert plain(load(save(model, tmp_path / "m")).best) == plain(model.best)


def test_numpy_reads_the_arrays_too(tmp_path):
    model = fitted(MADE["gaussian"])
    with np.load(save(model, tmp_path / "m.npz"), allow_pickle=False) as arrays:
        assert np.array_equal(arrays["fitted.theta_"], model.theta_)


def test_another_process_reads_it(tmp_path):
    model = fitted(MADE["bernoulli"])
    code = f"import tinyvae; print(tinyvae.load({str(save(model, tmp_path / 'm'))!r}).theta_.tobytes().hex())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == model.theta_.tobytes().hex()


# ---- what is not saved, and what is left then ------------------------------------------------------------------------


def spoilt(**attributes):
    model = fitted(MADE["gaussian"])
    vars(model).update(attributes)
    return model


@pytest.mark.parametrize("model, error, words", [
    (lambda: VAE(), NotFittedError, "not fitted"), (lambda: object(), TypeError, "one of PCA, ProbabilisticPCA, A"),
    (lambda: VAE, TypeError, "got type"), (lambda: type("VAE", (VAE,), {})().fit(X), TypeError, "got VAE"),
    (lambda: spoilt(note=object()), TypeError, "fitted.note cannot be saved"),
    (lambda: spoilt(note={1: 2}), TypeError, "fitted.note"),
    (lambda: spoilt(note=np.array(["a"], dtype=object)), TypeError, "fitted.note"),
    (lambda: spoilt(hidden=(4,)), ValueError, "width changed after fit"),
    (lambda: spoilt(beta=-1), ValueError, "beta")])
def test_what_is_no_fitted_model_leaves_the_old_file(model, error, words, tmp_path):
    (tmp_path / "m").write_text("old")
    with pytest.raises(error, match=words):
        save(model(), tmp_path / "m")
    assert os.listdir(tmp_path) == ["m"] and (tmp_path / "m").read_text() == "old"


@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=type)
def test_a_save_that_fails_leaves_the_old_file(function, error, tmp_path, monkeypatch):
    def fail(*args):
        raise error

    (tmp_path / "m").write_text("old")
    monkeypatch.setattr(os, function, fail)
    with pytest.raises(type(error)):
        save(fitted(MADE["pca"]), tmp_path / "m")
    assert os.listdir(tmp_path) == ["m"] and (tmp_path / "m").read_text() == "old"


def test_all_is_on_the_disk_before_the_name_changes(tmp_path, monkeypatch):
    calls, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: calls.append(os.fstat(fd).st_size) or fsync(fd))
    monkeypatch.setattr(os, "replace", lambda *names: calls.append("replace") or replace(*names))
    (tmp_path / "m").write_text("old" * 100_000)
    size = save(fitted(MADE["pca"]), tmp_path / "m").stat().st_size
    assert calls[:2] == [size, "replace"] and load(tmp_path / "m").n_components == 2


def test_folders(tmp_path):
    model = fitted(MADE["pca"])
    with pytest.raises(FileNotFoundError):
        save(model, tmp_path / "none" / "m")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        save(model, tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]


# ---- what is not loaded ----------------------------------------------------------------------------------------------


def members(file):
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(file, contents, digest=True, **options):
    """An archive of these members, with the digest that they ought to have."""
    sha = hashlib.sha256(b"".join(f"{name} {len(content)}\n".encode() + content
                                  for name, content in sorted(contents.items()) if name != "sha256"))
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name, content in {**contents, **({"sha256": sha.hexdigest().encode()} if digest else {})}.items():
            archive.writestr(name, content)
    return file


def refused(file, words=""):
    with pytest.raises(ValueError) as caught:
        load(file)
    text = str(caught.value)
    assert type(caught.value) is ValueError and text.startswith(f"{str(file)!r} cannot be loaded as a model: ")
    assert words in text and "\n" not in text


def npy(array):
    np.lib.format.write_array(buffer := io.BytesIO(), array)
    return buffer.getvalue()


@pytest.fixture
def file(tmp_path):
    return save(fitted(MADE["gaussian"]), tmp_path / "m.npz")


def test_no_file_and_no_archive(tmp_path, file):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none")
    with pytest.raises(OSError):
        load(tmp_path)
    other = tmp_path / "other"
    for content in (b"", b"words", b"PK\x05\x06" + bytes(18)):
        other.write_bytes(content)
        refused(other)
    np.savez(tmp_path / "a.npz", a=np.eye(2))
    refused(tmp_path / "a.npz", "tinyvae did not write, without model.json, sha256")
    refused(write(other, members(file) | {"more": b""}, digest=False), "damaged")
    refused(write(other, members(file), compression=zipfile.ZIP_DEFLATED), "compressed")


def test_every_truncation_is_refused(file):
    content = file.read_bytes()
    for length in range(0, len(content), 37):
        file.write_bytes(content[:length])
        refused(file)


def test_every_flipped_bit_is_refused_or_harmless(tmp_path):
    file = save(model := PCA(1).fit(X[:, :2]), tmp_path / "m")
    content, whole = file.read_bytes(), state(model)
    for place in range(len(content)):
        for bit in range(8) if place % 5 == 0 else (place % 8,):
            file.write_bytes(content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1:])
            try:
                assert state(load(file)) == whole
            except ValueError:
                refused(file)


def changed(file, **changes):
    """The file's JSON with other values at paths such as parameters__dict__beta, and a right digest."""
    contents = members(file)
    header = json.loads(contents["model.json"])
    for path, value in changes.items():
        *way, last = path.split("__")
        place = header
        for name in way:
            place = place[name]
        place[last] = value
    return write(file, contents | {"model.json": json.dumps(header).encode()})


@pytest.mark.parametrize("path, value, words", [
    ("format", 2, "its format is 2, this tinyvae reads up to 1: upgrade tinyvae"), ("format", "new", "TypeError"),
    ("model", "Forest", "model must be one of 'PCA'"), ("model", [1], "model must be"), ("model", "PCA", ""),
    ("parameters", [], ""), ("fitted", 3, ""), ("parameters__dict__depth", 3, "depth"),
    ("parameters__dict__beta", -1.0, "beta"), ("parameters__dict__hidden", {"tuple": [10**15]}, "theta_"),
    ("parameters__dict__n_components", 3, "theta_"), ("parameters__dict__random_state", "now", "random_state"),
    ("parameters__dict__posterior", "full", "theta_"), ("parameters__dict__likelihood", "gaussian_full", "theta_"),
    ("parameters__dict__gradient", "dreg", "gradient"), ("parameters__dict__control_variate", True, "control_variate"),
    ("parameters__dict__n_samples", 0, "n_samples"), ("parameters__dict__warm_up", -1, "warm_up"),
    ("parameters__dict__random_state", -1, "random_state"), ("parameters__dict__dtype", {"eval": "1"}, "unknown kind"),
    ("fitted__dict__fit", 3, "'fit' is nothing that fit leaves"), ("fitted__dict__beta", 3.0, "'beta'"),
    ("fitted__dict__theta_", {"array": "none"}, "none"), ("fitted__dict__theta_", 3, "theta_"),
    ("fitted__dict__n_features_in_", 6.0, "n_features_in_"), ("fitted__dict__n_features_in_", 10**300, "theta_"),
    ("fitted__dict__n_iter_", -1, "n_iter_"), ("fitted__dict__history_", {"dict": {"loss": ["low"]}}, "history_"),
    ("fitted__dict___rng", 3, "Generator"),
    ("fitted__dict___rng__generator__dict__bit_generator", "seed", "bit_generator"),
    ("fitted__dict___rng__generator__dict__state__dict__state", 10**60, ""),
    ("fitted__dict___optimizer_type", {"class": "SGD"}, "optimiser's state"),
    ("fitted__dict___optimizer_state", None, "optimiser's state"),
    ("fitted__dict___optimizer_state__dict__t", -1, "t must be"),
    ("fitted__dict___optimizer_state__dict__m", 3.0, "m must be an array")])
def test_forged_json_is_refused(path, value, words, file):
    refused(changed(file, **{path: value}), words)


@pytest.mark.parametrize("kind, path, place", [
    (kind, path, place) for kind, path, end in ((np.random.MT19937, "generator__dict__state__dict__pos", 624),
                                                (np.random.Philox, "generator__dict__buffer_pos", 4))
    for place in (-1, end + 1)])
def test_a_generator_never_reads_beyond_its_buffer(kind, path, place, tmp_path):
    file = save(VAE(2, **SMALL).fit(X), tmp_path / "m")
    model = load(file)
    model._rng = np.random.Generator(kind(1))
    refused(changed(save(model, file), **{f"fitted__dict___rng__{path}": place}), "position" if place < 0 else "beyond")


@pytest.mark.parametrize("missing", ["history_", "theta_", "_rng", "n_features_in_", "_optimizer_state"])
def test_a_part_that_is_missing_is_named(missing, file):
    contents = members(file)
    header = json.loads(contents["model.json"])
    del header["fitted"]["dict"][missing]
    refused(write(file, contents | {"model.json": json.dumps(header).encode()}), f"lacks {missing}")


def huge(claim):
    head = repr({"descr": "<f8", "fortran_order": False, "shape": claim}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(64)


THETA = fitted(MADE["gaussian"]).theta_


@pytest.mark.parametrize("content", [
    npy(THETA[:-1]), npy(THETA[None]), npy(np.where(np.arange(THETA.size) == 3, np.nan, THETA)), npy(THETA + 0j),
    npy(THETA.astype(">f8")), npy(THETA.astype(int)), npy(np.array([{}], object)), npy(THETA) + b"\0" * 8,
    npy(THETA)[:-8], b"", b"\x93", huge((2**40,)), huge((2**20, 2**20, 2**20)), huge((-2, -4)), huge("(" * 90)],
    ids=range(15))
def test_forged_arrays_are_refused_and_nothing_is_made_for_them(content, file, monkeypatch):
    monkeypatch.setattr("pickle.load", lambda *args, **options: pytest.fail("unpickled"))
    write(file, members(file) | {"fitted.theta_.npy": content})
    tracemalloc.start()
    try:
        refused(file)
        assert tracemalloc.get_traced_memory()[1] < 2e6
    finally:
        tracemalloc.stop()


def test_an_array_laid_out_by_columns_is_not_read_by_rows(tmp_path):
    file = save(model := fitted(MADE["pca"]), tmp_path / "m")
    by_columns = npy(np.asfortranarray(model.components_))
    refused(write(file, members(file) | {"fitted.components_.npy": by_columns}), "save does not write")


@pytest.mark.parametrize("name, value", [("mean_", np.zeros(5)), ("components_", np.zeros((2, 5))),
                                         ("mean_", np.full(6, np.inf)), ("eigenvalues_", np.zeros(1)),
                                         ("eigenvalues_", np.zeros((6, 1)))])
def test_arrays_of_a_pca_must_fit_together(name, value, tmp_path):
    file = save(fitted(MADE["pca"]), tmp_path / "m")
    refused(write(file, members(file) | {f"fitted.{name}.npy": npy(value)}), name)


@pytest.mark.parametrize("name, value", [
    ("mean_", np.zeros(5)), ("mean_", np.zeros(6, np.float32)), ("W_", np.zeros((6, 3))),
    ("W_", np.full((6, 2), np.nan)), ("noise_variance_", 0.0), ("noise_variance_", "low"),
    ("noise_variance_", {"dict": {}}), ("n_iter_", 1.5), ("history_", {"dict": {"log_likelihood": ["high"]}}),
    ("method", "magic"), ("tol", -1.0), ("random_state", -1)])
def test_parts_of_a_probabilistic_pca_must_fit_together(name, value, tmp_path):
    file = save(model := fitted(MADE["ppca"]), tmp_path / "m")
    assert np.array_equal(load(file).score_samples(X), model.score_samples(X))
    if isinstance(value, np.ndarray):
        refused(write(file, members(file) | {f"fitted.{name}.npy": npy(value)}), name)
    else:
        refused(changed(file, **{f"{'fitted' if name.endswith('_') else 'parameters'}__dict__{name}": value}), name)


def test_the_optimisers_memory_must_be_as_long_as_theta(file):
    refused(write(file, members(file) | {"fitted._optimizer_state.m.npy": npy(THETA[:5])}), "m must be")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, "[]", "3", "null", "", "\0", "NaN", "9" * 5000,
                                  '{"format": 1, "model": "PCA", "parameters": ' + '{"tuple":[' * 5000 + "]}" * 5001])
def test_json_that_is_no_model(text, file):
    refused(write(file, members(file) | {"model.json": text.encode()}))


WHOLE = {}


def whole(tmp_path_factory):
    if not WHOLE:
        folder = tmp_path_factory.mktemp("fuzz")
        file = save(VAE(1, hidden=(2,), n_epochs=1, random_state=np.random.RandomState(1)).fit(X[:, :3]), folder / "m")
        WHOLE.update(file=folder / "forged", content=file.read_bytes(), members=members(file))
    return WHOLE["file"], WHOLE["content"], WHOLE["members"]


def loads_or_is_refused(file):
    """A file that is no longer ours may still hold a model; then it can be used."""
    try:
        model = load(file)
    except ValueError:
        return refused(file)
    model.transform(X[:, :model.n_features_in_])
    model.set_params(n_epochs=1, verbose=0)


@given(edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=3)), min_size=1, max_size=4))
def test_random_edits_of_the_bytes(edits, tmp_path_factory):
    file, content, _ = whole(tmp_path_factory)
    for share, new in edits:
        place = int(share * len(content))
        content = content[:place] + new + content[place + 1:]
    file.write_bytes(content)
    loads_or_is_refused(file)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
                    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(
                        st.sampled_from(["array", "tuple", "dict", "generator", "random_state", "optimizer", "x"]),
                        inner, max_size=2), max_leaves=4)


@given(data=st.data())
def test_random_edits_of_the_json(data, tmp_path_factory):
    file, _, contents = whole(tmp_path_factory)
    place = header = json.loads(contents["model.json"])
    while True:
        key = data.draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], (dict, list)) or not place[key] or data.draw(st.integers(0, 5)) == 0:
            break
        place = place[key]
    place[key] = data.draw(JSON)
    loads_or_is_refused(write(file, contents | {"model.json": json.dumps(header).encode()}))


@given(data=st.data())
def test_random_edits_of_an_array(data, tmp_path_factory):
    file, _, contents = whole(tmp_path_factory)
    name = data.draw(st.sampled_from([name for name in contents if name.endswith(".npy")]))
    old, place = contents[name], data.draw(st.integers(0, 140))
    new = old[:place] + data.draw(st.binary(min_size=1, max_size=4)) + old[place + 1:]
    loads_or_is_refused(write(file, contents | {name: new}))


@pytest.mark.parametrize("kind", [SoftmaxClassifier, LinearSVM])
@pytest.mark.parametrize("names", [[3, 7], ["one", "seven"], [0.0, 1.0]], ids=str)
def test_classifiers_with_the_names_of_their_classes(tmp_path, kind, names):
    y = np.array(names)[np.arange(len(X)) % 2]
    model = kind(n_epochs=2, random_state=0).fit(X, y)
    loaded = load(save(model, tmp_path / "m.npz"))
    assert loaded.classes_.dtype == model.classes_.dtype and loaded.predict(X).tolist() == model.predict(X).tolist()
    assert np.array_equal(loaded.partial_fit(X, y).theta_, model.partial_fit(X, y).theta_)
