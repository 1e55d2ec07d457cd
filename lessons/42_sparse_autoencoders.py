# %% [markdown]
# # 42 · Sparse autoencoders
# **Question.** Why does charging for |h| make most of a code exactly zero, and how can a network cheat the charge?
#
# Tags SP.1–SP.2, SP.E · needs 10, 20, 30 · 11 s
# %%
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar

from tinyvae import PCA, Autoencoder, load_digits, load_mnist5k, plots
from tinyvae.checks.claims import claim_equal, claim_true
from tinyvae.checks.slopes import complex_step
from tinyvae.penalties import L1, KLSparsity

OUT = Path(__file__).parent / "out" if "__file__" in globals() else Path("out")
rng = np.random.default_rng(42)
digits, _ = load_digits()
order = rng.permutation(len(digits))
train, test = digits[order[:1400]], digits[order[1400:]]
# %% [markdown]
# ## The penalty, and its derivative where it has one   [SP.1]
# A sparse autoencoder pays for the size of its code:
# $$L(x, \hat x) + \lambda \sum_k |h_k| , \qquad
# \frac{\partial}{\partial h_k}\, \lambda |h_k| = \lambda\,\mathrm{sign}(h_k) \quad (h_k \ne 0).$$
# The push towards zero is as strong for small $h_k$ as for large. That is what separates it from $h_k^2$, whose push
# $2 h_k$ fades away before it arrives. `L1(lam)` is this penalty, averaged over the rows of a batch. First its
# derivative by the code, then, through an autoencoder of two hidden layers, by every parameter.
# %%
def stepped(f, a):
    """The derivative of f at a, an array, by a complex step along every entry (lesson 10)."""
    units = np.eye(a.size).reshape(-1, *a.shape)
    return np.array([complex_step(f, a, unit) for unit in units]).reshape(a.shape)


penalty, h = L1(0.3), rng.normal(size=(5, 4))               # a normal number is never on the kink
dh = penalty.evaluate([], [], [h]).dh
by_steps = stepped(lambda h: penalty.value([], [], [h]), h)
claim_equal("SP.1", "dh = λ sign(h) / B = complex step", dh, by_steps, tol=1e-13)
# %%
def forward_loss(theta):
    P = model.params(theta)
    return model.mean_loss(P, model.forward(P, test[:6]))


for tied in (False, True):
    model = Autoencoder(5, hidden=(7,), activation="tanh", tied=tied, penalties=[L1(0.3)], n_epochs=0).fit(train)
    model.theta_[:] = rng.normal(scale=0.3, size=model.theta_.size)
    claim_equal("SP.1", f"tied={tied}: gradient = complex step", model.loss_and_grad(test[:6])[1],
                stepped(forward_loss, model.theta_), tol=1e-13, relative=True)
# %% [markdown]
# ### On the kink
# At h = 0 there is no derivative: the slope is −λ on the left and +λ on the right. What takes its place is the set of
# *subgradients*, the slopes s of all lines through the kink that stay below the penalty, $\lambda |h| \ge s h$ for
# every h. These are the s of $[-\lambda, \lambda]$, and no others. We ask a grid of h which slopes it admits. The
# library uses 0, the middle of the interval: a code that is at zero is left in peace.
# %%
lam, grid = 0.3, np.linspace(-2, 2, 4001)
cost = np.array([L1(lam).value([], [], [np.array([[h]])]) for h in grid])
left, right = (cost[2000] - cost[1999]) / 1e-3, (cost[2001] - cost[2000]) / 1e-3
claim_equal("SP.1", "slopes beside the kink: −λ, λ", [left, right], [-lam, lam], tol=1e-12)
slopes = np.linspace(-0.6, 0.6, 1201)                       # −λ and λ are entries 300 and 900
stays_below = np.all(np.outer(slopes, grid) <= cost + 1e-12, axis=1)
claim_true("SP.1", "subgradients at 0: those of [−λ, λ]", bool(np.all(stays_below == (np.abs(slopes) < lam + 1e-9))),
           [slopes[stays_below].min(), slopes[stays_below].max()])
used = L1(lam).evaluate([], [], [np.zeros((1, 1))]).dh.item()
claim_true("SP.1", "the library's is one of them", -lam <= used <= lam, used)
# %% [markdown]
# ## Why zeros are exact   [SP.2]
# Take one number: which h minimises $(c - h)^2 + \lambda |h|$? At a minimum 0 is a subgradient. Away from the kink this
# says $2(h - c) + \lambda\,\mathrm{sign}(h) = 0$: c is pulled towards zero by λ/2. On the kink it says
# $2c \in [-\lambda, \lambda]$: every c with |c| ≤ λ/2 is mapped to zero, a whole interval. Together, the
# *soft threshold*
# $$S_{\lambda/2}(c) = \mathrm{sign}(c)\, \max(|c| - \lambda/2,\; 0) .$$
# With $h^2$ for |h| the answer would be $c / (1 + \lambda)$: all shrink, none vanishes. A search on a line, which knows
# neither formula:
# %%
def soft(c, t):
    """sign(c) max(|c| − t, 0)"""
    return np.sign(c) * np.maximum(np.abs(c) - t, 0)


cs = rng.normal(size=50)
searched = [minimize_scalar(lambda h: (c - h) ** 2 + 0.8 * abs(h), bracket=(-3, 3), tol=1e-12).x for c in cs]
claim_equal("SP.2", "best h for one c: S(c), by search", searched, soft(cs, 0.4), tol=1e-6)
# %% [markdown]
# (A search by values of a parabola cannot do better than about 1e-8, the root of the rounding error.)
#
# Now a whole code, with a fixed decoder W (D, K) whose columns are orthonormal. Split x into its projection onto them
# and the rest, and the loss falls into K problems of one number each:
# $$\lVert x - W h \rVert^2 + \lambda \lVert h \rVert_1 = \lVert x - W W^\top x \rVert^2 + \sum_k \big[ (c_k - h_k)^2
# + \lambda |h_k| \big], \qquad c = W^\top x .$$
# So the best code is $S_{\lambda/2}(W^\top x)$. An encoder that is linear but for its last step is enough.
#
# ISTA knows nothing of this: a gradient step on the first term, then a soft threshold for the second, over and over,
# $h \leftarrow S_{\eta\lambda}\big(h - \eta\, 2 W^\top (W h - x)\big)$, with η at most 1 / (2 ‖W‖²).
# %%
def ista(W, x, lam, n_steps, eta):
    """The code of x by n_steps of descent and thresholding, from h = 0."""
    h = np.zeros(W.shape[1])
    for _ in range(n_steps):
        h = soft(h - eta * 2 * W.T @ (W @ h - x), eta * lam)
    return h


pca = PCA(20).fit(train)
W, x, lam = pca.components_.T, test[0] - pca.mean_, 0.5
exact = soft(W.T @ x, lam / 2)
claim_equal("SP.2", "orthonormal W: ISTA = S(Wᵀx), λ/2", ista(W, x, lam, 200, eta=0.1), exact, tol=1e-8)
claim_true("SP.2", "zeros among 20: S(Wᵀx), and Wᵀx", np.sum(exact == 0) > np.sum(W.T @ x == 0) == 0,
           [np.sum(exact == 0), np.sum(W.T @ x == 0)])
# %% [markdown]
# (At η = 1/2 it would be there in one step. At 0.1 each step leaves 80 % of the distance.)
# ### Any dictionary
# Without orthonormal columns there is no formula. We describe a digit by a sparse sum of 300 *other digits*: five times
# as many as there are pixels. But what ISTA ends in can be certified. With the residual r = x − W h, zero is a
# subgradient of the loss exactly if
# $$2\, w_k^\top r = \lambda\,\mathrm{sign}(h_k)\ \text{ where } h_k \ne 0, \qquad
# |2\, w_k^\top r| \le \lambda\ \text{ where } h_k = 0 .$$
# And a bound from below: for every vector ν with $|w_k^\top \nu| \le \lambda$ for all k, no code whatever costs less
# than $\nu^\top x - \lVert \nu \rVert^2 / 4$ (the dual problem; ν = 2r, shrunk until it is allowed, makes it tight).
# If the cost comes down to the bound, it is the minimum.
# %%
W = (train[:300] - pca.mean_).T
W /= np.linalg.norm(W, axis=0)
h = ista(W, x, lam, 20_000, eta=0.5 / np.linalg.norm(W, 2) ** 2)
r, on = x - W @ h, h != 0
corr = 2 * W.T @ r
claim_equal("SP.2", "on: 2 wᵀr = λ sign(h)", corr[on], lam * np.sign(h[on]), tol=1e-8)
claim_true("SP.2", "off: |2 wᵀr| < λ", np.all(np.abs(corr[~on]) < lam), [np.abs(corr[~on]).max(), lam])
nu = 2 * r * min(1, lam / np.abs(corr).max())
claim_equal("SP.2", "cost = bound from below: a minimum", r @ r + lam * np.abs(h).sum(), nu @ x - nu @ nu / 4, tol=1e-8)
print(f"{on.sum()} of 300 digits are used; they leave {r @ r / (x @ x):.1%} of the squared length")
# %% [markdown]
# ## Trained: zeros against λ   [SP.2]
# Now the encoder is learned: $h = \mathrm{relu}(x W + b)$, which can be zero exactly, and the decoder is tied to it,
# $\hat x = h W^\top + c$ (the last part tells why). 64 units for 64 pixels: without a penalty nothing needs to be
# silent. We call an activation near zero if it is below a hundredth of the largest of its network: a limit that moves
# with the scale of the code.
# %%
def network(lam, seed, **changes):
    options = {"activation": "relu", "tied": True, "learning_rate": 3e-3, "n_epochs": 60, **changes}
    return Autoencoder(64, penalties=[L1(lam)], random_state=seed, **options)


def near_zero(model, X):
    """The share of near-zero activations in every row of X."""
    H = model.transform(X)
    return np.mean(np.abs(H) < 0.01 * np.abs(H).max(), axis=1)
# %%
lams = (0, 0.03, 0.1, 0.3)
models = {lam: [network(lam, seed).fit(train) for seed in range(4)] for lam in lams}
for lam, networks in models.items():
    error = np.mean([model.reconstruction_error(test) for model in networks])
    silent = np.mean([np.sum(model.transform(test).max(axis=0) == 0) for model in networks])
    print(f"λ = {lam:<4}  near zero {np.mean([near_zero(model, test) for model in networks]):.3f}   "
          f"held-out loss {error:.3f}   units that are never on {silent:.1f} of 64")
# %% [markdown]
# The difference between the largest λ and 0 needs an error bar, and there are two sources of chance. *Digits*: the 64
# activations of one digit depend on each other, so a digit counts once, with its share, and as both networks see the
# same digits we take differences row by row; their standard deviation over √N is the standard error for these networks.
# *Training*: another seed ends in another network, so the spread of the four seeds' mean differences, over √4, is a
# second standard error. The larger of the two has to bear the claim.
# %%
differences = np.array([near_zero(sparse, test) - near_zero(plain, test)
                        for sparse, plain in zip(models[0.3], models[0])])             # (seeds, digits)
over_digits = differences.mean(axis=0).std(ddof=1) / np.sqrt(len(test))
over_seeds = differences.mean(axis=1).std(ddof=1) / np.sqrt(len(differences))
print(f"standard errors: over digits {over_digits:.4f}, over seeds {over_seeds:.4f}")
z = differences.mean() / max(over_digits, over_seeds)
claim_true("SP.2", "near 0, largest λ against 0: > 5 s.e.", z > 5, f"+{differences.mean():.3f}, {z:.0f} s.e.")
# %%
codes = {f"λ = {lam:g}": networks[0].transform(test) for lam, networks in models.items()}
plots.save_figure(plots.activation_histograms(codes), OUT / "42_activations.png")
# %% [markdown]
# `out/42_activations.png`: the larger λ, the more of the code is exactly silent, and the fewer units speak up. But the
# few can be as loud as before: the far ends of the four curves lie together.
# ### What the units look for
# On 28 × 28 digits, where more can be seen: the filters of 64 units, trained without the penalty and with λ = 0.3.
# %%
images = load_mnist5k(dtype="float32")[0]
images = images[rng.permutation(len(images))[:2000]]
for name, lam in (("plain", 0), ("sparse", 0.3)):
    model = network(lam, seed=0, learning_rate=2e-3, n_epochs=20).fit(images)
    ax = plots.filters(model.parameters_["encoder.0.W"], n_columns=16)
    plots.save_figure(ax, OUT / f"42_filters_{name}.png")
    silent = np.sum(model.transform(images).max(axis=0) == 0)
    print(f"{name:6}  near zero {near_zero(model, images).mean():.2f}   units that are never on {silent} of 64")
# %% [markdown]
# `out/42_filters_plain.png`, `out/42_filters_sparse.png`: units that are to be silent for most digits must be choosy.
# Many become pieces of a digit, a few strokes with a halo of the opposite sign, or even a whole 3, 5 or 0. Without the
# penalty nearly every unit speaks about nearly every digit, and its filter is a texture all over the image. The filters
# of pure noise are units that the penalty has silenced for all digits: a relu that is never on learns nothing more, and
# keeps the weights with which it began. They, too, count as zeros.
# %% [markdown]
# ## Erratum: a free decoder can cheat   [SP.E]
# The lecture says that the penalty introduces sparsity. Not by itself. Let the encoder be linear or relu, which are
# positively homogeneous, $\varphi(a\,t) = a\,\varphi(t)$ for a > 0. Multiply the W and b of its last layer by a, divide
# the decoder's first W by a. The code is a h, the output is as before, and so is L; the penalty has become a times
# what it was. With a → 0 the charge can be avoided altogether, and not one zero is gained. The loss can come as close
# as it likes to what it would be without a penalty, and has no minimum. We walk down this path from a trained network:
# %%
def walk(model, start, a):
    """Go to the place a of the path from the θ start; returns the code and x̂ of the held-out digits there."""
    model.theta_[:] = start
    for name, factor in (("encoder.0.W", a), ("encoder.0.b", a), ("decoder.0.W", 1 / a)):
        model.parameters_[name][:] *= factor
    return model.transform(test), model.reconstruct(test)


scales = np.array([1.0, 0.1, 1e-3, 1e-6])
# %%
for activation in ("relu", "identity"):
    model = network(0.1, 0, activation=activation, tied=False, n_epochs=30).fit(train)
    start = model.theta_.copy()
    path = [walk(model, start, a) for a in scales]
    moved = [np.max(np.abs(x_hat - path[0][1])) for _, x_hat in path]
    charge = np.array([np.abs(H).sum(axis=1).mean() for H, _ in path])
    claim_equal("SP.E", f"{activation}: x̂ the same for all a", moved, np.zeros(4), tol=1e-12)
    claim_equal("SP.E", f"{activation}: Σ|h| is a times as large", charge / charge[0], scales, tol=1e-12)
    print("a", scales, "  Σ|h|", charge, "  zeros", [round(float(np.mean(H == 0)), 3) for H, _ in path])
# %% [markdown]
# ### Two cures
# Let the decoder's rows $w_k$ have length 1. Or, what is the same, charge for $\sum_k |h_k| \lVert w_k \rVert$, how
# much ink each unit adds: a and 1/a cancel, and the path has become level. The other cure is to tie the decoder. Then
# W → aW changes both layers, $\hat x$ with it, and a smaller code must be paid for with reconstruction. Along this path
# the loss of a tied network, trained with the penalty, has its minimum near a = 1, not at 0.
# %%
ink = [np.sum(np.abs(walk(model, start, a)[0]) @ np.linalg.norm(model.parameters_["decoder.0.W"], axis=1))
       for a in scales]
claim_equal("SP.E", "Σ|h|‖w‖ is the same for all a", ink, np.full(4, ink[0]), tol=1e-12, relative=True)
tied, factors, losses = models[0.1][0], np.linspace(0, 2, 81), []
start = tied.theta_.copy()
for a in factors:
    tied.theta_[:-64] = a * start[:-64]                     # the encoder's W and b, not the decoder's b
    losses.append(tied.loss_and_grad(train)[0])
best = factors[np.argmin(losses)]
claim_true("SP.E", "tied: best a is inside, near 1", 0.8 < best < 1.2, best)
# %% [markdown]
# ### What training makes of it
# Descent follows the path, though slowly: it takes a long training to see it. Three decoders at λ = 0.1: free, with
# rows brought back to length 1 after every epoch, and tied. The free one's penalty falls on and on while its weights
# grow, and the sparsity that it showed early on leaks away. Stopped after 20 epochs, it would have passed. (The share
# of zeros wobbles by about 0.005 from epoch to epoch: a loss of 0.05 is a leak, one below 0.02 is none.)
# %%
history = {"free": [], "unit rows": [], "tied": []}
for name, silent in history.items():
    model = network(0.1, 0, tied=name == "tied", n_epochs=0).fit(train)
    for epoch in range(200):
        model.partial_fit(train)
        W = model.params().decoder[0].W
        if name == "unit rows":
            W /= np.linalg.norm(W, axis=1, keepdims=True)
        silent.append(near_zero(model, test).mean())
    size, length = np.abs(model.transform(test)).sum(axis=1).mean(), np.linalg.norm(W, axis=1).mean()
    print(f"{name:9}  Σ|h| {size:.2f}   mean length of a decoder row {length:.2f}   "
          f"near zero after 20 epochs {silent[19]:.2f}, after 200 {silent[-1]:.2f}")
# %%
leak = {name: silent[-1] - silent[19] for name, silent in history.items()}
only_free = leak["free"] < -0.05 and min(leak["unit rows"], leak["tied"]) > -0.02
claim_true("SP.E", "only the free decoder's zeros leak", only_free, list(leak.values()))
ax = plots.training_curve(history)
ax.set(ylabel="share of near-zero activations")
plots.save_figure(ax, OUT / "42_free_decoder.png")
# %% [markdown]
# ## Another way to ask for sparsity: KL
# With sigmoid units one can prescribe how much each is on. $\hat\rho_k$ is the mean of unit k over the batch, and the
# penalty $\lambda \sum_k \mathrm{KL}(\rho \,\|\, \hat\rho_k)$ draws it towards ρ, say 0.05 (Ng 2011). It is no mean of
# a number a row, but its gradient passes the same test. The larger λ, the closer the farthest unit comes to ρ.
# %%
model = Autoencoder(5, hidden=(7,), activation="sigmoid", penalties=[KLSparsity(0.05, 0.3)], n_epochs=0).fit(train)
model.theta_[:] = rng.normal(scale=0.3, size=model.theta_.size)
claim_equal("SP.2", "KL sparsity: gradient = complex step", model.loss_and_grad(test[:6])[1],
            stepped(forward_loss, model.theta_), tol=1e-13, relative=True)
farthest = []
for lam in (0, 0.1, 1, 10):
    model = Autoencoder(64, activation="sigmoid", tied=True, penalties=[KLSparsity(0.05, lam)], learning_rate=1e-2,
                        n_epochs=60, random_state=0).fit(train)
    farthest.append(np.abs(model.transform(train).mean(axis=0) - 0.05).max())
claim_true("SP.2", "max |ρ̂ − ρ| falls as λ grows", np.all(np.diff(farthest) < 0) and farthest[-1] < 0.01, farthest)
# %% [markdown]
# But look at the code: a mean of ρ does not say that a unit is *on* in a share ρ of the rows. It may as well hum near ρ
# all the time, and that is nearer to what we see. And nothing is ever exactly zero: a sigmoid cannot be.
# %%
H = model.transform(test)
print(f"λ = 10: {np.mean(H > 0.5):.2%} of the activations are above 1/2, {np.mean(H < 0.01):.0%} below 0.01, "
      f"{np.mean((H > 0.025) & (H < 0.1)):.0%} between ρ/2 and 2ρ; exactly zero: {np.sum(H == 0)}")
# %% [markdown]
# ## What to remember
# - |h| pushes with constant strength down to the kink, and the kink holds what arrives there: zeros are exact. h² only
#   shrinks.
# - With a fixed orthonormal decoder the best code is a soft threshold; with any fixed decoder ISTA finds a best code,
#   and the optimality conditions prove that it is one.
# - The penalty measures the scale of the code, which a free decoder can undo. Fix the decoder's scale, or tie it.
#
# **To try.** Replace |h| by h² in `ista` (the threshold becomes a division): how many zeros are left? Add `L1(0.1)` to
# a tanh network with a free decoder: tanh is not homogeneous, but near zero it is almost linear. Can it cheat?
