"""Standardised numbers have mean 0 and standard deviation 1; constants become 0."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from blur.data.standardise import Standardisation, divisor, measure

VALUES = np.random.default_rng(0).normal(3, 2, size=(50, 4))


def test_mean_0_and_deviation_1():
    standardised = measure(VALUES).apply(VALUES)
    np.testing.assert_allclose(standardised.mean(0), 0, atol=1e-14)
    np.testing.assert_allclose(standardised.std(0), 1, rtol=1e-14)
    np.testing.assert_allclose(measure(VALUES, None).apply(VALUES).std(), 1, rtol=1e-14)


def test_undo_is_the_inverse():
    statistics = measure(VALUES)
    np.testing.assert_allclose(statistics.undo(statistics.apply(VALUES)), VALUES, rtol=1e-14)


def test_a_constant_becomes_0_whatever_rounding_makes_of_its_deviation():
    constant = np.full((7, 2), 0.1, np.float32)
    np.testing.assert_allclose(measure(constant).apply(constant), 0, atol=1e-8)
    np.testing.assert_array_equal(divisor([1e6, 1e6], [1e-3, 1.0]), [1.0, 1.0])
    np.testing.assert_array_equal(divisor([0.0, 0.0], [1e-30, 0.0]), [1e-30, 1.0])


def test_jax_arrays_stay_jax_arrays():
    statistics = Standardisation(jnp.zeros(4), jnp.full(4, 2.0))
    assert isinstance(statistics.apply(jnp.ones((3, 4))), jnp.ndarray)
    assert statistics.apply(jnp.ones((3, 4))).dtype == jnp.float32
