"""What `check_gradient` says of every planted mistake:   python -m tests.campaigns.diagnoses --models 20

Each of `tinyvae.checks.mistakes` is drawn so many times, with random sizes and values, and its right gradient beside
it. Counted is whether the mistake is seen, whether the blocks blamed are the wrong ones, whether the diagnosis is the one
that the mistake carries, and whether the right gradient is accepted.
"""
from collections import Counter
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from tests.campaigns import blind_mistakes
from tests.campaigns.gradients import run
from tinyvae import check_gradient
from tinyvae.checks.mistakes import MISTAKES

BLOCKS, SENTENCES = 0.98, 0.95                         # what must be reached of all; every mistake must be seen


class Verdict(NamedTuple):
    """What was said of one planted mistake."""
    name: str
    planted: str                                       # key of its diagnosis
    found: str                                         # and that which was found; "" where nothing was
    blocks: bool                                       # exactly the wrong blocks were blamed
    accepted: bool                                     # the right gradient was accepted
    n_evaluations: int


def judge(mistake, seed):
    """The Verdict on one random problem with this mistake."""
    problem = mistake.make(np.random.default_rng(seed))
    options = {"terms": problem.terms, "rng": seed, "noise": problem.noise}
    report = check_gradient(problem.f, problem.grad, problem.theta, **options)
    blamed = {check.block for check in report.blocks if check.verdict != "ok"}
    accepted = check_gradient(problem.f, problem.right, problem.theta, **options).ok
    return Verdict(mistake.name, mistake.diagnosis, report.diagnosis.key if report.diagnosis else "",
                   blamed == set(mistake.blocks), accepted, report.n_evaluations)


def shares(verdicts):
    """The shares that were seen, with the right blocks, with the right diagnosis; and of accepted right gradients."""
    return tuple(float(np.mean(values)) for values in (
        [bool(v.found) for v in verdicts], [v.blocks for v in verdicts],
        [v.found == v.planted for v in verdicts], [v.accepted for v in verdicts]))


def print_confusion(verdicts):
    """A line for every diagnosis, planted → found, and one for every mistake that is not always named."""
    pairs = Counter((v.planted, v.found) for v in verdicts)
    for planted in dict.fromkeys(v.planted for v in verdicts):
        found = ", ".join(f"{key or 'nothing'} {n}" for (p, key), n in pairs.most_common() if p == planted)
        print(f"{planted:<15} → {found}")
    for name, planted in dict.fromkeys((v.name, v.planted) for v in verdicts if v.found != v.planted):
        print(f"{name}: {planted} → {dict(Counter(v.found for v in verdicts if v.name == name))}")


def judge_all(mistakes, n_models, seed):
    """Every mistake so many times, printed: (seen, blocks, diagnosis, accepted) as shares."""
    verdicts = [judge(mistake, 1000 * seed + i) for mistake in tqdm(mistakes, disable=None) for i in range(n_models)]
    print_confusion(verdicts)
    found = shares(verdicts)
    print("{} mistakes × {}: seen {:.2%}, blocks right {:.2%}, diagnosis right {:.2%}, right gradients accepted {:.2%}; "
          "evaluations: median {:.0f}".format(len(mistakes), n_models, *found,
                                              np.median([v.n_evaluations for v in verdicts])))
    also = np.mean([v.found in (v.planted, blind_mistakes.ALSO.get(v.name)) for v in verdicts])
    print(f"With a second diagnosis where two are true: {also:.2%}\n")
    return found


def main(n_models, seed):
    seen, blocks, sentences, accepted = judge_all(MISTAKES.values(), n_models, seed)
    print("Written blind, by one who had not seen the checker, and not tuned to:")
    blind = judge_all(blind_mistakes.MISTAKES, n_models, seed)
    return min(seen, accepted, blind[-1]) < 1 or blocks < BLOCKS or sentences < SENTENCES


if __name__ == "__main__":
    run(main, __doc__.splitlines()[0])
