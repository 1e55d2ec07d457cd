"""Which checker finds which mistake:   python -m tests.campaigns.detection --models 20

`tinyvae.check_gradient` beside the rules of well-known checkers (tests/checkers.py), on the same problems:

    the museum       every planted mistake of `tinyvae.checks.mistakes`, on so many random problems
    small errors     in a right gradient of a random autoencoder or VAE of about 300, 10,000 or 400,000 parameters
    false alarms     right gradients: of the museum, of these models, with kinks, in single precision, scaled, steep

A mistake is found where the rule rejects the gradient. A wrong entry is drawn at random and wrong by a share of itself
("1 % entry") or of the root mean square of its block ("1 % rms"). Rules that evaluate f twice for every entry are left
out above 2,000 parameters. Prints shares in per cent, one for each of the three sizes, and how often f was evaluated.
"""
import warnings
from collections import defaultdict
from typing import NamedTuple
from unittest import mock

import numpy as np

from tests.campaigns.gradients import blocks, gradient, loss, pick, random_autoencoder, random_vae, run
from tests.checkers import ENTRYWISE, KNOWN, RULES, tinyvae
from tinyvae.checks.mistakes import MISTAKES, problem
from tinyvae.ops import ACTIVATIONS

WIDTHS = {"300": 7, "10k": 66, "400k": 440}                  # of two hidden layers, encoder and decoder each
SMOOTH = [name for name in ACTIVATIONS if name not in ("relu", "elu")]
MOST_ENTRIES = 2000
MUSEUM_RULES = {"tinyvae": tinyvae, **KNOWN}


class Case(NamedTuple):
    """A loss with its right gradient, functions of a dict of named arrays."""
    f: object
    right: object
    theta: dict


# ---- right gradients -------------------------------------------------------------------------------------------------


def network(rng, width, activation=None):
    """An untrained autoencoder or VAE of random kind and values, with two hidden layers."""
    options = {"hidden": (width, width), "activation": activation or pick(rng, SMOOTH)}
    if rng.random() < 0.5:
        return random_autoencoder(rng, tied=False, output_activation="identity", **options)
    return random_vae(rng, **options)


def case(problem):
    """Its loss and gradient."""
    model, args = problem
    places, shapes = blocks(model), model._shapes(model.n_features_in_)

    def named(vector):
        return {name: vector[place].reshape(shapes[name]) for name, place in places.items()}

    def flat(theta):
        return np.concatenate([theta[name].ravel() for name in places])

    return Case(lambda theta: loss(model, args, flat(theta)), lambda theta: named(gradient(model, args, flat(theta))),
                named(model.theta_))


def times(factor, arrays):
    return {name: factor * array for name, array in arrays.items()}


def scaled(c, factor):
    """factor × the loss"""
    return Case(lambda theta: factor * c.f(theta), lambda theta: times(factor, c.right(theta)), c.theta)


def steep(c, factor=1000):
    """The loss as a function of θ / factor: what it did over a length of 1, it now does over 1 / factor."""
    return Case(lambda theta: c.f(times(factor, theta)), lambda theta: times(factor, c.right(times(factor, theta))),
                times(1 / factor, c.theta))


def single(problem):
    """The loss computed in single precision, at a θ and data that it can hold, and the gradient in double."""
    args = tuple(array.astype(np.float32) for array in problem.args)
    low = case(problem._replace(args=args)).f
    c = case(problem._replace(args=tuple(array.astype(float) for array in args)))
    return Case(lambda theta: low({name: array.astype(np.float32) for name, array in theta.items()}), c.right,
                {name: array.astype(np.float32).astype(float) for name, array in c.theta.items()})


RIGHT = {
    "300":       lambda rng: case(network(rng, WIDTHS["300"])),
    "10k":       lambda rng: case(network(rng, WIDTHS["10k"])),
    "400k":      lambda rng: case(network(rng, WIDTHS["400k"])),
    "relu":      lambda rng: case(network(rng, WIDTHS["300"], "relu")),
    "relu, 10k": lambda rng: case(network(rng, WIDTHS["10k"], "relu")),
    "float32":   lambda rng: single(network(rng, WIDTHS["300"])),
    "× 1e6":     lambda rng: scaled(case(network(rng, WIDTHS["300"])), 1e6),
    "× 1e-6":    lambda rng: scaled(case(network(rng, WIDTHS["300"])), 1e-6),
    "steep":     lambda rng: steep(case(network(rng, WIDTHS["300"]))),
}


# ---- errors planted in them: functions that change a gradient g ------------------------------------------------------


def one_entry(share, relative_to):
    """A random entry, of all that are not zero, is wrong by a share of itself or of its block's root mean square."""
    def plant(g, rng):
        k = rng.integers(sum(map(np.count_nonzero, g.values())))
        for block in g.values():
            places = np.flatnonzero(block)
            if k < len(places):
                block.flat[places[k]] += share * relative_to(block, places[k])
                return
            k -= len(places)
    return plant


def itself(block, k):
    return block.flat[k]


def rms(block, k):
    return np.sqrt(np.mean(block**2))


def block_scaled(g, rng):
    """A random block is 0.1 % too large."""
    pick(rng, [block for block in g.values() if block.any()])[...] *= 1.001


def block_flipped(g, rng):
    """The smallest block has the wrong sign."""
    min((block for block in g.values() if block.any()), key=np.size)[...] *= -1


def all_doubled(g, rng):
    """As by a forgotten ½."""
    for block in g.values():
        block *= 2


ERRORS = {"1 % entry": one_entry(0.01, itself), "10 % entry": one_entry(0.1, itself), "1 % rms": one_entry(0.01, rms),
          "10 % rms": one_entry(0.1, rms), "block + 0.1 %": block_scaled, "block × -1": block_flipped}


def planted(right, plant, seed):
    """The gradient with this error, at the same place in every call."""
    def grad(theta):
        g = right(theta)
        plant(g, np.random.default_rng(seed))
        return g
    return grad


# ---- the comparison --------------------------------------------------------------------------------------------------


class Tally:
    """rejected[checker, column] and calls[checker, column]: a number for each problem of a column."""

    def __init__(self):
        self.rejected, self.calls = defaultdict(list), defaultdict(list)

    def add(self, column, make, seed, rules=RULES):
        """Every rule on make() → (f, grad, theta), made anew for each, since a gradient may remember its calls."""
        for checker, rule in rules.items():
            f, grad, theta = make()
            if checker in ENTRYWISE and sum(map(np.size, theta.values())) > MOST_ENTRIES:
                continue
            n_calls = 0

            def counted(theta):
                nonlocal n_calls
                n_calls += 1
                return f(theta)

            accepted = rule(counted, grad, theta, np.random.default_rng(seed))
            self.rejected[checker, column].append(not accepted)
            self.calls[checker, column].append(n_calls)

    def percent(self, checker, *groups):
        """The share of problems that are rejected, for every group of columns."""
        found = [sum((self.rejected[checker, column] for column in group), []) for group in groups]
        return " ".join(f"{100 * np.mean(verdicts):.3g}" if verdicts else "–" for verdicts in found)

    def missed(self, checker):
        """How many of the museum's mistakes pass at least once, and which most often."""
        if checker not in MUSEUM_RULES:
            return "   –"
        shares = {name: 100 * (1 - np.mean(self.rejected[checker, ("museum", name)])) for name in MISTAKES}
        worst = sorted(filter(shares.get, shares), key=shares.get, reverse=True)
        return f"{len(worst):>4}   " + ", ".join(f"{name} {shares[name]:.0f} %" for name in worst[:3])

    def evaluations(self, checker, column):
        """Median and most, where the gradient is accepted: a rejection may come early."""
        n = [n for n, rejected in zip(self.calls[checker, column], self.rejected[checker, column]) if not rejected]
        return f"{np.median(n):.0f}, {max(n)}" if n else "–"


def table(title, columns, cell):
    """Prints cell(checker, *keys) for every column, {its name: keys}, in one row a checker."""
    print(f"\n{title}\n{'':<17}", *(f"{name:>12}" for name in columns))
    for checker in RULES:
        print(f"{checker:<17}", *(f"{cell(checker, *keys):>12}" for keys in columns.values()))


def museum(tally, n_models, seed):
    """Columns ("museum", name), and ("right", "museum"): of every fourth problem, since mistakes share their setups."""
    for n, name in enumerate(MISTAKES):
        for i in range(n_models):
            place = [seed, n, i]

            def make(which):
                p = problem(name, np.random.default_rng(place))
                noise = () if p.noise is None else (p.noise,)
                return lambda theta: p.f(theta, *noise), lambda theta: getattr(p, which)(theta, *noise), p.theta

            tally.add(("museum", name), lambda: make("grad"), place, MUSEUM_RULES)
            if i % 4 == 0:
                tally.add(("right", "museum"), lambda: make("right"), place, MUSEUM_RULES)


def models(tally, n_models, seed):
    """Columns ("right", family) and ("wrong", family, error)."""
    for family, draw in RIGHT.items():
        errors = ERRORS if family in WIDTHS else {"all × 2": all_doubled} if family == "× 1e-6" else {}
        for i in range(n_models):
            f, right, theta = draw(np.random.default_rng([seed, i]))
            tally.add(("right", family), lambda: (f, right, theta), [seed, i])
            for error, plant in errors.items():
                tally.add(("wrong", family, error), lambda: (f, planted(right, plant, i), theta), [seed, i])


def main(n_models, seed):
    # What is wrong is found out where a gradient is rejected; it costs more than the verdict, and does not change it.
    with warnings.catch_warnings(), mock.patch("tinyvae.checks.gradient.diagnose", lambda *_: {}):
        warnings.simplefilter("ignore", RuntimeWarning)                      # of losses far away, where steps are long
        tally = Tally()
        museum(tally, n_models, seed)
        models(tally, n_models, seed)
    table("Found, %, in the museum; and of errors in models of 300, 10,000 and 400,000 parameters", {
        "museum": [[("museum", name) for name in MISTAKES]],
        **{error: [[("wrong", size, error)] for size in WIDTHS] for error in ERRORS},
        "× 1e-6: × 2": [[("wrong", "× 1e-6", "all × 2")]]}, tally.percent)
    table("Mistakes of the museum that pass at least once, and those that pass most often", {"": ()}, tally.missed)
    table("False alarms, %, of right gradients", {family: [[("right", family)]] for family in ["museum", *RIGHT]},
          tally.percent)
    table("Evaluations of f to accept a right gradient: median, most", {
        family: [("right", family)] for family in ["museum", *WIDTHS]}, tally.evaluations)
    return False


if __name__ == "__main__":
    run(main, __doc__.splitlines()[0])
