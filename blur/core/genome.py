"""The shapes of a rule's genome, and whether another genome has them."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from blur.core.rule import Genome, UpdateRule


def genome_shapes(rule: UpdateRule) -> Genome:
    """Shapes and dtypes of a rule's genome: `jax.ShapeDtypeStruct`s in its structure."""
    return jax.eval_shape(rule.init_genome, jax.random.key(0))


def check_same_genome(expected: Genome, given: Genome, *, names: tuple[str, str]) -> None:
    """Raises ValueError, naming the first leaf that differs, unless both genomes have the same leaves and shapes."""
    first, second = (_shapes_by_path(genome) for genome in (expected, given))
    for path in [*first, *second]:
        if first.get(path) != second.get(path):
            shapes = " and ".join(
                f"{name} has {shapes.get(path, 'nothing')}" for name, shapes in zip(names, (first, second), strict=True)
            )
            raise ValueError(f"the genomes differ at {path or 'the root'}: {shapes}; expected the same genome in both")


def _shapes_by_path(genome: Genome) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_flatten_with_path(genome)[0]
    return {jax.tree_util.keystr(path): jnp.shape(leaf) for path, leaf in leaves}
