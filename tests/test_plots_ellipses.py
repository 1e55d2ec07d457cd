"""Ellipses on the latent plane: each about its own mean, where its own Gaussian has fallen by one standard deviation."""
import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from tinyvae import plots

MEAN = np.array([[0.0, 0.0], [3.0, -1.0], [-2.0, 5.0]])
COVARIANCE = np.array([[[1.0, 0.0], [0.0, 0.25]], [[2.0, 1.2], [1.2, 1.0]], [[0.5, -0.3], [-0.3, 0.4]]])


def ellipses(ax):
    found, = [artist for artist in ax.collections if isinstance(artist, LineCollection)]
    return found


@pytest.mark.parametrize("covariance", [COVARIANCE, COVARIANCE[:, [0, 1], [0, 1]]], ids=["full", "diagonal"])
def test_every_row_has_the_ellipse_of_its_gaussian(covariance):
    drawn = ellipses(plots.posterior_ellipses(MEAN, covariance)).get_segments()
    assert len(drawn) == 3
    for points, mean, sigma in zip(drawn, MEAN, covariance):
        sigma = np.diag(sigma) if sigma.ndim == 1 else sigma
        (a, b), (_, c) = sigma
        u, v = (points - mean).T
        np.testing.assert_allclose((c * u**2 - 2 * b * u * v + a * v**2) / (a * c - b**2), 1, atol=1e-12)
        np.testing.assert_allclose(np.ptp(points, axis=0), 2 * np.sqrt(np.diag(sigma)), rtol=1e-2)     # all round
        np.testing.assert_allclose(points[0], points[-1], atol=1e-12)


def test_an_ellipse_has_the_colour_of_its_digit_and_all_is_in_sight():
    y = np.array([7, 2, 7])
    ax = plots.posterior_ellipses(MEAN, COVARIANCE, y)
    colour = {2: ax.collections[0].get_facecolor()[0], 7: ax.collections[1].get_facecolor()[0]}
    np.testing.assert_array_equal(ellipses(ax).get_edgecolor(), [colour[label] for label in y])
    points = np.concatenate(ellipses(ax).get_segments())
    assert np.all(np.array([ax.get_xlim(), ax.get_ylim()])[:, 0] < points.min(axis=0))
    assert np.all(points.max(axis=0) < np.array([ax.get_xlim(), ax.get_ylim()])[:, 1])
    np.testing.assert_array_equal(ax.collections[1].get_offsets(), MEAN[[0, 2]])
    assert "latent dimension 1" in ax.get_xlabel() and ax.get_aspect() == 1


def test_draws_on_the_axes_given():
    left, right = Figure().subplots(1, 2)
    assert plots.posterior_ellipses(MEAN, COVARIANCE, ax=right) is right and not left.has_data()


@pytest.mark.parametrize("mean, covariance, error, message", [
    (np.zeros((3, 3)), COVARIANCE, ValueError, "mean has 3 features, but a plane is expecting 2"),
    (MEAN[:2], COVARIANCE, ValueError, r"covariance must be of shape \(2, 2, 2\), or of variances \(2, 2\), got "),
    (MEAN, COVARIANCE[:, 0, 0], ValueError, r"covariance must be of shape .* got \(3,\)"),
    (MEAN, -COVARIANCE, ValueError, "covariance must be positive definite"),
    (MEAN * np.nan, COVARIANCE, ValueError, "mean contains NaN"),
])
def test_bad_arguments_are_named_before_anything_is_drawn(mean, covariance, error, message):
    ax = Figure().subplots()
    with pytest.raises(error, match=message):
        plots.posterior_ellipses(mean, covariance, ax=ax)
    assert not ax.has_data()
