"""The VAE: every gradient, and the objective itself, which no gradient check can see.

The oracle of the objective is written here once more, from the parameters' names on: a decoder in three lines,
densities from scipy.stats, integrals over one latent by the trapezoid rule, which is exact to rounding for smooth
functions that vanish at both ends.
"""
import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, logsumexp
from sklearn.decomposition import PCA as SklearnPCA

from tests.campaigns.gradients import (TOL, Problem, blocks, complex_gradient, gradient, loss, prove, random_vae,
                                       residuals)
from tinyvae import VAE, load_digits
from tinyvae.ops import ACTIVATIONS

LIKELIHOODS = {"sd fixed": {"likelihood": "gaussian", "sd": 0.7}, "sd learned": {"likelihood": "gaussian", "sd": None},
               "bernoulli": {"likelihood": "bernoulli"}, "diagonal": {"likelihood": "gaussian_diagonal"}}
each_likelihood = pytest.mark.parametrize("options", LIKELIHOODS.values(), ids=LIKELIHOODS)
GRID, STEP = np.linspace(-12, 12, 4001, retstep=True)

# ---- every gradient   [OP.1] -----------------------------------------------------------------------------------------


@each_likelihood
@pytest.mark.parametrize("hidden", [(), (5,), (3, 6), (4, 3, 5)], ids=len)
def test_every_block_is_the_complex_step(hidden, options):
    rng = np.random.default_rng(1)
    for activation in ACTIVATIONS:
        problem = random_vae(rng, hidden=hidden, activation=activation, **options)
        assert max(residuals(problem).values()) <= TOL, problem.model
        one_row = Problem(problem.model, tuple(array[..., :1, :] for array in problem.args))
        assert max(residuals(one_row).values()) <= TOL, problem.model


@pytest.mark.parametrize("seed", range(24))
def test_random_models_by_both_derivatives(seed):
    rng = np.random.default_rng(seed)
    found, wrong = prove(random_vae(rng), rng)
    assert not wrong and max(found.values()) <= TOL


def test_the_gradient_of_kl_by_the_decoder_is_exactly_zero():                                               # [EL.E]
    rng = np.random.default_rng(3)
    model, (x, eps) = random_vae(rng, hidden=(4,), n_components=2, activation="tanh", likelihood="gaussian", sd=None,
                                 objective="elbo", beta=0.0)
    _, without = model.loss_and_grad(x, eps)
    _, with_kl = model.set_params(beta=2.5).loss_and_grad(x, eps)
    kl_grad = complex_gradient(lambda theta: np.mean(terms(model, theta, x, eps)[1]), model.theta_)
    # β scales one term of two sums: what it adds is β ∇KL, up to the rounding of either sum.
    assert np.max(np.abs(with_kl - without - 2.5 * kl_grad)) <= 1e-13 * np.max(np.abs(with_kl))
    for name, place in blocks(model).items():
        if name.startswith("encoder"):
            assert np.max(np.abs(kl_grad[place])) > 1e-3
        else:
            assert np.array_equal(with_kl[place], without[place]) and not kl_grad[place].any()


def terms(model, theta, x, eps):
    P = model.params(theta)
    return model.bound_terms(P, model.forward(P, x, eps))


def test_loss_and_grad_is_the_mean_loss_and_its_gradient():
    model, (x, eps) = random_vae(np.random.default_rng(4), likelihood="bernoulli", beta=1.7)
    value, grad = model.loss_and_grad(x, eps)
    assert type(value) is float and value == loss(model, (x, eps), model.theta_)
    assert np.array_equal(grad, gradient(model, (x, eps), model.theta_))


def test_the_derivative_by_the_data_is_not_computed():
    """It would cost as much as the first layer itself; the decoder's, by z, is what the encoder is trained by."""
    model, (x, eps) = random_vae(np.random.default_rng(6), n_samples=3)
    P, grad = model.params(), np.empty_like(model.theta_)
    derivatives = model.backward(P, model.forward(P, x, eps), model.params(grad))
    assert derivatives.encoder[0] is None and derivatives.decoder[0].shape == (3 * len(x), model.n_components)


@each_likelihood
def test_float32_backward_is_the_float64_one_rounded(options):
    model, args = random_vae(np.random.default_rng(5), hidden=(5, 4), n_components=3, activation="tanh", **options)
    exact = gradient(model, args, model.theta_)
    rounded = gradient(model, [array.astype(np.float32) for array in args], model.theta_.astype(np.float32))
    assert rounded.dtype == np.float32
    for place in blocks(model).values():                    # 100 roundings of 2^-24 from six layers and their sums
        assert np.max(np.abs(rounded[place] - exact[place])) <= 100 * 2**-24 * np.max(np.abs(exact[place]))


# ---- the objective, by quadrature ------------------------------------------------------------------------------------


def twin(options, K=1, D=3, n_rows=4, seed=7, **more):
    """A VAE with random parameters, q not too narrow (importance weights need a finite variance), and rows of data."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, D))
    X = (X > 0).astype(float) if options["likelihood"] == "bernoulli" else X
    model = VAE(K, hidden=(6,), activation="tanh", n_epochs=0, random_state=0, **options, **more).fit(X)
    model.theta_[:] = rng.normal(scale=0.6, size=model.theta_.size)
    model.parameters_["encoder.1.W"][:, K:] *= 0.2
    model.parameters_["encoder.1.b"][K:] = -0.1
    return model, X


def decode(model, z):
    named = model.parameters_
    h = np.tanh(z @ named["decoder.0.W"] + named["decoder.0.b"])
    return h @ named["decoder.1.W"] + named["decoder.1.b"]


def x_law(model, z):
    """p(x|z) as scipy knows it, with a row of its parameters for each row of z."""
    out = decode(model, z)
    if model.likelihood == "bernoulli":
        return stats.bernoulli(expit(out))
    if model.likelihood == "gaussian":
        return stats.norm(out, model.sd or np.exp(model.parameters_["likelihood.logvar"] / 2))
    mean, logvar = np.split(out, 2, axis=1)
    return stats.norm(mean, np.exp(logvar / 2))


def log_px_z(model, x, z):
    law = x_law(model, z)
    return (law.logpmf(x) if model.likelihood == "bernoulli" else law.logpdf(x)).sum(axis=1)


def log_joint(model, x, z):
    return log_px_z(model, x, z) + stats.norm.logpdf(z).sum(axis=1)


def log_p(model, x):
    return logsumexp(log_joint(model, x, GRID[:, None])) + np.log(STEP)


def exact_bound(model, x):
    """The mean of the bound's two terms over ε, with the model's own sampler and terms."""
    rows, eps = np.tile(x, (len(GRID), 1)), GRID[:, None]
    log_px_z, kl = terms(model, model.theta_, rows, eps)
    return np.sum(stats.norm.pdf(GRID) * (log_px_z - kl)) * STEP


@each_likelihood
def test_the_bound_and_its_gap_are_log_p(options):                                                          # [EL.1]
    model, X = twin(options)
    mean, variance = model.encode(X)
    for x, m, v in zip(X, mean, variance):
        log_q = stats.norm.logpdf(GRID, m, np.sqrt(v))
        log_posterior = log_joint(model, x, GRID[:, None]) - log_p(model, x)
        gap = np.sum(np.exp(log_q) * (log_q - log_posterior)) * STEP
        assert gap > 1e-3                                                # q is not the posterior: there is a gap to see
        assert exact_bound(model, x) + gap == pytest.approx(log_p(model, x), abs=1e-11)


@each_likelihood
def test_one_sd_in_sampler_kl_and_log_q(options):                                                           # [RP.1]
    model, X = twin(options, K=2)
    P, ones = model.params(), np.ones((len(X), 2))
    mu, z = model.forward(P, X, 0 * ones).z, model.forward(P, X, ones).z
    sd = z - mu                                                                      # the sampler's, from what it draws
    mean, variance = model.encode(X)
    assert np.allclose(mean, mu, rtol=1e-14) and np.allclose(np.sqrt(variance), sd, rtol=1e-13)
    q = stats.norm(mu[..., None], sd[..., None])
    kl = np.sum(q.pdf(GRID) * (q.logpdf(GRID) - stats.norm.logpdf(GRID)), axis=2).sum(axis=1) * STEP
    assert np.allclose(model.bound_terms(P, model.forward(P, X, ones))[1], kl, rtol=0, atol=1e-12)
    t = model.set_params(objective="iwae").forward(P, X, ones)                              # weighs this very z
    log_q = stats.norm.logpdf(z, mu, sd).sum(axis=1)
    assert np.allclose(t.log_px_z + t.log_ratio, log_joint(model, X, z) - log_q, rtol=0, atol=1e-12)


class FixedNoise(np.random.Generator):
    """A generator with these normal numbers in store; its uniform ones are all 1/2."""

    def __init__(self, normal):
        super().__init__(np.random.PCG64(0))
        self.normal = np.asarray(normal)

    def standard_normal(self, size=None, dtype=np.float64, out=None):
        return self.normal.reshape(size).astype(dtype)

    def random(self, size=None, dtype=np.float64, out=None):
        return np.full(size, 0.5, dtype)


@pytest.mark.parametrize("n_samples", [1, 3, 5000])                        # 5000: more draws than are held at once
def test_elbo_and_log_likelihood_are_their_formulas(n_samples, monkeypatch):                              # [EL.1, CV.1]
    model, X = twin(LIKELIHOODS["sd learned"], K=2, beta=3.0)              # β weighs the training loss, never the bound
    noise = np.random.default_rng(8).standard_normal((n_samples, 2))
    mean, variance = model.encode(X)
    sd = np.sqrt(variance)
    kl = np.sum(mean**2 + variance - 1 - np.log(variance), axis=1) / 2
    z = [m + s * noise for m, s in zip(mean, sd)]
    log_px = np.array([log_px_z(model, x, zs) for x, zs in zip(X, z)])
    log_q = [stats.norm.logpdf(zs, m, s).sum(axis=1) for zs, m, s in zip(z, mean, sd)]
    log_w = np.array([log_joint(model, x, zs) for x, zs in zip(X, z)]) - log_q
    close = {"rtol": 0, "atol": 1e-11}
    elbo, elbo_terms = (method(X, n_samples, FixedNoise(noise)) for method in (model.elbo, model.elbo_terms))
    assert np.allclose(elbo, log_px.mean(axis=1) - kl, **close)
    assert np.allclose(elbo_terms, [log_px.mean(axis=1), kl], **close)
    with monkeypatch.context() as patch:
        patch.setattr(np.random, "default_rng", lambda seed: blocks.pop(0))      # the sampler's blocks of 1000 draws
        blocks = [FixedNoise(noise[start:start + 1000]) for start in range(0, n_samples, 1000)]
        log_likelihood = model.log_likelihood(X, n_samples, np.random.Generator(np.random.PCG64(0)))
    assert np.allclose(log_likelihood, logsumexp(log_w, axis=1) - np.log(n_samples), **close)


@each_likelihood
def test_the_importance_sampled_likelihood_tends_to_log_p(options):                                         # [CV.1]
    model, X = twin(options)
    n_samples = 20_000
    estimate = model.log_likelihood(X, n_samples, random_state=1)
    for x, m, v, ll in zip(X, *model.encode(X), estimate):
        ratio = log_joint(model, x, GRID[:, None]) - log_p(model, x)
        relative_variance = np.sum(np.exp(2 * ratio - stats.norm.logpdf(GRID, m, np.sqrt(v)))) * STEP - 1
        assert relative_variance > 1e-3
        assert abs(np.expm1(ll - log_p(model, x))) < 5 * np.sqrt(relative_variance / n_samples)


def test_more_samples_are_closer_from_below():                                                              # [CV.1]
    model, X = twin(LIKELIHOODS["sd fixed"], n_rows=1)
    runs = np.array([[model.log_likelihood(X, S, random_state=seed)[0] for S in (1, 3, 10)] for seed in range(1500)])
    steps = np.diff(np.column_stack([runs, np.full(len(runs), log_p(model, X[0]))]), axis=1)
    assert np.all(steps.mean(axis=0) > 4 * steps.std(axis=0) / np.sqrt(len(runs)))        # every step up, to log p
    assert exact_bound(model, X[0]) == pytest.approx(runs[:, 0].mean(), abs=5 * runs[:, 0].std() / np.sqrt(len(runs)))


@each_likelihood
def test_samples_have_the_moments_of_the_model(options):                                                    # [LV.1]
    model, _ = twin(options)
    n = 100_000
    x = model.sample(n, random_state=2)
    assert x.shape == (n, 3) and np.array_equal(x, model.sample(n, random_state=2))
    law, weights = x_law(model, GRID[:, None]), stats.norm.pdf(GRID) * STEP
    first, second = weights @ law.mean(), np.einsum("g,gi,gj->ij", weights, law.mean(), law.mean())
    second[np.diag_indices(3)] += weights @ np.broadcast_to(law.var(), law.mean().shape)
    pairs = x[:, :, None] * x[:, None, :]
    assert np.all(np.abs(x.mean(axis=0) - first) < 5 * x.std(axis=0) / np.sqrt(n))
    assert np.all(np.abs(pairs.mean(axis=0) - second) < 5 * pairs.std(axis=0) / np.sqrt(n))
    z = GRID[::100, None]
    assert np.allclose(model.inverse_transform(z), x_law(model, z).mean(), rtol=1e-13, atol=1e-14)


# ---- against probabilistic PCA, which scikit-learn wrote -------------------------------------------------------------


def linear_vae(K=4):
    """A VAE without hidden layers at the maximum likelihood of pPCA, with q the exact posterior."""
    X = load_digits()[0][:500, 18:46]
    X = X[:, X.std(axis=0) > 0.05]
    pca = SklearnPCA(K, svd_solver="full").fit(X)
    values = pca.explained_variance_ * (len(X) - 1) / len(X)                # of the covariance with 1/N
    variance = pca.noise_variance_ * (len(X) - 1) / len(X)
    W = pca.components_.T * np.sqrt(values - variance)
    model = VAE(K, hidden=(), n_epochs=0, random_state=0).fit(X)
    named = model.parameters_
    named["encoder.0.W"][:] = np.hstack([W / values, 0 * W])     # M = WᵀW + σ² I = diag(values): mu = M⁻¹ Wᵀ (x − mean)
    named["encoder.0.b"][:] = np.concatenate([-pca.mean_ @ (W / values), np.log(variance / values)])
    named["decoder.0.W"][:], named["decoder.0.b"][:] = W.T, pca.mean_
    named["likelihood.logvar"][:] = np.log(variance)
    return model, X, stats.multivariate_normal(pca.mean_, W @ W.T + variance * np.eye(X.shape[1])).logpdf(X), pca


def test_with_the_exact_posterior_every_weight_is_the_likelihood_of_ppca():                               # [LV.7, EL.1]
    model, X, log_px, pca = linear_vae()
    # log p sums 20-odd squares over σ² of some hundreds: 1e-11 are a few hundred roundings.
    assert np.allclose(model.log_likelihood(X, n_samples=3), log_px, rtol=0, atol=1e-11)
    grow = len(X) / (len(X) - 1)                    # scikit-learn's covariance has 1/(N − 1): all variances grow
    model.parameters_["decoder.0.W"][:] *= np.sqrt(grow)
    model.parameters_["likelihood.logvar"][:] += np.log(grow)
    model.parameters_["encoder.0.W"][:] /= np.sqrt(grow)
    model.parameters_["encoder.0.b"][:model.n_components] /= np.sqrt(grow)
    assert np.allclose(model.log_likelihood(X, n_samples=3), pca.score_samples(X), rtol=0, atol=1e-11)


def test_maximum_likelihood_of_ppca_is_a_stationary_point_of_the_mean_bound():                              # [OP.2]
    model, X, _, _ = linear_vae()
    K = model.n_components
    # The bound is quadratic in ε, so that the 2K points ±√K e_k give its mean over ε exactly.
    points = np.sqrt(K) * np.concatenate([np.eye(K), -np.eye(K)])
    grads = np.array([model.loss_and_grad(X, np.tile(point, (len(X), 1)))[1] for point in points])
    size = np.max(np.abs(grads), axis=0)
    assert np.max(np.abs(grads.mean(axis=0))) <= 1e-10 * np.max(size) and np.min(size[blocks(model)["decoder.0.W"]]) > 0


# ---- evaluation: a row's number is its own ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["elbo", "log_likelihood"])
def test_a_row_is_scored_alike_wherever_it_stands(method):
    model, X = twin(LIKELIHOODS["sd learned"], K=2, n_rows=2100)             # three chunks
    order = np.random.default_rng(9).permutation(len(X))
    score = getattr(model, method)
    whole = score(X, n_samples=4)
    assert np.std(whole) > 0.1 and whole.dtype == np.float64
    # Only BLAS's order of summation depends on the number of rows.
    assert np.allclose(score(X[order], n_samples=4), whole[order], rtol=1e-12)
    assert np.allclose(np.concatenate([score(X[i:i + 1], n_samples=4) for i in range(5)]), whole[:5], rtol=1e-12)
    assert np.array_equal(score(X, n_samples=4), whole)
    assert not np.allclose(score(X, n_samples=4, random_state=1), whole)


@pytest.mark.parametrize("options", [*LIKELIHOODS.values(), {"likelihood": "bernoulli", "binarize": True}], ids=str)
def test_kl_by_dimension_is_the_mean_of_each_ones_kl(options):                                              # [EL.3]
    model, X = twin(options, K=3, n_rows=2100)
    kl = model.kl_by_dimension(X)
    assert kl.shape == (3,) and kl.dtype == np.float64
    assert np.sum(kl) == pytest.approx(np.mean(model.elbo_terms(X, 1)[1]), rel=1e-12)
    mean, variance = model.encode(X)
    assert np.allclose(kl, np.mean(mean**2 + variance - 1 - np.log(variance), axis=0) / 2, rtol=1e-11)
    order = np.random.default_rng(9).permutation(len(X))
    assert np.allclose(model.kl_by_dimension(X[order]), kl, rtol=1e-12)
    parts = [model.kl_by_dimension(part) for part in (X[:100], X[100:])]
    assert np.allclose((100 * parts[0] + 2000 * parts[1]) / 2100, kl, rtol=1e-12)


def test_kl_by_dimension_of_binarised_rows_is_that_of_the_binary_ones():
    grey, binary = (twin({"likelihood": "bernoulli", "binarize": binarize}, K=2)[0] for binarize in (True, False))
    binary.theta_[:] = grey.theta_
    X = np.random.default_rng(3).random((30, 3))
    rows = (FixedNoise(0).random(3) < X).astype(float)      # one threshold for each pixel, shared by all rows
    assert np.allclose(grey.kl_by_dimension(X, FixedNoise(0)), binary.kl_by_dimension(rows), rtol=1e-14)
    assert not np.allclose(grey.kl_by_dimension(X, 1), grey.kl_by_dimension(X, 2), rtol=1e-6)


def test_active_units_are_those_whose_mean_varies():
    model, X = twin(LIKELIHOODS["sd learned"], K=3, n_rows=200)
    model.parameters_["encoder.1.W"][:, 1] = 0
    model.parameters_["encoder.1.b"][1] = 5                 # far from the prior, but the same for every row
    variance = np.var(model.transform(X), axis=0)
    assert model.kl_by_dimension(X)[1] > 10 and min(variance[[0, 2]]) > 0.01
    assert model.active_units(X).tolist() == [True, False, True] and model.active_units(X).dtype == bool
    between = np.mean(variance[[0, 2]])
    assert np.array_equal(model.active_units(X, between), variance > between)
    assert not model.active_units(X, variance.max()).any()
    assert not model.active_units(X[:1], 0.0).any()
    for threshold in (-0.1, np.nan):
        with pytest.raises(ValueError, match="threshold must be"):
            model.active_units(X, threshold)


def test_score_is_the_mean_of_score_samples():
    model, X = twin(LIKELIHOODS["sd fixed"])
    assert np.array_equal(model.score_samples(X), model.log_likelihood(X, 100))
    assert model.score(X) == np.mean(model.score_samples(X)) and type(model.score(X)) is float
    assert np.array_equal(model.transform(X), model.encode(X)[0])
    assert np.array_equal(model.reconstruct(X), model.inverse_transform(model.transform(X)))


def test_all_evaluations_of_a_seed_see_the_same_binary_pixels():
    """However many draws: or a bound could exceed the likelihood that it bounds, by another x."""
    X = np.random.default_rng(0).random((40, 12))
    model = VAE(3, hidden=(6,), likelihood="bernoulli", binarize=True, n_epochs=3, random_state=0).fit(X)
    _, few = model.elbo_terms(X, n_samples=2, random_state=1)
    _, many = model.elbo_terms(X, n_samples=50, random_state=1)
    np.testing.assert_array_equal(few, many)
    np.testing.assert_allclose(model.kl_by_dimension(X, random_state=1).sum(), np.mean(few), rtol=1e-12)
    assert not np.array_equal(few, model.elbo_terms(X, n_samples=2, random_state=2)[1])
    assert np.mean(model.elbo(X, 500, random_state=1)) < np.mean(model.log_likelihood(X, 1000, random_state=1))
