"""Greys where the posterior is, ellipses where q is; where the two are one law, they lie on each other."""
from copy import deepcopy

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure

from tinyvae import plots

Z1, Z2 = np.linspace(-8, 9, 341), np.linspace(-7, 6, 301)
MEAN, COVARIANCE = np.array([0.7, -0.4]), np.array([[1.2, 0.5], [0.5, 0.6]])
A, B = np.meshgrid(Z1, Z2, indexing="ij")
BANANA = np.exp(-A**2 / 3 - (B - 0.4 * A**2) ** 2 / 0.5)


def square_radius(points):
    """(z − mean)ᵀ covariance⁻¹ (z − mean) by Cramer's rule."""
    (a, b), (_, c) = COVARIANCE
    u, v = np.moveaxis(points - MEAN, -1, 0)
    return (c * u**2 - 2 * b * u * v + a * v**2) / (a * c - b**2)


GAUSSIAN = np.exp(-square_radius(np.stack([A, B], axis=-1)) / 2)


def draw(density=GAUSSIAN, ax=None):
    return plots.posterior_against_q(Z1, Z2, density, MEAN, COVARIANCE, ax=ax)


def contours(ax):
    found = [artist for artist in ax.get_children() if isinstance(artist, ContourSet)]
    assert len(found) == 1
    return found[0]


def test_ellipses_are_one_and_two_standard_deviations_from_the_mean():
    one, two, centre = draw(BANANA).lines
    assert one.get_linestyle() == "-" and two.get_linestyle() != "-"
    for ellipse, radius in ((one, 1), (two, 2)):
        points = ellipse.get_xydata()
        np.testing.assert_allclose(square_radius(points), radius**2, rtol=1e-12)
        np.testing.assert_allclose(np.ptp(points, axis=0), 2 * radius * np.sqrt(np.diag(COVARIANCE)), rtol=1e-3)
        np.testing.assert_allclose(points[0], points[-1], atol=1e-12)
    np.testing.assert_array_equal(centre.get_xydata(), [MEAN])


@pytest.mark.parametrize("factor", [1, 1e-30, 4e7])
def test_the_greys_of_a_gaussian_posterior_end_at_its_ellipses(factor):
    shades = contours(draw(factor * GAUSSIAN))
    paths = shades.get_paths()
    assert len(paths) == 3 and np.all(np.diff(1 - shades.get_facecolor()[:, 0]) > 0)
    for path, radius in zip(paths, (3, 2, 1)):              # the outer edge of each grey: points away from the next
        distance = np.sqrt(square_radius(path.vertices))
        assert np.max(distance) == pytest.approx(radius, rel=0.01)
        outer = distance[distance > radius - 0.5]
        np.testing.assert_allclose(outer, radius, rtol=0.01)


def test_the_grid_runs_z1_across_and_z2_upwards():
    density = np.zeros((len(Z1), len(Z2)))
    density[200:210, 30:34] = 1
    darkest = contours(draw(density)).get_paths()[-1].vertices
    np.testing.assert_allclose(darkest.min(axis=0), [Z1[200], Z2[30]], atol=0.06)
    np.testing.assert_allclose(darkest.max(axis=0), [Z1[209], Z2[33]], atol=0.06)


@pytest.mark.parametrize("density", [GAUSSIAN, BANANA, GAUSSIAN**30])
def test_shows_all_that_is_drawn_and_little_else(density):
    ax = draw(density)
    seen = np.argwhere(density >= np.exp(-4.5) * density.max())
    points = np.vstack([ax.lines[1].get_xydata(), np.column_stack([Z1[seen[:, 0]], Z2[seen[:, 1]]])])
    low, high = points.min(axis=0), points.max(axis=0)
    limits = np.array([ax.get_xlim(), ax.get_ylim()])
    assert np.all(limits[:, 0] < low) and np.all(high < limits[:, 1])
    np.testing.assert_allclose(np.diff(limits)[:, 0], 1.08 * (high - low))
    assert ax.get_aspect() == 1


def test_says_what_is_what_above_the_picture():
    ax = draw(BANANA)
    ax.figure.draw_without_rendering()
    legend = ax.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["exact p(z|x)", "q(z|x), 1 sd", "q(z|x), 2 sd"]
    assert legend.get_window_extent().y0 >= ax.get_window_extent().y1 - 1
    assert "latent dimension 1" in ax.get_xlabel() and "latent dimension 2" in ax.get_ylabel()
    for handle, line in zip(legend.legend_handles[1:], ax.lines):
        assert (handle.get_color(), handle.get_linestyle()) == (line.get_color(), line.get_linestyle())


def test_draws_on_the_axes_given_and_leaves_all_else_alone(tmp_path):
    left, right = Figure(layout="constrained").subplots(1, 2)
    rc, before = deepcopy(dict(matplotlib.rcParams)), [array.copy() for array in (Z1, Z2, BANANA, MEAN, COVARIANCE)]
    assert draw(BANANA, ax=right) is right and not left.has_data()
    assert plots.save_figure(right, tmp_path / "q.png").stat().st_size > 2000
    assert dict(matplotlib.rcParams) == rc and pyplot.get_fignums() == []
    assert all(map(np.array_equal, (Z1, Z2, BANANA, MEAN, COVARIANCE), before))


@pytest.mark.parametrize("changes, error, message", [
    ({"z1": Z1[:-1]}, ValueError, r"density must be of shape .* = \(340, 301\), got \(341, 301\)"),
    ({"density": GAUSSIAN.T}, ValueError, r"= \(341, 301\), got \(301, 341\)"),
    ({"z1": Z1[::-1]}, ValueError, "z1 must be two or more rising numbers"),
    ({"z2": [1.0]}, ValueError, "z2 must be two or more rising numbers"),
    ({"z2": Z2 * np.nan}, ValueError, "z2 must be finite numbers"),
    ({"density": -GAUSSIAN}, ValueError, "density must not be negative"),
    ({"density": 0 * GAUSSIAN}, ValueError, "density must not be negative, and positive somewhere, got .* 0 to 0"),
    ({"density": GAUSSIAN * np.inf}, ValueError, "density contains NaN or infinity"),
    ({"density": GAUSSIAN[0]}, ValueError, "density: Expected 2D array"),
    ({"mean": [0.0, 1.0, 2.0]}, ValueError, "mean must be a list of 2 numbers"),
    ({"covariance": [1.0, 2.0]}, ValueError, "covariance: Expected 2D array"),
    ({"covariance": [[1.0, 2.0]]}, ValueError, "covariance must be a symmetric matrix"),
    ({"covariance": [[1.0, 0.2], [0.3, 1.0]]}, ValueError, "covariance must be a symmetric matrix"),
    ({"covariance": [[1.0, 2.0], [2.0, 1.0]]}, ValueError, "covariance must be positive definite"),
    ({"covariance": -np.eye(2)}, ValueError, "covariance must be positive definite"),
    ({"ax": 3}, TypeError, "ax must be a matplotlib Axes or None"),
])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_bad_arguments_are_named(changes, error, message):
    good = {"z1": Z1, "z2": Z2, "density": GAUSSIAN, "mean": MEAN, "covariance": COVARIANCE}
    with pytest.raises(error, match=message):
        plots.posterior_against_q(**good | changes)
