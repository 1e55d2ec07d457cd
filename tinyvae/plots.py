"""The figures of the lessons. The library's only matplotlib.

Every function takes `ax=None` and returns the Axes it drew on. Without an `ax` it makes a Figure of its own, one that pyplot does
not know: nothing stays open, no backend is chosen, no rcParams are read for what carries meaning or changed. To look at it,
`save_figure(ax, "picture.png")`, or end a notebook cell with `ax.figure`.

Images are drawn as ink on paper: 0 is white, 1 is black. Where colour tells things apart, a glyph, a marker or a dash does too.
"""
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from scipy.special import ndtri

from tinyvae.validation import check_bool, check_int, check_matrix, check_number

# Ten colours told apart under the common colour-vision deficiencies and in grey: Petroff 2021, arXiv:2107.02270.
COLOURS = ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (6, 2, 1, 2)))
MARKERS = "osD^vP*X<>"
SEPARATOR = "0.85"                     # the grey between images, and of the places where there is none
ZERO_ERROR = 1e-17                     # where a logarithmic axis draws an error of exactly 0

LATENT = "latent dimension {} (prior standard deviations)"


class _Figure(Figure):
    """A Figure that a notebook can show without being told to use matplotlib."""

    def _repr_png_(self):
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=100, bbox_inches="tight")
        return buffer.getvalue()


def save_figure(figure, path):
    """Writes a figure, or the figure of an Axes, as PNG (150 dots an inch, cropped), closes it, and returns the path.

    path : str or Path ending in .png; missing folders are made, a file of that name is overwritten.
    Raises TypeError if `figure` is neither an Axes nor a Figure, ValueError for another ending.
    """
    if not isinstance(figure, (Axes, FigureBase)):
        raise TypeError(f"figure must be a matplotlib Axes or Figure, got {type(figure).__name__}")
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"path must end in .png, got {str(path)!r}")
    whole = figure.figure.canvas.figure                     # the canvas leads from an Axes in a subfigure to the whole Figure
    path.parent.mkdir(parents=True, exist_ok=True)
    whole.savefig(path, format="png", dpi=150, bbox_inches="tight")
    if not isinstance(whole, _Figure):                      # pyplot holds on to the caller's own figures, not to ours
        from matplotlib import pyplot
        pyplot.close(whole)
    return path


# ---- images ----------------------------------------------------------------------------------------------------------

def images(X, shape=None, n_columns=10, signed=False, labels=None, ax=None):
    """The rows of X as images, in reading order, on one common scale.

    X : (N, D), grey levels in [0, 1], D = height · width        shape : (height, width); None: square
    n_columns : images in a row of the grid
    signed : X takes both signs (components, weights, residuals): blue below 0, white at 0, red above, with a colour bar, and
        limits ± max |X|
    labels : N short captions, one above each image
    Raises ValueError if D is not height · width, if no shape is given and D is not a square, for labels of another length, and for
    integers above 1, which are grey levels not yet divided by 255.
    """
    cells = _cells("X", X, shape)
    n_columns = min(check_int("n_columns", n_columns), len(cells))
    signed = check_bool("signed", signed)
    n_rows = -(-len(cells) // n_columns)
    strip = 0
    if labels is not None:
        labels = [str(label) for label in labels]
        if len(labels) != len(cells):
            raise ValueError(f"labels must be {len(cells)} captions, one for each row of X, got {len(labels)}")
        strip = max(1, round(0.3 * cells.shape[1]))         # blank lines above each image, to write on
        cells = np.pad(cells, ((0, 0), (strip, 0), (0, 0)), constant_values=np.nan)
    ax = _axes(ax, *_grid_size(cells, n_rows, n_columns))
    picture = _draw_grid(ax, cells, n_columns, signed)
    for i, label in enumerate(labels or ()):
        ax.text(i % n_columns + 0.5, i // n_columns + 0.5 * strip / cells.shape[1], label, ha="center", va="center", fontsize=8)
    if signed:
        ax.figure.colorbar(picture, ax=ax, label="value of a pixel", shrink=0.9, aspect=25)
    return ax


def reconstructions(X, X_hat, shape=None, ax=None):
    """Each row of X as an image, and directly beneath it the same row of X_hat.   [AE.1]  x̂ = g(f(x))

    X, X_hat : (N, D), grey levels in [0, 1]; values outside are drawn as the nearer end
    shape : (height, width); None: square
    """
    upper = _cells("X", X, shape)
    lower = _cells("X_hat", X_hat, shape)
    if np.shape(X_hat) != np.shape(X):
        raise ValueError(f"X_hat must have the shape of X, {np.shape(X)}, got {np.shape(X_hat)}")
    ax = _axes(ax, *_grid_size(upper, 2, len(upper)))
    _draw_grid(ax, np.concatenate([upper, lower]), len(upper))
    ax.set_yticks([0.5, 1.5], ["original", "reconstruction"])
    return ax


def manifold(decode, shape=None, n=15, extent=None, ax=None):
    """What the decoder makes of each point of a grid in a two-dimensional latent plane.   [GM.1]

        z = (Φ⁻¹(u₁), Φ⁻¹(u₂)),    u = (i − ½)/n,   i = 1 … n

    so that under the prior N(0, I) every image stands for the same share, 1/n², of what the model generates.

    decode : callable, (n², 2) → (n², D): the mean of p(x|z), grey levels in [0, 1]        shape : (height, width); None: square
    extent : None for the prior's quantiles; a number r for n even steps from −r to r in both dimensions
    z₁ grows to the right, z₂ upwards, as in `latent_plane`.
    Source: Kingma and Welling 2014, appendix A.
    """
    if not callable(decode):
        raise TypeError(f"decode must be a function from codes (n, 2) to images (n, D), got {type(decode).__name__}")
    n = check_int("n", n, minimum=2)
    if extent is None:
        steps = ndtri((np.arange(n) + 0.5) / n)
    else:
        extent = check_number("extent", extent, low=0, open_low=True)
        steps = np.linspace(-extent, extent, n)
    z1, z2 = np.meshgrid(steps, steps[::-1])                # the first row of images is the top one, with the largest z₂
    cells = _cells("decode(z)", decode(np.column_stack([z1.ravel(), z2.ravel()])), shape)
    if len(cells) != n * n:
        raise ValueError(f"decode must return a row for each of the {n * n} codes it is given, got {len(cells)}")
    ax = _axes(ax, *_grid_size(cells, n, n, cell=0.45))
    _draw_grid(ax, cells, n)
    shown = np.unique(np.linspace(0, n - 1, min(n, 8)).round().astype(int))
    names = [f"{steps[i]:z.2f}" for i in shown]
    ax.set_xticks(shown + 0.5, names)
    ax.set_yticks(n - 0.5 - shown, names)
    ax.set(xlabel=LATENT.format(1), ylabel=LATENT.format(2))
    return ax


# ---- codes and curves ------------------------------------------------------------------------------------------------

def latent_plane(Z, y=None, ax=None):
    """A scatter of two-dimensional codes, each drawn as the digit of its class.   [NL.3]

    Z : (N, 2)        y : (N,) integer classes, at most ten different ones; None: plain dots
    The axes are named for codes whose prior is N(0, I); for others, rename them with ax.set_xlabel and ax.set_ylabel.
    """
    Z = check_matrix("Z", Z, n_columns=2, owner="the latent plane")
    if y is not None:
        y = np.asarray(y)
        if y.shape != (len(Z),):
            raise ValueError(f"y must have shape ({len(Z)},), a class for each row of Z, got {y.shape}")
        if y.dtype.kind not in "iu":
            raise TypeError(f"y must be integers, since each code is drawn as its class, got dtype {y.dtype}")
        classes = np.unique(y)
        if len(classes) > len(COLOURS):
            raise ValueError(f"y must have at most {len(COLOURS)} classes, since no more colours can be told apart, "
                             f"got {len(classes)}")
    ax = _axes(ax, 6.5, 6.5)
    if y is None:
        ax.scatter(*Z.T, s=8, color=COLOURS[0], alpha=0.7, linewidths=0)
    else:
        for label, colour in zip(classes, COLOURS):
            ax.scatter(*Z[y == label].T, s=34, marker=rf"$\mathbf{{{label}}}$", color=colour, linewidths=0)
    ax.set(xlabel=LATENT.format(1), ylabel=LATENT.format(2), aspect="equal")
    return ax


def training_curve(history, floor=None, ax=None):
    """Every quantity of a history against the epoch, the loss heavier than its parts.   [EL.1]  loss = reconstruction + KL

    history : dict of equally long lists, nats per example, such as {"loss": …, "reconstruction": …, "kl": …}
    floor : a value that the loss cannot pass (an exact optimum, an entropy); None: not drawn
    """
    if not hasattr(history, "items") or not history:
        raise TypeError("history must be a dict of lists, such as {'loss': [...], 'kl': [...]}, with at least one entry, "
                        f"got {history!r:.60}")
    n_epochs = len(next(iter(history.values())))
    curves = {name: _vector(f"history[{name!r}]", values, n_epochs) for name, values in history.items()}
    if floor is not None:
        floor = check_number("floor", floor)
    ax = _axes(ax, 6.4, 4.2)
    epochs = np.arange(1, n_epochs + 1)
    marker = "o" if n_epochs == 1 else ""                   # a line of one point has no length
    parts = [name for name in curves if name != "loss"]
    for i, name in enumerate(parts):
        ax.plot(epochs, curves[name], color=COLOURS[i % 10], linestyle=DASHES[1 + i % 3], marker=marker, linewidth=1.8,
                label="KL" if name == "kl" else name)
    if "loss" in curves:
        ax.plot(epochs, curves["loss"], color="black", linestyle="-", marker=marker, linewidth=2.4, label="loss")
    if floor is not None:
        ax.axhline(floor, color="0.45", linestyle="-", linewidth=1, label=f"cannot do better than this ({floor:.4g})")
    ax.set(xlabel="epoch", ylabel="nats per example")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(frameon=False)
    return ax


def spectrum(eigenvalues, n_kept, ax=None):
    """The share of the variance in each principal direction, kept against discarded.   [PCA.2]

        share_k = λ_k / Σ_j λ_j        the loss that is left = Σ of the discarded λ

    eigenvalues : (D,) of the covariance, largest first        n_kept : between 0 and D
    """
    eigenvalues = _vector("eigenvalues", eigenvalues)
    rounding = 1e-10 * np.max(np.abs(eigenvalues))          # eigh gives a zero eigenvalue with either sign
    if not np.isfinite(rounding) or np.min(eigenvalues) < -rounding or rounding == 0:
        raise ValueError("eigenvalues must be finite variances, none negative and not all 0, "
                         f"got values from {np.min(eigenvalues)} to {np.max(eigenvalues)}")
    if np.any(np.diff(eigenvalues) > rounding):
        raise ValueError("eigenvalues must come largest first; numpy.linalg.eigh gives them in rising order: eigenvalues[::-1]")
    n_kept = check_int("n_kept", n_kept, minimum=0)
    if n_kept > len(eigenvalues):
        raise ValueError(f"n_kept must be at most the number of eigenvalues, {len(eigenvalues)}, got {n_kept}")
    share = 100 * np.maximum(eigenvalues, 0) / np.sum(np.maximum(eigenvalues, 0))
    ax = _axes(ax, 6.4, 4.0)
    edges = np.arange(len(share) + 1) + 0.5
    for name, part, look in (("kept", slice(0, n_kept), dict(facecolor=COLOURS[0])),
                             ("discarded", slice(n_kept, None), dict(facecolor="0.9", hatch="////"))):
        n = len(share[part])
        if n:
            ax.stairs(share[part], edges[part.start:part.start + n + 1], fill=True, edgecolor="0.3", linewidth=0.6,
                      label=f"{name}: {n} of {len(share)}, {np.sum(share[part]):.1f} % of the variance", **look)
    ax.set(xlabel="principal direction", ylabel="share of the variance (%)", xlim=(edges[0], edges[-1]))
    ax.set_ylim(bottom=0)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(frameon=False)
    return ax


def error_against_step(steps, errors, ax=None):
    """How far each numerical derivative is from the truth, against its step h, both axes logarithmic.

    steps : (M,) positive        errors : dict of method → (M,) relative errors; an error of 0 is drawn at 1e-17
    """
    steps = _vector("steps", steps)
    if not np.all((steps > 0) & np.isfinite(steps)):
        raise ValueError(f"steps must be positive and finite for a logarithmic axis, got values from {np.min(steps)} to "
                         f"{np.max(steps)}")
    if not hasattr(errors, "items") or not errors:
        raise TypeError("errors must be a dict of arrays, such as {'central': [...]}, with at least one entry, "
                        f"got {errors!r:.60}")
    curves = {name: _vector(f"errors[{name!r}]", values, len(steps)) for name, values in errors.items()}
    for name, values in curves.items():
        if not np.all((values >= 0) & np.isfinite(values)):
            raise ValueError(f"errors[{name!r}] must be finite and at least 0, got values from {np.min(values)} to "
                             f"{np.max(values)}")
    ax = _axes(ax, 6.4, 4.4)
    for i, (name, values) in enumerate(curves.items()):
        ax.plot(steps, np.maximum(values, ZERO_ERROR), color=COLOURS[i % 10], linestyle=DASHES[i % 4], linewidth=1.6,
                marker=MARKERS[i % 10], markersize=5, label=name)
    if any(np.min(values) <= ZERO_ERROR for values in curves.values()):
        ax.axhline(ZERO_ERROR, color="0.45", linestyle="-", linewidth=1, zorder=1, label="an error of 0 is drawn here")
    ax.set(xscale="log", yscale="log", xlabel="step h", ylabel="relative error of the derivative")
    ax.legend(frameon=False)
    return ax


# ---- what they share -------------------------------------------------------------------------------------------------

def _axes(ax, width, height):
    """The caller's Axes, or those of a new figure of that size in inches."""
    if ax is None:
        return _Figure(figsize=(width, height), layout="constrained").subplots()
    if not isinstance(ax, Axes):
        raise TypeError(f"ax must be a matplotlib Axes or None, got {type(ax).__name__}")
    return ax


def _vector(name, values, length=None):
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) == 0 or (length is not None and len(values) != length):
        expected = "at least one number" if length is None else f"{length} numbers, as many as the others"
        raise ValueError(f"{name} must be a list of {expected}, got shape {values.shape}")
    return values


def _cells(name, X, shape):
    """The rows of X as (N, height, width) floats."""
    X = check_matrix(name, X)
    if shape is None:
        side = round(X.shape[1] ** 0.5)
        if side * side != X.shape[1]:
            raise ValueError(f"{name} has {X.shape[1]} columns, which make no square image; give shape=(height, width)")
        shape = side, side
    if np.shape(shape) != (2,):
        raise ValueError(f"shape must be (height, width), got {shape!r}")
    height, width = (check_int("shape", side) for side in shape)
    if height * width != X.shape[1]:
        raise ValueError(f"shape {shape} takes {height * width} pixels, but {name} has {X.shape[1]} columns")
    if X.dtype.kind in "iu" and X.max() > 1:
        raise ValueError(f"{name} must be grey levels in [0, 1], got integers up to {X.max()}; divide by their largest, {name} / 255")
    return X.reshape(-1, height, width).astype(float)


def _grid_size(cells, n_rows, n_columns, cell=0.65):
    """Inches for a grid of images whose longer side takes `cell`, with room for what stands around it."""
    height, width = (cell * side / max(cells.shape[1:]) for side in cells.shape[1:])
    return n_columns * width + 0.8, n_rows * height + 0.6


def _draw_grid(ax, cells, n_columns, signed=False):
    """Tiles the cells, n_columns in a row. In the axes' units a cell is 1 × 1, and the first has its corner at (0, 0)."""
    n, height, width = cells.shape
    n_rows = -(-n // n_columns)
    tiles = np.full((n_rows * n_columns, height, width), np.nan)
    tiles[:n] = cells
    tiles = tiles.reshape(n_rows, n_columns, height, width).swapaxes(1, 2).reshape(n_rows * height, n_columns * width)
    largest = max(np.nanmax(np.abs(cells)), np.finfo(float).tiny) if signed else 1.0
    picture = ax.imshow(tiles, cmap=matplotlib.colormaps["RdBu_r" if signed else "gray_r"], vmin=-largest if signed else 0.0,
                        vmax=largest, extent=(0, n_columns, n_rows, 0), origin="upper", interpolation="nearest",
                        aspect=height / width)
    ax.hlines(range(1, n_rows), 0, n_columns, color=SEPARATOR, linewidth=1)
    ax.vlines(range(1, n_columns), 0, n_rows, color=SEPARATOR, linewidth=1)
    ax.set(xlim=(0, n_columns), ylim=(n_rows, 0), xticks=[], yticks=[], facecolor=SEPARATOR)
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_color(SEPARATOR)
    return picture
