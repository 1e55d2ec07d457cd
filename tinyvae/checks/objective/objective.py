"""Is this objective what it is said to be?   Everything that a gradient check cannot see.

A gradient check holds a gradient against its own loss, and so passes when that loss is wrong. Here the loss is held
against integrals: the law that the sampler draws from, log p(x) over all z, the mass of p(x|z) over all x.
"""
import numpy as np

from ...validation import check_matrix, check_rng
from .bound import check_bound, check_loss
from .case import TOL, Case, near
from .evaluation import check_elbo, check_iwae
from .functions import as_functions, twin
from .integrals import Law, sampler_law
from .likelihood import check_log_prob, check_sample
from .posterior import check_kl, check_log_q, check_sampler
from .report import SAMPLER, Check, ObjectiveReport
from .rows import check_call, check_rows, distinct

CHECKS = {"sampler": check_sampler, "kl": check_kl, "log_q": check_log_q, "log_prob": check_log_prob,
          "bound": check_bound, "loss": check_loss, "elbo": check_elbo, "iwae": check_iwae, "sample": check_sample}


def check_objective(functions, X, rng=None):
    """Holds an objective against integrals that it should agree with: an ObjectiveReport.

        shape     every function returns finite numbers, twice the same, and leaves its arguments alone
        rows      no row's number depends on another row
        sampler   draw(x, eps) is mu + L eps, with exp(logvar) the squares on L's diagonal               [RP.1]
        kl        is ∫ q log(q / N(0, I)) by quadrature, q being the law that draw samples from          [EL.3]
        log_q     is the log-density of that law
        log_prob  Σ_x or ∫ dx of p(x|z) is 1                                                             [LV.6]
        bound     E_q log p(x|z) − KL ≤ log p(x) = log ∫ p(x|z) N(z; 0, I) dz, by quadrature             [EL.1]
        loss      is the mean (or sum) over rows of minus that bound, and twice the rows double a sum alone
        elbo      has the law over seeds of 1/S Σ log p(x|z) − KL with honest draws                      [EL.2]
        iwae      … of log 1/S Σ p(x|z) p(z) / q(z|x), with honest draws, and rises with S               [CV.1]
        sample    has the law of z ~ N(0, I), x ~ p(x|z)                                                 [LV.1]

    functions : a VAE, fitted (n_epochs=0 is enough); an Autoencoder, whose rows and loss alone are checked; or a dict
                or NamedTuple of plain functions of a model with 1 or 2 latents, x being (B, D), eps and z (B, K):
                encode(x) → mu, logvar; draw(x, eps) → z; kl(x), log_prob(x, z) → (B,), nats; and, where there are,
                log_q(x, z), elbo(x, n_samples, seed), iwae(x, n_samples, seed) → (B,), loss(x, eps) → a number,
                sample(n, rng) → x, z; beta, reduction ("mean", "sum"), objective ("elbo", "iwae"), n_samples of loss
    X         : (N, D), some data; 3 distinct rows are used, and X[i] in a message is one of them
    rng       : Generator or seed. Default: seed 0, so that a report repeats itself

    A VAE is checked as a twin with its options, 1 or 2 latents, few columns and random θ, so that integrals are exact
    whatever its size; and its own rows. Two-valued X is summed over corner by corner up to 12 columns, real x
    integrated by quadrature in 1 or 2; with more columns log p(x|z) must prove a sum over them, or a Gaussian's. Where
    draw is not as encode says, kl and log_q may be right for the one or the other. What could not be checked is in the
    report, and why. Raises TypeError or ValueError for arguments of the wrong kind; what a function raises passes.
    """
    X, rng = check_matrix("X", X), check_rng(0 if rng is None else rng)
    if hasattr(functions, "reconstruction_error"):
        checks = _check_autoencoder(functions, X, rng)
    elif hasattr(functions, "_posterior"):
        checks = _check_vae(functions, X, rng)
    else:
        values = np.unique(X[:1000])
        values = (0, 1) if np.all(np.isin(values, (0, 1))) else tuple(values.tolist()) if len(values) == 2 else None
        checks = _check_functions(as_functions(functions), X, values, rng)
    return ObjectiveReport(tuple(checks))


def _check_functions(f, X, values, rng):
    """All checks of plain functions, in the order in which one explains another."""
    rows = distinct(X, rng, 3)
    x, B = X[rows].astype(float), len(rows)
    encoded = f.encode(x.copy())
    if encoded.ndim != 3 or encoded.shape[:2] != (2, B) or encoded.shape[2] not in (1, 2):
        raise ValueError(f"encode must return mu and logvar of shape ({B}, K) with K = 1 or 2 latents, which can be "
                         f"integrated over, got shape {encoded.shape[1:]}")
    K = encoded.shape[2]
    eps = rng.standard_normal((B, K))
    calls = {"encode": (lambda x: np.concatenate(f.encode(x), axis=1), (x,)), "kl": (f.kl, (x,)),
             "draw": (f.draw, (x, eps)), "log_prob": (f.log_prob, (x, eps)), "log_q": (f.log_q, (x, eps))}
    calls = {name: call for name, call in calls.items() if call[0]}
    shapes = {"encode": (B, 2 * K), "draw": (B, K)}
    with np.errstate(all="ignore"):
        found = [check_call(name, *call, shapes.get(name, (B,))) for name, call in calls.items()]
        found = [check for check in found if check] or [check_rows(calls, rows)]
        if found[0].verdict == "wrong":
            return found + [Check(key, "unchecked", "first mend what is wrong above") for key in CHECKS]
        case, blind = Case(f, x, rows, values, {"sampler": sampler_law(f.draw, x, K, rng)}, rng), ()
        for key, check in CHECKS.items():
            if getattr(f, key, key) is None:
                found.append(Check(key, "unchecked", "no such function was given"))
            elif key in blind:
                found.append(Check(key, "unchecked", SAMPLER))
            else:
                found.append(check(case))
            if key == "sampler" and found[-1].verdict == "wrong":
                case, blind = _without_sampler(case, encoded, found[-1].cause)
            if key == "log_prob":                             # it may be a law of other x than X shows
                case = case._replace(values={"surrogate": (0, 1), "density": None}.get(found[-1].cause, values))
    return found


def _without_sampler(case, encoded, cause):
    """The case with the law that encode says too, as kl and log_q may be right for that; and what cannot be checked."""
    mu, logvar = encoded
    said = {"N(mu, exp(logvar))": Law(mu, np.exp(logvar / 2)[:, None] * np.eye(mu.shape[1]), 0.0)}
    if cause in ("not Gaussian", "no draw"):
        return case._replace(laws=said), ("bound", "elbo", "iwae")
    return case._replace(laws=said | case.laws), ("elbo", "iwae")


def _check_vae(model, X, rng):
    """A VAE's own rows, and everything else of its twin."""
    rows = distinct(X, rng, 6)
    yield check_rows({"transform": (model.transform, (X[rows],)),
                      "the model's own elbo": (lambda x: model.elbo(x, 4, 0), (X[rows],))}, rows)
    yield from _check_functions(*twin(model, X, rng), (0, 1) if model.likelihood == "bernoulli" else None, rng)


def _check_autoencoder(model, X, rng):
    """An Autoencoder has no law: its rows, and what its loss is over them."""
    rows = distinct(X, rng, 6)
    X = X[rows]
    yield check_rows({name: (getattr(model, name), (X,)) for name in ("transform", "reconstruction_error")}, rows)
    x, P = (X * model.input_scale).astype(model.theta_.dtype), model.params()
    once, twice = (float(model.mean_loss(P, model.forward(P, rows))) for rows in (x, np.tile(x, (2, 1))))
    error = once if model.penalties else float(np.mean(model.reconstruction_error(X)))
    cause = "" if near(twice, once, 1e-4) else "sum over rows" if near(twice, 2 * once, 1e-4) else "rows"
    wrong = cause or not near(once, error, 1e-4)
    yield Check("loss", "wrong" if wrong else "ok", f"mean_loss is {once:.6g}, with every row twice {twice:.6g}, and "
                f"{'must both times be' if wrong else 'is'} the mean over rows, {error:.6g}", cause, once, error)
    yield Check("log_prob", "unchecked", "an autoencoder's loss is no log-density: there is no bound to check")
