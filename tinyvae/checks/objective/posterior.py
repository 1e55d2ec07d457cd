"""q(z|x): the sampler, the KL and log q must mean one distribution.

What the sampler makes of noise decides: that law is measured, and its KL and its density are computed from it alone.
"""
import numpy as np

from .case import TOL, near
from .integrals import LOG_2PI, log_normal
from .report import Check


def check_sampler(case):
    """draw(x, eps) is mu + L eps, with exp(logvar) the squares on L's diagonal.   [RP.1]"""
    law, (mu, logvar) = case.law, (part.T for part in case.f.encode(case.x))
    if law.bend > TOL:
        return Check("sampler", "wrong", f"draw(x, eps) is not mu + L eps: z is off such a law by {law.bend:.3g} of "
                     "its size, and not Gaussian, as the KL and log q say.", "not Gaussian")
    if np.min(np.abs(np.linalg.det(law.L))) <= TOL**3:
        return Check("sampler", "wrong", "draw(x, eps) ignores eps, or a direction of it: such z have no density, and "
                     "their KL is infinite.", "no draw")
    mean = case.compare("sampler", "the mean of draw for {}", law.mean.T, mu, "encode's mu")
    if mean.verdict == "wrong":
        return mean._replace(cause="mean")
    sd = np.exp(logvar / 2)
    found = case.compare("sampler", "the sd of draw for {}", law.sd.T, sd, "exp(logvar / 2) of encode", [
        ("sd exp(logvar)", np.exp(logvar), "It is exp(logvar), the variance, where exp(logvar / 2) is the sd."),
        ("sd 1", np.ones_like(mu), "It is 1: eps is added as it is."),
        ("sd logvar", np.abs(logvar), "It is logvar itself."),
        ("sd exp(-logvar/2)", np.exp(-logvar / 2), "It is exp(-logvar / 2): a sign."),
        ("sd exp(logvar/4)", np.exp(logvar / 4), "It is exp(logvar / 4): the root was taken twice."),
        ("sd sqrt", np.sqrt(np.abs(logvar)), "It is the root of logvar: an exp is missing.")])
    if found.verdict == "wrong" and near(case.f.kl(case.x), _kl(law)):
        message = f"{found.message} But the KL means the same sd: only the name logvar is wrong."
        return found._replace(verdict="ok", message=message, cause="name")
    return found


def _kl(law):
    """∫ q(z) log q(z) / N(z; 0, I) dz of every row, (B,), nats."""
    return law.expectation(lambda z: law.log_density(z) - log_normal(z))[0]


def _of_any_law(check):
    """A check against every law that may be meant: one that agrees is believed, else one that finds a cause."""
    return lambda case: min((check(case, *law) for law in case.laws.items()),
                            key=lambda found: (found.verdict == "wrong", not found.cause))


@_of_any_law
def check_kl(case, name, law):
    """kl(x) is ∫ q(z) log q(z) / N(z; 0, I) dz, q being the law that draw samples from.   [EL.3]"""
    right, mu, v = _kl(law), law.mean, 2 * np.log(law.sd)
    s = np.exp(v)

    def half(terms):
        return np.sum(terms, axis=1) / 2

    return case.compare("kl", "kl of {}", case.f.kl(case.x), right, f"KL({name} || N(0, I)) by quadrature", [
        ("missing 1", right + law.K / 2, "The -1 of each latent is missing."),
        ("sd exp(logvar)", half(mu**2 + s**2 - 1 - 2 * v), "It takes exp(logvar) for the sd, not the variance."),
        ("sd for variance", half(mu**2 + np.sqrt(s) - 1 - v), "It has the sd where the variance belongs."),
        ("log sd", half(mu**2 + s - 1 - v / 2), "It has log sd where log variance belongs."),
        ("sd exp(logvar/2)", half(mu**2 + np.sqrt(s) - 1 - v / 2), "It takes half of logvar for logvar."),
        ("mu not squared", half(mu + s - 1 - v), "mu is not squared."),
        ("missing mu", half(s - 1 - v), "The mu^2 is missing."),
        ("missing variance", half(mu**2 - 1 - v), "The variance is missing: exp(logvar) was left out."),
        ("missing log", half(mu**2 + s - 1), "The log-variance is missing."),
        ("log sign", half(mu**2 + s - 1 + v), "The log-variance has the wrong sign."),
        ("reversed", half((1 + mu**2) / s - 1 + v), "It is KL(N(0, I) || q): the two are exchanged."),
        ("half on one term", half(mu**2 + 2 * (s - 1 - v)), "1/2 multiplies only a part of the terms."),
        ("correlations", half(mu**2 + s - 1 - v), "It leaves out q's correlations."),
        ("entropy", half(-v - 1 - LOG_2PI), "It is minus the entropy of q: log p(z) was forgotten."),
        ("cross-entropy", half(mu**2 + s + LOG_2PI), "It is minus E log p(z): the entropy of q was forgotten.")])


@_of_any_law
def check_log_q(case, name, law):
    """log_q(x, z) is the log-density of the law that draw samples from, at some of its z = mean + L eps."""
    B, K = law.mean.shape
    z = law.at(case.rng.standard_normal((6, K)))
    right, v = law.log_density(z), np.log(np.sum(law.L**2, axis=2))
    s = np.exp(v)

    def gauss(variance, log_variance, constant=LOG_2PI):
        return -np.sum((z - law.mean) ** 2 / variance + log_variance + constant, axis=2) / 2

    measured = case.f.log_q(np.tile(case.x, (6, 1)), z.reshape(-1, K)).reshape(6, B)
    return case.compare("log_q", "log_q of {}", measured, right, f"the log-density of z ~ {name}", [
        ("log 2 pi", right + K * LOG_2PI / 2, "-1/2 log 2 pi of each latent is missing."),
        ("log sd", gauss(s**2, 2 * v), "It takes logvar for the log of the sd."),
        ("sd exp(logvar/2)", gauss(np.sqrt(s), v / 2), "It takes half of logvar for logvar."),
        ("sd for variance", gauss(np.sqrt(s), v), "It divides by the sd where the variance belongs."),
        ("log variance", gauss(s, 2 * v), "log sigma^2 stands there without its 1/2."),
        ("missing log sigma", gauss(s, 0), "-log sigma is missing."),
        ("log sign", gauss(s, -v), "log sigma has the wrong sign."),
        ("constants", gauss(s, 0, 0), "All constants are missing, log sigma too."),
        ("prior", log_normal(z), "It is log p(z), the prior's density, not q's."),
        ("square", gauss(2 * s, v), "The distance is not squared, or only one half of the exponent is there.")])
