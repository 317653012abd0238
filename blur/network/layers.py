"""Layers of multi-state neurons: how states mix, and how they cross a synapse.

A layer is an array `[states, batch, neurons]` that carries its first non-zero states only (the input has one, an output
that was shown its target two), so nothing is multiplied by zeros. A layer at rest, that nothing has reached, is None.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

Layer = Float[Array, "_carried batch _neurons"]
"""Any layer: where several meet in a signature, only their batch is the same."""


def mix(layer: Float[Array, "carried batch neurons"], transform: Float[Array, "states mixed"]) -> Float[Array, "..."]:
    """m_c = Σ_d T[d, c] a_d: the states of each neuron mixed, `[mixed, batch, neurons]`."""
    return jnp.einsum("dbn,dc->cbn", layer, transform[: layer.shape[0]])


def cross(
    layer: Float[Array, "carried batch sources"],
    transform: Float[Array, "states states"],
    weights: Float[Array, "sources synapse_states targets"],
) -> Float[Array, "states batch targets"]:
    """u_c = Σ_{i,d} a_i^d T[d, c] w_i^c: what arrives through the synapses.

    One synapse state serves all neuron states. A layer of one state crosses in a single wide matrix product.
    """
    sources, synapse_states, targets = weights.shape
    if layer.shape[0] == 1:
        wide = (layer[0] @ weights.reshape(sources, -1)).reshape(-1, synapse_states, targets)
        return transform[0][:, None, None] * jnp.moveaxis(wide, 1, 0)
    mixed = mix(layer, transform)
    if synapse_states == 1:
        return mixed @ weights[:, 0]
    return jnp.einsum("cbi,ico->cbo", mixed, weights)


def cross_back(
    layer: Float[Array, "carried batch targets"],
    transform: Float[Array, "states states"],
    weights: Float[Array, "sources synapse_states targets"],
) -> Float[Array, "states batch sources"]:
    """The same through the transpose of forward synapses: v_ji^c = w_ij^c."""
    mixed = mix(layer, transform)
    if weights.shape[1] == 1:
        return mixed @ weights[:, 0].T
    return jnp.einsum("cbo,ico->cbi", mixed, weights)


def outer(
    pre: Float[Array, "carried batch sources"],
    transform: Float[Array, "states synapse_states"],
    post: Float[Array, "synapse_states batch targets"],
) -> Float[Array, "sources synapse_states targets"]:
    """H_ij^c = Σ_batch (Σ_e a_i^e P[e, c]) m_j^c: the Hebbian sum, `post` being mixed already."""
    if pre.shape[0] == 1:
        scaled = transform[0][:, None, None] * post
        return jnp.einsum("bi,cbo->ico", pre[0], scaled)
    return jnp.einsum("cbi,cbo->ico", mix(pre, transform), post)
