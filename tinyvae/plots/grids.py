"""Grids of images, in ink on paper."""
import numpy as np

from ..validation import check_bool, check_int, check_matrix
from .figure import new_axes


def images(X, shape=None, n_columns=10, signed=False, labels=None, ax=None):
    """The rows of X as images, in reading order, on one common scale.

    X : (N, D), D = height · width, grey levels in [0, 1]; values outside are drawn as the nearer end
    shape : (height, width); None: square        n_columns : images side by side
    signed : X takes both signs (components, residuals): blue to red with white at 0, limits ± max |X|, a colour bar
    labels : N short captions, one above each image
    """
    cells = check_cells("X", X, shape, check_bool("signed", signed))
    n_columns = min(check_int("n_columns", n_columns), len(cells))
    if labels is not None and len(labels) != len(cells):
        raise ValueError(f"labels must be {len(cells)} captions, one for each row of X, got {len(labels)}")
    return draw_grid(ax, cells, n_columns, "value" if signed else None, labels)


def reconstructions(X, X_hat, shape=None, ax=None):
    """Each row of X as an image, and directly beneath it the same row of X_hat.   [AE.1]  x̂ = g(f(x))

    X, X_hat : (N, D), grey levels in [0, 1] as in `images`        shape : (height, width); None: square
    """
    upper, lower = check_cells("X", X, shape), check_cells("X_hat", X_hat, shape)
    if lower.shape != upper.shape:
        raise ValueError(f"X_hat must have the shape of X, {np.shape(X)}, got {np.shape(X_hat)}")
    ax = draw_grid(ax, np.concatenate([upper, lower]), len(upper))
    ax.set_yticks([0.5, 1.5], ["original", "reconstruction"])
    return ax


def filters(W, shape=None, n_columns=10, ax=None):
    """What each hidden unit looks for: the columns of a layer's weights as signed images, in reading order.

        h = φ(x W + b):  of all inputs x of one length, that along column j of W makes unit j's x W + b the largest

    W : (D, H) as the layer stores it, such as parameters_["encoder.0.W"]; W.T of the decoder's last layer shows instead
        what each hidden unit adds to the image
    Each is divided by its own largest |weight|, so that weak units are seen as well as strong: w / max |w|.
    shape : (height, width); None: square        n_columns : images side by side
    """
    W = check_matrix("W", W)
    cells = check_cells("W.T", W.T, shape, signed=True)
    largest = np.max(np.abs(cells), axis=(1, 2), keepdims=True)
    cells /= np.where(largest > 0, largest, 1)              # a unit without weights stays white
    n_columns = min(check_int("n_columns", n_columns), len(cells))
    return draw_grid(ax, cells, n_columns, "w / max |w|")


def check_cells(name, X, shape, signed=False):
    """The rows of X as (N, height, width) floats."""
    X = check_matrix(name, X)
    sides = (round(X.shape[1] ** 0.5),) * 2 if shape is None else shape
    if np.shape(sides) != (2,) or check_int("shape", sides[0]) * check_int("shape", sides[1]) != X.shape[1]:
        raise ValueError(f"shape must be (height, width) with height · width = {X.shape[1]}, the columns of {name} "
                         f"(None: a square), got {shape}")
    if not signed and X.dtype.kind in "iu" and X.max() > 1:
        raise ValueError(f"{name} must be grey levels in [0, 1], got integers up to {X.max()}; divide by that of black")
    return X.reshape(-1, *sides).astype(float)


def draw_grid(ax, cells, n_columns, unit=None, labels=None, inches=0.65):
    """Tiles the images. In the units of the axes each has a square of side 1, and the grid's upper left is (0, 0).

    unit : that of signed values, which get a colour bar; None: grey levels        inches : the longer side of an image
    """
    n, height, width = cells.shape
    n_rows = -(-n // n_columns)
    gap = max(1, round(min(height, width) / 14))            # pixels between images
    strip = 0 if labels is None else max(1, round(0.3 * height))            # and above each, to write on
    tiles = np.full((n_rows * n_columns, gap + strip + height, gap + width), np.nan)
    tiles[:n, gap + strip:, gap:] = cells
    _, height, width = tiles.shape
    tiles = tiles.reshape(n_rows, n_columns, height, width).swapaxes(1, 2).reshape(n_rows * height, n_columns * width)
    x, y, inch = gap / width / 2, gap / height / 2, inches / max(height, width)      # half a gap is cut off all around
    ax = new_axes(ax, inch * width * n_columns + 1, inch * height * n_rows + 0.6)
    largest = np.max(np.abs(cells)) or 1.0
    colours, low, high, between = ("RdBu_r", -largest, largest, "0.85") if unit else ("gray_r", 0, 1, "#d8e4f2")
    picture = ax.imshow(tiles[gap:, gap:], cmap=colours, vmin=low, vmax=high, extent=(x, n_columns - x, n_rows - y, y),
                        aspect=height / width, origin="upper", interpolation="nearest")
    for i, label in enumerate(labels if strip else ()):
        ax.text(i % n_columns + 0.5, i // n_columns + y + strip / height / 2, label, ha="center", va="center", size=8)
    ax.set(xticks=[], yticks=[], facecolor=between)         # between images, a tint that no pixel has
    ax.tick_params(length=0, grid_alpha=0)
    ax.spines[:].set_color(between)
    if unit:
        ax.figure.colorbar(picture, cax=ax.inset_axes([1.02, 0, 0.025, 1]), label=unit).ax.grid(False)
    return ax
