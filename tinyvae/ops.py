"""The elementary operations: each function stands beside its derivatives.

Dimension letters: B batch (rows), I inputs and O outputs of a layer, H units. A row is an example. `dy` is the
derivative of the loss by y. Every activation φ is differentiated from its own value h = φ(a), so that a forward pass
stores h alone:

    h = tanh(a),   φ'(a) = tanh_d(h),   φ''(a) = tanh_dd(h)

All bodies are plain NumPy and accept complex arrays, branching on the real part, so that a complex step differentiates
exactly the lines that are read here. Functions with `out=` write there, and may overwrite their own input.
"""
import functools
import importlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

# ---- from the text to its compiled twin ------------------------------------------------------------------------------


class Activation(NamedTuple):
    """An activation with its two derivatives; `number` is its name in the compiled kernels, None if they lack it."""
    number: int | None
    f: Callable      # φ(a, out=None)
    d: Callable      # φ'(a)  from h = φ(a)
    dd: Callable     # φ''(a) from h = φ(a)


def compiled(shapes):
    """Hand real, contiguous arrays of one float type to the twin of the same name in `kernels.py`.

    `shapes` are those of the array arguments in dimension letters, such as "BH BH H": a twin checks nothing, so only
    what fits is handed over. Everything else (complex numbers, strided views, wrong shapes) runs the NumPy text, which
    stays reachable as `__wrapped__`. A twin takes the arguments of its text, an activation as its number.
    """
    shapes = tuple(shapes.split())

    def decorate(text):
        @functools.wraps(text)
        def op(*args):
            twin_args = [a.number if isinstance(a, Activation) else a for a in args]
            layouts = tuple([(a.dtype, a.shape, a.flags.c_contiguous) if isinstance(a, np.ndarray) else a is None
                             for a in twin_args])
            return _twin(text.__name__)(*twin_args) if _fit(layouts, shapes) else text(*args)
        return op
    return decorate


@functools.lru_cache
def _fit(layouts, shapes):
    """Whether a twin may be given arrays of these layouts; True stands for an activation without a number."""
    arrays, sizes = [layout for layout in layouts if isinstance(layout, tuple)], {}
    return (True not in layouts and {dtype for dtype, _, _ in arrays} in ({np.dtype("float32")}, {np.dtype("float64")})
            and all(contiguous and len(shape) == len(letters)
                    and all(sizes.setdefault(letter, n) == n for letter, n in zip(letters, shape))
                    for (_, shape, contiguous), letters in zip(arrays, shapes)))


@functools.cache
def _twin(name):
    """Numba is imported here, at the first call that needs it, and not with the package."""
    return getattr(importlib.import_module(".kernels", __package__), name)


# ---- dense layer -----------------------------------------------------------------------------------------------------


def dense(x, W, b, out=None):
    """y = x W + b, row by row.   [NL.2]        x (B, I), W (I, O), b (O,)   returns (B, O)"""
    return np.add(np.matmul(x, W, out=out), b, out=out)


def dense_dx(dy, W, out=None):
    """dx = dy Wᵀ   [NL.2]        dy (B, O), W (I, O)   returns (B, I)"""
    return np.matmul(dy, W.T, out=out)


def dense_dparams(dy, x, dW, db):
    """dW = xᵀ dy,  db = Σ_B dy   [NL.2]        dy (B, O), x (B, I); dW (I, O) and db (O,) are overwritten"""
    np.matmul(x.T, dy, out=dW)
    np.sum(dy, axis=0, out=db)


# ---- activations: φ, φ', φ'' -----------------------------------------------------------------------------------------


def identity(a, out=None):
    """φ(a) = a, the activation of a linear layer."""
    if out is None or out is a:
        return a
    np.copyto(out, a)
    return out


def identity_d(h):
    """φ' = 1"""
    return np.ones_like(h)


def identity_dd(h):
    """φ'' = 0"""
    return np.zeros_like(h)


def tanh(a, out=None):
    """φ(a) = tanh a   [NL.1]"""
    return np.tanh(a, out=out)


def tanh_d(h):
    """φ' = 1 − h²"""
    return 1 - h * h


def tanh_dd(h):
    """φ'' = −2 h (1 − h²)"""
    return -2 * h * (1 - h * h)


def sigmoid(a, out=None):
    """φ(a) = 1 / (1 + e^−a), through e^−|a| ≤ 1, which cannot overflow."""
    e = np.exp(-magnitude(a))
    return np.divide(np.where(np.real(a) < 0, e, e.dtype.type(1)), 1 + e, out=out)


def sigmoid_d(h):
    """φ' = h (1 − h)"""
    return h * (1 - h)


def sigmoid_dd(h):
    """φ'' = h (1 − h) (1 − 2h)"""
    return h * (1 - h) * (1 - 2 * h)


def relu(a, out=None):
    """φ(a) = max(a, 0). NumPy orders complex numbers by their real part first, as a complex step needs."""
    return np.maximum(a, 0, out=out)


def relu_d(h):
    """φ' = 1 where h > 0, else 0 (at the kink the subgradient 0)"""
    return (np.real(h) > 0).astype(h.dtype)


def relu_dd(h):
    """φ'' = 0 off the kink"""
    return np.zeros_like(h)


def elu(a, out=None):
    """φ(a) = a where a > 0, else e^a − 1.   Source: Clevert, Unterthiner and Hochreiter 2016, with α = 1."""
    return np.add(np.maximum(a, 0), np.expm1(np.minimum(a, 0)), out=out)


def elu_d(h):
    """φ' = 1 where h > 0, else e^a = h + 1"""
    return 1 + np.minimum(h, 0)


def elu_dd(h):
    """φ'' = 0 where h > 0, else h + 1"""
    return np.where(np.real(h) > 0, h.dtype.type(0), 1 + h)


def softplus(a, out=None):
    """φ(a) = log(1 + e^a) = max(a, 0) + log(1 + e^−|a|), which neither overflows nor cancels."""
    return np.add(np.maximum(a, 0), np.log1p(np.exp(-magnitude(a))), out=out)


def softplus_d(h):
    """φ' = sigmoid(a) = 1 − e^−h"""
    return -np.expm1(-h)


def softplus_dd(h):
    """φ'' = e^−h (1 − e^−h)"""
    return -np.exp(-h) * np.expm1(-h)


def magnitude(a):
    """|a| with the branch taken on the real part: np.abs would lose a complex step."""
    return np.where(np.real(a) < 0, -a, a)


ACTIVATIONS = {
    "identity": Activation(0, identity, identity_d, identity_dd),
    "tanh":     Activation(1, tanh,     tanh_d,     tanh_dd),
    "sigmoid":  Activation(2, sigmoid,  sigmoid_d,  sigmoid_dd),
    "relu":     Activation(3, relu,     relu_d,     relu_dd),
    "elu":      Activation(4, elu,      elu_d,      elu_dd),
    "softplus": Activation(None, softplus, softplus_d, softplus_dd),
}

# ---- two formulas in one: what a layer's speed hangs on, once its products are in BLAS -------------------------------


def bias_activation(a, b, phi):
    """h = φ(a + b), written over a.        a (B, H), b (H,), phi an Activation   returns a, which now holds h"""
    if phi.f is relu:
        bias_relu(a, b)
        return a
    np.add(a, b, out=a)
    return phi.f(a, out=a)


@compiled("BH H")
def bias_relu(a, b):
    """h = max(a + b, 0), written over a.        a (B, H), b (H,)"""
    np.add(a, b, out=a)
    np.maximum(a, 0, out=a)


@compiled("BH BH H")
def activation_dbias(da, h, phi, db):
    """da = dh φ'(a), written over dh, and db = Σ_B da.        da (holding dh at first) and h (B, H); db (H,)"""
    np.multiply(da, phi.d(h), out=da)
    np.sum(da, axis=0, out=db)


# ---- rows ------------------------------------------------------------------------------------------------------------


def softmax(a):
    """p_k = e^{a_k} / Σ_j e^{a_j}, row by row.        a (B, K)   returns (B, K)

    The largest a of a row is taken out first, so that nothing overflows.
    """
    e = np.exp(a - np.max(np.real(a), axis=1, keepdims=True))
    return e / np.sum(e, axis=1, keepdims=True)


def softmax_da(dp, p):
    """da = p (dp − Σ_j p_j dp_j)        dp, p (B, K)   returns (B, K)"""
    return p * (dp - np.sum(p * dp, axis=1, keepdims=True))


def squared_error(x, y):
    """‖x − y‖², a number a row.   [AE.2]        x, y (B, D)   returns (B,)"""
    r = x - y
    return np.einsum("bd,bd->b", r, r)


def squared_error_dy(x, y, w):
    """Σ_b w_b ‖x_b − y_b‖² differentiated by y:  −2 w (x − y)   [AE.2]        w (B,)   returns (B, D)"""
    return -2 * w[:, None] * (x - y)


def log_sum_exp(a, axis):
    """log Σ e^a along `axis`, the largest taken out first; −inf where every entry is −inf."""
    top = np.max(a, axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):
        return np.log(np.sum(np.exp(a - top), axis=axis)) + np.squeeze(top, axis=axis)


# ---- the table: every op with all its derivatives --------------------------------------------------------------------


class Op(NamedTuple):
    """f(*inputs) → y, vjp(dy, y, *inputs) → the derivatives by the inputs, whose `shapes` are in dimension letters."""
    f: Callable
    vjp: Callable
    shapes: tuple


def _dense_vjp(dy, y, x, W, b):
    dW, db = np.empty_like(W), np.empty_like(b)
    dense_dparams(dy, x, dW, db)
    return dense_dx(dy, W), dW, db


def _activation_op(phi):
    return Op(phi.f, lambda dh, h, a: (dh * phi.d(h),), ("BH",))


OPS = {
    "dense":         Op(dense, _dense_vjp, ("BI", "IO", "O")),
    **{name: _activation_op(phi) for name, phi in ACTIVATIONS.items()},
    "softmax":       Op(softmax, lambda dp, p, a: (softmax_da(dp, p),), ("BK",)),
    "squared_error": Op(squared_error, lambda w, e, x, y: (squared_error_dy(y, x, w), squared_error_dy(x, y, w)),
                        ("BD", "BD")),
}
