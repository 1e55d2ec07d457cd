"""The embedded digits are what their docstrings say; a toy law's sampler, density and score are three views of one law.

No law is compared with itself. The density has a second route in `naive_density` (products of Gaussians; for the ring
an average over the angle). That one takes complex numbers too, so that complex step gives the score from a formula that
the library does not contain. The library's own log_prob is differentiated by Richardson extrapolation, since its Bessel
functions are real only. The sampler is held against the density by counts in cells, and against the score by Stein's
identity.
"""
import hashlib
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tinyvae import datasets
from tinyvae.datasets import Banana, GaussianMixture, Ring, load_digits, load_mnist5k

FOLDER = Path(datasets.__file__).parent
LOADERS = {"digits": load_digits, "mnist5k": load_mnist5k}

# No equal weights or sds, no symmetric means: each could hide a mistake. With each law goes a box [a, b] × [c, d]
# whose edge its density does not reach.
LAWS = {
    "mixture": (GaussianMixture([[-1.5, 0.3], [1.2, -0.8], [0.4, 2.1]], [0.5, 0.9, 0.3], [0.5, 0.2, 0.3]),
                (-8, 9, -8, 8)),
    "ring": (Ring(1.5, 0.4), (-5.5, 5.5, -5.5, 5.5)),
    "thin ring": (Ring(2.0, 0.05), (-2.5, 2.5, -2.5, 2.5)),
    "ring of radius 0": (Ring(0.0, 0.7), (-6, 6, -6, 6)),
    "banana": (Banana(0.8, 0.3, 0.6), (-6.5, 6.5, -3, 29)),
    "banana down": (Banana(1.3, 0.6, -0.4), (-10.5, 10.5, -50, 5)),
}
MIXTURE_5D = GaussianMixture(np.random.default_rng(1).normal(size=(4, 5)), [0.5, 1.5, 0.7, 1.0], [0.1, 0.2, 0.3, 0.4])


@pytest.fixture(params=LAWS)
def law(request):
    return LAWS[request.param][0]


@pytest.fixture(params=LAWS)
def law_and_box(request):
    return LAWS[request.param]


# ---- the second route ------------------------------------------------------------------------------------------------

def normal(x, mean, sd):
    """N(x; mean, sd²) as the textbook writes it; x may be complex."""
    return np.exp(-(x - mean)**2 / (2 * sd**2)) / np.sqrt(2 * np.pi * sd**2)


def naive_density(law, x):
    """p(x), (n,), by no formula of the library; underflows in the tails."""
    if isinstance(law, GaussianMixture):
        return sum(w * np.prod(normal(x, m, s), axis=1) for m, s, w in zip(law.means, law.sds, law.weights))
    if isinstance(law, Banana):
        return normal(x[:, 0], 0, law.sd1) * normal(x[:, 1], law.bend * x[:, 0]**2, law.sd2)
    theta = np.arange(720) * 2 * np.pi / 720          # a periodic integrand: the trapezoid converges exponentially
    return np.mean(normal(x[:, :1], law.radius * np.cos(theta), law.sd)
                   * normal(x[:, 1:], law.radius * np.sin(theta), law.sd), axis=1)


def richardson_gradient(f, x, h):
    """∇f row by row: central differences at h, h/2, h/4, h/8, their errors in h², h⁴, h⁶ removed."""
    gradient = np.empty_like(x)
    for d, e in enumerate(np.eye(x.shape[1])):
        table = [(f(x + k * e) - f(x - k * e)) / (2 * k) for k in h / 2.0**np.arange(4)]
        for order in (4, 16, 64):
            table = [(order * fine - coarse) / (order - 1) for coarse, fine in zip(table, table[1:])]
        gradient[:, d] = table[0]
    return gradient


def relative_error(a, b):
    return np.max(np.abs(a - b) / (1 + np.abs(b)))


# ---- embedded digits -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name, shape, white, counts, sha256", [
    ("digits", (1797, 64), 16, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180], "87ff0c9e40dc7e2c"),
    ("mnist5k", (5000, 784), 255, [500] * 10, "809ec085d551285c"),
])
def test_digits_are_complete(name, shape, white, counts, sha256):
    """The digests of images and labels, in their order, come from scikit-learn's load_digits and MNIST's IDX files."""
    X, y = LOADERS[name]()
    assert X.shape == shape and X.dtype == np.float64 and X.flags.c_contiguous
    assert y.shape == shape[:1] and y.dtype == np.int64
    assert X.min() == 0 and X.max() == 1
    assert np.bincount(y).tolist() == counts
    levels = np.rint(X * white).astype(np.uint8)
    assert np.array_equal(X, levels / white)
    assert hashlib.sha256(levels.tobytes() + y.astype(np.uint8).tobytes()).hexdigest().startswith(sha256)


def test_order_of_rows_is_the_documented_one():
    assert np.array_equal(load_mnist5k()[1], np.arange(5000) // 500)
    assert load_digits()[1][:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert "SORTED BY CLASS" in load_mnist5k.__doc__ and "Shuffle" in load_mnist5k.__doc__


@pytest.mark.parametrize("name", LOADERS)
def test_digits_in_float32(name):
    X, y = LOADERS[name](dtype="float32")
    assert X.dtype == np.float32 and X.flags.c_contiguous and y.dtype == np.int64
    assert np.max(np.abs(X - LOADERS[name]()[0])) < 1e-7 and X.max() == 1


@pytest.mark.parametrize("name", LOADERS)
def test_digits_are_fresh_on_each_call(name):
    X, y = LOADERS[name]()
    X[:], y[:] = -1, -1
    again, labels = LOADERS[name]()
    assert again.min() == 0 and labels.min() == 0 and not np.shares_memory(X, again)


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("dtype", ["float16", "int64", "f4", None, float])
def test_other_dtypes_are_refused(name, dtype):
    with pytest.raises(ValueError, match="dtype must be 'float32' or 'float64', got"):
        LOADERS[name](dtype=dtype)


@pytest.mark.parametrize("name", LOADERS)
def test_files_hold_plain_bytes(name):
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
        assert {key: file[key].dtype for key in file} == {"images": np.uint8, "labels": np.uint8}


def test_notice_names_both_files_and_their_licences():
    notice = (FOLDER / "NOTICE").read_text(encoding="utf8")
    for words in ("digits.npz", "CC BY 4.0", "Alpaydin", "mnist5k.npz", "CC BY-SA 3.0", "LeCun"):
        assert words in notice


# ---- densities -------------------------------------------------------------------------------------------------------

def test_density_integrates_to_one(law_and_box):
    """The trapezoid on a box whose edge the density does not reach; steps of sd/4 or less."""
    law, (a, b, c, d) = law_and_box
    x1, x2 = np.linspace(a, b, 401), np.linspace(c, d, 561)
    p = np.exp(law.log_prob(np.stack(np.meshgrid(x1, x2, indexing="ij"), axis=-1).reshape(-1, 2))).reshape(401, 561)
    assert abs(np.trapezoid(np.trapezoid(p, x2), x1) - 1) < 1e-12


def test_log_prob_equals_the_second_route(law):
    x = law.sample(300, 0) + 0.1
    assert relative_error(law.log_prob(x), np.log(naive_density(law, x))) < 1e-12


def test_mixture_equals_scipy():
    x = MIXTURE_5D.sample(200, 0) * 1.5
    p = sum(w * stats.multivariate_normal(m, s**2 * np.eye(5)).pdf(x)
            for m, s, w in zip(MIXTURE_5D.means, MIXTURE_5D.sds, MIXTURE_5D.weights))
    assert relative_error(MIXTURE_5D.log_prob(x), np.log(p)) < 1e-12


def test_radius_of_a_ring_has_the_law_of_rice():
    ring, rho = Ring(1.5, 0.4), np.linspace(0.01, 4, 100)
    log_p = ring.log_prob(np.column_stack([0.6 * rho, -0.8 * rho]))               # 3-4-5: |x| = ρ
    rice = stats.rice(ring.radius / ring.sd, scale=ring.sd).logpdf(rho)
    assert relative_error(log_p + np.log(2 * np.pi * rho), rice) < 1e-12


def test_default_weights_are_equal():
    assert np.array_equal(GaussianMixture([[0.0], [1.0], [5.0]], [1, 1, 2]).weights, np.full(3, 1 / 3))


def test_mixture_plus_noise_is_a_mixture():
    """p smoothed by N(0, s²) is the same mixture with s_c² + s²: in one dimension the convolution is one integral."""
    law, s = GaussianMixture([[-1.0], [0.5], [2.0]], [0.2, 0.5, 0.3], [0.5, 0.3, 0.2]), 0.4
    smoothed = GaussianMixture(law.means, np.hypot(law.sds, s), law.weights)
    x, grid = np.linspace(-3, 4, 15), np.linspace(-8, 8, 1601)
    convolution = np.trapezoid(np.exp(law.log_prob(grid[:, None])) * normal(x[:, None], grid, s), grid, axis=1)
    assert relative_error(np.exp(smoothed.log_prob(x[:, None])), convolution) < 1e-13


# ---- scores ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("law", [*(law for law, _ in LAWS.values()), MIXTURE_5D], ids=[*LAWS, "mixture in 5-D"])
class TestScore:
    def test_is_the_complex_step_of_the_second_route(self, law):
        x = law.sample(100, 2) * 1.02
        expected = np.empty_like(x)
        for d in range(x.shape[1]):
            step = x.astype(complex)
            step[:, d] += 1e-30j
            p = naive_density(law, step)
            expected[:, d] = p.imag / 1e-30 / p.real
        assert relative_error(law.score(x), expected) < 1e-12

    def test_is_the_richardson_gradient_of_log_prob(self, law):
        """Samples, and points far from where samples fall: 3 times as far out, and shrunk towards the origin."""
        near = law.sample(60, 3)
        x = np.vstack([near, 3 * near, 0.1 * near])
        h = 0.2 * np.min(getattr(law, "sds", getattr(law, "sd", getattr(law, "sd2", None))))
        assert relative_error(law.score(x), richardson_gradient(law.log_prob, x, h)) < 1e-7

    def test_satisfies_stein(self, law):
        """E[ s(x) ] = 0 and E[ x s(x)ᵀ ] = −I over the sampler's draws, without the density."""
        x = law.sample(20_000, 4)
        s = law.score(x)
        assert_mean(s, 0)
        assert_mean((x[:, :, None] * s[:, None]).reshape(len(x), -1), -np.eye(x.shape[1]).ravel())

    @pytest.mark.parametrize("far", [1e2, 1e8, 1e30, 1e70])
    def test_is_finite_in_the_tails(self, law, far):
        D = law.sample(1, 0).shape[1]
        x = far * np.vstack([np.eye(D), -np.eye(D), np.ones(D)])
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            log_p, s = law.log_prob(x), law.score(x)
        assert np.isfinite(log_p).all() and np.isfinite(s).all()
        assert np.all(log_p < -100) and np.all(np.sum(s * x, axis=1) < 0)         # it points back to the bulk


def test_mixture_far_out_follows_its_widest_component():
    law, x = GaussianMixture([[0.0, 1.0], [3.0, 0.0]], [0.5, 2.0], [0.999, 0.001]), np.array([[-1e5, 2e5]])
    assert relative_error(law.score(x), ([3, 0] - x) / 4) < 1e-14
    assert relative_error(law.log_prob(x), np.log(0.001 / (2 * np.pi * 4)) - np.sum((x - [3, 0])**2) / 8) < 1e-14


def test_mixture_between_distant_components():
    """Both densities underflow at the midpoint, and their sum does not decide: the score there is 0 by symmetry."""
    law = GaussianMixture([[-1e4], [1e4]], [1.0, 1.0])
    assert law.score([[0.0]]) == 0
    assert law.log_prob([[0.0]]) == pytest.approx(-5e7 - np.log(2 * np.pi) / 2, rel=1e-15)


def test_ring_far_out_looks_like_a_line():
    """I1/I0 → 1: beyond the ring the score is that of a Gaussian in the distance to it. Here t = ρR/s² is 4e14."""
    assert relative_error(Ring(2.0, 1e-3).score([[6e7, 8e7]]), [[(2 - 1e8) * 6e5, (2 - 1e8) * 8e5]]) < 1e-14


def test_ring_at_its_centre():
    """p is flat there, and its score grows as (R²/(2s⁴) − 1/s²) x."""
    ring, x = Ring(1.5, 0.4), np.array([[0.0, 0.0], [3e-9, -4e-9], [5e-324, 0.0]])
    slope = 1.5**2 / (2 * 0.4**4) - 1 / 0.4**2
    assert relative_error(1e9 * ring.score(x), 1e9 * slope * x) < 1e-13


# ---- samplers --------------------------------------------------------------------------------------------------------

def assert_mean(values, exact):
    """Each column's mean within 4.5 standard errors of the exact value."""
    z = (values.mean(axis=0) - exact) / (values.std(axis=0) / np.sqrt(len(values)))
    assert np.max(np.abs(z)) < 4.5, z


def cell_probabilities(law, edges1, edges2, n=6):
    """P(cell) of a grid, by n × n Gauss–Legendre nodes in each cell of the density."""
    nodes, weights = np.polynomial.legendre.leggauss(n)
    def axis(edges):
        half = np.diff(edges)[:, None] / 2
        return (edges[:-1, None] + half * (1 + nodes)).ravel(), (half * weights).ravel()
    (x1, w1), (x2, w2) = axis(edges1), axis(edges2)
    p = np.exp(law.log_prob(np.stack(np.meshgrid(x1, x2, indexing="ij"), axis=-1).reshape(-1, 2)))
    p = p.reshape(len(x1), len(x2)) * w1[:, None] * w2
    return p.reshape(len(edges1) - 1, n, len(edges2) - 1, n).sum(axis=(1, 3))


def test_sampler_has_the_density(law):
    """χ² over 30 × 30 cells and one cell for all that is outside or expects less than 10 draws. The seeds are fixed."""
    x = law.sample(50_000, 5)
    edges = [np.linspace(*np.quantile(law.sample(5_000, 6)[:, d], [0.005, 0.995]), 31) for d in (0, 1)]
    counts = np.histogram2d(x[:, 0], x[:, 1], bins=edges)[0]
    expected = len(x) * cell_probabilities(law, *edges)
    kept = expected >= 10
    observed, expected = np.append(counts[kept], len(x) - counts[kept].sum()), expected[kept]
    expected = np.append(expected, len(x) - expected.sum())
    assert kept.sum() > 100 and expected[-1] > 10
    assert 1e-3 < stats.chi2.sf(np.sum((observed - expected)**2 / expected), len(expected) - 1) < 1 - 1e-3


def exact_moments(law):
    """E[x] and E[x xᵀ], from the law's definition."""
    if isinstance(law, GaussianMixture):
        second = np.einsum("c,ci,cj->ij", law.weights, law.means, law.means)
        return law.weights @ law.means, second + law.weights @ law.sds**2 * np.eye(law.means.shape[1])
    if isinstance(law, Ring):
        return np.zeros(2), (law.radius**2 / 2 + law.sd**2) * np.eye(2)
    mean = law.bend * law.sd1**2
    return np.array([0, mean]), np.diag([law.sd1**2, 3 * mean**2 + law.sd2**2])   # E x₁⁴ = 3 s₁⁴


@pytest.mark.parametrize("law", [*(law for law, _ in LAWS.values()), MIXTURE_5D], ids=[*LAWS, "mixture in 5-D"])
def test_sampler_has_the_moments(law):
    x = law.sample(50_000, 7)
    mean, second = exact_moments(law)
    assert_mean(x, mean)
    assert_mean((x[:, :, None] * x[:, None]).reshape(len(x), -1), second.ravel())


def test_sampler_follows_rng(law):
    assert np.array_equal(law.sample(5, 0), law.sample(5, np.random.default_rng(0)))
    assert not np.array_equal(law.sample(5, 0), law.sample(5, 1))
    rng = np.random.default_rng(0)
    assert not np.array_equal(law.sample(5, rng), law.sample(5, rng))             # the generator advances
    assert law.sample(3, None).shape == law.sample(3, np.random.RandomState(0)).shape == (3, 2)


# ---- what a law promises ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", ["float64", "float32", "longdouble", "int64"])
def test_results_are_float64_and_the_input_is_kept(law, dtype):
    x = np.array([[1, 2], [0, -1], [0, 0]], dtype=dtype)
    kept = x.copy()
    log_p, s = law.log_prob(x), law.score(x)
    assert log_p.shape == (3,) and s.shape == (3, 2) and log_p.dtype == s.dtype == law.sample(2, 0).dtype == np.float64
    assert np.array_equal(x, kept)
    assert np.array_equal(log_p, law.log_prob(x.astype(float))) and np.array_equal(s, law.score(x.astype(float)))


def test_rows_do_not_know_their_neighbours(law):
    x = law.sample(20, 8)
    assert np.allclose(law.log_prob(x[3:4]), law.log_prob(x)[3], rtol=1e-14)
    assert np.allclose(law.score(x[::-2]), law.score(x)[::-2], rtol=1e-14)


@pytest.mark.parametrize("law, field", [(Ring(1, 0.5), "sd"), (Banana(1, 1, 1), "bend"), (MIXTURE_5D, "weights")])
def test_laws_are_frozen(law, field):
    with pytest.raises(AttributeError):
        setattr(law, field, 2.0)


def test_mixture_keeps_a_copy():
    means, sds = np.zeros((2, 2)), np.ones(2)
    law = GaussianMixture(means, sds)
    means[:], sds[:] = 7, 7
    assert law.means.max() == 0 and law.sds.max() == 1
    with pytest.raises(ValueError, match="read-only"):
        law.means[0] = 1


M = [[0.0, 0.0], [1.0, 1.0]]
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("build, error, message", [
    (lambda: GaussianMixture([0.0, 1.0], [1, 1]), ValueError, "means: Expected 2D array, .* got 1D"),
    (lambda: GaussianMixture([[]], [1]), ValueError, "means must have at least 1 column"),
    (lambda: GaussianMixture(np.empty((0, 2)), []), ValueError, "means must have at least 1 row"),
    (lambda: GaussianMixture([[0, NAN]], [1]), ValueError, "means contains NaN"),
    (lambda: GaussianMixture(np.array(M, dtype=object), [1, 1]), TypeError, "means: .* got dtype object"),
    (lambda: GaussianMixture(M, 1.0), ValueError, r"sds must be 2 numbers.*got shape \(\)"),
    (lambda: GaussianMixture(M, [1.0]), ValueError, r"sds must be 2 numbers.*got shape \(1,\)"),
    (lambda: GaussianMixture(M, [[1.0], [1.0]]), ValueError, r"sds must be 2 numbers.*got shape \(2, 1\)"),
    (lambda: GaussianMixture(M, [[1.0], [1.0, 2.0]]), TypeError, r"sds\[0\] must be a number, got \[1.0\]"),
    (lambda: GaussianMixture(M, [1, -0.5]), ValueError, r"sds\[1\] must be a finite number in \(0.*got -0.5"),
    (lambda: GaussianMixture(M, [0, 1]), ValueError, r"sds\[0\] .*got 0"),
    (lambda: GaussianMixture(M, [1, INF]), ValueError, r"sds\[1\] .*got inf"),
    (lambda: GaussianMixture(M, [1, "1"]), TypeError, r"sds\[1\] must be a number, got '1'"),
    (lambda: GaussianMixture(M, [1, 1j]), TypeError, r"sds\[1\] must be a number"),
    (lambda: GaussianMixture(M, None), ValueError, "sds must be 2 numbers"),
    (lambda: GaussianMixture(M, [1, 1], [0.5, 0.6]), ValueError, "weights must sum to 1, got a sum of 1.1; divide"),
    (lambda: GaussianMixture(M, [1, 1], [1.5, -0.5]), ValueError, r"weights\[1\] .*got -0.5"),
    (lambda: GaussianMixture(M, [1, 1], [1.0, 0.0]), ValueError, r"weights\[1\] .*got 0"),
    (lambda: GaussianMixture(M, [1, 1], [NAN, 0.5]), ValueError, r"weights\[0\] .*got nan"),
    (lambda: GaussianMixture(M, [1, 1], [1.0]), ValueError, r"weights must be 2 numbers.*got shape \(1,\)"),
    (lambda: Ring(-1, 0.1), ValueError, "radius must be .*got -1"),
    (lambda: Ring(NAN, 0.1), ValueError, "radius must be .*got nan"),
    (lambda: Ring("1", 0.1), TypeError, "radius must be a number, got '1'"),
    (lambda: Ring(1, 0), ValueError, "sd must be .*got 0"),
    (lambda: Ring(1, -0.1), ValueError, "sd must be .*got -0.1"),
    (lambda: Ring(1, [0.1]), TypeError, "sd must be a number"),
    (lambda: Ring(1, True), TypeError, "sd must be a number, got True"),
    (lambda: Banana(0, 1, 1), ValueError, "sd1 must be .*got 0"),
    (lambda: Banana(1, -1, 1), ValueError, "sd2 must be .*got -1"),
    (lambda: Banana(1, 1, INF), ValueError, "bend must be .*got inf"),
    (lambda: Banana(1, 1, None), TypeError, "bend must be a number, got None"),
])
def test_bad_laws_are_refused(build, error, message):
    with pytest.raises(error, match=message):
        build()


@pytest.mark.parametrize("method", ["log_prob", "score"])
@pytest.mark.parametrize("x, error, message", [
    ([[0.0, NAN]], ValueError, "x contains NaN or infinity .*row 0, column 1"),
    ([[0.0, 0.0], [INF, 0.0]], ValueError, "x contains NaN or infinity .*row 1, column 0"),
    ([[0.0, 0.0, 0.0]], ValueError, "x has 3 features, but (GaussianMixture|Ring|Banana) is expecting 2"),
    ([[0.0]], ValueError, "x has 1 features"),
    ([0.0, 0.0], ValueError, "x: Expected 2D array, .*got 1D"),
    (np.zeros((1, 1, 2)), ValueError, "x: Expected 2D array, .*got 3D"),
    (np.empty((0, 2)), ValueError, "x must have at least 1 row"),
    (np.zeros((1, 2), dtype=object), TypeError, "x: .*got dtype object"),
    (np.zeros((1, 2), dtype=complex), ValueError, "x: Complex"),
    ([["0", "0"]], TypeError, "x: .*got dtype <U1"),
    (None, TypeError, "x: .*got dtype object"),
])
def test_bad_points_are_refused(law, method, x, error, message):
    with pytest.raises(error, match=message):
        getattr(law, method)(x)


@pytest.mark.parametrize("n_samples, rng, error, message", [
    (-1, 0, ValueError, "n_samples must be an integer of at least 1, got -1"),
    (0, 0, ValueError, "n_samples must be an integer of at least 1, got 0"),
    (2.0, 0, TypeError, "n_samples must be an integer of at least 1, got 2.0"),
    (True, 0, TypeError, "n_samples must be an integer"),
    (2, -1, ValueError, "must be a non-negative integer, got -1"),
    (2, "seed", TypeError, "must be None, an integer, a numpy Generator or a RandomState, got 'seed'"),
])
def test_bad_draws_are_refused(law, n_samples, rng, error, message):
    with pytest.raises(error, match=message):
        law.sample(n_samples, rng)
