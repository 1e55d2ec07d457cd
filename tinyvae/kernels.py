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
    - cache: compiled once a machine. Where no cache folder is writable Numba raises at decoration; then without it.
    """
    if function is None:
        return functools.partial(jit, sums=sums)
    fastmath = {"nsz", "arcp", "contract", "afn"} | ({"reassoc"} if sums else set())
    options = {"fastmath": fastmath, "error_model": "numpy"}
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
def activation_dbias(dh, h, number, da, db):
    """da = dh φ'(a), db = Σ_B da        [ops.activation_dbias]"""
    one, zero = h.dtype.type(1), h.dtype.type(0)
    db[:] = zero
    for b in range(h.shape[0]):
        if number == 0:
            for j in range(h.shape[1]):
                da[b, j] = dh[b, j]
        elif number == 1:
            for j in range(h.shape[1]):
                da[b, j] = dh[b, j] * (one - h[b, j] * h[b, j])
        elif number == 2:
            for j in range(h.shape[1]):
                da[b, j] = dh[b, j] * (h[b, j] * (one - h[b, j]))
        elif number == 3:
            for j in range(h.shape[1]):
                da[b, j] = dh[b, j] if h[b, j] > zero else dh[b, j] * zero
        else:
            for j in range(h.shape[1]):
                da[b, j] = dh[b, j] * (one + min(h[b, j], zero))
        for j in range(h.shape[1]):
            db[j] += da[b, j]


@jit
def _exp_of_minus_magnitude(row, poly, power):
    """e^−|a| = 2^k e^r, k = round(−|a| / ln 2), |r| ≤ ln(2)/2: e^r into `poly` by Taylor series, 2^k into `power`.

    There is no vectorised exp to call. 2^k is made by writing k into the bits of the exponent. A loop that makes both
    factors vectorises, as does the caller's that multiplies them; one loop with both does not.
    """
    T = row.dtype.type
    double = row.itemsize == 8
    bits = power.view(np.int32)
    lowest = T(-700) if double else T(-87)
    for j in range(row.size):
        t = max(-abs(row[j]), lowest)
        k = np.floor(t * T(1.4426950408889634) + T(0.5))
        r = (t - k * T(0.693145751953125)) - k * T(1.4286068203094172e-06)     # ln 2 in two parts keeps the digits of r
        q = T(0)
        if double:
            q = T(1 / 6227020800) * r + T(1 / 479001600)
            q = (q * r + T(1 / 39916800)) * r + T(1 / 3628800)
            q = ((q * r + T(1 / 362880)) * r + T(1 / 40320)) * r
        q = (((q + T(1 / 5040)) * r + T(1 / 720)) * r + T(1 / 120)) * r + T(1 / 24)
        poly[j] = (((q * r + T(1 / 6)) * r + T(0.5)) * r + T(1)) * r + T(1)
        if double:
            bits[2 * j] = 0
            bits[2 * j + 1] = (np.int32(k) + np.int32(1023)) << np.int32(20)
        else:
            bits[j] = (np.int32(k) + np.int32(127)) << np.int32(23)


@jit(sums=True)
def bernoulli_log_prob(x, logits, result):
    """Σ_d x l − max(l, 0) − log(1 + e^−|l|)        [distributions.bernoulli_log_prob]

    log(1 + e) = 2 artanh(u) with u = e / (2 + e) ≤ 1/3, by its odd series: nothing to call here either.
    """
    T = logits.dtype.type
    double = logits.itemsize == 8
    poly = np.empty(logits.shape[1], logits.dtype)
    power = np.empty(logits.shape[1], logits.dtype)
    for b in range(logits.shape[0]):
        _exp_of_minus_magnitude(logits[b], poly, power)
        total = T(0)
        for j in range(logits.shape[1]):
            e = poly[j] * power[j]
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
    poly = np.empty(logits.shape[1], logits.dtype)
    power = np.empty(logits.shape[1], logits.dtype)
    for b in range(logits.shape[0]):
        _exp_of_minus_magnitude(logits[b], poly, power)
        for j in range(logits.shape[1]):
            e = poly[j] * power[j]
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
