"""A paper's table, on real MNIST.        python -m tests.benchmarks.mnist_iwae --data FOLDER --stages 3

The protocol of Burda, Grosse and Salakhutdinov 2016, "Importance weighted autoencoders", table 1, one stochastic layer:
784-200-200-50 with tanh and a mirrored decoder, Bernoulli likelihood, pixels binarised afresh for every batch of 20, the
decoder's output biases started at the logits of the mean image, Adam with ε = 1e-4 (β₁ = 0.9, β₂ = 0.999). Stage i = 0 … 7
makes 3^i epochs at the rate 1e-3 · 10^(−i/7): 3,280 epochs in all. Printed are −log p(x) of the 10,000 test images by
5,000 draws each, and the active units (the variance of E_q z over images exceeds 0.01).

Every epoch is saved to the folder OUT before the next begins: a run that was stopped goes on from there, and so does one
that is asked for more stages. The order of the rows, the noise and Adam's moments go on too.
"""
import argparse
import json
import time
from pathlib import Path

import numpy as np

from tinyvae import VAE, load, load_idx, save
from tinyvae.optim import Adam

# name → objective, k, and the paper's −log p
MODELS = {"vae-1": ("elbo", 1, 86.76), "vae-5": ("elbo", 5, 86.47), "vae-50": ("elbo", 50, 86.35),
          "iwae-5": ("iwae", 5, 85.54), "iwae-50": ("iwae", 50, 84.78)}
LAST_STAGE = 7
BATCH, DRAWS = 20, 5000


def epochs_through(stage):
    return (3 ** (stage + 1) - 1) // 2


def learning_rate(epoch):
    """Of the epoch with this number, counted from 0."""
    stage = next(i for i in range(LAST_STAGE + 1) if epoch < epochs_through(i))
    return 1e-3 * 10 ** (-stage / 7)


def adam(epoch):
    return Adam(learning_rate=learning_rate(epoch), eps=1e-4)


def untrained(name, X, seed):
    objective, k, _ = MODELS[name]
    model = VAE(50, hidden=(200, 200), activation="tanh", likelihood="bernoulli", binarize=True, objective=objective,
                n_samples=k, optimizer=adam(0), batch_size=BATCH, n_epochs=0, dtype="float32", input_scale=1 / 255,
                random_state=seed).fit(X)
    mean = np.clip(X.mean(axis=0) / 255, 1e-3, 1 - 1e-3)             # a pixel that is never black has no finite logit
    model.parameters_["decoder.2.b"][:] = np.log(mean / (1 - mean))
    return model


def train(name, X, n_epochs, out, record, seed):
    """The model after n_epochs, of which those that are saved in `out` are not made again."""
    file = out / f"{name}.npz"
    model = load(file) if file.exists() else untrained(name, X, seed)
    mine = record.setdefault(name, {"seconds": 0.0, "epochs": 0})
    if model.n_iter_ > n_epochs:
        raise SystemExit(f"{file} has {model.n_iter_} epochs behind it, more than the {n_epochs} of these stages: ask "
                         "for more stages, or name another --out")
    while model.n_iter_ < n_epochs:
        start = time.perf_counter()
        model.set_params(optimizer=adam(model.n_iter_)).partial_fit(X)
        mine["seconds"] += time.perf_counter() - start
        mine["epochs"] += 1
        save(model, file)
        write(record, out)
        print(f"{name}: epoch {model.n_iter_} of {n_epochs}, loss {model.history_['loss'][-1]:.3f}, "
              f"{mine['seconds'] / 60:.1f} min", flush=True)
    return model


def evaluate(name, model, X, out, record, seed):
    """−log p, its standard error over images, and active units, kept in the record."""
    scores = record[name].setdefault("scores", {})
    key = str(model.n_iter_)
    if key not in scores:
        log_px = model.log_likelihood(X, DRAWS, random_state=seed)
        scores[key] = {"nll": -float(np.mean(log_px)), "error": float(np.std(log_px) / np.sqrt(len(X))),
                       "active": int(np.sum(model.active_units(X)))}
        write(record, out)
    return scores[key]


def write(record, out):
    (out / "record.json").write_text(json.dumps(record, indent=1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, metavar="FOLDER", help="a folder of MNIST's IDX files")
    parser.add_argument("--stages", type=int, default=3, choices=range(LAST_STAGE + 1), metavar="I",
                        help="train through stage I = 0 … 7 (default 3, which is 40 epochs)")
    parser.add_argument("--models", nargs="+", default=["vae-1", "iwae-5", "iwae-50"], choices=MODELS, metavar="NAME",
                        help=f"of {', '.join(MODELS)} (default: vae-1 iwae-5 iwae-50)")
    parser.add_argument("--out", type=Path, default=Path("mnist_iwae"), help="folder of the models (default mnist_iwae)")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is random (default 0)")
    options = parser.parse_args()
    sets = load_idx(options.data)
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "record.json"
    record = json.loads(file.read_text()) if file.exists() else {}
    grey = sets["test_images"]
    binary = np.where(np.random.default_rng(options.seed).random(grey.shape, np.float32) * 255 < grey, 255, 0)
    n_epochs, rows = epochs_through(options.stages), []
    for name in options.models:
        model = train(name, sets["train_images"], n_epochs, options.out, record, options.seed)
        scores = evaluate(name, model, binary.astype(np.uint8), options.out, record, options.seed)
        rows.append((name, scores, record[name]["seconds"] / record[name]["epochs"]))
    print(f"\n{n_epochs} epochs; paper: {epochs_through(LAST_STAGE):,} epochs. −log p in nats per image, "
          f"{DRAWS:,} draws, ± one standard error over images")
    print(f"{'model':8}{'−log p':>16}{'paper':>8}{'active':>8}{'ms/step':>9}{'wall time':>11}{'all stages':>12}")
    for name, scores, seconds in rows:
        ms = 1e3 * seconds / -(-len(sets["train_images"]) // BATCH)
        print(f"{name:8}{scores['nll']:>9.2f} ± {scores['error']:.2f}{MODELS[name][2]:>8.2f}{scores['active']:>8}"
              f"{ms:>9.2f}{seconds * n_epochs / 60:>7.1f} min{seconds * epochs_through(LAST_STAGE) / 3600:>10.1f} h")


if __name__ == "__main__":
    main()
