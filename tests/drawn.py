"""What a figure shows, read back from its Axes; and the data that the figures are given to show."""
import numpy as np
from scipy.stats import norm

RNG = np.random.default_rng(20)
GREY = RNG.random((7, 12))                             # seven images of 3 × 4
CODES = RNG.normal(size=(40, 2))
CLASSES = np.arange(40) % 10
WIDE = RNG.normal(size=(5, 12))                        # codes of twelve dimensions
STEPS = 10.0 ** np.arange(-8, 0)
HISTORY = {"loss": [9.0, 7.0, 6.5], "reconstruction": [8.0, 5.0, 4.0], "kl": [1.0, 2.0, 2.5]}


def two_pixels(z):
    """An image whose two grey levels say which code it was made from."""
    return norm.cdf(z)


def cut(ax, n_columns):
    """The images of a grid, found as what lies between its blank rows and columns."""
    tiles = np.ma.filled(ax.images[0].get_array().astype(float), np.nan)
    rows, columns = (np.flatnonzero(np.isfinite(tiles).any(axis=axis)) for axis in (1, 0))
    rows, columns = (np.split(at, np.flatnonzero(np.diff(at) > 1) + 1) for at in (rows, columns))
    assert len(columns) == n_columns
    return [[tiles[np.ix_(r, c)] for c in columns] for r in rows]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def names(axis):
    """Where each name stands along an axis."""
    return {text.get_text(): at for text, at in zip(axis.get_ticklabels(), axis.get_ticklocs())}


def names_are_apart(ax):
    """Whether no two names along the axis below touch when the figure is drawn."""
    ax.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.get_xticklabels() if text.get_text()]
    return all(left.x1 + 1 < right.x0 for left, right in zip(boxes, boxes[1:]))
