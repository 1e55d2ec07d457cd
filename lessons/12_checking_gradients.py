# %% [markdown]
# # 12 · Checking a gradient: step, kink, cotangent, precision
# **Question.** A gradient and a measured slope differ in the fifth digit. Is the gradient wrong, or the measurement?
#
# Tags AE.2, NL.2 · needs 10 · 3 s
# %%
from pathlib import Path

import numpy as np

from tinyvae import check_gradient, load_digits, plots
from tinyvae.checks.claims import claim_equal, claim_mean, claim_true
from tinyvae.checks.slopes import complex_step, ridders
from tinyvae.ops import softmax, softmax_da

OUT = Path(__file__).parent / "out" if "__file__" in globals() else Path("out")
rng = np.random.default_rng(12)
# %% [markdown]
# ## The patient   [AE.2]
# The autoencoder of lesson 10 once more, in seven lines: fifty digits, a code of eight numbers, random parameters
# (biases too). New is that the activation φ can be chosen. Its gradient was proved there to thirteen digits. Here we
# turn the question round: the gradient is known to be right, and the *checks* are on trial. A good check accepts it,
# and rejects what we break.
# %%
def loss(P, x, phi=np.tanh):
    return np.sum((x - phi(x @ P["W"] + P["b"]) @ P["V"] - P["c"]) ** 2) / len(x)


def gradient(P, x, phi=np.tanh, phi_d=lambda a: 1 - np.tanh(a) ** 2):
    a = x @ P["W"] + P["b"]
    dx_hat = -2 / len(x) * (x - phi(a) @ P["V"] - P["c"])
    da = dx_hat @ P["V"].T * phi_d(a)
    return {"W": x.T @ da, "b": da.sum(axis=0), "V": phi(a).T @ dx_hat, "c": dx_hat.sum(axis=0)}


def dot(G, v):
    return sum(np.sum(G[name] * v[name]) for name in G)
# %% [markdown]
# A check walks along a line: v is a random direction of length 1, $L(t) = L(θ + t v)$ the loss on the way. The slope
# $L'(0) = \langle ∇L, v\rangle$ is the number that every method below has to find. For the theory we want $L''$ and
# $L'''$ as well: they are derivatives of the promised slope along the same line.
# %%
x = load_digits()[0]
x = x[rng.permutation(len(x))[:50]]
shapes = {"W": (64, 8), "b": (8,), "V": (8, 64), "c": (64,)}
P = {name: rng.normal(scale=0.3, size=shape) for name, shape in shapes.items()}
v = {name: rng.normal(size=shape) for name, shape in shapes.items()}
v = {name: v[name] / np.sqrt(dot(v, v)) for name in v}


def at(t, dtype=float):
    return {name: P[name].astype(dtype) + dtype(t) * v[name].astype(dtype) for name in P}
# %%
def along(t):
    return loss(at(t, complex if np.iscomplexobj(t) else float), x)


def curvature(t):
    return dot(gradient(at(t + 1e-30j, complex), x), v).imag / 1e-30


slope, second, third = dot(gradient(P, x), v), curvature(0), ridders(curvature).value
print(f"L = {along(0):.6f}, L' = {slope:.6f}, L'' = {second:.6f}, L''' = {third:.6f}")
# %% [markdown]
# ## The step: too long and too short
# Two ways to measure a slope with a step t, and what Taylor's series says of their errors:
# $$\frac{L(t) - L(0)}{t} = L' + \tfrac t2 L'' + \dots \qquad \frac{L(t) - L(-t)}{2t} = L' + \tfrac{t^2}6 L''' + \dots$$
# So a short step is good. But every value of L is rounded, by up to about $ε L$, and the division by t makes $ε L / t$
# of that: a short step is bad. In double precision $ε = 2.2 \cdot 10^{-16}$, in single $1.2 \cdot 10^{-7}$.
# %%
def single(t):
    return float(loss(at(t, np.float32), x.astype("float32")))


def central_difference(L, t):
    return (L(t) - L(-t)) / (2 * t)


steps = np.logspace(-15, 0, 61)
errors = {}
for name, L in {"float64": along, "float32": single}.items():
    errors["forward, " + name] = np.array([abs((L(t) - L(0)) / t / slope - 1) for t in steps])
    errors["central, " + name] = np.array([abs(central_difference(L, t) / slope - 1) for t in steps])
# %% [markdown]
# We fit the power p in error ∝ tᵖ on each branch. With a wrong gradient the falling branch would stop at its mistake.
# %%
def power(errors, low, high):
    part = (steps >= low) & (steps <= high)
    return np.polyfit(np.log(steps[part]), np.log(errors[part]), 1)[0]


forward, central = errors["forward, float64"], errors["central, float64"]
claim_equal("AE.2", "forward: the error falls like t", power(forward, 1e-5, 1e-1), 1, tol=0.05)
claim_equal("AE.2", "central: it falls like t²", power(central, 1e-3, 1e-1), 2, tol=0.05)
claim_equal("AE.2", "central: then it rises like 1/t", power(central, 1e-13, 1e-6), -1, tol=0.3)
# %% [markdown]
# The sum of the two errors is least where its derivative by t vanishes:
# $$\frac t2 |L''| + \frac{ε L}t: \quad t = \Big(\frac{2 ε L}{|L''|}\Big)^{1/2} \qquad\qquad
# \frac{t^2}6 |L'''| + \frac{ε L}t: \quad t = \Big(\frac{3 ε L}{|L'''|}\Big)^{1/3}$$
# This is where "step $\sqrt ε$" and "step $ε^{1/3}$" come from. They lose half of all digits, and a third of them: of
# the seven of float32, three and five are left. Now the theory is held against the measurements. Rounding is a matter
# of luck, so we ask that the largest error on each side of the valley is the predicted one, within a factor of ten
# below and three above:
# %%
size = abs(along(0))
for dtype in ("float64", "float32"):
    eps = np.finfo(dtype).eps
    for name, truncation, best in (("forward", steps / 2 * abs(second), (2 * eps * size / abs(second)) ** (1 / 2)),
                                   ("central", steps**2 / 6 * abs(third), (3 * eps * size / abs(third)) ** (1 / 3))):
        error = errors[f"{name}, {dtype}"]
        ratio = error / ((truncation + eps * size / steps) / abs(slope))
        sides = [ratio[steps < best].max(), ratio[steps >= best].max()]
        claim_true("AE.2", f"{name}, {dtype}: measured / theory", 0.1 < min(sides) <= max(sides) < 3, sides)
        print(f"       best step {best:.0e} in theory, {steps[error.argmin()]:.0e} measured; error {error.min():.0e}")
# %% [markdown]
# ## Extrapolation: a measurement that knows its own error
# The central difference D(t) errs by $α t^2 + β t^4 + \dots$, with an unknown α. Two steps get rid of it: in
# $(4 D(t/2) - D(t)) / 3$ the $t^2$ cancels (Richardson). Ridders goes on: ever smaller steps, one more power of $t^2$
# removed in each round, and beside every value an *error bar*, its distance from the values that it was made of. The
# value with the smallest bar wins. It comes from long steps, so rounding stays small.
# %%
def richardson(t):
    return (4 * central_difference(along, t / 2) - central_difference(along, t)) / 3


error = np.array([abs(richardson(t) / slope - 1) for t in steps])
claim_equal("AE.2", "extrapolated once: it falls like t⁴", power(error, 0.1, 1), 4, tol=0.2)
# %% [markdown]
# Is the bar honest? In two hundred random directions, from a step of 1, we compare it with the true error. A bar is
# an estimate, not a bound, so we allow ten of them. That is the whole tolerance of `check_gradient`: no number of ours,
# but one that the measurement brings along.
# %%
distances, bars = [], []
for _ in range(200):
    u = {name: rng.normal(scale=0.03, size=shape) for name, shape in shapes.items()}
    measured = ridders(lambda t: loss({name: P[name] + t * u[name] for name in P}, x))
    distances.append(abs(measured.value - dot(gradient(P, x), u)))
    bars.append(measured.bar)
claim_true("AE.2", "200 true errors: all within ten bars", bool(np.all(np.array(distances) < 10 * np.array(bars))),
           f"largest: {np.max(np.divide(distances, bars)):.2f} bars, median bar {np.median(bars):.0e}")
# %% [markdown]
# ## The complex step: nothing is subtracted
# $\mathrm{Im}\,L(it) / t = L' - \frac{t^2}6 L''' + \dots$ (lesson 10, also on where this is silently wrong). It is cut
# off like the central difference, but L' comes alone in the imaginary part. There is no second branch: from
# $t ≈ 10^{-8}$ on the error is the rounding of the result itself, in float32 as well, and stays so until t leaves the
# range of numbers. For a central difference these steps are no steps at all: θ + tv is θ.
# %%
tiny = 10.0 ** -np.array([8, 12, 30, 60, 100, 150, 200])
error = max(abs(along(1j * t).imag / t / slope - 1) for t in tiny)
claim_equal("AE.2", "complex step, t from 1e-8 to 1e-200", error, 0, tol=1e-14)
claim_true("AE.2", "central difference at 1e-17", along(1e-17) == along(-1e-17), "L(t) − L(−t) = 0")
for name, dtype, X in (("float64", np.complex128, x), ("float32", np.complex64, x.astype("float32"))):
    slopes = [float(loss(at(1j * t, dtype), X).imag) / t for t in steps]
    errors["complex step, " + name] = np.abs(np.array(slopes) / slope - 1)
claim_true("AE.2", "single precision: seven digits anyway", errors["complex step, float32"][:40].max() < 1e-6,
           errors["complex step, float32"][:40].max())
# %% [markdown]
# `out/12_error_against_step.png`: read it from the right. Forward falls like t and central like t², until rounding
# takes over and the error rises like 1/t. Single precision has the same picture, with a valley that lies higher and
# further to the right. The complex step comes down with the central difference and stays down. Ridders, drawn at its
# longest step, is best where the plain differences are worst.
# %%
tables = {dtype: {name.split(",")[0]: error[::2] for name, error in errors.items() if name.endswith(dtype)}
          for dtype in ("float64", "float32")}
tables["float64"]["Ridders, from t down"] = [abs(ridders(along, h=t).value / slope - 1) for t in steps[::2]]
ax = plots.step_errors(steps[::2], tables["float64"], tables["float32"])
for t, error, text in ((2e-6, 1e-5, "∝ t"), (6e-3, 1e-8, "∝ t²"), (2e-11, 1e-3, "∝ 1/t")):
    ax.text(t, error, text, fontsize=12)
plots.save_figure(ax, OUT / "12_error_against_step.png")
# %% [markdown]
# ## Taylor's remainder: a test without a tolerance
# Take the promised slope off, and see how fast the rest falls:
# $$|L(t) - L(0) - t \langle g, v\rangle| = \big|\, t\, \langle ∇L - g, v\rangle + \tfrac{t^2}2 L'' + \dots \big|$$
# If g is the gradient, the remainder is of *order* 2: a tenth of the step, a hundredth of the remainder. Any mistake δ
# in the slope brings order 1, however small, as soon as t is below $2 δ / |L''|$. No scale enters, no threshold: one
# looks whether the line has slope 1 or 2.
# %%
ts = np.logspace(-5, 0, 11)
G = gradient(P, x)
slips = {"right": G, "db doubled": {**G, "b": 2 * G["b"]}, "dV 1 % too large": {**G, "V": 1.01 * G["V"]}}
remainders = {name: np.array([abs(along(t) - along(0) - t * dot(g, v)) for t in ts]) for name, g in slips.items()}
for (name, rest), order in zip(remainders.items(), (2, 1, 1)):
    measured = np.polyfit(np.log(ts[:4]), np.log(rest[:4]), 1)[0]
    claim_equal("AE.2", f"{name}: order {order}", measured, order, tol=0.1)
plots.save_figure(plots.taylor_orders(ts, remainders), OUT / "12_taylor_orders.png")
# %% [markdown]
# `out/12_taylor_orders.png`: the line of the 1 % mistake bends at $t = 2 δ / |L''|$, where its two terms are equal (and
# here cancel). To the right of it the mistake hides behind the curvature, so the steps must be small. They cannot be
# very small: below $\sqrt ε$ there is nothing but rounding. A mistake with $2 δ < \sqrt ε\, |L''|$ is not seen at all.
# %% [markdown]
# ## A kink, and what a central difference makes of it
# With ReLU, $φ(a) = \max(a, 0)$, the loss has a kink wherever a pre-activation is exactly 0. That is no rare accident.
# A blank image has x = 0, biases start at b = 0, and then *all* of its pre-activations are 0. We put such an image into
# the batch and walk along one bias. There are two slopes now, and the backward pass must choose φ'(0):
# %%
def relu(a):
    return np.where(a.real > 0, a, 0)


def relu_slope(at_zero):
    return lambda a: np.where(a > 0, 1.0, np.where(a < 0, 0.0, at_zero))


X, Q = np.vstack([np.zeros(64), x[1:]]), {**P, "b": np.zeros(8)}


def over_kink(t):
    return loss({**Q, "b": t * np.eye(8)[0]}, X, relu)
# %%
t = 1e-6
sides = {"from the right: φ'(0) = 1": ((over_kink(t) - over_kink(0)) / t, 1),
         "from the left: φ'(0) = 0": ((over_kink(0) - over_kink(-t)) / t, 0),
         "central: φ'(0) = ½, the mean": (central_difference(over_kink, t), 0.5)}
for name, (measured, at_zero) in sides.items():
    claim_equal("NL.2", name, measured, gradient(Q, X, relu, relu_slope(at_zero))["b"][0], tol=1e-5)
# %% [markdown]
# All three are right, each in its own way; a check that knows only one of them calls the other two wrong. Worse is
# |t| at 0. There the central difference is 0 for every step, it agrees with the convention sign(0) = 0 to the last
# digit, and a bar made of central differences alone is 0 as well. `ridders` therefore also watches the *even* part
# of f, $(f(t) + f(-t)) / 2 - f(0)$. For a smooth function it falls like t²; at a kink it falls only like t. There
# `check_gradient` reports the two slopes, and moves to a point nearby, where the gradient has only one value:
# %%
differences = [central_difference(abs, t) for t in steps]
claim_equal("NL.2", "|t| at 0: central = 0 at every step", differences, np.zeros(61), tol=1e-300)
kink = ridders(abs)
claim_true("NL.2", "Ridders: 0, but the bar is above 1", kink.value == 0 and kink.bar > 1, [kink.value, kink.bar])
moved = [check_gradient(lambda Q: loss(Q, X, relu), lambda Q: gradient(Q, X, relu, relu_slope(at_zero)), Q)
         for at_zero in (0, 0.5, 1)]
print(moved[0])
claim_true("NL.2", "any φ'(0) passes, the kink is named", all(report.ok and "kink" in str(report) for report in moved),
           "three reports")
# %% [markdown]
# ## A kink at a distance
# Elsewhere the slope is unique, but a long step may reach over a kink. With f(t) = max(t + d, 0), whose slope at 0
# is 1, the central difference sees the other side as soon as t > d:
# $$D(t) = 1 - \tfrac12 \max(0,\, 1 - d/t) .$$
# The error does not fall like t² there. It is there or it is not. In our network each of 50 images has eight kinks of
# its own on the line, at $t = -a_{nk} / a'_{nk}$. The complex step does not move along the line at all, so it meets
# none.
# %%
d = 1e-3
bridged = [central_difference(lambda t: relu(np.asarray(t + d)), t) for t in steps[24:]]
claim_equal("NL.2", "D(t) = 1 − ½ max(0, 1 − d/t)", bridged, 1 - np.maximum(0, 1 - d / steps[24:]) / 2, tol=1e-6)
a, a_slope = x @ P["W"] + P["b"], x @ v["W"] + v["b"]
nearest = np.min(np.abs(a / a_slope))
relu_true = loss(at(1e-30j, complex), x, relu).imag / 1e-30
relu_errors = np.array([abs(central_difference(lambda t: loss(at(t), x, relu), t) / relu_true - 1) for t in steps])
# %%
near, far = steps < nearest, steps > nearest
claim_equal("NL.2", "up to the nearest kink: like t²", power(relu_errors, 1e-3, 0.999 * nearest), 2, tol=0.05)
claim_true("NL.2", "one step further: ten times and more", relu_errors[far][0] > 10 * relu_errors[near][-1],
           [relu_errors[near][-1], relu_errors[far][0]])
measured = ridders(lambda t: loss(at(t), x, relu))
claim_equal("NL.2", "Ridders, from t = 1, within ten bars", measured.value, relu_true, tol=10 * measured.bar)
ax = plots.error_against_step(steps[24:], {"tanh": central[24:], "relu": relu_errors[24:]})
ax.axvline(nearest, color="0.45", linewidth=1)
ax.set_xlabel("step t (upright line: the nearest kink)")
plots.save_figure(ax, OUT / "12_kinks.png")
# %% [markdown]
# `out/12_kinks.png` shows the jump. Ridders started far on the wrong side, at t = 1. Its values there contradict each
# other, so their bars are large, and the small bar that wins stands on steps that reach over no kink. In a large
# network the nearest kink is closer, so `check_gradient` begins again with a shorter first step while the bar stays
# large.
# %% [markdown]
# ## A blind cotangent
# A function with many outputs has no single slope. Its backward function turns any dy into dx, and is checked on the
# loss $\sum w_{nk}\, y_{nk}$, whose dy is w, the *cotangent*. Most people take w = 1, the plain sum of the outputs. But
# each row of softmax sums to 1 whatever the input, and each column of a batch normalisation,
# $y = (a - \bar a) / s$, sums to 0. The gradient of such a loss is zero, and a backward that has the wrong factor, or
# forgets a term that vanishes as well, passes. Below are five that people write:
# %%
def normalise(a):
    centred = a - a.mean(axis=0)
    return centred / np.sqrt(np.mean(centred * centred, axis=0))


a, direction = rng.normal(size=(6, 4)), rng.normal(size=(6, 4))
p, y, s = softmax(a), normalise(a), np.std(a, axis=0)
backward = {
    "softmax": (softmax, lambda w: softmax_da(w, p)), "times 3": (softmax, lambda w: 3 * softmax_da(w, p)),
    "nothing at all": (softmax, lambda w: 0 * w), "p forgotten": (softmax, lambda w: w - (w * p).sum(axis=1)[:, None]),
    "normalise": (normalise, lambda w: (w - w.mean(axis=0) - y * np.mean(w * y, axis=0)) / s),
    "s taken for a constant": (normalise, lambda w: (w - w.mean(axis=0)) / s),
    "s forgotten": (normalise, lambda w: w - w.mean(axis=0) - y * np.mean(w * y, axis=0))}
# %%
def distance(f, backward, w):
    return abs(complex_step(lambda a: np.sum(w * f(a)), a, direction) - np.sum(backward(w) * direction))


ones, random = np.ones((6, 4)), rng.normal(size=(6, 4))
by_ones, by_random = (np.array([distance(*pair, w) for pair in backward.values()]) for w in (ones, random))
for name, *pair in zip(backward, by_ones, by_random):
    print(f"{name:22}  w = 1: {pair[0]:.0e}   random w: {pair[1]:.0e}")
right = np.array([name in ("softmax", "normalise") for name in backward])
claim_equal("NL.2", "w = 1: all seven pass", by_ones, np.zeros(7), tol=1e-13)
claim_true("NL.2", "random w: the right ones pass", by_random[right].max() < 1e-13, by_random[right])
claim_true("NL.2", "and the five mistakes do not", by_random[~right].min() > 0.01, by_random[~right])
# %% [markdown]
# ## A blind direction, and a blind point
# Directions can be blind in the same way. Along v = 1 the slope is the sum of the gradient's entries, and a dW with its
# columns in reverse has the same sum. And so can points be. Networks start with biases of zero, sometimes with whole
# layers of zeros, and zeros multiply mistakes away: at b = 0 nobody sees a forgotten b, and at V = 0, where
# $dh = d\hat x\, V^\top$ vanishes, nobody sees anything that is wrong with W. A check draws all parameters at random.
# %%
reversed_W = G["W"][:, ::-1] - G["W"]
blind, seen = abs(np.sum(reversed_W)), abs(np.sum(reversed_W * v["W"]))
claim_true("AE.2", "dW reversed: v = 1 blind, random not", blind < 1e-12 < 0.01 < seen, [blind, seen])
slips = {"b": lambda Q: gradient({**Q, "b": np.zeros(8)}, x),                                   # forgets b
         "V": lambda Q: {**gradient(Q, x), "W": 3 * gradient(Q, x)["W"]}}                       # three times dW
for zero, slip in slips.items():
    there, here = (check_gradient(lambda Q: loss(Q, x), slip, Q).ok for Q in ({**P, zero: 0 * P[zero]}, P))
    claim_true("AE.2", f"a mistake that {zero} = 0 hides", there and not here, f"ok: {there} at 0, {here} at random")
# %% [markdown]
# ## One wrong entry in 400,000
# A layer from 784 pixels to 512 units has n = 401,408 weights. Suppose that a single entry of its gradient is wrong by
# δ. Whoever compares ten random entries one by one misses it with probability $1 - 10/n = 0.99998$. A random direction
# of length 1 has $v_i^2 = 1/n$ on average, so it sees $|δ v_i|$, about $δ/\sqrt n$. That is little, but hardly ever
# nothing. Whether it is enough, the bar tells. On failure `check_gradient` goes on to look for the entry, by halves:
# %%
n = 784 * 512
claim_equal("AE.2", "ten entries without the wrong one", np.prod(1 - 1 / (n - np.arange(10))), 1 - 10 / n, tol=1e-14)
seen = np.array([u[0] ** 2 / np.sum(u * u) for u in rng.standard_normal((5000, 1000))])
claim_mean("AE.2", "1,000 entries: mean of v₁² is 1/1,000", seen.mean(), seen.std() / np.sqrt(5000), 1e-3)
images, target = rng.random((20, 784)), rng.normal(size=(20, 512))
W = rng.normal(scale=0.05, size=(784, 512))


def layer_loss(Q):
    return np.sum((np.tanh(images @ Q["W"]) - target) ** 2) / 20
# %%
def layer_gradient(Q, wrong=1.0):
    h = np.tanh(images @ Q["W"])
    dW = images.T @ (2 / 20 * (h - target) * (1 - h * h))
    dW[400, 300] *= wrong
    return {"W": dW}


good, bad = (check_gradient(layer_loss, lambda Q: layer_gradient(Q, wrong), {"W": W}) for wrong in (1.0, 1.01))
print(bad)
claim_true("AE.2", "1 % in one of 401,408: found, named", good.ok and not bad.ok and "(400, 300)" in str(bad),
           f"ok: {good.ok} without, {bad.ok} with it")
# %% [markdown]
# ## Single precision
# In float32 even a right gradient fails. A central difference errs by about $ε L / (t L')$, which at $t = 10^{-4}$ is
# two percent here, and more at the $10^{-5}$ or $10^{-6}$ that double precision likes. The median over such steps:
# %%
part = (steps > 1e-6) & (steps < 1e-3)
errs32, errs64 = (np.median(errors[f"central, {dtype}"][part]) for dtype in ("float32", "float64"))
claim_true("AE.2", "right to 1e-3? in float32 no, in float64", errs64 < 1e-8 < 1e-3 < errs32, [errs32, errs64])
# %% [markdown]
# It is the check that suffers, not the backward pass, which takes no difference of nearby losses. So a gradient is
# checked in float64 (`check_gradient` raises θ to that), and the float32 backward pass is held against the float64 one:
# %%
G32 = gradient({name: P[name].astype("float32") for name in P}, x.astype("float32"))
for name in P:
    claim_equal("AE.2", f"d{name}: {G32[name].dtype} = {G[name].dtype}", G32[name], G[name], tol=1e-5, relative=True)
# %% [markdown]
# ## No tolerance fits
# A well-known rule takes central differences at $t = 10^{-5}$ and looks at $|a - m| / \max(|a|, |m|)$, promised slope
# against measured: above $10^{-2}$ the gradient is wrong, below $10^{-7}$ it is right. But that number depends on the
# step, the size of L, the precision and the number of entries, and only then on the gradient. Four right slopes: the
# one from above; the same in float32; the same with a constant in the loss, $\frac{ND}2 \log 2π$ for a million images
# of 784 pixels; a block in its minimum, where the slope is 0. Two wrong ones: the single entry; a forgotten weight
# decay of $10^{-8}$.
# %%
constant = 1e6 * 784 / 2 * np.log(2 * np.pi)
lowest = {**P, "c": np.mean(x - np.tanh(x @ P["W"] + P["b"]) @ P["V"], axis=0)}
u = rng.normal(size=W.shape)
u /= np.linalg.norm(u)
right = {"float64": (along, slope), "float32": (single, slope), "constant": (lambda t: along(t) + constant, slope),
         "minimum": (lambda t: loss({**lowest, "c": lowest["c"] + t * v["c"]}, x), gradient(lowest, x)["c"] @ v["c"])}
wrong = {"one entry": (lambda t: layer_loss({"W": W + t * u}), dot(layer_gradient({"W": W}, 1.01), {"W": u})),
         "weight decay": (lambda t: along(t) + 1e-8 * dot(at(t), at(t)), slope)}
# %%
def by_rule(f, a, t=1e-5):
    m = central_difference(f, t)
    return abs(a - m) / max(abs(a), abs(m))


def by_bars(f, a):
    measured = ridders(f)
    return abs(a - measured.value) / measured.bar


for name, case in {**right, **wrong}.items():
    print(f"{'wrong' if name in wrong else 'right'}  {name:12}  rule {by_rule(*case):7.0e}  bars {by_bars(*case):9.2g}")
# %% [markdown]
# The rule rejects two right slopes and is content with a mistake. No other tolerance would help, since mistakes stand
# *below* right slopes. In units of each measurement's own bar there is no question:
# %%
worst, least = max(by_rule(*case) for case in right.values()), min(by_rule(*case) for case in wrong.values())
claim_true("AE.2", "rule: a mistake below a right slope", least < 1e-7 and worst > 1e-2, [least, worst])
worst, least = max(by_bars(*case) for case in right.values()), min(by_bars(*case) for case in wrong.values())
claim_true("AE.2", "bars: all right < 10 < all wrong", worst < 10 < least, [worst, least])
# %% [markdown]
# So the answer to the question above: ask the measurement. A check wants float64, random parameters, a random
# direction for each block, a random cotangent, extrapolation with a bar, a complex step where it is safe, and an eye on
# kinks. The parameters and the cotangent are yours to draw; `check_gradient` does the rest. What it can never see is a
# wrong loss: lesson 10 has one.
