# %% [markdown]
# # 10 · Gradients by hand, and how to check one
# **Question.** How do we know that a gradient derived on paper is the derivative of the loss in the code?
#
# Tags AE.2 · needs no other lesson · 2 s
# %%
from pathlib import Path

import numpy as np

from tinyvae import check_gradient, load_digits, plots
from tinyvae.checks.claims import claim_equal, claim_true
from tinyvae.checks.gradient import ridders
from tinyvae.ops import softmax, softmax_da

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


print(f"promised slope {slope:.6f}, measured with a step of 0.0001: {(along(1e-4) - along(0)) / 1e-4:.6f}")
# %% [markdown]
# ## Small steps, and too small steps
# The two agree to a few digits. Is the rest a mistake, or the price of measuring? Taylor's series knows:
# $$\frac{L(t) - L(0)}{t} = L' + \tfrac t2 L'' + \dots \qquad \frac{L(t) - L(-t)}{2t} = L' + \tfrac{t^2}6 L''' + \dots$$
# The error falls with the step t, and with its square if we step to both sides. But every value of L is also rounded,
# by about $\varepsilon L$ with $\varepsilon = 2.2 \cdot 10^{-16}$, and the division makes $\varepsilon L / t$ of
# that: the smaller the step, the worse. We fit the power p in error ∝ tᵖ. With a wrong gradient the error would stop
# falling at its mistake.
# %%
def power(errors, low, high):
    part = (steps >= low) & (steps <= high)
    return np.polyfit(np.log(steps[part]), np.log(errors[part]), 1)[0]


steps = np.logspace(-15, 0, 61)
forward = np.array([(along(t) - along(0)) / t for t in steps])
central = np.array([(along(t) - along(-t)) / (2 * t) for t in steps])
errors = {"forward": abs(forward / slope - 1), "central": abs(central / slope - 1)}
claim_equal("AE.2", "forward: the error falls like t", power(errors["forward"], 1e-5, 1e-1), 1, tol=0.03)
claim_equal("AE.2", "central: it falls like t²", power(errors["central"], 1e-3, 1e-1), 2, tol=0.03)
claim_equal("AE.2", "central: then it rises like 1/t", power(errors["central"], 1e-13, 1e-6), -1, tol=0.3)
# %% [markdown]
# The best step is where the two errors meet, at about $\varepsilon^{1/2}$ forward and $\varepsilon^{1/3}$ central.
# Even there half of the sixteen digits are lost in the first case, and a third in the second:
# %%
for name, error in errors.items():
    print(f"{name}: the smallest relative error is {error.min():.0e}, at the step {steps[error.argmin()]:.0e}")
# %% [markdown]
# ## Extrapolation: a measurement that knows its own error
# The central difference D(t) errs by $\alpha t^2 + \beta t^4 + \dots$, with an unknown α. Two steps get rid of it: in
# $(4 D(t/2) - D(t)) / 3$ the $t^2$ cancels (Richardson). Ridders goes on: ever smaller steps, one more power of $t^2$
# removed in each round, and beside every value an *error bar*, its distance from the values it was made of. The value
# with the smallest bar wins. It comes from large steps, so rounding stays small. The bar is an estimate, not a bound:
# we ask for agreement within ten of them.
# %%
def richardson(t):
    coarse, fine = (along(t) - along(-t)) / (2 * t), (along(t / 2) - along(-t / 2)) / t
    return (4 * fine - coarse) / 3


error = np.array([abs(richardson(t) / slope - 1) for t in steps])
claim_equal("AE.2", "extrapolated once: it falls like t⁴", power(error, 3e-2, 3e-1), 4, tol=0.15)
measured = ridders(along)
claim_equal("AE.2", "⟨∇L, v⟩ = Ridders, within ten bars", slope, measured.value, tol=10 * measured.bar)
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
# Four ways to measure one slope, at every step. Read it from the right. The forward error falls with slope 1 and the
# central one with slope 2, until both meet the rising cloud of rounding. The complex step comes down with the central
# difference and stays down. Ridders, drawn at its largest step, is best where the plain differences are worst.
# %%
errors["Ridders, from t down"] = [abs(ridders(along, h=t).value / slope - 1) for t in steps]
errors["complex step"] = [abs(along(1j * t).imag / t / slope - 1) for t in steps]
ax = plots.error_against_step(steps[::2], {name: error[::2] for name, error in errors.items()})
for at, error, text in ((2e-4, 2e-3, "∝ t"), (7e-2, 3e-7, "∝ t²"), (2e-11, 2e-3, "∝ 1/t")):
    ax.text(at, error, text, fontsize=12)
ax.set_xlabel("step t")
plots.save_figure(ax, OUT / "10_error_against_step.png")
# %% [markdown]
# ## Where the complex step is silently wrong
# It needs analytic functions. Sums, products, exp and tanh are; `np.abs` is not: it returns the length of a complex
# number, a real one, and so it drops the imaginary part, which carries the slope. Charge the code for its size as
# well, $L + \frac1B\sum_{nk} |h_{nk}|$ (a sparse autoencoder does), and the complex step overlooks the new term
# without a word. Taking the sign by the real part mends that. Ridders is the judge.
# %%
def sparse_along(t, absolute):
    h = np.tanh(x @ (P["W"] + t * v["W"]) + P["b"] + t * v["b"])
    return along(t) + np.sum(absolute(h)) / len(x)


def magnitude(z):
    return np.where(z.real < 0, -z, z)


truth = ridders(lambda t: sparse_along(t, np.abs), h=0.01)
by_abs, by_magnitude = (sparse_along(1e-30j, absolute).imag / 1e-30 for absolute in (np.abs, magnitude))
claim_equal("AE.2", "through magnitude = Ridders, ten bars", by_magnitude, truth.value, tol=10 * truth.bar)
# %% [markdown]
# Through `np.abs` we get the slope of the loss without its penalty, to the last digit. `np.linalg.norm` and
# conjugates do the same. The rule: use the complex step where you can, and compare it once with Ridders before you
# believe it.
# %%
claim_true("AE.2", "np.abs: the slope without the penalty", abs(by_abs - slope) < 1e-12 < abs(truth.value - slope),
           [by_abs, slope, truth.value])
norm = np.linalg.norm(np.array([3 + 1e-30j, 4]))
print(f"np.linalg.norm at (3, 4), along the first axis: {np.imag(norm) / 1e-30:.1f} instead of 3/5")
# %% [markdown]
# ## A random direction
# Stepping along every entry costs as many evaluations as there are parameters. One direction a block costs one, and
# is nearly as good if it is *random*: a mistake e in the gradient changes the promised slope by
# $\langle e, v\rangle$, and a random v is at right angles to e with probability zero. A regular direction is not
# safe. Along v = 1 the slope is the sum of the gradient's entries, and a dW whose columns come in reverse has the
# same sum:
# %%
mistake = G["W"][:, ::-1] - G["W"]
by_ones, by_random = abs(np.sum(mistake)), abs(np.sum(mistake * v["W"]))
claim_true("AE.2", "dW reversed: ones blind, random not", by_ones < 1e-12 < 0.01 < by_random, [by_ones, by_random])
# %% [markdown]
# ## A random cotangent
# A function with many outputs, such as softmax, $p_k = e^{a_k} / \sum_j e^{a_j}$, has no single slope. Its backward
# function turns any dp into da, and is checked on the loss $\sum w_{nk}\, p_{nk}$, for which dp = w, the *cotangent*.
# With w = 1 the loss is the plain sum of all outputs. But each row of softmax sums to 1 whatever a is. The gradient
# of that loss is zero, and a backward function that returns three times too much passes. A random w sees it:
# %%
a, direction = rng.normal(size=(4, 10)), rng.normal(size=(4, 10))
for name, w in {"ones": np.ones((4, 10)), "random": rng.normal(size=(4, 10))}.items():
    stepped = np.sum(w * softmax(a + 1e-30j * direction)).imag / 1e-30
    promised = np.sum(softmax_da(w, softmax(a)) * direction)
    print(f"{name} cotangent: slope {stepped:z.6f}, backward {promised:z.6f}, three times backward {3 * promised:z.6f}")
# %% [markdown]
# ## The report
# `check_gradient` does all of this: one random direction a block, Ridders within ten bars, and the complex step on
# top, where Ridders confirms it. Its report has one line a block. First for the gradient as we derived it:
# %%
def check(gradient, P):
    return check_gradient(lambda P: loss(P, x), lambda P: gradient(P, x), P)


report = check(gradient, P)
print(report)
claim_true("AE.2", "the report finds nothing", report.ok, f"{len(report.blocks)} blocks ok")
# %% [markdown]
# Then with a planted mistake of the commonest kind, a factor 2 in one place:
# %%
def doubled_gradient(P, x):
    G = gradient(P, x)
    return {**G, "b": 2 * G["b"]}


report = check(doubled_gradient, P)
print(report)
wrong = [finding.block for finding in report.findings]
claim_true("AE.2", "db doubled: the report names b", wrong == ["b"], " ".join(wrong))
# %% [markdown]
# ## Random biases
# Networks usually start with biases of zero. A check must not: zeros multiply mistakes away. Here is a backward pass
# that computes the code once more and forgets b. At b = 0 it is right in every entry; anywhere else it is wrong.
# %%
def forgetful_gradient(P, x):
    return gradient({**P, "b": np.zeros(8)}, x)


at_zero, at_random = check(forgetful_gradient, {**P, "b": np.zeros(8)}), check(forgetful_gradient, P)
claim_true("AE.2", "a forgotten b shows only at b ≠ 0", at_zero.ok and not at_random.ok,
           f"wrong blocks: {len(at_zero.findings)} at b = 0, {len(at_random.findings)} at random b")
# %% [markdown]
# ## Double precision
# In float32 $\varepsilon = 1.2 \cdot 10^{-7}$, and the rising branch of the picture starts that much higher. The
# backward pass, which takes no difference of nearby losses, does not suffer. The check does. Here are central
# differences with $t = 10^{-4}$ and a tolerance of one in a thousand, on our correct gradient, in twenty directions:
# %%
def n_rejected(dtype, tolerance=1e-3, t=1e-4):
    Q, n = {name: P[name].astype(dtype) for name in P}, 0
    for seed in range(20):
        directions = np.random.default_rng(seed)
        v = {name: directions.normal(scale=0.03, size=shapes[name]).astype(dtype) for name in P}
        up, down = (loss({name: Q[name] + s * v[name] for name in P}, x.astype(dtype)) for s in (t, -t))
        n += abs((up - down) / (2 * t) / sum(np.sum(G[name] * v[name]) for name in P) - 1) > tolerance
    return int(n)


n64, n32 = n_rejected("float64"), n_rejected("float32")
claim_true("AE.2", "right slopes rejected by differences", n64 == 0 and n32 >= 10,
           f"float64: {n64} of 20, float32: {n32} of 20")
# %% [markdown]
# So a gradient is checked in float64, and the float32 backward pass is then held against the float64 one:
# %%
G32 = gradient({name: P[name].astype("float32") for name in P}, x.astype("float32"))
for name in P:
    claim_equal("AE.2", f"d{name}: {G32[name].dtype} = {G[name].dtype}", G32[name], G[name], tol=1e-5, relative=True)
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
# **Reconstructions** through a code of eight numbers: blurred, but most can be read. Lesson 20 makes the network
# deeper and the optimiser faster.
# %%
h = np.tanh(x[:12] @ P["W"] + P["b"])
plots.save_figure(plots.reconstructions(x[:12], h @ P["V"] + P["c"]), OUT / "10_reconstructions.png")
