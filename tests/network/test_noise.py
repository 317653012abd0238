"""The noise that synapses start from."""

import jax
import jax.numpy as jnp
import numpy as np

from blur.network.noise import hash_bits, normal_noise


def test_noise_is_normal():
    noise = np.asarray(normal_noise(jax.random.key(0), 1_000_000), np.float64)
    assert abs(noise.mean()) < 5e-3
    assert abs(noise.var() - 1) < 8e-3
    assert abs((noise**4).mean() - 3) < 0.05
    assert 4 < np.abs(noise).max() < 5.4  # 4.9 is to be expected of a million; 5.3 is the most there is
    share, _ = np.histogram((1 + np.asarray(jax.lax.erf(jnp.asarray(noise / 2**0.5)))) / 2, bins=64, range=(0, 1))
    expected = noise.size / 64
    chi_squared = np.sum((share - expected) ** 2 / expected)  # mean 63, standard deviation 11
    assert share.sum() == noise.size
    assert chi_squared < 63 + 5 * 11


def test_neighbours_rows_and_keys_are_uncorrelated():
    first = np.asarray(normal_noise(jax.random.key(1), 512 * 512), np.float64).reshape(512, 512)
    second = np.asarray(normal_noise(jax.random.key(2), 512 * 512), np.float64).reshape(512, 512)
    size = first.size**0.5
    for a, b in ((first[:, 1:], first[:, :-1]), (first[1:], first[:-1]), (first, second), (first, first.T)):
        off_diagonal = (a * b).mean() if a is not first or b is second else (a * b)[~np.eye(512, dtype=bool)].mean()
        assert abs(off_diagonal) * size < 5
    spectrum = np.linalg.eigvalsh(first.T @ first / 512)
    assert spectrum.max() < 4.3  # the edge of Marchenko and Pastur's law is 4


def test_the_same_key_gives_the_same_noise_whatever_the_dtype():
    single = normal_noise(jax.random.key(3), 20)
    with jax.enable_x64(True):
        double = normal_noise(jax.random.key(3), 20, jnp.float64)
    np.testing.assert_allclose(single, double, rtol=1e-5)
    assert single.dtype == jnp.float32


def test_the_hash_is_a_bijection_on_a_sample_and_changes_half_the_bits():
    x = jnp.arange(1 << 16, dtype=jnp.uint32)
    hashed = np.asarray(hash_bits(x))
    assert len(np.unique(hashed)) == x.size
    flipped = hashed ^ np.asarray(hash_bits(x ^ jnp.uint32(1 << 7)))
    assert abs(np.unpackbits(flipped.view(np.uint8)).mean() - 0.5) < 5e-3
