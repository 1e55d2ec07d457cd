"""What an encoder says of many rows at once: a Gaussian on the latent plane for each."""
import numpy as np
from matplotlib.collections import LineCollection

from ..validation import check_matrix
from .codes import latent_plane
from .figure import COLOURS


def posterior_ellipses(mean, covariance, y=None, ax=None):
    """Of every row the ellipse of q(z|x) = N(mean, covariance), one standard deviation wide.   [RP.1]

        (z − mean)ᵀ covariance⁻¹ (z − mean) = 1

    mean : (N, 2)        covariance : (N, 2, 2), or variances (N, 2), both as `VAE.encode` gives them
    y : (N,) integer classes, at most ten: each mean is drawn as the digit of its class, as in `latent_plane`
    """
    mean, covariance = check_matrix("mean", mean, 2, "a plane"), np.asarray(covariance, dtype=float)
    if covariance.shape == mean.shape:
        covariance = covariance[:, :, None] * np.eye(2)
    if covariance.shape != (len(mean), 2, 2):
        raise ValueError(f"covariance must be of shape {(len(mean), 2, 2)}, or of variances {mean.shape}, got "
                         f"{covariance.shape}")
    try:
        roots = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        raise ValueError("covariance must be positive definite in every row") from None
    ax = latent_plane(mean, y, ax=ax)
    t = np.linspace(0, 2 * np.pi, 61)
    outlines = mean[:, None] + (roots @ np.stack([np.cos(t), np.sin(t)])).swapaxes(1, 2)
    of_class = np.zeros(len(mean), int) if y is None else np.unique(y, return_inverse=True)[1]
    ax.add_collection(LineCollection(outlines, colors=np.array(COLOURS)[of_class], linewidths=1.1))
    ax.autoscale_view()
    return ax
