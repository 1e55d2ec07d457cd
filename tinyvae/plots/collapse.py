"""Which latent dimensions come into use in the course of training."""
import numpy as np

from ..validation import check_matrix
from .figure import COLOURS, DASHES, new_axes


def kl_over_epochs(kl, ax=None):
    """KL(q(z_k|x) ‖ p(z_k)) of every latent dimension k after each epoch: a line for each k, a colour for each run.

    kl : dict of name → (E, K), such as `VAE.kl_by_dimension` collected by a callback, nats per example   [EL.3]
    A dimension that goes unused lies on 0. The legend says how many are above 0.01 nats at the end.
    """
    if not isinstance(kl, dict) or not kl:
        raise TypeError(f"kl must be a dict of matrices with at least one entry, got {kl!r:.60}")
    runs = {name: check_matrix(f"kl[{name!r}]", values) for name, values in kl.items()}
    ax = new_axes(ax, 6.4, 4.4)
    for i, (name, values) in enumerate(runs.items()):
        lines = ax.plot(np.arange(1, len(values) + 1), values, color=COLOURS[i % 10], linestyle=DASHES[i % 4],
                        linewidth=1.5)
        lines[0].set_label(f"{name}: {np.sum(values[-1] > 0.01)} of {values.shape[1]} in use")
    ax.set(xlabel="epoch", ylabel="KL(q(zₖ|x) ‖ p(zₖ)) (nats per example)")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(frameon=False)
    return ax
