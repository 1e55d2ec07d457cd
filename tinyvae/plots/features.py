"""Hidden features: how often they are silent, and in how many directions they answer to a small change of x."""
import numpy as np

from ..validation import check_int, check_matrix
from .figure import COLOURS, DASHES, MARKERS, new_axes


def activation_histograms(activations, n_bins=40, ax=None):
    """How the entries of several codes are distributed, on common bins, and what share is exactly 0.

    activations : dict of name → (N, K), such as {"λ = 0": model.transform(X), …}; every entry counts alike
    The upward axis is the share of all entries in a bin, logarithmic: a code that is mostly 0 has few others to show.
    """
    codes = _check_matrices("activations", activations)
    check_int("n_bins", n_bins, minimum=2)
    low, high = min(np.min(H) for H in codes.values()), max(np.max(H) for H in codes.values())
    edges = np.linspace(low, high if high > low else low + 1, n_bins + 1)
    ax = new_axes(ax, 6.4, 4.2)
    for i, (name, H) in enumerate(codes.items()):
        share = np.histogram(H, edges)[0] / H.size
        ax.stairs(np.where(share > 0, share, np.nan), edges, baseline=None, color=COLOURS[i % 10],
                  linestyle=DASHES[i % 4], linewidth=1.8, label=f"{name}: {100 * np.mean(H == 0):.0f} % are 0")
    ax.set(yscale="log", xlabel="activation", ylabel="share of all activations in a bin")
    ax.legend(frameon=False)
    return ax


def singular_values(spectra, ax=None):
    """The singular values of encoders' Jacobians ∂h/∂x by rank: median over rows, and a band between the quartiles.

        ‖J‖²_F = Σ_r s_r²   [CT.1]

    spectra : dict of name → (N, R), a row's singular values, none negative, the largest first
    """
    spectra = _check_matrices("spectra", spectra)
    for name, s in spectra.items():
        if np.min(s) < 0 or np.any(np.diff(s, axis=1) > 0):
            raise ValueError(f"spectra[{name!r}] must have rows of singular values, none negative, the largest "
                             "first, as numpy.linalg.svd(J, compute_uv=False) gives them")
    ax = new_axes(ax, 6.4, 4.2)
    for i, (name, s) in enumerate(spectra.items()):
        rank, (low, middle, high) = np.arange(1, s.shape[1] + 1), np.quantile(s, [0.25, 0.5, 0.75], axis=0)
        ax.fill_between(rank, low, high, color=COLOURS[i % 10], alpha=0.25, linewidth=0)
        ax.plot(rank, middle, color=COLOURS[i % 10], linestyle=DASHES[i % 4], linewidth=1.8, marker=MARKERS[i % 10],
                markersize=4, label=name)
    ax.set(xlabel="rank", ylabel="singular value of ∂h/∂x")
    ax.set_ylim(bottom=0)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(frameon=False)
    return ax


def _check_matrices(name, matrices):
    """A dict of matrices of finite numbers."""
    if not isinstance(matrices, dict) or not matrices:
        raise TypeError(f"{name} must be a dict of matrices with at least one entry, got {matrices!r:.60}")
    return {key: check_matrix(f"{name}[{key!r}]", matrix) for key, matrix in matrices.items()}
