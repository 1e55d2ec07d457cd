"""The ELBO over all Gaussians q of one variable: a bound that moves beneath a log-likelihood that does not."""
import numpy as np

from ..validation import check_matrix, check_number
from .curves import check_curves
from .figure import COLOURS, MARKERS, check_rising, new_axes

GAPS = (0.03, 0.1, 0.3, 1, 3, 10, 30, 100)      # contours, in nats beneath log p(x)
ROUNDING = 1e-9                                 # by which a bound may exceed it, as a share of 1 + |log p(x)|
ABOVE = {"loc": "lower center", "bbox_to_anchor": (0.5, 1), "ncols": 3, "frameon": False, "fontsize": 9,
         "columnspacing": 1.2}                  # a legend of one row: inside it would cover what it names


def elbo_landscape(means, log_sds, elbo, log_px, marks=None, ax=None):
    """The ELBO of q = N(m, s²): contours over (m, log s), and above them the best at each m beneath log p(x).   [EL.1]

        log p(x) − ELBO(m, s) = KL(q ‖ p(z|x)) ≥ 0

    means, log_sds : (M,) and (S,), rising      elbo : (S, M), nats      log_px : a number, which no ELBO may exceed
    marks : dict of name → (m, log s), such as the encoder's q; None: none
    Contours are named by their distance to log p(x), in nats. The Axes that is returned holds the panels as its
    `child_axes` and shows nothing else.
    """
    means, log_sds = check_rising("means", means), check_rising("log_sds", log_sds)
    elbo, log_px = check_matrix("elbo", elbo).astype(float), check_number("log_px", log_px)
    marks = check_curves("marks", marks, 2, low=-np.inf) if marks else {}
    if elbo.shape != (len(log_sds), len(means)):
        raise ValueError(f"elbo must have a row for each of the {len(log_sds)} log_sds, a column for each of the "
                         f"{len(means)} means, got shape {elbo.shape}")
    if np.max(elbo) > log_px + ROUNDING * (1 + abs(log_px)):
        raise ValueError(f"elbo must not exceed log_px = {log_px:g}, whose lower bound it is, got {np.max(elbo):g}")
    ax = new_axes(ax, 6.4, 6.8)
    ax.set_axis_off()
    _best_at_each_mean(ax.inset_axes([0, 0.68, 1, 0.27]), means, np.max(elbo, axis=0), log_px)
    _contours(ax.inset_axes([0, 0, 1, 0.59]), means, log_sds, np.maximum(log_px - elbo, 0), marks)
    return ax


def _contours(ax, means, log_sds, gap, marks):
    levels = [level for level in GAPS if np.min(gap) < level < np.max(gap)]
    if levels:
        greys = [str(grey) for grey in np.linspace(0.7, 0.97, len(levels))]         # the closer to log p(x) the darker
        ax.contourf(means, log_sds, gap, [0, *levels], colors=greys)
        ax.clabel(ax.contour(means, log_sds, gap, levels, colors="0.25", linewidths=0.8), fmt="%g", fontsize=9)
    for i, (name, (m, log_sd)) in enumerate(marks.items()):
        ax.plot(m, log_sd, MARKERS[i % 10], color=COLOURS[i % 10], markeredgecolor="k", markersize=9, linestyle="none",
                label=name)
    if marks:
        ax.legend(**ABOVE)
    ax.set(xlim=means[[0, -1]], ylim=log_sds[[0, -1]], xlabel="m, the mean of q",
           ylabel="log s, s its standard deviation")


def _best_at_each_mean(ax, means, best, log_px):
    ax.axhline(log_px, color="k", linewidth=2, label=f"log p(x) = {log_px:.2f}".replace("-", "−"))
    ax.plot(means, best, color=COLOURS[0], linewidth=2, label="ELBO with the best s")
    ax.fill_between(means, best, log_px, facecolor="0.9", label="KL(q ‖ p(z|x)), contours below")
    depth = max(4 * (log_px - np.max(best)), 3)             # deeper down the curve would only be steep
    ax.set(xlim=means[[0, -1]], ylim=(max(np.min(best), log_px - depth), log_px + 0.1 * depth), ylabel="nats")
    ax.tick_params(labelbottom=False)
    ax.legend(**ABOVE)
