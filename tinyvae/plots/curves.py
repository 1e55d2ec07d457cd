"""Curves and bars: against the epoch, the step, the rank of an eigenvalue, the number of labels or of draws."""
import numpy as np

from ..validation import check_int, check_matrix, check_number
from .figure import COLOURS, DASHES, MARKERS, check_vector, new_axes

ZERO_ERROR = 1e-17                     # where a logarithmic axis draws an error of exactly 0


def training_curve(history, floor=None, ax=None):
    """Each quantity of a history against the epoch, the loss heavier.   [EL.1]  loss = reconstruction + KL

    history : dict of equally long lists, nats per example, such as {"loss": …, "reconstruction": …, "kl": …}
    floor : a value that the loss cannot pass (an exact optimum, an entropy); None: not drawn
    """
    curves = check_curves("history", history)
    floor = None if floor is None else check_number("floor", floor)
    epochs = np.arange(1, len(next(iter(curves.values()))) + 1)
    marker = "o" if len(epochs) == 1 else "none"            # a line of one point has no length
    ax = new_axes(ax, 6.4, 4.2)
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
    eigenvalues = check_vector("eigenvalues", eigenvalues)
    rounding = 1e-10 * np.max(np.abs(eigenvalues))          # eigh gives a zero eigenvalue either sign
    lam = np.where(np.abs(eigenvalues) <= rounding, 0, eigenvalues)
    if not (0 < lam[0] < np.inf and lam[-1] >= 0 and np.all(np.diff(lam) <= 0)):
        raise ValueError("eigenvalues must be finite, none negative, not all 0, the largest first (those of "
                         f"numpy.linalg.eigh rise: take [::-1]), got {eigenvalues}")
    D, share = len(lam), 100 * lam / np.sum(lam)
    if check_int("n_kept", n_kept, minimum=0) > D:
        raise ValueError(f"n_kept must be at most {D}, the number of eigenvalues, got {n_kept}")
    ax = new_axes(ax, 6.4, 4.2)
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
    steps = check_vector("steps", steps, low=1e-300)
    curves = check_curves("errors", errors, len(steps), low=0)
    ax = new_axes(ax, 6.4, 4.4)
    for i, (name, values) in enumerate(curves.items()):
        ax.plot(steps, np.maximum(values, ZERO_ERROR), color=COLOURS[i % 10], linestyle=DASHES[i % 4], linewidth=1.6,
                marker=MARKERS[i % 10], markersize=6, markerfacecolor="none", label=name)
    if min(map(np.min, curves.values())) <= ZERO_ERROR:
        ax.axhline(ZERO_ERROR, color="0.45", linestyle="-", linewidth=1, zorder=1, label="an error of 0 is drawn here")
    ax.set(xscale="log", yscale="log", xlabel="step h", ylabel="relative error of the derivative")
    ax.legend(frameon=False)
    return ax


def accuracy_over_labels(n_labels, accuracies, ax=None):
    """What each kind of features is good for: a classifier's accuracy against its number of labelled examples.   [NL.3]

    n_labels : (M,) rising, on a logarithmic axis
    accuracies : dict of name → (S, M), shares between 0 and 1 in S ≥ 2 random splits; drawn are mean and standard error
    """
    n_labels = _check_counts("n_labels", n_labels)
    if not isinstance(accuracies, dict) or not accuracies:
        raise TypeError(f"accuracies must be a dict of arrays with at least one entry, got {accuracies!r:.60}")
    tables = {name: _check_splits(f"accuracies[{name!r}]", A, len(n_labels)) for name, A in accuracies.items()}
    ax = new_axes(ax, 6.4, 4.4)
    for i, (name, A) in enumerate(tables.items()):
        ax.errorbar(n_labels, 100 * np.mean(A, axis=0), 100 * np.std(A, axis=0, ddof=1) / np.sqrt(len(A)), capsize=3,
                    color=COLOURS[i % 10], linestyle=DASHES[i % 4], linewidth=1.6, marker=MARKERS[i % 10], markersize=6,
                    markerfacecolor="none", label=name)
    ax.set(xscale="log", xlabel="labelled examples", ylabel="accuracy (%), mean ± one standard error")
    ax.set_xticks(n_labels, [f"{n:g}" for n in n_labels])
    ax.minorticks_off()
    ax.legend(frameon=False)
    return ax


def estimates_over_draws(n_draws, errors, ax=None):
    """How far estimates of log p(x) are from the truth as draws come in: median over runs, a band between quartiles.

    n_draws : (M,) rising, on a logarithmic axis   [LV.8]
    errors  : dict of name → (R, M), estimate less exact value (nats) in each of R runs after so many draws
    """
    n_draws = _check_counts("n_draws", n_draws)
    if not isinstance(errors, dict) or not errors:
        raise TypeError(f"errors must be a dict of matrices with at least one entry, got {errors!r:.60}")
    tables = {name: check_matrix(f"errors[{name!r}]", E, len(n_draws), "n_draws") for name, E in errors.items()}
    ax = new_axes(ax, 6.4, 4.4)
    ax.axhline(0, color="0.45", linewidth=1, zorder=1, label="the exact value")
    for i, (name, E) in enumerate(tables.items()):
        low, middle, high = np.quantile(E, [0.25, 0.5, 0.75], axis=0)
        ax.fill_between(n_draws, low, high, color=COLOURS[i % 10], alpha=0.25, linewidth=0)
        ax.plot(n_draws, middle, color=COLOURS[i % 10], linestyle=DASHES[i % 4], linewidth=1.8, marker=MARKERS[i % 10],
                markersize=5, markerfacecolor="none", label=name)
    ax.set(xscale="log", xlabel="draws", ylabel="estimate of log p(x) − log p(x) (nats)")
    ax.legend(frameon=False)
    return ax


def check_curves(name, curves, length=None, low=None):
    """A dict of vectors of that length, or as long as the first."""
    if not isinstance(curves, dict) or not curves:
        raise TypeError(f"{name} must be a dict of lists with at least one entry, got {curves!r:.60}")
    length = length or np.size(next(iter(curves.values())))
    return {key: check_vector(f"{name}[{key!r}]", values, length, low) for key, values in curves.items()}


def _check_counts(name, counts):
    """Rising numbers of at least 1."""
    counts = check_vector(name, counts, low=1)
    if np.any(np.diff(counts) <= 0):
        raise ValueError(f"{name} must rise, got {counts}")
    return counts


def _check_splits(name, A, n_counts):
    """`A` as floats (S, n_counts) in [0, 1], S ≥ 2: of a single split nobody knows the error."""
    A = np.asarray(A, dtype=float)
    if A.ndim != 2 or len(A) < 2 or A.shape[1] != n_counts:
        raise ValueError(f"{name} must be of shape (2 or more splits, {n_counts}), got {A.shape}")
    if not np.all((A >= 0) & (A <= 1)):
        raise ValueError(f"{name} must be shares between 0 and 1, got values from {A.min():g} to {A.max():g}")
    return A
