"""A fitted model as one file, and back: a zip archive of plain arrays and one JSON text, no pickle.

    model.json        the class, its parameters, and what `fit` left behind; an array stands there by its name
    NAME.npy          the arrays, uncompressed: `numpy.load(file)` reads them too
    sha256            over the names and bytes of all the others: zip's own checksums miss some damage
"""
import dataclasses
import hashlib
import io
import json
import math
import os
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np

from .autoencoder import Autoencoder
from .classifiers import LinearSVM, SoftmaxClassifier
from .corruption import CORRUPTIONS
from .linear import PCA, ProbabilisticPCA
from .optim import OPTIMIZERS
from .params import size
from .penalties import PENALTIES
from .validation import check_choice, check_int, check_number, check_rng
from .vae import VAE

FORMAT = 1
MODELS = {cls.__name__: cls for cls in (PCA, ProbabilisticPCA, Autoencoder, VAE, SoftmaxClassifier, LinearSVM)}
OBJECTS = {cls.__name__: cls for cls in (*OPTIMIZERS.values(), *PENALTIES, *CORRUPTIONS)}      # among the parameters
GENERATORS = "PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"
BUFFERS = {"MT19937": 624, "Philox": 4}                 # how many numbers these keep ready
FITTED = "theta_", "n_features_in_", "_rng", "history_", "n_iter_", "_optimizer_type", "_optimizer_state"
FITTED_EXACTLY = {PCA: ("mean_", "components_", "eigenvalues_", "n_features_in_"),
                  ProbabilisticPCA: ("mean_", "W_", "noise_variance_", "n_features_in_", "history_", "n_iter_")}
KINDS = "fiubU"                                         # of dtypes that are saved: numbers, and names of classes


def save(model, file):
    """Write a fitted model to one file: parameters, θ, history, and the states of its optimiser and its generator, so
    that after `load` even `partial_fit` goes on as if nothing had happened. A callback is not saved.

    file : str or Path, taken as it is; a file of that name is replaced, but only by a whole one that is on the disk
    Returns the Path. Raises NotFittedError; TypeError for what is no model of tinyvae's or holds what cannot be saved;
    ValueError where parameters were changed after `fit` so that they no longer suit it; OSError.
    """
    if MODELS.get(type(model).__name__) is not type(model):
        raise TypeError(f"model must be one of {', '.join(MODELS)}, got {type(model).__name__}")
    model._check_fitted()
    _check(model)                                       # nothing is written that could not be read
    parameters = {name: value for name, value in model.get_params().items() if name != "callback"}
    transient = {"_labels"}                             # of a classifier, while it is being fitted
    fitted = {name: value for name, value in vars(model).items() if name not in {*model.get_params(), *transient}}
    if "_rng" in fitted and fitted["_rng"] is model.random_state:
        fitted["_rng"] = None                           # one generator in two places: `load` makes it one again
    arrays = {}
    header = {"format": FORMAT, "model": type(model).__name__, "parameters": _encode(parameters, "parameters", arrays),
              "fitted": _encode(fitted, "fitted", arrays)}
    members = {"model.json": json.dumps(header, indent=1).encode(),
               **{f"{name}.npy": _npy(array) for name, array in arrays.items()}}
    return _write_durably(Path(file), _archive({**members, "sha256": _digest(members)}))


def load(file):
    """The model that `save` wrote: fitted, with equal numbers, ready for use and for further training.

    file : str or Path
    Raises OSError (FileNotFoundError, …) for a file that cannot be read; ValueError for one that is damaged, no model,
    or of a newer format. Nothing in a file is ever executed, and it takes a few times the memory of its size at most.
    """
    content = Path(file).read_bytes()
    try:
        return _model(_members(content))
    except Exception as error:                          # whatever zip, JSON and NumPy make of bytes that are not ours
        reason = str(error)
        if type(error) is not ValueError:
            reason = f"it is damaged, or no file that save wrote ({type(error).__name__}: {error})"
        raise ValueError(f"{str(file)!r} cannot be loaded as a model: {reason}") from error


def _model(members):
    """The model that an archive's members describe."""
    header = json.loads(members["model.json"])
    if header["format"] > FORMAT:
        raise ValueError(f"its format is {header['format']}, this tinyvae reads up to {FORMAT}: upgrade tinyvae")
    arrays = {name.removesuffix(".npy"): content for name, content in members.items() if name.endswith(".npy")}
    cls = MODELS[check_choice("model", header["model"], MODELS)]
    model = cls(**_decode(header["parameters"], arrays))
    for name, value in _decode(header["fitted"], arrays).items():
        if hasattr(model, name):                        # a parameter, or a method that it would hide
            raise ValueError(f"{name!r} is nothing that fit leaves behind")
        setattr(model, name, value)
    if getattr(model, "_rng", model) is None:
        model._rng = model.random_state
    _check(model)
    return model


# ---- values as JSON --------------------------------------------------------------------------------------------------
# What JSON lacks is a dict of one entry that says what it is: {"tuple": […]}, {"array": name}; a dict is {"dict": {…}}.


def _encode(value, name, arrays):
    """`value` in JSON's types; arrays go to the dict `arrays` under their dotted name."""
    if isinstance(value, np.ndarray) and value.dtype.kind in KINDS:
        arrays[name] = value
        return {"array": name}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        items = [_encode(item, f"{name}.{i}", arrays) for i, item in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _encode(item, f"{name}.{key}", arrays) for key, item in value.items()}}
    if isinstance(value, np.random.Generator):
        return {"generator": _encode(value.bit_generator.state, name, arrays)}
    if isinstance(value, np.random.RandomState):
        return {"random_state": _encode(value.get_state(legacy=False), name, arrays)}
    if type(value) in OBJECTS.values():
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
        return {"object": [type(value).__name__, fields]}
    if isinstance(value, type) and value in OBJECTS.values():
        return {"class": value.__name__}
    if isinstance(value, np.dtype) or value is np.float32 or value is np.float64:
        return np.dtype(value).name
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{name} cannot be saved: expected numbers, text, arrays, a generator or an optimiser, got "
                    f"{type(value).__name__}")


def _decode(value, arrays):
    if isinstance(value, list):
        return [_decode(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    (kind, content), = value.items()
    if kind == "array":
        return _array(arrays[content])
    if kind == "tuple":
        return tuple(_decode(content, arrays))
    if kind == "dict":
        return {key: _decode(item, arrays) for key, item in content.items()}
    if kind == "generator":
        return np.random.Generator(_bit_generator(_decode(content, arrays)))
    if kind == "random_state":
        state = _decode(content, arrays)
        random_state = np.random.RandomState(_bit_generator(state))
        random_state.set_state(state)                   # with the normal number that it may hold ready
        return random_state
    if kind == "object":
        return OBJECTS[content[0]](**content[1])
    if kind == "class":
        return OBJECTS[content]
    raise ValueError(f"a value of its is of the unknown kind {kind!r}")


def _bit_generator(state):
    """The bit generator in this state; NumPy would read beyond a buffer at a position that is not in it."""
    name = check_choice("bit_generator", state["bit_generator"], GENERATORS)
    position = check_int("position", state["state"].get("pos", state.get("buffer_pos", 0)), minimum=0)
    if position > BUFFERS.get(name, 0):
        raise ValueError(f"its {name} stands at {position}, beyond {BUFFERS.get(name, 0)}")
    bit_generator = getattr(np.random, name)()
    bit_generator.state = state
    return bit_generator


# ---- bytes -----------------------------------------------------------------------------------------------------------


def _npy(array):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array, order="C"), allow_pickle=False)
    return buffer.getvalue()


def _array(content):
    """The array of an .npy member. What its header claims is held against the bytes that are there."""
    buffer = io.BytesIO(content)
    major, _ = np.lib.format.read_magic(buffer)
    read_header = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}[major]
    shape, fortran_order, dtype = read_header(buffer)
    start = buffer.tell()
    if dtype.kind not in KINDS or fortran_order:
        raise ValueError(f"it holds an array of {dtype}, which save does not write")
    if start + dtype.itemsize * math.prod(shape) != len(content):
        raise ValueError(f"an array of shape {shape} takes more or fewer than the {len(content) - start} bytes it has")
    return np.ndarray(shape, dtype, content, start).copy()


def _archive(members):
    """The members as a zip archive, dated 1980 and not compressed: the same model, the same bytes."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zip_file:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o644 << 16            # or unzip would make files that nobody may read
            zip_file.writestr(info, content)
    return archive.getbuffer()


def _members(content):
    """An archive's members as bytes, but for the digest, which they are held against."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        infos = archive.infolist()
        missing = {"model.json", "sha256"} - {info.filename for info in infos}
        if missing:
            raise ValueError(f"it is a zip archive that tinyvae did not write, without {', '.join(sorted(missing))}")
        if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
            raise ValueError("its members are compressed, and might claim any size")
        if sum(info.file_size for info in infos) > len(content):
            raise ValueError("its members claim more bytes than it has")
        members = {info.filename: archive.read(info) for info in infos}
    if members.pop("sha256") != _digest(members):
        raise ValueError("its SHA-256 is wrong: it is damaged")
    return members


def _digest(members):
    digest = hashlib.sha256()
    for name, content in sorted(members.items()):
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest().encode()


def _write_durably(path, content):
    """All of the content or nothing, also if the machine stops in between: to a file beside it first, then renamed."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if os.name == "posix":                              # the new name, too, must reach the disk
        with suppress(OSError):                         # which not every file system can be asked for
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    return path


# ---- what fits together ----------------------------------------------------------------------------------------------


def _check(model):
    """Refuse a model whose parts do not fit together, now and not at the first use."""
    missing = set(FITTED_EXACTLY.get(type(model), FITTED)) - set(vars(model))
    if missing:
        raise ValueError(f"the model lacks {', '.join(sorted(missing))}")
    D = check_int("n_features_in_", model.n_features_in_)
    if isinstance(model, PCA):
        K = check_int("n_components", model.n_components)
        _check_array("mean_", model.mean_, (D,))
        _check_array("components_", model.components_, (K, D))
        _check_array("eigenvalues_", model.eigenvalues_, (min(max(K, np.size(model.eigenvalues_)), D),))
        return
    model._check_parameters()
    _check_history(model)
    if isinstance(model, ProbabilisticPCA):
        _check_array("W_", model.W_, (D, model.n_components))
        _check_array("mean_", model.mean_, (D,), model.W_.dtype)
        check_number("noise_variance_", model.noise_variance_, 0, open_low=True)
    else:
        _check_training(model, D)


def _check_history(model):
    check_int("n_iter_", model.n_iter_, minimum=0)
    if not all(isinstance(value, float) for values in model.history_.values() for value in values):
        raise ValueError("history_ must be a dict of lists of numbers")


def _check_training(model, D):
    """θ, and all that `partial_fit` needs. The compiled optimisers hold no size against another: it is done here."""
    theta = _check_array("theta_", model.theta_, (size(model._shapes(D)),))
    if not isinstance(model._rng, np.random.Generator):
        raise TypeError(f"the model's generator must be a numpy Generator, got {type(model._rng).__name__}")
    if not isinstance(model.random_state, np.random.RandomState):           # which would advance
        check_rng(model.random_state)
    fresh = model._optimizer_type().start(theta) if model._optimizer_type else None
    state = model._optimizer_state
    if (fresh and fresh.keys()) != (state and state.keys()):
        raise ValueError(f"the optimiser's state must be {fresh and list(fresh)}, got {state and list(state)}")
    for name, value in (fresh or {}).items():
        if isinstance(value, np.ndarray):
            _check_array(name, state[name], value.shape, theta.dtype)
        else:
            check_int(name, state[name], minimum=0)


def _check_array(name, array, shape, dtype=None):
    """The array, if it has this shape, the dtype (None: float32 or float64), and finite entries."""
    if not isinstance(array, np.ndarray) or array.dtype not in ([np.float32, np.float64] if dtype is None else [dtype]):
        raise TypeError(f"{name} must be an array of floats, got {getattr(array, 'dtype', type(array).__name__)}")
    if array.shape != shape or not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be {shape} finite numbers, got shape {array.shape}; was a width changed after "
                         "fit? Then fit again")
    return array
