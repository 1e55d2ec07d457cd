"""The exact posterior of two latent dimensions, and the Gaussian that an encoder makes of it."""
import numpy as np
from matplotlib.patches import Patch

from ..validation import check_matrix
from .codes import LATENT
from .figure import COLOURS, DASHES, check_rising, check_vector, new_axes

GREYS = ("0.93", "0.82", "0.66")       # from 3, 2 and 1 standard deviations of a Gaussian inwards
OUTSIDE = 0.04                         # what is seen around all that is drawn, as a share of its width


def posterior_against_q(z1, z2, density, mean, covariance, ax=None):
    """Contours of p(z|x) on a grid, and over them the ellipses of q(z|x) = N(mean, covariance).   [GM.E]

        p(z|x) ≥ e^(−r²/2) max p(z|x),  r = 1, 2, 3        (z − mean)ᵀ covariance⁻¹ (z − mean) = r²,  r = 1, 2

    If q were the posterior, its ellipses would be the edges of the two darker greys.
    z1, z2 : (n1,) and (n2,), rising      mean : (2,)      covariance : (2, 2), of a diagonal q numpy.diag(variances)
    density : (n1, n2), at [i, j] that of (z1[i], z2[j]); a constant factor changes nothing
    Of the grid that part is shown in which there is something to see.
    """
    z1, z2 = check_rising("z1", z1), check_rising("z2", z2)
    density = check_matrix("density", density).astype(float)
    if density.shape != (len(z1), len(z2)):
        raise ValueError(f"density must be of shape (len(z1), len(z2)) = {len(z1), len(z2)}, got {density.shape}")
    if np.min(density) < 0 or not np.any(density):
        raise ValueError("density must not be negative, and positive somewhere, got values from "
                         f"{np.min(density):g} to {np.max(density):g}")
    mean, ellipse = check_vector("mean", mean, 2, low=-np.inf), _unit_ellipse(covariance)
    ax = new_axes(ax, 6, 6)
    levels = np.max(density) * np.exp(-np.square((3, 2, 1, 0)) / 2)
    ax.contourf(z1, z2, density.T, levels, colors=GREYS)
    handles = [Patch(facecolor=GREYS[1], label="exact p(z|x)")]
    for r, dashes in zip((1, 2), DASHES):
        handles += ax.plot(*(mean + r * ellipse).T, color=COLOURS[2], linestyle=dashes, linewidth=1.8,
                           label=f"q(z|x), {r} sd")
    ax.plot(*mean, color=COLOURS[2], marker="+", markersize=9, markeredgewidth=1.8)
    ax.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False, fontsize=9,
              columnspacing=1.2)       # above: inside it would cover what it names
    across, upwards = (z[np.any(density >= levels[0], axis=axis)] for z, axis in ((z1, 1), (z2, 0)))
    outer = mean + 2 * ellipse
    ax.set(xlim=_limits(across, outer[:, 0]), ylim=_limits(upwards, outer[:, 1]), aspect="equal",
           xlabel=LATENT.format(1), ylabel=LATENT.format(2))
    return ax


def _unit_ellipse(covariance):
    """Points L (cos t, sin t) with L Lᵀ = covariance, (n, 2): where zᵀ covariance⁻¹ z = 1."""
    covariance = check_matrix("covariance", covariance, 2, "a plane").astype(float)
    rounding = 1e-6 * np.max(np.abs(covariance))
    if covariance.shape != (2, 2) or np.max(np.abs(covariance - covariance.T)) > rounding:
        raise ValueError(f"covariance must be a symmetric matrix (2, 2), got {covariance}")
    t = np.linspace(0, 2 * np.pi, 181)
    try:
        return np.column_stack([np.cos(t), np.sin(t)]) @ np.linalg.cholesky(covariance).T
    except np.linalg.LinAlgError:
        raise ValueError(f"covariance must be positive definite, got {covariance}") from None


def _limits(seen, ellipse):
    """The ends of an axis that shows both."""
    low, high = min(np.min(seen), np.min(ellipse)), max(np.max(seen), np.max(ellipse))
    return low - OUTSIDE * (high - low), high + OUTSIDE * (high - low)
