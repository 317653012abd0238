"""Mapping over a leading axis: the same results at once, in a loop, and in a loop by several."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from blur.support.mapping import mapped

MATRICES = jax.random.normal(jax.random.key(0), (6, 3, 3))


def product(matrix):
    return matrix @ matrix


@pytest.mark.parametrize(("mapping", "batch_size"), [("vmap", None), ("map", None), ("map", 1), ("map", 4)])
def test_all_mappings_give_the_same(mapping, batch_size):
    found = mapped(product, mapping, batch_size=batch_size)(MATRICES)
    np.testing.assert_allclose(found, jnp.einsum("aij,ajk->aik", MATRICES, MATRICES), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch_size", [None, 1])
def test_a_loop_of_one_at_a_time_has_no_batched_products(batch_size):
    program = str(jax.make_jaxpr(mapped(product, "map", batch_size=batch_size))(MATRICES))
    assert "[1,3,3]" not in program.replace(" ", "")
