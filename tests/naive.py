"""Slow oracles: loops and the math module, written from the formulas of lecture and papers, not from the library.

A matrix is a list of rows, results are lists. Where a formula can be written in two ways, the library's is avoided:
derivatives of an activation are functions of the pre-activation a and not of h, densities are written with a standard
deviation and not with a log-variance, a Bernoulli density with p and 1 − p and not with the logit alone.
"""
import math


def columns(rows):
    """The transpose, as a list of columns."""
    return [list(column) for column in zip(*rows)]


def split(out):
    """[mean | logvar], row by row, as rows of pairs (mean, standard deviation)."""
    half = len(out[0]) // 2
    return [[(row[k], math.exp(row[half + k] / 2)) for k in range(half)] for row in out]


# ---- dense layer -----------------------------------------------------------------------------------------------------

def dense(x, W, b):
    """y_o = Σ_i x_i W_io + b_o"""
    return [[math.fsum([*(x_i * W_i[o] for x_i, W_i in zip(row, W)), b[o]]) for o in range(len(b))] for row in x]


def dense_dx(dy, W):
    """dx_i = Σ_o dy_o W_io"""
    return [[math.fsum(d * w for d, w in zip(row, W_i)) for W_i in W] for row in dy]


def dense_dparams(dy, x):
    """(dW, db): dW_io = Σ_b x_bi dy_bo, db_o = Σ_b dy_bo"""
    dW = [[math.fsum(x_b * d_b for x_b, d_b in zip(x_i, d_o)) for d_o in columns(dy)] for x_i in columns(x)]
    return dW, [math.fsum(d_o) for d_o in columns(dy)]


# ---- activations: φ(a), φ'(a), φ''(a) of the number a ----------------------------------------------------------------

def sigmoid(a):
    """1 / (1 + e^−a), as (1 + tanh(a/2)) / 2 where that does not cancel"""
    return (1 + math.tanh(a / 2)) / 2 if a > 0 else math.exp(a) / (1 + math.exp(a))


def bell(a):
    """sigmoid'(a) = 1 / (2 cosh(a/2))²"""
    return (0.5 / math.cosh(a / 2))**2


def softplus(a):
    """log(1 + e^a)"""
    return math.log1p(math.exp(a)) if a < 0 else a + math.log1p(math.exp(-a))


ACTIVATIONS = {
    "identity": (lambda a: a, lambda a: 1.0, lambda a: 0.0),
    "tanh":     (math.tanh, lambda a: (1 / math.cosh(a))**2, lambda a: -2 * math.tanh(a) * (1 / math.cosh(a))**2),
    "sigmoid":  (sigmoid, bell, lambda a: -bell(a) * math.tanh(a / 2)),
    "relu":     (lambda a: a if a > 0 else 0.0, lambda a: 1.0 if a > 0 else 0.0, lambda a: 0.0),
    "elu":      (lambda a: a if a > 0 else math.expm1(a), lambda a: 1.0 if a > 0 else math.exp(a),
                 lambda a: 0.0 if a > 0 else math.exp(a)),
    "softplus": (softplus, sigmoid, bell),
}


def activation(name, a, order=0):
    """φ, φ' or φ'' of every entry of a matrix."""
    return [[ACTIVATIONS[name][order](a_h) for a_h in row] for row in a]


def activation_dbias(name, dh, a):
    """(da, db): da = dh φ'(a), db = Σ_B da, from the pre-activation."""
    da = [[d * ACTIVATIONS[name][1](a_h) for d, a_h in zip(*rows)] for rows in zip(dh, a)]
    return da, [math.fsum(column) for column in columns(da)]


# ---- rows ------------------------------------------------------------------------------------------------------------

def log_sum_exp(row):
    """log Σ e^a of one row"""
    top = max(row)
    return top + math.log(math.fsum(math.exp(a - top) for a in row)) if math.isfinite(top) else top


def softmax(a):
    """p_k = exp(a_k − log Σ_j e^{a_j})"""
    return [[math.exp(a_k - log_sum_exp(row)) for a_k in row] for row in a]


def squared_error(x, y):
    """Σ_d (x_d − y_d)²"""
    return [math.fsum((p - q)**2 for p, q in zip(*rows)) for rows in zip(x, y)]


# ---- densities, KL, entropy, draw: a number a row --------------------------------------------------------------------

def normal_log_density(x, mean, sd):
    """log N(x; mean, sd²) of one number"""
    return -((x - mean) / sd)**2 / 2 - math.log(sd) - math.log(math.tau) / 2


def standard_normal_log_prob(z):
    """Σ_k log N(z_k; 0, 1)"""
    return [math.fsum(normal_log_density(z_k, 0, 1) for z_k in row) for row in z]


def diagonal_log_prob(z, out):
    """Σ_k log N(z_k; mu_k, sd_k²)"""
    return [math.fsum(normal_log_density(z_k, mu, sd) for z_k, (mu, sd) in zip(*rows)) for rows in zip(z, split(out))]


def diagonal_kl(out):
    """Σ_k KL(N(mu, sd²) ‖ N(0, 1)) = Σ_k −log sd + (sd² + mu² − 1) / 2"""
    return [math.fsum(-math.log(sd) + (sd**2 + mu**2 - 1) / 2 for mu, sd in row) for row in split(out)]


def diagonal_entropy(out):
    """Σ_k log(sd √(2πe))"""
    return [math.fsum(math.log(sd * math.sqrt(math.tau * math.e)) for _, sd in row) for row in split(out)]


def diagonal_draw(out, eps):
    """mu + sd ε"""
    return [[mu + sd * e for (mu, sd), e in zip(*rows)] for rows in zip(split(out), eps)]


def diagonal_draw_d(dz, out, eps):
    """(dmu, dlogvar), row by row: dmu = dz, dlogvar = dz ε dsd/dlogvar = dz ε sd / 2"""
    return [[list(dz_b), [d * e * sd / 2 for d, e, (_, sd) in zip(dz_b, eps_b, row)]]
            for dz_b, eps_b, row in zip(dz, eps, split(out))]


def diagonal_kl_d(out, w):
    """(dmu, dlogvar), row by row: dmu = w mu, dlogvar = ½ w (sd² − 1)"""
    return [[[w_b * mu for mu, _ in row], [w_b * (sd - 1) * (sd + 1) / 2 for _, sd in row]]
            for row, w_b in zip(split(out), w)]


def isotropic_log_prob(x, out, logvar):
    """Σ_d log N(x_d; out_d, sd²), one sd for all"""
    sd = math.exp(logvar / 2)
    return [math.fsum(normal_log_density(x_d, mean, sd) for x_d, mean in zip(*rows)) for rows in zip(x, out)]


def isotropic_entropy(out, logvar):
    """D log(sd √(2πe))"""
    return [len(row) * math.log(math.exp(logvar / 2) * math.sqrt(math.tau * math.e)) for row in out]


def bernoulli_log_prob(x, logits):
    """Σ_d x log p + (1 − x) log(1 − p), with log p = −softplus(−l) and log(1 − p) = −softplus(l)"""
    return [math.fsum(-x_d * softplus(-l) - (1 - x_d) * softplus(l) for x_d, l in zip(*rows))
            for rows in zip(x, logits)]


def bernoulli_log_prob_d(x, logits, w):
    """w (x (1 − p) − (1 − x) p)"""
    return [[w_b * (x_d * sigmoid(-l) - (1 - x_d) * sigmoid(l)) for x_d, l in zip(x_b, l_b)]
            for x_b, l_b, w_b in zip(x, logits, w)]


def bernoulli_entropy(logits):
    """−Σ_d p log p + (1 − p) log(1 − p)"""
    return [math.fsum(sigmoid(l) * softplus(-l) + sigmoid(-l) * softplus(l) for l in row) for row in logits]


# ---- penalties on a code: one number for all rows --------------------------------------------------------------------

def l1(h, eps=0.0):
    """(1/B) Σ_b Σ_k √(h_bk² + eps)"""
    return math.fsum(math.hypot(h_k, math.sqrt(eps)) for row in h for h_k in row) / len(h)


def kl_sparsity(h, rho):
    """Σ_k KL(ρ ‖ ρ̂_k), as what an optimal code for ρ̂_k costs beyond one for ρ"""
    def bits(q):
        return -rho * math.log(q) - (1 - rho) * math.log1p(-q)
    return math.fsum(bits(math.fsum(column) / len(h)) - bits(rho) for column in columns(h))


def encoder_jacobian(names, layers, x):
    """∂h_k/∂x_d of one row x, as rows of the matrix: for each d its column through one layer after the other."""
    h, J = [x], [[float(d == i) for i in range(len(x))] for d in range(len(x))]
    for name, (W, b) in zip(names, layers):
        a = dense(h, W, b)
        slope, h = activation(name, a, 1)[0], activation(name, a)
        J = [[s * j for s, j in zip(slope, row)] for row in dense(J, W, [0.0] * len(b))]
    return J


# ---- optimisers: one step of one number ------------------------------------------------------------------------------

def sgd(theta, grad, learning_rate):
    """The new theta."""
    return theta - learning_rate * grad


def momentum(theta, grad, velocity, learning_rate, beta, nesterov):
    """The new (theta, velocity)."""
    velocity = beta * velocity + grad
    return theta - learning_rate * (beta * velocity + grad if nesterov else velocity), velocity


def rmsprop(theta, grad, v, learning_rate, decay, eps):
    """The new (theta, v)."""
    v = decay * v + (1 - decay) * grad**2
    return theta - learning_rate * grad / (math.sqrt(v) + eps), v


def adam(theta, grad, m, v, t, learning_rate, beta1, beta2, eps):
    """The new (theta, m, v), algorithm 1 of Kingma and Ba 2015 line by line."""
    m = beta1 * m + (1 - beta1) * grad
    v = beta2 * v + (1 - beta2) * grad**2
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return theta - learning_rate * m_hat / (math.sqrt(v_hat) + eps), m, v
