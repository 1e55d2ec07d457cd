"""What the objective's checker says, of which rows, and what it could not check; and what it refuses."""
import json
import re

import numpy as np
import pytest

from tests.test_house import loaded
from tests.test_objective import Student
from tinyvae.checks import check_objective
from tinyvae.linear import PCA


def test_a_report_is_data_and_fits_a_terminal():
    s = Student()
    good, bad = s.check(), s.check(kl=lambda x: 2 * s.kl(x))
    assert good.ok and not bad.ok and bad.findings[0].value == pytest.approx(2 * bad.findings[0].expected, rel=1e-5)
    for report in (good, bad):
        assert max(map(len, str(report).splitlines())) <= 80
        assert json.loads(json.dumps([check._asdict() for check in report.checks], allow_nan=True))
    assert "Objective NOT ok, 3 finding(s)" in str(bad) and "Objective ok" in str(good)
    assert str(s.check()) == str(good) and "It is twice that" in str(bad)
    assert bad.findings[0].cause == "twice" and "(twice)" not in str(bad)


def test_a_number_is_said_with_its_row():
    s = Student()
    for check in s.check().checks:
        if check.key in ("kl", "elbo"):
            row = int(re.search(r"X\[(\d+)\]", check.message)[1])
            expected = s.kl(s.X)[row] if check.key == "kl" else np.mean(
                [s.elbo(s.X[row:row + 1], 100, seed) for seed in range(50)])
            assert check.value == pytest.approx(expected, rel=1e-5 if check.key == "kl" else 0.02)
    rows = s.check(kl=lambda x: s.kl(x) * len(x)).findings[0]
    row = int(re.search(r"kl of X\[(\d+)\]", rows.message)[1])
    assert rows.expected == pytest.approx(s.kl(s.X)[row])


@pytest.mark.parametrize("factor, beta, reduction, said", [
    (1, 1, "mean", "the mean over rows of -log p(x|z) + KL: "), (1, 0, "mean", "the mean over rows of -log p(x|z): "),
    (1, 4, "sum", "the sum over rows of -log p(x|z) + 4 KL: "), (2, 1, "mean", "It is R + 2 KL, R being -log p(x|z): "),
    (-1, 1, "sum", "It is R - 1 KL, R"), (0, 1, "mean", "It is R, R")])
def test_a_loss_is_said_as_one_writes_it(factor, beta, reduction, said):
    s = Student()
    loss = lambda x, e: (len(x) if reduction == "sum" else 1) * np.mean(
        factor * beta * s.kl(x) - s.log_prob(x, s.draw(x, e)))
    check = s.few_checks(loss=loss, beta=beta, reduction=reduction)["loss"]
    assert said in check.message and (check.verdict == "ok") == (factor == 1), check
    assert ("leaves it" if reduction == "mean" else "doubles it") in check.message or factor != 1


def test_what_overflows_is_said_to_be_so_and_no_error():
    s = Student(K=1)
    log_prob = lambda x, z: np.sum(x * 500 * z - np.log(1 + np.exp(500 * z)), axis=1)
    loss = lambda x, e: np.mean(s.kl(x) - log_prob(x, s.draw(x, e)))
    report = check_objective(s.few(log_prob=log_prob, elbo=s.elbo, loss=loss), s.X, rng=2)
    checks = {check.key: check for check in report.checks}
    for key in ("bound", "loss", "elbo"):
        assert checks[key].verdict == "unchecked" and "logaddexp" in checks[key].message, checks


def test_equal_rows_do_not_hide_that_rows_depend_on_each_other():
    s = Student(D=3)
    s.X = np.zeros((300, 3))
    s.X[137, 1] = s.X[200, 0] = 1
    batch = lambda x: [part - part.mean(axis=0) for part in s.encode(x)]
    for seed in range(10):
        found = check_objective(s.few(encode=batch), s.X, rng=seed).findings[0]
        assert (found.key, found.cause) == ("rows", "batch statistics")


def test_what_was_not_checked_is_said_with_its_reason():
    s = Student()
    ended = check_objective(s.few(kl=lambda x: np.mean(s.kl(x))), s.X)
    assert len(ended.findings) == 1 and {check.verdict for check in ended.checks[1:]} == {"unchecked"}
    assert "first mend what is wrong above" in str(ended)
    checks = s.few_checks(draw=lambda x, e: s.encode(x)[0])
    assert {key for key, check in checks.items() if "the sampler is wrong" in check.message} == {"bound"}
    for X in (s.X[:1], np.tile(s.X[:1], (5, 1))):
        assert "not checked: rows: X has but one distinct row" in str(check_objective(s.few(), X))


@pytest.mark.parametrize("functions, error, message", [
    ({}, ValueError, "must have encode, draw, kl, log_prob"),
    ({**Student().functions(), "decode": len}, ValueError, "decode"),
    ({**Student().functions(), "kl": 3}, TypeError, "must be a function"),
    ({**Student().functions(), "reduction": "max"}, ValueError, "reduction"),
    ({**Student().few(), "objective": "iwae"}, ValueError, "objective"),
    ({**Student().functions(), "beta": -1}, ValueError, "beta"),
    ({**Student().functions(), "n_samples": 0}, ValueError, "n_samples"),
    ("VAE", TypeError, "functions must be"),
    (PCA(), TypeError, "functions must be"),
    (Student(K=3).functions(), ValueError, "1 or 2 latents"),
])
def test_what_is_refused(functions, error, message):
    with pytest.raises(error, match=message):
        check_objective(functions, Student().X)


def test_results_of_the_wrong_kind_end_the_report():
    s = Student()
    rows_of_loss = lambda x, e: s.kl(x) - s.log_prob(x, s.draw(x, e))
    for spoiled in ({"kl": lambda x: s.kl(x)[:, None]}, {"loss": rows_of_loss}, {"sample": lambda n, rng: (s.X, s.X)},
                    {"elbo": lambda x, n, seed: np.mean(s.elbo(x, n, seed))}):
        assert s.check(**spoiled).findings[0].cause == "shape"
    assert s.check(log_prob=lambda x, z: np.inf * s.log_prob(x, z)).findings[0].cause == "not finite"
    assert s.check(draw=lambda x, e: s.draw(x, np.random.default_rng().normal(size=e.shape))
                   ).findings[0].cause == "random"


def test_scipy_is_loaded_when_it_is_needed_only():
    """Its statistics take a second, which check_gradient and a check of four functions should not cost."""
    few = "from tests.test_objective import Student; s = Student(); checks.check_objective(s.few(), s.X)"
    assert loaded("from tinyvae import check_gradient, check_objective", "tinyvae.checks", "scipy") == ["tinyvae.checks"]
    assert not loaded(f"from tinyvae import checks; {few}", "scipy.stats")
