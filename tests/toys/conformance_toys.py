"""What the conformance tests of rules and of phases share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from part_examples import BATCH, example_batch

from blur.core.episode import Batch, batch_spec, make_batch
from blur.core.genome import flatten_tensors, is_key
from blur.core.rule import UpdateRule

compiled = functools.partial(jax.jit, compiler_options={"xla_cpu_use_fusion_emitters": False})
"""`jax.jit` in less than half the time, for programs that run once or twice."""

STEPS = 2
"""Inner steps of the lives that are looked at."""

REMOVED = 4
"""The place of an example that weighs nothing in `masked_batch`."""

TOLERANCE = 1e-12
"""In float64: sums in another order may differ by so much."""


@functools.cache
def start_of(rule: UpdateRule, seed: int = 0) -> tuple[Any, Any]:
    """A random genome, and a state before any learning."""
    return _starter(rule)(jax.random.key(seed))


@functools.cache
def _starter(rule: UpdateRule) -> Callable[[jax.Array], tuple[Any, Any]]:
    spec = batch_spec(example_batch(), STEPS)

    def start(key: jax.Array) -> tuple[Any, Any]:
        genome = rule.init_genome(key)
        return genome, rule.init_state(genome, key, spec)

    return compiled(start)


def masked_batch(seed: int) -> Batch:
    """A batch of float64 in which one example weighs 0; `seed` decides what that example holds."""
    removed = np.arange(BATCH) == REMOVED
    batch, other = example_batch(), example_batch(seed)
    inputs, targets = (np.where(removed[:, None], b, a) for a, b in zip(batch[:2], other[:2], strict=True))
    return make_batch(inputs, targets, np.where(removed, 0.0, 1.0))


def batch_without() -> Batch:
    """The same batch without that example."""
    return make_batch(*(np.delete(leaf, REMOVED, axis=0) for leaf in example_batch()))


def remove_example(tree: Any) -> Any:
    """The tree without what belongs to the removed example alone."""
    return jax.tree.map(lambda leaf: leaf if is_key(leaf) else _without(leaf), tree)


def _without(leaf: Any) -> jax.Array:
    """Tokens may be two per example: then an axis is twice as long, and two places go."""
    for axis, size in enumerate(leaf.shape):
        if size in (BATCH, 2 * BATCH):
            pieces = size // BATCH
            leaf = np.delete(leaf, range(pieces * REMOVED, pieces * (REMOVED + 1)), axis=axis)
    return jnp.asarray(leaf)


def identities(tree: Any) -> tuple:
    """Which objects a tree is made of: the same after a call that changes nothing in place."""
    return jax.tree.structure(tree), [id(leaf) for leaf in jax.tree.leaves(tree)]


def assert_close(first: Any, second: Any) -> None:
    """Equal but for rounding in float64, in structure, shapes and dtypes too."""
    chex.assert_trees_all_equal_shapes_and_dtypes(*map(flatten_tensors, (first, second)))
    chex.assert_trees_all_close(*map(flatten_tensors, (first, second)), rtol=TOLERANCE, atol=TOLERANCE)


def assert_equal(first: Any, second: Any) -> None:
    """Equal bit for bit."""
    chex.assert_trees_all_equal(*map(flatten_tensors, (first, second)), strict=True)


def assert_finite(tree: Any) -> None:
    """No leaf holds NaN or infinity."""
    chex.assert_tree_all_finite(flatten_tensors(tree))


def shapes(tree: Any) -> dict[str, tuple]:
    """Shapes and dtypes by name."""
    return {
        jax.tree_util.keystr(path): (leaf.shape, leaf.dtype) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
