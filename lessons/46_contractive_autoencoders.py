# %% [markdown]
# # 46 · Contractive autoencoders
# **Question.** What does a network forget when it is charged for every direction in which its code can move?
#
# Tags CT.1–CT.3 · needs 10, 20, 42 · 8 s
# %%
from pathlib import Path

import numpy as np
from scipy.optimize import brentq

from tinyvae import Autoencoder, load_digits, plots
from tinyvae.checks.claims import claim_equal, claim_mean, claim_true
from tinyvae.checks.slopes import complex_step
from tinyvae.datasets import Ring
from tinyvae.mlp import mlp_backward, mlp_forward, mlp_jacobian
from tinyvae.ops import ACTIVATIONS
from tinyvae.params import size, stack, stack_shapes, views
from tinyvae.penalties import Contractive
# %%
OUT = Path(__file__).parent / "out" if "__file__" in globals() else Path("out")
rng = np.random.default_rng(46)
# %% [markdown]
# ## The penalty: how far can the code move?   [CT.1]
# The Jacobian of the encoder, $J = \partial h / \partial x$, says how the code moves when the input is moved a little.
# A contractive autoencoder (Rifai et al. 2011) pays for all of it:
# $$L(x, \hat x) + \lambda\, \lVert J \rVert_F^2, \qquad
# \lVert J \rVert_F^2 = \sum_{d,k} \Big( \frac{\partial h_k}{\partial x_d} \Big)^2 = \sum_r s_r^2 ,$$
# with $s_r$ the singular values of J. In one layer, $h = \varphi(x W + b)$, the entry is $W_{dk}\, \varphi'(a_k)$, so
# $$\lVert J \rVert_F^2 = \sum_k \varphi'(a_k)^2\, \lVert W_{\cdot k} \rVert^2 .$$
# In L layers J is a product, one matrix and one slope for each: $W_1 S_1 W_2 S_2 \cdots W_L S_L$ with
# $S_i = \mathrm{diag}\, \varphi'(a_i)$, in the row-vector order of the layers.
# %%
def jacobian(layers, phis, x):
    """∂h_k/∂x_d of every row, (B, D, K), from the forward pass alone: a complex step for each input."""
    steps = 1e-30j * np.eye(x.shape[1])
    return np.stack([mlp_forward(layers, phis, x + step)[-1].imag / 1e-30 for step in steps], axis=1)


def jacobian_product(layers, phis, hs):
    """The same as a product: W_1 S_1 W_2 S_2 …"""
    J = np.eye(hs[0].shape[1])
    for (W, _), phi, h in zip(layers, phis, hs[1:]):
        J = (J @ W) * phi.d(h)[:, None, :]
    return J


x = rng.normal(size=(5, 6))
# %% [markdown]
# The library's `mlp_jacobian` walks the product from the second layer on, and needs the first and widest matrix only
# through $W_1^\top W_1$. Four routes: the library; the product written out; the complex step; and for one layer the
# closed form.
# %%
for widths in ((6, 4), (6, 5, 4), (6, 7, 3, 4)):
    shapes, phis = stack_shapes("net", widths), [ACTIVATIONS["tanh"]] * (len(widths) - 1)
    layers = stack(views(rng.normal(scale=0.5, size=size(shapes)), shapes), "net")
    hs = mlp_forward(layers, phis, x)
    library, by_steps = mlp_jacobian(layers, phis, hs).norm2, np.sum(jacobian(layers, phis, x) ** 2, axis=(1, 2))
    claim_equal("CT.1", f"depth {len(phis)}: ‖J‖² = complex step", library, by_steps, tol=1e-13, relative=True)
    product = np.sum(jacobian_product(layers, phis, hs) ** 2, axis=(1, 2))
    claim_equal("CT.1", f"depth {len(phis)}: product = complex step", product, by_steps, tol=1e-13, relative=True)
    if len(phis) == 1:
        closed_form = (1 - hs[1] ** 2) ** 2 @ np.sum(layers[0].W ** 2, axis=0)
        claim_equal("CT.1", "depth 1: closed form = complex step", closed_form, by_steps, tol=1e-13, relative=True)
# %% [markdown]
# ## Its gradient is of second order   [CT.1]
# The penalty contains φ', so its gradient contains φ''. For one layer, with $s_k = \varphi'(a_k)$ and $c_k = \lVert
# W_{\cdot k} \rVert^2$, W enters twice, as a factor and through $a = x W + b$:
# $$\frac{\partial \lVert J \rVert^2}{\partial W_{dk}} = \underbrace{2\, s_k^2\, W_{dk}}_{\text{as a factor}}
# + \underbrace{2\, s_k\, c_k\, \varphi''(a_k)}_{\partial / \partial a_k}\, x_d, \qquad
# \frac{\partial \lVert J \rVert^2}{\partial b_k} = 2\, s_k\, c_k\, \varphi''(a_k) .$$
# In deeper stacks every layer's a gets such a derivative, and from there ordinary backpropagation carries it down.
# We write out one layer, average over rows, and step along every entry of W and b.
# %%
def stepped(f, a):
    """The derivative of f at a, an array, by a complex step along every entry (lesson 10)."""
    units = np.eye(a.size).reshape(-1, *a.shape)
    return np.array([complex_step(f, a, unit) for unit in units]).reshape(a.shape)


phi, W, b = ACTIVATIONS["sigmoid"], rng.normal(size=(6, 4)), rng.normal(size=4)
norm2 = lambda W, b: np.mean(phi.d(phi.f(x @ W + b)) ** 2 @ np.sum(W**2, axis=0))
h = phi.f(x @ W + b)
as_factor = 2 * W * np.mean(phi.d(h) ** 2, axis=0)
da = 2 * phi.d(h) * np.sum(W**2, axis=0) * phi.dd(h) / len(x)
by_steps = stepped(lambda W: norm2(W, b), W), stepped(lambda b: norm2(W, b), b)
claim_equal("CT.1", "depth 1: dW, two terms = complex step", as_factor + x.T @ da, by_steps[0], tol=1e-13)
claim_equal("CT.1", "depth 1: db = complex step", da.sum(axis=0), by_steps[1], tol=1e-13)
# %% [markdown]
# Is the φ'' term worth its trouble? Leave it out, and the gradient is that of the penalty with its slopes frozen.
# For one to three layers we hold the library's whole gradient, and the part without φ'', against the complex step of
# the penalty. Errors are relative to its largest entry. (With relu φ'' is zero, and nothing is lost.)
# %%
def penalty_gradient(theta, shapes, phis, with_second_order):
    """The gradient of the mean of ‖J‖² by θ, whole, or without what goes through φ''."""
    grad, layers = np.zeros_like(theta), stack(views(theta, shapes), "net")
    grads, hs = stack(views(grad, shapes), "net"), mlp_forward(layers, phis, x)
    push = Contractive(1.0).evaluate(layers, phis, hs)
    if with_second_order:
        mlp_backward(layers, phis, hs, np.zeros_like(hs[-1]), grads, need_dx=False, das_beside=push.das)
    for (dW, _), dW_direct in zip(grads, push.dWs):
        dW += dW_direct
    return grad
# %%
frozen = []
for widths, name in (((6, 4), "tanh"), ((6, 5, 4), "sigmoid"), ((6, 7, 3, 4), "softplus")):
    shapes, phis = stack_shapes("net", widths), [ACTIVATIONS[name]] * (len(widths) - 1)
    theta = rng.normal(scale=0.7, size=size(shapes))

    def value(theta):
        layers = stack(views(theta, shapes), "net")
        return Contractive(1.0).value(layers, phis, mlp_forward(layers, phis, x))

    truth, whole = stepped(value, theta), penalty_gradient(theta, shapes, phis, True)
    claim_equal("CT.1", f"{len(phis)} × {name}: gradient = complex step", whole, truth, tol=1e-13, relative=True)
    half = penalty_gradient(theta, shapes, phis, False)
    frozen.append(np.max(np.abs(half - truth)) / np.max(np.abs(truth)))
claim_true("CT.1", "without φ'' it is wrong: rel errors", min(frozen) > 0.1, frozen)
# %% [markdown]
# The same with everything on top: loss, decoder, tied or not, by `Autoencoder`.
# %%
for tied in (False, True):
    model = Autoencoder(4, hidden=(7, 5), tied=tied, penalties=[Contractive(0.3)], n_epochs=0).fit(x)
    model.theta_[:] = rng.normal(scale=0.5, size=model.theta_.size)

    def forward_loss(theta):
        P = model.params(theta)
        return model.mean_loss(P, model.forward(P, x))

    claim_equal("CT.1", f"loss + penalty, tied={tied}: gradient", model.loss_and_grad(x)[1],
                stepped(forward_loss, model.theta_), tol=1e-13, relative=True)
# %% [markdown]
# ## A small change of x   [CT.2]
# Is the norm of J what the lecture wants, *a small change of x makes a small change of h*? Shake x by Gaussian noise of
# standard deviation σ. To first order h moves by $\sigma J^\top \varepsilon$, and $\mathbb E \lVert J^\top \varepsilon
# \rVert^2 = \lVert J \rVert_F^2$. The next term in the mean is of order σ⁴ (odd powers of ε have mean 0), so
# $$\frac{\mathbb E \lVert f(x + \sigma \varepsilon) - f(x) \rVert^2}{\sigma^2} - \lVert J \rVert_F^2 = O(\sigma^2) .$$
# To see a difference that small, the mean must be exact. In D = 2 dimensions it is: Gauss–Hermite quadrature with 40
# nodes for each entry of ε is exact for polynomials up to degree 79, and our f is as good as one over so short a way.
# (In D = 64 dimensions a grid would need 40⁶⁴ points.) Even at σ = 0.1 thirty nodes must give the same.
# %%
def shaken(layers, phis, x, sigma, n):
    """E‖f(x + σε) − f(x)‖² / σ² of every row of x (B, 2), by n² nodes."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    eps = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    weights = np.outer(weights, weights).ravel() / weights.sum() ** 2
    f = mlp_forward(layers, phis, x)[-1]
    moved = [mlp_forward(layers, phis, x + sigma * e)[-1] - f for e in eps]
    return np.tensordot(weights, np.sum(np.square(moved), axis=2), axes=1) / sigma**2
# %%
points = rng.normal(size=(10, 2))
shapes, phis = stack_shapes("net", (2, 8, 3)), [ACTIVATIONS["tanh"]] * 2
layers = stack(views(rng.normal(scale=0.8, size=size(shapes)), shapes), "net")
claim_equal("CT.2", "30 nodes = 40 nodes, at σ = 0.1", shaken(layers, phis, points, 0.1, 30),
            shaken(layers, phis, points, 0.1, 40), tol=1e-12)
# %% [markdown]
# The slope is taken for σ up to 0.03. At 0.1 the next power, σ⁴, already bends the line.
# %%
sigmas = np.geomspace(0.001, 0.03, 8)
norm2 = mlp_jacobian(layers, phis, mlp_forward(layers, phis, points)).norm2
gaps = np.array([np.abs(shaken(layers, phis, points, sigma, 40) - norm2).mean() for sigma in sigmas])
slope = np.polyfit(np.log(sigmas), np.log(gaps), 1)[0]
claim_equal("CT.2", "slope of log gap against log σ", slope, 2.0, tol=0.1)
linear = [ACTIVATIONS["identity"]] * 2
exact = np.full(10, np.sum((layers[0].W @ layers[1].W) ** 2))
claim_equal("CT.2", "a linear f: no gap, even at σ = 3", shaken(layers, linear, points, 3.0, 40), exact, tol=1e-12,
            relative=True)
# %%
ax = plots.error_against_step(sigmas, {"mean over ten x": gaps / norm2.mean()})
ax.plot(sigmas, gaps[0] / norm2.mean() * (sigmas / sigmas[0]) ** 2, color="0.45", linewidth=1, label="slope 2")
ax.set(xlabel="noise σ", ylabel="gap between noise and ‖J‖², relative")
ax.legend(frameon=False)
plots.save_figure(ax, OUT / "46_noise_against_contraction.png")
# %% [markdown]
# In 64 dimensions draws must do. On real digits, σ = 0.01, and an untrained encoder of two layers: the gap is far below
# the error bar.
#
# So there are two ways to make a code robust: add noise and ask that the code stay (a mean over draws), or charge for
# ‖J‖² (exact, no draws, but it looks only at an infinitesimal neighbourhood). A denoising autoencoder asks the same of
# the *reconstruction*, g(f(x + σε)); for small σ its price is that of the Jacobian of g ∘ f.
# %%
digits, _ = load_digits()
order = rng.permutation(len(digits))
train, test = digits[order[:1400]], digits[order[1400:]]
model = Autoencoder(16, hidden=(32,), n_epochs=0, random_state=0).fit(train)
layers, phis, image = model.params().encoder, [ACTIVATIONS["tanh"]] * 2, test[:1]
moved = model.transform(image + 0.01 * rng.normal(size=(20_000, 64))) - model.transform(image)
draws = np.sum(moved**2, axis=1) / 0.01**2
claim_mean("CT.2", "a digit: mean over draws = ‖J‖²", draws.mean(), draws.std() / np.sqrt(len(draws)),
           mlp_jacobian(layers, phis, mlp_forward(layers, phis, image)).norm2[0])
# %% [markdown]
# ## Along the data, and off it   [CT.3]
# The penalty wants J = 0; the reconstruction wants to tell one x of the data from another. Where data lie on a surface
# both can have their way: keep the directions along it, forget those across. To measure this we need a surface whose
# tangent is known exactly. Ours is a bent sheet in ten dimensions, with noise of standard deviation 0.05 all around it:
# $$x(u) = \big(u_1,\; u_2,\; \tfrac12 u_1^2,\; \tfrac12 u_2^2,\; \tfrac12 u_1 u_2\big)\, Q + \text{noise},
# \qquad u \in [-1, 1]^2,$$
# with orthonormal rows in Q (5, 10). ∂x/∂u spans the tangent; QR makes it orthonormal, and adds a basis across.
# %%
Q = np.linalg.qr(rng.normal(size=(10, 5)))[0].T


def sheet(u):
    """x (B, 10) of u (B, 2), and bases of the tangent, (B, 10, 2), and of what is across, (B, 10, 8)."""
    (u1, u2), zero, one = u.T, np.zeros(len(u)), np.ones(len(u))
    x = np.column_stack([u1, u2, u1**2 / 2, u2**2 / 2, u1 * u2 / 2]) @ Q
    d1, d2 = np.column_stack([one, zero, u1, zero, u2 / 2]) @ Q, np.column_stack([zero, one, zero, u2, u1 / 2]) @ Q
    basis = np.linalg.qr(np.stack([d1, d2], axis=2), mode="complete")[0]
    return x, basis[:, :, :2], basis[:, :, 2:]
# %% [markdown]
# The singular values of $T^\top J$, with the tangent T, tell how the code answers to moves along the sheet, those of
# $N^\top J$ to moves across. Of each we take the root mean square, and their ratio off/along at points on the sheet
# itself. The ratio does not change if all of J is made smaller: a tanh code near zero, with a decoder of large weights,
# cannot pass for contraction (lesson 42's erratum). For the same reason the decoder is tied.
# %%
def answers(model, x, tangent, across):
    """Root mean square singular values of J along the data and off them: the two means over the rows of x."""
    encoder = model.params().encoder
    J = jacobian(encoder, [ACTIVATIONS["tanh"]] * len(encoder), x)
    along, off = (np.linalg.svd(basis.swapaxes(1, 2) @ J, compute_uv=False) for basis in (tangent, across))
    return [np.mean(np.sqrt(np.mean(s**2, axis=1))) for s in (along, off)]
# %%
def autoencoder(seed, n_components=20, **changes):
    options = {"tied": True, "learning_rate": 3e-3, "random_state": seed, **changes}
    return Autoencoder(n_components, activation="tanh", **options)
# %% [markdown]
# *At equal reconstruction.* The penalty costs reconstruction, and a network that reconstructs worse may answer less to
# everything. So we compare like with like. The contractive network is trained to the end. A plain one, from the same
# first θ, is trained until its held-out error has come down to that of the first. The last epoch overshoots a little:
# on the straight line between the last two θ we stop where the errors are equal to rounding. (What stands there is a
# network like any other.) The plain one is thus stopped early; what it becomes when it is trained on is shown as well.
# %%
def stop_at_error(goal, model, train, test):
    """Train until the mean held-out error is exactly `goal`; returns the number of epochs."""
    n_epochs, excess = 0, lambda: model.reconstruction_error(test).mean() - goal
    while excess() > 0:
        before, n_epochs = model.theta_.copy(), n_epochs + 1
        model.partial_fit(train)
    step = model.theta_ - before

    def excess_at(t):
        model.theta_[:] = before + t * step
        return excess()

    excess_at(brentq(excess_at, 0, 1, xtol=1e-15))
    return n_epochs
# %%
def matched(seed, lam, train, test, n_epochs=150, **options):
    """A contractive autoencoder, a plain one of the same held-out error, and after how many epochs that was reached."""
    contractive = autoencoder(seed, penalties=[Contractive(lam)], n_epochs=n_epochs, **options).fit(train)
    plain = autoencoder(seed, n_epochs=0, **options).fit(train)
    return contractive, plain, stop_at_error(contractive.reconstruction_error(test).mean(), plain, train, test)


def fall(results):
    """The mean over repetitions of log off/along, plain minus contractive, and its standard error."""
    falls = np.log(results[:, 1, 1] / results[:, 1, 0]) - np.log(results[:, 0, 1] / results[:, 0, 0])
    return falls.mean(), falls.std(ddof=1) / np.sqrt(len(falls))
# %% [markdown]
# Eight repetitions, each with new data and a new first θ, are the unit of the standard error. 20 units for 10 inputs,
# so that there is room for all directions; λ = 0.01.
# %%
on_sheet, errors, results, stops = sheet(rng.uniform(-1, 1, (300, 2))), [], [], []
for seed in range(8):
    x, x_test = (sheet(rng.uniform(-1, 1, (1000, 2)))[0] + 0.05 * rng.normal(size=(1000, 10)) for _ in range(2))
    contractive, plain, stop = matched(seed, 0.01, x, x_test)
    longer = autoencoder(seed, n_epochs=150).fit(x)
    errors.append([model.reconstruction_error(x_test).mean() for model in (contractive, plain, longer)])
    results.append([answers(model, *on_sheet) for model in (contractive, plain, longer)])
    stops.append(stop)
# %%
errors, results = np.array(errors), np.array(results)
for name, error, (along, off) in zip(("contractive", "plain, equal error", "plain, trained on"), errors.mean(axis=0),
                                     results.mean(axis=0)):
    print(f"{name:19}  held-out error {error:.4f}   along {along:.2f}   off {off:.2f}   off/along {off / along:.2f}")
print(f"the total variance is {x_test.var(axis=0).sum():.2f}; the plain networks stopped after {stops} epochs")
claim_equal("CT.3", "sheet: held-out errors are equal", errors[:, 0], errors[:, 1], tol=1e-9)
mean, se = fall(results)
claim_true("CT.3", "sheet: log off/along falls, > 2 s.e.", mean > 2 * se, f"by {mean:.2f}, {mean / se:.0f} s.e.")
# %% [markdown]
# Both networks make the same error, but only one has forgotten what does not matter: across the sheet its code moves
# less than half as far. The plain one answers to all directions alike, at equal error as well as after a long training:
# with 20 units for 10 inputs the identity is within its reach, and it learns that, noise and all.
#
# The singular values of J, at the points on the sheet, for the networks of the last repetition:
# %%
def spectra(models, x):
    """The singular values of J at every row of x, for each of the models."""
    phis = [ACTIVATIONS["tanh"]]
    return {name: np.linalg.svd(jacobian(model.params().encoder, phis, x), compute_uv=False)
            for name, model in models.items()}


pair = {"plain, equal error": plain, "contractive": contractive}
plots.save_figure(plots.singular_values(spectra(pair, on_sheet[0])), OUT / "46_sheet.png")
# %% [markdown]
# `out/46_sheet.png`: there is an edge, and nobody told the network where. But it stands after the fifth direction, not
# after the second! The sheet bends within the five dimensions that Q spans, and what has been forgotten for good is the
# flat space outside. A single layer is nearly linear for small codes, and J of a linear encoder is the same everywhere:
# it cannot follow a tangent that turns from place to place within the five.
# ### A ring in the plane
# So once more with data that leave no flat space: a ring of radius 1 with noise 0.1 (`Ring`). Along is
# $(-\sin\theta, \cos\theta)$, off is the radius, and every direction is each of them somewhere. For a linear encoder
# the mean squares along and off would be equal. Ours has two layers, 2 → 32 → 10; λ = 0.03, otherwise as before.
# %%
theta = np.linspace(0, 2 * np.pi, 100, endpoint=False)
radius, tangent = np.column_stack([np.cos(theta), np.sin(theta)]), np.column_stack([-np.sin(theta), np.cos(theta)])
results, errors, stops = [], [], []
for seed in range(8):
    x, x_test = Ring(1, 0.1).sample(800, rng), Ring(1, 0.1).sample(800, rng)
    *pair, stop = matched(seed, 0.03, x, x_test, n_epochs=80, n_components=10, hidden=(32,))
    errors.append([model.reconstruction_error(x_test).mean() for model in pair])
    results.append([answers(model, radius, tangent[:, :, None], radius[:, :, None]) for model in pair])
    stops.append(stop)
# %%
errors, results = np.array(errors), np.array(results)
for name, error, (along, off) in zip(("contractive", "plain, equal error"), errors.mean(axis=0), results.mean(axis=0)):
    print(f"{name:19}  held-out error {error:.4f}   along {along:.2f}   off {off:.2f}   off/along {off / along:.2f}")
print(f"the total variance is {x_test.var(axis=0).sum():.2f}; the plain networks stopped after {stops} epochs")
claim_equal("CT.3", "ring: held-out errors are equal", errors[:, 0], errors[:, 1], tol=1e-9)
mean, se = fall(results)
claim_true("CT.3", "ring: log off/along falls, > 2 s.e.", mean > 2 * se, f"by {mean:.2f}, {mean / se:.0f} s.e.")
# %% [markdown]
# Here only what is local can count, and it does: the code follows the angle, and hears half as much of the radius.
# ## On digits
# Nobody knows the tangent of the digits. But if they lie near a surface of few dimensions, the same must be seen in the
# singular values: some stay, the others fall. 64 units, λ = 0.03, and again a plain network of equal held-out error.
# As a count of the directions in which the code answers we take the participation ratio,
# $$\Big( \sum_r s_r^2 \Big)^2 \Big/ \sum_r s_r^4 .$$
# n equal values give n, and the scale does not matter. Differences are taken digit by digit.
# %%
contractive, plain, stop = matched(0, 0.03, train, test, n_components=64, n_epochs=60)
on_digits = spectra({"plain, equal error": plain, "contractive": contractive}, test)
counts = [np.sum(s**2, axis=1) ** 2 / np.sum(s**4, axis=1) for s in on_digits.values()]
errors = [model.reconstruction_error(test).mean() for model in (contractive, plain)]
claim_equal("CT.3", "digits: held-out errors are equal", *errors, tol=1e-9)
fewer = counts[0] - counts[1]
mean, se = fewer.mean(), fewer.std(ddof=1) / np.sqrt(len(fewer))
claim_true("CT.3", "digits: fewer directions, > 2 s.e.", mean > 2 * se,
           f"{counts[0].mean():.1f} → {counts[1].mean():.1f}, {mean / se:.0f} s.e.")
print(f"held-out error {errors[0]:.3f} of a variance of {test.var(axis=0).sum():.2f}; plain: {stop} epochs")
# %%
plots.save_figure(plots.singular_values(on_digits), OUT / "46_digits.png")
# %% [markdown]
# `out/46_digits.png`: the median over held-out digits, and the quartiles. A steeper fall, and beyond
# the fiftieth almost nothing. (The standard error is one over digits, for this one pair of networks: it says nothing of
# what another start would give. For that there were eight pairs above.)
# %% [markdown]
# ## What to remember
# - ‖J‖² is a sum over layers' slopes and matrices; its gradient needs φ'', and without that term it is wrong.
# - It is what small Gaussian noise does to the code, divided by σ², in the limit; for a linear encoder at any σ.
# - Charged for all directions, a network keeps those it needs to tell the data apart, and which those are it can learn
#   from place to place if it is deep enough. What is left of J is a map of the directions in which data vary.
#
# **To try.** Untie the decoder of the sheet: how do ‖J‖² and the decoder's weights change, and how the ratio off/along?
# Give the ring an encoder of one layer: how much of the fall is left?
