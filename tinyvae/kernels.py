"""Compiled twins: the same names, arguments and formulas as the texts that hand over to them; `ops.compiled` does so.

Nothing is validated here and nothing is allocated but scratch for one row: results go into the arrays that the caller
gives. All kernels live in this one file, since Numba's cache on disk does not notice an edit in an imported function.
"""
import functools

import numba
import numpy as np


def jit(function=None, *, sums=False):
    """The one decorator, with all its options.

    - fastmath without "nnan" and "ninf": NaN and infinity stay as they are.
    - sums, "reassoc": a sum along a row may be reordered, which vectorises it. Not elsewhere: it would also turn
      b v + (1 − b) g² into g² + b (v − g²), which cancels.
    - error_model="numpy": a division by zero gives inf; the check that Python wants there would stop vectorisation.
    - nogil: a kernel touches arrays alone, so that estimates with several threads run it side by side.
    - cache: compiled once a machine. Where no cache folder is writable Numba raises at decoration; then without it.
    """
    if function is None:
        return functools.partial(jit, sums=sums)
    fastmath = {"nsz", "arcp", "contract", "afn"} | ({"reassoc"} if sums else set())
    options = {"fastmath": fastmath, "error_model": "numpy", "nogil": True}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)


@jit
def bias_relu(a, b):
    """a = max(a + b, 0); NaN stays        [ops.bias_relu]"""
    zero = a.dtype.type(0)
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            h = a[i, j] + b[j]
            a[i, j] = zero if h < zero else h


@jit
def activation_dbias(da, h, number, db):
    """da = dh φ'(a) over dh, db = Σ_B da        [ops.activation_dbias]"""
    one, zero = h.dtype.type(1), h.dtype.type(0)
    db[:] = zero
    for b in range(h.shape[0]):
        if number == 1:
            for j in range(h.shape[1]):
                da[b, j] *= one - h[b, j] * h[b, j]
        elif number == 2:
            for j in range(h.shape[1]):
                da[b, j] *= h[b, j] * (one - h[b, j])
        elif number == 3:
            for j in range(h.shape[1]):
                da[b, j] *= one if h[b, j] > zero else zero
        elif number == 4:
            for j in range(h.shape[1]):
                da[b, j] *= one + min(h[b, j], zero)
        for j in range(h.shape[1]):
            db[j] += da[b, j]


@jit
def _exp(a, power):
    """e^a = 2^k e^r, k = round(a / ln 2), |r| ≤ ln(2)/2: p = e^r − 1 by Taylor series over a, and 2^k into `power`.

        e^a = p 2^k + 2^k           e^a − 1 = p 2^k + (2^k − 1)

    There is no vectorised exp to call. 2^k is made by writing k into the bits of the exponent, infinity for the largest
    k. A loop that makes both factors vectorises, as does the caller's that multiplies them; one with both does not.
    """
    T = a.dtype.type
    double = a.itemsize == 8
    bits = power.view(np.int32)
    lowest, highest = (T(-700), T(710)) if double else (T(-87), T(89))
    for j in range(a.size):
        t = min(max(a[j], lowest), highest)
        k = np.floor(t * T(1.4426950408889634) + T(0.5))
        r = (t - k * T(0.693145751953125)) - k * T(1.4286068203094172e-06)     # ln 2 in two parts keeps the digits of r
        q = T(0)
        if double:
            q = T(1 / 6227020800) * r + T(1 / 479001600)
            q = (q * r + T(1 / 39916800)) * r + T(1 / 3628800)
            q = ((q * r + T(1 / 362880)) * r + T(1 / 40320)) * r
        q = (((q + T(1 / 5040)) * r + T(1 / 720)) * r + T(1 / 120)) * r + T(1 / 24)
        a[j] = ((q * r + T(1 / 6)) * r + T(0.5)) * (r * r) + r
        if double:
            bits[2 * j] = 0
            bits[2 * j + 1] = (np.int32(k) + np.int32(1023)) << np.int32(20)
        else:
            bits[j] = (np.int32(k) + np.int32(127)) << np.int32(23)


@jit
def diagonal_draw(pairs, eps, z):
    """z = mu + exp(logvar / 2) eps        [distributions.diagonal_draw]"""
    p, power = _exp_of_logvar(pairs, 0.5)
    for b in range(z.shape[0]):
        for k in range(z.shape[1]):
            z[b, k] = pairs[b, 0, k] + (p[b, k] * power[b, k] + power[b, k]) * eps[b, k]


@jit
def diagonal_draw_d(dz, pairs, eps, d_pairs):
    """dmu = dz, dlogvar = ½ dz eps exp(logvar / 2)        [distributions.diagonal_draw_d]"""
    half = dz.dtype.type(0.5)
    p, power = _exp_of_logvar(pairs, 0.5)
    for b in range(dz.shape[0]):
        for k in range(dz.shape[1]):
            d_pairs[b, 0, k] = dz[b, k]
            d_pairs[b, 1, k] = half * dz[b, k] * eps[b, k] * (p[b, k] * power[b, k] + power[b, k])


@jit
def diagonal_kl(pairs, result):
    """½ Σ_k mu² + expm1(logvar) − logvar, whose terms must not be reordered        [distributions.diagonal_kl]"""
    T = pairs.dtype.type
    p, power = _exp_of_logvar(pairs, 1.0)
    for b in range(result.size):
        total = T(0)
        for k in range(pairs.shape[2]):
            expm1 = p[b, k] * power[b, k] + (power[b, k] - T(1))
            total += pairs[b, 0, k] * pairs[b, 0, k] + (expm1 - pairs[b, 1, k])
        result[b] = T(0.5) * total


@jit
def diagonal_kl_d(pairs, w, d_pairs):
    """dmu = w mu, dlogvar = ½ w expm1(logvar)        [distributions.diagonal_kl_d]"""
    T = pairs.dtype.type
    p, power = _exp_of_logvar(pairs, 1.0)
    for b in range(w.size):
        for k in range(pairs.shape[2]):
            d_pairs[b, 0, k] = w[b] * pairs[b, 0, k]
            d_pairs[b, 1, k] = T(0.5) * w[b] * (p[b, k] * power[b, k] + (power[b, k] - T(1)))


@jit
def _exp_of_logvar(pairs, factor):
    """The two parts of exp(factor · logvar), (B, K) each, as `_exp` makes them: a row alone is too short for it."""
    p = pairs.dtype.type(factor) * pairs[:, 1]
    power = np.empty_like(p)
    _exp(p.reshape(-1), power.reshape(-1))
    return p, power


@jit(sums=True)
def bernoulli_log_prob(x, logits, result):
    """Σ_d x l − max(l, 0) − log(1 + e^−|l|)        [distributions.bernoulli_log_prob]

    log(1 + e) = 2 artanh(u) with u = e / (2 + e) ≤ 1/3, by its odd series: nothing to call here either.
    """
    T = logits.dtype.type
    double = logits.itemsize == 8
    p = np.empty(logits.shape[1], logits.dtype)
    power = np.empty(logits.shape[1], logits.dtype)
    for b in range(logits.shape[0]):
        for j in range(logits.shape[1]):
            p[j] = -abs(logits[b, j])
        _exp(p, power)
        total = T(0)
        for j in range(logits.shape[1]):
            e = p[j] * power[j] + power[j]
            u = e / (T(2) + e)
            v = u * u
            q = T(0)
            if double:
                q = ((T(1 / 33) * v + T(1 / 31)) * v + T(1 / 29)) * v + T(1 / 27)
                q = ((((q * v + T(1 / 25)) * v + T(1 / 23)) * v + T(1 / 21)) * v + T(1 / 19)) * v + T(1 / 17)
                q = q * v
            q = (((q + T(1 / 15)) * v + T(1 / 13)) * v + T(1 / 11)) * v + T(1 / 9)
            q = (((q * v + T(1 / 7)) * v + T(1 / 5)) * v + T(1 / 3)) * v + T(1)
            total += x[b, j] * logits[b, j] - max(logits[b, j], T(0)) - T(2) * u * q
        result[b] = total


@jit
def bernoulli_log_prob_d(x, logits, w, d_logits):
    """w (x − sigmoid(l))        [distributions.bernoulli_log_prob_d]"""
    T = logits.dtype.type
    p = np.empty(logits.shape[1], logits.dtype)
    power = np.empty(logits.shape[1], logits.dtype)
    for b in range(logits.shape[0]):
        for j in range(logits.shape[1]):
            p[j] = -abs(logits[b, j])
        _exp(p, power)
        for j in range(logits.shape[1]):
            e = p[j] * power[j] + power[j]
            sigmoid = (T(1) if logits[b, j] >= T(0) else e) / (T(1) + e)
            d_logits[b, j] = w[b] * (x[b, j] - sigmoid)


@jit
def adam(theta, grad, m, v, t, learning_rate, beta1, beta2, eps):
    """One step of Adam over the flat vector, in a single pass        [optim.adam]"""
    T = theta.dtype.type
    b1, c1, b2, c2, e = T(beta1), T(1 - beta1), T(beta2), T(1 - beta2), T(eps)
    rate, scale = T(learning_rate / (1 - beta1 ** t)), T(1 / (1 - beta2 ** t))
    for i in range(theta.size):
        m[i] = b1 * m[i] + c1 * grad[i]
        v[i] = b2 * v[i] + c2 * grad[i] * grad[i]
        theta[i] -= rate * m[i] / (np.sqrt(v[i] * scale) + e)


@jit
def rmsprop(theta, grad, v, learning_rate, decay, eps):
    """One step of RMSProp        [optim.rmsprop]"""
    T = theta.dtype.type
    rate, rho, c, e = T(learning_rate), T(decay), T(1 - decay), T(eps)
    for i in range(theta.size):
        v[i] = rho * v[i] + c * grad[i] * grad[i]
        theta[i] -= rate * grad[i] / (np.sqrt(v[i]) + e)


@jit
def momentum(theta, grad, velocity, learning_rate, beta, nesterov):
    """One step of (Nesterov) momentum        [optim.momentum]"""
    T = theta.dtype.type
    rate, mu = T(learning_rate), T(beta)
    for i in range(theta.size):
        velocity[i] = mu * velocity[i] + grad[i]
        theta[i] -= rate * (grad[i] + mu * velocity[i] if nesterov else velocity[i])
