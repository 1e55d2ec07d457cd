"""The figures of the lessons. The library's only matplotlib.

Every function takes `ax=None` and returns the Axes it drew on. Without an `ax` it makes a figure that pyplot does not
know: nothing stays open. To see it, `save_figure(ax, "a.png")`, or end a notebook cell with `ax.figure`.
Images are ink on paper: 0 is white, 1 black. Where colour tells things apart, a glyph, a marker or a dash does so too.
"""
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib import colors, pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from scipy.special import ndtri

from .validation import check_bool, check_int, check_matrix, check_number

# Ten colours told apart under the common colour-vision deficiencies: Petroff 2021, arXiv:2107.02270.
COLOURS = ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.2)), (0, (6, 2, 1, 2)))
MARKERS = "osD^vP*X<>"
ZERO_ERROR = 1e-17                     # where a logarithmic axis draws an error of exactly 0
LATENT = "latent dimension {} (prior standard deviations)"


class _Figure(Figure):
    """A Figure that a notebook shows without having been told to use matplotlib."""
    def _repr_png_(self):
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=100, bbox_inches="tight")
        return buffer.getvalue()


def save_figure(ax_or_figure, path):
    """Writes the figure (or that of an Axes) as PNG, 150 dots an inch, cropped; closes it and returns the path.

    path : str or Path ending in .png; missing folders are made, a file of that name is overwritten
    """
    if not isinstance(ax_or_figure, (Axes, FigureBase)):
        raise TypeError(f"ax_or_figure must be a matplotlib Axes or Figure, got {type(ax_or_figure).__name__}")
    path = Path(path)
    if path.suffix != ".png":
        raise ValueError(f"path must end in .png, got {str(path)!r}")
    figure = ax_or_figure.figure.canvas.figure              # by way of the canvas: an Axes may sit in a subfigure
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", dpi=150, bbox_inches="tight")
    pyplot.close(figure)                                    # of ours pyplot knows nothing; the caller's may be its own
    return path


def images(X, shape=None, n_columns=10, signed=False, labels=None, ax=None):
    """The rows of X as images, in reading order, on one common scale.

    X : (N, D), D = height · width, grey levels in [0, 1]; values outside are drawn as the nearer end
    shape : (height, width); None: square        n_columns : images side by side
    signed : X takes both signs (components, residuals): blue to red with white at 0, limits ± max |X|, a colour bar
    labels : N short captions, one above each image
    """
    cells = _cells("X", X, shape, check_bool("signed", signed))
    n_columns = min(check_int("n_columns", n_columns), len(cells))
    if labels is not None and len(labels) != len(cells):
        raise ValueError(f"labels must be {len(cells)} captions, one for each row of X, got {len(labels)}")
    ax, picture = _draw_grid(ax, cells, n_columns, signed, labels)
    if signed:
        ax.figure.colorbar(picture, cax=ax.inset_axes([1.02, 0, 0.025, 1]), label="value").ax.grid(False)
    return ax


def reconstructions(X, X_hat, shape=None, ax=None):
    """Each row of X as an image, and directly beneath it the same row of X_hat.   [AE.1]  x̂ = g(f(x))

    X, X_hat : (N, D), grey levels in [0, 1] as in `images`        shape : (height, width); None: square
    """
    upper, lower = _cells("X", X, shape), _cells("X_hat", X_hat, shape)
    if lower.shape != upper.shape:
        raise ValueError(f"X_hat must have the shape of X, {np.shape(X)}, got {np.shape(X_hat)}")
    ax, _ = _draw_grid(ax, np.concatenate([upper, lower]), len(upper))
    ax.set_yticks([0.5, 1.5], ["original", "reconstruction"])
    return ax


def manifold(decode, shape=None, n=15, extent=None, ax=None):
    """What the decoder makes of each point of a grid in a two-dimensional latent plane.   [GM.1]

        z = (Φ⁻¹(u_i), Φ⁻¹(u_j)),    u_i = (i − ½)/n,   i = 1 … n

    Under the prior N(0, I) each image then stands for the same share, 1/n², of what the model generates.
    decode : callable, (n², 2) → (n², D): the mean of p(x|z), grey levels in [0, 1]
    shape : (height, width); None: square        n : images a side, at least 2
    extent : None for the prior's quantiles; a number r for even steps from −r to r
    z₁ grows to the right, z₂ upwards, as in `latent_plane`.        Source: Kingma and Welling 2014, appendix A.
    """
    if not callable(decode):
        raise TypeError(f"decode must be a function from codes (n, 2) to images (n, D), got {type(decode).__name__}")
    n = check_int("n", n, minimum=2)
    steps = (ndtri((np.arange(n) + 0.5) / n) if extent is None else
             np.linspace(-1, 1, n) * check_number("extent", extent, low=0, open_low=True))
    z1, z2 = np.meshgrid(steps, steps[::-1])                # images are laid from the top: the largest z₂ first
    cells = _cells("decode(z)", decode(np.column_stack([z1.ravel(), z2.ravel()])), shape)
    if len(cells) != n * n:
        raise ValueError(f"decode must return a row for each of the {n * n} codes it is given, got {len(cells)}")
    ax, _ = _draw_grid(ax, cells, n, inches=0.45)
    stride = next(s for s in range(-(-n // 8), n) if (n - 1) % s % 2 == 0)  # at most 8 ticks, alike from both ends
    shown = np.arange((n - 1) % stride // 2, n, stride)
    names = [f"{z:z.2f}".replace("-", "−") for z in steps[shown]]
    ax.set_xticks(shown + 0.5, names, fontsize=9)
    ax.set_yticks(n - 0.5 - shown, names, fontsize=9)
    ax.set(xlabel=LATENT.format(1), ylabel=LATENT.format(2))
    return ax


def latent_plane(Z, y=None, ax=None):
    """A scatter of two-dimensional codes, each drawn as the digit of its class.   [NL.3]

    Z : (N, 2)        y : (N,) integer classes, at most ten of them; None: plain dots
    The axes are named for codes whose prior is N(0, I); for others use ax.set_xlabel and ax.set_ylabel.
    """
    Z = check_matrix("Z", Z, n_columns=2, owner="the latent plane")
    if y is not None:
        y = np.asarray(y)
        if y.shape != (len(Z),) or y.dtype.kind not in "iu" or len(np.unique(y)) > 10:
            raise ValueError(f"y must be {len(Z)} integers of at most 10 classes, one for each row of Z, got "
                             f"{len(np.unique(y))} classes in an array of {y.dtype} and shape {y.shape}")
    ax = _axes(ax, 6.5, 6.5)
    if y is None:
        ax.scatter(*Z.T, s=8, marker="o", color=COLOURS[0], alpha=0.7, linewidths=0)
    else:
        for label, colour in zip(np.unique(y), COLOURS):    # a darker edge keeps the pale colours legible
            ax.scatter(*Z[y == label].T, s=38, marker=rf"$\mathbf{{{label}}}$", facecolor=colour, linewidths=0.4,
                       edgecolor=0.65 * np.array(colors.to_rgb(colour)))
    ax.set(xlabel=LATENT.format(1), ylabel=LATENT.format(2), aspect="equal")
    return ax


def training_curve(history, floor=None, ax=None):
    """Each quantity of a history against the epoch, the loss heavier.   [EL.1]  loss = reconstruction + KL

    history : dict of equally long lists, nats per example, such as {"loss": …, "reconstruction": …, "kl": …}
    floor : a value that the loss cannot pass (an exact optimum, an entropy); None: not drawn
    """
    curves = _curves("history", history)
    floor = None if floor is None else check_number("floor", floor)
    epochs = np.arange(1, len(next(iter(curves.values()))) + 1)
    marker = "o" if len(epochs) == 1 else "none"            # a line of one point has no length
    ax = _axes(ax, 6.4, 4.2)
    if "loss" in curves:
        ax.plot(epochs, curves.pop("loss"), "k-", linewidth=2.4, marker=marker, zorder=3, label="loss")
    for i, (name, values) in enumerate(curves.items()):
        ax.plot(epochs, values, color=COLOURS[i % 10], linestyle=DASHES[1 + i % 3], linewidth=2, marker=marker,
                label="KL" if name == "kl" else name)
    if floor is not None:
        ax.axhline(floor, color="0.45", linestyle="-", linewidth=1, label=f"cannot do better than this ({floor:.4g})")
    ax.set(xlabel="epoch", ylabel="nats per example")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(frameon=False)
    return ax


def spectrum(eigenvalues, n_kept, ax=None):
    """The share of the variance in each principal direction, λ_k / Σ_j λ_j, kept against discarded.   [PCA.2]

    eigenvalues : (D,) of the covariance, largest first        n_kept : from 0 to D; the loss left is Σ of the other λ
    """
    eigenvalues = _vector("eigenvalues", eigenvalues)
    rounding = 1e-10 * np.max(np.abs(eigenvalues))          # eigh gives a zero eigenvalue either sign
    lam = np.where(np.abs(eigenvalues) <= rounding, 0, eigenvalues)
    if not (0 < lam[0] < np.inf and lam[-1] >= 0 and np.all(np.diff(lam) <= 0)):
        raise ValueError("eigenvalues must be finite, none negative, not all 0, the largest first (those of "
                         f"numpy.linalg.eigh rise: take [::-1]), got {eigenvalues}")
    D, share = len(lam), 100 * lam / np.sum(lam)
    if check_int("n_kept", n_kept, minimum=0) > D:
        raise ValueError(f"n_kept must be at most {D}, the number of eigenvalues, got {n_kept}")
    ax = _axes(ax, 6.4, 4.2)
    for name, i, j, colour, hatch in (("kept", 0, n_kept, COLOURS[0], ""), ("discarded", n_kept, D, "0.9", "////")):
        ax.stairs(share[i:j], np.arange(i, j + 1) + 0.5, fill=True, facecolor=colour, hatch=hatch, edgecolor="0.3",
                  linewidth=0.6, label=f"{name}: {j - i} of {D}, {np.sum(share[i:j]):.1f} % of the variance")
    ax.set(xlabel="principal direction", ylabel="share of the variance (%)")
    ax.set(xlim=(0.5, D + 0.5), ylim=(0, 1.05 * share[0]))
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)  # bars may fill the frame
    return ax


def error_against_step(steps, errors, ax=None):
    """How far a numerical derivative is from the truth, against its step h, both axes logarithmic.

    steps : (M,) positive        errors : dict of method → (M,) relative errors; an error of 0 is drawn at 1e-17
    """
    steps = _vector("steps", steps, low=1e-300)
    curves = _curves("errors", errors, len(steps), low=0)
    ax = _axes(ax, 6.4, 4.4)
    for i, (name, values) in enumerate(curves.items()):
        ax.plot(steps, np.maximum(values, ZERO_ERROR), color=COLOURS[i % 10], linestyle=DASHES[i % 4], linewidth=1.6,
                marker=MARKERS[i % 10], markersize=6, markerfacecolor="none", label=name)
    if min(map(np.min, curves.values())) <= ZERO_ERROR:
        ax.axhline(ZERO_ERROR, color="0.45", linestyle="-", linewidth=1, zorder=1, label="an error of 0 is drawn here")
    ax.set(xscale="log", yscale="log", xlabel="step h", ylabel="relative error of the derivative")
    ax.legend(frameon=False)
    return ax


def _axes(ax, width, height):
    """The caller's Axes, or those of a new figure of that size in inches."""
    if not isinstance(ax, (Axes, type(None))):
        raise TypeError(f"ax must be a matplotlib Axes or None, got {type(ax).__name__}")
    return _Figure(figsize=(width, height), layout="constrained").subplots() if ax is None else ax


def _vector(name, values, length=None, low=None):
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or not len(values) or length not in (None, len(values)):
        raise ValueError(f"{name} must be a list of {length or 'one or more'} numbers, got shape {values.shape}")
    if low is not None and not np.all((values >= low) & (values < np.inf)):
        raise ValueError(f"{name} must be finite numbers of at least {low}, got {values}")
    return values


def _curves(name, curves, length=None, low=None):
    """A dict of vectors of that length, or as long as the first."""
    if not isinstance(curves, dict) or not curves:
        raise TypeError(f"{name} must be a dict of lists with at least one entry, got {curves!r:.60}")
    length = length or np.size(next(iter(curves.values())))
    return {key: _vector(f"{name}[{key!r}]", values, length, low) for key, values in curves.items()}


def _cells(name, X, shape, signed=False):
    """The rows of X as (N, height, width) floats."""
    X = check_matrix(name, X)
    sides = (round(X.shape[1] ** 0.5),) * 2 if shape is None else shape
    if np.shape(sides) != (2,) or check_int("shape", sides[0]) * check_int("shape", sides[1]) != X.shape[1]:
        raise ValueError(f"shape must be (height, width) with height · width = {X.shape[1]}, the columns of {name} "
                         f"(None: a square), got {shape}")
    if not signed and X.dtype.kind in "iu" and X.max() > 1:
        raise ValueError(f"{name} must be grey levels in [0, 1], got integers up to {X.max()}; divide by that of black")
    return X.reshape(-1, *sides).astype(float)


def _draw_grid(ax, cells, n_columns, signed=False, labels=None, inches=0.65):
    """Tiles the images. In the units of the axes each has a square of side 1, and the grid's upper left is (0, 0)."""
    n, height, width = cells.shape
    n_rows = -(-n // n_columns)
    gap = max(1, round(min(height, width) / 14))            # pixels between images
    strip = 0 if labels is None else max(1, round(0.3 * height))            # and above each, to write on
    tiles = np.full((n_rows * n_columns, gap + strip + height, gap + width), np.nan)
    tiles[:n, gap + strip:, gap:] = cells
    _, height, width = tiles.shape
    tiles = tiles.reshape(n_rows, n_columns, height, width).swapaxes(1, 2).reshape(n_rows * height, n_columns * width)
    x, y, inch = gap / width / 2, gap / height / 2, inches / max(height, width)      # half a gap is cut off all around
    ax = _axes(ax, inch * width * n_columns + 1, inch * height * n_rows + 0.6)
    largest = np.max(np.abs(cells)) or 1.0
    colours, low, high, between = ("RdBu_r", -largest, largest, "0.85") if signed else ("gray_r", 0, 1, "#d8e4f2")
    picture = ax.imshow(tiles[gap:, gap:], cmap=colours, vmin=low, vmax=high, extent=(x, n_columns - x, n_rows - y, y),
                        aspect=height / width, origin="upper", interpolation="nearest")
    for i, label in enumerate(labels if strip else ()):
        ax.text(i % n_columns + 0.5, i // n_columns + y + strip / height / 2, label, ha="center", va="center", size=8)
    ax.set(xticks=[], yticks=[], facecolor=between)         # between images, a tint that no pixel has
    ax.tick_params(length=0, grid_alpha=0)
    ax.spines[:].set_color(between)
    return ax, picture
