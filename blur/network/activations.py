"""Activation functions of neurons."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from blur.support.errors import check_choice

Activation = Callable[[Float[Array, "states batch neurons"]], Float[Array, "states batch neurons"]]


def identity(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """z."""
    return z


def relu_tanh(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """max(tanh z, 0), as tanh(max(z, 0)): XLA stores tanh's result, and would take a maximum of it at every use."""
    return jnp.tanh(jax.nn.relu(z))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "identity": identity,
    "relu_tanh": relu_tanh,
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
}
"""Activations by name."""


@dataclasses.dataclass(frozen=True)
class WithDerivative:
    """The activation pair (φ, φ′) of two-state neurons: state 1 becomes φ(z₁), state 2 becomes φ′(z₂).

    With the same pre-activation in both states, state 2 is the local derivative that backpropagation needs.
    """

    activation: str

    def __call__(self, z: Float[Array, "2 batch neurons"]) -> Float[Array, "2 batch neurons"]:
        """The pair, [2, batch, neurons]."""
        function = find_activation(self.activation)
        _, derivative = jax.jvp(function, (z[1],), (jnp.ones_like(z[1]),))
        return jnp.stack([function(z[0]), derivative])


def find_activation(activation: str | Activation) -> Activation:
    """The activation of that name in `ACTIVATIONS`; a function is returned as it is."""
    if not isinstance(activation, str):
        return activation
    check_choice("activation", activation, ACTIVATIONS)
    return ACTIVATIONS[activation]
