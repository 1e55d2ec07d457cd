"""The Gaussian with a full covariance: density, entropy, KL and sampler are views of one law, which SciPy knows by Σ.

Where the library solves by rows of L, the oracles here factorise, invert or diagonalise Σ, or integrate. Parameters are
tame: logvar within ±1.5 and L_kj within ±1 keep the condition of Σ, to which all of them lose digits, below some 1e4.
"""
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import linalg, stats

from tests.test_distributions import Nodes
from tests.test_ops import assert_close, assert_vjp_is_the_complex_step, size, vjp
from tinyvae.distributions import DiagonalGaussian, DiagonalGaussianLikelihood, StandardNormal
from tinyvae.full_gaussian import FullGaussian, FullGaussianLikelihood
from tinyvae.ops import Op

prior, diagonal, full, likelihood = StandardNormal(), DiagonalGaussian(), FullGaussian(), FullGaussianLikelihood()
SIZES = {"B": st.integers(1, 5), "K": st.integers(1, 6), "seed": st.integers(0, 2**32 - 1)}
problems = given(**SIZES)


def random_out(rng, B, K):
    lower = rng.uniform(-1, 1, size=(B, K * (K - 1) // 2))
    return np.concatenate([rng.normal(size=(B, K)), rng.uniform(-1.5, 1.5, size=(B, K)), lower], axis=1)


def unpacked(out):
    """Means (B, K) and L (B, K, K), column by column: all means, all log-variances, then L_10, L_20, L_21, L_30, …"""
    K = next(K for K in range(1, 99) if K * (K + 3) == 2 * out.shape[1])
    columns, L = iter(out.T), np.zeros((len(out), K, K))
    mean = np.stack([next(columns) for _ in range(K)], axis=1)
    for k in range(K):
        L[:, k, k] = np.sqrt(np.exp(next(columns)))
    for k in range(K):
        for j in range(k):
            L[:, k, j] = next(columns)
    return mean, L


def laws(out):
    """Mean, L and Σ of every row."""
    return [(mean, L, L @ L.T) for mean, L in zip(*unpacked(out))]


# ---- derivatives: the complex step in a random direction, under random weights ---------------------------------------
# F = K (K + 3) / 2. Scales: 0.01; 1; and 4, where exp(logvar) reaches e^±15.

TABLE = {
    "draw": Op(full.draw, lambda dz, z, out, eps: (full.draw_d(dz, out, eps),), ("BF", "BK")),
    "kl": Op(full.kl, lambda w, y, out: (full.kl_d(out, w),), ("BF",)),
    "kl_between": Op(full.kl_between, lambda w, y, out, other: full.kl_between_d(out, other, w), ("BF", "BF")),
    "log_prob": Op(full.log_prob, lambda w, y, z, out: full.log_prob_d(z, out, w), ("BK", "BF")),
    "entropy": Op(full.entropy, lambda w, y, out: (full.entropy_d(out, w),), ("BF",)),
    "likelihood": Op(lambda out, x: likelihood.log_prob(x, out),
                     lambda w, y, out, x: (likelihood.log_prob_d(x, out, w),), ("BF", "BK")),
}
over_the_table = pytest.mark.parametrize("name", TABLE)


def random_problem(case, B, K, scale, seed, dtype=np.float64):
    """(rng, inputs, cotangent)"""
    sizes, rng = {"B": B, "K": K, "F": K * (K + 3) // 2}, np.random.default_rng(seed)
    inputs = [(scale * rng.normal(size=[sizes[letter] for letter in shape])).astype(dtype) for shape in case.shapes]
    return rng, inputs, rng.normal(size=case.f(*inputs).shape).astype(dtype)


def test_the_table_lists_every_derivative():
    methods = {name.removesuffix("_d") for name in vars(FullGaussian) if name.endswith("_d")}
    assert methods == TABLE.keys() - {"likelihood"}


@over_the_table
@given(**SIZES, scale=st.sampled_from([0.01, 1.0, 4.0]))
def test_vjp_is_the_complex_step(name, B, K, seed, scale):                                        # [RP.2, KL.5, LV.6]
    assert_vjp_is_the_complex_step(TABLE[name], *random_problem(TABLE[name], B, K, scale, seed))


@over_the_table
@given(**SIZES, scale=st.sampled_from([0.01, 1.0]))
def test_float32_stays_float32_and_nothing_given_is_changed(name, B, K, seed, scale):
    case = TABLE[name]
    _, inputs, dy = random_problem(case, B, K, scale, seed, np.float32)
    before = [a.copy() for a in (*inputs, dy)]
    results = [case.f(*inputs), *vjp(case, dy, inputs)]
    for given_, copy in zip((*inputs, dy), before):
        np.testing.assert_array_equal(given_, copy)
    double, dy64 = [a.astype(np.float64) for a in inputs], dy.astype(np.float64)
    for single, exact in zip(results, [case.f(*double), *vjp(case, dy64, double)]):
        assert_close(single, exact.astype(np.float32), 1 + size(dy) + size(*inputs))


# ---- what an output says ---------------------------------------------------------------------------------------------


@problems
def test_an_output_is_a_mean_and_a_triangle(B, K, seed):
    out = random_out(np.random.default_rng(seed), B, K)
    mu, logvar, lower = full.split(out)
    assert out.shape[1] == full.n_outputs(K) == likelihood.n_outputs(K) and mu.shape == logvar.shape == (B, K)
    assert np.shares_memory(mu, out) and np.shares_memory(logvar, out) and (K == 1 or np.shares_memory(lower, out))
    mean, L = unpacked(out)
    np.testing.assert_allclose(full.factor(out), L, rtol=1e-15)
    given_mean, covariance = full.mean_and_variance(out)
    np.testing.assert_array_equal(given_mean, mean)
    np.testing.assert_allclose(covariance, [L @ L.T for L in L], rtol=1e-14, atol=1e-15)
    assert {a.dtype for a in full.mean_and_variance(out.astype(np.float32))} == {np.dtype("float32")}


@problems
def test_every_covariance_is_an_output(B, K, seed):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(B, K, K + 3))
    covariance, mean = A @ A.swapaxes(1, 2), rng.normal(size=(B, K))
    L = np.linalg.cholesky(covariance)
    below = np.array([[L_b[k, j] for k in range(K) for j in range(k)] for L_b in L]).reshape(B, -1)
    out = np.concatenate([mean, 2 * np.log(np.diagonal(L, axis1=1, axis2=2)), below], axis=1)
    for got, want in zip(full.mean_and_variance(out), (mean, covariance)):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-13 * np.max(np.abs(want)))


@problems
def test_with_nothing_below_the_diagonal_it_is_the_diagonal_gaussian(B, K, seed):
    rng = np.random.default_rng(seed)
    out, eps, w = random_out(rng, B, K), rng.normal(size=(B, K)), rng.normal(size=B)
    out[:, 2 * K:] = 0
    narrow = out[:, :2 * K].copy()
    z, x = diagonal.draw(narrow, eps), rng.normal(size=(B, K))
    for got, want in [(full.draw(out, eps), z), (full.kl(out), diagonal.kl(narrow)),
                      (full.kl_by_dimension(out), diagonal.kl_by_dimension(narrow)),
                      (full.log_prob(z, out), diagonal.log_prob(z, narrow)),
                      (full.entropy(out), diagonal.entropy(narrow)),
                      (full.draw_d(x, out, eps)[:, :2 * K], diagonal.draw_d(x, narrow, eps)),
                      (full.kl_d(out, w), np.pad(diagonal.kl_d(narrow, w), [(0, 0), (0, out.shape[1] - 2 * K)])),
                      (full.log_prob_d(z, out, w)[0], diagonal.log_prob_d(z, narrow, w)[0]),
                      (full.log_prob_d(z, out, w)[1][:, :2 * K], diagonal.log_prob_d(z, narrow, w)[1]),
                      (likelihood.log_prob(x, out), DiagonalGaussianLikelihood().log_prob(x, narrow))]:
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)


# ---- density, entropy, KL: against SciPy and integrals ---------------------------------------------------------------


@problems
def test_density_and_entropy_against_scipy(B, K, seed):                                                       # [LV.6]
    rng = np.random.default_rng(seed)
    out, z = random_out(rng, B, K), 2 * rng.normal(size=(B, K))
    for row, z_b, (mean, L, covariance) in zip(out[:, None], z[:, None], laws(out)):
        law, digits = stats.multivariate_normal(mean, covariance), 1e-15 * np.linalg.cond(covariance)
        assert full.entropy(row)[0] == pytest.approx(law.entropy(), rel=1e-12, abs=1e-13 + digits)
        for method in (full.log_prob, likelihood.log_prob):
            assert method(z_b, row)[0] == pytest.approx(law.logpdf(z_b), rel=1e-13 + digits, abs=1e-13)
        u = linalg.solve_triangular(L, z_b[0] - mean, lower=True)                           # to a dozen digits, always
        want = stats.norm.logpdf(u).sum() - np.log(np.diag(L)).sum()
        assert full.log_prob(z_b, row)[0] == pytest.approx(want, rel=1e-12, abs=1e-13)


def kl_by_traces(q, p):
    (m0, _, S0), (m1, _, S1) = q, p
    inverse, delta = np.linalg.inv(S1), m1 - m0
    return (np.trace(inverse @ S0) + delta @ inverse @ delta - len(m0)
            + np.linalg.slogdet(S1)[1] - np.linalg.slogdet(S0)[1]) / 2


def kl_by_solves(q, p):
    (m0, L0, _), (m1, L1, _) = q, p
    M = linalg.solve_triangular(L1, np.column_stack([L0, m1 - m0]), lower=True)
    return (linalg.norm(M)**2 - len(m0)) / 2 + np.log(np.diag(L1) / np.diag(L0)).sum()


def kl_by_eigenvalues(q, p):
    """Σ₀ v = λ Σ₁ v with Vᵀ Σ₁ V = I: one-dimensional KLs along the v."""
    (m0, _, S0), (m1, _, S1) = q, p
    values, V = linalg.eigh(S0, S1)
    return np.sum(values - 1 - np.log(values) + (V.T @ (m1 - m0))**2) / 2


def hermite(K):
    """Nodes (3^K, K) and weights: means of polynomials of ε up to degree 5 are exact."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    grid = np.stack(np.meshgrid(*K * [nodes], indexing="ij"), axis=-1).reshape(-1, K)
    return grid, np.prod(np.stack(np.meshgrid(*K * [weights / weights.sum()])), axis=0).ravel()


def kl_by_integral(q, p):
    """E_q log q − log p, a polynomial of z."""
    (m0, _, S0), (m1, _, S1) = q, p
    values, V = linalg.eigh(S0)
    eps, weights = hermite(len(m0))
    z = m0 + eps * np.sqrt(values) @ V.T
    return weights @ (stats.multivariate_normal(m0, S0).logpdf(z) - stats.multivariate_normal(m1, S1).logpdf(z))


@problems
def test_kl_between_two_by_four_routes(B, K, seed):                                                            # [KL.5]
    rng = np.random.default_rng(seed)
    out, other = random_out(rng, B, K), random_out(rng, B, K)
    routes = [kl_by_traces, kl_by_solves, kl_by_eigenvalues] + ([kl_by_integral] if K <= 3 else [])
    for kl, q, p in zip(full.kl_between(out, other), laws(out), laws(other)):
        rounding = 1e-12 + 1e-15 * max(np.linalg.cond(S) for S in (q[2], p[2]))                # all four factorise Σ
        for route in routes:
            assert kl == pytest.approx(route(q, p), rel=rounding, abs=rounding), route


@problems
def test_kl_to_the_prior_is_the_kl_to_a_standard_normal(B, K, seed):                                    # [KL.5, EL.3]
    out = random_out(np.random.default_rng(seed), B, K)
    kl, terms = full.kl(out), full.kl_by_dimension(out)
    np.testing.assert_allclose(kl, full.kl_between(out, 0 * out), rtol=1e-13)
    np.testing.assert_allclose(kl, [kl_by_traces(q, p) for q, p in zip(laws(out), laws(0 * out))], rtol=1e-12)
    assert terms.shape == (B, K) and np.all(terms >= 0)
    np.testing.assert_allclose(terms.sum(axis=1), kl, rtol=1e-14)


@given(**SIZES, dtype=st.sampled_from([np.float32, np.float64]), exponent=st.integers(1, 4))
@example(B=4, K=3, seed=0, dtype=np.float32, exponent=4)
def test_kl_is_positive_and_zero_for_equals_alone(B, K, seed, dtype, exponent):                         # [KL.3, KL.4]
    """For two that all but agree, too, where KL is as small as h²: of M's entries, as small as h, eps / h is lost."""
    rng = np.random.default_rng(seed)
    out = random_out(rng, B, K).astype(dtype)
    assert not full.kl_between(out, out).any() and not full.kl(0 * out).any()
    h = 10.0**-exponent
    moved = out + (h * rng.normal(size=out.shape)).astype(dtype)
    kl = full.kl_between(out, moved)
    assert kl.dtype == dtype and np.all(kl > 0)
    exact = full.kl_between(out.astype(np.longdouble), moved.astype(np.longdouble))
    np.testing.assert_allclose(kl, exact, rtol=100 * np.finfo(dtype).eps / h)


def test_kl_by_dimension_is_the_chain_rule():                                                                 # [EL.3]
    """E KL(q(z_2|z_1) ‖ p(z_2)) over q(z_1), the conditional law from Σ by textbook, the integrals by trapezoid."""
    for row in random_out(np.random.default_rng(3), 5, 2):
        (mean, _, S), terms = laws(row[None])[0], full.kl_by_dimension(row[None])[0]
        z1 = stats.norm(mean[0], np.sqrt(S[0, 0]))
        eps, step = np.linspace(-9, 9, 61, retstep=True)
        expected = [kl_by_trapezoid(mean[0], z1.std())]
        at, sd = mean[0] + eps * z1.std(), np.sqrt(S[1, 1] - S[0, 1]**2 / S[0, 0])
        inner = [kl_by_trapezoid(mean[1] + S[0, 1] / S[0, 0] * (z - mean[0]), sd) for z in at]
        expected.append(np.sum(stats.norm.pdf(eps) * inner) * step)
        np.testing.assert_allclose(terms, expected, rtol=1e-11)


def kl_by_trapezoid(mean, sd):
    z, step = np.linspace(mean - 12 * sd, mean + 12 * sd, 201, retstep=True)
    q = stats.norm(mean, sd)
    return np.sum(q.pdf(z) * (q.logpdf(z) - stats.norm.logpdf(z))) * step


# ---- the sampler -----------------------------------------------------------------------------------------------------


@problems
def test_draws_have_the_law_that_density_entropy_and_kl_speak_of(B, K, seed):                                 # [RP.1]
    """By points whose means of quadratics are exact: 2K points ±√K e_k, and for few dimensions Gauss–Hermite's, too."""
    rows = random_out(np.random.default_rng(seed), B, K)
    points = np.sqrt(K) * np.concatenate([np.eye(K), -np.eye(K)]), np.full(2 * K, 1 / (2 * K))
    for row, (mean, _, S) in zip(rows, laws(rows)):
        for eps, weights in [points, hermite(K)] if K <= 3 else [points]:
            out = np.repeat(row[None], len(eps), axis=0)
            z = full.draw(out, eps)
            np.testing.assert_array_equal(z, likelihood.sample(out, Nodes(eps)))
            np.testing.assert_allclose(weights @ z, mean, rtol=0, atol=1e-13)
            np.testing.assert_allclose((z - mean).T * weights @ (z - mean), S, rtol=0, atol=1e-13 * S.max())
            log_q = full.log_prob(z, out)
            assert weights @ -log_q == pytest.approx(full.entropy(out)[0], abs=1e-11)
            assert weights @ (log_q - prior.log_prob(z)) == pytest.approx(full.kl(out)[0], rel=1e-12, abs=1e-11)


@problems
def test_draw_carries_the_density_of_eps_to_that_of_z(B, K, seed):
    """z is affine in ε, with no z_k of a later ε; log q(z) + Σ log dz_k/dε_k = log N(ε; 0, I), row by row."""
    rng = np.random.default_rng(seed)
    out, eps = random_out(rng, B, K), rng.normal(size=(B, K))
    origin = full.draw(out, 0 * eps)
    jacobian = np.stack([full.draw(out, 0 * eps + e) - origin for e in np.eye(K)], axis=2)
    np.testing.assert_allclose(jacobian, unpacked(out)[1], rtol=0, atol=1e-14)
    log_q = full.log_prob(full.draw(out, eps), out) + np.log(np.diagonal(jacobian, axis1=1, axis2=2)).sum(axis=1)
    np.testing.assert_allclose(log_q, prior.log_prob(eps), rtol=1e-11)


# ---- as a likelihood -------------------------------------------------------------------------------------------------


def test_the_words_of_a_likelihood():                                                                         # [LV.6]
    rng = np.random.default_rng(4)
    out, x, w = random_out(rng, 4, 3), rng.normal(size=(4, 3)), rng.normal(size=4)
    assert likelihood.own_shapes == {} and likelihood.fixed == () and likelihood.n_outputs(9) == 18 + 36
    np.testing.assert_array_equal(likelihood.mean(out), unpacked(out)[0])
    buffer = np.full_like(out, np.nan)
    assert likelihood.log_prob_d(x, out, w, d_out=buffer) is buffer
    np.testing.assert_array_equal(buffer, likelihood.log_prob_d(x, out, w))
    np.testing.assert_array_equal(buffer, full.log_prob_d(x, out, w)[1])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_samples_have_the_moments_of_the_law(dtype):
    """z-tests with a fixed seed, of every mean and every entry of L⁻¹ (x − mean): 100,000 draws see 2 % of one."""
    row, n = random_out(np.random.default_rng(5), 1, 3), 100_000
    mean, L, _ = laws(row)[0]
    x = likelihood.sample(np.repeat(row.astype(dtype), n, axis=0), np.random.default_rng(6))
    assert x.dtype == dtype and x.shape == (n, 3)
    u = linalg.solve_triangular(L, (x - mean).T.astype(float), lower=True)
    assert np.max(np.abs(u.mean(axis=1))) < 5 / np.sqrt(n)
    assert np.max(np.abs(u @ u.T / n - np.eye(3))) < 5 * np.sqrt(2 / n)
