"""The scikit-learn-shaped face of every model, without depending on scikit-learn.

`Estimator` holds what any fitted thing needs: parameters by signature, validation, fitted attributes.
`GradientEstimator` adds what is common to models that learn a flat θ by minibatches.
"""
import inspect

import numpy as np

from . import params
from .ops import ACTIVATIONS
from .optim import make_optimizer
from .train import progress_bar, train
from .validation import check_choice, check_dtype, check_int, check_matrix, check_number, check_rng


class NotFittedError(ValueError, AttributeError):
    """Raised when a model is used before `fit`; it is both kinds of error that scikit-learn's is."""


class Estimator:
    """Keyword parameters that `__init__` only stores, fitted attributes that end in an underscore."""

    def get_params(self, deep=True):
        """The parameters as given to `__init__`, by name."""
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **parameters):
        """Change parameters by name; unknown names are refused before any is changed. Returns self."""
        for name in parameters:
            check_choice("parameter name", name, self._parameter_names())
        for name, value in parameters.items():
            setattr(self, name, value)
        return self

    @classmethod
    def _parameter_names(cls):
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def __repr__(self):
        defaults = inspect.signature(type(self).__init__).parameters
        changed = (f"{name}={value!r}" for name, value in self.get_params().items()
                   if repr(value) != repr(defaults[name].default))
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_is_fitted__(self):
        return hasattr(self, "n_features_in_")

    def __sklearn_tags__(self):
        from sklearn.utils import Tags, TargetTags, TransformerTags
        from sklearn.utils import InputTags

        return Tags(estimator_type=None, target_tags=TargetTags(required=False), input_tags=InputTags(),
                    transformer_tags=TransformerTags(preserves_dtype=["float64", "float32"]))

    def _check_fitted(self):
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(f"This {type(self).__name__} instance is not fitted yet: call fit before using it")

    def _check_input(self, X, name="X"):
        """X for a fitted model: finite numbers, as wide as what it was fitted on."""
        self._check_fitted()
        return check_matrix(name, X, self.n_features_in_, type(self).__name__)


class Transformer:
    """What every model has that turns rows into `n_components` features by a method `transform`."""

    def fit_transform(self, X, y=None):
        """fit(X), then transform(X)."""
        return self.fit(X, y).transform(X)

    def get_feature_names_out(self, input_features=None):
        """Names of the columns of `transform`: the class's name in lower case and a number."""
        self._check_fitted()
        return np.array([f"{type(self).__name__.lower()}{k}" for k in range(self.n_components)], dtype=object)


class GradientEstimator(Estimator):
    """A model with one flat θ, learned by minibatches.

    All of them take
    optimizer, learning_rate : a name ("sgd", "momentum", "nesterov", "rmsprop", "adam") and its rate (None: that
                   optimiser's default), or an object of `tinyvae.optim`, which has a rate of its own
    batch_size   : rows a step; the last batch of an epoch may be smaller
    n_epochs     : passes over the data
    random_state : None, an int, a Generator or a RandomState: initial θ, order of the rows, noise. A generator is used
                   as it is: whatever else draws from it, such as an evaluation in a callback, changes what follows
    dtype        : of θ and all results: None (float32 for float32 data, float64 for all other), "float32" or "float64"
    input_scale  : factor for every batch of X, such as 1/255 for uint8 images, so that data is never converted whole
    verbose      : 0, or 1 for a progress bar on stderr where that is a terminal
    callback     : function of the model, called after every epoch; training stops if it returns True itself

    A subclass says what its parameters are and what a batch costs:
        _shapes(n_features) → ordered dict from names to shapes
        params(theta=None) → its parameters as named views
        _step(P, G, x, rng, memory) → dict of numbers, "loss" first; writes G. `memory`, a dict of its own for each
            batch size, is where it may keep arrays for the next step; memory["rows"] says which rows x are
        _check_parameters(), _check_data(X): refuse what it cannot use, before anything changes
    """

    def fit(self, X, y=None):
        """Learn from the rows of X (N, D), afresh; y is ignored. n_epochs=0 only initialises.

        Bad parameters and bad data are refused (ValueError, TypeError) before an earlier fit is touched. A run that
        diverges raises FloatingPointError; one that is interrupted keeps what it has learned so far. Returns self.
        """
        self._check_parameters()
        X = check_matrix("X", X)
        self._check_data(X)
        self._initialise(X, check_rng(self.random_state))
        return self._train(X, self.n_epochs)

    def partial_fit(self, X, y=None):
        """One pass over X in minibatches, from where training stands: θ, optimiser and generator go on. Returns self.

        Between passes `set_params(learning_rate=…)` makes a schedule.
        """
        self._check_parameters()
        fitted = self.__sklearn_is_fitted__()
        X = self._check_input(X) if fitted else check_matrix("X", X)
        self._check_data(X)
        if not fitted:
            self._initialise(X, check_rng(self.random_state))
        return self._train(X, 1)

    def _initialise(self, X, rng):
        dtype = self.dtype or ("float32" if X.dtype == np.float32 else "float64")
        self.theta_ = params.initial(self._shapes(X.shape[1]), rng, dtype)
        self.n_features_in_ = X.shape[1]
        self._rng = rng
        self.history_ = {}
        self.n_iter_ = 0
        self._optimizer_type, self._optimizer_state = None, None

    def _train(self, X, n_epochs):
        optimizer = make_optimizer(self.optimizer, self.learning_rate)
        if type(optimizer) is not self._optimizer_type:
            self._optimizer_type, self._optimizer_state = type(optimizer), optimizer.start(self.theta_)
        grad = np.empty_like(self.theta_)
        P, G = self.params(), self.params(grad)
        memories = {}

        def step(rows):
            memory = memories.setdefault(len(rows), {})
            memory["rows"] = rows
            x = memory["x"] = self._rows(X, rows, out=memory.get("x"))
            return self._step(P, G, x, self._rng, memory)

        def after_epoch():
            self.n_iter_ += 1
            return self.callback is not None and self.callback(self) is True

        blocks = params.slices(self._shapes(self.n_features_in_))
        train(step, self.theta_, grad, blocks, optimizer, self._optimizer_state, len(X), n_epochs=n_epochs,
              batch_size=self.batch_size, rng=self._rng, history=self.history_, after_epoch=after_epoch,
              progress=progress_bar(self.verbose, type(self).__name__))
        return self

    @property
    def parameters_(self):
        """An ordered dict from names ("encoder.0.W", …) to views of theta_: writing to a view changes the model."""
        self._check_fitted()
        return params.views(self.theta_, self._shapes(self.n_features_in_))

    def _rows(self, X, rows, out=None):
        """These rows of X, times input_scale, in θ's dtype: never a view of X, written into `out` where it is given."""
        dtype = self.theta_.dtype
        if out is not None and X.dtype == dtype and self.input_scale == 1:
            return np.take(X, rows, axis=0, out=out, mode="clip")           # "raise" would go through a copy
        return np.multiply(X[rows], dtype.type(self.input_scale), out=out, dtype=dtype, casting="same_kind")

    def _chunks(self, X, rows_at_once=1024):
        """X a thousand rows at a time, each as `_rows` gives it: an evaluation never holds more."""
        for start in range(0, len(X), rows_at_once):
            yield self._rows(X, slice(start, start + rows_at_once))

    def _check_common_parameters(self):
        check_int("n_components", self.n_components)
        for width in _as_tuple("hidden", self.hidden):
            check_int("hidden", width)
        check_choice("activation", self.activation, ACTIVATIONS)
        self._check_training_parameters()

    def _check_training_parameters(self):
        make_optimizer(self.optimizer, self.learning_rate)
        check_int("batch_size", self.batch_size)
        check_int("n_epochs", self.n_epochs, minimum=0)
        check_number("input_scale", self.input_scale, 0, open_low=True)
        check_int("verbose", int(self.verbose) if isinstance(self.verbose, bool) else self.verbose, minimum=0)
        if self.callback is not None and not callable(self.callback):
            raise TypeError(f"callback must be None or a function of the model, got {self.callback!r}")
        if self.dtype is not None:
            check_dtype("dtype", self.dtype)


def _as_tuple(name, widths):
    if not isinstance(widths, (tuple, list)):
        raise TypeError(f"{name} must be a tuple of layer widths such as (64, 32), got {widths!r}")
    return tuple(widths)
