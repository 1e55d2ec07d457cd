"""Gaussians with a full covariance Σ = L Lᵀ, as the lecture writes them: a posterior q(z|x) and a likelihood p(x|z).

A network's output is out = [mu | logvar | lower], (B, K + K + K(K−1)/2). L has exp(logvar / 2) > 0 on its diagonal and
`lower` below it, row by row, so that every output is a covariance and every covariance an output. logvar_k is then the
log-variance of z_k given z_1 … z_{k−1}; with lower = 0 this is the DiagonalGaussian.

Row k of L times what lies below k is all that any formula needs, so that no matrix (B, K, K) is made where none is
asked for. Triangular systems are solved here by hand, in complex numbers too: LAPACK's Cholesky has no complex step.
"""
import math

import numpy as np

from .distributions import LOG_2PI, GaussianLikelihood


class FullGaussian:
    """q(z|x) = N(mu, L Lᵀ) with out = [mu | logvar | lower].   [RP.1]"""

    def n_outputs(self, K):
        """2K + K(K − 1)/2: a mean, a log-variance, and the entries of L below its diagonal."""
        return 2 * K + K * (K - 1) // 2

    def split(self, out):
        """Views (mu, logvar, lower) of out: (B, K), (B, K), (B, K(K−1)/2)."""
        K = (math.isqrt(9 + 8 * out.shape[1]) - 3) // 2
        return out[:, :K], out[:, K:2 * K], out[:, 2 * K:]

    def factor(self, out):
        """L (B, K, K), lower triangular, with exp(logvar / 2) on its diagonal."""
        mu, logvar, lower = self.split(out)
        L = np.zeros((len(out), mu.shape[1], mu.shape[1]), out.dtype)
        for k in range(mu.shape[1]):
            L[:, k, :k], L[:, k, k] = lower[:, _row(k)], np.exp(logvar[:, k] / 2)
        return L

    def mean_and_variance(self, out):
        """mu (B, K) and the covariance Σ = L Lᵀ (B, K, K)."""
        L = self.factor(out)
        return self.split(out)[0], L @ L.swapaxes(1, 2)

    def draw(self, out, eps):
        """z = mu + L eps, a draw from q when eps ~ N(0, I).   [RP.1]        eps (B, K)   returns (B, K)"""
        mu, logvar, lower = self.split(out)
        z = mu + np.exp(logvar / 2) * eps
        for k in range(1, z.shape[1]):
            z[:, k] += np.sum(lower[:, _row(k)] * eps[:, :k], axis=1)
        return z

    def draw_d(self, dz, out, eps):
        """dmu = dz,  dL = dz epsᵀ below the diagonal,  dlogvar = ½ dz eps exp(logvar / 2); none into eps.   [RP.2]

        dz (B, K)   returns d_out, as wide as out
        """
        d_out = np.empty(out.shape, np.result_type(dz, out))
        dmu, dlogvar, dlower = self.split(d_out)
        dmu[:] = dz
        dlogvar[:] = dz * eps * np.exp(self.split(out)[1] / 2) / 2
        _outer(dz, eps, dlower)
        return d_out

    def kl(self, out):
        """KL(q ‖ N(0, I)) = ½ (‖mu‖² + ‖L‖² − K − log det Σ), row by row.   [KL.5, EL.3]        returns (B,), nats"""
        return np.sum(self.kl_by_dimension(out), axis=1)

    def kl_by_dimension(self, out):
        """½ (mu_k² + Σ_{j<k} L_kj² + exp(logvar_k) − 1 − logvar_k): what z_k adds to `kl`, given those before it.

        returns (B, K), nats. By the chain rule of KL the terms are those of q(z_k | z_1 … z_{k−1}, x) against p(z_k).
        """
        mu, logvar, lower = self.split(out)
        squares = np.stack([np.sum(lower[:, _row(k)] ** 2, axis=1) for k in range(mu.shape[1])], axis=1)
        return (mu * mu + squares + (np.expm1(logvar) - logvar)) / 2

    def kl_d(self, out, w):
        """dmu = w mu,  dlower = w lower,  dlogvar = ½ w (exp(logvar) − 1)   [KL.5]        w (B,)   returns d_out"""
        d_out = w[:, None] * out
        self.split(d_out)[1][:] = w[:, None] * np.expm1(self.split(out)[1]) / 2
        return d_out

    def kl_between(self, out, other):
        """KL(q ‖ p) of two full Gaussians, q by `out` and p by `other`, row by row.   [KL.5]

            ½ ( tr Σ₁⁻¹Σ₀ + δᵀ Σ₁⁻¹ δ − K + log det Σ₁ − log det Σ₀ ) = ½ ( ‖M‖² − K + Σ_k logvar₁ − logvar₀ )

        with M = L₁⁻¹ [L₀ | δ] and δ = mu₁ − mu₀: no inverse, no determinant.        returns (B,), nats
        M_kk² is exp(logvar₀ − logvar₁), taken by expm1: the textbook form cancels where the two are close.
        """
        M, r = self._whitened(out, other), self.split(out)[1] - self.split(other)[1]
        np.einsum("bkk->bk", M[:, :, :-1])[:] = 0
        return (np.sum(M * M, axis=(1, 2)) + np.sum(np.expm1(r) - r, axis=1)) / 2

    def kl_between_d(self, out, other, w):
        """By q:  [dL₀ | dδ] = w V, V = L₁⁻ᵀ M, dmu₀ = −dδ, dlogvar₀ −= ½ w;
        by p:  dmu₁ = dδ,  dL₁ = −w V Mᵀ,  dlogvar₁ += ½ w   [KL.5]

        Of dL only what lies in L counts, on the diagonal by way of exp(logvar / 2).   w (B,)   returns d_out, d_other
        """
        M = self._whitened(out, other)
        wV = w[:, None, None] * self._solve_transposed(other, M)
        d_L0, d_delta = wV[:, :, :-1], wV[:, :, -1]
        return self._pack(-d_delta, d_L0, -w, out), self._pack(d_delta, -wV @ M.swapaxes(1, 2), w, other)

    def log_prob(self, z, out):
        """log q(z|x) = −½ Σ_k (u_k² + logvar_k + log 2π),   u = L⁻¹ (z − mu)        z (B, K)   returns (B,), nats"""
        mu, logvar, _ = self.split(out)
        u = self._solve(out, (z - mu)[:, :, None])[:, :, 0]
        return -(np.sum(u * u + logvar, axis=1) + z.shape[1] * LOG_2PI) / 2

    def log_prob_d(self, z, out, w):
        """By z: −w v, v = L⁻ᵀ u = Σ⁻¹ (z − mu);  by out: dmu = w v, dL = w v uᵀ below the diagonal,
        dlogvar = ½ w (v u exp(logvar / 2) − 1)

        w (B,)   returns dz (B, K), d_out
        """
        mu, logvar, _ = self.split(out)
        u = self._solve(out, (z - mu)[:, :, None])
        v = w[:, None] * self._solve_transposed(out, u)[:, :, 0]
        u = u[:, :, 0]
        d_out = np.empty(out.shape, np.result_type(v, out))
        dmu, dlogvar, dlower = self.split(d_out)
        dmu[:] = v
        dlogvar[:] = (v * u * np.exp(logvar / 2) - w[:, None]) / 2
        _outer(v, u, dlower)
        return -v, d_out

    def entropy(self, out):
        """½ Σ_k (logvar_k + 1 + log 2π): the determinant of Σ needs L's diagonal alone.        returns (B,), nats"""
        mu, logvar, _ = self.split(out)
        return (np.sum(logvar, axis=1) + mu.shape[1] * (1 + LOG_2PI)) / 2

    def entropy_d(self, out, w):
        """dlogvar = ½ w, all else 0        returns d_out"""
        d_out = np.zeros_like(out)
        self.split(d_out)[1][:] = w[:, None] / 2
        return d_out

    def _solve(self, out, R):
        """L⁻¹ R, row after row from the top.        R (B, K, M)   returns (B, K, M)"""
        _, logvar, lower = self.split(out)
        sd, U = np.exp(logvar / 2), np.empty(R.shape, np.result_type(R, out))
        for k in range(R.shape[1]):
            known = np.einsum("bj,bjm->bm", lower[:, _row(k)], U[:, :k])
            U[:, k] = (R[:, k] - known) / sd[:, k, None]
        return U

    def _solve_transposed(self, out, U):
        """L⁻ᵀ U, row after row from the bottom; each that is found is taken out of those above.        U (B, K, M)"""
        _, logvar, lower = self.split(out)
        sd, V = np.exp(logvar / 2), np.array(U, np.result_type(U, out))
        for k in reversed(range(U.shape[1])):
            V[:, k] /= sd[:, k, None]
            V[:, :k] -= lower[:, _row(k), None] * V[:, k, None]
        return V

    def _whitened(self, out, other):
        """M = L₁⁻¹ [L₀ | mu₁ − mu₀], (B, K, K + 1)"""
        delta = self.split(other)[0] - self.split(out)[0]
        return self._solve(other, np.concatenate([self.factor(out), delta[:, :, None]], axis=2))

    def _pack(self, dmu, dL, dlogdet, out):
        """d_out from the derivatives by mu, by L and, w a row, by log det Σ."""
        d_out = np.empty(out.shape, np.result_type(dL, out))
        parts = self.split(d_out)
        diagonal = np.einsum("bkk->bk", dL)
        parts[0][:], parts[1][:] = dmu, (diagonal * np.exp(self.split(out)[1] / 2) + dlogdet[:, None]) / 2
        for k in range(dmu.shape[1]):
            parts[2][:, _row(k)] = dL[:, k, :k]
        return d_out


def _row(k):
    """Where row k of L stands in `lower`: k numbers, L_k0 … L_k,k−1."""
    return slice(k * (k - 1) // 2, k * (k + 1) // 2)


def _outer(a, b, dlower):
    """a bᵀ below the diagonal, row by row, into dlower."""
    for k in range(a.shape[1]):
        np.multiply(a[:, k, None], b[:, :k], out=dlower[:, _row(k)])


class FullGaussianLikelihood(GaussianLikelihood, FullGaussian):
    """p(x|z) = N(x; mean, L Lᵀ) with out = [mean | logvar | lower], all of the network.   [LV.6]

    The same law as the posterior's, with x in the place of z. Its outputs grow like D²/2: for data of few dimensions.
    """
