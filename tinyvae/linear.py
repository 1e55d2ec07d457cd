"""Linear models, exactly: principal component analysis as a linear autoencoder with one matrix.   [PCA.1–3]"""
import numpy as np

from .estimator import Estimator, Transformer
from .ops import squared_error
from .validation import check_int, check_matrix


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
        R = np.linalg.qr(X - mean, mode="r")                # the same singular values and Vᵀ, without a U of N rows
        _, singular_values, Vt = np.linalg.svd(R, full_matrices=False)
        components = Vt[:K]
        largest = np.take_along_axis(components, np.argmax(np.abs(components), axis=1)[:, None], axis=1)
        self.mean_ = mean
        self.components_ = components * np.sign(largest)
        self.eigenvalues_ = singular_values ** 2 / len(X)
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
