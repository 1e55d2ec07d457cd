"""PCA: the closed form against gradient descent, scikit-learn and the eigenvectors of the covariance."""
import numpy as np
import pytest
from scipy import linalg, optimize
from sklearn.decomposition import PCA as SklearnPCA

from tests.campaigns.gradients import complex_gradient
from tinyvae import PCA, Autoencoder, load_digits
from tinyvae.linear import pca_loss, pca_loss_dW

K = 5


@pytest.fixture(scope="module")
def digits():
    """Digits in raw grey levels, not centred; pixels that are always black are left out."""
    X = load_digits()[0]
    return X[:, X.std(axis=0) > 0]


@pytest.fixture(scope="module")
def centred(digits):
    return digits - digits.mean(axis=0)


# ---- the gradient   [PCA.1] ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("B, D, K", [(1, 1, 1), (1, 4, 2), (6, 5, 3), (3, 7, 7)])
def test_the_gradient_is_the_complex_step(B, D, K):
    rng = np.random.default_rng(0)
    W, x, w = rng.standard_normal((D, K)), rng.standard_normal((B, D)), rng.standard_normal(B)  # weights of either sign
    exact = complex_gradient(lambda theta: w @ pca_loss(theta.reshape(D, K), x), W.ravel()).reshape(D, K)
    analytic = pca_loss_dW(W, x, w)
    scale = np.max(np.abs(exact))
    assert np.max(np.abs(analytic - exact)) <= 1e-13 * scale
    h, r = x @ W, x - x @ W @ W.T
    for path in (-2 * (w[:, None] * r).T @ h, -2 * x.T @ (w[:, None] * (r @ W))):
        assert np.max(np.abs(analytic - path)) > 0.01 * scale               # as decoder alone, as encoder alone


def test_the_loss_is_a_number_a_row():
    rng = np.random.default_rng(1)
    W, x = rng.standard_normal((4, 2)), rng.standard_normal((3, 4))
    assert np.allclose(pca_loss(W, x), [np.sum((row - W @ (W.T @ row)) ** 2) for row in x], rtol=1e-14)


# ---- descent reaches the closed form   [PCA.2] -----------------------------------------------------------------------


def minimise(f, grad, theta):
    """L-BFGS until f shows nothing more, at an angle of √eps; then Newton steps, which go on by the gradient alone.

    Hessian-vector products are complex steps of the gradient.
    """
    def hessian_times(theta, v):
        return np.imag(grad(theta + 1e-30j * v)) / 1e-30

    near = optimize.minimize(f, theta, jac=grad, method="L-BFGS-B", options={"maxiter": 2000, "ftol": 0, "gtol": 1e-9})
    return optimize.minimize(f, near.x, jac=grad, hessp=hessian_times, method="Newton-CG",
                             options={"xtol": 1e-12, "maxiter": 5}).x


def condensed(X):
    """Few rows, ±R with X = QR, that have the same XᵀX / N: all that the loss of a linear autoencoder sees of X."""
    R = linalg.qr(X, mode="r")[0][:X.shape[1]] * np.sqrt(X.shape[1] / len(X))
    return np.concatenate([R, -R])


def descend(X, rng):
    """W that minimises the mean loss over the rows of X, from a random one."""
    X, D = condensed(X), X.shape[1]
    w = np.full(len(X), 1 / len(X))
    W = minimise(lambda t: w @ pca_loss(t.reshape(D, K), X), lambda t: pca_loss_dW(t.reshape(D, K), X, w).ravel(),
                 rng.standard_normal(D * K) / np.sqrt(D))
    return W.reshape(D, K)


def angle(A, B):
    return np.max(linalg.subspace_angles(A, B))


def test_gradient_training_svd_and_eigenvectors_agree(digits, centred):                                 # [PCA.2, PCA.3]
    W = descend(centred, np.random.default_rng(2))
    model = PCA(K).fit(digits)
    values, vectors = linalg.eigh(centred.T @ centred / len(centred))
    values, top = values[::-1], vectors[:, ::-1][:, :K]
    left_out = values[K:].sum()
    loss = np.mean(pca_loss(W, centred))
    assert loss == pytest.approx(left_out, rel=1e-12)
    assert model.eigenvalues_[K:].sum() == pytest.approx(left_out, rel=1e-12)
    assert np.mean(np.sum((digits - model.reconstruct(digits)) ** 2, axis=1)) == pytest.approx(left_out, rel=1e-12)
    assert angle(W, model.components_.T) <= 1e-6 and angle(W, top) <= 1e-6 and angle(model.components_.T, top) <= 1e-9
    assert np.max(np.abs(W.T @ W - np.eye(K))) <= 1e-6


def test_raw_data_leads_to_another_subspace(digits):                                                        # [PCA.E]
    W = descend(digits, np.random.default_rng(3))
    second_moment = linalg.svd(digits, full_matrices=False)[2][:K].T
    assert angle(W, second_moment) <= 1e-6 < 0.1 < angle(W, PCA(K).fit(digits).components_.T)


def test_any_eigenvectors_are_critical_and_only_the_leading_ones_a_minimum(centred):                        # [PCA.3]
    model = PCA(K + 2).fit(centred)
    w = np.full(len(centred), 1 / len(centred))
    for chosen, other in (([0, 1, 2, 3, 4], 5), ([0, 1, 2, 3, 5], 4), ([1, 2, 3, 4, 6], 0)):
        U = model.components_[chosen].T
        assert np.max(np.abs(pca_loss_dW(U, centred, w))) <= 1e-12
        V = np.outer(model.components_[other], np.eye(K)[-1])         # turn the last column towards another eigenvector
        curvature = np.sum(V * np.imag(pca_loss_dW(U + 1e-30j * V, centred, w)) / 1e-30)
        assert np.sign(curvature) == np.sign(other - chosen[-1])         # up if that one is worse, down if it is better


def test_a_tied_linear_autoencoder_is_pca(centred):                                                     # [PCA.1, PCA.2]
    model = Autoencoder(K, tied=True, activation="identity", hidden=(), n_epochs=0, random_state=0).fit(centred)
    X = condensed(centred)                                                  # centred, too, so that biases gain nothing

    def f(theta):
        P = model.params(theta)
        return model.mean_loss(P, model.forward(P, X))

    def grad(theta):
        P, g = model.params(theta), np.empty_like(theta)
        model.backward(P, model.forward(P, X), model.params(g))
        return g

    model.theta_[:] = minimise(f, grad, model.theta_)
    pca = PCA(K).fit(centred)
    assert model.loss_and_grad(centred)[0] == pytest.approx(pca.eigenvalues_[K:].sum(), rel=1e-12)
    assert angle(model.parameters_["encoder.0.W"], pca.components_.T) <= 1e-6
    assert np.allclose(model.reconstruct(centred), pca.reconstruct(centred), atol=1e-6)


def test_minibatch_training_comes_within_a_thousandth(centred):                                             # [PCA.2]
    model = Autoencoder(K, tied=True, activation="identity", hidden=(), batch_size=200, n_epochs=60, learning_rate=0.01,
                        random_state=0).fit(centred)
    assert model.loss_and_grad(centred)[0] == pytest.approx(PCA(K).fit(centred).eigenvalues_[K:].sum(), rel=1e-3)


# ---- the class -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(40, 6), (5, 9)], ids=["tall", "wide"])
def test_scikit_learns_pca_is_the_same(shape):
    X = np.random.default_rng(4).standard_normal(shape) * np.arange(1, shape[1] + 1) + 3
    ours, theirs = PCA(3).fit(X), SklearnPCA(3, svd_solver="full").fit(X)
    signs = np.sign(np.sum(ours.components_ * theirs.components_, axis=1))
    close = {"rtol": 1e-10, "atol": 1e-12}                                # eigenvectors: rounding over a gap of about 1
    assert np.allclose(ours.mean_, theirs.mean_, **close)
    assert np.allclose(ours.components_, signs[:, None] * theirs.components_, **close)
    assert np.allclose(ours.eigenvalues_[:3] * len(X) / (len(X) - 1), theirs.explained_variance_, **close)
    assert np.allclose(ours.transform(X), theirs.transform(X) * signs, **close)
    assert np.allclose(ours.reconstruct(X), theirs.inverse_transform(theirs.transform(X)), **close)
    assert ours.eigenvalues_.shape == (min(shape),) and np.all(np.diff(ours.eigenvalues_) <= 0)
    largest = np.argmax(np.abs(ours.components_), axis=1)
    assert np.all(ours.components_[np.arange(3), largest] > 0)
    assert np.allclose(ours.components_ @ ours.components_.T, np.eye(3), atol=1e-14)


def test_as_many_components_as_columns_lose_nothing(centred):
    X = centred[:200, :8]
    assert np.allclose(PCA(8).fit(X).reconstruct(X), X, atol=1e-13)
    with pytest.raises(ValueError, match=r"n_components must be at most min\(N, D\) = 8"):
        PCA(9).fit(X)


def test_float32_stays_float32():
    X = np.random.default_rng(5).standard_normal((30, 4)).astype(np.float32)
    model = PCA(2).fit(X)
    results = model.mean_, model.components_, model.transform(X), model.reconstruct(X)
    assert {array.dtype for array in results} == {np.dtype("float32")}
    assert np.allclose(model.reconstruct(X), PCA(2).fit(X.astype(float)).reconstruct(X), atol=1e-5)
    assert PCA(2).fit(np.arange(12).reshape(4, 3) ** 2).components_.dtype == np.float64
