# %% [markdown]
# # 85 · Find the bug: a museum of mistakes
# **Question.** A gradient check says no. Which line is wrong? And if it says yes, what can be wrong all the same?
#
# Tags NL.1, NL.2, CT.1, EL.1–EL.3, RP.1, RP.2, OP.1, CV.1 · needs 12, 20, 40, 46, 60, 65, 80 · 10 s
# %%
import codecs
import inspect
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from scipy.optimize import minimize

from tinyvae import check_gradient, check_objective, load_digits, plots
from tinyvae.checks.claims import claim_equal, claim_true
from tinyvae.checks.mistakes import MISTAKES, kl
# %%
from tinyvae.checks.slopes import complex_step
from tinyvae.optim import Adam
from tinyvae.params import size, views

OUT = Path(__file__).parent / "out" if "__file__" in globals() else Path("out")
rng = np.random.default_rng(85)
# %% [markdown]
# ## How to visit
# The library keeps a collection of wrong gradients, each with one bad line. Eleven are on show here, and after them
# three wrong objectives. All run without an error, and some re-create what stands in public repositories. You first see
# the code, **then you guess**, then the checker is asked, then you read the label on the wall. A name would tell too
# much, so the names stand on their heads, like the solution below a riddle (rot13).
# %%
def look(upside_down):
    """Prints a wrong gradient without its name, its reason, and the comment at the bad line."""
    mistake = MISTAKES[codecs.decode(upside_down, "rot13")]
    lines = inspect.getsource(mistake.wrong).replace(mistake.name, "gradient").splitlines()
    print("", *(line.partition("  # wrong")[0].rstrip() for line in lines if '"""' not in line), "", sep="\n")
    return mistake


def ask(mistake):
    """The mistake in a problem of random size and values, and the checker's report, which it prints."""
    problem = mistake.make(np.random.default_rng(90))
    report = check_gradient(problem.f, problem.grad, problem.theta, terms=problem.terms, noise=problem.noise)
    print(report)
    return problem, report
# %%
def label(tag, mistake, report):
    """The label on the wall, and whether the report names the mistake and all of its blocks, and no others."""
    print(f"{mistake.name}: {mistake.reason}")
    wrong = [block.block for block in report.blocks if block.verdict == "wrong"]
    found = report.diagnosis.key if report.diagnosis else "nothing"
    right = {*wrong} == {*mistake.blocks} and found == mistake.diagnosis
    claim_true(tag, f"found: {found}", right, f"in {', '.join(wrong)}")


def by_steps(f, P, name):
    """The derivative of f by one block of P, a complex step for each entry."""
    return np.array([complex_step(lambda block: f({**P, name: block.reshape(P[name].shape)}), P[name].ravel(), unit)
                     for unit in np.eye(P[name].size)]).reshape(P[name].shape)
# %% [markdown]
# ## Room 1: two dense layers   [NL.2]
# $$h = \tanh(x W_1 + b_1), \qquad \mathrm{out} = h W_2 + b_2, \qquad f = \tfrac1{2B} \sum (\mathrm{out} - y)^2$$
# All layers are square, so that every array fits everywhere. `s` holds what is given (x, y, B), and `P` the parameters.
#
# **Exhibit 1.** Compare with lesson 20, line by line. Which line is bad? Which blocks of the gradient suffer?
# %%
exhibit = look("ovnf_bs_bar_ebj")
# %%
problem, report = ask(exhibit)
# %%
label("NL.2", exhibit, report)
wrong, right = problem.grad(problem.theta), problem.right(problem.theta)
claim_equal("NL.2", "dW₁, made of the same da, is right", wrong["W1"], right["W1"], tol=1e-14)
# %% [markdown]
# That is how it was found: what comes down to a layer serves its weight and its bias alike. If only the bias is wrong,
# the sum over rows is; if only the weight is wrong, the input that it is multiplied by.
#
# ### Reading a report
# One line is one block. Along a random unit direction v in that block f is a function of one number. `analytic` is the
# slope that the gradient promises, ⟨g, v⟩, `numeric` is the one that Ridders' extrapolation measures, `error` their
# distance, and `bar` what the measurement thinks of its own error (lesson 12). Beyond ten bars, or off the complex step
# where that is safe, the `verdict` is "wrong". `size` counts entries; a million of them are one direction, too.
# %%
analytic, numeric, error = np.array([(b.analytic, b.numeric, b.error) for b in report.blocks]).T
claim_equal("NL.2", "error = |analytic − numeric|", error, np.abs(analytic - numeric), tol=1e-15)
ok, bad = ([b.error / b.bar for b in report.blocks if b.verdict == verdict] for verdict in ("ok", "wrong"))
claim_true("NL.2", "ok < 10 bars < wrong", max(ok) < 10 < min(bad), [max(ok), min(bad)])
for block in report.blocks:
    steps, _, remainder = np.array(block.taylor[:4]).T
    order = np.polyfit(np.log(steps), np.log(remainder), 1)[0]
    claim_equal("NL.2", f"{block.block}: Taylor's remainder, order", order, 1 if block.block == "b1" else 2, tol=0.1)
plots.save_figure(plots.gradient_report(report), OUT / "85_report.png")
# %% [markdown]
# `out/85_report.png`, above: the errors, in front of what ten bars accept. In the middle the second opinion, Taylor's
# remainders along the same directions. Below, the entries of the bad block that were measured one by one.
#
# **Exhibit 2.** The same network. Two blocks are wrong this time, though there is one bad line.
# %%
exhibit = look("jrvtug_abg_genafcbfrq")
# %%
problem, report = ask(exhibit)
# %%
label("NL.2", exhibit, report)
P = {**problem.theta, "W2": problem.theta["W2"] + problem.theta["W2"].T}
claim_equal("NL.2", "with W₂ symmetric nobody would see it", problem.grad(P)["b1"], problem.right(P)["b1"], tol=1e-13)
# %% [markdown]
# The checker moved W₂ to where its transpose is no other matrix, and there the gradient was right. A mistake travels
# *down*, from the output to the input, and the report says where to look first: at the last wrong block.
#
# **Exhibit 3.** Once more two blocks. Both layers have a mean over B rows, and yet …
# %%
exhibit = look("zrna_gjvpr")
# %%
problem, report = ask(exhibit)
# %%
label("NL.2", exhibit, report)
wrong, right, B = problem.grad(problem.theta), problem.right(problem.theta), problem.numbers["B"]
norm = np.linalg.norm
difference = norm(wrong["W1"] - right["W1"]) / (norm(wrong["W1"]) + norm(right["W1"]))
claim_equal("NL.2", "relative difference (B − 1) / (B + 1)", difference, (B - 1) / (B + 1), tol=1e-13)
claim_equal("NL.2", "the report's factor is 1/B", report.diagnosis.factor, 1 / B, tol=1e-6)
# %% [markdown]
# A gradient r times too large has the relative difference $|r - 1| / (r + 1)$. So that is the "difference = 0.333" of
# many a desperate question: a ½ lost, or a 2 too many. A factor is the easiest of all mistakes to name.
#
# **Exhibit 4.** A tanh layer below a linear one. `backward(s, P, pull)` is right if `pull` turns dh into da.
# %%
exhibit = look("gnau_fybcr_sbetbggra")
# %%
problem, report = ask(exhibit)
# %%
label("NL.2", exhibit, report)
a = rng.normal(size=problem.theta["b1"].shape)
P = {**problem.theta, "W1": 0 * problem.theta["W1"], "b1": a}                   # every pre-activation of unit k is a_k
ratio = problem.grad(P)["b1"] / problem.right(P)["b1"]
claim_equal("NL.2", "W₁ = 0: too large by 1 / tanh'(b₁)", ratio, 1 / (1 - np.tanh(a) ** 2), tol=1e-10)
# %% [markdown]
# The checker made the same experiment, with several b₁, and recognised the curve.
#
# ## Room 2: a matrix that is used twice   [NL.1, CT.1]
# **Exhibit 5.** Tied weights, $\hat x = σ(x W + b)\, W^\top + c$ with half the squared error. What
# you know of f may be told to the checker: `terms` are parts that sum to it, here the two ways in which W acts, the
# loss as a function of the encoder's W (the other one held), and of the decoder's.
# %%
exhibit = look("gvrq_qrpbqre_sbetbggra")
# %%
problem, report = ask(exhibit)
# %%
label("NL.1", exhibit, report)
claim_equal("NL.1", "it is the encoder's way alone", problem.grad(problem.theta)["W"],
            by_steps(problem.terms["encoder"], problem.theta, "W"), tol=1e-13)
# %% [markdown]
# **Exhibit 6.** The contractive penalty of lesson 46, $f = \fracλB \sum_b \lVert \partial h / \partial x \rVert^2 =
# \fracλB \sum_{bk} u_{bk}^2 \lVert W_k \rVert^2$ with $u = φ'(xW + b)$. Is its gradient really that short?
# %%
exhibit = look("pbagenpgvir_cuv2_sbetbggra")
# %%
problem, report = ask(exhibit)
# %%
label("CT.1", exhibit, report)
claim_equal("CT.1", "right, were u a constant", problem.grad(problem.theta)["W"],
            by_steps(problem.terms["weights"], problem.theta, "W"), tol=1e-14)
# %% [markdown]
# ## Room 3: a VAE   [EL.3, RP.2]
# An encoder with h = tanh(x V + c), from which `W_mu` and `W_logvar` make μ and log σ²; $z = μ + σ ε$; a linear
# decoder, $\hat x = z W + b$; and $f = \tfrac1{2B} \sum (x - \hat x)^2 + \fracβ{2B} \sum (μ^2 + σ^2 - 1 - \log σ^2)$.
# `forward` gives all of it, and dz, what comes down from the decoder. The ε are given to f and to its gradient alike.
#
# **Exhibit 7.** μ and log σ² have two ways into the loss each, and each way its line. Do all factors agree with f?
# %%
exhibit = look("xy_jvgubhg_unys")
# %%
problem, report = ask(exhibit)
# %%
label("EL.3", exhibit, report)
f, times = problem.terms, {"reconstruction": 1, "squared mean": 1, "trace": 2, "entropy": 2}
spoiled = by_steps(lambda P: sum(times[name] * f[name](P, problem.noise) for name in f), problem.theta, "b_logvar")
claim_equal("EL.3", "right, were σ² and log σ² there twice", problem.grad(problem.theta, problem.noise)["b_logvar"],
            spoiled, tol=1e-13)
# %% [markdown]
# **Exhibit 8.** Compare the line for log σ² with $z = μ + e^{\log σ^2 / 2} ε$.
# %%
exhibit = look("qenj_jvgu_inevnapr")
# %%
problem, report = ask(exhibit)
# %%
label("RP.2", exhibit, report)
P = {name: block * ("logvar" not in name) for name, block in problem.theta.items()}
claim_equal("RP.2", "nobody sees it at σ = 1", problem.grad(P, problem.noise)["W_logvar"],
            problem.right(P, problem.noise)["W_logvar"], tol=1e-14)
# %% [markdown]
# Another blind point, and a likely one: the layer for log σ² is often started at zero.
#
# **Exhibit 9.** All formulas are right. Where does ε come from?
# %%
exhibit = look("abvfr_fgnyr")
# %%
problem, report = ask(exhibit)
# %%
label("RP.2", exhibit, report)
right = problem.right(problem.theta, problem.noise)["W_logvar"]
batches = rng.normal(size=problem.noise.shape), problem.noise, problem.noise
_, first, second = (problem.grad(problem.theta, eps)["W_logvar"] for eps in batches)
claim_true("RP.2", "the first call with this ε is wrong", not np.allclose(first, right), [first[0, 0], right[0, 0]])
claim_equal("RP.2", "the second call with it is right", second, right, tol=1e-14)
# %% [markdown]
# **Exhibit 10.** Six blocks are wrong, and four of them only in part.
# %%
exhibit = look("xy_bs_bar_qvzrafvba")
# %%
problem, report = ask(exhibit)
# %%
label("EL.3", exhibit, report)
columns = {block.block: [index[0] for index in block.location.indices] for block in report.blocks
           if block.location and block.location.kind == "columns"}
claim_true("EL.3", "all columns but the first", all(found == list(range(1, problem.numbers["K"]))
           for found in columns.values()) and "W_logvar" in columns, f"of {', '.join(columns)}")
# %% [markdown]
# Where no hypothesis fits the whole block, its wrong entries are searched for, by halving. Here all columns but the
# first were wrong, and *in them* one term was missing. An index had been written for a slice.
#
# ## Room 4: "other"   [CV.1]
# **Exhibit 11.** The importance-weighted bound of lesson 80, $f = -\frac1B \sum_b \log \frac1S \sum_s w_{sb}$.
# `weighted(s, v, c)` is the sum of $c_{sb}\, \partial \log w_{sb}$.
# %%
exhibit = look("vjnr_ryob_jrvtugf")
# %%
problem, report = ask(exhibit)
# %%
label("CV.1", exhibit, report)
theta, eps = problem.theta, problem.noise
alone = np.mean([problem.right(theta, draw[None])["W"] for draw in eps], axis=0)
claim_equal("CV.1", "it is the mean of the draws' ELBOs", problem.grad(theta, eps)["W"], alone, tol=1e-13)
same = np.broadcast_to(eps[:1], eps.shape)
claim_equal("CV.1", "right if all draws are the same", problem.grad(theta, same)["W"],
            problem.right(theta, same)["W"], tol=1e-13)
# %% [markdown]
# The checker has no word for this mistake: its key is "other". Read what it *rules out*, which narrows the search. No
# factor, of the whole or of a term; nothing transposed, permuted, forgotten, counted twice; and if all draws have the
# same ε, the gradient is right. So every $\partial \log w$ is right, and the c before it is not: one line is left.
#
# ## Room 5: why they live on   [OP.1]
# A wrong gradient would be found at once if training failed. Does it? We train the VAE of room 3 on 1,500 digits (64
# pixels, 30 hidden units, 10 latent dimensions, β = 1) with *every* wrong gradient that the collection has for it, and
# look at the right loss of 297 held-out digits. First for five epochs, a glance at a progress bar:
# %%
digits = 8 * load_digits()[0][rng.permutation(1797)]                              # the noise is an eighth of full ink
train, test = digits[:1500].reshape(30, 50, 64), SimpleNamespace(x=digits[1500:], B=297, beta=1.0)
shapes = {"V": (64, 30), "c": (30,), "W_mu": (30, 10), "b_mu": (10,), "W_logvar": (30, 10), "b_logvar": (10,),
          "W": (10, 64), "b": (64,)}
start, test_eps = rng.normal(scale=0.1, size=size(shapes)), rng.normal(size=(10, 297, 10))


def held_out(theta):
    P = views(theta, shapes)
    return np.mean([kl.apart(test, P, P, eps) for eps in test_eps])
# %%
def descend(gradient, n_epochs):
    """The held-out loss after each epoch of Adam."""
    rng, theta, optimizer, losses = np.random.default_rng(85), start.copy(), Adam(3e-3), []
    s = SimpleNamespace(B=50, beta=1.0, rng=np.random.default_rng(0), earlier_eps=rng.normal(size=(50, 10)))
    P, state = views(theta, shapes), optimizer.start(theta)
    for _ in range(n_epochs):
        for s.x in train:
            G = gradient(s, P, rng.normal(size=(50, 10)))
            optimizer.update(theta, np.concatenate([G[name].ravel() for name in P]), state)
        losses.append(held_out(theta))
    return losses
# %%
visitors = {mistake.name: mistake.wrong for mistake in MISTAKES.values() if mistake.topic == "kl"}
with np.errstate(over="ignore"):
    after = {name: descend(wrong, 5)[-1] for name, wrong in visitors.items()}
untrained, good = held_out(start), descend(kl.right, 5)[-1]
n_down, n_near = (np.sum(np.array([*after.values()]) < level) for level in (untrained, 1.1 * good))
claim_true("OP.1", "wrong, and the loss goes down", n_down > 0.8 * len(after), f"{n_down} of {len(after)}")
claim_true("OP.1", "within 10 % of the right one", n_near > 0.4 * len(after), f"{n_near} of {len(after)}")
claim_equal("OP.1", "KL without β: right where β = 1", after["kl_without_beta"], good, tol=1e-9)
# %% [markdown]
# Then for 60 epochs, exhibits 7, 8 and 9 beside the right gradient:
# %%
shown = {"7: ½ lost": "kl_without_half", "8: σ² for σ": "draw_with_variance", "9: stale ε": "noise_stale", "right": ""}
curves = {title: descend(visitors.get(name, kl.right), 60) for title, name in shown.items()}
*ends, best = (np.mean(curve[-5:]) for curve in curves.values())
claim_true("OP.1", "right < all three < untrained / 2", best < min(ends) and max(ends) < untrained / 2,
           [best, *ends, untrained])
ax = plots.training_curve(curves)
ax.lines[-1].set(color="k", linestyle="-")
ax.legend(frameon=False)
ax.set(ylim=(0, 0.6 * untrained), ylabel="held-out loss, nats per digit")
plots.save_figure(ax, OUT / "85_training.png")
# %% [markdown]
# `out/85_training.png`: nobody who saw one of these curves alone would look for a bug. It falls, it levels out; only
# beside the right one it is seen to end too high. So such lines live on in public repositories: a loss that goes down
# proves that the gradient points downhill, and no more.
#
# ## Room 6: right gradient, wrong objective   [RP.1, EL.1, EL.2]
# The last room has mistakes that no gradient check can find, since loss and gradient share them. A small VAE of plain
# functions: six pixels from the middle of a digit, black or white, and one latent dimension. All 64 images can be
# listed, and z integrated out, so that nothing here needs a sample.
# %%
def encode(P, x):
    return np.hsplit(x @ P["V"] + P["c"], 2)                                         # mu, logvar


def log_prob(P, x, z, total=np.sum):
    logits = z @ P["W"] + P["b"]
    return total(x * logits - np.log1p(np.exp(logits)), axis=1)


Model = namedtuple("Model", "encode draw kl log_prob")
honest = Model(encode, lambda mu, logvar, eps: mu + np.exp(logvar / 2) * eps,
               lambda mu, logvar: np.sum(mu**2 + np.exp(logvar) - 1 - logvar, axis=1) / 2, log_prob)
# %%
sizes = {"V": (6, 2), "c": (2,), "W": (1, 6), "b": (6,)}
x, count = np.unique(digits[:, [19, 20, 27, 28, 35, 36]] > 4, axis=0, return_counts=True)
x, share, z = x.astype(float), count / count.sum(), np.linspace(-10, 10, 1001)[:, None]
nodes, weights = np.polynomial.hermite_e.hermegauss(10)


def bound(model, theta, x, draws=nodes, weights=weights):
    """Of every row, log p(x|z) − KL, averaged over draws of ε: by default its expectation, by quadrature."""
    P = views(theta, sizes)
    q = model.encode(P, x)
    terms = [model.log_prob(P, x, model.draw(*q, np.full((len(x), 1), eps))) for eps in draws]
    return np.average(terms, axis=0, weights=weights) - model.kl(*q)
# %%
def examine(model, theta):
    """The gradient, made by complex steps and so right whatever the loss is; and the objective's report."""
    loss = lambda theta: -share @ bound(model, theta, x, [0.8], None)
    gradient = lambda theta: np.array([complex_step(loss, theta, unit) for unit in np.eye(theta.size)])
    P, q = views(theta, sizes), lambda x: model.encode(views(theta, sizes), x)
    functions = {"encode": q, "draw": lambda x, eps: model.draw(*q(x), eps), "kl": lambda x: model.kl(*q(x)),
                 "log_prob": lambda x, z: model.log_prob(P, x, z)}
    check, report = check_gradient(loss, gradient, theta), check_objective(functions, x)
    print(check, report, sep="\n")
    return check.ok, {finding.key: finding.cause for finding in report.findings}
# %%
def fit(model):
    return minimize(lambda theta: -share @ bound(model, theta, x), start[:26], method="BFGS").x


def log_evidence(theta):
    """log p(x) of every row, by the honest likelihood and a fine grid of z."""
    joint = [np.exp(log_prob(views(theta, sizes), row, z) - z[:, 0]**2 / 2) for row in x]
    return np.log(np.sum(joint, axis=1) * 0.02 / np.sqrt(2 * np.pi))


trained = fit(honest)
claim_true("EL.1", "honest: bound < log p(x), every row", np.all(bound(honest, trained, x) < log_evidence(trained)),
           [share @ bound(honest, trained, x), share @ log_evidence(trained)])
# %% [markdown]
# **Exhibit 12.** The honest model's other three functions stay as they are. Which of them does this one contradict?
# %%
model = honest._replace(draw=lambda mu, logvar, eps: mu + np.exp(logvar) * eps)
# %%
gradient_ok, causes = examine(model, theta := fit(model))
# %%
claim_true("RP.1", "gradient ok; sampler and KL not", gradient_ok and {"sampler", "bound"} <= {*causes}, str(causes))
levels = [*(share @ log_evidence(at) for at in (theta, trained)), share @ np.log(share), share @ bound(model, theta, x)]
claim_true("EL.1", "log p, honest, best of all, “bound”", bool(np.all(np.diff(levels) > 0)), levels)
# %% [markdown]
# The sampler takes σ² for σ, the KL does not. So q draws narrowly and pays for drawing widely, and training makes the
# most of it. The model is worse than the honest one, while its "bound" is above what the best of all laws could reach,
# the shares p of the images themselves, with a mean log p(x) of $\sum p \log p$. Of three hand-written NumPy VAEs in
# public repositories that were examined for this course, three were wrong in such ways.
#
# **Exhibit 13.** Inputs should be normalised. Of which numbers is this model a model?
# %%
model = honest._replace(encode=lambda P, x: encode(P, (x - x.mean(axis=0)) / (x.std(axis=0) + 0.1)))
# %%
gradient_ok, causes = examine(model, trained)
# %%
claim_true("EL.2", "gradient ok; rows are not independent", gradient_ok and "rows" in causes, str(causes))
halves = [np.mean([bound(m, trained, x[half]).mean() for half in (slice(0, None, 2), slice(1, None, 2))])
          for m in (honest, model)]
claim_equal("EL.2", "honest: two minibatches = the batch", halves[0], bound(honest, trained, x).mean(), tol=1e-13)
claim_true("EL.2", "this: not so", abs(halves[1] - bound(model, trained, x).mean()) > 1e-3,
           [halves[1], bound(model, trained, x).mean()])
# %% [markdown]
# A row's bound depends on the company it is in. Then minibatches do not estimate the whole, and a test picture has as
# many log-likelihoods as there are test sets.
#
# **Exhibit 14.** Many losses are written like this one. Of what is it the logarithm?
# %%
model = honest._replace(log_prob=lambda P, x, z: log_prob(P, x, z, total=np.mean))
# %%
gradient_ok, causes = examine(model, theta := fit(model))
# %%
mass = np.exp([model.log_prob(views(theta, sizes), image, np.ones((1, 1))) for image in np.ndindex(6 * (2,))]).sum()
claim_true("EL.1", "gradient ok; p(x|z) has the mass", gradient_ok and "log_prob" in causes and mass > 2, mass)
used = [share @ m.kl(*m.encode(views(at, sizes), x)) for m, at in ((honest, trained), (model, theta))]
claim_true("EL.1", "KL: 6 times too dear: z goes unused", used[1] < 1e-4 < 0.1 < used[0], used)
# %% [markdown]
# A mean over pixels, where log p(x|z) is their sum: it is no log-probability, since over all 64 images it has a mass
# far above 1, and beside it the KL weighs D times too much. Nothing fails. The posterior collapses, and one looks for
# the reason in the architecture.
#
# So check both: the gradient against the loss, and the loss against what it is said to be. For functions of your own
# that is `check_gradient`, `check_objective`, or `tinyvae check FILE.py`.
