"""A stack of dense layers of any depth, h_i = φ_i(h_{i−1} W_i + b_i), and its backpropagation.   [NL.2]

`layers` is a list of (W, b), `activations` a list of as many `ops.Activation`. Depth is a loop over the same formulas.
Both passes return a list of arrays, which the next call of the same shapes may be given as `out=` to overwrite.
"""
import numpy as np

from .ops import activation_dbias, bias_activation, dense_dx, identity


def mlp_forward(layers, activations, x, out=None):
    """[x, h_1, …, h_L], all that the backward pass needs.   [NL.2]        x (B, I)   h_i (B, O_i)"""
    hs = [x]
    for i, ((W, b), phi) in enumerate(zip(layers, activations), start=1):
        a = np.matmul(hs[-1], W, out=out and out[i])                          # a = h W
        hs.append(bias_activation(a, b, phi))                                 # h = φ(a + b), over a
    return hs


def mlp_backward(layers, activations, hs, dy, grads, need_dx, out=None):
    """[dx, da_1, …, da_L], the derivatives by the input and by every pre-activation.   [NL.2]

        da = dh φ'(a)      db = Σ_B da      dW = h_inᵀ da      dh_in = da Wᵀ

    hs from `mlp_forward` and dy (B, O_L), the derivative by the stack's output, are not changed; `grads`, a list of
    (dW, db), is overwritten. Where the last layer is linear, da_L is dy itself, the same array. dx is None unless
    `need_dx`: nobody asks for the derivative by the data, and it would cost as much as the first layer itself.
    """
    das = list(out) if out else [None] + [np.empty(h.shape, dy.dtype) for h in hs[1:]]
    if activations[-1].f is identity:
        das[-1] = dy
    else:
        np.copyto(das[-1], dy)
    for i in range(len(layers) - 1, -1, -1):
        W, (dW, db), da = layers[i][0], grads[i], das[i + 1]
        activation_dbias(da, hs[i + 1], activations[i], db)                   # da = dh φ'(a) over dh,  db = Σ_B da
        np.matmul(hs[i].T, da, out=dW)                                        # dW = h_inᵀ da
        das[i] = dense_dx(da, W, out=das[i]) if i or need_dx else None        # dh_in = da Wᵀ
    return das
