"""Two samples: do they come from one law?"""
import numpy as np
from scipy.spatial.distance import cdist, pdist

from ..validation import check_matrix


def energy_distance(x, y):
    """An unbiased estimate of the energy distance between the laws of two independent samples.   [GM.1]

        2 E‖x − y‖ − E‖x − x'‖ − E‖y − y'‖  ≥ 0,   0 only for equal laws

    x (N, D), y (M, D), N and M at least 2   returns float, in the units of x. No row is paired with itself, so that
    the estimate of 0 scatters about 0, and may be negative. (`scipy.stats.energy_distance`, for D = 1, is the root of
    the energy distance of the two samples themselves, which is never negative, and too large on average.)
    For a standard error take the mean over independent pairs of samples. Source: Székely and Rizzo 2013, section 2.
    """
    x = check_matrix("x", x, min_rows=2)
    y = check_matrix("y", y, x.shape[1], "x", min_rows=2)
    return float(2 * np.mean(cdist(x, y)) - np.mean(pdist(x)) - np.mean(pdist(y)))
