# %% [markdown]
# # 55 · The Kullback–Leibler divergence
# **Question.** How far is one law from another, and why does it matter from which of the two one looks?
#
# Tags KL.1–KL.5 · needs 10, 50 · 3 s
# %%
from pathlib import Path

import numpy as np
from scipy.linalg import eigh
from scipy.optimize import minimize
from scipy.special import rel_entr
from scipy.stats import multivariate_normal

from tinyvae import load_digits, plots
from tinyvae.checks.claims import claim_equal, claim_mean, claim_true
from tinyvae.checks.slopes import complex_step
from tinyvae.datasets import GaussianMixture
# %%
from tinyvae.distributions import DiagonalGaussian
from tinyvae.full_gaussian import FullGaussian

OUT = Path(__file__).parent / "out" if "__file__" in globals() else Path("out")
rng = np.random.default_rng(55)
# %% [markdown]
# ## What a wrong belief costs   [KL.1]
# A z comes from q; we believe that it comes from p. On seeing z we are surprised by $-\log p(z)$, on average by the
# *cross-entropy* $-\sum q \log p$. Had we known q it would have been the *entropy* $-\sum q \log q$. The difference is
# what the wrong belief costs, and it is named after Kullback and Leibler:
# $$\mathrm{KL}(q \,\|\, p) = -\sum_z q(z) \log \frac{p(z)}{q(z)} = \mathbb E_q [\log q - \log p] .$$
# A z with q(z) = 0 costs nothing, whatever p says, as $t \log t \to 0$. One with q(z) > 0 = p(z) costs infinitely much:
# what is held to be impossible happens.
#
# Ten laws from real data: *where is the ink?* For each class of digits, the share of the ink in each of 64 pixels.
# %%
digits, classes = load_digits()
ink = np.array([digits[classes == c].sum(axis=0) for c in range(10)])
ink /= ink.sum(axis=1, keepdims=True)


def kl(q, p):
    """−Σ q log(p/q) over the last axis, nats; a z of q = 0 adds 0."""
    ratio = np.divide(p, q, out=np.ones(np.broadcast_shapes(np.shape(p), np.shape(q))), where=q > 0)
    with np.errstate(divide="ignore"):                               # log 0 = −∞ is what we want
        return 0.0 - np.sum(q * np.log(ratio), axis=-1)


table = kl(ink[:, None], ink)
print(np.round(table, 2))
# %% [markdown]
# Row: where z comes from. Column: what is believed. Many entries are infinite, namely where one class has ink in a
# pixel (at the edge, say) in which the other has none.
# %%
impossible = np.any((ink[:, None] > 0) & (ink == 0), axis=-1)
claim_true("KL.1", "infinite just where q > 0 = p somewhere", np.array_equal(np.isinf(table), impossible),
           f"{impossible.sum()} of 90 pairs")
claim_equal("KL.1", "q = 0 < p costs nothing", kl(np.array([0, 0.5, 0.5]), np.array([0.2, 0.4, 0.4])), np.log(1.25),
            tol=1e-14)
# %% [markdown]
# A belief that holds nothing impossible mixes in a little of everything, here 1 % of the uniform law. Then direct sum,
# cross-entropy less entropy, and SciPy agree; and so does the mean of log q − log p over draws from q.
# %%
belief = 0.99 * ink + 0.01 / 64
pairs = [(c, k) for c in range(10) for k in range(10) if c != k]
q, p = (belief[list(side)] for side in zip(*pairs))
cross_entropy, entropy = -np.sum(q * np.log(p), axis=1), -np.sum(q * np.log(q), axis=1)
claim_equal("KL.1", "direct sum = cross-entropy − entropy", kl(q, p), cross_entropy - entropy, tol=1e-14)
claim_equal("KL.1", "direct sum = SciPy's", kl(q, p), rel_entr(q, p).sum(axis=1), tol=1e-14)
pixels = rng.choice(64, size=100_000, p=belief[1])
log_ratio = np.log(belief[1, pixels]) - np.log(belief[7, pixels])
claim_mean("KL.1", "mean of log q − log p over draws, 1 ‖ 7", log_ratio.mean(), log_ratio.std() / np.sqrt(1e5),
           kl(belief[1], belief[7]))
# %% [markdown]
# ### For densities the sum is an integral   [KL.1]
# The lecture writes a sum. For densities it must be $\int q \log (q/p)\, dz$. We cut the line into cells of width h and
# take the sum over cells. It can only rise when cells are split (that is the log-sum inequality, below), and it tends
# to the integral. Entropy and cross-entropy have no such limit: each grows by log 2 with every split, but both alike.
# %%
gaussian = lambda z, mean, sd: np.exp(-(((z - mean) / sd) ** 2) / 2) / (sd * np.sqrt(2 * np.pi))
line = np.linspace(-16, 16, 2**13 + 1)[:-1]
dz = line[1] - line[0]
q, p = gaussian(line, 0.4, 1.0), gaussian(line, -0.5, 1.5)
integral = dz * np.sum(q * np.log(q / p))
claim_equal("KL.1", "the integral = the closed form of KL.5", integral, np.log(1.5) + (1 + 0.9**2) / (2 * 1.5**2) - 0.5,
            tol=1e-13)
sums, entropies = [], []
for width in (1024, 512, 256, 128, 64, 32, 16):
    cells_q, cells_p = (dz * density.reshape(-1, width).sum(axis=1) for density in (q, p))
    sums.append(kl(cells_q, cells_p))
    entropies.append(-np.sum(cells_q * np.log(cells_q)))
# %%
claim_true("KL.1", "sums over cells rise to the integral", bool(np.all(np.diff(sums) > 0) and sums[-1] < integral),
           [*sums[::2], integral])
claim_equal("KL.1", "the entropy grows by log 2 a split", entropies[-1] - entropies[-2], np.log(2), tol=1e-3)
# %% [markdown]
# ## It is not symmetric   [KL.2]
# The lecture says *not commutative*; the word is *not symmetric*. The witness is in our table: that somebody who
# expects sevens sees ones costs another amount than the other way round. Random pairs of laws are never symmetric. But
# some pairs are:
# - laws of which a swap of outcomes makes one into the other and back, such as coins of heads p and 1 − p;
# - Gaussians with the same covariance, both $\tfrac12 \delta^\top \Sigma^{-1} \delta$.
# %%
claim_true("KL.2", "ones and sevens: KL(1‖7) ≠ KL(7‖1)", abs(kl(belief[1], belief[7]) - kl(belief[7], belief[1])) > 0.1,
           [kl(belief[1], belief[7]), kl(belief[7], belief[1])])
q, p = rng.dirichlet(np.ones(6), 5000), rng.dirichlet(np.ones(6), 5000)
apart = np.abs(kl(q, p) - kl(p, q))
claim_true("KL.2", "5,000 random pairs: none is symmetric", apart.min() > 1e-12, [apart.min(), apart.max()])
claim_equal("KL.2", "a law and its mirror image: symmetric", kl(q, q[:, ::-1]), kl(q[:, ::-1], q), tol=1e-14)
same = [dz * np.sum(a * np.log(a / b)) for a, b in
        [(gaussian(line, 0.4, 1.3), gaussian(line, -1, 1.3)), (gaussian(line, -1, 1.3), gaussian(line, 0.4, 1.3))]]
claim_equal("KL.2", "Gaussians of one σ: symmetric, δ²/2σ²", same, np.full(2, 1.4**2 / (2 * 1.3**2)), tol=1e-12)
# %% [markdown]
# Close by, every pair is nearly symmetric. For p = q (1 + t a) with $\sum q a = 0$ both directions are
# $\tfrac{t^2}{2} \sum q a^2$ up to terms of order t³, and their difference is of order t³: slope 3 on logarithmic axes.
# %%
q, t = rng.dirichlet(np.ones(6)), np.geomspace(1e-3, 3e-2, 8)[:, None]
a = rng.normal(size=6)
p = q * (1 + t * (a - q @ a))
slopes = [np.polyfit(np.log(t[:, 0]), np.log(gap), 1)[0] for gap in (kl(q, p), np.abs(kl(q, p) - kl(p, q)))]
claim_equal("KL.2", "close by: KL ∝ t², the asymmetry ∝ t³", slopes, [2, 3], tol=0.1)
# %% [markdown]
# ## It is never negative   [KL.3]
# All comes from one line that lies above a curve, $\log t \le t - 1$, with equality at t = 1 alone. At t = p/q it says
# that even every single term of
# $$\mathrm{KL}(q \,\|\, p) = \sum_z \Big( q \log \frac qp - q + p \Big)$$
# is at least 0; the −q + p that have been added sum to 0, because both are laws. For sums that are *not* 1 the same
# line gives the log-sum inequality, $\sum a \log (a/b) \ge A \log (A/B)$ with $A = \sum a$, $B = \sum b$.
# %%
q, p = rng.dirichlet(np.full(8, 0.3), 20_000), rng.dirichlet(np.full(8, 0.3), 20_000)
terms = q * np.log(q / p) - q + p
claim_true("KL.3", "20,000 pairs: no KL, no term negative", bool(kl(q, p).min() > 0 and terms.min() > -1e-16),
           [kl(q, p).min(), terms.min()])
claim_equal("KL.3", "the terms sum to KL", terms.sum(axis=1), kl(q, p), tol=1e-12)
a, b = rng.exponential(size=(2, 20_000, 8))
A, B = a.sum(axis=1), b.sum(axis=1)
spare = np.sum(a * np.log(a / b), axis=1) - A * np.log(A / B)
claim_true("KL.3", "log-sum inequality, 20,000 pairs", spare.min() > 0, spare.min())
least = np.min(A * np.log(A / B))
claim_true("KL.3", "… which may be below 0: a, b are no laws", least < -1, least)
# %% [markdown]
# A *mean over draws* of log q − log p may well be negative: only the mean over all z is not. The added terms help here,
# too. $r - 1 - \log r$ with r = p/q has the same mean under q, is never negative, and varies less where q and p are
# close.
# %%
q, p = DiagonalGaussian(), np.zeros((1, 6))
out = np.array([[0.2, -0.1, 0.1, 0.1, -0.2, 0.1]])                   # [mu | logvar] of q; p is N(0, I)
z = q.draw(np.repeat(out, 200_000, axis=0), rng.standard_normal((200_000, 3)))
log_r = q.log_prob(z, p) - q.log_prob(z, out)
plain, never_negative = -log_r, np.expm1(log_r) - log_r
for name, values in (("−log r", plain), ("r − 1 − log r", never_negative)):
    claim_mean("KL.3", f"mean of {name} = KL", values.mean(), values.std() / np.sqrt(len(z)), q.kl(out)[0])
claim_true("KL.3", "share of draws below 0: many, none", np.mean(plain < 0) > 0.3 > 0 == np.mean(never_negative < 0),
           [np.mean(plain < 0), np.mean(never_negative < 0)])
variances = plain.var(), never_negative.var()
claim_true("KL.3", "and a smaller variance", variances[0] > 5 * variances[1], variances)
# %% [markdown]
# ## It is zero for equal laws alone   [KL.4]
# *Equal* means almost everywhere: to change a density at a single point changes no integral. (The lecture's *for all z*
# is right for sums.) That KL = 0 forces q = p is said in numbers by Pinsker's inequality: with the total variation
# $\mathrm{TV} = \tfrac12 \sum |q - p|$, the largest difference between the probabilities of one event,
# $$\mathrm{KL} \ge 2\, \mathrm{TV}^2 .$$
# The 2 is the best possible: a coin of heads ½ + t against a fair one has TV = t, and KL/2t² → 1.
# %%
q = rng.dirichlet(np.full(8, 0.5), 20_000)
t = rng.random((20_000, 1)) ** 4                                     # p close to q, or not
p = (1 - t) * q + t * rng.dirichlet(np.full(8, 0.5), 20_000)
tv, event = np.sum(np.abs(q - p), axis=1) / 2, np.sum(np.maximum(q - p, 0), axis=1)
claim_equal("KL.4", "TV = q − p on the event {q > p}", tv, event, tol=1e-13)
seen = tv > 1e-6                                                    # below, KL of 1e-12 is lost in rounding
ratio = kl(q, p)[seen] / (2 * tv[seen] ** 2)
claim_true("KL.4", "Pinsker, 20,000 pairs: KL / 2 TV² ≥ 1", ratio.min() > 1, ratio.min())
coin = np.array([[0.5 + t, 0.5 - t] for t in (0.1, 0.01, 0.001)])
ratio = kl(coin, np.full(2, 0.5)) / (2 * np.array([0.1, 0.01, 0.001]) ** 2)
claim_true("KL.4", "coins: the ratio falls to 1", bool(np.all(np.diff(ratio) < 0) and 1 < ratio[-1] < 1 + 1e-5), ratio)
# %% [markdown]
# The other way round: equal laws have KL = 0. It is a test only if they look different. One Gaussian with two roots of
# its covariance (lesson 50): Cholesky's, and one that a rotation has made from it and a QR brought back to a triangle.
# %%
def packed(mu, L):
    """[mu | logvar | lower] of N(mu, L Lᵀ), what a network would give, (1, K (K + 3) / 2)"""
    return np.concatenate([mu, 2 * np.log(np.diag(L)), L[np.tril_indices(len(L), -1)]])[None]


def random_gaussian(K):
    """A mean and a lower triangle with a positive diagonal."""
    return rng.normal(size=K), np.tril(rng.normal(size=(K, K)), -1) + np.diag(np.exp(rng.normal(size=K) / 2))


full, (mu, L) = FullGaussian(), random_gaussian(4)
rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
R = np.linalg.qr((L @ rotation).T)[1]                                # L·rotation = Rᵀ·(another rotation)
again = R.T * np.sign(np.diag(R))
# %%
claim_equal("KL.4", "one Gaussian, found twice: KL = 0", full.kl_between(packed(mu, L), packed(mu, again)), np.zeros(1),
            tol=1e-12)
moved = full.kl_between(packed(mu, L), packed(mu + 1e-4, again))[0]
claim_true("KL.4", "its mean moved by 1e-4: KL > 0", moved > 1e-12, moved)
# %% [markdown]
# ## Two Gaussians   [KL.5]
# Here the integral has a closed form, and the VAE lives on it. For $N(\mu_0, \Sigma_0)$ and $N(\mu_1, \Sigma_1)$ in K
# dimensions, $\delta = \mu_1 - \mu_0$,
# $$\mathrm{KL} = \tfrac12 \big( \mathrm{tr}\, \Sigma_1^{-1} \Sigma_0 + \delta^\top \Sigma_1^{-1} \delta - K
# + \log\det \Sigma_1 - \log\det \Sigma_0 \big) .$$
# Four routes:
# 1. The formula as it stands, with an inverse and determinants.
# 2. The library's. With $\Sigma = L L^\top$ trace and square are $\lVert L_1^{-1} [L_0 \mid \delta] \rVert^2$, by a
#    triangular system; the determinants stand on the diagonals. No inverse, and every output is a covariance.
# %% [markdown]
# 3. No formula at all: log q − log p, as SciPy has it, is of second degree in z. Three Gauss–Hermite nodes in every
#    dimension, at $\mu_0 + \Sigma_0^{1/2} \varepsilon$, give its mean exactly.
# 4. Axes in which both are simple. $\Sigma_0 v = \lambda \Sigma_1 v$ has solutions $V^\top \Sigma_1 V = I$,
#    $V^\top \Sigma_0 V = \mathrm{diag}\, \lambda$. KL does not change under an invertible map of z, and is now a sum
#    over K separate axes, $\tfrac12 \sum (\lambda - 1 - \log \lambda + u^2)$ with $u = V^\top \delta$: the line above
#    the curve once more.
# %%
def by_traces(mu0, S0, mu1, S1):
    delta, inverse = mu1 - mu0, np.linalg.inv(S1)
    log_dets = np.linalg.slogdet(S1)[1] - np.linalg.slogdet(S0)[1]
    return (np.trace(inverse @ S0) + delta @ inverse @ delta - len(mu0) + log_dets) / 2


def by_nodes(mu0, S0, mu1, S1):
    eps, weight = np.polynomial.hermite_e.hermegauss(3)
    index = np.indices([3] * len(mu0)).reshape(len(mu0), -1)         # a column for each node of the grid
    lam, U = np.linalg.eigh(S0)
    z = mu0 + eps[index.T] @ (U * np.sqrt(lam)).T
    weights = np.prod(weight[index], axis=0) / weight.sum() ** len(mu0)
    return weights @ (multivariate_normal(mu0, S0).logpdf(z) - multivariate_normal(mu1, S1).logpdf(z))
# %%
def by_eigenvalues(mu0, S0, mu1, S1):
    lam, V = eigh(S0, S1)
    return np.sum(lam - 1 - np.log(lam) + (V.T @ (mu1 - mu0)) ** 2) / 2


for K in (1, 2, 3, 5):
    laws = [(random_gaussian(K), random_gaussian(K)) for _ in range(20)]
    library = [full.kl_between(packed(*q), packed(*p))[0] for q, p in laws]
    for name, route in (("traces", by_traces), ("nodes", by_nodes), ("eigenvalues", by_eigenvalues)):
        other = [route(mu0, L0 @ L0.T, mu1, L1 @ L1.T) for (mu0, L0), (mu1, L1) in laws]
        claim_equal("KL.5", f"K = {K}: triangular solves = {name}", np.divide(library, other), np.ones(20), tol=1e-12)
# %% [markdown]
# Two special cases. Against N(0, I), as in every VAE, it is $\tfrac12 (\lVert \mu \rVert^2 + \lVert L \rVert^2 - K -
# \log\det \Sigma)$. With diagonal covariances all falls apart into dimensions; of the one-dimensional formula we know
# since the cells above that it is the integral.
# %%
K, (mu, L) = 3, random_gaussian(3)
out, prior = packed(mu, L), packed(np.zeros(3), np.eye(3))
claim_equal("KL.5", "against N(0, I): full covariance", full.kl(out), full.kl_between(out, prior), tol=1e-12)
(m0, v0), (m1, v1) = rng.normal(size=(2, 2, 3))                     # means and log-variances
one_by_one = np.sum((v1 - v0) / 2 + (np.exp(v0) + (m1 - m0) ** 2) / (2 * np.exp(v1)) - 0.5)
diagonal = [packed(m, np.diag(np.exp(v / 2))) for m, v in ((m0, v0), (m1, v1))]
claim_equal("KL.5", "diagonal: a sum over dimensions", full.kl_between(*diagonal), [one_by_one], tol=1e-12)
claim_equal("KL.5", "diagonal against N(0, I): both classes", DiagonalGaussian().kl(diagonal[0][:, :6]),
            full.kl_between(diagonal[0], prior), tol=1e-12)
# %% [markdown]
# Its gradient, in everything that a network gives: means, log-variances, what is below the diagonal, of q and of p. A
# complex step along each (lesson 10), errors relative to the largest entry.
# %%
def stepped(f, a):
    units = np.eye(a.size).reshape(-1, *a.shape)
    return np.reshape([complex_step(f, a, unit) for unit in units], a.shape)


q, p = (np.concatenate([packed(*random_gaussian(4)) for _ in range(5)]) for _ in range(2))
w = rng.random(5)
dq, dp = full.kl_between_d(q, p, w)
for name, analytic, f, a in (("by q", dq, lambda a: w @ full.kl_between(a, p), q),
                             ("by p", dp, lambda a: w @ full.kl_between(q, a), p),
                             ("against N(0, I)", full.kl_d(q, w), lambda a: w @ full.kl(a), q)):
    claim_equal("KL.5", f"gradient {name} = complex step", analytic, stepped(f, a), tol=1e-13, relative=True)
# %% [markdown]
# ## Which way round?   [KL.2]
# Let one Gaussian q stand for a p of two humps. KL(p‖q) is infinite if q is 0 where p is not: q must *cover* p. Its
# best q has p's mean and variance: in $\int p \log q$ nothing else of p counts. KL(q‖p) is large if q puts mass where p
# has little: q *seeks a mode* and forgets the other. It has a minimum at each, and the start decides which is found. If
# the humps do not overlap, q sits on one as that hump does, and only its share is missing: KL(q‖p) ≈ −log share.
#
# The ELBO contains KL(q(z|x) ‖ p(z|x)), the second kind. Maximum likelihood minimises KL(data ‖ model), the first.
# %%
law = GaussianMixture([[-2.5], [2.5]], sds=[0.5, 0.8], weights=[0.6, 0.4])
log_p = law.log_prob(line[:, None])
log_q = lambda m, log_s: -(((line - m) / np.exp(log_s)) ** 2) / 2 - log_s - np.log(2 * np.pi) / 2
covering = lambda theta: dz * np.sum(np.exp(log_p) * (log_p - log_q(*theta)))
seeking = lambda theta: dz * np.sum(np.exp(log_q(*theta)) * (log_q(*theta) - log_p))


def best(objective, start):
    options = {"xatol": 1e-10, "fatol": 1e-15}
    return minimize(objective, start, method="Nelder-Mead", options=options).x


cover, left, right = (best(objective, (m, 0.3)) for objective, m in ((covering, 1), (seeking, -1), (seeking, 1)))
# %% [markdown]
# The search knows values only. That it has ended in the right place is seen by other means: p's moments for the first;
# for the second the slope, which takes the score of p (lesson 44), $\partial_m = -\mathbb E_q\, (\log p)'$ and
# $\partial_{\log s} = -1 - \mathbb E_q\, (z - m) (\log p)'$.
# %%
means, variances, shares = law.means[:, 0], law.sds**2, law.weights
m = shares @ means
moments = [m, np.log(shares @ (variances + (means - m) ** 2)) / 2]
claim_equal("KL.2", "covering: q has p's mean and log s", cover, moments, tol=1e-6)
for name, theta in (("left", left), ("right", right)):
    q, score = dz * np.exp(log_q(*theta)), law.score(line[:, None])[:, 0]
    slope = [-q @ score, -1 - q @ ((line - theta[0]) * score)]
    claim_equal("KL.2", f"seeking, {name}: no slope left", slope, [0, 0], tol=1e-6)
claim_equal("KL.2", "seeking: KL ≈ −log 0.6, −log 0.4", [seeking(left), seeking(right)], -np.log(shares), tol=0.01)
# %%
valley = np.abs(line) < 0.5
mass = [dz * np.sum(np.exp(log)[valley]) for log in (log_p, log_q(*cover), log_q(*left))]
claim_true("KL.2", "mass in the valley: seek < p < cover", mass[2] < mass[0] < mass[1] / 3, mass)
claim_true("KL.2", "each is best in its own direction", bool(covering(cover) < min(covering(left), covering(right)) and
           max(seeking(left), seeking(right)) < seeking(cover)),
           [covering(cover), covering(left), seeking(left), seeking(right), seeking(cover)])
view = np.abs(line) < 6
curves = {"p": log_p, "q of least KL(p‖q)": log_q(*cover), "q of least KL(q‖p)": log_q(*left),
          "its other minimum": log_q(*right)}
ax = plots.densities(line[view], {name: np.exp(log[view]) for name, log in curves.items()})
ax.set(xlabel="z")
plots.save_figure(ax, OUT / "55_two_directions.png")
# %% [markdown]
# `out/55_two_directions.png`. Neither is wrong. But a q that seeks says nothing of what it leaves out, and is too sure.
# (Seeking is a tendency, no law: move the humps to ±2 with σ 0.6 and 0.9, and the search from the right ends in a wide
# q that covers both.)
#
# ## Close to zero, in float32   [KL.5]
# Near the prior μ and v = logvar are small. $\tfrac12 (e^v - 1 - v)$ is then a tiny difference of numbers of size 1,
# which float32 knows to seven digits: at v = 1e-4 the answer, 2.5e-9, is lost altogether. `expm1` computes $e^v - 1$
# without going through $e^v$, so that only numbers of size v are subtracted. The error is smaller by the factor v.
# %%
v = (np.geomspace(1e-5, 1, 16)[:, None] * np.linspace(1, 1.5, 50)).astype(np.float32)
exact = np.expm1(v.astype(float)) - v
textbook = np.exp(v) - 1 - v
library = 2 * DiagonalGaussian().kl(np.stack([np.zeros_like(v), v], axis=-1).reshape(-1, 2)).reshape(v.shape)
errors = {name: np.mean(np.abs(twice_kl - exact) / exact, axis=1)
          for name, twice_kl in (("exp(v) − 1 − v", textbook), ("the library, with expm1", library))}
eps = np.finfo(np.float32).eps
claim_true("KL.5", "float32: below 2 eps / v with expm1", bool(np.all(np.abs(library - exact) / exact < 2 * eps / v)),
           np.max(np.abs(library - exact) / exact * v / eps))
claim_true("KL.5", "float32, v ≈ 1e-4: textbook > 100 % off", errors["exp(v) − 1 − v"][3] > 1,
           [curve[3] for curve in errors.values()])
# %%
ax = plots.error_against_step(v[:, 0], errors)
ax.set(xlabel="v = logvar", ylabel="relative error of KL in float32")
plots.save_figure(ax, OUT / "55_float32.png")
# %% [markdown]
# ## What to remember
# - KL(q‖p) is what it costs, in nats a draw, to believe p when q is true; infinite if p excludes what q allows.
# - Not symmetric, never negative, 0 for equal laws alone: all from $\log t \le t - 1$, and none true for sums that are
#   not 1.
# - Between Gaussians it is a formula; with Cholesky factors it needs neither an inverse nor a determinant.
# - KL(p‖q) covers, KL(q‖p) seeks. The ELBO takes the second, because only q can be drawn from.
#
# **To try.** Give the belief of the ten classes 0.01 % of the uniform law instead of 1 %: which entries of the table
# change, and like what function of the share? Which pairs of Gaussians with different covariances are symmetric?
