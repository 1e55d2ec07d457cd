"""How fast several methods come to one optimum."""
import numpy as np

from .figure import COLOURS, DASHES, check_vector, new_axes


def convergence(gaps, ax=None):
    """How far below the optimum each method is after each step: a straight line where every step is as good a share.

    gaps : dict of name → list, each of its own length, in nats per example. What is not positive (by rounding, at the
        end) has no place on a logarithmic axis and is left out
    """
    if not isinstance(gaps, dict) or not gaps:
        raise TypeError(f"gaps must be a dict of lists with at least one entry, got {gaps!r:.60}")
    curves = {name: check_vector(f"gaps[{name!r}]", values, low=-np.inf) for name, values in gaps.items()}
    ax = new_axes(ax, 6.4, 4.4)
    for i, (name, values) in enumerate(curves.items()):
        ax.plot(np.arange(1, len(values) + 1), np.where(values > 0, values, np.nan), color=COLOURS[i % 10],
                linestyle=DASHES[i % 4], linewidth=2, label=name)
    ax.set(yscale="log", xlabel="step", ylabel="nats per example below the maximum")
    ax.legend(frameon=False)
    return ax
