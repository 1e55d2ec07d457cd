"""First-order optimisers: each is one update of a flat vector θ by the gradient of a loss.

An optimiser is its hyperparameters and nothing else; what it remembers between steps is the dict that `start(theta)`
returns and `update(theta, grad, state)` changes, so that training can be stopped, saved and taken up again. θ and the
state are overwritten.
"""
from dataclasses import dataclass, field

import numpy as np

from .ops import compiled
from .validation import check_choice, check_number


@dataclass(frozen=True)
class SGD:
    """θ ← θ − η g   [AE.2]        Source: Robbins and Monro 1951."""
    learning_rate: float = 0.01

    def __post_init__(self):
        _check_rate(self.learning_rate)

    def start(self, theta):
        """The state before the first step: nothing to remember."""
        return {}

    def update(self, theta, grad, state):
        """One step; theta is overwritten."""
        theta -= theta.dtype.type(self.learning_rate) * grad


@dataclass(frozen=True)
class Momentum:
    """v ← β v + g,   θ ← θ − η v        Source: Polyak 1964."""
    learning_rate: float = 0.01
    beta: float = 0.9
    nesterov: bool = field(default=False, init=False)

    def __post_init__(self):
        _check_rate(self.learning_rate)
        check_number("beta", self.beta, 0, 1, open_high=True)

    def start(self, theta):
        """The state before the first step: a velocity of zero."""
        return {"velocity": np.zeros_like(theta)}

    def update(self, theta, grad, state):
        """One step; theta and the velocity are overwritten."""
        momentum(theta, grad, state["velocity"], self.learning_rate, self.beta, self.nesterov)


@dataclass(frozen=True)
class Nesterov(Momentum):
    """v ← β v + g,   θ ← θ − η (g + β v)

    Momentum that looks ahead, in the form that needs the gradient at θ alone.
    Source: Sutskever, Martens, Dahl and Hinton 2013.
    """
    nesterov: bool = field(default=True, init=False)


@dataclass(frozen=True)
class RMSProp:
    """v ← ρ v + (1 − ρ) g²,   θ ← θ − η g / (√v + ε)        Source: Tieleman and Hinton 2012, lecture 6.5."""
    learning_rate: float = 0.001
    decay: float = 0.9
    eps: float = 1e-8

    def __post_init__(self):
        _check_rate(self.learning_rate)
        check_number("decay", self.decay, 0, 1, open_high=True)
        check_number("eps", self.eps, 0, open_low=True)

    def start(self, theta):
        """The state before the first step: a mean square of zero."""
        return {"v": np.zeros_like(theta)}

    def update(self, theta, grad, state):
        """One step; theta and the mean square are overwritten."""
        rmsprop(theta, grad, state["v"], self.learning_rate, self.decay, self.eps)


@dataclass(frozen=True)
class Adam:
    """m ← β₁ m + (1 − β₁) g,   v ← β₂ v + (1 − β₂) g²,   θ ← θ − η m̂ / (√v̂ + ε)

    with m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ) in step t = 1, 2, …        Source: Kingma and Ba 2015, algorithm 1.
    """
    learning_rate: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self):
        _check_rate(self.learning_rate)
        check_number("beta1", self.beta1, 0, 1, open_high=True)
        check_number("beta2", self.beta2, 0, 1, open_high=True)
        check_number("eps", self.eps, 0, open_low=True)

    def start(self, theta):
        """The state before the first step: both moments zero, t = 0."""
        return {"t": 0, "m": np.zeros_like(theta), "v": np.zeros_like(theta)}

    def update(self, theta, grad, state):
        """One step; theta, both moments and t are overwritten."""
        state["t"] += 1
        adam(theta, grad, state["m"], state["v"], state["t"], self.learning_rate, self.beta1, self.beta2, self.eps)


OPTIMIZERS = {"sgd": SGD, "momentum": Momentum, "nesterov": Nesterov, "rmsprop": RMSProp, "adam": Adam}


def make_optimizer(optimizer, learning_rate=None):
    """The optimiser of a name in OPTIMIZERS with this learning_rate (None: its default), or the object given."""
    if isinstance(optimizer, tuple(OPTIMIZERS.values())):
        if learning_rate is not None:
            raise ValueError("learning_rate must be None when optimizer is an object, which has its own: got "
                             f"{learning_rate!r} beside {optimizer}")
        return optimizer
    kind = OPTIMIZERS[check_choice("optimizer", optimizer, OPTIMIZERS)]
    return kind() if learning_rate is None else kind(learning_rate)


def _check_rate(learning_rate):
    check_number("learning_rate", learning_rate, 0, 1e6, open_low=True)


# ---- the updates themselves: one fused pass over the vector ----------------------------------------------------------


@compiled("N N N")
def momentum(theta, grad, velocity, learning_rate, beta, nesterov):
    """One step of `Momentum`; theta and velocity are overwritten."""
    velocity *= beta
    velocity += grad
    theta -= learning_rate * (grad + beta * velocity if nesterov else velocity)


@compiled("N N N")
def rmsprop(theta, grad, v, learning_rate, decay, eps):
    """One step of `RMSProp`; theta and v are overwritten."""
    v *= decay
    v += (1 - decay) * grad * grad
    theta -= learning_rate * grad / (np.sqrt(v) + eps)


@compiled("N N N N")
def adam(theta, grad, m, v, t, learning_rate, beta1, beta2, eps):
    """One step of `Adam`, the t-th; theta, m and v are overwritten."""
    m *= beta1
    m += (1 - beta1) * grad
    v *= beta2
    v += (1 - beta2) * grad * grad
    theta -= learning_rate * (m / (1 - beta1 ** t)) / (np.sqrt(v / (1 - beta2 ** t)) + eps)
