"""A published table, on real MNIST.        python -m tests.benchmarks.mnist_vae --data FOLDER

The protocol of Stanford's XCS236, problem set 2: a VAE 784-300-300-10 with ELU and a mirrored decoder, Bernoulli
likelihood, pixels binarised afresh for every batch, Adam at 1e-3, 20,000 steps of 100 images. Printed beside the
published figures are those of this run on the 10,000 test images, binarised once with independent draws; then the wall
time and the peak memory of loading and training, which is measured before anything is evaluated.

FOLDER holds MNIST's four IDX files (`tinyvae data --fetch FOLDER` downloads them). Takes a few minutes.
"""
import argparse
import resource
import time
from pathlib import Path

import numpy as np

from tinyvae import VAE, load_idx

STEPS, BATCH = 20_000, 100
BOUND = [("−ELBO", "100 ± 2"), ("KL", "19.5 ± 2"), ("reconstruction", "82 ± 2")]
IMPORTANCE = [(1, "99 ± 2.5", 20), (10, "97 ± 2.5", 10), (100, "96 ± 2.5", 3), (1000, "95 ± 2.5", 1)]


def train(X, seed):
    """The fitted model, and seconds. 33 whole epochs, and what is missing to 20,000 steps from a random third of X."""
    model = VAE(10, hidden=(300, 300), activation="elu", likelihood="bernoulli", binarize=True, learning_rate=1e-3,
                batch_size=BATCH, dtype="float32", input_scale=1 / 255, random_state=seed, verbose=1)
    n_epochs, rest = divmod(STEPS * BATCH, len(X))
    rows = np.random.default_rng(seed).permutation(len(X))[:rest]
    start = time.perf_counter()
    model.set_params(n_epochs=n_epochs).fit(X)
    if rest:
        model.partial_fit(X[rows])
    return model, time.perf_counter() - start


def measure(model, X, seed):
    """(name, published, mean over images) for every figure. A row shares its noise with all others, so with few draws a
    row several seeds are averaged."""
    log_px_z, kl = model.elbo_terms(X, n_samples=100, random_state=seed)
    values = {"−ELBO": np.mean(kl - log_px_z), "KL": np.mean(kl), "reconstruction": -np.mean(log_px_z)}
    for name, published in BOUND:
        yield name, published, values[name]
    for n_samples, published, n_seeds in IMPORTANCE:
        value = np.mean([-model.log_likelihood(X, n_samples, random_state=seed + i) for i in range(n_seeds)])
        yield f"−log p, {n_samples} samples", published, value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, metavar="FOLDER", help="a folder of MNIST's IDX files")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is random (default 0)")
    options = parser.parse_args()
    sets = load_idx(options.data)
    model, seconds = train(sets["train_images"], options.seed)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    grey = sets["test_images"]
    binary = np.where(np.random.default_rng(options.seed).random(grey.shape, np.float32) * 255 < grey, 255, 0)
    print(f"{'test set, nats per image':28}{'published':>12}{'this run':>12}")
    for name, published, value in measure(model, binary.astype(np.uint8), options.seed):
        print(f"{name:28}{published:>12}{value:>12.2f}", flush=True)
    print(f"{STEPS:,} steps in {seconds:.1f} s, {1e3 * seconds / STEPS:.2f} ms a step; peak memory {peak:.0f} MB")


if __name__ == "__main__":
    main()
