"""Linear models, exactly: PCA as a linear autoencoder, and as a latent variable model.   [PCA.1–3, LV.7]"""
import warnings

import numpy as np

from .distributions import LOG_2PI
from .estimator import Estimator, Transformer
from .ops import squared_error
from .validation import check_choice, check_int, check_matrix, check_number, check_rng

# ---- principal component analysis ------------------------------------------------------------------------------------


def pca_loss(W, x):
    """‖x − W Wᵀ x‖² of every row: encoder h = Wᵀ x, decoder x̂ = W h.   [PCA.1]

    W (D, K), x (B, D)   returns (B,)
    """
    return squared_error(x, (x @ W) @ W.T)


def pca_loss_dW(W, x, w):
    """Σ_b w_b ‖x_b − W Wᵀ x_b‖² differentiated by W: two paths lead into the one matrix.   [PCA.1]

        dW = −2 ( Σ_b w_b r_b h_bᵀ  +  Σ_b w_b x_b (Wᵀ r_b)ᵀ ),   h = Wᵀ x,  r = x − W h
                  as decoder           as encoder

    W (D, K), x (B, D), w (B,)   returns (D, K)
    """
    h = x @ W
    r = x - h @ W.T
    wr = w[:, None] * r
    return -2 * (wr.T @ h + x.T @ (wr @ W))


def principal_axes(x, K):
    """Eigenvalues of the covariance 1/N Σ x xᵀ of centred rows, and its K leading eigenvectors.   [PCA.2]

    x (N, D)   returns (min(N, D),) in descending order, and (K, D) with the largest entry of each row positive
    """
    R = np.linalg.qr(x, mode="r")                           # the same singular values and Vᵀ, without a U of N rows
    _, singular_values, Vt = np.linalg.svd(R, full_matrices=False)
    return singular_values ** 2 / len(x), _largest_positive(Vt[:K])


def _largest_positive(axes):
    """The rows, each with the sign that makes its largest entry positive."""
    largest = np.take_along_axis(axes, np.argmax(np.abs(axes), axis=1)[:, None], axis=1)
    return axes * np.sign(largest)


class PCA(Transformer, Estimator):
    """The linear autoencoder of least squared error, from a thin singular value decomposition.   [PCA.2]

    After `fit`:
    mean_ (D,)
    components_ (K, D) : orthonormal rows, each with its largest entry positive; the lecture's W is its transpose
    eigenvalues_ (min(N, D),) : of the covariance 1/N Σ (x − mean)(x − mean)ᵀ, in descending order; the mean squared
                   error of reconstruction is the sum of those that are left out
    n_features_in_

    Raises ValueError when n_components exceeds min(N, D).   Source: Eckart and Young 1936; Baldi and Hornik 1989.
    """

    def __init__(self, n_components=2):
        self.n_components = n_components

    def fit(self, X, y=None):
        """Decompose the rows of X (N, D); y is ignored. Returns self."""
        K = check_int("n_components", self.n_components)
        X = check_matrix("X", X, min_rows=2)
        X = X if X.dtype == np.float32 else X.astype(np.float64)
        if K > min(X.shape):
            raise ValueError(f"n_components must be at most min(N, D) = {min(X.shape)}, X being {X.shape}, got {K}")
        mean = np.mean(X, axis=0)
        eigenvalues, components = principal_axes(X - mean, K)
        self.mean_, self.components_, self.eigenvalues_ = mean, components, eigenvalues
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        """h = Wᵀ (x − mean) of every row, W the transpose of components_.   [PCA.1]        X (N, D)   returns (N, K)"""
        return (self._check_input(X) - self.mean_) @ self.components_.T

    def inverse_transform(self, H):
        """x̂ = mean + W h of every row.   [PCA.1]        H (N, K)   returns (N, D)"""
        self._check_fitted()
        return check_matrix("H", H, self.n_components, "PCA") @ self.components_ + self.mean_

    def reconstruct(self, X):
        """x̂ = mean + W Wᵀ (x − mean) of every row.        X (N, D)   returns (N, D)"""
        return self.inverse_transform(self.transform(X))


# ---- probabilistic PCA:  x = mean + W z + σ ε,  z ~ N(0, I_K),  ε ~ N(0, I_D) ----------------------------------------


def ppca_posterior(x, mean, W, variance):
    """p(z|x) = N(z̄, S), whose covariance is the same for every x.   [LV.9]

        S = σ² (WᵀW + σ² I)⁻¹,   z̄ = S Wᵀ (x − mean) / σ²

    x (B, D), mean (D,), W (D, K), variance σ²   returns z̄ (B, K), S (K, K)
    """
    S = variance * np.linalg.inv(W.T @ W + variance * np.eye(W.shape[1]))
    return (x - mean) @ W @ S / variance, S


def ppca_log_prob(x, mean, W, variance):
    """log ∫ p(x|z) p(z) dz = log N(x; mean, W Wᵀ + σ² I) of every row, with no D × D matrix.   [LV.7]

        log p(x) = −½ ( ‖x − mean − W z̄‖² / σ²  +  ‖z̄‖²  +  D log 2πσ²  −  log |S| )

    which is log p(x|z) + log p(z) − log p(z|x) at z = z̄, any z being as good as another [LV.9]. Woodbury's identity
    and the determinant lemma say the same, but subtract where here squares are added: nothing cancels if σ² is small.
    x (B, D), mean (D,), W (D, K), variance σ²   returns (B,), nats
    """
    z, S = ppca_posterior(x, mean, W, variance)
    phase, log_size = np.linalg.slogdet(S)                  # the phase is 1, but for a complex step
    squares = squared_error(x, mean + z @ W.T) / variance + np.sum(z * z, axis=1)
    return -(squares + W.shape[0] * (LOG_2PI + np.log(variance)) - log_size - np.log(phase)) / 2


def ppca_log_prob_d(x, mean, W, variance, w):
    """Σ_b w_b log p(x_b) differentiated by mean, W and σ².   [LV.7]

        dmean = Σ_b w_b e_b / σ²,   e = x − mean − W z̄
        dW    = Σ_b w_b (e_b z̄_bᵀ − W S) / σ²
        dσ²   = Σ_b w_b (‖e_b‖² / σ² − (D − K) − tr S) / 2σ²

    w (B,)   returns (D,), (D, K), and a number
    """
    D, K = W.shape
    z, S = ppca_posterior(x, mean, W, variance)
    e = x - mean - z @ W.T
    dW = (e.T @ (w[:, None] * z) - np.sum(w) * (W @ S)) / variance
    d_variance = w @ (np.sum(e * e, axis=1) / variance - (D - K) - np.trace(S)) / (2 * variance)
    return w @ e / variance, dW, d_variance


def ppca_em_step(x, W, variance):
    """The W and σ² of one EM step, under which the centred rows x are at least as likely as before.   [LV.7]

    E: z̄_b and S of p(z|x_b). M: what maximises the mean over rows of E[log p(x, z)] under these,

        W  ←  (Σ_b x_b z̄_bᵀ) (Σ_b z̄_b z̄_bᵀ + N S)⁻¹
        σ² ←  1/(N D) Σ_b E‖x_b − W z‖²  =  1/(N D) Σ_b ( ‖x_b − W z̄_b‖² + tr W S Wᵀ ),   with the new W

    x (N, D), W (D, K)   returns (D, K), and a number. A step costs N D K: there is no D × D covariance.
    Source: Tipping and Bishop 1999, appendix B.
    """
    z, S = ppca_posterior(x, 0, W, variance)
    W = np.linalg.solve(z.T @ z + len(x) * S, z.T @ x).T
    return W, np.mean(squared_error(x, z @ W.T) + np.sum(W * (W @ S))) / x.shape[1]


class ProbabilisticPCA(Transformer, Estimator):
    """The latent variable model x = mean + W z + σ ε at its maximum likelihood.   [LV.7]

    n_components : K, less than the rank of the centred data: some variance must be left for σ²
    method       : "closed_form", from the singular value decomposition: λ_k and u_k being the eigenvalues and the
                   eigenvectors of the covariance with 1/N,
                       σ² = the mean of λ_{K+1} … λ_D,   W = [ u_1 √(λ_1 − σ²) … u_K √(λ_K − σ²) ];
                   "em", expectation maximisation from a random W: many cheap steps, to the same place
    tol          : EM ends when about this much is left to go: a share of the largest entry of W, and of σ². Near the
                   end every step is ρ times the one before, so that a step s leaves s ρ / (1 − ρ); ρ is close to 1, and
                   EM slow, where λ_{K+1} is close to λ_K, or σ² small against λ_1
    max_iter     : EM ends after so many steps, with a warning
    random_state : EM's first W, and `sample`: None, an int, a Generator or a RandomState

    After `fit`: mean_ (D,); noise_variance_, σ²; W_ (D, K), of which only W Wᵀ is determined: it has orthogonal
    columns, the longest first, each with its largest entry positive; history_ ({"log_likelihood": after every step the
    mean log p(x), nats per example}) and n_iter_, of one step for the closed form; n_features_in_.
    All is computed in float64; for float32 data mean_, W_ and what `transform` and `sample` return are float32.

    Raises ValueError when no variance is left for the noise: the likelihood would be infinite.
    Source: Tipping and Bishop 1999, J. R. Statist. Soc. B 61(3), section 3.2 and appendix B.
    """

    def __init__(self, n_components=2, method="closed_form", *, tol=1e-6, max_iter=1000, random_state=None):
        self.n_components = n_components
        self.method = method
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X, y=None):
        """Find the parameters under which the rows of X (N, D) are most likely; y is ignored. Returns self."""
        self._check_parameters()
        X = check_matrix("X", X, min_rows=2)
        (N, D), K = X.shape, self.n_components
        if K >= min(N - 1, D):
            raise ValueError(f"n_components must be less than min(N − 1, D) = {min(N - 1, D)}, X being {N} row(s) of "
                             f"{D} feature(s): else no variance is left for the noise, got {K}")
        dtype = np.float32 if X.dtype == np.float32 else np.float64
        mean = np.mean(X, axis=0, dtype=np.float64)
        x = np.subtract(X, mean, dtype=np.float64)
        resolution = 10 * np.finfo(dtype).eps * (np.max(np.abs(mean)) + np.max(np.abs(x)))
        maximise = self._em if self.method == "em" else self._closed_form
        W, variance, history = maximise(x, resolution ** 2)
        self.mean_, self.W_, self.noise_variance_ = mean.astype(dtype), W.astype(dtype), float(variance)
        self.history_ = {"log_likelihood": history}
        self.n_iter_ = len(history)
        self.n_features_in_ = D
        return self

    def _closed_form(self, x, least):
        D, K = x.shape[1], self.n_components
        eigenvalues, axes = principal_axes(x, K)
        variance = _left_for_noise(np.sum(eigenvalues[K:]) / (D - K), least, K)     # those beyond N are 0
        W = axes.T * np.sqrt(np.maximum(eigenvalues[:K] - variance, 0))             # equal ones may differ by rounding
        return W, variance, [float(np.mean(ppca_log_prob(x, 0, W, variance)))]

    def _em(self, x, least):
        variance = _left_for_noise(np.mean(x * x), least, self.n_components)
        least = max(least, 1e-10 * x.shape[1] * variance)       # a smaller σ² is the rounding of the steps themselves
        W = np.sqrt(variance) * check_rng(self.random_state).standard_normal((x.shape[1], self.n_components))
        history, step, left = [], 0.0, np.inf
        while left > self.tol and len(history) < self.max_iter:
            before, last_step = (W, variance), step
            W, variance = ppca_em_step(x, W, variance)
            _left_for_noise(variance, least, self.n_components)
            history.append(float(np.mean(ppca_log_prob(x, 0, W, variance))))
            step = max(np.max(np.abs(new - old)) / np.max(np.abs(new)) for new, old in zip((W, variance), before))
            left = step ** 2 / (last_step - step) if step < last_step else np.inf       # the sum of a geometric series
        if left > self.tol:
            warnings.warn(f"EM has not converged after max_iter={self.max_iter} steps: its parameters may be wrong by "
                          f"{left:.1e}, more than tol={self.tol:g}", stacklevel=3)
        U, lengths, _ = np.linalg.svd(W, full_matrices=False)
        return _largest_positive(U.T).T * lengths, variance, history

    def posterior(self, X):
        """Mean and covariance of p(z|x); the covariance is one and the same for all rows.   [LV.9]

        X (N, D)   returns (N, K), (K, K)
        """
        mean, covariance = ppca_posterior(self._check_input(X).astype(np.float64), *self._parameters())
        return mean.astype(self.W_.dtype), covariance.astype(self.W_.dtype)

    def transform(self, X):
        """The mean of p(z|x) of every row.        X (N, D)   returns (N, K)"""
        return self.posterior(X)[0]

    def inverse_transform(self, Z):
        """E[x|z] = mean + W z of every row.        Z (N, K)   returns (N, D)"""
        self._check_fitted()
        return check_matrix("Z", Z, self.n_components, type(self).__name__) @ self.W_.T + self.mean_

    def reconstruct(self, X):
        """E[x|z] at the posterior mean of every row.        X (N, D)   returns (N, D)

        It is drawn towards mean_, along axis k by the factor 1 − σ²/λ_k, and PCA's is not.
        """
        return self.inverse_transform(self.transform(X))

    def sample(self, n_samples=1, random_state=None):
        """Draw z ~ N(0, I), then x ~ N(mean + W z, σ² I).   [LV.1]        returns (n_samples, D)"""
        self._check_fitted()
        n_samples, dtype = check_int("n_samples", n_samples), self.W_.dtype
        rng = check_rng(self.random_state if random_state is None else random_state)
        z = rng.standard_normal((n_samples, self.n_components), dtype)
        eps = rng.standard_normal((n_samples, self.n_features_in_), dtype)
        return self.inverse_transform(z) + dtype.type(np.sqrt(self.noise_variance_)) * eps

    def score_samples(self, X):
        """log p(x) of every row, exactly.   [LV.7]        X (N, D)   returns (N,), nats, in float64"""
        return ppca_log_prob(self._check_input(X).astype(np.float64), *self._parameters())

    def score(self, X, y=None):
        """The mean of `score_samples`: nats per example, higher is better; y is ignored."""
        return float(np.mean(self.score_samples(X)))

    def _parameters(self):
        """mean, W and σ² in float64."""
        return self.mean_.astype(np.float64), self.W_.astype(np.float64), self.noise_variance_

    def _check_parameters(self):
        check_int("n_components", self.n_components)
        check_choice("method", self.method, ("closed_form", "em"))
        check_number("tol", self.tol, 0)
        check_int("max_iter", self.max_iter)
        if not isinstance(self.random_state, np.random.RandomState):            # which would advance
            check_rng(self.random_state)


def _left_for_noise(variance, least, K):
    """`variance`, if it is more than what rounding leaves of none."""
    if variance <= least:
        raise ValueError(f"X has no variance outside of {K} directions: the noise would be 0, and the likelihood "
                         "infinite; choose n_components less than the rank of the centred X, or PCA")
    return variance
