# %% [markdown]
# # 20 · Dense layers and backpropagation
# **Question.** How does the derivative of a loss find its way back through any number of layers, and what does it cost?
#
# Tags AE.1, NL.2 · needs 10 · 5 s
# %%
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from tinyvae import PCA, Autoencoder, load_digits, plots
from tinyvae.checks.claims import claim_equal, claim_true
from tinyvae.checks.slopes import complex_step, ridders
from tinyvae.datasets import Banana
from tinyvae.mlp import mlp_backward, mlp_forward
from tinyvae.ops import ACTIVATIONS, activation_dbias, bias_activation, dense, dense_dparams, dense_dx
from tinyvae.params import initial, size, slices, stack, stack_shapes, views

OUT = Path(__file__).parent / "out" if "__file__" in globals() else Path("out")
rng = np.random.default_rng(20)
# %% [markdown]
# ## A layer and its three derivatives   [NL.2]
# A dense layer takes B rows of I numbers each to B rows of O numbers, by a matrix W (I, O) and a vector b (O):
# $$y = x W + b, \qquad y_{no} = \sum_i x_{ni} W_{io} + b_o .$$
# Let dy, of y's shape, be the derivative of some loss L by y: whatever follows the layer has supplied it. By the
# chain rule, L feels $W_{io}$ through the $y_{no}$ of every row n, each of which changes by $x_{ni}$:
# $$dW_{io} = \sum_n x_{ni}\, dy_{no} = (x^\top dy)_{io}, \qquad db_o = \sum_n dy_{no}, \qquad
# dx_{ni} = \sum_o dy_{no} W_{io} = (dy\, W^\top)_{ni} .$$
# The shapes are a good memory aid: (I, O) out of (B, I) and (B, O) can only be $x^\top dy$.
# %% [markdown]
# These are `dense`, `dense_dx` and `dense_dparams`. We hold them against the complex step of lesson 10, which knows the
# forward line only, entry by entry. The loss is a sum of all outputs with random weights, so that its derivative by y,
# the cotangent, is known: the weights themselves.
# %%
def stepped(f, a):
    """The derivative of f at a, an array, by a complex step along every entry."""
    units = np.eye(a.size).reshape(-1, *a.shape)
    return np.array([complex_step(f, a, unit) for unit in units]).reshape(a.shape)


x, W, b, dy = (rng.normal(size=shape) for shape in ((5, 4), (4, 3), (3,), (5, 3)))
dW, db = np.empty_like(W), np.empty_like(b)
dense_dparams(dy, x, dW, db)
claim_equal("NL.2", "dx = dy Wᵀ", dense_dx(dy, W), stepped(lambda x: np.sum(dy * dense(x, W, b)), x), tol=1e-13)
claim_equal("NL.2", "dW = xᵀ dy", dW, stepped(lambda W: np.sum(dy * dense(x, W, b)), W), tol=1e-13)
claim_equal("NL.2", "db = Σ dy", db, stepped(lambda b: np.sum(dy * dense(x, W, b)), b), tol=1e-13)
# %% [markdown]
# ## Activations, differentiated from their own value
# Dense layers in a row are only another dense layer. What makes depth worth while is a bend between them, h = φ(a),
# number by number. The derivative φ' of each can be written with h alone, so that a need not be kept:
#
# | | φ(a) | φ'(a), from h = φ(a) |
# |---|---|---|
# | tanh | $\tanh a$ | $1 - h^2$ |
# | sigmoid | $1 / (1 + e^{-a})$ | $h (1 - h)$ |
# | relu | $\max(a, 0)$ | 1 where h > 0, else 0 |
# | elu | a where a > 0, else $e^a - 1$ | $1 + \min(h, 0)$ |
# | softplus | $\log(1 + e^a)$ | $1 - e^{-h}$ |
# %% [markdown]
# For instance the last one: $1 - e^{-h} = 1 - 1 / (1 + e^a) = e^a / (1 + e^a)$, and that is the derivative of
# $\log(1 + e^a)$. The second derivative φ'' is there for losses that contain φ' themselves. The complex step takes φ to
# φ', and then φ' to φ'', at two hundred random a:
# %%
a = rng.normal(scale=2, size=200)
for name, phi in ACTIVATIONS.items():
    h = phi.f(a)
    first = phi.f(a + 1e-30j).imag / 1e-30
    second = phi.d(phi.f(a + 1e-30j)).imag / 1e-30
    claim_equal("NL.2", f"{name}: φ', φ'' = complex step", [phi.d(h), phi.dd(h)], [first, second], tol=1e-13)
# %% [markdown]
# Beside a matrix product, biases and activations cost little arithmetic but many trips to memory. So the library does
# them together: `bias_activation` writes φ(x W + b) over the product x W, `activation_dbias` writes da = dh φ'(a) over
# dh and forms db = Σ da in the same pass.
# %%
phi = ACTIVATIONS["tanh"]
h, dh = bias_activation(x @ W, b, phi), dy
da = dh.copy()
activation_dbias(da, h, phi, db)
claim_equal("NL.2", "h = φ(dense(x, W, b))", h, phi.f(dense(x, W, b)), tol=1e-14)
by_steps = stepped(lambda a: np.sum(dh * np.tanh(a)), x @ W + b)
claim_equal("NL.2", "da = dh φ'(a), by complex step", da, by_steps, tol=1e-14)
by_steps = stepped(lambda b: np.sum(dh * np.tanh(x @ W + b)), b)
claim_equal("NL.2", "db = Σ da, by complex step", db, by_steps, tol=1e-14)
# %% [markdown]
# ## A stack of layers, forwards and backwards
# `mlp_forward` starts from $h_0 = x$, repeats one line for $i = 1 \dots L$, and keeps every $h_i$ for the way back:
# $$h_i = \varphi_i(a_i), \qquad a_i = h_{i-1} W_i + b_i .$$
# `mlp_backward` starts from $dh_L$, the derivative by the output, and walks $i = L \dots 1$ with four formulas, all of
# them proved above:
# $$da_i = dh_i\, \varphi_i'(a_i), \qquad db_i = \sum_n da_i, \qquad
# dW_i = h_{i-1}^\top da_i, \qquad dh_{i-1} = da_i W_i^\top .$$
# The first three use what the layer was given and what comes from above; the last hands on to the layer below. That
# is all of backpropagation: no derivative is ever computed twice, because everything that lies above layer i has been
# condensed into the one array $dh_i$.
# %% [markdown]
# ## One vector θ
# A stack of L layers has 2 L arrays of parameters. They live in one flat vector θ, and the W and b are *views* of it:
# other names for the same memory. Whoever wants arrays (formulas) takes the views, whoever wants a vector
# (optimisers, checks) takes θ, and nothing is ever copied between the two. The gradient is a second vector with views
# of the same names.
# %%
shapes = stack_shapes("net", (6, 4, 3))
theta = initial(shapes, rng, "float64")
for name, place in slices(shapes).items():
    print(f"{name}  shape {str(shapes[name]):7}  θ[{place.start}:{place.stop}]")
views(theta, shapes)["net.0.b"][:] = 0.5
claim_true("NL.2", "what is written to a view stands in θ", bool(np.all(theta[24:28] == 0.5)), theta[24:28])
# %% [markdown]
# ## Any depth, any width   [NL.2]
# Now the proof: stacks of one to five layers, random θ (biases too), a random cotangent, and the complex step along
# every entry of θ. Errors are relative to the largest entry of their block, so that small blocks count as much as
# large ones.
# %%
def forward(theta, shapes, phis, x):
    return mlp_forward(stack(views(theta, shapes), "net"), phis, x)


def gradient(theta, shapes, phis, x, cotangent):
    grad = np.empty_like(theta)
    layers, grads = (stack(views(vector, shapes), "net") for vector in (theta, grad))
    mlp_backward(layers, phis, mlp_forward(layers, phis, x), cotangent, grads, need_dx=False)
    return grad
# %%
x = rng.normal(size=(5, 6))
depths = {"tanh": (6, 3), "sigmoid": (6, 4, 3), "softplus": (6, 2, 7, 3), "elu": (6, 5, 5, 5, 3),
          "relu": (6, 9, 8, 7, 8, 3)}
for name, widths in depths.items():
    shapes, phis = stack_shapes("net", widths), [ACTIVATIONS[name]] * (len(widths) - 1)
    theta, cotangent = rng.normal(scale=0.5, size=size(shapes)), rng.normal(size=(5, 3))
    exact = stepped(lambda theta: np.sum(cotangent * forward(theta, shapes, phis, x)[-1]), theta)
    scale = np.concatenate([np.full(p.stop - p.start, np.max(np.abs(exact[p]))) for p in slices(shapes).values()])
    claim_equal("NL.2", f"{len(phis)} × {name}: backward = complex step",
                gradient(theta, shapes, phis, x, cotangent) / scale, exact / scale, tol=1e-13)
# %% [markdown]
# A second witness, without complex numbers: Ridders' extrapolated differences, along one random direction in each
# block of a deep softplus network.
# %%
shapes, phis = stack_shapes("net", (6, 8, 7, 6, 5, 3)), [ACTIVATIONS["softplus"]] * 5
theta = rng.normal(scale=0.5, size=size(shapes))
promised, measured = [], []
for place in slices(shapes).values():
    v = np.zeros_like(theta)
    v[place] = rng.normal(scale=1 / np.sqrt(place.stop - place.start), size=place.stop - place.start)
    promised.append(gradient(theta, shapes, phis, x, cotangent) @ v)
    measured.append(ridders(lambda t: np.sum(cotangent * forward(theta + t * v, shapes, phis, x)[-1])).value)
claim_equal("NL.2", "ten blocks: backward = Ridders", promised, measured, tol=1e-9, relative=True)
# %% [markdown]
# The derivative by the input x is there as well, for whoever asks: a decoder's input is the code, and the encoder waits
# for its derivative.
# %%
layers, unused = stack(views(theta, shapes), "net"), stack(views(np.empty_like(theta), shapes), "net")
dx = mlp_backward(layers, phis, mlp_forward(layers, phis, x), cotangent, unused, need_dx=True)[0]
by_steps = stepped(lambda x: np.sum(cotangent * forward(theta, shapes, phis, x)[-1]), x)
claim_equal("NL.2", "dx, through all five layers", dx, by_steps, tol=1e-13)
# %% [markdown]
# ## What it costs
# Multiplications are spent in matrix products. A layer needs B · I · O of them forwards, and backwards the same
# number twice: for dW and for dx. So the derivatives by *all* parameters cost about two more forward passes, where
# differences would take one for each parameter. And the first layer's dx is not needed at all, since nobody adjusts
# the data. To see it, we give the library W and dW that count the products they take part in.
# %%
class Counting(np.ndarray):
    multiplications = 0

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **options):
        if ufunc is np.matmul:
            Counting.multiplications += inputs[0].size * inputs[1].shape[1]
        out = tuple(np.asarray(array) for array in out) or None
        return getattr(ufunc, method)(*(np.asarray(array) for array in inputs), out=out, **options)


def counting(layers):
    return [(W.view(Counting), b) for W, b in layers]
# %%
widths, B = (784, 400, 20, 400, 784), 100
shapes, phis = stack_shapes("net", widths), [ACTIVATIONS["tanh"]] * 4
theta = initial(shapes, rng, "float64")
layers, grads = (counting(stack(views(array, shapes), "net")) for array in (theta, np.empty_like(theta)))
hs = mlp_forward(layers, phis, rng.normal(size=(B, 784)))
forwards = Counting.multiplications
mlp_backward(layers, phis, hs, rng.normal(size=(B, 784)), grads, need_dx=False)
backwards = Counting.multiplications - forwards
products = [B * n_in * n_out for n_in, n_out in zip(widths, widths[1:])]
claim_equal("NL.2", "multiplications forwards: Σ B I O", forwards, sum(products), tol=0.5)
claim_equal("NL.2", "backwards: twice, but for one dx", backwards, 2 * sum(products) - products[0], tol=0.5)
print(f"{theta.size} parameters; the backward pass costs {backwards / forwards:.2f} forward passes")
# %% [markdown]
# ## An autoencoder is two stacks   [AE.1]
# The encoder $f: \mathbb R^D \to \mathbb R^K$ is a stack of layers, and so is the decoder
# $g: \mathbb R^K \to \mathbb R^D$, with K < D. An `Autoencoder` runs one after the other, and on the way back the
# decoder's dx is the encoder's dh. Its `loss_and_grad` gives the mean squared error and the gradient, at `theta_`.
# Our data is a banana: points of the plane round the parabola $x_2 = x_1^2 / 2$, to be squeezed through a single
# number. First the proof, at a random θ.
# %%
law = Banana(sd1=1, sd2=0.2, bend=0.5)
train, test = law.sample(500, rng), law.sample(500, rng)
model = Autoencoder(n_components=1, hidden=(8,), random_state=0, n_epochs=0).fit(train)      # no epochs: only a first θ
start = model.theta_.copy()


def forward_loss(theta):
    P = model.params(theta)
    return model.mean_loss(P, model.forward(P, train))


model.theta_[:] = rng.normal(scale=0.5, size=start.size)
claim_equal("NL.2", "autoencoder: gradient = complex step", model.loss_and_grad(train)[1],
            stepped(forward_loss, model.theta_), tol=1e-13, relative=True)
# %% [markdown]
# A function from θ to a loss and its gradient is all that an optimiser asks for. SciPy's L-BFGS trains our network:
# %%
def loss_and_grad(theta):
    model.theta_[:] = theta
    return model.loss_and_grad(train)


found = minimize(loss_and_grad, start, jac=True, method="L-BFGS-B", options={"maxiter": 150})
model.theta_[:] = found.x
print(f"{found.nit} iterations, {found.nfev} gradients, {found.x.size} parameters: the loss falls to {found.fun:.4f}")
# %% [markdown]
# It has two rivals. The best constant is the mean, and its loss is the total variance. The best *linear* map through
# one number is the projection onto the leading principal direction (lesson 30 proves it), and its loss is the
# variance across. Both rivals may look at the test points themselves; the network has never seen them.
# %%
code, x_hat = model.transform(test), model.reconstruct(test)
claim_true("AE.1", "f: R² → R¹, g: R¹ → R²", code.shape == (500, 1) and x_hat.shape == (500, 2),
           f"{code.shape}, {x_hat.shape}")
trained = np.mean(np.sum((test - x_hat) ** 2, axis=1))
pca = PCA(1).fit(test)
best_linear = np.mean(np.sum((test - pca.reconstruct(test)) ** 2, axis=1))
best_constant = np.mean(np.sum((test - test.mean(axis=0)) ** 2, axis=1))
claim_true("AE.1", "banana: network < linear < constant", trained < best_linear < best_constant,
           [trained, best_linear, best_constant])
# %% [markdown]
# All that a decoder can say with one number is a line: PCA's is straight, the network's is curved, and training has
# laid it along the data. Reconstruction moves each test point (dots) to a place on that line.
# %%
ax = plots.latent_plane(test)
h = np.linspace(code.min(), code.max(), 200)[:, None]
ax.plot(*model.inverse_transform(h).T, color="black", linewidth=2.5)
ax.plot(*pca.inverse_transform(np.array([[-3.0], [3.0]])).T, color=plots.COLOURS[2], linewidth=2.5, linestyle="--")
ax.text(1.9, 2.4, "the network's curve g(h)", ha="right")
ax.text(3.0, 0.95, "PCA's line", color=plots.COLOURS[2], ha="right", va="top")
ax.set(xlabel="x₁", ylabel="x₂")
plots.save_figure(ax, OUT / "20_banana.png")
# %% [markdown]
# ## Why depth is hard
# On its way down, $da_i = (da_{i+1} W_{i+1}^\top)\,\varphi_i'(a_i)$, the derivative is multiplied by one φ' a layer.
# The first W are drawn on a scale at which they neither shrink nor stretch it (Glorot and Bengio). But sigmoid' is at
# most 1/4: ten layers leave a millionth. We predict the factor a layer from the *forward* pass alone, as the root
# mean square of φ' (its geometric mean over the layers), and hold it against what comes out of the backward pass.
# %%
images, _ = load_digits()
shapes, sizes = stack_shapes("net", (64,) * 11), {}
unused = stack(views(np.empty(size(shapes)), shapes), "net")
for name in ("relu", "tanh", "sigmoid"):
    phis, layers = [ACTIVATIONS[name]] * 10, stack(views(initial(shapes, rng, "float64"), shapes), "net")
    hs = mlp_forward(layers, phis, images[:50])
    das = mlp_backward(layers, phis, hs, rng.normal(size=(50, 64)), unused, need_dx=False)[1:]
    sizes[name] = [np.sqrt(np.mean(da**2)) for da in das]
    measured = (sizes[name][0] / sizes[name][-1]) ** (1 / 9)
    expected = np.exp(np.mean([np.log(np.mean(phi.d(h) ** 2)) / 2 for phi, h in zip(phis, hs[1:-1])]))
    claim_equal("NL.2", f"{name}: what a layer lets through", measured, expected, tol=0.05)
# %% [markdown]
# The size of the derivative on its way from layer 10 down to layer 1, where it must tell the first W what to do:
# under sigmoid it has all but vanished.
# %%
ax = plots.training_curve(sizes)
ax.set(yscale="log", xlabel="layer (1 reads the data)", ylabel="root mean square of da")
ax.set(xticks=range(1, 11), xlim=(-0.4, 10.4))
ax.get_legend().remove()
for name, values in sizes.items():
    ax.text(0.8, values[0], name, ha="right", va="center")
plots.save_figure(ax, OUT / "20_vanishing_gradients.png")
# %% [markdown]
# ## Five ways downhill
# Optimisers use the gradient g on a minibatch, 100 digits here, to move θ at a learning rate η. An epoch is one pass
# over all minibatches. Our five start from the same θ and see the same minibatches.
# - sgd: $\theta \leftarrow \theta - \eta g$
# - momentum: $v \leftarrow \beta v + g$, $\ \theta \leftarrow \theta - \eta v$, β = 0.9. Where g is steady, v grows
#   to 10 g.
# - nesterov: $\theta \leftarrow \theta - \eta (g + \beta v)$, the same, looking one step ahead.
# - rmsprop: $s \leftarrow \rho s + (1 - \rho) g^2$, $\ \theta \leftarrow \theta - \eta g / \sqrt s$. Every entry of θ
#   moves at a similar pace.
# - adam: both ideas, with averages of g and of g² that are corrected for having started at 0.
#
# A digit has to pass through two numbers, 64 → 32 → 16 → 2 → 16 → 32 → 64. Of the rates 0.001, 0.003, 0.01, 0.03, 0.1
# each method gets the one that suits it best here; other data may rank them otherwise.
# %%
rates = {"sgd": 0.1, "momentum": 0.03, "nesterov": 0.03, "rmsprop": 0.01, "adam": 0.01}
history, ends = {}, {}
for name, rate in rates.items():
    model = Autoencoder(2, hidden=(32, 16), optimizer=name, learning_rate=rate, n_epochs=100, random_state=0)
    model.fit(images)
    history[name], ends[name] = model.history_["loss"], model.reconstruction_error(images).mean()
linear, constant = PCA(2).fit(images).eigenvalues_[2:].sum(), images.var(axis=0).sum()
claim_true("AE.1", "digits: all five < linear < constant", max(ends.values()) < linear < constant,
           [max(ends.values()), linear, constant])
# %% [markdown]
# The loss of the five, epoch by epoch. Most of them pause at the level of the best linear map, then learn to bend, and
# fall on. Plain sgd takes longest over it.
# %%
ax = plots.training_curve(history)
ax.get_legend().remove()
for k, line in enumerate(sorted(ax.get_lines(), key=lambda line: line.get_ydata()[-1])):
    ax.annotate(line.get_label(), (100, line.get_ydata()[-1]), (109, 2.1 + 0.17 * k), va="center",
                arrowprops={"arrowstyle": "-", "color": line.get_color()})
ax.axhline(linear, color="0.45", linewidth=1)
ax.text(60, linear, "best linear map", va="bottom")
ax.set(ylabel="squared error per digit", ylim=(2, 5))
plots.save_figure(ax, OUT / "20_optimisers.png")
