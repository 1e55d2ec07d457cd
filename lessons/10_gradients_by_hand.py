# %% [markdown]
# # 10 · Gradients by hand, and a first check
# **Question.** How do we know that a gradient derived on paper is the derivative of the loss in the code?
#
# Tags AE.2 · needs no other lesson · 1 s
# %%
from pathlib import Path

import numpy as np

from tinyvae import check_gradient, load_digits, plots
from tinyvae.checks.claims import claim_equal, claim_true

OUT = Path(__file__).parent / "out" if "__file__" in globals() else Path("out")
rng = np.random.default_rng(10)
# %% [markdown]
# ## A loss small enough to differentiate by hand   [AE.2]
# An autoencoder sends an image x of D pixels through a code h of only K numbers, and tries to get the image back:
# $$h = f(x) = \tanh(x W + b), \qquad \hat x = g(h) = h V + c.$$
# We charge it for the squared distance, averaged over a batch of B images:
# $$L = \frac1B \sum_{n} \|x_n - \hat x_n\|^2 .$$
# A row is an image: x is (B, D), W is (D, K), V is (K, D), and the vectors b and c are added to every row. Our images
# are real digits of 8 × 8 pixels, K is 8, and all parameters start as random numbers, the biases b and c among them.
# %%
digits, _ = load_digits()
x = digits[rng.permutation(len(digits))[:50]]
shapes = {"W": (64, 8), "b": (8,), "V": (8, 64), "c": (64,)}
P = {name: rng.normal(scale=0.3, size=shape) for name, shape in shapes.items()}


def loss(P, x):
    h = np.tanh(x @ P["W"] + P["b"])
    x_hat = h @ P["V"] + P["c"]
    return np.sum((x - x_hat) ** 2) / len(x)
# %% [markdown]
# ## Four steps backwards
# Write dy for the derivative of L by y: an array of y's shape. We walk through the loss from the last line upwards.
# 1. $L = \frac1B \sum_{nj} (x_{nj} - \hat x_{nj})^2$ gives $d\hat x = -\frac2B (x - \hat x)$.
# 2. $\hat x_{nj} = \sum_k h_{nk} V_{kj} + c_j$. In every row n the number $V_{kj}$ is multiplied by $h_{nk}$, so
#    $dV_{kj} = \sum_n h_{nk}\, d\hat x_{nj}$; $c_j$ is only added, so $dc_j = \sum_n d\hat x_{nj}$; and $h_{nk}$
#    meets every $V_{kj}$ of its row k, so $dh_{nk} = \sum_j d\hat x_{nj} V_{kj}$.
# 3. $h = \tanh a$ with $a = x W + b$, and $\tanh' = 1 - \tanh^2$: entry by entry $da = dh\,(1 - h^2)$.
# 4. $a = x W + b$ has the form of step 2: $dW_{jk} = \sum_n x_{nj}\, da_{nk}$ and $db_k = \sum_n da_{nk}$.
#
# These sums are products with a transposed matrix: $dV = h^\top d\hat x$, $dh = d\hat x\, V^\top$, $dW = x^\top da$.
# In code:
# %%
def gradient(P, x):
    h = np.tanh(x @ P["W"] + P["b"])
    x_hat = h @ P["V"] + P["c"]
    dx_hat = -2 / len(x) * (x - x_hat)
    dh = dx_hat @ P["V"].T
    da = dh * (1 - h * h)
    return {"W": x.T @ da, "b": da.sum(axis=0), "V": h.T @ dx_hat, "c": dx_hat.sum(axis=0)}
# %% [markdown]
# ## What a gradient promises
# Take the four blocks of parameters W, b, V, c together as one point θ, and dW, db, dV, dc as the gradient ∇L. Walk
# away from θ along a direction v. The loss becomes a function of one number, the step t, and the gradient promises its
# slope at the start:
# $$L(t) = L(\theta + t v), \qquad L'(0) = \langle \nabla L, v \rangle,$$
# the sum over all entries of gradient times direction. A slope can be measured: that is how a gradient is checked.
# %%
G = gradient(P, x)
v = {name: rng.normal(scale=0.03, size=shape) for name, shape in shapes.items()}          # its length is about 1
slope = sum(np.sum(G[name] * v[name]) for name in P)


def along(t):
    return loss({name: P[name] + t * v[name] for name in P}, x)


print(f"promised slope {slope:.9f}")
for t in (1e-1, 1e-3, 1e-5, 1e-13):
    one_sided, central = (along(t) - along(0)) / t, (along(t) - along(-t)) / (2 * t)
    print(f"measured, t = {t:.0e}:  one-sided {one_sided:.9f}, central {central:.9f}")
# %% [markdown]
# The measurements come closer as the step shrinks, the central ones faster; and then they are lost, since L is rounded
# at its sixteenth digit and t divides the rounding. Which step is best, how much error is left there, and how a
# measurement can know its own error, is a lesson of its own (12). Here a central step of $10^{-5}$ will do:
# %%
claim_equal("AE.2", "⟨∇L, v⟩ = central difference", slope, (along(1e-5) - along(-1e-5)) / 2e-5, tol=1e-8)
# %% [markdown]
# ## The complex step: nothing is subtracted
# Walk in the imaginary direction instead, $i^2 = -1$:
# $$L(it) = L(0) + i t L'(0) - \tfrac{t^2}2 L''(0) - \dots \qquad\Longrightarrow\qquad
# \mathrm{Im}\,L(it) / t = L'(0) + O(t^2).$$
# The loss itself stays in the real part, and its slope arrives alone in the imaginary one. No loss is subtracted from
# another, so t may be $10^{-30}$, and the result is exact to rounding. NumPy runs our `loss` on complex numbers as it
# stands. This time no single direction stands for all: we step along every entry of every block.
# %%
for name in P:
    stepped = np.empty(shapes[name])
    for entry in np.ndindex(shapes[name]):
        moved = {**P, name: P[name].astype(complex)}
        moved[name][entry] += 1e-30j
        stepped[entry] = loss(moved, x).imag / 1e-30
    claim_equal("AE.2", f"d{name} = complex step, every entry", G[name], stepped, tol=1e-13, relative=True)
# %% [markdown]
# ## Where the complex step is silently wrong
# It needs analytic functions. Sums, products, exp and tanh are; `np.abs` is not: it returns the length of a complex
# number, a real one, and so it drops the imaginary part, which carries the slope. Charge the code for its size as
# well, $L + \frac1B\sum_{nk} |h_{nk}|$ (a sparse autoencoder does), and the complex step overlooks the new term
# without a word: it gives the slope of L alone, to the last digit. `np.linalg.norm` and conjugates do the same. Taking
# the sign by the real part mends that. The rule: compare a complex step once with differences, then believe it.
# %%
def sparse(t, size):
    h = np.tanh(x @ (P["W"] + t * v["W"]) + P["b"] + t * v["b"])
    return along(t) + np.sum(size(h)) / len(x)


truth = (sparse(1e-5, np.abs) - sparse(-1e-5, np.abs)) / 2e-5
by_abs, by_sign = (sparse(1e-30j, size).imag / 1e-30 for size in (np.abs, lambda h: np.where(h.real < 0, -h, h)))
claim_equal("AE.2", "sign by the real part = difference", by_sign, truth, tol=1e-8)
claim_true("AE.2", "np.abs: the slope without the penalty", abs(by_abs - slope) < 1e-12 < 0.01 < abs(truth - slope),
           [by_abs, slope, truth])
# %% [markdown]
# ## The report
# Stepping along every entry costs as many evaluations of L as there are parameters. `check_gradient` takes one random
# direction for each block instead, measures the slope with an error bar, and adds the complex step where it is safe;
# lesson 12 says why that is enough. Its report has one line a block. First for the gradient as we derived it:
# %%
def check(gradient, P):
    return check_gradient(lambda P: loss(P, x), lambda P: gradient(P, x), P)


report = check(gradient, P)
print(report)
claim_true("AE.2", "the report finds nothing", report.ok, f"{len(report.blocks)} blocks ok")
# %% [markdown]
# Then with a planted mistake of the commonest kind, a factor 2 in one place. The report names the block and the mistake:
# %%
def doubled_gradient(P, x):
    G = gradient(P, x)
    return {**G, "b": 2 * G["b"]}


report = check(doubled_gradient, P)
print(report)
wrong = [finding.block for finding in report.findings]
claim_true("AE.2", "db doubled: the report names b", wrong == ["b"], " ".join(wrong))
# %% [markdown]
# ## What no gradient check can see
# It holds the gradient against the loss *in the code*. Whether that is the loss we want, it cannot know. Suppose that
# images and targets were shuffled separately, so that each image is to be turned into another one:
# %%
def mispaired_loss(P, x):
    return np.sum((np.roll(x, 1, axis=0) - np.tanh(x @ P["W"] + P["b"]) @ P["V"] - P["c"]) ** 2) / len(x)


def mispaired_gradient(P, x):
    h = np.tanh(x @ P["W"] + P["b"])
    dx_hat = -2 / len(x) * (np.roll(x, 1, axis=0) - h @ P["V"] - P["c"])
    da = dx_hat @ P["V"].T * (1 - h * h)
    return {"W": x.T @ da, "b": da.sum(axis=0), "V": h.T @ dx_hat, "c": dx_hat.sum(axis=0)}


report = check_gradient(lambda P: mispaired_loss(P, x), lambda P: mispaired_gradient(P, x), P)
print("mispaired loss:", str(report).splitlines()[-1])
# %% [markdown]
# A perfect gradient, of the wrong objective. So objectives are checked as well, where their value is known. Two such
# places: with V = 0 and c the mean image, every $\hat x$ is the mean image, and the loss is the total variance of the
# pixels. With K = D, a small multiple of the identity for W and its inverse for V, the code can copy the image, since
# $\tanh a \approx a$ near 0, and the loss is 0. The wrong objective passes the first test, and not the second.
# %%
variance = np.sum(np.var(x, axis=0))
constant = {**P, "V": np.zeros((8, 64)), "c": x.mean(axis=0)}
copy = {"W": 1e-4 * np.eye(64), "b": np.zeros(64), "V": 1e4 * np.eye(64), "c": np.zeros(64)}
claim_equal("AE.2", "V = 0, c = mean: L = total variance", loss(constant, x), variance, tol=1e-12)
claim_equal("AE.2", "mispaired: the same number", mispaired_loss(constant, x), variance, tol=1e-12)
claim_equal("AE.2", "a code that copies: L = 0", loss(copy, x), 0, tol=1e-12)
claim_true("AE.2", "mispaired: far from 0", mispaired_loss(copy, x) > 1, mispaired_loss(copy, x))
# %% [markdown]
# ## Descending
# The gradient is proved, and so is the loss. Now they may work: from small random parameters, 500 steps against the
# gradient of 500 digits, $\theta \leftarrow \theta - \eta \nabla L$ with η = 0.02. The slope in that direction is
# $-\|\nabla L\|^2$, so each step lowers the loss as long as it is small enough. The line to beat is the best that a
# decoder can do without a look at the image, which is to answer with the mean digit, always.
# %%
x = digits[:500]
P = {name: rng.normal(scale=0.1, size=shape) for name, shape in shapes.items()}
losses = [loss(P, x)]
for _ in range(500):
    G = gradient(P, x)
    P = {name: P[name] - 0.02 * G[name] for name in P}
    losses.append(loss(P, x))
best_constant = np.sum(np.var(x, axis=0))
claim_true("AE.2", "each of 500 steps lowers the loss", bool(np.all(np.diff(losses) < 0)), losses[::125])
claim_true("AE.2", "trained < best constant < untrained", losses[-1] < best_constant < losses[0],
           [losses[-1], best_constant, losses[0]])
# %% [markdown]
# **Reconstructions** through a code of eight numbers: blurred, but most can be read. Lesson 12 puts the checks
# themselves on trial; lesson 20 makes the network deeper and the optimiser faster.
# %%
h = np.tanh(x[:12] @ P["W"] + P["b"])
plots.save_figure(plots.reconstructions(x[:12], h @ P["V"] + P["c"]), OUT / "10_reconstructions.png")
