# %% [markdown]
# # 60 · The ELBO, one line at a time
# **Question.** What exactly do we lose when we maximise a bound in the place of log p(x)?
#
# Tags EL.0, EL.a–d, EL.1–EL.3, EL.E, GM.E · needs 30, 50, 55 · 8 s
# %%
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from tinyvae import VAE, load_digits, plots
from tinyvae.checks.claims import claim_equal, claim_mean, claim_true
from tinyvae.datasets import Ring
from tinyvae.params import slices
# %%
OUT = Path(__file__).parent / "out" if "__file__" in globals() else Path("out")
rng = np.random.default_rng(60)
plots.save_figure(plots.vae_diagram(), OUT / "60_vae.png")
# %% [markdown]
# `out/60_vae.png`: what we have so far. The *decoder*, with parameters θ, says how likely x is for a given z. Which z
# did x come from? That is the *posterior* $p(z \mid x) = p(x \mid z)\, p(z) / p(x)$, and it contains the integral
# p(x) that nobody can solve (lesson 50). So a second network, the *encoder* with parameters φ, answers in its place,
# with a Gaussian q(z|x). What is the price of this answer?
#
# In one or two latent dimensions all integrals *can* be solved, by fine sums, whatever the networks. So we can watch.
# One z for points around a ring: a decoder that bends the line into a circle, σ given. Two z for digits (with noise, so
# that no pixel is constant): here each pixel's variance is learned as well, and q has a full covariance.
# %%
points = Ring(1, 0.2).sample(2000, rng)
digits = load_digits()[0]
digits = digits + 0.1 * rng.standard_normal(digits.shape)
options = {"activation": "tanh", "learning_rate": 5e-3, "random_state": 0}
one = VAE(1, hidden=(32, 32), sd=0.2, n_epochs=60, **options).fit(points)
two = VAE(2, hidden=(32,), posterior="full", likelihood="gaussian_diagonal", n_epochs=30, **options).fit(digits)
ends = one.inverse_transform([[-3.0], [3.0]]).mean(axis=0)
seam = ends / np.linalg.norm(ends)                          # where the line's two ends meet on the circle
examples = [(one, points[0]), (one, points[1]), (one, seam), (two, digits[0]), (two, digits[1]), (two, digits[2])]
# %% [markdown]
# ## Sums for integrals
# A function that is smooth and has died away at both ends of the grid is integrated to rounding by the *trapezoid*
# rule; as its ends are 0, that is the plain sum times the step. In the plane, a grid of grids. A second rule sums over
# other points: put $z = \sinh t$, and take even steps in t.
# %%
def over_axes(K, z, dz):
    """A rule of points z and weights dz on the line, along each of K axes: (n^K, K) and (n^K,)."""
    z, dz = (np.stack(np.meshgrid(*[values] * K), axis=-1).reshape(-1, K) for values in (z, dz))
    return z, np.prod(dz, axis=1)


def trapezoid(K):
    z, step = np.linspace(-12, 12, 4001, retstep=True) if K == 1 else np.linspace(-8, 8, 257, retstep=True)
    return over_axes(K, z, np.full(len(z), step))


def stretched(K):
    t, step = np.linspace(-3.2, 3.2, 4001, retstep=True) if K == 1 else np.linspace(-2.8, 2.8, 257, retstep=True)
    return over_axes(K, np.sinh(t), step * np.cosh(t))
# %% [markdown]
# For one x we need three densities at all points: p(x|z) from the decoder, the prior p(z) = N(0, I), and q(z|x), with
# the mean and covariance that the encoder says. As logarithms: far out the densities themselves are 0 in a computer.
# %%
def log_normal(z, mean, covariance):
    """log N(z; mean, covariance) at points z (n, K)."""
    r = z - mean
    squares, log_det = np.sum(r @ np.linalg.inv(covariance) * r, axis=1), np.linalg.slogdet(covariance)[1]
    return -(squares + log_det + len(mean) * np.log(2 * np.pi)) / 2


def encoder_says(model, x):
    """The mean (K,) and the covariance (K, K) of q(z|x)."""
    mean, spread = (part[0] for part in model.encode(x[None]))
    return mean, spread if model.posterior == "full" else np.diag(spread)
# %%
def laws(model, x, rule):
    """Points z, the volumes dz that they stand for, and at each of them log p(x|z), log p(z), log q(z|x)."""
    (z, dz), K = rule(model.n_components), model.n_components
    likelihood = model.log_px_z(model.params(), np.tile(x, (len(z), 1)), z)
    prior, q = log_normal(z, np.zeros(K), np.eye(K)), log_normal(z, *encoder_says(model, x))
    return SimpleNamespace(z=z, dz=dz, likelihood=likelihood, prior=prior, q=q)
# %% [markdown]
# ## The number that we are after   [EL.0]
# $$\log p(x) = \log \int p(x \mid z)\, p(z)\, dz .$$
# Both rules must find the same. It is tempting to use Gauss–Hermite nodes instead: they are made for integrals over a
# Gaussian, and exact where p(x|z) is a polynomial in z. But as a function of z it is a narrow peak, somewhere under the
# prior, and there is much room between two nodes. Of the three x on the ring one is wrong by 0.3 nats with 200 nodes.
# %%
def log_marginal(c):
    log_joint = c.likelihood + c.prior
    top = log_joint.max()                                   # so that exp neither overflows nor underflows
    return top + np.log(np.sum(np.exp(log_joint - top) * c.dz))


def hermite(n):
    z, weights = np.polynomial.hermite_e.hermegauss(n)      # for ∫ f(z) exp(−z²/2) dz
    return lambda K: over_axes(K, z, weights * np.exp(z**2 / 2))
# %%
fine, other = ([laws(model, x, rule) for model, x in examples] for rule in (trapezoid, stretched))
log_px, again = (np.array([log_marginal(c) for c in cases]) for cases in (fine, other))
claim_equal("EL.0", "log p(x): trapezoid = other points", log_px, again, tol=1e-11)
z, dz = hermite(50)(2)
claim_equal("EL.0", "Gauss–Hermite: fine for E z₁⁴ z₂² = 3",
            np.sum(z[:, 0]**4 * z[:, 1]**2 * np.exp(log_normal(z, np.zeros(2), np.eye(2))) * dz), 3.0, tol=1e-11)
missed = [max(abs(log_marginal(laws(one, x, hermite(n))) - exact) for (_, x), exact in zip(examples[:3], log_px))
          for n in (20, 50, 200)]
claim_true("EL.0", "not for p(x): errors, 20, 50, 200 nodes", min(missed) > 1e-3, missed)
# %% [markdown]
# ## Line by line   [EL.0, EL.a]
# Now the derivation. Every line is an expectation under q, and for every line we sum anew. The first says that log p(x)
# does not depend on z, so it is its own mean: what we prove is that q has mass 1 on our grid. For the second we need
# the posterior; it is normalised with the integral over the *other* points, so that its mass on these is not 1 by
# construction. (a) is Bayes' rule: the quotient has the value p(x) at every z.
# $$\log p(x) = \mathbb E_q \log p(x) \overset{(a)}= \mathbb E_q \log \frac{p(x \mid z)\, p(z)}{p(z \mid x)}$$
# %%
def under_q(f):
    """The mean under q of a function of the laws and the log posterior, one for each example."""
    return np.array([np.sum(np.exp(c.q) * f(c, posterior) * c.dz) for c, posterior in zip(fine, posteriors)])
# %%
posteriors = [c.likelihood + c.prior - value for c, value in zip(fine, again)]
line_0 = under_q(lambda c, posterior: log_marginal(c))
line_a = under_q(lambda c, posterior: c.likelihood + c.prior - posterior)
claim_equal("EL.0", "log p(x) = E log p(x)", log_px, line_0, tol=1e-12)
mass = [np.sum(np.exp(posterior) * c.dz) for c, posterior in zip(fine, posteriors)]
claim_equal("EL.a", "the posterior has mass 1", mass, np.ones(6), tol=1e-11)
claim_equal("EL.a", "log p(x) = E log p(x|z) p(z) / p(z|x)", log_px, line_a, tol=1e-11)
# %% [markdown]
# ## A factor of one, and three logarithms   [EL.b, EL.c]
# (b) puts q into the numerator and into the denominator. That changes nothing, but now the factors can be paired in
# another way. (c) does so, and by linearity makes three means of one:
# $$\overset{(b)}= \mathbb E_q \log \Big(\frac{p(x \mid z)\, p(z)}{p(z \mid x)}\, \frac{q(z \mid x)}{q(z \mid x)}\Big)
# \overset{(c)}= \mathbb E_q \log p(x \mid z) - \mathbb E_q \log \frac{q(z \mid x)}{p(z)}
# + \mathbb E_q \log \frac{q(z \mid x)}{p(z \mid x)}$$
# %%
line_b = under_q(lambda c, posterior: c.likelihood + c.prior + c.q) - under_q(lambda c, posterior: posterior + c.q)
claim_equal("EL.b", "means of numerator and denominator", line_b, line_a, tol=1e-11)
reconstruction = under_q(lambda c, posterior: c.likelihood)
from_prior = under_q(lambda c, posterior: c.q - c.prior)
from_posterior = under_q(lambda c, posterior: c.q - posterior)
line_c = reconstruction - from_prior + from_posterior
claim_equal("EL.c", "three means", line_c, line_b, tol=1e-11)
# %% [markdown]
# ## Two of them are divergences   [EL.d]
# A mean under q of $\log q / r$ is $\mathrm{KL}(q \,\|\, r)$ (lesson 55). So
# $$\log p(x) \overset{(d)}= \mathbb E_q \log p(x \mid z) - \mathrm{KL}\big(q(z \mid x) \,\|\, p(z)\big)
# + \mathrm{KL}\big(q(z \mid x) \,\|\, p(z \mid x)\big) .$$
# The first KL is between two Gaussians, and the library has it in closed form. The second we sum over the other points,
# with the posterior normalised by the sum over these.
# %%
def closed_kl(model, x):
    """KL(q(z|x) ‖ p(z)) of the rows of x, by the library."""
    P = model.params()
    return model.bound_terms(P, model.forward(P, x, np.zeros((len(x), model.n_components))))[1]


def kl_to_posterior(c):
    return np.sum(np.exp(c.q) * (c.q - (c.likelihood + c.prior - log_marginal(c))) * c.dz)
# %%
kl, gap = np.array([closed_kl(model, x[None])[0] for model, x in examples]), np.array([*map(kl_to_posterior, other)])
claim_equal("EL.d", "E log q / p(z) = KL(q ‖ p(z))", from_prior, kl, tol=1e-11)
claim_equal("EL.d", "E log q / p(z|x) = KL(q ‖ p(z|x))", from_posterior, gap, tol=1e-11)
claim_equal("EL.d", "log p(x) = E log p(x|z) − KL + KL", log_px, reconstruction - kl + gap, tol=1e-11)
# %%
print(f"{'':<10}E log p(x|z)    − KL to prior  + KL to posterior     =  log p(x)")
for name, *terms in zip(("ring", "ring", "seam", "digit 0", "digit 1", "digit 2"), reconstruction, kl, gap, log_px):
    print(f"{name:<10}" + "".join(f"{term:>12.6f}      " for term in terms))
# %% [markdown]
# ## The bound, and what it lacks   [EL.1]
# The last KL is the only term that needs the posterior. It is never negative. Leave it out:
# $$\log p(x) \ge \mathcal L(x) = \mathbb E_q \log p(x \mid z) - \mathrm{KL}\big(q(z \mid x) \,\|\, p(z)\big) ,$$
# the evidence lower bound. We compute it as a VAE does, from $z = \mu + L \varepsilon$ and the closed KL, but with all
# ε of a grid in the place of one draw. Three numbers, three sets of points: log p(x) over z under the prior, the
# bound over ε, and the gap, $\mathrm{KL}(q \,\|\, p(z \mid x))$, over $z = \sinh t$.
# %%
def bound(model, x):
    (eps, deps), K = trapezoid(model.n_components), model.n_components
    t = model.forward(model.params(), x[None], eps[:, None, :])
    return np.sum(np.exp(log_normal(eps, np.zeros(K), np.eye(K))) * t.log_px_z * deps) - closed_kl(model, x[None])[0]
# %%
elbo = np.array([bound(model, x) for model, x in examples])
claim_equal("EL.1", "log p(x) − ELBO = KL(q ‖ p(z|x))", log_px - elbo, gap, tol=1e-11)
claim_true("GM.E", "six examples: KL(q ‖ p(z|x)) > 0", np.min(gap) > 1e-4, gap)
# %% [markdown]
# ## The encoder learns q(z|x), not p(z|x)   [GM.E]
# The lecture says that the encoder learns the posterior. It learns a Gaussian that comes near: all six gaps are
# positive. The third x is where the two ends of the line meet. Its posterior has two humps, one at each end: x came
# from here or from there. A Gaussian has one hump. And as x goes round the ring the encoder must move q from one end to
# the other; a smooth network needs some way for that, and our x is on it.
#
# How do log p(x) and the bound move with q? We try all $q = N(m, s^2)$ in the encoder's place and sum both sides of
# EL.1. log p(x) does not know q, so what the ELBO gains the gap loses.
# %%
c, posterior = fine[2], posteriors[2]
z = c.z[:, 0]


def q_density(m, s):
    return np.exp(-(((z - m) / s) ** 2) / 2) / (s * np.sqrt(2 * np.pi))


def elbo_of(m, s):
    """The ELBO of q = N(m, s²), of one s and one or many m."""
    return q_density(np.reshape(m, (-1, 1)), s) @ (c.likelihood * c.dz) - ((m**2 + s**2 - 1) / 2 - np.log(s))


def gap_of(m, s):
    return -np.log(s * np.sqrt(2 * np.pi * np.e)) - q_density(np.reshape(m, (-1, 1)), s) @ (posterior * c.dz)
# %%
means, log_sds = np.linspace(-3, 3, 121), np.linspace(-3.2, 0, 65)
landscape, gaps = (np.array([f(means, np.exp(log_sd)) for log_sd in log_sds]) for f in (elbo_of, gap_of))
claim_equal("EL.1", "7,865 other q: log p(x) − ELBO = KL", log_px[2] - landscape, gaps, tol=1e-11)
claim_true("EL.1", "ELBO < log p(x) for all of them", np.all(landscape < log_px[2]), [landscape.max(), log_px[2]])
tops = [minimize(lambda v: -elbo_of(v[0], np.exp(v[1]))[0], (m, -2.0), method="Nelder-Mead") for m in (-1.8, 1.8)]
second, best = sorted(tops, key=lambda top: -top.fun)
lost = [gap[2], log_px[2] + best.fun]
claim_true("GM.E", "the encoder's KL > that of the best q > 0", lost[0] > lost[1] > 0.01, lost)
# %%
(m,), ((variance,),) = encoder_says(one, seam)
marks = {"the encoder's q": (m, np.log(variance) / 2), "the best q": best.x, "the other maximum": second.x}
ax = plots.elbo_landscape(means, log_sds, landscape, log_px[2], marks)
plots.save_figure(ax, OUT / "60_landscape.png")
best_q = q_density(best.x[0], np.exp(best.x[1]))
ax = plots.densities(z, {"p(z|x)": np.exp(posterior), "the encoder's q": np.exp(c.q), "the best q": best_q})
ax.set(xlabel="z", xlim=(-4, 4))
plots.save_figure(ax, OUT / "60_seam.png")
# %% [markdown]
# `out/60_landscape.png`: above, log p(x) at one height over all m, and beneath it the best ELBO there is for each m;
# below, how much is missing at (m, log s). Two maxima, one for each hump, and neither comes closer than 0.7 nats: that
# is what a *Gaussian* q costs. The encoder's q costs 14, since one network must serve all x.
#
# `out/60_seam.png`: the posterior has half its mass at either end, the best q covers one, the encoder's q is between.
#
# And in the plane? A digit 2, whose gap is 0.97 nats.
# %%
side, step = np.linspace(-3, 3, 301, retstep=True)
plane = laws(two, digits[2], lambda K: over_axes(K, side, np.full(301, step)))
density = np.exp(plane.likelihood + plane.prior - log_px[5]).reshape(301, 301).T    # z₁ down the rows
ax = plots.posterior_against_q(side, side, density, *encoder_says(two, digits[2]))
plots.save_figure(ax, OUT / "60_plane.png")
# %% [markdown]
# `out/60_plane.png`: q has the slope and about the size of the posterior, but it stands beside it. (`quadrature` and
# `exact_elbo` in `tinyvae.likelihood` do all these sums for any VAE of few latent dimensions.)
#
# ## When nothing is lost   [EL.1]
# The gap is zero only for q = p(z|x). Is there a model whose posterior the encoder can say? Let both networks be
# straight: $x = W^\top z + b + \sigma e$. Then the posterior is a Gaussian with the same covariance for every x and a
# mean linear in x (lesson 50),
# $$p(z \mid x) = N\big(S\, W (x - b) / \sigma^2,\ S\big), \qquad S = \big(I + W W^\top / \sigma^2\big)^{-1},$$
# and an encoder of one layer with a full covariance can hold it exactly, in `lower` and `logvar` the Cholesky factor
# of S. (A diagonal q could not.) We write it into the weights. $p(x) = N(x;\, b,\, W^\top W + \sigma^2 I)$ is known.
# %%
straight = VAE(2, hidden=(), activation="identity", posterior="full", sd=0.5, n_epochs=0).fit(rng.normal(size=(9, 5)))
straight.theta_[:] = rng.normal(size=straight.theta_.size)
(W, b), (to_code, code_bias) = straight.params().decoder[0], straight.params().encoder[0]
S = np.linalg.inv(np.eye(2) + W @ W.T / 0.25)
L = np.linalg.cholesky(S)
to_code[:] = np.hstack([W.T @ S / 0.25, np.zeros((5, 3))])
code_bias[:] = [*(-b @ to_code[:, :2]), *(2 * np.log(np.diag(L))), L[1, 0]]
x = straight.sample(4, rng)
exact = multivariate_normal(b, W.T @ W + 0.25 * np.eye(5)).logpdf(x)
# %%
claim_equal("EL.1", "q = posterior: ELBO = log p(x)", [bound(straight, row) for row in x], exact, tol=1e-11)
none = [kl_to_posterior(laws(straight, row, stretched)) for row in x]
claim_equal("EL.1", "q = posterior: KL(q ‖ p(z|x)) = 0", none, np.zeros(4), tol=1e-11)
one_draw = straight.log_likelihood(x, n_samples=1, random_state=1)
claim_equal("EL.1", "and each draw alone gives log p(x)", one_draw, exact, tol=1e-11)
delta = np.array([0.3, -0.2])
code_bias[:2] += delta                                      # the encoder's mean is wrong by δ, for every x
moved, price = [bound(straight, row) for row in x], delta @ np.linalg.inv(S) @ delta / 2
claim_equal("EL.1", "off by δ: ELBO falls by ½ δᵀ S⁻¹ δ", exact - moved, np.full(4, price), tol=1e-11)
# %% [markdown]
# ## One draw for each row of a minibatch   [EL.2]
# In training nobody sums over grids. The lecture: take m of the N rows at random, for each draw one z from its q, and
# average log p(x|z). That is a random number; its mean is
# $$\frac1N \sum_{i=1}^N \mathbb E_{q(z \mid x_i)} \log p(x_i \mid z) ,$$
# which over 200 points of the ring and a grid of ε we can sum, and its *gradient* as well: it is the mean of the
# gradients at each ε. (With `beta=0` the loss is minus this term alone.) The forward pass alone, on half as many ε and
# with a complex step along a random direction in the parameters, must know the same value and the same slope.
# %%
one.set_params(beta=0.0)
table, noise_free = points[:200], np.zeros((200, 1))


def value_and_gradient(rows, eps):
    loss, gradient = one.loss_and_grad(rows, eps)
    return -np.append(loss, gradient)
# %%
eps, step = np.linspace(-8, 8, 641, retstep=True)
at_nodes = np.array([value_and_gradient(table, noise_free + node) for node in eps])
weights = step * np.exp(-(eps**2) / 2) / np.sqrt(2 * np.pi)
exact = weights @ at_nodes
# %%
direction = rng.normal(size=one.theta_.size)
t = one.forward(one.params(one.theta_ + 1e-30j * direction), table, noise_free + eps[::2, None, None])
value = 2 * weights[::2] @ t.log_px_z.reshape(-1, 200).mean(axis=1)
claim_equal("EL.2", "E log p(x|z), 641 ε = 321 ε", exact[0], value.real, tol=1e-11)
claim_equal("EL.2", "its slope: backward = complex step", exact[1:] @ direction, value.imag / 1e-30, tol=1e-11)
# %% [markdown]
# Now 4,000 minibatches of 50, one draw each. The means of value and gradients must be the exact ones within the error
# bar. To decode the mean of q instead of a draw would be biased: a z that is uncertain is harder to reconstruct from.
# %%
batches = np.array([value_and_gradient(table[rng.integers(200, size=50)], rng.standard_normal((50, 1)))
                    for _ in range(4000)])
mean, standard_error = batches.mean(axis=0), batches.std(axis=0) / np.sqrt(len(batches))
claim_mean("EL.2", "minibatch, one draw: E log p(x|z)", mean[0], standard_error[0], exact[0])
claim_mean("EL.2", f"minibatch, one draw: {len(mean) - 1:,} gradients", mean[1:], standard_error[1:], exact[1:])
shortcut = value_and_gradient(table, noise_free)[0]
claim_true("EL.2", "decoding the mean of q is biased", shortcut - exact[0] > 0.1, [shortcut, exact[0]])
# %% [markdown]
# ## The other term needs no draws   [EL.3]
# Both laws are Gaussian, and the lecture's formula between two (lesson 55) becomes, with $p(z) = N(0, I)$,
# $$\mathrm{KL}\big(N(\mu, \Sigma) \,\|\, N(0, I)\big) = \tfrac12 \big( \operatorname{tr} \Sigma + \mu^\top \mu - d
# - \log \det \Sigma \big) .$$
# The library sums it over the entries of the Cholesky factor; here trace and determinant are NumPy's. Beside it the
# sum over the grid, from the two densities alone, and the mean of log q − log p over the library's draws.
# %%
says = [encoder_says(model, x) for model, x in examples]
formula = np.array([(np.trace(Sigma) + mu @ mu - len(mu) - np.linalg.slogdet(Sigma)[1]) / 2 for mu, Sigma in says])
claim_equal("EL.3", "KL(q ‖ N(0, I)): formula = the library's", formula, kl, tol=1e-12)
claim_equal("EL.3", "KL(q ‖ N(0, I)): formula = quadrature", formula, from_prior, tol=1e-12)
t = two.forward(two.params(), digits[:3], rng.standard_normal((50_000, 3, 2)))
draws = t.z.reshape(50_000, 3, 2)
ratio = np.array([log_normal(draws[:, i], *says[3 + i]) - log_normal(draws[:, i], np.zeros(2), np.eye(2))
                  for i in range(3)])
claim_mean("EL.3", "KL, full Σ: mean of log q − log p", ratio.mean(axis=1), ratio.std(axis=1) / np.sqrt(50_000),
           formula[3:])
# %% [markdown]
# ## Erratum: there is no θ in it   [EL.E]
# The lecture gives the KL term the parameters $\mu_\phi, \mu_\theta, \Sigma_\phi, \Sigma_\theta$. But θ belongs to
# p(x|z), and this KL is between q and the prior, which has nothing to learn. With and without it in the loss the
# gradient by θ is the same to the last bit; by φ it is another one. And if we shake θ, this KL stays to the last bit,
# while log p(x) and the gap, where θ does stand, move.
# %%
places = slices({name: view.shape for name, view in two.parameters_.items()})
in_phi = np.concatenate([np.full(place.stop - place.start, name.startswith("encoder"))
                         for name, place in places.items()])
noise = rng.standard_normal((100, 2))
without, whole = (two.set_params(beta=beta).loss_and_grad(digits[:100], noise)[1] for beta in (0.0, 1.0))
by_theta, by_phi = (np.abs((whole - without)[where]).max() for where in (~in_phi, in_phi))
claim_true("EL.E", "∂KL/∂θ = 0 exactly, ∂KL/∂φ ≠ 0", by_theta == 0 and by_phi > 1e-3, [by_theta, by_phi])
# %%
before = closed_kl(two, digits)
two.theta_[~in_phi] += 0.03 * rng.normal(size=np.sum(~in_phi))
moved = np.abs(closed_kl(two, digits) - before).max()
claim_true("EL.E", "θ shaken: KL to the prior moves by 0", moved == 0, moved)
shaken = [laws(two, x, stretched) for x in digits[:3]]
moved = [np.abs(np.array([f(c) for c in shaken]) - old[3:]).min() for f, old in
         ((log_marginal, log_px), (kl_to_posterior, gap))]
claim_true("EL.E", "log p(x) and the gap do move", min(moved) > 1e-3, moved)
# %% [markdown]
# ## What to remember
# - log p(x) = ELBO + KL(q ‖ p(z|x)), for every x, q and decoder. Nothing is approximated: one term is left out.
# - By φ the ELBO can only gain what the gap loses. By θ it may rise because log p(x) does, or because the posterior
#   comes to meet q: a better bound is not yet a better model.
# - The first term costs one draw for each row and stays unbiased, in value and gradient; the second is a formula, in
#   which θ does not occur.
#
# **To try.** Train `one` with `hidden=(8,)`: what becomes of the gap at the seam, and what of the others? Give `two` a
# diagonal posterior: which of the three gaps grows most?
