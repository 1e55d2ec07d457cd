"""Grids show each image that they were given, upright and in its place."""
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tests.drawn import GREY, cut, names
from tinyvae import plots

@pytest.mark.parametrize("n_columns", [1, 3, 7, 10])
def test_images_stand_in_reading_order(n_columns):
    ax = plots.images(GREY, (3, 4), n_columns=n_columns)
    grid = [image for row in cut(ax, min(n_columns, 7)) for image in row]
    for x, image in zip(GREY, grid, strict=False):
        np.testing.assert_array_equal(image, x.reshape(3, 4))
    assert all(np.isnan(image).all() for image in grid[7:])         # places without an image stay blank
    assert ax.images[0].get_clim() == (0, 1)


def test_images_are_centred_on_squares_of_side_one():
    picture = plots.images(GREY[:6], (3, 4), n_columns=3).images[0]
    left, right, bottom, top = picture.get_extent()
    finite = ~np.ma.getmaskarray(picture.get_array())
    rows, columns = (np.flatnonzero(finite.any(axis=axis)) + 0.5 for axis in (1, 0))
    x = left + columns * (right - left) / finite.shape[1]
    y = top + rows * (bottom - top) / finite.shape[0]
    np.testing.assert_allclose(x.reshape(3, 4).mean(axis=1), [0.5, 1.5, 2.5])
    np.testing.assert_allclose(y.reshape(2, 3).mean(axis=1), [0.5, 1.5])


def test_images_are_ink_on_paper_and_upright():
    ax = plots.images([[1.0, 1, 0, 0]])                             # the upper half is ink
    canvas = FigureCanvasAgg(ax.figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].mean(axis=2)

    def shade(y):
        column, row = ax.transData.transform((0.5, y)).astype(int)
        return pixels[len(pixels) - row, column]

    assert shade(0.4) == 0 and shade(0.8) == 255


def test_captions_stand_above_their_images():
    ax = plots.images(GREY, (3, 4), n_columns=3, labels=range(7))
    np.testing.assert_array_equal(cut(ax, 3)[1][0], GREY[3].reshape(3, 4))
    assert [t.get_text() for t in ax.texts] == list("0123456")
    places = np.array([t.get_position() for t in ax.texts])
    np.testing.assert_allclose(places[:, 0], np.arange(7) % 3 + 0.5)
    tiles, (left, right, bottom, top) = ax.images[0].get_array(), ax.images[0].get_extent()
    rows = ((places[:, 1] - top) / (bottom - top) * len(tiles)).astype(int)
    assert np.ma.getmaskarray(tiles)[rows].all()                    # on the blank strip, not on an image
    np.testing.assert_array_equal(np.floor(places[:, 1]), np.arange(7) // 3)


def test_signed_images_are_symmetric_about_white():
    ax = plots.images([[-0.25, 0, 0.1, 0.5]], signed=True)
    picture = ax.images[0]
    assert picture.get_clim() == (-0.5, 0.5) and picture.colorbar is not None
    red, _, blue, _ = np.transpose(picture.to_rgba([-0.5, 0.0, 0.5]))
    assert blue[0] > red[0] and abs(red[1] - blue[1]) < 0.01 and red[1] > 0.95 and red[2] > blue[2]
    plots.images(np.zeros((1, 4)), signed=True)                     # no scale of its own: nothing to divide by


def test_integers_up_to_one_are_images_and_larger_are_not():
    plots.images(np.eye(4, dtype=np.uint8))
    plots.images(np.full((1, 4), -3), signed=True)
    with pytest.raises(ValueError, match=r"X must be grey levels in \[0, 1\], got integers up to 16"):
        plots.images(np.full((1, 4), 16, dtype=np.uint8))


def test_reconstructions_stand_beneath_their_originals():
    ax = plots.reconstructions(GREY, GREY**2, (3, 4))
    upper, lower = cut(ax, 7)
    np.testing.assert_array_equal(upper, GREY.reshape(7, 3, 4))
    np.testing.assert_array_equal(lower, (GREY**2).reshape(7, 3, 4))
    assert names(ax.yaxis) == {"original": 0.5, "reconstruction": 1.5}  # in axes units a row of images has height 1
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


@pytest.mark.parametrize("n_columns", [1, 3, 7])
def test_filters_are_the_columns_each_on_its_own_scale(n_columns):
    W = (GREY.T - 0.5) * 10.0 ** np.arange(-3, 4)                   # (12, 7), weak units and strong ones
    W[:, 2] = 0
    before = W.copy()
    ax = plots.filters(W, (3, 4), n_columns=n_columns)
    grid = [image for row in cut(ax, n_columns) for image in row]
    for j, image in enumerate(grid[:7]):
        np.testing.assert_allclose(image.ravel(), W[:, j] / np.max(np.abs(W[:, j])) if j != 2 else 0)
    assert ax.images[0].get_clim() == (-1, 1) and ax.images[0].get_cmap().name == "RdBu_r"
    assert ax.images[0].colorbar.ax.get_ylabel() == "w / max |w|"
    np.testing.assert_array_equal(W, before)


def test_one_small_filter_has_room_for_its_colour_bar():
    plots.filters(np.eye(4)[:, :1]).figure.draw_without_rendering()         # else matplotlib warns of collapsed axes


def test_unit_sees_most_in_what_its_filter_shows():
    """Among inputs of one length the drawn pattern, and none of the other units' patterns, excites the unit most."""
    W = GREY.T - 0.5
    seen = np.array([image.ravel() for image in cut(plots.filters(W, (3, 4)), 7)[0]])
    seen /= np.linalg.norm(seen, axis=1, keepdims=True)
    np.testing.assert_array_equal(np.argmax(seen @ W, axis=0), np.arange(7))


@pytest.mark.parametrize("call, error, message", [
    (lambda: plots.images(GREY), ValueError, "shape must be .* 12, the columns of X .* got None"),
    (lambda: plots.images(GREY, (3, 5)), ValueError, r"shape must be .* got \(3, 5\)"),
    (lambda: plots.images(GREY, 12), ValueError, "shape must be .* got 12"),
    (lambda: plots.images(GREY, (-3, -4)), ValueError, "shape must be an integer of at least 1, got -3"),
    (lambda: plots.images(GREY, (3.0, 4)), TypeError, "shape must be an integer"),
    (lambda: plots.images(GREY, (3, 4), n_columns=0), ValueError, "n_columns must be an integer of at least 1, got 0"),
    (lambda: plots.images(GREY, (3, 4), signed="yes"), TypeError, "signed must be True or False"),
    (lambda: plots.images(GREY, (3, 4), labels="ab"), ValueError, "labels must be 7 captions"),
    (lambda: plots.images(GREY[0], (3, 4)), ValueError, "X: Expected 2D array"),
    (lambda: plots.images(GREY * np.nan, (3, 4)), ValueError, "X contains NaN"),
    (lambda: plots.reconstructions(GREY, GREY[:3], (3, 4)), ValueError, r"X_hat must have the shape of X, \(7, 12\)"),
    (lambda: plots.reconstructions(GREY[:, :4], GREY), ValueError, "columns of X_hat"),
    (lambda: plots.filters(GREY.T), ValueError, r"shape must be .* 12, the columns of W.T .* None"),
    (lambda: plots.filters(GREY.T, (3, 5)), ValueError, r"columns of W.T .* got \(3, 5\)"),
    (lambda: plots.filters(GREY.T, (3, 4), n_columns=0), ValueError, "n_columns must be an integer of at least 1"),
    (lambda: plots.filters(GREY[0], (3, 4)), ValueError, "W: Expected 2D array"),
    (lambda: plots.filters(GREY.T * np.nan, (3, 4)), ValueError, "W contains NaN"),
])
@pytest.mark.filterwarnings("error")
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
