"""The energy distance: against SciPy's on a line, against a double loop, against its exact value between Gaussians."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import pdist
from scipy.special import gammaln

from tinyvae.checks.samples import energy_distance

rng_seeds = st.integers(0, 2**32 - 1)


@given(seed=rng_seeds, n=st.integers(2, 30), m=st.integers(2, 30))
def test_on_a_line_it_is_the_square_of_scipys_less_its_bias(seed, n, m):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, 1)), rng.normal(0.5, 2, size=(m, 1))
    of_the_samples = stats.energy_distance(x[:, 0], y[:, 0]) ** 2
    bias = np.mean(pdist(x)) / n + np.mean(pdist(y)) / m            # SciPy pairs every row with itself, too
    assert energy_distance(x, y) == pytest.approx(of_the_samples - bias, abs=1e-12)


@given(seed=rng_seeds, n=st.integers(2, 6), m=st.integers(2, 6), D=st.integers(1, 5))
def test_it_is_three_means_over_pairs(seed, n, m, D):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, D)), rng.normal(size=(m, D))
    across = [np.sqrt(np.sum((a - b) ** 2)) for a in x for b in y]
    within = [[np.sqrt(np.sum((z[i] - z[j]) ** 2)) for i in range(len(z)) for j in range(i)] for z in (x, y)]
    by_hand = 2 * np.mean(across) - sum(map(np.mean, within))
    assert energy_distance(x, y) == pytest.approx(by_hand, abs=1e-12)
    assert energy_distance(y, x) == pytest.approx(by_hand, abs=1e-12)
    assert energy_distance(3 * x + 1, 3 * y + 1) == pytest.approx(3 * by_hand, abs=1e-11)


@pytest.mark.parametrize("sd", [1.0, 1.5])
@pytest.mark.parametrize("n, m", [(10, 10), (5, 40)])
def test_the_mean_over_pairs_of_samples_is_the_exact_value(n, m, sd):
    """E‖N(0, s² I)‖ = s √2 Γ((D + 1)/2) / Γ(D/2), and the difference of two independent rows is such a Gaussian."""
    D, rng = 3, np.random.default_rng(n)
    length = np.sqrt(2) * np.exp(gammaln((D + 1) / 2) - gammaln(D / 2))
    exact = length * (2 * np.sqrt(1 + sd**2) - np.sqrt(2) - np.sqrt(2) * sd)
    values = [energy_distance(rng.normal(size=(n, D)), sd * rng.normal(size=(m, D))) for _ in range(3000)]
    assert abs(np.mean(values) - exact) < 4 * np.std(values) / np.sqrt(len(values))
    if sd == 1:
        assert min(values) < 0                                      # about 0, not above it


def test_the_spread_over_pairs_of_samples_is_that_of_one_estimate():
    """Where the laws differ the variance is (to first order) that of 2 ‖x − y‖ − ‖x − x'‖ given x, over n, and so on."""
    rng, n = np.random.default_rng(0), 50
    values = [energy_distance(rng.normal(size=(n, 1)), rng.normal(4, 1, size=(n, 1))) for _ in range(2000)]
    x = rng.normal(size=4000)                                       # at a distance of 4 nearly all y are above all x
    slope = -2 * x - 2 * np.mean(np.abs(x[:, None] - x[:500]), axis=1)
    assert np.std(values) == pytest.approx(np.sqrt(2 * np.var(slope) / n), rel=0.06)


def test_arguments_stay_and_any_real_numbers_do():
    x, y = np.arange(12.0).reshape(4, 3), np.eye(3)
    before = x.copy(), y.copy()
    value = energy_distance(x, y)
    assert isinstance(value, float) and all(map(np.array_equal, (x, y), before))
    assert energy_distance(x.astype(np.float32), y.astype(int)) == pytest.approx(value, rel=1e-6)
    assert energy_distance(x.tolist(), y.tolist()) == value


@pytest.mark.parametrize("x, y, error, message", [
    (np.eye(3), np.eye(4), ValueError, "y has 4 features, but x is expecting 3"),
    (np.eye(3)[:1], np.eye(3), ValueError, "x must have at least 2 row"),
    (np.eye(3), np.eye(3)[:1], ValueError, "y must have at least 2 row"),
    (np.ones(3), np.eye(3), ValueError, "x: Expected 2D array"),
    (np.eye(3), np.nan * np.eye(3), ValueError, "y contains NaN"),
    (np.eye(3) * 1j, np.eye(3), ValueError, "x: Complex data not supported"),
    (np.eye(3), [["a", "b", "c"]] * 3, TypeError, "y: expected an array of real numbers"),
])
def test_bad_samples_are_named(x, y, error, message):
    with pytest.raises(error, match=message):
        energy_distance(x, y)
