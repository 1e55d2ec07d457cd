"""The command as one types it: what it leaves, what it says and where, and that it refuses before it writes."""
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinyvae
from tinyvae import PCA, VAE, Autoencoder, cli, load, reports
from tinyvae.datasets import idx

ROOT = Path(__file__).resolve().parents[1]
QUICK = "--hidden 6 --epochs 2".split()
SAMPLES = "--samples 3".split()
FIGURES = {"reconstructions.png", "interpolation.png", "latent_plane.png"}
LEARNED = FIGURES | {"training.png", "filters.png"}


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Runs `tinyvae …` in a folder of its own: status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        status = cli.main([str(word) for word in words])
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def no_figures(monkeypatch):
    monkeypatch.setattr(reports, "figures", lambda *args: [])


def refused(run, *words):
    """The one line of error of a command that leaves everything as it was."""
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    status, out, err = run(*words)
    line = err.splitlines()[-1]
    assert status == 1 and not out and line.startswith("tinyvae: error: ") and err.count("tinyvae: error") == 1
    assert "Traceback" not in err and {path: path.stat().st_mtime_ns for path in Path().rglob("*")} == before
    return line


def packed(array):
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def write_idx(folder, shape=(4, 4), n_classes=10):
    rng = np.random.default_rng(0)
    folder.mkdir()
    for part, n in (("train", 60), ("t10k", 20)):
        images = (rng.random((n, *shape)) ** 2 * 255).astype(np.uint8)
        images[0, 0, 0] = 255
        (folder / f"{part}-images-idx3-ubyte").write_bytes(packed(images))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(packed((np.arange(n) % n_classes).astype(np.uint8)))


# ---- train -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words, cls, files", [
    ([*QUICK, *SAMPLES], VAE, LEARNED | {"samples.png", "kl.png", "traversals.png", "manifold.png"}),
    (["--model", "autoencoder", *QUICK], Autoencoder, LEARNED),
    (["--model", "pca"], PCA, FIGURES | {"spectrum.png", "components.png"})], ids=["vae", "autoencoder", "pca"])
def test_what_a_run_leaves_and_says(words, cls, files, run):
    status, out, err = run("train", "--data", "digits", "--out", "a/b", *words)
    assert status == 0 and {path.name for path in Path("a/b").iterdir()} == files | {"model.npz", "table.txt"}
    assert all(path.stat().st_size > 2000 for path in Path("a/b").glob("*.png"))
    model, table = load("a/b/model.npz"), Path("a/b/table.txt").read_text(encoding="utf-8")
    assert type(model) is cls and model.n_features_in_ == 64
    assert out.startswith(f"\n{table}\nin a/b/: model.npz, table.txt, ") and set(re.findall(r"\w+\.png", out)) == files
    assert err.splitlines() == [f"{cls.__name__.lower()} on digits: 1438 images to train on, 359 held out",
                                "measuring ...", "drawing ..."]
    X, y = tinyvae.load_digits(dtype="float32")                             # the figures are of the saved model
    order = np.random.default_rng(0).permutation(len(X))
    test, train = (reports.Part(X[rows], y[rows], 1) for rows in (order[:359], order[359:]))
    assert table == reports.table(model, train, test, n_samples=3) + "\n"
    twin = model.__class__(**model.get_params())            # it has not seen the images held out
    twin.set_params(**{"verbose": 0} if cls is not PCA else {}).fit(train.X)
    assert np.array_equal(twin.transform(test.X), model.transform(test.X))


def test_the_same_seed_is_the_same_run(run, no_figures):
    tables = [run("train", "--data", "digits", "--out", name, "--seed", seed, *QUICK)[1].split("\nin ")[0]
              for name, seed in (("a", 3), ("b", 3), ("c", 4))]
    assert tables[0] == tables[1] != tables[2]
    assert Path("a/model.npz").read_bytes() == Path("b/model.npz").read_bytes() != Path("c/model.npz").read_bytes()


def test_every_option_reaches_the_model(run, no_figures):
    words = ("--latent 3 --hidden 7,5 --activation tanh --likelihood bernoulli --grey --beta 0.5 --optimizer rmsprop "
             "--learning-rate 0.002 --batch-size 50 --epochs 1 --samples 2 --seed 5")
    status, _, err = run("train", "--data", "digits", "--out", "r", *words.split())
    (warning,) = [line for line in err.splitlines() if line.startswith("tinyvae: warning: ")]
    assert status == 0 and "grey levels" in warning and "Warning" not in err
    expected = {"n_components": 3, "hidden": (7, 5), "activation": "tanh", "likelihood": "bernoulli", "binarize": False,
                "beta": 0.5, "optimizer": "rmsprop", "learning_rate": 0.002, "batch_size": 50, "n_epochs": 1,
                "random_state": 5, "dtype": "float32", "input_scale": 1}
    assert expected.items() <= load("r/model.npz").get_params().items()
    assert "by 2 importance samples" in Path("r/table.txt").read_text(encoding="utf-8")
    words = "--model autoencoder --tied --loss bernoulli --epochs 1".split()
    assert run("train", "--data", "digits", "--out", "s", *words, "--hidden", "")[0] == 0
    expected = {"tied": True, "loss": "bernoulli", "hidden": (), "n_components": 2, "activation": "tanh"}
    assert expected.items() <= load("s/model.npz").get_params().items()


def test_defaults(run, monkeypatch):
    made = []

    def only_note(*model_and_images):
        made.append(model_and_images)
        raise ValueError("enough")

    monkeypatch.setattr(cli, "_fit", only_note)
    for data, n_epochs, size in (("digits", 100, 64), ("mnist5k", 40, 784)):
        assert run("train", "--data", data, "--out", data)[0] == 1
        model, train = made[-1]
        assert (model.n_epochs, train.X.shape[1], model.hidden, model.n_components) == (n_epochs, size, (256, 128), 2)
        assert model.likelihood == "bernoulli" and model.binarize and train.X.dtype == model.dtype == "float32"
        assert len(np.unique(train.y)) == 10
    run("train", "--data", "digits", "--out", "g", "--likelihood", "gaussian")
    assert not made[-1][0].binarize


@pytest.mark.parametrize("model", ["vae", "autoencoder", "pca"])
def test_a_folder_of_idx_files(model, run):
    write_idx(Path("set"), n_classes=12)
    words = {"pca": [], "autoencoder": QUICK, "vae": [*QUICK, *SAMPLES]}[model]
    status, out, err = run("train", "--data", "set", "--out", "r", "--model", model, *words)
    assert status == 0 and "60 images to train on, 20 held out" in err and Path("r/latent_plane.png").is_file()
    loaded, sets = load("r/model.npz"), tinyvae.load_idx("set")
    if model == "pca":
        assert np.allclose(loaded.mean_, np.mean(sets["train_images"] / 255, axis=0), rtol=1e-5)
    else:
        assert loaded.input_scale == 1 / 255 and loaded.transform(sets["test_images"]).shape == (20, 2)
    figures = [float(number) for number in re.findall(r"(\d+\.\d+) ±", out)]
    assert len(figures) == (8 if model == "vae" else 2) and max(figures) < 16            # 16 pixels in [0, 1]


# ---- what is refused, and what is left then --------------------------------------------------------------------------


@pytest.mark.parametrize("words, line", [
    ("--latent 0", "--latent must be an integer of at least 1, got 0"),
    ("--learning-rate -1", "--learning-rate must be a finite number in (0, 1e+06], got -1"),
    ("--batch-size 0", "--batch-size must be"), ("--epochs -1", "--epochs must be"), ("--beta nan", "--beta must be"),
    ("--hidden 5,0", "--hidden must be"), ("--samples 0", "--samples must be"), ("--seed -1", "--seed must be"),
    ("--model pca --latent 0", "--latent must be"), ("--model pca --latent 65", "--latent must be at most"),
    ("--model pca --beta 2", "--beta is an option of --model vae, not of pca"),
    ("--model pca --epochs 3", "--epochs is an option of --model vae or autoencoder, not of pca"),
    ("--model autoencoder --grey", "--grey is an option of --model vae, not of autoencoder"),
    ("--tied", "--tied is an option of --model autoencoder, not of vae"),
    ("--optimizer sgd --learning-rate 1e5 --hidden 4 --epochs 3", "training diverged in epoch 1")])
def test_bad_values(words, line, run):
    error = refused(run, "train", "--data", "digits", "--out", "r", *words.split())
    assert error.startswith(f"tinyvae: error: {line}")
    assert "diverged" not in line or error.endswith("Nothing was written.")


@pytest.mark.parametrize("words", ["--model forest", "--likelihood poisson", "--optimizer lion", "--hidden a,b",
                                   "--hidden 5,,6", "--latent two", "--activation sin", "--loss l1", "--depth 3"])
def test_wrong_usage(words, run, capsys):
    with pytest.raises(SystemExit) as caught:
        run("train", "--data", "digits", "--out", "r", *words.split())
    assert caught.value.code == 2 and not os.listdir()
    error = capsys.readouterr().err
    assert "_widths" not in error and all(word in error for word in words.split()[:1])


def test_data_that_cannot_be_used(run):
    assert "'none'" in refused(run, "train", "--data", "none", "--out", "r")
    Path("empty").mkdir()
    assert "lacks train-images" in refused(run, "train", "--data", "empty", "--out", "r")
    write_idx(Path("set"), shape=(3, 5))
    assert "set must hold square images, got 15 pixels" in refused(run, "train", "--data", "set", "--out", "r")


def test_nothing_that_is_there_is_overwritten(run):
    Path("file").write_text("mine")
    assert "--out must be a folder, but file is a file" in refused(run, "train", "--data", "digits", "--out", "file")
    Path("earlier").mkdir()
    Path("earlier/model.npz").write_text("an hour's work")
    assert "earlier holds an earlier run" in refused(run, "train", "--data", "digits", "--out", "earlier")
    Path("pictures").mkdir()
    Path("pictures/kl.png").write_text("mine")
    assert "pictures is not empty" in refused(run, "train", "--data", "digits", "--out", "pictures")
    assert "--samples is an option of --model vae" in refused(
        run, *"train --data digits --out p --model pca --samples 3".split())
    Path("new").mkdir()
    assert "diverged" in refused(run, *"train --data digits --out new --optimizer sgd --learning-rate 1e5".split())
    assert run("train", "--data", "digits", "--out", "new", "--model", "pca")[0] == 0


def interrupt(model, n_epochs):
    def callback(model):
        if model.n_iter_ == n_epochs:
            raise KeyboardInterrupt

    return model.set_params(callback=callback)


def test_an_interrupted_training_keeps_what_it_has_learned(run, monkeypatch):
    make = cli._model
    monkeypatch.setattr(cli, "_model", lambda options: interrupt(make(options), 2))
    status, out, err = run(*"train --data digits --out r --hidden 4 --epochs 9 --samples 2".split())
    assert status == 130 and "interrupted after epoch 2: what was learned so far is kept" in err
    model = load("r/model.npz")
    assert model.n_iter_ == 2 and len(model.history_["loss"]) == 2 and model.callback is None
    assert "nats per image" in out and Path("r/training.png").is_file()


def test_interrupted_before_the_first_epoch(run, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(VAE, "_step", stop)
    status, out, err = run(*"train --data digits --out r --hidden 4".split())
    assert status == 130 and not out and err.splitlines()[-1] == "tinyvae: interrupted" and not os.listdir()


# ---- data, and words -------------------------------------------------------------------------------------------------


def test_data(run, monkeypatch, tmp_path):
    monkeypatch.delenv("TINYVAE_DATA", raising=False)
    monkeypatch.setattr(cli, "DEBIAN", str(tmp_path / "not-installed"))
    status, out, err = run("data")
    assert status == 0 and not err
    for word in ("digits", "mnist5k", "CC BY 4.0", "CC BY-SA 3.0", "MIT", "TINYVAE_DATA: not set", "folder: not there"):
        assert word in out
    monkeypatch.setenv("TINYVAE_DATA", str(tmp_path))
    assert f"TINYVAE_DATA: {tmp_path}" in run("data")[1]
    assert cli.VARIABLE == idx.VARIABLE == "TINYVAE_DATA"


def test_fetch(run, monkeypatch):
    write_idx(Path("mine"))
    asked = []
    monkeypatch.setattr(cli, "fetch_mnist", lambda folder: asked.append(folder) or tinyvae.load_idx(folder))
    status, out, _ = run("data", "--fetch", "mine")
    assert status == 0 and asked == [Path("mine")] and "60 training images and 20 to test" in out

    def offline(folder):
        raise OSError(f"{folder} could not be fetched.\n no network")

    monkeypatch.setattr(cli, "fetch_mnist", offline)
    assert refused(run, "data", "--fetch", "mine") == "tinyvae: error: mine could not be fetched. no network"


def test_help_names_every_flag_and_every_flag_is_a_parameter(run, capsys):
    of_train = ["--data", "--out", "--model", "--samples", "--seed", *cli.FLAGS.values()]
    for words, flags in ((["--help"], ["train", "data", "--version"]), (["data", "--help"], ["--fetch"]),
                         (["train", "--help"], of_train)):
        with pytest.raises(SystemExit) as caught:
            run(*words)
        text = capsys.readouterr().out
        assert caught.value.code == 0 and [flag for flag in flags if flag not in text] == []
    parameters = {name for cls in cli.MODELS.values() for name in cls._parameter_names()}
    assert cli.FLAGS.keys() <= parameters
    for name, flag in cli.FLAGS.items():
        words = ["train", "--data", "digits", "--out", "r", flag, *{"--grey": [], "--tied": []}.get(flag, [
            {"activation": "tanh", "likelihood": "gaussian", "loss": "squared", "optimizer": "sgd"}.get(name, "1")])]
        assert name in vars(cli._parser().parse_args(words))


@pytest.mark.parametrize("command", [[sys.executable, "-m", "tinyvae"], [Path(sys.executable).with_name("tinyvae")]],
                         ids=["module", "script"])
def test_the_command_itself(command):
    if not Path(command[0]).exists():
        pytest.skip("the package is not installed")
    done = subprocess.run([*command, "--version"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"tinyvae {tinyvae.__version__}\n", "")
    done = subprocess.run([*command, *"train --data digits --out o --latent 0".split()], cwd=ROOT, capture_output=True)
    assert done.returncode == 1 and done.stderr.startswith(b"tinyvae: error: --latent")


def test_a_terminal_without_the_letters_is_no_error(run, monkeypatch, no_figures):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))
    assert run(*"train --data digits --model pca --out r".split())[0] == 0
    sys.stdout.flush()
    assert b"reconstruction error ?x ? x??" in sys.stdout.buffer.getvalue()
    assert "‖x − x̂‖²" in Path("r/table.txt").read_text(encoding="utf-8")
