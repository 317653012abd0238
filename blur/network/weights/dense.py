"""Synapses as an array: one product for each state. Arrays in a network's state are wrapped while they are used."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from blur.network.mixing import Activity, mix
from blur.network.weights.base import Leaf, Pair, Stored, Transforms, Weights, saved

PASS = 8
"""Multiply-adds of a matrix product that take about as long as an elementwise one."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Dense(Weights):
    """An array of synapses, with the methods of `Weights`.

    Attributes:
      array: w, `[c, I, O]`.
    """

    array: Leaf

    @property
    def shape(self) -> tuple[int, int, int]:
        """(c, I, O)."""
        states, sources, targets = self.array.shape
        return states, sources, targets

    def connect(self, mixed: Float[Array, "states batch sources"]) -> Float[Array, "states batch targets"]:
        """See `Weights.connect`."""
        if self.shape[0] == 1:
            return jnp.einsum("cbi,io->cbo", mixed, self.array[0])
        return jnp.einsum("cbi,cio->cbo", mixed, self.array)

    def send(self, activity: Activity, transform: Float[Array, "states states"]) -> Activity:
        """See `Weights.send`. The single state of an activity is mixed where it arrives."""
        if activity.shape[0] > 1:
            return super().send(activity, transform)
        alike = jnp.broadcast_to(activity, (self.shape[0], *activity.shape[1:]))
        return transform[0][:, None, None] * saved(jnp.einsum("cbi,cio->cbo", alike, self.array))

    def send_back(self, activity: Activity, transform: Float[Array, "states states"]) -> Activity:
        """See `Weights.send_back`."""
        return Dense(self.array.swapaxes(1, 2)).send(activity, transform)

    def propose(self, pair: Pair, transforms: Transforms) -> Float[Array, "states sources targets"]:
        """See `Weights.propose`. The single state of an activity is mixed on the other side."""
        if len(pair.pre) == 1:
            pre = jnp.broadcast_to(pair.pre, (transforms.post.shape[1], *pair.pre.shape[1:]))
            post = pair.weight[:, None] * mix(pair.post, transforms.pre[0] * transforms.post)
        else:
            pre = mix(pair.pre, transforms.pre)
            post = pair.weight[:, None] * mix(pair.post, transforms.post)
        return jnp.einsum("cbi,cbo->cio", pre, post)

    def propose_both(
        self, pair: Pair, transforms: Transforms, backward: Weights, backward_transforms: Transforms
    ) -> tuple[Float[Array, "states sources targets"], Float[Array, "states targets sources"]]:
        """See `Weights.propose_both`. Where the upper layer is narrow, both sums are mixtures of one product."""
        if not mixes_after(pair, states=transforms.pre.shape[1]):
            return super().propose_both(pair, transforms, backward, backward_transforms)
        (pre, post), (back_pre, back_post) = transforms, backward_transforms
        found = moments(pair.pre, pair.weighted)
        e, d = found.shape[:2]
        return (
            jnp.einsum("ec,dc,edoi->cio", pre[:e], post[:d], found),
            jnp.einsum("dc,ec,edoi->coi", back_pre[:d], back_post[:e], found),
        )

    def map(self, function: Callable[[Array, Array], Array], change: Array) -> Float[Array, "states sources targets"]:
        """See `Weights.map`."""
        return function(self.array, change)

    def dense(self) -> Float[Array, "states sources targets"]:
        """The array."""
        return self.array


def as_weights(stored: Stored) -> Weights:
    """Synapses as a network's state holds them, with the methods of `Weights`."""
    return stored if isinstance(stored, Weights) else Dense(stored)


def mixes_after(pair: Pair, *, states: int) -> bool:
    """Whether the Hebbian sums of both directions take less time from `moments`, where the upper layer is narrow."""
    carried, (_, batch, targets) = pair.pre.shape[0] * pair.post.shape[0], pair.post.shape
    products_cost_no_more = (carried - 2 * states) * targets <= 2 * PASS * states**2
    return products_cost_no_more and carried * targets <= states * batch


def moments(
    pre: Float[Array, "carried_pre batch sources"], post: Float[Array, "carried_post batch targets"]
) -> Float[Array, "carried_pre carried_post targets sources"]:
    """R_ij^{ed} = Σ_batch a_i^e a_j^d, before any mixing: every Hebbian sum of the two layers is linear in it."""
    flat = jnp.moveaxis(post, 0, 1).reshape(post.shape[1], -1)
    alike = jnp.broadcast_to(flat, (pre.shape[0], *flat.shape))
    found = jnp.einsum("ebn,ebi->eni", alike, pre)
    return found.reshape(pre.shape[0], post.shape[0], post.shape[2], pre.shape[2])
