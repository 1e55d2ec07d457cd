"""The autoencoder x̂ = g(f(x)): an encoder f to a code h and a decoder g back, both stacks of dense layers.   [AE.1]"""
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .corruption import CORRUPTIONS
from .distributions import Bernoulli
from .estimator import GradientEstimator, Transformer
from .mlp import mlp_backward, mlp_forward
from .ops import ACTIVATIONS, identity, sigmoid, squared_error, squared_error_dy
from .params import Layer, stack, stack_shapes, views
from .penalties import PENALTIES, KLSparsity
from .validation import check_bool, check_choice, check_matrix, check_unit_interval


class Loss(NamedTuple):
    """A loss L(x, out), a number a row; its derivative by out with row weights w; and x̂ from out."""
    f: Callable
    d: Callable
    x_hat: Callable


LOSSES = {
    "squared": Loss(squared_error, squared_error_dy, identity),                                               # [AE.2]
    "bernoulli": Loss(lambda x, out: -Bernoulli().log_prob(x, out),
                      lambda x, out, w: Bernoulli().log_prob_d(x, out, -w), sigmoid),
}


class Params(NamedTuple):
    """Named views of θ (or of its gradient): lists of layers (W, b)."""
    encoder: list
    decoder: list


class Trace(NamedTuple):
    """What a forward pass computes: the activations of every layer, input first. The encoder's input is x̃ where x is
    corrupted, and else x itself."""
    x: np.ndarray
    encoder: list
    decoder: list

    @property
    def h(self):
        """The code f(x), (B, K)."""
        return self.encoder[-1]

    @property
    def out(self):
        """The decoder's output, (B, D): x̂, or its logits where the loss is "bernoulli"."""
        return self.decoder[-1]


class Derivatives(NamedTuple):
    """What a backward pass computes on its way: for each stack the loss differentiated by its input (the decoder's is
    dh) and by every pre-activation; and what each penalty gave."""
    encoder: list
    decoder: list
    penalties: list


class Autoencoder(Transformer, GradientEstimator):
    """Minimise the mean over rows of L(x, g(f(x̃))) + penalties by minibatches.   [AE.1, AE.2, NL.1, NL.2, DN.1]

    Encoder: D → hidden → n_components, every layer followed by `activation`. Decoder: the mirror image, `activation`
    between its layers and `output_activation` at its end.

    n_components : width K of the code h
    hidden       : widths between data and code, () for a single layer
    activation   : "identity", "tanh", "sigmoid", "relu", "elu", "softplus"
    tied         : the decoder uses the encoder's matrices, transposed: f(x) = φ(x W + b), g(h) = φ(h Wᵀ + c)   [NL.1]
    loss         : "squared", ‖x − x̂‖², or "bernoulli", the cross-entropy of logits with x in [0, 1], nats per example
    output_activation : as `activation`; "identity" with loss="bernoulli", which applies the sigmoid itself
    penalties    : list of objects of `tinyvae.penalties`, such as [L1(0.1), Contractive(0.01)]; evaluated where the
                   encoder is trained: at x̃ when there is a corruption. KLSparsity needs activation="sigmoid"
    corruption   : None (x̃ = x) or an object of `tinyvae.corruption`, drawn afresh for every batch; only in training
    pretrain     : greedy, layer by layer: before the whole is trained, each layer is, for n_epochs, as an autoencoder
                   of its own on the codes of those below (Bengio, Lamblin, Popovici and Larochelle 2007)
    optimizer … callback : how it is trained, as in `GradientEstimator`

    After `fit`: theta_, parameters_, history_ ({"loss": a mean for each epoch}, and with
    penalties "reconstruction" and "penalty", their sum, beside it), n_iter_, n_features_in_.
    """

    def __init__(self, n_components=2, *, hidden=(), activation="tanh", output_activation="identity", tied=False,
                 loss="squared", penalties=(), corruption=None, pretrain=False, optimizer="adam", learning_rate=None,
                 batch_size=100, n_epochs=50, random_state=None, dtype=None, input_scale=1.0, verbose=0,
                 callback=None):
        self.n_components = n_components
        self.hidden = hidden
        self.activation = activation
        self.output_activation = output_activation
        self.tied = tied
        self.loss = loss
        self.penalties = penalties
        self.corruption = corruption
        self.pretrain = pretrain
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
        """Named views of theta (None: of theta_), a vector of any dtype. Tied: the decoder's W are the encoder's Wᵀ."""
        named = views(self.theta_ if theta is None else theta, self._shapes(self.n_features_in_))
        encoder = stack(named, "encoder")
        if not self.tied:
            return Params(encoder, stack(named, "decoder"))
        return Params(encoder, [Layer(layer.W.T, named[f"decoder.{i}.b"]) for i, layer in enumerate(reversed(encoder))])

    def forward(self, P, x, noise=None, out=None):
        """h = f(x̃), x̂ = g(h), with x̃ = x where noise is None.   [AE.1, DN.1]

        x (B, D), noise of `corruption.draw`   returns a Trace; `out`, an earlier one of the same shapes, is overwritten
        """
        x_tilde = x if noise is None else self.corruption.apply(x, noise)
        encoder = mlp_forward(P.encoder, self._encoder_activations, x_tilde, out=out and out.encoder)
        decoder = mlp_forward(P.decoder, self._decoder_activations, encoder[-1], out=out and out.decoder)
        return Trace(x, encoder, decoder)

    def mean_loss(self, P, t):
        """The mean over rows of L(x, x̂), plus penalties: the number that training minimises.   [AE.2, SP.1, CT.1]"""
        penalties = sum(penalty.value(P.encoder, self._encoder_activations, t.encoder) for penalty in self.penalties)
        return np.mean(LOSSES[self.loss].f(t.x, t.out)) + penalties

    def backward(self, P, t, G, out=None):
        """The gradient of `mean_loss` by every parameter, into G, which is overwritten.   [AE.2, NL.1, NL.2]

        Returns Derivatives; `out`, an earlier one of the same shapes, is overwritten.
        """
        w = np.full(len(t.x), 1 / len(t.x), t.x.dtype)        # the weight of each row: here the mean enters, once
        d_out = LOSSES[self.loss].d(t.x, t.out, w)
        G_decoder = G.decoder
        if self.tied:
            G_decoder = [Layer(np.empty(dW.shape, dW.dtype), db) for dW, db in G.decoder]
        d_decoder = mlp_backward(P.decoder, self._decoder_activations, t.decoder, d_out, G_decoder, need_dx=True,
                                 out=out and out.decoder)
        pushes = [penalty.evaluate(P.encoder, self._encoder_activations, t.encoder, out=out and out.penalties[i])
                  for i, penalty in enumerate(self.penalties)]
        dh = d_decoder[0] + sum(push.dh for push in pushes if push.dh is not None)
        das = [push.das for push in pushes if push.das is not None]
        d_encoder = mlp_backward(P.encoder, self._encoder_activations, t.encoder, dh, G.encoder, need_dx=False,
                                 out=out and out.encoder, das_beside=[sum(layer) for layer in zip(*das)] or None)
        for push in pushes:
            for (dW, _), dW_of_penalty in zip(G.encoder, push.dWs or ()):
                dW += dW_of_penalty
        if self.tied:
            for (dW, _), (dW_of_decoder, _) in zip(G.encoder, reversed(G_decoder)):
                dW += dW_of_decoder.T                         # two paths meet in one W   [NL.1]
        return Derivatives(d_encoder, d_decoder, pushes)

    def loss_and_grad(self, X, noise=None):
        """The mean loss over the rows of X (nats or squared units per example) and its flat gradient, at theta_.

        X (N, D); noise : what corruption.draw(x, rng) returned for x = X · input_scale, kept; None: x̃ = x
        returns float, (len(theta_),)
        """
        X = self._check_input(X)
        self._check_data(X)
        if noise is not None and (self.corruption is None or np.shape(noise) != X.shape):
            raise ValueError(f"noise must be None, or of X's shape {X.shape} where there is a corruption, got shape "
                             f"{np.shape(noise)} with corruption={self.corruption}")
        P, grad = self.params(), np.empty_like(self.theta_)
        if noise is not None and np.asarray(noise).dtype.kind == "f":
            noise = noise.astype(self.theta_.dtype)
        t = self.forward(P, self._rows(X, slice(None)), noise)
        self.backward(P, t, self.params(grad))
        return float(self.mean_loss(P, t)), grad

    # ---- the face ----------------------------------------------------------------------------------------------------

    def transform(self, X):
        """The code h = f(x) of every row.   [AE.1, NL.3]        X (N, D)   returns (N, K)"""
        X = self._check_input(X)
        P = self.params()
        return np.concatenate([mlp_forward(P.encoder, self._encoder_activations, x)[-1] for x in self._chunks(X)])

    def inverse_transform(self, H):
        """x̂ = g(h) of every row, in the units of X · input_scale.   [AE.1]        H (N, K)   returns (N, D)"""
        self._check_fitted()
        H = check_matrix("H", H, self.n_components, type(self).__name__).astype(self.theta_.dtype)
        return LOSSES[self.loss].x_hat(mlp_forward(self.params().decoder, self._decoder_activations, H)[-1])

    def reconstruct(self, X):
        """x̂ = g(f(x)) of every row, in the units of X · input_scale.        X (N, D)   returns (N, D)"""
        return self.inverse_transform(self.transform(X))

    def reconstruction_error(self, X):
        """L(x, x̂) of every row, in the units of the loss.   [AE.2]        X (N, D)   returns (N,)"""
        X = self._check_input(X)
        self._check_data(X)
        P = self.params()
        traces = (self.forward(P, x) for x in self._chunks(X))
        return np.concatenate([LOSSES[self.loss].f(t.x, t.out) for t in traces])

    # ---- what GradientEstimator asks for -----------------------------------------------------------------------------

    def _shapes(self, n_features):
        widths = (n_features, *self.hidden, self.n_components)
        decoder = stack_shapes("decoder", widths[::-1])
        if self.tied:
            decoder = {name: shape for name, shape in decoder.items() if name.endswith("b")}
        return {**stack_shapes("encoder", widths), **decoder}

    @property
    def _encoder_activations(self):
        return (ACTIVATIONS[self.activation],) * (len(self.hidden) + 1)

    @property
    def _decoder_activations(self):
        return (ACTIVATIONS[self.activation],) * len(self.hidden) + (ACTIVATIONS[self.output_activation],)

    def _step(self, P, G, x, rng, memory):
        noise = None if self.corruption is None else self.corruption.draw(x, rng)
        t = memory["trace"] = self.forward(P, x, noise, out=memory.get("trace"))
        reconstruction = np.mean(LOSSES[self.loss].f(t.x, t.out))
        d = memory["derivatives"] = self.backward(P, t, G, out=memory.get("derivatives"))
        if not self.penalties:
            return {"loss": reconstruction}
        penalty = sum(push.value for push in d.penalties)
        return {"loss": reconstruction + penalty, "reconstruction": reconstruction, "penalty": penalty}

    def _initialise(self, X, rng):
        super()._initialise(X, rng)
        if self.pretrain:
            self._pretrain(X)

    def _pretrain(self, X):
        """Each layer of θ from an autoencoder of that one layer, trained on the codes of those below it."""
        P, codes = self.params(), X
        for i, layer in enumerate(P.encoder):
            bottom = i == 0
            single = Autoencoder(**{**self.get_params(), "n_components": layer.W.shape[1], "hidden": (),
                                    "output_activation": self.output_activation if bottom else self.activation,
                                    "loss": self.loss if bottom else "squared", "pretrain": False, "callback": None,
                                    "random_state": self._rng, "dtype": self.theta_.dtype,
                                    "input_scale": self.input_scale if bottom else 1.0})
            trained = single.fit(codes).params()
            for mine, its in zip((layer, P.decoder[-1 - i]), trained.encoder + trained.decoder):
                mine.W[:], mine.b[:] = its
            codes = single.transform(codes)

    def _check_parameters(self):
        self._check_common_parameters()
        check_choice("output_activation", self.output_activation, ACTIVATIONS)
        check_choice("loss", self.loss, LOSSES)
        check_bool("tied", self.tied)
        check_bool("pretrain", self.pretrain)
        self._check_penalties()
        if self.loss == "bernoulli" and self.output_activation != "identity":
            raise ValueError("output_activation must be 'identity' with loss='bernoulli', whose sigmoid is in the "
                             f"loss, got {self.output_activation!r}")

    def _check_penalties(self):
        if not isinstance(self.penalties, (list, tuple)) or not all(isinstance(p, PENALTIES) for p in self.penalties):
            raise TypeError("penalties must be a list of L1, KLSparsity and Contractive objects, got "
                            f"{self.penalties!r}")
        if any(isinstance(p, KLSparsity) for p in self.penalties) and self.activation != "sigmoid":
            raise ValueError("KLSparsity needs codes in (0, 1): expected activation='sigmoid', got "
                             f"{self.activation!r}")
        if self.corruption is not None and not isinstance(self.corruption, CORRUPTIONS):
            raise TypeError("corruption must be None or a GaussianNoise, MaskingNoise or SaltAndPepper object, got "
                            f"{self.corruption!r}")

    def _check_data(self, X):
        if self.loss == "bernoulli":
            check_unit_interval("X", X, self.input_scale)
