"""How near estimates and bounds come to log p(x), and at what price."""
import numpy as np

from ..validation import check_number
from .figure import COLOURS, DASHES, MARKERS, check_vector, new_axes


def estimates_against_cost(estimates, log_px, elbo, ax=None):
    """Estimates of log p(x) against what they cost, between the bound and the exact value.   [CV.1]

    estimates : dict of name → (costs, values, spreads), each (M,): a mean and a standard deviation over runs, nats
    log_px, elbo : the two levels that are known, nats
    """
    if not isinstance(estimates, dict) or not estimates:
        raise TypeError(f"estimates must be a dict with at least one entry, got {estimates!r:.60}")
    curves = {name: _check_triple(f"estimates[{name!r}]", triple) for name, triple in estimates.items()}
    levels = check_number("log_px", log_px), check_number("elbo", elbo)
    ax = new_axes(ax, 6.4, 4.4)
    for name, level, style in zip(("log p(x), exact", "ELBO, exact"), levels, ("-", ":")):
        ax.axhline(level, color="0.45", linestyle=style, linewidth=1.4, zorder=1, label=name)
    for i, (name, (cost, value, spread)) in enumerate(curves.items()):
        ax.errorbar(cost, value, spread, capsize=3, color=COLOURS[i % 10], linestyle=DASHES[i % 4], linewidth=1.6,
                    marker=MARKERS[i % 10], markersize=5, markerfacecolor="none", label=name)
    ax.set(xscale="log", xlabel="images decoded for each x", ylabel="log p(x), nats per image")
    ax.legend(frameon=False)
    return ax


def gap_bars(gaps, ax=None):
    """What the bound loses, the approximation gap below, the amortisation gap on top: means with standard errors.

        log p(x) − ELBO = approximation + amortisation   [EL.1, CV.1]

    gaps : dict of name → (approximation, amortisation), each (N,) for N ≥ 2 rows, nats
    """
    if not isinstance(gaps, dict) or not gaps:
        raise TypeError(f"gaps must be a dict with at least one entry, got {gaps!r:.60}")
    bars = {name: _check_pair(f"gaps[{name!r}]", pair) for name, pair in gaps.items()}
    means, errors = ([f(pair) for pair in bars.values()] for f in (_means, _standard_errors))
    places, bottom = np.arange(len(bars)), np.zeros(len(bars))
    ax = new_axes(ax, 6.4, 4.2)
    parts = zip(("approximation: what this family of q cannot do", "amortisation: what the encoder misses of it"),
                np.transpose(means), np.transpose(errors), (COLOURS[0], "0.9"), ("", "////"))
    for name, heights, se, colour, hatch in parts:
        ax.bar(places, heights, 0.6, bottom, facecolor=colour, hatch=hatch, edgecolor="0.3", yerr=se, capsize=4,
               label=name)
        bottom = bottom + heights
    ax.set_xticks(places, bars)
    ax.set(ylabel="log p(x) − ELBO, nats per image", ylim=(0, None))
    ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
    return ax


def _means(pair):
    return [np.mean(gap) for gap in pair]


def _standard_errors(pair):
    return [np.std(gap, ddof=1) / np.sqrt(len(gap)) for gap in pair]


def _check_triple(name, triple):
    """Costs, all positive, and as many finite values and spreads."""
    if len(triple) != 3:
        raise ValueError(f"{name} must be (costs, values, spreads), got {len(triple)} entries")
    cost = check_vector(f"costs of {name}", triple[0], low=1e-300)
    return (cost, check_vector(f"values of {name}", triple[1], len(cost), -np.inf),
            check_vector(f"spreads of {name}", triple[2], len(cost), 0))


def _check_pair(name, pair):
    """Two gaps for each of the same rows, two rows or more: of a single row nobody knows the error."""
    if len(pair) != 2:
        raise ValueError(f"{name} must be (approximation, amortisation), got {len(pair)} entries")
    first = check_vector(f"approximation of {name}", pair[0], low=-np.inf)
    if len(first) < 2:
        raise ValueError(f"{name} must have 2 or more rows, for a standard error, got 1")
    return first, check_vector(f"amortisation of {name}", pair[1], len(first), -np.inf)
