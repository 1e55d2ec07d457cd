"""Curves and bars: against the epoch, the step, the rank of an eigenvalue."""
import numpy as np

from ..validation import check_int, check_number
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


def check_curves(name, curves, length=None, low=None):
    """A dict of vectors of that length, or as long as the first."""
    if not isinstance(curves, dict) or not curves:
        raise TypeError(f"{name} must be a dict of lists with at least one entry, got {curves!r:.60}")
    length = length or np.size(next(iter(curves.values())))
    return {key: check_vector(f"{name}[{key!r}]", values, length, low) for key, values in curves.items()}
