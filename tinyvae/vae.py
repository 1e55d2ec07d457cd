"""The variational autoencoder: q(z|x) and p(x|z) are neural networks, trained together on a lower bound of log p(x).

    ELBO(x) = E_q log p(x|z) − KL(q(z|x) ‖ p(z))  ≤  log p(x)        [EL.1]

Source: Kingma and Welling 2014. All numbers are nats per example.
"""
import warnings
from typing import NamedTuple

import numpy as np

from .bounds import OBJECTIVES, per_draw, per_sample
from .distributions import PRIOR, Bernoulli, DiagonalGaussian, DiagonalGaussianLikelihood, IsotropicGaussian
from .estimator import GradientEstimator, Transformer
from .full_gaussian import FullGaussian, FullGaussianLikelihood
from .likelihood.monte_carlo import importance_sampling
from .mlp import mlp_backward, mlp_forward
from .ops import ACTIVATIONS
from .params import stack, stack_shapes, views
from .validation import check_bool, check_choice, check_int, check_matrix, check_number, check_rng, check_unit_interval

POSTERIORS = {"diagonal": DiagonalGaussian, "full": FullGaussian}
LIKELIHOODS = {"gaussian": IsotropicGaussian, "bernoulli": Bernoulli, "gaussian_diagonal": DiagonalGaussianLikelihood,
               "gaussian_full": FullGaussianLikelihood}


class Params(NamedTuple):
    """Named views of θ (or of its gradient): lists of layers (W, b), and what the likelihood owns (one log σ²)."""
    encoder: list
    decoder: list
    likelihood: tuple


class Trace(NamedTuple):
    """What a forward pass computes, in the lecture's symbols; encoder and decoder hold every layer's activations.

    x, encoder and kl have B rows; all else has S·B, s · B + b for draw s of row b.
    """
    x: np.ndarray
    encoder: list
    kl: np.ndarray                     # KL(q ‖ p(z))
    eps: np.ndarray
    z: np.ndarray
    decoder: list
    target: np.ndarray                 # x once more for each draw: what the decoder's output is held against
    log_px_z: np.ndarray               # log p(x|z)
    log_ratio: np.ndarray | None       # log p(z) − log q(z|x), for a bound that takes it from the draws

    @property
    def encoded(self):
        """The encoder's output: [mu | logvar], for a full covariance [mu | logvar | lower], of q(z|x)."""
        return self.encoder[-1]

    @property
    def mu(self):
        """The mean of q(z|x), (B, K)."""
        return self.encoded[:, :self.z.shape[1]]

    @property
    def logvar(self):
        """The log-variance of q(z|x), (B, K)."""
        return self.encoded[:, self.z.shape[1]:2 * self.z.shape[1]]

    @property
    def out(self):
        """The decoder's output: logits, means, [mean | logvar] or [mean | logvar | lower]."""
        return self.decoder[-1]


class Derivatives(NamedTuple):
    """What a backward pass computes on its way: the loss differentiated, for each stack, by its input (the decoder's is
    dz) and by every pre-activation."""
    encoder: list
    decoder: list

    @property
    def out(self):
        """By the decoder's output, whose layer is linear."""
        return self.decoder[-1]


class VAE(Transformer, GradientEstimator):
    """Maximise the mean over rows of the ELBO, or of a tighter bound, by minibatches.   [EL.1, EL.2, OP.2]

    Encoder: D → hidden → q(z|x). Decoder: K → hidden reversed → p(x|z). `activation` follows all layers but the last.

    n_components : K, the number of latent dimensions
    hidden       : widths of the encoder's hidden layers, mirrored in the decoder
    activation   : "identity", "tanh", "sigmoid", "relu", "elu", "softplus"
    posterior    : "diagonal", q = N(mu, diag exp(logvar)), or "full", q = N(mu, L Lᵀ)
    likelihood   : "gaussian" (one σ), "bernoulli" (for x of 0 and 1), "gaussian_diagonal" (the network gives each x_d
                   a variance) or "gaussian_full" (and all covariances: D²/2 more outputs)
    sd           : σ of likelihood="gaussian"; None learns it
    objective    : "elbo", or "iwae", the importance-weighted bound with n_samples draws
    n_samples    : S, draws of z for each row and step
    gradient     : how the encoder's gradient is estimated: "pathwise" (Kingma and Welling 2014), "score" (Williams
                   1992; IWAE: Mnih and Rezende 2016), "stl" (Roeder et al. 2017; biased for IWAE), "dreg" (Tucker et
                   al. 2019; IWAE alone). `bounds.py` has their formulas
    control_variate : whether "score" subtracts from each draw's signal what the row's other draws say
    beta         : weight of the KL term in the training loss (Higgins et al. 2017); only β = 1 trains on the bound
    warm_up      : epochs in which that weight grows from 0 to beta, linearly from epoch to epoch (Bowman et al. 2016)
    binarize     : take grey levels in [0, 1] as probabilities: a fresh binary x for every batch and every evaluation
    optimizer … callback : how it is trained, as in `GradientEstimator`

    After `fit`: theta_, parameters_, n_iter_, n_features_in_, history_ ({"loss", "reconstruction", "kl"}: a mean for
    each epoch, with reconstruction = −E_q log p(x|z) and, for the ELBO, loss = reconstruction + β kl).

    Evaluation draws the same noise for every row: a row's number depends neither on its neighbours nor on its place.
    Source: Kingma and Welling 2014.
    """

    def __init__(self, n_components=2, *, hidden=(64,), activation="relu", posterior="diagonal", likelihood="gaussian",
                 sd=None, objective="elbo", n_samples=1, gradient="pathwise", control_variate=False, beta=1.0,
                 warm_up=0, binarize=False, optimizer="adam", learning_rate=None, batch_size=100, n_epochs=50,
                 random_state=None, dtype=None, input_scale=1.0, verbose=0, callback=None):
        self.n_components = n_components
        self.hidden = hidden
        self.activation = activation
        self.posterior = posterior
        self.likelihood = likelihood
        self.sd = sd
        self.objective = objective
        self.n_samples = n_samples
        self.gradient = gradient
        self.control_variate = control_variate
        self.beta = beta
        self.warm_up = warm_up
        self.binarize = binarize
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_epochs = n_epochs
        self.random_state = random_state
        self.dtype = dtype
        self.input_scale = input_scale
        self.verbose = verbose
        self.callback = callback

    # ---- the mathematics ---------------------------------------------------------------------------------------------

    def params(self, theta=None):
        """Named views of theta (None: of theta_), a vector of any dtype."""
        theta = self.theta_ if theta is None else theta
        named = views(theta, self._shapes(self.n_features_in_))
        own = tuple(named[f"likelihood.{name}"] for name in self._likelihood.own_shapes)
        fixed = tuple(value.astype(theta.dtype) for value in self._likelihood.fixed)
        return Params(stack(named, "encoder"), stack(named, "decoder"), own + fixed)

    def forward(self, P, x, eps, out=None):
        """Encode, draw, decode, and say how likely x is.   [RP.1]

        x (B, D), eps (B, K) or (S, B, K) from N(0, I)   returns a Trace; `out`, an earlier one, is overwritten
        """
        eps = eps.reshape(-1, eps.shape[-1])
        S = len(eps) // len(x)
        encoder = mlp_forward(P.encoder, self._activations, x, out=out and out.encoder)
        kl, encoded, target = self._posterior.kl(encoder[-1]), per_sample(encoder[-1], S), per_sample(x, S)
        z = self._posterior.draw(encoded, eps)                # z = mu + L eps
        decoder = mlp_forward(P.decoder, self._activations, z, out=out and out.decoder)
        log_px_z = self._likelihood.log_prob(target, decoder[-1], *P.likelihood)
        log_ratio = PRIOR.log_prob(z) - self._posterior.log_prob(z, encoded) if self._bound.needs_ratio else None
        return Trace(x, encoder, kl, eps, z, decoder, target, log_px_z, log_ratio)

    def bound_terms(self, P, t):
        """log p(x|z), averaged over draws, and KL(q ‖ p(z)), each (B,): their difference is the ELBO.   [EL.1, EL.2]"""
        return np.mean(t.log_px_z.reshape(-1, len(t.x)), axis=0), t.kl

    def mean_loss(self, P, t):
        """The mean over rows of minus the bound, the number that training minimises."""
        return -np.mean(self._bound.value(t))

    def backward(self, P, t, G, out=None):
        """The gradient of `mean_loss` by every parameter, into G, which is overwritten.   [OP.1, RP.2]

        With gradient="pathwise" it is exact for this eps; the other estimators change the encoder's part. Returns
        Derivatives; `out`, an earlier one of the same shapes, is overwritten.
        """
        bound, likelihood, activations = self._bound, self._likelihood, self._activations
        w = np.full(len(t.x), -1 / len(t.x), t.x.dtype)       # the weight of each row: here the mean enters, once
        r = bound.weights(t)                                  # of each draw, within its row
        wr = per_draw(w, r)
        d_out = likelihood.log_prob_d(t.target, t.out, wr, *P.likelihood, d_out=out and out.out)
        if likelihood.own_shapes:
            likelihood.log_prob_dparams(t.target, t.out, wr, *P.likelihood, *G.likelihood)
        d_decoder = mlp_backward(P.decoder, activations, t.decoder, d_out, G.decoder, need_dx=True,
                                 out=out and out.decoder)
        d_encoded = getattr(bound, self.gradient)(t, r, w, d_decoder[0])
        d_encoder = mlp_backward(P.encoder, activations, t.encoder, d_encoded, G.encoder, need_dx=False,
                                 out=out and out.encoder)
        return Derivatives(d_encoder, d_decoder)

    def loss_and_grad(self, X, eps):
        """`mean_loss` over the rows of X, nats per example, and its flat gradient, at theta_, with eps frozen.   [OP.1]

        X (N, D), eps (N, K) or (S, N, K)   returns float, (len(theta_),). X is taken as it is, whatever `binarize`
        says. Of gradient="score", "stl" or "dreg" it is the estimate that this noise gives.
        """
        X = self._check_input(X)
        self._check_data(X)
        shape = np.shape(eps)
        eps = check_matrix("eps", np.reshape(eps, (-1, shape[-1])) if len(shape) == 3 else eps)
        if shape[-2:] != (len(X), self.n_components):
            raise ValueError(f"eps must be (N, K) = {(len(X), self.n_components)}, or (S, N, K) for S draws a row, got "
                             f"shape {shape}")
        if self.control_variate and len(eps) == len(X):
            raise ValueError("control_variate=True needs noise of at least 2 draws a row, (S, N, K), got shape "
                             f"{shape}")
        self._check_parameters()
        P, grad = self.params(), np.empty_like(self.theta_)
        t = self.forward(P, self._rows(X, slice(None)), eps.astype(self.theta_.dtype))
        self.backward(P, t, self.params(grad))
        return float(self.mean_loss(P, t)), grad

    def encoded(self, P, x):
        """What the encoder says of q(z|x), (B, n_outputs).        x (B, D)"""
        return mlp_forward(P.encoder, self._activations, x)[-1]

    def log_px_z(self, P, x, z):
        """log p(x|z) of paired rows.   [LV.6]        x (B, D), z (B, K)   returns (B,), nats"""
        return self._likelihood.log_prob(x, mlp_forward(P.decoder, self._activations, z)[-1], *P.likelihood)

    def log_px_z_dz(self, P, x, z):
        """log p(x|z) of paired rows, and its derivative by z.        x (B, D), z (B, K)   returns (B,), (B, K)"""
        decoder, ones = mlp_forward(P.decoder, self._activations, z), np.ones(len(z), z.dtype)
        d_out = self._likelihood.log_prob_d(x, decoder[-1], ones, *P.likelihood)
        dz = mlp_backward(P.decoder, self._activations, decoder, d_out, None, need_dx=True)[0]
        return self._likelihood.log_prob(x, decoder[-1], *P.likelihood), dz

    def observed(self, X, rng):
        """The rows of X (N, D) as the model sees them, a thousand at a time: checked, scaled, of θ's dtype and, where
        `binarize` says so, made binary by one threshold for each pixel, which is drawn from rng before all else."""
        X = self._check_input(X)
        self._check_data(X)
        threshold = rng.random(X.shape[1])
        return ((threshold < x).astype(x.dtype) if self.binarize else x for x in self._chunks(X))

    # ---- the bound and the likelihood --------------------------------------------------------------------------------

    def elbo(self, X, n_samples=100, random_state=None):
        """The ELBO of every row: log p(x|z) averaged over draws of z, less the exact KL.   [EL.1]

        X (N, D)   returns (N,), nats. random_state (None: the model's own) draws the noise, the same for every row.
        """
        log_px_z, kl = self.elbo_terms(X, n_samples, random_state)
        return log_px_z - kl

    def elbo_terms(self, X, n_samples=100, random_state=None):
        """The two terms of `elbo`, E_q log p(x|z) and KL(q ‖ p(z)).   [EL.2, EL.3]

        X (N, D)   returns two arrays (N,), nats
        """
        check_int("n_samples", n_samples)
        rng, terms = self._evaluation_rng(random_state), []
        rows, P = self.observed(X, rng), self.params()        # rows first: the same x for every number of draws
        noise = rng.standard_normal((n_samples, self.n_components)).astype(self.theta_.dtype)
        for x in rows:
            encoded = self.encoded(P, x)
            terms.append((self._mean_log_px_z(P, x, encoded, noise), self._posterior.kl(encoded).astype(np.float64)))
        return tuple(np.concatenate(term) for term in zip(*terms))

    def _mean_log_px_z(self, P, x, encoded, noise, at_once=4096):
        """log p(x|z) of every row, averaged over draws of z with this noise, (S, K), the same for every row."""
        total, S = np.zeros(len(x)), max(1, at_once // len(x))
        for start in range(0, len(noise), S):
            eps = np.repeat(noise[start:start + S], len(x), axis=0)
            n = len(eps) // len(x)
            log_px_z = self.log_px_z(P, per_sample(x, n), self._posterior.draw(per_sample(encoded, n), eps))
            total += np.sum(log_px_z.reshape(n, -1), axis=0, dtype=np.float64)
        return total / len(noise)

    def kl_by_dimension(self, X, random_state=None):
        """KL(q(z_k|x) ‖ p(z_k)) averaged over the rows of X (N, D); their sum is the mean KL of `elbo_terms`.   [EL.3]

        returns (K,), nats per example: near 0 where a latent dimension goes unused. For posterior="full" it is that of
        q(z_k|z_1 … z_{k−1}, x).
        """
        rows, P = self.observed(X, self._evaluation_rng(random_state)), self.params()
        kl = [np.sum(self._posterior.kl_by_dimension(self.encoded(P, x)), axis=0, dtype=np.float64) for x in rows]
        return sum(kl) / len(X)

    def active_units(self, X, threshold=0.01):
        """Which latent dimensions tell rows of X (N, D) apart: Var_x(E_q[z_k]) > threshold.        returns (K,), bool

        Source: Burda, Grosse and Salakhutdinov 2016, section 5.2.
        """
        check_number("threshold", threshold, 0)
        return np.var(self.transform(X), axis=0) > threshold

    def log_likelihood(self, X, n_samples=100, random_state=None):
        """log p(x) of every row by importance sampling with q as the proposal.   [CV.1]

            log 1/S Σ_s p(x|z_s) p(z_s) / q(z_s|x),   z_s ~ q(z|x)

        X (N, D), n_samples S   returns (N,), nats: below log p(x) in expectation, and closer to it the larger S is.
        random_state (None: the model's own) draws the noise, the same for every row. The room `likelihood` has standard
        errors, and estimates that need no encoder. Source: Burda, Grosse and Salakhutdinov 2016, equation 8.
        """
        return importance_sampling(self, X, n_samples, rng=self._evaluation_rng(random_state)).value

    def _evaluation_rng(self, random_state):
        return check_rng(self.random_state if random_state is None else random_state)

    # ---- the face ----------------------------------------------------------------------------------------------------

    def encode(self, X):
        """Mean (N, K) and variance (N, K) of q(z|x), for posterior="full" the covariance (N, K, K).        X (N, D)"""
        X = self._check_input(X)
        P = self.params()
        parts = [self._posterior.mean_and_variance(self.encoded(P, x)) for x in self._chunks(X)]
        return tuple(np.concatenate(part) for part in zip(*parts))

    def transform(self, X):
        """The mean of q(z|x), which is deterministic.        X (N, D)   returns (N, K)"""
        X = self._check_input(X)
        P = self.params()
        return np.concatenate([self._posterior.split(self.encoded(P, x))[0] for x in self._chunks(X)])

    def inverse_transform(self, Z):
        """E[x|z] of every row, in the units of X · input_scale.        Z (N, K)   returns (N, D)"""
        self._check_fitted()
        Z = check_matrix("Z", Z, self.n_components, type(self).__name__).astype(self.theta_.dtype)
        P = self.params()
        return self._likelihood.mean(mlp_forward(P.decoder, self._activations, Z)[-1], *P.likelihood)

    def reconstruct(self, X):
        """E[x|z] at the posterior mean of every row.        X (N, D)   returns (N, D)"""
        return self.inverse_transform(self.transform(X))

    def sample(self, n_samples=1, random_state=None):
        """Draw z ~ N(0, I), then x ~ p(x|z).   [LV.1, GM.1]        returns (n_samples, D), in units of X · input_scale

        For pictures without the pixels' own noise, apply `inverse_transform` to z of your own: that is E[x|z].
        """
        return self._simulated(n_samples, random_state)[0]

    def simulate(self, n_samples=1, random_state=None):
        """What `sample` draws, in units of X, and the z it was drawn from: an exact draw from p(z|x).   [LV.1, LV.9]

        returns (n_samples, D), (n_samples, K)
        """
        x, z = self._simulated(n_samples, random_state)
        return x / x.dtype.type(self.input_scale), z

    def _simulated(self, n_samples, random_state):
        self._check_fitted()
        check_int("n_samples", n_samples)
        rng, P = self._evaluation_rng(random_state), self.params()
        z = PRIOR.sample(n_samples, self.n_components, rng, self.theta_.dtype)
        return self._likelihood.sample(mlp_forward(P.decoder, self._activations, z)[-1], rng, *P.likelihood), z

    def score_samples(self, X):
        """`log_likelihood` with its default number of draws: (N,), nats."""
        return self.log_likelihood(X)

    def score(self, X, y=None):
        """The mean of `score_samples`: nats per example, higher is better; y is ignored."""
        return float(np.mean(self.score_samples(X)))

    # ---- what GradientEstimator asks for -----------------------------------------------------------------------------

    @property
    def _posterior(self):
        return POSTERIORS[self.posterior]()

    @property
    def _bound(self):
        return OBJECTIVES[self.objective](self._posterior, self.beta_, self.control_variate)

    @property
    def beta_(self):
        """The KL term's weight at this stage of training: beta, or less of it during the warm-up."""
        return self.beta * min(1.0, self.n_iter_ / self.warm_up) if self.warm_up else self.beta

    @property
    def _likelihood(self):
        kind = LIKELIHOODS[self.likelihood]
        return kind(self.sd) if kind is IsotropicGaussian else kind()

    @property
    def _activations(self):
        return (ACTIVATIONS[self.activation],) * len(self.hidden) + (ACTIVATIONS["identity"],)

    def _shapes(self, n_features):
        K = self.n_components
        return {**stack_shapes("encoder", (n_features, *self.hidden, self._posterior.n_outputs(K))),
                **stack_shapes("decoder", (K, *self.hidden[::-1], self._likelihood.n_outputs(n_features))),
                **{f"likelihood.{name}": shape for name, shape in self._likelihood.own_shapes.items()}}

    def _step(self, P, G, x, rng, memory):
        if self.binarize:
            memory["threshold"] = rng.random(x.shape, x.dtype, out=memory.get("threshold"))
            np.less(memory["threshold"], x, out=x)
        eps = rng.standard_normal((self.n_samples * len(x), self.n_components), x.dtype)
        t = memory["trace"] = self.forward(P, x, eps, out=memory.get("trace"))
        memory["derivatives"] = self.backward(P, t, G, out=memory.get("derivatives"))
        return {"loss": self.mean_loss(P, t), "reconstruction": -t.log_px_z.mean(), "kl": t.kl.mean()}

    def _check_parameters(self):
        self._check_common_parameters()
        check_choice("posterior", self.posterior, POSTERIORS)
        check_choice("likelihood", self.likelihood, LIKELIHOODS)
        check_number("beta", self.beta, 0)
        check_int("warm_up", self.warm_up, minimum=0)
        check_int("n_samples", self.n_samples)
        check_choice("objective", self.objective, OBJECTIVES)
        check_choice(f"gradient of objective={self.objective!r}", self.gradient, OBJECTIVES[self.objective].gradients)
        if check_bool("control_variate", self.control_variate) and (self.gradient != "score" or self.n_samples < 2):
            raise ValueError("control_variate=True needs gradient='score' and n_samples of at least 2, got "
                             f"{self.gradient!r} and {self.n_samples}: the other draws are the control")
        check_bool("binarize", self.binarize)
        if self.sd is not None:
            check_number("sd", self.sd, 0, open_low=True)
            if self.likelihood != "gaussian":
                raise ValueError(f"sd must be None unless likelihood is 'gaussian', got sd={self.sd} with "
                                 f"{self.likelihood!r}")
        if self.binarize and self.likelihood != "bernoulli":
            raise ValueError(f"binarize=True needs likelihood='bernoulli', got {self.likelihood!r}")

    def _check_data(self, X):
        if self.likelihood != "bernoulli":
            return
        check_unit_interval("X", X, self.input_scale)
        if not self.binarize and not getattr(self, "_warned", False) and not _is_binary(X, self.input_scale):
            self._warned = True
            warnings.warn("X holds grey levels between 0 and 1: the Bernoulli loss is then a surrogate, not a "
                          "likelihood, and the ELBO bounds nothing. Pass binarize=True to draw binary x with these "
                          "probabilities.", stacklevel=3)


def _is_binary(X, scale):
    return all(np.all((x == 0) | (x * scale == 1)) for x in np.array_split(X, max(1, len(X) // 1024)))
