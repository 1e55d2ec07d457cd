# %% [markdown]
# # 65 · The reparameterization trick
# **Question.** A draw has no derivative. How does the gradient of the ELBO reach the encoder all the same, and how
# noisy does it arrive?
#
# Tags RP.1–RP.3 · needs 10, 50, 60 · 8 s
# %%
from pathlib import Path

import numpy as np

from tinyvae import VAE, load_digits, plots
from tinyvae.checks.claims import claim_equal, claim_mean, claim_true
from tinyvae.checks.slopes import complex_step
from tinyvae.distributions import LOG_2PI
from tinyvae.full_gaussian import FullGaussian
from tinyvae.params import slices

OUT = Path(__file__).parent / "out" if "__file__" in globals() else Path("out")
rng = np.random.default_rng(65)
# %% [markdown]
# ## The draw stands in the way
# The ELBO of one x is $\mathbb E_{q} \log p(x \mid z) - \mathrm{KL}\big(q(z \mid x) \,\|\, p(z)\big)$. The KL is a
# formula in μ and Σ, which the encoder computes. The mean over z is not: we draw z from q and put it into the decoder.
# Between Σ and z stands a random generator, and that has no derivative: `out/65_drawn.png`.
#
# The trick is to draw something that does not depend on φ, and to *compute* z from it:
# $$\varepsilon \sim N(0, I), \qquad z = \mu_\phi(x) + \Sigma_\phi^{1/2}(x)\, \varepsilon .$$
# Now z is a function of φ like any other, and the derivative goes through it; see `out/65_reparameterized.png`. ε needs
# none, since nothing that we learn lies behind it.
# %%
plots.save_figure(plots.elbo_graph(reparameterized=False), OUT / "65_drawn.png")
plots.save_figure(plots.elbo_graph(reparameterized=True), OUT / "65_reparameterized.png")
# %% [markdown]
# ## Is it the same law?   [RP.1]
# Our root of Σ is Cholesky's triangle L. The library's encoder puts it out directly, `out` = [mu | logvar | lower],
# with $e^{\mathrm{logvar}/2}$ on the diagonal, so that every output is a covariance. Gauss–Hermite nodes stand for all
# ε of N(0, I): what they give for the mean and the covariance of z is exact.
# %%
posterior, K = FullGaussian(), 3
out = rng.normal(scale=0.5, size=posterior.n_outputs(K))
nodes, weights = np.polynomial.hermite_e.hermegauss(9)
eps = np.stack(np.meshgrid(nodes, nodes, nodes), axis=-1).reshape(-1, K)
weights = np.multiply.outer(np.outer(weights, weights), weights).ravel() / weights.sum() ** K
rows = np.tile(out, (len(eps), 1))
z = posterior.draw(rows, eps)
mu, Sigma = (parts[0] for parts in posterior.mean_and_variance(rows))
claim_equal("RP.1", "the draws' mean = μ", weights @ z, mu, tol=1e-12)
claim_equal("RP.1", "their covariance = Σ", (z - mu).T * weights @ (z - mu), Sigma, tol=1e-12)
# %% [markdown]
# The law itself: where ε has the density $N(\varepsilon; 0, I)$, z has this density divided by
# $|\det \partial z / \partial \varepsilon|$. We take the Jacobian from the sampler, by complex steps, and get the
# log-density of what is *really drawn*. It must be the one that the library calls log q, and the one whose KL from the
# prior stands in the ELBO. That is one Σ in three places.
# %%
steps = 1e-30j * np.eye(K)
jacobian = np.stack([posterior.draw(rows.astype(complex), eps + step).imag / 1e-30 for step in steps], axis=2)
log_normal = lambda z: -(np.sum(z**2, axis=1) + z.shape[1] * LOG_2PI) / 2
log_drawn = log_normal(eps) - np.log(np.abs(np.linalg.det(jacobian)))
claim_equal("RP.1", "log-density of the draws = log q", log_drawn, posterior.log_prob(z, rows), tol=1e-12)
claim_equal("RP.1", "E (log q − log p) = the ELBO's KL", weights @ (log_drawn - log_normal(z)),
            posterior.kl(rows)[0], tol=1e-12)
z = posterior.draw(np.tile(out, (100_000, 1)), rng.standard_normal((100_000, K)))
pairs = (z - mu)[:, :, None] * (z - mu)[:, None, :]
for name, values, exact in (("mean", z, mu), ("covariance", pairs, Sigma)):
    claim_mean("RP.1", f"100,000 draws: {name}", values.mean(axis=0), values.std(axis=0) / np.sqrt(len(z)), exact)
# %% [markdown]
# Why so careful? The commonest mistake in hand-written VAEs is a sampler with the standard deviation
# $e^{\mathrm{logvar}}$ beside a KL with the *variance* $e^{\mathrm{logvar}}$. Each gradient is then right, of a wrong
# objective, so that no gradient check sees it. Take x = z + noise of variance s, and for q the exact posterior,
# variance v: the ELBO *is* log p(x). The wrong sampler has the variance v² and arrives at $(v - v^2) / 2s$ more: a
# "lower bound" above log p(x).
# %%
x, s = 0.7, 0.5
v = s / (1 + s)                                              # of the posterior; its mean is x / (1 + s)
log_density = lambda x, mean, variance: -((x - mean) ** 2 / variance + np.log(variance) + LOG_2PI) / 2
log_p, kl = log_density(x, 0, 1 + s), ((x / (1 + s)) ** 2 + v - 1 - np.log(v)) / 2
elbo = {}
for name, sd in (("right", np.sqrt(v)), ("wrong", v)):       # two points ±sd have q's mean and variance
    elbo[name] = log_density(x, x / (1 + s) + sd * np.array([1, -1]), s).mean() - kl
claim_equal("RP.1", "sd √v: ELBO = log p(x)", elbo["right"], log_p, tol=1e-12)
claim_equal("RP.1", "sd v: ELBO − log p = (v − v²) / 2s", elbo["wrong"] - log_p, (v - v**2) / (2 * s), tol=1e-12)
claim_true("RP.1", "log p(x) < what it takes for a bound", elbo["wrong"] > log_p, [log_p, elbo["wrong"]])
# %% [markdown]
# ## Three ways to one gradient   [RP.2]
# Let $f(z) = \log p(x \mid z)$, of one real digit and a random decoder with two latents and 64 pixels. How does
# $\mathbb E_q f$ change with μ and L?
# $$\text{pathwise:}\quad \mathbb E_\varepsilon\, \nabla f(z), \quad
# \mathbb E_\varepsilon\, \nabla f(z)\, \varepsilon^\top; \qquad
# \text{score function:}\quad \mathbb E_q\, f(z)\, \nabla_\phi \log q(z) ;$$
# and the third way differentiates the integral $\int q(z)\, f(z)\, dz$ as it stands: z stays where it is, the density
# moves. We sum all three over a grid of ε, or of z. The third is a complex step, through a density written here in
# $\Sigma$.
# %%
digits, _ = load_digits()
x = (digits[:1] > 0.5).astype(float)
model = VAE(2, hidden=(8,), activation="tanh", posterior="full", likelihood="bernoulli", n_epochs=0).fit(x)
model.theta_[:] = rng.normal(scale=0.5, size=model.theta_.size)
P = model.params()
line, step = np.linspace(-9, 9, 181, retstep=True)
eps = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
weights = np.exp(log_normal(eps)) * step**2
out = model.encoded(P, x)[0]
rows, images = np.tile(out, (len(eps), 1)), np.tile(x, (len(eps), 1))
z = posterior.draw(rows, eps)
f, f_d = model.log_px_z_dz(P, images, z)
# %%
def log_q(out):
    """Of all z, with Σ = [[a, b], [b, c]] written out."""
    a, b, c = np.exp(out[2]), out[4] * np.exp(out[2] / 2), out[4] ** 2 + np.exp(out[3])
    r, det = z - out[:2], a * c - b * b
    return -((c * r[:, 0] ** 2 - 2 * b * r[:, 0] * r[:, 1] + a * r[:, 1] ** 2) / det + np.log(det)) / 2 - LOG_2PI


integral = lambda moved: weights @ (np.exp(log_q(moved) - log_q(out)) * f)
exact = np.array([complex_step(integral, out, direction) for direction in np.eye(5)])
pathwise = weights @ posterior.draw_d(f_d, rows, eps)
score = posterior.log_prob_d(z, rows, weights * f)[1].sum(axis=0)
claim_equal("RP.2", "pathwise = ∂ of the integral", pathwise, exact, tol=1e-11)
claim_equal("RP.2", "score function = ∂ of the integral", score, exact, tol=1e-11)
claim_true("RP.2", "lost where the gradient stops at z", np.abs(exact).min() > 1e-3, exact)
# %% [markdown]
# ## Through a Cholesky factor   [RP.2]
# What if a network puts out Σ itself? Then the derivative must pass through Σ ↦ L. Move Σ = LLᵀ a little:
# $$d\Sigma = dL\, L^\top + L\, dL^\top \quad\Longrightarrow\quad
# L^{-1} d\Sigma\, L^{-\top} = L^{-1} dL + (L^{-1} dL)^\top .$$
# $L^{-1} dL$ is lower triangular, hence it is $\Phi(L^{-1} d\Sigma\, L^{-\top})$, where Φ keeps the lower triangle and
# halves the diagonal. Turned round, a derivative $\bar L$ by L becomes, by the symmetric Σ (Murray 2016),
# $$\bar\Sigma = \tfrac12 (S + S^\top), \qquad S = L^{-\top}\, \Phi(L^\top \bar L)\, L^{-1} .$$
# LAPACK's Cholesky takes no complex step, so we write one that does.
# %%
def cholesky(Sigma):
    L = np.zeros_like(Sigma)
    for k in range(len(Sigma)):
        L[k:, k] = Sigma[k:, k] - L[k:, :k] @ L[k, :k]
        L[k:, k] /= np.sqrt(L[k, k])
    return L


def cholesky_backward(L, dL):
    phi = np.tril(L.T @ dL)
    phi[np.diag_indices(len(L))] /= 2
    S = np.linalg.solve(L.T, np.linalg.solve(L.T, phi.T).T)          # L⁻ᵀ Φ L⁻¹
    return (S + S.T) / 2
# %% [markdown]
# Σ moves in symmetric directions only: along $\tfrac12 (e_i e_j^\top + e_j e_i^\top)$ the derivative must be
# $\bar\Sigma_{ij}$. We take a random $\bar L$: with a plain sum of L's entries a transposed mistake could hide.
# %%
root, dL = rng.normal(size=(6, 9)), np.tril(rng.normal(size=(6, 6)))
Sigma = root @ root.T / 9
dSigma = cholesky_backward(cholesky(Sigma), dL)
directions = [(np.outer(i, j) + np.outer(j, i)) / 2 for i in np.eye(6) for j in np.eye(6)]
stepped = [complex_step(lambda S: np.sum(cholesky(S) * dL), Sigma, direction) for direction in directions]
claim_equal("RP.2", "Cholesky backward = complex step", dSigma.ravel() / np.abs(dSigma).max(),
            stepped / np.abs(dSigma).max(), tol=1e-13)
# %% [markdown]
# With it we can ask for the derivative of $\mathbb E_q f$ by Σ, and there is an old theorem about that one (Price
# 1958): it is half the mean of f's second derivatives, $\tfrac12\, \mathbb E_q \nabla \nabla^\top f$. Nothing of L or ε
# is left in it.
# %%
L = posterior.factor(out[None])[0]
dL = f_d.T * weights @ eps                                   # Φ passes over what is above the diagonal
h = 1e-30
hessian = np.stack([model.log_px_z_dz(model.params(model.theta_ + 0j), images, z + h * 1j * e)[1].imag / h
                    for e in np.eye(2)], axis=2)
half_mean = np.tensordot(weights, hessian, axes=1) / 2
claim_equal("RP.2", "pathwise by Σ = ½ E ∇∇ᵀf", cholesky_backward(L, dL), half_mean, tol=1e-11)
# %% [markdown]
# ## Both are right on average. How far off are they each time?   [RP.3]
# The score function needs only values of f: it works where f has no gradient. What does that cost?
#
# A case where all is exact: K latents, K pixels, each pixel the business of its own latent, $f(z) = \sum_k g(z_k)$ with
# $g(z) = \log \mathrm{sigmoid}(2 z)$. We look at the derivative by $\mu_1$. Pathwise it is $g'(z_1)$, no matter what
# the other latents do. The score function's is $f(z)\, \varepsilon_1 / \sigma$: all the others' noise comes in as a
# factor. With $R = \sum_{k>1} g(z_k)$, which is independent of $z_1$, and $u = \varepsilon_1 / \sigma$, the second
# moment is
# $$\mathbb E f^2 u^2 = \mathbb E g^2 u^2 + 2\, \mathbb E g u^2\, \mathbb E R + \mathbb E u^2\, \mathbb E R^2 ,$$
# and every mean is an integral over a line. S draws are averaged, so that all variances are divided by S.
# %%
m, sd, S = 0.3, 0.8, 4
line, step = np.linspace(-10, 10, 2001, retstep=True)
mean = lambda values: np.sum(np.exp(-line**2 / 2) / np.sqrt(2 * np.pi) * values) * step
g, u = -np.log1p(np.exp(-2 * (m + sd * line))), line / sd
slope = 2 / (1 + np.exp(2 * (m + sd * line)))
C, g_mean = mean(g * u), mean(g)                             # C: the derivative itself
g_variance = mean((g - g_mean) ** 2)
claim_equal("RP.2", "in one latent: E g u = E g'", C, mean(slope), tol=1e-12)


def score_variance(K):
    R, R2 = (K - 1) * g_mean, (K - 1) * g_variance + ((K - 1) * g_mean) ** 2
    return (mean((g * u) ** 2) + 2 * mean(g * u * u) * R + R2 / sd**2 - C**2) / S
# %% [markdown]
# A remedy without gradients: $\mathbb E u = 0$, so f may be lowered by anything that does not depend on this draw, such
# as the mean of f over the *other* draws. A little algebra shows what becomes of the estimator: it is the sample
# covariance of f and u,
# $$\frac1S \sum_s \Big( f_s - \frac{1}{S-1} \sum_{r \ne s} f_r \Big)\, u_s
# = \frac{1}{S-1} \sum_s (f_s - \bar f)(u_s - \bar u) ,$$
# whose variance is known from statistics,
# $$\frac1S \Big( \mathbb E (f - \mathbb E f)^2 u^2 - \frac{S-2}{S-1}\, C^2
# + \frac{1}{S-1}\, \sigma_f^2\, \sigma_u^2 \Big) , \qquad C = \mathbb E f u .$$
# %%
def control_variance(K):
    mixed = mean(((g - g_mean) * u) ** 2) + (K - 1) * g_variance / sd**2
    return (mixed - (S - 2) / (S - 1) * C**2 + K * g_variance / sd**2 / (S - 1)) / S


exact = {"score": score_variance, "score + control variate": control_variance,
         "pathwise": lambda K: mean((slope - C) ** 2) / S}
# %% [markdown]
# The witness is the library: a VAE with this decoder, the same x 20,000 times or more, fresh noise for each. The
# gradient that arrives at the encoder's output is read off row by row. The KL's part, −μ₁, is the same for all draws;
# we take it out.
# %%
def drawn_gradients(name, K):
    """What n times S draws say of the derivative of E log p(x|z) by mu_1, (n,)."""
    n = max(20_000, 320_000 // K)
    gradient, *control = name.split(" + ")
    model = VAE(K, hidden=(), likelihood="bernoulli", n_samples=S, gradient=gradient, control_variate=bool(control),
                n_epochs=0).fit(np.ones((1, K)))
    model.theta_[:] = 0
    model.parameters_["encoder.0.b"][:] = np.repeat([m, 2 * np.log(sd)], K)
    model.parameters_["decoder.0.W"][:] = 2 * np.eye(K)
    t = model.forward(model.params(), np.ones((n, K)), rng.standard_normal((S, n, K)))
    return -n * model.backward(model.params(), t, model.params(np.empty_like(model.theta_))).encoder[-1][:, 0] + m
# %%
for K in (1, 8, 64):
    for name, variance in exact.items():
        squares = (drawn_gradients(name, K) - C) ** 2
        claim_mean("RP.3", f"Var {name}, K = {K}", squares.mean(), squares.std() / np.sqrt(len(squares)), variance(K))
dimensions = 2 ** np.arange(9)
variances = {name: np.array([variance(K) for K in dimensions]) for name, variance in exact.items()}
for name in list(exact)[:2]:
    ratio = variances[name] / variances["pathwise"]
    claim_true("RP.3", f"{name}, K rising", bool(np.all(np.diff(ratio, prepend=1) > 0)), ratio[[0, 3, 5, 8]])
claim_true("RP.3", "the control variate helps in every K",
           bool(np.all(variances["score + control variate"] < variances["score"])), "K = 1 … 256")
# %% [markdown]
# The ratios are variances in units of the pathwise one, for K = 1, 8, 32 and 256: so many draws of the score function
# are worth one pathwise draw. Its variance grows like K², with a control variate like K, and pathwise not at
# all: `out/65_variance.png`.
# %%
ax = plots.error_against_step(dimensions, variances)
ax.set(xlabel="latent dimensions K", ylabel="variance of the gradient by $\\mu_1$")
ax.set_xticks(dimensions[::2], map(str, dimensions[::2]))
plots.save_figure(ax, OUT / "65_variance.png")
# %% [markdown]
# ## On real digits
# A VAE with ten latents on 8 × 8 digits, a few epochs old. At this θ, with one batch, we draw the noise 100 times, the
# same for all three, and look at the variance of each block of the gradient, all entries added up.
# %%
X = digits[rng.permutation(len(digits))]
train, test = (X[:1500] > 0.5).astype(float), (X[1500:] > 0.5).astype(float)
options = dict(hidden=(64,), likelihood="bernoulli", n_samples=S, random_state=0)
model = VAE(10, n_epochs=5, **options).fit(train)
estimators = {"pathwise": {}, "score": {"gradient": "score"},
              "score + control variate": {"gradient": "score", "control_variate": True}}
noise = rng.standard_normal((100, S, 100, 10))
gradients = {name: np.array([model.set_params(**{"gradient": "pathwise", "control_variate": False} | settings)
                             .loss_and_grad(train[:100], eps)[1] for eps in noise])
             for name, settings in estimators.items()}
# %%
blocks = slices({name: view.shape for name, view in model.parameters_.items()})
total = {name: {block: np.sum(np.var(G[:, place], axis=0)) for block, place in blocks.items()}
         for name, G in gradients.items()}
for block in blocks:
    print(f"{block:12}", *(f"{name}: {total[name][block]:9.2e}  " for name in estimators))
for name in list(estimators)[1:]:
    ratio = [total[name][block] / total["pathwise"][block] for block in blocks if block.startswith("encoder")]
    claim_true("RP.3", f"encoder: {name}", min(ratio) > 10, ratio)
same = all(np.array_equal(gradients["score"][:, place], gradients["pathwise"][:, place])
           for block, place in blocks.items() if block.startswith("decoder"))
claim_true("RP.3", "decoder: the same, to the last bit", same, "its blocks do not ask how z moves")
# %% [markdown]
# And what does the noise cost in training? Three VAEs from the same start, with as many steps and draws each.
# `out/65_training.png` shows the negative ELBO; on held-out digits we compare them image by image.
# %%
models = {name: VAE(10, n_epochs=30, **options, **settings).fit(train) for name, settings in estimators.items()}
ax = plots.training_curve({name: model.history_["loss"] for name, model in models.items()})
ax.set_ylabel("−ELBO, nats per image")
plots.save_figure(ax, OUT / "65_training.png")
elbos = {name: model.elbo(test, 200, random_state=1) for name, model in models.items()}
order = ["pathwise", "score + control variate", "score"]
for better, worse in zip(order, order[1:]):
    gain = elbos[better] - elbos[worse]
    z_score = gain.mean() / (gain.std() / np.sqrt(len(gain)))
    claim_true("RP.3", f"{better} > {worse}", z_score > 5,
               f"{elbos[better].mean():.1f} > {elbos[worse].mean():.1f}, {z_score:.0f} s.e.")
# %% [markdown]
# ## A tighter bound, a blurred gradient
# Importance weighting makes the bound tighter the more draws it has: $\mathbb E \log \frac1S \sum_s w_s$ with
# $w_s = p(x, z_s) / q(z_s \mid x)$ (lesson 80). But the closer it comes to log p(x), the less q matters, and the
# encoder's gradient vanishes faster than its noise: the ratio of its mean to its standard deviation falls like
# $S^{-1/2}$ (Rainforth et al. 2018). The doubly reparameterized gradient (DReG) goes through z a second time, where
# log q's own parameters would add noise, and its ratio *grows* like $S^{1/2}$ (Tucker et al. 2019). First, by
# quadrature over two draws: both have one mean. It is x = z + noise again, with q a little off.
# %%
model = VAE(1, hidden=(), sd=np.sqrt(s), objective="iwae", n_epochs=0).fit(np.array([[0.7]]))
model.theta_[:] = 0
model.parameters_["decoder.0.W"][:] = 1
model.parameters_["encoder.0.b"][:] = [0.7 / (1 + s) + 0.1, np.log(v) + 0.1]


def encoder_gradients(gradient, eps):
    """By the encoder's output [mu | logvar], for every column of the noise (S, n)."""
    n, P = eps.shape[1], model.set_params(gradient=gradient).params()
    t = model.forward(P, np.full((n, 1), 0.7), eps[:, :, None])
    return -n * model.backward(P, t, model.params(np.empty_like(model.theta_))).encoder[-1]
# %%
line, step = np.linspace(-9, 9, 145, retstep=True)
eps = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
weights = np.exp(log_normal(eps)) * step**2
pathwise, dreg = (weights @ encoder_gradients(name, eps.T) for name in ("pathwise", "dreg"))
claim_equal("RP.2", "two draws: mean of DReG = of pathwise", dreg, pathwise, tol=1e-11)
# %%
n_draws = 4 ** np.arange(4)
ratios = {"pathwise": [], "dreg": []}
for S in n_draws:
    eps = rng.standard_normal((S, 10_000))
    found = {name: encoder_gradients(name, eps) for name in ratios}
    signal = np.linalg.norm(found["dreg"].mean(axis=0))       # one mean for both: that of the less noisy
    for name, d in found.items():
        ratios[name].append(signal / np.linalg.norm(d.std(axis=0)))
# %%
for name, ratio in ratios.items():
    print(f"{name}: ratio ~ S^{np.polyfit(np.log(n_draws), np.log(ratio), 1)[0]:.2f}")
ax = plots.error_against_step(n_draws, {"pathwise": ratios["pathwise"], "doubly reparameterized": ratios["dreg"]})
ax.set_xticks(n_draws, map(str, n_draws))
ax.set(xlabel="draws S", ylabel="signal-to-noise ratio of the encoder's gradient")
plots.save_figure(ax, OUT / "65_signal_to_noise.png")
