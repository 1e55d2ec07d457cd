"""Probability distributions: every log-density, KL and entropy is a number a row, in nats, beside its derivatives.

A network's output `out` (B, n_outputs) holds a distribution's parameters, row by row. All classes speak the same words:

    log_prob(x, out) → (B,)              log_prob_d(x, out, w) → its derivative by the inputs, row b times w_b
    kl(out), entropy(out) → (B,)         kl_d(out, w), entropy_d(out, w) → d_out
    draw(out, eps) → z                   draw_d(dz, out, eps) → d_out

The mean over a batch is the w = 1/B that a model chooses, once. Variances are always log-variances: logvar = log σ².
Dimension letters: B rows, D of x, K of z.
"""
import numpy as np

from .ops import compiled, sigmoid, softplus, squared_error

LOG_2PI = float(np.log(2 * np.pi))


class StandardNormal:
    """The prior p(z) = N(0, I) over z (B, K)."""

    def log_prob(self, z):
        """log N(z; 0, I) = −½ Σ_k (z_k² + log 2π)        z (B, K)   returns (B,), nats"""
        return -(np.sum(z * z, axis=1) + z.shape[1] * LOG_2PI) / 2

    def log_prob_d(self, z, w):
        """Row b times w_b of its derivative by z:  −w z        w (B,)   returns (B, K)"""
        return -w[:, None] * z

    def entropy(self, K):
        """½ K (1 + log 2π), nats"""
        return K * (1 + LOG_2PI) / 2

    def sample(self, n_samples, K, rng, dtype=np.float64):
        """(n_samples, K) independent draws."""
        return rng.standard_normal((n_samples, K), dtype=dtype)


PRIOR = StandardNormal()


class DiagonalGaussian:
    """q(z|x) = N(mu, diag exp(logvar)) with out = [mu | logvar], (B, 2K).   [RP.1]"""

    def n_outputs(self, K):
        """2K: a mean and a log-variance for each latent dimension."""
        return 2 * K

    def split(self, out):
        """Views (mu, logvar) of out, (B, K) each."""
        K = out.shape[1] // 2
        return out[:, :K], out[:, K:]

    def mean_and_variance(self, out):
        """(mu, exp(logvar)), (B, K) each."""
        mu, logvar = self.split(out)
        return mu, np.exp(logvar)

    def draw(self, out, eps):
        """z = mu + exp(logvar / 2) eps, a draw from q when eps ~ N(0, I).   [RP.1]

        out (B, 2K), eps (B, K)   returns (B, K).   Source: Kingma and Welling 2014, section 2.4.
        """
        z = np.empty(eps.shape, np.result_type(out, eps))
        diagonal_draw(_pairs(out), eps, z)
        return z

    def draw_d(self, dz, out, eps):
        """dmu = dz,  dlogvar = ½ dz eps exp(logvar / 2); none flows into eps.   [RP.2]

        dz (B, K)   returns d_out (B, 2K)
        """
        d_out = np.empty(out.shape, np.result_type(dz, out))
        diagonal_draw_d(dz, _pairs(out), eps, _pairs(d_out))
        return d_out

    def kl(self, out):
        """KL(q ‖ N(0, I)) = ½ Σ_k (mu² + exp(logvar) − 1 − logvar), row by row.   [EL.3]

        out (B, 2K)   returns (B,), nats. Written with expm1: near the prior the textbook form cancels to 0 in float32.
        Source: Kingma and Welling 2014, appendix B.
        """
        result = np.empty(len(out), out.dtype)
        diagonal_kl(_pairs(out), result)
        return result

    def kl_by_dimension(self, out):
        """The terms of `kl`, ½ (mu_k² + exp(logvar_k) − 1 − logvar_k).   [EL.3]        returns (B, K), nats"""
        mu, logvar = self.split(out)
        return (mu * mu + (np.expm1(logvar) - logvar)) / 2

    def kl_d(self, out, w):
        """dmu = w mu,  dlogvar = ½ w (exp(logvar) − 1)   [EL.3]        w (B,)   returns d_out (B, 2K)"""
        d_out = np.empty(out.shape, np.result_type(out, w))
        diagonal_kl_d(_pairs(out), w, _pairs(d_out))
        return d_out

    def log_prob(self, z, out):
        """log q(z|x) = −½ Σ_k ((z − mu)² exp(−logvar) + logvar + log 2π)

        z (B, K), out (B, 2K)   returns (B,), nats
        """
        mu, logvar = self.split(out)
        r = z - mu
        return -(np.sum(r * r * np.exp(-logvar) + logvar, axis=1) + z.shape[1] * LOG_2PI) / 2

    def log_prob_d(self, z, out, w):
        """By z: −w r exp(−logvar), r = z − mu;  by out: dmu = −dz, dlogvar = ½ w (r² exp(−logvar) − 1)

        w (B,)   returns dz (B, K), d_out (B, 2K)
        """
        mu, logvar = self.split(out)
        r = z - mu
        dmu = w[:, None] * r * np.exp(-logvar)
        return -dmu, np.concatenate([dmu, (dmu * r - w[:, None]) / 2], axis=1)

    def entropy(self, out):
        """½ Σ_k (logvar + 1 + log 2π)        returns (B,), nats"""
        mu, logvar = self.split(out)
        return (np.sum(logvar, axis=1) + mu.shape[1] * (1 + LOG_2PI)) / 2

    def entropy_d(self, out, w):
        """dmu = 0,  dlogvar = ½ w        returns d_out (B, 2K)"""
        d_out = np.zeros_like(out)
        self.split(d_out)[1][:] = w[:, None] / 2
        return d_out


def _pairs(out):
    """out = [mu | logvar], (B, 2K), as (B, 2, K): the two of a dimension in one array, which a twin can be given."""
    return out.reshape(len(out), 2, -1)


@compiled("BPK BK BK")
def diagonal_draw(pairs, eps, z):
    """z = mu + exp(logvar / 2) eps        pairs (B, 2, K), eps (B, K); z (B, K) is overwritten"""
    mu, logvar = pairs[:, 0], pairs[:, 1]
    np.add(mu, np.exp(logvar / 2) * eps, out=z)


@compiled("BK BPK BK BPK")
def diagonal_draw_d(dz, pairs, eps, d_pairs):
    """dmu = dz,  dlogvar = ½ dz eps exp(logvar / 2)        d_pairs (B, 2, K) is overwritten"""
    np.copyto(d_pairs[:, 0], dz)
    np.multiply(dz * eps, np.exp(pairs[:, 1] / 2) / 2, out=d_pairs[:, 1])


@compiled("BPK B")
def diagonal_kl(pairs, result):
    """½ Σ_k (mu² + expm1(logvar) − logvar)        result (B,) is overwritten"""
    mu, logvar = pairs[:, 0], pairs[:, 1]
    np.sum((mu * mu + (np.expm1(logvar) - logvar)) / 2, axis=1, out=result)


@compiled("BPK B BPK")
def diagonal_kl_d(pairs, w, d_pairs):
    """dmu = w mu,  dlogvar = ½ w expm1(logvar)        d_pairs (B, 2, K) is overwritten"""
    mu, logvar = pairs[:, 0], pairs[:, 1]
    np.multiply(w[:, None], mu, out=d_pairs[:, 0])
    np.multiply(w[:, None] / 2, np.expm1(logvar), out=d_pairs[:, 1])


# ---- likelihoods: p(x|z) from the decoder's output -------------------------------------------------------------------
# A likelihood may own parameters beyond `out` (one learned σ): `own_shapes` names those that live in θ under
# "likelihood.", `fixed` holds those that do not. Either way they follow a method's other arguments.


class Bernoulli:
    """p(x|z) = Π_d Bernoulli(x_d; sigmoid(l_d)) with logits out = l, (B, D).   [EL.2]

    x may lie anywhere in [0, 1], but only for x of 0 and 1 is this a likelihood.
    """
    own_shapes = {}
    fixed = ()

    def n_outputs(self, D):
        """D logits."""
        return D

    def log_prob(self, x, out):
        """Σ_d x l − softplus(l)        x, out (B, D)   returns (B,), nats"""
        result = np.empty(len(x), np.result_type(x, out))
        bernoulli_log_prob(x, out, result)
        return result

    def log_prob_d(self, x, out, w, d_out=None):
        """w (x − sigmoid(l))        w (B,)   returns (B, D), written into d_out where it is given"""
        d_out = np.empty_like(out) if d_out is None else d_out
        bernoulli_log_prob_d(x, out, w, d_out)
        return d_out

    def mean(self, out):
        """E[x|z] = sigmoid(l), (B, D)"""
        return sigmoid(out)

    def sample(self, out, rng):
        """x in {0, 1}, (B, D), of the dtype of out."""
        return (rng.random(out.shape, dtype=out.dtype) < sigmoid(out)).astype(out.dtype)

    def entropy(self, out):
        """Σ_d softplus(l) − l sigmoid(l)        returns (B,), nats. Even in l, and without cancellation at −|l|."""
        l = np.where(np.real(out) > 0, -out, out)
        return np.sum(softplus(l) - l * sigmoid(l), axis=1)

    def entropy_d(self, out, w):
        """−w l p (1 − p), p = sigmoid(l)        returns (B, D)"""
        p = sigmoid(out)
        return -w[:, None] * out * p * (1 - p)


@compiled("BD BD B")
def bernoulli_log_prob(x, logits, result):
    """result_b = Σ_d x l − log(1 + e^l)        x, logits (B, D); result (B,) is overwritten"""
    np.sum(x * logits - softplus(logits), axis=1, out=result)


@compiled("BD BD B BD")
def bernoulli_log_prob_d(x, logits, w, d_logits):
    """d_logits = w (x − sigmoid(l))        w (B,); d_logits (B, D) is overwritten"""
    np.multiply(w[:, None], x - sigmoid(logits), out=d_logits)


class IsotropicGaussian:
    """p(x|z) = N(x; out, σ² I) with one σ for all of x: the number `sd`, or learned when sd is None.   [LV.6]

    log σ² comes as the argument `logvar`, an array of one number, fixed or learned alike.
    """

    def __init__(self, sd=None):
        self.own_shapes = {"logvar": (1,)} if sd is None else {}
        self.fixed = () if sd is None else (np.array([2 * np.log(sd)]),)

    def n_outputs(self, D):
        """D means."""
        return D

    def log_prob(self, x, out, logvar):
        """−½ (‖x − out‖² / σ² + D log 2πσ²)        x, out (B, D), logvar (1,)   returns (B,), nats"""
        return -(squared_error(x, out) * np.exp(-logvar) + x.shape[1] * (logvar + LOG_2PI)) / 2

    def log_prob_d(self, x, out, w, logvar, d_out=None):
        """By out: w (x − out) / σ²        w (B,)   returns (B, D), written into d_out where it is given"""
        return np.multiply((w * np.exp(-logvar))[:, None], x - out, out=d_out)

    def log_prob_dparams(self, x, out, w, logvar, d_logvar):
        """By logvar: Σ_b w_b ½ (‖x_b − out_b‖² / σ² − D)        d_logvar (1,) is overwritten"""
        d_logvar[:] = np.sum(w * (squared_error(x, out) * np.exp(-logvar) - x.shape[1])) / 2

    def mean(self, out, logvar):
        """E[x|z] = out"""
        return out

    def sample(self, out, rng, logvar):
        """out + σ ε, (B, D), of the dtype of out."""
        return out + np.exp(logvar / 2) * rng.standard_normal(out.shape, dtype=out.dtype)

    def entropy(self, out, logvar):
        """½ D (1 + log 2πσ²), the same for every row        returns (B,), nats"""
        return np.full(len(out), out.shape[1] * (1 + LOG_2PI + logvar[0]) / 2)

    def entropy_dparams(self, out, w, logvar, d_logvar):
        """By logvar: ½ D Σ_b w_b; by out it is 0        d_logvar (1,) is overwritten"""
        d_logvar[:] = out.shape[1] * np.sum(w) / 2


class GaussianLikelihood:
    """A posterior's Gaussian as a likelihood, x in the place of z; only the derivative by out is asked for."""
    own_shapes = {}
    fixed = ()

    def log_prob_d(self, x, out, w, d_out=None):
        """The derivative by out of Σ_b w_b log p(x_b|z_b), as wide as out, written into d_out where it is given"""
        d = super().log_prob_d(x, out, w)[1]
        if d_out is None:
            return d
        d_out[:] = d
        return d_out

    def mean(self, out):
        """E[x|z], (B, D)"""
        return self.split(out)[0]

    def sample(self, out, rng):
        """A draw, (B, D), of the dtype of out."""
        return self.draw(out, rng.standard_normal(self.split(out)[0].shape, dtype=out.dtype))


class DiagonalGaussianLikelihood(GaussianLikelihood, DiagonalGaussian):
    """p(x|z) = N(x; mean, diag exp(logvar)) with out = [mean | logvar], (B, 2D), both of the network.   [LV.6]"""
