"""Layers of multi-state neurons: how states mix, and how they cross a synapse.

A layer is an array `[states, batch, neurons]` that carries its first non-zero states only (the input has one, an output
that was shown its target two), so nothing is multiplied by zeros. A layer at rest, that nothing has reached, is None.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from blur.core.inner_loop import SAVED_NAME
from blur.network.weights.dual import DualWeights
from blur.network.weights.flat import FlatWeights, by_state

Layer = Float[Array, "_carried batch _neurons"]
"""Any layer: where several meet in a signature, only their batch is the same."""

PASS = 8
"""Multiply-adds of a matrix product that take about as long as an elementwise one."""


@jax.custom_vjp
def _mix(layer: Array, transform: Array) -> Array:
    terms = (transform[d][:, None, None] * layer[d] for d in range(layer.shape[0]))
    return functools.reduce(jnp.add, terms)


def _mix_forward(layer: Array, transform: Array) -> tuple[Array, tuple[Array, Array]]:
    return _mix(layer, transform), (layer, transform)


def _mix_backward(residuals: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
    layer, transform = residuals
    rows, slope_rows = (a.reshape(a.shape[0], -1) for a in (layer, slope))
    return (transform @ slope_rows).reshape(layer.shape), rows @ slope_rows.T


_mix.defvjp(_mix_forward, _mix_backward)


@jax.custom_vjp
def _mix_in_rows(layer: Array, transform: Array) -> Array:
    def mixed(column: Array) -> Array:
        return functools.reduce(jnp.add, (column[d] * layer[d] for d in range(layer.shape[0])))

    return jnp.stack([mixed(column) for column in transform.T], axis=1)


def _mix_in_rows_forward(layer: Array, transform: Array) -> tuple[Array, tuple[Array, Array]]:
    return _mix_in_rows(layer, transform), (layer, transform)


def _mix_in_rows_backward(residuals: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
    return _mix_backward(residuals, jnp.stack(jnp.unstack(slope, axis=1)))


_mix_in_rows.defvjp(_mix_in_rows_forward, _mix_in_rows_backward)


def mix(layer: Float[Array, "carried batch neurons"], transform: Float[Array, "states mixed"]) -> Float[Array, "..."]:
    """m_c = Σ_d T[d, c] a_d: the states of each neuron mixed, `[mixed, batch, neurons]`.

    Multiply-adds in one pass; gradients as matrix products, which on CPUs are faster there. Reverse mode only.
    """
    return _mix(layer, transform[: layer.shape[0]])


def mix_side_by_side(
    layer: Float[Array, "carried batch neurons"], transform: Float[Array, "states mixed"]
) -> Float[Array, "batch mixed_neurons"]:
    """m_c = Σ_d T[d, c] a_d in rows, state after state: `[batch, mixed · neurons]`, as `FlatWeights` stores synapses.

    Reverse mode only.
    """
    return _mix_in_rows(layer, transform[: layer.shape[0]]).reshape(layer.shape[1], -1)


def cross(
    layer: Float[Array, "carried batch sources"],
    transform: Float[Array, "states states"],
    weights: Float[Array, "synapse_states sources targets"] | FlatWeights | DualWeights,
) -> Float[Array, "states batch targets"]:
    """u_c = Σ_{i,d} a_i^d T[d, c] w_i^c: what arrives through the synapses.

    One synapse state serves all neuron states. The single state of a layer is mixed where it arrives.

    Raises:
      ValueError: the layer carries several states, but the synapses are stored for one.
    """
    if isinstance(weights, FlatWeights | DualWeights):
        if len(layer) != 1:
            raise ValueError(f"the input carries {len(layer)} states, but its synapses are stored for one")
        arriving = by_state(weights.heard_by(layer[0]), weights.shape[0])
        return transform[0][:, None, None] * checkpoint_name(arriving, SAVED_NAME)
    if layer.shape[0] == 1:
        alike = jnp.broadcast_to(layer, (weights.shape[0], *layer.shape[1:]))
        return transform[0][:, None, None] * _product("cbi,cio->cbo", alike, weights)
    if weights.shape[0] == 1:
        return _product("cbi,io->cbo", mix(layer, transform), weights[0])
    return _product("cbi,cio->cbo", mix(layer, transform), weights)


def cross_back(
    layer: Float[Array, "carried batch targets"],
    transform: Float[Array, "states states"],
    weights: Float[Array, "synapse_states sources targets"],
) -> Float[Array, "states batch sources"]:
    """The same through the transpose of forward synapses: v_ji^c = w_ij^c."""
    return cross(layer, transform, weights.swapaxes(1, 2))


def outer(
    pre: Float[Array, "carried batch sources"],
    pre_transform: Float[Array, "states synapse_states"],
    weight: Float[Array, "batch"],
    post: Float[Array, "carried_post batch targets"],
    post_transform: Float[Array, "states synapse_states"],
) -> Float[Array, "synapse_states sources targets"]:
    """H_ij^c = Σ_b w_b (Σ_e a_i^e P[e, c]) (Σ_d a_j^d Q[d, c]): the Hebbian sum of two layers."""
    if pre.shape[0] > 1:
        return jnp.einsum("cbi,cbo->cio", mix(pre, pre_transform), weight[:, None] * mix(post, post_transform))
    alike = jnp.broadcast_to(pre, (post_transform.shape[1], *pre.shape[1:]))
    return jnp.einsum("cbi,cbo->cio", alike, weight[:, None] * mix(post, pre_transform[0] * post_transform))


def mixes_after(pre: Layer, post: Layer, *, states: int) -> bool:
    """Whether the Hebbian sums of both directions take less time from `moments`, where the upper layer is narrow."""
    carried, targets = pre.shape[0] * post.shape[0], post.shape[2]
    products_cost_no_more = (carried - 2 * states) * targets <= 2 * PASS * states**2
    return products_cost_no_more and carried * targets <= states * post.shape[1]


def moments(
    pre: Float[Array, "carried_pre batch sources"], post: Float[Array, "carried_post batch targets"]
) -> Float[Array, "carried_pre carried_post targets sources"]:
    """R_ij^{ed} = Σ_batch a_i^e a_j^d, before any mixing: every Hebbian sum of the two layers is linear in it."""
    flat = jnp.moveaxis(post, 0, 1).reshape(post.shape[1], -1)
    alike = jnp.broadcast_to(flat, (pre.shape[0], *flat.shape))
    found = jnp.einsum("ebn,ebi->eni", alike, pre)
    return found.reshape(pre.shape[0], post.shape[0], post.shape[2], pre.shape[2])


def _product(subscripts: str, layer: Array, weights: Array) -> Array:
    """A matrix product that the backward pass of a gradient finds stored: all else is cheaper to compute again."""
    return checkpoint_name(jnp.einsum(subscripts, layer, weights), SAVED_NAME)
