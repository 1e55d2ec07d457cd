"""Laws of one variable: densities as curves, draws as a histogram."""
import numpy as np

from ..validation import check_int
from .curves import check_curves
from .figure import COLOURS, DASHES, check_rising, check_vector, new_axes


def densities(x, curves, draws=None, n_bins=60, ax=None):
    """Densities of one variable, over a histogram of draws, if there are any, in the same units.   [LV.1, KL.2]

    x      : (M,) rising        curves : dict of name → (M,), densities at x
    draws  : (S,), such as samples of a model; the area of the bars between the ends of x is the share of draws there
    n_bins : the number of bars between the ends of x
    """
    x = check_rising("x", x)
    curves = check_curves("curves", curves, len(x), low=0)
    check_int("n_bins", n_bins)
    ax = new_axes(ax, 6.4, 4.2)
    if draws is not None:
        draws, edges = check_vector("draws", draws, low=-np.inf), np.linspace(x[0], x[-1], n_bins + 1)
        share = np.histogram(draws, edges)[0] / len(draws)
        ax.stairs(share / np.diff(edges), edges, fill=True, facecolor="0.85", edgecolor="0.6",
                  label=f"{len(draws):,} draws")
    for i, (name, values) in enumerate(curves.items()):
        ax.plot(x, values, color=COLOURS[i % 10], linestyle=DASHES[i % 4], linewidth=2, label=name)
    ax.set(xlim=(x[0], x[-1]), ylabel="density")
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False)
    return ax
