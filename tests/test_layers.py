"""Each layer of a stack is held against its own forward: the first wrong one is named, whatever follows from it."""
import numpy as np
import pytest

from tinyvae.checks.layers import check_layers


def dense(spoil=lambda dx, dW, db: (dx, dW, db)):
    def backward(dy, x, p):
        dx, dW, db = spoil(dy @ p["W"].T, x.T @ dy, dy.sum(axis=0))
        return dx, {"W": dW, "b": db}
    return (lambda x, p: x @ p["W"] + p["b"]), backward


def tanh(dphi=lambda y: 1 - y * y):
    return (lambda x, p: np.tanh(x)), (lambda dy, x, p: (dy * dphi(np.tanh(x)), {}))


def stack(*layers, widths=(4, 6, 3)):
    rng = np.random.default_rng(8)
    params = [{"W": rng.normal(size=shape), "b": rng.normal(size=shape[1])} for shape in zip(widths, widths[1:])]
    return list(layers), [params[0], {}, params[1]], rng.normal(size=(5, 4))


def test_correct_layers_are_ok():
    report = check_layers(*stack(dense(), tanh(), dense()))
    assert report.ok and report.layer is None and str(report).startswith("All 3 layers ok")
    assert [[check.block for check in one.blocks] for one in report.reports] == [
        ["input", "W", "b"], ["input"], ["input", "W", "b"]]
    first = dense(lambda dx, dW, db: (None, dW, db))                         # nobody needs it
    report = check_layers(*stack(first, tanh(), dense()))
    assert report.ok and [check.block for check in report.reports[0].blocks] == ["W", "b"]


@pytest.mark.parametrize("layers, layer, blocks", [
    ([dense(), tanh(lambda y: 1 - y), dense()], 1, ["input"]),
    ([dense(lambda dx, dW, db: (dx, dW / 5, db)), tanh(), dense()], 0, ["W"]),
    ([dense(), tanh(), dense(lambda dx, dW, db: (dx, dW, db / 5))], 2, ["b"]),
    ([dense(), tanh(), dense(lambda dx, dW, db: (-dx, dW, db))], 2, ["input"]),
    ([dense(lambda dx, dW, db: (dx, dW, 2 * db)), tanh(lambda y: 1), dense()], 1, ["input"]),
])
def test_the_culprit_is_the_first_layer_from_the_output_down(layers, layer, blocks):
    report = check_layers(*stack(*layers))
    assert report.layer == layer and [finding.block for finding in report.reports[layer].findings] == blocks
    text = str(report)
    assert f"Layer {layer} of 0–2 is the first" in text and text.endswith(str(report.reports[layer]))
    assert all(finding.diagnosis and repr(finding.block) in text for finding in report.reports[layer].findings)
    assert all(len(line) <= 80 for line in text.splitlines())
    wrong = [i for i, one in enumerate(report.reports) if not one.ok]
    assert ("wrong: 0, 1" in text) == (wrong == [0, 1]) and layer == wrong[-1]


def test_a_lost_slope_is_named():
    report = check_layers(*stack(dense(), tanh(lambda y: 1), dense()))
    assert report.reports[1].diagnosis.key == "missing slope" and "of tanh" in str(report)


def test_a_backward_that_edits_its_cotangent_is_not_fed_its_own_damage():
    def backward(dy, x, p):
        dy *= 1 - np.tanh(x) ** 2
        return dy, {}
    assert check_layers(*stack(dense(), (lambda x, p: np.tanh(x), backward), dense())).ok


def test_a_backward_that_edits_its_input_is_found_out():
    def backward(dy, x, p):
        dx = dy * (1 - np.tanh(x) ** 2)
        x *= 0
        return dx, {}
    report = check_layers(*stack(dense(), (lambda x, p: np.tanh(x), backward), dense()))
    assert report.layer == 1 and "changes its argument" in str(report)


def test_layers_and_params_must_match():
    layers, params, x = stack(dense(), tanh(), dense())
    for n in (0, 2):
        with pytest.raises(ValueError, match="layers and params must have one length"):
            check_layers(layers[:n], params[:0], x)
