"""What a VAE's bound loses, in two parts: what no q of its family could close, and what its encoder leaves open.

    log p(x) − ELBO(x; q_φ)  =  [log p(x) − max_q ELBO(x; q)]  +  [max_q ELBO(x; q) − ELBO(x; q_φ)]
    KL(q_φ ‖ p(z|x))            approximation gap                 amortisation gap

Source: Cremer, Li and Duvenaud 2018, section 3.
"""
from typing import NamedTuple

import numpy as np

from .exact import FAR_OUT, NOISE_STEP, elbo, each_row, joint, noise


class Gaps(NamedTuple):
    """float64 (N,) each, nats. A gap is below 0 by no more than the error."""
    log_px: np.ndarray
    best_elbo: np.ndarray          # of the best q of the family, found for each row by itself
    elbo: np.ndarray               # of the encoder's q
    approximation: np.ndarray      # log_px − best_elbo
    amortisation: np.ndarray       # best_elbo − elbo
    error: np.ndarray              # of log_px, best_elbo and elbo together


def gaps(model, X, *, tol=1e-10, n_points=None, rng=None, workers=None):
    """The approximation and the amortisation gap of every row, exactly, for 1 to 3 latent dimensions.   [EL.1, CV.1]

    The best q is sought for each row by itself, by L-BFGS on the parameters of q with their exact gradient: from the
    encoder's output, from the true posterior's moments, and at its highest peak. The highest bound counts.
    X (N, D), the rest as in `quadrature`   returns Gaps, (N,) each
    """
    log_px, best, own, error = each_row(_gaps, model, X, None, tol, n_points, rng, workers)
    return Gaps(log_px, best, own, log_px - best, best - own, error)


def _gaps(row, tol, n_points):
    lattice, error = joint(row, tol, n_points)
    own = elbo(row, tol, n_points)
    starts = [row.out, fitted(row.posterior, *lattice.moments()), fitted(row.posterior, *lattice.peak())]
    _, best = max((best_out(row, start, 2 * NOISE_STEP) for start in starts), key=lambda found: found[0])
    _, row.out = best_out(row, best, NOISE_STEP)
    best = max(own, elbo(row, tol, n_points))
    return lattice.log_integral(), best[0], own[0], error + best[1] + own[1]


def fitted(posterior, mean, covariance):
    """The parameters (n_outputs,) of N(mean, covariance) or, for a diagonal q, of the best for such a posterior:
    N(mean, diag(1 / Λ_kk)) with Λ the inverse of the covariance."""
    K = len(mean)
    diagonal = posterior.n_outputs(K) == 2 * K
    L = np.diag(np.diag(np.linalg.inv(covariance)) ** -0.5) if diagonal else np.linalg.cholesky(covariance)
    return np.concatenate([mean, 2 * np.log(np.diag(L)), L[np.tril_indices(K, -1)]])[:posterior.n_outputs(K)]


def best_out(row, start, step):
    """The largest ELBO that L-BFGS reaches from `start` (n_outputs,), and its parameters.

        d_out = Σ_m w_m draw_d(∇_z log p(x|z_m), out, ε_m) − kl_d(out),   z_m = draw(out, ε_m)

    on a lattice of ε of that step. Lengths in z are measured in standard deviations at the start.
    """
    from scipy.optimize import minimize                     # here, because training should not wait for it

    posterior, K = row.posterior, row.K
    index, w = noise(K, step)
    eps = step * index
    sd = np.exp(start[K:2 * K] / 2)
    scale = np.concatenate([sd, np.ones(K), sd[np.tril_indices(K, -1)[0]]])[:len(start)]

    @FAR_OUT
    def loss_and_grad(shift):
        out = start + scale * shift
        outs = np.tile(out, (len(eps), 1))
        log_px_z, dz = row.log_px_z_dz(posterior.draw(outs, eps))
        d_out = np.sum(posterior.draw_d(w[:, None] * dz, outs, eps), axis=0) - posterior.kl_d(out[None], np.ones(1))[0]
        return posterior.kl(out[None])[0] - w @ log_px_z, -scale * d_out

    found = minimize(loss_and_grad, np.zeros(len(start)), jac=True, method="L-BFGS-B",
                     options={"ftol": 1e-12, "gtol": 1e-9, "maxiter": 200})
    return -found.fun, start + scale * found.x
