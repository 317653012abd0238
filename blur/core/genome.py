"""Genomes as pytrees: shapes, whether two have the same ones, leaves by name, digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

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


def tree_digest(tree: PyTree) -> str:
    """Twelve hexadecimal digits of the SHA-256 of all leaves with their names, dtypes and shapes."""
    digest = hashlib.sha256()
    for name, array in flatten_tensors(tree).items():
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:12]


def flatten_tensors(tree: PyTree) -> dict[str, np.ndarray]:
    """The leaves of a pytree by path, as contiguous NumPy arrays; random keys as their data.

    Raises:
      ValueError: two leaves have the same path.
    """
    tensors: dict[str, np.ndarray] = {}
    for name, leaf in named_leaves(tree):
        if name in tensors:
            raise ValueError(f"two leaves are called {name!r}; names must not contain '/'")
        array = np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)
        tensors[name] = array.copy(order="C")
    return tensors


def named_leaves(tree: PyTree) -> Iterator[tuple[str, Any]]:
    """The leaves of a pytree with their paths, such as `hebbian/pre`, in the order of `jax.tree.leaves`."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        yield jax.tree_util.keystr(path, simple=True, separator="/"), leaf


def is_key(leaf: Any) -> bool:
    """Whether a leaf is a typed random key (`jax.random.key`)."""
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
