"""p(x|z): a density, whose total mass over x is 1; and samples that have its law."""
import numpy as np

from .case import LOG_2, TOL, recognise
from .integrals import LOG_2PI
from .mass import log_mass
from .report import Check, wrong_shape

NEVER = 1e-10                            # a p-value that chance does not reach in the lifetime of a course


def check_log_prob(case):
    """Σ_x p(x|z), or ∫ p(x|z) dx, is 1 at any z.   [LV.6]"""
    zs, spread = case.rng.standard_normal((3, case.law.K)), 1 + float(np.std(case.x))

    def masses(values, factor=1.0):
        """Of p(x|z)^factor over x of these values (None: real x), at each z."""
        return [log_mass(lambda x, z=z: factor * case.f.log_prob(x, np.tile(z, (len(x), 1))), case.x[0], values, spread,
                         case.rng) for z in zs]

    def is_one(masses):
        return all(abs(mass.log) <= 10 * mass.bar for mass in masses)

    found = masses(case.values)
    if is_one(found):
        return Check("log_prob", "ok", f"p(x|z) has total mass 1 at 3 z: {found[0].how}")
    if case.values and is_one(real := masses(None)):
        return Check("log_prob", "ok", f"p(x|z) is a density over real x and has total mass 1: {real[0].how}",
                     "density")
    if not case.values and np.min(case.x) >= 0 and np.max(case.x) <= 1 and is_one(masses((0, 1))):
        return Check("log_prob", "ok", "p(x|z) has total mass 1 over x of 0 and 1; with grey levels between them it is "
                     "a surrogate, and nothing bounds log p(x)", "surrogate")
    cause, why = _why_mass(case, zs, found, lambda *arguments: is_one(masses(*arguments)))
    unknown, log = [mass.how for mass in found if np.isnan(mass.log)], float(found[0].log)
    if unknown and not cause:
        return Check("log_prob", "unchecked", unknown[0])
    words = unknown[0] if unknown else f"its logarithm is {log:.6g} at one z, {found[0].how}"
    return Check("log_prob", "wrong", f"p(x|z) does not have total mass 1 over x: {words}. {why}", cause, log, 0.0)


def _why_mass(case, zs, found, is_one):
    """The cause, and a sentence; is_one(values, factor) says whether the mass of p(x|z)^factor over these x is 1."""
    D, values = case.x.shape[1], case.values
    if values not in (None, (0, 1)) and is_one((0, 1)):
        return "values of x", f"It does over x of 0 and 1, but X holds {values[0]:g} and {values[1]:g}: rescale X."
    logs, top, sigma = np.array([(mass.log, mass.top, mass.log_det / 2) for mass in found]).T      # Σ_d log σ_d
    pi = D * LOG_2PI / 2
    cause, why = recognise(top, [                          # the log of the peak: −pi − sigma were right
        ("log 2 pi", -sigma, "-1/2 log 2 pi of each column is missing."),
        ("log sigma", -pi, "-log sigma is missing: it is constant only while sigma is."),
        ("constants", 0.0, "Constants are dropped, -1/2 log 2 pi and -log sigma of each column: it is no likelihood, "
         "and sigma cannot be learned."),
        ("log sd", -pi - 2 * sigma, "log sigma^2 lacks its 1/2, or the sd stands for the variance."),
        ("log sign", -pi + sigma, "log sigma has the wrong sign."),
        ("log 2 pi bits", -(pi + sigma) / LOG_2, "Its constants are in bits (log2), its squares are not."),
        ("half", -pi - sigma - D * LOG_2 / 2, "The 1/2 of the square is missing."),
        ("half", -2 * pi - 2 * sigma, "The 1/2 of the constants is missing."),
        ("half log 2 pi", -2 * pi - sigma, "The 1/2 of log 2 pi is missing."),
        ("one log 2 pi", -pi / D - sigma, "log 2 pi is there once, not once a column.")], 100 * TOL)
    if cause:
        return cause, why
    one_hot = values and np.eye(D) * (values[1] - values[0]) + values[0]
    if values and abs(np.logaddexp.reduce(case.f.log_prob(one_hot, np.tile(zs[0], (D, 1))))) < TOL:
        return "softmax", "It does over one-hot x: a softmax over pixels is a law of one class, not of an image."
    for cause, factor, words in case.scales:
        if factor not in (0, 1) and is_one(values, 1 / factor):
            return cause, f"log_prob is {words}."
    if np.ptp(logs) < 100 * TOL:
        return "constant", "The excess is the same at every z: a constant is missing or too many."
    return "", "None of the usual mistakes explains the number."


def check_sample(case, n=4000):
    """sample(n, rng) draws z ~ N(0, I), and x ~ p(x|z), so that steps x → x' and x' → x are in balance:   [LV.1]

        E σ(Δ) tanh(Δ/2) = 0,   Δ = log p(x'|z) − log p(x|z)

    for p(x) σ(Δ) = p(x) p(x') / (p(x) + p(x')) is the same both ways, and tanh turns its sign. x' has one other pixel,
    or a step of random length in one column. The bar is Bernstein's, from the known variance.
    """
    from scipy.stats import kstest                       # here, because it takes a second that not all should wait for

    x, z = (np.asarray(part, dtype=float) for part in case.f.sample(n, case.rng))
    if found := wrong_shape("sample", (x.shape, z.shape), ((n, case.x.shape[1]), (n, case.law.K))):
        return found
    p, spread = [kstest(column, "norm").pvalue for column in z.T], np.std(z, axis=0)
    if min(p) < NEVER:
        k = int(np.argmin(p))
        return Check("sample", "wrong", f"z[:, {k}] of sample is not standard normal: sd {spread[k]:.3g}, mean "
                     f"{np.mean(z[:, k]):.3g} (p = {p[k]:.0e}).", "prior", float(spread[k]), 1.0)
    if case.values and not np.all(np.isin(x, case.values)):
        return Check("sample", "wrong", f"sample returns x such as {x.flat[0]:.4g}, but log_prob is of x of "
                     f"{case.values[0]:g} and {case.values[1]:g}: the mean of p(x|z), not a draw from it.", "means")
    d = case.rng.integers(x.shape[1], size=n)
    at, other = (np.arange(n), d), x.copy()
    step = np.std(x, axis=0)[d] * 10 ** case.rng.uniform(-2, 0.5, n) * case.rng.standard_normal(n)
    other[at] = sum(case.values) - x[at] if case.values else x[at] + step
    delta = case.f.log_prob(other, z) - case.f.log_prob(x, z)
    go, size, L = 1 / (1 + np.exp(-delta)), np.tanh(delta / 2), -np.log(NEVER / 2)
    balance, chance = float(np.sum(go * size)), np.sqrt(2 * L * np.sum(go * (1 - go) * size**2)) + 2 * L / 3
    verdict, cause, than, often = (
        ("ok", "", "as likely as", "as often as it should") if abs(balance) <= chance else
        ("wrong", "no noise", "likelier than", "too seldom") if balance < 0 else
        ("wrong", "law", "less likely than", "too often"))
    return Check("sample", verdict, f"z is N(0, I), and x {than} draws from p(x|z) are: changing one column of each of "
                 f"{n} x makes it likelier {often} (balance {balance:.3g}, by chance up to {chance:.3g})", cause,
                 balance, 0.0)
