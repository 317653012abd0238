"""The protocol of stored synapses: a layer is a bilinear map u = connect(w, a) of its synapses and an activity.

Sending back is the transpose of `connect` in the activity, the Hebbian change its transpose in the synapses.
`Weights` derives both with `jax.linear_transpose`. The dense, flat and dual forms override them for speed.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, PyTree

from blur.core.inner_loop import SAVED_NAME
from blur.network.mixing import Activity, mix

if TYPE_CHECKING:
    Leaf: TypeAlias = Array
else:
    Leaf = Any
"""An array in a storage's fields. JAX fills pytrees with shapes, axes and placeholders too, which run-time checks of
shapes must let pass."""

Capability = Literal["elementwise", "arrays"]
"""`elementwise`: a function of each synapse, such as an activation, can be applied. `arrays`: the synapses are an array
`[c, I, O]`, so that each one can be read."""

StoredChange: TypeAlias = PyTree
"""A change of synapses in the form of their storage: an array `[c, I, O]`, or arrays in the storage's own structure."""


class Transforms(NamedTuple):
    """How states mix on both sides of a Hebbian sum.

    Attributes:
      pre: P, `[states, synapse_states]`; step sizes are in it.
      post: Q, `[states, synapse_states]`.
    """

    pre: Float[Array, "states synapse_states"]
    post: Float[Array, "states synapse_states"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Pair:
    """The activities on both sides of a layer of synapses.

    Attributes:
      pre: of the sources.
      post: of the targets.
      weight: what each example counts in a Hebbian sum.
    """

    pre: Activity
    post: Activity
    weight: Float[Array, "batch"]

    @cached_property
    def weighted(self) -> Activity:
        """`post`, each example times its weight."""
        return self.weight[:, None] * self.post

    @property
    def swapped(self) -> Pair:
        """The pair of the synapses that lead back."""
        return Pair(self.post, self.pre, self.weight)


class Weights(abc.ABC):
    """Synapses of c states between I source neurons and O target neurons, in one form of storage: a pytree.

    A subclass writes `shape` and `connect`. It overrides other methods for speed, or where its arrays are not what
    changes.

    Attributes:
      refusals: capabilities that this storage lacks; an error message says who needs one, then the text given here.
    """

    refusals: ClassVar[Mapping[Capability, str]] = {}

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """(c, I, O)."""

    @property
    def fan_in(self) -> int:
        """Sources that each target neuron hears."""
        return self.shape[1]

    @abc.abstractmethod
    def connect(self, mixed: Float[Array, "states batch sources"]) -> Float[Array, "states batch targets"]:
        """u_c = Σ_i m_i^c w_i^c, linear in m and in the synapses; one synapse state serves all states of m."""

    def send(self, activity: Activity, transform: Float[Array, "states states"]) -> Activity:
        """u_c = Σ_{i,d} a_i^d T[d, c] w_i^c: what arrives at the targets, `[states, batch, O]`."""
        return saved(self.connect(mix(activity, transform)))

    def send_back(self, activity: Activity, transform: Float[Array, "states states"]) -> Activity:
        """u_c = Σ_{j,d} a_j^d T[d, c] w_j^c: what the transpose brings to the sources, `[states, batch, I]`."""
        mixed = mix(activity, transform)
        sources = jax.ShapeDtypeStruct((*mixed.shape[:2], self.shape[1]), mixed.dtype)
        (arriving,) = jax.linear_transpose(self.connect, sources)(mixed)
        return saved(arriving)

    def propose(self, pair: Pair, transforms: Transforms) -> StoredChange:
        """The Hebbian sum H_ij^c = Σ_b w_b (Σ_e a_i^e P[e, c]) (Σ_d a_j^d Q[d, c])."""
        pre = mix(pair.pre, transforms.pre)
        post = pair.weight[:, None] * mix(pair.post, transforms.post)
        (change,) = jax.linear_transpose(lambda weights: weights.connect(pre), self)(post)
        return change

    def propose_both(
        self, pair: Pair, transforms: Transforms, backward: Weights, backward_transforms: Transforms
    ) -> tuple[StoredChange, StoredChange]:
        """The Hebbian sums of these synapses and of those that lead back."""
        return self.propose(pair, transforms), backward.propose(pair.swapped, backward_transforms)

    def scaled(self, change: StoredChange, factor: Float[Array, ""]) -> StoredChange:
        """A change of these synapses times a factor."""
        return jax.tree.map(lambda delta: factor * delta, change)

    def commit(self, keep: Float[Array, ""], change: StoredChange) -> Stored:
        """f̃ w + Δ."""
        return self.map(lambda weight, delta: keep * weight + delta, change)

    def map(self, function: Callable[[Array, Array], Array], change: StoredChange) -> Stored:
        """A function of each synapse and its change; where `elementwise` is not among the refusals."""
        mapped: Weights = jax.tree.map(function, self, change)
        return mapped

    def dense(self) -> Float[Array, "states sources targets"]:
        """The synapses as an array."""
        states, sources, _ = self.shape
        unit = jnp.eye(sources, dtype=jnp.result_type(*jax.tree.leaves(self)))
        return self.connect(jnp.broadcast_to(unit, (states, sources, sources)))

    def need(self, capability: Capability, purpose: str) -> None:
        """Raises ValueError if this storage lacks a capability. `purpose` is what needs it."""
        if capability in self.refusals:
            raise ValueError(f"{purpose} {self.refusals[capability]}")


Stored: TypeAlias = Float[Array, "_states _sources _targets"] | Weights
"""Synapses as a network's state holds them: an array `[c, I, O]`, or another form of storage."""


def saved(product: Array) -> Array:
    """Marks a product that the backward pass of a gradient finds stored: all else is cheaper to compute again."""
    marked: Array = checkpoint_name(product, SAVED_NAME)
    return marked
