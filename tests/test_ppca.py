"""Probabilistic PCA: its density against SciPy's, its derivatives against complex steps, three ways to one maximum."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats
from sklearn.decomposition import PCA as SklearnPCA

from tests.campaigns.gradients import complex_gradient
from tinyvae import PCA, ProbabilisticPCA, check_gradient, load_digits
from tinyvae.linear import ppca_em_step, ppca_log_prob, ppca_log_prob_d, ppca_posterior

SHAPES = [(1, 1, 1), (6, 5, 2), (4, 7, 6), (3, 3, 3), (5, 2, 4)]           # B, D, K; the last with more z than x
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
each_method = pytest.mark.parametrize("method", ["closed_form", "em"])


def random_model(shape, seed=0):
    """Rows, and a mean, W and σ² that they were not drawn from."""
    B, D, K = shape
    rng = np.random.default_rng(seed)
    return 2 * rng.standard_normal((B, D)), rng.standard_normal(D), rng.standard_normal((D, K)), rng.uniform(0.3, 2)


def covariance(W, variance):
    return W @ W.T + variance * np.eye(len(W))


@pytest.fixture(scope="module")
def digits():
    return load_digits()[0][::3]


@pytest.fixture(scope="module")
def gapped():
    """Rows whose covariance has the eigenvalues 9, 4 and, thrice, about 1/4, and a mean far from 0."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((200, 5)) @ np.diag([3, 2, 0.5, 0.5, 0.5])
    return x @ stats.ortho_group.rvs(5, random_state=2) + np.arange(5) * 10


# ---- the density and its derivatives   [LV.7] ------------------------------------------------------------------------


@each_shape
def test_the_density_is_scipys(shape):
    x, mean, W, variance = random_model(shape)
    exact = stats.multivariate_normal(mean, covariance(W, variance)).logpdf(x)
    assert np.allclose(ppca_log_prob(x, mean, W, variance), exact, rtol=1e-12)


def test_nothing_cancels_where_the_noise_is_small():
    W, variance = np.array([[1e3, 0], [0, 1], [0, 0], [0, 0]]), 1e-12       # four independent coordinates
    x = np.random.default_rng(3).standard_normal((8, 4)) * [1e3, 1, 1e-6, 1e-6]
    exact = stats.norm(scale=np.sqrt([1e6 + variance, 1 + variance, variance, variance])).logpdf(x).sum(axis=1)
    assert np.allclose(ppca_log_prob(x, 0, W, variance), exact, rtol=1e-12)


@each_shape
def test_every_z_gives_bayes_rule_the_same_density(shape):                                                  # [LV.9]
    x, mean, W, variance = random_model(shape)
    z_mean, S = ppca_posterior(x, mean, W, variance)
    normal, noise = stats.multivariate_normal, variance * np.eye(shape[1])
    for row, row_mean, log_px in zip(x, z_mean, ppca_log_prob(x, mean, W, variance)):
        for z in np.random.default_rng(4).standard_normal((3, shape[2])):
            joint = normal.logpdf(row, mean + W @ z, noise) + normal.logpdf(z, np.zeros(shape[2]))
            assert joint - normal.logpdf(z, row_mean, S) == pytest.approx(log_px, rel=1e-11)


def test_the_posterior_is_prior_times_likelihood_on_a_grid(gapped):
    model = ProbabilisticPCA(2).fit(gapped)
    means, S = model.posterior(gapped[:3])
    for x, mean in zip(gapped, means):
        axes = [m + 9 * np.sqrt(s) * np.linspace(-1, 1, 161) for m, s in zip(mean, np.diag(S))]
        z = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
        log_joint = stats.norm.logpdf(z).sum(axis=1)
        log_joint += stats.norm(model.mean_ + z @ model.W_.T, np.sqrt(model.noise_variance_)).logpdf(x).sum(axis=1)
        mass = np.exp(log_joint - log_joint.max())
        mass /= mass.sum()
        assert np.allclose(mass @ z, mean, rtol=0, atol=1e-12)
        assert np.allclose((z - mean).T @ (mass[:, None] * (z - mean)), S, rtol=0, atol=1e-12)


@each_shape
def test_the_derivatives_are_the_complex_step(shape):
    (x, mean, W, variance), (B, D, K) = random_model(shape), shape
    w = np.random.default_rng(5).standard_normal(B)                         # weights of either sign
    theta = np.concatenate([mean, W.ravel(), [variance]])

    def parts(theta):
        return theta[:D], theta[D:-1].reshape(D, K), theta[-1]

    def f(theta):
        return w @ ppca_log_prob(x, *parts(theta))

    def gradient(theta):
        return np.concatenate([np.ravel(part) for part in ppca_log_prob_d(x, *parts(theta), w)])

    exact = parts(complex_gradient(f, theta))
    for analytic, block in zip(ppca_log_prob_d(x, mean, W, variance, w), exact):
        assert np.shape(analytic) == np.shape(block)
        assert np.max(np.abs(analytic - block)) <= 1e-13 * np.max(np.abs(exact[1]))
    assert check_gradient(f, gradient, theta, rng=0).ok                     # by differences: the steps were safe


# ---- the closed form is the maximum   [LV.7] -------------------------------------------------------------------------


@each_method
def test_the_gradient_is_zero_at_the_fit(method, gapped, digits):
    for X, K in ((gapped, 2), (digits, 5)):
        model = ProbabilisticPCA(K, method, tol=1e-12, max_iter=5000, random_state=0).fit(X)
        w = np.full(len(X), 1 / len(X))
        for by_part in ppca_log_prob_d(X, model.mean_, model.W_, model.noise_variance_, w):
            assert np.max(np.abs(by_part)) < 1e-10
        by_W = ppca_log_prob_d(X, model.mean_, 1.01 * model.W_, model.noise_variance_, w)[1]
        assert np.max(np.abs(by_W)) > 1e-3


@given(seed=st.integers(0, 2**32), log_size=st.floats(-3, 0))
def test_no_other_parameters_are_as_likely(seed, log_size):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((20, 4)) @ rng.standard_normal((4, 4)) + 5
    model = ProbabilisticPCA(2).fit(X)
    best, size = model.score(X), 10**log_size
    model.mean_ = model.mean_ + size * rng.standard_normal(4)
    model.W_ = model.W_ + size * rng.standard_normal((4, 2))
    model.noise_variance_ *= np.exp(size * rng.standard_normal())
    assert model.score(X) < best


def test_gradient_ascent_arrives_at_the_closed_form(digits):
    K, X = 3, digits[:, 18:46]
    x, D, w = X - X.mean(axis=0), 28, np.full(len(X), 1 / len(X))

    def loss_and_grad(theta):
        W, variance = theta[:-1].reshape(D, K), np.exp(theta[-1])
        _, dW, d_variance = ppca_log_prob_d(x, 0, W, variance, w)
        return -w @ ppca_log_prob(x, 0, W, variance), -np.append(dW.ravel(), d_variance * variance)

    start = np.append(np.random.default_rng(6).standard_normal(D * K) / 4, 0)
    end = optimize.minimize(loss_and_grad, start, jac=True, method="L-BFGS-B",
                            options={"maxiter": 5000, "ftol": 0, "gtol": 1e-9})
    model, W = ProbabilisticPCA(K).fit(X), end.x[:-1].reshape(D, K)
    assert -end.fun == pytest.approx(model.score(X), abs=1e-10)
    assert np.exp(end.x[-1]) == pytest.approx(model.noise_variance_, rel=1e-6)
    assert np.allclose(W @ W.T, model.W_ @ model.W_.T, rtol=0, atol=1e-6)


def test_the_covariance_is_that_of_the_data_along_the_axes_and_on_average_elsewhere(gapped):
    model, pca = ProbabilisticPCA(2).fit(gapped), PCA(5).fit(gapped)
    left = pca.eigenvalues_[2:].mean()
    values, vectors = np.linalg.eigh(covariance(model.W_, model.noise_variance_))
    assert np.allclose(values[::-1], [*pca.eigenvalues_[:2], left, left, left], rtol=1e-12)
    assert np.allclose(np.abs(vectors[:, :2:-1].T @ pca.components_[:2].T), np.eye(2), atol=1e-12)
    assert np.allclose(model.mean_, gapped.mean(axis=0), rtol=1e-14)


@pytest.mark.parametrize("shape", [(40, 6), (5, 9), (300, 4)], ids=str)
def test_scikit_learns_likelihood_is_the_same(shape):
    N, D = shape
    X = np.random.default_rng(7).standard_normal(shape) * np.arange(1, D + 1) + 3
    ours, theirs = ProbabilisticPCA(2).fit(X), SklearnPCA(2, svd_solver="full").fit(X)
    if N > D:                                                   # else its noise is a mean over the N directions it has
        ratio = (N - 1) / N                                     # its covariance is 1/(N − 1)
        assert ours.noise_variance_ == pytest.approx(theirs.noise_variance_ * ratio, rel=1e-12)
        assert np.allclose(covariance(ours.W_, ours.noise_variance_), theirs.get_covariance() * ratio, atol=1e-12)
    ours.W_ = theirs.components_.T * np.sqrt(theirs.explained_variance_ - theirs.noise_variance_)
    ours.noise_variance_ = theirs.noise_variance_
    assert np.allclose(ours.score_samples(X), theirs.score_samples(X), rtol=0, atol=1e-10)
    assert ours.score(X) == pytest.approx(theirs.score(X), abs=1e-10)


# ---- EM   [LV.7] -----------------------------------------------------------------------------------------------------


def test_em_arrives_at_the_closed_form(gapped, digits):
    for X, K in ((gapped, 1), (gapped, 2), (digits, 2), (digits, 10)):
        exact = ProbabilisticPCA(K).fit(X)
        for seed in range(2):
            model = ProbabilisticPCA(K, "em", tol=1e-12, max_iter=5000, random_state=seed).fit(X)
            assert model.score(X) == pytest.approx(exact.score(X), abs=1e-10)
            assert model.noise_variance_ == pytest.approx(exact.noise_variance_, abs=1e-10)
            assert np.allclose(model.W_ @ model.W_.T, exact.W_ @ exact.W_.T, rtol=0, atol=1e-10)
            assert np.allclose(model.W_, exact.W_, rtol=0, atol=1e-10)      # the same rotation, the same signs
            assert model.history_["log_likelihood"][-1] == pytest.approx(exact.score(X), abs=1e-10)


@given(seed=st.integers(0, 2**32), N=st.integers(2, 30), D=st.integers(1, 8), K=st.integers(1, 4),
       log_variance=st.floats(-6, 4))
def test_no_step_of_em_lowers_the_likelihood(seed, N, D, K, log_variance):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((N, D)) @ (rng.standard_normal((D, D)) * 10 ** rng.uniform(-1, 1, D))
    W, variance = rng.standard_normal((D, K)), np.exp(log_variance)
    before = np.mean(ppca_log_prob(x, 0, W, variance))
    for _ in range(4):
        W, variance = ppca_em_step(x, W, variance)
        if variance < 1e-9 * np.mean(x * x):                    # on its way to an infinite likelihood: N or D ≤ K
            return
        after = np.mean(ppca_log_prob(x, 0, W, variance))
        assert after >= before - 1e-10 * abs(before)
        before = after


def test_a_step_of_em_maximises_the_expected_joint_density():
    x, _, W, variance = random_model((30, 4, 2))
    z, S = ppca_posterior(x, 0, W, variance)
    points = z + np.sqrt(2) * np.concatenate([np.linalg.cholesky(S).T, -np.linalg.cholesky(S).T])[:, None]
    assert np.allclose(points.mean(axis=0), z) and np.allclose(np.cov(points[:, 0].T, bias=True), S)

    def expected_log_joint(theta):                              # quadratic in z: exact at points of the right moments
        W, variance = theta[:-1].reshape(4, 2), theta[-1]
        squares = np.sum((x - points @ W.T) ** 2, axis=2)
        return np.mean(-squares / variance - 4 * np.log(variance)) / 2

    W_new, variance_new = ppca_em_step(x, W, variance)
    slope = complex_gradient(expected_log_joint, np.append(W_new.ravel(), variance_new))
    assert np.max(np.abs(slope)) < 1e-12
    assert np.max(np.abs(complex_gradient(expected_log_joint, np.append(W.ravel(), variance)))) > 0.1


def test_the_history_of_em_rises_and_tol_says_when_it_ends(digits):
    exact, distances, counts = ProbabilisticPCA(3).fit(digits), [], []
    tols = np.array([1e-2, 1e-4, 1e-6, 1e-8, 1e-10])
    for tol in tols:
        model = ProbabilisticPCA(3, "em", tol=tol, random_state=0).fit(digits)
        history = model.history_["log_likelihood"]
        assert list(model.history_) == ["log_likelihood"] and len(history) == model.n_iter_
        assert np.all(np.diff(history) >= -1e-12) and history[0] < history[-1] - 1
        assert history[-1] == pytest.approx(model.score(digits), abs=1e-12)
        distances.append(np.max(np.abs(model.W_ - exact.W_)) / np.max(np.abs(exact.W_)))
        counts.append(model.n_iter_)
    assert np.all(distances < 2 * tols) and np.all(distances > tols / 10)
    assert np.all(np.diff(counts) > 0)


def test_em_says_when_it_has_not_converged(digits):
    with pytest.warns(UserWarning, match=r"EM has not converged after max_iter=3 .* wrong by .* tol=1e-06") as caught:
        model = ProbabilisticPCA(2, "em", max_iter=3, random_state=0).fit(digits)
    assert model.n_iter_ == len(model.history_["log_likelihood"]) == 3 and caught[0].filename == __file__
    assert ProbabilisticPCA(2).fit(digits).n_iter_ == 1


def test_em_starts_where_random_state_says(digits):
    def first(seed):
        with pytest.warns(UserWarning):
            return ProbabilisticPCA(2, "em", max_iter=1, random_state=seed).fit(digits).history_
    assert first(0) == first(np.random.default_rng(0)) != first(1)


# ---- the class -------------------------------------------------------------------------------------------------------


@each_method
def test_the_columns_of_W_have_one_order_and_one_sign(method, digits):
    W = ProbabilisticPCA(6, method, random_state=3).fit(digits).W_
    gram = W.T @ W
    assert np.allclose(gram, np.diag(np.diag(gram)), atol=1e-12) and np.all(np.diff(np.diag(gram)) < 0)
    assert np.all(W[np.argmax(np.abs(W), axis=0), range(6)] > 0)


def test_a_reconstruction_is_drawn_towards_the_mean(digits):
    model, pca = ProbabilisticPCA(4).fit(digits), PCA(4).fit(digits)
    kept = 1 - model.noise_variance_ / pca.eigenvalues_[:4]
    expected = pca.inverse_transform(pca.transform(digits) * kept)
    assert np.allclose(model.reconstruct(digits), expected, rtol=0, atol=1e-12)
    assert np.array_equal(model.transform(digits), model.posterior(digits)[0])
    assert np.allclose(model.inverse_transform(np.zeros((1, 4))), digits.mean(axis=0))


def test_samples_have_the_moments_of_the_model(gapped):
    model, n = ProbabilisticPCA(2, random_state=8).fit(gapped), 100_000
    x = model.sample(n)
    exact = covariance(model.W_, model.noise_variance_)
    assert np.all(np.abs(x.mean(axis=0) - model.mean_) < 5 * np.sqrt(np.diag(exact) / n))
    centred = x - model.mean_
    products = centred[:, :, None] * centred[:, None, :]
    assert np.all(np.abs(products.mean(axis=0) - exact) < 5 * products.std(axis=0) / np.sqrt(n))
    assert model.score(x) == pytest.approx(-stats.multivariate_normal(cov=exact).entropy(), abs=5 * np.sqrt(2.5 / n))
    assert np.array_equal(model.sample(3), model.sample(3)) and model.sample().shape == (1, 5)
    assert not np.allclose(model.sample(3, 1), model.sample(3, 2))


@pytest.mark.parametrize("shape", [(6, 9), (4, 30)], ids=str)
def test_fewer_rows_than_columns(shape):
    X = np.random.default_rng(9).standard_normal(shape)
    model = ProbabilisticPCA(2).fit(X)
    exact = stats.multivariate_normal(model.mean_, covariance(model.W_, model.noise_variance_)).logpdf(X)
    assert np.allclose(model.score_samples(X), exact, rtol=1e-12)
    values = PCA(2).fit(X).eigenvalues_
    assert model.noise_variance_ == pytest.approx(values[2:].sum() / (shape[1] - 2), rel=1e-12)    # the absent ones too
    em = ProbabilisticPCA(2, "em", tol=1e-12, max_iter=10_000, random_state=0).fit(X)
    assert np.allclose(em.W_, model.W_, atol=1e-8) and em.noise_variance_ == pytest.approx(model.noise_variance_)


@each_method
def test_constant_columns_and_large_means_do_no_harm(method, gapped):
    X = np.column_stack([gapped + 1e6, np.full(len(gapped), 3.0)])
    model = ProbabilisticPCA(2, method, tol=1e-10, random_state=0).fit(X)
    plain = ProbabilisticPCA(2).fit(np.column_stack([gapped, np.zeros(len(gapped))]))
    assert np.max(np.abs(model.W_[5])) < 1e-8 and np.allclose(model.W_, plain.W_, rtol=0, atol=1e-7)
    moved = X - np.append(np.full(5, 1e6), 3)
    assert np.allclose(model.score_samples(X), plain.score_samples(moved), rtol=0, atol=1e-6)


def test_equal_eigenvalues_leave_nothing_for_W():
    for size in range(1, 50):                                   # in rounding, each may be less than their mean
        model = ProbabilisticPCA(2).fit(size * np.concatenate([np.eye(5), -np.eye(5)]))
        assert np.max(np.abs(model.W_)) < 1e-7 * size and model.noise_variance_ == pytest.approx(size ** 2 / 5)


@each_method
def test_float32_is_computed_in_float64_and_stays_float32(method, gapped):
    X = gapped.astype(np.float32)
    model, wide = (ProbabilisticPCA(2, method, random_state=0).fit(Y) for Y in (X, X.astype(float)))
    results = (model.mean_, model.W_, *model.posterior(X), model.transform(X), model.reconstruct(X), model.sample(2))
    assert {array.dtype for array in results} == {np.dtype("float32")}
    assert np.array_equal(model.W_, wide.W_.astype(np.float32)) and model.noise_variance_ == wide.noise_variance_
    W, scores = model.W_.astype(float), model.score_samples(X)
    exact = stats.multivariate_normal(model.mean_.astype(float), covariance(W, model.noise_variance_)).logpdf(X)
    assert scores.dtype == np.float64 and np.allclose(scores, exact, rtol=1e-12)
    assert np.allclose(scores, wide.score_samples(X), atol=1e-4)            # mean and W are rounded to 24 bits


@each_method
@pytest.mark.parametrize("given", ["float16", "longdouble", "int16", "uint8", "list"])
def test_all_other_numbers_become_float64(method, given, gapped):
    X = np.round(100 + 10 * (gapped - gapped[0]))
    model, same = (ProbabilisticPCA(2, method, random_state=0) for _ in range(2))
    Y = X.tolist() if given == "list" else X.astype(given)
    scores, expected = model.fit(Y).score_samples(Y), same.fit(X).score_samples(X)
    assert model.W_.dtype == model.transform(Y).dtype == scores.dtype == np.float64
    assert np.allclose(scores, expected, rtol=1e-13)
