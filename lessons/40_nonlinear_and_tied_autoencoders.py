# %% [markdown]
# # 40 · Nonlinear and tied autoencoders
# **Question.** What does a bend between the layers change: in the gradient, in what can be reproduced, and in the code?
#
# Tags NL.1, NL.1E, NL.2, NL.3, NL.3E · needs 10, 20, 30 · 7 s
# %%
from pathlib import Path

import numpy as np

from tinyvae import PCA, Autoencoder, load_digits, plots
from tinyvae.checks.claims import claim_equal, claim_true
from tinyvae.checks.slopes import complex_step

OUT = Path(__file__).parent / "out" if "__file__" in globals() else Path("out")
rng = np.random.default_rng(40)
# %% [markdown]
# ## The data
# 1,797 digits of D = 64 pixels, grey levels from 0 to 1, in random order: 1,200 to learn from, 597 held out. All
# comparisons of trained models below are made on the held-out ones. Where a tanh is to reproduce the pixels we move
# them to [−0.8, 0.8]; the erratum below shows why.
# %%
X, y = load_digits()
order = rng.permutation(len(X))
X, y = X[order], y[order]
train, test, y_train, y_test = X[:1200], X[1200:], y[:1200], y[1200:]
scaled = 1.6 * X - 0.8
# %% [markdown]
# ## One matrix and two bends   [NL.1]
# The smallest nonlinear autoencoder is that of lesson 30 with a tanh after each product,
# $$h = \tanh(W^T x), \qquad \hat x = \tanh(W h), \qquad L = \lVert x - \hat x \rVert^2 ,$$
# one matrix W (D, K) for both directions: the two are *tied*. With a row for each picture, $h$ reads $\tanh(x W)$.
# Name what goes into the second tanh, $c = h W^T$, and walk back from the loss, with tanh' = 1 − tanh²:
# $$dc = 2 (\hat x - x)(1 - \hat x^2), \qquad dh = dc\, W, \qquad da = dh\, (1 - h^2) .$$
# W multiplies h on the way out and x on the way in. Each use has its share in the derivative, and the shares add:
# $$\frac{\partial L}{\partial W} =
# \underbrace{dc^T h}_{\text{as decoder}} + \underbrace{x^T da}_{\text{as encoder}} .$$
# %%
def reconstruct(V, W, x):
    """x̂ with V to encode and W to decode; tied, they are one."""
    return np.tanh(np.tanh(x @ V) @ W.T)


def two_paths(W, x):
    """The derivative of Σ ‖x − x̂‖² by the tied W in its two parts, each (D, K)."""
    h, x_hat = np.tanh(x @ W), reconstruct(W, W, x)
    dc = 2 * (x_hat - x) * (1 - x_hat**2)
    da = dc @ W * (1 - h**2)
    return dc.T @ h, x.T @ da
# %% [markdown]
# Untied, V and W, each path is a derivative by itself: by W alone, or by V alone, at V = W. Tied, only the sum is one.
# The complex step (lesson 10) knows nothing but the loss:
# %%
def stepped(f, a):
    """The derivative of f at a, an array, by a complex step along every entry."""
    units = np.eye(a.size).reshape(-1, *a.shape)
    return np.array([complex_step(f, a, unit) for unit in units]).reshape(a.shape)


few, W = scaled[:20], rng.normal(size=(64, 5)) / 8
loss = lambda V, W: np.sum((few - reconstruct(V, W, few)) ** 2)
as_decoder, as_encoder = two_paths(W, few)
claim_equal("NL.1", "decoder's path = complex step by W", as_decoder, stepped(lambda A: loss(W, A), W), 1e-13,
            relative=True)
claim_equal("NL.1", "encoder's path = complex step by V", as_encoder, stepped(lambda A: loss(A, W), W), 1e-13,
            relative=True)
# %%
truth = stepped(lambda A: loss(A, A), W)
claim_equal("NL.1", "tied: both paths together", as_decoder + as_encoder, truth, tol=1e-13, relative=True)
errors = [np.max(np.abs(path - truth)) / np.max(np.abs(truth)) for path in (as_decoder, as_encoder)]
claim_true("NL.1", "either path alone is wrong", min(errors) > 0.01, errors)
# %% [markdown]
# In lesson 30 the encoder's path vanished as soon as the columns of W were orthonormal, and half a gradient passed the
# check. The bends end that: now the half is wrong there, too.
# %%
W_orthonormal = np.linalg.qr(W)[0]
truth = stepped(lambda A: loss(A, A), W_orthonormal)
error = np.max(np.abs(two_paths(W_orthonormal, few)[0] - truth)) / np.max(np.abs(truth))
claim_true("NL.1", "half a gradient fails where WᵀW = I", error > 0.01, error)
# %% [markdown]
# `Autoencoder(tied=True)` is this model with biases. It adds the same two paths for any number of layers. We prove it
# on one and on three, at random parameters, biases included.
# %%
def library_against_complex_step(**options):
    model = Autoencoder(3, activation="tanh", output_activation="tanh", n_epochs=0, random_state=0, **options).fit(few)
    model.theta_[:] = rng.normal(scale=0.3, size=model.theta_.size)

    def loss(theta):
        P = model.params(theta)
        return model.mean_loss(P, model.forward(P, few))
    return model.loss_and_grad(few)[1], stepped(loss, model.theta_)
# %%
claim_equal("NL.1", "library, tied = complex step", *library_against_complex_step(tied=True), tol=1e-13, relative=True)
claim_equal("NL.2", "three tied layers = complex step", *library_against_complex_step(tied=True, hidden=(6, 4)),
            tol=1e-13, relative=True)
# %% [markdown]
# ## Erratum: what a tanh cannot reproduce   [NL.1E]
# The lecture lets x be anything in $\mathbb R^n$ and ends its decoder with a tanh. But |tanh c| < 1 for every c. Where
# |x| ≥ 1 the cost of an entry, $(x - \tanh c)^2$, falls for ever as c grows towards the side of x, and never reaches
# $$(|x| - 1)^2 .$$
# Where |x| < 1 the decoder can hit x exactly, at $c = \operatorname{artanh} x$. So no decoder, however deep, with
# whatever code, gets below the floor
# $$\frac1N \sum_{\text{rows}} \sum_i \max(|x_i| - 1, 0)^2 .$$
# The files of our digits hold counts of ink from 0 to 16, that is 16 X. On one side of the claim stands the formula,
# from nothing but how often each count occurs; on the other the best that a decoder with a free c in every pixel does.
# %%
counts = 16 * train
level, how_often = np.unique(counts, return_counts=True)
floor = np.sum(how_often * np.maximum(level - 1, 0) ** 2) / len(counts)
free_c = np.where(counts < 1, np.arctanh(np.minimum(counts, 0.5)), 20.0)            # tanh 20 = 1 − 8e-18
best = np.mean(np.sum((counts - np.tanh(free_c)) ** 2, axis=1))
claim_equal("NL.1E", "unscaled: floor = the freest decoder", best, floor, tol=1e-12, relative=True)
# %% [markdown]
# This floor is high. To answer with the mean picture whatever comes, without a code, costs the total variance, and that
# is less than half of the floor. Training can only make for the floor, and it saturates the tanh on its way:
# %%
constant = counts.var(axis=0).sum()
bent = dict(n_components=10, activation="tanh", output_activation="tanh", tied=True, learning_rate=0.003, n_epochs=300,
            random_state=0)
unscaled = Autoencoder(**bent).fit(counts)
trained = unscaled.reconstruction_error(counts).mean()
claim_true("NL.1E", "trained > floor > the mean picture", trained > floor > constant, [trained, floor, constant])
saturated = np.mean(np.abs(unscaled.reconstruct(counts)[counts >= 1]) > 0.99)
claim_true("NL.1E", "where x ≥ 1 most tanh saturate", saturated > 0.9, saturated)
# %% [markdown]
# The cure is to bring the data into (−1, 1), by an affine map that can be undone. It must not reach the ends, where c
# would have to be infinite: hence [−0.8, 0.8]. (The other cure is a last layer without a bend, `output_activation`
# "identity".) Scaled, the floor is 0, and the same model with the same training brings held-out digits to a good third
# of what their mean costs. Both errors are in shares of the variance, so that they can be compared. PCA's is beside
# them, and lower still: two bends are no merit in themselves.
# %%
reached = np.tanh(np.arctanh(scaled))
claim_equal("NL.1E", "scaled: the freest decoder is exact", reached, scaled, tol=1e-12)
cured = Autoencoder(**bent).fit(scaled[:1200])
share = cured.reconstruction_error(scaled[1200:]).mean() / scaled[1200:].var(axis=0).sum()
claim_true("NL.1E", "error / variance: scaled, unscaled", share < 1 < trained / constant, [share, trained / constant])
by_pca = np.mean(np.sum((test - PCA(10).fit(train).reconstruct(test)) ** 2, axis=1)) / test.var(axis=0).sum()
print(f"PCA with ten numbers: {by_pca:.3f}")
# %% [markdown]
# ## What the units look for
# The column w of a unit of the tied model is both what it looks for and, since it decodes as well, what it adds to the
# picture. Of all inputs of one length, that along w excites the unit most. The ten of the model just trained:
# %%
plots.save_figure(plots.filters(cured.parameters_["encoder.0.W"]), OUT / "40_filters.png")
# %% [markdown]
# `out/40_filters.png`: no unit is a digit. Most want ink in one patch and none in another near it, which tells where a
# stroke runs; a digit is a sum of several. Two, the seventh and the eighth, spend their weights on the left and right
# rim, which is white in nearly all pictures. A bias could have said that, but nothing in the loss forbids the waste.
# %% [markdown]
# ## Depth against PCA   [NL.2]
# PCA is the best linear map there is (lesson 30). Do bends help, at the same width K of the code? We measure the
# squared error of held-out digits, for K = 2 and K = 10: PCA, one tanh layer with a linear decoder, and a deep network
# 64 → 64 → 32 → K and back.
# %%
def held_out_error(model):
    return np.sum((test - model.reconstruct(test)) ** 2, axis=1)


options = dict(activation="tanh", learning_rate=0.003, batch_size=50, n_epochs=200, random_state=0)
models = {K: {"PCA": PCA(K), "one layer": Autoencoder(K, **options),
              "deep": Autoencoder(K, hidden=(64, 32), **options)} for K in (2, 10)}
errors = {K: {name: held_out_error(model.fit(train)) for name, model in row.items()} for K, row in models.items()}
for K, row in errors.items():
    print(f"K = {K:2}  ", "   ".join(f"{name} {error.mean():.3f}" for name, error in row.items()))
# %% [markdown]
# Two findings. A single bent layer in front of a linear decoder is no better than PCA: its pictures still lie in a
# plane of dimension K, and among those PCA's is the best (on the training digits; on held-out ones almost). It takes
# a hidden layer in the *decoder* to bend that plane. Depth then pays. The picture-by-picture difference has a
# standard error, and the gain is far outside two of them:
# %%
def mean_and_se(difference):
    return difference.mean(), difference.std(ddof=1) / np.sqrt(len(difference))


for K, row in errors.items():
    gain, se = mean_and_se(row["PCA"] - row["deep"])
    claim_true("NL.2", f"K = {K}: deep beats PCA by > 2 s.e.", gain > 2 * se, [gain, se])
    at_train = [np.mean(np.sum((train - models[K][name].reconstruct(train)) ** 2, axis=1))
                for name in ("PCA", "one layer", "deep")]
    claim_true("NL.2", f"K = {K}, seen: deep < PCA ≤ one layer", at_train[2] < at_train[0] <= at_train[1], at_train)
# %% [markdown]
# ## Looking at the code   [NL.3]
# With K = 2 the code f(x) of a digit is a point of the plane, and all held-out digits can be drawn on one page. The
# network never saw a label. If it has learned something about digits, then equal ones should lie together.
# %%
deep, pca = models[2]["deep"], models[2]["PCA"]
ax = plots.latent_plane(deep.transform(test), y_test)
ax.set(xlabel="h₁", ylabel="h₂")
plots.save_figure(ax, OUT / "40_plane.png")
# %% [markdown]
# `out/40_plane.png`. To put a number to it, give each held-out digit the label of its *nearest neighbour* among the
# training codes, and count how often that is right. Chance is near a tenth: what the same count gives when the
# training labels are shuffled, of which we take a hundred.
# %%
def nearest(model):
    """For each held-out digit which training digit has the nearest code."""
    difference = model.transform(test)[:, None] - model.transform(train)[None]
    return np.argmin(np.sum(difference**2, axis=2), axis=1)


neighbour = nearest(deep)
right = y_train[neighbour] == y_test
chance = np.array([np.mean(rng.permutation(y_train)[neighbour] == y_test) for _ in range(100)])
z = (right.mean() - chance.mean()) / chance.std(ddof=1)
claim_true("NL.3", "right > chance by 5 s.d. of chance", z > 5, [right.mean(), chance.mean(), z])
gain, se = mean_and_se(right.astype(float) - (y_train[nearest(pca)] == y_test))
claim_true("NL.3", "and > PCA's plane by 2 s.e.", gain > 2 * se, [gain, se])
# %% [markdown]
# ## Erratum: f(x), not f(h)   [NL.3E]
# The lecture then proposes to feed "f(h)" to a classifier. But f takes pictures to codes, $f: \mathbb R^D \to \mathbb
# R^K$, and h is a code already: f(h) does not exist unless D = K. What is meant is h = f(x).
# %%
h = deep.transform(test)
claim_true("NL.3E", "f(x): (N, 64) → (N, 2)", test.shape == (597, 64) and h.shape == (597, 2), f"{h.shape}")
try:
    deep.transform(h)
    refusal = "none"
except ValueError as error:
    refusal = str(error)
claim_true("NL.3E", "f(h) is refused", "2 features" in refusal, refusal)
# %% [markdown]
# ## What to remember
# - A tied W is used twice, and its gradient has two parts. Check the sum, at random parameters.
# - The last activation decides what can be reproduced at all: scale the data to it, or leave it linear.
# - Bends in the encoder alone buy nothing over PCA. A hidden layer in the decoder lets the plane of pictures curve.
# - f(x) can be drawn. Lesson 48 uses it in place of x to tell digits apart with few labels.
