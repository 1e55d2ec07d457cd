"""A stack of dense layers of any depth, h_i = φ_i(h_{i−1} W_i + b_i): forward, backward, and its Jacobian.   [NL.2]

`layers` is a list of (W, b), `activations` a list of as many `ops.Activation`. Depth is a loop over the same formulas.
Both passes return a list of arrays, which the next call of the same shapes may be given as `out=` to overwrite.
"""
from typing import NamedTuple

import numpy as np

from .ops import activation_dbias, bias_activation, dense_dx, identity


def mlp_forward(layers, activations, x, out=None):
    """[x, h_1, …, h_L], all that the backward pass needs.   [NL.2]        x (B, I)   h_i (B, O_i)"""
    hs = [x]
    for i, ((W, b), phi) in enumerate(zip(layers, activations), start=1):
        a = np.matmul(hs[-1], W, out=out and out[i])                          # a = h W
        hs.append(bias_activation(a, b, phi))                                 # h = φ(a + b), over a
    return hs


def mlp_backward(layers, activations, hs, dy, grads, need_dx, out=None, das_beside=None):
    """[dx, da_1, …, da_L], the derivatives by the input and by every pre-activation.   [NL.2]

        da = dh φ'(a)      db = Σ_B da      dW = h_inᵀ da      dh_in = da Wᵀ

    hs from `mlp_forward` and dy (B, O_L), the derivative by the stack's output, are not changed; `grads`, a list of
    (dW, db), is overwritten, or is None where only dx is asked for. Where the last layer is linear, da_L is dy itself,
    the same array. dx is None unless `need_dx`: nobody asks for the derivative by the data, and it would cost as much
    as the first layer itself.
    das_beside: derivatives by a_1, …, a_L on paths that do not lead through the output; they are added on the way.
    """
    das = list(out) if out else [None] + [np.empty(h.shape, dy.dtype) for h in hs[1:]]
    if activations[-1].f is identity and das_beside is None:
        das[-1] = dy
    else:
        np.copyto(das[-1], dy)
    for i in range(len(layers) - 1, -1, -1):
        W, da = layers[i][0], das[i + 1]
        dW, db = grads[i] if grads else (None, np.empty(W.shape[1], da.dtype))
        activation_dbias(da, hs[i + 1], activations[i], db)                   # da = dh φ'(a) over dh,  db = Σ_B da
        if das_beside is not None:
            da += das_beside[i]
            db += np.sum(das_beside[i], axis=0)
        if grads:
            np.matmul(hs[i].T, da, out=dW)                                    # dW = h_inᵀ da
        das[i] = dense_dx(da, W, out=das[i]) if i or need_dx else None        # dh_in = da Wᵀ
    return das


# ---- the Jacobian of the whole stack ---------------------------------------------------------------------------------
# For one row, J = ∂h_L/∂x = W_1 S_1 W_2 S_2 … W_L S_L, (D, H_L), with S_i = diag φ'(a_i). Its norm needs the first and
# widest matrix only through A = W_1ᵀ W_1, which all rows share:
#
#     ‖J‖² = tr(Vᵀ A V),   V_1 = S_1,  N_i = V_{i−1} W_i,  V_i = N_i S_i,  V = V_L
#
# The N_i of all rows are one array (H_1, B, H_i), and so on: every product is a single one of two matrices. Such arrays
# are large; fresh ones would cost as much as the products.


class Jacobian(NamedTuple):
    """What `mlp_jacobian` computes: the squared norm of every row, (B,), and what its derivative needs."""
    norm2: np.ndarray
    slopes: list               # φ'(a_i), (B, H_i)
    N: list                    # (H_1, B, H_i) for i = 2 … L
    V: np.ndarray              # (H_1, B, H_L)
    AV: np.ndarray             # (H_1, B, H_L)
    Q: np.ndarray              # Σ N_L ∘ A V over H_1, (B, H_L):  ‖J‖² = Σ_k φ'(a_Lk) Q_k


def mlp_jacobian(layers, activations, hs, out=None):
    """The squared Frobenius norm of ∂h_L/∂x of every row, exactly, for any depth.   [CT.1]

    hs from `mlp_forward`   returns a Jacobian; `out`, an earlier one of the same shapes, is overwritten
    One layer: Σ_j φ'(a_j)² ‖W_·j‖².   Source: Rifai, Vincent, Muller, Glorot and Bengio 2011, equation 5, for that.
    """
    slopes = [phi.d(h) for phi, h in zip(activations, hs[1:])]
    W = layers[0][0]
    if len(layers) == 1:
        return Jacobian(np.square(slopes[0]) @ np.sum(W * W, axis=0), slopes, [], None, None, None)
    widths, dtype = [slope.shape[1] for slope in slopes], np.result_type(W, slopes[-1])
    N, V, AV = (out.N, out.V, out.AV) if out else (
        [np.empty((widths[0], len(hs[0]), width), dtype) for width in widths[1:]],
        *np.empty((2, widths[0], len(hs[0]), widths[-1]), dtype))
    np.multiply(slopes[0].T[:, :, None], layers[1][0][:, None, :], out=N[0])
    for i in range(1, len(N)):
        np.matmul(N[i - 1] * slopes[i], layers[i + 1][0], out=N[i])
    np.multiply(N[-1], slopes[-1], out=V)
    np.matmul(W.T @ W, V.reshape(len(V), -1), out=AV.reshape(len(V), -1))
    Q = np.einsum("ibk,ibk->bk", N[-1], AV)
    return Jacobian(np.sum(slopes[-1] * Q, axis=1), slopes, N, V, AV, Q)


def mlp_jacobian_backward(layers, activations, hs, t, w):
    """Σ_b w_b ‖J_b‖² differentiated by every matrix and, through φ'', by every pre-activation.   [CT.1]

        dV = 2 w A V      dS_i = N_i ∘ dV_i      dN_i = dV_i S_i      dW_i = V_{i−1}ᵀ dN_i      dV_{i−1} = dN_i W_iᵀ
        dA = w V Vᵀ       dW_1 = 2 W_1 dA        da_i = φ''(a_i) dS_i, on the diagonal

    t from `mlp_jacobian`, whose V and AV are used up; w (B,), none negative   returns dWs, das: an array for each layer
    """
    W, dWs, dslopes = layers[0][0], [None] * len(layers), [None] * len(layers)
    if len(layers) == 1:
        dWs[0] = 2 * W * (w @ np.square(t.slopes[0]))
        dslopes[0] = 2 * w[:, None] * t.slopes[0] * np.sum(W * W, axis=0)
    else:
        V = np.multiply(t.V, np.sqrt(w)[:, None], out=t.V).reshape(len(t.V), -1)
        dWs[0] = 2 * W @ (V @ V.T)
        dslopes[-1] = 2 * w[:, None] * t.Q
        dN = np.multiply(t.AV, 2 * w[:, None] * t.slopes[-1], out=t.AV)
        for i in range(len(layers) - 1, 1, -1):
            dWs[i] = np.einsum("ibj,ibk->jk", t.N[i - 2] * t.slopes[i - 1], dN, optimize=True)
            dV = dN @ layers[i][0].T
            dslopes[i - 1] = np.einsum("ibj,ibj->bj", t.N[i - 2], dV)
            dN = np.multiply(dV, t.slopes[i - 1], out=dV)
        dWs[1] = np.einsum("bi,ibk->ik", t.slopes[0], dN)                     # V_1 = S_1 is diagonal
        dslopes[0] = np.einsum("ibk,ik->bi", dN, layers[1][0])
    return dWs, [dslope * phi.dd(h) for dslope, phi, h in zip(dslopes, activations, hs[1:])]
