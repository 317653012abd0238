"""Tokens and attention heads: what all in-context rules share."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from blur.core.episode import Batch, Spec
from blur.core.rule import Genome

Tokens = Float[Array, "tokens width"]


def check_initial_scale(scale: float) -> None:
    """Raises ValueError unless the scale of random matrices is finite and not negative."""
    if not 0 <= scale < math.inf:
        raise ValueError(f"initial_scale is {scale}; expected a finite number that is not negative, such as 0.1")


def check_damping(damping: float) -> None:
    """Raises ValueError unless the damping of layers is finite."""
    if not math.isfinite(damping):
        raise ValueError(f"damping is {damping}; expected a finite number, such as 1")


def random_heads(
    key: Key[Array, ""], heads: int, key_size: int | None, width: int, scale: float, depth: tuple[int, ...] = ()
) -> Genome:
    """Matrices of attention from N(0, scale / fan-in), for tokens of `width` numbers; `depth` are leading axes."""
    size = key_size or width
    shapes = dict.fromkeys(("key", "query", "value"), (*depth, heads, size, width))
    shapes["projection"] = (*depth, heads, width, size)
    keys = jax.random.split(key, len(shapes))
    return {name: random_matrix(k, shape, scale) for k, (name, shape) in zip(keys, shapes.items(), strict=True)}


def random_matrix(key: Key[Array, ""], shape: tuple[int, ...], scale: float) -> Float[Array, "*shape"]:
    """N(0, scale / fan-in), where the fan-in is the last axis."""
    return jnp.sqrt(scale / shape[-1]) * jax.random.normal(key, shape)


def check_context(genome: Genome, batch: Batch | Spec, inputs: int, outputs: int) -> None:
    """Raises ValueError unless the batch has at least one example, all of these widths and of the genome's type."""
    leaves = batch.inputs, batch.targets, batch.weight
    x, y, weight = (leaf.shape for leaf in leaves)
    count = x[:1]
    if x != (*count, inputs) or y != (*count, outputs) or weight != count or 0 in count:
        raise ValueError(
            f"the context has inputs {x} and targets {y} with weights {weight}, but the genome's tokens have {inputs} "
            f"+ {outputs} numbers; expected [n, {inputs}] and [n, {outputs}] with [n], n ≥ 1"
        )
    own = jnp.result_type(*jax.tree.leaves(genome))
    types = [jnp.result_type(leaf.dtype) for leaf in leaves]
    if any(dtype != own for dtype in types):
        raise ValueError(
            f"the context has inputs, targets and weights of types {', '.join(map(str, types))}, but the genome is "
            f"{own}; expected that type in all of them"
        )


def check_queries(queries: Array, inputs: int) -> None:
    """Raises ValueError unless there is at least one query, and all have this width."""
    if queries.ndim != 2 or queries.shape[1] != inputs or not len(queries):
        raise ValueError(
            f"the queries have shape {queries.shape}, but the genome is for {inputs} inputs; expected "
            f"[queries, {inputs}] with at least one query"
        )


def present(weight: Float[Array, "context"], *rows: Float[Array, "context _width"]) -> list[Array]:
    """The rows, with zeros in place of those of weight 0, so that their values (NaN included) reach nothing."""
    return [jnp.where(weight[:, None] == 0, 0, row) for row in rows]


def attend(
    layer: Genome,
    context: Float[Array, "context width"],
    weight: Float[Array, "context"],
    tokens: Tokens,
) -> Tokens:
    """Σ_h P_h V_h (Σ_i w_i e_i e_iᵀ) K_hᵀ Q_h e for every row e of `tokens`; `weight` is used as it is."""
    queries = jnp.einsum("te,hke,hkd->htd", tokens, layer["query"], layer["key"], optimize=_SMALL_FIRST)
    scores = weight * jnp.einsum("htd,cd->htc", queries, context)
    read = jnp.einsum("htc,cd->htd", scores, context)
    return jnp.einsum("htd,hkd,hek->te", read, layer["value"], layer["projection"], optimize=_SMALL_FIRST)


_SMALL_FIRST = "optimal"
"""Contract the small matrices of a layer first, where that is cheaper."""
