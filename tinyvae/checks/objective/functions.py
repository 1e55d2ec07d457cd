"""What an objective is made of, as plain functions: a student's own, or those of a model's small twin."""
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from ...validation import check_choice, check_int, check_number


class Functions(NamedTuple):
    """A latent variable model with one or two latents. x (B, D), z and eps (B, K); a number a row, in nats.

    A seed is an integer, rng a Generator. What is None is not checked.
    """
    encode: Callable                     # x → mu, logvar of q(z|x), (B, K) each
    draw: Callable                       # x, eps → z, a draw from q(z|x) when eps ~ N(0, I)
    kl: Callable                         # x → KL(q(z|x) ‖ N(0, I)), (B,)
    log_prob: Callable                   # x, z → log p(x|z), (B,)
    log_q: Callable | None = None        # x, z → log q(z|x), (B,)
    loss: Callable | None = None         # x, eps → the number that training minimises
    elbo: Callable | None = None         # x, n_samples, seed → (B,): E_q log p(x|z) by n_samples draws, less the KL
    iwae: Callable | None = None         # x, n_samples, seed → (B,): log 1/S Σ p(x|z) p(z) / q(z|x), S = n_samples
    sample: Callable | None = None       # n, rng → x (n, D), z (n, K): z from the prior, x from p(x|z)
    reduction: str = "mean"              # of loss, over rows: "mean" or "sum"
    beta: float = 1.0                    # the weight that loss gives to the KL
    objective: str = "elbo"              # what loss is minus of: "elbo" or, where there is log_q, "iwae"
    n_samples: int = 1                   # of loss: its eps is (B, K) for one draw, else (n_samples, B, K)


NEEDED, OPTIONAL = Functions._fields[:4], Functions._fields[4:9]


def as_functions(functions):
    """A dict or NamedTuple of functions as Functions, with float64 results."""
    given = functions._asdict() if hasattr(functions, "_asdict") else functions
    if not isinstance(given, Mapping):
        raise TypeError("functions must be a VAE, an Autoencoder, or a dict or NamedTuple of the functions "
                        f"{', '.join(NEEDED)}, got {functions!r:.80}")
    if not set(NEEDED) <= given.keys() <= set(Functions._fields):
        raise ValueError(f"functions must have {', '.join(NEEDED)}, and may have {', '.join(Functions._fields[4:])}; "
                         f"got {', '.join(map(str, given)) or 'none'}")
    f = Functions(**given)
    for name in NEEDED + OPTIONAL:
        if not callable(getattr(f, name)) and not (name in OPTIONAL and getattr(f, name) is None):
            raise TypeError(f"functions[{name!r}] must be a function, got {getattr(f, name)!r:.60}")
    check_choice("reduction", f.reduction, ("mean", "sum"))
    check_choice("objective", f.objective, ("elbo",) if f.log_q is None else ("elbo", "iwae"))
    check_number("beta", f.beta, 0)
    check_int("n_samples", f.n_samples)

    def double(function):
        return function and (lambda *arguments: np.asarray(function(*arguments), dtype=float))

    return f._replace(**{name: double(getattr(f, name)) for name in NEEDED + OPTIONAL if name != "sample"})


def twin(model, X, rng):
    """A small copy of a VAE, as Functions, and X for it: its options, 1 or 2 latents, few columns, random θ.

    Grey levels become binary by chance where the likelihood is one of binary x.
    """
    binary = model.likelihood == "bernoulli"
    columns = np.sort(rng.permutation(X.shape[1])[:7 if binary else 5])
    x = X[:, columns].astype(float) * model.input_scale
    x = (rng.random(x.shape) < x).astype(float) if binary else x
    options = {**model.get_params(), "n_components": min(2, model.n_components), "n_epochs": 0, "dtype": "float64",
               "input_scale": 1.0, "callback": None, "verbose": 0, "random_state": 0, "binarize": False, "warm_up": 0}
    small = type(model)(**options).fit(x)
    for view in small.parameters_.values():
        view[:] = rng.standard_normal(view.shape) * np.sqrt(1 / (sum(view.shape) + 2))
    P, q = small.params(), small._posterior
    return as_functions(Functions(
        encode=lambda x: q.split(small.encoded(P, x))[:2],
        draw=lambda x, eps: q.draw(small.encoded(P, x), eps),
        kl=lambda x: q.kl(small.encoded(P, x)),
        log_prob=lambda x, z: small.log_px_z(P, x, z),
        log_q=lambda x, z: q.log_prob(z, small.encoded(P, x)),
        loss=lambda x, eps: small.mean_loss(P, small.forward(P, x, eps)),
        elbo=small.elbo, iwae=small.log_likelihood, sample=small.simulate,
        beta=small.beta, objective=small.objective, n_samples=small.n_samples)), x
