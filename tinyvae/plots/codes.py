"""The latent space: where codes lie, which dimensions are used, what the decoder makes of them."""
import numpy as np
from matplotlib import colors
from scipy.special import ndtri

from ..validation import check_int, check_matrix, check_number
from .figure import COLOURS, check_vector, new_axes
from .grids import check_cells, draw_grid

MOST_ROWS = 20                         # of a traversal: more are not read
MOST_NAMES = 30                        # of dimensions side by side below an axis
SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
LATENT = "latent dimension {} (prior standard deviations)"


def latent_plane(Z, y=None, dimensions=(0, 1), ax=None):
    """A scatter of codes in two of their dimensions, each drawn as the digit of its class.   [NL.3]

    Z : (N, K)        y : (N,) integer classes, at most ten of them; None: plain dots
    dimensions : the columns of Z to draw, across and upwards; the axes call column k the latent dimension k + 1
    The axes are named for codes whose prior is N(0, I); for others use ax.set_xlabel and ax.set_ylabel.
    """
    Z = check_matrix("Z", Z)
    dimensions = _check_dimensions(dimensions, Z.shape[1])
    if len(dimensions) != 2:
        raise ValueError(f"dimensions must be two columns of Z, got {dimensions}")
    if y is not None:
        y = np.asarray(y)
        if y.shape != (len(Z),) or y.dtype.kind not in "iu" or len(np.unique(y)) > 10:
            raise ValueError(f"y must be {len(Z)} integers of at most 10 classes, one for each row of Z, got "
                             f"{len(np.unique(y))} classes in an array of {y.dtype} and shape {y.shape}")
    Z, ax = Z[:, dimensions], new_axes(ax, 6.5, 6.5)
    if y is None:
        ax.scatter(*Z.T, s=8, marker="o", color=COLOURS[0], alpha=0.7, linewidths=0)
    else:
        for label, colour in zip(np.unique(y), COLOURS):    # a darker edge keeps the pale colours legible
            ax.scatter(*Z[y == label].T, s=38, marker=rf"$\mathbf{{{label}}}$", facecolor=colour, linewidths=0.4,
                       edgecolor=0.65 * np.array(colors.to_rgb(colour)))
    across, upwards = (LATENT.format(k + 1) for k in dimensions)
    ax.set(xlabel=across, ylabel=upwards, aspect="equal")
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
    n = check_int("n", n, minimum=2)
    steps = (ndtri((np.arange(n) + 0.5) / n) if extent is None else
             np.linspace(-1, 1, n) * check_number("extent", extent, low=0, open_low=True))
    z1, z2 = np.meshgrid(steps, steps[::-1])                # images are laid from the top: the largest z₂ first
    cells = _decoded(decode, np.column_stack([z1.ravel(), z2.ravel()]), shape)
    ax = draw_grid(ax, cells, n, inches=0.45)
    shown = _spread(n, most=8)
    names = _in_text(steps[shown])
    ax.set_xticks(shown + 0.5, names, fontsize=9)
    ax.set_yticks(n - 0.5 - shown, names, fontsize=9)
    ax.set(xlabel=LATENT.format(1), ylabel=LATENT.format(2))
    return ax


def traversals(decode, z, dimensions=None, extent=3.0, n=11, shape=None, ax=None):
    """What the decoder makes of a code when one coordinate moves and all others stay: a row for each dimension.

        row k:   decode(z₁, …, z_k = t, …, z_K),   t in n even steps from −extent to extent

    decode : callable, (N, K) → (N, D): the mean of p(x|z), grey levels in [0, 1]        z : (K,), where all rows start
    dimensions : the columns to move, counted from 0, at most 20 of them; None: all. The axis counts from 1, as in z₁.
    extent : prior standard deviations        n : images a row, at least 2        shape : (height, width); None: square
    """
    z = check_vector("z", z, low=-np.inf)
    dimensions = _check_dimensions(range(len(z)) if dimensions is None else dimensions, len(z))
    if len(dimensions) > MOST_ROWS:
        raise ValueError(f"dimensions must be at most {MOST_ROWS} columns, a row of images each, got "
                         f"{len(dimensions)}; choose some, for example those of largest KL")
    n = check_int("n", n, minimum=2)
    steps = np.linspace(-1, 1, n) * check_number("extent", extent, low=0, open_low=True)
    codes = np.tile(z, (len(dimensions), n, 1))
    for row, k in zip(codes, dimensions):
        row[:, k] = steps
    ax = draw_grid(ax, _decoded(decode, codes.reshape(-1, len(z)), shape), n)
    shown = _spread(n)
    ax.set_xticks(shown + 0.5, _in_text(steps[shown]), fontsize=9)
    ax.set_yticks(np.arange(len(dimensions)) + 0.5, [f"z{k + 1}".translate(SUBSCRIPT) for k in dimensions])
    ax.set(xlabel="value of zₖ (prior standard deviations)")
    return ax


def interpolation(decode, start, end, n=11, shape=None, ax=None):
    """What the decoder makes of the way from one code to another, a row for each pair:  z = (1 − t) start + t end.

    decode : callable, (N, K) → (N, D): the mean of p(x|z), grey levels in [0, 1]
    start, end : (R, K)        n : images a row with both ends, at least 2        shape : (height, width); None: square
    """
    start, end = check_matrix("start", start), check_matrix("end", end)
    if end.shape != start.shape:
        raise ValueError(f"end must have the shape of start, {start.shape}, got {end.shape}")
    t = np.linspace(0, 1, check_int("n", n, minimum=2))
    codes = (1 - t[:, None]) * start[:, None] + t[:, None] * end[:, None]               # (R, n, K)
    ax = draw_grid(ax, _decoded(decode, codes.reshape(-1, start.shape[1]), shape), n)
    shown = _spread(n)
    ax.set_xticks(shown + 0.5, _in_text(t[shown]), fontsize=9)
    ax.set(xlabel="share of the way from start to end")
    return ax


def kl_by_dimension(kl, active=None, ax=None):
    """How much each latent dimension tells of x: its mean KL(q(z_k|x) ‖ p(z_k)), the largest first.   [EL.3]

    kl : (K,), nats per example        active : (K,) bool, units in use; None: all bars alike
    Below the bars stand the dimensions, counted from 1; their ranks if there are more than 30.
    Source: Burda, Grosse and Salakhutdinov 2016, section 5.2, for active units.
    """
    kl = check_vector("kl", kl, low=-1e-6)                  # rounding may leave an unused dimension just below 0
    K, order = len(kl), np.argsort(-kl, kind="stable")
    if active is not None and (np.shape(active) != (K,) or np.asarray(active).dtype != bool):
        raise ValueError(f"active must be {K} of True or False, one for each entry of kl, got {active!r:.60}")
    total = f"total: {np.sum(kl):.4g} nats per example"
    groups = [(total, np.ones(K, dtype=bool), COLOURS[0], "")]
    if active is not None:
        used = np.asarray(active)
        groups = [(f"active: {np.sum(used)} of {K} units", used, COLOURS[0], ""),
                  (f"inactive: {np.sum(~used)} of {K} units", ~used, "0.9", "////")]
    ax = new_axes(ax, 6.4, 4.2)
    for label, units, colour, hatch in groups:
        at = np.flatnonzero(units[order])
        if len(at):
            ax.bar(at + 1, kl[order][at], color=colour, hatch=hatch, edgecolor="0.3", linewidth=0.6, label=label)
    highest = np.max(kl) if np.max(kl) > 0 else 1
    ax.set(xlim=(0.25, K + 0.75), ylim=(0, 1.05 * highest), ylabel="KL(q(zₖ|x) ‖ p(zₖ)) (nats per example)")
    if K <= MOST_NAMES:
        ax.set_xticks(np.arange(1, K + 1), order + 1, fontsize=10 if K <= 20 else 8)
        ax.set(xlabel="latent dimension, largest KL first")
    else:
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set(xlabel="rank of the latent dimension by its KL")
    ax.legend(title=None if active is None else total, alignment="left", frameon=False, loc="lower left",
              bbox_to_anchor=(0, 1), borderaxespad=0.2)
    return ax


def _check_dimensions(dimensions, K):
    """`dimensions` as a list of columns of codes (N, K)."""
    if np.ndim(dimensions) != 1 or not len(dimensions):
        raise TypeError(f"dimensions must be a list of columns from 0 to {K - 1}, got {dimensions!r:.60}")
    dimensions = [check_int("dimensions", k, minimum=0) for k in dimensions]
    if max(dimensions) >= K:
        raise ValueError(f"dimensions must be columns from 0 to {K - 1}, got {dimensions}")
    return dimensions


def _decoded(decode, codes, shape):
    """The images that `decode` makes of the codes, in their order."""
    if not callable(decode):
        raise TypeError(f"decode must be a function from codes (n, K) to images (n, D), got {type(decode).__name__}")
    cells = check_cells("decode(z)", decode(codes), shape)
    if len(cells) != len(codes):
        raise ValueError(f"decode must return a row for each of the {len(codes)} codes it is given, got {len(cells)}")
    return cells


def _spread(n, most=11):
    """Which of n images side by side are named: at most so many, evenly, as many left out at either end."""
    stride = next(s for s in range(-(-n // most), n) if (n - 1) % s % 2 == 0)
    return np.arange((n - 1) % stride // 2, n, stride)


def _in_text(values):
    """Numbers for an axis, with a true minus."""
    return [f"{value:z.2f}".replace("-", "−") for value in values]
