"""The rules by which well-known gradient checkers accept a gradient, written anew from what their sources say.

A rule is a function (f, grad, theta, rng) → whether the gradient is accepted, with its source's default step and
tolerances; f takes the dict `theta` of named float64 arrays to a number, grad takes it to a dict of the same shapes.
PyTorch, JAX, autograd and minitorch check the vector–Jacobian product of a function with any output; f has one output
here, so that the cotangent is one number. Where a source freezes its seed (PyTorch, JAX, minitorch), rng draws instead.
What they test beyond the numbers (types, sparse arrays, second derivatives, forward mode) has no counterpart here.
"""
import functools

import numpy as np

from tinyvae import check_gradient


def slope(f, theta, direction, h):
    """(f(θ + h d) − f(θ − h d)) / 2h, along a dict of arrays"""
    up, down = ({name: theta[name] + step * direction[name] for name in direction} for step in (h, -h))
    return (f(theta | up) - f(theta | down)) / (2 * h)


def entry_slope(f, theta, name, k, h):
    """The same along the k-th entry of a block."""
    up, down = theta[name].copy(), theta[name].copy()
    up.flat[k] += h
    down.flat[k] -= h
    return (f(theta | {name: up}) - f(theta | {name: down})) / (2 * h)


def inner(a, b):
    """Σ a b over the blocks of a"""
    return sum(np.sum(a[name] * b[name]) for name in a)


def gradient_of(grad, theta):
    """A copy of what grad returns, since a later call may write to the same arrays."""
    return {name: np.array(g) for name, g in grad(theta).items()}


def repeats(grad, theta):
    """The gradient, and whether a second call returns the same to the last bit."""
    first, second = gradient_of(grad, theta), gradient_of(grad, theta)
    return first, all(np.array_equal(first[name], second[name]) for name in theta)


# ---- PyTorch ---------------------------------------------------------------------------------------------------------


def torch_fast(f, grad, theta, rng, eps=1e-6, atol=1e-5, rtol=1e-3):
    """Every block along one direction u ≥ 0, uniform and then of norm 1; atol is multiplied by Σu, which grows as √n.

        |⟨g, u⟩ − D| ≤ atol Σu + rtol |D|,   D = (f(θ + ε u) − f(θ − ε u)) / 2ε;   two calls of grad agree exactly

    Source: PyTorch 2.13, torch/autograd/gradcheck.py, gradcheck(fast_mode=True).
    """
    g, same = repeats(grad, theta)
    for name, block in theta.items():
        u = rng.random(block.shape)
        u /= np.linalg.norm(u)
        numeric = slope(f, theta, {name: u}, eps)
        same = same and abs(np.sum(g[name] * u) - numeric) <= atol * np.sum(u) + rtol * abs(numeric)
    return bool(same)


def torch_slow(f, grad, theta, rng, eps=1e-6, atol=1e-5, rtol=1e-3):
    """Every entry: |g_k − D_k| ≤ atol + rtol |D_k|, and two calls of grad agree exactly.

    Source: PyTorch 2.13, torch/autograd/gradcheck.py, gradcheck(), the default.
    """
    g, same = repeats(grad, theta)
    return same and all(abs(a - n) <= atol + rtol * abs(n) for a, n in entries(f, g, theta, eps))


def entries(f, g, theta, h):
    """Pairs (analytic, numeric), one at a time"""
    return ((g[name].flat[k], entry_slope(f, theta, name, k, h))
            for name in theta for k in range(theta[name].size))


# ---- JAX and autograd ------------------------------------------------------------------------------------------------


def jax(f, grad, theta, rng, eps=1e-4):
    """All blocks at once along one normal direction v, with a normal cotangent w.

        |w ⟨g, v⟩ − w D| ≤ tol (1 + |w D|),   tol = 1e-5 for float64, 2e-3 for float32;   so must two values of f agree

    Source: JAX 0.10, jax/_src/public_test_util.py, check_grads(order=1, modes=["rev"]), which is check_vjp.
    """
    value, again = f(theta), f(theta)
    tol = 2e-3 if np.asarray(value).dtype == np.float32 else 1e-5
    v = {name: rng.standard_normal(block.shape) for name, block in theta.items()}
    numeric = slope(f, theta, v, eps)
    w = rng.standard_normal()
    error = abs(w * inner(v, gradient_of(grad, theta)) - w * numeric)
    return bool(abs(value - again) <= tol * (1 + abs(again)) and error <= tol * (1 + abs(w * numeric)))


def autograd(f, grad, theta, rng, eps=1e-6, tol=1e-6):
    """All blocks at once along one normal direction v, with a normal cotangent w.

        |a − n| < tol   or   |a − n| < tol |a + n|,   a = w ⟨g, v⟩,   n = w (f(θ + ε v/2) − f(θ − ε v/2)) / ε

    Source: HIPS autograd 1.9, autograd/test_util.py, check_grads(modes=["rev"], order=1), which is check_vjp.
    """
    v = {name: rng.standard_normal(block.shape) for name, block in theta.items()}
    w = rng.standard_normal()
    a, n = w * inner(v, gradient_of(grad, theta)), w * slope(f, theta, v, eps / 2)
    return bool(abs(a - n) < tol or abs(a - n) < tol * abs(a + n))


# ---- courses ---------------------------------------------------------------------------------------------------------


def cs231n_some(f, grad, theta, rng, h=1e-5, tol=1e-2):
    """Ten random entries of every block: |a − n| ≤ tol (|a| + |n|).

    The function prints the relative error and leaves the verdict to the reader. Its course notes say that above 1e-2 a
    gradient is probably wrong, that below 1e-4 it is usually okay where there are kinks, and that zeros pass.
    Source: Stanford CS231n, cs231n/gradient_check.py, grad_check_sparse; notes "Neural networks 3", gradient checks.
    """
    g = gradient_of(grad, theta)
    drawn = [(name, k) for name in theta for k in rng.integers(theta[name].size, size=10)]
    pairs = ((g[name].flat[k], entry_slope(f, theta, name, k, h)) for name, k in drawn)
    return all(abs(a - n) <= tol * (abs(a) + abs(n)) for a, n in pairs)


def cs231n_all(f, grad, theta, rng, h=1e-5, tol=1e-5):
    """Every entry: |a − n| ≤ tol max(1e-8, |a| + |n|).

    The assignment asks for 1e-7 in most blocks and calls 1e-5 fine; the kinder of the two is taken.
    Source: Stanford CS231n, cs231n/gradient_check.py, eval_numerical_gradient; rel_error in FullyConnectedNets.ipynb.
    """
    g = gradient_of(grad, theta)
    return all(abs(a - n) <= tol * max(1e-8, abs(a) + abs(n)) for a, n in entries(f, g, theta, h))


def minitorch(f, grad, theta, rng, eps=1e-6, tol=1e-2):
    """One random entry of every block: |a − n| ≤ tol + tol |n|.

    Source: minitorch, minitorch/tensor_functions.py, grad_check.
    """
    g = gradient_of(grad, theta)
    drawn = [(name, rng.integers(theta[name].size)) for name in theta]
    pairs = ((g[name].flat[k], entry_slope(f, theta, name, k, eps)) for name, k in drawn)
    return all(abs(a - n) <= tol + tol * abs(n) for a, n in pairs)


# ---- all of them, ours first -----------------------------------------------------------------------------------------


def tinyvae(f, grad, theta, rng):
    """`tinyvae.check_gradient` as it comes; a value of f in single precision is handed over in double, as it asks."""
    return check_gradient(lambda theta: np.float64(1) * f(theta), grad, theta, rng=rng).ok


def tinyvae_real(f, grad, theta, rng):
    """The same for an f that takes no complex numbers, so that there is no complex step to help."""
    return check_gradient(lambda theta: float(f(theta)), grad, theta, rng=rng).ok


def tinyvae_decided(f, grad, theta, rng):
    """As it comes, but a block that stays undecided counts as accepted."""
    findings = check_gradient(lambda theta: np.float64(1) * f(theta), grad, theta, rng=rng).findings
    return all(finding.verdict == "undecided" for finding in findings)


KNOWN = {"torch fast": torch_fast, "torch slow": torch_slow, "jax": jax, "autograd": autograd,
         "cs231n, 10, 1e-2": cs231n_some, "cs231n, 10, 1e-4": functools.partial(cs231n_some, tol=1e-4),
         "cs231n, all": cs231n_all, "minitorch": minitorch}
RULES = {"tinyvae": tinyvae, "tinyvae, real f": tinyvae_real, "tinyvae, decided": tinyvae_decided, **KNOWN}
ENTRYWISE = "torch slow", "cs231n, all"                      # two evaluations of f for every entry
