# %% [markdown]
# # 70 · A VAE on real handwritten digits
# **Question.** How can two networks that only ever see pixels learn to read digits into a plane, and to draw new ones from it?
#
# Tags EL.3, EL.E, RP.1, OP.1 · needs 10, 20, 30 · 12 s
# %%
from pathlib import Path

import numpy as np

from tinyvae import VAE, check_gradient, load_digits, load_mnist5k, plots
from tinyvae.checks.claims import claim_equal, claim_mean, claim_true
from tinyvae.distributions import DiagonalGaussian
from tinyvae.params import slices

OUT = Path(__file__).parent / "out" if "__file__" in globals() else Path("out")
rng = np.random.default_rng(70)
# %% [markdown]
# ## The parts
# An encoder network reads an image x and answers with a Gaussian, $q(z\mid x) = N(\mu, \mathrm{diag}\,\sigma^2)$, instead of with a point.
# A decoder network reads a point z of the latent plane and answers with a law of images, $p(x\mid z)$. They are trained together to make
# $$\mathrm{ELBO}(x) = \mathbb E_q \log p(x\mid z) - \mathrm{KL}\big(q(z\mid x)\,\|\,N(0, I)\big)$$
# large: images should be likely after the round trip, and the codes should stay where the prior would put them.
# We begin with a small untrained VAE on 8 × 8 digits, and prove each part of it before anything is trained. Its biases are random,
# too: at zero they would hide mistakes.
# %%
digits, _ = load_digits()
small = VAE(2, hidden=(12,), activation="tanh", random_state=0, n_epochs=0).fit(digits)
small.theta_[:] = rng.normal(scale=0.3, size=small.theta_.size)
x, eps = digits[rng.permutation(len(digits))[:6]], rng.standard_normal((6, 2))
trace = small.forward(small.params(), x, eps)
print("mu\n", trace.mu.round(2), "\nlogvar\n", trace.logvar.round(2))
# %% [markdown]
# ## The KL term needs no sampling   [EL.3]
# Between two Gaussians the integral has a closed form. With $\sigma_k^2 = e^{\mathrm{logvar}_k}$
# $$\mathrm{KL} = \tfrac12 \sum_k \big(\mu_k^2 + \sigma_k^2 - 1 - \log \sigma_k^2\big).$$
# The coordinates are independent under both laws, so the same number is a sum of integrals over a line, which a fine sum over a grid
# gives to rounding, from the two densities alone:
# %%
def normal(z, mean, sd):
    return np.exp(-((z - mean) / sd) ** 2 / 2) / (sd * np.sqrt(2 * np.pi))


closed_form = DiagonalGaussian().kl(trace.encoded)
sd = np.exp(trace.logvar / 2)[..., None]
z = trace.mu[..., None] + sd * np.linspace(-12, 12, 4001)
q, p = normal(z, trace.mu[..., None], sd), normal(z, 0, 1)
by_quadrature = np.trapezoid(q * np.log(q / p), z, axis=-1).sum(axis=1)
claim_equal("EL.3", "KL(q ‖ N(0, I)): closed form = quadrature", closed_form, by_quadrature, tol=1e-12)
# %% [markdown]
# It is also the mean of $\log q - \log p$ over draws from q: a third route, with an error bar.
# %%
draws = trace.mu + sd[..., 0] * rng.standard_normal((100_000, 6, 2))
log_ratio = np.log(normal(draws, trace.mu, sd[..., 0]) / normal(draws, 0, 1)).sum(axis=2)
standard_error = log_ratio.std(axis=0) / np.sqrt(len(draws))
claim_mean("EL.3", "KL: mean of log q − log p over draws = closed form", log_ratio.mean(axis=0), standard_error, closed_form)
# %% [markdown]
# ## One σ in three places   [RP.1]
# Sampling is rewritten as $z = \mu + \sigma\,\varepsilon$ with $\varepsilon \sim N(0, I)$: all randomness sits in ε, and derivatives pass
# through μ and σ. No gradient check can see whether this σ is the σ of the KL term: a draw with standard deviation $e^{\mathrm{logvar}}$
# would have an exact gradient, of a wrong objective. So we look at the draws themselves. Gauss–Hermite nodes for ε give their mean and
# variance exactly.
# %%
posterior = DiagonalGaussian()
nodes, weights = np.polynomial.hermite_e.hermegauss(5)
weights = weights / weights.sum()
drawn = np.array([posterior.draw(trace.encoded, np.full((6, 2), node)) for node in nodes])
mean = np.tensordot(weights, drawn, axes=1)
variance = np.tensordot(weights, (drawn - mean) ** 2, axes=1)
claim_equal("RP.1", "the draws' mean = μ", mean, trace.mu, tol=1e-12)
claim_equal("RP.1", "the draws' variance = exp(logvar)", variance, np.exp(trace.logvar), tol=1e-12)
# %% [markdown]
# The other two places: the entropy of a Gaussian is $\tfrac12\log 2\pi e\sigma^2$ in each coordinate. We put the *measured* variance into
# it, and hold it against what the library's log q says, averaged over the library's draws.
# %%
entropy = 0.5 * np.log(2 * np.pi * np.e * variance).sum(axis=1)
pairs = [(w * v, np.tile([a, b], (6, 1))) for w, a in zip(weights, nodes) for v, b in zip(weights, nodes)]
mean_log_q = sum(w * posterior.log_prob(posterior.draw(trace.encoded, e), trace.encoded) for w, e in pairs)
claim_equal("RP.1", "σ of log q = σ of the sampler: −E log q = entropy", -mean_log_q, entropy, tol=1e-12)
from_draws = 0.5 * (mean**2 + variance - 1 - np.log(variance)).sum(axis=1)
claim_equal("RP.1", "σ of the KL = σ of the sampler", posterior.kl(trace.encoded), from_draws, tol=1e-12)
# %% [markdown]
# ## The gradient of everything   [OP.1]
# With ε frozen the loss is an ordinary function of the parameters θ and φ, and `VAE.backward` is its chain rule. A complex step
# differentiates the *forward* pass, one parameter at a time, without any difference of nearby numbers: $\partial_i f = \mathrm{Im}\,
# f(\theta + ih\,e_i)/h$, correct to rounding. We compare all entries of all blocks, for the three likelihoods.
# %%
def complex_step(model, x, eps, i, h=1e-30):
    theta = model.theta_.astype(complex)
    theta[i] += 1j * h
    P = model.params(theta)
    return model.mean_loss(P, model.forward(P, x, eps)).imag / h


def blocks_of(model):
    return slices({name: view.shape for name, view in model.parameters_.items()})
# %%
binary = (x > 0.5).astype(float)
for likelihood in ("gaussian", "bernoulli", "gaussian_diagonal"):
    model = VAE(2, hidden=(7, 5), activation="tanh", likelihood=likelihood, n_epochs=0).fit(binary)
    model.theta_[:] = rng.normal(scale=0.3, size=model.theta_.size)
    _, gradient = model.loss_and_grad(binary, eps)
    stepped = np.array([complex_step(model, binary, eps, i) for i in range(model.theta_.size)])
    for place in blocks_of(model).values():                      # errors relative to the block's largest entry
        gradient[place] /= np.abs(stepped[place]).max()
        stepped[place] /= np.abs(stepped[place]).max()
    claim_equal("OP.1", f"{likelihood}: backward = complex step", gradient, stepped, tol=1e-13)
# %% [markdown]
# ## The prior has nothing to learn   [EL.E]
# The lecture writes the KL term with θ in it. With the prior N(0, I) there is none: the gradient of the loss in every decoder
# parameter is the same, to the last bit, whether the KL term is in the loss or not. In the encoder it is another one.
# %%
with_kl = VAE(2, hidden=(12,), activation="tanh", beta=1.0, n_epochs=0).fit(digits)
without = VAE(2, hidden=(12,), activation="tanh", beta=0.0, n_epochs=0).fit(digits)
with_kl.theta_[:] = without.theta_[:] = small.theta_
difference = with_kl.loss_and_grad(x, eps)[1] - without.loss_and_grad(x, eps)[1]
blocks = blocks_of(small).items()
decoder = np.concatenate([difference[place] for name, place in blocks if not name.startswith("encoder")])
encoder = np.concatenate([difference[place] for name, place in blocks if name.startswith("encoder")])
claim_true("EL.E", "∂KL/∂θ = 0 exactly, ∂KL/∂φ ≠ 0", bool(np.all(decoder == 0) and np.abs(encoder).max() > 1e-3),
           f"{np.abs(decoder).max():g}, {np.abs(encoder).max():.3f}")
# %% [markdown]
# ## Training on 28 × 28 digits
# 4,000 digits to learn from, 1,000 held out. Grey levels are taken as probabilities: each batch draws fresh black and white pixels
# with them, so that the Bernoulli likelihood is one. Two latent dimensions, so that all of the latent space fits on a page.
# %%
X, y = load_mnist5k(dtype="float32")
order = rng.permutation(len(X))                                  # the file is sorted by class
train, test = X[order[:4000]], X[order[4000:]]
vae = VAE(2, hidden=(256, 128), likelihood="bernoulli", binarize=True, learning_rate=1e-3, batch_size=50, n_epochs=60,
          random_state=0, verbose=1).fit(train)
plots.save_figure(plots.training_curve(vae.history_), OUT / "70_training.png")
# %% [markdown]
# The network that was just trained has a third of a million parameters, far too many for a complex step each. `check_gradient` needs
# about twenty evaluations a block: it compares slopes along one random direction in each. The proof is done in float64.
# %%
proof = VAE(2, hidden=(256, 128), likelihood="bernoulli", n_epochs=0).fit((train[:8] > 0.5).astype(float))
x, eps = (test[:8] > 0.5).astype(float), rng.standard_normal((8, 2))


def loss_and_grad(theta):
    proof.theta_[:] = theta
    return proof.loss_and_grad(x, eps)


print(check_gradient(lambda theta: loss_and_grad(theta)[0], lambda theta: loss_and_grad(theta)[1], vae.theta_,
                     blocks=blocks_of(proof)))
# %% [markdown]
# ## What it has learned
# The bound on held-out digits, its two parts, and a tighter estimate of log p(x) from 500 draws each. All in nats per image.
# %%
log_px_z, kl = vae.elbo_terms(test, random_state=1)
log_px = vae.log_likelihood(test, n_samples=500, random_state=1)
print(f"held out: E log p(x|z) {log_px_z.mean():.1f}   KL {kl.mean():.1f}   ELBO {(log_px_z - kl).mean():.1f}   "
      f"log p(x) ≈ {log_px.mean():.1f} nats")
# %% [markdown]
# **The latent plane.** Every held-out digit at the mean of its q(z|x). Nobody told the encoder which digit is which.
# %%
plots.save_figure(plots.latent_plane(vae.transform(test), y[order[4000:]]), OUT / "70_latent_plane.png")
# %% [markdown]
# **The same plane, read backwards.** The decoder's mean on a grid of z that cuts the prior into cells of equal probability:
# neighbours look alike, and one digit turns into the next.
# %%
plots.save_figure(plots.manifold(vae.inverse_transform), OUT / "70_manifold.png")
# %% [markdown]
# **Reconstructions** of held-out digits, through a code of two numbers: often the right digit, sometimes its neighbour in the plane.
# %%
plots.save_figure(plots.reconstructions(test[:12], vae.reconstruct(test[:12])), OUT / "70_reconstructions.png")
# %% [markdown]
# **Samples**: z from N(0, I), through the decoder; what is shown is the mean of p(x|z), before pixels are drawn from it. Digits that
# nobody wrote. They are smoother than real ones: a plane has no room for every slant and stroke, so the decoder averages.
# %%
codes = rng.standard_normal((40, 2))
plots.save_figure(plots.images(vae.inverse_transform(codes)), OUT / "70_samples.png")
