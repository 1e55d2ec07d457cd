"""Mistakes planted blind: homework on hand-written backpropagation, through autoencoders and VAEs.

They were written without knowledge of the checker, from what goes wrong in such homework, and the checker is not tuned
to them: they measure how often `check_gradient` names a mistake rightly that nobody had in mind when it was made. Only
their keys of DIAGNOSES were given later, by what the wrong line does; where a second key is defensible it is in ALSO.

A setup draws sizes and values from rng and returns a Problem; `bug` names the one wrong line, None is right.
"""
from functools import partial

import numpy as np

from tinyvae.checks.mistakes.planted import DIAGNOSES, Mistake, Problem

MISTAKES = []
ALSO = {}                          # name → a second key that is true as well


# ---- helpers ---------------------------------------------------------------------------------------------------------

def num(v):
    v = np.asarray(v).reshape(())[()]
    return v if np.iscomplexobj(v) else float(v)


def size(rng, low=3, high=7):
    return int(rng.integers(low, high))


def sizes(rng, n, low=3, high=9):
    """n different sizes, so that nothing fits by accident."""
    return [int(k) for k in rng.permutation(np.arange(low, high))[:n]]


def draw(rng, **shapes):
    return {name: rng.standard_normal(shape) * (0.8 if len(shape) < 2 else 1.2 / np.sqrt(shape[0]))
            for name, shape in shapes.items()}


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def softplus(a):
    return np.log(1 + np.exp(a))


def relu(a):
    return a * (np.real(a) > 0)


def norm2(r):
    return np.sum(r * r)


ACT = {"tanh": (np.tanh, lambda h: 1 - h * h), "sigmoid": (sigmoid, lambda h: h * (1 - h)),
       "relu": (relu, lambda h: (np.real(h) > 0) * 1.0), "softplus": (softplus, lambda h: 1 - np.exp(-h))}


def problem(loss, grad, theta, bug, numbers, noise=None):
    """loss: theta (and noise, where there is some) → dict of the terms' values; their sum is f."""
    names = tuple(loss(theta) if noise is None else loss(theta, noise))
    terms = {n: (lambda *at, n=n: num(loss(*at)[n])) for n in names} if len(names) > 1 else {}
    return Problem(lambda *at: num(sum(loss(*at).values())), partial(grad, bug), partial(grad, None), theta, terms,
                   numbers, noise)


def plant(topic, setup, bug, reason, diagnosis, blocks, also=None, **options):
    assert {diagnosis, also or diagnosis} <= set(DIAGNOSES), bug
    name = f"{setup.__name__}_{bug}"
    MISTAKES.append(Mistake(name, topic, reason, diagnosis, tuple(blocks.split()),
                            partial(setup, bug=bug, **options), setup))
    if also:
        ALSO[name] = also


# ---- two dense layers, squared error ---------------------------------------------------------------------------------

def dense(rng, bug, act="tanh", square=False, one_output=False):
    B, D, H, O = sizes(rng, 4)
    if square == "BH":
        H = B
    if square == "HO":
        O = H
    if one_output:
        O = 1
    phi, slope = ACT[act]
    x, y = rng.standard_normal((B, D)) + 0.3, rng.standard_normal((B, O)) + 0.5
    theta = draw(rng, W1=(D, H), b1=(H,), W2=(H, O), b2=(O,))
    earlier = rng.standard_normal((B, D)), rng.standard_normal((B, O))
    store = {}

    def loss(th):
        h = phi(x @ th["W1"] + th["b1"])
        return {"loss": norm2(h @ th["W2"] + th["b2"] - y) / B}

    def grad(bug, th, x=x, y=y):
        a = x @ th["W1"] + th["b1"]
        h = phi(a)
        out = h @ th["W2"] + th["b2"]
        dout = 2 * (out - y) / B
        if bug == "broadcast_target":
            dout = 2 * np.mean(out - y[:, 0], axis=1, keepdims=True) / B
        if bug == "sum_of_rows":
            dout = 2 * (out - y)
        if bug == "mean_of_all_entries":
            dout = 2 * (out - y) / out.size
        if bug == "residual_squared":
            dout = 2 * (out - y) ** 2 / B
        if bug == "absolute_residual":
            dout = 2 * np.abs(out - y) / B
        dW2, db2 = h.T @ dout, dout.sum(axis=0)
        dh = dout @ th["W2"].T
        if bug == "W2_not_transposed":
            dh = dout @ th["W2"]
        if bug == "dh_from_updated_W2":
            dh = dout @ (th["W2"] - 0.1 * dW2).T
        da = dh * slope(h)
        if bug == "slope_of_a":
            da = dh * slope(a)
        if bug == "slope_of_slope":
            da = dh * slope(phi(h))
        if bug == "relu_mask_ge":
            da = dh * (h >= 0)
        if bug == "relu_mask_on_gradient":
            da = dh * (dh > 0)
        if bug == "relu_multiplied_by_h":
            da = dh * h
        if bug == "slope_1_minus_h":
            da = dh * (1 - h)
        dW1, db1 = x.T @ da, da.sum(axis=0)
        if bug == "bias_mean":
            db1, db2 = da.mean(axis=0), dout.mean(axis=0)
        if bug == "bias_last_row":
            for row in da:
                db1 = row
        if bug == "bias_axis_1":
            db1 = da.sum(axis=1)
        if bug == "bias_total":
            db1 = np.full_like(th["b1"], da.sum())
        if bug == "W2_transposed":
            dW2 = dout.T @ h
        if bug == "x_centred_in_place":
            x = x - x.mean(axis=0)
            dW1 = x.T @ da
        if bug == "dW1_with_dh":
            dW1 = x.T @ dh
        if bug == "x_reversed":
            dW1 = x[::-1].T @ da
        if bug == "columns_shifted":
            dW1 = np.roll(dW1, 1, axis=1)
        g = {"W1": dW1, "b1": db1, "W2": dW2, "b2": db2}
        if bug == "buffers_not_zeroed":
            for k in g:
                store[k] = store.get(k, 0) + g[k]
            g = {k: v.copy() for k, v in store.items()}
        return g

    if bug == "buffers_not_zeroed":
        grad(bug, theta, *earlier)
    return problem(loss, grad, theta, bug, dict(B=B, D=D, H=H, O=O))


T = "dense layers"
plant(T, dense, "broadcast_target",
      "y (B,) against out (B, 1) broadcasts to (B, B); its row mean is taken (b2 comes out right)", "other", "W1 b1 W2",
      one_output=True)
plant("squared loss", dense, "sum_of_rows", "the 1/B of the mean loss is missing in the gradient", "sum for mean",
      "W1 b1 W2 b2")
plant("squared loss", dense, "mean_of_all_entries", "divides by B·O (np.mean's habit) where the loss divides by B",
      "mean for sum", "W1 b1 W2 b2")
plant("squared loss", dense, "residual_squared", "the loss itself instead of its derivative: 2 r² for 2 r", "other",
      "W1 b1 W2 b2")
plant("squared loss", dense, "absolute_residual", "np.abs left around the residual: the sign is lost", "other",
      "W1 b1 W2 b2")
plant(T, dense, "W2_not_transposed", "dh = dout @ W2 fits, since W2 is square, but is not dout @ W2.T", "transpose",
      "W1 b1", square="HO")
plant(T, dense, "dh_from_updated_W2", "W2 has already taken its step when dh is computed from it", "other", "W1 b1")
plant("activations", dense, "slope_of_a", "1 − a² with the pre-activation a instead of h", "wrong slope", "W1 b1")
plant("activations", dense, "slope_of_slope", "the derivative function applies tanh once more to h", "wrong slope",
      "W1 b1")
plant("activations", dense, "relu_mask_ge", "mask h >= 0 is true everywhere for h = relu(a)", "missing slope", "W1 b1",
      also="wrong slope", act="relu")
plant("activations", dense, "relu_mask_on_gradient", "the mask is taken of the gradient, not of h", "wrong slope",
      "W1 b1", act="relu")
plant("activations", dense, "relu_multiplied_by_h", "dh * h instead of dh * (h > 0)", "wrong slope", "W1 b1",
      act="relu")
plant("activations", dense, "slope_1_minus_h", "sigmoid's slope as 1 − h, the factor h forgotten", "missing slope",
      "W1 b1", also="wrong slope", act="sigmoid")
plant(T, dense, "bias_mean", "np.mean over rows for the biases although dout holds 1/B already", "bias sum", "b1 b2")
plant(T, dense, "bias_last_row", "the loop over rows assigns instead of adding: the last row stays", "bias sum", "b1")
plant(T, dense, "bias_axis_1", "axis=1 for axis=0, unnoticed because B = H", "bias sum", "b1", square="BH")
plant(T, dense, "bias_total", "da.sum() without an axis, broadcast into b1", "bias sum", "b1")
plant(T, dense, "W2_transposed", "dout.T @ h instead of h.T @ dout, W2 being square", "transpose", "W2", square="HO")
plant(T, dense, "x_centred_in_place", "the cached x was centred in place after the forward pass", "wrong array", "W1")
plant(T, dense, "dW1_with_dh", "dW1 from dh where b1 has da: the slope is left out", "missing slope", "W1")
plant(T, dense, "x_reversed", "the batch in another order than its derivatives: x was shuffled without da",
      "wrong array", "W1")
plant(T, dense, "columns_shifted", "index slip j + 1: the columns of dW1 are shifted by one, cyclically", "permuted",
      "W1")
plant(T, dense, "buffers_not_zeroed", "self.dW += … without zeroing between minibatches", "accumulated", "W1 b1 W2 b2")


# ---- a deep stack ----------------------------------------------------------------------------------------------------

def deep(rng, bug, act="tanh", residual=False):
    B, n = sizes(rng, 2)
    L = 4
    phi, slope = ACT[act]
    x, y = rng.standard_normal((B, n)), rng.standard_normal((B, n))
    theta = draw(rng, **{k: v for i in range(1, L + 1) for k, v in ((f"W{i}", (n, n)), (f"b{i}", (n,)))})

    def forward(th):
        hs, acts = [x], [None]
        for i in range(1, L + 1):
            a = hs[-1] @ th[f"W{i}"] + th[f"b{i}"]
            u = a if i == L else phi(a)
            acts.append(u)
            hs.append(u + hs[-1] if residual and i < L else u)
        return hs, acts

    def loss(th):
        return {"loss": norm2(forward(th)[0][-1] - y) / (2 * B)}

    def grad(bug, th):
        hs, acts = forward(th)
        g = {k: np.zeros_like(v) for k, v in th.items()}
        dh = (hs[-1] - y) / B
        first = 2 if bug == "loop_stops_early" else 1
        for i in range(L, first - 1, -1):
            da = dh if i == L else dh * slope(acts[i])
            if bug == "slope_at_linear_end" and i == L:
                da = dh * slope(acts[i])
            if bug == "slope_twice" and i == 2:
                da = da * slope(acts[i])
            if bug == "slope_of_layer_below" and 1 < i < L:
                da = dh * slope(acts[i - 1])
            if bug == "slope_missing_inside" and i == 2:
                da = dh
            g[f"W{i}"], g[f"b{i}"] = hs[i - 1].T @ da, da.sum(axis=0)
            if bug == "output_for_input":
                g[f"W{i}"] = hs[i].T @ da
            if bug == "always_x" and i > 1:
                g[f"W{i}"] = x.T @ da
            W = th[f"W{i}"]
            if bug == "matrix_of_layer_below" and i > 1:
                W = th[f"W{i - 1}"]
            if bug == "da_not_dh_passed_on" and i == 3:
                W = np.eye(n)
            dh_in = da @ W.T
            if residual and i < L and bug != "skip_forgotten":
                dh_in = dh_in + (da if bug == "dh_multiplied_in_place" else dh)
            if residual and i == L and bug == "skip_at_end":
                dh_in = dh_in + dh
            dh = dh_in
        if bug == "layers_in_reverse":
            g = {**g, **{f"W{i}": g[f"W{L + 1 - i}"] for i in range(1, L + 1)}}
        if bug == "shared_buffer":
            g["W3"] = g["W2"]
        if bug == "all_transposed":
            g = {k: v.T for k, v in g.items()}
        return g

    return problem(loss, grad, theta, bug, dict(B=B, D=n))


T = "deep stacks"
plant(T, deep, "loop_stops_early", "range(L, 1, -1) never reaches the first layer", "zero", "W1 b1")
plant(T, deep, "slope_at_linear_end", "φ' at the last layer, which is linear", "extra slope", "W1 b1 W2 b2 W3 b3 W4 b4")
plant(T, deep, "slope_twice", "the second layer's φ' is multiplied in twice", "extra slope", "W1 b1 W2 b2")
plant(T, deep, "slope_of_layer_below", "off by one: φ' from h of the layer below", "wrong slope", "W1 b1 W2 b2 W3 b3")
plant(T, deep, "slope_missing_inside", "no φ' at the second layer", "missing slope", "W1 b1 W2 b2", act="sigmoid")
plant(T, deep, "output_for_input", "dW_i = h_iᵀ da_i with the layer's output instead of its input", "wrong array",
      "W1 W2 W3 W4")
plant(T, deep, "always_x", "every dW uses x, copied from the first layer", "wrong array", "W2 W3 W4")
plant(T, deep, "matrix_of_layer_below", "dh goes back through W_{i−1} instead of W_i", "other", "W1 b1 W2 b2 W3 b3")
plant(T, deep, "da_not_dh_passed_on", "layer 3 hands down da itself, the product with Wᵀ is left out", "other",
      "W1 b1 W2 b2")
plant(T, deep, "skip_forgotten", "the residual connection's own path is not in dh", "other", "W1 b1 W2 b2",
      also="term forgotten", residual=True)
plant(T, deep, "dh_multiplied_in_place", "dh *= φ' in place: the skip path then hands down da instead of dh",
      "extra slope", "W1 b1 W2 b2", also="other", residual=True)
plant(T, deep, "skip_at_end", "the output layer is given a skip path that it does not have", "other",
      "W1 b1 W2 b2 W3 b3", residual=True)
plant(T, deep, "layers_in_reverse", "grads were appended in backward order and zipped with the layers", "permuted",
      "W1 W2 W3 W4")
plant(T, deep, "shared_buffer", "two layers of one shape share a gradient buffer: the later overwrites", "other", "W3",
      also="permuted")
plant(T, deep, "all_transposed", "formulas for column vectors (out, in) used for (in, out) matrices", "transpose",
      "W1 W2 W3 W4")


# ---- softmax cross-entropy with weight decay -------------------------------------------------------------------------

def softmax(rng, bug, soft=False):
    B, D, H, K = sizes(rng, 4)
    x = rng.standard_normal((B, D))
    label = np.concatenate([[0, K - 1], rng.integers(0, K, B - 2)])
    y = np.eye(K)[label] * 0.9 + 0.1 / K if soft else np.eye(K)[label]
    lam = 0.3
    theta = draw(rng, W1=(D, H), b1=(H,), W2=(H, K), b2=(K,))

    def forward(th):
        h = np.tanh(x @ th["W1"] + th["b1"])
        s = h @ th["W2"] + th["b2"]
        s = s - np.max(np.real(s), axis=1, keepdims=True)
        return h, s

    def loss(th):
        _, s = forward(th)
        return {"data": np.sum(y * (np.log(np.sum(np.exp(s), axis=1, keepdims=True)) - s)) / B,
                "decay": lam / 2 * (norm2(th["W1"]) + norm2(th["W2"]))}

    def grad(bug, th):
        h, s = forward(th)
        p = np.exp(s) / np.sum(np.exp(s), axis=1, keepdims=True)
        ds = (p - y) / B
        rows = np.arange(B)
        if bug == "one_before_mean":
            ds = p / B
            ds[rows, label] -= 1
        if bug == "labels_from_one":
            ds = p.copy()
            ds[rows, label - 1] -= 1
            ds /= B
        if bug == "normalised_over_rows":
            ds = (np.exp(s) / np.sum(np.exp(s), axis=0) - y) / B
        if bug == "diagonal_jacobian":
            ds = -y * (1 - p) / B
        if bug == "fancy_index_columns":
            ds = p.copy()
            ds[:, label] -= 1                                          # every row, at every label of the batch
            ds /= B
        if bug == "extra_jacobian":
            ds = p * ((p - y) - np.sum(p * (p - y), axis=1, keepdims=True)) / B
        if bug == "soft_labels_to_int":
            ds = (p - np.round(y)) / B
        if bug == "sum_for_mean":
            ds = p - y
        da = (ds @ th["W2"].T) * (1 - h * h)
        decay = {"W1": lam * th["W1"], "W2": lam * th["W2"]}
        if bug == "decay_without_half":
            decay = {k: 2 * v for k, v in decay.items()}
        if bug == "decay_in_W1_only":
            decay["W2"] = 0
        if bug == "decay_over_B":
            decay = {k: v / B for k, v in decay.items()}
        g = {"W1": x.T @ da + decay["W1"], "b1": da.sum(0), "W2": h.T @ ds + decay["W2"], "b2": ds.sum(0)}
        if bug == "decay_on_bias":
            g["b1"] = g["b1"] + lam * th["b1"]
            g["b2"] = g["b2"] + lam * th["b2"]
        if bug == "integer_buffer":
            g["b2"] = np.zeros(K, dtype=int)
            g["b2"][:] = ds.sum(0)
            g["b2"] = g["b2"].astype(float)
        if bug == "decay_replaces":
            g["W2"] = decay["W2"]
        return g

    return problem(loss, grad, theta, bug, dict(B=B, D=D, H=H, K=K) | {"lambda": lam})


T = "softmax cross-entropy"
plant(T, softmax, "one_before_mean", "p/B first, then −1 at the label: the 1 is not divided by B", "sum for mean",
      "W1 b1 W2 b2")
plant(T, softmax, "labels_from_one", "labels taken to start at 1: the class before (or the last) gets the −1",
      "permuted", "W1 b1 W2 b2")
plant(T, softmax, "normalised_over_rows", "softmax over axis 0 in the backward pass", "other", "W1 b1 W2 b2")
plant(T, softmax, "diagonal_jacobian", "only the diagonal of softmax's Jacobian: −y (1 − p)", "wrong slope",
      "W1 b1 W2 b2", also="other")
plant(T, softmax, "fancy_index_columns", "p[:, label] −= 1 instead of p[arange(B), label]", "other", "W1 b1 W2 b2")
plant(T, softmax, "extra_jacobian", "p − y is already by the logits; softmax's Jacobian is applied once more",
      "extra slope", "W1 b1 W2 b2")
plant(T, softmax, "soft_labels_to_int", "smoothed labels cast back to one-hot in the gradient", "other", "W1 b1 W2 b2",
      soft=True)
plant(T, softmax, "sum_for_mean", "no 1/B in p − y: the data term is summed, the decay is right", "sum for mean",
      "W1 b1 W2 b2")
T = "weight decay"
plant(T, softmax, "decay_without_half", "2 λ W for a loss with λ/2 ‖W‖²", "term twice", "W1 W2")
plant(T, softmax, "decay_in_W1_only", "weight decay added to W1 alone", "term forgotten", "W2", also="decay")
plant(T, softmax, "decay_over_B", "decay put before the division by B", "mean for sum", "W1 W2")
plant(T, softmax, "decay_on_bias", "λ b added to the biases, which the loss does not decay", "decay", "b1 b2")
plant(T, softmax, "integer_buffer", "db allocated with dtype=int: every entry is cut to 0", "zero", "b2")
plant(T, softmax, "decay_replaces", "dW2 = λ W2 overwrites what it should be added to", "term forgotten", "W2")


# ---- hinge loss ------------------------------------------------------------------------------------------------------

def hinge(rng, bug, squared=False, decay=True):
    B, D, K = sizes(rng, 3, 4, 9)
    x, label = rng.standard_normal((B, D)), rng.integers(0, K, B)
    lam, rows = 0.2 if decay else 0.0, np.arange(B)
    theta = draw(rng, W=(D, K), b=(K,))

    def margins(th):
        s = x @ th["W"] + th["b"]
        m = relu(s - s[rows, label][:, None] + 1)
        m[rows, label] = 0
        return m

    def loss(th):
        m = margins(th)
        data = {"data": np.sum(m * m if squared else m) / B}
        return {**data, "decay": lam * norm2(th["W"])} if decay else data

    def grad(bug, th):
        m = margins(th)
        ds = 2 * m if squared else (m > 0) * 1.0
        if bug == "squared_as_plain":
            ds = (m > 0) * 1.0
        if bug == "no_two":
            ds = m.copy()
        if bug == "true_class_counted":
            ds[rows, label] = 1
        n = ds.sum(axis=1)
        if bug == "minus_one":
            n = (n > 0) * 1.0
        if bug == "counts_over_rows":
            n = ds.sum(axis=0)[label]
        if bug == "assigned_not_subtracted":
            ds[rows, label] = n
        elif bug != "true_class_forgotten":
            ds[rows, label] = ds[rows, label] - n if bug != "true_class_counted" else -n
        ds = ds if bug == "sum_for_mean" else ds / B
        if bug == "mean_over_classes":
            ds = ds / K
        g = {"W": x.T @ ds + 2 * lam * th["W"], "b": ds.sum(0)}
        if bug == "decay_half":
            g["W"] = x.T @ ds + lam * th["W"]
        return g

    return problem(loss, grad, theta, bug, dict(B=B, D=D, K=K) | ({"lambda": lam} if decay else {}))


T = "hinge loss"
plant(T, hinge, "true_class_counted", "the true class's own margin 1 is counted among the violations", "other", "W b")
plant(T, hinge, "minus_one", "the true class gets −1 instead of minus the number of violations", "other", "W b")
plant(T, hinge, "true_class_forgotten", "nothing flows into the true class's score", "term forgotten", "W b")
plant(T, hinge, "assigned_not_subtracted", "+n for −n at the true class", "term scaled", "W b")
plant(T, hinge, "counts_over_rows", "violations counted over axis 0, then looked up by label", "other", "W b")
plant(T, hinge, "sum_for_mean", "no 1/B in the data term", "sum for mean", "W b")
plant(T, hinge, "decay_half", "λ W for a loss with λ ‖W‖² (no ½ there)", "term scaled", "W")
plant(T, hinge, "squared_as_plain", "the squared hinge with the plain one's mask", "other", "W b", squared=True)
plant(T, hinge, "mean_over_classes", "the margins averaged over classes, too", "mean for sum", "W b", decay=False)
plant(T, hinge, "no_two", "squared hinge without its 2", "factor", "W b", squared=True, decay=False)


# ---- autoencoder with Bernoulli cross-entropy on logits --------------------------------------------------------------

def bernoulli(rng, bug):
    B, D, K = sizes(rng, 3)
    x = rng.random((B, D))
    theta = draw(rng, W_enc=(D, K), b_enc=(K,), W_dec=(K, D), b_dec=(D,))

    def forward(th):
        h = np.tanh(x @ th["W_enc"] + th["b_enc"])
        return h, h @ th["W_dec"] + th["b_dec"]

    def loss(th):
        _, l = forward(th)
        return {"loss": np.sum(softplus(l) - x * l) / B}

    def grad(bug, th):
        h, l = forward(th)
        p = sigmoid(l)
        dl = (p - x) / B
        if bug == "by_p":
            dl = (p - x) / (p * (1 - p)) / B
        if bug == "sigmoid_slope_again":
            dl = (p - x) * p * (1 - p) / B
        if bug == "binarised":
            dl = (p - (x > 0.5)) / B
        if bug == "sign":
            dl = (x - p) / B
        if bug == "logits_for_p":
            dl = (l - x) / B
        if bug == "only_ones":
            dl = -x * (1 - p) / B
        if bug == "sigmoid_twice":
            dl = (sigmoid(p) - x) / B
        dh = dl @ th["W_dec"].T
        da = dh * (1 - h * h)
        if bug == "encoder_slope_copied":
            da = dh * h * (1 - h)
        g = {"W_enc": x.T @ da, "b_enc": da.sum(0), "W_dec": h.T @ dl, "b_dec": dl.sum(0)}
        if bug == "b_dec_first_row":
            g["b_dec"] = dl[0]
        if bug == "detached_code":
            g["W_enc"], g["b_enc"] = np.zeros((D, K)), np.zeros(K)
        if bug == "dec_sum":
            g["W_dec"], g["b_dec"] = B * g["W_dec"], B * g["b_dec"]
        return g

    return problem(loss, grad, theta, bug, dict(B=B, D=D, K=K))


T = "Bernoulli on logits"
A = "W_enc b_enc W_dec b_dec"
plant(T, bernoulli, "by_p", "the derivative by p handed on as if by the logit: sigmoid's slope is missing",
      "missing slope", A)
plant(T, bernoulli, "sigmoid_slope_again", "p − x is by the logit already; p (1 − p) is multiplied in once more",
      "extra slope", A)
plant(T, bernoulli, "binarised", "grey levels thresholded at ½ in the gradient alone", "other", A)
plant(T, bernoulli, "sign", "x − p: ascent on the log-likelihood mixed with descent on the loss", "factor", A)
plant(T, bernoulli, "logits_for_p", "the logits in place of probabilities: l − x, as in squared error", "other", A)
plant(T, bernoulli, "only_ones", "the (1 − x) log(1 − p) half of the cross-entropy left out", "term forgotten", A)
plant(T, bernoulli, "sigmoid_twice", "the variable p already held the sigmoid and it is taken again", "other", A)
plant(T, bernoulli, "encoder_slope_copied", "the decoder's sigmoid slope h (1 − h) pasted into the tanh encoder",
      "wrong slope", "W_enc b_enc")
plant(T, bernoulli, "b_dec_first_row", "db = dl[0], left from the version for one example", "bias sum", "b_dec")
plant(T, bernoulli, "detached_code", "the decoder was given a copy of h with no way back", "zero", "W_enc b_enc")
plant(T, bernoulli, "dec_sum", "the decoder's gradients summed over rows, the encoder's averaged", "sum for mean",
      "W_dec b_dec")


# ---- tied weights and PCA --------------------------------------------------------------------------------------------

def tied(rng, bug, square=False):
    B, D, K = sizes(rng, 3)
    if square:
        K = D
    x = 0.7 * rng.standard_normal((B, D))
    theta = draw(rng, W=(D, K), b=(K,), c=(D,))
    x_earlier, store = rng.standard_normal((B, D)), {}

    def forward(th, x=x):
        h = np.tanh(x @ th["W"] + th["b"])
        return h, np.tanh(h @ th["W"].T + th["c"])

    def loss(th):
        return {"loss": norm2(x - forward(th)[1]) / B}

    def grad(bug, th, x=x):
        h, xh = forward(th, x)
        do = -2 * (x - xh) / B * (1 - xh * xh)
        if bug == "output_slope_forgotten":
            do = -2 * (x - xh) / B
        da = (do @ th["W"]) * (1 - h * h)
        enc, dec = x.T @ da, do.T @ h
        dW = enc + dec
        if bug == "encoder_path_only":
            dW = enc
        if bug == "decoder_path_only":
            dW = dec
        if bug == "decoder_doubled":
            dW = 2 * dec
        if bug == "decoder_part_not_transposed":
            dW = enc + h.T @ do
        if bug == "paths_averaged":
            dW = (enc + dec) / 2
        if bug == "paths_subtracted":
            dW = enc - dec
        if bug == "never_zeroed":
            store["W"] = store.get("W", 0) + dW
            dW = store["W"].copy()
        g = {"W": dW, "b": da.sum(0), "c": do.sum(0)}
        if bug == "b_and_c_exchanged":
            g["b"], g["c"] = g["c"], g["b"]
        return g

    if bug == "never_zeroed":
        grad(bug, theta, x_earlier)
    return problem(loss, grad, theta, bug, dict(B=B, D=D, K=K))


T = "tied weights"
plant(T, tied, "encoder_path_only", "dW = … assigned again by the encoder: the decoder's part is lost",
      "term forgotten", "W")
plant(T, tied, "decoder_path_only", "only the decoder's use of W is differentiated", "term forgotten", "W")
plant(T, tied, "decoder_doubled", "'two equal paths': twice the decoder's part", "other", "W")
plant(T, tied, "decoder_part_not_transposed", "the decoder's part is by Wᵀ and is added untransposed (D = K)",
      "transpose", "W", square=True)
plant(T, tied, "paths_averaged", "the two paths are averaged instead of added", "factor", "W")
plant(T, tied, "paths_subtracted", "−= for += where the second path is added", "term scaled", "W")
plant(T, tied, "never_zeroed", "W's buffer takes += from both paths, and is never set to 0", "accumulated", "W")
plant(T, tied, "b_and_c_exchanged", "the two biases exchanged, of one width here", "permuted", "b c", square=True)
plant(T, tied, "output_slope_forgotten", "the output's tanh is not differentiated", "missing slope", "W b c")


def pca(rng, bug):
    (B, D), K = sizes(rng, 2, 5, 10), size(rng, 2, 5)
    raw = rng.standard_normal((B, D)) + 1
    x = raw - raw.mean(axis=0)
    theta = draw(rng, W=(D, K))

    def loss(th):
        return {"loss": norm2(x - x @ th["W"] @ th["W"].T) / B}

    def grad(bug, th):
        W = th["W"]
        x_ = raw if bug == "not_centred" else x
        h = x_ @ W
        r = x_ - h @ W.T
        if bug == "W_orthonormal":
            return {"W": -2 * x.T @ (x @ W) / B}
        dW = -2 * (r.T @ h + x_.T @ (r @ W)) / B
        if bug == "no_two":
            dW = dW / 2
        if bug == "frozen_encoder":
            dW = -2 * r.T @ h / B
        if bug == "number_of_columns":
            dW = dW * B / D
        if bug == "residual_sign_in_one_path":
            dW = -2 * (r.T @ h - x.T @ (r @ W)) / B
        if bug == "axes_reversed":
            dW = dW[:, ::-1]
        return {"W": dW}

    return problem(loss, grad, theta, bug, dict(B=B, D=D, K=K))


T = "PCA"
plant(T, pca, "W_orthonormal", "derived with WᵀW = I, which holds only at the solution", "other", "W")
plant(T, pca, "no_two", "the 2 of the square is left out", "factor", "W")
plant(T, pca, "frozen_encoder", "h is taken as a constant", "term forgotten", "W")
plant(T, pca, "not_centred", "the gradient is that of the raw data, the loss that of centred data", "other", "W")
plant(T, pca, "number_of_columns", "x.shape[1] for x.shape[0] in the mean", "factor", "W")
plant(T, pca, "residual_sign_in_one_path", "x̂ − x in one of the two paths", "term scaled", "W")
plant(T, pca, "axes_reversed", "columns in eigh's ascending order instead of descending", "permuted", "W")


# ---- sparse autoencoders ---------------------------------------------------------------------------------------------

def sparse(rng, bug, penalty="l1"):
    B, D, K = sizes(rng, 3)
    x = rng.standard_normal((B, D))
    lam, rho = 0.7, 0.1
    phi, slope = ACT["sigmoid"] if penalty == "kl" or bug == "l1_sign_of_a" else ACT["tanh"]
    theta = draw(rng, W_enc=(D, K), b_enc=(K,), W_dec=(K, D), b_dec=(D,))

    def forward(th):
        h = phi(x @ th["W_enc"] + th["b_enc"])
        return h, h @ th["W_dec"] + th["b_dec"]

    def loss(th):
        h, xh = forward(th)
        m = np.mean(h, axis=0)
        return {"reconstruction": norm2(x - xh) / B,
                "sparsity": (lam * np.sum(h * np.sign(np.real(h))) / B if penalty == "l1" else
                             lam * np.sum(rho * np.log(rho / m) + (1 - rho) * np.log((1 - rho) / (1 - m))))}

    def grad(bug, th):
        h, xh = forward(th)
        do = 2 * (xh - x) / B
        dh = do @ th["W_dec"].T
        if penalty == "l1":
            push = lam * np.sign(h) / B
            if bug == "l1_sign_of_a":
                push = lam * np.sign(x @ th["W_enc"] + th["b_enc"]) / B
            if bug == "l1_sum":
                push = lam * np.sign(h)
            if bug == "l1_l2_mixed":
                push = lam * 2 * h / B
            if bug == "l1_constant":
                push = lam / B
            if bug == "l1_twice":
                push = push + lam * np.sign(h) / B
            if bug == "l1_on_weights":
                push = 0
        else:
            m = np.mean(h, axis=0)
            if bug == "kl_mean_of_all":
                m = np.mean(h)
            if bug == "kl_each_h":
                m = h
            if bug == "kl_axis_1":
                m = np.mean(h, axis=1, keepdims=True)
            push = lam * ((1 - rho) / (1 - m) - rho / m) / B * np.ones_like(h)
            if bug == "kl_sign":
                push = lam * (-(1 - rho) / (1 - m) - rho / m) / B * np.ones_like(h)
            if bug == "kl_rho_and_mean_exchanged":
                push = lam * (np.log(m / rho) - np.log((1 - m) / (1 - rho))) / B * np.ones_like(h)
            if bug == "kl_no_mean":
                push = B * push
            if bug == "kl_one_half":
                push = -lam * rho / m / B * np.ones_like(h)
        da = (dh + push) * slope(h)
        if bug == "push_after_slope":
            da = dh * slope(h) + push
        g = {"W_enc": x.T @ da, "b_enc": da.sum(0), "W_dec": h.T @ do, "b_dec": do.sum(0)}
        if bug == "bias_before_push":
            g["b_enc"] = (dh * slope(h)).sum(0)
        if bug == "l1_on_weights":
            g["W_enc"] = g["W_enc"] + lam * np.sign(th["W_enc"])
        return g

    numbers = dict(B=B, D=D, K=K) | {"lambda": lam} | ({"rho": rho} if penalty == "kl" else {})
    return problem(loss, grad, theta, bug, numbers)


E = "W_enc b_enc"
T = "L1 sparsity"
plant(T, sparse, "l1_sign_of_a", "sign of the pre-activation, where h = sigmoid(a) is never negative", "wrong slope", E,
      also="other")
plant(T, sparse, "l1_sum", "λ sign(h) without 1/B", "sum for mean", E)
plant(T, sparse, "l1_l2_mixed", "2 λ h: the derivative of an L2 penalty", "other", E, also="wrong slope")
plant(T, sparse, "l1_constant", "λ instead of λ sign(h), as if h were positive", "wrong slope", E)
plant(T, sparse, "l1_twice", "the penalty is added to dh and again in the encoder's backward pass", "term twice", E)
plant(T, sparse, "l1_on_weights", "the penalty's gradient put on the weights instead of on the code", "other", E)
plant(T, sparse, "push_after_slope", "λ sign(h) is added after dh was multiplied by φ'", "missing slope", E)
plant(T, sparse, "bias_before_push", "db_enc was summed before the penalty was added", "term forgotten", "b_enc")
T = "KL sparsity"
plant(T, sparse, "kl_mean_of_all", "np.mean without an axis: one ρ̂ for all units", "other", E, penalty="kl")
plant(T, sparse, "kl_each_h", "each h in place of its mean ρ̂", "other", E, penalty="kl")
plant(T, sparse, "kl_axis_1", "ρ̂ over units of a row instead of over rows", "other", E, penalty="kl")
plant(T, sparse, "kl_sign", "a wrong sign of the (1 − ρ)/(1 − ρ̂) part", "term scaled", E, penalty="kl")
plant(T, sparse, "kl_rho_and_mean_exchanged", "the derivative of KL(ρ̂ ‖ ρ)", "other", E, penalty="kl")
plant(T, sparse, "kl_no_mean", "dρ̂/dh = 1/B left out", "sum for mean", E, penalty="kl")
plant(T, sparse, "kl_one_half", "only −ρ/ρ̂: the second logarithm is not differentiated", "term forgotten", E,
      penalty="kl")


# ---- denoising -------------------------------------------------------------------------------------------------------

def denoising(rng, bug):
    B, D, K = sizes(rng, 3)
    x = rng.standard_normal((B, D))
    additive, keep = 0.6 * rng.standard_normal((B, D)), (rng.random((B, K)) < 0.5) * 1.0
    keep[0, 0], keep[1, 0], keep[0, 1] = 1, 0, 0
    fresh = np.random.default_rng(int(rng.integers(1 << 30)))
    stale = 0.6 * rng.standard_normal((B, D))
    theta = draw(rng, W_enc=(D, K), b_enc=(K,), W_dec=(K, D), b_dec=(D,))

    def forward(th, noise):
        xt = x + noise
        h = np.tanh(xt @ th["W_enc"] + th["b_enc"])
        hd = h * keep / 0.5
        return xt, h, hd, hd @ th["W_dec"] + th["b_dec"]

    def loss(th, noise):
        return {"loss": norm2(x - forward(th, noise)[-1]) / B}

    def grad(bug, th, noise):
        if bug == "noise_redrawn":
            noise = 0.6 * fresh.standard_normal((B, D))
        if bug == "noise_stale":
            noise = stale
        xt, h, hd, xh = forward(th, noise)
        do = 2 * (xh - x) / B
        if bug == "noisy_target":
            do = 2 * (xh - xt) / B
        dh = (do @ th["W_dec"].T) * keep / 0.5
        if bug == "dropout_mask_forgotten":
            dh = (do @ th["W_dec"].T) / 0.5
        if bug == "dropout_scale_forgotten":
            dh = (do @ th["W_dec"].T) * keep
        if bug == "mask_inverted":
            dh = (do @ th["W_dec"].T) * (1 - keep) / 0.5
        da = dh * (1 - h * h)
        if bug == "slope_of_dropped_code":
            da = dh * (1 - hd * hd)
        g = {"W_enc": xt.T @ da, "b_enc": da.sum(0), "W_dec": hd.T @ do, "b_dec": do.sum(0)}
        if bug == "clean_input_in_dW":
            g["W_enc"] = x.T @ da
        if bug == "undropped_code_in_dW":
            g["W_dec"] = h.T @ do
        if bug == "noise_for_input":
            g["W_enc"] = noise.T @ da
        return g

    return problem(loss, grad, theta, bug, dict(B=B, D=D, K=K, keep=0.5), additive)


T = "denoising"
plant(T, denoising, "noise_redrawn", "the backward pass corrupts x once more, with new noise", "noise", A)
plant(T, denoising, "noise_stale", "the noise of the batch before", "noise", A)
plant(T, denoising, "noisy_target", "the residual is taken to x̃ instead of to x", "other", A)
plant(T, denoising, "clean_input_in_dW", "dW_enc from the clean x where the layer saw x̃", "wrong array", "W_enc")
plant(T, denoising, "noise_for_input", "dW_enc from ε alone instead of x + ε", "wrong array", "W_enc")
plant(T, denoising, "dropout_mask_forgotten", "the dropout mask is not applied on the way back", "other", E)
plant(T, denoising, "dropout_scale_forgotten", "mask without the 1/p of inverted dropout, p = ½", "factor", E)
plant(T, denoising, "mask_inverted", "the mask of dropped units instead of that of kept ones", "other", E)
plant(T, denoising, "slope_of_dropped_code", "1 − h² from the code after dropout (variable reused)", "wrong slope", E)
plant(T, denoising, "undropped_code_in_dW", "dW_dec from h before dropout", "wrong array", "W_dec")


# ---- contractive -----------------------------------------------------------------------------------------------------

def contractive(rng, bug, square=False):
    B, D, K = sizes(rng, 3)
    if square:
        K = D
    x, lam = rng.standard_normal((B, D)), 0.8
    theta = draw(rng, W_enc=(D, K), b_enc=(K,), W_dec=(K, D), b_dec=(D,))
    theta["W_enc"] *= 2

    def forward(th):
        h = sigmoid(x @ th["W_enc"] + th["b_enc"])
        return h, h @ th["W_dec"] + th["b_dec"]

    def loss(th):
        h, xh = forward(th)
        s = h * (1 - h)
        return {"reconstruction": norm2(x - xh) / B,
                "contraction": lam / B * np.sum((s * s) @ np.sum(th["W_enc"] ** 2, axis=0))}

    def grad(bug, th):
        W = th["W_enc"]
        h, xh = forward(th)
        s = h * (1 - h)
        do = 2 * (xh - x) / B
        n2 = np.sum(W * W, axis=1 if bug == "norm_axis" else 0)
        ds = 2 * lam / B * s * n2
        curve = {"first_derivative_again": s, "tanh_curvature": -2 * h * (1 - h * h), "slope_constant": 0,
                 "curve_without_slope": 1 - 2 * h}.get(bug, s * (1 - 2 * h))
        da = (do @ th["W_dec"].T) * s + ds * curve
        direct = 2 * lam / B * W * np.sum(s * s, axis=0)
        if bug == "norm_constant":
            direct = 0
        if bug == "direct_without_square":
            direct = 2 * lam / B * W * np.sum(s, axis=0)
        if bug == "direct_square_of_sum":
            direct = 2 * lam / B * W * np.sum(s, axis=0) ** 2
        if bug == "direct_sum":
            direct = direct * B
        if bug == "direct_no_two":
            direct = direct / 2
        g = {"W_enc": x.T @ da + direct, "b_enc": da.sum(0), "W_dec": h.T @ do, "b_dec": do.sum(0)}
        if bug == "h_overwritten_by_slope":
            kept = h
            kept *= 1 - h
            g["W_dec"] = h.T @ do
        if bug == "bias_without_penalty":
            g["b_enc"] = ((do @ th["W_dec"].T) * s).sum(0)
        if bug == "penalty_forgotten":
            da = (do @ th["W_dec"].T) * s
            g["W_enc"], g["b_enc"] = x.T @ da, da.sum(0)
        return g

    return problem(loss, grad, theta, bug, dict(B=B, D=D, K=K) | {"lambda": lam})


T = "contractive"
plant(T, contractive, "slope_constant", "φ' treated as a constant: no second derivative in the penalty",
      "term forgotten", E)
plant(T, contractive, "first_derivative_again", "h (1 − h) for φ'', its (1 − 2h) forgotten", "missing slope", E,
      also="wrong slope")
plant(T, contractive, "tanh_curvature", "tanh's φ'' for a sigmoid encoder", "wrong slope", E)
plant(T, contractive, "curve_without_slope", "d/dh of h (1 − h) taken without dh/da", "missing slope", E)
plant(T, contractive, "norm_constant", "the direct path through ‖W_j‖² is left out", "term forgotten", "W_enc")
plant(T, contractive, "direct_without_square", "Σ_b s where Σ_b s² belongs", "other", "W_enc", also="missing slope")
plant(T, contractive, "direct_square_of_sum", "(Σ_b s)² for Σ_b s²", "other", "W_enc")
plant(T, contractive, "norm_axis", "‖W‖² over axis 1 instead of 0, unnoticed because D = K", "other", E,
      also="transpose", square=True)
plant(T, contractive, "direct_no_two", "the 2 of ‖W‖² is left out of the direct path", "term scaled", "W_enc")
plant(T, contractive, "direct_sum", "the direct path is not divided by B, the one through φ' is", "sum for mean",
      "W_enc")
plant(T, contractive, "h_overwritten_by_slope", "s = h; s *= 1 − h writes over the cached h that dW_dec needs",
      "wrong array", "W_dec")
plant(T, contractive, "bias_without_penalty", "'the penalty does not depend on b': but φ'(a) does", "term forgotten",
      "b_enc")
plant(T, contractive, "penalty_forgotten", "the penalty is in the loss that is printed and not in the gradient",
      "term forgotten", E)


# ---- a VAE with hidden layers and a Bernoulli decoder ----------------------------------------------------------------

def vae(rng, bug):
    B, D, H, K = sizes(rng, 4)
    beta = float(rng.choice([0.3, 3.0]))
    x, eps, stale = (rng.random((B, D)) < 0.5) * 1.0, rng.standard_normal((B, K)), rng.standard_normal((B, K))
    fresh = np.random.default_rng(int(rng.integers(1 << 30)))
    theta = draw(rng, W1=(D, H), b1=(H,), W_mu=(H, K), b_mu=(K,), W_logvar=(H, K), b_logvar=(K,),
                 W3=(K, H), b3=(H,), W4=(H, D), b4=(D,))
    x_earlier, store = (rng.random((B, D)) < 0.5) * 1.0, {}

    def forward(th, eps, x):
        h = np.tanh(x @ th["W1"] + th["b1"])
        mu, lv = h @ th["W_mu"] + th["b_mu"], h @ th["W_logvar"] + th["b_logvar"]
        z = mu + np.exp(lv / 2) * eps
        u = np.tanh(z @ th["W3"] + th["b3"])
        return h, mu, lv, z, u, u @ th["W4"] + th["b4"]

    def loss(th, eps):
        h, mu, lv, z, u, l = forward(th, eps, x)
        return {"reconstruction": np.sum(softplus(l) - x * l) / B,
                "kl": beta * np.sum(mu * mu + np.exp(lv) - 1 - lv) / (2 * B)}

    def grad(bug, th, eps, x=x):
        e = eps
        if bug == "eps_redrawn":
            e = fresh.standard_normal((B, K))
        if bug == "eps_stale":
            e = stale
        h, mu, lv, z, u, l = forward(th, e, x)
        dl = (sigmoid(l) - x) / B
        du = dl @ th["W4"].T
        dv = du * (1 - u * u)
        if bug == "decoder_slope_missing":
            dv = du
        dz = dv @ th["W3"].T
        if bug == "tanh_on_z":
            dz = dz * (1 - z * z)
        kl_w = {"beta_forgotten": 1 / B, "kl_sum": beta, "kl_mean_over_latents": beta / (B * K),
                "kl_ascends": -beta / B, "kl_twice": 2 * beta / B, "kl_left_out": 0}.get(bug, beta / B)
        if bug == "z_detached":
            dz = 0 * dz
        dmu = dz + kl_w * mu
        dlv = dz * e * np.exp(lv / 2) / 2 + kl_w * (np.exp(lv) - 1) / 2
        if bug == "eps_in_dmu":
            dmu = dz * e + kl_w * mu
        if bug == "eps_redrawn_for_logvar":
            dlv = dz * fresh.standard_normal((B, K)) * np.exp(lv / 2) / 2 + kl_w * (np.exp(lv) - 1) / 2
        if bug == "kl_of_z":
            dmu = dz + kl_w * z
        dh = dmu @ th["W_mu"].T + dlv @ th["W_logvar"].T
        if bug == "dh_overwritten":
            dh = dlv @ th["W_logvar"].T
        if bug == "dh_one_matrix":
            dh = (dmu + dlv) @ th["W_mu"].T
        da = dh * (1 - h * h)
        if bug == "slope_of_decoder_layer":
            da = dh * (1 - u * u)
        g = {"W1": x.T @ da, "b1": da.sum(0), "W_mu": h.T @ dmu, "b_mu": dmu.sum(0),
             "W_logvar": h.T @ dlv, "b_logvar": dlv.sum(0), "W3": z.T @ dv, "b3": dv.sum(0),
             "W4": u.T @ dl, "b4": dl.sum(0)}
        if bug == "heads_exchanged":
            for k in "Wb":
                g[k + "_mu"], g[k + "_logvar"] = g[k + "_logvar"], g[k + "_mu"]
        if bug == "biases_exchanged":
            g["b1"], g["b3"] = g["b3"], g["b1"]
        if bug == "encoder_code_pasted":
            g["b3"] = da.sum(0)
        if bug == "mu_for_z":
            g["W3"] = mu.T @ dv
        if bug == "kl_mean_forgotten_in_head":
            g["W_mu"], g["b_mu"] = h.T @ dz, dz.sum(0)
        if bug == "W_logvar_from_dmu":
            g["W_logvar"] = h.T @ dmu
        if bug == "elbo_for_loss":
            g = {k: -v for k, v in g.items()}
        if bug == "bias_mean":
            g["b_mu"], g["b_logvar"] = dmu.mean(0), dlv.mean(0)
        if bug == "decoder_not_zeroed":
            for k in ("W3", "b3", "W4", "b4"):
                store[k] = store.get(k, 0) + g[k]
                g[k] = store[k].copy()
        return g

    if bug == "decoder_not_zeroed":
        grad(bug, theta, eps, x_earlier)
    return problem(loss, grad, theta, bug, dict(B=B, D=D, H=H, K=K, beta=beta), eps)


ENC, DEC = "W1 b1 W_mu b_mu W_logvar b_logvar", "W3 b3 W4 b4"
T = "reparameterization"
plant(T, vae, "eps_redrawn", "the backward pass calls sample() again: new ε throughout", "noise", ENC + " " + DEC)
plant(T, vae, "eps_stale", "ε of an earlier batch is still in the cache", "noise", ENC + " " + DEC)
plant(T, vae, "eps_redrawn_for_logvar", "new ε is drawn for dlogvar alone", "noise", "W1 b1 W_logvar b_logvar")
plant(T, vae, "tanh_on_z", "a tanh slope at z, which is no activation", "extra slope", ENC)
plant(T, vae, "z_detached", "z is taken as data: no gradient of the reconstruction reaches the encoder",
      "term forgotten", ENC)
plant(T, vae, "eps_in_dmu", "dmu = dz ε, copied from the line of logvar", "other", "W1 b1 W_mu b_mu")
plant(T, vae, "dh_overwritten", "dh = for the second head instead of dh +=", "term forgotten", "W1 b1")
plant(T, vae, "dh_one_matrix", "both heads go back through W_mu", "other", "W1 b1")
plant(T, vae, "slope_of_decoder_layer", "the encoder's slope from the decoder's hidden layer, of one width",
      "wrong slope", "W1 b1")
plant(T, vae, "heads_exchanged", "the gradients of the two heads are exchanged", "permuted",
      "W_mu b_mu W_logvar b_logvar")
plant(T, vae, "W_logvar_from_dmu", "the line of W_mu pasted for W_logvar, dmu left in it", "wrong array", "W_logvar",
      also="other")
plant("KL", vae, "beta_forgotten", "β is in the loss and not in the gradient", "term scaled", ENC)
plant("KL", vae, "kl_sum", "the KL's gradient is not divided by B", "sum for mean", ENC)
plant("KL", vae, "kl_mean_over_latents", "the KL's gradient is a mean over latent dimensions, too", "mean for sum", ENC)
plant("KL", vae, "kl_ascends", "the KL's gradient is subtracted", "term scaled", ENC)
plant("KL", vae, "kl_twice", "the KL's ½ is forgotten throughout", "term twice", ENC)
plant("KL", vae, "kl_left_out", "the KL is not differentiated at all", "term forgotten", ENC)
plant("KL", vae, "kl_of_z", "z in place of mu in the KL's derivative", "other", "W1 b1 W_mu b_mu")
plant("KL", vae, "kl_mean_forgotten_in_head", "the head of mu without KL, though dh has it", "term forgotten",
      "W_mu b_mu")
T = "Bernoulli decoder"
plant(T, vae, "biases_exchanged", "hidden biases of encoder and decoder exchanged, of one width", "permuted", "b1 b3")
plant(T, vae, "encoder_code_pasted", "the decoder's hidden bias takes the encoder's da", "other", "b3", also="permuted")
plant(T, vae, "mu_for_z", "the decoder's first layer saw z; its dW is made from mu", "wrong array", "W3")
plant(T, vae, "decoder_slope_missing", "no tanh slope in the decoder's hidden layer", "missing slope", ENC + " W3 b3")
plant(T, vae, "elbo_for_loss", "the gradient of the ELBO, where the loss is −ELBO", "factor", ENC + " " + DEC)
plant(T, vae, "bias_mean", "the heads' biases averaged over rows", "bias sum", "b_mu b_logvar")
plant(T, vae, "decoder_not_zeroed", "the decoder's buffers are not set to 0 between batches", "accumulated", DEC)


# ---- linear heads, S draws, one learned σ² ---------------------------------------------------------------------------

def gauss(rng, bug):
    B, D, K = sizes(rng, 3)
    S = size(rng, 2, 4)
    x, eps = rng.standard_normal((B, D)), rng.standard_normal((S, B, K))
    theta = draw(rng, W_mu=(D, K), b_mu=(K,), W_logvar=(D, K), b_logvar=(K,), W_dec=(K, D), b_dec=(D,), logvar_x=(1,))
    theta["logvar_x"] = np.array([rng.choice([-0.9, 0.9])])
    theta["b_logvar"] = theta["b_logvar"] + rng.choice([-0.8, 0.8])

    def forward(th, eps):
        mu, lv = x @ th["W_mu"] + th["b_mu"], x @ th["W_logvar"] + th["b_logvar"]
        if bug == "clip_ignored":
            lv = np.where(np.abs(np.real(lv)) < 0.8, lv, 0.8 * np.sign(np.real(lv)))
        z = mu + np.exp(lv / 2) * eps
        return mu, lv, z, z @ th["W_dec"] + th["b_dec"]

    def loss(th, eps):
        mu, lv, z, m = forward(th, eps)
        lx = th["logvar_x"][0]
        return {"reconstruction": (norm2(x - m) * np.exp(-lx) / S + B * D * lx) / (2 * B),
                "kl": np.sum(mu * mu + np.exp(lv) - 1 - lv) / (2 * B)}

    def grad(bug, th, eps):
        mu, lv, z, m = forward(th, eps)
        lx = th["logvar_x"][0]
        dm = (m - x) * np.exp(-lx) / (B * S)
        if bug == "sd_for_variance":
            dm = (m - x) * np.exp(-lx / 2) / (B * S)
        if bug == "variance_forgotten":
            dm = (m - x) / (B * S)
        if bug == "draws_summed":
            dm = (m - x) * np.exp(-lx) / B
        dz = dm @ th["W_dec"].T
        sd = np.exp(lv / 2)
        kl_lv = {"kl_minus_one_forgotten": np.exp(lv) / (2 * B), "kl_of_sd": (np.exp(lv / 2) - 1) / (2 * B),
                 "kl_half_in_one_place": (np.exp(lv) / 2 - 1) / B, "kl_sign_of_logvar": (np.exp(lv) + 1) / (2 * B),
                 }.get(bug, (np.exp(lv) - 1) / (2 * B))
        dmu = dz.sum(0) + mu / B
        if bug == "draws_overwrite":
            dmu = dz[-1] + mu / B
        dlv = (dz * eps).sum(0) * sd / 2 + kl_lv
        if bug == "half_forgotten_in_draw":
            dlv = (dz * eps).sum(0) * sd + kl_lv
        if bug == "variance_for_sd_in_draw":
            dlv = (dz * eps).sum(0) * np.exp(lv) / 2 + kl_lv
        if bug == "exp_forgotten_in_draw":
            dlv = (dz * eps).sum(0) / 2 + kl_lv
        if bug == "eps_forgotten_in_draw":
            dlv = dz.sum(0) * sd / 2 + kl_lv
        if bug == "z_for_eps":
            dlv = (dz * z).sum(0) * sd / 2 + kl_lv
        if bug == "eps_summed_first":
            dlv = dz.sum(0) * eps.sum(0) * sd / 2 + kl_lv
        if bug == "no_draw_path":
            dlv = kl_lv
        if bug == "half_by_integer_division":
            dlv = 1 // 2 * ((dz * eps).sum(0) * sd + (np.exp(lv) - 1) / B)
        if bug == "kl_counted_per_draw":
            dmu, dlv = dmu + (S - 1) * mu / B, dlv + (S - 1) * kl_lv
        clip = (np.abs(x @ th["W_logvar"] + th["b_logvar"]) < 0.8) if g_clip and bug is None else 1
        dlv = dlv * clip
        r2 = norm2(x - m) * np.exp(-lx) / S
        dlx = (B * D - r2) / (2 * B)
        if bug == "D_forgotten":
            dlx = (B - r2) / (2 * B)
        if bug == "log_sd_for_log_variance":
            dlx = (B * D - r2) / B
        if bug == "normaliser_forgotten":
            dlx = -r2 / (2 * B)
        if bug == "sigma_sign":
            dlx = (r2 - B * D) / (2 * B)
        if bug == "sigma_sum":
            dlx = (B * D - r2) / 2
        if bug == "sigma_frozen":
            dlx = 0.0
        return {"W_mu": x.T @ dmu, "b_mu": dmu.sum(0), "W_logvar": x.T @ dlv, "b_logvar": dlv.sum(0),
                "W_dec": np.einsum("sbk,sbd->kd", z, dm), "b_dec": dm.sum((0, 1)), "logvar_x": np.array([dlx])}

    g_clip = bug == "clip_ignored"
    return problem(loss, grad, theta, bug, dict(B=B, D=D, K=K, draws=S), eps)


LV = "W_logvar b_logvar"
T = "reparameterization"
plant(T, gauss, "half_forgotten_in_draw", "dσ/dlogvar = σ/2 without the ½: the reconstruction counts twice here",
      "term twice", LV)
plant(T, gauss, "variance_for_sd_in_draw", "exp(logvar) for exp(logvar/2) in the backward pass", "extra slope", LV)
plant(T, gauss, "exp_forgotten_in_draw", "½ dz ε, σ left out", "missing slope", LV)
plant(T, gauss, "eps_forgotten_in_draw", "½ dz σ, ε left out", "other", LV)
plant(T, gauss, "z_for_eps", "z multiplied in where ε belongs", "other", LV)
plant(T, gauss, "eps_summed_first", "(Σ_s dz)(Σ_s ε) for Σ_s dz ε", "other", LV)
plant(T, gauss, "no_draw_path", "logvar gets its KL only; the path through z is not there", "term forgotten", LV)
plant(T, gauss, "half_by_integer_division", "the common ½ written as 1 // 2, which is 0", "zero", LV)
plant(T, gauss, "draws_overwrite", "the loop over draws assigns dmu: only the last draw stays", "other", "W_mu b_mu")
plant(T, gauss, "clip_ignored", "logvar is clipped forward, and the clip's mask is not in the backward pass",
      "missing slope", LV, also="other")
T = "KL"
plant(T, gauss, "kl_minus_one_forgotten", "½ e^logvar, the −½ left out", "term forgotten", LV)
plant(T, gauss, "kl_of_sd", "σ − 1 for σ² − 1", "wrong slope", LV, also="other")
plant(T, gauss, "kl_half_in_one_place", "½ e^logvar − 1: the ½ on one term alone", "term twice", LV)
plant(T, gauss, "kl_sign_of_logvar", "+ logvar instead of − logvar in the KL that is differentiated", "term scaled", LV)
plant(T, gauss, "kl_counted_per_draw", "the KL's gradient is added inside the loop over draws", "sum for mean",
      "W_mu b_mu W_logvar b_logvar", also="term twice")
T = "Gaussian decoder"
plant(T, gauss, "sd_for_variance", "the residual divided by σ instead of σ²", "term scaled",
      "W_mu b_mu W_logvar b_logvar W_dec b_dec", also="factor")
plant(T, gauss, "variance_forgotten", "the residual is not divided by σ²", "term scaled",
      "W_mu b_mu W_logvar b_logvar W_dec b_dec", also="factor")
plant(T, gauss, "draws_summed", "1/S left out: the reconstruction counts S times", "sum for mean",
      "W_mu b_mu W_logvar b_logvar W_dec b_dec", also="term twice")
plant(T, gauss, "D_forgotten", "the normaliser log σ² counted once instead of D times", "mean for sum", "logvar_x")
plant(T, gauss, "log_sd_for_log_variance", "derived by log σ where the parameter is log σ²", "factor", "logvar_x")
plant(T, gauss, "normaliser_forgotten", "the derivative of ½ D log σ² is left out", "term forgotten", "logvar_x")
plant(T, gauss, "sigma_sign", "the sign of log p instead of that of the loss", "factor", "logvar_x")
plant(T, gauss, "sigma_sum", "summed over rows", "sum for mean", "logvar_x")
plant(T, gauss, "sigma_frozen", "the learned σ is treated as a constant", "zero", "logvar_x")


# ---- one matrix for [mu | logvar]; decoder with a mean and a log-variance for every x_d ------------------------------

def heads(rng, bug):
    B, D, K = size(rng, 3, 8), size(rng, 3, 7), size(rng, 2, 5)
    x, eps = rng.standard_normal((B, D)), rng.standard_normal((B, K))
    theta = draw(rng, W_enc=(D, 2 * K), b_enc=(2 * K,), W_mean=(K, D), b_mean=(D,), W_logvar=(K, D), b_logvar=(D,))

    def forward(th, eps):
        out = x @ th["W_enc"] + th["b_enc"]
        mu, lv = out[:, :K], out[:, K:]
        z = mu + np.exp(lv / 2) * eps
        return mu, lv, z, z @ th["W_mean"] + th["b_mean"], z @ th["W_logvar"] + th["b_logvar"]

    def loss(th, eps):
        mu, lv, z, m, s = forward(th, eps)
        return {"reconstruction": np.sum((x - m) ** 2 * np.exp(-s) + s) / (2 * B),
                "kl": np.sum(mu * mu + np.exp(lv) - 1 - lv) / (2 * B)}

    def grad(bug, th, eps):
        mu, lv, z, m, s = forward(th, eps)
        r = m - x
        dm, ds = r * np.exp(-s) / B, (1 - r * r * np.exp(-s)) / (2 * B)
        if bug == "residual_not_scaled":
            ds = (1 - r * r) / (2 * B)
        if bug == "precision_sign":
            ds = (1 + r * r * np.exp(-s)) / (2 * B)
        if bug == "residual_not_squared":
            ds = (1 - r * np.exp(-s)) / (2 * B)
        if bug == "precision_for_variance":
            dm = r * np.exp(s) / B
        dz = dm @ th["W_mean"].T + ds @ th["W_logvar"].T
        if bug == "variance_head_not_in_dz":
            dz = dm @ th["W_mean"].T
        dmu = dz + mu / B
        dlv = dz * eps * np.exp(lv / 2) / 2 + (np.exp(lv) - 1) / (2 * B)
        dout = np.concatenate([dmu, dlv], axis=1)
        if bug == "halves_exchanged":
            dout = np.concatenate([dlv, dmu], axis=1)
        if bug == "interleaved":
            dout = np.stack([dmu, dlv], axis=2).reshape(B, 2 * K)
        if bug == "second_half_never_filled":
            dout = np.zeros((B, 2 * K))
            dout[:, :K] = dmu
        if bug == "slice_off_by_one":
            dout = np.zeros((B, 2 * K))
            dout[:, :K], dout[:, K:-1] = dmu, dlv[:, :-1]
        if bug == "reshaped_not_joined":
            dout = np.concatenate([dmu, dlv], axis=0).reshape(B, 2 * K)
        g = {"W_enc": x.T @ dout, "b_enc": dout.sum(0), "W_mean": z.T @ dm, "b_mean": dm.sum(0),
             "W_logvar": z.T @ ds, "b_logvar": ds.sum(0)}
        if bug == "variance_head_zero":
            g["W_logvar"], g["b_logvar"] = 0 * g["W_logvar"], 0 * g["b_logvar"]
        if bug == "decoder_heads_exchanged":
            for k in "Wb":
                g[k + "_mean"], g[k + "_logvar"] = g[k + "_logvar"], g[k + "_mean"]
        if bug == "mean_head_over_D":
            g["W_mean"], g["b_mean"] = g["W_mean"] / D, g["b_mean"] / D
        return g

    return problem(loss, grad, theta, bug, dict(B=B, D=D, K=K), eps)


T = "Gaussian decoder"
plant(T, heads, "residual_not_scaled", "½ (1 − r²) without e^−logvar", "missing slope", E + " " + LV, also="other")
plant(T, heads, "precision_sign", "the sign of d e^−logvar is lost", "term scaled", E + " " + LV, also="wrong slope")
plant(T, heads, "residual_not_squared", "r for r² by logvar", "other", E + " " + LV)
plant(T, heads, "precision_for_variance", "times σ² instead of divided by it", "other", E + " W_mean b_mean")
plant(T, heads, "variance_head_not_in_dz", "dz from the mean's head alone", "term forgotten", E)
plant(T, heads, "variance_head_zero", "the variance head's gradients are allocated and never filled", "zero", LV)
plant(T, heads, "decoder_heads_exchanged", "the decoder's two heads are exchanged", "permuted", "W_mean b_mean " + LV)
plant(T, heads, "mean_head_over_D", "the mean head's squared error averaged over D, too", "mean for sum",
      "W_mean b_mean")
T = "reparameterization"
plant(T, heads, "halves_exchanged", "[dlogvar | dmu] for [dmu | dlogvar]", "permuted", E)
plant(T, heads, "interleaved", "mu and logvar of a dimension side by side: the columns are interleaved", "permuted", E)
plant(T, heads, "second_half_never_filled", "only the mu half of d_out is written", "zero", E, also="other")
plant(T, heads, "slice_off_by_one", "K:−1 leaves the last logvar's column 0", "other", E, also="zero")
plant(T, heads, "reshaped_not_joined", "joined along axis 0, then reshaped until it fitted", "permuted", E)


# ---- KL of two Gaussians, the prior learned --------------------------------------------------------------------------

def kl_prior(rng, bug):
    B, K = sizes(rng, 2)
    theta = draw(rng, mu_q=(B, K), logvar_q=(B, K), mu_p=(K,), logvar_p=(K,))
    theta["mu_q"] *= 2

    def loss(th):
        d, v = th["mu_q"] - th["mu_p"], th["logvar_q"] - th["logvar_p"]
        return {"loss": np.sum(np.exp(v) + d * d * np.exp(-th["logvar_p"]) - 1 - v) / (2 * B)}

    def grad(bug, th):
        d, v, pr = th["mu_q"] - th["mu_p"], th["logvar_q"] - th["logvar_p"], np.exp(-th["logvar_p"])
        g = {"mu_q": d * pr / B, "logvar_q": (np.exp(v) - 1) / (2 * B), "mu_p": -(d * pr).sum(0) / B,
             "logvar_p": (1 - np.exp(v) - d * d * pr).sum(0) / (2 * B)}
        if bug == "mu_p_sign":
            g["mu_p"] = (d * pr).sum(0) / B
        if bug == "mu_p_sum":
            g["mu_p"] = -(d * pr).sum(0)
        if bug == "standard_prior":
            g["mu_q"], g["logvar_q"] = th["mu_q"] / B, (np.exp(th["logvar_q"]) - 1) / (2 * B)
        if bug == "reverse_kl":
            pq = np.exp(-th["logvar_q"])
            g["mu_q"], g["mu_p"] = d * pq / B, -(d * pq).sum(0) / B
        if bug == "distance_by_logvar_p":
            g["logvar_p"] = (1 - np.exp(v)).sum(0) / (2 * B)
        if bug == "prior_frozen":
            g["mu_p"], g["logvar_p"] = np.zeros(K), np.zeros(K)
        if bug == "precision_upside_down":
            g["mu_q"] = d / pr / B
        if bug == "prior_mean_of_rows":
            g["mu_p"], g["logvar_p"] = -(d * pr).mean(0) / B, (1 - np.exp(v) - d * d * pr).mean(0) / (2 * B)
        if bug == "logvar_q_no_half":
            g["logvar_q"] = (np.exp(v) - 1) / B
        return g

    return problem(loss, grad, theta, bug, dict(B=B, K=K))


T = "KL"
plant(T, kl_prior, "mu_p_sign", "the prior's mean gets the posterior's line, without the minus", "factor", "mu_p")
plant(T, kl_prior, "mu_p_sum", "no 1/B for the prior's mean", "sum for mean", "mu_p")
plant(T, kl_prior, "standard_prior", "the formula for N(0, I), though the prior is learned", "other", "mu_q logvar_q")
plant(T, kl_prior, "reverse_kl", "the precision of q instead of that of p: KL the other way round", "other",
      "mu_q mu_p")
plant(T, kl_prior, "distance_by_logvar_p", "the quadratic form is not differentiated by the prior's variance",
      "term forgotten", "logvar_p")
plant(T, kl_prior, "prior_frozen", "the prior's parameters are taken as constants", "zero", "mu_p logvar_p")
plant(T, kl_prior, "precision_upside_down", "d times Σ_p instead of Σ_p⁻¹", "other", "mu_q")
plant(T, kl_prior, "prior_mean_of_rows", "broadcast prior: np.mean over rows and the 1/B, where rows are to be summed",
      "mean for sum", "mu_p logvar_p", also="bias sum")
plant(T, kl_prior, "logvar_q_no_half", "the ½ in front of the KL is missing for logvar", "factor", "logvar_q")


# ---- full covariance -------------------------------------------------------------------------------------------------

def full(rng, bug):
    B, D, K = size(rng, 4, 8), size(rng, 3, 7), size(rng, 4, 6)
    M = K * (K - 1) // 2
    low, col = np.tril_indices(K, -1)
    x, eps = rng.standard_normal((B, D)), rng.standard_normal((B, K))
    stale = rng.standard_normal((B, K))
    theta = draw(rng, W_mu=(D, K), b_mu=(K,), W_logvar=(D, K), b_logvar=(K,), W_lower=(D, M), b_lower=(M,),
                 W_dec=(K, D), b_dec=(D,))
    theta["W_logvar"] /= 2

    def forward(th, eps):
        mu, lv = x @ th["W_mu"] + th["b_mu"], x @ th["W_logvar"] + th["b_logvar"]
        lower = x @ th["W_lower"] + th["b_lower"]
        L = np.zeros((B, K, K), lower.dtype if np.iscomplexobj(lower) else lv.dtype)
        L[:, low, col] = lower
        L[:, range(K), range(K)] = np.exp(lv / 2)
        z = mu + np.einsum("bij,bj->bi", L, eps)
        return mu, lv, lower, L, z, z @ th["W_dec"] + th["b_dec"]

    def loss(th, eps):
        mu, lv, lower, L, z, m = forward(th, eps)
        return {"reconstruction": norm2(x - m) / (2 * B),
                "kl": (norm2(mu) + norm2(lower) + np.sum(np.exp(lv) - 1 - lv)) / (2 * B)}

    def grad(bug, th, eps):
        mu, lv, lower, L, z, m = forward(th, eps)
        dm = (m - x) / B
        dz = dm @ th["W_dec"].T
        e = stale if bug == "stale_eps_in_L" else eps
        dL = dz[:, :, None] * e[:, None, :]
        if bug == "outer_transposed":
            dL = dL.swapaxes(1, 2)
        dlower = dL[:, low, col] + lower / B
        if bug == "packed_by_columns":
            order = np.lexsort((low, col))
            dlower = dlower[:, order]
        if bug == "kl_lower_forgotten":
            dlower = dL[:, low, col]
        if bug == "kl_lower_twice":
            dlower = dL[:, low, col] + 2 * lower / B
        if bug == "tril_symmetric":
            dlower = dL[:, low, col] + dL[:, col, low] + lower / B
        diag = dL[:, range(K), range(K)]
        kl_lv = (np.exp(lv) - 1) / (2 * B)
        dlv = diag * np.exp(lv / 2) / 2 + kl_lv
        if bug == "diagonal_exp_forgotten":
            dlv = diag / 2 + kl_lv
        if bug == "diagonal_path_forgotten":
            dlv = kl_lv
        if bug == "logdet_forgotten":
            dlv = diag * np.exp(lv / 2) / 2 + np.exp(lv) / (2 * B)
        if bug == "row_sum_for_diagonal":
            dlv = dL.sum(axis=2) * np.exp(lv / 2) / 2 + kl_lv
        dmu = dz + mu / B
        if bug == "dmu_through_L":
            dmu = np.einsum("bij,bi->bj", L, dz) + mu / B
        g = {"W_dec": z.T @ dm, "b_dec": dm.sum(0)}
        for k, d in (("mu", dmu), ("logvar", dlv), ("lower", dlower)):
            g["W_" + k], g["b_" + k] = x.T @ d, d.sum(0)
        if bug == "lower_zero":
            g["W_lower"], g["b_lower"] = np.zeros((D, M)), np.zeros(M)
        return g

    return problem(loss, grad, theta, bug, dict(B=B, D=D, K=K), eps)


T = "full covariance"
LO = "W_lower b_lower"
plant(T, full, "outer_transposed", "ε dzᵀ for dz εᵀ: below the diagonal stands what belongs above", "transpose", LO)
plant(T, full, "packed_by_columns", "the entries below the diagonal packed by columns, the forward pass by rows",
      "permuted", LO)
plant(T, full, "kl_lower_forgotten", "tr Σ is taken as Σ e^logvar: nothing of the KL for `lower`", "term forgotten", LO)
plant(T, full, "kl_lower_twice", "2 L for ½ · 2 L", "term twice", LO)
plant(T, full, "tril_symmetric", "Σ's symmetric derivative folded onto L: above and below are added", "other", LO)
plant(T, full, "stale_eps_in_L", "L's derivative with the ε of an earlier batch", "noise", LV + " " + LO)
plant(T, full, "diagonal_exp_forgotten", "the diagonal's exp(logvar/2) is left out of the chain", "missing slope", LV)
plant(T, full, "diagonal_path_forgotten", "no reconstruction gradient for the diagonal", "term forgotten", LV)
plant(T, full, "logdet_forgotten", "−log det Σ is not differentiated", "term forgotten", LV)
plant(T, full, "row_sum_for_diagonal", "dL summed over a row instead of its diagonal", "other", LV)
plant(T, full, "dmu_through_L", "dz is multiplied by Lᵀ on its way to mu", "other", "W_mu b_mu")
plant(T, full, "lower_zero", "np.tril of the gradient with k = −K: nothing below the diagonal is kept", "zero", LO)


def free(rng, bug):
    """One N(m, A Aᵀ) for the whole batch, A any square matrix: z = m + A ε."""
    B, K, D = sizes(rng, 3)
    x, eps = rng.standard_normal((B, D)), rng.standard_normal((B, K))
    theta = draw(rng, mu=(K,), A=(K, K), W_dec=(K, D))
    theta["A"] = np.eye(K) + 0.5 * theta["A"]

    def loss(th, eps):
        z = th["mu"] + eps @ th["A"].T
        sign, logdet = np.linalg.slogdet(th["A"] @ th["A"].T)
        return {"reconstruction": norm2(x - z @ th["W_dec"]) / (2 * B),
                "kl": (norm2(th["A"]) + norm2(th["mu"]) - K - logdet - np.log(sign)) / 2}

    def grad(bug, th, eps):
        A = th["A"]
        z = th["mu"] + eps @ A.T
        dm = (z @ th["W_dec"] - x) / B
        dz = dm @ th["W_dec"].T
        inv = np.linalg.inv(A)
        dA = dz.T @ eps + A - inv.T
        if bug == "inverse_not_transposed":
            dA = dz.T @ eps + A - inv
        if bug == "A_transposed":
            dA = eps.T @ dz + A.T - inv
        if bug == "eps_times_dz":
            dA = eps.T @ dz + A - inv.T
        if bug == "logdet_of_sigma":
            dA = dz.T @ eps + A - np.linalg.inv(A @ A.T)
        if bug == "logdet_half":
            dA = dz.T @ eps + A - inv.T / 2
        dmu = dz.sum(0) + th["mu"]
        if bug == "kl_mu_per_row":
            dmu = (dz + th["mu"]).sum(0)
        return {"mu": dmu, "A": dA, "W_dec": z.T @ dm}

    return problem(loss, grad, theta, bug, dict(B=B, D=D, K=K), eps)


plant(T, free, "inverse_not_transposed", "A⁻¹ for A⁻ᵀ as the derivative of log |det A|", "transpose", "A")
plant(T, free, "A_transposed", "the whole gradient by Aᵀ", "transpose", "A")
plant(T, free, "eps_times_dz", "ε dzᵀ for dz εᵀ in the draw, the KL right", "transpose", "A")
plant(T, free, "logdet_of_sigma", "Σ⁻¹ for A⁻ᵀ: differentiated by Σ, not by A", "other", "A", also="missing slope")
plant(T, free, "logdet_half", "½ A⁻ᵀ: the two A of A Aᵀ forgotten", "term scaled", "A")
plant(T, free, "kl_mu_per_row", "the KL's gradient, one number a batch, is added in every row", "sum for mean", "mu")


# ---- importance-weighted bound ---------------------------------------------------------------------------------------

def iwae(rng, bug):
    B, D, K, S = sizes(rng, 4)
    x, eps = (rng.random((B, D)) < 0.5) * 1.0, rng.standard_normal((S, B, K))
    fresh = np.random.default_rng(int(rng.integers(1 << 30)))
    theta = draw(rng, W_mu=(D, K), b_mu=(K,), W_logvar=(D, K), b_logvar=(K,), W_dec=(K, D), b_dec=(D,))
    theta["W_dec"] *= 1.5

    def forward(th, eps):
        mu, lv = x @ th["W_mu"] + th["b_mu"], x @ th["W_logvar"] + th["b_logvar"]
        z = mu + np.exp(lv / 2) * eps
        l = z @ th["W_dec"] + th["b_dec"]
        log_w = np.sum(x * l - softplus(l), 2) - np.sum(z * z, 2) / 2 + np.sum(eps * eps + lv, 2) / 2
        return mu, lv, z, l, log_w

    def loss(th, eps):
        log_w = forward(th, eps)[-1]
        top = np.max(np.real(log_w), axis=0)
        return {"loss": -np.sum(np.log(np.mean(np.exp(log_w - top), axis=0)) + top) / B}

    def grad(bug, th, eps):
        e = eps
        if bug == "eps_redrawn":
            e = fresh.standard_normal(eps.shape)
        mu, lv, z, l, log_w = forward(th, e)
        axis = 1 if bug == "normalised_over_batch" else 0
        w = np.exp(log_w - np.max(log_w, axis=axis, keepdims=True))
        w = w / np.sum(w, axis=axis, keepdims=True)
        if bug == "elbo_weights":
            w = np.full_like(w, 1 / S)
        if bug == "weights_not_normalised":
            w = np.exp(log_w - np.max(log_w, axis=0))
        if bug == "likelihood_weights":
            lp = np.sum(x * l - softplus(l), 2)
            w = np.exp(lp - lp.max(0)) / np.exp(lp - lp.max(0)).sum(0)
        if bug == "best_draw_only":
            w = (log_w == log_w.max(0)) * 1.0
        if bug == "divided_by_S":
            w = w / S
        if bug == "weights_reversed":
            w = w[::-1]
        c = -(w / B)[:, :, None]
        if bug == "mean_over_rows_forgotten":
            c = -w[:, :, None]
        if bug == "sign":
            c = -c
        sd = np.exp(lv / 2)
        dl = c * (x - sigmoid(l))
        dz = dl @ th["W_dec"].T + c * (-z + e / sd)
        if bug == "prior_forgotten":
            dz = dl @ th["W_dec"].T + c * (e / sd)
        if bug == "q_not_through_z":
            dz = dl @ th["W_dec"].T - c * z
        if bug == "likelihood_only":
            dz = dl @ th["W_dec"].T
        direct_mu, direct_lv = -c * e / sd, -c * (e * e - 1) / 2
        if bug == "direct_path_forgotten":
            direct_mu, direct_lv = 0 * direct_mu, 0 * direct_lv
        if bug == "direct_logvar_no_one":
            direct_lv = -c * e * e / 2
        if bug == "weights_squared":
            dz, direct_mu, direct_lv = (w[:, :, None] * v for v in (dz, direct_mu, direct_lv))
        dmu = (dz + direct_mu).sum(0)
        dlv = (dz * e * sd / 2 + direct_lv).sum(0)
        return {"W_mu": x.T @ dmu, "b_mu": dmu.sum(0), "W_logvar": x.T @ dlv, "b_logvar": dlv.sum(0),
                "W_dec": np.einsum("sbk,sbd->kd", z, dl), "b_dec": dl.sum((0, 1))}

    return problem(loss, grad, theta, bug, dict(B=B, D=D, K=K, draws=S), eps)


T = "importance-weighted bound"
EI, ALL = "W_mu b_mu W_logvar b_logvar", "W_mu b_mu W_logvar b_logvar W_dec b_dec"
plant(T, iwae, "normalised_over_batch", "weights normalised over rows instead of over draws", "other", ALL)
plant(T, iwae, "elbo_weights", "1/S for every draw: the gradient of the mean of log w, not of log mean w", "other", ALL)
plant(T, iwae, "weights_not_normalised", "w / max w, never divided by its sum", "other", ALL)
plant(T, iwae, "likelihood_weights", "weights from p(x|z) alone, without p(z)/q(z|x)", "other", ALL)
plant(T, iwae, "best_draw_only", "argmax for the softmax of log w", "other", ALL)
plant(T, iwae, "divided_by_S", "normalised weights averaged over the draws instead of summed", "mean for sum", ALL)
plant(T, iwae, "weights_reversed", "the weights of other draws: the draws were stacked in reverse", "permuted", ALL,
      also="other")
plant(T, iwae, "mean_over_rows_forgotten", "a sum over rows", "sum for mean", ALL)
plant(T, iwae, "sign", "ascent: the bound's gradient for that of minus the bound", "factor", ALL)
plant(T, iwae, "eps_redrawn", "weights and gradient from new draws", "noise", ALL)
plant(T, iwae, "prior_forgotten", "log p(z) is in the weights, and its −z is not in dz", "term forgotten", EI)
plant(T, iwae, "q_not_through_z", "log q is differentiated by its parameters, and not through z", "term forgotten", EI)
plant(T, iwae, "likelihood_only", "log p(z) − log q(z|x) flows into the weights and not back through z",
      "term forgotten", EI)
plant(T, iwae, "direct_path_forgotten", "log q's own parameters are left out (sticking the landing by accident)",
      "term forgotten", EI)
plant(T, iwae, "direct_logvar_no_one", "the log-determinant's ½ is left out of log q's derivative", "term forgotten",
      LV)
plant(T, iwae, "weights_squared", "the encoder's part weighted by w twice", "other", EI)


# ---- a loss that is a sum over rows ----------------------------------------------------------------------------------

def summed(rng, bug):
    B, D, K = sizes(rng, 3)
    x, lam = rng.standard_normal((B, D)), 0.4
    theta = draw(rng, W_enc=(D, K), b_enc=(K,), W_dec=(K, D), b_dec=(D,))

    def forward(th):
        h = softplus(x @ th["W_enc"] + th["b_enc"])
        return h, h @ th["W_dec"] + th["b_dec"]

    def loss(th):
        h, xh = forward(th)
        return {"reconstruction": norm2(x - xh), "sparsity": lam * np.sum(h)}

    def grad(bug, th):
        h, xh = forward(th)
        do = 2 * (xh - x)
        if bug == "mean":
            do = do / B
        push = lam / B if bug == "penalty_mean" else lam
        dh = do @ th["W_dec"].T + push
        da = dh * (1 - np.exp(-h))
        if bug == "slope_from_h_not_a":
            da = dh * sigmoid(h)
        if bug == "relu_slope":
            da = dh * (h > 0)
        g = {"W_enc": x.T @ da, "b_enc": da.sum(0), "W_dec": h.T @ do, "b_dec": do.sum(0)}
        if bug == "decoder_mean":
            g["W_dec"], g["b_dec"] = g["W_dec"] / B, g["b_dec"] / B
        if bug == "all_mean":
            g = {k: v / B for k, v in g.items()}
        return g

    return problem(loss, grad, theta, bug, dict(B=B, D=D, K=K) | {"lambda": lam})


plant("squared loss", summed, "all_mean", "the gradient of the mean loss, where the loss is a sum", "mean for sum", A)
plant("squared loss", summed, "decoder_mean", "the decoder's gradients averaged over rows, where the loss is a sum",
      "mean for sum", "W_dec b_dec")
plant("squared loss", summed, "mean", "dL/dx̂ divided by B where the loss is a sum; the penalty is right",
      "mean for sum", A)
plant("L1 sparsity", summed, "penalty_mean", "the penalty's gradient averaged, where the loss sums it over rows",
      "mean for sum", E)
plant("activations", summed, "slope_from_h_not_a", "softplus: sigmoid(h) for sigmoid(a)", "wrong slope", E)
plant("activations", summed, "relu_slope", "softplus with relu's mask: h > 0 holds always", "missing slope", E,
      also="wrong slope")


# ---- a weight for every row, and a regression with one output --------------------------------------------------------

def weighted(rng, bug):
    B, D, H = sizes(rng, 3)
    x, y, w = rng.standard_normal((B, D)), rng.standard_normal((B, B)), rng.random(B) + 0.2    # as many outputs as rows
    mask = (rng.random((B, B)) < 0.6) * 1.0
    np.fill_diagonal(mask, 1)
    mask[0, 1], mask[1, 0] = 0, 1                                      # not symmetric; entries that were observed
    theta = draw(rng, W1=(D, H), b1=(H,), W2=(H, B), b2=(B,))

    def forward(th):
        h = sigmoid(x @ th["W1"] + th["b1"])
        return h, h @ th["W2"] + th["b2"]

    def loss(th):
        r = forward(th)[1] - y
        return {"loss": np.sum(w[:, None] * mask * r * r) / np.sum(mask)}

    def grad(bug, th):
        h, out = forward(th)
        r = out - y
        n = B * B if bug == "mean_over_masked" else np.sum(mask)
        row = w if bug == "row_weights_along_columns" else w[:, None]
        m = {"mask_forgotten": 1, "mask_transposed": mask.T, "mask_inverted": 1 - mask}.get(bug, mask)
        if bug == "weights_squared":
            row = row * row
        if bug == "weights_forgotten":
            row = 1
        do = 2 * row * m * r / n
        da = (do @ th["W2"].T) * h * (1 - h)
        g = {"W1": x.T @ da, "b1": da.sum(0), "W2": h.T @ do, "b2": do.sum(0)}
        if bug == "bias_axis_1":
            g["b2"] = do.sum(1)
        if bug == "bias_unweighted":
            g["b2"] = (2 * mask * r / n).sum(0)
        return g

    return problem(loss, grad, theta, bug, dict(B=B, D=D, H=H, observed=np.sum(mask)))


F = "W1 b1 W2 b2"
T = "squared loss"
plant(T, weighted, "row_weights_along_columns", "w (B,) times a (B, B) array weighs columns, w[:, None] is meant",
      "other", F, also="transpose")
plant(T, weighted, "mean_over_masked", "divided by all entries where the loss divides by the observed ones", "factor",
      F)
plant(T, weighted, "mask_forgotten", "unobserved entries are not masked in the gradient", "other", F)
plant(T, weighted, "mask_transposed", "the mask transposed, which fits because it is square", "transpose", F,
      also="other")
plant(T, weighted, "mask_inverted", "the mask of missing entries for that of observed ones", "other", F)
plant(T, weighted, "weights_squared", "row weights in the residual, and once more in its derivative", "other", F)
plant(T, weighted, "weights_forgotten", "row weights left out of the gradient", "other", F)
plant(T, weighted, "bias_axis_1", "axis=1 for axis=0 on a square array", "bias sum", "b2")
plant(T, weighted, "bias_unweighted", "row weights reach dW2 and not db2", "other", "b2")
