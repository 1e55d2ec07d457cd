"""The variational autoencoder: q(z|x) and p(x|z) are neural networks, trained together on the evidence lower bound.

    ELBO(x) = E_q log p(x|z) − KL(q(z|x) ‖ p(z))  ≤  log p(x)        [EL.1]

Source: Kingma and Welling 2014. All numbers are nats per example.
"""
import warnings
from typing import NamedTuple

import numpy as np

from .distributions import Bernoulli, DiagonalGaussian, DiagonalGaussianLikelihood, IsotropicGaussian, StandardNormal
from .estimator import GradientEstimator, Transformer
from .mlp import mlp_backward, mlp_forward
from .ops import ACTIVATIONS, log_sum_exp
from .params import stack, stack_shapes, views
from .validation import check_bool, check_choice, check_int, check_matrix, check_number, check_rng, check_unit_interval

PRIOR = StandardNormal()
POSTERIORS = {"diagonal": DiagonalGaussian}
LIKELIHOODS = {"gaussian": IsotropicGaussian, "bernoulli": Bernoulli, "gaussian_diagonal": DiagonalGaussianLikelihood}


class Params(NamedTuple):
    """Named views of θ (or of its gradient): lists of layers (W, b), and what the likelihood owns (one log σ²)."""
    encoder: list
    decoder: list
    likelihood: tuple


class Trace(NamedTuple):
    """What a forward pass computes, in the lecture's symbols; encoder and decoder hold every layer's activations."""
    x: np.ndarray
    encoder: list
    eps: np.ndarray
    z: np.ndarray
    decoder: list

    @property
    def encoded(self):
        """The encoder's output, (B, 2K): [mu | logvar] of q(z|x)."""
        return self.encoder[-1]

    @property
    def mu(self):
        """The mean of q(z|x), (B, K)."""
        return self.encoded[:, :self.z.shape[1]]

    @property
    def logvar(self):
        """The log-variance of q(z|x), (B, K)."""
        return self.encoded[:, self.z.shape[1]:]

    @property
    def out(self):
        """The decoder's output: logits, means, or [mean | logvar]."""
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
    """Maximise the mean over rows of the ELBO by minibatches, with one draw of z a row and step.   [EL.1, EL.2, OP.2]

    Encoder: D → hidden → q(z|x). Decoder: K → hidden reversed → p(x|z). `activation` follows all layers but the last.

    n_components : K, the number of latent dimensions
    hidden       : widths of the encoder's hidden layers, mirrored in the decoder
    activation   : "identity", "tanh", "sigmoid", "relu", "elu", "softplus"
    posterior    : "diagonal", q = N(mu, diag exp(logvar))
    likelihood   : "gaussian" (one σ), "bernoulli" (for x of 0 and 1) or "gaussian_diagonal" (the network gives each x_d
                   a variance)
    sd           : σ of likelihood="gaussian"; None learns it
    beta         : weight of the KL term in the training loss (Higgins et al. 2017); only β = 1 trains on the bound
    binarize     : take grey levels in [0, 1] as probabilities: a fresh binary x for every batch and every evaluation
    optimizer … callback : how it is trained, as in `GradientEstimator`

    After `fit`: theta_, parameters_, n_iter_, n_features_in_, history_ ({"loss", "reconstruction", "kl"}: a mean for
    each epoch, with reconstruction = −E_q log p(x|z) and loss = reconstruction + β kl).

    Evaluation draws the same noise for every row: a row's number depends neither on its neighbours nor on its place.
    Source: Kingma and Welling 2014.
    """

    def __init__(self, n_components=2, *, hidden=(64,), activation="relu", posterior="diagonal", likelihood="gaussian",
                 sd=None, beta=1.0, binarize=False, optimizer="adam", learning_rate=None, batch_size=100, n_epochs=50,
                 random_state=None, dtype=None, input_scale=1.0, verbose=0, callback=None):
        self.n_components = n_components
        self.hidden = hidden
        self.activation = activation
        self.posterior = posterior
        self.likelihood = likelihood
        self.sd = sd
        self.beta = beta
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
        """Encode, draw, decode.   [RP.1]

        x (B, D), eps (B, K) from N(0, I)   returns a Trace; `out`, an earlier one of the same shapes, is overwritten
        """
        encoder = mlp_forward(P.encoder, self._activations, x, out=out and out.encoder)
        z = self._posterior.draw(encoder[-1], eps)            # z = mu + exp(logvar / 2) eps
        decoder = mlp_forward(P.decoder, self._activations, z, out=out and out.decoder)
        return Trace(x, encoder, eps, z, decoder)

    def bound_terms(self, P, t):
        """log p(x|z) and KL(q ‖ p(z)), each (B,): the ELBO's one-draw estimate is their difference.   [EL.1, EL.2]"""
        return self._likelihood.log_prob(t.x, t.out, *P.likelihood), self._posterior.kl(t.encoded)

    def mean_loss(self, P, t):
        """The mean over rows of −log p(x|z) + β KL, the number that training minimises."""
        log_px_z, kl = self.bound_terms(P, t)
        return np.mean(self.beta * kl - log_px_z)

    def backward(self, P, t, G, out=None):
        """The gradient of `mean_loss` by every parameter, into G, which is overwritten.   [OP.1, RP.2]

        Returns Derivatives; `out`, an earlier one of the same shapes, is overwritten.
        """
        posterior, likelihood, activations = self._posterior, self._likelihood, self._activations
        w = np.full(len(t.x), 1 / len(t.x), t.x.dtype)        # the weight of each row: here the mean enters, once
        d_out = likelihood.log_prob_d(t.x, t.out, -w, *P.likelihood, d_out=out and out.out)
        if likelihood.own_shapes:
            likelihood.log_prob_dparams(t.x, t.out, -w, *P.likelihood, *G.likelihood)
        d_decoder = mlp_backward(P.decoder, activations, t.decoder, d_out, G.decoder, need_dx=True,
                                 out=out and out.decoder)
        dz = d_decoder[0]
        d_encoded = (posterior.draw_d(dz, t.encoded, t.eps)   # two paths meet: through the draw,
                     + posterior.kl_d(t.encoded, self.beta * w))                           # and through the KL
        d_encoder = mlp_backward(P.encoder, activations, t.encoder, d_encoded, G.encoder, need_dx=False,
                                 out=out and out.encoder)
        return Derivatives(d_encoder, d_decoder)

    def loss_and_grad(self, X, eps):
        """`mean_loss` over the rows of X, nats per example, and its flat gradient, at theta_, with eps frozen.   [OP.1]

        X (N, D), eps (N, K)   returns float, (len(theta_),). X is taken as it is, whatever `binarize` says.
        """
        X = self._check_input(X)
        self._check_data(X)
        eps = check_matrix("eps", eps, self.n_components, type(self).__name__).astype(self.theta_.dtype)
        if len(eps) != len(X):
            raise ValueError(f"eps must have a row for each row of X: expected {len(X)}, got {len(eps)}")
        P, grad = self.params(), np.empty_like(self.theta_)
        t = self.forward(P, self._rows(X, slice(None)), eps)
        self.backward(P, t, self.params(grad))
        return float(self.mean_loss(P, t)), grad

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
        parts = [(np.mean(log_px_z, axis=0), self._posterior.kl(encoded).astype(np.float64))
                 for encoded, log_px_z, _ in self._draws(X, n_samples, random_state)]
        return tuple(np.concatenate(part) for part in zip(*parts))

    def kl_by_dimension(self, X, random_state=None):
        """KL(q(z_k|x) ‖ p(z_k)) averaged over the rows of X (N, D); their sum is the mean KL of `elbo_terms`.   [EL.3]

        returns (K,), nats per example: near 0 where a latent dimension goes unused
        """
        X = self._check_input(X)
        self._check_data(X)
        threshold = self._evaluation_rng(random_state).random(X.shape[1])
        return sum(np.sum(self._posterior.kl_by_dimension(encoded), axis=0, dtype=np.float64)
                   for _, encoded in self._encoded(X, threshold)) / len(X)

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
        random_state (None: the model's own) draws the noise, the same for every row.
        Source: Burda, Grosse and Salakhutdinov 2016, equation 8.
        """
        return np.concatenate([log_sum_exp(log_px_z + log_ratio, axis=0) - np.log(n_samples)
                               for _, log_px_z, log_ratio in self._draws(X, n_samples, random_state)])

    def _draws(self, X, n_samples, random_state):
        """For some rows at a time the encoder's output and, (S, B) in float64, log p(x|z) and log p(z) − log q(z|x)."""
        X = self._check_input(X)
        self._check_data(X)
        check_int("n_samples", n_samples)
        rng, P = self._evaluation_rng(random_state), self.params()
        threshold = rng.random(X.shape[1])                    # first: the same x for every number of draws
        noise = rng.standard_normal((n_samples, self.n_components)).astype(self.theta_.dtype)
        for x, encoded in self._encoded(X, threshold):
            at_once = max(1, 4096 // len(x))
            blocks = [self._draws_of_rows(P, x, encoded, noise[s:s + at_once]) for s in range(0, n_samples, at_once)]
            yield encoded, *(np.concatenate(block) for block in zip(*blocks))

    def _encoded(self, X, threshold):
        """For some rows at a time x, binarised by a threshold for each pixel, and the encoder's output."""
        P = self.params()
        for x in self._chunks(X):
            if self.binarize:
                x = (threshold < x).astype(x.dtype)
            yield x, mlp_forward(P.encoder, self._activations, x)[-1]

    def _evaluation_rng(self, random_state):
        return check_rng(self.random_state if random_state is None else random_state)

    def _draws_of_rows(self, P, x, encoded, noise):
        """Samples and rows are one axis of S · B rows inside; both results are (S, B)."""
        S, B = len(noise), len(x)
        encoded, eps = np.tile(encoded, (S, 1)), np.repeat(noise, B, axis=0)
        z = self._posterior.draw(encoded, eps)
        out = mlp_forward(P.decoder, self._activations, z)[-1]
        log_px_z = self._likelihood.log_prob(np.tile(x, (S, 1)), out, *P.likelihood)
        log_ratio = PRIOR.log_prob(z) - self._posterior.log_prob(z, encoded)
        return log_px_z.reshape(S, B).astype(np.float64), log_ratio.reshape(S, B).astype(np.float64)

    # ---- the face ----------------------------------------------------------------------------------------------------

    def encode(self, X):
        """Mean and variance of q(z|x) for every row.        X (N, D)   returns two arrays (N, K)"""
        X = self._check_input(X)
        P = self.params()
        parts = [self._posterior.mean_and_variance(mlp_forward(P.encoder, self._activations, x)[-1])
                 for x in self._chunks(X)]
        return tuple(np.concatenate(part) for part in zip(*parts))

    def transform(self, X):
        """The mean of q(z|x), which is deterministic.        X (N, D)   returns (N, K)"""
        return self.encode(X)[0]

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
        """Draw z ~ N(0, I), then x ~ p(x|z).   [LV.1, GM.1]        returns (n_samples, D)

        For pictures without the pixels' own noise, apply `inverse_transform` to z of your own: that is E[x|z].
        """
        self._check_fitted()
        check_int("n_samples", n_samples)
        rng, P = self._evaluation_rng(random_state), self.params()
        z = PRIOR.sample(n_samples, self.n_components, rng, self.theta_.dtype)
        return self._likelihood.sample(mlp_forward(P.decoder, self._activations, z)[-1], rng, *P.likelihood)

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
        eps = rng.standard_normal((len(x), self.n_components), x.dtype)
        t = memory["trace"] = self.forward(P, x, eps, out=memory.get("trace"))
        log_px_z, kl = self.bound_terms(P, t)                 # before the backward pass, while t.out is in the cache
        memory["derivatives"] = self.backward(P, t, G, out=memory.get("derivatives"))
        reconstruction, kl = -log_px_z.sum() / len(x), kl.sum() / len(x)
        return {"loss": reconstruction + self.beta * kl, "reconstruction": reconstruction, "kl": kl}

    def _check_parameters(self):
        self._check_common_parameters()
        check_choice("posterior", self.posterior, POSTERIORS)
        check_choice("likelihood", self.likelihood, LIKELIHOODS)
        check_number("beta", self.beta, 0)
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
