# %% [markdown]
# # 48 · Features for a classifier
# **Question.** If few pictures have labels and many have none, does a code learned without labels help to classify?
#
# Tags NL.3 · needs 10, 30, 40 · 30 s
# %%
from pathlib import Path

import numpy as np

from tinyvae import PCA, Autoencoder, LinearSVM, SoftmaxClassifier, load_mnist5k, plots
from tinyvae.checks.claims import claim_equal, claim_true
from tinyvae.checks.slopes import complex_step
from tinyvae.classifiers import cross_entropy, cross_entropy_ds, squared_hinge, squared_hinge_ds
from tinyvae.corruption import MaskingNoise
from tinyvae.params import Layer
from tinyvae.penalties import Contractive, KLSparsity

OUT = Path(__file__).parent / "out" if "__file__" in globals() else Path("out")
rng = np.random.default_rng(48)
# %% [markdown]
# ## Two linear classifiers   [NL.3]
# Both give every class c a score, $s = x W + b$, and predict the largest. They differ in the loss of a row whose class
# is y. *Softmax* takes the scores for log-probabilities, up to a constant:
# $$L = -\log \frac{e^{s_y}}{\sum_c e^{s_c}}, \qquad \frac{\partial L}{\partial s_c} = p_c - [c = y],
# \quad p = \mathrm{softmax}(s) .$$
# The *support vector machine* wants $t_c s_c \ge 1$, with $t_c = 1$ for the row's class and −1 for all others, and
# pays the square of what is missing:
# $$L = \sum_c \max(0, 1 - t_c s_c)^2, \qquad
# \frac{\partial L}{\partial s_c} = -2\, t_c \max(0, 1 - t_c s_c) .$$
# This has a kink in its slope where $t_c s_c = 1$. There we do not measure: how far away we stay is shown.
# %%
def stepped(f, a):
    """The derivative of f at a, an array, by a complex step along every entry."""
    units = np.eye(a.size).reshape(-1, *a.shape)
    return np.array([complex_step(f, a, unit) for unit in units]).reshape(a.shape)


s, classes, w = rng.normal(scale=2, size=(8, 10)), rng.integers(10, size=8), rng.random(8)
claim_equal("NL.3", "softmax: ∂L/∂s = complex step", cross_entropy_ds(s, classes, w),
            stepped(lambda s: w @ cross_entropy(s, classes), s), tol=1e-13)
distance = np.min(np.abs(1 - np.where(np.arange(10) == classes[:, None], s, -s)))
claim_true("NL.3", "all scores are off the kink", distance > 1e-4, distance)
claim_equal("NL.3", "squared hinge: ∂L/∂s = complex step", squared_hinge_ds(s, classes, w),
            stepped(lambda s: w @ squared_hinge(s, classes), s), tol=1e-13)
# %% [markdown]
# With $x W + b$ below it, the mean over rows in front and $\tfrac12 λ \lVert W \rVert^2$ beside it, that is a whole
# classifier. Its gradient in W and in b, at random parameters:
# %%
x = rng.normal(size=(8, 6))
for kind in (SoftmaxClassifier, LinearSVM):
    model = kind(l2=0.3, n_epochs=0).fit(x, np.arange(8) % 4)
    model.theta_[:], y4, grad = rng.normal(size=model.theta_.size), rng.integers(4, size=8), np.empty_like(model.theta_)
    model.backward(model.params(), x, y4, model.params(grad))
    claim_equal("NL.3", f"{kind.__name__} = complex step", grad,
                stepped(lambda theta: model.mean_loss(model.params(theta), x, y4), model.theta_), tol=1e-13)
# %% [markdown]
# ## Who may see what
# 5,000 digits of 28 × 28 pixels, shuffled first: the file is sorted by class. Three parts, and what each is for:
# - *pool*, 3,000: pictures for the features; its labels are shown to the classifier, 50 to 1,000 at a time.
# - *validation*, 1,000: pictures for the features, too. Its labels choose how strong each penalty is.
# - *test*, 1,000: nothing is learned or chosen from it, neither from its pictures nor from its labels.
#
# Why choose on other labels than those of the final splits? A strength that was chosen with the help of the test would
# make its own accuracy look better than it is, and one chosen on the rows that the classifier learns from would favour
# what fits them too closely. (Our validation spends 1,000 labels. Whoever has only a hundred must choose with those.)
# %%
X, y = load_mnist5k(dtype="float32")
order = rng.permutation(len(X))
X, y = X[order], y[order]
POOL, VALIDATION, TEST = np.split(np.arange(5000), [3000, 4000])
unlabelled = X[:4000]
# %% [markdown]
# ## Six feature maps
# The pixels are 784 features, all other maps have K = 200. The autoencoders are the same network, one tied layer
# of sigmoids with a Bernoulli decoder, the same start, the same fifteen epochs. They differ in one term, at three
# strengths each (lessons 42, 44 and 46 are about these terms):
# - *sparse*, KLSparsity: the mean of each unit over the pictures is to be a twentieth;
# - *denoising*, MaskingNoise: a share p of the pixels is set to 0, and must be restored;
# - *contractive*: the code may not change fast, $λ\, \lVert ∂h/∂x \rVert^2$.
# %%
network = dict(activation="sigmoid", loss="bernoulli", tied=True, n_epochs=15, random_state=48)
candidates = {
    "pixels": [None],
    "PCA": [PCA(200)],
    "plain": [Autoencoder(200, **network)],
    "sparse": [Autoencoder(200, penalties=[KLSparsity(0.05, lam)], **network) for lam in (0.1, 0.5, 2.0)],
    "denoising": [Autoencoder(200, corruption=MaskingNoise(p), **network) for p in (0.25, 0.5, 0.75)],
    "contractive": [Autoencoder(200, penalties=[Contractive(lam)], **network) for lam in (0.5, 2.0, 8.0)]}
# %% [markdown]
# A classifier with a penalty on ‖W‖² cares about the scale of its input. So all features, pixels included, are treated
# alike: the mean is subtracted, and the whole table divided by one number, the root mean square of its entries. Both
# come from the unlabelled pictures. The classifier is the same for all: softmax, 200 steps of Adam on a hundred rows
# each; only its l2 is chosen, for every map from the same three values.
# %%
def features(model):
    """The table of all 5,000 codes, centred and on one scale, by a model that has seen the unlabelled pictures."""
    H = X if model is None else model.fit(unlabelled).transform(X)
    H = H - H[:4000].mean(axis=0)
    return H / np.sqrt(np.mean(H[:4000] ** 2))


def hits(H, labelled, rows, l2, kind=SoftmaxClassifier):
    """Which of these rows a classifier gets right that has been shown the labelled ones."""
    n_epochs = 200 // -(-len(labelled) // 100)
    classifier = kind(l2=l2, n_epochs=n_epochs, random_state=0).fit(H[labelled], y[labelled])
    return classifier.predict(H[rows]) == y[rows]
# %% [markdown]
# ## Choosing, on the validation part alone
# Five times, a hundred labels are drawn from one half of the validation part, and the other half is predicted. Every
# map keeps the strength and the l2 with the best mean.
# %%
learn, judge = VALIDATION[:500], VALIDATION[500:]
draws = [rng.permutation(learn)[:100] for _ in range(5)]


def choose(maps, l2s, kind=SoftmaxClassifier):
    """(mean accuracy, number of the map, l2) of the best of these feature tables and l2."""
    return max((np.mean([hits(H, labelled, judge, l2, kind) for labelled in draws]), i, l2)
               for i, H in enumerate(maps) for l2 in l2s)
# %%
tables, l2_of, validated = {}, {}, {}
for name, models in candidates.items():
    maps = [features(model) for model in models]
    validated[name], i, l2_of[name] = choose(maps, (0.01, 0.03, 0.1))
    tables[name] = maps[i]
    term = [*getattr(models[i], "penalties", ()), getattr(models[i], "corruption", None)]
    print(f"{name:12}{100 * validated[name]:.1f} %   l2 = {l2_of[name]:<5}", *filter(None, term))
favourite = max(validated, key=validated.get)
# %% [markdown]
# The map that does best here, `favourite`, is named *before* the test part is touched, and the claim against the pixels
# is made for it alone. The best of five on the test part would be flattered: it is there that it would have been
# picked.
# %% [markdown]
# ## The test
# Ten splits: each shuffles the pool and shows its first 50, 100, 200, 500 and 1,000 labels to the classifier, the same
# ones for every map. All predict the same 1,000 test pictures.
# %%
counts = (50, 100, 200, 500, 1000)
splits = [rng.permutation(POOL) for _ in range(10)]
right = {name: np.array([[hits(H, split[:n], TEST, l2_of[name]) for n in counts] for split in splits])
         for name, H in tables.items()}                                     # (split, count, test picture)
accuracy = {name: r.mean(axis=2) for name, r in right.items()}
print("accuracy in %, ± one standard error over splits\nlabels      ", "".join(f"{n:<14}" for n in counts))
for name, a in accuracy.items():
    mean, se = 100 * a.mean(axis=0), 100 * a.std(axis=0, ddof=1) / np.sqrt(len(a))
    print(f"{name:12}", "".join(f"{m:.1f} ± {e:.1f}    " for m, e in zip(mean, se)))
plots.save_figure(plots.accuracy_over_labels(counts, accuracy), OUT / "48_accuracy.png")
# %% [markdown]
# `out/48_accuracy.png`: pixels and PCA below, the four autoencoders above, at every number of labels.
#
# ## Two kinds of chance
# A split with a lucky choice of labels is lucky for every map. So we take the *difference* of two maps within each
# split first, and its standard error over the splits: it is smaller than those of the table.
#
# The splits share their test pictures. Would others have given another answer? The second standard error asks that: of
# the difference, averaged over splits, from picture to picture. A gain should stand out of both. (At 1,000 labels of
# 3,000 the splits overlap, and the first is then a little too small. And every network was trained only once.)
# %%
def paired(a, b):
    """accuracy(a) − accuracy(b) at every count, and its standard errors over splits and over test pictures."""
    difference = a.astype(float) - b
    by_split, by_picture = difference.mean(axis=2), difference.mean(axis=0)
    return np.array([by_split.mean(axis=0), by_split.std(axis=0, ddof=1) / np.sqrt(len(by_split)),
                     by_picture.std(axis=1, ddof=1) / np.sqrt(by_picture.shape[1])])
# %% [markdown]
# First the question of the lesson: a hundred labels, and the favourite against the pixels. The numbers shown are the
# gain and its two standard errors.
# %%
gain, se, se_pictures = paired(right[favourite], right["pixels"])[:, counts.index(100)]
claim_true("NL.3", f"100 labels: {favourite} > pixels", gain > 2 * max(se, se_pictures), [gain, se, se_pictures])
# %% [markdown]
# Then two maps of the same width, learned from the same pictures: is a nonlinear one at least as good as PCA? We ask
# for no more than "not worse by two standard errors", at every number of labels. Even the plain autoencoder is better
# by two, at each. The five gains:
# %%
gain, se, se_pictures = paired(right["plain"], right["PCA"])
claim_true("NL.3", "plain ≥ PCA − 2 s.e., at each count", bool(np.all(gain > -2 * se)), gain)
claim_true("NL.3", "plain > PCA + 2 s.e., at each count", bool(np.all(gain > 2 * np.maximum(se, se_pictures))), gain)
# %% [markdown]
# PCA itself can do little for a linear classifier: its features are linear in the pixels, so every score that it allows
# was there before. What helps is the bend.
#
# And the penalties? Gains over the plain autoencoder in percent, ± two standard errors over the splits:
# %%
print("labels      ", "".join(f"{n:<14}" for n in counts))
for name in ("sparse", "denoising", "contractive"):
    gain, se, _ = 100 * paired(right[name], right["plain"])
    print(f"{name:12}", "".join(f"{g:+.1f} ± {2 * e:.1f}    " for g, e in zip(gain, se)))
# %% [markdown]
# Most of what is gained over the pixels is the plain autoencoder's already. Sparsity and contraction add one
# or two percent, more than two standard errors throughout; masking adds little below 1,000 labels.
# %% [markdown]
# ## The other classifier
# The same comparison by support vectors, with l2 chosen as before, from larger values: the squared hinge is a larger
# loss.
# %%
svm = {}
for name in ("pixels", favourite):
    validation, _, l2 = choose([tables[name]], (0.3, 3.0, 30.0), LinearSVM)
    svm[name] = np.array([[hits(tables[name], split[:100], TEST, l2, LinearSVM)] for split in splits])
    print(f"{name:12}{100 * validation:.1f} % on validation, l2 = {l2:<4}   {100 * svm[name].mean():.1f} % on test")
gain, se, se_pictures = paired(svm[favourite], svm["pixels"])[:, 0]
claim_true("NL.3", f"SVM: {favourite} > pixels", gain > 2 * max(se, se_pictures), [gain, se, se_pictures])
# %% [markdown]
# ## What to remember
# - A code learned without labels is worth labels: compare where the curves reach the same height.
# - One test part, looked at once; strengths chosen on other rows; the winner named before the test.
# - Differences are taken within a split, and have two standard errors: one for the labels, one for the test pictures.
