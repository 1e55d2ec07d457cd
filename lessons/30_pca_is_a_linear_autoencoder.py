# %% [markdown]
# # 30 · PCA is a linear autoencoder
# **Question.** What does gradient descent find when the encoder and the decoder are one and the same matrix, and how
# much of it does the loss leave open?
# Tags PCA.1–PCA.3, PCA.E · needs 10, 20 · 5 s

# %% [markdown]
# ## The data
# 1,797 handwritten digits of 8 × 8 pixels: every picture is a row of D = 64 grey levels, and we want to describe it by
# only K = 10 numbers. (The lecture writes n for our D, and d for our K.)
#
# `X` is the table as it comes. `x` is *centred*: the mean picture is subtracted from every row. We work with `x`; the
# last part but one shows what goes wrong without centring. The principal axes of the data are the eigenvectors
# $u_1, u_2, …$ of the covariance $C = \frac1N \sum x x^T$ over the N = 1,797 rows, in the order of their eigenvalues
# $λ_1 ≥ λ_2 ≥ …$; the number $λ_k$ is the variance along $u_k$.

# %%
from pathlib import Path
import numpy as np
from scipy.linalg import subspace_angles
from scipy.optimize import minimize, root
from tinyvae import PCA, Autoencoder, load_digits, plots
from tinyvae.checks.claims import claim_equal, claim_true
from tinyvae.checks.slopes import complex_step
from tinyvae.linear import pca_loss, pca_loss_dW

OUT = Path(__file__).parent / "out" if "__file__" in globals() else Path("out")
rng = np.random.default_rng(30)

# %%
X, y = load_digits()
x = X - X.mean(axis=0)
(N, D), K = x.shape, 10
C = x.T @ x / N
lam, U = np.linalg.eigh(C)              # in rising order
lam, U = lam[::-1], U[:, ::-1]          # the largest variance first

# %% [markdown]
# ## One matrix, used twice   [PCA.1]
# The encoder keeps K numbers, $h = W^T x$; the decoder makes a picture of them, $\hat x = W h$, with the same matrix W
# of D rows and K columns. What is missing is the residual $r = x - \hat x$, and the loss is its squared length,
# $$L = \lVert x - W W^T x \rVert^2 ,$$
# averaged over the pictures. `pca_loss(W, x)` gives one number for each row of `x`.
#
# Why should such a loss care about the covariance? Because $r = (I - P)\,x$ with $P = W W^T$ is linear in x. The mean
# of $r r^T$ is therefore $(I - P)\, C\, (I - P)$, and the mean of $\lVert r \rVert^2$ is the trace of that.
# One side of the claim walks through all the rows, the other never sees one:

# %%
W_test = rng.normal(size=(D, K)) / 8    # any W will do: its columns have lengths near 1
residual = np.eye(D) - W_test @ W_test.T
claim_equal("PCA.1", "mean loss of rows = tr (I−P)C(I−P)",
            pca_loss(W_test, x).mean(), np.trace(residual @ C @ residual), tol=1e-13, relative=True)

# %% [markdown]
# So two tables with the same covariance have the same loss, whatever W is. The triangular factor T of a QR
# decomposition of $x/\sqrt N$ is such a table, since $T^T T = x^T x / N = C$. It has 64 rows where `x` has 1,797, and
# the *sum* of its losses is the *mean* of theirs. Full-batch training will use it, at about a thirtieth of the work.

# %%
short = np.linalg.qr(x / np.sqrt(N), mode="r")
claim_equal("PCA.1", "64 rows have the loss of all 1,797",
            pca_loss(W_test, short).sum(), pca_loss(W_test, x).mean(), tol=1e-13, relative=True)

# %% [markdown]
# ## The gradient has two paths   [PCA.1]
# Change W by a little dW. The residual $r = x - W h$ changes twice: since W decodes, and since W made the code,
# $$dr = -\,dW\,h - W\,dh, \qquad dh = dW^T x .$$
# Put this into $dL = 2\,r^T dr$ and collect what multiplies each entry of dW:
# $$\frac{\partial L}{\partial W} = \underbrace{-2\, r\, h^T}_{\text{as decoder}}
# \;\underbrace{-\,2\, x\,(W^T r)^T}_{\text{as encoder}} .$$
# Both have the shape of W, and they add: two paths lead into the one matrix. The first is an error times what the
# decoder read, the second is what the encoder read times the error that comes back through the decoder.

# %%
def two_paths(W, x, w):
    """The gradient of Σ_b w_b ‖x_b − W Wᵀ x_b‖² in its two parts, each (D, K)."""
    h = x @ W                           # rows, so h = Wᵀ x reads x @ W
    r = x - h @ W.T
    wr = w[:, None] * r                 # the weight of each row, once
    return -2 * wr.T @ h, -2 * x.T @ (wr @ W)

def by_complex_step(f, W):
    """The gradient of f at W, one complex step for each entry (lesson 10)."""
    directions = np.eye(W.size).reshape(-1, *W.shape)
    return np.array([complex_step(f, W, E) for E in directions]).reshape(W.shape)

# %% [markdown]
# How can each path be checked by itself? Give the loss two matrices, V to encode and W to decode. Its derivative by W
# alone is the decoder's path, its derivative by V alone the encoder's, both at V = W. The numerical side uses no
# formula but the loss. Rows are weighted at random, so that no mistake hides behind a plain mean.

# %%
few, w = x[:20], rng.random(20)
untied = lambda V, W: np.sum(w[:, None] * (few - (few @ V) @ W.T) ** 2)
as_decoder, as_encoder = two_paths(W_test, few, w)
claim_equal("PCA.1", "decoder's path = complex step",
            as_decoder, by_complex_step(lambda W: untied(W_test, W), W_test), tol=1e-13, relative=True)
claim_equal("PCA.1", "encoder's path = complex step",
            as_encoder, by_complex_step(lambda V: untied(V, W_test), W_test), tol=1e-13, relative=True)

# %% [markdown]
# With one matrix for both, only the sum is right. `pca_loss_dW` of the library is that sum in one line; either path
# alone is far away from the derivative of the loss. (The errors shown are relative to its largest entry.)

# %%
truth = by_complex_step(lambda W: pca_loss(W, few) @ w, W_test)
claim_equal("PCA.1", "both paths = complex step", pca_loss_dW(W_test, few, w), truth, tol=1e-13, relative=True)
errors = [np.max(np.abs(path - truth)) / np.max(np.abs(truth)) for path in (as_decoder, as_encoder)]
claim_true("PCA.1", "either path alone is wrong", min(errors) > 0.1, errors)

# %% [markdown]
# ### A place where the check is blind
# Suppose that the columns of W are orthonormal, $W^T W = I$. Then $W^T r = W^T x - W^T W\, W^T x = 0$: no error comes
# back, the encoder's path is zero, and half the gradient passes as the whole. Training will end in just such a place.
# Check a gradient at a random W, never at the end of training. The decoder's path alone against the complex step of
# the true loss:

# %%
W_orthonormal = np.linalg.qr(W_test)[0]
claim_equal("PCA.1", "if WᵀW = I half the gradient passes", two_paths(W_orthonormal, few, w)[0],
            by_complex_step(lambda W: pca_loss(W, few) @ w, W_orthonormal), tol=1e-13, relative=True)

# %% [markdown]
# ## Training finds what PCA computes   [PCA.2]
# The lecture's claim: the columns of the best W span the same subspace as the top K eigenvectors of the covariance.
# What is lost is then the variance along the others, $L = λ_{K+1} + … + λ_D$.
#
# To see it to the last digits, training must go to the very end. L-BFGS compares losses, and close to the minimum
# the loss no longer changes in any of its sixteen digits while the gradient is still about 1e-9. So a second method
# takes over that only looks at the gradient, and solves gradient = 0 (`df-sane`, a spectral residual method).

# %%
def train(rows, K, rng):
    """The W (D, K) that minimises Σ ‖x − W Wᵀ x‖² over the rows, found from a random start."""
    shape, ones = (rows.shape[1], K), np.ones(len(rows))
    loss = lambda theta: pca_loss(theta.reshape(shape), rows).sum()
    gradient = lambda theta: pca_loss_dW(theta.reshape(shape), rows, ones).ravel()
    start = rng.normal(size=shape).ravel() / 8
    near = minimize(loss, start, jac=gradient, method="L-BFGS-B", options={"ftol": 0, "gtol": 1e-9})
    end = root(gradient, near.x, method="df-sane", options={"fatol": 1e-11, "ftol": 0, "maxfev": 20_000})
    return end.x.reshape(shape)

W = train(short, K, rng)

# %% [markdown]
# Three routes without a common formula: W, trained on nothing but a loss and its gradient; `eigh` of the covariance;
# and the library's `PCA`, a thin singular value decomposition of the centred data, whose singular values $s_k$ give
# $λ_k = s_k^2 / N$. (Not N − 1: our loss is a mean over N rows, and so is our covariance.)
# The loss of the trained W, over all 1,797 rows, is held against both sums of discarded eigenvalues:

# %%
pca = PCA(n_components=K).fit(X)
trained_loss = pca_loss(W, x).mean()
claim_equal("PCA.2", "trained loss = Σ discarded λ, by eigh", trained_loss, lam[K:].sum(), tol=1e-12, relative=True)
claim_equal("PCA.2", "trained loss = Σ discarded λ, by SVD", trained_loss, pca.eigenvalues_[K:].sum(),
            tol=1e-12, relative=True)

# %% [markdown]
# How far apart are two subspaces? Look in the one for the direction that makes the widest angle with the other. This is
# the *largest principal angle*: 0 if the subspaces are the same, 90° if some direction of the one is perpendicular to
# all of the other.

# %%
angle = lambda A, B: subspace_angles(A, B).max()        # radians; the columns of A and of B span the subspaces
claim_equal("PCA.2", "angle of W to the eigenvectors (rad)", angle(W, U[:, :K]), 0, tol=1e-6)
claim_equal("PCA.2", "angle of W to the SVD's axes (rad)", angle(W, pca.components_.T), 0, tol=1e-6)

# %%
plots.save_figure(plots.spectrum(pca.eigenvalues_, n_kept=K), OUT / "30_spectrum.png")

# %% [markdown]
# `out/30_spectrum.png`: the share of the variance along each axis. The hatched part is the loss, and no linear
# autoencoder with ten numbers can have less.

# %% [markdown]
# ### Minibatches get there, too
# Nobody trains a network to sixteen digits. `Autoencoder` with tied matrices and without an activation is the same
# model, and Adam takes a step for every 100 rows. It also has biases; on centred data they have nothing to do. The
# gradient of a hundred rows is a noisy one and leaves the loss hovering above its minimum, by less than a thousandth:

# %%
ae = Autoencoder(n_components=K, hidden=(), activation="identity", tied=True, n_epochs=150, random_state=30).fit(x)
claim_equal("PCA.2", "Adam's loss = Σ discarded λ", ae.reconstruction_error(x).mean(), lam[K:].sum(),
            tol=1e-3, relative=True)

# %% [markdown]
# ### A right answer does not prove a right gradient
# Now descend by the decoder's path alone, the half gradient that was refuted above: $W ← W + 2 η\, r h^T$. It arrives
# at the same loss. This is the subspace rule of Oja (1989), a good algorithm, but not the gradient of any loss. Here,
# then, a missing path shows in no picture and in no final loss: only a check of the gradient finds it.

# %%
W_half = rng.normal(size=(D, K)) / 8
for _ in range(2000):
    W_half -= 0.2 * two_paths(W_half, short, np.ones(D))[0]
claim_equal("PCA.2", "half a gradient arrives as well", pca_loss(W_half, x).mean(), lam[K:].sum(),
            tol=1e-12, relative=True)

# %% [markdown]
# ## The subspace is determined, the basis is not   [PCA.3]
# Write the singular value decomposition of the trained matrix as $W = U_W Σ V^T$; the lecture's U has an index here, to
# tell it from our table `U` of all eigenvectors. The loss settles two of the three factors, as far as it can:
# - $U_W$ spans the top subspace, as we have seen;
# - Σ = I. A direction that W stretches by s is reproduced $s^2$ times as long, which costs its variance times
#   $(1 - s^2)^2$; hence s = 1. Then $W^T W = V Σ^2 V^T = I$, although nobody asked for orthonormal columns.
#
# V is left open. The loss contains W only as $W W^T$, and for any orthogonal Q, $(WQ)(WQ)^T = W W^T$. So a second
# training from another start must find the same subspace, in another basis, $W_2 = WQ$:

# %%
W2 = train(short, K, rng)
Q = W.T @ W2
claim_equal("PCA.3", "singular values of W are 1", np.linalg.svd(W, compute_uv=False), np.ones(K), tol=1e-9)
claim_true("PCA.3", "another start, another W: |W₂ − W|", np.max(np.abs(W2 - W)) > 0.1, np.max(np.abs(W2 - W)))
claim_equal("PCA.3", "W₂ = W Q", W2, W @ Q, tol=1e-8)
claim_equal("PCA.3", "Q is orthogonal", Q.T @ Q, np.eye(K), tol=1e-9)

# %% [markdown]
# The columns of W are thus *some* basis, not the principal axes. (With Σ = I even $U_W$ is only one of many.)
# One small step turns it: the covariance of the codes, $W^T C W$, is K × K, and its eigenvectors are the rotation that
# lines the columns up with the axes. Training and that rotation against the thin SVD, up to the sign of each axis:

# %%
lam_h, turn = np.linalg.eigh((x @ W).T @ (x @ W) / N)
axes = W @ turn[:, ::-1]
axes *= np.sign(np.sum(axes * pca.components_.T, axis=0))
claim_equal("PCA.3", "variances of the turned codes = top λ", lam_h[::-1], pca.eigenvalues_[:K], tol=1e-10)
claim_equal("PCA.3", "turned columns of W = principal axes", axes, pca.components_.T, tol=1e-8)

# %%
labels = [f"w{k}" for k in range(1, K + 1)] + [f"u{k}" for k in range(1, K + 1)]
plots.save_figure(plots.images(np.vstack([W.T, axes.T]), signed=True, labels=labels), OUT / "30_components.png")

# %% [markdown]
# `out/30_components.png`: above, the columns of W as training left them, each a mixture of all ten axes; below, the
# axes themselves, the largest variance first. Both rows span the same space, and the loss cannot tell them apart.

# %% [markdown]
# ## Why descent cannot get stuck   [PCA.3]
# Take any K eigenvectors of C, those with the indices S, as the columns of $W = U_S$. The columns are orthonormal, so
# the encoder's path is zero. The residual is made of the *other* eigenvectors, along which the data are uncorrelated
# with the codes, so the mean of $r h^T$ is zero as well. Every such choice, however bad, is a critical point; so is
# $U_S Q$ for any orthogonal Q; a random orthonormal W is not.
# The gradient formula, over all rows, at twenty sets of eigenvectors from `eigh`:

# %%
mean_gradient = lambda W: pca_loss_dW(W, x, np.full(N, 1 / N))
sets = [np.sort(rng.choice(20, size=K, replace=False)) for _ in range(20)]
rotations = [np.linalg.qr(rng.normal(size=(K, K)))[0] for S in sets]
largest = [np.max(np.abs(mean_gradient(U[:, S] @ Q))) for S, Q in zip(sets, rotations)]
claim_equal("PCA.3", "largest gradient at U_S Q, 20 sets S", largest, np.zeros(20), tol=1e-12)
elsewhere = np.max(np.abs(mean_gradient(W_orthonormal)))
claim_true("PCA.3", "but not at a random orthonormal W", elsewhere > 0.01, elsewhere)

# %% [markdown]
# What keeps descent from ending there? Turn one kept axis $u_i$ by an angle t towards a discarded $u_j$. The variance
# that it catches goes from $λ_i$ to $λ_i \cos^2 t + λ_j \sin^2 t$, so
# $$L(t) = L(0) - (λ_j - λ_i) \sin^2 t, \qquad L''(0) = -2\,(λ_j - λ_i) .$$
# If a discarded axis has more variance than a kept one, the loss bends *down* along this turn; along a stretch of
# $u_i$, $λ_i (1 - s^2)^2$, it bends up. That is a saddle. Only the top K axes leave no such pair.
#
# What else can W do? Stretch and shear the kept axes, which bends the loss up, or rotate them among themselves, which
# changes nothing. So of the matrix of second derivatives at $U_S$, the Hessian, we expect: its smallest eigenvalue is
# $-2$ times the largest gap $λ_j - λ_i$, and it has as many negative ones as there are pairs in the wrong order.

# %%
def curvatures(W):
    """The eigenvalues of the Hessian at W, rising: its columns are complex steps of the gradient along each entry."""
    gradient = lambda W: pca_loss_dW(W, short, np.ones(D)).ravel()
    columns = [gradient(W + 1e-20j * E).imag / 1e-20 for E in np.eye(W.size).reshape(-1, *W.shape)]
    return np.linalg.eigvalsh(np.array(columns))

# %% [markdown]
# None of this derivation enters the Hessian, which comes from differentiating the gradient once more. Four columns make
# the point as well as ten, by a matrix of 256 rows. The first set is the nearest miss, with axis 5 in place of axis 4;
# the others are parts of the random ones above.

# %%
k = 4
saddles = [[0, 1, 2, 4], *(S[:k] for S in sets[:5])]
measured = [curvatures(U[:, S]) for S in saddles]
gaps = [np.delete(lam, S)[:, None] - lam[S] for S in saddles]       # λ_j − λ_i of all pairs, j discarded, i kept
claim_equal("PCA.3", "smallest curvature = −2 · largest gap", [c[0] for c in measured], [-2 * g.max() for g in gaps],
            tol=1e-12)
n_down = [np.sum(c < -1e-9) for c in measured]
claim_true("PCA.3", "ways down = pairs in the wrong order", n_down == [np.sum(g > 0) for g in gaps], n_down)
claim_true("PCA.3", "each bends down, and up: a saddle", all(c[0] < 0 < c[-1] for c in measured),
           [max(c[0] for c in measured), min(c[-1] for c in measured)])

# %% [markdown]
# At the top axes nothing bends down. Some directions are flat: the rotations of the basis, one for each pair of
# columns, 6 for four. The next curvature is $2(λ_4 - λ_5)$, which is positive: the minimum is unique but for those
# rotations. The gap also tells how well the subspace is determined; without it, the last axis would be arbitrary.

# %%
flat = k * (k - 1) // 2
lowest = np.append(np.zeros(flat), 2 * (lam[k - 1] - lam[k]))
claim_equal("PCA.3", "top 4 axes: 6 flat, then 2(λ₄ − λ₅)", curvatures(U[:, :k])[:flat + 1], lowest, tol=1e-12)

# %% [markdown]
# One more critical point is W = 0, where nothing is encoded. Multiplied out, the trace of the first section is
# $$L = \operatorname{tr} C - 2 \operatorname{tr}(W^T C W) + \operatorname{tr}(W^T C W\; W^T W),$$
# so near 0 every column of W has the Hessian −4C: a maximum. (It is flat only along the three pixels that are white in
# all pictures, where W never meets any ink.) Weights that all start at zero would stay there: hence the random start.
#
# Yang (1995) proves that the $U_S Q$ are all the critical points of full rank. At one of lower rank, as at W = 0, an
# unused column gains by turning to any axis with variance that is left. So descent from a random start ends at the top.

# %%
claim_equal("PCA.3", "W = 0: curvatures −4λ, each 4 times",
            curvatures(np.zeros((D, k))), np.repeat(-4 * lam, k), tol=1e-12)

# %% [markdown]
# ## Erratum: the data must be centred   [PCA.E]
# The lecture subtracts no mean, yet speaks of cov(x). Repeat the training on the raw table `X`. The derivation above
# never used a zero mean; what takes the place of C is the *second moment*
# $$\tfrac1N \textstyle\sum x x^T = C + m m^T, \qquad m \text{ the mean picture.}$$
# Its top axes are those of the SVD of the raw table. And m is long: the second moment along it is 10.5, the largest
# variance 0.7. So the first axis points along m, and one number of the code is spent on what all pictures share.
# W trained on the raw data, with K = 2 and with K = 10, against the SVD of the raw data:

# %%
short_raw = np.linalg.qr(X / np.sqrt(N), mode="r")
raw_axes = np.linalg.svd(X, full_matrices=False)[2].T
raw = {k: train(short_raw, k, rng) for k in (2, K)}
claim_equal("PCA.E", "angle to the SVD of raw data (rad)", [angle(raw[k], raw_axes[:, :k]) for k in raw], np.zeros(2),
            tol=1e-6)

# %% [markdown]
# And the angle to PCA's subspace? For K = 2 it is almost a right angle: the mean picture has next to nothing in common
# with the first two principal axes. For K = 10 it is smaller, because ten axes happen to hold 82 % of the length of
# the mean picture, but far from zero still. In degrees:

# %%
degrees = [np.degrees(angle(raw[k], U[:, :k])) for k in raw]
claim_true("PCA.E", "degrees to PCA, K = 2 and K = 10", min(degrees) > 30, degrees)

# %%
first = np.column_stack([X.mean(axis=0) / np.linalg.norm(X.mean(axis=0)), raw_axes[:, :2], pca.components_[:2].T])
first[:, 1] *= np.sign(first[:, 1] @ first[:, 0])                   # an axis has no sign: choose the one that compares
first[:, 2] *= np.sign(first[:, 2] @ first[:, 3])
names = ["mean", "raw 1", "raw 2", "PCA 1", "PCA 2"]
plots.save_figure(plots.images(first.T, signed=True, labels=names), OUT / "30_uncentred.png")

# %% [markdown]
# `out/30_uncentred.png`: the first axis of the raw data is the mean picture; its second is PCA's first.

# %% [markdown]
# The cure costs D numbers. Either subtract the mean, or give the layers biases, $\hat x = W(W^T x + b) + c$: with
# $c + W b = m - W W^T m$ the network centres the data itself. So the `Autoencoder` with its biases, trained on the raw
# table, beats the best W without any, and comes close to PCA, which it cannot pass. The three losses, in this order:
# PCA, the network with biases, the W trained without.

# %%
ae = Autoencoder(n_components=K, hidden=(), activation="identity", tied=True, learning_rate=3e-3, n_epochs=200,
                 random_state=30).fit(X)
losses = [lam[K:].sum(), ae.reconstruction_error(X).mean(), pca_loss(raw[K], X).mean()]
claim_true("PCA.E", "biases do the centring", losses[0] < losses[1] < losses[2], losses)

# %% [markdown]
# ## What ten numbers keep, and what two show

# %%
picked = [np.flatnonzero(y == digit)[0] for digit in range(10)]
mean = X.mean(axis=0)
plots.save_figure(plots.reconstructions(X[picked], mean + x[picked] @ W @ W.T), OUT / "30_reconstructions.png")
ax = plots.latent_plane(x @ axes[:, :2], y)
ax.set(xlabel="first principal component", ylabel="second principal component")
plots.save_figure(ax, OUT / "30_plane.png")

# %% [markdown]
# `out/30_reconstructions.png`: ten numbers for sixty-four pixels. Most digits can still be read, but fine strokes are
# gone: the holes of the 8 have filled up, and the 9 could pass for a 5.
#
# `out/30_plane.png`: every picture at its first two codes, drawn as its digit, which PCA was never told. Some classes
# (0, 4, 6) form islands, others (5, 8) lie on top of each other. A flat plane through 64 dimensions shows no more than
# this; to bend the plane, encoder and decoder must become nonlinear, and that is what an autoencoder adds to PCA.
