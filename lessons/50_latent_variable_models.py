# %% [markdown]
# # 50 · Latent variable models
# **Question.** How can a law as plain as N(0, I) make any law of x that we like, and what stands in the way of
# learning it?
#
# Tags LV.1–LV.6, LV.8, LV.9 · needs 10, 30 · 6 s
# %%
from pathlib import Path

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import ndtr, softmax
from scipy.stats import chi2, kstest, multivariate_normal, normaltest

from tinyvae import VAE, ProbabilisticPCA, load_digits, plots
from tinyvae.checks.claims import claim_equal, claim_mean, claim_true
# %%
from tinyvae.checks.slopes import complex_step
from tinyvae.checks.samples import energy_distance
from tinyvae.datasets import GaussianMixture, Ring
from tinyvae.distributions import DiagonalGaussianLikelihood, IsotropicGaussian, StandardNormal
from tinyvae.full_gaussian import FullGaussianLikelihood
from tinyvae.mlp import mlp_forward
from tinyvae.ops import ACTIVATIONS, log_sum_exp

OUT = Path(__file__).parent / "out" if "__file__" in globals() else Path("out")
rng = np.random.default_rng(50)
# %% [markdown]
# ## First z, then x   [LV.1]
# Nobody sees z. We *say* that there is one, with a law so simple that a computer can draw from it, and that x comes
# from z:
# $$z_s \sim p(z) = N(0, I), \qquad x_s \sim p(x \mid z_s) .$$
# Forget z, keep x: that is a draw from $p(x) = \int p(x \mid z)\, p(z)\, dz$. Our first example has one z and one x.
# The mean and the variance of x|z bend with z; `out` is [mean | logvar], what a network's last layer would give.
# %%
def bent(z):
    """out (B, 2) for z (B, 1)"""
    return np.hstack([2 * np.tanh(2 * z) + z / 2, z / 2 - 2])


def by_draws(likelihood, decoder, n):
    """z, then x: n draws of the last coordinate."""
    return likelihood.sample(decoder(StandardNormal().sample(n, 1, rng)), rng)[:, -1]


x = by_draws(DiagonalGaussianLikelihood(), bent, 200_000)
# %% [markdown]
# The other route draws nothing. On a line an integral is a fine sum; for smooth functions that die away on both sides
# the sum is exact to rounding. Distribution function and moments of p(x) come from the density alone.
# %%
line = np.linspace(-12, 12, 4001)
integral = lambda f: np.trapezoid(f, line, axis=-1)
normal = lambda x, mean, sd: np.exp(-(((x - mean) / sd) ** 2) / 2) / (sd * np.sqrt(2 * np.pi))
mean_z, sd_z = 2 * np.tanh(2 * line) + line / 2, np.exp(line / 4 - 1)
p = lambda x: integral(normal(x[:, None], mean_z, sd_z) * normal(line, 0, 1))
F = lambda x: integral(ndtr((np.reshape(x, (-1, 1)) - mean_z) / sd_z) * normal(line, 0, 1))
# %%
def claim_average(tag, statement, values, exact):
    """The mean over draws, down the rows, against the exact value."""
    claim_mean(tag, statement, values.mean(axis=0), values.std(axis=0) / np.sqrt(len(values)), exact)


t, density = np.linspace(-3.5, 4, 31), p(line)
for k in (1, 2, 3):
    claim_average("LV.1", f"mean of x^{k} over draws = ∫ x^{k} p(x) dx", x**k, integral(line**k * density))
claim_average("LV.1", "share of draws below t = F(t), 31 t", x[:, None] < t, F(t))
p_value = kstest(x[:5000], F).pvalue
claim_true("LV.1", "Kolmogorov–Smirnov: draws fit F", p_value > 1e-3, f"p-value {p_value:.2f}")
# %%
view = np.linspace(-4.5, 5.5, 401)
curves = {"p(x), by quadrature": p(view), "a Gaussian with its mean and variance": normal(view, x.mean(), x.std())}
ax = plots.densities(view, curves, draws=x)
ax.set(ylim=(0, 0.33), xlabel="x")
plots.save_figure(ax, OUT / "50_draws.png")
# %% [markdown]
# `out/50_draws.png`: nothing but Gaussians went in, what came out has two unequal humps.
#
# ## One letter too many   [LV.2]
# The lecture writes the law of $x_s$ as a mean over the draws, $p(x) \approx \frac1n \sum_i p(x, z_i)$. It must be
# $$p(x) \approx \frac1n \sum_i p(x \mid z_i) .$$
# The draws *are* the factor p(z): where the prior is large there are many of them. Who puts the joint density
# $p(x, z) = p(x \mid z)\, p(z)$ into the mean counts it twice, and arrives at $\int p(x \mid z)\, p(z)^2\, dz$.
# We look at x = 0.3 in x = z + e with z and e from N(0, 1), where p(x) = N(x; 0, 2) is known. The wrong integral has a
# closed form, too: $N(z; 0, 1)^2 = N(z; 0, \tfrac12) / 2\sqrt\pi$, which makes it $N(x; 0, \tfrac32) / 2\sqrt\pi$.
# %%
right, wrong = (integral(normal(0.3, line, 1) * normal(line, 0, 1) ** power) for power in (1, 2))
claim_equal("LV.2", "∫ p(x|z) p(z) dz = N(x; 0, 2)", right, normal(0.3, 0, np.sqrt(2)), tol=1e-12)
claim_equal("LV.2", "∫ p(x|z) p(z)² dz, in closed form", wrong, normal(0.3, 0, np.sqrt(1.5)) / np.sqrt(4 * np.pi),
            tol=1e-12)
z = rng.standard_normal(400_000)
p_xz, p_z = normal(0.3, z, 1), normal(z, 0, 1)
claim_average("LV.2", "mean of p(x|z) → p(x)", p_xz, right)
claim_average("LV.2", "erratum: mean of p(x, z) → the wrong one", p_xz * p_z, wrong)
claim_true("LV.2", "and the two are far apart", abs(right - wrong) > 0.1, [right, wrong])
# %% [markdown]
# ## A straight map keeps a Gaussian a Gaussian   [LV.3]
# If $z \sim N(\nu, \Lambda)$ then $x = Az + b \sim N(A\nu + b,\ A \Lambda A^\top)$. Mean and covariance follow from
# linearity. That x is *normal* is more: its characteristic function must be that of a normal,
# $$\mathbb E\, e^{i t^\top x} = \exp\big(i t^\top m - \tfrac12 t^\top S t\big), 
# \qquad m = A\nu + b,\ S = A \Lambda A^\top ,$$
# and no other law has the same one. Gauss–Hermite nodes with weights stand for all z of $N(\nu, \Lambda)$; they are
# sent through the map one by one.
# %%
A, b, nu, root = rng.normal(size=(3, 2)), rng.normal(size=3), rng.normal(size=2), rng.normal(size=(2, 2))
Lambda = root @ root.T
m, S = A @ nu + b, A @ Lambda @ A.T
nodes, weights = np.polynomial.hermite_e.hermegauss(60)
weights = np.outer(weights, weights).ravel() / weights.sum() ** 2
mapped = (np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2) @ root.T + nu) @ A.T + b
t = rng.normal(size=(10, 3)) / 2
wave, exact = weights @ np.exp(1j * mapped @ t.T), np.exp(1j * t @ m - np.sum((t @ S) * t, axis=1) / 2)
# %%
claim_equal("LV.3", "the nodes' mean = Aν + b", weights @ mapped, m, tol=1e-12)
claim_equal("LV.3", "their covariance = AΛAᵀ", (mapped - m).T * weights @ (mapped - m), S, tol=1e-12)
claim_equal("LV.3", "their characteristic function is normal", [wave.real, wave.imag], [exact.real, exact.imag],
            tol=1e-12)
x = rng.multivariate_normal(nu, Lambda, 100_000) @ A.T + b
claim_average("LV.3", "draws: mean", x, m)
claim_average("LV.3", "draws: covariance", (x - m)[:, :, None] * (x - m)[:, None, :], S)
# %% [markdown]
# ## Roots of Σ   [LV.4]
# So every Gaussian is N(0, I) seen through a straight map: $x = \mu + \Sigma^{1/2} z$, with any root for which
# $\Sigma^{1/2} (\Sigma^{1/2})^\top = \Sigma$. The cheapest is Cholesky's, a lower triangle L. Column by column: what
# the columns before have not explained of Σ, divided by the root of its first entry.
#
# Ours is the covariance of real digits, 64 pixels. Some are always white; to give them a variance we let 0.03 of noise
# fall on all.
# %%
def cholesky(Sigma):
    L = np.zeros_like(Sigma)
    for k in range(len(Sigma)):
        L[k:, k] = Sigma[k:, k] - L[k:, :k] @ L[k, :k]
        L[k:, k] /= np.sqrt(L[k, k])
    return L


digits, _ = load_digits()
mu, Sigma = digits.mean(axis=0), np.cov(digits.T, bias=True) + 0.03**2 * np.eye(64)
L = cholesky(Sigma)
claim_equal("LV.4", "L Lᵀ = Σ", L @ L.T, Sigma, tol=1e-12)
claim_equal("LV.4", "L = LAPACK's", L, np.linalg.cholesky(Sigma), tol=1e-12)
# %% [markdown]
# Another root is symmetric, $S = U \sqrt\lambda\, U^\top$ from $\Sigma = U \lambda U^\top$. Both must give the same
# law: $S^{-1} L$ can only be a rotation (or reflection), which N(0, I) does not notice. To *whiten* is to go back, $u =
# \Sigma^{-1/2} (x - \mu)$. We draw with one root and whiten with the other: u must have mean 0, covariance I, and
# $\lVert u \rVert^2$ the law χ² with 64 degrees of freedom.
# %%
lam, U = np.linalg.eigh(Sigma)
S, S_inverse = U * np.sqrt(lam) @ U.T, U / np.sqrt(lam) @ U.T
Q = S_inverse @ L
claim_equal("LV.4", "S⁻¹L is a rotation", Q @ Q.T, np.eye(64), tol=1e-12)
z = rng.standard_normal((50_000, 64))
for name, u in (("Cholesky", z @ L.T @ S_inverse), ("symmetric", solve_triangular(L, S @ z.T, lower=True).T)):
    claim_average("LV.4", f"{name}: whitened mean 0", u, np.zeros(64))
    second, fourth = u.T @ u / len(u), (u**2).T @ u**2 / len(u)
    claim_mean("LV.4", f"{name}: whitened covariance I", second, np.sqrt((fourth - second**2) / len(u)), np.eye(64))
    p_value = kstest(np.sum(u**2, axis=1), chi2(64).cdf).pvalue
    claim_true("LV.4", f"{name}: ‖u‖² ~ χ²", p_value > 1e-3, f"p-value {p_value:.2f}")
# %%
pair = np.concatenate([digits[:12], np.clip(mu + z[:12] @ L.T, 0, 1)])
plots.save_figure(plots.images(pair, n_columns=12), OUT / "50_gaussian_digits.png")
# %% [markdown]
# `out/50_gaussian_digits.png`: real digits above, draws of $\mu + Lz$ below. A Gaussian knows which pixels go together
# in pairs, and no more. Digits are no Gaussian.
# %% [markdown]
# ## A simple prior loses nothing   [LV.5]
# Is N(0, I) not a narrow choice? On a line the answer is a formula. Let F be the distribution function of *any*
# continuous law. Then Φ(z) is uniform, and
# $$g(z) = F^{-1}(\Phi(z)) \quad \text{has the distribution function } F .$$
# Our F is a mixture of three Gaussians. There is no formula for $F^{-1}$, so we bisect. To see what law g(z) has we
# integrate over z: its moments and its characteristic function are those of the mixture, which are known in closed form
# and need neither F nor its inverse.
# %%
law = GaussianMixture([[-2.0], [0.5], [3.0]], sds=[0.4, 0.8, 0.3], weights=[0.3, 0.5, 0.2])
means, sds, shares = law.means[:, 0], law.sds, law.weights
inside = np.linspace(-8, 8, 2001)
low, high = np.full(inside.shape, -20.0), np.full(inside.shape, 20.0)
for _ in range(60):
    g = (low + high) / 2
    too_low = ndtr((g[:, None] - means) / sds) @ shares < ndtr(inside)
    low, high = np.where(too_low, g, low), np.where(too_low, high, g)
over_z = lambda f: np.trapezoid(f * normal(inside, 0, 1), inside, axis=-1)
t = np.array([[0.3], [1.0], [2.0], [4.0]])
# %%
wave = over_z(np.exp(1j * t * g))
exact = np.exp(1j * t * means - (sds * t) ** 2 / 2) @ shares
claim_equal("LV.5", "E e^(itg(z)) = the mixture's", [wave.real, wave.imag], [exact.real, exact.imag], tol=1e-10)
moments = [shares @ means, shares @ (means**2 + sds**2), shares @ (means**3 + 3 * means * sds**2)]
claim_equal("LV.5", "E g(z)^k = the mixture's, k = 1, 2, 3", [over_z(g**k) for k in (1, 2, 3)], moments, tol=1e-10)
# %% [markdown]
# In more dimensions nobody gives us the map, but a network can learn one. A ring in the plane (`Ring`): no straight map
# of a Gaussian has a hole. We train a VAE on it (how is the matter of lessons 60 to 70), throw its encoder away, and
# draw z, then x. The two laws are compared by the energy distance, of which only an unbiased estimate is needed:
# $$2\, \mathbb E \lVert x - y \rVert - \mathbb E \lVert x - x' \rVert - \mathbb E \lVert y - y' \rVert \ \ge 0,
# \quad = 0 \text{ only for equal laws.}$$
# The opponents are Gaussians: the one of greatest likelihood, and round ones of seven widths; all must be beaten.
# %%
ring = Ring(1, 0.1)
train = ring.sample(4000, rng)
vae = VAE(2, hidden=(64, 64), sd=0.1, learning_rate=3e-3, n_epochs=60, random_state=0).fit(train)
mean, covariance = train.mean(axis=0), np.cov(train.T)
distances = []
for _ in range(20):
    data, z = ring.sample(500, rng), rng.standard_normal((500, 2))
    laws = [vae.sample(500, rng), mean + z @ cholesky(covariance).T, *(sd * z for sd in np.linspace(0.4, 1, 7))]
    distances.append([energy_distance(x, data) for x in laws])
# %%
distances = np.array(distances)
gains = distances[:, 1:] - distances[:, :1]
gain, se = gains.mean(axis=0), gains.std(axis=0, ddof=1) / np.sqrt(len(gains))
best = np.argmin(gain)
claim_true("LV.5", "ring: VAE < all Gaussians, > 5 s.e.", bool(np.all(gain > 5 * se)),
           f"{distances[:, 0].mean():.4f} < {distances[:, 1 + best].mean():.4f}, {gain[best] / se[best]:.0f} s.e.")
# %% [markdown]
# (We fixed σ at 0.1. A VAE that learns σ from the start gives z up on this ring: σ = 0.7 explains all as noise.)
#
# ## Gaussians given z   [LV.6]
# The lecture's model lets two networks make a Gaussian of z: $x \mid z \sim N(\mu_\theta(z), \Sigma_\theta(z))$ with
# $\Sigma_\theta(z) \in \mathbb R^{n \times n}$. Three families are in use: one σ² for all of x; a variance for each
# $x_d$; a full $\Sigma = L L^\top$. What the network gives is [mean], [mean | logvar], and [mean | logvar | what is
# below the diagonal of L, row by row]; the diagonal of L is $e^{\mathrm{logvar}/2}$. For each, log p(x|z) against
# SciPy's, which is told mean and Σ, and its derivative by `out` against a complex step (lesson 10).
# %%
x, w = rng.normal(size=(5, 3)), rng.random(5)
fixed_sd = IsotropicGaussian(sd=0.7)
families = {"fixed": (fixed_sd, fixed_sd.fixed), "diagonal": (DiagonalGaussianLikelihood(), ()),
            "full": (FullGaussianLikelihood(), ())}


def covariance(out):
    """Σ by one row of `out`, written down once more."""
    root = np.diag(np.exp(out[3:6] / 2)) if len(out) > 3 else 0.7 * np.eye(3)
    if len(out) > 6:
        root[np.tril_indices(3, -1)] = out[6:]
    return root @ root.T
# %%
for name, (likelihood, own) in families.items():
    out = rng.normal(size=(5, likelihood.n_outputs(3)))
    by_scipy = [multivariate_normal(o[:3], covariance(o)).logpdf(row) for row, o in zip(x, out)]
    claim_equal("LV.6", f"{name} Σ: log p(x|z) = SciPy's", likelihood.log_prob(x, out, *own), by_scipy, tol=1e-12,
                relative=True)
    units = np.eye(out.size).reshape(-1, *out.shape)
    f = lambda o: w @ likelihood.log_prob(x, o, *own)
    stepped = np.reshape([complex_step(f, out, unit) for unit in units], out.shape)
    claim_equal("LV.6", f"{name} Σ: d out = complex step", likelihood.log_prob_d(x, out, w, *own), stepped, tol=1e-12,
                relative=True)
# %% [markdown]
# Given z everything is normal, and z is normal; *x is not*. The kurtosis, $\mathbb E (x - m)^4 / \mathrm{var}^2$, is
# 3 for every Gaussian. We take a small random network for the bends, x in two dimensions, Σ full. Given z the second
# coordinate is $N(\mu_2, \Sigma_{22})$, and with $d = \mu_2 - m$ its fourth moment about m is $d^4 + 6 d^2
# \Sigma_{22} + 3 \Sigma_{22}^2$: an integral over z is left. Only if the mean is straight *and* Σ the same for all z
# is x normal.
# %%
def moments(decoder):
    """Mean, variance and kurtosis of the last coordinate of x, by integrals over z."""
    mean, covariances = FullGaussianLikelihood().mean_and_variance(decoder(line[:, None]))
    mean, variance = mean[:, 1], covariances[:, 1, 1]
    m = integral(mean * normal(line, 0, 1))
    d, total = mean - m, integral((variance + (mean - m) ** 2) * normal(line, 0, 1))
    return m, total, integral((d**4 + 6 * d**2 * variance + 3 * variance**2) * normal(line, 0, 1)) / total**2


W, b, V = 3 * rng.normal(size=(1, 8)), rng.normal(size=8), rng.normal(size=(8, 5)) / 2
network = lambda z: mlp_forward([(W, b), (V, np.zeros(5))], [ACTIVATIONS["tanh"], ACTIVATIONS["identity"]], z)[-1]
straight = lambda z: np.hstack([z, -z / 2, np.tile([-3, -3, 0.2], (len(z), 1))])
# %%
decoders = {"mean straight, Σ fixed": straight, "mean(z), Σ(z)": network,
            "mean straight, Σ(z)": lambda z: np.hstack([straight(z)[:, :2], network(z)[:, 2:]]),
            "mean(z), Σ fixed": lambda z: np.hstack([network(z)[:, :2], straight(z)[:, 2:]])}
for name, decoder in decoders.items():
    m, variance, kurtosis = moments(decoder)
    x = by_draws(FullGaussianLikelihood(), decoder, 100_000)
    claim_average("LV.6", f"{name}: kurtosis of draws", (x - m) ** 4 / variance**2, kurtosis)
    p_value = normaltest(x).pvalue
    claim_true("LV.6", f"{name}: a normality test", p_value > 1e-3 if decoder is straight else p_value < 1e-10,
               f"kurtosis {kurtosis:.2f}, p-value {p_value:.1g}")
# %% [markdown]
# ## What stands in the way   [LV.8]
# To learn θ we would make $\prod_i p_\theta(x^{(i)})$ large, and for that we need $p_\theta(x) = \int p_\theta(x \mid
# z)\, p(z)\, dz$. In the linear-Gaussian case it is solved, and so is the maximum; that is LV.7 and lesson 75. Else,
# why not take the mean over draws that LV.2 has put right?
#
# Let $w = p(x \mid z)$ for a draw z. S draws give p(x) with relative variance R/S, where $R = \mathbb E w^2 / p(x)^2 -
# 1$. For $x \mid z \sim N(z, s^2 I)$ in n dimensions $p(x) = N(x; 0, (1 + s^2) I)$, and a squared Gaussian is a
# narrower one: $w^2 = (4 \pi s^2)^{-n/2}\, N(x; z, \tfrac{s^2}{2} I)$. So
# $$R + 1 = \frac{(4 \pi s^2)^{-n/2}\, N(x; 0, (1 + \tfrac{s^2}{2}) I)}{N(x; 0, (1 + s^2) I)^2}
# = \Big( \frac{(1 + s^2)^2}{s^2 (2 + s^2)} \Big)^{n/2} \exp \frac{\lVert x \rVert^2}{(1 + s^2)(2 + s^2)} .$$
# %%
s = np.sqrt(0.1)


def relative_variance(x):
    n, length2 = x.shape[-1], np.sum(x**2, axis=-1)
    growth = (1 + s**2) ** 2 / (s**2 * (2 + s**2))
    return growth ** (n / 2) * np.exp(length2 / ((1 + s**2) * (2 + s**2))) - 1


def typical(n):
    """An x (n,) in a random direction, of the length that x ~ p(x) has on average: ‖x‖² = n (1 + s²)."""
    x = rng.normal(size=n)
    return x * np.sqrt(n * (1 + s**2) / np.sum(x**2))
# %% [markdown]
# Two other routes: R + 1 is a product over coordinates, each factor two sums over the line; and, while n is small,
# draws, whose w must also have the mean p(x). At s² = 0.1 the formula gives 2.86, 7.4e5, 2.3e29 for n = 1, 10, 50.
# Ten per cent of error needs S = 100 R draws: 286; 74 million; more than anybody will ever make.
# %%
for n in (1, 10, 50):
    x = typical(n)
    w = normal(x[:, None], line, s)
    factors = [integral(w**power * normal(line, 0, 1)) for power in (1, 2)]
    claim_equal("LV.8", f"n = {n}: R = product of sums", relative_variance(x), np.prod(factors[1] / factors[0]**2) - 1,
                tol=1e-12, relative=True)
for n in (1, 2, 3):
    x, z = typical(n), rng.standard_normal((400_000, n))
    w = np.prod(normal(x, z, s) / normal(x, 0, np.sqrt(1 + s**2)), axis=1)
    claim_average("LV.8", f"n = {n}: the mean of w is p(x)", w, 1)
    claim_average("LV.8", f"n = {n}: its relative variance is R", (w - 1) ** 2, relative_variance(x))
# %% [markdown]
# What one would see: the estimate of log p(x), less its true value, as draws come in, in 40 runs for each n. For large
# n nothing looks wrong. A run stands still, far too low, until a draw comes nearer to the few z that matter than all
# before it, and lifts it. (The estimate is unbiased for p(x); its *logarithm* is too low on average, by Jensen.)
# %%
def running_estimates(n, n_draws, runs=40):
    """log p̂(x) − log p(x) after so many draws, (runs, M)"""
    x, errors = typical(n), np.empty((runs, len(n_draws)))
    log_p = -n / 2 * np.log(2 * np.pi * (1 + s**2)) - n / 2
    for run in range(runs):
        z = rng.standard_normal((n_draws[-1], n))
        log_w = -np.sum((x - z) ** 2, axis=1) / (2 * s**2) - n / 2 * np.log(2 * np.pi * s**2)
        errors[run] = [log_sum_exp(log_w[:S], axis=0) - np.log(S) - log_p for S in n_draws]
    return errors
# %%
n_draws = 4 ** np.arange(8)
errors = {f"n = {n}": running_estimates(n, n_draws) for n in (1, 5, 10, 20)}
ax = plots.estimates_over_draws(n_draws, errors)
ax.set(ylabel="estimate of log p(x), less log p(x) (nats)")
plots.save_figure(ax, OUT / "50_prior_draws.png")
left = [-np.median(rows[:, -1]) for rows in errors.values()]
claim_true("LV.8", "with 16,384 draws too low, growing with n", bool(np.all(np.diff(left) > 0) and left[-1] > 3), left)
# %% [markdown]
# `out/50_prior_draws.png`: medians and quartiles. Does it matter that our x has as many dimensions as z? For real
# digits take the linear-Gaussian model that fits them best, $x \mid z \sim N(\mu + Wz, \sigma^2 I)$
# (`ProbabilisticPCA`). The same steps give R from the covariances $WW^\top + \sigma^2 I$ and $WW^\top +
# \tfrac{\sigma^2}{2} I$. We hold it against a sum over a grid of z for K = 2, and then let K grow.
# %%
digits = digits[rng.permutation(len(digits))]
train, test = digits[:1500], digits[1500:]


def digits_variance(model):
    """R of every test digit."""
    covariance = model.W_ @ model.W_.T + model.noise_variance_ / 2 * np.eye(64)
    log_square = multivariate_normal(model.mean_, covariance).logpdf(test)
    log_square -= 32 * np.log(4 * np.pi * model.noise_variance_)
    return np.expm1(log_square - 2 * model.score_samples(test))


models = {K: ProbabilisticPCA(K).fit(train) for K in (1, 2, 5, 10, 20, 40)}
# %%
model, likelihood = models[2], IsotropicGaussian(sd=np.sqrt(models[2].noise_variance_))
axis = np.linspace(-8, 8, 321)
grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
log_px_z = likelihood.log_prob(test[:1], model.inverse_transform(grid), *likelihood.fixed)
joint = [power * log_px_z + StandardNormal().log_prob(grid) + 2 * np.log(axis[1] - axis[0]) for power in (1, 2)]
log_px, log_second = (log_sum_exp(log_f, axis=0) for log_f in joint)
claim_equal("LV.8", "a digit, K = 2: R = sums over z", digits_variance(model)[0], np.expm1(log_second - 2 * log_px),
            tol=1e-12, relative=True)
needed = [np.log10(100 * np.median(digits_variance(each))) for each in models.values()]
claim_true("LV.8", "digits, K = 1 … 40: log₁₀ of the draws", bool(np.all(np.diff(needed) > 0.5)), needed)
# %% [markdown]
# The draws that half of the held-out digits need for an error of 10 %: with 20 latent dimensions a hundred million
# million.
#
# ## A way around the integral?   [LV.9]
# $p(z \mid x)\, p(x) = p(x \mid z)\, p(z)$, so *one* z is enough, and any will do where the posterior is positive:
# $$p(x) = \frac{p(x \mid z)\, p(z)}{p(z \mid x)} .$$
# For the linear-Gaussian model the posterior is a Gaussian, so its mean and covariance are all of it. The grid of above
# gives both; p(x) cancels in them. At random z the ratio must be one and the same, and it must be the model's p(x),
# which has a closed form.
# %%
def log_ratio(z, posterior):
    """log of the ratio at every row of z, for the first test digit"""
    log_px_z = likelihood.log_prob(test[:1], model.inverse_transform(z), *likelihood.fixed)
    return log_px_z + StandardNormal().log_prob(z) - posterior.logpdf(z)


weights = softmax(joint[0])
mean = weights @ grid
covariance = (grid - mean).T * weights @ (grid - mean)
z, exact = rng.standard_normal((200, 2)), np.full(200, model.score_samples(test[:1])[0])
claim_equal("LV.9", "a digit: the ratio at 200 z is p(x)", log_ratio(z, multivariate_normal(mean, covariance)), exact,
            tol=1e-11)
# %% [markdown]
# So why not learn with this? Because p(z|x) is as unknown as p(x): it *is* the joint density, divided by p(x). But put
# something else in its place, a q(z|x) that a network proposes, and the ratio is no longer the same for all z. A q that
# is only half as wide as the posterior:
# %%
ratio = log_ratio(z, multivariate_normal(mean, covariance / 4))
claim_true("LV.9", "with another q the ratio depends on z", np.std(ratio) > 1, f"spread {np.std(ratio):.1f} nats")
# %% [markdown]
# The mean of its logarithm, over z from q, is the ELBO (lesson 60). How far q is from p(z|x) is measured by the
# Kullback–Leibler divergence (lesson 55).
#
# ## What to remember
# - Draw z, draw x given z, forget z: a draw from p(x). Its density is a mean of p(x|z), not of p(x, z).
# - A straight map keeps a Gaussian a Gaussian; bends make of it anything you like. All the work can be left to the map.
# - p(x) is a mean over prior draws of which hardly any matters: the number needed grows exponentially.
# - One z that comes with its posterior density would do. The posterior is what we do not have.
#
# **To try.** Draw the z of LV.8 not from the prior but from a Gaussian around x, and weight by p(z)/q(z): how does R
# grow now? Give the ring's VAE one latent dimension: where must its decoder tear the ring open?
