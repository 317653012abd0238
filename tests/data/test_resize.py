"""Area averaging against block means, integrals and constants."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blur.data.resize import area_matrix, resize


def test_an_integer_factor_gives_block_means() -> None:
    images = np.random.default_rng(0).uniform(size=(3, 28, 28, 2)).astype(np.float32)
    blocks = images.reshape(3, 7, 4, 7, 4, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(resize(jnp.asarray(images), 7), blocks, rtol=1e-6)


def test_an_integer_enlargement_repeats_pixels() -> None:
    images = np.random.default_rng(0).uniform(size=(2, 8, 8, 1)).astype(np.float32)
    np.testing.assert_allclose(resize(jnp.asarray(images), 24), images.repeat(3, axis=1).repeat(3, axis=2), rtol=1e-6)


@pytest.mark.parametrize(("size", "resized"), [(28, 10), (8, 5), (8, 13), (32, 10)])
def test_any_ratio_goes_through_a_common_multiple(size: int, resized: int) -> None:
    with jax.enable_x64(True):
        images = np.random.default_rng(1).uniform(size=(size, size, 1))
        fine = images.repeat(resized, axis=0).repeat(resized, axis=1)
        expected = fine.reshape(resized, size, resized, size, 1).mean(axis=(1, 3))
        np.testing.assert_allclose(resize(jnp.asarray(images), resized), expected, rtol=1e-12)


@settings(max_examples=50, deadline=None)
@given(size=st.integers(1, 60), resized=st.integers(1, 60))
def test_mass_is_preserved(size: int, resized: int) -> None:
    matrix = area_matrix(size, resized)
    assert matrix.min() >= 0
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(matrix.sum(axis=0), resized / size, rtol=1e-12)


def test_rectangles_become_squares() -> None:
    images = jnp.arange(24.0).reshape(1, 4, 6, 1)
    np.testing.assert_allclose(resize(images, 2)[0, :, :, 0], [[4, 7], [16, 19]], rtol=1e-6)
