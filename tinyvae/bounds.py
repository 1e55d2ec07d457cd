"""What a VAE maximises for every row, and estimators of its gradient by the encoder, from S draws of z a row.

    ELBO   E_q log p(x|z) − β KL(q ‖ p(z)),  the KL in closed form                                        [EL.1]
    IWAE   E_q log 1/S Σ_s w_s,   w_s = p(x|z_s) (p(z_s) / q(z_s|x))^β                                    [CV.1]

β is 1 but for a β-VAE or a warm-up; only then is either a bound on log p(x).

The decoder enters either through log p(x|z_s) alone, weighted with r_s: 1/S, or w_s / Σ w. How the bound moves with the
encoder's output is estimated by the methods that bear an estimator's name. They are given

    t     a forward pass; they read x, encoded, kl, eps, z, log_px_z and log_ratio; draw s of row b is at s · B + b
    r, w  the weight of every draw, (S·B,), and of every row, (B,)
    dz    the derivative of Σ_b w_b Σ_s r_s log p(x_b|z_s) by z, which the decoder's backward pass has found

and return the derivative of Σ_b w_b bound_b by the encoder's output, (B, n_outputs). Nothing is overwritten.
"""
import numpy as np

from .distributions import PRIOR
from .ops import log_sum_exp


class Bound:
    """What the bounds share: the family of q, the weight β of its log-ratio to the prior, an option of `score`."""

    def __init__(self, posterior, beta=1.0, control_variate=False):
        self.posterior, self.beta, self.control_variate = posterior, beta, control_variate


class ELBO(Bound):
    """The evidence lower bound. Source: Kingma and Welling 2014."""
    gradients = "pathwise", "score", "stl"
    needs_ratio = False

    def value(self, t):
        """1/S Σ_s log p(x|z_s) − β KL(q ‖ p(z))   [EL.1, EL.2]        returns (B,), nats"""
        return np.mean(_by_sample(t.log_px_z, t), axis=0) - self.beta * t.kl

    def weights(self, t):
        """r_s = 1/S        returns (S·B,)"""
        return np.full(len(t.z), len(t.x) / len(t.z), t.log_px_z.dtype)

    def pathwise(self, t, r, w, dz):
        """Through z = mu + L ε, and through the closed KL: the exact gradient for this ε.   [RP.2]

        Source: Kingma and Welling 2014, section 2.3, estimator B; Rezende, Mohamed and Wierstra 2014.
        """
        return _through_draws(self.posterior, t, dz) + self.posterior.kl_d(t.encoded, -self.beta * w)

    def score(self, t, r, w, dz):
        """Σ_s 1/S (log p(x|z_s) − b_s) ∂ log q(z_s|x), z held fixed, and through the closed KL.   [RP.2, RP.3]

        b_s is 0 or, as a control variate, the mean of log p(x|z) over the row's other draws. Unbiased.
        Source: Williams 1992; Paisley, Blei and Jordan 2012; for b_s Kool, van Hoof and Welling 2019.
        """
        f = _by_sample(t.log_px_z, t)
        if self.control_variate:
            f = f - (np.sum(f, axis=0) - f) / (len(f) - 1)
        return (_by_log_q(self.posterior, t, r * (w * f).ravel())[1]
                + self.posterior.kl_d(t.encoded, -self.beta * w))

    def stl(self, t, r, w, dz):
        """Sticking the landing: through z alone, with log p(z) − log q(z|x) from the draws; what log q's own parameters
        add has mean 0 and is left out. Unbiased; where β = 1 and q is the posterior it has no
        variance.

        Source: Roeder, Wu and Duvenaud 2017.
        """
        return _through_draws(self.posterior, t, dz + _by_log_ratio(self.posterior, t, self.beta * per_draw(w, r))[0])


class IWAE(Bound):
    """The importance-weighted bound with S draws; S is the paper's k. Source: Burda, Grosse and Salakhutdinov 2016."""
    gradients = "pathwise", "score", "stl", "dreg"
    needs_ratio = True

    def log_weights(self, t):
        """log w_s        returns (S, B)"""
        return _by_sample(t.log_px_z + self.beta * t.log_ratio, t)

    def value(self, t):
        """log 1/S Σ_s w_s   [CV.1]        returns (B,), nats"""
        log_w = self.log_weights(t)
        return log_sum_exp(log_w, axis=0) - np.log(log_w.dtype.type(len(log_w)))

    def weights(self, t):
        """r_s = w_s / Σ w        returns (S·B,)"""
        log_w = self.log_weights(t)
        return np.exp(log_w - log_sum_exp(log_w, axis=0)).ravel()

    def pathwise(self, t, r, w, dz):
        """Through z and through log q's own parameters: the exact gradient for this ε. The encoder's signal-to-noise
        ratio falls like S^−½ (Rainforth et al. 2018).   [RP.2]

        Source: Burda, Grosse and Salakhutdinov 2016, equation 14.
        """
        ratio_dz, d_encoded = _by_log_ratio(self.posterior, t, self.beta * per_draw(w, r))
        return _through_draws(self.posterior, t, dz + ratio_dz) + d_encoded

    def score(self, t, r, w, dz):
        """Σ_s (log 1/S Σ w − b_s) ∂ log q(z_s|x) and Σ_s r_s ∂ log w_s, z held fixed. Unbiased.   [RP.2]

        b_s is 0 or, as a control variate, the bound with w_s replaced by the geometric mean of the others.
        Source: Mnih and Rezende 2016 (VIMCO).
        """
        log_w = self.log_weights(t)
        signal = np.broadcast_to(self.value(t), log_w.shape)
        if self.control_variate:
            signal = signal - _without_each(log_w)
        direct = -self.beta * r.reshape(log_w.shape)
        return _by_log_q(self.posterior, t, (w * (signal + direct)).ravel())[1]

    def stl(self, t, r, w, dz):
        """Σ_s r_s ∂ log w_s through z alone. **Biased** for S > 1, where what is left out no longer has mean 0.

        Source: Roeder, Wu and Duvenaud 2017; the bias: Tucker, Lawson, Gu and Maddison 2019.
        """
        return _through_draws(self.posterior, t, dz + _by_log_ratio(self.posterior, t, self.beta * per_draw(w, r))[0])

    def dreg(self, t, r, w, dz):
        """Σ_s r_s (1 − β + β r_s) ∂ log w_s through z alone, r_s² where β = 1: doubly reparameterized. Unbiased; the
        encoder's signal-to-noise ratio grows like S^½.

        Source: Tucker, Lawson, Gu and Maddison 2019, for β = 1.
        """
        ratio_dz, _ = _by_log_ratio(self.posterior, t, self.beta * per_draw(w, r))
        return _through_draws(self.posterior, t, (1 - self.beta + self.beta * r)[:, None] * (dz + ratio_dz))


OBJECTIVES = {"elbo": ELBO, "iwae": IWAE}

# ---- samples and rows as one axis ------------------------------------------------------------------------------------


def per_sample(rows, S):
    """Each row S times, (S·B, …); for S = 1 the array itself."""
    return rows if S == 1 else np.tile(rows, (S,) + (1,) * (rows.ndim - 1))


def _by_sample(values, t):
    return values.reshape(-1, len(t.x))


def per_draw(w, r):
    """The weight of every draw: that of its row times its own."""
    return per_sample(w, len(r) // len(w)) * r


def _encoded(t):
    return per_sample(t.encoded, len(t.z) // len(t.x))


def _sum_over_draws(d, t):
    return d if len(d) == len(t.x) else np.sum(d.reshape(-1, len(t.x), d.shape[1]), axis=0)


# ---- the three ways from the encoder's output into a bound -----------------------------------------------------------


def _through_draws(posterior, t, dz):
    """By the encoder's output, through z = mu + L ε.   [RP.2]        dz (S·B, K)   returns (B, n_outputs)"""
    return _sum_over_draws(posterior.draw_d(dz, _encoded(t), t.eps), t)


def _by_log_q(posterior, t, weights):
    """Σ weights log q(z|x) differentiated by z, (S·B, K), and by the encoder's output, (B, n_outputs)."""
    dz, d_encoded = posterior.log_prob_d(t.z, _encoded(t), weights)
    return dz, _sum_over_draws(d_encoded, t)


def _by_log_ratio(posterior, t, weights):
    """Σ weights (log p(z) − log q(z|x)) differentiated by z, (S·B, K), and by the encoder's output, (B, n_outputs)."""
    dz, d_encoded = _by_log_q(posterior, t, -weights)
    return dz + PRIOR.log_prob_d(t.z, weights), d_encoded


def _without_each(log_w):
    """For every s, log 1/S Σ w with log w_s replaced by the mean of the others' logarithms.        (S, B) → (S, B)"""
    S = len(log_w)
    others = (np.sum(log_w, axis=0) - log_w) / (S - 1)
    replaced = np.where(np.eye(S, dtype=bool)[:, :, None], others[:, None], log_w)          # (which, S, B)
    return log_sum_exp(replaced, axis=1) - np.log(log_w.dtype.type(S))
