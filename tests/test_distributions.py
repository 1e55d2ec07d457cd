"""A distribution's methods are views of one law: density, KL, entropy, mean and sampler must agree about every σ.

No gradient check can see a sampler that uses another σ than the KL does. So the methods are held against each other
through integrals, and against SciPy. Their derivatives, and the slow oracles, are the business of the suite in
test_ops.py, which runs over the tables below.
"""
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from tests import naive
from tinyvae import distributions
from tinyvae.distributions import (Bernoulli, DiagonalGaussian, DiagonalGaussianLikelihood, IsotropicGaussian,
                                   StandardNormal)
from tinyvae.ops import Op

prior, posterior = StandardNormal(), DiagonalGaussian()
bernoulli, isotropic, diagonal = Bernoulli(), IsotropicGaussian(), DiagonalGaussianLikelihood()


# ---- the tables for test_ops.py --------------------------------------------------------------------------------------

def written(function, *args):
    """The derivative (1,) that `function` writes into its last argument."""
    function(*args, d := np.full(1, np.nan, args[0].dtype))
    return d


TABLE = {
    "StandardNormal.log_prob":
        Op(prior.log_prob, lambda w, y, z: (prior.log_prob_d(z, w),), ("BK",)),
    "DiagonalGaussian.draw":
        Op(posterior.draw, lambda dz, z, out, eps: (posterior.draw_d(dz, out, eps),), ("BL", "BK")),
    "DiagonalGaussian.kl":
        Op(posterior.kl, lambda w, y, out: (posterior.kl_d(out, w),), ("BL",)),
    "DiagonalGaussian.log_prob":
        Op(posterior.log_prob, lambda w, y, z, out: posterior.log_prob_d(z, out, w), ("BK", "BL")),
    "DiagonalGaussian.entropy":
        Op(posterior.entropy, lambda w, y, out: (posterior.entropy_d(out, w),), ("BL",)),
    "GaussianLikelihood.log_prob":
        Op(lambda out, x: diagonal.log_prob(x, out),
           lambda w, y, out, x: (diagonal.log_prob_d(x, out, w),), ("BL", "BK")),
    "Bernoulli.log_prob":
        Op(lambda out, x: bernoulli.log_prob(x, out),
           lambda w, y, out, x: (bernoulli.log_prob_d(x, out, w),), ("BD", "BD")),
    "Bernoulli.entropy":
        Op(bernoulli.entropy, lambda w, y, out: (bernoulli.entropy_d(out, w),), ("BD",)),
    "IsotropicGaussian.log_prob":
        Op(lambda out, logvar, x: isotropic.log_prob(x, out, logvar),
           lambda w, y, out, logvar, x: (isotropic.log_prob_d(x, out, w, logvar),
                                         written(isotropic.log_prob_dparams, x, out, w, logvar)), ("BD", "1", "BD")),
    "IsotropicGaussian.entropy":
        Op(lambda logvar, out: isotropic.entropy(out, logvar),
           lambda w, y, logvar, out: (written(isotropic.entropy_dparams, out, w, logvar),), ("1", "BD")),
}
NAIVE = {
    "StandardNormal.log_prob": naive.standard_normal_log_prob,
    "DiagonalGaussian.draw": naive.diagonal_draw,
    "DiagonalGaussian.kl": naive.diagonal_kl,
    "DiagonalGaussian.log_prob": naive.diagonal_log_prob,
    "DiagonalGaussian.entropy": naive.diagonal_entropy,
    "GaussianLikelihood.log_prob": lambda out, x: naive.diagonal_log_prob(x, out),
    "Bernoulli.log_prob": lambda out, x: naive.bernoulli_log_prob(x, out),
    "Bernoulli.entropy": naive.bernoulli_entropy,
    "IsotropicGaussian.log_prob": lambda out, logvar, x: naive.isotropic_log_prob(x, out, *logvar),
    "IsotropicGaussian.entropy": lambda logvar, out: naive.isotropic_entropy(out, *logvar),
}


def _logits(rng, B, n, dtype):
    """x in [0, 1], and logits from tame to saturated; e^−|l| of the largest underflows in both dtypes."""
    logits = rng.choice([0.1, 4, 40, 700], size=(B, n)) * rng.normal(size=(B, n))
    return rng.random((B, n)).astype(dtype), logits.astype(dtype)


def _log_prob_twin(rng, B, n, dtype):
    x, logits = _logits(rng, B, n, dtype)
    want = naive.bernoulli_log_prob(x.tolist(), logits.tolist())
    return (x, logits, np.empty(B, dtype)), {2: (want, np.sum(np.abs(logits), axis=1) + n)}


def _log_prob_d_twin(rng, B, n, dtype):
    x, logits = _logits(rng, B, n, dtype)
    w = rng.normal(size=B).astype(dtype)
    want = naive.bernoulli_log_prob_d(x.tolist(), logits.tolist(), w.tolist())
    return (x, logits, w, np.empty_like(x)), {3: (want, np.abs(w)[:, None])}


def _out(rng, B, K, dtype):
    """[mu | logvar] and its size as it enters a KL, (B, K): mu² + e^logvar + |logvar|; and noise."""
    mu, logvar = rng.normal(size=(B, K)), rng.choice([0.1, 3, 15], size=(B, K)) * rng.normal(size=(B, K))
    out = np.concatenate([mu, logvar], axis=1).astype(dtype)
    return out, mu**2 + np.exp(logvar) + np.abs(logvar) + 1, rng.normal(size=(B, K)).astype(dtype)


def _draw_twin(rng, B, n, dtype):
    out, size, eps = _out(rng, B, n, dtype)
    want = naive.diagonal_draw(out.tolist(), eps.tolist())
    return (out.reshape(B, 2, n), eps, np.empty_like(eps)), {2: (want, np.abs(out[:, :n]) + np.sqrt(size) * np.abs(eps))}


def _draw_d_twin(rng, B, n, dtype):
    out, size, eps = _out(rng, B, n, dtype)
    dz = rng.normal(size=(B, n)).astype(dtype)
    want = naive.diagonal_draw_d(dz.tolist(), out.tolist(), eps.tolist())
    sizes = np.stack([np.abs(dz), np.abs(dz * eps) * np.sqrt(size)], axis=1)
    return (dz, out.reshape(B, 2, n), eps, np.empty((B, 2, n), dtype)), {3: (want, sizes)}


def _kl_twin(rng, B, n, dtype):
    out, size, _ = _out(rng, B, n, dtype)
    return (out.reshape(B, 2, n), np.empty(B, dtype)), {1: (naive.diagonal_kl(out.tolist()), np.sum(size, axis=1))}


def _kl_d_twin(rng, B, n, dtype):
    out, size, _ = _out(rng, B, n, dtype)
    w = rng.normal(size=B).astype(dtype)
    sizes = np.abs(w)[:, None, None] * np.stack([np.abs(out[:, :n]), size], axis=1)
    return (out.reshape(B, 2, n), w, np.empty((B, 2, n), dtype)), {2: (naive.diagonal_kl_d(out.tolist(), w.tolist()), sizes)}


TWINS = {"bernoulli_log_prob": _log_prob_twin, "bernoulli_log_prob_d": _log_prob_d_twin,
         "diagonal_draw": _draw_twin, "diagonal_draw_d": _draw_d_twin,
         "diagonal_kl": _kl_twin, "diagonal_kl_d": _kl_d_twin}

# ---- against SciPy ---------------------------------------------------------------------------------------------------
# Parameters: means up to a few σ from 0, logvar from −3 to 2, nothing symmetric.

B, D = 5, 3
RNG = np.random.default_rng(0)
MEAN, LOGVAR, Z = RNG.normal(size=(B, D)), RNG.uniform(-3, 2, size=(B, D)), 2 * RNG.normal(size=(B, D))
OUT, ONE_LOGVAR = np.concatenate([MEAN, LOGVAR], axis=1), np.array([-0.7])
X = RNG.integers(0, 2, size=(B, D)).astype(float)
LOGITS = np.array([[-700, -40, -3.0], [-0.2, 0.0, 0.4], [3, 40, 700], [-1, 2, 700], [1, -2, -700.0]])


def test_gaussian_log_densities_against_scipy():
    for law in (posterior, diagonal):
        want = [stats.multivariate_normal(m, np.diag(np.exp(v))).logpdf(z) for m, v, z in zip(MEAN, LOGVAR, Z)]
        np.testing.assert_allclose(law.log_prob(Z, OUT), want, rtol=1e-13)
    np.testing.assert_allclose(prior.log_prob(Z), stats.norm.logpdf(Z).sum(axis=1), rtol=1e-14)
    want = stats.norm.logpdf(Z, MEAN, np.exp(ONE_LOGVAR / 2)).sum(axis=1)
    np.testing.assert_allclose(isotropic.log_prob(Z, MEAN, ONE_LOGVAR), want, rtol=1e-14)
    fixed = IsotropicGaussian(sd=0.3)
    want = stats.norm.logpdf(Z, MEAN, 0.3).sum(axis=1)
    np.testing.assert_allclose(fixed.log_prob(Z, MEAN, *fixed.fixed), want, rtol=1e-14)


def test_bernoulli_against_scipy():
    want = stats.bernoulli.logpmf(X, special.expit(LOGITS[1:2])).sum(axis=1)
    np.testing.assert_allclose(bernoulli.log_prob(X, np.repeat(LOGITS[1:2], B, axis=0)), want, rtol=1e-14)
    want = np.sum(X * special.log_expit(LOGITS) + (1 - X) * special.log_expit(-LOGITS), axis=1)
    np.testing.assert_allclose(bernoulli.log_prob(X, LOGITS), want, rtol=1e-14)
    np.testing.assert_allclose(bernoulli.mean(LOGITS), special.expit(LOGITS), rtol=1e-15)


@pytest.mark.parametrize("dtype, limit", [(np.float64, 700), (np.float32, 87)])
def test_compiled_bernoulli_keeps_its_digits_in_the_tails(dtype, limit):
    """−softplus(−|l|) and sigmoid(−|l|), relative to themselves, down to e^−limit: 4 units for an exp, a logarithm and
    a division. An exp whose k ln 2 is one rounded product is 100 units off at 700.
    """
    logits = np.concatenate([np.linspace(-limit, limit, 5001), np.linspace(-2, 2, 5001)]).astype(dtype)[:, None]
    got = bernoulli.log_prob((logits > 0).astype(dtype), logits)
    want = special.log_expit(np.abs(logits[:, 0]).astype(float))
    np.testing.assert_allclose(got, want, rtol=4 * np.finfo(dtype).eps)
    logits = -np.abs(logits).T.copy()
    got, want = bernoulli.log_prob_d(0 * logits, logits, np.ones(1, dtype)), -special.expit(logits.astype(float))
    np.testing.assert_allclose(got, want, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype, lowest, highest", [(np.float64, -700, 709), (np.float32, -87, 88)])
def test_compiled_exponentials_keep_their_digits(dtype, lowest, highest):
    """exp(logvar / 2) as a draw with eps = 1, expm1(logvar) as twice a derivative: relative to themselves, far and near
    zero. Where e^logvar is too large for the dtype, both are infinite; where it is too small, σ is all but zero.
    """
    logvar = np.concatenate([np.linspace(lowest, highest, 5001), np.linspace(-1, 1, 5001) ** 5]).astype(dtype)
    out = np.stack([0 * logvar, logvar], axis=1)
    eps = 4 * np.finfo(dtype).eps
    sd = posterior.draw(out, np.ones((len(out), 1), dtype))[:, 0]
    np.testing.assert_allclose(sd, np.exp(logvar.astype(np.longdouble) / 2).astype(dtype), rtol=eps)
    expm1 = 2 * posterior.kl_d(out, np.ones(len(out), dtype))[:, 1]
    np.testing.assert_allclose(expm1, np.expm1(logvar.astype(np.longdouble)).astype(dtype), rtol=eps)
    far = np.array([[0, 10 * highest], [0, 10 * lowest]], dtype)
    assert posterior.kl(far)[0] == np.inf and posterior.kl_d(far, np.ones(2, dtype))[0, 1] == np.inf
    assert 0 <= posterior.draw(far, np.ones((2, 1), dtype))[1, 0] < 1e-37


def test_entropies_against_scipy():
    want = [stats.multivariate_normal(cov=np.diag(np.exp(v))).entropy() for v in LOGVAR]
    np.testing.assert_allclose(posterior.entropy(OUT), want, rtol=1e-13)
    np.testing.assert_allclose(prior.entropy(D), stats.multivariate_normal(cov=np.eye(D)).entropy(), rtol=1e-14)
    want = D * stats.norm(scale=np.exp(-0.35)).entropy()
    np.testing.assert_allclose(isotropic.entropy(MEAN, ONE_LOGVAR), want, rtol=1e-14)
    # l − l p cancels for large l: rounding is relative to |l| and not to the entropy
    want = stats.bernoulli.entropy(special.expit(LOGITS[1:2])).sum(axis=1)
    np.testing.assert_allclose(bernoulli.entropy(LOGITS[1:2]), want, rtol=0, atol=1e-15)
    assert abs(bernoulli.entropy(np.array([[-700, -40, 40, 700.0]]))[0] - 82 * np.exp(-40)) < 1e-13


# ---- one law: density, mean, entropy and KL by integrals of the density ----------------------------------------------
# In one dimension: the trapezoid on mean ± 12 σ with 2,001 points; for a Gaussian it converges exponentially.

GAUSSIANS = {"posterior": (posterior, ()), "diagonal": (diagonal, ()), "isotropic": (isotropic, (ONE_LOGVAR,))}


def gaussian(name, mean, logvar):
    """(law, its arguments after out, out (1, ·), σ) in one dimension; the isotropic law keeps its own σ."""
    law, args = GAUSSIANS[name]
    out = np.array([[mean]] if args else [[mean, logvar]])
    return law, args, out, np.exp((args[0][0] if args else logvar) / 2)


@pytest.mark.parametrize("name", GAUSSIANS)
@given(mean=st.floats(-5, 5), logvar=st.floats(-6, 4))
def test_gaussian_density_mean_and_entropy_are_one_law(name, mean, logvar):
    law, args, out, sd = gaussian(name, mean, logvar)
    x, step = np.linspace(mean - 12 * sd, mean + 12 * sd, 2001, retstep=True)
    log_p = law.log_prob(x[:, None], np.repeat(out, len(x), axis=0), *args)
    p = np.exp(log_p) * step
    assert abs(p.sum() - 1) < 1e-12
    mean_of_law = posterior.mean_and_variance(out)[0] if law is posterior else law.mean(out, *args)
    assert abs(p @ x - mean_of_law.item()) < 1e-12 * (5 + sd)
    assert abs(p @ (x - mean)**2 - sd**2) < 1e-12 * sd**2
    assert abs(-(p @ log_p) - law.entropy(out, *args).item()) < 1e-12 * (1 + abs(np.log(sd)))


@given(mu=st.floats(-5, 5), logvar=st.floats(-6, 4))
def test_kl_is_the_integral_of_the_log_ratio(mu, logvar):
    out = np.array([[mu, logvar]])
    z, step = np.linspace(mu - 12 * np.exp(logvar / 2), mu + 12 * np.exp(logvar / 2), 2001, retstep=True)
    log_q = posterior.log_prob(z[:, None], np.repeat(out, len(z), axis=0))
    integral = np.sum(np.exp(log_q) * (log_q - prior.log_prob(z[:, None]))) * step
    assert abs(integral - posterior.kl(out).item()) < 1e-12 * (1 + mu**2 + np.exp(logvar))


def test_bernoulli_density_mean_and_entropy_are_one_law():
    every_x = np.array(list(itertools.product([0.0, 1.0], repeat=D)))
    for logits in LOGITS[[1, 3, 4]]:
        out = logits[None]
        log_p = bernoulli.log_prob(every_x, np.repeat(out, 2**D, axis=0))
        p = np.exp(log_p)
        assert abs(p.sum() - 1) < 1e-14
        np.testing.assert_allclose(p @ every_x, bernoulli.mean(out)[0], rtol=0, atol=1e-14)
        assert abs(-(p @ log_p) - bernoulli.entropy(out).item()) < 1e-12


@given(seed=st.integers(0, 1000), dtype=st.sampled_from([np.float32, np.float64]))
def test_kl_by_dimension_is_the_kl_of_each_dimension_alone(seed, dtype):                                  # [EL.3]
    rng = np.random.default_rng(seed)
    B, K = rng.integers(1, 6, size=2)
    out = rng.normal(scale=2, size=(B, 2 * K)).astype(dtype)
    terms = posterior.kl_by_dimension(out)
    assert terms.shape == (B, K) and terms.dtype == dtype
    eps = np.finfo(dtype).eps                               # of terms none of which cancels another: all are ≥ 0
    for k in range(K):
        np.testing.assert_allclose(terms[:, k], posterior.kl(np.ascontiguousarray(out[:, [k, K + k]])), rtol=8 * eps,
                                   atol=8 * eps)
    np.testing.assert_allclose(terms.sum(axis=1), posterior.kl(out), rtol=8 * K * eps, atol=8 * K * eps)


def test_kl_is_zero_at_the_prior_and_keeps_its_digits_beside_it():
    out = np.zeros((1, 6), np.float32)
    assert posterior.kl(out) == 0
    out[0, 3:] = 1e-4                             # ½ Σ (e^v − 1 − v) = 3 · 2.5e-9; the textbook form gives 0 in float32
    np.testing.assert_allclose(posterior.kl(out), 3 * (1e-4**2 / 4 + 1e-4**3 / 12), rtol=1e-3)
    np.testing.assert_allclose(posterior.kl_by_dimension(out), [3 * [1e-4**2 / 4 + 1e-4**3 / 12]], rtol=1e-3)


# ---- the sampler has the law of the density --------------------------------------------------------------------------

class Nodes:
    """Instead of a Generator: the noise that is asked for is eps."""

    def __init__(self, eps):
        self.eps = eps

    def standard_normal(self, shape, dtype):
        assert shape == self.eps.shape and dtype == self.eps.dtype
        return self.eps


@pytest.mark.parametrize("name", GAUSSIANS)
@given(mean=st.floats(-5, 5), logvar=st.floats(-6, 4))
def test_draws_have_the_law_that_density_entropy_and_kl_speak_of(name, mean, logvar):
    """eps on a Gauss–Hermite grid: means of polynomials of eps are exact; so the moments of z, E log q and E log p."""
    law, args, out, sd = gaussian(name, mean, logvar)
    eps, weights = np.polynomial.hermite_e.hermegauss(8)
    eps, weights, out = eps[:, None], weights / weights.sum(), np.repeat(out, len(eps), axis=0)
    z = law.draw(out, eps) if law is posterior else law.sample(out, Nodes(eps), *args)
    assert abs(weights @ z[:, 0] - mean) < 1e-12 * (5 + sd)
    assert abs(weights @ (z[:, 0] - mean)**2 - sd**2) < 1e-12 * (5 + sd)**2
    # z − mean is rounded relative to the mean, so E log q is relative to (mean / sd)
    log_q, rounding = law.log_prob(z, out, *args), 1e-14 * (1 + abs(mean) / sd) + 1e-13
    assert abs(weights @ -log_q - law.entropy(out, *args)[0]) < rounding
    if law is posterior:
        np.testing.assert_allclose(law.mean_and_variance(out), [0 * eps + mean, 0 * eps + sd**2], rtol=1e-14)
        assert abs(weights @ (log_q - prior.log_prob(z)) - law.kl(out)[0]) < rounding * (1 + mean**2 + sd**2)


@given(seed=st.integers(0, 2**32 - 1))
def test_draw_carries_the_density_of_eps_to_that_of_z(seed):
    """log q(z) + log |dz/deps| = log N(eps; 0, I), row by row, in K dimensions; draw is linear in eps."""
    rng = np.random.default_rng(seed)
    out, eps = rng.normal(size=(4, 6)), rng.normal(size=(4, 3))
    dz_deps = posterior.draw(out, np.ones_like(eps)) - posterior.draw(out, np.zeros_like(eps))
    log_q = posterior.log_prob(posterior.draw(out, eps), out)
    np.testing.assert_allclose(log_q + np.sum(np.log(dz_deps), axis=1), prior.log_prob(eps), rtol=1e-12)


MANY = 200_000
TAME = np.array([-2, 0.3, 1.0])
P = special.expit(TAME)


def many(row, dtype):
    return np.repeat(row[None].astype(dtype), MANY, axis=0)


SAMPLERS = {                                                                                # (sample, mean, variance)
    "StandardNormal": (lambda rng, T: prior.sample(MANY, D, rng, T), np.zeros(D), np.ones(D)),
    "IsotropicGaussian": (lambda rng, T: isotropic.sample(many(MEAN[0], T), rng, ONE_LOGVAR.astype(T)),
                          MEAN[0], np.exp(ONE_LOGVAR)),
    "DiagonalGaussianLikelihood": (lambda rng, T: diagonal.sample(many(OUT[0], T), rng), MEAN[0], np.exp(LOGVAR[0])),
    "Bernoulli": (lambda rng, T: bernoulli.sample(many(TAME, T), rng), P, P * (1 - P)),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", SAMPLERS)
def test_sample_has_the_moments_of_its_law(name, dtype):
    """z-tests with a fixed seed: |z| < 5 for every entry of mean and covariance; 200,000 draws see a σ 1 % wrong."""
    sample, mean, variance = SAMPLERS[name]
    x = sample(np.random.default_rng(4), dtype)
    assert x.dtype == dtype and x.shape == (MANY, D)
    r = (x.astype(np.float64) - mean) / np.sqrt(variance)
    assert np.max(np.abs(r.mean(axis=0))) < 5 / np.sqrt(MANY)
    for i, j in itertools.combinations_with_replacement(range(D), 2):
        product = r[:, i] * r[:, j]
        assert abs(product.mean() - (i == j)) < 5 * product.std() / np.sqrt(MANY)
    np.testing.assert_array_equal(x, sample(np.random.default_rng(4), dtype))
    if name == "Bernoulli":
        assert set(np.unique(x)) == {0, 1}


# ---- words that all classes speak ------------------------------------------------------------------------------------

def test_split_gives_views_and_n_outputs_counts_them():
    out = OUT.copy()
    mu, logvar = posterior.split(out)
    np.testing.assert_array_equal(mu, MEAN)
    np.testing.assert_array_equal(logvar, LOGVAR)
    assert np.shares_memory(mu, out) and np.shares_memory(logvar, out)
    assert [law.n_outputs(7) for law in (posterior, diagonal, bernoulli, isotropic)] == [14, 14, 7, 7]


def test_a_learned_sigma_is_owned_and_a_given_one_fixed():
    assert IsotropicGaussian().own_shapes == {"logvar": (1,)} and IsotropicGaussian().fixed == ()
    fixed = IsotropicGaussian(sd=2.0)
    assert fixed.own_shapes == {} and fixed.fixed[0] == [np.log(4.0)]


@pytest.mark.parametrize("law, x, args", [(bernoulli, X, ()), (isotropic, Z, (ONE_LOGVAR,)), (diagonal, Z, ())])
def test_log_prob_d_writes_into_the_buffer_it_is_given(law, x, args):
    out, w = (OUT if law is diagonal else MEAN), np.linspace(-1, 2, B)
    buffer = np.full_like(out, np.nan)
    assert law.log_prob_d(x, out, w, *args, d_out=buffer) is buffer
    np.testing.assert_array_equal(buffer, law.log_prob_d(x, out, w, *args))


def test_bernoulli_entropy_keeps_its_digits_on_both_sides():
    """log(1 + e^−a) + a e^−a / (1 + e^−a), a = |l|, has positive terms alone; four operations leave a few units."""
    a = np.linspace(0, 700, 1401)
    want = np.log1p(np.exp(-a)) + a * np.exp(-a) / (1 + np.exp(-a))
    for logits in (a, -a):
        np.testing.assert_allclose(bernoulli.entropy(logits[:, None]), want, rtol=8 * np.finfo(float).eps)
