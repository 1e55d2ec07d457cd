"""How much of a training step is not matrix products?        python -m tests.benchmarks.step

Ten epochs of `VAE.fit` over digits in minibatches (rows gathered, noise drawn, forward, backward, Adam, history)
against the matrix products of the same steps alone: same process, same shapes, in turn. Printed are medians with the
median ratio of the pairs, and the ratio of the two minima: on a busy machine the second is nearer to the code's own
cost. Everything is measured with one BLAS thread and with all of them; the latter is the harder ratio. Nothing is
judged.
"""
import argparse
import itertools
import time

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from tinyvae import VAE, load_mnist5k

SIZES = [(400, 20, 128), (200, 50, 20), (300, 20, 1000)]


def products(D, H, K, B, n_steps, rng):
    """A function that multiplies what n_steps steps of a D-H-2K, K-H-D model multiply, into preallocated arrays."""
    def array(*shape):
        return rng.standard_normal(shape, np.float32) / 100     # small: however often multiplied, nothing overflows

    x, h, code, z, g, out = array(B, D), array(B, H), array(B, 2 * K), array(B, K), array(B, H), array(B, D)
    W1, W2, W3, W4 = array(D, H), array(H, 2 * K), array(K, H), array(H, D)
    d1, d2, d3, d4, dh, dcode, dz, dg = (np.empty_like(a) for a in (W1, W2, W3, W4, h, code, z, g))
    h_, code_, g_, out_ = (np.empty_like(a) for a in (h, code, g, out))

    def run():
        for _ in range(n_steps):
            np.matmul(x, W1, out=h_)                    # forward
            np.matmul(h, W2, out=code_)
            np.matmul(z, W3, out=g_)
            np.matmul(g, W4, out=out_)
            np.matmul(g.T, out, out=d4)                 # backward, decoder
            np.matmul(out, W4.T, out=dg)
            np.matmul(z.T, g, out=d3)
            np.matmul(g, W3.T, out=dz)
            np.matmul(h.T, code, out=d2)                # backward, encoder; nobody asks for dx
            np.matmul(code, W2.T, out=dh)
            np.matmul(x.T, h, out=d1)
    return run


def measure(H, K, B, n_rounds):
    """Median milliseconds of a step and of its products, the median over rounds of their ratio, that of their minima."""
    X = (load_mnist5k(dtype="float32")[0] > 0.5).astype(np.float32)
    X = X[:len(X) // B * B]
    n_epochs = 10
    n_steps = n_epochs * len(X) // B
    model = VAE(K, hidden=(H,), likelihood="bernoulli", batch_size=B, n_epochs=n_epochs, random_state=0)
    multiply = products(X.shape[1], H, K, B, n_steps, np.random.default_rng(0))
    model.fit(X)
    rounds = []
    for _ in range(n_rounds):
        start = time.perf_counter()
        model.fit(X)
        middle = time.perf_counter()
        multiply()
        rounds.append((middle - start, time.perf_counter() - middle))
    step, product = np.array(rounds).T * 1e3 / n_steps
    return np.median(step), np.median(product), np.median(step / product), step.min() / product.min()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="runs of each kind (default 7)")
    n_rounds = parser.parse_args().rounds
    print("       D-H-K  batch  threads  step, ms  products, ms  ratio  of minima")
    all_threads = {pool["num_threads"] for pool in threadpool_info()}
    for (H, K, B), threads in itertools.product(SIZES, sorted({1, *all_threads})):
        with threadpool_limits(threads):
            step, product, ratio, of_minima = measure(H, K, B, n_rounds)
        print(f"{f'784-{H}-{K}':>12} {B:>6} {threads:>8} {step:>9.3f} {product:>13.3f} {ratio:>6.2f} {of_minima:>10.2f}",
              flush=True)


if __name__ == "__main__":
    main()
