# %% [markdown]
# # 44 · Denoising autoencoders
# **Question.** A network is paid for taking noise out of its input: what does it have to know about the data, and where
# in the network can we read it?
#
# Tags DN.1, DN.2 · needs 20, 30 · 15 s
# %%
from pathlib import Path

import numpy as np

from tinyvae import Autoencoder, load_digits, load_mnist5k, plots
from tinyvae.checks.claims import claim_equal, claim_mean, claim_true
from tinyvae.checks.slopes import complex_step
from tinyvae.corruption import GaussianNoise, MaskingNoise, SaltAndPepper
from tinyvae.datasets import GaussianMixture

OUT = Path(__file__).parent / "out" if "__file__" in globals() else Path("out")
rng = np.random.default_rng(44)
# %% [markdown]
# ## One line is different   [DN.1]
# Before the encoder sees an image x, we spoil it: $\tilde x = x + \varepsilon$, with a fresh ε every time. The output
# is compared with the image as it was:
# $$L\big(x,\ g(f(\tilde x))\big) .$$
# To copy is now the wrong answer, even if the code has room for a copy: what came in is not what is asked for.
#
# The lecture adds noise. Two other kinds (Vincent and others, 2010) overwrite pixels: with *masking noise* some become
# 0, with *salt and pepper* some become 0 and some become 1. They too can be written $\tilde x = x + \varepsilon$, but
# then ε depends on x.
# %%
kinds = {"Gaussian": GaussianNoise(0.5), "masking": MaskingNoise(0.6), "salt and pepper": SaltAndPepper(0.4)}
grey = np.full((1000, 100), 0.5)
spoiled = {name: kind.apply(grey, kind.draw(grey, rng)) for name, kind in kinds.items()}


def claim_share(statement, values, exact):
    claim_mean("DN.1", statement, values.mean(), values.std() / np.sqrt(values.size), exact)


claim_share("Gaussian: ε has mean 0", spoiled["Gaussian"] - grey, 0)
claim_share("Gaussian: ε² has mean σ²", (spoiled["Gaussian"] - grey) ** 2, 0.5**2)
claim_share("masking: a share p becomes 0", spoiled["masking"] == 0, 0.6)
claim_share("salt and pepper: p/2 becomes 0", spoiled["salt and pepper"] == 0, 0.2)
claim_share("salt and pepper: p/2 becomes 1", spoiled["salt and pepper"] == 1, 0.2)
# %% [markdown]
# `draw` gives the noise and `apply` puts it on, so that we can hold it fast. With ε frozen the loss is an ordinary
# function of the parameters. First its value, against the formula written out for one tanh layer each way, and against
# two neighbours of the formula that are easy to write by mistake: one pays for the *noisy* image, the other shows the
# encoder the clean one.
# %%
digits, _ = load_digits()
x = digits[rng.permutation(len(digits))[:20]]


def small_network(kind, hidden):
    net = Autoencoder(5, hidden=hidden, corruption=kind, random_state=rng, n_epochs=0).fit(x)
    net.theta_[:] = rng.normal(scale=0.3, size=net.theta_.size)      # biases are random, too: zeros hide mistakes
    return net


def by_formula(net, seen, target):
    W, b, V, c = net.parameters_.values()
    return np.mean(np.sum((target - np.tanh(seen @ W + b) @ V - c) ** 2, axis=1))
# %%
for name, kind in kinds.items():
    net, noise = small_network(kind, hidden=()), kind.draw(x, rng)
    x_tilde, loss = kind.apply(x, noise), net.loss_and_grad(x, noise)[0]
    others = [by_formula(net, x_tilde, x_tilde), by_formula(net, x, x)]
    claim_equal("DN.1", f"{name}: L(x, g(f(x̃)))", loss, by_formula(net, x_tilde, x), tol=1e-13, relative=True)
    claim_true("DN.1", f"{name}: not L(x̃, ·), nor f(x)", min(abs(loss - other) for other in others) > 0.1,
               [loss, *others])
# %% [markdown]
# Then its gradient, in a deeper network. Nothing in the backward pass is new: ε is a constant, the error starts from
# the clean x, and the first layer's dW is $\tilde x^\top da$. The complex step (lesson 10) knows the forward pass
# alone, and is taken along every single parameter. Errors are relative to the largest entry of each block.
# %%
for name, kind in kinds.items():
    net, noise = small_network(kind, hidden=(7,)), kind.draw(x, rng)
    f = lambda theta: net.mean_loss(net.params(theta), net.forward(net.params(theta), x, noise))
    gradient = net.loss_and_grad(x, noise)[1]
    stepped = np.array([complex_step(f, net.theta_, unit) for unit in np.eye(net.theta_.size)])
    ends = np.cumsum([block.size for block in net.parameters_.values()])[:-1]
    scale = np.concatenate([np.full(len(block), np.abs(block).max()) for block in np.split(stepped, ends)])
    claim_equal("DN.1", f"{name}: backward = complex step", gradient / scale, stepped / scale, tol=1e-13)
# %% [markdown]
# ## Real digits   [DN.1]
# One network for each kind of noise: 4,000 images of 28 × 28 pixels to learn from, 256 hidden units, cross-entropy as
# the loss, a fresh ε for every image in every epoch. Each is then shown 1,000 images that it has never seen, with new
# noise of the kind that it was trained on.
# %%
images, _ = load_mnist5k(dtype="float32")
images = images[rng.permutation(len(images))]                        # the file is sorted by class
train, test = images[:4000], images[4000:]
corrupted = {name: kind.apply(test, kind.draw(test, rng)) for name, kind in kinds.items()}
denoised = {}
for name, kind in kinds.items():
    net = Autoencoder(256, activation="relu", loss="bernoulli", corruption=kind, n_epochs=25, random_state=44)
    denoised[name] = net.fit(train).reconstruct(corrupted[name])
# %% [markdown]
# Who is the opponent? Doing nothing is a weak one. A better one is PCA: a digit lies close to the plane of the first K
# principal axes, noise points everywhere, so a projection onto that plane keeps the digit and K/784 of the noise. A
# small K loses strokes, a large one keeps noise. We grant PCA the K that is best on the very images it is judged on.
# Also, spoiled pixels drag the mean of x̃ to $(1 - p)\, x$ by masking, to $(1 - p)\, x + p/2$ by salt and pepper. For
# PCA that is undone first; the network has to find it out by itself.
#
# With the coordinates a of x and ã of x̃ along the axes the error of every K comes from two running sums,
# $\sum_{k \le K} (a_k - \tilde a_k)^2 + \sum_{k > K} a_k^2$.
# %%
mean = train.mean(axis=0, dtype=float)
lam, axes = np.linalg.eigh((train - mean).T @ (train - mean) / len(train))
lam, axes = lam[::-1], axes[:, ::-1]                                  # the largest variance first
unbiased = {"Gaussian": corrupted["Gaussian"], "masking": corrupted["masking"] / 0.4,
            "salt and pepper": (corrupted["salt and pepper"] - 0.2) / 0.6}
# %%
def pca_error(noisy):
    """|x − its best projection|² for each test image, and the number K of axes that the projection keeps."""
    a, a_tilde = (test - mean) @ axes, (noisy - mean) @ axes
    lost = np.sum(a**2, axis=1, keepdims=True) - np.cumsum(a**2, axis=1)
    errors = np.cumsum((a - a_tilde) ** 2, axis=1) + lost
    K = np.argmin(errors.mean(axis=0))
    return errors[:, K], K + 1
# %% [markdown]
# All errors are squared distances to the clean image. Images differ in how hard they are, but both opponents get the
# same image with the same noise: we look at the difference d of their errors, image by image. Its mean must be above 0
# by more than five of its standard errors.
# %%
squared_distance = lambda a: np.sum((a - test) ** 2, axis=1)


def claim_smaller(tag, statement, ours, theirs):
    d = theirs - ours
    z = d.mean() / (d.std() / np.sqrt(len(d)))
    claim_true(tag, statement, z > 5, f"{ours.mean():.2f} < {theirs.mean():.2f} by {z:.0f} s.e.")


for name, noisy in corrupted.items():
    network, (pca, K) = squared_distance(denoised[name]), pca_error(unbiased[name])
    claim_smaller("DN.1", f"{name}: < doing nothing", network, squared_distance(noisy))
    claim_smaller("DN.1", f"{name}: < PCA, K = {K}", network, pca)
# %%
rows = [test[:12]] + [row[:12] for name in kinds for row in (corrupted[name], denoised[name])]
ax = plots.images(np.concatenate(rows), n_columns=12)
ax.set_yticks(np.arange(7) + 0.5, ["original"] + [text for name in kinds for text in (name, "denoised")])
plots.save_figure(ax, OUT / "44_denoised.png")
# %% [markdown]
# `out/44_denoised.png`: the same twelve held-out digits, first clean, then with each kind of noise and what the network
# makes of it. Strokes are closed where more than half of their pixels are missing. The network can only do so because it knows
# what digits look like. But where is that knowledge?
#
# ## The best denoiser   [DN.2]
# Suppose nothing limits the network. For squared error and Gaussian noise of variance σ² the best answer to $\tilde x$
# is the mean of all x it may have come from, $r^*(\tilde x) = E[x \mid \tilde x]$. Let $p_\sigma$ be the law of
# $\tilde x$, which is the law p of the data, blurred:
# $$p_\sigma(\tilde x) = \int p(x)\, N(\tilde x;\, x, \sigma^2 I)\, dx .$$
# %% [markdown]
# Differentiate. The Gaussian contributes a factor, $\nabla N = N \cdot (x - \tilde x)/\sigma^2$, and so
# $$\nabla p_\sigma = \int p\, N \cdot \frac{x - \tilde x}{\sigma^2}\, dx
# = p_\sigma(\tilde x) \cdot \frac{E[x \mid \tilde x] - \tilde x}{\sigma^2} .$$
# Divide by $p_\sigma$: this is Tweedie's formula,
# $$E[x \mid \tilde x] = \tilde x + \sigma^2\, \nabla \log p_\sigma(\tilde x) .$$
# To denoise is to take a step uphill, along the gradient of the log-density, which is called the *score*. Whoever can
# denoise knows the score, and with it the density but for a constant factor.
# %% [markdown]
# We need a law whose score is known: a mixture of three round Gaussians in the plane. Blurred by noise, it is a
# mixture again, with $s_c^2 + \sigma^2$ in the place of each $s_c^2$. The other route knows nothing of that: a fine
# sum over ε, with the clean density alone, of $\tilde x + \sigma\varepsilon$ weighted by
# $p(\tilde x + \sigma\varepsilon)\, N(\varepsilon; 0, I)$. For integrands such as these, smooth and dying away on all
# sides, a plain sum is exact to rounding.
# %%
law = GaussianMixture([[-1.2, -0.5], [1.1, -0.7], [0.2, 1.1]], sds=[0.3, 0.4, 0.25], weights=[0.3, 0.4, 0.3])
blurred = lambda sigma: GaussianMixture(law.means, np.sqrt(law.sds**2 + sigma**2), law.weights)
line = np.linspace(-10, 10, 101)
eps = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
cell = (line[1] - line[0]) ** 2 * np.exp(-np.sum(eps**2, axis=1) / 2) / (2 * np.pi)


def by_sum(x_tilde, sigma):
    """E[ε | x̃] (2,) and log p_σ(x̃) at one point, from the density of the clean data."""
    weight = cell * np.exp(law.log_prob(x_tilde + sigma * eps))
    return weight @ eps / weight.sum(), np.log(weight.sum())
# %%
sigma = 0.3
x_tilde = law.sample(50, rng) + sigma * rng.standard_normal((50, 2))
tweedie = x_tilde + sigma**2 * blurred(sigma).score(x_tilde)
sums = [by_sum(point, sigma) for point in x_tilde]
posterior_mean = x_tilde + sigma * np.array([mean_eps for mean_eps, _ in sums])
claim_equal("DN.2", "E[x|x̃] = x̃ + σ² ∇log p_σ(x̃)", posterior_mean, tweedie, tol=1e-12)
claim_equal("DN.2", "p_σ: the sum = the wider mixture", [log_p for _, log_p in sums],
            blurred(sigma).log_prob(x_tilde), tol=1e-12)
# %% [markdown]
# ## If the data were Gaussian: the Wiener filter
# For $p = N(m, C)$ the score of $p_\sigma$ is $-(C + \sigma^2 I)^{-1} (\tilde x - m)$. By Tweedie the best denoiser is
# then linear. Written along the principal axes of C it is what engineers call a Wiener filter: the part of
# $\tilde x - m$ along axis k is multiplied by $λ_k / (λ_k + \sigma^2)$. Where PCA keeps or drops, it turns down.
#
# Digits are not Gaussian, but they have an m and a C. The filter made of these beats PCA with its best K; the network
# beats the filter, because it knows more of the digits than mean and covariance.
# %%
noisy, variance = corrupted["Gaussian"].astype(float), kinds["Gaussian"].sd ** 2
C = axes @ np.diag(lam) @ axes.T
filtered = mean + (noisy - mean) @ axes * (lam / (lam + variance)) @ axes.T
score = -np.linalg.solve(C + variance * np.eye(784), (noisy - mean).T).T
claim_equal("DN.2", "Tweedie for N(m, C) = Wiener filter", noisy + variance * score, filtered, tol=1e-12)
claim_smaller("DN.2", "Wiener filter < PCA", squared_distance(filtered), pca_error(noisy)[0])
claim_smaller("DN.2", "network < Wiener filter", squared_distance(denoised["Gaussian"]), squared_distance(filtered))
# %% [markdown]
# ## As the noise fades   [DN.2]
# Alain and Bengio's theorem (2014) is about p itself, not the blurred $p_\sigma$: as σ → 0,
# $$\frac{r^*(x) - x}{\sigma^2} \to \nabla \log p(x) .$$
# Blurring moves a density by $\frac{\sigma^2}{2} \Delta p + O(\sigma^4)$, so the error should fall as σ²: a straight
# line of slope 2 when both axes are logarithmic. The left-hand side is the fine sum again, the right-hand side the
# score of the clean law.
# %%
sigmas, points = np.geomspace(0.005, 0.05, 7), law.sample(40, rng)
errors = []
for s in sigmas:
    step = np.array([by_sum(point, s)[0] for point in points]) / s             # (r*(x) − x)/σ²
    errors.append(np.sqrt(np.mean(np.sum((step - law.score(points)) ** 2, axis=1))))
slope = np.polyfit(np.log(sigmas), np.log(errors), 1)[0]
claim_equal("DN.2", "the error falls as σ to the power 2", slope, 2, tol=0.1)
# %%
ax = plots.error_against_step(sigmas, {"best denoiser": errors, "slope 2": errors[0] * (sigmas / sigmas[0]) ** 2})
ax.lines[1].set(marker="none", color="k")
ax.legend(frameon=False)
ax.set(xlabel="standard deviation σ of the noise", ylabel="root mean square of (r*(x) − x)/σ² − ∇log p(x)")
plots.save_figure(ax, OUT / "44_noise_fades.png")
# %% [markdown]
# `out/44_noise_fades.png`: the measured error bends away from the line only where σ is no longer small beside 0.25, the
# width of the narrowest component.
#
# ## And a trained network?   [DN.2]
# A real network is trained on samples and never sees a density. Ours reads points of the plane, noisy ones, and has
# three hidden layers of 64 units; its code is 32 times as wide as the data. Each pass brings 20,000 new points from
# the law, and the learning rate falls from pass to pass, so that the noise in the gradient averages out. Its twin is
# trained in the same way, without corruption.
# %%
def trained(corruption):
    net = Autoencoder(64, hidden=(64,), corruption=corruption, batch_size=200, dtype="float32", random_state=44)
    for rate in np.geomspace(5e-3, 1e-4, 40):
        net.set_params(learning_rate=float(rate)).partial_fit(law.sample(20_000, rng))
    return net


denoiser, twin = trained(GaussianNoise(sigma)), trained(None)
# %% [markdown]
# We compare its field $(r(x) - x)/\sigma^2$ with the exact score of $p_\sigma$, on a grid of the points where
# $p_\sigma$ is above 1 % of its maximum. Far outside there are no data and nothing to learn from. As one number, the
# cosine of the angle between the two fields, pooled over the grid with $p_\sigma$ as the weight:
# $$\cos = \frac{\langle a, b\rangle}{\sqrt{\langle a, a\rangle \langle b, b\rangle}}, \qquad
# \langle a, b\rangle = \sum_i p_\sigma(x_i)\; a(x_i) \cdot b(x_i) .$$
# A cosine does not see a wrong length, so we look also at the distance of the two fields, relative to the score.
# %%
def field(net, points):
    return (net.reconstruct(points) - points) / sigma**2


density = lambda points: np.exp(blurred(sigma).log_prob(points))
line = np.linspace(-3, 3, 121)
grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
grid = grid[density(grid) > 0.01 * density(grid).max()]
dot = lambda a, b: density(grid) @ np.sum(a * b, axis=1)
cosine = lambda a, b: dot(a, b) / np.sqrt(dot(a, a) * dot(b, b))
distance = lambda a, b: np.sqrt(dot(a - b, a - b) / dot(b, b))
# %%
learned, exact = field(denoiser, grid), blurred(sigma).score(grid)
claim_true("DN.2", "cosine with the score of p_σ > 0.95", cosine(learned, exact) > 0.95, cosine(learned, exact))
claim_true("DN.2", "relative distance to it < 0.2", distance(learned, exact) < 0.2, distance(learned, exact))
to_clean = distance(learned, law.score(grid))
claim_true("DN.2", "it is p_σ that it knows, not p", to_clean > 2 * distance(learned, exact), to_clean)
copied = distance(twin.reconstruct(grid), grid)
claim_true("DN.2", "without noise the network copies", copied < 0.05, copied)
# %%
coarse = np.stack(np.meshgrid(line[::5], line[::5]), axis=-1).reshape(-1, 2)
coarse = coarse[density(coarse) > 0.01 * density(coarse).max()]
fields = {r"exact score, $\nabla \log p_\sigma(x)$": blurred(sigma).score(coarse),
          r"trained network, $(r(x) - x) / \sigma^2$": field(denoiser, coarse)}
plots.save_figure(plots.vector_fields(coarse, fields, density), OUT / "44_fields.png")
# %% [markdown]
# `out/44_fields.png`: the density $p_\sigma$ in grey, and on it both fields, on one scale. The arrows point uphill, to
# the three modes, and shrink to nothing on top of each and in the passes between them. Nobody has told the network
# where the modes are. It was asked to remove noise, and the direction in which it moves a point is the answer: the
# structure of p, up to the blur of the noise it was trained with.
