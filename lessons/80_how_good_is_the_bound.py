# %% [markdown]
# # 80 · How good is the bound?
# **Question.** A VAE is trained on a bound and judged by it. How far is that from the likelihood, when does it matter,
# and what helps?
#
# Tags CV.1–CV.4 · needs 50, 60, 65, 75 · 20 s
# %%
from pathlib import Path

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.stats import multivariate_normal

from tinyvae import VAE, ProbabilisticPCA, load_digits, load_mnist5k, plots
from tinyvae.checks.claims import claim_equal, claim_mean, claim_true
from tinyvae.distributions import LOG_2PI
from tinyvae.likelihood import (annealed_importance_sampling, exact_elbo, gaps, importance_sampling, quadrature,
                                reverse_annealed_importance_sampling)
from tinyvae.linear import ppca_log_prob
from tinyvae.ops import log_sum_exp
# %%
OUT = Path(__file__).parent / "out" if "__file__" in globals() else Path("out")
rng = np.random.default_rng(80)
digits, _ = load_digits()
digits = (digits[rng.permutation(len(digits))] > 0.5).astype(float)
train, test = digits[:1500], digits[1500:]
# %% [markdown]
# ## A model that can be seen through   [CV.1]
# With two latents log p(x) is an integral over a plane, and `quadrature` does it to rounding. So here, for once, every
# estimate can be held against the truth. With fifty latents one would average the weights
# $w = p(x \mid z)\, p(z) / q(z \mid x)$ of K draws from the encoder's q (*importance sampling*), or let chains walk
# from the prior to the posterior and weigh them on their way (*annealed* importance sampling, which needs no encoder).
# Both means are unbiased for p(x). Their logarithms are too low on average, by Jensen's inequality.
# %%
options = dict(hidden=(64,), activation="tanh", likelihood="bernoulli", learning_rate=3e-3, random_state=0)
vae = VAE(2, n_epochs=60, **options).fit(train)
x = test[:12]
log_px, elbo = quadrature(vae, x).value, exact_elbo(vae, x).value
sampled = lambda n: importance_sampling(vae, x, n, rng=rng).value
annealed = lambda n: annealed_importance_sampling(vae, x, 4, n, 5, rng=rng).value
# %% [markdown]
# What do they cost? K draws are K images decoded. Four chains with T temperatures and 5 leapfrog steps at each are
# 20 (T − 1), gradients not counted, and as much again to find the step sizes. Eight runs, the means of 12 digits:
# %%
estimates = {}
for name, way, efforts, costs in (("importance sampling", sampled, [1, 10, 100, 1000, 10_000], lambda n: n),
                                  ("annealed", annealed, [10, 30, 100, 300], lambda n: 40 * (n - 1))):
    runs = np.array([[way(n).mean() for n in efforts] for _ in range(8)])
    estimates[name] = [costs(n) for n in efforts], runs.mean(axis=0), runs.std(axis=0, ddof=1)
ax = plots.estimates_against_cost(estimates, log_px.mean(), elbo.mean())
plots.save_figure(ax, OUT / "80_estimates.png")
claim_true("CV.1", "12 digits: ELBO < log p(x)", np.all(elbo < log_px), [elbo.mean(), log_px.mean()])
# %% [markdown]
# `out/80_estimates.png`: bars are the standard deviation of a single run. One draw from q gives the ELBO on average, a
# hundred are enough for a tenth of a nat. Where q is good, chains that start at the prior are the dearer way. Is p(x)
# itself met without bias? Forty more runs of each:
# %%
for name, way in (("importance sampling", lambda: sampled(300)), ("annealed", lambda: annealed(40))):
    ratios = np.array([np.exp(way() - log_px).mean() for _ in range(40)])
    claim_mean("CV.1", f"{name}: E ŵ / p(x) = 1", ratios.mean(), ratios.std(ddof=1) / np.sqrt(40), 1.0)
# %% [markdown]
# ## Two reasons for the gap   [CV.1]
# $\log p(x) - \mathrm{ELBO} = \mathrm{KL}(q \,\|\, p(z \mid x))$, lesson 60 said. It has two parts. No Gaussian is the
# posterior: the best one, sought for this x alone, leaves the *approximation gap*. And one network must answer for all
# x, and does not find the best one each time: the *amortisation gap* (Cremer et al. 2018). `gaps` finds both.
# What does a full covariance gain? First for the same decoder: we copy the VAE into a wider one, whose q starts as the
# same. Then for a VAE that was trained with a full covariance. That the gaps add up to the KL we check by a plain sum
# over 241 × 241 points z.
# %%
wider = VAE(2, posterior="full", n_epochs=0, **options).fit(train)
for name, view in wider.parameters_.items():
    view[:] = 0                                                             # `lower`, the off-diagonal of L, stays 0
    view[..., :vae.parameters_[name].shape[-1]] = vae.parameters_[name]
full = VAE(2, posterior="full", n_epochs=60, **options).fit(train)
found = {"diagonal q": gaps(vae, x, tol=1e-7), "full q,\nthe same decoder": gaps(wider, x, tol=1e-7),
         "full q,\ntrained with it": gaps(full, x, tol=1e-7)}
ax = plots.gap_bars({name: (gap.approximation, gap.amortisation) for name, gap in found.items()})
plots.save_figure(ax, OUT / "80_gaps.png")
# %%
line, step = np.linspace(-6, 6, 241, retstep=True)
z = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
by_sum = []
for row, mean, variance in zip(x, *vae.encode(x)):
    log_joint = vae.log_px_z(vae.params(), np.tile(row, (len(z), 1)), z) - np.sum(z**2, axis=1) / 2 - LOG_2PI
    log_posterior = log_joint - log_sum_exp(log_joint, axis=0) - np.log(step**2)
    log_q = -np.sum((z - mean) ** 2 / variance + np.log(variance), axis=1) / 2 - LOG_2PI
    by_sum.append(np.sum(np.exp(log_q) * (log_q - log_posterior)) * step**2)
diagonal, same, trained = found.values()
claim_equal("CV.1", "the two gaps = KL(q ‖ p(z|x))", diagonal.approximation + diagonal.amortisation, by_sum, tol=1e-6)
# %%
claim_equal("CV.1", "the wider model: the same ELBO", same.elbo, diagonal.elbo, tol=1e-9)
claim_true("CV.1", "approximation: diagonal > full > 0", np.all(diagonal.approximation > same.approximation)
           and np.all(same.approximation > same.error), [diagonal.approximation.mean(), same.approximation.mean()])
parts = np.array([[gap.approximation.mean(), gap.amortisation.mean()] for gap in (trained, diagonal)])
claim_true("CV.1", "trained with full q: both are less", np.all(parts[0] < parts[1]), parts[0])
# %% [markdown]
# `out/80_gaps.png`: a wider family closes more than half of the approximation gap, but most of what is lost is
# amortisation: a better encoder would gain more. Decoders adapt as well, since posteriors that q can hold are rewarded.
# So gaps end up small. That is the lecture's observation, and no proof.
#
# ## The ladder of bounds   [CV.1]
# With S draws the importance-weighted bound is (Burda, Grosse and Salakhutdinov 2016)
# $$L_S = \mathbb E \log \frac1S \sum_{s=1}^S w_s, \qquad \mathrm{ELBO} = L_1 \le L_2 \le \dots \le \log p(x) .$$
# For S = 50 that is an integral over fifty draws. But $\log a = \int_0^\infty (e^{-t} - e^{-ta})\, dt / t$ for every
# a > 0, and the mean of $e^{-t \sum w / S}$ is a product of S equal factors:
# $$L_S = \int_0^\infty \Big( e^{-t} - \varphi(t / S)^S \Big) \frac{dt}{t}, \qquad
# \varphi(t) = \mathbb E_q\, e^{-t w} .$$
# One integral over a line, and φ is one more if z is a number. We put $t = S e^v$, with w in units of its mean.
# %%
v, dv = np.linspace(-25, 120, 2901, retstep=True)
eps, step = np.linspace(-9, 9, 601, retstep=True)
normal = np.exp(-(eps**2) / 2 - LOG_2PI / 2) * step


def importance_bound(log_w, S):
    """L_S, from log w at the nodes `eps` of one x."""
    unit = np.log(normal @ np.exp(log_w))
    phi = np.exp(-np.multiply.outer(np.exp(v), np.exp(log_w - unit))) @ normal
    return unit + np.sum(np.exp(-S * np.exp(v)) - phi**S) * dv
# %% [markdown]
# A VAE with one latent, four digits. $L_1$ must be the ELBO, which `exact_elbo` integrates without any w; $L_2$ a sum
# over both draws; and $L_5$ and $L_{50}$ the mean of what the VAE itself computes from draws.
# %%
one = VAE(1, n_epochs=40, **options).fit(train).set_params(objective="iwae")
P, x = one.params(), test[:4]
t = one.forward(P, x, np.repeat(eps[:, None, None], 4, axis=1))
log_w = (t.log_px_z + t.log_ratio).reshape(-1, 4).T
ladder = {S: np.array([importance_bound(row, S) for row in log_w]) for S in (1, 2, 5, 50)}
claim_equal("CV.1", "L₁ by the identity = ELBO", ladder[1], exact_elbo(one, x).value, tol=1e-9)
doubled = [normal @ (np.logaddexp.outer(row, row) - np.log(2)) @ normal for row in log_w]
claim_equal("CV.1", "L₂ by the identity = double sum", ladder[2], doubled, tol=1e-9)
# %%
batch = np.tile(x, (25, 1))
for S, n in ((5, 600), (50, 60)):
    drawn = [-one.mean_loss(P, one.forward(P, batch, rng.standard_normal((S, 100, 1)))) for _ in range(n)]
    claim_mean("CV.1", f"L_{S} by the identity = VAE's draws", np.mean(drawn), np.std(drawn, ddof=1) / np.sqrt(n),
               ladder[S].mean())
rungs = np.array([*ladder.values(), quadrature(one, x).value])
claim_true("CV.1", "L₁ < L₂ < L₅ < L₅₀ < log p(x)", np.all(np.diff(rungs, axis=0) > 0), rungs.mean(axis=1))
# %% [markdown]
# ## Where no grid reaches   [CV.1]
# For x that we have *drawn* from any model, annealing can be turned round: the z that made x is an exact sample of its
# posterior, and chains from there back to the prior are unbiased for 1 / p(x). One logarithm is too low on average and
# the other too high: they enclose log p(x) where nobody knows it (Grosse, Ghahramani and Adams 2015). With 20 latents
# only a linear-Gaussian model still tells us the truth. With $r = \hat p(x) / p(x)$ we ask first whether the mean of r
# is 1, and of 1/r downwards. With three temperatures the bounds are far apart; with 60 they are so close that we need
# $\mathbb E \log r = \mathbb E(\log r - r + 1)$, which has a far smaller error bar.
# %%
linear = VAE(20, hidden=(), likelihood="gaussian", sd=1.0, n_epochs=0).fit(np.zeros((2, 25)))
linear.theta_[:] = 0
W = linear.parameters_["decoder.0.W"]
W[:] = rng.normal(size=(20, 25)) / np.sqrt(80)
law = multivariate_normal(np.zeros(25), W.T @ W + np.eye(25))


def both_ways(n_temperatures):
    """log r upwards and −log(1/r) downwards, for 20 fresh pairs (z, x)."""
    z = rng.standard_normal((20, 20))
    x = z @ W + rng.standard_normal((20, 25))
    up = annealed_importance_sampling(linear, x, 8, n_temperatures, 4, rng=rng).value
    down = reverse_annealed_importance_sampling(linear, x, z, 8, n_temperatures, 4, rng=rng).value
    return up - law.logpdf(x), down - law.logpdf(x)
# %%
mean_and_error = lambda runs: (runs.mean(axis=0), runs.std(axis=0, ddof=1) / np.sqrt(len(runs)))
for n_temperatures, n in ((3, 100), (60, 30)):
    log_r = np.array([both_ways(n_temperatures) for _ in range(n)])                      # (n runs, way, 20)
    ratio = np.exp(log_r * [[1], [-1]])
    for name, r in zip(("p̂ / p up", "p / p̂ down"), ratio.mean(axis=2).T):
        claim_mean("CV.1", f"{n_temperatures} temperatures: E {name} = 1", *mean_and_error(r), 1.0)
    if n_temperatures == 3:
        (up, down), se = mean_and_error(log_r.mean(axis=2))
        claim_true("CV.1", "3: up < log p < down, > 5 s.e.", -up > 5 * se[0] and down > 5 * se[1], [up, down])
surplus, se = mean_and_error((log_r - [[1], [-1]] * (ratio - 1)).mean(axis=2))
claim_true("CV.1", "60: both within 0.05 nats", np.all(np.abs(surplus) + 3 * se < 0.05),
           f"{surplus[0]:+.3f} ± {se[0]:.3f}, {surplus[1]:+.3f} ± {se[1]:.3f}")
# %% [markdown]
# ## A better bound, a worse teacher   [CV.1]
# If L₅₀ is nearer to log p, why not train on it? For the decoder that is right. But at S = ∞ the bound is log p(x), and
# q no longer matters. What does not matter cannot be learned: the encoder's gradient fades as S grows, and the question
# is whether its noise fades as fast (Rainforth et al. 2018).
#
# One latent, x = z + noise, q the exact posterior but for 0.1 in mu and in logvar. The *signal* is the derivative of
# L_S by both, which the identity gives exactly: a complex step goes through every line of it. The *noise* is the
# standard deviation of what `backward` says with S draws.
# %%
variance, x0 = 0.5, 0.7
moved = np.array([x0 / (1 + variance), np.log(variance / (1 + variance))]) + 0.1
tiny = VAE(1, hidden=(), sd=np.sqrt(variance), objective="iwae", n_epochs=0).fit(np.array([[x0]]))
tiny.theta_[:] = 0
tiny.parameters_["decoder.0.W"][:], tiny.parameters_["encoder.0.b"][:] = 1, moved


def bound_of(out, S):
    """L_S of q = N(out[0], exp(out[1]))."""
    z = out[0] + np.exp(out[1] / 2) * eps
    log_joint = -(z**2 + (x0 - z) ** 2 / variance + np.log(variance)) / 2 - LOG_2PI
    return importance_bound(log_joint + (eps**2 + out[1] + LOG_2PI) / 2, S)
# %%
def encoder_gradients(gradient, noise):
    """What each column of the noise (S, n) says of the derivative of L_S by mu and logvar, (n, 2)."""
    n, P = noise.shape[1], tiny.set_params(gradient=gradient).params()
    t = tiny.forward(P, np.full((n, 1), x0), noise[:, :, None])
    return -n * tiny.backward(P, t, tiny.params(np.empty_like(tiny.theta_))).encoder[-1]
# %%
n_draws, snr = [1, 4, 16, 64], {"pathwise": [], "dreg": [], "stl": []}
for S in n_draws:
    signal = np.array([bound_of(moved + 1e-30j * unit, S).imag / 1e-30 for unit in np.eye(2)])
    noise = rng.standard_normal((S, 20_000))
    for name, ratios in snr.items():
        d = encoder_gradients(name, noise)
        mean, se = d.mean(axis=0), d.std(axis=0) / np.sqrt(len(d))
        ratios.append(np.linalg.norm(signal) / np.linalg.norm(d.std(axis=0)))
        if name == "stl" and S > 1:
            claim_true("CV.1", f"S = {S}: STL: mean/truth", np.all(np.abs(mean - signal) > 5 * se), mean / signal)
        else:
            claim_mean("CV.1", f"S = {S}: E {name} = slope of L_S", mean, se, signal)
# %%
slopes = {name: np.polyfit(np.log(n_draws), np.log(ratios), 1)[0] for name, ratios in snr.items()}
claim_equal("CV.1", "pathwise: signal/noise ~ S^−½", slopes["pathwise"], -0.5, tol=0.15)
claim_true("CV.1", "DReG: it grows, slope ≥ 0.3", slopes["dreg"] >= 0.3, slopes["dreg"])
ax = plots.error_against_step(n_draws, {"pathwise": snr["pathwise"], "doubly reparameterized": snr["dreg"]})
ax.set_xticks(n_draws, map(str, n_draws))
ax.set(xlabel="draws S", ylabel="signal-to-noise ratio of the encoder's gradient")
plots.save_figure(ax, OUT / "80_signal_to_noise.png")
# %% [markdown]
# `out/80_signal_to_noise.png`: the signal falls like 1/S, as $\log p - L_S$ does. The noise of the plain gradient falls
# like $S^{-1/2}$ only; that of DReG like $S^{-3/2}$. STL is wrong: it leaves out a term whose mean is 0 for one draw
# alone, and overrates the slope about S times.
#
# ## A step up the bound, and down the likelihood   [CV.2]
# The bound is raised in the hope that log p rises with it. But ELBO = log p − gap, and it may as well be the gap that
# gives. We stage it: a VAE with one latent and linear networks for 35 pixels is trained on its exact ELBO, by L-BFGS
# with all ε of a grid. Then a teacher who knows log p takes over for ten steps, and then it is back to the ELBO. The
# gradient of log p is the posterior mean of that of log p(x|z); all x share a grid of z.
# %%
pixels = train[:300][:, train.std(axis=0) > 0.3]
twin = VAE(1, hidden=(), likelihood="bernoulli", learning_rate=1e-2, n_epochs=30, random_state=0).fit(pixels)
nodes, node_step = np.linspace(-6, 6, 17, retstep=True)
z = np.linspace(-8, 8, 401)[:, None]


def minus_elbo(theta):
    twin.theta_[:] = theta
    terms = [twin.loss_and_grad(pixels, np.full((300, 1), node)) for node in nodes]
    weights = np.exp(-(nodes**2 + LOG_2PI) / 2) * node_step
    return weights @ [loss for loss, _ in terms], weights @ [gradient for _, gradient in terms]
# %%
def minus_log_p(theta):
    P, gradient = twin.params(theta), np.zeros_like(theta)
    logits = z @ P.decoder[0].W + P.decoder[0].b
    log_joint = pixels @ logits.T - np.logaddexp(0, logits).sum(axis=1) - (z[:, 0] ** 2 + LOG_2PI) / 2    # (300, 401)
    log_px = log_sum_exp(log_joint, axis=1)
    posterior = np.exp(log_joint - log_px[:, None]) / 300
    d_logits = posterior.sum(axis=0)[:, None] / (1 + np.exp(-logits)) - posterior.T @ pixels
    twin.params(gradient).decoder[0].W[:] = z.T @ d_logits
    twin.params(gradient).decoder[0].b[:] = d_logits.sum(axis=0)
    return -np.mean(log_px) - np.log(z[1, 0] - z[0, 0]), gradient
# %%
def climb(loss_and_grad, theta, n_steps):
    """All θ that L-BFGS passes on its way."""
    path = []
    minimize(loss_and_grad, theta, jac=True, method="L-BFGS-B", callback=lambda theta: path.append(theta.copy()),
             options={"maxiter": n_steps, "ftol": 0, "gtol": 1e-9})
    return path
# %%
trained = climb(minus_elbo, twin.theta_.copy(), 150)[-1]
taught = climb(minus_log_p, trained.copy(), 10)
path = [trained, *taught, *climb(minus_elbo, taught[-1].copy(), 60)]
exact = -np.array([[minus_elbo(theta)[0], minus_log_p(theta)[0]] for theta in path])
# %%
again = []
for theta in path[::35]:
    twin.theta_[:] = theta
    again.append([exact_elbo(twin, pixels).value.mean(), quadrature(twin, pixels).value.mean()])
claim_equal("CV.2", "ELBO, log p: sums = the library's", exact[::35], again, tol=1e-6)
# %%
rises = np.diff(exact[len(taught):], axis=0)
both = (rises[:, 0] > 0) & (rises[:, 1] < 0)
worst = np.argmin(np.where(both, rises[:, 1], 0))
claim_true("CV.2", "one step: ELBO rises, log p falls", both[worst], rises[worst])
back, change = rises.sum(axis=0), exact - exact[0]
claim_true("CV.2", f"all {len(rises)} steps: ELBO rises, log p falls", back[0] > 0 > back[1],
           f"{back[0]:.4f}, {back[1]:.4f}; {both.sum()} steps by themselves")
ax = plots.training_curve({"log p(x)": change[:, 1], "ELBO": change[:, 0]})
ax.axvline(len(taught) + 1, color="0.45", linewidth=1)
ax.set(xlabel="step (up to the line on log p, then on the ELBO)", ylabel="change, nats per image")
plots.save_figure(ax, OUT / "80_teacher.png")
# %% [markdown]
# `out/80_teacher.png`: the teacher finds a better decoder, whose posterior our q cannot follow: the ELBO falls. Then
# ascent on the ELBO undoes the lesson. The two have different maxima. Do more data bring them together?
#
# ## More data do not help   [CV.3]
# Maximum likelihood is consistent: with enough data it finds the truth. Take a model of one unknown number θ,
# $$x = \begin{pmatrix} 1 & θ \\ 0 & 1 \end{pmatrix} z + \text{noise of variance } 0.1, \qquad z \sim N(0, I_2) .$$
# The posterior has the precision $\Lambda = I + W^\top W / 0.1$ for every x, and is correlated unless θ = 0. The best
# diagonal q has the right mean and the variances $1 / \Lambda_{kk}$, and misses log p(x) by
# $\tfrac12 (\sum_k \log \Lambda_{kk} - \log \det \Lambda)$: the same for each x, and smaller for smaller θ (Turner and
# Sahani 2011). In a free W a rotation would undo that (lesson 75); here nothing may rotate.
# %%
W_of = lambda theta: np.array([[1, theta], [0, 1]])


def log_px_minus_gap(theta, x, with_gap):
    precision = np.eye(2) + W_of(theta).T @ W_of(theta) / 0.1
    gap = (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1]) / 2
    return ppca_log_prob(x, 0, W_of(theta), 0.1).mean() - with_gap * gap


def maximisers(n_rows):
    """θ of the greatest log p and of the greatest ELBO from data of θ = 1; and two rows with the data's moments."""
    x = rng.normal(size=(n_rows, 2)) @ W_of(1).T + np.sqrt(0.1) * rng.normal(size=(n_rows, 2))
    rows = np.linalg.cholesky(x.T @ x / n_rows).T * np.sqrt(2)               # of x log p needs no more than that
    found = [minimize_scalar(lambda theta: -log_px_minus_gap(theta, rows, with_gap), bounds=(-1, 3), method="bounded",
                             options={"xatol": 1e-9}).x for with_gap in (False, True)]
    return *found, rows
# %%
sizes = [1000, 10_000, 100_000]
off = np.array([[maximisers(m)[:2] for m in sizes] for _ in range(40)]) - 1               # (40 data sets, sizes, 2)
by_likelihood, by_elbo = np.sqrt(np.mean(off**2, axis=0)).T
# %% [markdown]
# A second witness: a VAE with this decoder, all fixed but θ, maximises its ELBO over θ and the encoder, with sigma
# points for ε (lesson 75), once with a diagonal and once with a full covariance.
# %%
*by_formula, rows = maximisers(1000)
sigma_points = np.sqrt(2) * np.repeat(np.concatenate([np.eye(2), -np.eye(2)])[:, None], 2, axis=1)


def theta_of_vae(posterior):
    model = VAE(2, hidden=(), sd=np.sqrt(0.1), posterior=posterior, n_epochs=0, random_state=0).fit(rows)
    model.parameters_["decoder.0.W"][:], model.parameters_["decoder.0.b"][:] = W_of(0.5).T, 0
    n = sum(view.size for name, view in model.parameters_.items() if name.startswith("encoder"))
    free = np.append(np.arange(n), n + 2)                                    # the encoder and, of Wᵀ, entry [1, 0]

    def loss_and_grad(values):
        model.theta_[free] = values
        loss, gradient = model.loss_and_grad(rows, sigma_points)
        return loss, gradient[free]

    return climb(loss_and_grad, model.theta_[free], 2000)[-1][-1]
# %%
claim_equal("CV.3", "VAE, full q: θ of maximum likelihood", theta_of_vae("full"), by_formula[0], tol=1e-5)
claim_equal("CV.3", "VAE, diagonal q: θ by the formula", theta_of_vae("diagonal"), by_formula[1], tol=1e-5)
slope = np.polyfit(np.log(sizes), np.log(by_likelihood), 1)[0]
claim_equal("CV.3", "maximum likelihood: error ~ m^−½", slope, -0.5, tol=0.15)
claim_true("CV.3", "ELBO, m = 10³ … 10⁵: error stays", by_elbo[-1] > 0.9 * by_elbo[0] > 0.1, by_elbo)
ax = plots.estimates_over_draws(sizes, {"maximum likelihood": off[..., 0], "maximum of the ELBO": off[..., 1]})
ax.set(xlabel="rows of data m", ylabel="estimate − θ")
plots.save_figure(ax, OUT / "80_consistency.png")
# %% [markdown]
# `out/80_consistency.png`: medians and quartiles of forty data sets. The ELBO is as certain of its answer, and wrong. A
# full covariance mends it, since this posterior is a Gaussian.
#
# ## How sharp are its images?   [CV.4]
# The lecture says that other models generate better images. In numbers: a VAE with ten latents and probabilistic PCA
# (pPCA) with as many learn 28 × 28 digits. For decoded draws of z we take the share of pixels that are neither ink nor
# paper, between ¼ and ¾, and the share of an image's variance in waves shorter than four pixels.
# %%
images, _ = load_mnist5k(dtype="float32")
images = images[rng.permutation(len(images))]
painter = VAE(10, hidden=(256,), likelihood="bernoulli", binarize=True, n_epochs=20, random_state=0).fit(images[:4000])
ppca, codes = ProbabilisticPCA(10).fit(images[:4000]), rng.standard_normal((1000, 10))
shown = {"data": images[4000:], "other data": images[:1000], "VAE": painter.inverse_transform(codes),
         "VAE, data decoded": painter.reconstruct(images[4000:]), "pPCA": np.clip(ppca.inverse_transform(codes), 0, 1)}
# %%
frequency = np.fft.fftfreq(28)
frequency = np.hypot(frequency[:, None], frequency)                              # waves a pixel


def sharpness(x):
    """The share of mid-grey pixels and of energy in short waves, of every image: (N, 2)."""
    energy = np.abs(np.fft.fft2(x.reshape(-1, 28, 28))) ** 2
    fine = energy[:, frequency > 0.25].sum(axis=1) / energy[:, frequency > 0].sum(axis=1)
    return np.column_stack([np.mean((x > 0.25) & (x < 0.75), axis=1), fine])


mean, error = {}, {}
for name, x in shown.items():
    values = sharpness(x)
    mean[name], error[name] = values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))
    print(f"{name:<18} mid-grey, fine detail:", *(f"{m:.4f} ± {e:.4f}" for m, e in zip(mean[name], error[name])))
# %%
for a, b in (("VAE", "data"), ("pPCA", "VAE")):
    more = (mean[a] - mean[b]) * [1, -1] / np.hypot(error[a], error[b])         # mid-grey, and less fine detail
    claim_true("CV.4", f"{a} blurrier than {b}, in s.e.", np.all(more > 5), more)
ax = plots.images(np.concatenate([shown[name][:10] for name in ("data", "VAE", "pPCA")]))
ax.set_yticks([0.5, 1.5, 2.5], ["data", "VAE", "pPCA"])
plots.save_figure(ax, OUT / "80_sharpness.png")
# %% [markdown]
# `out/80_sharpness.png`: better than the linear model, and still soft. What is decoded is the *mean* of p(x|z), where
# all that z does not say is averaged; held-out digits that went through the code come out hardly sharper.
#
# ## What to remember
# - The gap has two parts: what the family of q cannot do, and what the encoder misses of it. More draws close it from
#   below, and annealing both ways encloses log p(x) where no integral can be done.
# - In a tighter bound the encoder's gradient is lost in its noise. DReG mends that; STL is biased for S > 1.
# - Bound and likelihood have different maxima: a step up the one may be a step down the other, and no amount of data
#   brings them together. A richer q does, if it can be the posterior.
#
# **To try.** Let θ be 2: where does the ELBO's answer go? Let the teacher go on for 100 steps: what of the ELBO then?
