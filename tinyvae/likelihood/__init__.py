"""log p(x) of a fitted model with latent z ~ N(0, I): estimated, or bounded from both sides.

    prior_monte_carlo                     draws from the prior: unbiased for p(x), hopeless in many dimensions   [LV.8]
    importance_sampling                   draws from the encoder's q(z|x)                                        [CV.1]
    annealed_importance_sampling          chains that walk from the prior to the posterior: needs no encoder
    reverse_annealed_importance_sampling  the same way back from an exact posterior sample: a bound from above

Each returns an Estimate: a value for every row and its standard error, in nats. With 1 to 3 latent dimensions nothing
needs to be estimated, all is computed on a grid, and each value comes with its numerical error:

    quadrature                            log p(x)                                                               [CV.1]
    true_posterior, posterior_grid        p(z|x) of one row, as points with weights, and as a picture
    exact_elbo                            the bound, with no draw in it                                          [EL.1]
    gaps                                  what lies between: the approximation gap and the amortisation gap
"""
from .annealing import annealed_importance_sampling, reverse_annealed_importance_sampling
from .exact import exact_elbo, posterior_grid, quadrature, true_posterior
from .gaps import gaps
from .monte_carlo import importance_sampling, prior_monte_carlo
from .tasks import Estimate

__all__ = ["Estimate", "annealed_importance_sampling", "exact_elbo", "gaps", "importance_sampling", "posterior_grid",
           "prior_monte_carlo", "quadrature", "reverse_annealed_importance_sampling", "true_posterior"]
