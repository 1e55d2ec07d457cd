"""Autoencoders: a weight that is used twice, as in tied layers and in PCA, and noise on the input.

Rows are examples: x (B, D), code h (B, K). Where a parameter has two ways into the loss, `terms` are its ways: the loss
as a function of one of them, the other held where it is. Their gradients add up to the loss's.
"""
from functools import partial
from types import SimpleNamespace

import numpy as np

from .planted import Problem, planted, sizes, ways


def sigmoid(a):
    """1 / (1 + e^−a)"""
    return 1 / (1 + np.exp(-a))


# ---- tied weights: x̂ = σ(x W + b) Wᵀ + c,   f = 1 / 2B Σ (x̂ − x)² --------------------------------------------------


def tied(grad, rng):
    """Here K = D: the two ways' gradients, (D, K) and (K, D), are exchanged without an error."""
    B, D = sizes(rng, 2)
    x = rng.normal(size=(B, D))
    P = {"W": rng.normal(size=(D, D)) / 2, "b": rng.normal(size=D), "c": rng.normal(size=D)}

    def f(P, Q):
        return np.sum((sigmoid(x @ P["W"] + P["b"]) @ Q["W"].T + Q["c"] - x) ** 2) / (2 * B)

    s = SimpleNamespace(x=x, B=B)
    return Problem(lambda P: f(P, P), partial(grad, s), partial(tied_right, s), P,
                   ways(f, P, "encoder", "decoder"), {"B": B, "D": D})


def tied_backward(s, P):
    """h, the error dx̂, and da"""
    h = sigmoid(s.x @ P["W"] + P["b"])
    dxhat = (h @ P["W"].T + P["c"] - s.x) / s.B
    return h, dxhat, dxhat @ P["W"] * h * (1 - h)


def tied_right(s, P):
    """dW = xᵀ da + dx̂ᵀ h: W stands in the encoder and, transposed, in the decoder."""
    h, dxhat, da = tied_backward(s, P)
    return {"W": s.x.T @ da + dxhat.T @ h, "b": da.sum(axis=0), "c": dxhat.sum(axis=0)}


def tied_decoder_forgotten(s, P):
    """W also stands in the decoder."""
    h, dxhat, da = tied_backward(s, P)
    return {"b": da.sum(axis=0), "c": dxhat.sum(axis=0),
            "W": s.x.T @ da}                                                                        # wrong


def tied_encoder_forgotten(s, P):
    """The encoder's gradient is overwritten by the decoder's, where the two must be added."""
    h, dxhat, da = tied_backward(s, P)
    return {"b": da.sum(axis=0), "c": dxhat.sum(axis=0),
            "W": dxhat.T @ h}                                                                       # wrong


def tied_decoder_transposed(s, P):
    """The decoder's matrix is Wᵀ: its gradient hᵀ dx̂ has to be transposed before it is added."""
    h, dxhat, da = tied_backward(s, P)
    return {"b": da.sum(axis=0), "c": dxhat.sum(axis=0),
            "W": s.x.T @ da + h.T @ dxhat}                                                          # wrong


def tied_decoder_twice(s, P):
    """The decoder's gradient is added by the decoder, and once more by the model that ties the two."""
    h, dxhat, da = tied_backward(s, P)
    return {"b": da.sum(axis=0), "c": dxhat.sum(axis=0),
            "W": s.x.T @ da + 2 * dxhat.T @ h}                                                      # wrong


def tied_averaged(s, P):
    """A shared weight gets the sum of its gradients, not their mean."""
    h, dxhat, da = tied_backward(s, P)
    return {"b": da.sum(axis=0), "c": dxhat.sum(axis=0),
            "W": (s.x.T @ da + dxhat.T @ h) / 2}                                                    # wrong


# ---- PCA as an autoencoder: y = x − m,   f = 1 / B Σ (y W Wᵀ − y)² ---------------------------------------------------


def pca(grad, rng):
    """W is not orthonormal, as it is nowhere on the way; m is the data's mean, far from 0; K < D < B."""
    K, D, B = sorted(sizes(rng, 3))
    x = rng.normal(size=(B, D)) + 2
    y, P = x - x.mean(axis=0), {"W": rng.normal(size=(D, K)) / 2}

    def f(P, Q):
        return np.sum((y @ P["W"] @ Q["W"].T - y) ** 2) / B

    s = SimpleNamespace(x=x, y=y, B=B)
    return Problem(lambda P: f(P, P), partial(grad, s), partial(pca_right, s), P,
                   ways(f, P, "encoder", "decoder"), {"B": B, "D": D, "K": K})


def pca_right(s, P):
    """E = 2 (y W Wᵀ − y) / B:  dW = yᵀ E W + Eᵀ y W"""
    W, y = P["W"], s.y
    E = 2 * (y @ W @ W.T - y) / s.B
    return {"W": y.T @ E @ W + E.T @ y @ W}


def pca_encoder_forgotten(s, P):
    """The code y W is held constant, as in regression; W makes the code as well."""
    W, y = P["W"], s.y
    E = 2 * (y @ W @ W.T - y) / s.B
    return {"W": E.T @ y @ W}                                                                       # wrong


def pca_two_forgotten(s, P):
    """The loss has no ½ that would cancel the 2 of its square."""
    W, y = P["W"], s.y
    E = (y @ W @ W.T - y) / s.B                                                                     # wrong
    return {"W": y.T @ E @ W + E.T @ y @ W}


def pca_uncentred(s, P):
    """The loss sees centred data, and the gradient raw x: the mean counts as a direction of large variance."""
    W, y = P["W"], s.x                                                                              # wrong
    E = 2 * (y @ W @ W.T - y) / s.B
    return {"W": y.T @ E @ W + E.T @ y @ W}


def pca_as_if_orthonormal(s, P):
    """−2 yᵀy W is the gradient of −tr WᵀSW, which is this loss only while WᵀW = I."""
    return {"W": -2 * s.y.T @ s.y @ P["W"] / s.B}                                                   # wrong


# ---- denoising: x̃ = x + noise, h = tanh(x̃ W + b), x̂ = h V + c,   f = 1 / 2B Σ (x̂ − x)² ---------------------------


def denoising(grad, rng):
    """The encoder sees x̃, the loss x. `earlier` is the noise of another minibatch."""
    B, D, K = sizes(rng, 3)
    P = {"W": rng.normal(size=(D, K)) / 2, "b": rng.normal(size=K),
         "V": rng.normal(size=(K, D)), "c": rng.normal(size=D)}
    x, noise, earlier = rng.normal(size=(3, B, D))
    s = SimpleNamespace(x=x, B=B, earlier=earlier, rng=rng.spawn(1)[0])
    return Problem(partial(denoising_loss, s), partial(grad, s), partial(denoising_right, s), P,
                   {}, {"B": B, "D": D, "K": K}, noise)


def denoised(P, seen):
    """h, x̂ of what the encoder sees"""
    h = np.tanh(seen @ P["W"] + P["b"])
    return h, h @ P["V"] + P["c"]


def denoising_loss(s, P, noise):
    """f"""
    return np.sum((denoised(P, s.x + noise)[1] - s.x) ** 2) / (2 * s.B)


def denoising_right(s, P, noise):
    """dW = x̃ᵀ da"""
    return denoising_backward(s, P, s.x + noise, s.x)


def denoising_backward(s, P, seen, target):
    """The gradient for an encoder that sees `seen` and a loss that asks for `target`."""
    h, xhat = denoised(P, seen)
    dxhat = (xhat - target) / s.B
    da = dxhat @ P["V"].T * (1 - h**2)
    return {"W": seen.T @ da, "b": da.sum(axis=0), "V": h.T @ dxhat, "c": dxhat.sum(axis=0)}


def noise_redrawn_for_input(s, P, noise):
    """The backward pass corrupts x anew: its gradient is right for a loss that nobody has computed."""
    seen = s.x + s.rng.normal(size=noise.shape)                                                     # wrong
    return denoising_backward(s, P, seen, s.x)


def noise_stale_for_input(s, P, noise):
    """x̃ is kept for the backward pass, but read before it is written: it is the one of the call before."""
    kept, s.earlier = s.earlier, noise                                                              # wrong
    return denoising_backward(s, P, s.x + kept, s.x)


def clean_input(s, P, noise):
    """The first layer has seen x̃, and its gradient is x̃ᵀ da."""
    h, xhat = denoised(P, s.x + noise)
    da = (xhat - s.x) / s.B @ P["V"].T * (1 - h**2)
    return denoising_right(s, P, noise) | {"W": s.x.T @ da}                                         # wrong


def noisy_target(s, P, noise):
    """The target is the clean x: whoever reconstructs x̃ learns the noise."""
    return denoising_backward(s, P, s.x + noise, s.x + noise)                                       # wrong


MISTAKES = planted("autoencoders", [
    (tied,      tied_decoder_forgotten,  "term forgotten", "W"),
    (tied,      tied_encoder_forgotten,  "term forgotten", "W"),
    (tied,      tied_decoder_transposed, "transpose",      "W"),
    (tied,      tied_decoder_twice,      "term twice",     "W"),
    (tied,      tied_averaged,           "factor",         "W"),
    (pca,       pca_encoder_forgotten,   "term forgotten", "W"),
    (pca,       pca_two_forgotten,       "factor",         "W"),
    (pca,       pca_uncentred,           "other",          "W"),
    (pca,       pca_as_if_orthonormal,   "other",          "W"),
    (denoising, noise_redrawn_for_input, "noise",          "W", "b", "V", "c"),
    (denoising, noise_stale_for_input,   "noise",          "W", "b", "V", "c"),
    (denoising, clean_input,             "wrong array",    "W"),
    (denoising, noisy_target,            "other",          "W", "b", "V", "c"),
])
