"""The exact twin, against oracles that share no line with it: closed forms, scipy's densities, plain dense grids."""
import numpy as np
import pytest
from scipy import stats
from scipy.optimize import OptimizeResult
from scipy.special import log_expit, logsumexp

from tinyvae import VAE, check_gradient, load_digits
from tinyvae.distributions import DiagonalGaussian
from tinyvae.full_gaussian import FullGaussian
from tinyvae.likelihood import exact_elbo, gaps, importance_sampling, posterior_grid, quadrature, true_posterior
from tinyvae.likelihood.exact import AT_ONCE, NOISE_STEP, Row
from tinyvae.likelihood.gaps import best_out

LIKELIHOODS = {"sd fixed": {"likelihood": "gaussian", "sd": 0.7}, "sd learned": {"likelihood": "gaussian"},
               "bernoulli": {"likelihood": "bernoulli"}, "diagonal": {"likelihood": "gaussian_diagonal"}}

# ---- models and oracles ----------------------------------------------------------------------------------------------


def random_vae(seed, K, D=4, n_rows=3, scale=0.7, **options):
    """A VAE with random parameters, biases too, and rows of data."""
    rng = np.random.default_rng(seed)
    options = {"hidden": (6,), "activation": "tanh", "likelihood": "gaussian", **options}
    X = rng.standard_normal((n_rows, D))
    X = (X > 0).astype(float) if options["likelihood"] == "bernoulli" else X
    model = VAE(K, n_epochs=0, random_state=0, **options).fit(X)
    model.theta_[:] = rng.normal(scale=scale, size=model.theta_.size)
    model.parameters_[f"encoder.{len(model.hidden)}.W"][:] *= 0.3                # q neither very wide nor very narrow
    model.parameters_[f"encoder.{len(model.hidden)}.b"][:] *= 0.5
    return model, X


def log_joint(model, x, z):
    """log p(x|z) p(z) by scipy's densities, from the parameters' names on."""
    named, last = model.parameters_, f"decoder.{len(model.hidden)}"
    h = np.tanh(z @ named["decoder.0.W"] + named["decoder.0.b"]) if model.hidden else z
    out = h @ named[f"{last}.W"] + named[f"{last}.b"]
    if model.likelihood == "bernoulli":
        log_px_z = x * log_expit(out) + (1 - x) * log_expit(-out)
    elif model.likelihood == "gaussian":
        log_px_z = stats.norm(out, model.sd or np.exp(named["likelihood.logvar"] / 2)).logpdf(x)
    else:
        mean, logvar = np.split(out, 2, axis=1)
        log_px_z = stats.norm(mean, np.exp(logvar / 2)).logpdf(x)
    return log_px_z.sum(axis=1) + stats.norm.logpdf(z).sum(axis=1)


def mesh(K, reach, n):
    """All points of a regular grid over [−reach, reach]^K, and the logarithm of a cell's volume."""
    ticks, step = np.linspace(-reach, reach, n, retstep=True)
    return np.stack([z.ravel() for z in np.meshgrid(*[ticks] * K)], axis=1), K * np.log(step)


def q_law(model, x):
    """The mean and the factor L of q(z|x), from the encoder's own face."""
    mean, variance = (array[0] for array in model.encode(x[None]))
    return mean, np.linalg.cholesky(variance if variance.ndim == 2 else np.diag(variance))


def kl_to_posterior(model, x, log_p):
    """∫ q log q / p(z|x), on a grid that is centred on q and as wide as q."""
    mean, L = q_law(model, x)
    u, log_cell = mesh(len(mean), 9, {1: 201, 2: 121, 3: 49}[len(mean)])
    z, log_q = mean + u @ L.T, stats.norm.logpdf(u).sum(axis=1)
    return np.sum(np.exp(log_q + log_cell) * (log_q - np.log(np.diag(L)).sum() - log_joint(model, x, z) + log_p))


def linear_gaussian(seed, K, D, sd, posterior="diagonal"):
    """x = z W + b + sd e. Also the mean of p(z|x) of every row and its precision, I + W Wᵀ / sd²."""
    model, X = random_vae(seed, K, D, hidden=(), sd=sd, posterior=posterior)
    W, b = model.parameters_["decoder.0.W"], model.parameters_["decoder.0.b"]
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((3, K)) @ W + b + sd * rng.standard_normal((3, D))
    precision = np.eye(K) + W @ W.T / sd**2
    return model, X, stats.multivariate_normal(b, W.T @ W + sd**2 * np.eye(D)), \
        np.linalg.solve(precision, W @ (X - b).T / sd**2).T, precision


class Folded:
    """x = z² + tilt z + sd e, dimension by dimension: 2^K modes, K integrals over one z. q = N(q_mean, 0.05 I)."""
    theta_ = np.zeros(1)
    def __init__(self, K, sd, tilt=0.0, posterior=DiagonalGaussian(), q_mean=0.3):
        self.n_components, self.sd, self.tilt, self._posterior = K, sd, tilt, posterior
        self.q_mean, self.asked = q_mean, []

    def params(self, theta):
        return None

    def observed(self, X, rng):
        yield X

    def encoded(self, P, x):
        out = np.full((len(x), self._posterior.n_outputs(self.n_components)), self.q_mean)
        out[:, self.n_components:2 * self.n_components] = np.log(0.05)
        return out

    def log_px_z(self, P, x, z):
        return self.log_px_z_dz(P, x, z)[0]

    def log_px_z_dz(self, P, x, z):
        self.asked.append(len(z))
        r = (x - z * z - self.tilt * z) / self.sd
        return stats.norm.logpdf(r).sum(axis=1) - z.shape[1] * np.log(self.sd), r * (2 * z + self.tilt) / self.sd

    def log_p(self, x):
        """A sum over one grid for each mode of each dimension: 0.4 of the way to the other mode is its end."""
        return sum(logsumexp(self.modes(x_k)) for x_k in x)

    def modes(self, x_k):
        """The logarithm of what the lower and the upper mode add to p(x_k)."""
        return np.array([self._mode(x_k, root) for root in sorted(np.roots([1, self.tilt, -x_k]))])

    def _mode(self, x, root):
        reach = min(0.45 * np.sqrt(self.tilt**2 + 4 * x), 20 * self.sd)
        z, step = np.linspace(root - reach, root + reach, 2001, retstep=True)
        log_px_z = stats.norm.logpdf(x, z * z + self.tilt * z, self.sd)
        return logsumexp(log_px_z + stats.norm.logpdf(z)) + np.log(step)


class Spike(Folded):
    """p(x|z) has a broad hill over z, around −1, and a higher but narrow spike with less mass, around 2."""

    def log_px_z_dz(self, P, x, z):
        laws = stats.norm(-1, 0.5), stats.norm(2, 0.01)
        terms = np.log([[0.8], [0.2]]) + [law.logpdf(z[:, 0]) for law in laws]
        shares = np.exp(terms - logsumexp(terms, axis=0))
        slopes = shares[0] * (-1 - z[:, 0]) / 0.5**2 + shares[1] * (2 - z[:, 0]) / 0.01**2
        return logsumexp(terms, axis=0), slopes[:, None]


# ---- log p(x) --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sd", [1.0, 0.1, 1e-3])
@pytest.mark.parametrize("K, D", [(1, 1), (1, 3), (2, 1), (2, 2), (3, 2), (3, 3)])         # D < K: a narrow ridge
def test_log_p_of_the_linear_gaussian_model_is_its_closed_form(K, D, sd):                                   # [CV.1]
    model, X, law, _, _ = linear_gaussian(K, K, D, sd)
    X = X[:1] if K == 3 else X
    value, error = quadrature(model, X)
    # Where D > K the oracle's covariance has the condition 1 / sd²; z itself is rounded to 1e-16 / sd of its width.
    assert np.max(np.abs(value - law.logpdf(X))) <= (1e-9 if sd == 1e-3 and D > K else 1e-11)
    assert np.all(error <= 1e-10) and value.dtype == error.dtype == np.float64


def test_rows_far_from_the_prior():
    model, _, law, _, _ = linear_gaussian(1, 2, 2, 0.05)
    X = law.mean + 40 * model.parameters_["decoder.0.W"]                        # z = (40, 0) and (0, 40)
    assert quadrature(model, X).value == pytest.approx(law.logpdf(X), rel=1e-12)


@pytest.mark.parametrize("options", LIKELIHOODS.values(), ids=LIKELIHOODS)
@pytest.mark.parametrize("posterior", ["diagonal", "full"])
@pytest.mark.parametrize("K, n", [(1, 4001), (2, 361)])
def test_log_p_is_the_bound_and_its_gap(K, n, posterior, options):                                          # [EL.1]
    model, X = random_vae(K, K, n_rows=2, posterior=posterior, **options)
    z, log_cell = mesh(K, 9, n)
    log_p = np.array([logsumexp(log_joint(model, x, z)) + log_cell for x in X])
    kl = np.array([kl_to_posterior(model, x, log_px) for x, log_px in zip(X, log_p)])
    found, bound = quadrature(model, X, n_points=2**17), exact_elbo(model, X, n_points=2**17)
    assert np.all(kl > 1e-2)
    assert found.value == pytest.approx(log_p, abs=1e-11)
    assert bound.value + kl == pytest.approx(found.value, abs=1e-11)


def test_log_p_is_the_bound_and_its_gap_in_three_dimensions():
    model, [x] = random_vae(3, 3, n_rows=1, posterior="full", scale=0.4)
    z, log_cell = mesh(3, 8, 81)
    log_p = logsumexp(log_joint(model, x, z)) + log_cell
    found, bound = quadrature(model, x[None]), exact_elbo(model, x[None])
    assert found.value[0] == pytest.approx(log_p, abs=1e-10)
    assert bound.value[0] + kl_to_posterior(model, x, log_p) == pytest.approx(log_p, abs=1e-8)


@pytest.mark.parametrize("tilt", [0.0, 0.1])
@pytest.mark.parametrize("sd", [0.1, 0.003])
@pytest.mark.parametrize("K", [1, 2])
def test_every_mode_is_found(K, sd, tilt):
    model, x = Folded(K, sd, tilt), np.array([1.7, 0.9])[:K]
    value, error = quadrature(model, x[None])
    assert value[0] == pytest.approx(model.log_p(x), abs=2e-11) and error[0] < 1e-10
    assert 0 < max(model.asked) <= AT_ONCE                                       # memory does not grow with the points
    posterior = true_posterior(model, x)
    assert posterior.log_px == value[0] and np.sum(posterior.weights) == pytest.approx(1, abs=1e-14)
    modes = np.sum(posterior.weights[:, None] * (posterior.points > 0), axis=0)
    sizes = np.exp([model.modes(x_k) for x_k in x])
    assert modes == pytest.approx(sizes[:, 1] / sizes.sum(axis=1), abs=1e-10)


def test_eight_modes_in_three_dimensions():
    model, x = Folded(3, 0.03, 0.1), np.array([2.5, 1.7, 0.9])
    value, error = quadrature(model, x[None])
    assert abs(value[0] - model.log_p(x)) <= error[0] <= 0.01


@pytest.mark.parametrize("K, n_points", [(1, 1000), (2, 2**13)])
def test_the_error_of_a_decoder_with_kinks_is_honest(K, n_points):
    model, X = random_vae(5, K, n_rows=30 if K == 1 else 5, hidden=(4,), activation="relu", scale=1.0)
    for function in quadrature, exact_elbo:
        rough, fine = function(model, X, n_points=n_points), function(model, X, n_points=n_points * 16)
        off = np.abs(rough.value - fine.value)
        assert np.mean(off <= rough.error) >= 0.9 and np.all(off <= 10 * rough.error + 1e-10)
        assert np.all(np.isfinite(rough.error)) and np.median(fine.error) < np.median(rough.error) / 4


def test_too_few_points_say_so():
    model, X, law, _, _ = linear_gaussian(0, 2, 2, 1e-3)
    assert np.all(np.isinf(quadrature(model, X, n_points=3000).error))
    assert quadrature(model, X).value == pytest.approx(law.logpdf(X), abs=1e-11)


def test_modes_too_narrow_for_the_lattice_say_so():
    assert quadrature(Folded(3, 1e-7, 0.1), np.array([[2.5, 1.7, 0.9]])).error == np.inf


def test_a_model_of_digits_in_float32():
    X = (load_digits()[0][:300] > 0.5).astype(np.float32)
    model = VAE(2, hidden=(24,), activation="tanh", likelihood="bernoulli", n_epochs=15, random_state=0).fit(X)
    value, error = quadrature(model, X[:1])
    model.theta_ = model.theta_.astype(np.float64)
    z, log_cell = mesh(2, 7, 401)
    for x, found in zip(X.astype(float), value):
        assert found == pytest.approx(logsumexp(log_joint(model, x, z)) + log_cell, abs=1e-9)
    assert np.all(error < 1e-10)
    estimate = importance_sampling(model, X[:1], 2000, rng=1)
    assert np.all(np.abs(estimate.value - value) < 5 * estimate.standard_error)


# ---- the posterior ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("K", [1, 2, 3])
def test_the_posterior_of_the_linear_gaussian_model(K):
    model, X, _, mean, precision = linear_gaussian(4, K, 3, 0.5)
    posterior = true_posterior(model, X[1])
    assert posterior.mean == pytest.approx(mean[1], abs=1e-11)
    assert posterior.covariance == pytest.approx(np.linalg.inv(precision), abs=1e-11)
    assert posterior.points.shape == (len(posterior.weights), K)
    (axes, density), n = posterior_grid(model, X[1], n=31), 31
    assert len(axes) == K and density.shape == (n,) * K
    law = stats.multivariate_normal(mean[1], np.linalg.inv(precision))
    for at in [(3, 20, 9), (15, 14, 16), (30, 0, 15)]:
        z = [axis[i] for axis, i in zip(axes, at)]
        assert density[at[:K]] == pytest.approx(law.pdf(z), rel=1e-9)
    sd = np.sqrt(np.diag(law.cov)) if K > 1 else np.sqrt(law.cov.ravel())
    for axis, m, s in zip(axes, mean[1], sd):
        assert abs(axis[0] - (m - 5 * s)) < s and abs(axis[-1] - (m + 5 * s)) < s
    assert np.sum(density) * np.prod([axis[1] - axis[0] for axis in axes]) == pytest.approx(1, abs=1e-4)


# ---- the bound -------------------------------------------------------------------------------------------------------


def test_the_bound_of_any_q():
    model, X = random_vae(8, 2, posterior="full")
    out = np.random.default_rng(1).normal(size=(3, 5)) / 2
    for x, row, value in zip(X, out, exact_elbo(model, X, out, tol=1e-12, n_points=2**17).value):
        mean, covariance = (array[0] for array in FullGaussian().mean_and_variance(row[None]))
        u, log_cell = mesh(2, 9, 121)
        q = stats.multivariate_normal(mean, covariance)
        z = mean + u @ np.linalg.cholesky(covariance).T
        w = np.exp(stats.norm.logpdf(u).sum(axis=1) + log_cell)
        assert value == pytest.approx(np.sum(w * (log_joint(model, x, z) - q.logpdf(z))), abs=1e-11)


def test_the_bound_is_the_mean_of_its_draws():
    model, X = random_vae(9, 2)
    drawn = np.array([model.elbo(X, n_samples=2000, random_state=seed) for seed in range(10)])
    standard_error = np.std(drawn, axis=0, ddof=1) / np.sqrt(10)
    assert np.all(np.abs(np.mean(drawn, axis=0) - exact_elbo(model, X).value) < 5 * standard_error)


# ---- the gaps --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sd", [0.5, 0.01])
@pytest.mark.parametrize("K", [1, 2, 3])
def test_gaps_of_the_linear_gaussian_model(K, sd):
    for posterior in ("diagonal", "full"):
        model, X, law, mean, precision = linear_gaussian(3, K, K, sd, posterior)
        X, mean = X[:2], mean[:2]
        found = gaps(model, X, tol=1e-10)
        left = 0 if posterior == "full" else (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1]) / 2
        assert found.log_px == pytest.approx(law.logpdf(X), abs=1e-10)
        assert found.approximation == pytest.approx(np.full(2, left), abs=1e-9)
        kl = []
        for x, m in zip(X, mean):                       # KL of two Gaussians, q to the posterior, in closed form
            q_mean, L = q_law(model, x)
            d = q_mean - m
            kl.append((np.trace(precision @ L @ L.T) + d @ precision @ d - K - 2 * np.log(np.diag(L)).sum()
                       - np.linalg.slogdet(precision)[1]) / 2)
        assert found.approximation + found.amortisation == pytest.approx(kl, rel=1e-11, abs=1e-9)
        assert found.best_elbo - found.elbo == pytest.approx(found.amortisation, abs=0)


@pytest.mark.parametrize("options", LIKELIHOODS.values(), ids=LIKELIHOODS)
@pytest.mark.parametrize("posterior", ["diagonal", "full"])
def test_no_q_nearby_is_better(posterior, options):
    model, X = random_vae(11, 2, posterior=posterior, n_rows=2, **options)
    rng, found = np.random.default_rng(0), gaps(model, X, n_points=2**17)
    assert np.all(found.approximation >= 0) and np.all(found.amortisation >= 0) and np.all(found.error < 1e-10)
    for x, best in zip(X, found.best_elbo):
        row = Row(model, x)
        _, out = best_out(row, row.out, NOISE_STEP)
        nearby = out + rng.normal(scale=0.03, size=(20, len(out)))
        assert np.all(exact_elbo(model, np.tile(x, (20, 1)), nearby).value < best)
    full = gaps(random_vae(11, 2, posterior="full", n_rows=2, **options)[0], X)
    assert np.all(full.log_px - full.best_elbo >= 0)


@pytest.mark.parametrize("posterior", ["diagonal", "full"])
def test_the_search_has_the_gradient_of_the_bound_and_ends_at_its_top(posterior, monkeypatch):
    model, X = random_vae(15, 2, posterior=posterior, likelihood="bernoulli", scale=1.2, n_rows=1)
    row, asked = Row(model, X[0]), []
    monkeypatch.setattr("scipy.optimize.minimize", lambda f, x0, **_: asked.append(f) or OptimizeResult(x=x0, fun=0))
    best_out(row, row.out, NOISE_STEP)
    value, grad = asked[0](np.zeros(len(row.out)))
    assert -value == pytest.approx(exact_elbo(model, X).value[0], abs=1e-3)
    shift = np.random.default_rng(0).normal(size=len(row.out)) / 3
    assert check_gradient(lambda at: asked[0](at)[0], lambda at: asked[0](at)[1], shift).ok
    monkeypatch.undo()
    best = gaps(model, X, n_points=2**17).best_elbo
    finer = best_out(row, best_out(row, row.out, NOISE_STEP)[1], NOISE_STEP / 2)[1]
    assert exact_elbo(model, X, finer[None], n_points=2**17).value == pytest.approx(best, abs=1e-10)


@pytest.mark.parametrize("q_mean", [-1.5, 0.0, 1.5])
def test_the_best_q_is_at_the_best_mode(q_mean):
    for tilt in (-0.5, 0.5):
        model, x = Folded(2, 0.01, tilt, q_mean=q_mean), np.array([1.7, 0.9])
        left_out = sum(logsumexp(model.modes(x_k)) - np.max(model.modes(x_k)) for x_k in x)
        assert gaps(model, x[None]).approximation[0] == pytest.approx(left_out, abs=1e-3)


def test_the_best_q_is_where_the_mass_is_and_not_at_the_highest_peak():
    hill, spike = 0.8 * stats.norm.pdf(1, 0, np.sqrt(1.25)), 0.2 * stats.norm.pdf(2, 0, np.sqrt(1.0001))
    found = gaps(Spike(1, None), np.zeros((1, 1)))
    assert found.log_px[0] == pytest.approx(np.log(hill + spike), abs=1e-11)
    assert found.approximation[0] == pytest.approx(np.log((hill + spike) / hill), abs=1e-5)


@pytest.mark.parametrize("posterior", [DiagonalGaussian(), FullGaussian()])
@pytest.mark.parametrize("K", [1, 2])
def test_one_gaussian_of_two_modes_loses_log_2(K, posterior):
    model, x = Folded(K, 0.01, posterior=posterior), np.array([[1.7, 0.9]])[:, :K]
    found = gaps(model, x)
    assert found.approximation[0] == pytest.approx(K * np.log(2), abs=1e-3)
    assert found.amortisation[0] > 1 and found.log_px[0] == pytest.approx(model.log_p(x[0]), abs=1e-10)


# ---- how it is called ------------------------------------------------------------------------------------------------


def test_workers_change_nothing():
    model, X = random_vae(12, 1, n_rows=5)
    for function in quadrature, exact_elbo, gaps:
        alone = function(model, X)
        for workers in (3, lambda f, tasks: [f(task) for task in tasks]):
            assert all(np.array_equal(a, b) for a, b in zip(alone, function(model, X, workers=workers)))
    assert np.array_equal(quadrature(model, X[2:3]).value, quadrature(model, X).value[2:3])


def test_grey_levels_are_made_binary_as_everywhere():
    model, X = random_vae(13, 1, D=6, likelihood="bernoulli", binarize=True)
    grey = np.random.default_rng(0).random((3, 6))
    threshold = np.random.default_rng(7).random(6)
    binary = (threshold < grey).astype(float)
    for function in quadrature, exact_elbo, gaps:
        assert np.array_equal(function(model, grey, rng=7)[0], function(model, binary)[0])
    assert true_posterior(model, grey[0], rng=7).log_px == quadrature(model, binary).value[0]


def test_what_is_refused():
    model, X = random_vae(14, 2)
    wide, _ = random_vae(14, 4)
    for function in quadrature, exact_elbo, gaps:
        with pytest.raises(ValueError, match="n_components of 1 to 3, got 4; use importance_sampling"):
            function(wide, X)
        with pytest.raises(ValueError, match="tol must be a finite number"):
            function(model, X, tol=-1)
        with pytest.raises(TypeError, match="n_points must be an integer"):
            function(model, X, n_points=1e4)
        with pytest.raises(ValueError, match="X has 3 features"):
            function(model, X[:, :3])
        with pytest.raises(TypeError, match="workers must be"):
            function(model, X, workers="two")
    for function in true_posterior, posterior_grid:
        with pytest.raises(ValueError, match=r"x must be one row, \(D,\), got shape \(3, 4\)"):
            function(model, X)
    with pytest.raises(ValueError, match="n must be an integer of at least 2"):
        posterior_grid(model, X[0], n=1)
    with pytest.raises(ValueError, match="expected 3, got 2"):
        exact_elbo(model, X, np.zeros((2, 4)))
    with pytest.raises(ValueError, match="out has 5 features"):
        exact_elbo(model, X, np.zeros((3, 5)))
