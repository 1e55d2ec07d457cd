"""Toy laws: a sampler, the exact log-density and its exact gradient, the score, under the same three words.

    law.sample(n_samples, rng)  (n_samples, D)      rng: None, an int, a Generator or a RandomState
    law.log_prob(x)             (n,)                log p(x), nats
    law.score(x)                (n, D)              ∇ₓ log p(x)

x is (n, D), a row a point; results are float64. Densities are formed as logarithms only, and squared lengths in units
of a standard deviation only: tails stay finite to 1e70 of them. Bad arguments raise ValueError or TypeError.
"""
from dataclasses import dataclass

import numpy as np
from scipy.special import i0e, i1e, logsumexp, softmax

from ..validation import check_int, check_matrix, check_number, check_rng


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """Round Gaussians in any dimension D, one standard deviation each.

        p(x) = Σ_c w_c N(x; m_c, s_c² I)

    means : (C, D)    sds : (C,), positive    weights : (C,), positive, of sum 1; None for 1/C each
    Adding N(0, s² I) noise to x gives the mixture of the same means and weights with s_c² + s² for s_c².
    Source: Bishop 2006, equations 9.7 and 9.13.
    """
    means: np.ndarray
    sds: np.ndarray
    weights: np.ndarray | None = None

    def __post_init__(self):
        means = np.array(check_matrix("means", self.means), dtype=np.float64)
        C = len(means)
        sds = _positive("sds", self.sds, C)
        weights = _positive("weights", np.full(C, 1 / C) if self.weights is None else self.weights, C)
        if abs(weights.sum() - 1) > 1e-9:
            raise ValueError(f"weights must sum to 1, got a sum of {weights.sum():.12g}; divide them by their sum")
        for name, array in (("means", means), ("sds", sds), ("weights", weights)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    def sample(self, n_samples, rng):
        """x = m_c + s_c ε,  c ~ w,  ε ~ N(0, I).    returns : (n_samples, D)"""
        n_samples, rng = check_int("n_samples", n_samples), check_rng(rng)
        c = rng.choice(len(self.weights), size=n_samples, p=self.weights)
        eps = rng.standard_normal((n_samples, self.means.shape[1]))
        return self.means[c] + self.sds[c, None] * eps

    def log_prob(self, x):
        """log p(x) = log Σ_c w_c N(x; m_c, s_c² I).    x : (n, D)    returns : (n,), nats"""
        _, log_joint = self._joint(x)
        return logsumexp(log_joint, axis=1)

    def score(self, x):
        """∇ log p(x) = −Σ_c r_c u_c / s_c,  r_c = p(c|x),  u_c = (x − m_c)/s_c.    x : (n, D)    returns : (n, D)"""
        u, log_joint = self._joint(x)
        r = softmax(log_joint, axis=1)
        return -np.einsum("nc,ncd->nd", r / self.sds, u)

    def _joint(self, x):
        """u_c = (x − m_c)/s_c  (n, C, D),    log p(c, x) = log w_c − D (log 2π)/2 − D log s_c − |u_c|²/2  (n, C)"""
        m, s, w, D = self.means, self.sds, self.weights, self.means.shape[1]
        x = check_matrix("x", x, D, "GaussianMixture").astype(np.float64)
        u = (x[:, None] - m) / s[:, None]
        return u, np.log(w) - D * np.log(2 * np.pi) / 2 - D * np.log(s) - np.sum(u**2, axis=2) / 2


@dataclass(frozen=True)
class Ring:
    """A circle of radius R round the origin of the plane, blurred by Gaussian noise.

        x = R (cos θ, sin θ) + s ε,    θ uniform, ε ~ N(0, I)

    radius : R, at least 0    sd : s, positive
    The angle integrates out to the Bessel function I0 of t = ρR/s², ρ = |x|; ρ alone has Rice's law.
    The scaled I0(t) e^−t and I1(t) e^−t never overflow (i0e and i1e; the general `ive` returns NaN above t = 2e9).
    Source: Rice 1945, Mathematical analysis of random noise, section 3.10.
    """
    radius: float
    sd: float

    def __post_init__(self):
        object.__setattr__(self, "radius", check_number("radius", self.radius, low=0))
        object.__setattr__(self, "sd", check_number("sd", self.sd, low=0, open_low=True))

    def sample(self, n_samples, rng):
        """x = R (cos θ, sin θ) + s ε.    returns : (n_samples, 2)"""
        n_samples, rng = check_int("n_samples", n_samples), check_rng(rng)
        theta = rng.uniform(0, 2 * np.pi, n_samples)
        eps = rng.standard_normal((n_samples, 2))
        return self.radius * np.column_stack([np.cos(theta), np.sin(theta)]) + self.sd * eps

    def log_prob(self, x):
        """log p(x) = −log 2π − 2 log s − (ρ − R)²/(2s²) + log( I0(t) e^−t ).    x : (n, 2)    returns : (n,), nats"""
        R, s, x = self.radius, self.sd, check_matrix("x", x, 2, "Ring").astype(np.float64)
        rho = np.hypot(x[:, 0], x[:, 1])
        t = (rho / s) * (R / s)
        return -np.log(2 * np.pi) - 2 * np.log(s) - ((rho - R) / s)**2 / 2 + np.log(i0e(t))

    def score(self, x):
        """∇ log p(x) = (R I1(t)/I0(t) − ρ)/s² · x/ρ,  0 at the origin.    x : (n, 2)    returns : (n, 2)"""
        R, s, x = self.radius, self.sd, check_matrix("x", x, 2, "Ring").astype(np.float64)
        rho = np.hypot(x[:, 0], x[:, 1])
        t = (rho / s) * (R / s)
        outward = x / np.where(rho > 0, rho, 1)[:, None]
        return ((R * i1e(t) / i0e(t) - rho) / s / s)[:, None] * outward


@dataclass(frozen=True)
class Banana:
    """A Gaussian bent along a parabola.

        x₁ ~ N(0, s₁²),    x₂ | x₁ ~ N(b x₁², s₂²)

    sd1, sd2 : s₁ and s₂, positive    bend : b, any finite number
    Source: after Haario, Saksman and Tamminen 1999, whose banana is centred and bends down.
    """
    sd1: float
    sd2: float
    bend: float

    def __post_init__(self):
        for name, low in (("sd1", 0), ("sd2", 0), ("bend", -np.inf)):
            object.__setattr__(self, name, check_number(name, getattr(self, name), low=low, open_low=True))

    def sample(self, n_samples, rng):
        """x₁ = s₁ ε₁,  x₂ = b x₁² + s₂ ε₂.    returns : (n_samples, 2)"""
        n_samples, rng = check_int("n_samples", n_samples), check_rng(rng)
        eps1, eps2 = rng.standard_normal((n_samples, 2)).T
        x1 = self.sd1 * eps1
        return np.column_stack([x1, self.bend * x1**2 + self.sd2 * eps2])

    def log_prob(self, x):
        """log p(x) = −log 2π − log(s₁ s₂) − (u₁² + u₂²)/2.    x : (n, 2)    returns : (n,), nats"""
        s1, s2, (_, u1, u2) = self.sd1, self.sd2, self._standardised(x)
        return -np.log(2 * np.pi) - np.log(s1) - np.log(s2) - (u1**2 + u2**2) / 2

    def score(self, x):
        """∂ log p/∂x₁ = −u₁/s₁ + 2 b x₁ u₂/s₂,    ∂ log p/∂x₂ = −u₂/s₂.    x : (n, 2)    returns : (n, 2)"""
        s1, s2, (x1, u1, u2) = self.sd1, self.sd2, self._standardised(x)
        return np.column_stack([-u1 / s1 + 2 * self.bend * x1 * u2 / s2, -u2 / s2])

    def _standardised(self, x):
        """x₁,    u₁ = x₁/s₁,    u₂ = (x₂ − b x₁²)/s₂"""
        x1, x2 = check_matrix("x", x, 2, "Banana").astype(np.float64).T
        return x1, x1 / self.sd1, (x2 - self.bend * x1**2) / self.sd2


def _positive(name, values, n):
    """A vector of n positive numbers, one a component. As objects, even a ragged list has a shape to be judged."""
    values = np.array(values, dtype=object)
    if values.shape != (n,):
        raise ValueError(f"{name} must be {n} numbers, one for each row of means, got shape {values.shape}")
    return np.array([check_number(f"{name}[{c}]", value, low=0, open_low=True) for c, value in enumerate(values)])
