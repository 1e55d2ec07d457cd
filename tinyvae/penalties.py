"""What may be added to an autoencoder's loss to make its code useful: sparsity, and contraction.

A penalty looks at one pass through the encoder, (layers, activations, hs) of `mlp_forward`: the pass that is trained,
at the corrupted x̃ where there is a corruption. It gives

    value(layers, activations, hs) → float           what it adds to the mean loss
    evaluate(layers, activations, hs, out) → Push    the same, with all its derivatives; `out`, an earlier Push of the
                                                     same shapes, may be overwritten

L1 and KLSparsity read the code alone, hs[-1]. A penalty is its strength and nothing else; any number of them can stand
in one list.
"""
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .mlp import Jacobian, mlp_jacobian, mlp_jacobian_backward
from .ops import magnitude
from .validation import check_number


class Push(NamedTuple):
    """A penalty's value and its derivatives by the code h_L, by every pre-activation a_i and every W_i; None is 0."""
    value: float
    dh: np.ndarray | None = None
    das: list | None = None
    dWs: list | None = None
    jacobian: Jacobian | None = None


@dataclass(frozen=True)
class L1:
    """λ times the mean over rows of Σ_k |h_k|; with eps > 0 of its smooth form Σ_k √(h_k² + eps).   [SP.1]

    At h = 0 the subgradient is 0, inside [−λ, λ]. Where the decoder is free and the code may shrink (identity, relu) it
    is degenerate, h / a and a W giving the same x̂: use tied=True.   [SP.E]
    Source: Tibshirani 1996; Ng 2011 for codes.
    """
    lam: float
    eps: float = 0.0

    def __post_init__(self):
        check_number("lam", self.lam, 0)
        check_number("eps", self.eps, 0)
        if 0 < self.eps < 1e-30:
            raise ValueError(f"eps must be 0, or at least 1e-30 to be more than 0 in float32, got {self.eps}")

    def value(self, layers, activations, hs):
        """λ / B Σ_b Σ_k |h_bk|"""
        return self.lam * np.sum(self._size(hs[-1])) / len(hs[-1])

    def evaluate(self, layers, activations, hs, out=None):
        """dh = λ / B sign(h), or λ / B h / √(h² + eps)"""
        h = hs[-1]
        slope = h / self._size(h) if self.eps else np.sign(np.real(h)).astype(h.dtype)
        return Push(self.value(layers, activations, hs), dh=h.dtype.type(self.lam / len(h)) * slope)

    def _size(self, h):
        return np.sqrt(h * h + h.dtype.type(self.eps)) if self.eps else magnitude(h)


@dataclass(frozen=True)
class KLSparsity:
    """λ Σ_k KL(rho ‖ ρ̂_k), ρ̂_k the mean of h_k over the batch: every unit is to have the mean rho.   [SP.2]

        KL(ρ ‖ ρ̂) = ρ log(ρ / ρ̂) + (1 − ρ) log((1 − ρ) / (1 − ρ̂))

    For codes in (0, 1), of sigmoid units. The only penalty that is no mean of a number a row.   Source: Ng 2011.
    """
    rho: float
    lam: float

    def __post_init__(self):
        check_number("rho", self.rho, 0, 1, open_low=True, open_high=True)
        check_number("lam", self.lam, 0)

    def value(self, layers, activations, hs):
        """λ Σ_k KL(ρ ‖ ρ̂_k)"""
        rho, mean = self.rho, np.mean(hs[-1], axis=0)
        return self.lam * np.sum(rho * np.log(rho / mean) + (1 - rho) * np.log((1 - rho) / (1 - mean)))

    def evaluate(self, layers, activations, hs, out=None):
        """dh_bk = λ / B ((1 − ρ) / (1 − ρ̂_k) − ρ / ρ̂_k), the same for every row"""
        h = hs[-1]
        mean = np.mean(h, axis=0)
        d_mean = self.lam / len(h) * ((1 - self.rho) / (1 - mean) - self.rho / mean)
        return Push(self.value(layers, activations, hs), dh=np.broadcast_to(d_mean, h.shape).astype(h.dtype))


@dataclass(frozen=True)
class Contractive:
    """λ times the mean over rows of ‖∂h/∂x‖²_F, exactly, for an encoder of any depth.   [CT.1]

    Its gradient is of second order: φ'' enters.   Source: Rifai, Vincent, Muller, Glorot and Bengio 2011.
    """
    lam: float

    def __post_init__(self):
        check_number("lam", self.lam, 0)

    def value(self, layers, activations, hs):
        """λ / B Σ_b ‖J_b‖²"""
        return self.lam * np.mean(mlp_jacobian(layers, activations, hs).norm2)

    def evaluate(self, layers, activations, hs, out=None):
        """By every W_i directly, and by every a_i through φ'(a_i)."""
        t = mlp_jacobian(layers, activations, hs, out=out and out.jacobian)
        w = np.full(len(hs[0]), self.lam / len(hs[0]), hs[0].dtype)
        dWs, das = mlp_jacobian_backward(layers, activations, hs, t, w)
        return Push(self.lam * np.mean(t.norm2), das=das, dWs=dWs, jacobian=t)


PENALTIES = L1, KLSparsity, Contractive
