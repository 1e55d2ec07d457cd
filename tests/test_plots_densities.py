"""Curves are the densities given; bars hold the draws' shares."""
import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.drawn import legend
from tinyvae import plots

X = np.linspace(-3, 3, 61)
CURVES = {"p": np.exp(-X**2 / 2) / np.sqrt(2 * np.pi), "q": np.full(61, 1 / 6)}


def test_curves_are_drawn_as_given_and_told_apart():
    ax = plots.densities(X, CURVES)
    assert legend(ax) == ["p", "q"] and not ax.patches
    for line, values in zip(ax.lines, CURVES.values(), strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.column_stack([X, values]))
    assert ax.lines[0].get_color() != ax.lines[1].get_color()
    assert ax.lines[0]._unscaled_dash_pattern != ax.lines[1]._unscaled_dash_pattern
    assert ax.get_xlim() == (-3, 3) and ax.get_ylim()[0] == 0


@pytest.mark.parametrize("n_bins", [1, 4, 60])
def test_bars_hold_the_share_of_all_draws(n_bins):
    draws = np.array([-2.9, -2.8, 0.1, 2.97, 50.0])                  # one of them out of sight
    ax = plots.densities(X, CURVES, draws, n_bins)
    bars = ax.patches[0].get_data()
    np.testing.assert_allclose(bars.edges, np.linspace(-3, 3, n_bins + 1))
    assert np.sum(bars.values * np.diff(bars.edges)) == pytest.approx(4 / 5)
    assert bars.values[-1] * np.diff(bars.edges)[-1] == pytest.approx(4 / 5 if n_bins == 1 else 1 / 5)
    assert legend(ax)[0] == "5 draws"


def test_draws_stand_in_the_units_of_their_density():
    draws = np.random.default_rng(0).uniform(-3, 3, 100_000)
    bars = plots.densities(X, CURVES, draws, n_bins=10).patches[0].get_data()
    np.testing.assert_allclose(bars.values, 1 / 6, rtol=0.05)


def test_draws_on_the_axes_given():
    left, right = Figure().subplots(1, 2)
    assert plots.densities(X, CURVES, ax=right) is right and len(right.lines) == 2 and not left.lines


@pytest.mark.parametrize("call, error, message", [
    (lambda: plots.densities(X[::-1], CURVES), ValueError, "x must be two or more rising numbers"),
    (lambda: plots.densities([1], {"p": [1]}), ValueError, "x must be two or more rising numbers"),
    (lambda: plots.densities([0, np.nan], {"p": [1, 1]}), ValueError, "x must be finite numbers"),
    (lambda: plots.densities(X, {}), TypeError, "curves must be a dict"),
    (lambda: plots.densities(X, {"p": X[1:]}), ValueError, r"curves\['p'\] must be a list of 61 numbers"),
    (lambda: plots.densities(X, {"log p": -CURVES["p"]}), ValueError, "must be finite numbers of at least 0"),
    (lambda: plots.densities(X, CURVES, draws=[[1]]), ValueError, "draws must be a list"),
    (lambda: plots.densities(X, CURVES, draws=[np.inf]), ValueError, "draws must be finite numbers"),
    (lambda: plots.densities(X, CURVES, draws=[1], n_bins=0), ValueError, "n_bins must be an integer of at least 1"),
])
@pytest.mark.filterwarnings("error")
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
