"""The three noises: their laws, that frozen noise repeats, and that they leave x alone."""
import numpy as np
import pytest
from scipy import stats

from tinyvae.corruption import CORRUPTIONS, GaussianNoise, MaskingNoise, SaltAndPepper

KINDS = [GaussianNoise(0.7), MaskingNoise(0.3), SaltAndPepper(0.4)]
each_kind = pytest.mark.parametrize("corruption", KINDS, ids=repr)
N = 200_000
ALPHA = 1e-4                                                                # of each test; the seeds are fixed


def grey(shape=(N // 4, 4), dtype=np.float64, seed=0):
    """Strictly between 0 and 1, so that what was set to 0 or 1 can be told."""
    return np.random.default_rng(seed).uniform(0.1, 0.9, size=shape).astype(dtype)


def corrupted(corruption, x, seed=1):
    return corruption.apply(x, corruption.draw(x, np.random.default_rng(seed)))


def is_share(hits, p):
    """Whether as many entries as p says are hit: a binomial test."""
    return stats.binomtest(int(np.sum(hits)), hits.size, p).pvalue > ALPHA


def unrelated(hits):
    """Whether neighbours along either axis are hit independently of each other."""
    z = [np.corrcoef(a.ravel(), b.ravel())[0, 1] * np.sqrt(a.size)
         for a, b in ((hits[1:], hits[:-1]), (hits[:, 1:], hits[:, :-1]))]
    return np.max(np.abs(z)) < stats.norm.isf(ALPHA / 2)


class Uniform:
    """A generator whose uniform numbers are all the same."""

    def __init__(self, u):
        self.u = u

    def random(self, shape, dtype):
        return np.full(shape, self.u, dtype)


# ---- laws ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sd", [0.05, 0.7, 3.0])
def test_gaussian_noise_is_normal(sd, dtype):
    x = grey(dtype=dtype)
    noise = corrupted(GaussianNoise(sd), x).astype(float) - x
    assert stats.kstest(noise.ravel() / sd, "norm").pvalue > ALPHA
    assert abs(np.mean(noise**2) / sd**2 - 1) < 5 * np.sqrt(2 / N)          # sd is no variance
    assert unrelated(noise) and abs(np.corrcoef(noise.ravel(), x.ravel())[0, 1]) < 5 / np.sqrt(N)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [0.01, 0.3, 0.9])
def test_masking_loses_a_share_p(p, dtype):
    x = grey(dtype=dtype)
    x_tilde = corrupted(MaskingNoise(p), x)
    lost = x_tilde == 0
    assert is_share(lost, p) and unrelated(lost.astype(float)) and np.array_equal(x_tilde[~lost], x[~lost])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [0.01, 0.4, 0.9])
def test_salt_and_pepper_are_half_each(p, dtype):
    x = grey(dtype=dtype)
    x_tilde = corrupted(SaltAndPepper(p), x)
    pepper, salt = x_tilde == 0, x_tilde == 1
    assert is_share(pepper, p / 2) and is_share(salt, p / 2)
    assert unrelated(pepper.astype(float)) and unrelated(salt.astype(float))
    assert np.array_equal(x_tilde[~(salt | pepper)], x[~(salt | pepper)])


def test_the_ends_of_p():
    x = grey()
    for kind in (MaskingNoise, SaltAndPepper):
        assert np.array_equal(corrupted(kind(0), x), x)
    assert not np.any(corrupted(MaskingNoise(1), x))
    for u in (0.0, 0.25, 0.5, 1 - 2.0**-24):                                # the ends and the middle of [0, 1)
        assert not np.any(MaskingNoise(0).draw(x, Uniform(u))) and np.all(MaskingNoise(1).draw(x, Uniform(u)))
        assert not np.any(SaltAndPepper(0).draw(x, Uniform(u)))
        assert set(np.unique(SaltAndPepper(1).draw(x, Uniform(u)))) == {-1 if u < 0.5 else 1}


# ---- what every one keeps --------------------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shapes_dtypes_and_that_x_is_left_alone(corruption, dtype):
    x = grey((7, 5), dtype)
    x.flags.writeable = False
    before, noise = x.copy(), corruption.draw(x, np.random.default_rng(0))
    x_tilde = corruption.apply(x, noise)
    assert noise.shape == x_tilde.shape == x.shape and x_tilde.dtype == x.dtype
    assert noise.dtype == {GaussianNoise: dtype, MaskingNoise: bool, SaltAndPepper: np.int8}[type(corruption)]
    assert np.array_equal(x, before) and not np.shares_memory(x, x_tilde) and not np.array_equal(x, x_tilde)


@each_kind
def test_frozen_noise_repeats_and_fresh_noise_does_not(corruption):
    x, rng = grey((6, 5)), np.random.default_rng(3)
    noise, next_noise = corruption.draw(x, rng), corruption.draw(x, rng)
    kept = noise.copy()
    assert np.array_equal(corruption.apply(x, noise), corruption.apply(x, noise)) and np.array_equal(noise, kept)
    assert np.array_equal(noise, corruption.draw(x, np.random.default_rng(3))) and not np.array_equal(noise, next_noise)
    assert np.array_equal(noise, corruption.draw(1 - x, np.random.default_rng(3)))       # the noise does not look at x


@each_kind
def test_a_complex_step_flows_where_x_is_kept(corruption):
    x, direction = grey((6, 5)), np.random.default_rng(4).normal(size=(6, 5))
    noise = corruption.draw(x, np.random.default_rng(5))
    kept = np.ones_like(x, bool) if isinstance(corruption, GaussianNoise) else noise == 0
    stepped = corruption.apply(x + 1e-30j * direction, noise)
    assert np.array_equal(stepped.real, corruption.apply(x, noise))
    np.testing.assert_allclose(stepped.imag / 1e-30, np.where(kept, direction, 0), rtol=1e-15)
    assert 0 < np.sum(kept) and (np.sum(~kept) > 0 or isinstance(corruption, GaussianNoise))


# ---- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [MaskingNoise, SaltAndPepper])
@pytest.mark.parametrize("p", [-0.01, 1.01, np.nan, np.inf])
def test_shares_that_are_refused(kind, p):
    with pytest.raises(ValueError, match=r"^p must be a finite number in \[0, 1\], got"):
        kind(p)


@pytest.mark.parametrize("sd", [0, -0.1, np.nan, np.inf])
def test_standard_deviations_that_are_refused(sd):
    with pytest.raises(ValueError, match=r"^sd must be a finite number in \(0, inf\], got"):
        GaussianNoise(sd)


@pytest.mark.parametrize("kind", CORRUPTIONS)
@pytest.mark.parametrize("bad", ["0.1", None, True, [0.1], 1j])
def test_what_is_no_number_is_refused(kind, bad):
    with pytest.raises(TypeError, match=r"^(p|sd) must be a number, got"):
        kind(bad)


def test_a_corruption_is_its_number_and_cannot_change():
    assert CORRUPTIONS == (GaussianNoise, MaskingNoise, SaltAndPepper)
    assert MaskingNoise(0.2) == MaskingNoise(p=0.2) != MaskingNoise(0.3)
    assert repr(GaussianNoise(2)) == "GaussianNoise(sd=2)"
    with pytest.raises(AttributeError):
        GaussianNoise(0.1).sd = 2
