# %% [markdown]
# # 75 · A linear VAE is probabilistic PCA
# **Question.** A VAE never sees the likelihood that it is meant to raise. Where the likelihood can be maximised
# exactly, does the VAE arrive at the same place?
#
# Tags LV.7, OP.2 · needs 30, 60, 70 · 7 s
# %%
from pathlib import Path

import numpy as np
from scipy import optimize, stats

from tinyvae import PCA, VAE, ProbabilisticPCA, load_digits, plots
from tinyvae.checks.claims import claim_equal, claim_true
from tinyvae.checks.slopes import complex_step
from tinyvae.linear import ppca_em_step, ppca_log_prob, ppca_log_prob_d, ppca_posterior
# %%
OUT = Path(__file__).parent / "out" if "__file__" in globals() else Path("out")
rng = np.random.default_rng(75)
X, y = load_digits()
mean = X.mean(axis=0)
x = X - mean
(N, D), K = X.shape, 10
# %% [markdown]
# ## The integral that can be done   [LV.7]
# The lecture wants the parameters under which the data are most likely, $\max \prod_i p(x^{(i)})$, with
# $p(x) = \int p(x\mid z)\, p(z)\, dz$, and names one case in which that integral is known: Gaussians, and a linear map.
# This is *probabilistic PCA* (Tipping and Bishop 1999),
# $$z \sim N(0, I_K), \qquad x = m + W z + σ\,ε, \qquad ε \sim N(0, I_D) .$$
# A sum of Gaussians is a Gaussian, so $p(x) = N(m,\; W W^\top + σ^2 I)$: a covariance of D × D numbers, made of D × K.
# Is that the integral? For K = 2 we can sum $p(x\mid z)\, p(z)$ over a grid of z, at a W that nobody has fitted:
# %%
W_test, variance_test = rng.normal(size=(D, 2)) / 4, 0.1
line = np.linspace(-6, 6, 201)
z_grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
prior = stats.norm.pdf(z_grid).prod(axis=1) * (line[1] - line[0])**2


def log_integral(row):
    log_px_z = stats.norm(z_grid @ W_test.T, np.sqrt(variance_test)).logpdf(row).sum(axis=1)
    return np.log(np.exp(log_px_z - log_px_z.max()) @ prior) + log_px_z.max()


by_grid = np.array([log_integral(row) for row in x[:3]])
gaussian = stats.multivariate_normal(cov=W_test @ W_test.T + variance_test * np.eye(D))
claim_equal("LV.7", "N(m, WWᵀ + σ²I) = ∫ p(x|z) p(z) dz", gaussian.logpdf(x[:3]), by_grid, tol=1e-10)
# %% [markdown]
# SciPy takes a D × D matrix apart for that; the library needs one of K × K only. The posterior $p(z\mid x)$ is
# Gaussian as well, $N(\bar z, S)$ with $S = σ^2 (W^\top W + σ^2 I)^{-1}$ and $\bar z = S\, W^\top (x - m) / σ^2$, and
# Bayes' rule $p(x) = p(x\mid z)\, p(z) / p(z\mid x)$ holds at every z. At $z = \bar z$ it becomes
# $$\log p(x) = -\tfrac12 \Big( \frac{\lVert x - m - W \bar z \rVert^2}{σ^2} + \lVert \bar z \rVert^2
# + D \log 2πσ^2 - \log \lvert S \rvert \Big) .$$
# %%
claim_equal("LV.7", "ppca_log_prob = SciPy, all pictures",
            ppca_log_prob(X, mean, W_test, variance_test), gaussian.logpdf(x), tol=1e-10)
# %% [markdown]
# ## First route: the maximum in closed form   [LV.7]
# Let $λ_1 ≥ λ_2 ≥ …$ be the eigenvalues of the data's covariance and $u_k$ its axes (lesson 30). Tipping and Bishop
# found the maximum: m is the mean of the data, and
# $$σ^2 = \frac{1}{D - K} \sum_{k > K} λ_k, \qquad
# W = \big[\, u_1 \sqrt{λ_1 - σ^2} \;…\; u_K \sqrt{λ_K - σ^2} \,\big] .$$
# So $W W^\top + σ^2 I$ has the data's variance along the first K axes, and their average along all the others. The
# likelihood is then an expression in the eigenvalues alone. One side walks through all the pictures, the other sees
# `eigh` of the covariance:
# %%
exact = ProbabilisticPCA(K).fit(X)
lam = np.linalg.eigvalsh(x.T @ x / N)[::-1]
rest = lam[K:].mean()
from_eigenvalues = -(D * np.log(2 * np.pi) + np.log(lam[:K]).sum() + (D - K) * np.log(rest) + D) / 2
claim_equal("LV.7", "mean log p(x) from the eigenvalues", exact.score(X), from_eigenvalues, tol=1e-10)
# %%
eigenvalues = PCA(K).fit(X).eigenvalues_
ax = plots.spectrum(eigenvalues, n_kept=K)
level = 100 * exact.noise_variance_ / eigenvalues.sum()
ax.plot([K + 0.5, D + 0.5], [level, level], "k-", linewidth=2, label="σ², the mean of the discarded")
ax.legend(frameon=False, loc="upper right")
plots.save_figure(ax, OUT / "75_spectrum.png")
# %% [markdown]
# `out/75_spectrum.png`: PCA says which axes to keep. Probabilistic PCA says as well what becomes of the others: it
# takes them for noise that is equally strong in all directions, which the hatched bars are not. With that it is a law
# of pictures, which can be sampled from and held against other laws.
# %% [markdown]
# ## Second route: EM   [LV.7]
# The lecture mentions expectation maximisation. It is the VAE's idea with an exact posterior. For any law q of z,
# $$\log p(x) ≥ \mathrm{ELBO}(q;\, W, σ^2) = \mathbb E_q \log p(x\mid z) - \mathrm{KL}\big(q \,\|\, N(0, I)\big),$$
# with equality if q is the posterior. So **E**: take q to be the posterior, and the bound touches. **M**: keep q, and
# move W and σ² to where the bound is highest, which for Gaussians is least squares. Then log p has risen, too:
# it is above the new bound, which is above the old, which was log p. Averages over all pictures, after a single step:
# %%
def bound(z, S, W, variance):
    """The mean ELBO when q(z|x) is N(z̄, S)."""
    error = np.mean(np.sum((x - z @ W.T)**2, axis=1)) + np.trace(W @ S @ W.T)
    kl = (np.mean(np.sum(z**2, axis=1)) + np.trace(S) - K - np.linalg.slogdet(S)[1]) / 2
    return -(error / variance + D * np.log(2 * np.pi * variance)) / 2 - kl

old = rng.normal(size=(D, K)) / 4, 0.1
new = ppca_em_step(x, *old)
q = ppca_posterior(x, 0, *old)
log_p_old, log_p_new = (ppca_log_prob(x, 0, *theta).mean() for theta in (old, new))
claim_equal("LV.7", "E: ELBO(posterior; old W, σ²) = log p", bound(*q, *old), log_p_old, tol=1e-10)
claim_true("LV.7", "M: log p < ELBO(same q; new) < new log p",
           log_p_old < bound(*q, *new) < log_p_new, [log_p_old, bound(*q, *new), log_p_new])
# %% [markdown]
# Repeat that from a random W. The two steps contain no eigenvalue, no decomposition, and no matrix of D × D, and should
# arrive where `eigh` pointed. The likelihood must rise at every step, until only its rounding (some 1e-14) is left.
# %%
em = ProbabilisticPCA(K, "em", tol=1e-12, random_state=75).fit(X)
log_p = np.array(em.history_["log_likelihood"])
rises = np.diff(log_p)
claim_true("LV.7", "EM never falls: least rise, steps", np.all(rises > -1e-12), [rises.min(), em.n_iter_])
claim_equal("LV.7", "EM = closed form: log p(x)", log_p[-1], exact.score(X), tol=1e-10)
claim_equal("LV.7", "EM = closed form: σ²", em.noise_variance_, exact.noise_variance_, tol=1e-10)
claim_equal("LV.7", "EM = closed form: W Wᵀ", em.W_ @ em.W_.T, exact.W_ @ exact.W_.T, tol=1e-10)
# %% [markdown]
# ## Third route: gradient ascent   [LV.7]
# What the lecture would do with any model: differentiate and climb. With the residual $e = x - m - W \bar z$,
# $$\frac{\partial \log p(x)}{\partial W} = \frac{e\, \bar z^\top - W S}{σ^2}, \qquad
# \frac{\partial \log p(x)}{\partial σ^2} = \frac{1}{2σ^2} \Big( \frac{\lVert e \rVert^2}{σ^2} - (D - K)
# - \operatorname{tr} S \Big) .$$
# θ holds W and log σ², which may take any value. The mean log p contains the data only through their covariance, so 64
# rows with that covariance will do for all 1,797 (lesson 30). First the gradient, by a complex step for each entry:
# %%
short = np.linalg.qr(x, mode="r") * np.sqrt(D / N)                  # shortᵀ short / D = xᵀ x / N
w = np.full(D, 1 / D)
unpack = lambda theta: (theta[:-1].reshape(D, K), np.exp(theta[-1]))
loss = lambda theta: -w @ ppca_log_prob(short, 0, *unpack(theta))


def gradient(theta):
    _, dW, d_variance = ppca_log_prob_d(short, 0, *unpack(theta), w)
    return -np.append(dW.ravel(), d_variance * np.exp(theta[-1]))
# %%
start = np.append(np.sqrt(x.var()) * rng.normal(size=D * K), np.log(x.var()))
stepped = np.array([complex_step(loss, start, unit) for unit in np.eye(start.size)])
claim_equal("LV.7", "gradient of log p = complex step", gradient(start), stepped, tol=1e-13, relative=True)
# %% [markdown]
# Plain ascent by a fixed step; L-BFGS, which learns the curvature on its way; and Newton's method for the last digits,
# which must go by the gradient, since the loss no longer changes there (lesson 30). The Hessian's columns are complex
# steps of the gradient. It is singular, for a rotation of W changes nothing; `lstsq` takes the shortest of all the
# solutions, which does not rotate.
# %%
def newton(gradient, theta, n_steps=2):
    """Solve gradient = 0 from nearby."""
    for _ in range(n_steps):
        hessian = np.array([gradient(theta + 1e-30j * unit).imag / 1e-30 for unit in np.eye(theta.size)])
        theta = theta - np.linalg.lstsq(hessian, gradient(theta), rcond=1e-9)[0]
    return theta
# %%
theta, ascent, lbfgs = start, [], []
for _ in range(800):
    theta = theta - 0.01 * gradient(theta)
    ascent.append(loss(theta))
near = optimize.minimize(loss, start, jac=gradient, method="L-BFGS-B", callback=lambda theta: lbfgs.append(loss(theta)),
                         options={"maxiter": 1000, "ftol": 0, "gtol": 1e-8})
W, variance = unpack(newton(gradient, near.x))
# %%
claim_equal("LV.7", "gradient = closed form: log p(x)", ppca_log_prob(x, 0, W, variance).mean(), exact.score(X),
            tol=1e-10)
claim_equal("LV.7", "gradient = closed form: σ²", variance, exact.noise_variance_, tol=1e-10)
claim_equal("LV.7", "gradient = closed form: W Wᵀ", W @ W.T, exact.W_ @ exact.W_.T, tol=1e-10)
# %%
gaps = {"gradient ascent, fixed step": exact.score(X) + np.array(ascent), "EM": exact.score(X) - log_p,
        "L-BFGS": exact.score(X) + np.array(lbfgs)}
gaps = {name: gap[:np.argmax(np.append(gap, 0) < 1e-12)] for name, gap in gaps.items()}     # below, all is rounding
plots.save_figure(plots.convergence(gaps), OUT / "75_convergence.png")
# %% [markdown]
# `out/75_convergence.png`: all three rise to the same maximum, none falls. EM needs no step size and starts steeply,
# but ends like gradient ascent, by a constant share at every step; its share is small where σ² is small against
# $λ_1$, or $λ_{K+1}$ close to $λ_K$. L-BFGS is far ahead of both in the end.
# %% [markdown]
# ## What the model sees, and what it imagines
# Fitted to 1,500 digits, shown ten others. A density must also do well on what it was not fitted to, and is judged by
# a number that PCA's squared error cannot give: the mean log p of the held-out pictures.
# %%
order = rng.permutation(N)
train, test = X[order[:1500]], X[order[1500:]]
model = ProbabilisticPCA(K).fit(train)
shown = [np.flatnonzero(y[order[1500:]] == digit)[0] for digit in range(10)]
plots.save_figure(plots.reconstructions(test[shown], model.reconstruct(test[shown])), OUT / "75_reconstructions.png")
imagined = model.inverse_transform(rng.normal(size=(10, K)))
noise = np.sqrt(model.noise_variance_) * rng.normal(size=imagined.shape)
plots.save_figure(plots.images(np.vstack([imagined, imagined + noise])), OUT / "75_samples.png")
isotropic = stats.norm(train.mean(axis=0), np.sqrt(train.var(axis=0).mean())).logpdf(test).sum(axis=1).mean()
claim_true("LV.7", "held out: one σ for all < pPCA, log p(x)", isotropic < model.score(test),
           [isotropic, model.score(test)])
# %% [markdown]
# `out/75_reconstructions.png`: held-out digits at the posterior mean of z, most of them legible.
#
# `out/75_samples.png`: above, what the model imagines, $m + W z$ with z from the prior; below, the same with the noise,
# which makes them draws from p(x). There is ink where digits have ink, and one or two could be named, but most are
# mixtures: the law of digits is no Gaussian. To bend it takes a nonlinear decoder; then the integral is lost, and we
# are left with the bound.
# %% [markdown]
# ## The same model as a VAE   [OP.2]
# Take a VAE with `hidden=()`. Its decoder is $W z + m$ with a learned σ: probabilistic PCA. Its encoder makes
# $μ = A x + a$ and the log-variances linear in x; q has a diagonal covariance. The posterior has a mean linear in x and
# one and the same covariance S for all x. So q can be the posterior, if S is diagonal. S is that when the columns of W
# are orthogonal, and W can be turned so without changing p(x). Hence
# $$\max \mathrm{ELBO} = \max \log p(x), \text{ with } W W^\top \text{ and } σ^2 \text{ of probabilistic PCA,}$$
# if training finds the maximum. We take the digits in 4 × 4 pixels, the means of 2 × 2 blocks, and K = 3: pixels that
# hardly ever have ink would make the encoder's problem so flat in places that the last digits would take minutes.
# %%
X = X.reshape(N, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(N, 16)
(N, D), K = X.shape, 3
exact = ProbabilisticPCA(K).fit(X)
vae = VAE(K, hidden=(), likelihood="gaussian", sd=None, n_epochs=0, random_state=75).fit(X)
print({name: view.shape for name, view in vae.parameters_.items()})
# %% [markdown]
# ### An expectation without draws
# The loss contains $\mathbb E_ε \lVert x - W(μ + σ_q ε) - m \rVert^2$, a square in ε, and so sees of the law of ε no
# more than its mean 0 and its covariance I. The 2K points $\pm\sqrt K\, e_k$ have both, and their average *is* the
# expectation. Against Gauss–Hermite quadrature with 4 × 4 × 4 nodes, at random θ:
# %%
sigma_points = np.sqrt(K) * np.concatenate([np.eye(K), -np.eye(K)])
at_points = lambda rows: np.repeat(sigma_points[:, None], len(rows), axis=1)            # (2K, rows, K)
vae.theta_[:] = rng.normal(scale=0.3, size=vae.theta_.size)
nodes, weights = np.polynomial.hermite_e.hermegauss(4)
weights = weights / weights.sum()
terms = [(nodes[[i, j, k]], weights[[i, j, k]].prod()) for i, j, k in np.ndindex(4, 4, 4)]
by_quadrature = sum(weight * vae.loss_and_grad(X, np.tile(node, (N, 1)))[0] for node, weight in terms)
claim_equal("OP.2", "2K sigma points = quadrature over ε", vae.loss_and_grad(X, at_points(X))[0], by_quadrature,
            tol=1e-13, relative=True)
# %% [markdown]
# ### Full batch, to the last digits   [OP.2]
# Probabilistic PCA knows the data by their mean and covariance alone, so that the maximum is the same for 32 rows that
# have both as for all 1,797. L-BFGS on the VAE's loss and gradient goes most of the way, Newton the rest. (Tying all
# this to the lecture: it is gradient ascent on the ELBO, θ and φ together, by `loss_and_grad` and `backward` alone.)
# %%
half = np.linalg.qr(X - X.mean(axis=0), mode="r") * np.sqrt(D / N)
rows = X.mean(axis=0) + np.concatenate([half, -half])
eps = at_points(rows)


def vae_loss_and_grad(theta):
    vae.theta_[:] = theta
    return vae.loss_and_grad(rows, eps)


def vae_gradient(theta):                            # for complex theta, too
    P, grad = vae.params(theta), np.empty_like(theta)
    vae.backward(P, vae.forward(P, rows, eps), vae.params(grad))
    return grad
# %%
near = optimize.minimize(vae_loss_and_grad, vae.theta_.copy(), jac=True, method="L-BFGS-B",
                         options={"maxiter": 1500, "ftol": 0, "gtol": 1e-9})
vae.theta_[:] = newton(vae_gradient, near.x, n_steps=4)
W, variance = vae.parameters_["decoder.0.W"].T, np.exp(vae.parameters_["likelihood.logvar"][0])
m = vae.parameters_["decoder.0.b"]
elbo = -vae.loss_and_grad(X, at_points(X))[0]
claim_equal("OP.2", "trained ELBO = greatest log p(x)", elbo, exact.score(X), tol=1e-10)
claim_equal("OP.2", "log p(x) of the VAE = greatest log p(x)", ppca_log_prob(X, m, W, variance).mean(), exact.score(X),
            tol=1e-10)
claim_equal("OP.2", "VAE's σ² = closed form", variance, exact.noise_variance_, tol=1e-6)
claim_equal("OP.2", "VAE's W Wᵀ = closed form", W @ W.T, exact.W_ @ exact.W_.T, tol=1e-6)
# %% [markdown]
# ### The encoder has become the posterior   [OP.2]
# For every picture q(z|x) must now be p(z|x), and the ELBO log p(x), row by row and not on average only. The posterior
# of the closed form has its columns in another order and with other signs, so we take that of the VAE's own W.
# %%
q_mean, q_variance = vae.encode(X)
z, S = ppca_posterior(X, m, W, variance)
claim_equal("OP.2", "mean of q(z|x) = mean of p(z|x)", q_mean, z, tol=1e-6)
claim_equal("OP.2", "variance of q(z|x) = that of p(z|x)", q_variance, np.tile(np.diag(S), (N, 1)), tol=1e-6)
t = vae.forward(vae.params(), X, at_points(X))
log_px_z, kl = vae.bound_terms(vae.params(), t)
claim_equal("OP.2", "ELBO = log p(x) for every picture", log_px_z - kl, ppca_log_prob(X, m, W, variance), tol=1e-6)
# %% [markdown]
# ### What the diagonal q decides   [OP.2]
# log p leaves W free to rotate, and lesson 30 ended with *some* basis of the subspace. The ELBO does not: with another
# rotation S is not diagonal, q cannot follow, and the bound is lower. So the columns of the trained W are orthogonal,
# and are, but for order and sign, the principal axes, each $\sqrt{λ_k - σ^2}$ long (Lucas et al. 2019).
# %%
order = np.argsort(-np.sum(W**2, axis=0))
turned = W[:, order] * np.sign(np.sum(W[:, order] * exact.W_, axis=0))
claim_equal("OP.2", "VAE's W = the principal axes", turned, exact.W_, tol=1e-6)
Q = stats.ortho_group.rvs(K, random_state=75)
claim_equal("OP.2", "rotated W: the same log p(x)", ppca_log_prob(X, m, W @ Q, variance).mean(), exact.score(X),
            tol=1e-10)
_, S = ppca_posterior(X, m, W @ Q, variance)
loss_of_bound = (np.log(np.diag(np.linalg.inv(S))).sum() + np.linalg.slogdet(S)[1]) / 2    # the least KL to N(z̄, S)
claim_true("OP.2", "but the best diagonal q misses it by", loss_of_bound > 0.01, loss_of_bound)
# %% [markdown]
# ## Minibatches, and one draw of ε   [OP.2]
# At last the way VAEs are trained: Adam, a hundred pictures a step, one draw for each, the rate lowered once. Now the
# gradient is a noisy one, and so is every number that training could go by. How noisy? Estimate the bound as an epoch
# does, from one fresh draw for each picture: the standard error of that mean is what training can see at best, and its
# true distance from the maximum, by sigma points, should be within two of them. So should σ² be within two standard
# errors of its own, $σ^2 \sqrt{2 / N(D - K)}$, which is how well 1,797 pictures determine it.
# %%
trained = VAE(K, hidden=(), likelihood="gaussian", batch_size=100, learning_rate=1e-2, n_epochs=80, random_state=75)
trained.fit(X).set_params(learning_rate=1e-3)
for _ in range(60):
    trained.partial_fit(X)
P = trained.params()
log_px_z, kl = trained.bound_terms(P, trained.forward(P, X, rng.standard_normal((N, K))))
seen = (log_px_z - kl - exact.score_samples(X)).std() / np.sqrt(N)
elbo = -trained.loss_and_grad(X, at_points(X))[0]
claim_equal("OP.2", "Adam: ELBO = greatest log p to 2 s.e.", elbo, exact.score(X), tol=2 * seen)
# %%
m, W, variance = P.decoder[0].b, P.decoder[0].W.T, np.exp(P.likelihood[0][0])
claim_equal("OP.2", "Adam: σ² = closed form to 2 s.e.", variance, exact.noise_variance_,
            tol=2 * variance * np.sqrt(2 / (N * (D - K))))
log_px = ppca_log_prob(X, m, W, variance).mean()
claim_true("OP.2", "Adam: ELBO < log p(x) < greatest log p", elbo < log_px < exact.score(X),
           [elbo, log_px, exact.score(X)])
# %% [markdown]
# So the answer is yes: ascent on the bound, which never computes log p, ended at its maximum. Two things made it
# possible: the family of q contained the posterior, and the encoder could say which. A nonlinear decoder takes away the
# first, and the gap between the bound and log p becomes the question of the next lessons.
