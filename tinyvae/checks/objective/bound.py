"""What the parts add up to: a lower bound of log p(x), and the loss that training minimises."""
import numpy as np

from .case import TOL, near, recognise
from .integrals import log_integral, log_normal, paired
from .report import OVERFLOW, SAMPLER, Check, wrong_shape


def check_bound(case):
    """E_q log p(x|z) − KL  ≤  log p(x) = log ∫ p(x|z) N(z; 0, I) dz, both by quadrature.   [EL.1]"""
    log_prob = case.f.log_prob

    def joint(x):
        return lambda z: paired(log_prob, x[None], z[:, None])[:, 0] + log_normal(z)

    expected, bar = case.law.expectation(lambda z: paired(log_prob, case.x, z))
    evidence, bars = np.array([log_integral(joint(x), np.zeros(case.law.K), 10.0) for x in case.x]).T
    bound, bar = expected - case.f.kl(case.x), 3 * (bar + bars) + TOL * (1 + np.abs(expected))
    row = int(np.argmax(np.nan_to_num(bound - evidence - bar, nan=-np.inf)))
    value, top, bar = float(bound[row]), float(evidence[row]), float(bar[row])
    words = f"log p(x), as it must be: {value:.6g} and {top:.6g} for X[{case.rows[row]}], by quadrature"
    if value > top + bar:
        return Check("bound", "wrong", f"E log p(x|z) - kl is not below {words}.", "above log p(x)", value, top)
    if len(case.laws) > 1 or not bar < 0.1:
        known = f"the integrals over z are only known to {bar:.1e} nats" if np.isfinite(bar) else OVERFLOW
        return Check("bound", "unchecked", SAMPLER if len(case.laws) > 1 else known)
    return Check("bound", "ok", f"E log p(x|z) - kl is below {words}", "", value, top)


def check_loss(case):
    """loss(x, eps) is the mean, or sum, over rows of −log p(x|z) + β KL, or of minus the iwae.   [EL.1, CV.1]

    At ten batches with their noise; and every row twice leaves a mean as it is, and doubles a sum.
    """
    f, B = case.f, len(case.x)
    x = case.x[case.rng.integers(0, B, size=(10, B))]
    eps = case.rng.standard_normal((11, *[f.n_samples] * (f.n_samples > 1), B, case.law.K))
    losses = np.array([f.loss(*batch) for batch in zip(x, eps)])
    if found := wrong_shape("loss", losses.shape[1:], ()):
        return found
    R, KL, right = np.array([_terms(f, *batch) for batch in zip(x, eps)]).T * (B if f.reduction == "sum" else 1)
    if not np.all(np.isfinite([R, KL, right])):                 # nor would lstsq come to an end
        return Check("loss", "unchecked", OVERFLOW)
    bound = "minus the iwae" if f.objective == "iwae" else _sum({"-log p(x|z)": 1, "KL": f.beta}, tol=0)
    drawn = float(f.loss(x[0], eps[10])) != losses[0] or np.ptp(R) <= TOL
    found = case.compare("loss", "loss", losses, right, f"the {f.reduction} over rows of {bound}",
                         otherwise=_combination(case, losses, R, KL, drawn))
    if found.verdict == "wrong":
        return found
    times = float(f.loss(np.tile(x[0], (2, 1)), np.concatenate([eps[0]] * 2, axis=-2))) / losses[0]
    meant, does = (2.0, "doubles it") if f.reduction == "sum" else (1.0, "leaves it")
    if not near(times, meant, 100 * TOL):
        return Check("loss", "wrong", f"doubling the rows multiplies loss by {times:.4g}, but a {f.reduction} by "
                     f"{meant:g}.", "rows", times, meant)
    return found._replace(message=f"{found.message}, and doubling the rows {does}")


def _terms(f, x, eps):
    """Means over rows of −log p(x|z), of the KL, and of minus the bound that loss is said to be."""
    S, tiled, kl = f.n_samples, np.tile(x, (f.n_samples, 1)), f.kl(x)
    z = f.draw(tiled, eps.reshape(-1, eps.shape[-1]))
    log_prob = f.log_prob(tiled, z).reshape(S, -1)
    bound = np.mean(log_prob, axis=0) - f.beta * kl
    if f.objective == "iwae":
        log_ratio = (log_normal(z) - f.log_q(tiled, z)).reshape(S, -1)
        bound = np.logaddexp.reduce(log_prob + f.beta * log_ratio, axis=0) - np.log(S)
    return -np.mean(log_prob), np.mean(kl), -np.mean(bound)


def _sum(terms, tol=100 * TOL):
    """{"R": 1, "KL": 2.5, "": 3} in words: R + 2.5 KL + 3."""
    words = [f"{factor:.4g} {name}" for name, factor in terms.items() if abs(factor) > tol]
    return " + ".join(word.removeprefix("1 ") or "1" for word in words).replace("+ -", "- ").rstrip() or "0"


def _combination(case, losses, R, KL, drawn):
    """The cause and a sentence, if losses are a R + b KL + c, R and KL being the terms as they are meant."""
    D, beta, tol = case.x.shape[1], case.f.beta, 100 * TOL
    A = np.stack([R, KL, np.ones_like(R)], axis=1)
    (a, b, c), _, rank, _ = np.linalg.lstsq(A, losses, rcond=1e-10)
    if rank < 3 or not near(A @ [a, b, c], losses):
        return ("", "It is no combination of -log p(x|z) and of the KL.") if drawn else (
            "no draw", "It is the same for other eps: it does not draw.")
    fit = f"It is {_sum({'R': a, 'KL': b, '': c})}, R being -log p(x|z)"
    if not near(a, 1, tol):
        cause, words = recognise(a, case.scales, tol, ("", "wrong"))
        return "mean over columns" if "columns" in cause else "reconstruction weight", f"{fit}, which is {words}."
    if not near(b, beta, tol):
        cause, words = recognise(b / (beta or 1), case.scales, tol, ("", "wrong"))
        return "kl sign" if cause == "sign" else "kl weight", f"{fit}: the KL is {words}."
    return "constants", f"{fit}: a constant of {c / D:.4g} a column of x is added or dropped."
