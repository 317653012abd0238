"""Activities of multi-state neurons, and how the states of a neuron mix.

An activity is an array `[states, batch, neurons]` that carries the first states only: all further ones are zero (the
input carries one, an output that was shown its target two), so nothing is multiplied by zeros. A layer at rest, which
nothing has reached, is None.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Activity = Float[Array, "_carried batch _neurons"]
"""The states of a layer's neurons. Activities in one signature share the batch axis; states and widths differ."""


@jax.custom_vjp
def _mix(activity: Array, transform: Array) -> Array:
    terms = (transform[d][:, None, None] * activity[d] for d in range(activity.shape[0]))
    return functools.reduce(jnp.add, terms)


def _mix_forward(activity: Array, transform: Array) -> tuple[Array, tuple[Array, Array]]:
    return _mix(activity, transform), (activity, transform)


def _mix_backward(residuals: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
    activity, transform = residuals
    rows, slope_rows = (a.reshape(a.shape[0], -1) for a in (activity, slope))
    return (transform @ slope_rows).reshape(activity.shape), rows @ slope_rows.T


_mix.defvjp(_mix_forward, _mix_backward)


@jax.custom_vjp
def _mix_in_rows(activity: Array, transform: Array) -> Array:
    def mixed(column: Array) -> Array:
        return functools.reduce(jnp.add, (column[d] * activity[d] for d in range(activity.shape[0])))

    return jnp.stack([mixed(column) for column in transform.T], axis=1)


def _mix_in_rows_forward(activity: Array, transform: Array) -> tuple[Array, tuple[Array, Array]]:
    return _mix_in_rows(activity, transform), (activity, transform)


def _mix_in_rows_backward(residuals: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
    return _mix_backward(residuals, jnp.stack(jnp.unstack(slope, axis=1)))


_mix_in_rows.defvjp(_mix_in_rows_forward, _mix_in_rows_backward)


def mix(
    activity: Float[Array, "carried batch neurons"], transform: Float[Array, "states mixed"]
) -> Float[Array, "mixed batch neurons"]:
    """m_c = Σ_d T[d, c] a_d: the states of each neuron mixed, `[mixed, batch, neurons]`.

    Multiply-adds in one pass; gradients are matrix products, which are faster on CPUs. Reverse mode only.
    """
    mixed: Array = _mix(activity, transform[: activity.shape[0]])
    return mixed


def mix_side_by_side(
    activity: Float[Array, "carried batch neurons"], transform: Float[Array, "states mixed"]
) -> Float[Array, "batch mixed_neurons"]:
    """m_c = Σ_d T[d, c] a_d in rows, state after state: `[batch, mixed · neurons]`, as `FlatWeights` stores synapses.

    Reverse mode only.
    """
    rows: Array = _mix_in_rows(activity, transform[: activity.shape[0]])
    return rows.reshape(activity.shape[1], -1)
