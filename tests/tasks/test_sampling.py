"""Draws without replacement: distinct, complete, uniform, different for every key."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blur.tasks.sampling import draw_disjoint, draw_indices, split_key

DRAW = jax.jit(draw_indices, static_argnums=(1, 2))


@settings(max_examples=40, deadline=None)
@given(sizes=st.sampled_from([(2, 1), (5, 3), (1078, 700), (45_000, 1280)]), seed=st.integers(0, 2**31))
def test_draws_are_distinct_members_of_the_pool(sizes: tuple[int, int], seed: int) -> None:
    pool, count = sizes
    drawn = np.asarray(DRAW(jax.random.key(seed), pool, count))
    assert drawn.shape == (count,)
    assert len(set(drawn.tolist())) == count
    assert drawn.min() >= 0
    assert drawn.max() < pool


@pytest.mark.parametrize("pool", [1, 2, 3, 10, 1078])
def test_a_draw_as_large_as_the_pool_is_a_permutation(pool: int) -> None:
    drawn = np.asarray(DRAW(jax.random.key(0), pool, pool))
    np.testing.assert_array_equal(np.sort(drawn), np.arange(pool))


def test_longer_draws_are_epochs_in_different_orders() -> None:
    first, second, rest = np.split(np.asarray(DRAW(jax.random.key(3), 50, 120)), [50, 100])
    np.testing.assert_array_equal(np.sort(first), np.arange(50))
    np.testing.assert_array_equal(np.sort(second), np.arange(50))
    assert (first != second).any()
    assert len(set(rest.tolist())) == 20


@settings(max_examples=20, deadline=None)
@given(sizes=st.sampled_from([(10, 3, 7), (100, 40, 130), (1258, 128, 1280)]), seed=st.integers(0, 2**31))
def test_disjoint_draws_never_meet(sizes: tuple[int, int, int], seed: int) -> None:
    pool, query, support = sizes
    ours, others = map(np.asarray, jax.jit(draw_disjoint, static_argnums=(1, 2, 3))(jax.random.key(seed), *sizes))
    assert ours.shape == (query,)
    assert others.shape == (support,)
    assert len(set(ours.tolist())) == query
    assert not set(ours.tolist()) & set(others.tolist())
    assert len(set(others.tolist())) == min(support, pool - query)
    assert set(ours.tolist()) | set(others.tolist()) <= set(range(pool))


def test_every_ordered_pair_is_equally_likely() -> None:
    pool, draws = 7, 20_000
    pairs = np.asarray(
        jax.jit(jax.vmap(lambda k: draw_indices(k, pool, 2)))(jax.random.split(jax.random.key(0), draws))
    )
    counts = np.bincount(pairs[:, 0] * pool + pairs[:, 1], minlength=pool**2).reshape(pool, pool)
    assert np.trace(counts) == 0
    off_diagonal = counts[~np.eye(pool, dtype=bool)]
    expected = draws / off_diagonal.size
    chi_squared = np.sum((off_diagonal - expected) ** 2 / expected)
    assert chi_squared < 41 + 4 * np.sqrt(2 * 41)  # 41 degrees of freedom: mean + 4 standard deviations


def test_splits_have_keys_of_their_own() -> None:
    keys = [jax.random.key_data(split_key(jax.random.key(0), split)) for split in ("train", "validation", "test")]
    assert len({tuple(np.asarray(key).tolist()) for key in keys}) == 3


@pytest.mark.usefixtures("no_type_checks")
def test_an_unknown_split_is_named() -> None:
    with pytest.raises(ValueError, match="split 'valid' is unknown; expected one of train, validation, test"):
        split_key(jax.random.key(0), "valid")  # type: ignore[arg-type]
