"""tinyvae: autoencoders and variational autoencoders from scratch, every gradient by hand and proved.

Names are loaded when they are first used (PEP 562): importing the package costs little more than importing NumPy.
"""
import importlib

__version__ = "0.1.0"

_HOMES = {
    "PCA": "linear", "ProbabilisticPCA": "linear", "Autoencoder": "autoencoder", "VAE": "vae",
    "SoftmaxClassifier": "classifiers", "LinearSVM": "classifiers",
    "check_gradient": "checks", "check_layers": "checks", "check_objective": "checks",
    "load_digits": "datasets", "load_mnist5k": "datasets", "load_idx": "datasets", "fetch_mnist": "datasets",
    "save": "files", "load": "files",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name):
    if name in _HOMES:
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    try:
        return importlib.import_module(f".{name}", __name__)
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def __dir__():
    return sorted(__all__)
